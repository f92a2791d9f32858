// Names and values below each other.

import { h } from '../dom.js';

/** Leaves out what is not known; values are texts or elements. */
export function facts(pairs) {
  return h(
    'dl',
    { class: 'facts' },
    ...pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== '')
      .map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
  );
}

/** A link to another site, when it is one that a browser may follow. */
export function outside(text, url) {
  try {
    const target = new URL(url);
    if (target.protocol === 'https:' || target.protocol === 'http:') {
      return h('a', { href: target.href, rel: 'noreferrer noopener' }, text);
    }
  } catch {
    // Not an address: shown as what it is, a text.
  }
  return h('span', {}, text);
}
