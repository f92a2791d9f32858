// What happened since the page was opened, newest first.

import { h, keyed, keep, kept, setText } from '../dom.js';
import { happening, tone } from '../state/states.js';
import { nothing, panel, setSince, setTaskLink, since, taskLink } from './pieces.js';

const MOST = 14;

export function activityPanel() {
  const list = h('ol', { class: 'activity-list' });
  const none = nothing('No events since this page was opened.');
  const element = panel('activity', 'Activity', none, list);
  return {
    element,
    update(state, clock) {
      none.hidden = state.recent.length > 0;
      keyed(list, state.recent.slice(0, MOST), (event) => event.id, make, (row, event) => change(row, event, state, clock));
    },
  };
}

function make(event) {
  const parts = { task: taskLink(), text: h('span', { class: 'text' }), time: since() };
  return keep(
    h(
      'li',
      { 'data-tone': tone(event.kind) },
      h('span', { class: 'what' }, happening(event.kind)),
      h('span', { class: 'about' }, parts.task, parts.text),
      parts.time,
    ),
    parts,
  );
}

function change(row, event, state, clock) {
  const parts = kept(row);
  parts.task.hidden = event.task === null || event.task === undefined;
  if (!parts.task.hidden) setTaskLink(parts.task, event.task, state.tasks.get(event.task));
  const title = state.tasks.get(event.task)?.title;
  const text = event.text && event.text !== title ? event.text : '';
  setText(parts.text, [event.agent, text].filter(Boolean).join(' · '));
  setSince(parts.time, event.at, clock);
}
