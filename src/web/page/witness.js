// Whether a voice's frames are its own: the rule of `alm_media::witness`, for frames that are opened here. What a source has
// signed comes from the node, which has proved the signature; what was heard is compared with it here. Time is an argument.

/** Milliseconds after which a voice that nothing vouches for is unconfirmed, and after which it is silent. */
const UNCONFIRMED_AFTER_MS = 3000;
const SILENCED_AFTER_MS = 10000;
/** From one frame to the next, as far as it counts as voice: who was cut off has not spoken meanwhile. */
const PAUSE_MAX_MS = 200;
/** Digests in a row, each confirming something, after which a voice that was contradicted is believed again. */
const CLEAN_DIGESTS = 4;
/** Frames that wait to be vouched for: what comes between two digests, several times. */
const WAITING_MAX = 400;
/** A frame that its source has still not sent so long after it was heard was never its own. */
const AHEAD_MAX_MS = 2000;
const MARK_BYTES = 6;

/** A frame's mark: a part of the hash of all that travels of it. */
export async function markOf(packet) {
  const hash = new DataView(await crypto.subtle.digest("SHA-256", packet));
  // Zeros stand for no frame.
  return number(hash, 0) || 2 ** 40;
}

/** The marks of a digest, as it is told. */
export function readMarks(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: Math.floor(bytes.length / MARK_BYTES) }, (_, at) => number(view, at * MARK_BYTES));
}

/** Six bytes, which a number holds without loss. */
function number(view, at) {
  return view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2);
}

export class Witness {
  confirmed = 0;
  contradicted = 0;
  /** Heard and not yet vouched for: mark and time, by the frame's number. */
  #waiting = new Map();
  #vouchedTo = 0;
  /** How much was heard since something was last confirmed, and when the last of it. */
  #unconfirmed = null;
  /** Clean digests that are wanted before the voice is believed again. */
  #wanted = 0;

  /** Takes a frame that was opened; whether it may be played. */
  onFrame(counter, mark, now) {
    if (this.#waiting.size >= WAITING_MAX) this.#waiting.delete(Math.min(...this.#waiting.keys()));
    this.#waiting.set(counter, { mark, at: now });
    const { spoken, last } = this.#unconfirmed ?? { spoken: 0, last: now };
    this.#unconfirmed = { spoken: spoken + Math.min(now - last, PAUSE_MAX_MS), last: now };
    return this.standing !== "silenced";
  }

  /** Takes a digest. The number that the source goes on from, where frames from beyond its own were taken for its; else null. */
  onDigest(first, marks, now) {
    const end = first + marks.length;
    // It has come before, by another tree or by somebody's hand.
    if (end <= this.#vouchedTo) return null;
    this.#vouchedTo = end;
    let [confirmed, contradicted, ahead] = [0, 0, 0];
    for (const [counter, { mark, at }] of this.#waiting) {
      if (counter >= end) {
        if (now - at < AHEAD_MAX_MS) continue;
        ahead += 1;
      } else if (counter >= first) {
        if (mark === marks[counter - first]) confirmed += 1;
        else contradicted += 1;
      }
      // What lies before was vouched for by a digest that is lost, and cannot be told any more.
      this.#waiting.delete(counter);
    }
    contradicted += ahead;
    this.confirmed += confirmed;
    this.contradicted += contradicted;
    if (contradicted > 0) {
      this.#wanted = CLEAN_DIGESTS;
    } else if (confirmed > 0) {
      this.#wanted = Math.max(0, this.#wanted - 1);
      this.#unconfirmed = null;
    }
    return ahead > 0 ? end : null;
  }

  /** "new", "confirmed", "unconfirmed" or "silenced". */
  get standing() {
    const waits = this.#unconfirmed?.spoken ?? 0;
    if (this.#wanted > 0 || waits >= SILENCED_AFTER_MS) return "silenced";
    if (waits >= UNCONFIRMED_AFTER_MS) return "unconfirmed";
    return this.confirmed > 0 ? "confirmed" : "new";
  }
}
