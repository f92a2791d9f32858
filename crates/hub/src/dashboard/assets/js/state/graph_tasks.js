// All tasks of a graph out of the hub's one compact answer. Pure.

/**
 * @param {object} lists `GET /graphs/ID/tasks`: a list for each field
 * @returns {Map<number, object>} tasks by id, as `GET /tasks` has them, as far as the lists say
 */
export function tasksOf(lists) {
  const tasks = new Map();
  lists.ids.forEach((id, place) => {
    const epic = lists.epic[place];
    tasks.set(id, {
      id,
      graph: lists.graph,
      key: lists.keys[place],
      title: lists.titles[place],
      state: lists.states[place],
      epic: epic === null ? null : lists.epics[epic],
      role: lists.roles[place],
      labels: lists.labels[place],
      hours: lists.hours[place],
      epoch: lists.epochs[place],
      percent: lists.percents[place],
      agent: lists.agents[place],
      reason: lists.reasons[place],
      updated_at: lists.updated[place],
      needs: lists.needs[place].map((need) => lists.ids[need]),
    });
  });
  return tasks;
}
