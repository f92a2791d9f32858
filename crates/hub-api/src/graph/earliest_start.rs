//! Everything as soon as possible: as if there were an agent for every task.
//!
//! What is not finished then never will be, whoever works on it in whatever order: needs and
//! conditions are only ever met by finished tasks, and more finished tasks never take one back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::checked::TaskGraph;
use super::progress::EpicProgress;
use super::state::SimulationState;

/// A point in time, in hours; never NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hour(pub(super) f64);

impl Eq for Hour {}

impl Ord for Hour {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Hour {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// How that goes.
pub(super) struct EarliestStart {
    /// The tasks in the order in which they finish, without those that were done before.
    pub(super) order: Vec<usize>,
    /// The end of the last, in hours: nobody can be faster.
    pub(super) length: f64,
    /// How far the epics come.
    pub(super) epics: Vec<EpicProgress>,
    /// Of each task, the one whose end let it begin: the last of its needs, or the one with
    /// which its last condition was met.
    after: Vec<Option<usize>>,
}

/// What keeps a graph from being finished sooner, however many work on it.
#[derive(Debug, Clone, PartialEq)]
pub struct CriticalPath {
    pub hours: f64,
    /// Indices into [`TaskGraph::tasks`]; each begins when the one before has ended.
    pub tasks: Vec<usize>,
}

/// The longest way through what is left of a sound graph, conditions included.
pub fn critical_path(graph: &TaskGraph) -> CriticalPath {
    let EarliestStart { order, length, after, .. } = soonest(graph);
    let mut tasks: Vec<usize> =
        std::iter::successors(order.last().copied(), |task| after[*task]).collect();
    tasks.reverse();
    CriticalPath { hours: length, tasks }
}

pub(super) fn soonest(graph: &TaskGraph) -> EarliestStart {
    let (mut board, mut freed) = SimulationState::new(graph);
    let mut running = BinaryHeap::new();
    let mut order = Vec::new();
    let mut after = vec![None; graph.tasks.len()];
    let mut now = 0.0;
    loop {
        for task in freed.ready.drain(..) {
            after[task] = order.last().copied();
            running.push(Reverse((Hour(now + graph.tasks[task].hours), task)));
        }
        let Some(Reverse((Hour(end), task))) = running.pop() else { break };
        now = end;
        order.push(task);
        board.finish(task, &mut freed);
    }
    EarliestStart { order, length: now, epics: board.epics().to_vec(), after }
}
