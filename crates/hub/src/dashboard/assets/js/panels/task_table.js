// All tasks as a table: what the graph shows, for those who would rather read it.

import { h, keyed, keep, kept, setText } from '../dom.js';
import { hours } from '../format.js';
import { TASK_STATES } from '../state/states.js';
import { badge, setBadge, setTaskLink, taskLink } from './pieces.js';

export function taskTable() {
  const words = h('input', { type: 'search', id: 'task-words', placeholder: 'Key, title, agent or epic', autocomplete: 'off' });
  const states = h(
    'select',
    { id: 'task-state' },
    h('option', { value: '' }, 'all'),
    ...TASK_STATES.map((state) => h('option', { value: state }, state)),
  );
  const found = h('p', { class: 'more', role: 'status' });
  const body = h('tbody');
  const element = h(
    'div',
    { class: 'task-table' },
    h(
      'form',
      { class: 'filter', role: 'search', onsubmit: (event) => event.preventDefault() },
      h('label', { for: 'task-words' }, 'Find'),
      words,
      h('label', { for: 'task-state' }, 'State'),
      states,
      found,
    ),
    h(
      'div',
      { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Tasks' },
      h(
        'table',
        {},
        h('caption', { class: 'unseen' }, 'Tasks of the graph'),
        h(
          'thead',
          {},
          h('tr', {}, ...['Task', 'State', 'Progress', 'Agent', 'Epic', 'Work', 'Needs'].map((name) => h('th', { scope: 'col' }, name))),
        ),
        body,
      ),
    ),
  );
  let tasks = new Map();
  const show = () => {
    const wanted = words.value.trim().toLowerCase();
    const all = [...tasks.values()]
      .filter((task) => !states.value || task.state === states.value)
      .filter((task) => !wanted || text(task).includes(wanted))
      .sort((a, b) => a.key.localeCompare(b.key, 'en', { numeric: true }));
    setText(found, `${all.length} of ${tasks.size}`);
    keyed(body, all, (task) => task.id, make, (row, task) => change(row, task, tasks));
  };
  words.addEventListener('input', show);
  states.addEventListener('input', show);
  return {
    element,
    update(now) {
      tasks = now;
      if (element.isConnected && !element.hidden) show();
    },
  };
}

function text(task) {
  return `${task.key} ${task.title} ${task.agent ?? ''} ${task.epic ?? ''}`.toLowerCase();
}

function make() {
  const parts = {
    task: taskLink(),
    state: badge(),
    percent: h('td', { class: 'number' }),
    agent: h('td'),
    epic: h('td'),
    hours: h('td', { class: 'number' }),
    needs: h('td', { class: 'needs' }),
  };
  return keep(
    h('tr', {}, h('th', { scope: 'row' }, parts.task), h('td', {}, parts.state), parts.percent, parts.agent, parts.epic, parts.hours, parts.needs),
    parts,
  );
}

function change(row, task, tasks) {
  const parts = kept(row);
  setTaskLink(parts.task, task.id, task);
  setBadge(parts.state, task.state);
  setText(parts.percent, task.state === 'running' ? `${task.percent} %` : '');
  setText(parts.agent, task.agent ?? '');
  setText(parts.epic, task.epic ?? '');
  setText(parts.hours, hours(task.hours));
  setText(parts.needs, task.needs.map((id) => tasks.get(id)?.key ?? `#${id}`).join(', '));
}
