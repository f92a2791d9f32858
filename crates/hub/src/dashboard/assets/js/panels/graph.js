// The task graph, as a drawing or as a table.

import { h } from '../dom.js';
import { graphView } from '../graph/view.js';
import { panel } from './pieces.js';
import { taskTable } from './task_table.js';

export function graphPanel() {
  const view = graphView();
  const table = taskTable();
  table.element.hidden = true;
  const buttons = ['Drawing', 'Table'].map((name) =>
    h('button', { type: 'button', 'aria-pressed': String(name === 'Drawing'), onclick: () => choose(name) }, name),
  );
  const element = panel('tasks', 'Task graph', view.element, table.element);
  element.querySelector('.panel-head').append(h('div', { class: 'switch', role: 'group', 'aria-label': 'Show as' }, ...buttons));
  let tasks = new Map();

  function choose(name) {
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.textContent === name));
    view.element.hidden = name !== 'Drawing';
    table.element.hidden = name !== 'Table';
    table.update(tasks);
  }

  return {
    element,
    update(state) {
      tasks = state.tasks;
      view.update(tasks);
      table.update(tasks);
    },
  };
}
