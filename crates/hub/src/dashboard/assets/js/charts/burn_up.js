// Work done over time, and where it leads: the band between the soonest and the latest end.

import { s } from '../dom.js';
import { duration, hours, moment, trimmed } from '../format.js';
import { finish, points } from '../state/pace.js';
import { axes, chart, MARGIN } from './frame.js';
import { linear, ticks } from './scale.js';

/** A latest end further away than this many times the past is cut off at the edge. */
const FAR = 3;

export function burnUp() {
  const view = chart('Work done', 220, draw);
  return {
    element: view.element,
    update(state, now) {
      const series = points(state.history);
      const end = finish(state.summary, now);
      const total = state.summary?.hours ?? series.at(-1)?.hours ?? 0;
      const done = state.summary?.hours_done ?? series.at(-1)?.done ?? 0;
      const text = end
        ? `${hours(done)} of ${hours(total)}. At this pace, everything is done in ${duration(end.middle - now)}, between ${moment(end.low)} and ${moment(end.high)}.`
        : `${hours(done)} of ${hours(total)}. Not enough data yet to estimate the end.`;
      const step = Math.max(1, Math.ceil(series.length / 12));
      const rows = series.filter((_, i) => i % step === 0 || i === series.length - 1);
      view.show({ series, end, total, done, now }, text, {
        columns: ['Time', 'Hours done', 'of', 'Tasks done', 'of'],
        rows: rows.map((one) => [moment(one.at), trimmed(one.done), trimmed(one.hours), String(one.tasksDone), String(one.tasks)]),
      });
    },
  };
}

function draw(svg, box, { series, end, total, done, now }) {
  const from = series[0]?.at ?? now - 3_600_000;
  const past = Math.max(now - from, 600_000);
  const to = end ? Math.min(Math.max(end.high, now + past / 8), now + past * FAR) : now + past / 8;
  const values = ticks(total || 1);
  const x = linear([from, to], [MARGIN.left, box.width - MARGIN.right]);
  const y = linear([0, values.at(-1)], [box.height - MARGIN.bottom, MARGIN.top]);
  axes(svg, box, { x, y, values, from, to, label: (value) => `${trimmed(value)} h` });

  const goal = Math.round(y(total)) + 0.5;
  svg.append(s('line', { class: 'goal', x1: MARGIN.left, x2: box.width - MARGIN.right, y1: goal, y2: goal }));
  if (end && done < total) {
    const reach = (time) => cut(now, done, time, total, to);
    const [low, middle, high] = [reach(end.low), reach(end.middle), reach(end.high)];
    const band = [[now, done], low, ...(low[0] < to ? [[Math.min(high[0], to), total]] : []), high];
    svg.append(
      s('path', { class: 'band', d: line(band, x, y) + 'Z' }),
      s('path', { class: 'forecast', d: line([[now, done], middle], x, y) }),
    );
  }
  const known = [...series.map((one) => [one.at, one.done]), [now, done]];
  const area = [[from, 0], ...known, [now, 0]];
  svg.append(s('path', { class: 'area', d: line(area, x, y) + 'Z' }), s('path', { class: 'done-line', d: line(known, x, y) }));
  const today = Math.round(x(now)) + 0.5;
  svg.append(
    s('line', { class: 'now', x1: today, x2: today, y1: MARGIN.top, y2: box.height - MARGIN.bottom }),
    s('circle', { class: 'now-dot', cx: x(now), cy: y(done), r: 3.5 }),
  );
}

/** The end of a straight line to the goal, or where it leaves the drawing. */
function cut(now, done, time, total, to) {
  if (time <= to) return [time, total];
  return [to, done + ((total - done) * (to - now)) / (time - now)];
}

function line(points, x, y) {
  return points.map(([at, value], i) => `${i ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join('');
}
