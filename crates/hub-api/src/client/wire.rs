//! The records of the hub's HTTP API, version 1: what a client sends and what a hub answers.
//!
//! Field names and meanings are a promise to other people's programs: they are only added to.
//! Times are RFC 3339 in UTC, by the clock of the hub's database; ids are integers; percents are
//! 0 to 100.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A graph as it is handed in: `tasks.yaml`, checked, with its names instead of indices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphSubmission {
    /// The project's name; created when it is new.
    pub project: String,
    /// The repository's address, where tasks change code.
    #[serde(default)]
    pub repository: Option<String>,
    /// The branch that the work ends in.
    pub target: String,
    /// Commands that every merge must pass, on the very commit.
    #[serde(default)]
    pub gates: Vec<String>,
    /// What this graph is called.
    pub name: String,
    /// The deploy run that asks, when one does.
    #[serde(default)]
    pub run: Option<String>,
    /// In order.
    #[serde(default)]
    pub epics: Vec<EpicSubmission>,
    /// In order.
    pub tasks: Vec<TaskSubmission>,
}

/// Tasks that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EpicSubmission {
    /// Unique in the graph.
    pub key: String,
    /// One line.
    pub title: String,
    /// Where its tasks are merged, when not straight into the target.
    #[serde(default)]
    pub branch: Option<String>,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskSubmission {
    /// Unique in the graph.
    pub key: String,
    /// One line.
    pub title: String,
    /// What an agent works on.
    #[serde(default)]
    pub description: String,
    /// The key of its epic.
    #[serde(default)]
    pub epic: Option<String>,
    /// Who may do it; anybody when absent.
    #[serde(default)]
    pub role: Option<String>,
    /// What a worker must have.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Smaller is more urgent.
    #[serde(default)]
    pub priority: i64,
    /// Estimated work.
    #[serde(default)]
    pub hours: f64,
    /// A name for people.
    #[serde(default)]
    pub branch: Option<String>,
    /// What it is expected to touch, as globs.
    #[serde(default)]
    pub files: Vec<String>,
    /// Keys of tasks that must be done before.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Epics that must have come so far before.
    #[serde(default)]
    pub conditions: Vec<ConditionSubmission>,
    /// What it does.
    pub action: Action,
    /// How long one attempt may take.
    #[serde(default)]
    pub timeout_seconds: Option<u64>,
    /// At least 1.
    #[serde(default = "three")]
    pub max_attempts: u32,
    /// Whether it was finished before.
    #[serde(default)]
    pub done: bool,
}

const fn three() -> u32 {
    3
}

/// An epic must have come so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConditionSubmission {
    /// The epic's key.
    pub epic: String,
    /// Percent of its hours, 1 to 100.
    pub at_least: u8,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Runs a command in a shell.
    Command(String),
    /// Author, reviewer, policy and gates work on the description.
    Agent,
}

/// A graph in the hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Graph {
    /// Its id.
    pub id: i64,
    /// The project's name.
    pub project: String,
    /// What it is called.
    pub name: String,
    /// The repository's address.
    pub repository: Option<String>,
    /// The branch that the work ends in.
    pub target: String,
    /// `running`, `done`, `failed`, `cancelled`
    pub state: String,
    /// The deploy run that asked.
    pub run: Option<String>,
    /// Tasks by state.
    pub tasks: BTreeMap<String, u64>,
    /// Percent of its hours that are done.
    pub percent: f64,
    /// When it came in.
    pub created_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// A task in the hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its id.
    pub id: i64,
    /// Its graph.
    pub graph: i64,
    /// Unique in the graph.
    pub key: String,
    /// One line.
    pub title: String,
    /// What an agent works on.
    pub description: String,
    /// The key of its epic.
    pub epic: Option<String>,
    /// Who may do it.
    pub role: Option<String>,
    /// What a worker must have.
    pub labels: Vec<String>,
    /// Smaller is more urgent.
    pub priority: i64,
    /// Longest remaining path, this task included.
    pub rank_hours: f64,
    /// Estimated work.
    pub hours: f64,
    /// A name for people.
    pub branch: Option<String>,
    /// What it is expected to touch.
    pub files: Vec<String>,
    /// Ids of tasks that must be done before.
    pub needs: Vec<i64>,
    /// Epics that must have come so far before.
    pub conditions: Vec<ConditionSubmission>,
    /// What it does.
    pub action: Action,
    /// How long one attempt may take.
    pub timeout_seconds: Option<u64>,
    /// `waiting`, `ready`, `running`, `merging`, `blocked`, `done`, `failed`, `cancelled`
    pub state: String,
    /// Why, where a person wants to know.
    pub reason: Option<String>,
    /// 0 before the first claim.
    pub epoch: i64,
    /// Attempts that count against the limit.
    pub attempts: u32,
    /// The limit.
    pub max_attempts: u32,
    /// Of the current attempt.
    pub percent: u8,
    /// Who works on it.
    pub agent: Option<String>,
    /// What it ended in.
    pub commit: Option<String>,
    /// When it last changed.
    pub updated_at: String,
}

/// An agent asks for work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// Its name.
    pub agent: String,
    /// A UUID of this start of it.
    pub instance: String,
    /// What it can do; every task without a role too. Empty: only those.
    pub roles: Vec<String>,
    /// What it has.
    #[serde(default)]
    pub labels: Vec<String>,
    /// How long the lease is to last without a heartbeat.
    pub lease_seconds: u32,
    /// How long to wait for work, at most 60.
    #[serde(default)]
    pub wait_seconds: u32,
    /// Addresses of repositories that it cannot reach now: it is given no task in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<String>,
}

/// Work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Claimed {
    /// The task.
    pub task: Task,
    /// The fencing token: every report on the work carries it.
    pub epoch: i64,
    /// How long the lease lasts without a heartbeat.
    pub lease_seconds: u32,
    /// Where the work happens.
    pub repository: Option<String>,
    /// Where it is to be merged.
    pub target: String,
    /// The branch of this attempt: `task/<id>/e<epoch>`.
    pub branch: String,
    /// Commands that the merge must pass.
    pub gates: Vec<String>,
    /// What the attempt before ended in: the conflict to solve, the failure to avoid.
    pub previous: Option<String>,
}

/// An agent is still at it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptHeartbeat {
    /// How far it is.
    #[serde(default)]
    pub percent: Option<u8>,
    /// What it does.
    #[serde(default)]
    pub message: Option<String>,
}

/// What the hub says to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptLease {
    /// How long the lease lasts from now.
    pub lease_seconds: u32,
    /// The task was cancelled: stop.
    pub cancel: bool,
}

/// Something found or made on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEvidence {
    /// `commit`, `pull_request`, `test`, `build`, `deployment`, `research`, `citation`, `log`,
    /// `diff`, `review`
    pub kind: String,
    /// One line.
    pub title: String,
    /// At most 256 KiB, redacted by who sends it.
    #[serde(default)]
    pub body: String,
    /// Where to read more.
    #[serde(default)]
    pub url: Option<String>,
}

/// A piece of evidence in the hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// Its id.
    pub id: i64,
    /// Its task.
    pub task: i64,
    /// The attempt it came from.
    pub epoch: i64,
    /// Who sent it.
    pub agent: String,
    /// See [`NewEvidence::kind`].
    pub kind: String,
    /// One line.
    pub title: String,
    /// The text.
    pub body: String,
    /// Where to read more.
    pub url: Option<String>,
    /// When.
    pub created_at: String,
}

/// The work is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// What was pushed to the attempt's branch; absent when nothing changed.
    #[serde(default)]
    pub commit: Option<String>,
    /// One line for people.
    #[serde(default)]
    pub summary: String,
    /// Where it was pushed to, when the repository had a branch `task/<id>/e<epoch>` already: that
    /// name, `-`, and up to 64 letters and digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// The work failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptFailure {
    /// A failure class: `code`, `config`, `flaky`, `infrastructure`, `auth`, `quota`, `timeout`,
    /// `unknown`
    pub class: String,
    /// What happened, redacted by who sends it.
    pub message: String,
    /// The failure's fingerprint.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// Whether another attempt makes sense.
    pub retry: bool,
    /// The worker's own machine is the cause: the attempt does not count against `max_attempts`,
    /// and the task is tried again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncounted: bool,
    /// Why the worker is given no more work until it says that its self-check passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<String>,
    /// The worker cannot reach the task's repository: it asks for no task in it until it can. A
    /// task that is given back for this too often waits for a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unreachable: bool,
}

/// One attempt: a task given to an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// The task.
    pub task: i64,
    /// The fencing token.
    pub epoch: i64,
    /// Who.
    pub agent: String,
    /// `running`, `succeeded`, `failed`, `lost`, `cancelled`, `ejected`, `returned`
    pub state: String,
    /// How far it came.
    pub percent: u8,
    /// What it said last.
    pub message: Option<String>,
    /// What it ended in.
    pub commit: Option<String>,
    /// For one that failed: see [`AttemptFailure::class`].
    #[serde(default)]
    pub class: Option<String>,
    /// For one that failed: see [`AttemptFailure::fingerprint`].
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// A worker says that it is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentHeartbeat {
    /// Its name.
    pub name: String,
    /// A UUID of this start of it.
    pub instance: String,
    /// What it can do.
    pub roles: Vec<String>,
    /// What it has.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Where it runs.
    pub host: String,
    /// Of greenloop.
    pub version: String,
    /// Of the machine, 0 to 100.
    #[serde(default)]
    pub cpu_percent: Option<f64>,
    /// Of the worker and what it started.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// It finishes what it has and takes no more.
    #[serde(default)]
    pub draining: bool,
    /// Why it claims nothing until its self-check passes; absent when it is fit to work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<String>,
    /// From one of these to the next, in seconds; absent: as often as the hub expects. The hub
    /// waits for three times the longer of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<u32>,
    /// Addresses of repositories that it cannot reach now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<String>,
}

/// A worker says that it stops, and is not to be expected any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentLeaving {
    /// The start of it that stops: another one of the same name may have begun.
    pub instance: String,
}

/// A worker in the hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// What it can do.
    pub roles: Vec<String>,
    /// What it has.
    pub labels: Vec<String>,
    /// Where it runs.
    pub host: String,
    /// Of greenloop.
    pub version: String,
    /// `idle`, `working`, `draining`, `stale` (a heartbeat is overdue), `down`, `inactive`,
    /// `quarantined`, `left`
    pub state: String,
    /// Why it claims nothing until its self-check passes.
    #[serde(default)]
    pub quarantine: Option<String>,
    /// Since when.
    #[serde(default)]
    pub quarantined_since: Option<String>,
    /// What it works on.
    pub task: Option<i64>,
    /// How far that is.
    pub percent: Option<u8>,
    /// Of the machine.
    pub cpu_percent: Option<f64>,
    /// Of the worker and what it started.
    pub memory_bytes: Option<u64>,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed or were lost.
    pub failed: u64,
    /// Last heard of.
    pub last_heartbeat: String,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// Hand it in as `cursor` for the next page; absent on the last.
    pub next: Option<String>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Rises; resume after it.
    pub id: i64,
    /// When.
    pub at: String,
    /// `task.ready`, `merge.done` …
    pub kind: String,
    /// The graph.
    pub graph: Option<i64>,
    /// The task.
    pub task: Option<i64>,
    /// The attempt.
    pub epoch: Option<i64>,
    /// The agent.
    pub agent: Option<String>,
    /// The entry of the merge queue.
    pub merge: Option<i64>,
    /// How far.
    pub percent: Option<u8>,
    /// More, for people.
    pub text: Option<String>,
}

/// An entry of a merge queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Merge {
    /// Its id.
    pub id: i64,
    /// The project's name.
    pub project: String,
    /// The task.
    pub task: i64,
    /// The attempt.
    pub epoch: i64,
    /// What is merged.
    pub branch: String,
    /// The commit that was approved, and no other.
    pub commit: String,
    /// Where it goes.
    pub target: String,
    /// `queued`, `testing`, `merged`, `conflict`, `ejected`
    pub state: String,
    /// What the target branch became.
    pub merged: Option<String>,
    /// Why it does not go on.
    pub reason: Option<String>,
    /// In conflict, and neither done again nor merged nor given up since.
    #[serde(default)]
    pub unsolved: bool,
    /// When it came in.
    pub created_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// Something about workers that a person should know of. It goes with its cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// `no_worker` (no living, fit worker has the tasks' role and labels),
    /// `repository_unreachable` (none that has reaches their repository), `agent_quarantined`,
    /// `agent_down`
    pub kind: String,
    /// One line for people.
    pub text: String,
    /// The role that is missing; absent when only labels are.
    pub role: Option<String>,
    /// The labels that are missing.
    pub labels: Vec<String>,
    /// How many tasks wait for it.
    pub count: u64,
    /// The first of them.
    pub tasks: Vec<AlertTask>,
    /// The worker.
    pub agent: Option<String>,
    /// Since when.
    pub since: String,
}

/// A task that an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertTask {
    /// Its id.
    pub id: i64,
    /// Its graph.
    pub graph: i64,
    /// Unique in the graph.
    pub key: String,
}

/// How far everything is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Summary {
    /// Tasks by state.
    pub tasks: BTreeMap<String, u64>,
    /// All estimated hours.
    pub hours: f64,
    /// Those that are done.
    pub hours_done: f64,
    /// Percent of the hours.
    pub percent: f64,
    /// Tasks finished in the last hour.
    pub tasks_last_hour: u64,
    /// Estimated hours finished in one hour of the clock, lately.
    pub velocity: Option<f64>,
    /// Hours of the clock until everything is done, at that velocity: low, middle, high.
    pub eta_hours: Option<[f64; 3]>,
    /// In order.
    pub epics: Vec<EpicProgress>,
}

/// How far an epic is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EpicProgress {
    /// Its graph.
    pub graph: i64,
    /// Unique in the graph.
    pub key: String,
    /// One line.
    pub title: String,
    /// All of its tasks.
    pub tasks: u64,
    /// Those that are done.
    pub tasks_done: u64,
    /// All of its estimated hours.
    pub hours: f64,
    /// Those that are done.
    pub hours_done: f64,
    /// Percent of the hours, of the tasks when it has no hours.
    pub percent: f64,
}

/// Progress as it was once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// When.
    pub at: String,
    /// The graph.
    pub graph: i64,
    /// Tasks that were done.
    pub tasks_done: u64,
    /// All tasks.
    pub tasks: u64,
    /// Hours that were done.
    pub hours_done: f64,
    /// All hours.
    pub hours: f64,
}

/// How much an agent did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentProgress {
    /// Its name.
    pub name: String,
    /// See [`Agent::state`].
    pub state: String,
    /// What it works on.
    pub task: Option<i64>,
    /// How far that is.
    pub percent: Option<u8>,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed or were lost.
    pub failed: u64,
    /// Hours of the clock that it spent on attempts.
    pub busy_hours: f64,
    /// When it was first heard of.
    pub first_seen: String,
}

/// How many graphs' progress was written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotsTaken {
    /// Those that run.
    pub graphs: u64,
}

/// A merge queue that is on hold: no entry is merged, and nothing counts against a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MergeHold {
    /// `target_broken` (the target does not pass its own gates), `target_rewound` (it was moved
    /// other than forward)
    pub reason: String,
    /// Where the target is; absent when the branch was deleted.
    pub tip: Option<String>,
    /// Broken: the last commit that is known to pass. Rewound: where the target was left.
    pub expected: Option<String>,
    /// Broken: the commit since which it does not pass, or the tip when several come into
    /// question. Rewound: the new tip.
    pub commit: Option<String>,
    /// Who made that commit.
    pub author: Option<String>,
    /// For people.
    pub text: String,
    /// The merges that a rewind took away.
    pub lost: Vec<String>,
    /// What a person wants: `follow`, `restore`
    pub decision: Option<String>,
    /// Since when.
    pub since: String,
}

/// What becomes of a merge queue that is on hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldDecision {
    /// The target's project; may be left out when one queue is on hold.
    #[serde(default)]
    pub project: Option<String>,
    /// The target branch; may be left out when one queue is on hold.
    #[serde(default)]
    pub target: Option<String>,
    /// `follow` (what was rewound is open again), `restore` (the target gets back what it had),
    /// `retry` (look again now)
    pub decision: String,
}

/// A branch that is worked on: one that merges go to, or that of a running attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Branch {
    /// `main`, `task/7/e2`
    pub name: String,
    /// `target`, `attempt`
    pub kind: String,
    /// The project's name, of a target.
    pub project: Option<String>,
    /// The repository's address, of a target.
    pub repository: Option<String>,
    /// Where it is, as far as the hub knows.
    pub commit: Option<String>,
    /// The task, of an attempt.
    pub task: Option<i64>,
    /// The agent of an attempt, the hub that merges to a target.
    pub writer: Option<String>,
    /// Entries of its merge queue that wait.
    pub queued: u64,
    /// Entries whose gates run.
    pub testing: u64,
    /// Entries that were merged.
    pub merged: u64,
    /// Its merge queue rests until then.
    pub paused_until: Option<String>,
    /// Why it rests.
    pub reason: Option<String>,
    /// Why its merge queue is on hold.
    #[serde(default)]
    pub hold: Option<MergeHold>,
}

/// Why an entry is thrown out of a merge queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ejection {
    /// One line for people.
    #[serde(default)]
    pub reason: String,
}

/// A deploy run says where it is; a later report takes the place of an earlier one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunReport {
    /// Its id.
    pub id: String,
    /// What it deploys to.
    pub environment: String,
    /// `running`, `verified`, or why it stopped.
    pub state: String,
    /// What it deploys.
    #[serde(default)]
    pub commit: Option<String>,
    /// How often it went round.
    #[serde(default)]
    pub iterations: u32,
    /// One line for people.
    #[serde(default)]
    pub summary: String,
    /// The report, in Markdown; redacted by who sends it.
    #[serde(default)]
    pub report: String,
}

/// A deploy run in the hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// What it deploys to.
    pub environment: String,
    /// `running`, `verified`, or why it stopped.
    pub state: String,
    /// What it deploys.
    pub commit: Option<String>,
    /// How often it went round.
    pub iterations: u32,
    /// One line for people.
    pub summary: String,
    /// The report, in Markdown; empty in lists.
    pub report: String,
    /// First reported.
    pub started_at: String,
    /// Last reported.
    pub updated_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// Whether the hub can do its work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`; `degraded` when something is away that it can do without; `down`
    pub status: String,
    /// The database: `ok`, `down`
    pub store: String,
    /// Wake-ups from the database: `ok`, `down`, `off`
    pub notifications: String,
    /// Wake-ups over Redis: `ok`, `down`, `off`
    pub redis: String,
    /// Of greenloop.
    pub version: String,
    /// Since it was started.
    pub uptime_seconds: u64,
    /// What it relies on, one by one.
    pub dependencies: Vec<Dependency>,
}

/// Something that the hub relies on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Dependency {
    /// `sqlite`, `postgres`, `notifications`, `redis`
    pub name: String,
    /// `ok`, `down`
    pub status: String,
    /// Whether the hub can do its work without it, only more slowly.
    pub optional: bool,
    /// Why it is down.
    pub detail: Option<String>,
    /// How long it took to answer.
    pub latency_ms: Option<f64>,
}

/// What a live connection says beside events: over WebSocket as a message of its own, in a
/// stream of events as the event of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveNote {
    /// `gap`: events between the one asked for and the next one are not kept any more; read what
    /// matters again. `bye`: the hub ends the connection.
    pub note: String,
    /// Of a `bye`: `slow`, `shutdown`, `revoked`, `unavailable`
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Go on after this event.
    pub after: i64,
}

/// A problem after RFC 9457 (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:greenloop:problem:stale-lease`, `…:not-found`, `…:conflict`, `…:invalid`,
    /// `…:malformed`, `…:unauthorised`, `…:forbidden`, `…:method-not-allowed`, `…:misdirected`,
    /// `…:too-large`, `…:unsupported-media-type`, `…:too-many-requests`, `…:timeout`,
    /// `…:unavailable`, `…:internal`
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of the type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do.
    pub detail: String,
}
