// Where the tasks of a large graph stand: levels by longest path, a bounded number of barycentre
// sweeps, levels with many tasks in several columns. Pure; time in proportion to tasks and
// dependencies, but for the sorting of levels. Nodes are told by their place in the given list.

import { NODE } from '../layout.js';

const COLUMN = NODE.width + 40;
const ROW = NODE.height + 14;
/** Rows of a graph with many short levels have more room, up to this. */
const HIGHEST_ROW = 3 * ROW;
/** Room between two levels, beside that between two columns. */
const LEVEL = 50;
/** Width over height that the drawing is to have. */
const SHAPE = 1.7;
const FEWEST_ROWS = 12;
/** Steps of all sweeps together: dependencies times sweeps. */
const EFFORT = 400_000;
const MOST_SWEEPS = 8;

/**
 * @param {{id: number|string, needs: (number|string)[]}[]} nodes
 * @returns {{
 *   count: number, edges: number, levels: number[][], level: Int32Array,
 *   x: Float64Array, y: Float64Array, before: Lists, next: Lists,
 *   columns: {x: number, y: number, nodes: number[]}[], columnOf: Int32Array,
 *   row: number, width: number, height: number
 * }} `x` and `y` are top left corners; `before` and `next` are lists of places
 */
export function largeLayout(nodes) {
  const before = dependencies(nodes);
  const level = levelsOf(before);
  const next = reversed(before, nodes.length);
  pullSources(level, before, next);
  const levels = byLevel(level);
  sweep(levels, level, before, next);
  return { ...place(levels, level), count: nodes.length, edges: before.items.length, before, next };
}

/** Lists of numbers in one array: those of `i` are `items[starts[i]]` up to `items[starts[i + 1]]`. */
class Lists {
  constructor(starts, items) {
    this.starts = starts;
    this.items = items;
  }

  of(i) {
    return this.items.subarray(this.starts[i], this.starts[i + 1]);
  }
}

/** Names that are unknown are left out, as are repeated ones, and a task's own. */
function dependencies(nodes) {
  const places = new Map(nodes.map((node, place) => [node.id, place]));
  const starts = new Int32Array(nodes.length + 1);
  const items = [];
  nodes.forEach((node, place) => {
    starts[place] = items.length;
    const seen = new Set();
    for (const id of node.needs) {
      const need = places.get(id);
      if (need === undefined || need === place || seen.has(need)) continue;
      seen.add(need);
      items.push(need);
    }
  });
  starts[nodes.length] = items.length;
  return new Lists(starts, Int32Array.from(items));
}

function reversed(lists, count) {
  const starts = new Int32Array(count + 1);
  for (const item of lists.items) starts[item + 1] += 1;
  for (let i = 0; i < count; i += 1) starts[i + 1] += starts[i];
  const items = new Int32Array(lists.items.length);
  const filled = starts.slice();
  for (let i = 0; i < count; i += 1) {
    for (const item of lists.of(i)) {
      items[filled[item]] = i;
      filled[item] += 1;
    }
  }
  return new Lists(starts, items);
}

/**
 * The longest path from a task without dependencies. Collapsed epics may need each other: a circle
 * is entered at its first node, whose open dependencies then lead back.
 */
function levelsOf(before) {
  const count = before.starts.length - 1;
  const next = reversed(before, count);
  const level = new Int32Array(count);
  const missing = new Int32Array(count);
  const done = new Uint8Array(count);
  const open = [];
  for (let i = 0; i < count; i += 1) {
    missing[i] = before.starts[i + 1] - before.starts[i];
    if (missing[i] === 0) open.push(i);
  }
  let head = 0;
  let stuck = 0;
  while (true) {
    if (head === open.length) {
      while (stuck < count && done[stuck]) stuck += 1;
      if (stuck === count) return level;
      open.push(stuck);
    }
    const node = open[head];
    head += 1;
    if (done[node]) continue;
    done[node] = 1;
    for (const to of next.of(node)) {
      if (done[to]) continue;
      level[to] = Math.max(level[to], level[node] + 1);
      missing[to] -= 1;
      if (missing[to] === 0) open.push(to);
    }
  }
}

/** A task that needs nothing stands right before the first that needs it: short edges. */
function pullSources(level, before, next) {
  for (let i = 0; i < level.length; i += 1) {
    if (before.of(i).length > 0 || next.of(i).length === 0) continue;
    let first = Infinity;
    for (const to of next.of(i)) first = Math.min(first, level[to]);
    level[i] = Math.max(0, first - 1);
  }
}

function byLevel(level) {
  const levels = [];
  for (let i = 0; i < level.length; i += 1) (levels[level[i]] ??= []).push(i);
  for (let l = 0; l < levels.length; l += 1) levels[l] ??= [];
  return levels;
}

/**
 * Each node goes to the middle of its neighbours, by their relative height in their own level, to
 * the right and to the left in turn.
 */
function sweep(levels, level, before, next) {
  const height = new Float64Array(level.length);
  const measure = (nodes) => {
    nodes.forEach((node, index) => {
      height[node] = (index + 0.5) / nodes.length;
    });
  };
  levels.forEach(measure);
  const sweeps = Math.min(MOST_SWEEPS, Math.max(2, Math.floor(EFFORT / Math.max(1, before.items.length))));
  const wish = new Float64Array(level.length);
  for (let turn = 0; turn < sweeps; turn += 1) {
    const forwards = turn % 2 === 0;
    const beside = forwards ? before : next;
    const order = forwards ? levels : [...levels].reverse();
    for (const nodes of order) {
      for (const node of nodes) {
        const others = beside.of(node);
        let sum = 0;
        for (const other of others) sum += height[other];
        wish[node] = others.length > 0 ? sum / others.length : height[node];
      }
      nodes.sort((a, b) => wish[a] - wish[b]);
      measure(nodes);
    }
  }
}

/** Levels from left to right, each in as many columns as it needs, in the middle of the height. */
function place(levels, level) {
  const count = level.length;
  const rows = Math.max(FEWEST_ROWS, Math.ceil(Math.sqrt((count * COLUMN) / ROW / SHAPE)));
  const highest = Math.min(rows, Math.max(1, ...levels.map((nodes) => nodes.length)));
  const [x, y] = [new Float64Array(count), new Float64Array(count)];
  const columnOf = new Int32Array(count);
  const columns = [];
  const across = levels.reduce((sum, nodes) => sum + Math.max(1, Math.ceil(nodes.length / rows)) * COLUMN + LEVEL, 0);
  const row = Math.min(HIGHEST_ROW, Math.max(ROW, across / SHAPE / highest));
  let left = 0;
  for (const nodes of levels) {
    const parts = Math.max(1, Math.ceil(nodes.length / rows));
    const each = Math.ceil(nodes.length / parts);
    for (let part = 0; part < parts; part += 1) {
      const own = nodes.slice(part * each, (part + 1) * each);
      const top = ((highest - own.length) * row) / 2;
      own.forEach((node, nth) => {
        x[node] = left;
        y[node] = top + nth * row;
        columnOf[node] = columns.length;
      });
      columns.push({ x: left, y: top, nodes: own });
      left += COLUMN;
    }
    left += LEVEL;
  }
  return {
    levels,
    level,
    x,
    y,
    columns,
    columnOf,
    row,
    width: Math.max(0, left - LEVEL - (COLUMN - NODE.width)),
    height: Math.max(0, highest * row - (row - NODE.height)),
  };
}

/** The node at a point of the drawing; -1 where there is none. */
export function nodeAt(plan, x, y) {
  let [low, high] = [0, plan.columns.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (plan.columns[middle].x <= x) low = middle;
    else high = middle - 1;
  }
  const column = plan.columns[low];
  if (!column || x < column.x || x > column.x + NODE.width || y < column.y) return -1;
  const nth = Math.floor((y - column.y) / plan.row);
  return y - column.y - nth * plan.row <= NODE.height ? (column.nodes[nth] ?? -1) : -1;
}

/**
 * The next node for an arrow key: left and right along a dependency where there is one, up and down
 * in the column; -1 for none.
 * @param {'left'|'right'|'up'|'down'} direction
 */
export function largeNeighbour(plan, node, direction) {
  const column = plan.columns[plan.columnOf[node]];
  if (!column) return -1;
  if (direction === 'up' || direction === 'down') {
    const row = column.nodes.indexOf(node) + (direction === 'up' ? -1 : 1);
    return column.nodes[row] ?? -1;
  }
  const sign = direction === 'left' ? -1 : 1;
  const linked = [...(sign < 0 ? plan.before : plan.next).of(node)].filter((other) => (plan.x[other] - plan.x[node]) * sign > 0);
  const beside = plan.columns[plan.columnOf[node] + sign]?.nodes ?? [];
  let best = -1;
  for (const other of linked.length > 0 ? linked : beside) {
    if (best < 0 || distance(plan, node, other) < distance(plan, node, best)) best = other;
  }
  return best;
}

function distance(plan, a, b) {
  return Math.abs(plan.y[a] - plan.y[b]) + Math.abs(plan.x[a] - plan.x[b]) / 4;
}
