// The task graph on the screen: which part of the drawing is seen, and how it is moved, by mouse,
// touch and keyboard.

import { h, s, setVariable } from '../dom.js';
import { drawing } from './drawing.js';
import { NODE, neighbour } from './layout.js';
import { fit, pan, reveal, zoom } from './viewport.js';

const STEP = 1.25;
/** Below these scales the texts of a node give way to its key, then to its colour and shape. */
const KEYS_BELOW = 0.62;
const BLOCKS_BELOW = 0.3;
/** On a narrow screen a drawing is not made smaller than this at first: one looks at a part. */
const READABLE = 0.64;
const NARROW = 600;
const ARROWS = { ArrowLeft: 'left', ArrowRight: 'right', ArrowUp: 'up', ArrowDown: 'down' };

export function graphView() {
  const picture = drawing();
  const world = s('g', {}, picture.edges, picture.nodes);
  const svg = s('svg', { class: 'graph', role: 'group', 'aria-label': 'Task graph', 'aria-describedby': 'graph-help' }, world);
  const button = (label, text, act) => h('button', { type: 'button', 'aria-label': label, title: label, onclick: act }, text);
  const controls = h(
    'div',
    { class: 'graph-controls' },
    button('Zoom in', '+', () => zoomBy(STEP)),
    button('Zoom out', '−', () => zoomBy(1 / STEP)),
    button('Fit the graph', 'Fit', showAll),
  );
  const help = h(
    'p',
    { class: 'graph-help', id: 'graph-help' },
    'Arrow keys move along the graph, Enter opens a task, + and − zoom, 0 fits the graph. Ctrl and the wheel zoom; drag to pan.',
  );
  const element = h('div', { class: 'graph-box' }, svg, controls, help);

  let tasks = new Map();
  let view = { x: 0, y: 0, scale: 1 };
  let box = { width: 0, height: 0 };
  /** Whether the reader moved the drawing: from then on nothing else does. */
  let held = false;
  /** The one node that the tab key reaches. */
  let current = null;

  new ResizeObserver((entries) => {
    const { width, height } = entries[0].contentRect;
    box = { width, height };
    if (!held) start();
    else apply();
  }).observe(svg);

  function smallest() {
    return Math.min(0.5, fit(picture.plan, box).scale * 0.8);
  }

  function apply() {
    world.setAttribute('transform', `translate(${view.x.toFixed(2)} ${view.y.toFixed(2)}) scale(${view.scale.toFixed(4)})`);
    svg.classList.toggle('keys', view.scale < KEYS_BELOW && view.scale >= BLOCKS_BELOW);
    svg.classList.toggle('blocks', view.scale < BLOCKS_BELOW);
  }

  function start() {
    if (box.width === 0) return;
    view = fit(picture.plan, box);
    if (box.width < NARROW && view.scale < READABLE) {
      view = zoom({ x: 16, y: 16, scale: 1 }, READABLE, { x: 0, y: 0 }, 0.1);
      const first = interesting();
      if (first) view = reveal(view, rectangle(first), box);
    }
    apply();
  }

  function showAll() {
    held = false;
    view = fit(picture.plan, box);
    apply();
  }

  function zoomBy(factor, point = { x: box.width / 2, y: box.height / 2 }) {
    held = true;
    view = zoom(view, factor, point, smallest());
    view = pan(view, 0, 0, picture.plan, box);
    apply();
  }

  function panBy(dx, dy) {
    held = true;
    view = pan(view, dx, dy, picture.plan, box);
    apply();
  }

  function rectangle(id) {
    return { ...picture.plan.nodes.get(id), ...NODE };
  }

  /** Where work goes on. */
  function interesting() {
    const all = [...picture.plan.nodes.keys()].map((id) => tasks.get(id)).filter(Boolean);
    return (all.find((task) => task.state === 'running') ?? all.find((task) => task.state !== 'done') ?? all[0])?.id;
  }

  function setCurrent(id, focus) {
    const before = picture.node(current);
    before?.setAttribute('tabindex', '-1');
    current = id;
    const node = picture.node(id);
    node?.setAttribute('tabindex', '0');
    if (focus && node) node.focus({ preventScroll: true });
  }

  svg.addEventListener('focusin', (event) => {
    const node = event.target.closest('.node');
    if (!node) return;
    const id = Number(node.dataset.id);
    if (id !== current) setCurrent(id, false);
    picture.mark(id);
    const shown = reveal(view, rectangle(id), box);
    if (shown.x !== view.x || shown.y !== view.y) {
      view = shown;
      apply();
    }
  });
  svg.addEventListener('focusout', () => picture.mark(null));

  svg.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const direction = ARROWS[event.key];
    const inOrder = [...picture.nodes.children].map((node) => Number(node.dataset.id));
    if (direction) {
      const next = neighbour(picture.plan, tasks, current, direction);
      if (next !== null) setCurrent(next, true);
    } else if (event.key === 'Home') setCurrent(inOrder[0], true);
    else if (event.key === 'End') setCurrent(inOrder.at(-1), true);
    else if (event.key === '+' || event.key === '=') zoomBy(STEP);
    else if (event.key === '-') zoomBy(1 / STEP);
    else if (event.key === '0') showAll();
    else return;
    event.preventDefault();
  });

  svg.addEventListener(
    'wheel',
    (event) => {
      // A plain wheel goes on scrolling the page; a trackpad's pinch comes with ctrlKey set.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoomBy(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.003)), place(event));
    },
    { passive: false },
  );

  const fingers = new Map();
  /** A drag must not open the task that it began on. */
  let dragged = false;
  svg.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    if (fingers.size === 0) dragged = false;
    fingers.set(event.pointerId, place(event));
  });
  addEventListener('pointermove', (event) => {
    const from = fingers.get(event.pointerId);
    if (!from || !svg.isConnected) return;
    const to = place(event);
    if (!dragged && Math.hypot(to.x - from.x, to.y - from.y) < 5 && fingers.size === 1) return;
    if (!dragged) svg.classList.add('dragging');
    dragged = true;
    if (fingers.size === 2) pinch(event.pointerId, from, to);
    else panBy(to.x - from.x, to.y - from.y);
    fingers.set(event.pointerId, to);
  });
  for (const name of ['pointerup', 'pointercancel']) {
    addEventListener(name, (event) => {
      fingers.delete(event.pointerId);
      if (fingers.size === 0) svg.classList.remove('dragging');
    });
  }
  svg.addEventListener('click', (event) => {
    if (dragged) event.preventDefault();
    dragged = false;
  });
  svg.addEventListener('dragstart', (event) => event.preventDefault());
  svg.addEventListener('pointerover', (event) => {
    const node = event.target.closest('.node');
    if (event.pointerType === 'mouse') picture.mark(node ? Number(node.dataset.id) : null);
  });
  svg.addEventListener('pointerleave', () => picture.mark(null));

  function pinch(id, from, to) {
    const other = [...fingers].find(([finger]) => finger !== id)[1];
    const before = Math.hypot(from.x - other.x, from.y - other.y) || 1;
    const after = Math.hypot(to.x - other.x, to.y - other.y) || 1;
    panBy((to.x - from.x) / 2, (to.y - from.y) / 2);
    zoomBy(after / before, { x: (to.x + other.x) / 2, y: (to.y + other.y) / 2 });
  }

  function place(event) {
    const { left, top } = svg.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  return {
    element,
    update(now) {
      tasks = now;
      if (!picture.update(tasks)) return;
      setVariable(svg, '--drawing-width', String(picture.plan.width + 32));
      setVariable(svg, '--drawing-height', String(picture.plan.height + 32));
      if (!picture.plan.nodes.has(current)) setCurrent(interesting(), false);
      else setCurrent(current, false);
      if (!held) start();
    },
  };
}
