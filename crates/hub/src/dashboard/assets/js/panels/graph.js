// The task graph, as a drawing, by epic, or as a table.

import { h, setAttribute } from '../dom.js';
import { largeGraphView } from '../graph/large/view.js';
import { graphView } from '../graph/view.js';
import { panel } from './pieces.js';
import { taskTable } from './task_table.js';

/** More tasks than this are drawn on a canvas: so many elements make a browser slow. */
const LARGE = 500;
const CHOICES = ['Drawing', 'Table', 'By epic'];

export function graphPanel() {
  const table = taskTable();
  const buttons = CHOICES.map((name) => h('button', { type: 'button', onclick: () => choose(name) }, name));
  const element = panel('tasks', 'Task graph', table.element);
  element.querySelector('.panel-head').append(h('div', { class: 'switch', role: 'group', 'aria-label': 'Show as' }, ...buttons));
  /** Views are made when they are first seen. */
  const views = new Map();
  const make = { drawing: graphView, large: () => largeGraphView(false), epics: () => largeGraphView(true) };
  let chosen = 'Drawing';
  let tasks = new Map();

  function viewed() {
    if (chosen === 'Table') return null;
    if (chosen === 'By epic') return 'epics';
    return tasks.size > LARGE ? 'large' : 'drawing';
  }

  function view(name) {
    if (!views.has(name)) {
      views.set(name, make[name]());
      table.element.before(views.get(name).element);
    }
    return views.get(name);
  }

  function choose(name) {
    chosen = name;
    show();
  }

  function show() {
    const now = viewed();
    for (const button of buttons) setAttribute(button, 'aria-pressed', String(button.textContent === chosen));
    buttons[2].hidden = ![...tasks.values()].some((task) => task.epic);
    if (now !== null) view(now);
    for (const [name, one] of views) one.element.hidden = name !== now;
    table.element.hidden = now !== null;
    if (now === null) table.update(tasks);
    else views.get(now).update(tasks);
  }

  return {
    element,
    update(state) {
      tasks = state.tasks;
      show();
    },
  };
}
