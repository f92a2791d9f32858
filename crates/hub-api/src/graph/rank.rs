//! Ranks: the longest remaining path of each task in hours, the task included (b-level, Hu 1961).
//!
//! A condition counts as edges: from those tasks of its epic with which the epic reaches the
//! share, to the task that waits. Which tasks those are depends on what is finished first, so it
//! is read off an order in which everything finishes: first the one of an agent for every task.
//! Where there are conditions, small graphs are then played with few agents, and the order of
//! that is tried in turn; the ranks with the shortest sum of plays are kept. Such edges always
//! lead from what finishes earlier to what begins later, so they make no cycle.

use super::checked::TaskGraph;
use super::earliest_start::soonest;
use super::progress::epic_progress;
use super::simulate::{Team, play};

/// Graphs with more tasks keep the edges of the first order: with many tasks the choice matters
/// little, and trying costs.
const LARGEST_PLANNED: usize = 5_000;

/// The teams that orders are tried with. With more agents the critical path decides alone.
const TEAMS: &[usize] = &[2, 3, 4, 6];

/// How often an order leads to new ranks and these to a new order.
const ROUNDS: usize = 4;

/// One more than the last share of an epic that can be waited for.
const NOTHING: u8 = 101;

/// Fills in [`TaskSpec::rank`](super::TaskSpec::rank). The graph must be sound
/// (see [`faults`](super::faults)); a done task's own hours count as none.
pub fn rank(graph: &mut TaskGraph) {
    for (task, rank) in best(graph).into_iter().enumerate() {
        graph.tasks[task].rank = rank;
    }
}

fn best(graph: &TaskGraph) -> Vec<f64> {
    let first = along(graph, &soonest(graph).order);
    let conditional = graph.tasks.iter().any(|task| !task.conditions.is_empty());
    if !conditional || graph.tasks.len() > LARGEST_PLANNED {
        return first;
    }
    let teams: Vec<Team> = TEAMS.iter().map(|size| Team::of_all_trades(graph, *size)).collect();
    let mut kept = first.clone();
    let mut shortest = f64::INFINITY;
    for team in 0..teams.len() {
        let mut ranks = first.clone();
        for _ in 0..ROUNDS {
            let plays: Vec<_> = teams.iter().map(|team| play(graph, &ranks, team)).collect();
            let sum = plays.iter().map(|play| play.makespan).sum();
            if sum < shortest {
                shortest = sum;
                kept.clone_from(&ranks);
            }
            let next = along(graph, &plays[team].order);
            if next == ranks {
                break;
            }
            ranks = next;
        }
    }
    kept
}

/// The ranks when tasks finish in this order.
fn along(graph: &TaskGraph, order: &[usize]) -> Vec<f64> {
    let mut dependants = vec![Vec::new(); graph.tasks.len()];
    for (i, task) in graph.tasks.iter().enumerate().filter(|(_, task)| !task.done) {
        for need in &task.needs {
            dependants[*need].push(i);
        }
    }
    let mut epics = epic_progress(graph);
    let mut lacking = vec![NOTHING; graph.tasks.len()];
    for task in order {
        let Some(epic) = graph.tasks[*task].epic else { continue };
        let before = &mut epics[epic];
        let next = (1..NOTHING).find(|share| !before.has_reached(*share));
        lacking[*task] = next.unwrap_or(NOTHING);
        before.finish(&graph.tasks[*task]);
    }
    // The largest rank that waits for each share of each epic.
    let mut waiting = vec![[0.0_f64; NOTHING as usize]; graph.epics.len()];
    let mut ranks = vec![0.0_f64; graph.tasks.len()];
    let done = (0..graph.tasks.len()).filter(|task| graph.tasks[*task].done);
    for task in order.iter().rev().copied().chain(done) {
        let spec = &graph.tasks[task];
        let own = if spec.done { 0.0 } else { spec.hours };
        let after = dependants[task].iter().map(|dependant| ranks[*dependant]);
        let shares = spec.epic.map_or(&[][..], |epic| &waiting[epic][lacking[task].into()..]);
        ranks[task] = own + after.chain(shares.iter().copied()).fold(0.0, f64::max);
        for condition in &spec.conditions {
            let share = &mut waiting[condition.epic][usize::from(condition.at_least)];
            *share = share.max(ranks[task]);
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixtures;
    use super::super::tests::graph;
    use super::*;

    fn ranks(text: &str) -> Vec<f64> {
        graph(text).tasks.iter().map(|task| task.rank).collect()
    }

    #[test]
    fn the_longest_remaining_path_counts() {
        let tasks = "
  - {key: a, title: A, command: x, hours: 1}
  - {key: b, title: B, command: x, hours: 2, needs: [a]}
  - {key: c, title: C, command: x, hours: 5, needs: [a]}
  - {key: d, title: D, command: x, hours: 3, needs: [b, c]}
  - {key: e, title: E, command: x, hours: 7, done: true}
  - {key: f, title: F, command: x, hours: 4, needs: [e]}";
        assert_eq!(ranks(&format!("tasks:{tasks}")), [9.0, 5.0, 8.0, 3.0, 4.0, 4.0]);
    }

    #[test]
    fn a_condition_counts_as_edges_from_what_meets_it_first() {
        let text = "
epics: [{key: 1, title: One}]
tasks:
  - {key: a, title: A, command: x, hours: 2, epic: 1}
  - {key: b, title: B, command: x, hours: 3, epic: 1}
  - {key: c, title: C, command: x, hours: 5, epic: 1}
  - {key: d, title: D, command: x, hours: 10, conditions: [{epic: 1, at_least: 50%}]}";
        // a and b make half of the epic when everything begins at once; c is not waited for.
        assert_eq!(ranks(text), [12.0, 13.0, 5.0, 10.0]);
    }

    /// What trying orders is good for.
    #[test]
    fn ranks_from_plays_shorten_plays() {
        let (mut first, mut kept) = (0.0, 0.0);
        for seed in 0..200 {
            let mut graph = fixtures::of_the_documents_shape(seed);
            let team = Team::of_all_trades(&graph, 3);
            let ranks = along(&graph, &soonest(&graph).order);
            first += play(&graph, &ranks, &team).makespan;
            rank(&mut graph);
            let ranks: Vec<f64> = graph.tasks.iter().map(|task| task.rank).collect();
            kept += play(&graph, &ranks, &team).makespan;
        }
        println!(
            "mean makespan: {} h with the first order, {} h with plays",
            first / 200.0,
            kept / 200.0
        );
        assert!(kept < first);
    }

    proptest! {
        /// The largest rank is the critical path when edges come from the first order, and no
        /// task ranks below anything that needs it.
        #[test]
        fn ranks_fall_along_needs(seed in any::<u64>()) {
            let graph = fixtures::graph(seed);
            let soonest = soonest(&graph);
            let ranks = along(&graph, &soonest.order);
            let largest = ranks.iter().copied().fold(0.0, f64::max);
            prop_assert!((largest - soonest.length).abs() < 1e-6, "{largest} {}", soonest.length);
            for (i, task) in graph.tasks.iter().enumerate() {
                for need in &task.needs {
                    let own = if graph.tasks[*need].done { 0.0 } else { graph.tasks[*need].hours };
                    prop_assert!(task.done || ranks[*need] + 1e-9 >= own + ranks[i]);
                }
            }
        }
    }
}
