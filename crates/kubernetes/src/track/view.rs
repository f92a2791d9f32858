//! All that is known of a rollout at one moment: what the watches brought, and when.
//!
//! Times are counted from the beginning of the tracking by the tracker's own clock, so that a
//! cluster whose clocks are off is judged like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Event, Pod,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::crash::{Crash, CrashLog};
use super::object::{Followed, Object};
use super::{Workload, WorkloadKind};

/// Events kept.
const MOST_EVENTS: usize = 2000;
/// Crashes kept of one container.
const MOST_CRASHES: usize = 6;

/// The snapshot that is judged.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) followed: Vec<Followed>,
    pub(super) pods: BTreeMap<String, SeenPod>,
    pub(super) replica_sets: BTreeMap<String, ReplicaSet>,
    pub(super) revisions: BTreeMap<String, ControllerRevision>,
    pub(super) events: BTreeMap<String, SeenEvent>,
    /// By pod uid and container, oldest first.
    pub(super) crashes: BTreeMap<(String, String), Vec<Crash>>,
    /// By pod uid and container, oldest first.
    pub(super) port_looks: BTreeMap<(String, String), Vec<PortLook>>,
    /// Since when a sign has been there without a break, by rule and subject.
    pub(super) since: BTreeMap<(&'static str, String), Duration>,
    /// Since when everything has been available, and the pods' restarts at that moment.
    pub(super) available: Option<(Duration, i64)>,
    /// How often a container died after everything had been available.
    pub(super) relapses: u32,
    /// The last looks at the logs of containers that run, by pod uid and container.
    pub(super) tails: BTreeMap<(String, String), LogTail>,
    /// Names that other objects of the release are there to make.
    pub(super) promised: BTreeSet<String>,
    /// Whether a later wave brings something that may make other objects: a Job, or an object
    /// whose controller does.
    pub(super) makers_to_come: bool,
}

/// What the last look at a log showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogTail {
    pub(super) at: Duration,
    /// The line that says what it waits for.
    pub(super) waits: Option<String>,
}

/// A pod, and what the tracker remembers of it.
#[derive(Debug, Clone)]
pub(super) struct SeenPod {
    pub(super) pod: Pod,
    /// The workload whose watch brought it.
    scope: usize,
    pub(super) containers: BTreeMap<String, SeenContainer>,
}

/// What the tracker remembers of a container.
#[derive(Debug, Clone, Default)]
pub(super) struct SeenContainer {
    /// Restarts from before the tracking, of a container that was healthy when it began.
    pub(super) old_restarts: i32,
    /// A termination from before the tracking.
    old_crash: Option<String>,
    /// The restart count, and since when a container of that count has been running and started.
    pub(super) running: Option<(i32, Duration)>,
    /// The last message that said why the image cannot be pulled.
    pub(super) pull: Option<String>,
    /// How often a pull has been seen to fail.
    pub(super) pulls: u32,
    pulling_failed: bool,
    /// The restart count, and since when a container of that count has been running, whether its
    /// startup probe has passed or not.
    pub(super) run: Option<(i32, Duration)>,
    /// The longest of its runs that have ended.
    pub(super) longest: Duration,
    /// When it first did what it is for: became ready, or ended well.
    pub(super) gained: Option<Duration>,
    ended_well: bool,
    /// Whether it was well when the tracking began, of a workload that this run did not change.
    pub(super) old: bool,
}

/// An event.
#[derive(Debug, Clone)]
pub(super) struct SeenEvent {
    pub(super) event: Event,
    /// Whether it was already there when the tracking began, and has not come again.
    pub(super) old: bool,
}

/// What a look at a pod's ports through a port-forward showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PortLook {
    pub(super) at: Duration,
    pub(super) open: BTreeSet<u16>,
    pub(super) refused: BTreeSet<u16>,
}

/// What a watch brought.
#[derive(Debug, Clone)]
pub(super) enum Change<K> {
    /// All there are.
    Listed(Vec<K>),
    /// A new or changed one.
    Applied(K),
    /// One that is gone.
    Gone(K),
}

impl View {
    pub(super) fn new(workloads: &[Workload]) -> Self {
        Self {
            followed: workloads.iter().cloned().map(Followed::new).collect(),
            pods: BTreeMap::new(),
            replica_sets: BTreeMap::new(),
            revisions: BTreeMap::new(),
            events: BTreeMap::new(),
            crashes: BTreeMap::new(),
            port_looks: BTreeMap::new(),
            since: BTreeMap::new(),
            available: None,
            relapses: 0,
            tails: BTreeMap::new(),
            promised: BTreeSet::new(),
            makers_to_come: false,
        }
    }

    /// Another workload to follow; gives its place.
    pub(super) fn add(&mut self, workload: &Workload) -> usize {
        self.followed.push(Followed::new(workload.clone()));
        self.followed.len() - 1
    }

    /// News of the workload at `scope`.
    pub(super) fn see_object(&mut self, scope: usize, change: Change<Object>) {
        let Some(followed) = self.followed.get_mut(scope) else { return };
        let ours = |object: &Object| {
            object.meta().name.as_deref() == Some(followed.workload.name.as_str())
        };
        match change {
            Change::Listed(objects) => match objects.into_iter().find(ours) {
                Some(object) => followed.see(object),
                None => followed.lose(),
            },
            Change::Applied(object) => followed.see(object),
            Change::Gone(object) if ours(&object) => followed.lose(),
            Change::Gone(_) => {}
        }
    }

    /// News of the pods of the workload at `scope`.
    pub(super) fn see_pods(&mut self, scope: usize, change: Change<Pod>, now: Duration, old: bool) {
        match change {
            Change::Listed(pods) => {
                let listed: BTreeSet<String> = pods.iter().map(|pod| uid(&pod.metadata)).collect();
                self.pods.retain(|uid, seen| seen.scope != scope || listed.contains(uid));
                for pod in pods {
                    self.see_pod(scope, pod, now, old);
                }
            }
            Change::Applied(pod) => self.see_pod(scope, pod, now, false),
            Change::Gone(pod) => {
                self.pods.remove(&uid(&pod.metadata));
            }
        }
    }

    fn see_pod(&mut self, scope: usize, mut pod: Pod, now: Duration, old: bool) {
        pod.metadata.managed_fields = None;
        let uid = uid(&pod.metadata);
        let known = self.pods.remove(&uid);
        let first = known.is_none();
        let mut containers = known.map(|known| known.containers).unwrap_or_default();
        let changed = self.followed.get(scope).is_none_or(|followed| followed.workload.changed);
        for (status, _) in statuses(&pod) {
            let seen = containers.entry(status.name.clone()).or_default();
            if first && old && status.ready {
                seen.old = !changed;
                seen.old_restarts = status.restart_count;
                seen.old_crash = status
                    .last_state
                    .as_ref()
                    .and_then(|state| termination_id(state, status.restart_count - 1));
            }
            seen.see(status, now);
            seen.see_run(status, now);
        }
        let job = self.followed.get(scope).map(|followed| followed.workload.kind)
            == Some(WorkloadKind::Job);
        for crash in crashes(&pod, job, now) {
            let seen = containers.get(&crash.container);
            if seen.and_then(|seen| seen.old_crash.as_ref()) == Some(&crash.id) {
                continue;
            }
            let of_container =
                self.crashes.entry((uid.clone(), crash.container.clone())).or_default();
            if of_container.len() < MOST_CRASHES
                && of_container.iter().all(|known| known.id != crash.id)
            {
                of_container.push(crash);
            }
        }
        self.pods.insert(uid, SeenPod { pod, scope, containers });
    }

    /// News of ReplicaSets.
    pub(super) fn see_replica_sets(&mut self, change: Change<ReplicaSet>) {
        see(&mut self.replica_sets, change, |set| uid(&set.metadata));
    }

    /// News of ControllerRevisions.
    pub(super) fn see_revisions(&mut self, change: Change<ControllerRevision>) {
        see(&mut self.revisions, change, |revision| uid(&revision.metadata));
    }

    /// News of events. `old` for those that were there when the tracking began.
    pub(super) fn see_events(&mut self, change: Change<Event>, old: bool) {
        match change {
            Change::Listed(events) => events.into_iter().for_each(|event| {
                let known = self.events.get(&uid(&event.metadata));
                let again = known.is_some_and(|known| times(&known.event) < times(&event));
                let old = old || known.is_some_and(|known| known.old && !again);
                self.see_event(event, old);
            }),
            Change::Applied(event) => self.see_event(event, false),
            // They expire; what they said stays said.
            Change::Gone(_) => {}
        }
    }

    fn see_event(&mut self, mut event: Event, old: bool) {
        let about = event.involved_object.name.as_deref().unwrap_or_default();
        let ours = |followed: &Followed| about.starts_with(followed.workload.name.as_str());
        if !self.followed.iter().any(ours) {
            return;
        }
        if self.events.len() >= MOST_EVENTS {
            self.events
                .retain(|_, seen| !seen.old && seen.event.type_.as_deref() != Some("Normal"));
        }
        if self.events.len() < MOST_EVENTS {
            event.metadata.managed_fields = None;
            self.events.insert(uid(&event.metadata), SeenEvent { event, old });
        }
    }

    /// The events about the object of that uid.
    pub(super) fn events_about<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a SeenEvent> {
        let about = move |seen: &&SeenEvent| seen.event.involved_object.uid.as_deref() == Some(uid);
        self.events.values().filter(about)
    }

    /// The crashes of a container, oldest first.
    pub(super) fn crashes_of(&self, pod_uid: &str, container: &str) -> &[Crash] {
        let key = (pod_uid.to_owned(), container.to_owned());
        self.crashes.get(&key).map(Vec::as_slice).unwrap_or_default()
    }

    /// What a crash's log said.
    pub(super) fn see_log(&mut self, pod_uid: &str, container: &str, id: &str, log: CrashLog) {
        let key = (pod_uid.to_owned(), container.to_owned());
        let crashes = self.crashes.get_mut(&key).into_iter().flatten();
        if let Some(crash) = crashes.into_iter().find(|crash| crash.id == id) {
            crash.log = log;
        }
    }
}

impl SeenContainer {
    /// Keeps its runs, and when it first did what it is for.
    fn see_run(&mut self, status: &ContainerStatus, now: Duration) {
        let state = status.state.as_ref();
        let runs = state.is_some_and(|state| state.running.is_some());
        let before = self.run;
        self.run = match before {
            Some((count, since)) if runs && count == status.restart_count => Some((count, since)),
            _ if runs => Some((status.restart_count, now)),
            _ => None,
        };
        if let Some((_, since)) = before.filter(|before| self.run != Some(*before)) {
            self.longest = self.longest.max(now.saturating_sub(since));
        }
        let ended_well = state
            .and_then(|state| state.terminated.as_ref())
            .is_some_and(|terminated| terminated.exit_code == 0);
        let first = status.ready && self.gained.is_none() || ended_well && !self.ended_well;
        if first && !self.old {
            self.gained = Some(now);
        }
        self.ended_well |= ended_well;
    }

    fn see(&mut self, status: &ContainerStatus, now: Duration) {
        let state = status.state.as_ref();
        let runs =
            state.is_some_and(|state| state.running.is_some()) && status.started != Some(false);
        self.running = match self.running {
            Some((count, since)) if runs && count == status.restart_count => Some((count, since)),
            _ if runs => Some((status.restart_count, now)),
            _ => None,
        };
        let waiting = state.and_then(|state| state.waiting.as_ref());
        let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
        let failed = reason == "ErrImagePull";
        if failed && !self.pulling_failed {
            self.pulls += 1;
        }
        self.pulling_failed = failed;
        let message = waiting.and_then(|waiting| waiting.message.clone());
        if failed && message.is_some() {
            self.pull = message;
        }
    }
}

fn see<K>(known: &mut BTreeMap<String, K>, change: Change<K>, key: impl Fn(&K) -> String) {
    match change {
        // Several watches feed one map, each with objects of its own workload: what a list
        // leaves out is told apart by its owner, and an object too many does no harm.
        Change::Listed(all) => known.extend(all.into_iter().map(|object| (key(&object), object))),
        Change::Applied(object) => {
            known.insert(key(&object), object);
        }
        Change::Gone(object) => {
            known.remove(&key(&object));
        }
    }
}

/// `metadata.uid`; the name where a server gives none.
pub(super) fn uid(meta: &ObjectMeta) -> String {
    meta.uid.clone().or_else(|| meta.name.clone()).unwrap_or_default()
}

/// How often an event has come.
pub(super) fn times(event: &Event) -> i32 {
    let series = event.series.as_ref().and_then(|series| series.count);
    event.count.or(series).unwrap_or(1).max(1)
}

/// The uid of the controller that owns the object.
pub(super) fn owner(meta: &ObjectMeta) -> Option<&str> {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    let controller = owners.iter().find(|owner| owner.controller == Some(true));
    controller.or(owners.first()).map(|owner| owner.uid.as_str())
}

/// The statuses of all containers, init containers first; `true` for those.
pub(super) fn statuses(pod: &Pod) -> impl Iterator<Item = (&ContainerStatus, bool)> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let main = status.and_then(|status| status.container_statuses.as_ref());
    let init = init.into_iter().flatten().map(|status| (status, true));
    init.chain(main.into_iter().flatten().map(|status| (status, false)))
}

/// Whether the pod is being deleted.
pub(super) fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Why the cluster took the pod down, when it did.
pub(super) fn disruption(pod: &Pod) -> Option<(String, String)> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let target = conditions
        .iter()
        .find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True");
    if let Some(reason) = status.reason.clone() {
        return Some((reason, status.message.clone().unwrap_or_default()));
    }
    target.map(|target| ("DisruptionTarget".to_owned(), target.message.clone().unwrap_or_default()))
}

/// Whether the init container of that name goes on running beside the others.
pub(super) fn is_sidecar(pod: &Pod, name: &str) -> bool {
    let containers = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_ref());
    containers.into_iter().flatten().any(|container| {
        container.name == name && container.restart_policy.as_deref() == Some("Always")
    })
}

fn termination_id(state: &ContainerState, restarts: i32) -> Option<String> {
    let terminated = state.terminated.as_ref()?;
    let id = terminated.container_id.clone().filter(|id| !id.is_empty());
    id.or_else(|| {
        let finished = terminated.finished_at.as_ref().map(|time| time.0.to_string());
        Some(format!("{restarts} {}", finished.unwrap_or_default()))
    })
}

/// How long a run that has ended lasted, by the cluster's clock, which says whole seconds.
fn lasted(terminated: &ContainerStateTerminated) -> Duration {
    let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
    let lasted = time(&terminated.started_at)
        .zip(time(&terminated.finished_at))
        .map(|(started, finished)| finished.duration_since(started));
    lasted.and_then(|lasted| Duration::try_from(lasted).ok()).unwrap_or_default()
}

/// The terminations that the pod's status shows and that are no proper end, oldest first.
fn crashes(pod: &Pod, job: bool, now: Duration) -> Vec<Crash> {
    if is_terminating(pod) || disruption(pod).is_some() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (status, init) in statuses(pod) {
        let may_end = job || init && !is_sidecar(pod, &status.name);
        for (state, restarts) in [
            (status.last_state.as_ref(), status.restart_count - 1),
            (status.state.as_ref(), status.restart_count),
        ] {
            let Some(state) = state else { continue };
            let (Some(terminated), Some(id)) =
                (state.terminated.as_ref(), termination_id(state, restarts))
            else {
                continue;
            };
            if may_end && terminated.exit_code == 0 {
                continue;
            }
            found.push(Crash {
                id,
                pod_uid: uid(&pod.metadata),
                pod: pod.metadata.name.clone().unwrap_or_default(),
                namespace: pod.metadata.namespace.clone().unwrap_or_default(),
                container: status.name.clone(),
                exit_code: terminated.exit_code,
                signal: terminated.signal,
                reason: terminated.reason.clone().unwrap_or_default(),
                message: terminated.message.clone().unwrap_or_default(),
                began: now.saturating_sub(lasted(terminated) + Duration::from_secs(1)),
                lasted: lasted(terminated),
                log: CrashLog::Unread,
            });
        }
    }
    found
}
