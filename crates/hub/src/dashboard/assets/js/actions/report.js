// The completion report of a graph as a file. It is fetched, not linked to: a link would not carry
// the token of this tab.

import { h, setAttribute, setText } from '../dom.js';

const FORMATS = [
  ['html', 'Report (HTML)', 'html'],
  ['markdown', 'Report (Markdown)', 'md'],
];

export function reportLinks(api) {
  let graph = null;
  const note = h('span', { role: 'status' });
  const buttons = FORMATS.map(([format, label, ending]) =>
    h('button', { type: 'button', 'data-report': format, onclick: () => save(format, ending) }, label),
  );
  const timeline = h('a', { class: 'timeline-link' }, 'Timeline');
  const element = h('div', { class: 'action-row report-row', role: 'group', 'aria-label': 'Completion report' }, timeline, ...buttons, note);

  async function save(format, ending) {
    const { id } = graph;
    try {
      setText(note, 'Writing the report …');
      const address = URL.createObjectURL(await api.blob(`/graphs/${id}/report?format=${format}`));
      const link = h('a', { href: address, download: `graph-${id}-report.${ending}` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
      setText(note, `Saved as ${link.download}`);
    } catch (error) {
      setText(note, `Could not get the report: ${error.message}`);
    }
  }

  return {
    element,
    update(now) {
      if (graph?.id !== now?.id) setText(note, '');
      graph = now ?? null;
      element.hidden = graph === null;
      setAttribute(timeline, 'href', graph && `#/graphs/${graph.id}/timeline`);
    },
  };
}
