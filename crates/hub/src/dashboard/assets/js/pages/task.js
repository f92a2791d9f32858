// One task: what it asks for, what it waits for, who tried, and what they found and made.

import { taskActions } from '../actions/tasks.js';
import { h, keyed, keep, kept, setText } from '../dom.js';
import { duration, hours, instant, percent, shortCommit } from '../format.js';
import { badge, bar, nothing, panel, setBadge, setBar, setSince, setTaskLink, since, taskLink } from '../panels/pieces.js';
import { Sync } from '../state/sync.js';
import { missingPage, waitingText } from './notes.js';
import { evidenceItem } from './evidence.js';
import { logPanel } from './log.js';
import { facts } from './facts.js';

/** Pieces of evidence that are read of one task. */
const MOST_EVIDENCE = 200;
/** Actions of people that are read of one task. */
const MOST_ACTIONS = 50;

export function taskPage(id, { api, acted, changed, failed }) {
  let task = null;
  let actions = [];
  let attempts = [];
  let evidence = [];
  let missing = false;
  let trouble = '';

  const sync = new Sync(
    {
      task: {
        every: 1_000,
        read: async () => {
          const [record, tries, found, done] = await Promise.all([
            api.get(`/tasks/${id}`),
            api.list(`/tasks/${id}/attempts`),
            api.list(`/tasks/${id}/evidence`, { most: MOST_EVIDENCE }),
            api.list(`/actions?task=${id}`, { most: MOST_ACTIONS }),
          ]);
          await log.list();
          task = record;
          actions = done;
          attempts = [...tries].sort((a, b) => b.epoch - a.epoch);
          evidence = [...found].sort((a, b) => b.id - a.id);
          changed();
        },
      },
    },
    {
      fail: (_, error) => {
        missing = error.status === 404;
        trouble = error.message;
        failed(error);
        changed();
      },
    },
  );
  sync.want(['task']);

  const title = h('h1');
  const state = badge();
  const meter = bar('Progress');
  const meterText = h('span', { class: 'progress-text' });
  const meterRow = h('div', { class: 'task-progress' }, meter, meterText);
  const reason = h('p', { class: 'reason' });
  const about = h('div');
  const description = h('p', { class: 'description' });
  const needs = h('ul', { class: 'task-list' });
  const needed = h('ul', { class: 'task-list' });
  const noNeeds = nothing('No dependencies.');
  const noNeeded = nothing('No dependents.');
  const conditions = h('p', { class: 'more' });
  const tries = h('ol', { class: 'attempts' });
  const noTries = nothing('No attempts yet.');
  const people = h('ol', { class: 'operator-actions' });
  const peoplePanel = panel('people', 'Actions by people', people);
  const log = logPanel(id, api);
  const buttons = taskActions(api, () => {
    sync.want(['task']);
    acted();
  });
  const items = h('ol', { class: 'evidence-list' });
  const noItems = nothing('No evidence yet.');
  const body = h(
    'div',
    { class: 'task-body' },
    h('div', { class: 'column' }, panel('what', 'Description', description), log.element, panel('evidence', 'Evidence', noItems, items)),
    h(
      'div',
      { class: 'column' },
      panel('facts-panel', 'Facts', about),
      panel('needs-panel', 'Needs', noNeeds, needs, conditions, h('h3', {}, 'Needed by'), noNeeded, needed),
      panel('tries', 'Attempts', noTries, tries),
      peoplePanel,
    ),
  );
  const skeleton = h('div', { class: 'bone bone-graph' });
  const waiting = waitingText();
  const element = h(
    'div',
    { class: 'task-page' },
    h('p', { class: 'back' }, h('a', { href: '#/' }, '← Overview')),
    h('div', { class: 'task-title' }, title, state),
    reason,
    buttons.element,
    meterRow,
    waiting.element,
    skeleton,
    body,
  );
  let factsOf = null;

  return {
    title: `Task ${id}`,
    element,
    get task() {
      return task;
    },
    event(event) {
      if (event.task === Number(id)) sync.want(['task']);
    },
    close() {
      log.close();
      sync.stop();
    },
    refresh() {
      sync.want(['task']);
    },
    update(all, clock) {
      if (missing && !task) {
        element.replaceChildren(missingPage(`This hub has no task ${id}.`).element);
        return;
      }
      skeleton.hidden = task !== null;
      waiting.update(task === null ? trouble : '');
      body.hidden = task === null;
      state.hidden = task === null;
      meterRow.hidden = task?.state !== 'running';
      reason.hidden = !task?.reason;
      if (!task) return;
      // The list of the graph follows events at once; the record lags a second behind.
      const live = all.tasks.get(task.id);
      const now = live && live.epoch >= task.epoch ? { ...task, state: live.state, percent: live.percent, agent: live.agent } : task;
      buttons.update(now, all);
      peoplePanel.hidden = actions.length === 0;
      keyed(people, actions, (action) => action.id, makeAction, (row, action) => setSince(kept(row).time, action.at, clock));
      setText(title, `${task.key} ${task.title}`);
      setBadge(state, now.state);
      setReason(reason, task.reason ?? '');
      setBar(meter, now.percent, 'running');
      setText(meterText, percent(now.percent));
      setText(description, task.description || 'No description.');
      const key = JSON.stringify([now, attempts.length]);
      if (key !== factsOf) {
        factsOf = key;
        about.replaceChildren(taskFacts(now, all));
      }
      noNeeds.hidden = task.needs.length > 0;
      const before = task.needs.map((need) => ({ id: need, task: all.tasks.get(need) }));
      const after = [...all.tasks.values()].filter((other) => other.needs.includes(task.id)).map((other) => ({ id: other.id, task: other }));
      noNeeded.hidden = after.length > 0;
      keyed(needs, before, (one) => one.id, makeOther, changeOther);
      keyed(needed, after, (one) => one.id, makeOther, changeOther);
      conditions.hidden = task.conditions.length === 0;
      setText(conditions, task.conditions.map((one) => `Epic ${one.epic} must reach ${one.at_least} %.`).join(' '));
      noTries.hidden = attempts.length > 0;
      keyed(tries, attempts, (attempt) => attempt.epoch, makeAttempt, (row, attempt) => changeAttempt(row, attempt, clock));
      noItems.hidden = evidence.length > 0;
      keyed(items, evidence, (item) => item.id, (item) => evidenceItem(item, item === firstOf(evidence, item.kind)), (row, item) => {
        setSince(kept(row).time, item.created_at, clock);
      });
    },
  };
}

/** Why a task is as it is; what waits for an approval leads to where it is decided. */
function setReason(element, text) {
  if (element.textContent === text) return;
  const request = /\brequest (\d+)$/.exec(text);
  const link = request ? h('a', { href: `#/approvals/${request[1]}` }, request[0]) : null;
  element.replaceChildren(...(link ? [text.slice(0, request.index), link] : [text]));
}

function firstOf(evidence, kind) {
  return evidence.find((item) => item.kind === kind);
}

function taskFacts(task, all) {
  const epic = all.summary?.epics?.find((one) => one.key === task.epic && one.graph === task.graph);
  return facts([
    ['Epic', task.epic ? [task.epic, epic?.title].filter(Boolean).join(' ') : ''],
    ['Agent', task.agent],
    ['Only for', task.assigned],
    ['Not for', task.excluded.join(', ')],
    ['Role', task.role],
    ['Labels', task.labels.join(', ')],
    ['Work', hours(task.hours)],
    ['Longest path from here', hours(task.rank_hours)],
    ['Priority', String(task.priority)],
    ['Attempts', `${task.attempts} of ${task.max_attempts}`],
    ['Time limit', task.timeout_seconds ? duration(task.timeout_seconds * 1000) : ''],
    ['Command', typeof task.action === 'object' ? h('code', {}, task.action.command) : ''],
    ['Branch', task.branch ? h('code', {}, task.branch) : ''],
    ['Commit', task.commit ? h('code', {}, shortCommit(task.commit)) : ''],
    ['Files', task.files.length ? h('code', {}, task.files.join('\n')) : ''],
  ]);
}

/** A record never changes. */
function makeAction(action) {
  const time = since();
  const why = action.reason ? h('p', {}, action.reason) : null;
  const change = `${JSON.stringify(action.before)} → ${JSON.stringify(action.after)}`;
  return keep(h('li', {}, h('strong', {}, action.operator), ' ', h('code', {}, action.action), ' ', time, why, h('p', { class: 'change' }, change)), { time });
}

function makeOther() {
  const parts = { link: taskLink(), state: badge() };
  return keep(h('li', {}, parts.state, parts.link), parts);
}

function changeOther(row, { id, task }) {
  const parts = kept(row);
  setTaskLink(parts.link, id, task);
  parts.state.hidden = !task;
  if (task) setBadge(parts.state, task.state);
}

function makeAttempt(attempt) {
  const parts = { state: badge(), agent: h('strong'), more: h('span', { class: 'more' }), message: h('p', { class: 'message' }), time: since() };
  return keep(
    h('li', {}, parts.state, h('div', {}, parts.agent, ' ', parts.more, parts.message), parts.time, h('span', { class: 'unseen' }, `attempt ${attempt.epoch}`)),
    parts,
  );
}

function changeAttempt(row, attempt, clock) {
  const parts = kept(row);
  const end = attempt.ended_at ? instant(attempt.ended_at) : clock.now();
  setBadge(parts.state, attempt.state);
  setText(parts.agent, attempt.agent);
  setText(
    parts.more,
    [`attempt ${attempt.epoch}`, percent(attempt.percent), duration(end - instant(attempt.started_at)), attempt.commit ? shortCommit(attempt.commit) : '']
      .filter(Boolean)
      .join(' · '),
  );
  setText(parts.message, attempt.message ?? '');
  setSince(parts.time, attempt.ended_at ?? attempt.started_at, clock);
}
