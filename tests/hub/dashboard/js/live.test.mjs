// The stream: parser, back-off, handling of failures.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { backoff } from '../../../../crates/hub/src/dashboard/assets/js/live/backoff.js';
import { Clock } from '../../../../crates/hub/src/dashboard/assets/js/live/clock.js';
import { SseParser } from '../../../../crates/hub/src/dashboard/assets/js/live/sse_parser.js';
import { Stream } from '../../../../crates/hub/src/dashboard/assets/js/live/stream.js';

const TEXT = ': hello\n\nid: 7\nevent: task.done\ndata: {"a":1}\n\ndata: one\r\ndata: two\r\n\r\nid:8\rdata\r\rdata:  kept\n\n';

test('messages are the same however the stream is cut', () => {
  const whole = new SseParser().push(TEXT);
  assert.deepEqual(whole, [
    { id: '7', event: 'task.done', data: '{"a":1}' },
    { id: '7', event: 'message', data: 'one\ntwo' },
    { id: '8', event: 'message', data: '' },
    { id: '8', event: 'message', data: ' kept' },
  ]);
  for (let size = 1; size < 9; size += 1) {
    const parser = new SseParser();
    const found = [];
    for (let at = 0; at < TEXT.length; at += size) found.push(...parser.push(TEXT.slice(at, at + size)));
    assert.deepEqual(found, whole, `in pieces of ${size}`);
    assert.equal(parser.lastId, '8');
  }
});

test('a message without an end is not kept for ever', () => {
  const parser = new SseParser();
  for (let i = 0; i < 40; i += 1) assert.deepEqual(parser.push('x'.repeat(1 << 16)), []);
  assert.deepEqual(parser.push('\n\ndata: 1\n\n').map((one) => one.data), ['1']);
});

test('pauses double, are spread, and end at half a minute', () => {
  assert.equal(backoff(1, 1), 500);
  assert.equal(backoff(1, 0), 250);
  assert.equal(backoff(4, 1), 4_000);
  assert.equal(backoff(50, 1), 30_000);
});

test('the clock follows the hub only when they really disagree', () => {
  const clock = new Clock();
  const local = Date.parse('2026-01-02T10:00:00.300Z');
  clock.learn('Fri, 02 Jan 2026 10:00:01 GMT', local);
  assert.equal(clock.now(local), local);
  clock.learn('Fri, 02 Jan 2026 10:10:00 GMT', local);
  assert.ok(clock.now(local) - local > 599_000);
  clock.learn('nonsense', local);
  assert.ok(clock.now(local) - local > 599_000);
});

/** A hub by hand: each connection is one entry of `script`. */
function hub(script) {
  const asked = [];
  return {
    asked,
    events: async (lastId) => {
      asked.push(lastId);
      const entry = script.shift();
      if (!entry) return new Promise(() => {});
      if (entry instanceof Error) throw entry;
      return new Response(entry).body;
    },
  };
}

function watch(api, poll = async () => {}) {
  const seen = { events: [], states: [], gaps: [] };
  const stream = new Stream(api, {
    events: (list) => seen.events.push(...list.map((event) => event.kind)),
    line: (line) => seen.states.at(-1) !== line.state && seen.states.push(line.state),
    gap: (resumed) => seen.gaps.push(resumed),
    poll,
  });
  return { stream, seen };
}

const until = async (met) => {
  const end = Date.now() + 5_000;
  while (!met()) {
    assert.ok(Date.now() < end, 'in time');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

test('it resumes after the last event it saw', async () => {
  const api = hub(['id: 4\ndata: {"kind":"task.ready"}\n\n', 'id: 5\ndata: {"kind":"task.done"}\n\ndata: broken\n\n']);
  const { stream, seen } = watch(api);
  stream.run();
  await until(() => api.asked.length === 3);
  stream.stop();
  assert.deepEqual(api.asked, ['', '4', '5']);
  assert.deepEqual(seen.events, ['task.ready', 'task.done']);
  assert.deepEqual(seen.gaps, [false, true]);
  assert.deepEqual(seen.states, ['connecting', 'live', 'disconnected', 'live', 'disconnected']);
});

test('a refusal stops it until there is a token', async () => {
  const refusal = Object.assign(new Error('no'), { unauthorised: true });
  const api = hub([refusal, ': hello\n\n']);
  const { stream, seen } = watch(api);
  stream.run();
  await until(() => seen.states.includes('unauthorised'));
  assert.equal(api.asked.length, 1);
  stream.retry();
  await until(() => seen.states.includes('live'));
  stream.stop();
});

test('where the stream does not come through it polls', async () => {
  const api = hub([1, 2, 3].map(() => new TypeError('cut')));
  let polls = 0;
  const { stream, seen } = watch(api, async () => {
    polls += 1;
  });
  stream.run();
  await until(() => seen.states.includes('polling'));
  stream.stop();
  assert.equal(polls, 1);
});
