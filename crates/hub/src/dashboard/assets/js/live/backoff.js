// How long to wait before the next try. Pure: chance is an argument.

const FIRST = 500;
const LONGEST = 30_000;

/**
 * Milliseconds before try number `failures + 1`: doubling up to half a minute, spread over the
 * upper half so that a thousand dashboards do not return to a restarted hub at one moment.
 */
export function backoff(failures, chance = Math.random()) {
  const ceiling = Math.min(LONGEST, FIRST * 2 ** Math.max(0, failures - 1));
  return Math.round(ceiling / 2 + (ceiling / 2) * chance);
}
