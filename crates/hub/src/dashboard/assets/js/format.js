// Numbers, times and sizes as people read them. Pure: the clock is an argument.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** What stands where nothing is known. */
export const NOTHING = '–';

/** `12 s`, `4 min`, `3 h 20 min`, `2 d 4 h`: at most two units, never negative. */
export function duration(ms) {
  if (!Number.isFinite(ms)) return NOTHING;
  const left = Math.max(0, ms);
  if (left < MINUTE) return `${Math.floor(left / 1000)} s`;
  if (left < HOUR) return `${Math.floor(left / MINUTE)} min`;
  if (left < DAY) return two(Math.floor(left / HOUR), 'h', Math.floor((left % HOUR) / MINUTE), 'min');
  return two(Math.floor(left / DAY), 'd', Math.floor((left % DAY) / HOUR), 'h');
}

function two(large, largeUnit, small, smallUnit) {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** `12 s ago`; `now` for the last two seconds, and for clocks that disagree a little. */
export function ago(time, now) {
  if (!Number.isFinite(time)) return NOTHING;
  const passed = now - time;
  return passed < 2_000 ? 'now' : `${duration(passed)} ago`;
}

/** Milliseconds of an RFC 3339 time; `NaN` for what is none. */
export function instant(text) {
  return typeof text === 'string' ? Date.parse(text) : NaN;
}

/** `21 Nov, 09:41` in the reader's time zone. */
export function moment(ms) {
  if (!Number.isFinite(ms)) return NOTHING;
  return new Intl.DateTimeFormat('en-GB', {
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
  }).format(ms);
}

/** `63 %`. One percent is never rounded away, nor is the last one given before its time. */
export function percent(value) {
  if (!Number.isFinite(value)) return NOTHING;
  if (value > 0 && value < 1) return '<1 %';
  if (value > 99 && value < 100) return '99 %';
  return `${Math.round(value)} %`;
}

/** `412 MiB` */
export function bytes(value) {
  if (!Number.isFinite(value)) return NOTHING;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let left = value;
  while (left >= 1024 && unit < units.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${left < 10 && unit > 0 ? left.toFixed(1) : Math.round(left)} ${units[unit]}`;
}

/** `24 h`, `1.5 h`, `40 min`: estimated work. */
export function hours(value) {
  if (!Number.isFinite(value)) return NOTHING;
  if (value > 0 && value < 1) return `${Math.round(value * 60)} min`;
  return `${trimmed(value)} h`;
}

/** One decimal below ten, none from there on. */
export function trimmed(value) {
  if (!Number.isFinite(value)) return NOTHING;
  return value < 10 ? String(Math.round(value * 10) / 10) : String(Math.round(value));
}

/** The first characters of a commit. */
export function shortCommit(commit) {
  return typeof commit === 'string' ? commit.slice(0, 8) : NOTHING;
}

/** `1 task`, `3 tasks` */
export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}
