// A unified diff as files and lines. Pure; what it does not understand is a line of context.

/** Lines beyond these are counted, not shown. */
const MOST_LINES = 4_000;

/**
 * @returns {{files: {name: string, added: number, removed: number, lines: {kind: string,
 *   text: string, old: number|null, new: number|null}[]}[], hidden: number}}
 */
export function parseDiff(text) {
  const files = [];
  let file = null;
  let oldLine = 0;
  let newLine = 0;
  // Lines of the hunk that are still to come: a removed line may itself begin with "--".
  let oldLeft = 0;
  let newLeft = 0;
  // Between a heading of git's and the first hunk.
  let headed = false;
  let shown = 0;
  let hidden = 0;
  const open = (name) => {
    file = { name, added: 0, removed: 0, lines: [] };
    files.push(file);
  };
  const put = (kind, line, numbers) => {
    if (shown >= MOST_LINES) hidden += 1;
    else file.lines.push({ kind, text: line, old: null, new: null, ...numbers });
    shown += 1;
  };
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  for (const line of lines) {
    // Counts may be wrong where a model wrote them: a line without a sign ends the hunk as well.
    if ((oldLeft > 0 || newLeft > 0) && /^[ +\-\\]|^$/.test(line)) {
      if (line.startsWith('+')) {
        file.added += 1;
        put('added', line.slice(1), { new: newLine });
        newLine += 1;
        newLeft -= 1;
      } else if (line.startsWith('-')) {
        file.removed += 1;
        put('removed', line.slice(1), { old: oldLine });
        oldLine += 1;
        oldLeft -= 1;
      } else if (line.startsWith('\\')) {
        put('note', line.slice(2));
      } else {
        put('same', line.slice(1), { old: oldLine, new: newLine });
        oldLine += 1;
        newLine += 1;
        oldLeft -= 1;
        newLeft -= 1;
      }
      continue;
    }
    oldLeft = 0;
    newLeft = 0;
    const hunk = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)$/.exec(line);
    if (hunk) {
      if (!file) open('');
      headed = false;
      oldLine = Number(hunk[1]);
      oldLeft = hunk[2] === undefined ? 1 : Number(hunk[2]);
      newLine = Number(hunk[3]);
      newLeft = hunk[4] === undefined ? 1 : Number(hunk[4]);
      put('hunk', line);
      continue;
    }
    const head = /^diff --git a\/(.+) b\/(.+)$/.exec(line);
    const target = /^\+\+\+ (?:b\/)?([^\t]+)/.exec(line);
    const source = /^--- (?:a\/)?([^\t]+)/.exec(line);
    if (head) {
      open(head[2]);
      headed = true;
    } else if (source) {
      // A diff without git's heading begins its files here.
      if (!headed) open(source[1]);
    } else if (target) {
      if (file && target[1] !== '/dev/null') file.name = target[1];
    } else if (line !== '') {
      if (!file) open('');
      put('note', line);
    }
  }
  return { files, hidden };
}
