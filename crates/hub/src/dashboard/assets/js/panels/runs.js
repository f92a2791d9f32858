// Deploy runs that were reported to the hub.

import { h, keyed, keep, kept, setAttribute, setText } from '../dom.js';
import { duration, instant, shortCommit } from '../format.js';
import { badge, nothing, panel, setBadge, setSince, since } from './pieces.js';

const MOST = 8;

export function runsPanel() {
  const list = h('ul', { class: 'runs-list' });
  const none = h(
    'div',
    {},
    nothing('No deploy run has reported to this hub. Runs report if they have its address and a token with the scope work:'),
    h('pre', { class: 'command', tabindex: '0' }, h('code', {}, 'GREENLOOP_HUB_URL=… GREENLOOP_HUB_TOKEN=… greenloop --environment staging')),
  );
  const all = h('a', { href: '#/runs' }, 'All runs');
  const element = panel('runs', 'Deploy runs', none, list, h('p', { class: 'more' }, all));
  return {
    element,
    update(state, clock) {
      none.hidden = state.runs.length > 0;
      keyed(list, state.runs.slice(0, MOST), (run) => run.id, makeRun, (row, run) => changeRun(row, run, clock));
      all.hidden = state.runs.length === 0;
    },
  };
}

export function makeRun(run) {
  const parts = {
    state: badge(),
    name: h('a', { href: `#/runs/${encodeURIComponent(run.id)}` }),
    more: h('span', { class: 'more' }),
    time: since(),
  };
  return keep(h('li', {}, parts.state, h('div', {}, parts.name, parts.more), parts.time), parts);
}

export function changeRun(row, run, clock) {
  const parts = kept(row);
  setBadge(parts.state, run.state);
  setText(parts.name, run.environment ?? run.id);
  const took = instant(run.ended_at) - instant(run.started_at);
  setText(
    parts.more,
    [run.summary, run.commit ? shortCommit(run.commit) : '', Number.isFinite(took) ? duration(took) : '']
      .filter(Boolean)
      .join(' · '),
  );
  setAttribute(parts.name, 'title', run.id);
  setSince(parts.time, run.ended_at ?? run.started_at, clock);
}
