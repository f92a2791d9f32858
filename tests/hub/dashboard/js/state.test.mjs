// Reducers of events, alerts, pace.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { alerts } from '../../../../crates/hub/src/dashboard/assets/js/state/alerts.js';
import { attemptLeft, buckets, finish, points } from '../../../../crates/hub/src/dashboard/assets/js/state/pace.js';
import { emptyState, heardAfter, reduce, unlessHeard } from '../../../../crates/hub/src/dashboard/assets/js/state/reduce.js';
import { Sync, Touched } from '../../../../crates/hub/src/dashboard/assets/js/state/sync.js';
import { waitingFor } from '../../../../crates/hub/src/dashboard/assets/js/state/waiting.js';

const AT = '2026-01-02T10:00:00Z';
const NOW = Date.parse(AT);
const HOUR = 3_600_000;

function hub() {
  const state = emptyState();
  state.graph = 1;
  state.tasks.set(7, { id: 7, key: '1.1', title: 'First', needs: [], state: 'ready', epoch: 0, percent: 0, agent: null, updated_at: AT });
  state.agents.set('a', { name: 'a', host: 'vm-1', state: 'idle', task: null, percent: null, last_heartbeat: AT });
  return state;
}

let ids = 0;
const event = (kind, more = {}) => ({ id: (ids += 1), at: AT, kind, graph: 1, task: 7, epoch: 1, agent: 'a', merge: null, percent: null, text: null, ...more });

test('a task goes its way, and its agent with it', () => {
  const state = hub();
  reduce(state, event('task.claimed'));
  assert.equal(state.tasks.get(7).state, 'running');
  assert.equal(state.agents.get('a').task, 7);
  reduce(state, event('task.progress', { percent: 40, text: 'compiling' }));
  assert.equal(state.tasks.get(7).percent, 40);
  assert.equal(state.attempts.get(7).message, 'compiling');
  const { stale, touched } = reduce(state, event('task.done'));
  assert.equal(state.tasks.get(7).state, 'done');
  assert.equal(state.agents.get('a').state, 'idle');
  assert.equal(state.attempts.size, 0);
  assert.ok(stale.has('summary'));
  assert.deepEqual([...touched], [7]);
});

test('a report on a superseded attempt changes nothing', () => {
  const state = hub();
  reduce(state, event('task.claimed', { epoch: 2 }));
  reduce(state, event('task.progress', { epoch: 1, percent: 90 }));
  assert.equal(state.tasks.get(7).percent, 0);
});

test('a list that was asked for before an event does not undo it', () => {
  const state = hub();
  state.tasks.set(8, { id: 8, key: '1.2', state: 'waiting', epoch: 0 });
  const list = () => new Map([7, 8].map((id) => [id, { id, state: 'ready', epoch: 0 }]));
  const before = state.heard;
  reduce(state, event('task.claimed'));
  assert.ok(heardAfter(state, 7, before));
  const read = unlessHeard(state, state.tasks, list(), before);
  assert.deepEqual([read.get(7).state, read.get(8).state], ['running', 'ready']);
  assert.ok(unlessHeard(state, state.attempts, new Map(), before).has(7), 'nor does it end an attempt');
  // One that is asked for afterwards counts.
  assert.equal(unlessHeard(state, state.tasks, list(), state.heard).get(7).state, 'ready');
  const running = new Map([[7, { task: 7 }]]);
  const claimed = state.heard;
  reduce(state, event('task.done'));
  assert.equal(unlessHeard(state, state.attempts, running, claimed).size, 0, 'nor does it begin one again');
});

test('what is not known is read', () => {
  const state = hub();
  assert.ok(reduce(state, event('task.ready', { task: 99 })).stale.has('tasks'));
  assert.ok(reduce(state, event('agent.up', { agent: 'z', task: null })).stale.has('agents'));
  assert.ok(reduce(state, event('run.reported', { task: null })).stale.has('runs'));
  assert.ok(reduce(state, event('merge.testing', { merge: 3 })).stale.has('merges'));
  assert.equal(reduce(state, event('something.new')).stale.size, 0);
});

test('other graphs do not touch this one', () => {
  const state = hub();
  reduce(state, event('task.failed', { graph: 2 }));
  assert.equal(state.tasks.get(7).state, 'ready');
});

test('memory stays bounded whatever happens', () => {
  const state = hub();
  for (let i = 0; i < 20_000; i += 1) {
    reduce(state, event(i % 2 ? 'evidence.added' : 'task.progress', { percent: i % 100 }));
  }
  assert.ok(state.recent.length <= 150);
  assert.ok(state.recent.every((one) => one.kind !== 'task.progress'));
  assert.equal(state.tasks.size, 1);
});

test('alerts: the gravest first, gone with their cause', () => {
  const state = hub();
  state.agents.get('a').state = 'down';
  reduce(state, event('task.claimed', { agent: 'b' }));
  reduce(state, event('task.stuck'));
  state.merges.set(1, { id: 1, task: 7, state: 'conflict', unsolved: true, branch: 'task/7/e1', created_at: AT, reason: 'src/lib.rs' });
  const kinds = () => alerts(state, NOW).map((alert) => alert.what);
  assert.deepEqual(kinds(), ['Agent down', 'No progress'], 'the conflict is solved without a person');
  reduce(state, event('task.progress', { percent: 5, agent: 'b' }));
  assert.deepEqual(kinds(), ['Agent down']);
  reduce(state, event('task.blocked', { text: 'conflict' }));
  assert.deepEqual(kinds(), ['Agent down', 'Merge conflict'], 'the merge says it already');
  const hold = { reason: 'target_broken', text: 'main is broken since commit c', lost: [], since: AT };
  state.branches = [{ name: 'main', kind: 'target', project: 'p', hold }];
  reduce(state, event('merge.paused', { text: 'main: main is broken since commit c' }));
  assert.deepEqual(kinds(), ['Agent down', 'Target branch broken', 'Merge conflict'], 'told once');
  state.branches = [];
  reduce(state, event('merge.resumed', { text: 'main: it passes again' }));
  assert.deepEqual(kinds(), ['Agent down', 'Merge conflict']);
  reduce(state, event('task.done'));
  state.agents.get('a').state = 'idle';
  assert.deepEqual(kinds(), []);
});

test('merges of tasks that are not on the screen are no alerts here', () => {
  const state = hub();
  state.merges.set(1, { id: 1, task: 99, state: 'conflict', branch: 'task/99/e1', created_at: AT, reason: null });
  state.merges.set(2, { id: 2, task: 99, state: 'ejected', branch: 'task/99/e1', created_at: AT, ended_at: AT, reason: 'tests' });
  assert.deepEqual(alerts(state, NOW), []);
});

test('a merge that was thrown out is an alert until its task is done or cancelled', () => {
  const state = hub();
  const [task] = [...state.tasks.values()];
  const what = () => alerts(state, NOW).filter((one) => one.id === 'merge-3').map((one) => one.what);
  state.merges.set(3, { id: 3, task: task.id, state: 'ejected', branch: 'b', created_at: AT, ended_at: AT, reason: 'why' });
  assert.deepEqual(what(), ['Not merged']);
  for (task.state of ['done', 'cancelled']) assert.deepEqual(what(), []);
});

test('alerts: a worker in quarantine, one that stopped, one that was removed', () => {
  const state = hub();
  reduce(state, event('agent.quarantined', { agent: 'a', text: 'the disk is full' }));
  const [alert] = alerts(state, NOW).filter((one) => one.what === 'Worker in quarantine');
  assert.match(alert.text, /^a on .* claims nothing: the disk is full$/);
  reduce(state, event('agent.left', { agent: 'a' }));
  assert.equal(state.agents.get('a').state, 'left');
  assert.deepEqual(alerts(state, NOW).filter((one) => one.id === 'agent-a'), []);
  reduce(state, event('agent.removed', { agent: 'a' }));
  assert.equal(state.agents.has('a'), false);
});

test('alerts: tasks whose role or labels nobody has, until somebody has', () => {
  const state = hub();
  state.loaded = true;
  state.agents.clear();
  state.tasks.clear();
  const put = (id, task) => state.tasks.set(id, { id, key: `${id}`, title: '', updated_at: AT, ...task });
  put(1, { state: 'ready', role: 'gpu', labels: [] });
  put(2, { state: 'waiting', role: 'gpu', labels: [] });
  put(3, { state: 'ready', role: null, labels: ['big', 'azure'] });
  put(4, { state: 'running', role: 'docs', labels: [] });
  put(5, { state: 'done', role: 'docs', labels: [] });
  const texts = () => alerts(state, NOW).filter((one) => one.what === 'No worker').map((one) => one.text);
  const gpu = 'No live worker has the role gpu: tasks 1, 2';
  assert.deepEqual(texts(), [gpu, 'No live worker has the labels azure, big: task 3']);
  const agent = { name: 'x', host: 'h', roles: [], labels: ['azure', 'big'], state: 'idle' };
  state.agents.set('x', agent);
  assert.deepEqual(texts(), [gpu]);
  state.agents.set('y', { ...agent, name: 'y', roles: ['gpu'] });
  assert.deepEqual(texts(), []);
  for (const unfit of ['quarantined', 'draining', 'down', 'left', 'inactive']) {
    state.agents.set('y', { ...agent, name: 'y', roles: ['gpu'], state: unfit, last_heartbeat: AT });
    assert.deepEqual(texts(), [gpu], unfit);
  }
  state.graphs.set(state.graph, { id: state.graph, state: 'cancelled' });
  assert.deepEqual(texts(), []);
});

test('a running task that says nothing for half an hour is stuck', () => {
  const state = hub();
  reduce(state, event('task.claimed'));
  assert.deepEqual(alerts(state, NOW + 29 * 60_000), []);
  assert.deepEqual(alerts(state, NOW + 31 * 60_000).map((alert) => alert.what), ['No progress']);
});

const snapshot = (hoursAgo, done, tasksDone) => ({
  at: new Date(NOW - hoursAgo * HOUR).toISOString(),
  graph: 1,
  hours: 100,
  hours_done: done,
  tasks: 10,
  tasks_done: tasksDone,
});

test('throughput comes out of snapshots, in any order', () => {
  const series = points([snapshot(0, 30, 3), snapshot(3, 0, 0), snapshot(1, 10, 1), snapshot(2, 10, 1)]);
  const found = buckets(series, NOW, 3);
  assert.deepEqual(found.map((one) => one.tasks), [1, 0, 2]);
  assert.equal(found.at(-1).velocity, 20);
  assert.deepEqual(buckets(points([snapshot(1, 0, 0)]), NOW), []);
});

test('a graph that grew again does not go backwards', () => {
  const found = buckets(points([snapshot(2, 50, 5), snapshot(1, 10, 1), snapshot(0, 20, 2)]), NOW, 2);
  assert.ok(found.every((one) => one.tasks >= 0 && one.hours >= 0));
});

test('many snapshots are thinned, the ends stay', () => {
  const all = Array.from({ length: 3_000 }, (_, i) => snapshot(3_000 - i, i, i));
  const series = points(all, 100);
  assert.equal(series.length, 100);
  assert.equal(series[0].done, 0);
  assert.equal(series.at(-1).done, 2_999);
});

test('the end is told with its uncertainty, or not at all', () => {
  assert.deepEqual(finish({ eta_hours: [1, 2, 4] }, NOW), { low: NOW + HOUR, middle: NOW + 2 * HOUR, high: NOW + 4 * HOUR });
  assert.equal(finish({ eta_hours: null }, NOW), null);
  assert.equal(finish(null, NOW), null);
});

test('what is left of an attempt follows from its pace', () => {
  const attempt = { started_at: AT, percent: 25 };
  assert.equal(attemptLeft(attempt, NOW + HOUR), 3 * HOUR);
  assert.equal(attemptLeft({ started_at: AT, percent: 1 }, NOW + HOUR), null);
  assert.equal(attemptLeft(undefined, NOW), null);
});

test('a thousand wishes become one reading, then one more at the earliest', async () => {
  let reads = 0;
  const timers = [];
  const sync = new Sync({ tasks: { every: 1_000, read: async () => (reads += 1) } }, { run: (delay, what) => timers.push({ delay, what }) });
  for (let i = 0; i < 1_000; i += 1) sync.want(['tasks', 'unheard of']);
  assert.equal(timers.length, 1);
  timers.shift().what();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(reads, 1);
  sync.want(['tasks']);
  assert.ok(timers[0].delay > 900);
});

test('a reading that fails is tried again, with growing pauses, until it succeeds', async () => {
  const timers = [];
  const failures = [];
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const answers = [new TypeError('cut'), Object.assign(new Error('busy'), { status: 503 }), new TypeError('cut'), null];
  let reads = 0;
  const sync = new Sync(
    {
      task: {
        every: 10,
        read: async () => {
          const answer = answers[reads];
          reads += 1;
          if (answer) throw answer;
        },
      },
    },
    { run: (delay, what) => timers.push({ delay, what }), fail: (name, error) => failures.push([name, error.message]) },
  );
  sync.want(['task']);
  const pauses = [];
  for (let tries = 1; tries <= 4; tries += 1) {
    assert.equal(timers.length, 1, `one try at a time, try ${tries}`);
    const { delay, what } = timers.shift();
    pauses.push(delay);
    const real = Date.now;
    Date.now = () => real() + pauses.reduce((sum, pause) => sum + pause, 0);
    try {
      what();
      await turn();
    } finally {
      Date.now = real;
    }
    assert.equal(reads, tries);
  }
  // The full delays are 500, 1000 and 2000 ms, each randomised over its upper half.
  const [first, ...rest] = pauses;
  assert.equal(first, 0);
  rest.forEach((pause, nth) => assert.ok(pause <= 500 * 2 ** nth && pause >= 200 * 2 ** nth, `${pauses}`));
  assert.deepEqual(failures, [['task', 'cut'], ['task', 'busy'], ['task', 'cut']]);
  assert.equal(timers.length, 0, 'it succeeded');
});

test('what is not there, or not to be seen, is not asked for again by itself', async () => {
  for (const refusal of [{ status: 404 }, { status: 401, unauthorised: true }]) {
    const timers = [];
    let fails = 0;
    const read = async () => {
      throw Object.assign(new Error('no'), refusal);
    };
    const sync = new Sync({ task: { every: 0, read } }, { run: (delay, what) => timers.push(what), fail: () => (fails += 1) });
    sync.want(['task']);
    timers.shift()();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(fails, 1);
    assert.equal(timers.length, 0, `${refusal.status}`);
    sync.want(['task']);
    assert.equal(timers.length, 1, 'but when there is a reason to');
  }
});

test('what is due now does not wait for what is due later', async () => {
  const timers = [];
  const reads = [];
  const source = (name, every) => ({ every, read: async () => reads.push(name) });
  const run = (delay, what) => {
    const timer = { delay, what };
    timers.push(timer);
    return timer;
  };
  const cancel = (timer) => timers.splice(timers.indexOf(timer), 1);
  const goOff = async () => {
    timers.shift().what();
    await new Promise((resolve) => setImmediate(resolve));
  };
  const sync = new Sync({ slow: source('slow', 60_000), quick: source('quick', 0) }, { run, cancel });
  sync.want(['slow']);
  await goOff();
  sync.want(['slow']);
  assert.ok(timers[0].delay > 50_000);
  sync.want(['quick']);
  assert.deepEqual(timers.map(({ delay }) => delay), [0], 'one timer, the earliest');
  await goOff();
  assert.deepEqual(reads, ['slow', 'quick']);
  assert.equal(timers.length, 1);
  assert.ok(timers[0].delay > 50_000, 'the slow one still has its turn');
});

test('what is wanted while everything is read is read once more', async () => {
  const timers = [];
  const answers = [];
  const read = () => new Promise((resolve) => answers.push(resolve));
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const sync = new Sync({ tasks: { every: 0, read } }, { run: (delay, what) => timers.push(what) });
  const all = sync.all(['tasks'], []);
  sync.want(['tasks']);
  assert.equal(timers.length, 0, 'not beside the one under way');
  answers.shift()();
  await all;
  await turn();
  timers.shift()();
  assert.equal(answers.length, 1);
});

test('a page that was left reads nothing any more', async () => {
  const timers = [];
  let refuse;
  let fails = 0;
  const read = () => new Promise((_, reject) => (refuse = reject));
  const sync = new Sync({ task: { every: 0, read } }, { run: (delay, what) => timers.push(what), fail: () => (fails += 1) });
  sync.want(['task']);
  timers.shift()();
  sync.stop();
  refuse(new TypeError('cut'));
  await new Promise((resolve) => setImmediate(resolve));
  sync.want(['task']);
  assert.equal(timers.length, 0);
  assert.equal(fails, 0);
});

test('few touched tasks are read singly, many at once', () => {
  const touched = new Touched();
  touched.add([1, 2, 2]);
  assert.deepEqual(touched.take(), [1, 2]);
  assert.deepEqual(touched.take(), []);
  touched.add([1, 2, 3, 4, 5, 6, 7]);
  assert.equal(touched.take(), null);
});

test('a list that the hub does not have keeps nobody from the others', async () => {
  const refuse = (status) => async () => {
    throw Object.assign(new Error('no'), { status });
  };
  let read = 0;
  const sync = new Sync({ old: { every: 0, read: refuse(404) }, good: { every: 0, read: async () => (read += 1) }, bad: { every: 0, read: refuse(503) } });
  await sync.all(['old', 'good'], []);
  assert.equal(read, 1);
  await assert.rejects(sync.all(['good', 'bad'], []), { status: 503 });
});

test('a page without anything to show says what it waits for', async () => {
  const answers = {};
  const source = (name) => ({ every: 0, read: () => new Promise((resolve, reject) => (answers[name] = { resolve, reject })) });
  const sync = new Sync({ graphs: source('graphs'), tasks: source('tasks'), agents: source('agents') });
  const said = (state = 'live') => waitingFor({ state }, sync.progress);
  assert.equal(said('connecting'), 'Connecting to the hub …');
  assert.equal(said('disconnected'), 'The hub does not answer.');
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const reading = sync.all(['graphs'], ['tasks', 'agents']);
  assert.equal(said(), 'Loading from the hub: 0 of 3 lists loaded, waiting for graphs, tasks, agents.');
  assert.equal(answers.tasks, undefined, 'the first ones are read before the others');
  answers.graphs.resolve();
  await turn();
  answers.agents.resolve();
  await turn();
  assert.equal(said(), 'Loading from the hub: 2 of 3 lists loaded, waiting for tasks.');
  answers.tasks.reject(Object.assign(new Error('the store is busy'), { status: 503 }));
  await assert.rejects(reading, { status: 503 });
  assert.equal(said(), 'Could not load tasks from the hub: the store is busy. Retrying.');
});
