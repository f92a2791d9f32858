// The layout of large graphs, collapsed epics, and the hub's compact list of tasks.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { collapse, epicsOf, groupId } from '../../../../crates/hub/src/dashboard/assets/js/graph/large/collapse.js';
import { largeLayout, largeNeighbour, nodeAt } from '../../../../crates/hub/src/dashboard/assets/js/graph/large/layout.js';
import { NODE } from '../../../../crates/hub/src/dashboard/assets/js/graph/layout.js';
import { tasksOf } from '../../../../crates/hub/src/dashboard/assets/js/state/graph_tasks.js';

const graph = (needs) => Object.entries(needs).map(([id, before]) => ({ id: Number(id), needs: before }));

/** Numbers that look random and are the same every time. */
function numbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** `count` tasks, four dependencies each, most of them near. */
function large(count, seed = 7) {
  const next = numbers(seed);
  return Array.from({ length: count }, (_, id) => ({
    id,
    needs: id < 200 ? [] : [...new Set(Array.from({ length: 4 }, () => id - 100 - Math.floor(next() * 100)))],
  }));
}

test('every task stands right of all that it needs, and none on another', () => {
  for (const all of [graph({ 1: [], 2: [1], 3: [1, 2], 4: [3], 5: [1] }), large(5_000)]) {
    const plan = largeLayout(all);
    const cells = new Set();
    const place = new Map(all.map((task, index) => [task.id, index]));
    all.forEach((task, index) => {
      cells.add(`${plan.x[index]} ${plan.y[index]}`);
      assert.ok(plan.x[index] >= 0 && plan.y[index] >= 0);
      assert.ok(plan.x[index] + NODE.width <= plan.width && plan.y[index] + NODE.height <= plan.height);
      for (const need of task.needs) assert.ok(plan.x[place.get(need)] + NODE.width < plan.x[index]);
    });
    assert.equal(cells.size, all.length);
  }
});

test('a level with many tasks is as high as the others, not a single column', () => {
  const plan = largeLayout(large(5_000));
  assert.ok(plan.columns.length > plan.levels.length);
  assert.ok(plan.width / plan.height > 0.5 && plan.width / plan.height < 6, `${plan.width} to ${plan.height}`);
});

test('the sweeps bring neighbours together', () => {
  // Chains that were handed in mixed: each becomes a row.
  const next = numbers(3);
  const mixed = (step) => Array.from({ length: 150 }, (_, chain) => step * 150 + chain).sort((a, b) => (a * 7919) % 151 - ((b * 7919) % 151) || next() - 0.5);
  const all = Array.from({ length: 10 }, (_, step) => mixed(step)).flat().map((id) => ({ id, needs: id < 150 ? [] : [id - 150] }));
  const plan = largeLayout(all);
  const y = new Map(all.map((task, place) => [task.id, plan.y[place]]));
  for (const { id, needs } of all) for (const need of needs) assert.equal(y.get(id), y.get(need));
});

test('work grows with the graph, not with its square', () => {
  // Counted, not timed: reads of dependencies.
  const reads = (count) => {
    let read = 0;
    const counted = large(count).map(({ id, needs }) => ({
      id,
      get needs() {
        read += needs.length;
        return needs;
      },
    }));
    largeLayout(counted);
    return read;
  };
  assert.ok(reads(4_000) <= 2.2 * reads(2_000));
});

test('circles, repeated and unknown dependencies do no harm', () => {
  const plan = largeLayout(graph({ 1: [3], 2: [1, 1, 99], 3: [2, 3], 4: [] }));
  assert.equal(plan.count, 4);
  assert.equal(plan.edges, 3);
  assert.equal(largeLayout([]).levels.length, 0);
  assert.equal(nodeAt(largeLayout([]), 0, 0), -1);
});

test('a point leads to its node', () => {
  const plan = largeLayout(large(1_000));
  for (let node = 0; node < plan.count; node += 37) {
    assert.equal(nodeAt(plan, plan.x[node] + 1, plan.y[node] + 1), node);
    assert.equal(nodeAt(plan, plan.x[node] + NODE.width - 1, plan.y[node] + NODE.height - 1), node);
    assert.notEqual(nodeAt(plan, plan.x[node] - 1, plan.y[node] + 1), node);
    assert.notEqual(nodeAt(plan, plan.x[node] + 1, plan.y[node] + NODE.height + 1), node);
  }
  assert.equal(nodeAt(plan, -5, -5), -1);
  assert.equal(nodeAt(plan, plan.width + 500, plan.height + 500), -1);
});

test('arrow keys follow dependencies', () => {
  const all = graph({ 1: [], 2: [1], 3: [1], 4: [2, 3] });
  const plan = largeLayout(all);
  const step = (id, direction) => all[largeNeighbour(plan, id - 1, direction)]?.id ?? null;
  assert.ok([2, 3].includes(step(1, 'right')));
  assert.equal(step(2, 'left'), 1);
  assert.equal(step(4, 'right'), null);
  assert.equal(step(1, 'left'), null);
  const [upper, lower] = plan.y[1] < plan.y[2] ? [2, 3] : [3, 2];
  assert.equal(step(upper, 'down'), lower);
  assert.equal(step(lower, 'up'), upper);
  assert.equal(step(lower, 'down'), null);
});

test('every node is reached with the arrow keys', () => {
  const plan = largeLayout(large(600));
  const seen = new Set([0]);
  const open = [0];
  while (open.length) {
    const node = open.pop();
    for (const direction of ['left', 'right', 'up', 'down']) {
      const next = largeNeighbour(plan, node, direction);
      if (next < 0 || seen.has(next)) continue;
      seen.add(next);
      open.push(next);
    }
  }
  assert.equal(seen.size, plan.count);
});

test('a collapsed epic stands for its tasks', () => {
  const task = (id, epic, needs, state) => [id, { id, key: String(id), title: '', epic, needs, state, percent: 0 }];
  const tasks = new Map([
    task(1, 'a', [], 'done'),
    task(2, 'a', [1], 'running'),
    task(3, 'b', [1, 2], 'waiting'),
    task(4, null, [3], 'waiting'),
  ]);
  assert.deepEqual(epicsOf(tasks), ['a', 'b']);
  assert.deepEqual(collapse(tasks, new Set()), [...tasks.values()]);
  const [a, three, four] = collapse(tasks, new Set(['a']));
  assert.deepEqual([a.id, a.size, a.done, a.state, a.needs], [groupId('a'), 2, 1, 'running', []]);
  assert.deepEqual([three.id, three.needs], [3, [groupId('a')]]);
  assert.equal(four, tasks.get(4));
  const both = collapse(tasks, new Set(['a', 'b']));
  assert.deepEqual(both.map((node) => node.id), [groupId('a'), groupId('b'), 4]);
  assert.deepEqual(both[2].needs, [groupId('b')]);
});

test('epics that need each other are drawn', () => {
  const task = (id, epic, needs) => [id, { id, epic, needs, state: 'ready' }];
  const tasks = new Map([task(1, 'a', []), task(2, 'b', [1]), task(3, 'a', [2]), task(4, 'b', [3])]);
  const plan = largeLayout(collapse(tasks, new Set(['a', 'b'])));
  assert.deepEqual([plan.count, plan.edges], [2, 2]);
});

test('the compact list becomes tasks', () => {
  const lists = {
    graph: 3,
    epics: ['1'],
    ids: [7, 9],
    keys: ['a', 'b'],
    titles: ['A', 'B'],
    states: ['done', 'running'],
    epic: [null, 0],
    roles: [null, 'backend'],
    labels: [[], ['gpu']],
    hours: [0, 2.5],
    epochs: [1, 2],
    percents: [100, 40],
    agents: [null, 'w1'],
    reasons: [null, null],
    updated: ['2023-11-14T22:13:20Z', '2023-11-14T22:14:20Z'],
    needs: [[], [0]],
  };
  const tasks = tasksOf(lists);
  assert.deepEqual([...tasks.keys()], [7, 9]);
  assert.deepEqual(tasks.get(9).needs, [7]);
  assert.deepEqual([tasks.get(7).epic, tasks.get(9).epic, tasks.get(9).agent], [null, '1', 'w1']);
});
