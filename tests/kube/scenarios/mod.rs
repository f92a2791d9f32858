//! Scenarios for the Kubernetes target.

mod access;
mod config;
mod converging;
mod crashes;
mod faults;
mod healthy;
mod images;
mod lease;
mod probes;
mod prune;
mod reach;
mod releases;
mod rollback;
mod scheduling;
mod secrets;
mod stop;
mod superseded;
mod workloads;

use std::time::Duration;

use greenloop_model::{Evidence, FailureClass};
use greenloop_ports::{TargetError, TargetErrorKind};
use serde_json::Value;

use crate::world::{Attempt, World};

/// All evidence, as one text.
pub(crate) fn said(evidence: &Evidence) -> String {
    let mut text = String::new();
    let mut add = |part: &str| {
        text.push_str(part);
        text.push('\n');
    };
    evidence.command.iter().for_each(|command| add(command));
    evidence.excerpts.iter().for_each(|excerpt| add(&excerpt.text));
    evidence.service_log.iter().for_each(|log| add(log));
    evidence.notes.iter().for_each(|note| add(note));
    text
}

/// How a rollout is to fail.
pub(crate) struct RolloutFailure {
    pub(crate) class: FailureClass,
    /// What the headline contains.
    pub(crate) message: &'static [&'static str],
    /// What the evidence contains.
    pub(crate) evidence: &'static [&'static str],
    /// The time limit in seconds on the simulated server, and on a cluster that pulls images.
    pub(crate) within: (u64, u64),
}

/// One row of the table of failing releases: the objects, and the expected failure.
pub(crate) struct Case {
    pub(crate) objects: Vec<Value>,
    pub(crate) failure: RolloutFailure,
    /// Labels that the namespace needs.
    pub(crate) labels: Value,
    /// Whether the soak has its usual length, on a cluster.
    pub(crate) usual_soak: bool,
    /// `wait_timeout` in seconds, if it differs from the default.
    pub(crate) wait: Option<u64>,
}

/// Creates a row for a world: images and times differ.
pub(crate) type Row = fn(&World) -> Case;

impl Case {
    pub(crate) fn new(objects: Vec<Value>, failure: RolloutFailure) -> Self {
        Self { objects, failure, labels: Value::Null, usual_soak: false, wait: None }
    }

    /// Prepares the world for it.
    pub(crate) async fn set(&self, world: &mut World) {
        if self.labels.is_object() {
            world.label_namespace(&self.labels).await;
        }
        if self.usual_soak && world.wire.is_none() {
            world.plan.soak = None;
        }
        if let Some(wait) = self.wait {
            world.wait = Duration::from_secs(wait);
        }
        world.manifests(&self.objects);
    }

    /// Rolls it out and checks the failure.
    pub(crate) async fn play(&self, world: &mut World) {
        self.set(world).await;
        let attempt = world.roll_out().await;
        judged(world, &attempt, &self.failure);
    }
}

/// The rows that are measured against `kubectl rollout status`.
pub(crate) const MEASURED: &[(&str, Row)] = &[
    ("image not found", images::not_found),
    ("bad image name", images::bad_name),
    ("pull unauthorised", images::unauthorised),
    ("same panic twice", crashes::the_same_panic_twice),
    ("silent exit", crashes::a_silent_exit_three_times),
    ("OOMKilled twice", crashes::out_of_memory_twice),
    ("exec format error", crashes::no_program),
    ("missing command", crashes::no_command),
    ("init container fails", crashes::an_init_container_fails),
    ("liveness kill loop", crashes::the_liveness_probe_kills),
    ("dies after it was ready", crashes::dies_soon_after_it_was_ready),
    ("missing ConfigMap", config::a_config_map_is_missing),
    ("missing Secret key", config::a_key_of_a_secret_is_missing),
    ("missing volume", config::a_volume_is_missing),
    ("missing volume claim", config::a_volume_claim_is_missing),
    ("readiness: no such path", probes::the_path_is_wrong),
    ("readiness: wrong port", probes::the_port_is_wrong),
    ("readiness: never", probes::it_is_never_ready),
    ("quota", scheduling::the_quota_is_used_up),
    ("pod security", scheduling::pod_security_refuses),
    ("unschedulable", scheduling::no_node_has_room),
];

/// Rolls the objects out, and checks the failure against `failure`.
pub(crate) async fn fails(world: &World, objects: &[Value], failure: &RolloutFailure) -> Attempt {
    world.manifests(objects);
    let attempt = world.roll_out().await;
    judged(world, &attempt, failure);
    attempt
}

/// Checks the failure of an attempt against `failure`.
pub(crate) fn judged<'a>(
    world: &World,
    attempt: &'a Attempt,
    failure: &RolloutFailure,
) -> &'a TargetError {
    let error = match &attempt.outcome {
        Ok(_) => panic!("it was taken for a success after {:?}", attempt.took),
        Err(error) => error,
    };
    let said = said(&error.evidence);
    let about = format!("{error} ({:?}, {:?})\n{said}", error.kind, attempt.took);
    assert_eq!(error.kind, TargetErrorKind::Release, "{about}");
    assert_eq!(error.class, failure.class, "{about}");
    for part in failure.message {
        assert!(error.message.contains(part), "{part:?} is not in the message: {about}");
    }
    for part in failure.evidence {
        assert!(said.contains(part), "{part:?} is not in the evidence: {about}");
    }
    let seconds = Duration::from_secs;
    let most = world.time(seconds(failure.within.0), seconds(failure.within.1));
    // A rule detects the failure before the timeout, however busy the machine is;
    // `benches/detection.sh` measures how fast.
    let by_a_rule = most < world.wait;
    assert!(!by_a_rule || attempt.took < world.wait, "it ran into the deadline: {about}");
    error
}
