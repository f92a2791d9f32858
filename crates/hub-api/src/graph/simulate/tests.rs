//! Plays that can be followed by hand, rules that hold for all, and the figure that is promised.

use proptest::prelude::*;

use super::*;
use crate::graph::order::{Requirements, fits};
use crate::graph::tests::graph;
use crate::graph::{CriticalPath, critical_path, epic_progress, fixtures, rank};

fn team_of(graph: &TaskGraph, size: usize) -> Simulation {
    simulate(graph, &Team::of_all_trades(graph, size)).unwrap()
}

#[test]
fn a_play_by_hand() {
    let graph = graph(
        "
epics: [{key: one, title: One}]
tasks:
  - {key: a, title: A, command: x, hours: 4, epic: one}
  - {key: b, title: B, command: x, hours: 2, epic: one}
  - {key: c, title: C, command: x, hours: 1, needs: [b]}
  - {key: d, title: D, command: x, hours: 3, conditions: [{epic: one, at_least: 100%}]}
  - {key: e, title: E, command: x, hours: 1, priority: P3}",
    );
    let two = team_of(&graph, 2);
    let spans = |agent: usize| -> Vec<(&str, f64, f64)> {
        let spans = two.play.agents[agent].iter();
        spans.map(|s| (graph.tasks[s.task].key.as_str(), s.start, s.end)).collect()
    };
    assert_eq!(spans(0), [("a", 0.0, 4.0), ("d", 4.0, 7.0)]);
    assert_eq!(spans(1), [("b", 0.0, 2.0), ("c", 2.0, 3.0), ("e", 3.0, 4.0)]);
    assert_eq!((two.play.makespan, two.work), (7.0, 11.0));
    assert_eq!((two.bound.critical_path, two.bound.work_per_agent), (7.0, 5.5));
    assert_eq!(critical_path(&graph), CriticalPath { hours: 7.0, tasks: vec![0, 3] });
    assert_eq!(two.speed_up(), 11.0 / 7.0);
    assert_eq!(two.utilisation(), 11.0 / 14.0);
    assert_eq!(two.play.waits, Waits { needs: 2.0, conditions: 4.0, agents: 3.0 });
    assert_eq!(two.play.idle, Idle { finished: 3.0, ..Idle::default() });
    let three = team_of(&graph, 3).play;
    // e is done after an hour, b after two, c after three: then one agent works and d waits.
    assert_eq!(three.idle, Idle { conditions: 4.0, finished: 6.0, ..Idle::default() });
}

#[test]
fn roles_divide_the_team_and_the_bound() {
    let graph = graph(
        "
tasks:
  - {key: a, title: A, command: x, hours: 4, role: backend}
  - {key: b, title: B, command: x, hours: 4, role: backend}
  - {key: c, title: C, command: x, hours: 1, role: frontend}",
    );
    let roles = |roles: &[(&str, usize)]| {
        let roles: Vec<_> = roles.iter().map(|(role, n)| ((*role).to_owned(), *n)).collect();
        simulate(&graph, &Team::of_roles(&graph, &roles))
    };
    let divided = roles(&[("backend", 1), ("frontend", 1)]).unwrap();
    assert_eq!((divided.play.makespan, divided.bound.work_per_agent), (8.0, 8.0));
    assert_eq!(divided.play.idle.roles, 3.0);
    assert_eq!(roles(&[("backend", 2)]).unwrap_err().tasks, [2]);
    assert_eq!(team_of(&graph, 2).play.makespan, 5.0);
}

#[test]
fn nothing_to_do_takes_no_time() {
    let graph = graph("tasks: [{key: a, title: A, command: x, done: true}]");
    let one = team_of(&graph, 1);
    assert_eq!((one.play.makespan, one.speed_up(), one.utilisation()), (0.0, 1.0, 1.0));
}

/// Graphs of the documents' shape, played by three agents with the ranks that the hub stores.
#[test]
fn three_agents_come_near_the_bound() {
    const GRAPHS: u64 = 1_000;
    let mut sums = [0.0; 3];
    for seed in 0..GRAPHS {
        let mut graph = fixtures::of_the_documents_shape(seed);
        assert!(matches!(graph.tasks.len(), 27 | 28));
        rank(&mut graph);
        for (sum, agents) in sums.iter_mut().zip([3, 7, 16]) {
            *sum += team_of(&graph, agents).over_bound();
        }
    }
    let means = sums.map(|sum| sum / GRAPHS as f64);
    println!("mean makespan over bound with 3, 7 and 16 agents: {means:.4?}");
    assert!(means.iter().all(|mean| *mean <= 1.03), "{means:?}");
}

proptest! {
    /// A play does every task once, by somebody who fits, one at a time, after what it waits
    /// for; no shorter than the bound, and no idle hands while there is fitting work.
    #[test]
    fn a_play_keeps_the_rules(seed in any::<u64>(), agents in 1usize..6) {
        let mut graph = fixtures::graph(seed);
        rank(&mut graph);
        let team = if seed % 2 == 0 {
            Team::of_all_trades(&graph, agents)
        } else {
            let roles = ["role 1", "role 2", "none"].map(|role| (role.to_owned(), agents));
            Team::of_roles(&graph, &roles)
        };
        let simulation = simulate(&graph, &team).unwrap();
        let play = &simulation.play;
        let mut times = vec![None; graph.tasks.len()];
        for (agent, spans) in team.agents.iter().zip(&play.agents) {
            let mut free = 0.0;
            for span in spans {
                let task = &graph.tasks[span.task];
                prop_assert!(fits(Requirements::of(task), agent) && !task.done);
                prop_assert!(span.start >= free && span.end == span.start + task.hours);
                prop_assert!(times[span.task].replace((span.start, span.end)).is_none());
                free = span.end;
            }
        }
        let end = |task: usize| match times[task] {
            Some((_, end)) => end,
            None => 0.0,
        };
        for (i, task) in graph.tasks.iter().enumerate() {
            prop_assert_eq!(times[i].is_none(), task.done);
            let Some((start, _)) = times[i] else { continue };
            prop_assert!(task.needs.iter().all(|need| end(*need) <= start));
            let mut then = graph.clone();
            for (other, task) in then.tasks.iter_mut().enumerate() {
                task.done |= end(other) <= start && other != i;
            }
            let epics = epic_progress(&then);
            prop_assert!(task.conditions.iter().all(|c| epics[c.epic].has_reached(c.at_least)));
        }
        prop_assert!(play.makespan >= simulation.bound.hours() - 1e-6);
        let path = critical_path(&graph);
        let hours: f64 = path.tasks.iter().map(|task| graph.tasks[*task].hours).sum();
        prop_assert!((path.hours - hours).abs() < 1e-6 && path.hours == simulation.bound.critical_path);
        let hours = play.makespan * team.agents.len() as f64;
        let Idle { needs, conditions, roles, finished } = play.idle;
        let accounted = simulation.work + needs + conditions + roles + finished;
        prop_assert!((accounted - hours).abs() < 1e-6, "{accounted} of {hours}");
    }

    /// Graham's bound (1966) for list schedules, which idle only when nothing is ready: with
    /// needs alone, never more than twice the best.
    #[test]
    fn a_play_is_never_twice_too_long(seed in any::<u64>(), agents in 1usize..6) {
        let mut graph = fixtures::graph(seed);
        for task in &mut graph.tasks {
            task.conditions.clear();
        }
        rank(&mut graph);
        let simulation = team_of(&graph, agents);
        let Bound { critical_path, work_per_agent } = simulation.bound;
        let others = 1.0 - 1.0 / agents as f64;
        prop_assert!(simulation.play.makespan <= work_per_agent + others * critical_path + 1e-6);
    }
}
