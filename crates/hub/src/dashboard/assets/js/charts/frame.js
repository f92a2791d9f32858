// What charts share: a drawing that is as wide as its place, axes, a caption and a table with the
// same figures for those who do not see it.

import { h, s } from '../dom.js';
import { timeLabel, timeTicks } from './scale.js';

export const MARGIN = { left: 40, right: 12, top: 10, bottom: 22 };

/** `draw(svg, box)` is called with the size whenever that or the data changes. */
export function chart(title, height, draw) {
  const svg = s('svg', { class: 'chart', 'aria-hidden': 'true', height: String(height) });
  const caption = h('p', { class: 'chart-text' });
  const head = h('thead');
  const body = h('tbody');
  const details = h('details', {}, h('summary', {}, 'Figures'), h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': `${title}, figures` }, h('table', {}, h('caption', { class: 'unseen' }, title), head, body)));
  const element = h('figure', { class: 'chart-figure' }, h('figcaption', {}, h('h3', {}, title), caption), svg, details);
  let width = 0;
  let last = null;
  const redraw = () => {
    if (width === 0 || last === null) return;
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.replaceChildren();
    draw(svg, { width, height }, last);
  };
  new ResizeObserver((entries) => {
    const now = Math.round(entries[0].contentRect.width);
    if (now === width) return;
    width = now;
    redraw();
  }).observe(element);
  return {
    element,
    /** `text` says the same in words; `table` is `{columns, rows}` of texts. */
    show(data, text, table) {
      last = data;
      caption.textContent = text;
      redraw();
      details.hidden = table.rows.length === 0;
      // A reader may be in the table: it is rewritten only while nobody is.
      if (details.open && details.contains(document.activeElement)) return;
      head.replaceChildren(h('tr', {}, ...table.columns.map((one) => h('th', { scope: 'col' }, one))));
      body.replaceChildren(...table.rows.map((row) => h('tr', {}, ...row.map((one) => h('td', {}, one)))));
    },
  };
}

/** Lines and labels of both axes. `y` and `x` are scales. */
export function axes(svg, box, { y, values, x, from, to, label }) {
  const right = box.width - MARGIN.right;
  for (const value of values) {
    const at = Math.round(y(value)) + 0.5;
    svg.append(
      s('line', { class: value === 0 ? 'axis' : 'grid', x1: MARGIN.left, x2: right, y1: at, y2: at }),
      s('text', { class: 'tick', x: MARGIN.left - 6, y: at + 3.5, 'text-anchor': 'end' }, label(value)),
    );
  }
  const { step, times } = timeTicks(from, to, Math.max(2, Math.floor((right - MARGIN.left) / 84)));
  for (const time of times) {
    const at = Math.round(x(time)) + 0.5;
    if (at < MARGIN.left + 8 || at > right - 12) continue;
    svg.append(s('text', { class: 'tick', x: at, y: box.height - 6, 'text-anchor': 'middle' }, timeLabel(time, step)));
  }
}
