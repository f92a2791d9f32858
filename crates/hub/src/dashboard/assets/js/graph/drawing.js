// The drawing of a task graph: nodes and edges as SVG, changed in place while tasks change.

import { keep, kept, s, setAttribute, setText } from '../dom.js';
import { icon, setIcon } from '../icons.js';
import { fitText } from './text_fit.js';
import { layout, NODE } from './layout.js';

const FAMILY = '"Inter", system-ui, sans-serif';
const KEY_FONT = `600 11px ${FAMILY}`;
const LARGE_FONT = `600 22px ${FAMILY}`;
const TITLE_FONT = `500 12px ${FAMILY}`;

export function drawing() {
  const edges = s('g', { class: 'edges' });
  const nodes = s('g', { class: 'nodes' });
  const elements = new Map();
  const lines = new Map();
  const shown = new Map();
  let structure = '';
  let plan = layout([]);

  return {
    edges,
    nodes,
    get plan() {
      return plan;
    },
    node: (id) => elements.get(id),

    /** Returns whether the shape of the graph changed, and with it the plan. */
    update(tasks) {
      const now = [...tasks.values()].map((task) => `${task.id}:${task.needs.join(',')}`).join(';');
      const changed = now !== structure;
      if (changed) {
        structure = now;
        plan = layout([...tasks.values()]);
        rebuild(tasks);
      }
      for (const task of tasks.values()) {
        if (shown.get(task.id) === task) continue;
        shown.set(task.id, task);
        changeNode(elements.get(task.id), task);
        for (const line of lines.get(task.id) ?? []) setAttribute(line, 'data-state', task.state);
      }
      return changed;
    },

    /** Marks what hangs on one node; `null` ends that. */
    mark(id) {
      const near = new Set([id]);
      for (const edge of plan.edges) {
        if (edge.from === id) near.add(edge.to);
        if (edge.to === id) near.add(edge.from);
      }
      for (const [other, element] of elements) {
        element.classList.toggle('near', id !== null && near.has(other));
      }
      for (const line of edges.children) {
        const { from, to } = kept(line);
        line.classList.toggle('near', id !== null && (from === id || to === id));
      }
    },
  };

  function rebuild(tasks) {
    elements.clear();
    lines.clear();
    shown.clear();
    edges.replaceChildren();
    nodes.replaceChildren();
    for (const edge of plan.edges) {
      const line = keep(s('path', { class: 'edge', d: edge.path }), edge);
      edges.append(line);
      if (!lines.has(edge.from)) lines.set(edge.from, []);
      lines.get(edge.from).push(line);
    }
    // Readers walk from left to right, column by column.
    const inOrder = [...plan.nodes].sort(([, a], [, b]) => a.x - b.x || a.y - b.y);
    for (const [id, at] of inOrder) {
      const element = makeNode(tasks.get(id), at);
      elements.set(id, element);
      nodes.append(element);
    }
  }
}

function makeNode(task, at) {
  const shape = icon(task.state);
  const size = { x: '9', y: '8', width: '14', height: '14' };
  for (const [name, value] of Object.entries(size)) shape.setAttribute(name, value);
  const parts = {
    shape,
    key: s('text', { class: 'node-key', x: '29', y: '19' }),
    more: s('text', { class: 'node-more', x: String(NODE.width - 10), y: '19', 'text-anchor': 'end' }),
    title: [36, 50].map((y) => s('text', { class: 'node-title', x: '10', y: String(y) })),
    meter: s('rect', { class: 'node-meter', x: '1', y: String(NODE.height - 3), height: '3', width: '0' }),
    large: s('text', { class: 'node-large', x: String(NODE.width / 2), y: String(NODE.height / 2 + 8), 'text-anchor': 'middle' }),
    hint: s('title'),
  };
  return keep(
    s(
      'a',
      { class: 'node', href: `#/tasks/${task.id}`, 'data-id': task.id, tabindex: '-1', transform: `translate(${at.x} ${at.y})` },
      parts.hint,
      s('rect', { class: 'node-box', width: NODE.width, height: NODE.height, rx: '8' }),
      parts.meter,
      parts.shape,
      // Spaces, so that the texts are words of their own for whoever reads them as one.
      ...[parts.key, parts.more, ...parts.title, parts.large].flatMap((text) => [text, ' ']),
    ),
    parts,
  );
}

function changeNode(element, task) {
  const parts = kept(element);
  setAttribute(element, 'data-state', task.state);
  setIcon(parts.shape, task.state);
  setText(parts.key, fitText(task.key, 80, KEY_FONT)[0]);
  setText(parts.large, fitText(task.key, NODE.width - 60, LARGE_FONT)[0]);
  const lines = fitText(task.title, NODE.width - 20, TITLE_FONT, 2);
  parts.title.forEach((line, index) => setText(line, lines[index] ?? ''));
  setText(parts.more, task.state === 'running' ? `${task.percent} %` : task.state);
  setAttribute(parts.meter, 'width', task.state === 'running' ? String(((NODE.width - 2) * task.percent) / 100) : '0');
  // The name begins with the very words that are seen: who steers by voice says those.
  const seen = [task.key, parts.more.textContent, ...lines].join(' ');
  const whole = lines.join(' ') === task.title ? '' : ` ${task.title}`;
  const who = task.state === 'running' ? `, running${task.agent ? ` with ${task.agent}` : ''}` : '';
  setText(parts.hint, `${task.key} ${task.title}`);
  setAttribute(element, 'aria-label', `${seen}${whole}${who}`);
}
