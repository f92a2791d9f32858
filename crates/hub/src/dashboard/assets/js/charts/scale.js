// From values to places in a drawing, and round values for axes. Pure.

/** A straight scale. */
export function linear([from, to], [start, end]) {
  const span = to - from || 1;
  return (value) => start + ((value - from) / span) * (end - start);
}

/** About `wanted` round steps from zero to at least `highest`. */
export function ticks(highest, wanted = 4) {
  if (!(highest > 0)) return [0, 1];
  const rough = highest / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const found = [];
  for (let i = 0; found.length === 0 || found.at(-1) < highest; i += 1) found.push(Number((i * step).toPrecision(12)));
  return found;
}

const MINUTE = 60_000;
const STEPS = [5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080, 20_160, 43_200].map((m) => m * MINUTE);

/** Round times between two, at most `wanted`, aligned to the reader's midnight. */
export function timeTicks(from, to, wanted = 6) {
  const step = STEPS.find((one) => (to - from) / one <= wanted) ?? STEPS.at(-1);
  const shift = new Date(from).getTimezoneOffset() * MINUTE;
  const found = [];
  for (let at = Math.ceil((from - shift) / step) * step + shift; at <= to; at += step) found.push(at);
  return { step, times: found };
}

/** `14:00` within a day, `21 Nov` beyond. */
export function timeLabel(at, step) {
  const options = step < 1440 * MINUTE ? { hour: '2-digit', minute: '2-digit' } : { day: 'numeric', month: 'short' };
  return new Intl.DateTimeFormat('en-GB', options).format(at);
}
