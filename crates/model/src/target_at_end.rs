//! What runs on a target when a run has ended. Its record is older than what is known of a release
//! today, and programs outside read it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Condition, Endpoint, ReleaseId, Restoration, RunningNow};

/// What runs on the target when a run has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Record", try_from = "Record")]
pub struct TargetAtEnd {
    /// What the target says that it runs, asked when the run had ended; `None` for a run that
    /// concerns no target.
    pub serving: Option<RunningNow>,
    /// What became of the release that failed, when one was rolled back and none was rolled out
    /// after it.
    pub restored: Option<Restoration>,
    /// What the smoke tests of the run's commit say of the restored release, where they fail on it.
    pub restored_fails: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    serving: Option<Serving>,
    /// Why it is not known what serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serving_unknown: Option<String>,
    restored: bool,
    /// Absent where nothing was restored, and in the records of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restoration: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restored_fails: Option<String>,
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

impl From<TargetAtEnd> for Record {
    fn from(TargetAtEnd { serving, restored, restored_fails }: TargetAtEnd) -> Self {
        let (serving, serving_unknown) = match serving {
            Some(RunningNow::Release { release, endpoint, condition }) => {
                (Some(Serving::new(release, endpoint, &condition)), None)
            }
            Some(RunningNow::Unknown { why }) => (None, Some(why)),
            Some(RunningNow::Nothing) | None => (None, None),
        };
        Self {
            serving,
            serving_unknown,
            restored: restored.is_some_and(|restored| restored.release().is_some()),
            restoration: restored.map(Into::into),
            restored_fails,
        }
    }
}

impl TryFrom<Record> for TargetAtEnd {
    type Error = &'static str;

    fn try_from(record: Record) -> Result<Self, Self::Error> {
        let Record { serving, serving_unknown, restored, restoration, restored_fails } = record;
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
        Ok(Self { serving, restored, restored_fails })
    }
}
