// A diff with its colours; signs tell what colours tell.

import { parseDiff } from '../diff.js';
import { h } from '../dom.js';
import { count } from '../format.js';

const SIGN = { added: '+', removed: '−', same: ' ', hunk: '', note: '' };

export function diffView(text) {
  const { files, hidden } = parseDiff(text);
  return h(
    'div',
    { class: 'diff' },
    ...files.map((file) =>
      h(
        'figure',
        {},
        h(
          'figcaption',
          {},
          h('code', {}, file.name || 'change'),
          ' ',
          h('span', { class: 'plus' }, `+${file.added}`),
          ' ',
          h('span', { class: 'minus' }, `−${file.removed}`),
        ),
        h(
          'div',
          { class: 'code', tabindex: '0', role: 'group', 'aria-label': `Change of ${file.name || 'a file'}` },
          h('div', { class: 'code-lines' }, ...file.lines.map(row)),
        ),
      ),
    ),
    hidden ? h('p', { class: 'more' }, `and ${count(hidden, 'more line', 'more lines')}`) : null,
  );
}

function row(line) {
  return h(
    'div',
    { class: `code-line is-${line.kind}` },
    h('span', { class: 'line-number' }, String(line.new ?? line.old ?? '')),
    h('span', { class: 'line-sign' }, SIGN[line.kind]),
    h('span', { class: 'line-text' }, line.text),
  );
}
