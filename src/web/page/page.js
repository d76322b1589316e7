// The page: keeps the state that the node tells, and asks for what people press. Text from others becomes text nodes, never
// markup.

import { drawPeople, drawWay } from "./people.js";
import { Map2D } from "./map.js";
import { Call, canSeal } from "./call.js";
import { readEvents } from "./events.js";

const $ = (id) => document.getElementById(id);
const state = { guests: {}, fingerprint: null, volumes: {}, locked: false, quiet: false, node: "", members: {}, recorders: [], media: {}, heard: [], levels_db: {}, input_db: null, phrase: null, links: {}, places: {}, news: [], session: null, plan: null, pool: null, muted: false };
const map = new Map2D($("map"), choose);
/** Whose voice is looked at; null for whoever speaks. */
let chosen = null;
/** By source: what was heard in the last seconds, oldest first; by alm on this machine, and by this browser. */
const heardByAlm = {};
const heardHere = {};
const HISTORY = 6;

const token = takeToken();

/** From the link, once: it is then kept by this tab and stands in no address that is shown on a shared screen. */
function takeToken() {
  const given = location.hash.slice(1);
  if (/^[a-z0-9]{26}$/.test(given)) {
    sessionStorage.setItem("token", given);
    window.history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("token") ?? "";
}

const headers = { Authorization: `Bearer ${token}` };

const call = new Call(headers, () => {
  if (call.state === "in") remember(heardHere, call.media);
  draw();
});
// For who looks from the browser's console.
window.alm = {
  stats: () => call.stats(),
  standings: () => Object.fromEntries(Object.entries(call.standings).map(([node, { standing }]) => [node, standing])),
};

/** Asks the node for something; says what it answers when that is no. */
async function ask(request) {
  try {
    const response = await fetch("api/v1/do", { method: "POST", headers, body: JSON.stringify(request) });
    const answer = await response.json();
    if (!response.ok) {
      say(answer.error);
      return null;
    }
    say("");
    return answer;
  } catch {
    say("alm does not answer");
    return null;
  }
}

/** The microphone of alm on this machine. What is asked of it arrives in the order in which it was asked. */
const ownMicrophone = {
  asked: Promise.resolve(),
  get muted() { return state.muted; },
  setMuted(muted) {
    this.asked = this.asked.then(async () => {
      const answer = await ask({ do: muted ? "mute" : "unmute" });
      if (answer?.done) state.muted = answer.done.muted;
      drawBar();
    });
  },
};

/** The one at the foot of the page: a guest has the browser's alone. */
function barMicrophone() {
  return isGuest() ? call : ownMicrophone;
}

/** The one that keys switch: the browser's while that is in. */
function keysMicrophone() {
  if (call.state === "in") return call.deaf ? null : call;
  return isGuest() ? null : ownMicrophone;
}

function say(sentence) {
  $("trouble").hidden = !sentence;
  $("trouble").textContent = sentence;
}

/** Reads news until there are none, and comes back while the node lives. */
async function listen() {
  let misses = 0;
  for (;;) {
    try {
      const response = await fetch("api/v1/events", { headers });
      if (!response.ok) {
        say((await response.json()).error);
        if ([401, 403].includes(response.status)) return gone(response.status === 403);
      } else {
        if (misses > 0) say("");
        misses = 0;
        document.body.classList.remove("gone");
        await readEvents(response.body.getReader(), take);
      }
    } catch {
      // The next try tells.
    }
    misses += 1;
    if (state.session === null && state.left) return gone();
    if (misses > 3) {
      say("alm has ended, or this page has lost it: start it again and open its new link");
      gone();
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(500 * misses, 5000)));
  }
}

function gone(revoked = false) {
  call.leave(revoked ? "your link was taken back" : "alm has ended");
  $("bar").hidden = true;
  $("about").textContent = state.left ? "over" : "not connected";
  document.body.classList.add("gone");
}

function take(news) {
  if (state.session && news.session === null) state.left = true;
  Object.assign(state, news);
  // A guest is not this node: to them, the browser is who they are.
  if (isGuest()) state.node = call.node ?? "";
  if (news.media) remember(heardByAlm, news.media);
  if (news.members) call.noteMembers(news.members);
  if (news.session === null) call.leave("the conference is over");
  draw();
}

function isGuest() {
  return state.session?.role === "guest";
}

function remember(history, media) {
  for (const source of Object.keys(history)) if (!(source in media)) delete history[source];
  for (const [source, now] of Object.entries(media)) {
    const seen = (history[source] ??= []);
    const last = seen.at(-1);
    if (last && last.packets === now.packets && last.lost === now.lost) continue;
    if (last && last.packets > now.packets) seen.length = 0;
    seen.push(now);
    if (seen.length > HISTORY) seen.shift();
  }
}

/** How a voice arrives of late: "good", "fair", "poor", or null where nothing says. */
function quality(source) {
  const seen = (call.state === "in" ? heardHere : heardByAlm)[source];
  if (!seen || seen.length < 2) return null;
  const [first, last] = [seen[0], seen.at(-1)];
  const missing = last.lost - last.recovered - (first.lost - first.recovered);
  const all = last.packets + last.lost - first.packets - first.lost;
  if (all <= 0) return null;
  const share = Math.max(0, missing) / all;
  return share < 0.01 ? "good" : share < 0.05 ? "fair" : "poor";
}

/** What a node calls itself, without characters that turn or break a line; a helper goes by the start of its id. */
function name(node) {
  const given = (state.members[node] ?? "").replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "").trim();
  return given || node.slice(0, 8);
}

function choose(node) {
  chosen = chosen === node || !(node in state.members) ? null : node;
  draw();
}

/** Whether a voice is loud enough to be a voice; the own as its microphone hears it. */
function speaks(node) {
  if (node === call.node && call.state === "in") return !call.muted && call.level > 0.002;
  const own = call.levels()[node];
  if (own !== undefined) return own > SPEAKS_DB;
  if (node !== state.node) return (state.levels_db[node] ?? SILENCE_DB) > SPEAKS_DB;
  return Boolean(state.session) && !state.muted && (state.input_db ?? SILENCE_DB) > SPEAKS_DB;
}
const SILENCE_DB = -127;
const SPEAKS_DB = -55;

/** Whether anything is heard of somebody, here or by this browser. */
function hears(node) {
  return node in state.media || node in call.levels() || state.heard.includes(node);
}

/** How loud somebody is played: by this browser while it is in, else by alm on this machine. */
function volume(node) {
  return call.state === "in" ? Math.round(call.volume(node) * 100) : (state.volumes[node] ?? 100);
}

async function setVolume(node, percent) {
  if (call.state === "in") call.setVolume(node, percent / 100);
  else if (await ask({ do: "volume", who: node, percent })) state.volumes[node] = percent;
  draw();
}

/** More than a browser's own player gives, where alm plays. */
function volumeMax() {
  return call.state === "in" ? 100 : isGuest() ? 0 : 200;
}

/** Whether somebody's voice is known to be its own, by who opens it for this page. */
function standing(node) {
  return call.state === "in" ? call.standings[node]?.standing : state.media[node]?.standing;
}

/** Nothing goes out of the microphone of who looks at this page. */
function ownMuted() {
  return isGuest() ? call.state === "in" && call.muted : state.muted;
}

const view = { state, name, volume, setVolume, volumeMax, quality, speaks, hears, standing, ownMuted, isGuest, get chosen() { return chosen; }, get browser() { return call.node; }, choose, kick };

let waiting = false;
function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (chosen && !(chosen in state.members)) chosen = null;
    drawHead();
    drawPeople($("people"), view);
    drawWay($("way"), view);
    drawPhrase();
    drawCall();
    drawGuests();
    drawPlan();
    drawNews();
    noteDoubts();
    drawBar();
    map.draw(view);
  });
}

function drawHead() {
  const { session, pool, members } = state;
  const title = session ? session.name : state.left ? "The conference is over" : pool ? "This machine is lent" : "Entering…";
  $("title").textContent = title;
  document.title = `${title} · alm`;
  const about = [];
  const count = Object.keys(members).length;
  if (state.locked) about.push("nobody new is let in");
  if (state.quiet) about.push("only the host is heard");
  if (session) about.push(count === 1 ? "nobody else yet" : `${count} here`);
  if (pool) about.push(pool.size === 1 ? "no other node in the pool" : `${pool.size} nodes in the pool`);
  $("about").textContent = about.join(" · ");
  $("invite-part").hidden = !session?.id;
  $("news-part").hidden = isGuest() && call.state !== "in" && call.lines.length === 0;
  $("host-part").hidden = session?.role !== "host";
  $("lock").checked = state.locked;
  $("hush").checked = state.quiet;
  $("people-part").hidden = !session;
  document.body.classList.toggle("guest", isGuest());
  $("say").hidden = !session || (isGuest() && call.state !== "in");
  if (session?.id && $("id").textContent !== session.id) $("id").textContent = session.id;
}

/** The same words at everybody's, unless somebody sits in between. */
function drawPhrase() {
  $("phrase-part").hidden = !state.session || !state.phrase;
  if ($("phrase").textContent !== (state.phrase ?? "")) $("phrase").textContent = state.phrase ?? "";
}

function drawPlan() {
  const { plan, links } = state;
  const carried = Object.keys(links).length;
  if (!plan) {
    $("plan").textContent = state.session ? "There is no plan yet: it comes when somebody joins." : carried ? `Carries voices over ${carried} links.` : "";
    return;
  }
  const helpers = plan.helpers.length;
  $("plan").textContent =
    `Plan ${plan.epoch} (${plan.reason}): worst pair ${plan.estimated ? "not measured yet" : `${plan.worst_ms.toFixed(1)} ms one way`}, ` +
    `${helpers === 0 ? "no helper" : helpers === 1 ? "1 helper" : `${helpers} helpers`}.`;
}

function drawCall() {
  const { state: how, muted, deaf, trouble, level } = call;
  $("call-part").hidden = !state.session && how === "out";
  $("call-out").hidden = how !== "out";
  $("call-in").hidden = how === "out";
  // What a guest presses is at the foot of the page.
  $("call-buttons").hidden = isGuest();
  for (const part of ["call-mic", "call-talk", "call-level"]) $(part).hidden = deaf;
  $("call-talk").disabled = !muted && talking !== call;
  $("call-talk").classList.toggle("held", talking === call);
  $("call-mic").setAttribute("aria-pressed", String(!muted));
  put($("call-mic"), muted ? "Microphone is off" : "Microphone is on");
  $("call-level").value = Math.sqrt(level);
  drawSeal(how);
  const twice = how === "in" && !state.muted && (state.input_db ?? SILENCE_DB) > SILENCE_DB;
  const words = [];
  if (how === "out") words.push(trouble ? `${trouble}.` : "");
  else if (how === "entering") words.push("One moment…");
  else words.push(deaf ? "You listen; this browser has no microphone, or must not use it." : muted ? "You listen, and nobody hears you." : "You are in with this browser.");
  if (twice && !isGuest()) words.push("alm's own microphone is on as well: switch it off below, unless two people speak here.");
  put($("call-words"), words.join(" "));
}

/** The links that guests come by; rows are kept, so that what has the focus keeps it. */
let hasDoor = false;
function drawGuests() {
  const names = Object.keys(state.guests).sort();
  hasDoor ||= names.length > 0;
  $("guests-part").hidden = !hasDoor || isGuest() || !state.session;
  $("print-part").hidden = !state.fingerprint;
  put($("print"), state.fingerprint ?? "");
  for (const row of [...$("guests").children]) if (!(row.dataset.name in state.guests)) row.remove();
  for (const name of names) {
    let row = [...$("guests").children].find((row) => row.dataset.name === name);
    if (!row) {
      row = document.createElement("li");
      row.dataset.name = name;
      const [word, link, copy, back] = ["bdi", "code", "button", "button"].map((kind) => document.createElement(kind));
      word.textContent = name;
      link.tabIndex = 0;
      link.setAttribute("aria-label", `The link for ${name}`);
      [copy.textContent, back.textContent, back.className] = ["Copy", "Take back", "grave"];
      copy.addEventListener("click", () => copyText(state.guests[name], link, copy));
      back.addEventListener("click", () => ask({ do: "revoke", name }));
      row.append(word, link, copy, back);
      $("guests").append(row);
    }
    put(row.querySelector("code"), state.guests[name]);
  }
}

$("guest-make").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("guest-name").value.trim();
  if (name && (await ask({ do: "guest", name }))) $("guest-name").value = "";
});

/** Who can hear the sound on its way, in a sentence. */
function drawSeal(how) {
  const where = isGuest() ? "alm on the machine of whoever gave you the link" : "alm on this machine";
  const sealed = `This browser seals and opens the sound with the conference's keys, and alm passes it on without opening it. ${where} has brought those keys, so whoever runs it could.`;
  const open = `The sound is encrypted between this browser and alm, and on its way to the others so that only members hear it. ${where}, which does both, hears it too.`;
  const crowded = `There are more voices than this browser can keep apart: ${where} opens them, chooses who is heard, and hears them too. Your own voice is still sealed here.`;
  put($("call-seal"), how === "in" && call.crowded ? crowded : how === "in" && !call.sealed || !canSeal() ? open : sealed);
}

function put(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

let told = [];
function drawNews() {
  const lines = isGuest() ? call.lines : state.news;
  if (told === lines) return;
  // Only what is new is added, so that a screen reader says it once. Of the old, the oldest may be gone.
  let gone = 0;
  while (!told.slice(gone).every((line, at) => line === lines[at])) gone += 1;
  lines.slice(told.length - gone).slice(-NEWS_MAX).forEach(tellLine);
  told = lines;
}
const NEWS_MAX = 60;

function tellLine(sentence) {
  const line = document.createElement("li");
  const words = document.createElement("bdi");
  words.textContent = sentence;
  line.append(words);
  $("news").prepend(line);
  while ($("news").children.length > NEWS_MAX) $("news").lastElementChild.remove();
}

/** Says whose voice is not known to be its own, as alm does of those that it opens itself. */
const doubts = new Map();
function noteDoubts() {
  for (const [node, { standing: now, bad }] of Object.entries(call.standings)) {
    const before = doubts.get(node) ?? { standing: "new", bad: 0 };
    if (bad > before.bad) tellLine(`trouble: somebody in this session signs in ${name(node)}'s name, and not by ${name(node)}'s key`);
    const words = now === before.standing ? null : DOUBTS[now]?.(name(node));
    if (words) tellLine(`trouble: ${words}`);
    if (now === "confirmed" && before.standing in DOUBTS) tellLine(`${name(node)} is confirmed again`);
    doubts.set(node, { standing: now, bad });
  }
}
const DOUBTS = {
  silenced: (who) => `the voice of ${who} is not played: somebody else may be speaking, until ${who} signs for it`,
  unconfirmed: (who) => `${who} is not confirmed: nothing of the voice has been signed for 3 s`,
};

function drawBar() {
  const { muted } = barMicrophone();
  $("bar").hidden = !state.session || (isGuest() && call.state !== "in");
  for (const part of ["mic", "talk", "keys-label"]) $(part).hidden = isGuest() && call.deaf;
  $("mic").setAttribute("aria-pressed", String(!muted));
  $("mic").className = muted ? "off" : "on";
  $("mic-word").textContent = muted ? "Microphone is off" : "Microphone is on";
  $("talk").disabled = !muted && talking !== barMicrophone();
  $("talk").classList.toggle("held", talking === barMicrophone());
}

// What people press.

/** The microphone that is open for as long as somebody holds a key or a button. */
let talking = null;
function hold(microphone) {
  if (talking || !microphone?.muted) return;
  talking = microphone;
  microphone.setMuted(false);
  draw();
}

function letGo() {
  const held = talking;
  talking = null;
  held?.setMuted(true);
  draw();
}

$("mic").addEventListener("click", () => barMicrophone().setMuted(!barMicrophone().muted));
for (const [button, microphone] of [["talk", barMicrophone], ["call-talk", () => call]]) {
  $(button).addEventListener("pointerdown", (event) => {
    $(button).setPointerCapture(event.pointerId);
    hold(microphone());
  });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) $(button).addEventListener(kind, letGo);
  $(button).addEventListener("contextmenu", (event) => event.preventDefault());
  $(button).addEventListener("keydown", (event) => [" ", "Enter"].includes(event.key) && !event.repeat && hold(microphone()));
  $(button).addEventListener("keyup", (event) => [" ", "Enter"].includes(event.key) && letGo());
}
// Who looks elsewhere lets go of the key without this page hearing of it.
window.addEventListener("blur", letGo);

$("keys").checked = localStorage.getItem("keys") !== "off";
$("keys").addEventListener("change", () => localStorage.setItem("keys", $("keys").checked ? "on" : "off"));
document.addEventListener("keydown", (event) => {
  const microphone = keysMicrophone();
  if (!$("keys").checked || !state.session || !microphone || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, dialog")) return;
  if (event.key === "m") microphone.setMuted(!microphone.muted);
  if (event.key === " " && !event.target.closest("button, input")) {
    event.preventDefault();
    hold(microphone);
  }
});
document.addEventListener("keyup", (event) => event.key === " " && letGo());

$("copy").addEventListener("click", () => copyText(state.session.id, $("id"), $("copy")));

async function copyText(text, place, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(place);
    button.textContent = "Selected: copy it";
  }
  setTimeout(() => (button.textContent = "Copy"), 2500);
}

/** What the host lays down; the boxes show what the node says of it. */
for (const rule of ["lock", "hush"]) {
  $(rule).addEventListener("change", async () => {
    const act = $(rule).checked ? rule : `un${rule}`;
    if (!(await ask({ do: "moderate", act, who: null }))) drawHead();
  });
}

$("leave").addEventListener("click", () => {
  const hosts = state.session?.role === "host";
  $("leaving-words").textContent = hosts ? "The others go on, and one of them becomes the host." : "The others go on without you.";
  $("end").hidden = !hosts;
  $("leaving").returnValue = "stay";
  $("leaving").showModal();
});
$("leaving").addEventListener("close", () => {
  const choice = $("leaving").returnValue;
  if (choice === "leave" && isGuest()) call.leave();
  else if (choice === "leave" || choice === "end") ask({ do: choice });
});

$("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("say-text").value.trim();
  if (!text) return;
  if (!isGuest()) {
    if (await ask({ do: "say", text })) $("say-text").value = "";
    return;
  }
  const trouble = await call.say(text);
  say(trouble);
  if (!trouble) $("say-text").value = "";
});

$("call-name").value = localStorage.getItem("name") ?? "";
$("call-out").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("call-name").value.trim();
  localStorage.setItem("name", name);
  call.join(name || "Browser");
});
$("call-mic").addEventListener("click", () => call.setMuted(!call.muted));
$("call-leave").addEventListener("click", () => call.leave());

let outcast = null;
function kick(node) {
  outcast = node;
  $("kicking-who").textContent = name(node);
  $("kicking").returnValue = "stay";
  $("kicking").showModal();
}
$("kicking").addEventListener("close", () => {
  const act = $("kicking").returnValue;
  if (act === "kick" || act === "ban") ask({ do: "moderate", act, who: outcast });
});

if (token) {
  listen();
} else {
  say("this page needs the whole link that alm printed, with what stands behind the #");
  gone();
}
