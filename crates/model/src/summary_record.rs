//! The form in which a run's summary is recorded. It is older than what a summary says of a release
//! today, and readers outside rely on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Condition, Endpoint, Failure, FixPlace, ModelUsage, NextStep, Proof, ReleaseId, Restoration,
    RunSummary, RunningNow, StopReason, SummaryPatch, Usage,
};

#[derive(Serialize, Deserialize)]
pub(super) struct SummaryRecord {
    /// Why it ended, for programs.
    stop: StopReason,
    /// The same for people; not read back.
    #[serde(skip_deserializing)]
    verdict: String,
    iterations: u32,
    patches: Vec<SummaryPatch>,
    failure: Option<Box<Failure>>,
    serving: Option<Serving>,
    /// Why it is not known what serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serving_unknown: Option<String>,
    restored: bool,
    /// Absent where nothing was restored, and in the records of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restoration: Option<Outcome>,
    branch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fix: Option<FixPlace>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    flaky: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<Proof>,
    usage: Usage,
    /// Absent where no model was asked, and in the records of older programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    models: Vec<ModelUsage>,
    #[serde(rename = "elapsed_ms", with = "crate::millis")]
    elapsed: Duration,
    next_steps: Vec<NextStep>,
}

#[derive(Serialize, Deserialize)]
struct Serving {
    release: ReleaseId,
    #[serde(flatten)]
    endpoint: Endpoint,
    /// Absent in the records of programs that did not ask.
    #[serde(default)]
    condition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Outcome {
    outcome: OutcomeWord,
    release: Option<ReleaseId>,
    /// `null` when that was not waited for.
    #[serde(default, with = "crate::millis::option")]
    serving_after_ms: Option<Duration>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutcomeWord {
    Restored,
    Untouched,
    Nothing,
    Unconfirmed,
}

impl From<Restoration> for Outcome {
    fn from(restoration: Restoration) -> Self {
        let (outcome, serving_after_ms) = match restoration {
            Restoration::Restored { serving_after, .. } => (OutcomeWord::Restored, serving_after),
            Restoration::Untouched { .. } => (OutcomeWord::Untouched, None),
            Restoration::Nothing => (OutcomeWord::Nothing, None),
            Restoration::Unconfirmed => (OutcomeWord::Unconfirmed, None),
        };
        Self { outcome, release: restoration.release(), serving_after_ms }
    }
}

impl TryFrom<Outcome> for Restoration {
    type Error = &'static str;

    fn try_from(outcome: Outcome) -> Result<Self, Self::Error> {
        let serving_after = outcome.serving_after_ms;
        match (outcome.outcome, outcome.release) {
            (OutcomeWord::Restored, Some(release)) => Ok(Self::Restored { release, serving_after }),
            (OutcomeWord::Untouched, Some(release)) => Ok(Self::Untouched { release }),
            (OutcomeWord::Nothing, _) => Ok(Self::Nothing),
            (OutcomeWord::Unconfirmed, _) => Ok(Self::Unconfirmed),
            (OutcomeWord::Restored | OutcomeWord::Untouched, None) => {
                Err("a restoration without its release")
            }
        }
    }
}

impl Serving {
    fn new(release: ReleaseId, endpoint: Endpoint, condition: &Condition) -> Self {
        let reason = condition.reason().map(str::to_owned);
        Self { release, endpoint, condition: Some(condition.name().to_owned()), reason }
    }

    fn condition(&self) -> Result<Condition, &'static str> {
        let reason = self.reason.clone().unwrap_or_default();
        match self.condition.as_deref() {
            None | Some("serving") => Ok(Condition::Serves),
            Some("partly") => Ok(Condition::Partly(reason)),
            Some("down") => Ok(Condition::Down(reason)),
            Some("unknown") => Ok(Condition::Unknown(reason)),
            Some(_) => Err("an unknown condition of a release"),
        }
    }
}

impl From<RunSummary> for SummaryRecord {
    fn from(summary: RunSummary) -> Self {
        let verdict = summary.stop.to_string();
        let restored = summary.is_restored();
        let RunSummary {
            stop,
            iterations,
            patches,
            failure,
            serving,
            restored: restoration,
            branch,
            fix,
            flaky,
            proof,
            usage,
            models,
            elapsed,
            next_steps,
        } = summary;
        let (serving, serving_unknown) = match serving {
            Some(RunningNow::Release { release, endpoint, condition }) => {
                (Some(Serving::new(release, endpoint, &condition)), None)
            }
            Some(RunningNow::Unknown { why }) => (None, Some(why)),
            Some(RunningNow::Nothing) | None => (None, None),
        };
        let restoration = restoration.map(Into::into);
        Self {
            stop,
            verdict,
            iterations,
            patches,
            failure,
            serving,
            serving_unknown,
            restored,
            restoration,
            branch,
            fix,
            flaky,
            proof,
            usage,
            models,
            elapsed,
            next_steps,
        }
    }
}

impl TryFrom<SummaryRecord> for RunSummary {
    type Error = &'static str;

    fn try_from(record: SummaryRecord) -> Result<Self, Self::Error> {
        let SummaryRecord {
            stop,
            verdict: _,
            iterations,
            patches,
            failure,
            serving,
            serving_unknown,
            restored,
            restoration,
            branch,
            fix,
            flaky,
            proof,
            usage,
            models,
            elapsed,
            next_steps,
        } = record;
        let restored = match restoration {
            Some(outcome) => Some(outcome.try_into()?),
            // A record from before restorations were recorded in detail.
            None => serving.as_ref().filter(|_| restored).map(|serving| Restoration::Restored {
                release: serving.release,
                serving_after: None,
            }),
        };
        let serving = match (serving, serving_unknown) {
            (Some(serving), _) => {
                let condition = serving.condition()?;
                let Serving { release, endpoint, .. } = serving;
                Some(RunningNow::Release { release, endpoint, condition })
            }
            (None, Some(why)) => Some(RunningNow::Unknown { why }),
            (None, None) => None,
        };
        Ok(Self {
            stop,
            iterations,
            patches,
            failure,
            serving,
            restored,
            branch,
            fix,
            flaky,
            proof,
            usage,
            models,
            elapsed,
            next_steps,
        })
    }
}
