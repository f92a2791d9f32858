// Paints a large graph on a canvas: only what is seen, with as much text as can be read.

import { shape } from '../../icons.js';
import { NODE } from '../layout.js';
import { fitText } from '../text_fit.js';

/** Below these scales a node has no texts but its key, then none. */
export const TITLES_FROM = 0.62;
export const KEYS_FROM = 0.3;
/** Edges are curved from here on; further away nobody sees it. */
const CURVES_FROM = 0.2;

const FAMILY = '"Inter", system-ui, sans-serif';
const KEY_FONT = `600 11px ${FAMILY}`;
const LARGE_FONT = `600 22px ${FAMILY}`;
const TITLE_FONT = `500 12px ${FAMILY}`;

/** How much text nodes have at a scale. */
export function labelsAt(scale) {
  if (scale >= TITLES_FROM) return 'titles';
  return scale >= KEYS_FROM ? 'keys' : 'none';
}

/** What goes on, or needs somebody, stands out of what is over and what is far away. */
const LOUD = new Set(['running', 'merging', 'ready', 'blocked', 'failed']);

const icons = new Map();

function iconOf(state) {
  if (!icons.has(state)) icons.set(state, new Path2D(shape(state)));
  return icons.get(state);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{plan: object, nodes: object[], view: {x: number, y: number, scale: number},
 *   box: {width: number, height: number}, ratio: number, colours: object, marked: number}} scene
 * @returns {number} how many nodes were painted
 */
export function paint(context, { plan, nodes, view, box, ratio, colours, marked }) {
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, box.width, box.height);
  context.setTransform(ratio * view.scale, 0, 0, ratio * view.scale, ratio * view.x, ratio * view.y);
  const seen = {
    left: -view.x / view.scale,
    top: -view.y / view.scale,
    right: (box.width - view.x) / view.scale,
    bottom: (box.height - view.y) / view.scale,
  };
  paintEdges(context, plan, nodes, view.scale, seen, colours);
  const isMarked = marked >= 0 && marked < plan.count;
  if (isMarked) paintMarkedEdges(context, plan, marked, view.scale, colours);
  let painted = 0;
  for (const column of plan.columns) {
    if (column.x + NODE.width < seen.left || column.x > seen.right) continue;
    for (const node of column.nodes) {
      if (plan.y[node] + NODE.height < seen.top || plan.y[node] > seen.bottom) continue;
      paintNode(context, plan.x[node], plan.y[node], nodes[node], view.scale, plan.row, colours);
      painted += 1;
    }
  }
  if (isMarked) paintMarked(context, plan, marked, view.scale, colours);
  return painted;
}

function paintEdges(context, plan, nodes, scale, seen, colours) {
  const over = new Path2D();
  const open = new Path2D();
  for (let to = 0; to < plan.count; to += 1) {
    for (const from of plan.before.of(to)) {
      const [x1, y1, x2, y2] = ends(plan, from, to);
      if (Math.max(x1, x2) < seen.left || Math.min(x1, x2) > seen.right) continue;
      if (Math.max(y1, y2) < seen.top || Math.min(y1, y2) > seen.bottom) continue;
      line(nodes[from].state === 'done' ? over : open, x1, y1, x2, y2, scale >= CURVES_FROM);
    }
  }
  context.lineWidth = (scale < KEYS_FROM ? 0.6 : 1.3) / scale;
  context.globalAlpha = scale < KEYS_FROM ? 0.35 : 0.8;
  context.strokeStyle = colours.edge;
  context.stroke(open);
  context.strokeStyle = colours.states.done;
  context.stroke(over);
  context.globalAlpha = 1;
}

function ends(plan, from, to) {
  return [plan.x[from] + NODE.width, plan.y[from] + NODE.height / 2, plan.x[to], plan.y[to] + NODE.height / 2];
}

function line(path, x1, y1, x2, y2, curved) {
  path.moveTo(x1, y1);
  const middle = (x1 + x2) / 2;
  if (curved) path.bezierCurveTo(middle, y1, middle, y2, x2, y2);
  else path.lineTo(x2, y2);
}

function paintNode(context, x, y, node, scale, row, colours) {
  const colour = colours.states[node.state] ?? colours.soft;
  const labels = labelsAt(scale);
  if (labels === 'none') {
    context.globalAlpha = LOUD.has(node.state) ? 1 : 0.3;
    context.fillStyle = colour;
    // As high as can be seen, where there is room for that.
    const height = Math.max(NODE.height, Math.min(4 / scale, 0.8 * row));
    context.fillRect(x, y + (NODE.height - height) / 2, NODE.width, height);
    context.globalAlpha = 1;
    if (node.group) frame(context, x, y, colours.ink, 3);
    return;
  }
  context.fillStyle = colours.panel;
  context.fillRect(x, y, NODE.width, NODE.height);
  frame(context, x, y, LOUD.has(node.state) ? colour : colours.hair, 1.5);
  if (node.group) {
    context.strokeStyle = colour;
    context.strokeRect(x + 4, y + 4, NODE.width - 8, NODE.height - 8);
  }
  if (node.percent > 0 && (node.group || node.state === 'running')) {
    context.fillStyle = colour;
    context.fillRect(x + 1, y + NODE.height - 4, ((NODE.width - 2) * node.percent) / 100, 3);
  }
  if (labels === 'keys') {
    paintIcon(context, x + 8, y + 18, node.state, colour, 1.5);
    context.fillStyle = colours.ink;
    context.font = LARGE_FONT;
    context.textAlign = 'center';
    context.fillText(fitText(node.key, NODE.width - 60, LARGE_FONT)[0], x + NODE.width / 2 + 10, y + NODE.height / 2 + 8);
    return;
  }
  paintIcon(context, x + 9, y + 8, node.state, colour, 14 / 16);
  context.textAlign = 'left';
  context.fillStyle = colours.ink;
  context.font = KEY_FONT;
  context.fillText(fitText(node.key, 80, KEY_FONT)[0], x + 29, y + 19);
  context.font = TITLE_FONT;
  fitText(node.title, NODE.width - 20, TITLE_FONT, 2).forEach((text, row) => context.fillText(text, x + 10, y + 36 + row * 14));
  context.textAlign = 'right';
  context.fillStyle = colour;
  context.font = KEY_FONT;
  context.fillText(node.state === 'running' ? `${node.percent} %` : node.state, x + NODE.width - 10, y + 19);
}

function frame(context, x, y, colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.strokeRect(x, y, NODE.width, NODE.height);
}

function paintIcon(context, x, y, state, colour, size) {
  context.save();
  context.translate(x, y);
  context.scale(size, size);
  context.strokeStyle = colour;
  context.lineWidth = 1.8;
  context.lineCap = 'round';
  context.lineJoin = 'round';
  context.stroke(iconOf(state));
  context.restore();
}

/** What one node needs and what needs it, below the nodes. */
function paintMarkedEdges(context, plan, marked, scale, colours) {
  const path = new Path2D();
  for (const from of plan.before.of(marked)) line(path, ...ends(plan, from, marked), true);
  for (const to of plan.next.of(marked)) line(path, ...ends(plan, marked, to), true);
  context.strokeStyle = colours.ink;
  context.lineWidth = 2 / scale;
  context.stroke(path);
}

/** The frames of one node and of those beside it. */
function paintMarked(context, plan, marked, scale, colours) {
  context.strokeStyle = colours.ink;
  context.lineWidth = 2 / scale;
  for (const node of [...plan.before.of(marked), ...plan.next.of(marked)]) {
    context.strokeRect(plan.x[node], plan.y[node], NODE.width, NODE.height);
  }
  context.lineWidth = 3 / scale;
  context.strokeRect(plan.x[marked], plan.y[marked], NODE.width, NODE.height);
}
