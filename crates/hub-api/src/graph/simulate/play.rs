//! One play of a graph: who does what when, and what the others wait for.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

use super::team::Team;
use crate::graph::checked::TaskGraph;
use crate::graph::earliest_start::Hour;
use crate::graph::order::{Agent, Requirements, Urgency, compare, fits};
use crate::graph::state::SimulationState;

/// One task in an agent's day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Index into [`TaskGraph::tasks`].
    pub task: usize,
    /// In hours from the beginning.
    pub start: f64,
    /// In hours from the beginning.
    pub end: f64,
}

/// What tasks waited for, summed over them, in hours.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Waits {
    /// From the beginning until all they need was done.
    pub needs: f64,
    /// From then until their conditions were met.
    pub conditions: f64,
    /// From then until an agent took them.
    pub agents: f64,
}

/// Why agents had nothing to do, summed over them, in hours.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Idle {
    /// All that was not begun still needed another task.
    pub needs: f64,
    /// Something lacked nothing but a condition.
    pub conditions: f64,
    /// Something was ready, and not for them.
    pub roles: f64,
    /// Everything had begun.
    pub finished: f64,
}

/// How a play went.
#[derive(Debug, Clone, PartialEq)]
pub struct Play {
    /// The end of the last task, in hours.
    pub makespan: f64,
    /// Each agent's tasks, in the team's order.
    pub agents: Vec<Vec<Span>>,
    /// What tasks waited for.
    pub waits: Waits,
    /// Why agents were idle.
    pub idle: Idle,
    /// The tasks in the order in which they finished.
    pub(in crate::graph) order: Vec<usize>,
}

/// A task that can be claimed, first come first in a max-heap.
struct Ready(Urgency, usize);

impl Ord for Ready {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&other.0, &self.0)
    }
}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ready {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ready {}

/// The ready tasks, those that ask for the same in one heap.
struct Counter {
    /// Of each task, its heap.
    heap_of: Vec<usize>,
    heaps: Vec<BinaryHeap<Ready>>,
    /// Of each agent, the heaps that it fits.
    open_to: Vec<Vec<usize>>,
    ready: usize,
}

impl Counter {
    fn new(graph: &TaskGraph, agents: &[Agent]) -> Self {
        let mut known: BTreeMap<Requirements<'_>, usize> = BTreeMap::new();
        let heap_of = graph
            .tasks
            .iter()
            .map(|task| {
                let next = known.len();
                *known.entry(Requirements::of(task)).or_insert(next)
            })
            .collect();
        let fitting = |agent| {
            known.iter().filter(move |(demand, _)| fits(**demand, agent)).map(|(_, heap)| *heap)
        };
        Self {
            heap_of,
            heaps: known.iter().map(|_| BinaryHeap::new()).collect(),
            open_to: agents.iter().map(|agent| fitting(agent).collect()).collect(),
            ready: 0,
        }
    }

    fn put(&mut self, urgency: Urgency, task: usize) {
        self.heaps[self.heap_of[task]].push(Ready(urgency, task));
        self.ready += 1;
    }

    fn claim(&mut self, agent: usize) -> Option<usize> {
        let (_, heap) = self.open_to[agent]
            .iter()
            .filter_map(|heap| Some((self.heaps[*heap].peek()?, *heap)))
            .max_by(|(a, _), (b, _)| a.cmp(b))?;
        let Ready(_, task) = self.heaps[heap].pop()?;
        self.ready -= 1;
        Some(task)
    }
}

/// Plays what is left of a sound graph. Tasks that nobody fits are left lying, and with them
/// what needs them.
pub(in crate::graph) fn play(graph: &TaskGraph, ranks: &[f64], team: &Team) -> Play {
    let (mut board, mut freed) = SimulationState::new(graph);
    let mut counter = Counter::new(graph, &team.agents);
    let mut out = Play {
        makespan: 0.0,
        agents: vec![Vec::new(); team.agents.len()],
        waits: Waits::default(),
        idle: Idle::default(),
        order: Vec::new(),
    };
    let mut free: Vec<usize> = (0..team.agents.len()).collect();
    let mut running = BinaryHeap::new();
    let mut ready_at = vec![0.0; graph.tasks.len()];
    let mut unbegun = graph.tasks.iter().filter(|task| !task.done).count();
    // Unbegun tasks that have all they need and lack a condition.
    let mut conditional = 0;
    let mut now = 0.0;
    loop {
        conditional += freed.needs_met.len();
        out.waits.needs += now * freed.needs_met.len() as f64;
        for task in freed.needs_met.drain(..) {
            ready_at[task] = now;
        }
        for task in freed.ready.drain(..) {
            conditional -= 1;
            out.waits.conditions += now - ready_at[task];
            ready_at[task] = now;
            let spec = &graph.tasks[task];
            let age = i64::try_from(task).unwrap_or(i64::MAX);
            counter.put(Urgency { priority: spec.priority, rank: ranks[task], age }, task);
        }
        if counter.ready > 0 {
            free.retain(|agent| {
                let Some(task) = counter.claim(*agent) else { return true };
                let end = now + graph.tasks[task].hours;
                out.waits.agents += now - ready_at[task];
                out.agents[*agent].push(Span { task, start: now, end });
                running.push(Reverse((Hour(end), task, *agent)));
                unbegun -= 1;
                false
            });
        }
        let Some(Reverse((Hour(end), task, agent))) = running.pop() else { break };
        let idle = (end - now) * free.len() as f64;
        *(if unbegun == 0 {
            &mut out.idle.finished
        } else if counter.ready > 0 {
            &mut out.idle.roles
        } else if conditional > 0 {
            &mut out.idle.conditions
        } else {
            &mut out.idle.needs
        }) += idle;
        now = end;
        let mut finished = Some((task, agent));
        // All that ends at the same time has ended before anybody claims.
        while let Some((task, agent)) = finished.take() {
            free.push(agent);
            out.order.push(task);
            board.finish(task, &mut freed);
            if running.peek().is_some_and(|Reverse((next, _, _))| *next == Hour(now)) {
                finished = running.pop().map(|Reverse((_, task, agent))| (task, agent));
            }
        }
        free.sort_unstable();
    }
    out.makespan = now;
    out
}
