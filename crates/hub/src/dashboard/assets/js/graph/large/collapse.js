// A graph with some of its epics drawn as one node each. Pure.

/** The order in which a state is what people want to know of a group: the first one that it has. */
const LOUDEST = ['failed', 'blocked', 'running', 'merging', 'ready', 'waiting', 'cancelled', 'done'];

export const groupId = (epic) => `epic ${epic}`;

/** The epics of tasks, in the order in which they first come. */
export function epicsOf(tasks) {
  return [...new Set([...tasks.values()].map((task) => task.epic).filter(Boolean))];
}

/**
 * The tasks, and a node `{id, needs, epic, size, done, state, group: true}` for each collapsed epic.
 * @param {Map<number, object>} tasks
 * @param {Set<string>} collapsed keys of epics
 */
export function collapse(tasks, collapsed) {
  if (collapsed.size === 0) return [...tasks.values()];
  const isIn = (task) => Boolean(task?.epic) && collapsed.has(task.epic);
  const standsFor = (id) => {
    const task = tasks.get(id);
    return isIn(task) ? groupId(task.epic) : id;
  };
  const nodes = [];
  const groups = new Map();
  for (const task of tasks.values()) {
    if (!isIn(task)) {
      const leads = task.needs.some((id) => isIn(tasks.get(id)));
      nodes.push(leads ? { ...task, needs: [...new Set(task.needs.map(standsFor))] } : task);
      continue;
    }
    let group = groups.get(task.epic);
    if (!group) {
      group = { id: groupId(task.epic), group: true, epic: task.epic, needs: new Set(), size: 0, done: 0, states: new Set() };
      groups.set(task.epic, group);
      nodes.push(group);
    }
    group.size += 1;
    group.done += task.state === 'done' ? 1 : 0;
    group.states.add(task.state);
    for (const id of task.needs) group.needs.add(standsFor(id));
  }
  for (const group of groups.values()) {
    group.needs.delete(group.id);
    group.needs = [...group.needs];
    group.state = LOUDEST.find((state) => group.states.has(state)) ?? 'waiting';
    group.key = group.epic;
    group.title = `${group.done} of ${group.size} tasks done`;
    group.percent = Math.round((100 * group.done) / group.size);
  }
  return nodes;
}
