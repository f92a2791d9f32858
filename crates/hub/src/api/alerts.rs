//! What a person should know of workers, in words.

use crate::store::Unserved;
use greenloop_hub_api::types::{Agent, Alert, AlertTask};
use greenloop_model::task::AgentState;

/// Tasks that nobody can do, as an alert.
pub(super) fn unserved(group: Unserved) -> Alert {
    let Unserved { role, labels, repository, count, tasks, since } = group;
    let keys: Vec<&str> = tasks.iter().map(|task| task.key.as_str()).collect();
    let more = match count.saturating_sub(keys.len() as u64) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let noun = if count == 1 { "task" } else { "tasks" };
    let (kind, lacks) = match repository {
        Some(repository) => ("repository_unreachable", format!("reaches {repository}")),
        None => ("no_worker", lacks(&role, &labels)),
    };
    let text = format!("no live worker {lacks}: {noun} {}{more}", keys.join(", "));
    Alert {
        kind: kind.to_owned(),
        text,
        role,
        labels,
        count,
        tasks: tasks
            .into_iter()
            .map(|task| AlertTask { id: task.id, graph: task.graph, key: task.key })
            .collect(),
        agent: None,
        since,
    }
}

/// What there is no worker for, in words.
fn lacks(role: &Option<String>, labels: &[String]) -> String {
    let labels = match labels {
        [] => None,
        [label] => Some(format!("the label `{label}`")),
        labels => Some(format!("the labels `{}`", labels.join("`, `"))),
    };
    match (role, labels) {
        (Some(role), Some(labels)) => format!("has the role `{role}` and {labels}"),
        (Some(role), None) => format!("has the role `{role}`"),
        (None, Some(labels)) => format!("has {labels}"),
        (None, None) => "takes tasks".to_owned(),
    }
}

/// A worker in quarantine, or one that is down, as an alert.
pub(super) fn unfit(view: Agent) -> Alert {
    let (kind, text, since) = match (view.state, view.quarantined_since) {
        (AgentState::Quarantined, Some(since)) => {
            let why = view.quarantine.unwrap_or_default();
            ("agent_quarantined", format!("{} claims nothing: {why}", view.name), since)
        }
        _ => {
            let text = format!("{} on {} sends no heartbeats any more", view.name, view.host);
            ("agent_down", text, view.last_heartbeat)
        }
    };
    Alert {
        kind: kind.to_owned(),
        text,
        role: None,
        labels: Vec::new(),
        count: 0,
        tasks: Vec::new(),
        agent: Some(view.name),
        since,
    }
}
