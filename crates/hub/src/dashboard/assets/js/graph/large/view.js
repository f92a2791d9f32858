// A large task graph on the screen: a canvas, and one link on it, which stands on the current task,
// so that focus, names and Enter are the browser's own.

import { h, setAttribute, setText, setVariable } from '../../dom.js';
import { NODE } from '../layout.js';
import { fit, pan, reveal, zoom } from '../viewport.js';
import { collapse, epicsOf } from './collapse.js';
import { coloursOf } from './colours.js';
import { largeLayout, largeNeighbour, nodeAt } from './layout.js';
import { levelList } from './levels.js';
import { minimap } from './minimap.js';
import { labelsAt, paint } from './paint.js';

const STEP = 1.4;
/** The largest scale is one where all texts can be read; the smallest shows a bit more than all. */
const MARGIN = 0.8;
const ARROWS = { ArrowLeft: 'left', ArrowRight: 'right', ArrowUp: 'up', ArrowDown: 'down' };

/** `byEpic`: whether all epics are collapsed at first. */
export function largeGraphView(byEpic) {
  const canvas = h('canvas', { class: 'graph-canvas', 'aria-hidden': 'true' });
  const link = h('a', { class: 'canvas-task', href: '#/', 'aria-describedby': 'large-graph-help' });
  const tip = h('p', { class: 'canvas-tip', 'aria-hidden': 'true' });
  const spoken = h('p', { class: 'unseen', role: 'status' });
  const map = minimap((x, y) => {
    held = true;
    move({ ...view, x: box.width / 2 - x * view.scale, y: box.height / 2 - y * view.scale });
  });
  const button = (label, text, act) => h('button', { type: 'button', 'aria-label': label, title: label, onclick: act }, text);
  const epics = h('button', { type: 'button', class: 'collapse-epics', 'aria-pressed': 'false', onclick: toggleEpics }, 'Collapse epics');
  const controls = h(
    'div',
    { class: 'graph-controls' },
    epics,
    button('Zoom in', '+', () => zoomBy(STEP)),
    button('Zoom out', '−', () => zoomBy(1 / STEP)),
    button('Fit the graph', 'Fit', showAll),
  );
  const help = h(
    'p',
    { class: 'graph-help', id: 'large-graph-help' },
    'Arrow keys move along the graph, Enter opens a task or an epic, c collapses the epic of a task, + and − zoom, 0 fits the graph. Ctrl and the wheel zoom; drag to pan. Texts appear from a certain size on.',
  );
  const stage = h('div', { class: 'graph graph-large', role: 'group', 'aria-label': 'Task graph' }, canvas, link, map.element, tip);
  const levels = levelList();
  const element = h('div', { class: 'graph-box' }, stage, controls, help, levels.element, spoken);
  const context = canvas.getContext('2d');

  let tasks = new Map();
  let collapsed = new Set();
  /** Whether nobody has chosen what is collapsed. */
  let untouched = byEpic;
  let nodes = [];
  let plan = largeLayout([]);
  let places = new Map();
  let view = { x: 0, y: 0, scale: 1 };
  let box = { width: 0, height: 0 };
  let colours = null;
  /** Whether the reader moved the drawing: from then on nothing else does. */
  let held = false;
  /** Places of nodes; -1 for none. */
  let current = -1;
  let hovered = -1;
  let asked = false;
  let shape = null;

  new ResizeObserver((entries) => {
    const { width, height } = entries[0].contentRect;
    box = { width, height };
    if (!held) view = fit(plan, box);
    resize();
    // At once: another size empties a canvas.
    draw();
  }).observe(stage);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    colours = null;
    repaint(true);
  });

  function resize() {
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(box.width * ratio));
    canvas.height = Math.max(1, Math.round(box.height * ratio));
  }

  let mapIsOld = true;

  /** At most once a frame; `all` also the small picture of the whole. */
  function repaint(all = false) {
    mapIsOld ||= all;
    if (asked) return;
    asked = true;
    requestAnimationFrame(draw);
  }

  function draw() {
    asked = false;
    if (!stage.isConnected || box.width === 0) return;
    colours ??= coloursOf(stage);
    const ratio = devicePixelRatio || 1;
    const marked = hovered >= 0 ? hovered : document.activeElement === link ? current : -1;
    const painted = paint(context, { plan, nodes, view, box, ratio, colours, marked });
    if (mapIsOld) map.draw({ plan, nodes, colours });
    mapIsOld = false;
    map.show(view, box, colours);
    placeLink();
    placeTip(marked);
    const said = {
      tasks: plan.count,
      edges: plan.edges,
      levels: plan.levels.length,
      painted,
      labels: labelsAt(view.scale),
      scale: view.scale.toFixed(4),
      current: current < 0 ? '' : nodes[current].id,
    };
    for (const [name, value] of Object.entries(said)) setAttribute(stage, `data-${name}`, value);
  }

  function placeLink() {
    link.hidden = current < 0;
    if (current < 0) return;
    setVariable(link, '--left', `${plan.x[current] * view.scale + view.x}px`);
    setVariable(link, '--top', `${plan.y[current] * view.scale + view.y}px`);
    setVariable(link, '--wide', `${NODE.width * view.scale}px`);
    setVariable(link, '--high', `${NODE.height * view.scale}px`);
  }

  function placeTip(marked) {
    tip.hidden = marked < 0 || (labelsAt(view.scale) === 'titles' && hovered < 0);
    if (tip.hidden) return;
    setText(tip, nameOf(nodes[marked]));
    const x = (plan.x[marked] + NODE.width / 2) * view.scale + view.x;
    const y = (plan.y[marked] + NODE.height) * view.scale + view.y + 8;
    setVariable(tip, '--left', `${Math.min(Math.max(x, 120), Math.max(120, box.width - 120))}px`);
    setVariable(tip, '--top', `${Math.min(y, box.height - 40)}px`);
  }

  function move(to) {
    view = pan(to, 0, 0, plan, box);
    repaint();
  }

  function showAll() {
    held = false;
    view = fit(plan, box);
    repaint();
  }

  function zoomBy(factor, point) {
    held = true;
    // Around the current task when the keyboard zooms: it is what one wants to see.
    const byKeys = !point && current >= 0 && document.activeElement === link;
    const at = point ?? (byKeys ? middleOf(current) : { x: box.width / 2, y: box.height / 2 });
    const smallest = Math.min(0.5, fit(plan, box).scale * MARGIN);
    move(zoom(view, factor, at, smallest));
    if (byKeys) view = reveal(view, rectangle(current), box);
  }

  function middleOf(node) {
    return {
      x: (plan.x[node] + NODE.width / 2) * view.scale + view.x,
      y: (plan.y[node] + NODE.height / 2) * view.scale + view.y,
    };
  }

  function rectangle(node) {
    return { x: plan.x[node], y: plan.y[node], ...NODE };
  }

  function setCurrent(node, aloud = false) {
    current = node;
    describe();
    if (aloud && node >= 0) {
      setText(spoken, nameOf(nodes[node]));
      const shown = reveal(view, rectangle(node), box);
      if (shown.x !== view.x || shown.y !== view.y) {
        held = true;
        view = shown;
      }
    }
    repaint();
  }

  function describe() {
    if (current < 0) return;
    const node = nodes[current];
    setAttribute(link, 'href', node.group ? location.hash || '#/' : `#/tasks/${node.id}`);
    setAttribute(link, 'data-id', node.id);
    setAttribute(link, 'data-state', node.state);
    setAttribute(link, 'aria-label', nameOf(node));
  }

  function nameOf(node) {
    if (node.group) return `Epic ${node.key}, collapsed, ${node.title}`;
    const state = node.state === 'running' ? `running, ${node.percent} %${node.agent ? `, with ${node.agent}` : ''}` : node.state;
    return `${node.key} ${node.title}, ${state}`;
  }

  /** Where work goes on. */
  function interesting() {
    const find = (wanted) => nodes.findIndex(wanted);
    const running = find((node) => node.state === 'running');
    if (running >= 0) return running;
    const open = find((node) => node.state !== 'done');
    return open >= 0 ? open : nodes.length - 1;
  }

  function open(node) {
    if (node < 0) return;
    if (nodes[node].group) expand(nodes[node].epic);
    else location.hash = `#/tasks/${nodes[node].id}`;
  }

  function expand(epic) {
    untouched = false;
    collapsed = new Set([...collapsed].filter((other) => other !== epic));
    arrange(null);
    setCurrent(Math.max(0, nodes.findIndex((node) => node.epic === epic)), true);
  }

  function toggleEpics() {
    untouched = false;
    const id = current >= 0 ? nodes[current].id : null;
    collapsed = collapsed.size > 0 ? new Set() : new Set(epicsOf(tasks));
    arrange(id);
    showAll();
  }

  link.addEventListener('click', (event) => {
    if (!nodes[current]?.group) return;
    event.preventDefault();
    expand(nodes[current].epic);
  });
  link.addEventListener('focus', () => repaint());
  link.addEventListener('blur', () => repaint());
  link.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const direction = ARROWS[event.key];
    if (direction) {
      const next = largeNeighbour(plan, current, direction);
      if (next >= 0) setCurrent(next, true);
    } else if (event.key === 'Home') setCurrent(plan.columns[0].nodes[0], true);
    else if (event.key === 'End') setCurrent(plan.columns.at(-1).nodes.at(-1), true);
    else if (event.key === '+' || event.key === '=') zoomBy(STEP);
    else if (event.key === '-') zoomBy(1 / STEP);
    else if (event.key === '0') showAll();
    else if (event.key === 'c' && nodes[current]?.epic && !nodes[current].group) {
      const { epic } = nodes[current];
      untouched = false;
      collapsed = new Set([...collapsed, epic]);
      arrange(null);
      setCurrent(Math.max(0, nodes.findIndex((node) => node.group && node.epic === epic)), true);
    } else return;
    event.preventDefault();
  });

  stage.addEventListener(
    'wheel',
    (event) => {
      // A plain wheel goes on scrolling the page; a trackpad's pinch comes with ctrlKey set.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoomBy(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.003)), pointOf(event));
    },
    { passive: false },
  );

  const fingers = new Map();
  let dragged = false;
  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    if (fingers.size === 0) dragged = false;
    fingers.set(event.pointerId, pointOf(event));
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', (event) => {
    const to = pointOf(event);
    const from = fingers.get(event.pointerId);
    if (!from) {
      hover(event.pointerType === 'mouse' ? under(to) : -1);
      return;
    }
    if (!dragged && fingers.size === 1 && Math.hypot(to.x - from.x, to.y - from.y) < 5) return;
    dragged = true;
    held = true;
    stage.classList.add('dragging');
    fingers.set(event.pointerId, to);
    if (fingers.size === 2) pinch(event.pointerId, from, to);
    else move({ ...view, x: view.x + to.x - from.x, y: view.y + to.y - from.y });
  });
  for (const name of ['pointerup', 'pointercancel']) {
    canvas.addEventListener(name, (event) => {
      fingers.delete(event.pointerId);
      if (fingers.size === 0) stage.classList.remove('dragging');
      if (name === 'pointerup' && !dragged && event.button === 0) open(under(pointOf(event)));
    });
  }
  canvas.addEventListener('pointerleave', () => hover(-1));

  function pinch(id, from, to) {
    const other = [...fingers].find(([finger]) => finger !== id)[1];
    const before = Math.hypot(from.x - other.x, from.y - other.y) || 1;
    const after = Math.hypot(to.x - other.x, to.y - other.y) || 1;
    zoomBy(after / before, { x: (to.x + other.x) / 2, y: (to.y + other.y) / 2 });
  }

  function under({ x, y }) {
    return nodeAt(plan, (x - view.x) / view.scale, (y - view.y) / view.scale);
  }

  function hover(node) {
    if (node === hovered) return;
    hovered = node;
    stage.classList.toggle('over-task', node >= 0);
    repaint();
  }

  function pointOf(event) {
    const { left, top } = stage.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  /** Lays the graph out anew; the node `id` stays the current one where it is still there. */
  function arrange(id) {
    nodes = collapse(tasks, collapsed);
    plan = largeLayout(nodes);
    places = new Map(nodes.map((node, place) => [node.id, place]));
    hovered = -1;
    current = places.get(id) ?? interesting();
    describe();
    levels.update(plan, nodes);
    setAttribute(epics, 'aria-pressed', String(collapsed.size > 0));
    setText(epics, collapsed.size > 0 ? 'Expand epics' : 'Collapse epics');
    if (!held) view = fit(plan, box);
    repaint(true);
  }

  /** Other states of the same tasks: nothing moves. */
  function refresh() {
    const now = collapse(tasks, collapsed);
    if (now.every((node, place) => node === nodes[place])) return;
    nodes = now;
    describe();
    levels.update(plan, nodes);
    repaint(true);
  }

  return {
    element,
    update(now) {
      tasks = now;
      epics.hidden = epicsOf(tasks).length === 0;
      const print = fingerprint(tasks);
      if (print === shape) {
        refresh();
        return;
      }
      shape = print;
      if (untouched) collapsed = new Set(epicsOf(tasks));
      arrange(current >= 0 ? nodes[current]?.id : null);
    },
  };
}

/** Changes when a task or a dependency comes or goes. */
function fingerprint(tasks) {
  let print = tasks.size;
  const add = (number) => {
    print = (Math.imul(print, 31) + number) | 0;
  };
  for (const task of tasks.values()) {
    add(task.id);
    add(task.needs.length);
    for (const need of task.needs) add(need);
  }
  return `${tasks.size} ${print}`;
}
