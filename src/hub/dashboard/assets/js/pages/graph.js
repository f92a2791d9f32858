// The task graph alone, as large as the window.

import { h } from '../dom.js';
import { graphPanel } from '../panels/graph.js';
import { emptyNote } from './notes.js';

export function graphPage() {
  const panel = graphPanel();
  const empty = emptyNote();
  const element = h('div', { class: 'graph-page' }, h('h1', { class: 'unseen' }, 'Task graph'), empty, panel.element);
  return {
    title: 'Task graph',
    element,
    update(state) {
      const none = state.graphs.size === 0;
      empty.hidden = !none;
      panel.element.hidden = none;
      if (!none) panel.update(state);
    },
  };
}
