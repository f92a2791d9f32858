// Columns over time: tasks in an hour, estimated hours in an hour.

import { s } from '../dom.js';
import { moment, trimmed } from '../format.js';
import { buckets, points } from '../state/pace.js';
import { axes, chart, MARGIN } from './frame.js';
import { linear, ticks } from './scale.js';

/** `read` takes the value out of a bucket; `unit` is what it counts. */
export function columns(title, unit, read) {
  const view = chart(title, 150, draw);
  return {
    element: view.element,
    update(state, now) {
      const all = buckets(points(state.history), now);
      const values = all.map(read);
      const mean = values.length ? values.reduce((a, b) => a + b, 0) / values.length : 0;
      const text = values.length
        ? `Most recently ${trimmed(values.at(-1))}, on average ${trimmed(mean)} ${unit}.`
        : 'Available after two snapshots of progress.';
      view.show({ all, read, mean, now }, text, {
        columns: ['From', 'To', unit],
        rows: all.map((one) => [moment(one.from), moment(one.to), trimmed(read(one))]),
      });
    },
  };
}

function draw(svg, box, { all, read, mean, now }) {
  const from = all[0]?.from ?? now - 3_600_000;
  const to = Math.max(now, from + 1);
  const values = ticks(Math.max(...all.map(read), 0), 3);
  const x = linear([from, to], [MARGIN.left, box.width - MARGIN.right]);
  const y = linear([0, values.at(-1)], [box.height - MARGIN.bottom, MARGIN.top]);
  axes(svg, box, { x, y, values, from, to, label: trimmed });
  for (const one of all) {
    const left = x(one.from) + 1.5;
    const width = Math.max(1, x(one.to) - x(one.from) - 3);
    const top = y(read(one));
    const height = y(0) - top;
    if (height <= 0) continue;
    svg.append(s('rect', { class: 'column', x: left.toFixed(1), width: width.toFixed(1), y: top.toFixed(1), height: height.toFixed(1), rx: Math.min(3, height) }));
  }
  if (mean > 0) {
    const at = Math.round(y(mean)) + 0.5;
    svg.append(s('line', { class: 'mean', x1: MARGIN.left, x2: box.width - MARGIN.right, y1: at, y2: at }));
  }
}
