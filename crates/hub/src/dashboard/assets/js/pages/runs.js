// The history of deploy runs, with filters that the address names.

import { h, keyed, setText } from '../dom.js';
import { changeRun, makeRun } from '../panels/runs.js';
import { nothing } from '../panels/pieces.js';
import { Sync } from '../state/sync.js';
import { waitingText } from './notes.js';

/** Runs that are shown at first, and how many more with each click. */
const PART = 200;
const STATES = ['running', 'verified', 'restored', 'stopped', 'cancelled'];

/** `filter` is `{environment, state}`; an empty text stands for all. */
export function runsPage(filter, { api, changed, failed }) {
  let runs = null;
  let shown = PART;
  let more = false;
  let trouble = '';
  const [ofEnvironment, inState] = [filter.environment, filter.state].map(encodeURIComponent);
  const sync = new Sync(
    {
      runs: {
        every: 2_000,
        read: async () => {
          const found = await api.list(`/runs?environment=${ofEnvironment}&state=${inState}`, { most: shown + 1 });
          more = found.length > shown;
          runs = found.slice(0, shown);
          trouble = '';
          changed();
        },
      },
    },
    {
      fail: (_, error) => {
        trouble = error.message;
        failed(error);
        changed();
      },
    },
  );
  sync.want(['runs']);
  const known = h('datalist', { id: 'environments' });
  const environment = h('input', { type: 'search', id: 'run-environment', list: 'environments', value: filter.environment, placeholder: 'all', autocomplete: 'off' });
  const state = h('select', { id: 'run-state' }, h('option', { value: '' }, 'all'), ...STATES.map((name) => h('option', { value: name }, name)));
  if (filter.state && !STATES.includes(filter.state)) state.append(h('option', { value: filter.state }, filter.state));
  state.value = filter.state;
  const found = h('p', { class: 'more', role: 'status' });
  const waiting = waitingText();
  const none = nothing('No run fits.');
  const list = h('ul', { class: 'runs-list' });
  const older = h(
    'button',
    {
      type: 'button',
      class: 'main-button',
      hidden: true,
      onclick: () => {
        shown += PART;
        sync.want(['runs']);
      },
    },
    'Older runs',
  );
  const go = () => {
    const chosen = new URLSearchParams();
    if (environment.value.trim()) chosen.set('environment', environment.value.trim());
    if (state.value) chosen.set('state', state.value);
    location.hash = chosen.size > 0 ? `#/runs?${chosen}` : '#/runs';
  };
  environment.addEventListener('change', go);
  state.addEventListener('change', go);
  const element = h(
    'div',
    { class: 'task-page runs-page' },
    h('p', { class: 'back' }, h('a', { href: '#/' }, '← Overview')),
    h('h1', {}, 'Deploy runs'),
    h(
      'form',
      {
        class: 'filter',
        role: 'search',
        onsubmit: (event) => {
          event.preventDefault();
          go();
        },
      },
      h('label', { for: 'run-environment' }, 'Environment'),
      environment,
      known,
      h('label', { for: 'run-state' }, 'State'),
      state,
      found,
    ),
    waiting.element,
    h('section', { class: 'panel runs', 'aria-label': 'Deploy runs' }, none, list, older),
  );
  return {
    title: 'Deploy runs',
    element,
    event(event) {
      if (event.kind === 'run.reported') sync.want(['runs']);
    },
    close() {
      sync.stop();
    },
    refresh() {
      sync.want(['runs']);
    },
    update(all, clock) {
      waiting.update(runs === null ? trouble : '');
      const names = [...new Set(all.runs.map((run) => run.environment))].sort();
      keyed(known, names, (name) => name, (name) => h('option', { value: name }), () => {});
      none.hidden = runs === null || runs.length > 0;
      if (runs === null) return;
      setText(found, more ? `the last ${runs.length}` : `${runs.length} found`);
      older.hidden = !more;
      keyed(list, runs, (run) => run.id, makeRun, (row, run) => changeRun(row, run, clock));
    },
  };
}
