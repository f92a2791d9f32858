// The colours of the style sheet for a canvas, which knows no variables.

const STATES = ['waiting', 'ready', 'running', 'merging', 'blocked', 'done', 'failed', 'cancelled'];
const PARTS = ['panel', 'sunk', 'ink', 'soft', 'hair', 'edge', 'focus'];

/** Read again when the scheme changes. */
export function coloursOf(element) {
  const style = getComputedStyle(element);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ...Object.fromEntries(PARTS.map((name) => [name, read(name)])),
    states: Object.fromEntries(STATES.map((name) => [name, read(name)])),
  };
}
