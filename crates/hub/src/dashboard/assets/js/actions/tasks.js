// What a person may do with a task.

import { openDialog } from './dialog.js';
import { actionRow } from './buttons.js';

const OPEN = new Set(['waiting', 'ready', 'blocked', 'failed']);
const RETRIED = new Set(['failed', 'blocked', 'cancelled']);
const OVER = new Set(['done', 'failed', 'cancelled']);

export function taskActions(api, done) {
  const act = async (method, path, body) => {
    await api.send(method, path, body);
    done();
  };
  const on = (task, what, body) => act('POST', `/tasks/${task.id}/${what}`, body);
  return actionRow('Actions on this task', [
    {
      name: 'retry',
      label: 'Retry',
      when: (task) => RETRIED.has(task.state),
      run: (task) =>
        openDialog({
          title: 'Retry',
          text: `${task.key} gets all its attempts again.`,
          fields: [{ name: 'dependants', label: 'Also the tasks that need it and that failed or were cancelled', kind: 'check' }],
          run: (values) => on(task, 'retry', values),
        }),
    },
    {
      name: 'cancel',
      label: 'Cancel',
      when: (task) => !OVER.has(task.state),
      run: (task) =>
        openDialog({
          title: 'Cancel task',
          text: task.state === 'running' ? `${task.agent} stops at its next heartbeat.` : '',
          run: (values) => on(task, 'cancel', values),
        }),
    },
    {
      name: 'edit',
      label: 'Edit',
      when: (task) => task.state !== 'done',
      run: (task) => edit(task, (body) => act('PUT', `/tasks/${task.id}`, body)),
    },
    {
      name: 'assign',
      label: 'Assign',
      when: (task) => task.state !== 'done' && task.state !== 'cancelled',
      run: (task) =>
        openDialog({
          title: 'Assign',
          text: 'From the next attempt on.',
          fields: [
            { name: 'agent', label: 'Only this worker', kind: 'text', value: task.assigned, help: 'Empty: any with its role and labels' },
            { name: 'exclude', label: 'Not these workers', kind: 'text', value: task.excluded.join(', ') },
          ],
          run: ({ agent, exclude, reason }) => on(task, 'assign', { agent: agent.trim() || null, exclude: words(exclude), reason }),
        }),
    },
    {
      name: 'take-over',
      label: 'Take over',
      when: (task) => OPEN.has(task.state),
      run: (task) =>
        openDialog({
          title: 'Take over',
          text: 'No worker gets it any more. Hand your work in with Resolve, or give it back with Retry.',
          run: (values) => on(task, 'take-over', values),
        }),
    },
    {
      name: 'resolve',
      label: 'Resolve',
      when: (task) => OPEN.has(task.state),
      run: (task) =>
        openDialog({
          title: 'Resolve by hand',
          fields: [
            { name: 'commit', label: 'Commit, its whole id', kind: 'text', required: true },
            { name: 'branch', label: 'Branch that it was pushed to', kind: 'text', help: 'It goes through the merge queue and its gates. Empty: the target has the commit already.' },
          ],
          run: ({ commit, branch, reason }) => on(task, 'resolve', { commit: commit.trim(), branch: branch.trim() || null, reason }),
        }),
    },
  ]);
}

export function words(text) {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** While an attempt runs, only what it does not read can change. */
function edit(task, send) {
  const command = typeof task.action === 'object' ? task.action.command : null;
  const busy = task.state === 'running' || task.state === 'merging';
  const before = { title: task.title, description: task.description, command, priority: task.priority, max_attempts: task.max_attempts };
  const text = [
    { name: 'title', label: 'Title', kind: 'text', value: before.title, required: true },
    { name: 'description', label: 'Description', kind: 'area', value: before.description },
    command === null ? null : { name: 'command', label: 'Command', kind: 'area', value: command, required: true },
  ];
  openDialog({
    title: 'Edit',
    text: busy ? 'Its text can be changed once the attempt has ended.' : 'The next attempt works on this text.',
    confirm: 'Save',
    fields: [
      ...(busy ? [] : text.filter(Boolean)),
      { name: 'priority', label: 'Priority, smaller is more urgent', kind: 'number', value: before.priority },
      { name: 'max_attempts', label: 'Attempts at most', kind: 'number', value: before.max_attempts },
    ],
    run: ({ reason, ...values }) => {
      const changed = Object.entries(values).filter(([name, value]) => value !== null && value !== before[name]);
      return send({ reason, ...Object.fromEntries(changed) });
    },
  });
}
