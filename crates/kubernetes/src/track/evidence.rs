//! What was known when a rollout failed, frozen: bounded, redacted, the most telling lines first.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{ContainerState, Event, Pod};

use super::crash::{Crash, CrashLog, LOG_KEPT, ReadCrashLog, end_of};
use super::judge::Judgement;
use super::probe;
use super::view::{View, is_terminating, statuses, times};
use super::workload_status::is_ready;
use greenloop_evidence::{Redactor, condense_repeats};
use greenloop_model::{Evidence, Excerpt, Exit, counted};

/// Bytes of all notes together, the diff apart.
const NOTES: usize = 20 * 1024;
/// Bytes of the diff.
const DIFF: usize = 16 * 1024;
/// Bytes of one note.
const NOTE: usize = 2 * 1024;
/// Pods that are described.
const PODS: usize = 4;
/// Events that are told of each.
const EVENTS: usize = 15;

/// A log that was read for the evidence.
#[derive(Debug)]
pub(super) struct ReadLog {
    pub(super) pod_uid: String,
    pub(super) pod: String,
    pub(super) container: String,
    pub(super) previous: bool,
    pub(super) said: ReadCrashLog,
}

/// The pods to tell of, the one that decided first, then those in trouble, then the rest.
pub(super) fn telling_pods<'a>(view: &'a View, judgement: &Judgement) -> Vec<(&'a str, &'a Pod)> {
    let culprit = judgement.signal.as_ref().and_then(|signal| signal.pod.as_ref());
    let culprit = culprit.map(|(uid, _)| uid.as_str());
    let mut pods: Vec<(u8, &str, &Pod)> = Vec::new();
    for scope in 0..view.followed.len() {
        for (uid, seen) in view.new_pods(scope) {
            let crashed = seen.containers.keys().any(|name| !view.crashes_of(uid, name).is_empty());
            let rank = match () {
                () if Some(uid.as_str()) == culprit => 0,
                () if crashed => 1,
                () if !is_ready(&seen.pod) => 2,
                () => 3,
            };
            pods.push((rank, uid, &seen.pod));
        }
    }
    pods.sort_by_key(|(rank, _, _)| *rank);
    pods.into_iter().map(|(_, uid, pod)| (uid, pod)).take(PODS).collect()
}

/// The evidence. `logs` in the order of their weight.
pub(super) fn evidence(
    view: &View,
    judgement: &Judgement,
    logs: &[ReadLog],
    diff: &str,
    redactor: &Redactor,
) -> Evidence {
    let mut notes = Notes { redactor, first: true, list: Vec::new() };
    notes.add(Weight::Cause, &judgement.message);
    if let Some(signal) = &judgement.signal {
        let rule = format!("rule {}: {}", signal.rule.id, signal.rule.about);
        notes.add(Weight::Background, &rule);
    }
    for scope in 0..view.followed.len() {
        describe_workload(view, scope, &mut notes);
    }
    for (uid, pod) in telling_pods(view, judgement) {
        describe_pod(view, uid, pod, &mut notes);
        notes.first = false;
    }
    for scope in 0..view.followed.len() {
        let uid = view.followed[scope].object.as_ref().map(|object| object.uid().to_owned());
        let set = view.new_replica_set(&view.followed[scope]).map(str::to_owned);
        for uid in uid.into_iter().chain(set) {
            describe_events(view, &uid, false, &mut notes);
        }
    }
    let list = notes.most_telling();
    let culprit = culprit_crash(view, judgement);
    let telling = logs.iter().find(|log| !log.said.is_empty());
    let titles: Vec<String> = view.followed.iter().map(|followed| followed.title()).collect();
    let namespace = view.followed.first().map(|followed| followed.workload.namespace.as_str());
    Evidence {
        command: Some(format!(
            "rollout of {} in namespace {}",
            titles.join(", "),
            namespace.unwrap_or_default()
        )),
        exit: culprit.map(|crash| match (crash.signal, crash.exit_code) {
            (Some(signal), _) => Exit::Signal(signal),
            (None, code) if code > 128 && code < 160 => Exit::Signal(code - 128),
            (None, code) => Exit::Code(code),
        }),
        excerpts: telling
            .map(|log| log.said.extraction.excerpts.clone())
            .unwrap_or_default()
            .into_iter()
            .chain(changes(diff, redactor))
            .collect(),
        log_lines: telling.map_or(0, |log| log.said.extraction.lines),
        failing_tests: telling
            .map(|log| log.said.extraction.failing_tests.clone())
            .unwrap_or_default(),
        service_log: service_log(logs),
        notes: list,
        ..Evidence::default()
    }
}

/// What the release changes since the last good one.
fn changes(diff: &str, redactor: &Redactor) -> Option<Excerpt> {
    if diff.trim().is_empty() {
        return None;
    }
    let text = redactor.head(diff.as_bytes(), DIFF);
    Some(Excerpt {
        start: 1,
        end: u64::try_from(text.lines().count().max(1)).unwrap_or(u64::MAX),
        kind: Excerpt::DIFF.to_owned(),
        text,
        locations: Vec::new(),
    })
}

/// The logs one after the other, the most telling first, each under its name.
fn service_log(logs: &[ReadLog]) -> Option<String> {
    let mut text = String::new();
    for log in logs.iter().filter(|log| !log.said.is_empty()) {
        let left = LOG_KEPT.saturating_sub(text.len());
        if left < 200 {
            break;
        }
        let which = if log.previous { " (the container before the last restart)" } else { "" };
        let said = condense_repeats(log.said.text.trim_end());
        let said = end_of(&said, left);
        let _infallible = writeln!(text, "--- {}/{}{which}\n{said}", log.pod, log.container);
    }
    (!text.is_empty()).then_some(text)
}

fn culprit_crash<'a>(view: &'a View, judgement: &Judgement) -> Option<&'a Crash> {
    let signal = judgement.signal.as_ref()?;
    let (uid, _) = signal.pod.as_ref()?;
    view.crashes_of(uid, signal.container.as_deref()?).last()
}

/// How much a note says about the failure. Whoever has room for a few lines takes the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Why the rollout was given up.
    Cause,
    /// A container that does not run, a warning about its pod.
    Trouble,
    /// What the workload and its pods lack.
    Context,
    /// What is as it should be, or was only asked for.
    Background,
}

/// Notes in the order in which they were found.
struct Notes<'a> {
    redactor: &'a Redactor,
    /// The first pod is described: the one that decided. What others say is most often the same.
    first: bool,
    list: Vec<(Weight, String)>,
}

impl Notes<'_> {
    fn add(&mut self, weight: Weight, note: &str) {
        let note = self.redactor.redact(note.trim());
        let end = note.char_indices().map(|(at, _)| at).take_while(|at| *at <= NOTE).last();
        let note = if note.len() > NOTE { &note[..end.unwrap_or(0)] } else { &note };
        if !note.is_empty() && self.list.iter().all(|(_, known)| known != note) {
            self.list.push((weight, note.to_owned()));
        }
    }

    /// The weight of trouble in the pod that is described.
    fn trouble(&self) -> Weight {
        if self.first { Weight::Trouble } else { Weight::Context }
    }

    /// The notes by their weight, as long as there is room.
    fn most_telling(mut self) -> Vec<String> {
        self.list.sort_by_key(|(weight, _)| *weight);
        let mut left = NOTES;
        let mut kept = Vec::new();
        for (_, note) in self.list {
            if note.len() <= left {
                left -= note.len();
                kept.push(note);
            }
        }
        kept
    }
}

fn describe_workload(view: &View, scope: usize, notes: &mut Notes<'_>) {
    let Some(followed) = view.followed.get(scope) else { return };
    let words = view.workload_status(scope).words;
    notes.add(Weight::Context, &format!("{}: {words}", followed.title()));
    let Some(object) = &followed.object else { return };
    let status = match object {
        super::object::Object::Deployment(object) => serde_json::to_value(&object.status),
        super::object::Object::StatefulSet(object) => serde_json::to_value(&object.status),
        super::object::Object::DaemonSet(object) => serde_json::to_value(&object.status),
        super::object::Object::Job(object) => serde_json::to_value(&object.status),
    };
    let conditions = status.ok();
    let conditions = conditions.as_ref().and_then(|status| status.get("conditions")?.as_array());
    for condition in conditions.into_iter().flatten() {
        let field = |name: &str| condition.get(name).and_then(|value| value.as_str()).unwrap_or("");
        // That it is available at all, or still progressing, is what one expects of it.
        let weight = if field("status") == "False" { Weight::Context } else { Weight::Background };
        let condition = format!(
            "{}: condition {} is {}: {} {}",
            followed.title(),
            field("type"),
            field("status"),
            field("reason"),
            field("message"),
        );
        notes.add(weight, &condition);
    }
    // The probes as they are written: what a failing probe was asked to do.
    let spec = object.template().and_then(|template| template.spec.as_ref());
    let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    for container in containers {
        for (name, of_kind) in [
            ("startup", &container.startup_probe),
            ("readiness", &container.readiness_probe),
            ("liveness", &container.liveness_probe),
        ] {
            let Some(of_kind) = of_kind else { continue };
            let described = probe::describe(container, of_kind);
            let title = followed.title();
            let probe =
                format!("{title}: {name} probe of container {}: {described}", container.name);
            notes.add(Weight::Background, &probe);
        }
    }
}

fn describe_pod(view: &View, uid: &str, pod: &Pod, notes: &mut Notes<'_>) {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("no node");
    let going = if is_terminating(pod) { ", going away" } else { "" };
    let (phase, reason) = (status.phase.as_deref(), status.reason.as_deref());
    let weight = if reason.is_some() { notes.trouble() } else { Weight::Background };
    let pod_line = format!(
        "pod {name} on {node}: {}{going} {} {}",
        phase.unwrap_or("Unknown"),
        reason.unwrap_or_default(),
        status.message.as_deref().unwrap_or_default(),
    );
    notes.add(weight, &pod_line);
    for (container, init) in statuses(pod) {
        let kind = if init { "init container" } else { "container" };
        let mut line = format!(
            "pod {name}: {kind} {} ({}): {}, {}",
            container.name,
            container.image,
            state(container.state.as_ref(), notes.redactor),
            counted(usize::try_from(container.restart_count).unwrap_or(0), "restart", "restarts"),
        );
        if let Some(last) = container.last_state.as_ref().filter(|last| last.terminated.is_some()) {
            let _infallible = write!(line, "; before that {}", state(Some(last), notes.redactor));
        }
        let is_done = |state: &ContainerState| {
            state.running.is_some() || state.terminated.as_ref().is_some_and(|it| it.exit_code == 0)
        };
        let as_asked =
            container.state.as_ref().is_some_and(is_done) && container.restart_count == 0;
        let weight = if as_asked { Weight::Background } else { notes.trouble() };
        notes.add(weight, &line);
    }
    for condition in status.conditions.into_iter().flatten() {
        if condition.status == "True" && condition.type_ != "DisruptionTarget" {
            continue;
        }
        let condition = format!(
            "pod {name}: condition {} is {}: {} {}",
            condition.type_,
            condition.status,
            condition.reason.unwrap_or_default(),
            condition.message.unwrap_or_default(),
        );
        notes.add(if notes.first { Weight::Context } else { Weight::Background }, &condition);
    }
    describe_events(view, uid, true, notes);
}

/// Warnings first, then the newest.
fn describe_events(view: &View, uid: &str, with_old: bool, notes: &mut Notes<'_>) {
    let time = |event: &Event| {
        let time = event.last_timestamp.as_ref().map(|time| time.0);
        time.or_else(|| event.event_time.as_ref().map(|time| time.0))
            .or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
    };
    let mut events: Vec<&Event> = view
        .events_about(uid)
        .filter(|seen| with_old || !seen.old)
        .map(|seen| &seen.event)
        .collect();
    events.sort_by_key(|event| {
        (event.type_.as_deref() != Some("Warning"), std::cmp::Reverse(time(event)))
    });
    for event in events.into_iter().take(EVENTS) {
        let about = &event.involved_object;
        let container = about.field_path.as_deref().unwrap_or_default();
        let container =
            container.rsplit_once('{').map_or("", |(_, name)| name.trim_end_matches('}'));
        let times = match u32::try_from(times(event)).unwrap_or(1) {
            1 => String::new(),
            n => format!(" ({})", greenloop_model::times(n)),
        };
        let warns = event.type_.as_deref() == Some("Warning");
        let weight = if warns { notes.trouble() } else { Weight::Background };
        let told = format!(
            "event of {}/{} {container}: {}{times}: {}",
            about.kind.as_deref().unwrap_or_default().to_lowercase(),
            about.name.as_deref().unwrap_or_default(),
            event.reason.as_deref().unwrap_or_default(),
            event.message.as_deref().unwrap_or_default(),
        );
        notes.add(weight, &told);
    }
}

fn state(state: Option<&ContainerState>, redactor: &Redactor) -> String {
    let Some(state) = state else { return "no state yet".to_owned() };
    match (&state.running, &state.waiting, &state.terminated) {
        (Some(_), _, _) => "running".to_owned(),
        (None, Some(waiting), _) => format!(
            "waiting: {} {}",
            waiting.reason.as_deref().unwrap_or_default(),
            waiting.message.as_deref().unwrap_or_default()
        )
        .trim_end()
        .to_owned(),
        (None, None, Some(terminated)) => {
            let mut line = format!(
                "terminated: {} with exit status {}",
                terminated.reason.as_deref().unwrap_or("no reason"),
                terminated.exit_code
            );
            if let Some(message) = terminated.message.as_deref().map(str::trim) {
                let _infallible = write!(line, " ({})", redactor.tail(message.as_bytes(), 1000));
            }
            line
        }
        (None, None, None) => "no state yet".to_owned(),
    }
}

/// The log of a crash that has been read already.
pub(super) fn known_log(crash: &Crash) -> Option<ReadLog> {
    match &crash.log {
        CrashLog::Read(said) => Some(ReadLog {
            pod_uid: crash.pod_uid.clone(),
            pod: crash.pod.clone(),
            container: crash.container.clone(),
            previous: true,
            said: (**said).clone(),
        }),
        CrashLog::Unread | CrashLog::Unavailable => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::judge::in_words;
    use super::super::progress::shown;
    use super::super::scenarios::Stage;
    use super::super::signals::signals;
    use super::super::{Workload, WorkloadKind};
    use super::*;

    const SECRET: &str = "hunter2-and-more";
    const POD: &str = "Pod/web-6c5f9d8b7-x2x5z";

    /// Whoever shows a few of them shows why it failed.
    #[test]
    fn the_most_telling_notes_come_first() {
        let workload = Workload {
            kind: WorkloadKind::Deployment,
            namespace: "shop".into(),
            name: "web".into(),
            uid: "deploy".into(),
            generation: 2,
            changed: true,
        };
        let mut stage = Stage::new("deployment", workload);
        stage.list(Duration::ZERO);
        let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}});
        let status = json!({"status": {"containerStatuses": [{
            "name": "web", "image": "web", "imageID": "", "ready": false,
            "restartCount": 0, "lastState": {}, "state": waiting,
        }]}});
        stage.patch(POD, &status, Duration::from_secs(1));
        let judgement = Judgement {
            rule: "deadline",
            message: "the image cannot be pulled".into(),
            class: greenloop_model::FailureClass::Config,
            signal: None,
        };
        let redactor = Redactor::default();
        let notes = evidence(&stage.view, &judgement, &[], "", &redactor).notes;
        assert_eq!(notes[0], "the image cannot be pulled");
        assert!(
            notes[1].contains("container web") && notes[1].contains("no such tag"),
            "{notes:?}"
        );
        let place = |part: &str| notes.iter().position(|note| note.contains(part));
        let (words, background) = (place("deployment/web: "), place("is True"));
        assert!(words.is_some() && (background.is_none() || words < background), "{notes:#?}");
    }

    /// Whatever cuts a text, no part of a secret is left at the cut.
    #[test]
    fn what_is_cut_is_redacted_before() {
        let redactor = Redactor::new([SECRET.to_owned()]);
        let workload = Workload {
            kind: WorkloadKind::Deployment,
            namespace: "shop".into(),
            name: "web".into(),
            uid: "deploy".into(),
            generation: 2,
            changed: true,
        };
        let mut stage = Stage::new("deployment", workload);
        stage.list(Duration::ZERO);
        let around = |most: usize, rest: usize| {
            let filler = most.saturating_sub(rest) / 2;
            format!("{} {SECRET} {}", "x ".repeat(filler), "y ".repeat(filler + 400))
        };
        for rest in (0..160).step_by(2) {
            let now = Duration::from_secs(rest as u64);
            let status = |state: serde_json::Value| {
                json!({"status": {"containerStatuses": [{
                    "name": "web", "image": "web", "imageID": "", "ready": false,
                    "restartCount": 0, "lastState": {}, "state": state,
                }]}})
            };
            let message = around(800, rest);
            let waiting = json!({"waiting": {
                "reason": "CreateContainerConfigError", "message": message,
            }, "terminated": null});
            stage.patch(POD, &status(waiting), now);
            let found = signals(&stage.view, now);
            assert!(!found.is_empty());
            for signal in &found {
                let line = shown(&redactor, &in_words(&stage.view, signal));
                assert!(line.len() < 820 && !line.contains("hunter2"), "{rest}: {line}");
            }
            let terminated = json!({"waiting": null, "terminated": {
                "exitCode": 1, "reason": "Error", "containerID": "containerd://1",
                "message": format!("{SECRET} {}", around(1000, rest)),
            }});
            stage.patch(POD, &status(terminated), now);
            let judgement = Judgement {
                rule: "deadline",
                message: around(NOTE, rest),
                class: greenloop_model::FailureClass::Timeout,
                signal: None,
            };
            let diff = around(DIFF, rest);
            let evidence = evidence(&stage.view, &judgement, &[], &diff, &redactor);
            let all = serde_json::to_string(&evidence).unwrap();
            assert!(all.contains("terminated: Error"), "{all}");
            assert!(!all.contains("hunter2") && !all.contains("and-more"), "{rest}: {all}");
        }
    }
}
