// What a person may do with merge queues and their entries.

import { openDialog } from './dialog.js';
import { actionRow } from './buttons.js';

export function queueActions(api, done) {
  const action = (name, label, text, when, send) => ({
    name,
    label,
    when,
    run: (branch) =>
      openDialog({
        title: `${label}: ${branch.name}`,
        confirm: label,
        text,
        async run({ reason }) {
          const queue = { project: branch.project, target: branch.name, reason };
          await send(queue);
          done();
        },
      }),
  });
  const post = (path) => (queue) => api.send('POST', `/merge-queue/${path}`, queue);
  const decide = (decision) => (queue) => api.send('POST', '/merge-queue/decision', { ...queue, decision });
  const rewound = (branch) => branch.hold?.reason === 'target_rewound';
  return actionRow('Actions on this merge queue', [
    action('pause', 'Pause queue', 'Nothing is merged; what is being pushed arrives.', (branch) => !branch.paused_since, post('pause')),
    action('resume', 'Resume queue', 'It merges again.', (branch) => Boolean(branch.paused_since), post('resume')),
    action('follow', 'Follow', 'The branch stays where it was moved to; the missing tasks run again.', rewound, decide('follow')),
    action('restore', 'Restore', 'The hub pushes the commit that it left there.', rewound, decide('restore')),
    action('retry', 'Look again', 'The branch is looked at again now.', (branch) => Boolean(branch.hold), decide('retry')),
  ]);
}

export function entryActions(api, done) {
  const action = (name, label, text, when) => ({
    name,
    label,
    when,
    run: (merge) =>
      openDialog({
        title: `${label}: ${merge.branch}`,
        confirm: label,
        text,
        async run(values) {
          await api.send('POST', `/merge-queue/${merge.id}/${name}`, values);
          done();
        },
      }),
  });
  const waits = (merge) => ['queued', 'testing', 'waiting'].includes(merge.state);
  return actionRow('Actions on this entry', [
    action('eject', 'Eject', 'Its task waits for a person.', waits),
    action('retry', 'Requeue', 'It waits at its old place to be merged as it is.', (merge) => merge.state === 'ejected' || merge.unsolved),
  ]);
}
