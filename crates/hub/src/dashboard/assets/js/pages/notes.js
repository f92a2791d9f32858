// What is shown while there is nothing to show: loading, empty, no token, no such page.

import { h, setText } from '../dom.js';

/** Grey shapes in the places of what is being read, and what is waited for. */
export function loadingNote() {
  const block = (name) => h('div', { class: `bone ${name}` });
  const waiting = h('p', { class: 'loading-text', role: 'status' });
  const element = h(
    'div',
    { class: 'loading', 'aria-busy': 'true' },
    h('h1', { class: 'unseen' }, 'Loading from the hub …'),
    waiting,
    block('bone-head'),
    h('div', { class: 'bones' }, block('bone-panel'), block('bone-panel')),
    block('bone-graph'),
    h('div', { class: 'bones' }, block('bone-card'), block('bone-card'), block('bone-card'), block('bone-card')),
  );
  return { element, update: (text) => setText(waiting, text) };
}

/** In place of a record that could not be read yet: why, and that it is tried again. */
export function waitingText() {
  const element = h('p', { class: 'loading-text', role: 'status' });
  return {
    element,
    update(trouble) {
      element.hidden = trouble === '';
      setText(element, trouble && `Could not load it from the hub: ${trouble}. Retrying.`);
    },
  };
}

/** A hub without graphs: what to type. */
export function emptyNote() {
  const step = (text, command) =>
    h('li', {}, h('p', {}, text), h('pre', { class: 'command', tabindex: '0' }, h('code', {}, command)));
  return h(
    'section',
    { class: 'note', 'aria-labelledby': 'empty-title' },
    h('h1', { id: 'empty-title' }, 'No task graph yet'),
    h('p', {}, 'The hub is running. Submit a graph and start a worker; this page updates automatically.'),
    h(
      'ol',
      { class: 'steps' },
      step('Submit a graph:', `greenloop tasks import tasks.yaml --hub ${location.origin}`),
      step('Start a worker, here or on another machine:', `greenloop worker --hub ${location.origin} --name agent-a --role backend`),
    ),
  );
}

/** Asks for a read token; `give` gets it. */
export function tokenNote(give, refused) {
  const field = h('input', { id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true, 'aria-describedby': 'token-help' });
  const form = h(
    'form',
    {
      class: 'token-form',
      onsubmit: (event) => {
        event.preventDefault();
        if (field.value.trim()) give(field.value.trim());
      },
    },
    h('label', { for: 'token' }, 'Read token'),
    h('div', { class: 'token-row' }, field, h('button', { type: 'submit', class: 'main-button' }, 'Open')),
  );
  return h(
    'section',
    { class: 'note', 'aria-labelledby': 'token-title' },
    h('h1', { id: 'token-title' }, 'This hub requires a token'),
    refused ? h('p', { class: 'refused', role: 'alert' }, 'The hub did not accept that token.') : null,
    form,
    h('p', { id: 'token-help' }, 'It is kept in this tab until the tab is closed. Create a read-only token on the hub with:'),
    h('pre', { class: 'command', tabindex: '0' }, h('code', {}, 'greenloop hub token create --name dashboard --scope read')),
  );
}

export function missingPage(text = 'This page does not exist.') {
  return {
    title: 'Not found',
    element: h('section', { class: 'note' }, h('h1', {}, 'Not found'), h('p', {}, text), h('p', {}, h('a', { href: '#/' }, 'Back to the overview'))),
    update() {},
  };
}
