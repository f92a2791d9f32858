// What needs a person.

import { h, keyed, keep, kept, setAttribute, setText } from '../dom.js';
import { icon } from '../icons.js';
import { alerts } from '../state/alerts.js';
import { panel, setSince, since } from './pieces.js';

/** More are counted: a list that long is read in the table of tasks. */
const MOST = 8;

export function alertsPanel() {
  const list = h('ul', { class: 'alerts-list' });
  const calm = h('p', { class: 'calm' }, icon('good'), 'Nothing needs attention.');
  const more = h('p', { class: 'more' });
  const element = panel('alerts', 'Needs attention', calm, list, more);
  return {
    element,
    update(state, clock) {
      const all = alerts(state, clock.now());
      calm.hidden = all.length > 0;
      list.hidden = all.length === 0;
      keyed(list, all.slice(0, MOST), (alert) => alert.id, make, (row, alert) => change(row, alert, clock));
      more.hidden = all.length <= MOST;
      setText(more, `and ${all.length - MOST} more`);
    },
  };
}

function make(alert) {
  const what = h('strong');
  const text = h('a', { class: 'text' });
  const time = since();
  return keep(
    h('li', { 'data-level': alert.level }, icon(alert.level), h('div', {}, what, ' ', time, text)),
    { what, text, time },
  );
}

function change(row, alert, clock) {
  const { what, text, time } = kept(row);
  setAttribute(row, 'data-level', alert.level);
  setText(what, alert.what);
  setText(text, alert.text);
  setAttribute(text, 'href', alert.href);
  setSince(time, alert.since, clock);
}
