//! Rollout: asks the target to roll out, and turns its errors into a failure.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::StageContext;
use super::identity::combined;
use greenloop_evidence::normalise;
use greenloop_model::{
    EventSink, Failure, FailureClass, Notice, ReleaseId, RunEvent, Stage, error_chain,
};
use greenloop_ports::{
    Deployed, Earlier, Restored, RolloutRequest, Target, TargetError, TargetErrorKind,
};

/// The pauses before a rollback or a restore is tried again that something beside the release has
/// kept from succeeding.
pub(crate) const PAUSES: &[Duration] = &[Duration::from_secs(2), Duration::from_secs(10)];
/// How long the target may take to say what serves.
const ANSWER: Duration = Duration::from_secs(20);

/// How a rollout ended.
#[derive(Debug)]
pub enum RolloutOutcome {
    /// The release serves.
    Deployed(Deployed),
    /// It does not; what served before still does.
    Failed(Box<Failure>),
    /// The target will not: a newer rollout is under way, the release must not be taken back, or
    /// there is none to go back to. Only a person can change that.
    Declined(Box<Failure>),
    /// It was cancelled; nothing was switched.
    Cancelled,
}

/// Rolls a new release out.
pub async fn roll_out(
    target: &dyn Target,
    request: &RolloutRequest,
    context: &StageContext<'_>,
) -> RolloutOutcome {
    conclude(target, target.roll_out(request, context.events, context.cancel).await)
}

/// Lets an earlier release serve again. What fails for want of something beside the release, such
/// as the target itself or a registry, is tried again, unless another release serves meanwhile:
/// which one is earlier depends on it; `pauses` come before each further attempt. A revision of the cluster's own is counted from the newest
/// one, which each attempt makes: it is tried once.
pub async fn roll_back(
    target: &dyn Target,
    earlier: Earlier,
    context: &StageContext<'_>,
    pauses: &[Duration],
) -> RolloutOutcome {
    let before = match earlier {
        Earlier::LastVerified | Earlier::Release(_) => serving(target).await,
        Earlier::Revision(_) => None,
    };
    let mut pauses = pauses.iter();
    loop {
        let outcome = target.roll_back(earlier, context.events, context.cancel).await;
        let Err(error) = &outcome else { return conclude(target, outcome) };
        let again = before.is_some()
            && is_transient(error)
            && pause(&mut pauses, "rollback", error, context.events, context.cancel).await
            && serving(target).await == before;
        if !again {
            return conclude(target, outcome);
        }
    }
}

/// Lets the last verified release serve again, as [`Target::restore`] has it; what fails for want
/// of something beside the release is tried again.
///
/// # Errors
/// As [`Target::restore`] does.
pub async fn restore(
    target: &dyn Target,
    failed: ReleaseId,
    events: &EventSink,
    hurry: &CancellationToken,
    pauses: &[Duration],
) -> Result<Restored, TargetError> {
    let mut pauses = pauses.iter();
    loop {
        let outcome = target.restore(failed, events, hurry).await;
        match outcome {
            Err(error)
                if is_transient(&error)
                    && pause(&mut pauses, "restore", &error, events, hurry).await => {}
            outcome => return outcome,
        }
    }
}

/// Whether the same attempt may well succeed a little later: nothing is wrong with the release, nor
/// with whoever asks.
fn is_transient(error: &TargetError) -> bool {
    matches!(
        error.kind,
        TargetErrorKind::Release | TargetErrorKind::Target | TargetErrorKind::AddressInUse
    ) && error.class == FailureClass::Infrastructure
}

/// The release that the target calls serving; `None` when it cannot say.
async fn serving(target: &dyn Target) -> Option<Option<ReleaseId>> {
    let status = tokio::time::timeout(ANSWER, target.status()).await.ok()?.ok()?;
    Some(status.serving.map(|(release, _)| release.id))
}

/// Waits before another attempt, and says so; `false` when there is to be none.
async fn pause(
    pauses: &mut std::slice::Iter<'_, Duration>,
    what: &str,
    error: &TargetError,
    events: &EventSink,
    cancel: &CancellationToken,
) -> bool {
    let Some(pause) = pauses.next().filter(|_| !cancel.is_cancelled()) else { return false };
    let text =
        format!("the {what} failed: {}; trying again in {} s", error_chain(error), pause.as_secs());
    events.send(RunEvent::Notice(Notice::Warning(text)));
    tokio::select! {
        () = tokio::time::sleep(*pause) => true,
        () = cancel.cancelled() => false,
    }
}

fn conclude(target: &dyn Target, outcome: Result<Deployed, TargetError>) -> RolloutOutcome {
    match outcome {
        Ok(deployed) => RolloutOutcome::Deployed(deployed),
        Err(error) => match error.kind {
            TargetErrorKind::Cancelled => RolloutOutcome::Cancelled,
            // None of them is a fault of the code.
            TargetErrorKind::Target => {
                // A credential or a limit stays what it is; nobody is asked to repair either.
                let class = match error.class {
                    class @ (FailureClass::Auth | FailureClass::Quota) => class,
                    FailureClass::Code
                    | FailureClass::Config
                    | FailureClass::Flaky
                    | FailureClass::Infrastructure
                    | FailureClass::Timeout
                    | FailureClass::Unknown => FailureClass::Infrastructure,
                };
                RolloutOutcome::Failed(failure(target, error, Some(class)))
            }
            TargetErrorKind::Held | TargetErrorKind::AddressInUse => {
                let class = Some(FailureClass::Infrastructure);
                RolloutOutcome::Failed(failure(target, error, class))
            }
            // Nothing is out of order: there is nothing to classify.
            TargetErrorKind::NoRelease
            | TargetErrorKind::Superseded
            | TargetErrorKind::Forbidden => {
                let class = Some(FailureClass::Unknown);
                RolloutOutcome::Declined(failure(target, error, class))
            }
            TargetErrorKind::Release => RolloutOutcome::Failed(failure(target, error, None)),
        },
    }
}

fn failure(target: &dyn Target, error: TargetError, class: Option<FailureClass>) -> Box<Failure> {
    let mut error = error;
    error.class = class.unwrap_or(error.class);
    target_failure(Stage::Rollout, target.kind().name(), error)
}

/// What a target's error comes to as a failure of `stage`.
pub fn target_failure(stage: Stage, name: &str, error: TargetError) -> Box<Failure> {
    let message = error_chain(&error);
    let telling = normalise(&message);
    let lines: Vec<String> = error
        .evidence
        .excerpts
        .iter()
        .flat_map(|excerpt| excerpt.text.lines().map(normalise))
        .collect();
    let mut identity = vec![stage.name(), name, telling.as_str()];
    identity.extend(lines.iter().map(String::as_str));
    Box::new(Failure {
        stage,
        name: name.to_owned(),
        headline: message,
        class: error.class,
        fingerprint: combined(&identity),
        flaky_suspect: false,
        symptoms: BTreeSet::from([format!("{stage}: {telling}")]),
        evidence: *error.evidence,
    })
}
