// How far each epic is.

import { h, keyed, keep, kept, setText } from '../dom.js';
import { count, hours, percent } from '../format.js';
import { bar, nothing, panel, setBar } from './pieces.js';

export function epicsPanel() {
  const list = h('ul', { class: 'epics-list' });
  const none = nothing('The graph has no epics.');
  const element = panel('epics', 'Epics', list, none);
  return {
    element,
    update(state) {
      const all = (state.summary?.epics ?? []).filter(
        (epic) => state.graph === null || epic.graph === state.graph,
      );
      none.hidden = all.length > 0;
      keyed(list, all, (epic) => `${epic.graph}/${epic.key}`, make, change);
    },
  };
}

function make(epic) {
  const title = h('span', { class: 'title' });
  const value = h('span', { class: 'value' });
  const meter = bar(`Epic ${epic.key}`);
  const more = h('span', { class: 'more' });
  return keep(
    h('li', {}, h('span', { class: 'key' }, epic.key), title, value, meter, more),
    { title, value, meter, more },
  );
}

function change(row, epic) {
  const { title, value, meter, more } = kept(row);
  setText(title, epic.title);
  setText(value, percent(epic.percent));
  setBar(meter, epic.percent, epic.percent >= 100 ? 'done' : 'running');
  const work = epic.hours > 0 ? `, ${hours(epic.hours_done)} of ${hours(epic.hours)}` : '';
  setText(more, `${epic.tasks_done} of ${count(epic.tasks, 'task')}${work}`);
}
