// Tasks of all graphs by what people remember of them; the address names what is sought.

import { h, keep, kept, keyed, setAttribute, setText } from '../dom.js';
import { badge, nothing, setBadge, setSince, since } from '../panels/pieces.js';
import { waitingText } from './notes.js';

/** Tasks that are shown at first, and how many more with each click. */
const PART = 50;
/** Parts of the hub's list that are read for them: each looks at a bounded number of tasks. */
const MOST_PARTS = 25;

export function searchPage({ q }, { api, changed, failed }) {
  let tasks = null;
  let next = null;
  let trouble = '';
  let reading = false;
  let closed = false;
  const box = h('input', { type: 'search', id: 'search-text', name: 'q', value: q, maxlength: '200', autocomplete: 'off', placeholder: 'text, id, branch, commit or worker' });
  const found = h('p', { class: 'more', role: 'status' });
  const waiting = waitingText();
  const none = nothing('No task fits.');
  const list = h('ul', { class: 'runs-list' });
  const more = h('button', { type: 'button', class: 'main-button', hidden: true, onclick: () => read(PART) }, 'Show more');

  async function read(wanted) {
    if (reading || closed) return;
    reading = true;
    try {
      const upTo = (tasks?.length ?? 0) + wanted;
      for (let part = 0; part < MOST_PARTS; part += 1) {
        const cursor = next === null ? '' : `&cursor=${encodeURIComponent(next)}`;
        const limit = upTo - (tasks?.length ?? 0);
        const page = await api.get(`/tasks/search?q=${encodeURIComponent(q)}&limit=${limit}${cursor}`);
        if (closed) return;
        tasks = [...(tasks ?? []), ...page.items];
        next = page.next ?? null;
        trouble = '';
        changed();
        if (next === null || tasks.length >= upTo) break;
      }
    } catch (error) {
      trouble = error.message;
      failed(error);
    } finally {
      reading = false;
      changed();
    }
  }

  if (q) read(PART);
  const element = h(
    'div',
    { class: 'task-page search-page' },
    h('p', { class: 'back' }, h('a', { href: '#/' }, '← Overview')),
    h('h1', {}, 'Tasks of all graphs'),
    h(
      'form',
      {
        class: 'filter',
        role: 'search',
        onsubmit: (event) => {
          event.preventDefault();
          const text = box.value.trim();
          location.hash = text ? `#/search?${new URLSearchParams({ q: text })}` : '#/search';
        },
      },
      h('label', { for: 'search-text' }, 'Search'),
      box,
      h('button', { type: 'submit', class: 'main-button' }, 'Search'),
      found,
    ),
    waiting.element,
    h('section', { class: 'panel', 'aria-label': 'Tasks that were found' }, none, list, more),
  );
  return {
    title: q ? `Search: ${q}` : 'Search',
    element,
    event() {},
    close() {
      closed = true;
    },
    refresh() {},
    update(state, clock) {
      waiting.update(tasks === null ? trouble : '');
      none.hidden = tasks === null || tasks.length > 0 || next !== null;
      more.hidden = next === null || reading;
      if (tasks === null) {
        setText(found, '');
        return;
      }
      setText(found, `${tasks.length} found${reading ? ', searching on …' : next === null ? '' : ' so far'}`);
      keyed(list, tasks, (task) => task.id, make, (row, task) => change(row, task, state, clock));
    },
  };
}

function make(task) {
  const parts = {
    state: badge(),
    name: h('a', { href: `#/tasks/${task.id}` }),
    more: h('span', { class: 'more' }),
    time: since(),
  };
  return keep(h('li', { 'data-task': task.id }, parts.state, h('div', {}, parts.name, parts.more), parts.time), parts);
}

function change(row, task, state, clock) {
  const parts = kept(row);
  setBadge(parts.state, task.state);
  setText(parts.name, `${task.key} ${task.title}`);
  setAttribute(parts.name, 'title', `Task ${task.id}`);
  const graph = state.graphs.get(task.graph);
  setText(parts.more, [graph ? graph.name : `graph ${task.graph}`, task.agent, task.branch].filter(Boolean).join(' · '));
  setSince(parts.time, task.updated_at, clock);
}
