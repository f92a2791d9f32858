// What an event does to what is known. No requests, no elements: the answer names the records
// that should be read again, because an event carries less than they do.
//
// Every effect is idempotent and only looks forward: events that a fresh reading already
// contains may be applied once more, and the last event of a task decides. A reading that was
// asked for before such an event may be older than it, and does not undo it: `heard` tells.

/** Kept for the activity list; older ones can be found in the hub. */
const MOST_RECENT = 150;

export function emptyState() {
  return {
    /** Whether everything was read once. */
    loaded: false,
    graphs: new Map(),
    /** The graph on the screen. */
    graph: null,
    /** The graph that the address names, which may not be there; `null` when it names none. */
    named: null,
    tasks: new Map(),
    /** Events so far that changed a task, and the number of each task's last one. */
    heard: 0,
    heardOf: new Map(),
    agents: new Map(),
    /** Running attempts by task. */
    attempts: new Map(),
    merges: new Map(),
    branches: [],
    runs: [],
    summary: null,
    history: [],
    /** Alerts that only events tell of: task id -> {at, text}. */
    stuck: new Map(),
    /** Why the merge queue waits. */
    paused: null,
    /** Newest first. */
    recent: [],
    /** Who this tab is for the hub. */
    session: null,
    /** The hub's own and its dependencies' state, by name. */
    health: null,
  };
}

const TASK_AFTER = {
  'task.ready': 'ready',
  'task.claimed': 'running',
  'task.progress': 'running',
  'task.merging': 'merging',
  'task.done': 'done',
  'task.retry': 'ready',
  'task.lost': 'ready',
  'task.failed': 'failed',
  'task.blocked': 'blocked',
  'task.cancelled': 'cancelled',
};

const MERGE_AFTER = {
  'merge.testing': 'testing',
  'merge.done': 'merged',
  'merge.conflict': 'conflict',
  'merge.ejected': 'ejected',
};

/** The entry left the queue without being merged. */
const MERGE_LEFT = new Set(['merge.conflict', 'merge.ejected']);

/** Too frequent to be news one by one; the bars and figures show them. */
const QUIET = new Set(['task.progress', 'progress.snapshot']);

/**
 * Applies one event to `state`.
 * @returns {{stale: Set<string>, touched: Set<number>}} lists to read again, and tasks
 */
export function reduce(state, event) {
  const stale = new Set();
  const touched = new Set();
  remember(state, event);

  if (event.kind.startsWith('graph.')) stale.add('graphs').add('summary');
  // Agents and merge queues serve all graphs; tasks are those of the graph on the screen.
  if (event.kind.startsWith('agent.')) agentChanged(state, event, stale);
  if (event.kind.startsWith('merge.')) mergeChanged(state, event, stale);
  if (event.kind.startsWith('approval.') && event.merge) {
    stale.add('merges').add('branches');
    if (state.tasks.has(event.task)) touched.add(event.task);
  }
  // What becomes of its task, ready or waiting, is not said.
  if (MERGE_LEFT.has(event.kind) && state.tasks.has(event.task)) touched.add(event.task);
  if (event.kind.startsWith('task.')) {
    if (concerns(state, event)) taskChanged(state, event, stale, touched);
    agentFollows(state, event, stale);
  }
  if (event.kind === 'operator.action') acted(event, stale, touched);
  if (event.kind === 'progress.snapshot') stale.add('history').add('summary');
  if (event.kind === 'run.reported') stale.add('runs');
  return { stale, touched };
}

/** A person did something: what it is about is read again. */
function acted(event, stale, touched) {
  if (event.task) touched.add(event.task);
  if (event.graph) stale.add('graphs').add('summary');
  if (event.graph && !event.task) stale.add('tasks');
  if (event.agent) stale.add('agents');
  if (!event.graph && !event.agent) stale.add('branches').add('merges');
}

function concerns(state, event) {
  return event.graph === null || event.graph === undefined || event.graph === state.graph;
}

function remember(state, event) {
  if (QUIET.has(event.kind)) return;
  state.recent.unshift(event);
  if (state.recent.length > MOST_RECENT) state.recent.length = MOST_RECENT;
}

function taskChanged(state, event, stale, touched) {
  const task = state.tasks.get(event.task);
  if (!task) {
    stale.add('tasks');
    return;
  }
  if (event.kind === 'task.stuck') {
    state.stuck.set(task.id, { at: event.at, text: event.text });
    return;
  }
  state.stuck.delete(task.id);
  // Whether it is ready or waits for something is not said.
  if (event.kind === 'task.reopened') stale.add('tasks').add('summary').add('graphs');
  const after = TASK_AFTER[event.kind];
  if (!after) return;
  // A report on an attempt that was superseded says nothing of the task any more.
  if (Number.isFinite(event.epoch) && event.epoch < task.epoch) return;

  const changed = { ...task, state: after, updated_at: event.at };
  if (Number.isFinite(event.epoch)) changed.epoch = event.epoch;
  if (event.kind === 'task.claimed') {
    changed.agent = event.agent ?? null;
    changed.percent = 0;
    changed.reason = null;
    state.attempts.set(task.id, {
      task: task.id,
      epoch: event.epoch,
      agent: event.agent,
      state: 'running',
      percent: 0,
      message: null,
      started_at: event.at,
    });
  } else if (event.kind === 'task.progress') {
    if (Number.isFinite(event.percent)) changed.percent = event.percent;
    if (event.agent) changed.agent = event.agent;
    const attempt = state.attempts.get(task.id);
    if (attempt) {
      state.attempts.set(task.id, {
        ...attempt,
        percent: changed.percent,
        message: event.text ?? attempt.message,
      });
    }
  } else {
    state.attempts.delete(task.id);
    if (after === 'ready') {
      changed.agent = null;
      changed.percent = 0;
    }
    if (after === 'done') changed.percent = 100;
    if (event.text && (after === 'failed' || after === 'blocked')) changed.reason = event.text;
    touched.add(task.id);
    stale.add('summary').add('graphs');
  }
  if (event.kind === 'task.merging') stale.add('merges').add('branches');
  if (event.kind === 'task.claimed') stale.add('branches');
  state.tasks.set(task.id, changed);
  state.heard += 1;
  state.heardOf.set(task.id, state.heard);
}

/** Whether an event changed a task after `before`, which `state.heard` was at some moment. */
export function heardAfter(state, task, before) {
  return (state.heardOf.get(task) ?? 0) > before;
}

/**
 * What a list by task tells, except for tasks that an event changed after the list was asked for:
 * of those, what is known already.
 */
export function unlessHeard(state, known, read, before) {
  for (const task of new Set([...known.keys(), ...read.keys()])) {
    if (!heardAfter(state, task, before)) continue;
    if (known.has(task)) read.set(task, known.get(task));
    else read.delete(task);
  }
  return read;
}

function agentFollows(state, event, stale) {
  if (event.kind === 'task.claimed' || event.kind === 'task.progress') {
    const agent = state.agents.get(event.agent);
    if (!agent) {
      if (event.agent) stale.add('agents');
      return;
    }
    state.agents.set(agent.name, {
      ...agent,
      state: agent.state === 'draining' ? 'draining' : 'working',
      task: event.task,
      percent: event.percent ?? (event.kind === 'task.claimed' ? 0 : agent.percent),
      last_heartbeat: event.at,
    });
    return;
  }
  if (!TASK_AFTER[event.kind]) return;
  for (const agent of state.agents.values()) {
    if (agent.task !== event.task) continue;
    const free = agent.state === 'working' ? 'idle' : agent.state;
    state.agents.set(agent.name, { ...agent, state: free, task: null, percent: null });
    stale.add('agents');
  }
}

function agentChanged(state, event, stale) {
  const agent = state.agents.get(event.agent);
  stale.add('agents');
  if (!agent) return;
  if (event.kind === 'agent.down') state.agents.set(agent.name, { ...agent, state: 'down' });
  if (event.kind === 'agent.removed') state.agents.delete(agent.name);
  if (event.kind === 'agent.left') state.agents.set(agent.name, { ...agent, state: 'left', task: null });
  if (event.kind === 'agent.quarantined') {
    state.agents.set(agent.name, {
      ...agent,
      state: 'quarantined',
      quarantine: event.text,
      quarantined_since: event.at,
    });
  }
  if (event.kind === 'agent.deactivated') {
    state.agents.set(agent.name, { ...agent, state: 'inactive' });
  }
}

function mergeChanged(state, event, stale) {
  stale.add('merges').add('branches');
  if (event.kind === 'merge.paused') {
    state.paused = { at: event.at, text: event.text };
    return;
  }
  state.paused = null;
  const merge = state.merges.get(event.merge);
  const after = MERGE_AFTER[event.kind];
  if (merge && after) {
    state.merges.set(merge.id, { ...merge, state: after, unsolved: after === 'conflict' });
  }
}
