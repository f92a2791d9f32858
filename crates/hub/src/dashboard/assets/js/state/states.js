// The words of the hub, in the order in which people want to see them, and what they look like.
// A state is never told by its colour alone: each has a shape of its own (see icons.js).

export const TASK_STATES = [
  'done',
  'merging',
  'running',
  'ready',
  'waiting',
  'blocked',
  'failed',
  'cancelled',
];

export const AGENT_STATES = ['working', 'idle', 'draining', 'stale', 'quarantined', 'down', 'inactive', 'left'];

/** Merges that still move, and those that wait for somebody. */
const OPEN_MERGES = new Set(['queued', 'testing', 'waiting']);

/** A conflict leaves the queue once its task is done again, merged or given up. */
export function isOpenMerge(merge) {
  return OPEN_MERGES.has(merge.state) || Boolean(merge.unsolved);
}

/** Nothing happens to such a task any more unless a person asks for it. */
export function isFinal(state) {
  return state === 'done' || state === 'failed' || state === 'cancelled';
}

/** What an event is called on the screen. Kinds that a newer hub adds show under their own name. */
const HAPPENINGS = {
  'graph.submitted': 'Graph submitted',
  'graph.done': 'Graph done',
  'graph.failed': 'Graph failed',
  'graph.cancelled': 'Graph cancelled',
  'task.ready': 'Ready',
  'task.claimed': 'Claimed',
  'task.merging': 'Added to the merge queue',
  'task.done': 'Done',
  'task.retry': 'Retry scheduled',
  'task.lost': 'Lease lost',
  'task.failed': 'Failed',
  'task.blocked': 'Waiting for a person',
  'task.cancelled': 'Cancelled',
  'task.reopened': 'Reopened',
  'task.stuck': 'No progress',
  'evidence.added': 'Evidence',
  'agent.up': 'Agent up',
  'agent.down': 'Agent down',
  'agent.deactivated': 'Agent deactivated',
  'agent.quarantined': 'Worker in quarantine',
  'agent.left': 'Agent stopped',
  'agent.removed': 'Agent removed',
  'merge.testing': 'Testing a merge',
  'merge.done': 'Merged',
  'merge.conflict': 'Conflict',
  'merge.ejected': 'Rejected by the queue',
  'merge.paused': 'Merge queue paused',
  'merge.resumed': 'Merge queue resumed',
  'run.reported': 'Deploy run reported',
  'operator.action': 'Action by a person',
  'approval.wanted': 'Approval wanted',
  'approval.ended': 'Approval ended',
};

export function happening(kind) {
  return HAPPENINGS[kind] ?? kind;
}

/** How much an event matters: the activity list marks it, alerts are made elsewhere. */
export function tone(kind) {
  switch (kind) {
    case 'task.done':
    case 'merge.done':
    case 'graph.done':
    case 'agent.up':
      return 'good';
    case 'task.failed':
    case 'graph.failed':
    case 'agent.down':
    case 'agent.quarantined':
    case 'merge.ejected':
      return 'bad';
    case 'task.blocked':
    case 'task.reopened':
    case 'task.stuck':
    case 'task.lost':
    case 'task.retry':
    case 'merge.conflict':
    case 'merge.paused':
    case 'approval.wanted':
      return 'warn';
    default:
      return 'plain';
  }
}
