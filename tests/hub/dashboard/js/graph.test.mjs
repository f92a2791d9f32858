// The layout of tasks: layers, crossings, distances.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { adjacency, components, layers } from '../../../../crates/hub/src/dashboard/assets/js/graph/layers.js';
import { layout, neighbour, NODE } from '../../../../crates/hub/src/dashboard/assets/js/graph/layout.js';
import { crossings, order } from '../../../../crates/hub/src/dashboard/assets/js/graph/order.js';
import { fit, pan, reveal, zoom } from '../../../../crates/hub/src/dashboard/assets/js/graph/viewport.js';

const tasks = (needs) => Object.entries(needs).map(([id, before]) => ({ id: Number(id), needs: before }));

/** Numbers that look random and are the same every time. */
function numbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function large(count, seed = 7) {
  const next = numbers(seed);
  return Array.from({ length: count }, (_, id) => ({
    id,
    needs: id < 10 ? [] : [...new Set([0, 1].map(() => Math.max(0, Math.floor(id - 1 - next() * 40))))],
  }));
}

test('every task stands right of all that it needs', () => {
  for (const all of [tasks({ 1: [], 2: [1], 3: [1, 2], 4: [3], 5: [1] }), large(500)]) {
    const { nodes } = layout(all);
    assert.equal(nodes.size, all.length);
    for (const task of all) {
      for (const need of task.needs) assert.ok(nodes.get(need).x + NODE.width < nodes.get(task.id).x);
    }
  }
});

test('no two tasks overlap', () => {
  const { nodes, width, height } = layout(large(500));
  const all = [...nodes.values()];
  for (const [index, a] of all.entries()) {
    assert.ok(a.x >= 0 && a.y >= -0.01 && a.x + NODE.width <= width + 0.01 && a.y + NODE.height <= height + 0.01);
    for (const b of all.slice(index + 1)) {
      assert.ok(Math.abs(a.x - b.x) >= NODE.width || Math.abs(a.y - b.y) >= NODE.height - 0.01);
    }
  }
});

test('the same tasks stand in the same places', () => {
  assert.deepEqual(layout(large(60)), layout(large(60)));
});

test('a source moves next to the first that needs it', () => {
  const graph = adjacency(tasks({ 1: [], 2: [1], 3: [2], 4: [], 5: [3, 4] }));
  assert.deepEqual(layers(graph), [0, 1, 2, 2, 3]);
});

test('circles and unknown ids do not hang the drawing', () => {
  const { nodes } = layout(tasks({ 1: [2], 2: [1], 3: [3, 99] }));
  assert.equal(nodes.size, 3);
});

test('parts that do not hang together are found, largest first', () => {
  assert.deepEqual(components(adjacency(tasks({ 1: [], 2: [], 3: [2], 4: [1], 5: [1] }))), [[0, 3, 4], [1, 2]]);
});

test('an empty graph has no size', () => {
  assert.deepEqual(layout([]), { nodes: new Map(), edges: [], width: 0, height: 0, layers: 0 });
});

test('crossings are counted, and a crossed pair is untangled', () => {
  const next = [[3], [2], [], []];
  const before = [[], [], [1], [0]];
  const columns = [[0, 1], [2, 3]];
  assert.equal(crossings(columns, next), 1);
  assert.equal(crossings(order(columns, before, next), next), 0);
});

test('counting agrees with looking at every pair', () => {
  const random = numbers(3);
  for (let round = 0; round < 50; round += 1) {
    const next = Array.from({ length: 16 }, (_, i) => (i < 8 ? Array.from({ length: 8 }, (_, j) => 8 + j).filter(() => random() < 0.3) : []));
    const columns = [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 13, 14, 15]];
    const edges = next.flatMap((ends, from) => ends.map((to) => [from, to]));
    let expected = 0;
    for (const [a, b] of edges) for (const [c, d] of edges) if (a < c && b > d) expected += 1;
    assert.equal(crossings(columns, next), expected);
  }
});

test('arrow keys follow edges first', () => {
  const all = tasks({ 1: [], 2: [1], 3: [1], 4: [2] });
  const drawing = layout(all);
  const byId = new Map(all.map((task) => [task.id, task]));
  assert.equal(neighbour(drawing, byId, 2, 'left'), 1);
  assert.equal(neighbour(drawing, byId, 2, 'right'), 4);
  assert.equal(neighbour(drawing, byId, 1, 'left'), null);
  const [upper, lower] = [2, 3].sort((a, b) => drawing.nodes.get(a).y - drawing.nodes.get(b).y);
  assert.equal(neighbour(drawing, byId, upper, 'down'), lower);
  assert.equal(neighbour(drawing, byId, lower, 'up'), upper);
  assert.equal(neighbour(drawing, byId, 77, 'up'), null);
});

const box = { width: 400, height: 300 };

test('a drawing fits its box and is never larger than life', () => {
  const large = fit({ width: 4_000, height: 100 }, box);
  assert.ok(4_000 * large.scale <= 400);
  assert.equal(fit({ width: 10, height: 10 }, box).scale, 1);
});

test('what is under the pointer stays there while zooming', () => {
  const before = { x: 10, y: 20, scale: 0.5 };
  const after = zoom(before, 1.5, { x: 100, y: 80 }, 0.1);
  assert.ok(Math.abs((100 - before.x) / before.scale - (100 - after.x) / after.scale) < 1e-9);
  assert.equal(zoom(before, 100, { x: 0, y: 0 }, 0.1).scale, 2);
  assert.equal(zoom(before, 0.001, { x: 0, y: 0 }, 0.1).scale, 0.1);
});

test('a drawing cannot be pushed out of its box', () => {
  const view = pan({ x: 0, y: 0, scale: 1 }, 10_000, -10_000, { width: 800, height: 600 }, box);
  assert.ok(view.x < box.width && view.y + 600 > 0);
});

test('what is seen whole does not move, what is not comes in', () => {
  const view = { x: 0, y: 0, scale: 1 };
  assert.deepEqual(reveal(view, { x: 50, y: 50, width: 100, height: 40 }, box), view);
  assert.equal(reveal(view, { x: 380, y: 50, width: 100, height: 40 }, box).x, -104);
});
