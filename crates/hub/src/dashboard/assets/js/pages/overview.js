// Everything at a glance.

import { h } from '../dom.js';
import { activityPanel } from '../panels/activity.js';
import { agentsPanel } from '../panels/agents.js';
import { alertsPanel } from '../panels/alerts.js';
import { epicsPanel } from '../panels/epics.js';
import { gitPanel } from '../panels/git.js';
import { graphPanel } from '../panels/graph.js';
import { headPanel } from '../panels/head.js';
import { pacePanel } from '../panels/pace.js';
import { runsPanel } from '../panels/runs.js';
import { emptyNote } from './notes.js';

export function overviewPage(use) {
  const empty = emptyNote();
  const [head, epics, attention, graph] = [headPanel(use), epicsPanel(), alertsPanel(), graphPanel()];
  const [agents, pace, runs, git, activity] = [agentsPanel(use), pacePanel(), runsPanel(), gitPanel(use), activityPanel()];
  const all = [head, epics, attention, graph, agents, pace, runs, git, activity];
  const ofGraph = all.filter((panel) => panel !== agents && panel !== runs);
  const column = (name, ...panels) => h('div', { class: `column ${name}` }, ...panels.map((panel) => panel.element));
  const element = h(
    'div',
    { class: 'overview' },
    empty,
    head.element,
    column('half', attention),
    column('half', epics),
    graph.element,
    agents.element,
    column('wide', pace, runs),
    column('narrow', git, activity),
  );
  return {
    title: 'Overview',
    element,
    update(state, clock) {
      const none = state.graphs.size === 0;
      empty.hidden = !none;
      // A hub without a graph shows what it has, and no empty frames around what it has not.
      for (const panel of ofGraph) panel.element.hidden = none;
      agents.element.hidden = none && state.agents.size === 0;
      runs.element.hidden = none && state.runs.length === 0;
      for (const panel of all) if (!panel.element.hidden) panel.update(state, clock);
    },
  };
}
