// SFrame (RFC 9605) with AES_128_GCM_SHA256_128, by the browser's own cryptography.

/** RFC 9605, section 4.5. */
const SUITE = 4;

/** Makes the key of number `id` from the bytes that both sides have. It does not leave the browser's cryptography again. */
export async function deriveKey(id, base) {
  const material = await crypto.subtle.importKey("raw", base, "HKDF", false, ["deriveKey", "deriveBits"]);
  const from = (what) => {
    const label = new TextEncoder().encode(`SFrame 1.0 Secret ${what} `);
    const info = new Uint8Array([...label, ...bigEndian(id, 8), ...bigEndian(SUITE, 2)]);
    return { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info };
  };
  const [key, salt] = await Promise.all([
    crypto.subtle.deriveKey(from("key"), material, { name: "AES-GCM", length: 128 }, false, ["encrypt", "decrypt"]),
    crypto.subtle.deriveBits(from("salt"), material, 96),
  ]);
  return { id, key, salt: new Uint8Array(salt) };
}

/** Header, ciphertext and tag of `plain`; `metadata` is proved along with it. No counter may come twice for one key. */
export async function seal({ id, key, salt }, counter, metadata, plain) {
  const head = header(id, counter);
  const sealed = await crypto.subtle.encrypt(options(salt, counter, head, metadata), key, plain);
  return joined(head, new Uint8Array(sealed));
}

/** What was sealed, by one of `keys` that bears the frame's number; null if none of them did it. */
export async function open(keys, metadata, frame) {
  const head = readHeader(frame);
  if (!head) return null;
  for (const { id, key, salt } of keys) {
    if (id !== head.id) continue;
    try {
      const opts = options(salt, head.counter, frame.subarray(0, head.length), metadata);
      const plain = await crypto.subtle.decrypt(opts, key, frame.subarray(head.length));
      return { counter: head.counter, plain: new Uint8Array(plain) };
    } catch {
      // Numbers of two keys may be the same.
    }
  }
  return null;
}

function options(salt, counter, head, metadata) {
  const iv = salt.slice();
  bigEndian(counter, 12).forEach((byte, at) => (iv[at] ^= byte));
  return { name: "AES-GCM", iv, additionalData: joined(head, metadata), tagLength: 128 };
}

/** RFC 9605, section 4.3: a byte of lengths or small values, then what did not fit there. */
function header(id, counter) {
  const [idBytes, counterBytes] = [id, counter].map((value) => (value < 8 ? [] : minimal(value)));
  const part = (value, bytes) => (bytes.length === 0 ? value : 8 | (bytes.length - 1));
  return new Uint8Array([(part(id, idBytes) << 4) | part(counter, counterBytes), ...idBytes, ...counterBytes]);
}

function readHeader(frame) {
  if (frame.length === 0) return null;
  let at = 1;
  const value = (part) => {
    if (part < 8) return part;
    const end = at + (part & 7) + 1;
    const found = frame.subarray(at, end).reduce((sum, byte) => sum * 256 + byte, 0);
    at = end;
    return found;
  };
  const [id, counter] = [value(frame[0] >> 4), value(frame[0] & 15)];
  return at < frame.length && Number.isSafeInteger(id) && Number.isSafeInteger(counter) ? { id, counter, length: at } : null;
}

function minimal(value) {
  const bytes = bigEndian(value, 8);
  return bytes.slice(bytes.findIndex((byte) => byte !== 0));
}

function bigEndian(value, length) {
  const bytes = [];
  for (let rest = value; bytes.length < length; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return bytes;
}

function joined(a, b) {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
