//! What waits for what, and what a finished task sets free.
//!
//! The rule of the hub: a task is ready when all that it needs is done and all its conditions
//! are met. Finishing all tasks costs time in proportion to tasks, needs and conditions.

use super::checked::TaskGraph;
use super::progress::{EpicProgress, epic_progress};

/// The state of a graph while it is played.
#[derive(Debug, Clone)]
pub(super) struct SimulationState<'a> {
    graph: &'a TaskGraph,
    dependants: Vec<Vec<usize>>,
    open_needs: Vec<usize>,
    open_conditions: Vec<usize>,
    epics: Vec<EpicProgress>,
    /// Of each epic, the tasks that wait for it, the next to be met last.
    conditions: Vec<Vec<(u8, usize)>>,
}

/// What a finished task changed.
#[derive(Debug, Default)]
pub(super) struct FinishResult {
    /// Tasks whose last need is done.
    pub(super) needs_met: Vec<usize>,
    /// Tasks that can begin.
    pub(super) ready: Vec<usize>,
}

impl<'a> SimulationState<'a> {
    /// The beginning, and what is free then. Done tasks have finished.
    pub(super) fn new(graph: &'a TaskGraph) -> (Self, FinishResult) {
        let count = graph.tasks.len();
        let mut board = Self {
            graph,
            dependants: vec![Vec::new(); count],
            open_needs: vec![0; count],
            open_conditions: vec![0; count],
            epics: epic_progress(graph),
            conditions: vec![Vec::new(); graph.epics.len()],
        };
        let mut freed = FinishResult::default();
        for (i, task) in graph.tasks.iter().enumerate().filter(|(_, task)| !task.done) {
            for need in task.needs.iter().filter(|need| !graph.tasks[**need].done) {
                board.dependants[*need].push(i);
                board.open_needs[i] += 1;
            }
            for condition in &task.conditions {
                if !board.epics[condition.epic].has_reached(condition.at_least) {
                    board.conditions[condition.epic].push((condition.at_least, i));
                    board.open_conditions[i] += 1;
                }
            }
            if board.open_needs[i] == 0 {
                freed.needs_met.push(i);
                if board.open_conditions[i] == 0 {
                    freed.ready.push(i);
                }
            }
        }
        for waiting in &mut board.conditions {
            waiting.sort_unstable_by(|a, b| b.cmp(a));
        }
        (board, freed)
    }

    pub(super) fn finish(&mut self, done: usize, freed: &mut FinishResult) {
        for dependant in std::mem::take(&mut self.dependants[done]) {
            self.open_needs[dependant] -= 1;
            if self.open_needs[dependant] == 0 {
                freed.needs_met.push(dependant);
                self.free(dependant, freed);
            }
        }
        let Some(epic) = self.graph.tasks[done].epic else { return };
        self.epics[epic].finish(&self.graph.tasks[done]);
        while let Some((at_least, waiting)) = self.conditions[epic].last().copied() {
            if !self.epics[epic].has_reached(at_least) {
                break;
            }
            self.conditions[epic].pop();
            self.open_conditions[waiting] -= 1;
            self.free(waiting, freed);
        }
    }

    fn free(&self, task: usize, freed: &mut FinishResult) {
        if self.open_needs[task] == 0 && self.open_conditions[task] == 0 {
            freed.ready.push(task);
        }
    }

    /// How far the epics have come.
    pub(super) fn epics(&self) -> &[EpicProgress] {
        &self.epics
    }
}
