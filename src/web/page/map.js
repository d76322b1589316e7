// The map: nodes where their coordinates put them, the links of the plan between them, and the ways of the voices lit.

import { layout } from "./layout.js";
import { shownSource } from "./people.js";

const SVG = "http://www.w3.org/2000/svg";
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** See the head of this file. */
export class Map2D {
  constructor(svg, choose) {
    this.svg = svg;
    this.choose = choose;
    this.edges = make("g", {}, svg);
    this.nodes = make("g", {}, svg);
    this.scale = make("g", { class: "scale" }, svg);
    make("path", {}, this.scale);
    make("text", {}, this.scale);
    /** By node: the element, where it is shown, where it goes. */
    this.marks = new Map();
    /** By "a b": the element of the link between them. */
    this.lines = new Map();
    this.moving = false;
    new ResizeObserver(() => this.view && this.draw(this.view)).observe(svg);
  }

  draw(view) {
    this.view = view;
    const { state, name } = view;
    const { width, height } = this.svg.getBoundingClientRect();
    if (width === 0) return;
    this.svg.setAttribute("viewBox", `${-width / 2} ${-height / 2} ${width} ${height}`);
    const links = linksOf(view);
    const nodes = [...new Set([state.node, ...Object.keys(state.members), ...[...links.values()].flatMap(({ a, b }) => [a, b])])]
      .filter(Boolean).sort();
    const before = new Map([...this.marks].map(([node, mark]) => [node, mark.goal]));
    const { places, scale } = layout(nodes, state.places, [...links.values()].map(({ a, b }) => [a, b]), before, width, height);
    for (const [node, mark] of this.marks) {
      if (!places.has(node)) {
        mark.group.remove();
        this.marks.delete(node);
      }
    }
    for (const node of nodes) {
      const mark = this.marks.get(node) ?? this.newMark(node, places.get(node));
      mark.goal = places.get(node);
      const helper = state.plan?.helpers.includes(node) || !(node in state.members);
      const own = node === state.node;
      const speaks = view.speaks(node);
      mark.group.setAttribute("class", ["node", helper ? "helper" : "", own ? "own" : "", speaks ? "speaks" : "", view.chosen === node ? "chosen" : ""].join(" "));
      mark.word.textContent = own ? `${name(node)} (you)` : name(node);
      mark.letter.textContent = helper ? "" : [...name(node)][0]?.toUpperCase() ?? "";
    }
    for (const [key, line] of this.lines) {
      if (!links.has(key)) {
        line.group.remove();
        this.lines.delete(key);
      }
    }
    for (const [key, link] of links) {
      const line = this.lines.get(key) ?? this.newLine(key);
      line.ends = link.lit === "back" ? [link.b, link.a] : [link.a, link.b];
      line.path.setAttribute("class", ["edge", link.quality ?? "", link.lit ? "lit" : "", link.here ? "here" : "", link.aside ? "aside" : ""].join(" "));
      line.word.textContent = link.ms == null ? "" : `${link.ms < 10 ? link.ms.toFixed(1) : link.ms.toFixed(0)} ms`;
      line.title.textContent = `${name(link.a)} and ${name(link.b)}${link.ms == null ? "" : `, ${link.ms.toFixed(1)} ms one way`}`;
    }
    this.drawScale(scale, width, height);
    this.describe(view, nodes, links);
    this.move();
  }

  newMark(node, place) {
    const group = make("g", {}, this.nodes);
    make("circle", { r: 24, class: "halo" }, group);
    make("rect", { x: -15, y: -15, width: 30, height: 30, rx: 15, class: "body" }, group);
    const letter = make("text", { class: "letter", dy: "0.36em" }, group);
    const word = make("text", { class: "name", dy: 34 }, group);
    group.addEventListener("click", () => this.choose(node));
    const mark = { group, letter, word, at: [...place], goal: place };
    this.marks.set(node, mark);
    return mark;
  }

  newLine(key) {
    const group = make("g", { "data-ends": key }, this.edges);
    const path = make("line", {}, group);
    const word = make("text", { class: "delay" }, group);
    const title = make("title", {}, group);
    const line = { group, path, word, title, ends: [] };
    this.lines.set(key, line);
    return line;
  }

  /** Everything goes to its place, a part of the way each frame. */
  move() {
    // What is new has a place before the next frame.
    if (this.moving) return this.placeLines();
    this.moving = true;
    const step = () => {
      let far = 0;
      for (const { group, at, goal } of this.marks.values()) {
        for (const axis of [0, 1]) {
          const way = goal[axis] - at[axis];
          at[axis] = still.matches || Math.abs(way) < 0.3 ? goal[axis] : at[axis] + way * 0.16;
          far = Math.max(far, Math.abs(goal[axis] - at[axis]));
        }
        group.setAttribute("transform", `translate(${at[0].toFixed(1)} ${at[1].toFixed(1)})`);
      }
      this.placeLines();
      this.moving = far > 0;
      if (this.moving) requestAnimationFrame(step);
    };
    step();
  }

  placeLines() {
    for (const { path, word, ends } of this.lines.values()) {
      const [a, b] = ends.map((node) => this.marks.get(node)?.at);
      if (!a || !b) continue;
      for (const [attribute, value] of [["x1", a[0]], ["y1", a[1]], ["x2", b[0]], ["y2", b[1]]]) path.setAttribute(attribute, value.toFixed(1));
      word.setAttribute("x", ((a[0] + b[0]) / 2).toFixed(1));
      word.setAttribute("y", ((a[1] + b[1]) / 2 - 4).toFixed(1));
    }
  }

  /** A rule of a round number of milliseconds one way. */
  drawScale(scale, width, height) {
    const ms = scale && [1, 2, 5, 10, 20, 50, 100, 200].filter((ms) => ms * scale <= width * 0.3).at(-1);
    this.scale.style.display = ms ? "" : "none";
    if (!ms) return;
    const [left, low] = [-width / 2 + 14, height / 2 - 14];
    this.scale.firstChild.setAttribute("d", `M${left} ${low - 5}v5h${ms * scale}v-5`);
    this.scale.lastChild.textContent = `about ${ms} ms`;
    this.scale.lastChild.setAttribute("x", left + 4);
    this.scale.lastChild.setAttribute("y", low - 8);
  }

  /** The picture in a sentence, for who does not see it. */
  describe(view, nodes, links) {
    const { state, name } = view;
    const members = nodes.filter((node) => node in state.members).length;
    const others = nodes.length - members;
    const heard = state.heard.filter(view.speaks).map(name);
    const words = [`${members} ${members === 1 ? "person" : "people"}${others > 0 ? `, ${others} other ${others === 1 ? "machine" : "machines"}` : ""} and ${links.size} ${links.size === 1 ? "link" : "links"}.`];
    if (heard.length > 0) words.push(`Heard now: ${heard.join(", ")}.`);
    const text = words.join(" ");
    const place = document.getElementById("map-words");
    if (place.textContent !== text) place.textContent = text;
  }
}

/**
 * The plan's links, by "a b", a before b: whether a voice is on it now and which way (`lit`), on its way here (`here`), and
 * how well what comes over it arrives. A link loses at most what the best of the voices that came over it has lost.
 */
function linksOf(view) {
  const { state, quality, chosen } = view;
  const links = new Map();
  const link = (parent, child) => {
    const [a, b] = parent < child ? [parent, child] : [child, parent];
    const key = `${a} ${b}`;
    if (!links.has(key)) links.set(key, { a, b, quality: null, lit: null, here: false, aside: false, ms: null });
    return links.get(key);
  };
  const shown = shownSource(view);
  for (const tree of state.plan?.trees ?? []) {
    const parents = new Map(tree.edges.map(([parent, child]) => [child, parent]));
    const looked = tree.sources.includes(shown);
    // In a tree that all share, a voice runs from its source: towards the top first.
    const lit = tree.sources.filter((source) => (chosen ? source === chosen : view.speaks(source)));
    for (const [parent, child] of tree.edges) {
      const edge = link(parent, child);
      if (lit.length > 0) edge.lit ??= lit.some((source) => isBelow(parents, source, child)) === (child < parent) ? "forth" : "back";
      edge.aside = chosen ? (looked ? false : links.get(`${edge.a} ${edge.b}`).aside || !edge.looked) : false;
      if (looked) edge.looked = true;
      if (edge.looked) edge.aside = false;
    }
    for (const source of tree.sources) {
      const how = quality(source);
      for (const [parent, child] of path(parents, source, state.node)) {
        const edge = link(parent, child);
        if (lit.includes(source)) edge.here = true;
        if (how && (!edge.quality || RANK[how] > RANK[edge.quality])) edge.quality = how;
      }
    }
  }
  for (const [peer, { rtt_ms }] of Object.entries(state.links)) {
    const edge = link(peer, state.node);
    edge.ms = rtt_ms == null ? null : rtt_ms / 2;
  }
  return links;
}

const RANK = { poor: 0, fair: 1, good: 2 };

/** Whether a node hangs below another in a tree, or is it. */
function isBelow(parents, node, top) {
  for (let hops = 0; node && hops < 1000; hops += 1, node = parents.get(node)) if (node === top) return true;
  return false;
}

/** The links between two nodes of a tree, as parent and child. */
function path(parents, from, to) {
  const up = (node) => {
    const ways = [];
    for (let hops = 0; parents.has(node) && hops < 1000; hops += 1, node = parents.get(node)) ways.push([parents.get(node), node]);
    return ways;
  };
  const [a, b] = [up(from), up(to)];
  while (a.length > 0 && b.length > 0 && a.at(-1)[1] === b.at(-1)[1]) {
    a.pop();
    b.pop();
  }
  return [...a, ...b];
}

function make(kind, attributes, parent) {
  const made = document.createElementNS(SVG, kind);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  parent.append(made);
  return made;
}
