// Which column each task stands in. Pure.

/**
 * A graph by positions: `next[i]` are the positions that need `i`, `before[i]` those `i` needs.
 * Unknown ids are left out, and so are edges that would close a circle: a hub refuses such graphs,
 * but a drawing must not hang because of one.
 */
export function adjacency(tasks) {
  const place = new Map(tasks.map((task, index) => [task.id, index]));
  const before = tasks.map((task) => [
    ...new Set(task.needs.map((id) => place.get(id)).filter((from) => from !== undefined)),
  ]);
  const order = topological(before);
  const position = new Map(order.map((node, index) => [node, index]));
  const next = tasks.map(() => []);
  before.forEach((needs, node) => {
    before[node] = needs.filter((from) => position.get(from) < position.get(node));
    for (const from of before[node]) next[from].push(node);
  });
  return { before, next, order };
}

/** Kahn's order; what hangs in a circle comes last, in the given order. */
function topological(before) {
  const next = before.map(() => []);
  const missing = before.map((needs) => needs.length);
  before.forEach((needs, node) => needs.forEach((from) => next[from].push(node)));
  const order = [];
  const seen = new Set();
  const open = before.map((_, node) => node).filter((node) => missing[node] === 0);
  for (let head = 0; head < open.length; head += 1) {
    const node = open[head];
    order.push(node);
    seen.add(node);
    for (const to of next[node]) {
      missing[to] -= 1;
      if (missing[to] === 0) open.push(to);
    }
  }
  for (let node = 0; node < before.length; node += 1) if (!seen.has(node)) order.push(node);
  return order;
}

/**
 * Longest path from the left, then every task that needs nothing moves right, next to the first
 * that needs it: short edges, and a column says "this early at best".
 */
export function layers({ before, next, order }) {
  const layer = new Array(before.length).fill(0);
  for (const node of order) {
    for (const from of before[node]) layer[node] = Math.max(layer[node], layer[from] + 1);
  }
  for (const node of [...order].reverse()) {
    if (before[node].length > 0 || next[node].length === 0) continue;
    layer[node] = Math.min(...next[node].map((to) => layer[to])) - 1;
  }
  return layer;
}

/** Sets of nodes that hang together, largest first; single ones are the caller's to place. */
export function components({ before, next }) {
  const seen = new Set();
  const found = [];
  for (let start = 0; start < before.length; start += 1) {
    if (seen.has(start)) continue;
    const nodes = [];
    const open = [start];
    seen.add(start);
    while (open.length) {
      const node = open.pop();
      nodes.push(node);
      for (const other of [...before[node], ...next[node]]) {
        if (seen.has(other)) continue;
        seen.add(other);
        open.push(other);
      }
    }
    found.push(nodes.sort((a, b) => a - b));
  }
  return found.sort((a, b) => b.length - a.length || a[0] - b[0]);
}
