// What waits for a person, and what was decided.

import { h, keep, kept, keyed, setAttribute, setText } from '../dom.js';
import { badge, nothing, setBadge, setSince, since } from '../panels/pieces.js';
import { Sync } from '../state/sync.js';
import { waitingText } from './notes.js';

/** Decided ones that are listed. */
const MOST = 200;

const SUBJECTS = {
  patch: 'Patch',
  rollout: 'Rollout',
  proof: 'Patches without proof',
  task: 'Start of a task',
  merge: 'Merge',
};

export function subjectOf(approval) {
  return SUBJECTS[approval.subject] ?? approval.subject;
}

/** Whom the request is of: an environment, a healed command, a task. */
export function whoseOf(approval) {
  if (approval.environment) return approval.environment;
  return approval.task ? `task ${approval.task}` : '';
}

export function approvalsPage({ api, changed, failed }) {
  let all = null;
  let trouble = '';
  const sync = new Sync(
    {
      approvals: {
        every: 1_000,
        read: async () => {
          all = await api.list('/approvals', { most: MOST });
          trouble = '';
          changed();
        },
      },
    },
    {
      fail: (_, error) => {
        trouble = error.message;
        failed(error);
        changed();
      },
    },
  );
  sync.want(['approvals']);
  const waiting = waitingText();
  const pending = part('approvals-pending', 'Waiting for a decision', 'Nothing waits for a decision.');
  const decided = part('approvals-decided', 'Decided', 'Nothing was decided yet.');
  const element = h(
    'div',
    { class: 'task-page approvals-page' },
    h('p', { class: 'back' }, h('a', { href: '#/' }, '← Overview')),
    h('h1', {}, 'Approvals'),
    waiting.element,
    pending.element,
    decided.element,
  );
  return {
    title: 'Approvals',
    element,
    event(event) {
      if (event.kind.startsWith('approval.')) sync.want(['approvals']);
    },
    close() {
      sync.stop();
    },
    refresh() {
      sync.want(['approvals']);
    },
    update(state, clock) {
      waiting.update(all === null ? trouble : '');
      if (all === null) return;
      pending.update(all.filter((it) => it.state === 'pending'), clock);
      decided.update(all.filter((it) => it.state !== 'pending'), clock);
    },
  };
}

function part(id, title, empty) {
  const list = h('ul', { class: 'runs-list' });
  const none = nothing(empty);
  const element = h('section', { class: `panel ${id}`, 'aria-labelledby': id }, h('h2', { id }, title), none, list);
  return {
    element,
    update(items, clock) {
      none.hidden = items.length > 0;
      keyed(list, items, (it) => it.id, make, (row, it) => change(row, it, clock));
    },
  };
}

function make(approval) {
  const parts = {
    state: badge(),
    name: h('a', { href: `#/approvals/${approval.id}` }),
    more: h('span', { class: 'more' }),
    time: since(),
  };
  return keep(h('li', { 'data-approval': approval.id }, parts.state, h('div', {}, parts.name, parts.more), parts.time), parts);
}

function change(row, approval, clock) {
  const parts = kept(row);
  setBadge(parts.state, approval.state);
  setText(parts.name, [subjectOf(approval), whoseOf(approval)].filter(Boolean).join(' · '));
  const first = approval.request.split('\n', 1)[0];
  const who = approval.decided_by ? `by ${approval.decided_by}` : '';
  setText(parts.more, [first, who, approval.reason].filter(Boolean).join(' · '));
  setAttribute(parts.name, 'title', `Request ${approval.id}`);
  setSince(parts.time, approval.ended_at ?? approval.created_at, clock);
}
