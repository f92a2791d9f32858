// Who did what when in a graph: a lane for each worker, and where time was lost against the bound.

import { h, s, setText } from '../dom.js';
import { duration, moment } from '../format.js';
import { Sync } from '../state/sync.js';
import { missingPage, waitingText } from './notes.js';

const WIDTH = 1_000;
const LANE = 22;
const BAR = 14;
const AXIS = 26;
/** Bars that are drawn; of more, the longest. */
const MOST_BARS = 4_000;

export function timelinePage(id, { api, changed, failed }) {
  let timeline = null;
  let report = null;
  let shown = null;
  let missing = false;
  let trouble = '';
  const source = (read) => ({
    every: 5_000,
    read: async () => {
      await read();
      changed();
    },
  });
  const sync = new Sync(
    {
      timeline: source(async () => {
        timeline = await api.get(`/graphs/${id}/timeline`);
      }),
      report: source(async () => {
        report = await api.get(`/graphs/${id}/report?format=json`);
      }),
    },
    {
      fail: (_, error) => {
        missing = error.status === 404;
        trouble = error.message;
        failed(error);
        changed();
      },
    },
  );
  sync.want(['timeline', 'report']);
  const body = h('div', { class: 'bone bone-graph' });
  const waiting = waitingText();
  const element = h('div', { class: 'task-page timeline-page' }, h('p', { class: 'back' }, h('a', { href: `#/graphs/${id}` }, '← Graph')), waiting.element, body);
  return {
    title: `Timeline of graph ${id}`,
    element,
    event(event) {
      if (event.graph === Number(id) && /^task\.(claimed|done|merging|failed|retry|lost|cancelled)$/.test(event.kind)) sync.want(['timeline', 'report']);
    },
    close() {
      sync.stop();
    },
    refresh() {
      sync.want(['timeline', 'report']);
    },
    update(state) {
      if (missing && !timeline) element.replaceChildren(missingPage(`This hub has no graph ${id}.`).element);
      waiting.update(timeline === null ? trouble : '');
      if (!timeline || !report || (shown?.timeline === timeline && shown.report === report)) return;
      shown = { timeline, report };
      body.className = '';
      body.replaceChildren(...content(timeline, report, state.tasks));
    },
  };
}

function content(timeline, report, tasks) {
  const title = h('h1', {}, `Timeline of ${report.graph.name}`);
  if (timeline.started_at === null) return [title, h('p', { class: 'nothing' }, 'No worker has begun.')];
  const lanes = summary(timeline);
  const parts = [title, lost(report), drawing(timeline, report, lanes, tasks), table(lanes)];
  if (timeline.more) parts.push(h('p', { class: 'more' }, `Only the first ${timeline.tasks.length} attempts are shown.`));
  return parts;
}

/** What each worker's time went into, in seconds. */
export function summary(timeline) {
  const until = secondsUntil(timeline);
  const lanes = timeline.workers.map((name) => ({ name, useful: 0, unsuccessful: 0, running: 0, idle: 0 }));
  timeline.tasks.forEach((_, place) => {
    const lane = lanes[timeline.worker[place]];
    const took = Math.max(0, (timeline.ends[place] ?? until) - timeline.begins[place]);
    const state = timeline.states[place];
    lane[state === 'succeeded' ? 'useful' : state === 'running' ? 'running' : 'unsuccessful'] += took;
  });
  for (const lane of lanes) lane.idle = Math.max(0, until - lane.useful - lane.unsuccessful - lane.running);
  return lanes;
}

function secondsUntil(timeline) {
  return Math.max(0.001, (Date.parse(timeline.until) - Date.parse(timeline.started_at)) / 1000);
}

const told = (seconds) => duration(seconds * 1000);

function lost({ speed_up: speedUp }) {
  if (!speedUp) return h('p', { class: 'reason' }, 'Nothing is known of the speed-up before an attempt has succeeded.');
  const text =
    `Took ${told(speedUp.elapsed_seconds)}; with these workers and dependencies no less than ${told(speedUp.bound_seconds)} (the dashed line). ` +
    `${told(speedUp.unsuccessful_seconds)} of the workers' time went into attempts that did not succeed, ${told(speedUp.idle_seconds)} into waiting.`;
  return h('p', { class: 'reason' }, text);
}

function drawing(timeline, report, lanes, tasks) {
  const until = secondsUntil(timeline);
  const bound = report.speed_up?.bound_seconds ?? null;
  const x = (seconds) => (Math.min(seconds, until) / until) * WIDTH;
  const height = AXIS + lanes.length * LANE;
  const bars = longest(timeline, until).map((place) => bar(timeline, place, x, until, tasks));
  const names = h('ol', { class: 'lane-names', 'aria-hidden': 'true' }, ...lanes.map(({ name }) => h('li', {}, name)));
  const lines = lanes.map((_, lane) => s('line', { class: 'lane', x1: 0, x2: WIDTH, y1: AXIS + lane * LANE + LANE / 2, y2: AXIS + lane * LANE + LANE / 2 }));
  const limit = bound === null || bound > until ? null : s('line', { class: 'bound', x1: x(bound), x2: x(bound), y1: 0, y2: height });
  const start = Date.parse(timeline.started_at);
  const label = `Timeline: ${lanes.length} workers, from ${moment(start)} to ${moment(Date.parse(timeline.until))}. The table below says the same.`;
  const picture = s('svg', { class: 'timeline', viewBox: `0 0 ${WIDTH} ${height}`, height: String(height), preserveAspectRatio: 'none', role: 'img', 'aria-label': label }, ...lines, ...bars, limit);
  const axis = h('div', { class: 'timeline-axis', 'aria-hidden': 'true' }, h('span', {}, moment(start)), h('span', {}, moment(start + until * 1000)));
  return h('section', { class: 'panel timeline-panel', 'aria-label': 'Timeline' }, names, h('div', { class: 'timeline-box' }, picture, axis));
}

function longest(timeline, until) {
  const places = timeline.tasks.map((_, place) => place);
  if (places.length <= MOST_BARS) return places;
  const length = (place) => (timeline.ends[place] ?? until) - timeline.begins[place];
  return places.sort((a, b) => length(b) - length(a)).slice(0, MOST_BARS);
}

function bar(timeline, place, x, until, tasks) {
  const begin = timeline.begins[place];
  const end = timeline.ends[place] ?? until;
  const state = timeline.states[place];
  const task = tasks.get(timeline.tasks[place]);
  // Told apart without colour as well: what was of no use is lower.
  const high = state === 'succeeded' || state === 'running' ? BAR : BAR / 2;
  const hint = s('title');
  setText(hint, `${task ? `${task.key} ${task.title}` : `task ${timeline.tasks[place]}`}, attempt ${timeline.epochs[place]}, ${state}, ${told(end - begin)}`);
  return s(
    'a',
    { href: `#/tasks/${timeline.tasks[place]}`, tabindex: '-1' },
    s('rect', { class: 'timeline-bar', 'data-state': state, x: x(begin), width: Math.max(1.5, x(end) - x(begin)), y: AXIS + timeline.worker[place] * LANE + (LANE - high) / 2, height: high }, hint),
  );
}

function table(lanes) {
  const head = ['Worker', 'Useful', 'Unsuccessful', 'Running', 'Waiting'];
  const rows = lanes.map((lane) =>
    h('tr', {}, h('th', { scope: 'row' }, lane.name), ...['useful', 'unsuccessful', 'running', 'idle'].map((name) => h('td', { class: 'number' }, told(lane[name])))),
  );
  return h(
    'section',
    { class: 'panel task-table' },
    h('table', {}, h('caption', { class: 'unseen' }, "What each worker's time went into"), h('thead', {}, h('tr', {}, ...head.map((name) => h('th', { scope: 'col' }, name)))), h('tbody', {}, ...rows)),
  );
}
