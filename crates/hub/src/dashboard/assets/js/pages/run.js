// One deploy run and its report.

import { h } from '../dom.js';
import { duration, instant, moment } from '../format.js';
import { badge, setBadge } from '../panels/pieces.js';
import { facts } from './facts.js';
import { missingPage, waitingText } from './notes.js';
import { recordOf } from './record.js';

export function runPage(id, { api, changed, failed }) {
  let shown = null;
  const record = recordOf(`/runs/${encodeURIComponent(id)}`, { api, changed, failed });
  const body = h('div', { class: 'bone bone-graph' });
  const waiting = waitingText();
  const element = h('div', { class: 'task-page' }, h('p', { class: 'back' }, h('a', { href: '#/' }, '← Overview')), waiting.element, body);
  return {
    title: `Run ${id}`,
    element,
    event(event) {
      if (event.kind === 'run.reported') record.want();
    },
    close: record.close,
    refresh: record.want,
    update() {
      const run = record.value;
      if (record.missing && !run) element.replaceChildren(missingPage(`This hub has no run ${id}.`).element);
      waiting.update(run === null ? record.trouble : '');
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
