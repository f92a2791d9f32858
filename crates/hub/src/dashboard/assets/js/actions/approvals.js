// What a person may do with a request for approval: decide on exactly what this page shows.

import { openDialog } from './dialog.js';
import { actionRow } from './buttons.js';

export function approvalActions(api, done) {
  const action = (name, label, text) => ({
    name,
    label,
    when: (approval) => approval.state === 'pending',
    run: (approval) =>
      openDialog({
        title: `${label} request ${approval.id}`,
        confirm: label,
        text,
        async run({ reason }) {
          await api.send('POST', `/approvals/${approval.id}/${name}`, { reason, scope: approval.scope });
          done();
        },
      }),
  });
  return actionRow('Decide on this request', [
    action('approve', 'Approve', 'What waits goes on.'),
    action('reject', 'Reject', 'What waits ends.'),
  ]);
}
