//! What Prometheus reads. Counts of tasks and agents are asked of the store when it does: with
//! several hubs on one store each says the same, so take `max by`, not `sum`.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Api;
use super::claim_queue::FoundBy;
use crate::store::{StoreError, TaskCount};
use greenloop_hub_api::types::Event;
use greenloop_model::task::{AgentState, TaskEventKind, TaskState};

/// What the answer to a scrape is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds: from a read out of memory to a claim that waits for a minute.
const BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 60.0];

type LevelGauge = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabels {
    role: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    path: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PathLabels {
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LiveLabels {
    transport: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FoundLabels {
    found: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// All figures of one hub.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    pending: Family<RoleLabels, Gauge>,
    running: Family<RoleLabels, Gauge>,
    tasks: Family<StateLabels, Gauge>,
    agents: Family<StateLabels, Gauge>,
    attempts: Family<OutcomeLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    latency: Family<PathLabels, Histogram, fn() -> Histogram>,
    live: Family<LiveLabels, Gauge>,
    dropped: Family<ReasonLabels, Counter>,
    waiting: Gauge,
    claims: Family<FoundLabels, Counter>,
    lag: LevelGauge,
    latest: Gauge,
    /// Roles that were seen once: they are said to have nothing when they have nothing.
    roles: Mutex<BTreeSet<String>>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let mut own = Self {
            registry: Registry::with_prefix("greenloop"),
            pending: Family::default(),
            running: Family::default(),
            tasks: Family::default(),
            agents: Family::default(),
            attempts: Family::default(),
            requests: Family::default(),
            latency: Family::new_with_constructor(histogram),
            live: Family::default(),
            dropped: Family::default(),
            waiting: Gauge::default(),
            claims: Family::default(),
            lag: LevelGauge::default(),
            latest: Gauge::default(),
            roles: Mutex::default(),
        };
        let to = &mut own.registry;
        to.register("tasks_pending", "Tasks that can be claimed", own.pending.clone());
        to.register("tasks_running", "Tasks that an agent is working on", own.running.clone());
        to.register("tasks", "Tasks of running graphs, by state", own.tasks.clone());
        to.register("agents", "Agents by state", own.agents.clone());
        to.register("attempts", "Attempts ended since this hub was started", own.attempts.clone());
        to.register("http_requests", "Requests answered", own.requests.clone());
        to.register("http_request_duration_seconds", "Duration of requests", own.latency.clone());
        to.register("live_connections", "Connections that follow events", own.live.clone());
        to.register("live_dropped", "Followers that the hub dropped", own.dropped.clone());
        to.register("claims_waiting", "Agents waiting for work", own.waiting.clone());
        to.register("claims", "Claims that received a task", own.claims.clone());
        to.register(
            "outbox_lag_seconds",
            "Delay between the latest event and its sending by this hub",
            own.lag.clone(),
        );
        to.register(
            "outbox_latest_event",
            "Id of the latest event that was sent",
            own.latest.clone(),
        );
        own
    }

    /// A request was answered.
    pub(super) fn request(&self, method: &Method, path: &str, status: u16, took: Duration) {
        let method = match *method {
            Method::GET | Method::HEAD | Method::POST | Method::OPTIONS => method.as_str(),
            _ => "other",
        };
        let labels = RequestLabels { method: method.to_owned(), path: path.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
        let labels = PathLabels { path: path.to_owned() };
        self.latency.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Somebody follows events until the answer is dropped.
    pub(super) fn follower(&self, transport: &'static str) -> LiveGuard {
        let gauge = self.live.get_or_create_owned(&LiveLabels { transport });
        gauge.inc();
        LiveGuard(gauge)
    }

    /// A claim was given a task.
    pub(super) fn claimed(&self, found: FoundBy) {
        self.claims.get_or_create(&FoundLabels { found: found.name() }).inc();
    }

    /// A follower was dropped by the hub.
    pub(super) fn dropped(&self, reason: &'static str) {
        self.dropped.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// An event was read from the outbox.
    pub(super) fn happened(&self, event: &Event) {
        let lag = jiff::Timestamp::now().as_microsecond().saturating_sub(event.at.0);
        self.lag.set(Duration::from_micros(lag.max(0).cast_unsigned()).as_secs_f64());
        self.latest.set(event.id.0);
        let outcome = match event.kind {
            // A task that merges was reported as a success before.
            TaskEventKind::TaskDone if event.merge.is_none() => "succeeded",
            TaskEventKind::TaskMerging => "succeeded",
            TaskEventKind::TaskRetry | TaskEventKind::TaskFailed => "failed",
            TaskEventKind::TaskLost => "lost",
            TaskEventKind::TaskCancelled if event.epoch.is_some() => "cancelled",
            TaskEventKind::MergeEjected => "ejected",
            _ => return,
        };
        self.attempts.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    fn count_tasks(&self, counts: &[TaskCount]) {
        let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        // Without any task there is a figure as well: to Prometheus, none is an error, and nothing is
        // scaled down.
        roles.insert(String::new());
        roles.extend(counts.iter().map(|it| it.role.clone().unwrap_or_default()));
        let in_state = |state: TaskState, role: Option<&str>| -> i64 {
            let counted: u64 = counts
                .iter()
                .filter(|it| it.state == state)
                .filter(|it| role.is_none_or(|role| it.role.as_deref().unwrap_or("") == role))
                .map(|it| it.tasks)
                .sum();
            i64::try_from(counted).unwrap_or(i64::MAX)
        };
        for role in roles.iter() {
            for (state, family) in
                [(TaskState::Ready, &self.pending), (TaskState::Running, &self.running)]
            {
                let labels = RoleLabels { role: role.clone(), state: state.name() };
                family.get_or_create(&labels).set(in_state(state, Some(role)));
            }
        }
        for state in TaskState::ALL.iter().copied().filter(|it| !it.is_final()) {
            let labels = StateLabels { state: state.name() };
            self.tasks.get_or_create(&labels).set(in_state(state, None));
        }
    }
}

/// Everything, as Prometheus reads it.
pub(super) async fn render(api: &Api) -> Result<String, StoreError> {
    let metrics = &api.metrics;
    metrics.count_tasks(&api.store.task_counts().await?);
    let agents = api.store.agents().await?;
    for state in AgentState::ALL {
        let count = agents.iter().filter(|it| it.state == *state).count();
        let labels = StateLabels { state: state.name() };
        metrics.agents.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    metrics.waiting.set(i64::try_from(api.claims.waiting()).unwrap_or(i64::MAX));
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _infallible = encode(&mut text, &metrics.registry);
    Ok(text)
}

/// Counts a connection for as long as it is there.
#[derive(Debug)]
pub(super) struct LiveGuard(Gauge);

impl Drop for LiveGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_without_tasks_is_said_to_have_none() {
        let metrics = Metrics::new();
        let count =
            |tasks| TaskCount { role: Some("backend".to_owned()), state: TaskState::Ready, tasks };
        metrics.count_tasks(&[count(3)]);
        let read = |metrics: &Metrics| {
            let mut text = String::new();
            encode(&mut text, &metrics.registry).unwrap();
            text
        };
        let line = |n| format!("greenloop_tasks_pending{{role=\"backend\",state=\"ready\"}} {n}\n");
        assert!(read(&metrics).contains(&line(3)), "{}", read(&metrics));
        metrics.count_tasks(&[]);
        assert!(read(&metrics).contains(&line(0)), "{}", read(&metrics));
    }

    #[test]
    fn connections_are_counted_while_they_are_there() {
        let metrics = Metrics::new();
        let one = metrics.follower("sse");
        let labels = LiveLabels { transport: "sse" };
        assert_eq!(metrics.live.get_or_create_owned(&labels).get(), 1);
        drop(one);
        assert_eq!(metrics.live.get_or_create_owned(&labels).get(), 0);
    }
}
