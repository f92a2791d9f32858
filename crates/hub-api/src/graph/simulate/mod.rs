//! Plays a graph with the hub's own order and a virtual clock.
//!
//! Whenever a task finishes, idle agents claim in turn, each the first task by
//! [`order::compare`](super::order::compare) among the ready ones that it fits. Nothing fails,
//! every task takes its estimated hours, merges and pauses take none: real runs are slower.

mod bound;
mod play;
mod team;

pub use bound::Bound;
pub use play::{Idle, Play, Span, Waits};
pub use team::{NobodyFits, Team};

pub(super) use play::play;

use crate::graph::checked::TaskGraph;
use greenloop_model::task::total_hours;

/// What a team makes of a graph.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// How it went.
    pub play: Play,
    /// What nobody can beat.
    pub bound: Bound,
    /// All remaining hours: what one agent that can do everything would need, since a sound
    /// graph always has something to do for it.
    pub work: f64,
}

impl Simulation {
    /// How many times faster than one agent; 1 when there is nothing to do.
    pub fn speed_up(&self) -> f64 {
        ratio(self.work, self.play.makespan)
    }

    /// The speed-up that no order of work can exceed with this team.
    pub fn largest_speed_up(&self) -> f64 {
        ratio(self.work, self.bound.hours())
    }

    /// Makespan over bound: 1 is proven to be the best.
    pub fn over_bound(&self) -> f64 {
        ratio(self.play.makespan, self.bound.hours())
    }

    /// The agents' working hours over all their hours until the end, 0 to 1.
    pub fn utilisation(&self) -> f64 {
        ratio(self.work, self.play.makespan * self.play.agents.len() as f64)
    }
}

fn ratio(of: f64, to: f64) -> f64 {
    if to > 0.0 { of / to } else { 1.0 }
}

/// Plays what is left of a sound, ranked graph with `team`.
///
/// # Errors
///
/// When no agent of the team can do some task.
pub fn simulate(graph: &TaskGraph, team: &Team) -> Result<Simulation, NobodyFits> {
    let bound = Bound::new(graph, team)?;
    let ranks: Vec<f64> = graph.tasks.iter().map(|task| task.rank).collect();
    let left = graph.tasks.iter().filter(|task| !task.done);
    Ok(Simulation {
        play: play(graph, &ranks, team),
        bound,
        work: total_hours(left.map(|task| task.hours)),
    })
}

#[cfg(test)]
mod tests;
