// Which lists of the hub the dashboard reads, how often at most, and where they go.

import { tasksOf } from './state/graph_tasks.js';
import { unlessHeard } from './state/reduce.js';

const MOST_MERGES = 200;
const MOST_BRANCHES = 100;
const MOST_RUNS = 50;
const MOST_HISTORY = 2_000;

/** Read again whenever the connection was interrupted. */
export const EVERYTHING = ['graphs', 'tasks', 'agents', 'attempts', 'merges', 'branches', 'runs', 'summary', 'history', 'health', 'session'];
/** What another graph on the screen brings with it. */
export const OF_GRAPH = ['tasks', 'attempts', 'summary', 'history'];

/** The sources for a `Sync`; `changed` hears of every reading. */
export function readings(api, state, changed) {
  const source = (every, read) => ({
    every,
    read: async () => {
      await read();
      changed();
    },
  });
  // The answer of a graph that was left meanwhile is thrown away.
  const ofGraph = (path, use, options) => async () => {
    const graph = state.graph;
    if (graph === null) return;
    const query = `${path}${path.includes('?') ? '&' : '?'}graph=${graph}`;
    const answer = options ? await api.list(query, options) : await api.get(query);
    if (state.graph === graph) use(answer);
  };
  return {
    graphs: source(2_000, async () => {
      state.graphs = byId(await api.list('/graphs'));
      if (state.graphs.has(state.named)) state.graph = state.named;
      else if (!state.graphs.has(state.graph)) state.graph = preferred(state.graphs);
    }),
    tasks: source(4_000, async () => {
      const graph = state.graph;
      if (graph === null) return;
      const before = state.heard;
      const lists = await api.get(`/graphs/${graph}/tasks`);
      if (state.graph === graph) state.tasks = unlessHeard(state, state.tasks, tasksOf(lists), before);
    }),
    summary: source(2_000, ofGraph('/progress/summary', (record) => (state.summary = record))),
    history: source(10_000, ofGraph('/progress/history', (list) => (state.history = list), { most: MOST_HISTORY })),
    agents: source(3_000, async () => {
      state.agents = new Map((await api.list('/agents')).map((agent) => [agent.name, agent]));
    }),
    attempts: source(5_000, async () => {
      const before = state.heard;
      const list = await api.list('/assignments?state=running');
      const read = new Map(list.map((attempt) => [attempt.task, attempt]));
      state.attempts = unlessHeard(state, state.attempts, read, before);
    }),
    merges: source(2_000, async () => {
      state.merges = byId(await api.list('/merge-queue', { most: MOST_MERGES }));
    }),
    branches: source(5_000, async () => {
      state.branches = (await api.get('/branches')).items.slice(0, MOST_BRANCHES);
    }),
    runs: source(5_000, async () => {
      state.runs = await api.list('/runs', { most: MOST_RUNS });
    }),
    session: source(1_000, async () => {
      state.session = await api.get('/session');
    }),
    health: source(10_000, async () => {
      state.health = await api.get('/health');
    }),
  };
}

function byId(list) {
  return new Map(list.map((one) => [one.id, one]));
}

/** The newest that runs, else the newest. */
function preferred(graphs) {
  const all = [...graphs.values()].sort((a, b) => b.id - a.id);
  return (all.find((graph) => graph.state === 'running') ?? all[0])?.id ?? null;
}
