//! How far an epic has come.

use super::checked::{TaskGraph, TaskSpec};

/// Hours add up in the order in which tasks finish, so the last bits of a sum may differ.
const TOLERANCE: f64 = 1e-9;

/// What of an epic is done.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EpicProgress {
    /// Estimated hours of its done tasks.
    pub done_hours: f64,
    /// Estimated hours of all its tasks.
    pub hours: f64,
    /// Its done tasks.
    pub done_tasks: usize,
    /// All its tasks.
    pub tasks: usize,
}

impl EpicProgress {
    /// Done hours of all hours in percent, 0 to 100; done tasks of all tasks when the epic has
    /// no hours; 0 when it has no tasks.
    pub fn percent(&self) -> f64 {
        if self.hours > 0.0 {
            100.0 * self.done_hours / self.hours
        } else if self.tasks > 0 {
            100.0 * self.done_tasks as f64 / self.tasks as f64
        } else {
            0.0
        }
    }

    /// Whether a condition `at_least` (percent) is met.
    pub fn has_reached(&self, at_least: u8) -> bool {
        self.percent() >= f64::from(at_least) * (1.0 - TOLERANCE)
    }

    pub(super) fn finish(&mut self, task: &TaskSpec) {
        self.done_hours += task.hours;
        self.done_tasks += 1;
    }
}

/// The progress of each epic, in the order of [`TaskGraph::epics`], by what is marked as done.
pub fn epic_progress(graph: &TaskGraph) -> Vec<EpicProgress> {
    let mut epics = vec![EpicProgress::default(); graph.epics.len()];
    for task in &graph.tasks {
        let Some(epic) = task.epic.and_then(|epic| epics.get_mut(epic)) else { continue };
        epic.hours += task.hours;
        epic.tasks += 1;
        if task.done {
            epic.finish(task);
        }
    }
    epics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_count_and_tasks_where_there_are_none() {
        for (done_hours, hours, done_tasks, tasks, at_least, expect) in [
            (48.0, 60.0, 1, 5, 80, true),
            (47.9, 60.0, 4, 5, 80, false),
            (0.1 + 0.2, 0.6, 1, 2, 50, true),
            (0.0, 0.0, 1, 2, 50, true),
            (0.0, 0.0, 1, 3, 50, false),
            (0.0, 0.0, 0, 0, 1, false),
            (60.0, 60.0, 5, 5, 100, true),
        ] {
            let progress = EpicProgress { done_hours, hours, done_tasks, tasks };
            assert_eq!(progress.has_reached(at_least), expect, "{progress:?} {at_least}");
        }
    }
}
