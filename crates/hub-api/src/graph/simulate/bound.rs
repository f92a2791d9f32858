//! The time that no order of work can beat.

use std::collections::BTreeMap;

use super::team::{NobodyFits, Team};
use crate::graph::checked::TaskGraph;
use crate::graph::earliest_start::soonest;
use crate::graph::order::{Requirements, fits};
use greenloop_model::task::total_hours;

/// What limits a team, in hours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// The critical path, conditions included: how long it takes with an agent for every task.
    pub critical_path: f64,
    /// All work over all agents; where roles or labels divide the team, the largest share of
    /// work over the agents that can do it.
    pub work_per_agent: f64,
}

impl Bound {
    pub(super) fn new(graph: &TaskGraph, team: &Team) -> Result<Self, NobodyFits> {
        let mut work: BTreeMap<Requirements<'_>, f64> = BTreeMap::new();
        for task in graph.tasks.iter().filter(|task| !task.done) {
            *work.entry(Requirements::of(task)).or_default() += task.hours;
        }
        let all = total_hours(work.values().copied()) / team.agents.len().max(1) as f64;
        let mut work_per_agent = all;
        let mut beyond = Vec::new();
        for (demand, hours) in work {
            match team.agents.iter().filter(|agent| fits(demand, agent)).count() {
                0 => beyond.push(demand),
                able => work_per_agent = work_per_agent.max(hours / able as f64),
            }
        }
        if !beyond.is_empty() {
            let tasks = graph.tasks.iter().enumerate().filter(|(_, task)| !task.done);
            let lost = tasks.filter(|(_, task)| beyond.contains(&Requirements::of(task)));
            return Err(NobodyFits { tasks: lost.map(|(i, _)| i).collect() });
        }
        Ok(Self { critical_path: soonest(graph).length, work_per_agent })
    }

    /// The larger of the two.
    pub fn hours(&self) -> f64 {
        self.critical_path.max(self.work_per_agent)
    }
}
