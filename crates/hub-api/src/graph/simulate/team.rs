//! Who works.

use std::collections::BTreeSet;

use crate::graph::checked::TaskGraph;
use crate::graph::order::Agent;

/// Agents that work side by side, in the order in which idle ones claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// At least one.
    pub agents: Vec<Agent>,
}

/// Tasks that nobody of a team can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no agent of the team can do {} of the tasks", tasks.len())]
pub struct NobodyFits {
    /// Indices into [`TaskGraph::tasks`]; never empty.
    pub tasks: Vec<usize>,
}

impl Team {
    /// Agents that can do everything the graph asks for, at least one.
    pub fn of_all_trades(graph: &TaskGraph, size: usize) -> Self {
        let roles: BTreeSet<&String> =
            graph.tasks.iter().filter_map(|task| task.role.as_ref()).collect();
        let roles: Vec<String> = roles.into_iter().cloned().collect();
        let labels = labels(graph);
        let agent = |i: usize| Agent {
            name: format!("agent {i}"),
            roles: roles.clone(),
            labels: labels.clone(),
        };
        Self { agents: (1..=size.max(1)).map(agent).collect() }
    }

    /// So many agents of each role, and of those without one that take what is for anybody.
    /// Labels are not looked at: everybody has all.
    pub fn of_roles(graph: &TaskGraph, roles: &[(String, usize)]) -> Self {
        let labels = labels(graph);
        let agents = roles.iter().flat_map(|(role, size)| {
            let labels = &labels;
            (1..=*size).map(move |i| Agent {
                name: format!("{role} {i}"),
                roles: vec![role.clone()],
                labels: labels.clone(),
            })
        });
        Self { agents: agents.collect() }
    }
}

fn labels(graph: &TaskGraph) -> Vec<String> {
    let labels: BTreeSet<&String> = graph.tasks.iter().flat_map(|task| &task.labels).collect();
    labels.into_iter().cloned().collect()
}
