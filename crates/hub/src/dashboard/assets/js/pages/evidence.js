// One piece of evidence: its text in the form that suits its kind.

import { h, keep } from '../dom.js';
import { since } from '../panels/pieces.js';
import { diffView } from './diff_view.js';
import { outside } from './facts.js';

const NAMES = {
  commit: 'Commit',
  pull_request: 'Pull request',
  test: 'Test',
  build: 'Build',
  deployment: 'Deployment',
  research: 'Research',
  citation: 'Citation',
  log: 'Log',
  diff: 'Diff',
  review: 'Review',
};

/** The newest diff and the newest review are what one comes for: they are open. */
const OPEN = new Set(['diff', 'review']);

export function evidenceItem(item, newest) {
  const time = since();
  const head = [
    h('span', { class: 'evidence-kind' }, NAMES[item.kind] ?? item.kind),
    h('span', { class: 'evidence-title' }, item.title),
    h('span', { class: 'more' }, `${item.agent}, attempt ${item.epoch} `, time),
  ];
  const link = item.url ? h('p', { class: 'evidence-link' }, outside(item.url, item.url)) : null;
  const content = item.body
    ? h('details', { open: newest && OPEN.has(item.kind) }, h('summary', {}, ...head), link, body(item))
    : h('div', { class: 'evidence-flat' }, ...head, link);
  return keep(h('li', { 'data-kind': item.kind }, content), { time });
}

function body(item) {
  if (item.kind === 'diff') return diffView(item.body);
  if (item.kind === 'review' || item.kind === 'research' || item.kind === 'citation') {
    return h('p', { class: 'prose' }, item.body);
  }
  return h('pre', { class: 'code', tabindex: '0', 'aria-label': item.title }, h('code', {}, item.body));
}
