// Where the time of workers went.

import assert from 'node:assert/strict';
import { test } from 'node:test';

// The page's pieces make elements only when they are used; one module measures texts at once.
import { summary } from '../../../../crates/hub/src/dashboard/assets/js/pages/timeline.js';

test("each worker's time is useful, unsuccessful, running or idle", () => {
  const lanes = summary({
    started_at: '2026-01-01T00:00:00Z',
    until: '2026-01-01T00:01:40Z',
    workers: ['w1', 'w2'],
    tasks: [1, 2, 1, 3],
    epochs: [1, 1, 2, 1],
    worker: [0, 1, 0, 1],
    states: ['failed', 'succeeded', 'succeeded', 'running'],
    begins: [0, 0, 20, 60],
    ends: [10, 50, 60, null],
    more: false,
  });
  assert.deepEqual(lanes, [
    { name: 'w1', useful: 40, unsuccessful: 10, running: 0, idle: 50 },
    { name: 'w2', useful: 50, unsuccessful: 0, running: 40, idle: 10 },
  ]);
});
