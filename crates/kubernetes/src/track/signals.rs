//! Signs of trouble, read off a [`View`]: each with the row of the rule table that it fits.
//!
//! Only pods of the revision that this run wrote give signs, but for a StatefulSet whose
//! controller waits for a broken pod of an earlier one.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};

use super::WorkloadKind;
use super::cause::Cause;
use super::crash::{self, Crash, CrashLog};
use super::movement;
use super::object::Object;
use super::probe;
use super::rule::{Deferral, Source, contains};
use super::rules::find;
use super::signal::Signal;
use super::view::{
    SeenContainer, SeenEvent, SeenPod, View, disruption, is_sidecar, statuses, times,
};
use super::workload_status::is_ready;
use greenloop_model::FailureClass;

/// Pods of one workload whose crash logs are read.
const READ_PODS: usize = 4;

/// The signs that the view shows at `now`.
pub(super) fn signals(view: &View, now: Duration) -> Vec<Signal> {
    let mut found = Vec::new();
    for scope in 0..view.followed.len() {
        Reader { view, scope, found: &mut found }.read();
    }
    let deferrals: Vec<(bool, Option<Duration>)> =
        found.iter().map(|signal| deferral(view, &found, signal, now)).collect();
    for (signal, (held, from)) in found.iter_mut().zip(deferrals) {
        signal.held |= held;
        signal.from = from;
    }
    found
}

/// Whether something else in the release can still change the sign, and from when on its age
/// counts.
fn deferral(
    view: &View,
    found: &[Signal],
    signal: &Signal,
    now: Duration,
) -> (bool, Option<Duration>) {
    match signal.rule.deferral {
        Deferral::None => (false, None),
        Deferral::Made => {
            let named = view.promised.iter().any(|object| contains(&signal.message, object));
            (named || movement::job_is_at_work(view, found, signal.scope), None)
        }
        Deferral::Moving => {
            let asking = movement::Asking {
                scope: signal.scope,
                pod_uid: signal.pod.as_ref().map(|(uid, _)| uid.as_str()).unwrap_or_default(),
                container: signal.container.as_deref().unwrap_or_default(),
                waits: signal.waits,
            };
            let beside = movement::beside(view, found, &asking, now);
            let rested = beside.last.is_none_or(|last| signal.began.is_none_or(|at| at >= last));
            (beside.now || !rested, beside.last)
        }
    }
}

/// Reads the signs of one workload.
struct Reader<'a> {
    view: &'a View,
    scope: usize,
    found: &'a mut Vec<Signal>,
}

/// A container, with all that there is about it.
struct Part<'a> {
    uid: &'a str,
    pod: &'a Pod,
    status: &'a ContainerStatus,
    spec: Option<&'a Container>,
    seen: &'a SeenContainer,
}

impl Reader<'_> {
    fn read(&mut self) {
        let Some(object) =
            self.view.followed.get(self.scope).and_then(|followed| followed.object.as_ref())
        else {
            return;
        };
        if !object.is_observed() {
            return;
        }
        match object {
            Object::Deployment(object) => self.deployment(object),
            Object::StatefulSet(_) => self.stuck_pod(),
            Object::DaemonSet(_) => {}
            Object::Job(object) => self.job(object),
        }
        self.creation(object);
        let view = self.view;
        for (uid, seen) in view.new_pods(self.scope) {
            self.pod(uid, seen);
        }
    }

    /// The rest of a sign about the workload itself.
    fn about_workload(&mut self, source: Source, reason: &str, message: &str) {
        self.add(source, reason, message, |_| {});
    }

    fn add(&mut self, source: Source, reason: &str, message: &str, fill: impl FnOnce(&mut Signal)) {
        let Some(rule) = find(source, reason, message) else { return };
        let mut signal = Signal {
            rule,
            scope: self.scope,
            pod: None,
            container: None,
            image: String::new(),
            message: message.to_owned(),
            count: 1,
            window: Duration::ZERO,
            since: None,
            log_class: None,
            nodes: String::new(),
            waits: false,
            cause: Cause::Unclear,
            began: None,
            held: false,
            from: None,
        };
        fill(&mut signal);
        self.found.push(signal);
    }

    fn deployment(&mut self, object: &Deployment) {
        if object.spec.as_ref().and_then(|spec| spec.paused) == Some(true) {
            self.about_workload(Source::Workload, "Paused", "");
        }
        let conditions = object.status.as_ref().and_then(|status| status.conditions.as_ref());
        for condition in conditions.into_iter().flatten() {
            let reason = condition.reason.as_deref().unwrap_or_default();
            let message = condition.message.as_deref().unwrap_or_default();
            if condition.type_ == "Progressing" && condition.status == "False" {
                self.about_workload(Source::Workload, reason, message);
            }
        }
    }

    fn job(&mut self, object: &Job) {
        if object.spec.as_ref().and_then(|spec| spec.suspend) == Some(true) {
            self.about_workload(Source::Workload, "Suspended", "");
        }
        self.tries(object);
        let conditions = object.status.as_ref().and_then(|status| status.conditions.as_ref());
        let failed = conditions.into_iter().flatten().find(|condition| {
            // `FailureTarget` comes first, while pods are still being taken down.
            matches!(condition.type_.as_str(), "FailureTarget" | "Failed")
                && condition.status == "True"
        });
        let Some(failed) = failed else { return };
        let message = failed.message.as_deref().unwrap_or_default();
        let reason = failed.reason.as_deref().unwrap_or_default();
        let known = find(Source::Workload, reason, message).is_some();
        let told = self.last_crash().map(|(crash, class)| {
            let told = crash.describe();
            let why = if told.is_empty() { crash.how() } else { told };
            (format!("{message}; {}: {why}", crash.pod), class)
        });
        let (message, class) = told.unwrap_or_else(|| (message.to_owned(), None));
        let reason = if known { reason } else { "JobFailed" };
        self.add(Source::Workload, reason, &message, |signal| signal.log_class = class);
    }

    /// A Job's pods are its tries: what two of them say is compared as the crashes of one
    /// container are elsewhere. How many may fail is for the Job's own limit to say.
    fn tries(&mut self, object: &Job) {
        let view = self.view;
        let limit = object.spec.as_ref().and_then(|spec| spec.backoff_limit).unwrap_or(6);
        let mut pods: Vec<(&String, &SeenPod)> = view.new_pods(self.scope).collect();
        pods.sort_by_key(|(_, seen)| {
            let meta = &seen.pod.metadata;
            (meta.creation_timestamp.as_ref().map(|time| time.0), meta.name.clone())
        });
        let mut of_containers: BTreeMap<&str, Vec<&Crash>> = BTreeMap::new();
        for (uid, seen) in pods.into_iter().filter(|(_, seen)| disruption(&seen.pod).is_none()) {
            for name in seen.containers.keys() {
                let crashes = view.crashes_of(uid, name).iter().filter(|c| !c.is_start_error());
                of_containers.entry(name).or_default().extend(crashes);
            }
        }
        for (container, crashes) in of_containers {
            let Some(amount) = crash::amount(&crashes) else { continue };
            let Some(last) = crashes.last() else { continue };
            // How often a Job may try is for its own limit to say; but that it waits for somebody
            // else, and has tries left, is a sign. So are two deaths that say nothing of why, in
            // the same words or not.
            let cause = last.cause();
            let limited = match amount.reason {
                "Unclear" | "Waits" => true,
                "SameWords" => cause == Cause::Unclear,
                _ => false,
            };
            let waits = match cause {
                Cause::Waits("connection" | "name" | "starting-up") => true,
                Cause::Unclear => crashes.len() > 1,
                Cause::Waits(_) | Cause::Lasts(_) | Cause::Likely(_) => false,
            };
            let tries_left = i32::try_from(crashes.len()).is_ok_and(|tries| tries <= limit);
            if limited && !(waits && tries_left) {
                continue;
            }
            let of_pod = (last.pod_uid.clone(), last.pod.clone());
            self.add(Source::Crash, amount.reason, &amount.message, |signal| {
                signal.pod = Some(of_pod);
                signal.container = Some(container.to_owned());
                signal.count = amount.count;
                signal.log_class = log_class(Some(last));
                signal.began = Some(last.began);
                signal.cause = cause;
                signal.waits = limited;
                signal.held = limited;
            });
        }
    }

    /// The newest crash in the workload's new pods whose log has been read.
    fn last_crash(&self) -> Option<(&Crash, Option<FailureClass>)> {
        let crashes = self.view.new_pods(self.scope).filter_map(|(uid, seen)| {
            seen.containers.keys().rev().find_map(|name| self.view.crashes_of(uid, name).last())
        });
        let crash = crashes.last()?;
        Some((crash, log_class(Some(crash))))
    }

    /// Pods that are refused: as the conditions of the Deployment and its ReplicaSet say, or, for
    /// the kinds that have none, as events do while no pod is there.
    fn creation(&mut self, object: &Object) {
        let view = self.view;
        let mut said: Vec<String> = Vec::new();
        if let (Object::Deployment(deployment), Some(followed)) =
            (object, view.followed.get(self.scope))
        {
            let set = view.new_replica_set(followed).and_then(|uid| view.replica_sets.get(uid));
            let of_set = set.and_then(|set| set.status.as_ref()?.conditions.as_ref());
            said.extend(of_set.into_iter().flatten().filter_map(|condition| {
                let fails = condition.type_ == "ReplicaFailure" && condition.status == "True";
                fails.then(|| condition.message.clone()).flatten()
            }));
            let of_deployment =
                deployment.status.as_ref().and_then(|status| status.conditions.as_ref());
            // It may still be that of an earlier ReplicaSet as long as the new one says nothing
            // and has all its pods.
            let wanted = set.and_then(|set| set.spec.as_ref()?.replicas).unwrap_or(0);
            let made = set.and_then(|set| set.status.as_ref()).map_or(0, |status| status.replicas);
            said.extend(of_deployment.into_iter().flatten().filter_map(|condition| {
                let fails = condition.type_ == "ReplicaFailure" && condition.status == "True";
                (fails && made < wanted).then(|| condition.message.clone()).flatten()
            }));
        } else if view.new_pods(self.scope).next().is_none() {
            let refused = view
                .events_about(object.uid())
                .filter(|seen| !seen.old && seen.event.reason.as_deref() == Some("FailedCreate"));
            said.extend(refused.filter_map(|seen| seen.event.message.clone()));
        }
        let going = view.other_pods(self.scope).any(|seen| super::view::is_terminating(&seen.pod));
        for message in said {
            // Pods that are going away give their share of a quota back.
            let quota = find(Source::Create, "FailedCreate", &message)
                .is_some_and(|rule| rule.class == FailureClass::Quota);
            if !(quota && going) {
                self.about_workload(Source::Create, "FailedCreate", &message);
                return;
            }
        }
    }

    /// An ordered StatefulSet whose controller waits for a broken pod of an earlier revision.
    fn stuck_pod(&mut self) {
        let view = self.view;
        let standing = view.workload_status(self.scope);
        if standing.done {
            return;
        }
        let broken = view.other_pods(self.scope).find(|seen| is_stuck(&seen.pod));
        if let Some(seen) = broken {
            let name = seen.pod.metadata.name.clone().unwrap_or_default();
            let message =
                format!("it waits for pod {name} of an earlier revision, which is broken");
            self.about_workload(Source::Workload, "StuckPod", &message);
        }
    }

    fn pod(&mut self, uid: &str, seen: &SeenPod) {
        let pod = &seen.pod;
        let name = pod.metadata.name.clone().unwrap_or_default();
        let of_pod = (uid.to_owned(), name);
        if let Some((reason, message)) = disruption(pod) {
            let before = self.evictions(&reason, &message);
            self.add(Source::Pod, &reason, &message, |signal| {
                signal.pod = Some(of_pod);
                signal.count = before;
            });
            return;
        }
        self.scheduling(uid, pod, &of_pod);
        let mut started = false;
        for (status, init) in statuses(pod) {
            let Some(remembered) = seen.containers.get(&status.name) else { continue };
            started |= has_started(status);
            let spec = probe::container(pod, &status.name);
            let part = Part { uid, pod, status, spec, seen: remembered };
            self.waiting(&part, &of_pod);
            self.crashes(&part, &of_pod);
            self.kills(&part, &of_pod);
            if !init || is_sidecar(pod, &status.name) {
                self.readiness(&part, &of_pod);
            }
        }
        let scheduled = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        if scheduled && !started {
            self.setup(uid, &of_pod);
        }
    }

    /// How many of the workload's pods were evicted for the same kind of reason.
    fn evictions(&self, reason: &str, message: &str) -> u32 {
        let rule = find(Source::Pod, reason, message).map(|rule| rule.id);
        let same = self.view.new_pods(self.scope).filter(|(_, seen)| {
            let told = disruption(&seen.pod);
            told.and_then(|(reason, message)| find(Source::Pod, &reason, &message))
                .map(|rule| rule.id)
                == rule
        });
        u32::try_from(same.count()).unwrap_or(u32::MAX)
    }

    fn scheduling(&mut self, uid: &str, pod: &Pod, of_pod: &(String, String)) {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        let refused = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
        let Some(refused) = refused else { return };
        let scaled = self.view.events_about(uid).find(|seen| {
            matches!(seen.event.reason.as_deref(), Some("TriggeredScaleUp" | "Nominated"))
        });
        let (reason, message) = match scaled {
            Some(seen) => ("ScaleUp", seen.event.message.as_deref()),
            None => (refused.reason.as_deref().unwrap_or_default(), refused.message.as_deref()),
        };
        let of_pod = of_pod.clone();
        let message = message.unwrap_or_default();
        let nodes = message.split_once(" nodes are available").map_or("", |(nodes, _)| nodes);
        self.add(Source::Schedule, reason, message, |signal| {
            signal.pod = Some(of_pod);
            signal.nodes = nodes.to_owned();
        });
    }

    /// Volumes and sandbox of a pod of which nothing has started yet.
    fn setup(&mut self, uid: &str, of_pod: &(String, String)) {
        let warnings = self.view.events_about(uid).filter(|seen| {
            matches!(
                seen.event.reason.as_deref(),
                Some(
                    "FailedMount"
                        | "FailedAttachVolume"
                        | "FailedMapVolume"
                        | "FailedCreatePodSandBox"
                )
            )
        });
        let told: Vec<(String, String)> = warnings
            .map(|seen| {
                let event = &seen.event;
                (
                    event.reason.clone().unwrap_or_default(),
                    event.message.clone().unwrap_or_default(),
                )
            })
            .collect();
        for (reason, message) in told {
            let of_pod = of_pod.clone();
            self.add(Source::Setup, &reason, &message, |signal| signal.pod = Some(of_pod));
        }
    }

    fn waiting(&mut self, part: &Part<'_>, of_pod: &(String, String)) {
        let waiting = part.status.state.as_ref().and_then(|state| state.waiting.as_ref());
        let Some(waiting) = waiting else { return };
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let mut message = waiting.message.clone().unwrap_or_default();
        let mut count = 1;
        let source = match reason {
            "RunContainerError" | "CreateContainerError" | "ContainerCreateFailed" => Source::Start,
            _ => Source::Waiting,
        };
        if matches!(reason, "ErrImagePull" | "ImagePullBackOff") {
            let failed = part.events(self.view, "Failed").filter_map(|seen| {
                let message = seen.event.message.clone()?;
                message.starts_with("Failed to pull image").then_some((times(&seen.event), message))
            });
            let failed: Vec<_> = failed.collect();
            let counted: i32 = failed.iter().map(|(times, _)| *times).sum();
            count = u32::try_from(counted).unwrap_or(1).max(part.seen.pulls);
            // Before 1.31, the back-off does not say what it backs off from.
            let why = part.seen.pull.clone().or_else(|| Some(failed.last()?.1.clone()));
            if reason == "ImagePullBackOff"
                && let Some(why) = why
                && !message.contains("ErrImagePull")
            {
                message = why;
            }
        }
        let image = part.spec.and_then(|spec| spec.image.clone()).unwrap_or_default();
        let container = part.status.name.clone();
        let of_pod = of_pod.clone();
        self.add(source, reason, &message, |signal| {
            signal.pod = Some(of_pod);
            signal.container = Some(container);
            signal.image = image;
            signal.count = count;
        });
    }

    fn crashes(&mut self, part: &Part<'_>, of_pod: &(String, String)) {
        let all = self.view.crashes_of(part.uid, &part.status.name);
        let refused = all.iter().filter(|crash| crash.is_start_error());
        if let Some(last) = all.last().filter(|crash| crash.is_start_error()) {
            let count = u32::try_from(refused.count()).unwrap_or(u32::MAX);
            let (of_pod, container) = (of_pod.clone(), part.status.name.clone());
            self.add(Source::Start, &last.reason, &last.message, |signal| {
                signal.pod = Some(of_pod);
                signal.container = Some(container);
                signal.count = count;
            });
            return;
        }
        if self.view.followed[self.scope].workload.kind == WorkloadKind::Job {
            return;
        }
        // What the kubelet itself took down is judged by its probe.
        let kills = part.kills(self.view, "liveness") + part.kills(self.view, "startup");
        let own = all.len().saturating_sub(usize::try_from(kills).unwrap_or(usize::MAX));
        let own: Vec<&Crash> = all.iter().take(own).collect();
        let Some(mut amount) = crash::amount(&own) else { return };
        if matches!(amount.reason, "Unclear" | "Waits") {
            // Restarts whose terminations were never seen, of a container that was in trouble
            // before the tracking began or while the API server was away.
            let restarts = u32::try_from(part.status.restart_count - part.seen.old_restarts)
                .unwrap_or(0)
                .saturating_sub(kills);
            amount.count = amount.count.max(restarts);
        }
        let class = log_class(own.last().copied());
        let of_pod = of_pod.clone();
        let container = part.status.name.clone();
        let certain = matches!(amount.reason, "SameCause" | "CannotRun" | "OutOfMemory");
        let shared = movement::shared_folders(part.pod, &part.status.name);
        let waits = amount.reason == "Waits" || own.last().is_some_and(|last| last.names(&shared));
        let cause = own.last().map_or(Cause::Unclear, |last| last.cause());
        self.add(Source::Crash, amount.reason, &amount.message, |signal| {
            signal.pod = Some(of_pod);
            signal.container = Some(container);
            signal.count = amount.count;
            signal.log_class = class;
            signal.waits = waits;
            signal.began = own.last().map(|crash| crash.began);
            signal.cause = cause;
            signal.held = !certain && crash::gets_further(&own);
        });
    }

    fn kills(&mut self, part: &Part<'_>, of_pod: &(String, String)) {
        for (word, reason) in [("liveness", "Liveness"), ("startup", "Startup")] {
            let count = part.kills(self.view, word);
            if count == 0 {
                continue;
            }
            let start = format!("{reason} probe");
            let why = part.unhealthy(self.view, &start).and_then(|seen| seen.event.message.clone());
            let last = self.view.crashes_of(part.uid, &part.status.name).last();
            let class = log_class(last);
            let (of_pod, container) = (of_pod.clone(), part.status.name.clone());
            self.add(Source::Kill, reason, &why.unwrap_or(start), |signal| {
                signal.pod = Some(of_pod);
                signal.container = Some(container);
                signal.count = count;
                signal.log_class = class;
                signal.cause = last.map_or(Cause::Unclear, Crash::cause);
                signal.waits = matches!(signal.cause, Cause::Waits(_));
                signal.began = last.map(|last| last.began);
            });
        }
    }

    fn readiness(&mut self, part: &Part<'_>, of_pod: &(String, String)) {
        let Some((_, since)) = part.seen.running.filter(|_| !part.status.ready) else { return };
        let Some(spec) = part.spec else { return };
        let Some(readiness) = spec.readiness_probe.as_ref() else { return };
        let said = part.unhealthy(self.view, "Readiness probe");
        let mut message = said.and_then(|seen| seen.event.message.clone()).unwrap_or_default();
        let mut reason = match message.as_str() {
            "" => "Silent",
            said if said.starts_with("Readiness probe errored") => "Errored",
            said if said.contains("OCI runtime exec failed") => "Errored",
            said if said.contains("statuscode:") => "Status",
            said if said.contains("connection refused") => "Refused",
            _ => "Failed",
        };
        if reason == "Refused"
            && let Some(port) = probe::readiness_port(spec)
            && let Some((certain, words)) = self.certain(part, port, probe::period(readiness))
        {
            reason = certain;
            message = words;
        }
        if message.is_empty() {
            message = "its readiness probe has not succeeded".to_owned();
        }
        let (of_pod, container) = (of_pod.clone(), part.status.name.clone());
        let log_class = log_class(self.view.crashes_of(part.uid, &part.status.name).last());
        self.add(Source::Probe, reason, &message, |signal| {
            signal.pod = Some(of_pod);
            signal.container = Some(container);
            signal.window = probe::window(readiness);
            signal.since =
                matches!(reason, "Status" | "Refused" | "Failed" | "Silent").then_some(since);
            signal.log_class = log_class;
        });
    }

    /// What two looks at the pod's ports, some time apart, make certain.
    fn certain(
        &self,
        part: &Part<'_>,
        port: u16,
        period: Duration,
    ) -> Option<(&'static str, String)> {
        let key = (part.uid.to_owned(), part.status.name.clone());
        let looks = self.view.port_looks.get(&key)?;
        let last = looks.last()?;
        let apart = |least: Duration, agrees: &dyn Fn(&super::view::PortLook) -> bool| {
            agrees(last) && looks.iter().any(|look| agrees(look) && look.at + least <= last.at)
        };
        let elsewhere = |look: &super::view::PortLook| {
            look.refused.contains(&port) && !look.open.is_empty() && look.open == last.open
        };
        if apart(SECOND_LOOK, &elsewhere) {
            let open: Vec<String> = last.open.iter().map(u16::to_string).collect();
            let words = format!(
                "its readiness probe uses port {port}, where nothing listens; it listens on {}",
                open.join(", ")
            );
            return Some(("WrongPort", words));
        }
        let loopback = |look: &super::view::PortLook| look.open.contains(&port);
        if apart(period + SECOND_LOOK, &loopback) {
            let words = format!(
                "it listens on port {port} of its loopback address only, where the kubelet's \
                 probe cannot reach it; bind 0.0.0.0"
            );
            return Some(("LoopbackOnly", words));
        }
        None
    }
}

/// The time between two looks at a pod's ports: one that listens here may listen there a moment
/// later.
pub(super) const SECOND_LOOK: Duration = Duration::from_millis(1500);

impl Part<'_> {
    /// The pod's events of that reason about this container, or about no container in particular.
    fn events<'b>(
        &'b self,
        view: &'b View,
        reason: &'b str,
    ) -> impl Iterator<Item = &'b SeenEvent> {
        let field = format!("{{{}}}", self.status.name);
        view.events_about(self.uid).filter(move |seen| {
            let path = seen.event.involved_object.field_path.as_deref();
            seen.event.reason.as_deref() == Some(reason)
                && path.is_none_or(|path| path.ends_with(&field))
        })
    }

    /// How often the kubelet took this container down for that probe.
    fn kills(&self, view: &View, probe: &str) -> u32 {
        let words = format!("failed {probe} probe");
        let kills = self.events(view, "Killing").filter(|seen| {
            seen.event.message.as_deref().is_some_and(|message| message.contains(&words))
        });
        let count: i32 = kills.map(|seen| times(&seen.event)).sum();
        u32::try_from(count).unwrap_or(0)
    }

    /// The newest failure of a probe whose message starts so.
    fn unhealthy<'b>(&'b self, view: &'b View, start: &str) -> Option<&'b SeenEvent> {
        self.events(view, "Unhealthy")
            .filter(|seen| {
                seen.event.message.as_deref().is_some_and(|message| message.starts_with(start))
            })
            .max_by_key(|seen| seen.event.last_timestamp.as_ref().map(|time| time.0))
    }
}

fn log_class(crash: Option<&Crash>) -> Option<FailureClass> {
    match &crash?.log {
        CrashLog::Read(said) if said.extraction.class != FailureClass::Unknown => {
            Some(said.extraction.class)
        }
        CrashLog::Read(_) | CrashLog::Unread | CrashLog::Unavailable => None,
    }
}

fn has_started(status: &ContainerStatus) -> bool {
    let ran = |state: Option<&k8s_openapi::api::core::v1::ContainerState>| {
        state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    };
    ran(status.state.as_ref()) || ran(status.last_state.as_ref())
}

/// Whether a pod is in a state that it does not leave by itself within moments.
fn is_stuck(pod: &Pod) -> bool {
    if is_ready(pod) || super::view::is_terminating(pod) {
        return false;
    }
    statuses(pod).any(|(status, _)| {
        let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
        let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
        matches!(
            reason,
            "CrashLoopBackOff"
                | "ImagePullBackOff"
                | "ErrImagePull"
                | "InvalidImageName"
                | "ErrImageNeverPull"
                | "CreateContainerConfigError"
                | "CreateContainerError"
                | "RunContainerError"
        ) || (status.restart_count >= 2 && !status.ready)
    })
}

/// A log that a judgement waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WantedLog {
    pub(super) namespace: String,
    pub(super) pod_uid: String,
    pub(super) pod: String,
    pub(super) container: String,
    pub(super) crash: String,
    /// Whether the container that crashed is the previous one by now.
    pub(super) previous: bool,
}

/// The crash logs to be read next: of a few pods of each workload, for they say the same.
pub(super) fn wanted_logs(view: &View) -> Vec<WantedLog> {
    let mut wanted = Vec::new();
    for scope in 0..view.followed.len() {
        let crashed = view.new_pods(scope).filter(|(uid, seen)| {
            seen.containers.keys().any(|name| !view.crashes_of(uid, name).is_empty())
        });
        for (uid, seen) in crashed.take(READ_PODS) {
            for (status, _) in statuses(&seen.pod) {
                wanted.extend(
                    view.crashes_of(uid, &status.name)
                        .iter()
                        .filter_map(|crash| wanted_log(uid, status, crash)),
                );
            }
        }
    }
    wanted
}

fn wanted_log(uid: &str, status: &ContainerStatus, crash: &Crash) -> Option<WantedLog> {
    let is = |state: Option<&k8s_openapi::api::core::v1::ContainerState>| {
        let terminated = state.and_then(|state| state.terminated.as_ref());
        terminated.and_then(|terminated| terminated.container_id.as_deref()) == Some(&crash.id)
    };
    let previous = is(status.last_state.as_ref());
    let again = match &crash.log {
        CrashLog::Unread => true,
        // It was asked for as the current container's, which was the next one's by then.
        CrashLog::Read(said) => said.current && previous && said.is_empty(),
        CrashLog::Unavailable => false,
    };
    (again && !crash.is_start_error()).then(|| WantedLog {
        namespace: crash.namespace.clone(),
        pod_uid: uid.to_owned(),
        pod: crash.pod.clone(),
        container: crash.container.clone(),
        crash: crash.id.clone(),
        previous,
    })
}

/// A pod whose ports a judgement would like to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedPorts {
    pub(super) namespace: String,
    pub(super) pod_uid: String,
    pub(super) pod: String,
    pub(super) container: String,
    /// Where it is asked.
    pub(super) asked: u16,
    /// Where else it may listen.
    pub(super) others: Vec<u16>,
    /// Not before.
    pub(super) at: Duration,
}

/// Looks at one pod's ports before the tracker stops asking.
const MOST_LOOKS: usize = 8;

/// The pods, one of each workload, whose readiness probe is refused a connection and whose ports
/// say whether that will last.
pub(super) fn wanted_ports(view: &View, signals: &[Signal]) -> Vec<WantedPorts> {
    let mut wanted: Vec<(usize, WantedPorts)> = Vec::new();
    for signal in signals {
        let (Some((uid, name)), Some(container)) = (&signal.pod, &signal.container) else {
            continue;
        };
        let refused = signal.rule.source == Source::Probe
            && signal.message.contains("connection refused")
            && wanted.iter().all(|(scope, _)| *scope != signal.scope);
        let Some(seen) = view.pods.get(uid).filter(|_| refused) else { continue };
        let Some(spec) = probe::container(&seen.pod, container) else { continue };
        let (Some(asked), Some(readiness)) =
            (probe::readiness_port(spec), spec.readiness_probe.as_ref())
        else {
            continue;
        };
        let looks = view.port_looks.get(&(uid.clone(), container.clone()));
        let looks = looks.map(Vec::as_slice).unwrap_or_default();
        if looks.len() >= MOST_LOOKS {
            continue;
        }
        let pause = match looks.last() {
            Some(last) if last.open.contains(&asked) => probe::period(readiness) + SECOND_LOOK,
            Some(_) | None => SECOND_LOOK * u32::try_from(looks.len().max(1)).unwrap_or(1),
        };
        wanted.push((
            signal.scope,
            WantedPorts {
                namespace: seen.pod.metadata.namespace.clone().unwrap_or_default(),
                pod_uid: uid.clone(),
                pod: name.clone(),
                container: container.clone(),
                asked,
                others: probe::other_ports(&seen.pod, spec),
                at: looks.last().map_or(Duration::ZERO, |last| last.at + pause),
            },
        ));
    }
    wanted.into_iter().map(|(_, wanted)| wanted).collect()
}
