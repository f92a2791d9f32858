// What happens in the repository: the merge queue, what was merged, the branches of attempts.

import { mayAct } from '../actions/buttons.js';
import { entryActions, queueActions } from '../actions/queues.js';
import { h, keyed, keep, kept, setAttribute, setText } from '../dom.js';
import { instant, shortCommit } from '../format.js';
import { isOpenMerge } from '../state/states.js';
import { badge, nothing, panel, setBadge, setSince, setTaskLink, since, taskLink } from './pieces.js';

const MOST_OPEN = 12;
const MOST_MERGED = 6;
const MOST_BRANCHES = 12;

export function gitPanel({ api, acted }) {
  const queue = h('ul', { class: 'git-list' });
  const holds = h('ul', { class: 'git-list holds' });
  const noQueue = nothing('The merge queue is empty.');
  const merged = h('ul', { class: 'git-list' });
  const noMerged = nothing('No merges yet.');
  const branches = h('ul', { class: 'branch-list' });
  const noBranches = nothing('No branches of attempts.');
  const hidden = h('p', { class: 'more' });
  const element = panel(
    'git',
    'Git',
    h('h3', {}, 'Merge queue'),
    holds,
    noQueue,
    queue,
    h('h3', {}, 'Recently finished'),
    noMerged,
    merged,
    h('h3', {}, 'Branches'),
    noBranches,
    branches,
    hidden,
  );
  return {
    element,
    update(state, clock) {
      const all = [...state.merges.values()];
      const open = all.filter(isOpenMerge).sort(byTurn);
      const held = state.branches.filter((branch) => branch.kind === 'target' && (branch.hold || branch.paused_since || mayAct(state)));
      holds.hidden = held.length === 0;
      keyed(holds, held, (branch) => `${branch.project} ${branch.name}`, () => makeHold(queueActions(api, acted)), (row, branch) =>
        changeHold(row, branch, state, clock),
      );
      const ended = all
        .filter((merge) => merge.state === 'merged' || merge.state === 'ejected')
        .sort((a, b) => instant(b.ended_at) - instant(a.ended_at));
      const make = () => makeMerge(entryActions(api, acted));
      const change = (row, merge) => changeMerge(row, merge, state, clock);
      noQueue.hidden = open.length > 0;
      noMerged.hidden = ended.length > 0;
      noBranches.hidden = state.branches.length > 0;
      keyed(queue, open.slice(0, MOST_OPEN), (merge) => merge.id, make, change);
      keyed(merged, ended.slice(0, MOST_MERGED), (merge) => merge.id, make, change);
      keyed(branches, state.branches.slice(0, MOST_BRANCHES), (branch) => branch.name, makeBranch, (row, branch) =>
        changeBranch(row, branch, state),
      );
      const rest = state.branches.length - MOST_BRANCHES;
      hidden.hidden = rest <= 0;
      setText(hidden, `and ${rest} more`);
    },
  };
}

function makeHold(actions) {
  const parts = { name: h('code'), reason: h('span', { class: 'reason' }), time: since(), actions };
  return keep(h('li', {}, h('div', { class: 'git-what' }, parts.name, parts.reason, actions.element), parts.time), parts);
}

function changeHold(row, branch, state, clock) {
  const parts = kept(row);
  const paused = branch.paused_since ? ['Paused by a person'] : [];
  const hold = branch.hold ? [branch.hold.text, ...branch.hold.lost] : [];
  setText(parts.name, branch.name);
  setText(parts.reason, [...paused, ...hold].join('\n'));
  parts.actions.update(branch, state);
  const at = branch.paused_since ?? branch.hold?.since;
  parts.time.hidden = !at;
  if (at) setSince(parts.time, at, clock);
}

const TURN = { conflict: 0, waiting: 1, testing: 2, queued: 3 };

function byTurn(a, b) {
  return TURN[a.state] - TURN[b.state] || a.id - b.id;
}

function makeMerge(actions) {
  const parts = {
    actions,
    state: badge(),
    task: taskLink(),
    way: h('span', { class: 'way' }),
    reason: h('span', { class: 'reason' }),
    decide: h('a', {}, 'Look at it and decide'),
    time: since(),
  };
  return keep(
    h('li', {}, parts.state, h('div', { class: 'git-what' }, parts.task, parts.way, parts.reason, parts.decide, actions.element), parts.time),
    parts,
  );
}

function changeMerge(row, merge, state, clock) {
  const parts = kept(row);
  parts.actions.update(merge, state);
  setBadge(parts.state, merge.state);
  setTaskLink(parts.task, merge.task, state.tasks.get(merge.task));
  setText(parts.way, `${merge.branch} ${shortCommit(merge.merged ?? merge.commit)} → ${merge.target}`);
  parts.reason.hidden = !merge.reason;
  setText(parts.reason, merge.reason ?? '');
  parts.decide.hidden = !merge.approval;
  if (merge.approval) setAttribute(parts.decide, 'href', `#/approvals/${merge.approval}`);
  setSince(parts.time, merge.ended_at ?? merge.created_at, clock);
}

function makeBranch() {
  const parts = { name: h('code'), commit: h('span', { class: 'commit' }), task: taskLink() };
  return keep(h('li', {}, parts.name, parts.commit, parts.task), parts);
}

function changeBranch(row, branch, state) {
  const parts = kept(row);
  setText(parts.name, branch.name);
  setText(parts.commit, branch.commit ? shortCommit(branch.commit) : '');
  parts.task.hidden = branch.task === null || branch.task === undefined;
  if (!parts.task.hidden) setTaskLink(parts.task, branch.task, state.tasks.get(branch.task));
}
