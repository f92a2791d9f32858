// What happens in the repository: the merge queue, what was merged, the branches of attempts.

import { h, keyed, keep, kept, setText } from '../dom.js';
import { instant, shortCommit } from '../format.js';
import { isOpenMerge } from '../state/states.js';
import { badge, nothing, panel, setBadge, setSince, setTaskLink, since, taskLink } from './pieces.js';

const MOST_OPEN = 12;
const MOST_MERGED = 6;
const MOST_BRANCHES = 12;

export function gitPanel() {
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
      const held = state.branches.filter((branch) => branch.hold);
      holds.hidden = held.length === 0;
      keyed(holds, held, (branch) => `${branch.project} ${branch.name}`, makeHold, (row, branch) =>
        changeHold(row, branch, clock),
      );
      const ended = all
        .filter((merge) => merge.state === 'merged' || merge.state === 'ejected')
        .sort((a, b) => instant(b.ended_at) - instant(a.ended_at));
      const change = (row, merge) => changeMerge(row, merge, state, clock);
      noQueue.hidden = open.length > 0;
      noMerged.hidden = ended.length > 0;
      noBranches.hidden = state.branches.length > 0;
      keyed(queue, open.slice(0, MOST_OPEN), (merge) => merge.id, makeMerge, change);
      keyed(merged, ended.slice(0, MOST_MERGED), (merge) => merge.id, makeMerge, change);
      keyed(branches, state.branches.slice(0, MOST_BRANCHES), (branch) => branch.name, makeBranch, (row, branch) =>
        changeBranch(row, branch, state),
      );
      const rest = state.branches.length - MOST_BRANCHES;
      hidden.hidden = rest <= 0;
      setText(hidden, `and ${rest} more`);
    },
  };
}

function makeHold() {
  const parts = { name: h('code'), reason: h('span', { class: 'reason' }), time: since() };
  return keep(h('li', {}, h('div', { class: 'git-what' }, parts.name, parts.reason), parts.time), parts);
}

function changeHold(row, branch, clock) {
  const parts = kept(row);
  setText(parts.name, branch.name);
  setText(parts.reason, [branch.hold.text, ...branch.hold.lost].join('\n'));
  setSince(parts.time, branch.hold.since, clock);
}

const TURN = { conflict: 0, testing: 1, queued: 2 };

function byTurn(a, b) {
  return TURN[a.state] - TURN[b.state] || a.id - b.id;
}

function makeMerge() {
  const parts = {
    state: badge(),
    task: taskLink(),
    way: h('span', { class: 'way' }),
    reason: h('span', { class: 'reason' }),
    time: since(),
  };
  return keep(
    h('li', {}, parts.state, h('div', { class: 'git-what' }, parts.task, parts.way, parts.reason), parts.time),
    parts,
  );
}

function changeMerge(row, merge, state, clock) {
  const parts = kept(row);
  setBadge(parts.state, merge.state);
  setTaskLink(parts.task, merge.task, state.tasks.get(merge.task));
  setText(parts.way, `${merge.branch} ${shortCommit(merge.merged ?? merge.commit)} → ${merge.target}`);
  parts.reason.hidden = !merge.reason;
  setText(parts.reason, merge.reason ?? '');
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
