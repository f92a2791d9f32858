// Which of the hub's graphs is on the screen.

import { h, keyed, setText } from '../dom.js';

export function graphChoice(place, choose) {
  const select = h('select', { id: 'graph-choice', onchange: () => choose(Number(select.value)) });
  place.append(h('label', { class: 'unseen', for: 'graph-choice' }, 'Task graph'), select);
  return {
    update(state) {
      const all = [...state.graphs.values()].sort((a, b) => b.id - a.id);
      place.hidden = all.length < 2;
      keyed(
        select,
        all,
        (graph) => graph.id,
        (graph) => h('option', { value: graph.id }),
        (option, graph) => setText(option, `${graph.name} (${graph.state})`),
      );
      if (state.graph !== null && select.value !== String(state.graph)) select.value = String(state.graph);
    },
  };
}
