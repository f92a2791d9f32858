// Numbers, times, diffs, addresses, axes.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { linear, ticks, timeTicks } from '../../../../crates/hub/src/dashboard/assets/js/charts/scale.js';
import { parseDiff } from '../../../../crates/hub/src/dashboard/assets/js/diff.js';
import { ago, bytes, count, duration, hours, instant, percent, shortCommit, trimmed } from '../../../../crates/hub/src/dashboard/assets/js/format.js';
import { route } from '../../../../crates/hub/src/dashboard/assets/js/router.js';

test('times as people say them', () => {
  const S = 1_000;
  for (const [ms, text] of [
    [-5 * S, '0 s'],
    [12_900, '12 s'],
    [61 * S, '1 min'],
    [3_600 * S, '1 h'],
    [12_000 * S, '3 h 20 min'],
    [187_200 * S, '2 d 4 h'],
    [NaN, '–'],
  ]) {
    assert.equal(duration(ms), text);
  }
  assert.equal(ago(1_000, 13_000), '12 s ago');
  assert.equal(ago(13_000, 1_000), 'now');
  assert.equal(ago(NaN, 0), '–');
  assert.ok(Number.isNaN(instant(null)));
});

test('numbers as people read them', () => {
  assert.deepEqual([0, 0.2, 63.4, 99.7, 100, NaN].map(percent), ['0 %', '<1 %', '63 %', '99 %', '100 %', '–']);
  assert.deepEqual([0, 1_000, 432_013_312, 5 * 2 ** 30].map(bytes), ['0 B', '1000 B', '412 MiB', '5.0 GiB']);
  assert.deepEqual([0.5, 1.5, 24].map(hours), ['30 min', '1.5 h', '24 h']);
  assert.deepEqual([1.26, 12.6].map(trimmed), ['1.3', '13']);
  assert.deepEqual([1, 3].map((n) => count(n, 'task')), ['1 task', '3 tasks']);
  assert.equal(shortCommit(null), '–');
});

test('a diff becomes files and numbered lines', () => {
  const { files } = parseDiff('diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@ fn\n same\n--- gone\n+++ come\n last\n');
  assert.equal(files.length, 1);
  assert.deepEqual(files[0].lines.map((line) => [line.kind, line.text, line.old, line.new]), [
    ['hunk', '@@ -1,3 +1,3 @@ fn', null, null],
    ['same', 'same', 1, 1],
    ['removed', '-- gone', 2, null],
    ['added', '++ come', null, 2],
    ['same', 'last', 3, 3],
  ]);
  assert.deepEqual([files[0].added, files[0].removed], [1, 1]);
});

test('wrong counts in a hunk do not swallow the next file', () => {
  const { files } = parseDiff('--- a/x\n+++ b/x\n@@ -1,9 +1,9 @@\n-a\n+b\ndiff --git a/y b/y\nnew file mode 100644\n--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+c\n');
  assert.deepEqual(files.map((file) => [file.name, file.added, file.removed]), [['x', 1, 1], ['y', 1, 0]]);
});

test('what is no diff is shown, and a very long one is cut', () => {
  assert.equal(parseDiff('hello\nworld').files[0].lines.length, 2);
  assert.deepEqual(parseDiff('').files, []);
  assert.equal(parseDiff('+x\n'.repeat(5_000)).hidden, 1_000);
});

test('addresses name pages', () => {
  assert.deepEqual(route(''), { page: 'overview' });
  assert.deepEqual(route('#/'), { page: 'overview' });
  assert.deepEqual(route('#/graph'), { page: 'graph' });
  assert.deepEqual(route('#/graphs/7'), { page: 'graph', id: '7' });
  assert.deepEqual(route('#/graphs/x'), { page: 'missing' });
  assert.deepEqual(route('#/tasks/12'), { page: 'task', id: '12' });
  assert.deepEqual(route('#/approvals'), { page: 'approvals' });
  assert.deepEqual(route('#/approvals/4'), { page: 'approval', id: '4' });
  assert.deepEqual(route('#/approvals/x'), { page: 'missing' });
  assert.deepEqual(route('#/search'), { page: 'search', filter: { q: '' } });
  assert.deepEqual(route('#/search?q=a%26b+c'), { page: 'search', filter: { q: 'a&b c' } });
  assert.deepEqual(route('#/runs/a%2Fb'), { page: 'run', id: 'a/b' });
  assert.deepEqual(route('#/runs/%'), { page: 'run', id: '%' });
  assert.deepEqual(route('#/tasks/x'), { page: 'missing' });
  assert.deepEqual(route('#/graphs/7/timeline'), { page: 'timeline', id: '7' });
  assert.deepEqual(route('#/graphs/7/other'), { page: 'missing' });
  assert.deepEqual(route('#/runs'), { page: 'runs', filter: { environment: '', state: '' } });
  assert.deepEqual(route('#/runs?environment=eu%20west&state=stopped&x=1'), {
    page: 'runs',
    filter: { environment: 'eu west', state: 'stopped' },
  });
});

test('axes have round values that cover the data', () => {
  assert.deepEqual(ticks(592), [0, 200, 400, 600]);
  assert.deepEqual(ticks(0), [0, 1]);
  assert.deepEqual(ticks(0.3, 3), [0, 0.1, 0.2, 0.3]);
  assert.equal(linear([0, 10], [100, 0])(5), 50);
  const { times, step } = timeTicks(Date.UTC(2026, 0, 2, 10, 3), Date.UTC(2026, 0, 2, 16, 3));
  assert.equal(step, 3_600_000);
  assert.equal(times.length, 6);
});
