// Where everything of a task graph stands: columns by longest path, few crossings, parts that do
// not hang together below each other, single tasks in a block. Pure; units are the drawing's.

import { adjacency, components, layers } from './layers.js';
import { order } from './order.js';
import { place } from './place.js';

export const NODE = { width: 184, height: 60 };
const COLUMN = NODE.width + 40;
const ROW = NODE.height + 12;
/** An edge that passes a column needs less room than a task. */
const LANE = 18;
const BETWEEN_PARTS = 36;
/** Columns of the block of single tasks. */
const BLOCK = 4;

/**
 * @param {{id: number, needs: number[]}[]} tasks
 * @returns {{
 *   nodes: Map<number, {x: number, y: number, layer: number}>,
 *   edges: {from: number, to: number, path: string}[],
 *   width: number, height: number, layers: number
 * }} top left corners of nodes
 */
export function layout(tasks) {
  const graph = adjacency(tasks);
  const layer = layers(graph);
  const nodes = new Map();
  const edges = [];
  const parts = components(graph);
  const single = parts.filter((part) => part.length === 1).map(([node]) => node);
  let top = 0;
  let width = 0;
  for (const part of parts.filter((one) => one.length > 1)) {
    const drawn = arrange(part, graph, layer);
    for (const [node, at] of drawn.nodes) nodes.set(node, { ...at, y: at.y + top });
    for (const edge of drawn.edges) edges.push({ ...edge, points: edge.points.map((p) => ({ x: p.x, y: p.y + top })) });
    top += drawn.height + BETWEEN_PARTS;
    width = Math.max(width, drawn.width);
  }
  const columns = Math.max(BLOCK, Math.round(width / COLUMN) || 0, Math.ceil(Math.sqrt(single.length / 3)));
  single.forEach((node, index) => {
    const column = index % columns;
    const row = Math.floor(index / columns);
    nodes.set(node, { x: column * COLUMN, y: top + row * ROW, layer: column });
  });
  if (single.length) {
    top += Math.ceil(single.length / columns) * ROW + BETWEEN_PARTS;
    width = Math.max(width, Math.min(single.length, columns) * COLUMN - (COLUMN - NODE.width));
  }
  return {
    nodes: new Map([...nodes].map(([node, at]) => [tasks[node].id, at])),
    edges: edges.map(({ from, to, points }) => ({ from: tasks[from].id, to: tasks[to].id, path: curve(points) })),
    width,
    height: Math.max(0, top - BETWEEN_PARTS),
    layers: layer.length ? Math.max(...layer) + 1 : 0,
  };
}

/** One part of the graph, from (0, 0) on. */
function arrange(part, graph, layer) {
  const first = Math.min(...part.map((node) => layer[node]));
  const columns = [];
  const before = [];
  const next = [];
  const put = (node, l) => {
    (columns[l] ??= []).push(node);
    before[node] = [];
    next[node] = [];
  };
  const connect = (from, to) => {
    next[from].push(to);
    before[to].push(from);
  };
  for (const node of part) put(node, layer[node] - first);
  for (let l = 0; l < columns.length; l += 1) columns[l] ??= [];

  // An edge over several columns becomes a chain of stand-ins, one in each column it passes.
  let standIn = graph.before.length;
  const lanes = new Set();
  const chains = [];
  for (const to of part) {
    for (const from of graph.before[to]) {
      const chain = [from];
      for (let l = layer[from] + 1; l < layer[to]; l += 1) {
        put(standIn, l - first);
        lanes.add(standIn);
        connect(chain.at(-1), standIn);
        chain.push(standIn);
        standIn += 1;
      }
      connect(chain.at(-1), to);
      chain.push(to);
      chains.push(chain);
    }
  }

  const ordered = order(columns, before, next);
  const half = (node) => (lanes.has(node) ? LANE / 2 : ROW / 2);
  const gap = (a, b) => half(a) + half(b);
  const weight = (a, b) => (lanes.has(a) && lanes.has(b) ? 8 : lanes.has(a) || lanes.has(b) ? 2 : 1);
  const middle = place(ordered, before, next, gap, weight);

  const highest = Math.min(...[...middle].map(([node, y]) => y - (lanes.has(node) ? 0 : NODE.height / 2)));
  const nodes = new Map();
  let height = 0;
  ordered.forEach((column, l) => {
    for (const node of column) {
      const y = middle.get(node) - highest;
      height = Math.max(height, y + (lanes.has(node) ? 0 : NODE.height / 2));
      if (!lanes.has(node)) nodes.set(node, { x: l * COLUMN, y: y - NODE.height / 2, layer: l });
    }
  });
  const columnOf = new Map(ordered.flatMap((column, l) => column.map((node) => [node, l])));
  const edges = chains.map((chain) => ({
    from: chain[0],
    to: chain.at(-1),
    points: chain.flatMap((node, index) => {
      const y = middle.get(node) - highest;
      const x = columnOf.get(node) * COLUMN;
      if (index === 0) return [{ x: x + NODE.width, y }];
      if (index === chain.length - 1) return [{ x, y }];
      return [{ x, y }, { x: x + NODE.width, y }];
    }),
  }));
  return { nodes, edges, height, width: ordered.length * COLUMN - (COLUMN - NODE.width) };
}

/** Level at every point, curved between columns. */
function curve(points) {
  const round = (value) => Math.round(value * 10) / 10;
  let path = `M${round(points[0].x)} ${round(points[0].y)}`;
  for (let i = 1; i < points.length; i += 1) {
    const [a, b] = [points[i - 1], points[i]];
    if (Math.abs(a.y - b.y) < 0.5) {
      path += `H${round(b.x)}`;
    } else {
      const middle = round((a.x + b.x) / 2);
      path += `C${middle} ${round(a.y)} ${middle} ${round(b.y)} ${round(b.x)} ${round(b.y)}`;
    }
  }
  return path;
}

/**
 * The next node in a direction, for the arrow keys: along an edge where there is one, by distance
 * otherwise.
 * @param {'left'|'right'|'up'|'down'} direction
 */
export function neighbour(drawing, tasks, id, direction) {
  const here = drawing.nodes.get(id);
  if (!here) return null;
  const all = [...drawing.nodes].filter(([other]) => other !== id);
  const distance = ([, at]) => Math.abs(at.y - here.y) + Math.abs(at.x - here.x) / 4;
  const nearest = (found) => found.sort((a, b) => distance(a) - distance(b))[0]?.[0] ?? null;
  if (direction === 'up' || direction === 'down') {
    const sign = direction === 'up' ? -1 : 1;
    return nearest(all.filter(([, at]) => at.x === here.x && (at.y - here.y) * sign > 0));
  }
  const wanted =
    direction === 'left'
      ? new Set(tasks.get(id)?.needs ?? [])
      : new Set(drawing.edges.filter((edge) => edge.from === id).map((edge) => edge.to));
  const sign = direction === 'left' ? -1 : 1;
  return (
    nearest(all.filter(([other]) => wanted.has(other))) ??
    nearest(all.filter(([, at]) => (at.x - here.x) * sign > 0))
  );
}
