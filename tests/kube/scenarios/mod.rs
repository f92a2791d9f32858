//! What the target promises, one scenario each.

mod access;
mod config;
mod crashes;
mod faults;
mod healthy;
mod images;
mod lease;
mod probes;
mod releases;
mod rollback;
mod scheduling;
mod superseded;
mod workloads;

use std::time::Duration;

use greenloop::model::{Evidence, FailureClass};
use greenloop::ports::{TargetError, TargetErrorKind};
use serde_json::Value;

use crate::world::{Attempt, World};

/// Everything that evidence says, as one text.
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
pub(crate) struct Doom {
    pub(crate) class: FailureClass,
    /// What the one line for a person holds.
    pub(crate) message: &'static [&'static str],
    /// What the evidence holds.
    pub(crate) evidence: &'static [&'static str],
    /// How many seconds it may take on the wire, and on a cluster that pulls images.
    pub(crate) within: (u64, u64),
}

/// Rolls the objects out, and sees them fail as `doom` has it.
pub(crate) async fn fails(world: &World, objects: &[Value], doom: &Doom) -> Attempt {
    world.manifests(objects);
    let attempt = world.roll_out().await;
    judged(world, &attempt, doom);
    attempt
}

/// Whether an attempt failed as `doom` has it.
pub(crate) fn judged<'a>(world: &World, attempt: &'a Attempt, doom: &Doom) -> &'a TargetError {
    let error = match &attempt.outcome {
        Ok(_) => panic!("it was taken for a success after {:?}", attempt.took),
        Err(error) => error,
    };
    let said = said(&error.evidence);
    let about = format!("{error} ({:?}, {:?})\n{said}", error.kind, attempt.took);
    assert_eq!(error.kind, TargetErrorKind::Release, "{about}");
    assert_eq!(error.class, doom.class, "{about}");
    for part in doom.message {
        assert!(error.message.contains(part), "{part:?} is not in the message: {about}");
    }
    for part in doom.evidence {
        assert!(said.contains(part), "{part:?} is not in the evidence: {about}");
    }
    let seconds = Duration::from_secs;
    let most = world.time(seconds(doom.within.0), seconds(doom.within.1));
    assert!(attempt.took <= most, "it took longer than {most:?}: {about}");
    error
}
