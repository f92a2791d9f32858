// Velocity, throughput and the way to the end, out of the snapshots of progress. Pure.

import { instant } from '../format.js';

const HOUR = 3_600_000;

/**
 * Snapshots of one graph as points in time, oldest first, at most `most` of them: the first and
 * the last always, between them evenly.
 */
export function points(history, most = 400) {
  const all = history
    .map((one) => ({
      at: instant(one.at),
      done: one.hours_done,
      hours: one.hours,
      tasksDone: one.tasks_done,
      tasks: one.tasks,
    }))
    .filter((one) => Number.isFinite(one.at))
    .sort((a, b) => a.at - b.at);
  if (all.length <= most) return all;
  const step = (all.length - 1) / (most - 1);
  return Array.from({ length: most }, (_, i) => all[Math.round(i * step)]);
}

/**
 * Equal spans of time up to `now`, each with the tasks and hours that were finished in it and
 * what that is in an hour. Work taken back (a graph that grew again) counts as nothing.
 */
export function buckets(series, now, wanted = 12) {
  if (series.length < 2) return [];
  const span = bucketSpan(now - series[0].at, wanted);
  const last = Math.ceil(now / span) - 1;
  const first = Math.max(Math.floor(series[0].at / span), last - wanted + 1);
  const found = [];
  for (let index = first; index <= last; index += 1) {
    const from = Math.max(index * span, series[0].at);
    const to = Math.min((index + 1) * span, now);
    if (to - from < span / 20) continue;
    const before = valueAt(series, from);
    const after = valueAt(series, to);
    const tasks = Math.max(0, after.tasksDone - before.tasksDone);
    const hours = Math.max(0, after.done - before.done);
    found.push({ from, to, tasks, hours, perHour: (tasks * HOUR) / (to - from), velocity: (hours * HOUR) / (to - from) });
  }
  return found;
}

const SPANS = [5 / 60, 10 / 60, 0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 168].map((hours) => hours * HOUR);

function bucketSpan(whole, wanted) {
  return SPANS.find((span) => whole / span <= wanted) ?? SPANS.at(-1);
}

/** What was done at `time`: the last snapshot before it. */
function valueAt(series, time) {
  let low = 0;
  let high = series.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (series[middle].at <= time) low = middle;
    else high = middle - 1;
  }
  return series[low];
}

/**
 * When everything will be done, by the hub's figures.
 * @returns {{low: number, middle: number, high: number} | null} times, soonest first
 */
export function finish(summary, now) {
  const eta = summary?.eta_hours;
  if (!Array.isArray(eta) || eta.length !== 3 || !eta.every(Number.isFinite)) return null;
  const [low, middle, high] = [...eta].sort((a, b) => a - b).map((hours) => now + hours * HOUR);
  return { low, middle, high };
}

/**
 * Milliseconds until a running attempt ends if it goes on as it began; `null` while there is too
 * little to say so.
 */
export function attemptLeft(attempt, now) {
  const passed = now - instant(attempt?.started_at);
  const percent = attempt?.percent;
  if (!(passed > 0) || !(percent >= 3)) return null;
  return (passed * (100 - percent)) / percent;
}
