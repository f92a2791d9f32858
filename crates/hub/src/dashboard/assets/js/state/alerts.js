// What needs a person, worked out again from what is known: an alert cannot outlive its cause.

import { instant } from '../format.js';

/** A running task that has said nothing for this long counts as stuck. */
const STUCK = 30 * 60_000;
/** What was thrown out of the merge queue is news for this long. */
const EJECTED_NEWS = 24 * 3_600_000;

/** Why a merge queue is on hold. */
const HOLDS = { target_broken: 'Target branch broken', target_rewound: 'Target branch moved back' };

const SEVERITY = { bad: 0, warn: 1 };

/**
 * @typedef {object} Alert
 * @property {string} id  the same for the same cause
 * @property {'bad'|'warn'} level
 * @property {string} what  the kind, for people
 * @property {string} text
 * @property {string|null} href
 * @property {number} since
 */

/** @returns {Alert[]} the gravest first, then the oldest */
export function alerts(state, now) {
  const found = [
    ...agentAlerts(state),
    ...unservedAlerts(state),
    ...taskAlerts(state, now, conflicting(state)),
    ...mergeAlerts(state, now),
  ];
  return found.sort(
    (a, b) => SEVERITY[a.level] - SEVERITY[b.level] || a.since - b.since || (a.id < b.id ? -1 : 1),
  );
}

function agentAlerts(state) {
  const found = [];
  for (const agent of state.agents.values()) {
    if (agent.state === 'quarantined') {
      found.push({
        id: `agent-${agent.name}`,
        level: 'bad',
        what: 'Worker in quarantine',
        text: `${agent.name} on ${agent.host} claims nothing: ${agent.quarantine ?? 'its self-check failed'}`,
        href: null,
        since: instant(agent.quarantined_since ?? agent.last_heartbeat),
      });
      continue;
    }
    if (agent.state !== 'down' && agent.state !== 'stale') continue;
    const down = agent.state === 'down';
    const task = state.tasks.get(agent.task);
    found.push({
      id: `agent-${agent.name}`,
      level: down ? 'bad' : 'warn',
      what: down ? 'Agent down' : 'Heartbeat overdue',
      text: task ? `${agent.name} on ${agent.host}, with ${label(task)}` : `${agent.name} on ${agent.host}`,
      href: null,
      since: instant(agent.last_heartbeat),
    });
  }
  return found;
}

/** Who may be given a task, now or when it has done what it has. */
const SERVING = new Set(['working', 'idle', 'stale']);
/** Tasks that are named; more are counted. */
const NAMED = 8;

/** Tasks that no living, fit worker can do: by the role and the labels that nobody has. */
function unservedAlerts(state) {
  const graph = state.graphs.get(state.graph);
  if (!state.loaded || (graph && graph.state !== 'running')) return [];
  const serving = [...state.agents.values()].filter((agent) => SERVING.has(agent.state));
  const groups = new Map();
  for (const task of state.tasks.values()) {
    if (task.state !== 'ready' && task.state !== 'waiting') continue;
    const labels = [...(task.labels ?? [])].sort();
    const id = JSON.stringify([task.role ?? null, labels]);
    const group = groups.get(id) ?? { id, role: task.role ?? null, labels, tasks: [] };
    group.tasks.push(task);
    groups.set(id, group);
  }
  return [...groups.values()].filter((group) => !serving.some((agent) => serves(agent, group))).map(unserved);
}

function serves(agent, { role, labels }) {
  const has = agent.labels ?? [];
  return (role === null || (agent.roles ?? []).includes(role)) && labels.every((label) => has.includes(label));
}

function unserved({ id, role, labels, tasks }) {
  const what = [];
  if (role !== null) what.push(`the role ${role}`);
  if (labels.length > 0) what.push(`the label${labels.length > 1 ? 's' : ''} ${labels.join(', ')}`);
  const nobody = what.length > 0 ? `No live worker has ${what.join(' and ')}` : 'No live worker accepts tasks';
  const keys = tasks.slice(0, NAMED).map((task) => task.key).join(', ');
  const more = tasks.length > NAMED ? ` and ${tasks.length - NAMED} more` : '';
  return {
    id: `unserved-${id}`,
    level: 'warn',
    what: 'No worker',
    text: `${nobody}: ${tasks.length === 1 ? 'task' : 'tasks'} ${keys}${more}`,
    href: `#/tasks/${tasks[0].id}`,
    since: Math.min(...tasks.map((task) => instant(task.updated_at))),
  };
}

/** Tasks whose branch does not merge: the merge is the alert, the waiting task would repeat it. */
function conflicting(state) {
  const merges = [...state.merges.values()];
  return new Set(merges.filter((merge) => merge.unsolved).map((merge) => merge.task));
}

function taskAlerts(state, now, conflicts) {
  const found = [];
  for (const task of state.tasks.values()) {
    const href = `#/tasks/${task.id}`;
    const since = instant(task.updated_at);
    if (task.state === 'failed') {
      found.push({ id: `task-${task.id}`, level: 'bad', what: 'Task failed', text: because(task), href, since });
    } else if (task.state === 'blocked' && !conflicts.has(task.id)) {
      found.push({ id: `task-${task.id}`, level: 'warn', what: 'Waiting for a person', text: because(task), href, since });
    } else if (task.state === 'running') {
      const told = state.stuck.get(task.id);
      if (told || now - since > STUCK) {
        found.push({
          id: `stuck-${task.id}`,
          level: 'warn',
          what: 'No progress',
          text: task.agent ? `${label(task)}, with ${task.agent}` : label(task),
          href,
          since,
        });
      }
    }
  }
  return found;
}

// What became of the task's last merge is no news then.
const SETTLED = new Set(['done', 'cancelled']);

function mergeAlerts(state, now) {
  const found = [];
  for (const merge of state.merges.values()) {
    // Merge queues serve all graphs; the alerts are those of the graph on the screen.
    const task = state.tasks.get(merge.task);
    if (!task) continue;
    const since = instant(merge.ended_at ?? merge.created_at);
    const href = `#/tasks/${merge.task}`;
    const text = merge.reason ? `${label(task)}: ${merge.reason}` : label(task);
    if (merge.unsolved && task.state === 'blocked') {
      found.push({ id: `merge-${merge.id}`, level: 'bad', what: 'Merge conflict', text, href, since });
    } else if (merge.state === 'ejected' && !SETTLED.has(task.state) && now - since < EJECTED_NEWS) {
      found.push({ id: `merge-${merge.id}`, level: 'bad', what: 'Not merged', text, href, since });
    }
  }
  const held = state.branches.filter((branch) => branch.hold);
  for (const { name, project, hold } of held) {
    found.push({
      id: `hold-${project}-${name}`,
      level: 'bad',
      what: HOLDS[hold.reason] ?? 'Merge queue on hold',
      text: [hold.text, ...hold.lost].join('\n'),
      href: null,
      since: instant(hold.since),
    });
  }
  if (state.paused && held.length === 0) {
    found.push({
      id: 'merge-paused',
      level: 'warn',
      what: 'Merge queue paused',
      text: state.paused.text ?? 'It waits for an external system.',
      href: null,
      since: instant(state.paused.at),
    });
  }
  return found;
}

function label(task) {
  return `${task.key} ${task.title}`;
}

function because(task) {
  return task.reason ? `${label(task)}: ${task.reason}` : label(task);
}
