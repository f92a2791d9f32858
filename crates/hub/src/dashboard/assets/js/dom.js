// Building and changing elements. Text from outside reaches the page here, and only as text:
// nothing in the dashboard parses markup.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * An element with properties and children. `class` and `data-*`, `aria-*`, `role` and the like
 * become attributes, functions under `on…` listeners; strings among the children become text.
 */
export function h(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** The same for SVG. */
export function s(name, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

function fill(element, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets a text only when it differs, so that selections and screen readers stay undisturbed. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or, with `null`, removes an attribute, only when that changes something. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value);
  }
}

/** A length or a number that the style sheet works with; the page's policy allows this way only. */
export function setVariable(element, name, value) {
  if (element.style.getPropertyValue(name) !== value) element.style.setProperty(name, value);
}

/**
 * Makes the children of `parent` the rows of `items`, in their order: a row is made once per key
 * and then updated, so focus, selection and scroll positions survive.
 */
export function keyed(parent, items, keyOf, make, update) {
  const known = rowsOf(parent);
  const wanted = new Map();
  for (const item of items) if (!wanted.has(keyOf(item))) wanted.set(keyOf(item), item);
  // What goes is taken out first: a row that only moves up then stays where it is in the page,
  // and with it the reader's focus.
  for (const [key, row] of known) {
    if (wanted.has(key)) continue;
    row.remove();
    known.delete(key);
  }
  let place = parent.firstElementChild;
  for (const [key, item] of wanted) {
    let row = known.get(key);
    if (!row) {
      row = make(item);
      known.set(key, row);
    }
    update(row, item);
    if (row === place) place = place.nextElementSibling;
    else parent.insertBefore(row, place);
  }
}

const rows = new WeakMap();

function rowsOf(parent) {
  if (!rows.has(parent)) rows.set(parent, new Map());
  return rows.get(parent);
}

/** The parts of a row that its update needs, kept with the row. */
const parts = new WeakMap();

export function keep(element, record) {
  parts.set(element, record);
  return element;
}

export function kept(element) {
  return parts.get(element);
}
