// The task graph alone, as large as the window.

import { h } from '../dom.js';
import { graphPanel } from '../panels/graph.js';
import { graphActions } from '../actions/graphs.js';
import { reportLinks } from '../actions/report.js';
import { emptyNote, missingPage } from './notes.js';

/** `id` is the graph that the address names, as a number; `null` for the one that was chosen. */
export function graphPage(id, { api, acted }) {
  const panel = graphPanel();
  const actions = graphActions(api, acted);
  const report = reportLinks(api);
  const empty = emptyNote();
  const missing = missingPage(`This hub has no graph ${id}: it may have been deleted, or the link is for another hub.`).element;
  const element = h('div', { class: 'graph-page' }, h('h1', { class: 'unseen' }, 'Task graph'), empty, missing, actions.element, report.element, panel.element);
  return {
    title: 'Task graph',
    element,
    update(state) {
      const none = state.graphs.size === 0;
      missing.hidden = id === null || state.graphs.has(id);
      empty.hidden = !none || !missing.hidden;
      panel.element.hidden = none || !missing.hidden;
      actions.update(panel.element.hidden ? null : state.graphs.get(state.graph), state);
      report.update(panel.element.hidden ? null : state.graphs.get(state.graph));
      if (!panel.element.hidden) panel.update(state);
    },
  };
}
