// Output of programs with its colours: SGR sequences become spans, all others go. Pure.

const NAMES = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];

/**
 * Splits a text into runs of one style. `style` is what the text before has left, and comes back
 * for the text after it.
 * @returns {{runs: {text: string, style: string}[], style: string}} style: names of classes
 */
export function ansiRuns(text, style = '') {
  const runs = [];
  const sequence = /\u001b\[([0-9;:]*)m|\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])|\r(?!\n)|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;
  let at = 0;
  let now = new Set(style.split(' ').filter(Boolean));
  const push = (end) => {
    if (end > at) runs.push({ text: text.slice(at, end), style: [...now].join(' ') });
  };
  for (const found of text.matchAll(sequence)) {
    push(found.index);
    at = found.index + found[0].length;
    if (found[1] !== undefined) now = styled(now, found[1]);
  }
  push(text.length);
  return { runs, style: [...now].join(' ') };
}

function styled(before, codes) {
  let style = new Set(before);
  const without = (prefix) => {
    for (const name of style) if (name.startsWith(prefix)) style.delete(name);
  };
  const list = codes === '' ? [0] : codes.split(/[;:]/).map(Number);
  for (let i = 0; i < list.length; i += 1) {
    const code = list[i];
    if (code === 0) style = new Set();
    else if (code === 1) style.add('ansi-bold');
    else if (code === 22) style.delete('ansi-bold');
    else if (code >= 30 && code <= 37) {
      without('ansi-fg-');
      style.add(`ansi-fg-${NAMES[code - 30]}`);
    } else if (code >= 90 && code <= 97) {
      without('ansi-fg-');
      style.add(`ansi-fg-${NAMES[code - 90]}`);
    } else if (code === 39) without('ansi-fg-');
    // A colour of its own: shown without, its parameters are passed over.
    else if (code === 38 || code === 48) i += list[i + 1] === 5 ? 2 : 4;
  }
  return style;
}
