//! One container of a pod, from its image to its exit and restart.

use std::time::Instant;

use serde_json::{Value, json};

use super::clock;
use super::image::{Images, bad_name};
use super::probe::{Probe, Turn};
use crate::program::{End, Life};
use crate::server::logs::Logs;
use crate::server::store;

/// How often the kubelet retries a container that it cannot create.
const RETRY: i64 = 5;

#[derive(Debug)]
enum Phase {
    New,
    Pulling(Instant),
    PullFailed {
        message: String,
        since: Instant,
        retry: Instant,
        bad_name: bool,
    },
    ConfigError {
        message: String,
        retry: Instant,
    },
    Starting(Instant),
    Running {
        since: Instant,
        life: Life,
    },
    /// It has exited, and restarts at `restart`.
    Dead {
        record: Value,
        since: Instant,
        restart: Instant,
        unstartable: Option<String>,
    },
    /// It has ended for good.
    Done(Value),
}

/// An init container that goes on running beside the others (KEP-753).
pub(super) fn is_sidecar(spec: &Value) -> bool {
    spec["restartPolicy"] == "Always"
}

/// An event of the kubelet about a container: whether a warning, the reason, the message.
pub(crate) type Remark = (bool, &'static str, String);

/// The environment that a container may need.
pub(crate) struct Around<'a> {
    pub(crate) images: &'a Images,
    pub(crate) now: Instant,
    pub(crate) pod: &'a Value,
    pub(crate) spec: &'a Value,
    pub(crate) init: bool,
    /// What prevents its creation: a missing ConfigMap, Secret or key.
    pub(crate) missing: Option<String>,
    /// Whether its program's dependencies exist.
    pub(crate) met: bool,
}

#[derive(Debug)]
pub(crate) struct Container {
    phase: Phase,
    restarts: i64,
    deaths: u32,
    pulls: u32,
    last: Option<Value>,
    id: String,
    started_at: String,
    readiness: Probe,
    liveness: Probe,
    startup: Probe,
}

impl Container {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::New,
            restarts: 0,
            deaths: 0,
            pulls: 0,
            last: None,
            id: String::new(),
            started_at: String::new(),
            readiness: Probe::default(),
            liveness: Probe::default(),
            startup: Probe::default(),
        }
    }

    /// Its final state, if it has ended for good.
    pub(crate) fn ended(&self) -> Option<i64> {
        match &self.phase {
            Phase::Done(record) => record["exitCode"].as_i64(),
            _ => None,
        }
    }

    pub(crate) fn running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    /// Whether it serves by now.
    pub(crate) fn serves(&self, now: Instant) -> bool {
        match &self.phase {
            Phase::Running { since, life } => {
                life.serves.is_some() && now.duration_since(*since) >= clock::scaled(life.wakes)
            }
            _ => false,
        }
    }

    /// Whether it was ever created: true for every container of a running pod.
    pub(crate) fn created(&self) -> bool {
        matches!(self.phase, Phase::Running { .. } | Phase::Dead { .. } | Phase::Done(_))
    }

    /// Advances as far as possible.
    pub(crate) fn advance(&mut self, around: &Around<'_>, logs: &mut Logs) -> Vec<Remark> {
        let mut remarks = Vec::new();
        let now = around.now;
        let image = around.spec["image"].as_str().unwrap_or_default();
        match &self.phase {
            Phase::New => self.fetch(image, now, &mut remarks),
            Phase::Pulling(done) if *done <= now => {
                self.pulled(around.images, image, now, &mut remarks);
            }
            Phase::PullFailed { since, retry, bad_name, message } => {
                // The error is visible for a while, then the back-off.
                let shown = now.duration_since(*since) >= clock::SECOND / 4;
                if *retry <= now {
                    self.fetch(image, now, &mut remarks);
                } else if !*bad_name && shown && !message.starts_with("Back-off") {
                    let backing = format!("Back-off pulling image {image:?}");
                    remarks.push((false, "BackOff", backing.clone()));
                    remarks.push((true, "Failed", "Error: ImagePullBackOff".to_owned()));
                    let message = format!("{backing}: ErrImagePull: {message}");
                    let (since, retry) = (*since, *retry);
                    self.phase = Phase::PullFailed { message, since, retry, bad_name: false };
                }
            }
            Phase::ConfigError { retry, .. } if *retry <= now => {
                self.create(around, &mut remarks);
            }
            Phase::Starting(at) if *at <= now => self.start(around, logs, &mut remarks),
            Phase::Running { since, life } => {
                let (since, life) = (*since, *life);
                self.run(around, since, life, logs, &mut remarks);
            }
            Phase::Dead { restart, record, .. } if *restart <= now => {
                self.last = Some(record.clone());
                self.restarts += 1;
                remarks.push((
                    false,
                    "Pulled",
                    format!("Container image {image:?} already present on machine"),
                ));
                self.create(around, &mut remarks);
            }
            Phase::Pulling(_)
            | Phase::ConfigError { .. }
            | Phase::Starting(_)
            | Phase::Dead { .. }
            | Phase::Done(_) => {}
        }
        remarks
    }

    fn fetch(&mut self, image: &str, now: Instant, remarks: &mut Vec<Remark>) {
        match bad_name(image) {
            Some(message) => {
                remarks.push((true, "InspectFailed", message.clone()));
                remarks.push((true, "Failed", "Error: InvalidImageName".to_owned()));
                let retry = now + clock::seconds(RETRY);
                self.phase = Phase::PullFailed { message, since: now, retry, bad_name: true };
            }
            None => {
                remarks.push((false, "Pulling", format!("Pulling image {image:?}")));
                let takes =
                    if image.contains("slow") { clock::seconds(40) } else { clock::SECOND / 2 };
                self.phase = Phase::Pulling(now + takes);
            }
        }
    }

    fn pulled(&mut self, images: &Images, image: &str, now: Instant, remarks: &mut Vec<Remark>) {
        match images.pull(image) {
            Err(message) => {
                remarks.push((
                    true,
                    "Failed",
                    format!("Failed to pull image {image:?}: {message}"),
                ));
                remarks.push((true, "Failed", "Error: ErrImagePull".to_owned()));
                self.pulls += 1;
                let wait = clock::seconds(10 << (self.pulls - 1).min(4));
                let retry = now + wait;
                self.phase = Phase::PullFailed { message, since: now, retry, bad_name: false };
            }
            Ok(()) => {
                remarks.push((
                    false,
                    "Pulled",
                    format!(
                        "Successfully pulled image {image:?} in 512ms (512ms including waiting). \
                         Image size: 1198742 bytes."
                    ),
                ));
                self.phase = Phase::Starting(now);
            }
        }
    }

    fn create(&mut self, around: &Around<'_>, remarks: &mut Vec<Remark>) {
        match &around.missing {
            Some(message) => {
                remarks.push((true, "Failed", format!("Error: {message}")));
                let retry = around.now + clock::seconds(RETRY);
                self.phase = Phase::ConfigError { message: message.clone(), retry };
            }
            None => self.phase = Phase::Starting(around.now),
        }
    }

    fn start(&mut self, around: &Around<'_>, logs: &mut Logs, remarks: &mut Vec<Remark>) {
        if around.missing.is_some() {
            return self.create(around, remarks);
        }
        let name = around.spec["name"].as_str().unwrap_or_default();
        let uid = around.pod["metadata"]["uid"].as_str().unwrap_or_default();
        let program = around.images.program(around.spec);
        self.id = format!("containerd://{}", uuid::Uuid::new_v4().simple());
        remarks.push((false, "Created", format!("Created container: {name}")));
        if let Some(message) = program.unstartable {
            remarks.push((true, "Failed", format!("Error: {message}")));
            let record = json!({
                "exitCode": 128, "reason": "StartError", "message": message,
                "startedAt": "1970-01-01T00:00:00Z", "finishedAt": store::now(),
                "containerID": self.id,
            });
            return self.die(around, record, Some(message.to_owned()), remarks);
        }
        let turn = usize::try_from(self.restarts).unwrap_or(0);
        let life = match program.needs {
            Some((_, without)) if !around.met => without,
            _ => program.lives[turn.min(program.lives.len() - 1)],
        };
        logs.begin(uid, name);
        let early = if life.ends.is_some() && life.log.len() > 1 {
            life.log.len() - 1
        } else {
            life.log.len()
        };
        for line in &life.log[..early] {
            logs.write(uid, name, line);
        }
        remarks.push((false, "Started", format!("Started container {name}")));
        self.started_at = store::now();
        self.readiness = Probe::default();
        self.liveness = Probe::default();
        self.startup = Probe::default();
        self.phase = Phase::Running { since: around.now, life };
    }

    fn run(
        &mut self,
        around: &Around<'_>,
        since: Instant,
        life: Life,
        logs: &mut Logs,
        remarks: &mut Vec<Remark>,
    ) {
        let name = around.spec["name"].as_str().unwrap_or_default();
        let uid = around.pod["metadata"]["uid"].as_str().unwrap_or_default();
        if let Some((after, end)) = life.ends
            && around.now.duration_since(since) >= clock::scaled(after)
        {
            if let (true, Some(line)) = (life.log.len() > 1, life.log.last()) {
                logs.write(uid, name, line);
            }
            let (code, reason) = match end {
                End::Exit(0) => (0, "Completed"),
                End::Exit(code) => (code, "Error"),
                End::OutOfMemory => (137, "OOMKilled"),
            };
            let mut record = self.record(code, reason);
            if code != 0
                && around.spec["terminationMessagePolicy"] == "FallbackToLogsOnError"
                && !life.log.is_empty()
            {
                record["message"] = json!(format!("{}\n", life.log.join("\n")));
            }
            return self.die(around, record, None, remarks);
        }
        // A program that waits by itself continues when its dependencies exist.
        let needs = around.images.program(around.spec).needs;
        if life.ends.is_none() && life.serves.is_none() && needs.is_some() && around.met {
            let record = self.record(0, "Completed");
            return self.die(around, record, None, remarks);
        }
        let started = around.spec.get("startupProbe").is_none_or(|spec| {
            let turn = self.startup.turn(spec, around.spec, &life, since, around.now);
            if let Turn::Failed(why, _) = turn {
                remarks.push((true, "Unhealthy", format!("Startup probe failed: {why}")));
            }
            self.startup.passes == Some(true)
        });
        let mut kill = self.startup.passes == Some(false);
        if started {
            if let Some(spec) = around.spec.get("readinessProbe")
                && let Turn::Failed(why, _) =
                    self.readiness.turn(spec, around.spec, &life, since, around.now)
            {
                remarks.push((true, "Unhealthy", format!("Readiness probe failed: {why}")));
            }
            if let Some(spec) = around.spec.get("livenessProbe")
                && let Turn::Failed(why, reached) =
                    self.liveness.turn(spec, around.spec, &life, since, around.now)
            {
                remarks.push((true, "Unhealthy", format!("Liveness probe failed: {why}")));
                kill |= reached;
            }
        }
        if kill {
            let which = if started { "liveness" } else { "startup" };
            remarks.push((
                false,
                "Killing",
                format!("Container {name} failed {which} probe, will be restarted"),
            ));
            let record = self.record(137, "Error");
            self.die(around, record, None, remarks);
        }
    }

    fn record(&self, code: i64, reason: &str) -> Value {
        json!({
            "exitCode": code, "reason": reason, "startedAt": self.started_at,
            "finishedAt": store::now(), "containerID": self.id,
        })
    }

    fn die(
        &mut self,
        around: &Around<'_>,
        record: Value,
        unstartable: Option<String>,
        remarks: &mut Vec<Remark>,
    ) {
        let code = record["exitCode"].as_i64().unwrap_or(0);
        let policy = around.pod["spec"]["restartPolicy"].as_str().unwrap_or("Always");
        let again = match policy {
            _ if around.init && is_sidecar(around.spec) => true,
            "Never" => false,
            "OnFailure" => code != 0,
            _ => !around.init || code != 0,
        };
        if !again {
            self.phase = Phase::Done(record);
            return;
        }
        self.deaths += 1;
        // The first restart is immediate.
        let wait = match self.deaths {
            1 => 1,
            deaths => (10_i64 << (deaths - 2).min(5)).min(300),
        };
        if self.deaths > 1 {
            let name = around.spec["name"].as_str().unwrap_or_default();
            let pod = around.pod["metadata"]["name"].as_str().unwrap_or_default();
            let namespace = around.pod["metadata"]["namespace"].as_str().unwrap_or_default();
            let uid = around.pod["metadata"]["uid"].as_str().unwrap_or_default();
            remarks.push((
                true,
                "BackOff",
                format!(
                    "Back-off restarting failed container {name} in pod {pod}_{namespace}({uid})"
                ),
            ));
        }
        let (since, restart) = (around.now, around.now + clock::seconds(wait));
        self.phase = Phase::Dead { record, since, restart, unstartable };
    }

    pub(crate) fn is_ready(&self, spec: &Value) -> bool {
        self.has_started(spec)
            && (spec.get("readinessProbe").is_none() || self.readiness.passes == Some(true))
    }

    /// Whether it runs and its startup probe has passed.
    pub(crate) fn has_started(&self, spec: &Value) -> bool {
        self.running() && (spec.get("startupProbe").is_none() || self.startup.passes == Some(true))
    }

    /// Ends a sidecar once the pod's other containers have ended.
    pub(crate) fn terminate(&mut self) {
        if self.running() {
            self.phase = Phase::Done(self.record(143, "Error"));
        }
    }

    /// Its entry in the pod's status; `waiting` is the reason before the kubelet has handled it.
    pub(crate) fn status(&self, around: &Around<'_>, waiting: &str) -> Value {
        let spec = around.spec;
        let wait = |reason: &str, message: Option<&str>| match message {
            Some(message) => json!({"waiting": {"reason": reason, "message": message}}),
            None => json!({"waiting": {"reason": reason}}),
        };
        let mut last = self.last.clone();
        let state = match &self.phase {
            Phase::New | Phase::Pulling(_) | Phase::Starting(_) if self.restarts == 0 => {
                wait(waiting, None)
            }
            Phase::New | Phase::Pulling(_) | Phase::Starting(_) => wait("ContainerCreating", None),
            Phase::PullFailed { message, bad_name: true, .. } => {
                wait("InvalidImageName", Some(message))
            }
            Phase::PullFailed { message, .. } if message.starts_with("Back-off") => {
                wait("ImagePullBackOff", Some(message))
            }
            Phase::PullFailed { message, .. } => wait("ErrImagePull", Some(message)),
            Phase::ConfigError { message, .. } => wait("CreateContainerConfigError", Some(message)),
            Phase::Running { .. } => json!({"running": {"startedAt": self.started_at}}),
            Phase::Dead { record, since, restart, unstartable } => {
                let shown = around.now.duration_since(*since);
                if shown < clock::SECOND || *restart - *since <= clock::seconds(1) {
                    match unstartable {
                        Some(message) => {
                            last = Some(record.clone());
                            wait("RunContainerError", Some(message))
                        }
                        None => json!({"terminated": record}),
                    }
                } else {
                    last = Some(record.clone());
                    let wait_s = (*restart - *since).as_millis() / clock::SECOND.as_millis();
                    let name = spec["name"].as_str().unwrap_or_default();
                    let pod = around.pod["metadata"]["name"].as_str().unwrap_or_default();
                    let namespace =
                        around.pod["metadata"]["namespace"].as_str().unwrap_or_default();
                    let uid = around.pod["metadata"]["uid"].as_str().unwrap_or_default();
                    let told = duration(wait_s);
                    let message = format!(
                        "back-off {told} restarting failed container={name} \
                         pod={pod}_{namespace}({uid})"
                    );
                    wait("CrashLoopBackOff", Some(&message))
                }
            }
            Phase::Done(record) => json!({"terminated": record}),
        };
        let last = last.map_or_else(|| json!({}), |record| json!({"terminated": record}));
        let mut status = json!({
            "name": spec["name"], "image": spec["image"], "imageID": "",
            "restartCount": self.restarts, "state": state, "lastState": last,
            "ready": if around.init && !is_sidecar(spec) {
                self.ended() == Some(0)
            } else {
                self.is_ready(spec)
            },
            "started": self.has_started(spec),
        });
        if !self.id.is_empty() {
            status["containerID"] = json!(self.id);
            status["imageID"] = spec["image"].clone();
        }
        status
    }
}

/// `10s`, `2m40s`
fn duration(seconds: u128) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}
