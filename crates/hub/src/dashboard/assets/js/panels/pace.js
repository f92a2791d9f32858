// How fast it goes, and when it ends.

import { burnUp } from '../charts/burn_up.js';
import { columns } from '../charts/columns.js';
import { h } from '../dom.js';
import { panel } from './pieces.js';

/** The charts follow the clock, but nobody sees a pixel of it every second. */
const EVERY = 5_000;

export function pacePanel() {
  const charts = [
    burnUp(),
    columns('Velocity', 'h of work per hour', (one) => one.velocity),
    columns('Tasks per hour', 'tasks per hour', (one) => one.perHour),
  ];
  const element = panel('pace', 'Pace', h('div', { class: 'charts' }, ...charts.map((chart) => chart.element)));
  let shown = { history: null, summary: null, at: -Infinity };
  return {
    element,
    update(state, clock) {
      const now = clock.now();
      const same = shown.history === state.history && shown.summary === state.summary;
      if (same && now - shown.at < EVERY) return;
      shown = { history: state.history, summary: state.summary, at: now };
      for (const chart of charts) chart.update(state, now);
    },
  };
}
