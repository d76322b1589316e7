// This browser as a member: its microphone by WHIP, what it hears by WHEP, both at the node that serves this page.

/** Tracks that are offered: more than people speak at once. */
const TRACKS = 6;
/** How often levels and state are looked at. */
const LOOK_MS = 200;
/** A connection that is in doubt for so long is given up. */
const DOUBT_MS = 5000;

/** `headers` are what every request bears; `changed` is called when there is something new to show. */
export class Call {
  /** "out", "entering" or "in". */
  state = "out";
  /** The member's node, once it is known. */
  node = null;
  muted = false;
  /** Without a microphone one can still listen. */
  deaf = false;
  /** 0 to 1. */
  level = 0;
  /** What went wrong, as a sentence. */
  trouble = "";
  #headers;
  #changed;
  #peers = [];
  #places = [];
  #stream = null;
  #sounds = [];
  #timer = null;
  #doubtSince = null;
  #seen = false;
  /** Counts the calls of this page, so that what comes late is known. */
  #turn = 0;

  constructor(headers, changed) {
    this.#headers = headers;
    this.#changed = changed;
    // The node is told even by a page that is going.
    window.addEventListener("pagehide", () => this.leave());
  }

  async join(name) {
    if (this.state !== "out") return;
    const turn = (this.#turn += 1);
    Object.assign(this, { state: "entering", muted: false, deaf: false, level: 0, trouble: "", node: null });
    this.#seen = false;
    this.#changed();
    const who = new URLSearchParams({ name, member: crypto.randomUUID() });
    try {
      // What is heard needs no microphone, and does not wait for somebody to allow one.
      await Promise.all([this.#listen(who, turn), this.#speak(who, turn)]);
      if (turn !== this.#turn) return;
      this.state = "in";
      this.#timer = setInterval(() => this.#look(), LOOK_MS);
    } catch (error) {
      if (turn === this.#turn) this.leave(error.message);
    }
    this.#changed();
  }

  leave(trouble = "") {
    if (this.state === "out") return;
    this.#turn += 1;
    clearInterval(this.#timer);
    for (const place of this.#places) fetch(place, { method: "DELETE", headers: this.#headers, keepalive: true }).catch(() => {});
    for (const peer of this.#peers) peer.close();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    for (const sound of this.#sounds) sound.srcObject = null;
    [this.#places, this.#peers, this.#sounds, this.#stream] = [[], [], [], null];
    Object.assign(this, { state: "out", node: null, level: 0, trouble });
    this.#changed();
  }

  /** From here on the microphone gives silence, or sound again. */
  setMuted(muted) {
    for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !muted;
    this.muted = muted;
    this.#changed();
  }

  /** Takes note of who is in by what the node says. */
  noteMembers(members) {
    if (this.state === "out" || !this.node) return;
    const isIn = this.node in members;
    if (this.#seen && !isIn) this.leave("you are out of the conference");
    this.#seen ||= isIn;
  }

  async #speak(who, turn) {
    const wishes = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: wishes });
    } catch {
      this.deaf = true;
      return;
    }
    if (turn !== this.#turn) {
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    this.#stream = stream;
    const peer = new RTCPeerConnection();
    for (const track of stream.getAudioTracks()) {
      track.enabled = !this.muted;
      track.addEventListener("ended", () => this.leave("the microphone is gone"));
      peer.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    }
    await this.#open("whip", peer, who, turn);
  }

  async #listen(who, turn) {
    const peer = new RTCPeerConnection();
    for (let track = 0; track < TRACKS; track += 1) peer.addTransceiver("audio", { direction: "recvonly" });
    peer.addEventListener("track", ({ track }) => {
      const sound = new Audio();
      sound.autoplay = true;
      sound.srcObject = new MediaStream([track]);
      this.#sounds.push(sound);
    });
    await this.#open("whep", peer, who, turn);
  }

  async #open(place, peer, who, turn) {
    this.#peers.push(peer);
    await peer.setLocalDescription();
    const headers = { ...this.#headers, "Content-Type": "application/sdp" };
    let response;
    try {
      // No addresses are waited for: the node's own is all that is needed.
      response = await fetch(`${place}?${who}`, { method: "POST", headers, body: peer.localDescription.sdp });
    } catch {
      throw new Error("alm does not answer");
    }
    if (!response.ok) throw new Error((await response.json()).error);
    const made = response.headers.get("Location");
    if (turn !== this.#turn) {
      fetch(made, { method: "DELETE", headers: this.#headers, keepalive: true }).catch(() => {});
      return;
    }
    this.#places.push(made);
    this.node = response.headers.get("alm-node");
    await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
  }

  /** For pictures and for tests: how many of its packets arrived, and how loud. */
  async stats() {
    const found = { sent: 0, received: 0, heard: 0, level: 0, delay: 0 };
    for (const peer of this.#peers) {
      for (const report of (await peer.getStats()).values()) {
        if (report.type === "outbound-rtp") found.sent += report.packetsSent;
        if (report.type === "inbound-rtp" && report.packetsReceived > 0) {
          found.received += report.packetsReceived;
          found.heard += 1;
          found.level = Math.max(found.level, report.audioLevel ?? 0);
          found.delay = report.jitterBufferDelay / Math.max(1, report.jitterBufferEmittedCount);
        }
        if (report.type === "media-source") found.input = report.audioLevel ?? 0;
      }
    }
    return found;
  }

  async #look() {
    const states = this.#peers.map((peer) => peer.connectionState);
    if (states.some((state) => ["failed", "closed"].includes(state))) return this.leave("the connection to alm is lost");
    const inDoubt = states.some((state) => state === "disconnected");
    this.#doubtSince = inDoubt ? (this.#doubtSince ?? Date.now()) : null;
    if (inDoubt && Date.now() - this.#doubtSince > DOUBT_MS) return this.leave("the connection to alm is lost");
    const turn = this.#turn;
    const { input } = await this.stats();
    if (turn !== this.#turn) return;
    this.level = this.muted ? 0 : (input ?? 0);
    this.#changed();
  }
}
