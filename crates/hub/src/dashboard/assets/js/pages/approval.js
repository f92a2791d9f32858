// One request for approval: the question, the change, the evidence, the review, and the decision.

import { approvalActions } from '../actions/approvals.js';
import { mayAct } from '../actions/buttons.js';
import { h } from '../dom.js';
import { instant, moment } from '../format.js';
import { badge, setBadge } from '../panels/pieces.js';
import { subjectOf, whoseOf } from './approvals.js';
import { diffView } from './diff_view.js';
import { facts } from './facts.js';
import { missingPage, waitingText } from './notes.js';
import { recordOf } from './record.js';

export function approvalPage(id, { api, acted, changed, failed }) {
  let shown = null;
  const record = recordOf(`/approvals/${id}`, { api, changed, failed });
  const actions = approvalActions(api, () => {
    record.want();
    acted();
  });
  const signedOut = h('p', { class: 'more sign-in-hint' }, 'To decide, sign in with a token of the scope admin, or use ', h('code', {}, `greenloop approve ${id}`), '.');
  const head = h('div', {});
  const body = h('div', { class: 'bone bone-graph' });
  const waiting = waitingText();
  const element = h(
    'div',
    { class: 'task-page approval-page' },
    h('p', { class: 'back' }, h('a', { href: '#/approvals' }, '← Approvals')),
    waiting.element,
    head,
    actions.element,
    signedOut,
    body,
  );
  return {
    title: `Request ${id}`,
    element,
    event(event) {
      if (event.kind.startsWith('approval.')) record.want();
    },
    close: record.close,
    refresh: record.want,
    update(state) {
      const approval = record.value;
      if (record.missing && !approval) element.replaceChildren(missingPage(`This hub has no request for approval ${id}.`).element);
      waiting.update(approval === null ? record.trouble : '');
      actions.update(approval, state);
      signedOut.hidden = approval?.state !== 'pending' || mayAct(state);
      if (!approval || approval === shown) return;
      // What is read again is the same but for its state: the reader's place in the diff stays.
      if (shown?.scope !== approval.scope) {
        body.className = '';
        body.replaceChildren(...content(approval));
      }
      head.replaceChildren(...heading(approval));
      shown = approval;
    },
  };
}

function heading(approval) {
  const state = badge();
  setBadge(state, approval.state);
  const [first, ...rest] = approval.request.trimEnd().split('\n');
  const outcome = approval.ended_at
    ? `${approval.state}${approval.decided_by ? ` by ${approval.decided_by}` : ''}, ${moment(instant(approval.ended_at))}`
    : '';
  return [
    h('div', { class: 'task-title' }, h('h1', {}, [subjectOf(approval), whoseOf(approval)].filter(Boolean).join(' · ')), state),
    h('p', { class: 'reason' }, first),
    rest.length ? h('p', { class: 'prose' }, rest.join('\n')) : null,
    h(
      'section',
      { class: 'panel' },
      facts([
        ['Decision', outcome],
        ['Why', approval.reason],
        ['Asked', moment(instant(approval.created_at))],
        ['By', approval.requested_by],
        ['Expires', approval.state === 'pending' && approval.expires_at ? moment(instant(approval.expires_at)) : ''],
        ['Run', approval.run ? h('a', { href: `#/runs/${encodeURIComponent(approval.run)}` }, approval.run) : ''],
        ['Task', approval.task ? h('a', { href: `#/tasks/${approval.task}` }, `${approval.task}`) : ''],
        ['Iteration', approval.iteration ? String(approval.iteration) : ''],
        ['Commit', code(approval.commit)],
        ['Tree before', code(approval.base_tree)],
        ['Tree', code(approval.new_tree)],
        ['Policy', code(approval.policy)],
      ]),
    ),
  ].filter(Boolean);
}

function code(text) {
  return text ? h('code', {}, text) : '';
}

function content(approval) {
  return [
    part('Change', approval.diff ? diffView(approval.diff) : null),
    part('Evidence', approval.evidence ? h('pre', { class: 'code', tabindex: '0', 'aria-label': 'Evidence' }, h('code', {}, approval.evidence)) : null),
    part('Review', approval.review ? h('p', { class: 'prose' }, approval.review) : null),
  ].filter(Boolean);
}

function part(title, child) {
  return child ? h('section', { class: 'panel' }, h('h2', {}, title), child) : null;
}
