// One shape for each state, drawn on 16 by 16: states can be told apart without colour.

import { s } from './dom.js';

const RING = 'M8 3a5 5 0 1 0 0 10a5 5 0 1 0 0-10z';
const CROSS = 'M4.5 4.5l7 7M11.5 4.5l-7 7';
const PLAY = 'M5.5 3.8l6.5 4.2-6.5 4.2z';
const DOTS = 'M3.8 8h.01M8 8h.01M12.2 8h.01';
const MERGE = 'M4.5 2.8v10.4M4.5 5.5c0 3.6 2.6 4.5 6.8 4.5M9 7.6l2.4 2.4L9 12.4';
const CHECK = 'M3.4 8.6l3 3 6.2-7.2';
const CLOCK = `${RING}M8 5.4V8l1.8 1.2`;
const SLASH = `${RING}M4.6 11.4l6.8-6.8`;
const WARNING = 'M8 2.8l6 10.4H2zM8 6.8v2.6M8 11.4h.01';

const SHAPES = {
  waiting: DOTS,
  ready: RING,
  running: PLAY,
  merging: MERGE,
  blocked: 'M5.6 4v8M10.4 4v8',
  done: CHECK,
  failed: CROSS,
  cancelled: SLASH,
  working: PLAY,
  idle: RING,
  draining: 'M8 3v6.4M5 6.6l3 3 3-3M4 12.8h8',
  stale: CLOCK,
  down: CROSS,
  inactive: SLASH,
  quarantined: WARNING,
  left: SLASH,
  queued: DOTS,
  testing: 'M6.4 3v3.8L3.4 12.6h9.2L9.6 6.8V3M5.4 3h5.2',
  merged: MERGE,
  conflict: WARNING,
  ejected: CROSS,
  succeeded: CHECK,
  lost: CLOCK,
  returned: 'M4 6.5h5.2a3 3 0 0 1 0 6H6.6M6.4 4L4 6.5 6.4 9',
  pending: 'M5.6 4v8M10.4 4v8',
  approved: CHECK,
  rejected: CROSS,
  expired: CLOCK,
  withdrawn: SLASH,
  verified: CHECK,
  restored: 'M4 6.5h5.2a3 3 0 0 1 0 6H6.6M6.4 4L4 6.5 6.4 9',
  stopped: 'M5 5h6v6H5z',
  bad: 'M5.6 2.5h4.8l3.1 3.1v4.8l-3.1 3.1H5.6l-3.1-3.1V5.6zM8 5v3.4M8 10.8h.01',
  warn: WARNING,
  good: CHECK,
};

/** The path of a state; a ring for states that a newer hub adds. */
export function shape(state) {
  return SHAPES[state] ?? RING;
}

/** An icon for the eye only: the word always stands beside it. */
export function icon(state) {
  return s(
    'svg',
    { class: 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true', 'data-shape': state },
    s('path', { d: shape(state) }),
  );
}

/** Changes the shape of one that is already on the page. */
export function setIcon(element, state) {
  if (element.dataset.shape === state) return;
  element.dataset.shape = state;
  element.firstElementChild.setAttribute('d', shape(state));
}
