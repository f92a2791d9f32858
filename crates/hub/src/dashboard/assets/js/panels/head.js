// The answer to "how far, and how long still?" at the top of the page.

import { graphActions } from '../actions/graphs.js';
import { h, keyed, keep, kept, setText, setVariable } from '../dom.js';
import { count, duration, hours, moment, percent, trimmed, NOTHING } from '../format.js';
import { icon } from '../icons.js';
import { finish } from '../state/pace.js';
import { isOpenMerge, TASK_STATES } from '../state/states.js';

export function headPanel({ api, acted }) {
  const title = h('h1');
  const about = h('p', { class: 'about' });
  const paused = h('p', { class: 'paused-note' });
  const actions = graphActions(api, acted);
  const done = h('span', { class: 'huge' });
  const stack = h('div', { class: 'stack', 'aria-hidden': 'true' });
  const legend = h('ul', { class: 'legend', 'aria-label': 'Tasks by state' });
  const figures = h('dl', { class: 'figures' });
  const rows = {};
  for (const [name, label] of [
    ['eta', 'Done in'],
    ['velocity', 'Velocity'],
    ['throughput', 'Last hour'],
    ['agents', 'Agents'],
    ['merges', 'Merge queue'],
  ]) {
    const value = h('span', { class: 'value' });
    const more = h('span', { class: 'more' });
    rows[name] = { value, more };
    figures.append(h('div', { class: 'figure' }, h('dt', {}, label), h('dd', {}, value, more)));
  }
  const element = h(
    'section',
    { class: 'head', 'aria-label': 'Progress' },
    h('div', { class: 'head-title' }, h('div', {}, title, about, paused, actions.element), done),
    stack,
    legend,
    figures,
  );

  return {
    element,
    update(state, clock) {
      const graph = state.graphs.get(state.graph);
      setText(title, graph ? graph.name : 'All graphs');
      setText(about, graph ? described(graph) : '');
      paused.hidden = !graph?.paused_since;
      setText(paused, graph?.paused_since ? `Paused by a person since ${moment(Date.parse(graph.paused_since))}` : '');
      actions.update(graph, state);
      const tasks = counted(state);
      setText(done, percent(state.summary?.percent ?? graph?.percent));
      const shown = TASK_STATES.filter((name) => tasks[name] > 0);
      keyed(stack, shown, (name) => name, makePart, (part, name) => setVariable(part, '--count', String(tasks[name])));
      keyed(legend, shown, (name) => name, makeLegend, (row, name) => setText(kept(row).number, String(tasks[name])));
      fillFigures(rows, state, clock.now());
    },
  };
}

function described(graph) {
  const where = `${graph.project} → ${graph.target}`;
  const from = `since ${moment(Date.parse(graph.created_at))}`;
  return `${where} · ${graph.state} · ${from}`;
}

function counted(state) {
  const tasks = {};
  for (const task of state.tasks.values()) tasks[task.state] = (tasks[task.state] ?? 0) + 1;
  return tasks;
}

function makePart(name) {
  return h('span', { class: 'part', 'data-state': name });
}

function makeLegend(name) {
  const number = h('strong');
  return keep(h('li', { 'data-state': name }, icon(name), number, ' ', name), { number });
}

function fillFigures(rows, state, now) {
  const put = (name, value, more) => {
    setText(rows[name].value, value);
    setText(rows[name].more, more);
  };
  const summary = state.summary;
  const end = finish(summary, now);
  if (end) {
    const range = `${duration(end.low - now)} to ${duration(end.high - now)} · about ${moment(end.middle)}`;
    put('eta', duration(end.middle - now), range);
  } else {
    put('eta', summary?.percent === 100 ? 'done' : NOTHING, summary?.percent === 100 ? '' : 'not enough data yet');
  }
  put(
    'velocity',
    Number.isFinite(summary?.velocity) ? `${trimmed(summary.velocity)} h/h` : NOTHING,
    summary ? `${hours(summary.hours_done)} of ${hours(summary.hours)} of work` : '',
  );
  put('throughput', summary ? count(summary.tasks_last_hour, 'task') : NOTHING, 'finished');
  const agents = [...state.agents.values()];
  const working = agents.filter((agent) => agent.state === 'working' || agent.task !== null).length;
  const there = agents.filter((agent) => agent.state !== 'inactive' && agent.state !== 'left').length;
  put('agents', `${working} of ${there}`, 'working');
  const open = [...state.merges.values()].filter(isOpenMerge);
  const stopped = open.filter((merge) => merge.unsolved).length;
  put('merges', String(open.length), stopped ? count(stopped, 'conflict') : 'open');
}
