//! Rollout: asks the target to roll out, and turns its errors into a failure.

use std::collections::BTreeSet;

use super::StageContext;
use super::identity::combined;
use greenloop_evidence::normalise;
use greenloop_model::{Failure, FailureClass, Stage, error_chain};
use greenloop_ports::{Deployed, Earlier, RolloutRequest, Target, TargetError, TargetErrorKind};

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

/// Lets an earlier release serve again.
pub async fn roll_back(
    target: &dyn Target,
    earlier: Earlier,
    context: &StageContext<'_>,
) -> RolloutOutcome {
    conclude(target, target.roll_back(earlier, context.events, context.cancel).await)
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
            TargetErrorKind::Held => {
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
