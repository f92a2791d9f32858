// Texts that fit a width: SVG knows no ellipsis.

const context = document.createElement('canvas').getContext('2d');
const known = new Map();
/** Texts that are remembered; a hub with more tasks measures some of them again. */
const MOST = 4_000;

/** `text` on at most `lines` lines of `width`; the last one ends in an ellipsis when it must. */
export function fitText(text, width, font, lines = 1) {
  const key = `${font}\0${width}\0${lines}\0${text}`;
  const found = known.get(key);
  if (found !== undefined) return found;
  context.font = font;
  // Nothing longer than this fits anyhow, and measuring a very long text is slow.
  const fitted = wrap([...text.slice(0, 200 * lines)].join(''), width, lines);
  if (known.size >= MOST) known.clear();
  known.set(key, fitted);
  return fitted;
}

function fits(text, width) {
  return context.measureText(text).width <= width;
}

function wrap(text, width, lines) {
  if (lines === 1 || fits(text, width)) return [cut(text, width)];
  const words = text.split(' ');
  let line = words[0];
  let used = 1;
  while (used < words.length && fits(`${line} ${words[used]}`, width)) {
    line += ` ${words[used]}`;
    used += 1;
  }
  const rest = words.slice(used).join(' ');
  return rest ? [cut(line, width), ...wrap(rest, width, lines - 1)] : [cut(line, width)];
}

function cut(text, width) {
  if (fits(text, width)) return text;
  const letters = [...text];
  let low = 0;
  let high = letters.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (fits(`${letters.slice(0, middle).join('')}…`, width)) low = middle;
    else high = middle - 1;
  }
  return `${letters.slice(0, low).join('').trimEnd()}…`;
}
