// Puts the parts together: the connection changes the state, the state asks for a frame, the
// frame brings the page up to date. Nothing else holds state.

import { sessionPanel } from './actions/session.js';
import { Announcer } from './announce.js';
import { Api } from './api.js';
import { setText } from './dom.js';
import { percent } from './format.js';
import { backoff } from './live/backoff.js';
import { Clock } from './live/clock.js';
import { Stream } from './live/stream.js';
import { approvalPage } from './pages/approval.js';
import { approvalsPage } from './pages/approvals.js';
import { graphPage } from './pages/graph.js';
import { loadingNote, missingPage, tokenNote } from './pages/notes.js';
import { overviewPage } from './pages/overview.js';
import { runPage } from './pages/run.js';
import { runsPage } from './pages/runs.js';
import { searchPage } from './pages/search.js';
import { taskPage } from './pages/task.js';
import { timelinePage } from './pages/timeline.js';
import { graphChoice } from './panels/graph_choice.js';
import { linePanel, standing } from './panels/line.js';
import { tick } from './panels/pieces.js';
import { EVERYTHING, OF_GRAPH, readings } from './readings.js';
import { watchRoute } from './router.js';
import { alerts } from './state/alerts.js';
import { emptyState, heardAfter, reduce } from './state/reduce.js';
import { Sync, Touched } from './state/sync.js';
import { waitingFor } from './state/waiting.js';

/** Frames come no faster than this: calmer, and enough for people. */
const FRAME = 120;
const TASKS_APART = 400;
/** Agents say how they feel without an event, so they are asked. */
const ASK_AGENTS = 10_000;
const ASK_FIGURES = 30_000;
const ASK_ALL = 120_000;

const main = document.getElementById('main');
const clock = new Clock();
const api = new Api(clock);
const state = emptyState();
const announcer = new Announcer(document.getElementById('announce'));
const touched = new Touched();

let line = { state: 'connecting', heard: 0, retryAt: 0 };
let current = { page: 'overview' };
let page = null;
const loading = loadingNote();
/** What stands in `main`: a page, or a note in place of one. */
let shown = null;

const sync = new Sync(readings(api, state, frame), { fail: failed });
const stream = new Stream(api, {
  events(list) {
    for (const event of list) {
      const { stale, touched: ids } = reduce(state, event);
      if (stale.size) sync.want(stale);
      if (ids.size) touch(ids);
      page?.event?.(event);
    }
    frame();
  },
  line(now) {
    const changed = now.state !== line.state;
    line = now;
    if (changed) {
      announcer.line(line.state);
      connection.update(line, Date.now());
      frame();
    }
  },
  gap: readUntilDone,
  poll: readAll,
});
const connection = linePanel(document.getElementById('line'), document.getElementById('banner'), () => stream.retry());
const choice = graphChoice(document.getElementById('choice'), (id) => {
  // The address says which graph is shown, where it names one.
  if (state.named !== null) location.hash = `#/graphs/${id}`;
  else chooseGraph(id);
});

function chooseGraph(id) {
  if (state.graph === id) return;
  state.graph = id;
  state.tasks = new Map();
  state.summary = null;
  state.history = [];
  sync.want(OF_GRAPH);
  frame();
}

const session = sessionPanel(document.getElementById('session'), api, () => {
  stream.reopen();
  acted(['session']);
});

/** After an action the page shows what became of it without waiting for the event. */
function acted(names = []) {
  sync.want([...names, 'graphs', 'tasks', 'agents', 'merges', 'branches', 'summary']);
  page?.refresh?.();
  frame();
}

/** Which call of `readUntilDone` still counts: the newest. */
let lastReading = 0;

/** Reads everything, again and again until it is all there once. */
async function readUntilDone() {
  lastReading += 1;
  const own = lastReading;
  for (let failures = 1; own === lastReading; failures += 1) {
    try {
      await readAll();
      return;
    } catch (error) {
      failed(null, error);
      if (error.unauthorised) return;
    }
    await new Promise((resolve) => setTimeout(resolve, backoff(failures)));
  }
}

async function readAll() {
  await sync.all(['graphs'], EVERYTHING.filter((name) => name !== 'graphs'));
  state.loaded = true;
  page?.refresh?.();
  frame();
}

function failed(_, error) {
  if (error.unauthorised && line.state !== 'unauthorised') {
    line = { ...line, state: 'unauthorised' };
    frame();
  }
}

let readingTouched = null;

function touch(ids) {
  touched.add(ids);
  readingTouched ??= setTimeout(async () => {
    readingTouched = null;
    const single = touched.take();
    if (single === null) {
      sync.want(['tasks']);
      return;
    }
    for (const id of single) {
      try {
        const before = state.heard;
        const task = await api.get(`/tasks/${id}`);
        if (task.graph === state.graph && !heardAfter(state, id, before)) state.tasks.set(id, task);
      } catch (error) {
        failed(null, error);
        sync.want(['tasks']);
      }
    }
    frame();
  }, TASKS_APART);
}

let asked = false;
let lastFrame = 0;

function frame() {
  if (asked) return;
  asked = true;
  setTimeout(() => requestAnimationFrame(draw), Math.max(0, lastFrame + FRAME - performance.now()));
}

function draw() {
  asked = false;
  lastFrame = performance.now();
  connection.update(line, Date.now());
  choice.update(state);
  session.update(state);
  if (line.state === 'unauthorised') show('token', () => tokenNote(giveToken, api.hasToken()));
  else if (!state.loaded) {
    show('loading', () => loading.element);
    loading.update(waitingFor(line, sync.progress));
  } else {
    show(page, () => page.element);
    page.update(state, clock);
    announcer.alerts(alerts(state, clock.now()));
  }
  announcer.speak(performance.now());
  setText(document.getElementById('health'), healthText());
  document.title = title();
}

function show(what, make) {
  if (shown === what) return;
  shown = what;
  main.replaceChildren(make());
}

function giveToken(token) {
  api.setToken(token);
  line = { ...line, state: 'connecting' };
  shown = null;
  stream.reopen();
  frame();
}

function title() {
  const graph = state.graphs.get(state.graph);
  if (!state.loaded || !graph || !page) return 'Greenloop hub';
  if (current.page === 'overview') return `${percent(state.summary?.percent ?? graph.percent)} · ${graph.name} · Greenloop`;
  return `${page.task ? `${page.task.key} ${page.task.title}` : page.title} · Greenloop`;
}

function healthText() {
  if (!state.health) return '';
  return Object.entries(state.health)
    .filter(([, value]) => typeof value === 'string')
    .map(([name, value]) => `${name} ${value}`)
    .join(' · ');
}

function openPage({ page: name, id, filter }) {
  const use = { api, acted: () => acted(), changed: frame, failed: (error) => failed(null, error) };
  switch (name) {
    case 'overview':
      return overviewPage(use);
    case 'graph':
      return graphPage(id === undefined ? null : Number(id), use);
    case 'task':
      return taskPage(id, use);
    case 'timeline':
      return timelinePage(id, use);
    case 'run':
      return runPage(id, use);
    case 'approvals':
      return approvalsPage(use);
    case 'approval':
      return approvalPage(id, use);
    case 'search':
      return searchPage(filter, use);
    case 'runs':
      return runsPage(filter, use);
    default:
      return missingPage();
  }
}

watchRoute((next) => {
  const first = page === null;
  current = next;
  page?.close?.();
  page = openPage(next);
  state.named = (next.page === 'graph' || next.page === 'timeline') && next.id ? Number(next.id) : null;
  if (state.graphs.has(state.named)) chooseGraph(state.named);
  for (const link of document.querySelectorAll('#pages a')) {
    if (link.dataset.page === next.page) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (!first) {
    scrollTo(0, 0);
    // The reader goes along to the new page; on the first one the browser decides.
    main.focus({ preventScroll: true });
  }
  frame();
});

document.getElementById('skip').addEventListener('click', (event) => {
  // The address names the page: it must not become "#main".
  event.preventDefault();
  main.focus();
});

setInterval(() => {
  if (document.hidden) return;
  connection.update(line, Date.now());
  tick(clock);
  announcer.speak(performance.now());
}, 1_000);
every(ASK_AGENTS, ['agents', 'attempts']);
every(ASK_FIGURES, ['summary', 'health']);
every(ASK_ALL, ['merges', 'branches', 'history']);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) frame();
});

function every(milliseconds, names) {
  setInterval(() => {
    if (!document.hidden && state.loaded && standing(line, Date.now()) === 'live') sync.want(names);
  }, milliseconds);
}

stream.run();
