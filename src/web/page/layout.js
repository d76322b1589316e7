// From network coordinates (three dimensions and a height, milliseconds of round trip) to places on a plane.

/**
 * Places in pixels around the middle of a plane of the given size: near what the coordinates say, with room between any two.
 * `before` are the places shown so far, which new ones are turned towards; `edges` give those a place that tell of none.
 * Also how many pixels stand for a millisecond one way, or null where the map is not to scale.
 */
export function layout(nodes, coordinates, edges, before, width, height) {
  const known = nodes.filter((node) => coordinates[node]);
  const flat = flatten(known.map((node) => coordinates[node].slice(0, 3)));
  const reach = Math.max(...flat.flat().map(Math.abs), 0);
  const places = new Map();
  // Less than a millisecond apart is one spot.
  if (reach >= 1) known.forEach((node, i) => places.set(node, flat[i]));
  const scale = reach >= 1 ? fit(flat, width, height) : 0;
  for (const [node, [x, y]] of places) places.set(node, [x * scale, y * scale]);
  turn(places, before);
  const gap = Math.min(110, 0.75 * Math.sqrt((width * height) / Math.max(nodes.length, 1)));
  nodes.forEach((node, i) => {
    if (places.has(node)) return;
    const near = edges.flatMap(([a, b]) => (a === node ? [b] : b === node ? [a] : [])).filter((other) => places.has(other));
    const middle = [0, 1].map((axis) => near.reduce((sum, other) => sum + places.get(other)[axis], 0) / Math.max(near.length, 1));
    // On a circle in the order of their ids: always the same one.
    const angle = (2 * Math.PI * i) / nodes.length - Math.PI / 2;
    const radius = scale === 0 ? Math.min(width, height) * 0.36 : gap / 2;
    places.set(node, [middle[0] + radius * Math.cos(angle), middle[1] + radius * Math.sin(angle)]);
  });
  spread(nodes, places, gap, width, height);
  return { places, scale: scale > 0 ? scale * 2 : null };
}

/** The two directions in which points in space differ most: principal components, by repeated multiplication. */
function flatten(points) {
  const mean = [0, 1, 2].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / Math.max(points.length, 1));
  const centred = points.map((point) => point.map((x, axis) => x - mean[axis]));
  const spreadOf = [0, 1, 2].map((a) => [0, 1, 2].map((b) => centred.reduce((sum, point) => sum + point[a] * point[b], 0)));
  const first = direction(spreadOf, [1, 0.3, 0.1], null);
  const second = direction(spreadOf, [0.1, 1, 0.3], first);
  return centred.map((point) => [dot(point, first), dot(point, second)]);
}

function direction(matrix, start, without) {
  let vector = start;
  for (let round = 0; round < 60; round += 1) {
    let next = matrix.map((row) => dot(row, vector));
    if (without) next = next.map((x, axis) => x - dot(next, without) * without[axis]);
    const length = Math.hypot(...next);
    if (length < 1e-9) break;
    vector = next.map((x) => x / length);
  }
  if (without) vector = vector.map((x, axis) => x - dot(vector, without) * without[axis]);
  const length = Math.hypot(...vector) || 1;
  return vector.map((x) => x / length);
}

function dot(a, b) {
  return a.reduce((sum, x, axis) => sum + x * b[axis], 0);
}

/** Pixels for a millisecond of round trip, so that all fit with a margin. */
function fit(points, width, height) {
  const across = Math.max(...points.map(([x]) => Math.abs(x)), 1);
  const down = Math.max(...points.map(([, y]) => Math.abs(y)), 1);
  return Math.min((width * 0.42) / across, (height * 0.38) / down);
}

/** Turns, and mirrors if need be, so that nobody moves further than they have to: distances are all that counts. */
function turn(places, before) {
  const both = [...places.keys()].filter((node) => before.has(node));
  if (both.length < 2) return;
  const best = [1, -1].map((mirror) => {
    let [cos, sin] = [0, 0];
    for (const node of both) {
      const [[x, y], [u, v]] = [places.get(node), before.get(node)];
      cos += x * u + mirror * y * v;
      sin += x * v - mirror * y * u;
    }
    return { mirror, cos, sin, gain: Math.hypot(cos, sin) };
  }).sort((a, b) => b.gain - a.gain)[0];
  if (best.gain < 1e-9) return;
  const [cos, sin] = [best.cos / best.gain, best.sin / best.gain];
  for (const [node, [x, mirrored]] of places) {
    const y = mirrored * best.mirror;
    places.set(node, [x * cos - y * sin, x * sin + y * cos]);
  }
}

/** Pushes apart what is too close, within the plane. */
function spread(nodes, places, gap, width, height) {
  const [right, low] = [width / 2 - 46, height / 2 - 34];
  for (let round = 0; round < 80; round += 1) {
    let moved = false;
    for (let i = 0; i < nodes.length; i += 1) {
      for (let j = 0; j < i; j += 1) {
        const [a, b] = [places.get(nodes[i]), places.get(nodes[j])];
        let [dx, dy] = [a[0] - b[0], a[1] - b[1]];
        if (dx === 0 && dy === 0) [dx, dy] = [Math.cos(i * 2.4), Math.sin(i * 2.4)];
        const distance = Math.hypot(dx, dy);
        if (distance >= gap) continue;
        const push = ((gap - distance) / distance) * 0.3;
        places.set(nodes[i], [a[0] + dx * push, a[1] + dy * push]);
        places.set(nodes[j], [b[0] - dx * push, b[1] - dy * push]);
        moved = true;
      }
    }
    for (const node of nodes) {
      const [x, y] = places.get(node);
      places.set(node, [Math.max(-right, Math.min(right, x)), Math.max(-low, Math.min(low, y))]);
    }
    if (!moved) break;
  }
}
