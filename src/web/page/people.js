// Who is here, and which way a voice takes, as lists that read well aloud.

/** The list of people; rows are kept, so that what has the focus keeps it. */
export function drawPeople(list, view) {
  const { state, name, quality } = view;
  const nodes = Object.keys(state.members).sort((a, b) =>
    (a === state.node ? 0 : 1) - (b === state.node ? 0 : 1) || name(a).localeCompare(name(b)) || (a < b ? -1 : 1));
  const rows = new Map([...list.children].map((row) => [row.dataset.node, row]));
  for (const [node, row] of rows) if (!(node in state.members)) row.remove();
  nodes.forEach((node, at) => {
    const row = rows.get(node) ?? newRow(node, view);
    if (list.children[at] !== row) list.insertBefore(row, list.children[at] ?? null);
    const own = node === state.node;
    const media = state.media[node];
    const speaks = view.speaks(node);
    const how = quality(node);
    const words = own
      ? [view.ownMuted() ? "you, microphone off" : "you"]
      : node === view.browser
        ? [speaks ? "you, by this browser, speaks" : "you, by this browser"]
      : view.hears(node) ? [speaks ? "speaks" : "silent", ...(how ? [WORDS[how]] : []), ...(DOUBTS[view.standing(node)] ? [DOUBTS[view.standing(node)]] : [])]
        : ["not heard yet"];
    const loud = row.querySelector(".loud");
    loud.hidden = (own && !view.browser) || node === view.browser || !view.hears(node) || view.volumeMax() === 0;
    loud.max = view.volumeMax();
    if (document.activeElement !== loud) loud.value = view.volume(node);
    loud.setAttribute("aria-label", `How loud ${name(node)} is here, percent`);
    loud.title = `${view.volume(node)} %`;
    if (!loud.hidden && view.volume(node) === 0) words.push("muted here");
    if (node === state.plan?.root && state.session) words.push("manages the session");
    if (state.recorders.includes(node)) words.push(own ? "you record this" : "records this");
    row.className = [speaks ? "speaks" : "", own && view.ownMuted() ? "muted" : "", how ?? ""].join(" ").trim();
    set(row.querySelector(".name"), name(node));
    set(row.querySelector(".how"), words.join(", "));
    set(row.querySelector(".far"), own || media?.path_ms == null ? "" : `${media.path_ms.toFixed(0)} ms`);
    row.querySelector(".person").setAttribute("aria-pressed", String(view.chosen === node));
    row.querySelector(".kick").hidden = own || state.session?.role !== "host";
    row.querySelector(".kick").setAttribute("aria-label", `Put ${name(node)} out`);
  });
}

const WORDS = { good: "arrives well", fair: "loses some", poor: "loses a lot" };

const DOUBTS = { unconfirmed: "not confirmed to be who this is", silenced: "not played: somebody else may be speaking" };

function newRow(node, view) {
  const row = document.createElement("li");
  row.dataset.node = node;
  const person = element("button", "person");
  person.type = "button";
  person.title = "Show the way of this voice";
  const text = element("span", "text");
  text.append(element("bdi", "name"), element("span", "how"));
  person.append(element("span", "mark"), text, element("span", "far"));
  person.addEventListener("click", () => view.choose(node));
  const loud = element("input", "loud");
  [loud.type, loud.min, loud.step] = ["range", "0", "5"];
  loud.addEventListener("change", () => view.setVolume(node, Number(loud.value)));
  const kick = element("button", "kick");
  kick.type = "button";
  kick.textContent = "Put out";
  kick.addEventListener("click", () => view.kick(node));
  row.append(person, loud, kick);
  return row;
}

/** The tree of the voice that is looked at, as nested lists. */
export function drawWay(place, view) {
  const { state, name } = view;
  const source = shownSource(view);
  const tree = source && state.plan?.trees.find((tree) => tree.sources.includes(source));
  const text = JSON.stringify([source, tree, state.members, Object.values(state.links).map((link) => link.rtt_ms?.toFixed(0))]);
  if (place.dataset.shown === text) return;
  place.dataset.shown = text;
  place.replaceChildren();
  if (!tree) return;
  const children = new Map();
  const parents = new Map(tree.edges.map(([parent, child]) => [child, parent]));
  for (const [parent, child] of tree.edges) children.set(parent, [...(children.get(parent) ?? []), child]);
  const top = tree.edges.map(([parent]) => parent).find((node) => !parents.has(node)) ?? source;
  const branch = (node, depth) => {
    const line = document.createElement("li");
    const who = element("bdi", "");
    who.textContent = name(node);
    line.append(who);
    const notes = [];
    if (node === state.node) notes.push("you");
    if (state.plan.helpers.includes(node)) notes.push("helper");
    const rtt = state.links[node]?.rtt_ms;
    if (rtt != null) notes.push(`${(rtt / 2).toFixed(1)} ms from you`);
    if (notes.length > 0) line.append(` (${notes.join(", ")})`);
    const below = children.get(node) ?? [];
    // A plan is a tree; one that is not has no endless page.
    if (below.length > 0 && depth < 64) {
      const list = document.createElement("ul");
      below.forEach((child) => list.append(branch(child, depth + 1)));
      line.append(list);
    }
    return line;
  };
  const words = element("p", "");
  const whose = element("bdi", "");
  whose.textContent = source === state.node ? "Your own voice" : name(source);
  words.append(whose, tree.sources.length > 1 ? ", along the tree that all share:" : " reaches the others so:");
  const list = element("ul", "tree");
  list.append(branch(top, 0));
  place.append(words, list);
  // The node's own: a guest's is another.
  const parent = parents.get(state.node);
  if (tree.backup && parent && !view.isGuest()) {
    const backup = element("p", "quiet");
    const [next, now] = [tree.backup, parent].map((node) => {
      const who = element("bdi", "");
      who.textContent = name(node);
      return who;
    });
    backup.append(next, " would take over from ", now, ", should it fall silent.");
    place.append(backup);
  }
}

/** Whose voice is shown: the chosen one's, else one that is heard, else the own. */
export function shownSource({ state, chosen, speaks }) {
  const planned = (node) => state.plan?.trees.some((tree) => tree.sources.includes(node));
  return [chosen, ...state.heard.filter(speaks), ...state.heard, state.node].find((node) => node && planned(node)) ?? null;
}

function element(kind, className) {
  const made = document.createElement(kind);
  if (className) made.className = className;
  return made;
}

/** Text that is the same is left alone: a screen reader would say it again. */
function set(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
