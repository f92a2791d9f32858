// One deploy run and its report.

import { h } from '../dom.js';
import { duration, instant, moment } from '../format.js';
import { badge, setBadge } from '../panels/pieces.js';
import { Sync } from '../state/sync.js';
import { facts } from './facts.js';
import { missingPage, waitingText } from './notes.js';

export function runPage(id, { api, changed, failed }) {
  let run = null;
  let shown = null;
  let missing = false;
  let trouble = '';
  const sync = new Sync(
    {
      run: {
        every: 1_000,
        read: async () => {
          run = await api.get(`/runs/${encodeURIComponent(id)}`);
          changed();
        },
      },
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
  sync.want(['run']);
  const body = h('div', { class: 'bone bone-graph' });
  const waiting = waitingText();
  const element = h('div', { class: 'task-page' }, h('p', { class: 'back' }, h('a', { href: '#/' }, '← Overview')), waiting.element, body);
  return {
    title: `Run ${id}`,
    element,
    event(event) {
      if (event.kind === 'run.reported') sync.want(['run']);
    },
    close() {
      sync.stop();
    },
    refresh() {
      sync.want(['run']);
    },
    update() {
      if (missing && !run) element.replaceChildren(missingPage(`This hub has no run ${id}.`).element);
      waiting.update(run === null ? trouble : '');
      if (!run || run === shown) return;
      shown = run;
      body.className = '';
      body.replaceChildren(...content(run));
    },
  };
}

function content(run) {
  const state = badge();
  setBadge(state, run.state);
  const took = instant(run.ended_at) - instant(run.started_at);
  return [
    h('div', { class: 'task-title' }, h('h1', {}, `${run.environment ?? 'Run'} ${run.id}`), state),
    run.summary ? h('p', { class: 'reason' }, run.summary) : null,
    h(
      'section',
      { class: 'panel' },
      facts([
        ['Commit', run.commit ? h('code', {}, run.commit) : ''],
        ['Began', moment(instant(run.started_at))],
        ['Ended', run.ended_at ? moment(instant(run.ended_at)) : ''],
        ['Took', Number.isFinite(took) ? duration(took) : ''],
      ]),
    ),
    run.report ? h('section', { class: 'panel' }, h('h2', {}, 'Report'), h('p', { class: 'prose' }, run.report)) : null,
  ].filter(Boolean);
}
