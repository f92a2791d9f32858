// The tasks of a large graph as text, level by level: what the drawing shows, for those who cannot
// see it. A level's list is made when it is opened.

import { h, keyed, keep, kept, setText } from '../../dom.js';
import { count } from '../../format.js';
import { badge, setBadge, setTaskLink, taskLink } from '../../panels/pieces.js';

export function levelList() {
  const list = h('ol', { class: 'level-list' });
  const element = h('details', { class: 'levels' }, h('summary', {}, 'Tasks by level'), list);
  let levels = [];
  let nodes = [];

  element.addEventListener('toggle', show);

  function show() {
    if (!element.open) return;
    keyed(list, levels.map((places, level) => ({ places, level })), ({ level }) => level, make, change);
  }

  function make({ level }) {
    const head = h('summary');
    const items = h('ul');
    const row = h('details', { 'data-level': String(level) }, head, items);
    row.addEventListener('toggle', () => fill(row));
    return keep(h('li', {}, row), { head, items, row, places: [] });
  }

  function change(item, { places, level }) {
    const parts = kept(item);
    parts.places = places;
    keep(parts.row, parts);
    const done = places.filter((place) => nodes[place].state === 'done').length;
    setText(parts.head, `Level ${level + 1}: ${count(places.length, 'task')}, ${done} done`);
    fill(parts.row);
  }

  function fill(row) {
    if (!row.open) return;
    const { places, items } = kept(row);
    keyed(items, places.map((place) => nodes[place]), (node) => node.id, makeTask, changeTask);
  }

  return {
    element,
    update(plan, now) {
      levels = plan.levels;
      nodes = now;
      show();
    },
  };
}

function makeTask(node) {
  const parts = { link: node.group ? h('span') : taskLink(), state: badge() };
  return keep(h('li', {}, parts.link, ' ', parts.state), parts);
}

function changeTask(item, node) {
  const { link, state } = kept(item);
  if (node.group) setText(link, `Epic ${node.key}, ${node.title}`);
  else setTaskLink(link, node.id, node);
  setBadge(state, node.state);
}
