// Colours of output.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ansiRuns } from '../../../../crates/hub/src/dashboard/assets/js/ansi.js';

test('colours become styles, across pieces', () => {
  const first = ansiRuns('plain \u001b[1;31mred');
  assert.deepEqual(first.runs, [
    { text: 'plain ', style: '' },
    { text: 'red', style: 'ansi-bold ansi-fg-red' },
  ]);
  const second = ansiRuns(' still\u001b[22m\u001b[32m green\u001b[m end', first.style);
  assert.deepEqual(second.runs, [
    { text: ' still', style: 'ansi-bold ansi-fg-red' },
    { text: ' green', style: 'ansi-fg-green' },
    { text: ' end', style: '' },
  ]);
});

test('what moves the cursor or sets a title is left out', () => {
  const { runs } = ansiRuns('a\u001b[2Kb\u001b]0;title\u0007c\u001b[38;5;196md\u001b[38;2;1;2;3me\rf\r\ng\u0007');
  assert.equal(runs.map((run) => run.text).join(''), 'abcdef\r\ng');
  assert.ok(runs.every((run) => run.style === ''));
});
