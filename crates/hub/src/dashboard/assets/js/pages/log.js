// What attempts and gates of a task print, while they do.

import { ansiRuns } from '../ansi.js';
import { h, keyed, setText } from '../dom.js';
import { nothing, panel } from '../panels/pieces.js';

/** Characters that are kept on the page; the beginning goes first. */
const MOST = 400_000;
const WAIT = 20;
const PAUSE = 2_000;

export function logPanel(id, api) {
  const choice = h('select', { 'aria-label': 'Which output', onchange: () => open(choice.value) });
  const text = h('pre', { class: 'code live-log', tabindex: '0', 'aria-label': 'Output' });
  const note = h('p', { class: 'more', role: 'status' });
  const none = nothing('No output yet.');
  const field = h('input', { type: 'search', placeholder: 'Search in all output', 'aria-label': 'Search in all output' });
  const found = h('ol', { class: 'log-matches' });
  const form = h('form', { class: 'log-search', onsubmit: (event) => search(event) }, field, h('button', { type: 'submit' }, 'Search'));
  const element = panel('log', 'Output', h('div', { class: 'log-head' }, choice, form), found, none, text, note);
  let logs = [];
  let current = null;
  let cut = null;
  let stopped = false;

  async function list() {
    logs = (await api.get(`/tasks/${id}/logs`)).items;
    logs.sort((a, b) => b.epoch - a.epoch || b.updated_at.localeCompare(a.updated_at));
    keyed(choice, logs, key, () => h('option'), (option, log) => {
      option.value = key(log);
      setText(option, `Attempt ${log.epoch}, ${log.source}`);
    });
    none.hidden = logs.length > 0;
    text.hidden = logs.length === 0;
    choice.hidden = logs.length === 0;
    form.hidden = logs.length === 0;
    // The newest, until the reader chooses another.
    if (logs.length > 0 && (current === null || current.followed) && key(logs[0]) !== current?.key) open(key(logs[0]), true);
  }

  function open(chosen, followed = false) {
    const log = logs.find((one) => key(one) === chosen);
    if (!log) return;
    cut?.abort();
    cut = new AbortController();
    current = { key: chosen, followed };
    choice.value = chosen;
    text.replaceChildren();
    follow(log, cut.signal);
  }

  async function follow(log, signal) {
    let [offset, style, length] = [0, '', 0];
    while (!stopped && !signal.aborted) {
      try {
        const source = encodeURIComponent(log.source);
        const part = await api.get(`/tasks/${id}/log?epoch=${log.epoch}&source=${source}&offset=${offset}&wait=${WAIT}`, signal, (WAIT + 20) * 1000);
        if (signal.aborted) return;
        if (part.text && part.offset > offset) text.append(h('span', { class: 'log-gap' }, `\n[${part.offset - offset} bytes are not kept]\n`));
        const down = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
        const { runs, style: left } = ansiRuns(part.text, style);
        style = left;
        for (const run of runs) text.append(run.style ? h('span', { class: run.style }, run.text) : run.text);
        length += part.text.length;
        while (length > MOST && text.firstChild) {
          length -= text.firstChild.textContent.length;
          text.firstChild.remove();
        }
        if (down) text.scrollTop = text.scrollHeight;
        const more = part.next > offset;
        offset = part.next;
        setText(note, part.ended && !more ? 'Ended.' : 'Live.');
        if (part.ended && !more) return;
      } catch (error) {
        if (signal.aborted) return;
        setText(note, `Could not read the output: ${error.message}. Retrying.`);
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
      }
    }
  }

  async function search(event) {
    event.preventDefault();
    found.replaceChildren();
    if (!field.value) return;
    try {
      const { items, complete } = await api.get(`/logs/search?q=${encodeURIComponent(field.value)}&task=${id}`);
      found.append(
        ...items.map((item) => h('li', {}, h('span', { class: 'more' }, `attempt ${item.epoch}, ${item.source}`), ' ', h('code', {}, item.line))),
        h('li', { class: 'more' }, items.length === 0 ? 'Nothing found.' : complete ? '' : 'There is more: search for something longer.'),
      );
    } catch (error) {
      found.append(h('li', { class: 'refused' }, error.message));
    }
  }

  return {
    element,
    list,
    close() {
      stopped = true;
      cut?.abort();
    },
  };
}

function key(log) {
  return `${log.epoch} ${log.source}`;
}
