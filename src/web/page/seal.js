// A worker between the encoder and the network, and between the network and the decoder: frames go out sealed and are opened
// here, so that the node that passes them on sees neither. A frame on the way is what `alm_media::packet` calls a packet
// without its tree: a byte of kind, source (2), counter (6), capture time (4), and the SFrame frame over level and Opus. The keys
// are every member's; that nobody speaks as another is seen by what each source has signed (`witness.js`).

import { deriveKey, open, seal } from "./sframe.js";
import { Witness, markOf, readMarks } from "./witness.js";

/** Bytes in front of the SFrame frame: what is proved along with it. */
const METADATA = 13;
const KIND = 0x80;
/** Ticks of the session's clock in a millisecond, and where they wrap. */
const TICKS_MS = 48;
const WRAP = 2 ** 32;
/** A frame of 20 ms. */
const FRAME_TICKS = 960;
/** A frame that stands further than that from where its time puts it is placed anew. */
const OFF_MAX = 9600;
/** Between two words on one track. */
const TELL_MS = 150;
/** Frames behind the newest that are still taken. */
const WINDOW = 256;
const SILENCE = 127;
/** What the clock goes by: what was told the least late of so many times. */
const TOLD_MAX = 8;

let own = null;
let voices = new Map();
/** By number and bytes: deriving takes a while, and keys are told again and again. */
const known = new Map();
const told = [];
/** How loud the microphone is, 0 to 1, where frames do not say it. */
let input = 0;
let counter = 0;
let last = null;
const counts = { sealed: 0, opened: 0, refused: 0, sizes: {} };

/** What was told is taken up in the order in which it came. */
let turn = Promise.resolve();

self.onmessage = ({ data }) => {
  if (data.counts) postMessage({ counts: { ...counts, ...witnessed() } });
  else if (data.input !== undefined) input = data.input;
  else if (data.vouched) compare(data.vouched);
  // A browser without the transform that a worker is told of hands the streams over.
  else if (data.streams) through(data.streams, data.options);
  else turn = turn.then(() => take(data));
};
self.onrtctransform = ({ transformer }) => through(transformer, transformer.options);

async function take({ source, ticks, seal: sealing, voices: others, at }) {
  if (ticks !== null) {
    told.push(wrapped(ticks - at * TICKS_MS));
    if (told.length > TOLD_MAX) told.shift();
  }
  const wanted = Object.entries(others).map(async ([number, { node, keys }]) => {
    const made = await Promise.all(keys.map(derived));
    const before = voices.get(Number(number));
    // Who came back, or has the number of who was here before, counts anew, under keys of its own.
    const goesOn = before?.node === node && before.keys.some(({ name }) => made.some((key) => key.name === name));
    const voice = goesOn ? before : { node, seen: new Set(), newest: -1, witness: new Witness(), standing: "new" };
    return [Number(number), Object.assign(voice, { keys: made })];
  });
  const key = sealing && source !== null ? await derived(sealing) : null;
  voices = new Map(await Promise.all(wanted));
  own = key && { source, key };
  while (known.size > 8 * (voices.size + 8)) known.delete(known.keys().next().value);
}

async function derived({ id, key }) {
  const name = `${id} ${key}`;
  if (!known.has(name)) {
    const base = Uint8Array.from(key.match(/../g), (byte) => parseInt(byte, 16));
    known.set(name, { name, ...(await deriveKey(id, base)) });
  }
  return known.get(name);
}

function through({ readable, writable }, { side, track }) {
  const transform = side === "out" ? sealed : (frame, out) => opened(frame, out, track);
  // A stream that ends with its connection is no news.
  readable.pipeThrough(new TransformStream({ transform })).pipeTo(writable).catch(() => {});
}

async function sealed(frame, out) {
  const time = now();
  if (!own || time === null) return;
  const { source, key } = own;
  const about = frame.getMetadata();
  const stamp = about.rtpTimestamp ?? frame.timestamp;
  // The browser's word on when it was captured, where it has one.
  const age = about.captureTime === undefined ? null : performance.now() - about.captureTime;
  const begun = wrapped(time - (age !== null && age >= 0 && age < 1000 ? age * TICKS_MS : FRAME_TICKS));
  last = { stamp, ticks: last ? placed(last, stamp, begun) : begun };
  const loud = about.audioLevel ?? input;
  const level = loud > 0 ? Math.min(SILENCE, Math.round(-20 * Math.log10(loud))) : SILENCE;
  const plain = new Uint8Array(1 + frame.data.byteLength);
  plain[0] = Math.max(0, level);
  plain.set(new Uint8Array(frame.data), 1);
  const metadata = new Uint8Array(METADATA);
  const view = new DataView(metadata.buffer);
  const number = counter;
  counter += 1;
  metadata[0] = KIND;
  view.setUint16(1, source);
  view.setUint16(3, Math.floor(number / WRAP));
  view.setUint32(5, number % WRAP);
  view.setUint32(9, last.ticks);
  const body = await seal(key, number, metadata, plain);
  const all = new Uint8Array(METADATA + body.length);
  all.set(metadata);
  all.set(body, METADATA);
  frame.data = all.buffer;
  counts.sealed += 1;
  counts.sizes[all.length] = (counts.sizes[all.length] ?? 0) + 1;
  out.enqueue(frame);
}

/** As far behind the frame before as the encoder says, and a little nearer to what the clock says. */
function placed(before, stamp, begun) {
  const expected = wrapped(before.ticks + wrapped(stamp - before.stamp));
  const off = signed(begun - expected);
  return Math.abs(off) > OFF_MAX ? begun : wrapped(expected + Math.sign(off));
}

async function opened(frame, out, track) {
  const data = new Uint8Array(frame.data);
  if (data.length <= METADATA) return;
  const metadata = data.subarray(0, METADATA);
  const view = new DataView(data.buffer, data.byteOffset);
  const source = view.getUint16(1);
  const voice = voices.get(source);
  const [found, mark] = voice ? await Promise.all([open(voice.keys, metadata, data.subarray(METADATA)), markOf(data)]) : [];
  const number = view.getUint16(3) * WRAP + view.getUint32(5);
  if (!found || found.counter !== number || !isNew(voice, number)) {
    counts.refused += 1;
    return;
  }
  counts.opened += 1;
  const isBelieved = voice.witness.onFrame(number, mark, performance.now());
  tellStanding(voice);
  if (!isBelieved) return;
  frame.data = found.plain.slice(1).buffer;
  tell(track, voice.node, found.plain[0]);
  out.enqueue(frame);
}

/** Holds what a source has signed against what was heard of it. */
function compare({ source, first, marks }) {
  const voice = voices.get(source);
  if (!voice) return;
  const next = voice.witness.onDigest(first, readMarks(marks), performance.now());
  // What somebody else made up beyond it must not shut out what comes.
  if (next !== null) Object.assign(voice, { seen: new Set(), newest: next - 1 });
  tellStanding(voice);
}

function witnessed() {
  const sum = (what) => [...voices.values()].reduce((all, { witness }) => all + witness[what], 0);
  return { confirmed: sum("confirmed"), contradicted: sum("contradicted") };
}

function tellStanding(voice) {
  const { standing } = voice.witness;
  if (standing === voice.standing) return;
  voice.standing = standing;
  postMessage({ node: voice.node, standing, contradicted: voice.witness.contradicted });
}

/** Whose voice is on a track and how loud, now and then and when it changes. */
const shown = new Map();
function tell(track, node, level) {
  const before = shown.get(track);
  if (before?.node === node && performance.now() - before.at < TELL_MS) return;
  shown.set(track, { node, at: performance.now() });
  postMessage({ track, node, level });
}

/** Each frame once, and none that is too old to tell. */
function isNew(voice, number) {
  if (voice.seen.has(number) || number <= voice.newest - WINDOW) return false;
  voice.seen.add(number);
  voice.newest = Math.max(voice.newest, number);
  if (voice.seen.size > 2 * WINDOW) voice.seen.forEach((old) => old <= voice.newest - WINDOW && voice.seen.delete(old));
  return true;
}

/** The session's time in ticks; null before it has been told. */
function now() {
  if (told.length === 0) return null;
  // What was told late is behind.
  const best = told.reduce((a, b) => (signed(b - a) > 0 ? b : a));
  return wrapped(best + (performance.timeOrigin + performance.now()) * TICKS_MS);
}

function wrapped(ticks) {
  const whole = Math.round(ticks) % WRAP;
  return whole < 0 ? whole + WRAP : whole;
}

function signed(ticks) {
  const whole = wrapped(ticks);
  return whole >= WRAP / 2 ? whole - WRAP : whole;
}
