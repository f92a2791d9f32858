// Small pieces that several panels are made of.

import { h, keep, kept, setAttribute, setText, setVariable } from '../dom.js';
import { ago, instant, moment, percent } from '../format.js';
import { icon, setIcon } from '../icons.js';

/** A titled part of the page. */
export function panel(id, title, ...children) {
  return h(
    'section',
    { class: `panel ${id}`, 'aria-labelledby': `${id}-title` },
    h('div', { class: 'panel-head' }, h('h2', { id: `${id}-title` }, title)),
    ...children,
  );
}

/** A state: its shape and its word. */
export function badge(state = 'waiting') {
  const shape = icon(state);
  const word = h('span', {}, state);
  return keep(h('span', { class: 'badge', 'data-state': state }, shape, word), { shape, word });
}

export function setBadge(element, state) {
  const { shape, word } = kept(element);
  setAttribute(element, 'data-state', state);
  setIcon(shape, state);
  setText(word, state);
}

/** A bar with its value as text for those who do not see it. */
export function bar(label) {
  return h('span', { class: 'bar', role: 'progressbar', 'aria-label': label, 'aria-valuemin': '0', 'aria-valuemax': '100' });
}

export function setBar(element, value, state = null) {
  const known = Number.isFinite(value);
  setVariable(element, '--part', String(known ? Math.min(1, Math.max(0, value / 100)) : 0));
  setAttribute(element, 'aria-valuenow', known ? Math.round(value) : null);
  setAttribute(element, 'aria-valuetext', known ? percent(value) : 'unknown');
  setAttribute(element, 'data-state', state);
}

/** A time that goes on: `12 s ago`. The ticker keeps it right. */
export function since() {
  return h('time', { class: 'since' });
}

export function setSince(element, text, clock) {
  const at = typeof text === 'number' ? text : instant(text);
  if (!Number.isFinite(at)) {
    setText(element, '–');
    element.removeAttribute('data-at');
    return;
  }
  if (element.dataset.at !== String(at)) {
    element.dataset.at = String(at);
    element.setAttribute('datetime', new Date(at).toISOString());
    element.title = moment(at);
  }
  setText(element, ago(at, clock.now()));
}

/** Brings all times on the page up to date. */
export function tick(clock) {
  const now = clock.now();
  for (const element of document.querySelectorAll('time[data-at]')) {
    setText(element, ago(Number(element.dataset.at), now));
  }
}

/** A link to a task: its key and its title. */
export function taskLink() {
  const key = h('span', { class: 'key' });
  const title = h('span', { class: 'title' });
  return keep(h('a', { class: 'task-link' }, key, ' ', title), { key, title });
}

export function setTaskLink(element, id, task) {
  const { key, title } = kept(element);
  setAttribute(element, 'href', id === null || id === undefined ? null : `#/tasks/${id}`);
  setText(key, task ? task.key : `#${id}`);
  setText(title, task ? task.title : 'task of another graph');
}

/** What stands where a list is empty. */
export function nothing(text) {
  return h('p', { class: 'nothing' }, text);
}
