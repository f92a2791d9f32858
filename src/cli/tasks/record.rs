//! What `--output json` of `greenloop tasks` says.

use serde_json::{Value as Json, json};

use greenloop_hub_api::graph::{self, Idle, Simulation, TaskGraph, Team, Waits};
use greenloop_hub_api::types::Action;

/// Hours and percent as numbers, references by key.
pub(super) fn graph(graph: &TaskGraph) -> Json {
    let progress = graph::epic_progress(graph);
    let path = graph::critical_path(graph);
    let key = |task: &usize| graph.tasks[*task].key.as_str();
    let epics = graph.epics.iter().zip(&progress).map(|(epic, progress)| {
        json!({
            "key": epic.key,
            "title": epic.title,
            "branch": epic.branch,
            "tasks": progress.tasks,
            "done_tasks": progress.done_tasks,
            "hours": progress.hours,
            "done_hours": progress.done_hours,
            "percent": progress.percent(),
        })
    });
    let tasks = graph.tasks.iter().map(|task| {
        let conditions = task
            .conditions
            .iter()
            .map(|c| json!({ "epic": graph.epics[c.epic].key, "at_least": c.at_least }));
        let (kind, command) = match &task.action {
            Action::Command(command) => ("command", Some(command)),
            Action::Agent => ("agent", None),
        };
        json!({
            "key": task.key,
            "title": task.title,
            "description": task.description,
            "epic": task.epic.map(|epic| &graph.epics[epic].key),
            "role": task.role,
            "labels": task.labels,
            "priority": task.priority,
            "hours": task.hours,
            "branch": task.branch,
            "files": task.files,
            "needs": task.needs.iter().map(key).collect::<Vec<_>>(),
            "conditions": conditions.collect::<Vec<_>>(),
            "kind": kind,
            "command": command,
            "timeout_seconds": task.timeout_seconds.map(|seconds| seconds as f64),
            "max_attempts": task.max_attempts,
            "done": task.done,
            "rank": task.rank,
        })
    });
    json!({
        "name": graph.name,
        "project": graph.project,
        "repository": graph.repository,
        "target": graph.target,
        "gates": graph.gates,
        "epics": epics.collect::<Vec<_>>(),
        "tasks": tasks.collect::<Vec<_>>(),
        "critical_path": {
            "hours": path.hours,
            "tasks": path.tasks.iter().map(key).collect::<Vec<_>>(),
        },
    })
}

/// One play with its team. Times are hours from the beginning.
pub(super) fn simulation(graph: &TaskGraph, team: &Team, simulation: &Simulation) -> Json {
    let Simulation { play, bound, work } = simulation;
    let agents = team.agents.iter().zip(&play.agents).map(|(agent, spans)| {
        let spans = spans.iter().map(|span| {
            json!({ "task": graph.tasks[span.task].key, "start": span.start, "end": span.end })
        });
        json!({ "name": agent.name, "timeline": spans.collect::<Vec<_>>() })
    });
    let Waits { needs, conditions, agents: busy } = play.waits;
    let Idle { needs: idle_needs, conditions: idle_conditions, roles, finished } = play.idle;
    json!({
        "agents": team.agents.len(),
        "makespan_hours": play.makespan,
        "work_hours": work,
        "bound_hours": bound.hours(),
        "critical_path_hours": bound.critical_path,
        "work_per_agent_hours": bound.work_per_agent,
        "over_bound": simulation.over_bound(),
        "speed_up": simulation.speed_up(),
        "largest_speed_up": simulation.largest_speed_up(),
        "utilisation": simulation.utilisation(),
        "tasks_waited_hours": { "needs": needs, "conditions": conditions, "agents": busy },
        "agents_idle_hours": {
            "needs": idle_needs,
            "conditions": idle_conditions,
            "roles": roles,
            "finished": finished,
        },
        "team": agents.collect::<Vec<_>>(),
    })
}
