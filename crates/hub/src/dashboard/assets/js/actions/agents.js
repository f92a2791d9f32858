// What a person may do with a worker.

import { openDialog } from './dialog.js';
import { actionRow } from './buttons.js';

const GONE = new Set(['left', 'down']);

export function agentActions(api, done) {
  const action = (name, label, text, when) => ({
    name,
    label,
    when,
    run: (agent) =>
      openDialog({
        title: `${label} ${agent.name}`,
        confirm: label,
        text,
        async run(values) {
          const path = `/agents/${encodeURIComponent(agent.name)}`;
          if (name === 'remove') await api.send('DELETE', path, values);
          else await api.send('POST', `${path}/${name}`, values);
          done();
        },
      }),
  });
  return actionRow('Actions on this worker', [
    action('drain', 'Drain', 'It finishes what it has and stops.', (agent) => !GONE.has(agent.state) && !agent.drain),
    action('quarantine', 'Quarantine', 'It is given no more work until somebody releases it.', (agent) => agent.state !== 'left' && !agent.quarantine),
    action('release', 'Release', 'Ends a quarantine that a person began.', (agent) => Boolean(agent.quarantine)),
    action('activate', 'Activate', 'It is given work again.', (agent) => agent.state === 'inactive'),
    action('deactivate', 'Deactivate', 'It is given no more work, also after a restart.', (agent) => agent.state !== 'inactive' && agent.state !== 'left'),
    action('remove', 'Remove', 'What it did stays.', (agent) => GONE.has(agent.state)),
  ]);
}
