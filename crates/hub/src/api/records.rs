//! The store's records as the wire has them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::store::{
    AgentHealth, AgentView, AttemptView, BranchView, Claimed, EpicProgress, EventView,
    EvidenceView, GraphView, MergeHold, MergeView, Moment, RunReport, RunView, Snapshot, Summary,
    TaskView, Unserved,
};
use greenloop_hub_api::client::wire;
use greenloop_model::task::{Action, TaskState};

/// RFC 3339, in UTC.
pub(super) fn time(moment: Moment) -> String {
    Timestamp::from_microsecond(moment.0).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

fn by_state(tasks: &BTreeMap<TaskState, u64>) -> BTreeMap<String, u64> {
    tasks.iter().map(|(state, count)| (state.name().to_owned(), *count)).collect()
}

/// Whole seconds; a started one counts.
fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

fn lease_seconds(duration: Duration) -> u32 {
    seconds(duration).try_into().unwrap_or(u32::MAX)
}

pub(super) fn graph(view: GraphView) -> wire::Graph {
    let percent = view.percent();
    wire::Graph {
        id: view.id.0,
        project: view.project,
        name: view.name,
        repository: view.repository,
        target: view.target,
        state: view.state.name().to_owned(),
        run: view.run,
        tasks: by_state(&view.tasks),
        percent,
        created_at: time(view.created_at),
        ended_at: view.ended_at.map(time),
    }
}

pub(super) fn task(view: TaskView) -> wire::Task {
    wire::Task {
        id: view.id.0,
        graph: view.graph.0,
        key: view.key,
        title: view.title,
        description: view.description,
        epic: view.epic,
        role: view.role,
        labels: view.labels,
        priority: view.priority,
        rank_hours: view.rank,
        hours: view.hours,
        branch: view.branch,
        files: view.files,
        needs: view.needs.into_iter().map(|it| it.0).collect(),
        conditions: view
            .conditions
            .into_iter()
            .map(|it| wire::ConditionSubmission { epic: it.epic, at_least: it.at_least })
            .collect(),
        action: match view.action {
            Action::Command(line) => wire::Action::Command(line),
            Action::Agent => wire::Action::Agent,
        },
        timeout_seconds: view.timeout.map(seconds),
        state: view.state.name().to_owned(),
        reason: view.reason,
        epoch: view.epoch,
        attempts: view.attempts,
        max_attempts: view.max_attempts,
        percent: view.percent,
        agent: view.agent,
        commit: view.commit,
        updated_at: time(view.updated_at),
    }
}

pub(super) fn claimed(claimed: Claimed) -> wire::Claimed {
    wire::Claimed {
        task: task(claimed.task),
        epoch: claimed.lease.epoch,
        lease_seconds: lease_seconds(claimed.lease_for),
        repository: claimed.repository,
        target: claimed.target,
        branch: claimed.lease.branch(),
        gates: claimed.gates,
        previous: claimed.previous,
    }
}

pub(super) fn lease(lease: crate::store::AttemptLease) -> wire::AttemptLease {
    wire::AttemptLease { lease_seconds: lease_seconds(lease.lease_for), cancel: lease.cancel }
}

pub(super) fn attempt(view: AttemptView) -> wire::Attempt {
    wire::Attempt {
        task: view.lease.task.0,
        epoch: view.lease.epoch,
        agent: view.agent,
        state: view.state.name().to_owned(),
        percent: view.percent,
        message: view.message,
        commit: view.commit,
        class: view.class,
        fingerprint: view.fingerprint,
        started_at: time(view.started_at),
        ended_at: view.ended_at.map(time),
    }
}

pub(super) fn evidence(view: EvidenceView) -> wire::Evidence {
    wire::Evidence {
        id: view.id,
        task: view.lease.task.0,
        epoch: view.lease.epoch,
        agent: view.agent,
        kind: view.kind.name().to_owned(),
        title: view.title,
        body: view.body,
        url: view.url,
        created_at: time(view.created_at),
    }
}

pub(super) fn agent(view: AgentView) -> wire::Agent {
    wire::Agent {
        name: view.name,
        roles: view.roles,
        labels: view.labels,
        host: view.host,
        version: view.version,
        state: view.health.name().to_owned(),
        quarantine: view.quarantine,
        quarantined_since: view.quarantined_at.map(time),
        task: view.task.map(|it| it.0),
        percent: view.percent,
        cpu_percent: view.cpu_percent,
        memory_bytes: view.memory_bytes,
        succeeded: view.succeeded,
        failed: view.failed,
        last_heartbeat: time(view.heartbeat_at),
    }
}

/// Tasks that nobody can do, as an alert.
pub(super) fn unserved(group: Unserved) -> wire::Alert {
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
    wire::Alert {
        kind: kind.to_owned(),
        text,
        role,
        labels,
        count,
        tasks: tasks
            .into_iter()
            .map(|task| wire::AlertTask { id: task.id.0, graph: task.graph.0, key: task.key })
            .collect(),
        agent: None,
        since: time(since),
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
pub(super) fn unfit(view: AgentView) -> wire::Alert {
    let (kind, text, since) = match (view.health, view.quarantined_at) {
        (AgentHealth::Quarantined, Some(since)) => {
            let why = view.quarantine.unwrap_or_default();
            ("agent_quarantined", format!("{} claims nothing: {why}", view.name), since)
        }
        _ => {
            let text = format!("{} on {} is not heard of any more", view.name, view.host);
            ("agent_down", text, view.heartbeat_at)
        }
    };
    wire::Alert {
        kind: kind.to_owned(),
        text,
        role: None,
        labels: Vec::new(),
        count: 0,
        tasks: Vec::new(),
        agent: Some(view.name),
        since: time(since),
    }
}

pub(super) fn agent_progress(view: AgentView) -> wire::AgentProgress {
    wire::AgentProgress {
        name: view.name,
        state: view.health.name().to_owned(),
        task: view.task.map(|it| it.0),
        percent: view.percent,
        succeeded: view.succeeded,
        failed: view.failed,
        busy_hours: view.busy.as_secs_f64() / 3600.0,
        first_seen: time(view.first_seen_at),
    }
}

pub(super) fn event(view: EventView) -> wire::Event {
    wire::Event {
        id: view.id.0,
        at: time(view.at),
        kind: view.kind.name().to_owned(),
        graph: view.graph.map(|it| it.0),
        task: view.task.map(|it| it.0),
        epoch: view.epoch,
        agent: view.agent,
        merge: view.merge.map(|it| it.0),
        percent: view.percent,
        text: view.text,
    }
}

pub(super) fn merge(view: MergeView) -> wire::Merge {
    wire::Merge {
        id: view.id.0,
        project: view.project,
        task: view.lease.task.0,
        epoch: view.lease.epoch,
        branch: view.branch,
        commit: view.commit,
        target: view.target,
        state: view.state.name().to_owned(),
        merged: view.merged,
        reason: view.reason,
        unsolved: view.unsolved,
        created_at: time(view.created_at),
        ended_at: view.ended_at.map(time),
    }
}

/// A branch that merges go to.
pub(super) fn target(view: BranchView) -> wire::Branch {
    wire::Branch {
        name: view.target,
        kind: "target".to_owned(),
        project: Some(view.project),
        repository: view.repository,
        commit: view.head,
        task: None,
        writer: view.writer,
        queued: view.queued,
        testing: view.testing,
        merged: view.merged,
        paused_until: view.paused_until.map(time),
        reason: view.reason,
        hold: view.hold.map(hold),
    }
}

fn hold(hold: MergeHold) -> wire::MergeHold {
    wire::MergeHold {
        reason: hold.reason.name().to_owned(),
        tip: hold.tip,
        expected: hold.expected,
        commit: hold.commit,
        author: hold.author,
        text: hold.text,
        lost: hold.lost,
        decision: hold.decision.map(|it| it.name().to_owned()),
        since: time(hold.since),
    }
}

/// The branch of a running attempt.
pub(super) fn attempt_branch(view: AttemptView) -> wire::Branch {
    wire::Branch {
        name: view.lease.branch(),
        kind: "attempt".to_owned(),
        project: None,
        repository: None,
        commit: view.commit,
        task: Some(view.lease.task.0),
        writer: Some(view.agent),
        queued: 0,
        testing: 0,
        merged: 0,
        paused_until: None,
        reason: None,
        hold: None,
    }
}

pub(super) fn run(view: RunView) -> wire::Run {
    let RunReport { id, environment, state, commit, iterations, summary, report } = view.run;
    let ended = state != "running";
    wire::Run {
        id,
        environment,
        state,
        commit,
        iterations,
        summary,
        report,
        started_at: time(view.created_at),
        updated_at: time(view.updated_at),
        ended_at: ended.then(|| time(view.updated_at)),
    }
}

fn epic(view: EpicProgress) -> wire::EpicProgress {
    wire::EpicProgress {
        graph: view.graph.0,
        key: view.key,
        title: view.title,
        tasks: view.tasks,
        tasks_done: view.tasks_done,
        hours: view.hours,
        hours_done: view.hours_done,
        percent: view.percent,
    }
}

pub(super) fn snapshot(view: Snapshot) -> wire::Snapshot {
    wire::Snapshot {
        at: time(view.at),
        graph: view.graph.0,
        tasks_done: view.tasks_done,
        tasks: view.tasks,
        hours_done: view.hours_done,
        hours: view.hours,
    }
}

pub(super) fn summary(view: Summary) -> wire::Summary {
    let pace = pace(&view);
    wire::Summary {
        tasks: by_state(&view.tasks),
        hours: view.hours,
        hours_done: view.hours_done,
        percent: view.percent(),
        tasks_last_hour: view.tasks_last_hour,
        velocity: pace.map(|it| it.velocity),
        eta_hours: pace.map(|it| it.eta),
        epics: view.epics.into_iter().map(epic).collect(),
    }
}

/// How fast the work goes, and when it is done at that.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pace {
    velocity: f64,
    eta: [f64; 3],
}

/// From the last hour when enough happened in it, else from the last day, or from when work
/// began. `n` finished tasks tell a pace within about 1/√n of it.
fn pace(view: &Summary) -> Option<Pace> {
    const ENOUGH: u64 = 5;
    const HOUR: f64 = 3600.0;
    let worked = view.at.since(view.started_at?).as_secs_f64() / HOUR;
    let (tasks, hours, window) = if view.tasks_last_hour >= ENOUGH {
        (view.tasks_last_hour, view.hours_last_hour, worked.min(1.0))
    } else {
        (view.tasks_last_day, view.hours_last_day, worked.min(24.0))
    };
    if tasks == 0 || hours <= 0.0 || window <= 0.0 {
        return None;
    }
    let velocity = hours / window;
    let middle = (view.hours - view.hours_done).max(0.0) / velocity;
    let doubt = f64::from(u32::try_from(tasks).unwrap_or(u32::MAX)).sqrt().recip().min(0.75);
    Some(Pace { velocity, eta: [middle / (1.0 + doubt), middle, middle / (1.0 - doubt)] })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn known(started: Option<i64>) -> Summary {
        Summary {
            at: Moment(100 * HOUR),
            tasks: BTreeMap::from([(TaskState::Done, 4), (TaskState::Ready, 4)]),
            hours: 40.0,
            hours_done: 20.0,
            tasks_last_hour: 1,
            hours_last_hour: 2.0,
            tasks_last_day: 4,
            hours_last_day: 20.0,
            started_at: started.map(Moment),
            epics: Vec::new(),
        }
    }

    #[test]
    fn the_pace_is_that_of_the_time_since_work_began() {
        let pace = pace(&known(Some(90 * HOUR))).unwrap();
        assert!((pace.velocity - 2.0).abs() < 1e-9, "{pace:?}");
        let [low, middle, high] = pace.eta;
        assert!((middle - 10.0).abs() < 1e-9 && (low - 20.0 / 3.0).abs() < 1e-9, "{pace:?}");
        assert!((high - 20.0).abs() < 1e-9, "{pace:?}");
    }

    #[test]
    fn before_anything_was_done_there_is_no_pace() {
        assert_eq!(pace(&known(None)), None);
        assert_eq!(pace(&Summary { tasks_last_day: 0, ..known(Some(0)) }), None);
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(Moment(1_700_000_000_123_456)), "2023-11-14T22:13:20.123456Z");
    }
}
