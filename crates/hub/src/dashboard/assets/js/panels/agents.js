// The agents: what each does, how far it is, how its machine feels, when it was last heard.

import { agentActions } from '../actions/agents.js';
import { h, keyed, keep, kept, setAttribute, setText } from '../dom.js';
import { bytes, duration, percent } from '../format.js';
import { attemptLeft } from '../state/pace.js';
import { AGENT_STATES } from '../state/states.js';
import { badge, bar, nothing, panel, setBadge, setBar, setSince, setTaskLink, since, taskLink } from './pieces.js';

/** What an agent without a task does. */
const RESTING = {
  down: 'No heartbeat',
  inactive: 'Deactivated',
  draining: 'Draining',
  quarantined: 'Claims nothing',
  left: 'Stopped',
};

export function agentsPanel({ api, acted }) {
  const list = h('ul', { class: 'agents-grid' });
  const none = h(
    'div',
    {},
    nothing('No agent has registered. Start one:'),
    h('pre', { class: 'command', tabindex: '0' }, h('code', {}, `greenloop worker --hub ${location.origin} --name agent-a --role backend`)),
  );
  const element = panel('agents', 'Agents', list, none);
  return {
    element,
    update(state, clock) {
      const all = [...state.agents.values()].sort(
        (a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name, 'en', { numeric: true }),
      );
      none.hidden = all.length > 0;
      list.hidden = all.length === 0;
      keyed(list, all, (agent) => agent.name, (agent) => make(agent, agentActions(api, acted)), (card, agent) => change(card, agent, state, clock));
    },
  };
}

/** Agents keep their places while they work: only those that are gone move to the end. */
function rank(agent) {
  return agent.state === 'inactive' || agent.state === 'left' ? AGENT_STATES.length : 0;
}

function make(agent, actions) {
  const parts = {
    state: badge(),
    task: taskLink(),
    rest: h('span'),
    record: h('span', { class: 'record' }),
    meter: bar(`Progress of ${agent.name}`),
    progress: h('span', { class: 'progress-text' }),
    message: h('p', { class: 'message' }),
    cpu: h('dd'),
    cpuBar: bar(`CPU of ${agent.name}`),
    memory: h('dd'),
    heard: since(),
    place: h('p', { class: 'place' }),
    actions,
  };
  parts.resting = h('span', { class: 'resting' }, parts.rest, parts.record);
  return keep(
    h(
      'li',
      { class: 'agent' },
      h('div', { class: 'agent-head' }, h('h3', {}, agent.name), parts.state),
      parts.place,
      h('div', { class: 'agent-task' }, parts.task, parts.resting),
      h('div', { class: 'agent-progress' }, parts.meter, parts.progress),
      parts.message,
      h(
        'dl',
        { class: 'vitals' },
        h('div', {}, h('dt', {}, 'CPU'), parts.cpu),
        h('div', {}, h('dt', {}, 'Memory'), parts.memory),
        h('div', {}, h('dt', {}, 'Heard'), h('dd', {}, parts.heard)),
      ),
      actions.element,
    ),
    parts,
  );
}

function change(card, agent, state, clock) {
  const parts = kept(card);
  const busy = agent.task !== null && agent.task !== undefined;
  const attempt = busy ? state.attempts.get(agent.task) : null;
  setAttribute(card, 'data-state', agent.state);
  setBadge(parts.state, agent.state);
  setText(parts.place, [agent.host, agent.roles.join(', ')].filter(Boolean).join(' · '));
  parts.task.hidden = !busy;
  parts.resting.hidden = busy;
  if (busy) setTaskLink(parts.task, agent.task, state.tasks.get(agent.task));
  setText(parts.rest, RESTING[agent.state] ?? 'Waiting for a task');
  setText(parts.record, `${agent.succeeded} done, ${agent.failed} failed`);
  parts.meter.parentElement.hidden = !busy;
  if (busy) {
    setBar(parts.meter, agent.percent ?? attempt?.percent, agent.state === 'working' ? 'running' : agent.state);
    const left = attemptLeft(attempt, clock.now());
    const eta = left === null || agent.state === 'down' ? '' : `, ${duration(left)} left`;
    setText(parts.progress, `${percent(agent.percent ?? attempt?.percent)}${eta}`);
  }
  const why = agent.state === 'quarantined' ? (agent.quarantine ?? '') : '';
  setText(parts.message, busy ? (attempt?.message ?? why) : why);
  parts.actions.update(agent, state);
  setText(parts.cpu, percent(agent.cpu_percent ?? NaN));
  setText(parts.memory, bytes(agent.memory_bytes ?? NaN));
  setSince(parts.heard, agent.last_heartbeat, clock);
}
