//! What keeps a graph from ever being finished.

use std::collections::VecDeque;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;

use super::checked::TaskGraph;
use super::earliest_start::soonest;
use super::progress::EpicProgress;

/// More unmet conditions than this are not reported: each names the stuck tasks of its epic.
const MOST_UNMET: usize = 100;

/// A reason why tasks can never begin. Numbers are indices into [`TaskGraph::tasks`].
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Each needs the next, and the last needs the first.
    Cycle(Vec<usize>),
    /// A condition that no order of work meets.
    Unmet {
        /// The task that waits.
        task: usize,
        /// Index into its conditions.
        condition: usize,
        /// How far the epic comes.
        reached: EpicProgress,
        /// The epic's tasks that themselves never begin, `task` among them if it is one.
        stuck: Vec<usize>,
    },
}

/// Every reason why `graph` can never be finished; empty for a sound one. Its indices must be in
/// range. While there are cycles, conditions are not looked at: most would only be consequences.
pub fn faults(graph: &TaskGraph) -> Vec<Fault> {
    let cycles = cycles(graph);
    if !cycles.is_empty() {
        return cycles.into_iter().map(Fault::Cycle).collect();
    }
    unmet(graph)
}

/// One shortest cycle of every group of tasks that wait for each other.
fn cycles(graph: &TaskGraph) -> Vec<Vec<usize>> {
    let count = graph.tasks.len();
    let mut links = DiGraph::<(), (), usize>::with_capacity(count, count);
    for _ in 0..count {
        links.add_node(());
    }
    for (i, task) in graph.tasks.iter().enumerate() {
        for need in &task.needs {
            links.add_edge(i.into(), (*need).into(), ());
        }
    }
    let mut group_of = vec![0; count];
    let groups = kosaraju_scc(&links);
    for (group, members) in groups.iter().enumerate() {
        for member in members {
            group_of[member.index()] = group;
        }
    }
    let mut found: Vec<_> = groups
        .iter()
        .filter_map(|members| members.iter().map(|member| member.index()).min())
        .filter_map(|first| shortest(graph, &group_of, first))
        .collect();
    found.sort();
    found
}

/// The shortest way along needs from `first` back to it, inside its group.
fn shortest(graph: &TaskGraph, group_of: &[usize], first: usize) -> Option<Vec<usize>> {
    let mut came_from = std::collections::HashMap::new();
    let mut open = VecDeque::from([first]);
    while let Some(at) = open.pop_front() {
        for need in graph.tasks[at].needs.iter().copied() {
            if need == first {
                let mut way = vec![at];
                while let Some(before) = way.last().and_then(|task| came_from.get(task)) {
                    way.push(*before);
                }
                way.reverse();
                return Some(way);
            }
            if group_of[need] == group_of[first] && !came_from.contains_key(&need) {
                came_from.insert(need, at);
                open.push_back(need);
            }
        }
    }
    None
}

fn unmet(graph: &TaskGraph) -> Vec<Fault> {
    let soonest = soonest(graph);
    let mut finished: Vec<bool> = graph.tasks.iter().map(|task| task.done).collect();
    for task in &soonest.order {
        finished[*task] = true;
    }
    let stuck_in = |epic: usize| -> Vec<usize> {
        let own = |i: &usize| graph.tasks[*i].epic == Some(epic) && !finished[*i];
        (0..graph.tasks.len()).filter(own).collect()
    };
    let mut found = Vec::new();
    for (i, task) in graph.tasks.iter().enumerate().filter(|(i, _)| !finished[*i]) {
        for (c, condition) in task.conditions.iter().enumerate() {
            let reached = soonest.epics[condition.epic];
            if found.len() < MOST_UNMET && !reached.has_reached(condition.at_least) {
                let stuck = stuck_in(condition.epic);
                found.push(Fault::Unmet { task: i, condition: c, reached, stuck });
            }
        }
    }
    found
}
