// This browser as a member: its microphone by WHIP, what it hears by WHEP, both at the node that serves this page. Where the
// browser can, it seals and opens the sound itself (`seal.js`), and the node passes on what it does not open. What it is told
// and writes goes by the same node, as the member that it is.

import { readEvents } from "./events.js";

/** Tracks that are offered: more than people speak at once. */
const TRACKS = 6;
/** The same where the node does not know who speaks, so that each voice needs one. */
const SEALED_TRACKS = 16;
/** Between two tries to hear news again. */
const NEWS_AGAIN_MS = 500;
/** A track on which nothing was heard for so long is silent. */
const QUIET_MS = 400;
const SILENCE_DB = -127;

/** A worker may be made of one file alone (trusted types). */
const policy = window.trustedTypes?.createPolicy("alm", { createScriptURL: (name) => (name === "seal.js" ? name : "") });

/** How the browser lets a worker at its frames: "transform", "streams" or null. */
function wayToSeal() {
  if (!crypto.subtle || !window.RTCPeerConnection) return null;
  if (window.RTCRtpScriptTransform) return "transform";
  return window.RTCRtpSender?.prototype.createEncodedStreams ? "streams" : null;
}
/** How often levels and state are looked at, and after how many looks what has arrived. */
const LOOK_MS = 200;
const LOOKS_A_COUNT = 5;
/** Lines that are kept to read. */
const LINES_MAX = 100;
/** A connection that is in doubt for so long is given up. */
const DOUBT_MS = 5000;

/** Whether this browser can seal and open sound itself. */
export function canSeal() {
  return wayToSeal() !== null;
}

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
  /** Whether the sound is sealed and opened here, both ways. */
  sealed = false;
  /** There are more voices than this browser can keep apart, so that the node opens them. */
  crowded = false;
  /** What went wrong, as a sentence. */
  trouble = "";
  /** What has happened and was written since this browser is in, the newest last. */
  lines = [];
  /** By node: packets of its voice that arrived here, and that were lost on the way. */
  media = {};
  /** By node, where it is known: whether the voice is known to be its own, as `alm_media::Standing` has it. */
  standings = {};
  #headers;
  #changed;
  #peers = [];
  #places = [];
  #stream = null;
  /** By track: what plays it, whose voice is on it, how loud it is and since when. */
  #sounds = [];
  #volumes = {};
  #voices = {};
  #worker = null;
  #who = null;
  #hears = null;
  #timer = null;
  #doubtSince = null;
  #looks = 0;
  /** By track: packets that arrived and were lost when that was last looked at. */
  #counted = [];
  /** Lines that were told so far. */
  #told = 0;
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
    Object.assign(this, { state: "entering", muted: false, deaf: false, level: 0, trouble: "", node: null, crowded: false });
    Object.assign(this, { lines: [], media: {}, standings: {} });
    [this.#told, this.#counted] = [0, []];
    this.#seen = false;
    this.#changed();
    this.#who = { name, member: crypto.randomUUID() };
    try {
      this.sealed = this.#startWorker(turn);
      // What is heard needs no microphone, and does not wait for somebody to allow one.
      await Promise.all([this.#listen(turn), this.#speak(turn)]);
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
    this.#hush();
    this.#worker?.terminate();
    [this.#places, this.#peers, this.#stream, this.#worker, this.#hears] = [[], [], null, null, null];
    Object.assign(this, { state: "out", node: null, level: 0, trouble, sealed: false });
    this.#changed();
  }

  /** From here on the microphone gives silence, or sound again. */
  setMuted(muted) {
    for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !muted;
    this.muted = muted;
    this.#changed();
  }

  /** Writes to all; what came in the way, as a sentence, or nothing. */
  async say(text) {
    if (!this.#hears) return "you are not in";
    try {
      const response = await fetch(`${this.#hears.place}/say`, { method: "POST", headers: this.#headers, body: text });
      return response.ok ? "" : (await response.json()).error;
    } catch {
      return "alm does not answer";
    }
  }

  /** How loud somebody is here: 0 to 1. */
  setVolume(node, volume) {
    this.#volumes[node] = volume;
    this.#applyVolumes();
  }

  volume(node) {
    return this.#volumes[node] ?? 1;
  }

  /** How loud each of the others is here, decibels, as far as this browser opens them itself. */
  levels() {
    const found = {};
    for (const { node, level, at } of this.#sounds) if (node && at !== null) found[node] = Date.now() - at < QUIET_MS ? level : SILENCE_DB;
    return found;
  }

  /** Takes note of who is in by what the node says. */
  noteMembers(members) {
    if (this.state === "out" || !this.node) return;
    const isIn = this.node in members;
    if (this.#seen && !isIn) this.leave("you are out of the conference");
    this.#seen ||= isIn;
  }

  /** True if there is one, through which all sound goes. */
  #startWorker(turn) {
    const way = wayToSeal();
    if (!way) return false;
    const name = "seal.js";
    this.#worker = new Worker(policy ? policy.createScriptURL(name) : name, { type: "module" });
    this.#worker.addEventListener("error", () => turn === this.#turn && this.leave("this browser could not seal the sound"));
    this.#worker.addEventListener("message", ({ data }) => {
      if (data.standing) this.#noteStanding(data);
      if (data.track === undefined || !this.#sounds[data.track]) return;
      Object.assign(this.#sounds[data.track], { node: data.node, level: -data.level, at: Date.now() });
      this.#applyVolumes();
    });
    return true;
  }

  #connection() {
    return new RTCPeerConnection(this.sealed && wayToSeal() === "streams" ? { encodedInsertableStreams: true } : {});
  }

  /** Has what goes through an end of a connection sealed or opened. */
  #through(end, options) {
    if (wayToSeal() === "transform") {
      end.transform = new RTCRtpScriptTransform(this.#worker, options);
    } else {
      const streams = end.createEncodedStreams();
      this.#worker.postMessage({ streams, options }, [streams.readable, streams.writable]);
    }
  }

  #applyVolumes() {
    for (const { sound, node } of this.#sounds) {
      const volume = Math.min(1, this.#volumes[node] ?? 1);
      if (sound.volume !== volume) sound.volume = volume;
    }
  }

  #hush() {
    for (const { sound } of this.#sounds) sound.srcObject = null;
    this.#sounds = [];
  }

  /** Keys, and who speaks under which number, for as long as this is the way that is heard by. */
  async #hearNews(place, turn) {
    while (turn === this.#turn && this.#hears?.place === place) {
      try {
        const response = await fetch(`${place}/news`, { headers: this.#headers });
        if (response.status === 404) return;
        await readEvents(response.body.getReader(), (news) => turn === this.#turn && this.#takeNews(news, turn));
      } catch {
        // The connection itself says when the node is gone.
      }
      await new Promise((resolve) => setTimeout(resolve, NEWS_AGAIN_MS));
    }
  }

  #takeNews(news, turn) {
    if (news.vouched) return this.#worker?.postMessage(news);
    if (news.lines) return this.#takeLines(news);
    this.#voices = news.voices;
    for (const voice of Object.values(news.voices)) if (voice.standing) this.#noteStanding(voice);
    if (!this.#worker) return;
    this.#worker.postMessage({ ...news, at: performance.timeOrigin + performance.now() });
    // More voices than tracks: the node has to choose, and must know for that who speaks.
    if (this.sealed && Object.keys(news.voices).length - 1 > SEALED_TRACKS) this.#listenOpenly(turn);
  }

  /** Who comes back to hear news is told again what was told before. */
  #takeLines({ after, lines }) {
    const fresh = lines.slice(Math.max(0, this.#told - after));
    this.#told = Math.max(this.#told, after + lines.length);
    this.#addLines(fresh);
  }

  #addLines(lines) {
    this.lines = [...this.lines, ...lines].slice(-LINES_MAX);
    this.#changed();
  }

  #noteStanding({ node, standing, contradicted, bad }) {
    const before = this.standings[node] ?? { standing: "new", bad: 0 };
    this.standings[node] = { standing, bad: bad ?? before.bad };
    this.#changed();
  }

  async #listenOpenly(turn) {
    Object.assign(this, { sealed: false, crowded: true });
    const { place, peer } = this.#hears;
    this.#places = this.#places.filter((other) => other !== place);
    this.#peers = this.#peers.filter((other) => other !== peer);
    peer.close();
    this.#hush();
    try {
      await fetch(place, { method: "DELETE", headers: this.#headers });
      if (turn === this.#turn) await this.#listen(turn);
    } catch (error) {
      if (turn === this.#turn) this.leave(error.message);
    }
  }

  async #speak(turn) {
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
    const peer = this.#connection();
    for (const track of stream.getAudioTracks()) {
      track.enabled = !this.muted;
      track.addEventListener("ended", () => this.leave("the microphone is gone"));
      const { sender } = peer.addTransceiver(track, { direction: "sendonly", streams: [stream] });
      if (this.#worker) this.#through(sender, { side: "out" });
    }
    await this.#open("whip", peer, Boolean(this.#worker), turn);
  }

  async #listen(turn) {
    const { sealed } = this;
    const peer = this.#connection();
    for (let track = 0; track < (sealed ? SEALED_TRACKS : TRACKS); track += 1) {
      const { receiver } = peer.addTransceiver("audio", { direction: "recvonly" });
      if (sealed) this.#through(receiver, { side: "in", track });
      const sound = new Audio();
      sound.autoplay = true;
      sound.srcObject = new MediaStream([receiver.track]);
      this.#sounds.push({ sound, receiver, node: null, level: SILENCE_DB, at: null });
    }
    const place = await this.#open("whep", peer, sealed, turn);
    if (!place) return;
    this.#hears = { place, peer };
    this.#hearNews(place, turn);
  }

  async #open(place, peer, sealed, turn) {
    this.#peers.push(peer);
    await peer.setLocalDescription();
    const headers = { ...this.#headers, "Content-Type": "application/sdp" };
    const who = new URLSearchParams({ ...this.#who, ...(sealed ? { sealed: 1 } : {}) });
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
      return null;
    }
    this.#places.push(made);
    this.node = response.headers.get("alm-node");
    await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
    return made;
  }

  /** For pictures and for tests: how many of its packets arrived, and how loud. */
  async stats() {
    const found = { sent: 0, received: 0, heard: 0, level: 0, delay: 0, sealed: await this.#counts() };
    for (const report of await this.#reports("outbound-rtp")) found.sent += report.packetsSent;
    for (const report of await this.#reports("inbound-rtp")) {
      if (report.packetsReceived === 0) continue;
      found.received += report.packetsReceived;
      found.heard += 1;
      found.level = Math.max(found.level, report.audioLevel ?? 0);
      found.delay = report.jitterBufferDelay / Math.max(1, report.jitterBufferEmittedCount);
    }
    return found;
  }

  async #reports(type) {
    const all = await Promise.all(this.#peers.map((peer) => peer.getStats()));
    return all.flatMap((reports) => [...reports.values()]).filter((report) => report.type === type);
  }

  /** What went through the worker. */
  #counts() {
    if (!this.#worker) return null;
    return new Promise((resolve) => {
      const take = ({ data }) => {
        if (!data.counts) return;
        this.#worker?.removeEventListener("message", take);
        resolve(data.counts);
      };
      this.#worker.addEventListener("message", take);
      this.#worker.postMessage({ counts: true });
    });
  }

  /** Where the node opens the voices, it says in each packet whose it is. */
  #noteSources() {
    if (this.sealed) return;
    for (const sound of this.#sounds) {
      const [newest] = sound.receiver.getContributingSources();
      if (newest) sound.node = this.#voices[newest.source]?.node ?? null;
    }
    this.#applyVolumes();
  }

  /** What arrived on each track since the last look is the voice's that is on it. */
  async #count() {
    const turn = this.#turn;
    const reports = await this.#reports("inbound-rtp");
    if (turn !== this.#turn) return;
    const media = { ...this.media };
    this.#sounds.forEach(({ receiver, node }, at) => {
      const report = reports.find(({ trackIdentifier }) => trackIdentifier === receiver.track.id);
      if (!report) return;
      const now = { packets: report.packetsReceived, lost: Math.max(0, report.packetsLost) };
      const before = this.#counted[at] ?? { packets: 0, lost: 0 };
      this.#counted[at] = now;
      if (!node) return;
      const so = media[node] ?? { packets: 0, lost: 0, recovered: 0 };
      media[node] = { ...so, packets: so.packets + Math.max(0, now.packets - before.packets), lost: so.lost + Math.max(0, now.lost - before.lost) };
    });
    this.media = media;
  }

  async #look() {
    this.#noteSources();
    this.#looks += 1;
    if (this.#looks % LOOKS_A_COUNT === 0) await this.#count();
    const states = this.#peers.map((peer) => peer.connectionState);
    if (states.some((state) => ["failed", "closed"].includes(state))) return this.leave("the connection to alm is lost");
    const inDoubt = states.some((state) => state === "disconnected");
    this.#doubtSince = inDoubt ? (this.#doubtSince ?? Date.now()) : null;
    if (inDoubt && Date.now() - this.#doubtSince > DOUBT_MS) return this.leave("the connection to alm is lost");
    const turn = this.#turn;
    const [input] = (await this.#reports("media-source")).map((report) => report.audioLevel);
    if (turn !== this.#turn) return;
    this.level = this.muted ? 0 : (input ?? 0);
    this.#worker?.postMessage({ input: this.level });
    this.#changed();
  }
}
