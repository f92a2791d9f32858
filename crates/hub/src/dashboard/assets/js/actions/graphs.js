// What a person may do with a graph.

import { openDialog } from './dialog.js';
import { actionRow } from './buttons.js';
import { words } from './tasks.js';

export function graphActions(api, done) {
  const on = async (graph, what, body) => {
    await api.send('POST', `/graphs/${graph.id}/${what}`, body);
    done();
  };
  const simple = (name, label, text, when) => ({
    name,
    label,
    when,
    run: (graph) => openDialog({ title: label, text, run: (values) => on(graph, name, values) }),
  });
  const runs = (graph) => graph.state === 'running';
  const count = (graph, state) => graph.tasks[state] ?? 0;
  return actionRow('Actions on this graph', [
    simple('pause', 'Pause', 'Workers finish what they have and get nothing more of this graph.', (graph) => runs(graph) && !graph.paused_since),
    simple('resume', 'Resume', 'Its tasks are given to workers again.', (graph) => Boolean(graph.paused_since)),
    simple('retry', 'Retry failed', 'All tasks that failed or are blocked get all their attempts again.', (graph) => count(graph, 'failed') + count(graph, 'blocked') > 0),
    {
      name: 'add',
      label: 'Add task',
      when: runs,
      run: (graph) => add(api, graph, done),
    },
    simple('cancel', 'Cancel graph', 'All its open tasks are cancelled.', runs),
  ]);
}

function add(api, graph, done) {
  openDialog({
    title: 'Add task',
    confirm: 'Add',
    fields: [
      { name: 'key', label: 'Key', kind: 'text', required: true },
      { name: 'title', label: 'Title', kind: 'text', required: true },
      { name: 'description', label: 'Description', kind: 'area' },
      { name: 'command', label: 'Command', kind: 'text', help: 'Empty: an agent works on the description' },
      { name: 'needs', label: 'Needs, keys of tasks', kind: 'text' },
      { name: 'epic', label: 'Epic', kind: 'text' },
      { name: 'role', label: 'Role', kind: 'text' },
      { name: 'priority', label: 'Priority', kind: 'number', value: 2 },
      { name: 'hours', label: 'Hours', kind: 'number', value: 1 },
    ],
    async run({ reason, command, needs, epic, role, ...rest }) {
      const task = {
        ...rest,
        action: command.trim() ? { command } : 'agent',
        needs: words(needs),
        epic: epic.trim() || null,
        role: role.trim() || null,
      };
      await api.send('POST', '/tasks', { graph: graph.id, task, reason });
      done();
    },
  });
}
