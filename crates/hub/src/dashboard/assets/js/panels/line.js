// The connection: a word in the header always, a banner when something is wrong.

import { h, setAttribute, setText } from '../dom.js';
import { duration } from '../format.js';

/** A hub that is well is heard more often than this. */
const STALE = 30_000;

/** What the connection is called. Pure. */
export function standing(line, now) {
  if (line.state === 'live' && now - line.heard > STALE) return 'stale';
  return line.state;
}

const WORDS = {
  connecting: 'Connecting',
  live: 'Live',
  polling: 'Every 5 s',
  stale: 'Stale',
  disconnected: 'No connection',
  unauthorised: 'No access',
};

export function linePanel(place, banner, retry) {
  const word = h('span');
  place.append(h('span', { class: 'dot', 'aria-hidden': 'true' }), word);
  const text = h('p');
  const again = h('button', { type: 'button', onclick: retry }, 'Retry now');
  const strip = h('div', { class: 'banner', hidden: true }, text, again);
  banner.append(strip);
  return {
    /** Called every second as well: it counts. */
    update(line, now) {
      const state = standing(line, now);
      setAttribute(place, 'data-state', state);
      const age = line.heard ? duration(now - line.heard) : null;
      setText(word, state === 'stale' ? `Last update ${age} ago` : WORDS[state]);
      strip.hidden = state !== 'disconnected' && state !== 'stale';
      again.hidden = state !== 'disconnected';
      if (strip.hidden) return;
      setAttribute(strip, 'data-state', state);
      const seen = age ? `The data is from ${age} ago.` : 'Nothing has been loaded yet.';
      const next = line.retryAt > now ? `Next attempt in ${duration(line.retryAt - now + 999)}.` : 'Connecting …';
      setText(text, state === 'stale' ? `No data from the hub for ${age}.` : `No connection to the hub. ${seen} ${next}`);
    },
  };
}
