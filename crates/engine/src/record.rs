//! The machine's inputs and effects as they stand in the audit log: versioned records, apart
//! from the domain types, so that an old log can be read by a newer program.
//!
//! An input is the event `input`, an effect the event `intent`; both carry `"v": 1`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::machine::{Confirmation, Course, Effect, Happened, Input, Mode, Rules, Symptom};
use greenloop_model::{
    Decision, FailureClass, Fingerprint, Limits, NoPatchClass, Stage, StopReason, Usage, Verdict,
};

/// A record that this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not the JSON of a record.
    #[error("not a record of this form")]
    Json(#[from] serde_json::Error),
    /// A word that is not one of ours, such as a stage's name.
    #[error("{value:?} is not a {what}")]
    Word { what: &'static str, value: String },
    /// Written by a newer program.
    #[error("version {0} of the record's form is not known to this program")]
    Version(u32),
}

const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Envelope<T> {
    v: u32,
    #[serde(flatten)]
    record: T,
}

fn seal<T: Serialize>(record: T) -> Result<serde_json::Value, RecordError> {
    Ok(serde_json::to_value(Envelope { v: VERSION, record })?)
}

fn unseal<T: for<'de> Deserialize<'de>>(value: &serde_json::Value) -> Result<T, RecordError> {
    let version = value.get("v").and_then(serde_json::Value::as_u64).unwrap_or(0) as u32;
    if version != VERSION {
        return Err(RecordError::Version(version));
    }
    Ok(T::deserialize(value)?)
}

fn word<T>(what: &'static str, value: &str, parsed: Option<T>) -> Result<T, RecordError> {
    parsed.ok_or_else(|| RecordError::Word { what, value: value.to_owned() })
}

fn stage(name: &str) -> Result<Stage, RecordError> {
    word("stage", name, Stage::from_name(name))
}

fn decision(name: &str) -> Result<Decision, RecordError> {
    word("decision", name, Decision::from_name(name))
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct UsageRecord {
    requests: u32,
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: f64,
}

impl From<Usage> for UsageRecord {
    fn from(usage: Usage) -> Self {
        let Usage { requests, input_tokens, output_tokens, cost_usd } = usage;
        Self { requests, input_tokens, output_tokens, cost_usd }
    }
}

impl From<UsageRecord> for Usage {
    fn from(record: UsageRecord) -> Self {
        let UsageRecord { requests, input_tokens, output_tokens, cost_usd } = record;
        Self { requests, input_tokens, output_tokens, cost_usd }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct SymptomRecord {
    stage: String,
    name: String,
    class: String,
    fingerprint: String,
    /// Not in the records of older programs.
    #[serde(default)]
    headline: String,
    #[serde(default)]
    person_only: bool,
    flaky_suspect: bool,
}

impl From<&Symptom> for SymptomRecord {
    fn from(symptom: &Symptom) -> Self {
        let Symptom { stage, name, class, fingerprint, headline, person_only, flaky_suspect } =
            symptom;
        Self {
            stage: stage.name().to_owned(),
            name: name.clone(),
            class: class.name().to_owned(),
            fingerprint: fingerprint.to_string(),
            headline: headline.clone(),
            person_only: *person_only,
            flaky_suspect: *flaky_suspect,
        }
    }
}

impl SymptomRecord {
    fn read(self) -> Result<Symptom, RecordError> {
        Ok(Symptom {
            stage: stage(&self.stage)?,
            class: word("class", &self.class, FailureClass::from_name(&self.class))?,
            fingerprint: word(
                "fingerprint",
                &self.fingerprint,
                Fingerprint::parse(&self.fingerprint),
            )?,
            name: self.name,
            headline: self.headline,
            person_only: self.person_only,
            flaky_suspect: self.flaky_suspect,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct ConfirmationRecord {
    request: String,
    avoidable: bool,
}

/// The identities are not in the records of older programs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "happened", rename_all = "snake_case")]
enum HappenedRecord {
    Started,
    Resumed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attended: Option<bool>,
    },
    StagePassed,
    StageFailed {
        failure: SymptomRecord,
    },
    RerunPassed,
    RerunFailed {
        failure: SymptomRecord,
    },
    Doubted {
        failure: SymptomRecord,
        request: String,
        person: bool,
    },
    Restored {
        serving: bool,
    },
    RestoreFailed {
        reason: String,
    },
    Declined {
        reason: String,
    },
    Proposed {
        tree: String,
        decision: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refusal: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wants: Option<ConfirmationRecord>,
    },
    Refused {
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refusal: Option<String>,
    },
    NoPatch {
        class: String,
        reason: String,
    },
    ModelFailed {
        reason: String,
        configured: bool,
    },
    Reviewed {
        approved: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        review: Option<String>,
        #[serde(default)]
        reason: String,
    },
    HumanDecided {
        approved: Option<bool>,
        request: String,
    },
    Applied {
        tree: String,
    },
    TasksMerged {
        tree: String,
    },
    MarkedVerified,
    Broke {
        reason: String,
    },
    Cancelled,
}

impl From<&Happened> for HappenedRecord {
    fn from(what: &Happened) -> Self {
        match what {
            Happened::Started => Self::Started,
            Happened::Resumed { attended } => Self::Resumed { attended: *attended },
            Happened::StagePassed => Self::StagePassed,
            Happened::StageFailed(symptom) => Self::StageFailed { failure: symptom.into() },
            Happened::RerunPassed => Self::RerunPassed,
            Happened::RerunFailed(symptom) => Self::RerunFailed { failure: symptom.into() },
            Happened::Doubted { symptom, request, person } => {
                Self::Doubted { failure: symptom.into(), request: request.clone(), person: *person }
            }
            Happened::Restored { serving } => Self::Restored { serving: *serving },
            Happened::RestoreFailed { reason } => Self::RestoreFailed { reason: reason.clone() },
            Happened::Declined { reason } => Self::Declined { reason: reason.clone() },
            Happened::Proposed { tree, decision, answer, refusal, wants } => Self::Proposed {
                tree: tree.to_string(),
                decision: decision.name().to_owned(),
                answer: answer.as_ref().map(ToString::to_string),
                refusal: refusal.as_ref().map(ToString::to_string),
                wants: wants.as_ref().map(|Confirmation { request, avoidable }| {
                    ConfirmationRecord { request: request.clone(), avoidable: *avoidable }
                }),
            },
            Happened::Refused { reason, answer, refusal } => Self::Refused {
                reason: reason.clone(),
                answer: answer.as_ref().map(ToString::to_string),
                refusal: refusal.as_ref().map(ToString::to_string),
            },
            Happened::NoPatch { class, reason } => {
                Self::NoPatch { class: class.name().to_owned(), reason: reason.clone() }
            }
            Happened::ModelFailed { reason, configured } => {
                Self::ModelFailed { reason: reason.clone(), configured: *configured }
            }
            Happened::Reviewed { verdict, review, reason } => Self::Reviewed {
                approved: *verdict == Verdict::Approve,
                review: review.as_ref().map(ToString::to_string),
                reason: reason.clone(),
            },
            Happened::HumanDecided { approved, request } => {
                Self::HumanDecided { approved: *approved, request: request.clone() }
            }
            Happened::Applied { tree } => Self::Applied { tree: tree.to_string() },
            Happened::TasksMerged { tree } => Self::TasksMerged { tree: tree.to_string() },
            Happened::MarkedVerified => Self::MarkedVerified,
            Happened::Broke { reason } => Self::Broke { reason: reason.clone() },
            Happened::Cancelled => Self::Cancelled,
        }
    }
}

impl HappenedRecord {
    fn read(self) -> Result<Happened, RecordError> {
        let tree = |text: &str| word("tree id", text, text.parse().ok());
        Ok(match self {
            Self::Started => Happened::Started,
            Self::Resumed { attended } => Happened::Resumed { attended },
            Self::StagePassed => Happened::StagePassed,
            Self::StageFailed { failure } => Happened::StageFailed(failure.read()?),
            Self::RerunPassed => Happened::RerunPassed,
            Self::RerunFailed { failure } => Happened::RerunFailed(failure.read()?),
            Self::Doubted { failure, request, person } => {
                Happened::Doubted { symptom: failure.read()?, request, person }
            }
            Self::Restored { serving } => Happened::Restored { serving },
            Self::RestoreFailed { reason } => Happened::RestoreFailed { reason },
            Self::Declined { reason } => Happened::Declined { reason },
            Self::Proposed { tree: text, decision: name, answer, refusal, wants } => {
                Happened::Proposed {
                    tree: tree(&text)?,
                    decision: decision(&name)?,
                    answer: identity(answer)?,
                    refusal: identity(refusal)?,
                    wants: wants.map(|ConfirmationRecord { request, avoidable }| Confirmation {
                        request,
                        avoidable,
                    }),
                }
            }
            Self::Refused { reason, answer, refusal } => {
                Happened::Refused { reason, answer: identity(answer)?, refusal: identity(refusal)? }
            }
            Self::NoPatch { class, reason } => Happened::NoPatch {
                class: word("class", &class, NoPatchClass::from_name(&class))?,
                reason,
            },
            Self::ModelFailed { reason, configured } => {
                Happened::ModelFailed { reason, configured }
            }
            Self::Reviewed { approved, review, reason } => Happened::Reviewed {
                verdict: if approved { Verdict::Approve } else { Verdict::Reject },
                review: identity(review)?,
                reason,
            },
            Self::HumanDecided { approved, request } => {
                Happened::HumanDecided { approved, request }
            }
            Self::Applied { tree: text } => Happened::Applied { tree: tree(&text)? },
            Self::TasksMerged { tree: text } => Happened::TasksMerged { tree: tree(&text)? },
            Self::MarkedVerified => Happened::MarkedVerified,
            Self::Broke { reason } => Happened::Broke { reason },
            Self::Cancelled => Happened::Cancelled,
        })
    }
}

fn identity(text: Option<String>) -> Result<Option<Fingerprint>, RecordError> {
    text.map(|text| word("fingerprint", &text, Fingerprint::parse(&text))).transpose()
}

#[derive(Debug, Serialize, Deserialize)]
struct InputRecord {
    at_ms: u64,
    spent: UsageRecord,
    #[serde(flatten)]
    what: HappenedRecord,
}

/// An input as the data of an `input` event.
pub(super) fn write_input(input: &Input) -> Result<serde_json::Value, RecordError> {
    let Input { at, spent, what } = input;
    seal(InputRecord { at_ms: at.as_millis() as u64, spent: (*spent).into(), what: what.into() })
}

/// The input that an `input` event's data describes.
pub(super) fn read_input(data: &serde_json::Value) -> Result<Input, RecordError> {
    let InputRecord { at_ms, spent, what } = unseal(data)?;
    Ok(Input { at: Duration::from_millis(at_ms), spent: spent.into(), what: what.read()? })
}

/// An effect in words: what an `intent` event carries, and what replay compares.
pub(super) fn write_effect(effect: &Effect) -> serde_json::Value {
    let mut value = match effect {
        Effect::RunStage { iteration, stage } => {
            serde_json::json!({"effect": "run_stage", "iteration": iteration, "stage": stage.name()})
        }
        Effect::Rerun { iteration, stage, name } => serde_json::json!({
            "effect": "rerun", "iteration": iteration, "stage": stage.name(), "name": name,
        }),
        Effect::Restore => serde_json::json!({"effect": "restore"}),
        Effect::AskAuthor { iteration, again } => {
            serde_json::json!({"effect": "ask_author", "iteration": iteration, "again": again})
        }
        Effect::AskReviewer { iteration } => {
            serde_json::json!({"effect": "ask_reviewer", "iteration": iteration})
        }
        Effect::AskHumanForPatch { iteration } => {
            serde_json::json!({"effect": "ask_human_for_patch", "iteration": iteration})
        }
        Effect::AskHumanForRollout { iteration } => {
            serde_json::json!({"effect": "ask_human_for_rollout", "iteration": iteration})
        }
        Effect::AskHumanForProof { iteration } => {
            serde_json::json!({"effect": "ask_human_for_proof", "iteration": iteration})
        }
        Effect::Apply { iteration } => {
            serde_json::json!({"effect": "apply", "iteration": iteration})
        }
        Effect::MarkVerified => serde_json::json!({"effect": "mark_verified"}),
        Effect::Finish(reason) => serde_json::json!({
            "effect": "finish", "stop": stop_word(reason), "reason": reason.to_string(),
        }),
    };
    if let Some(object) = value.as_object_mut() {
        object.insert("v".to_owned(), VERSION.into());
    }
    value
}

/// One word for a stop reason, for machines that read the log.
pub fn stop_word(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::Verified => "verified",
        StopReason::MaxIterations { .. } => "max_iterations",
        StopReason::NoProgress { .. } => "no_progress",
        StopReason::RepeatedAnswer { .. } => "repeated_answer",
        StopReason::RepeatedTree { .. } => "repeated_tree",
        StopReason::Budget { .. } => "budget",
        StopReason::NotHealable { .. } => "not_healable",
        StopReason::NoPatch { .. } => "no_patch",
        StopReason::NeedsHuman { .. } => "needs_human",
        StopReason::Declined { .. } => "declined",
        StopReason::NoHealing { .. } => "no_healing",
        StopReason::ModelUnavailable { .. } => "model_unavailable",
        // The failure is what the run ended with; that no model was there is a remark.
        StopReason::NoModel { .. } => "failed",
        StopReason::Internal { .. } => "internal",
        StopReason::Cancelled => "cancelled",
        StopReason::Abandoned => "abandoned",
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct CourseRecord {
    stages: Vec<String>,
    max_iterations: u32,
    no_progress_threshold: u32,
    max_tokens: Option<u64>,
    max_cost_usd: Option<f64>,
    max_duration_ms: Option<u64>,
    mode: String,
    approve_rollout: bool,
    #[serde(default = "always_attended")]
    attended: bool,
    #[serde(default = "first_rules")]
    rules: u32,
    tree: String,
}

/// Older programs did not ask.
const fn always_attended() -> bool {
    true
}

/// Older programs knew no others.
const fn first_rules() -> u32 {
    Rules::V1.number()
}

/// The course as part of the first record.
pub(super) fn write_course(course: &Course) -> Result<serde_json::Value, RecordError> {
    let Course { stages, limits, mode, approve_rollout, attended, rules, tree } = course;
    let Limits { max_iterations, no_progress_threshold, max_tokens, max_cost_usd, max_duration } =
        limits;
    seal(CourseRecord {
        stages: stages.iter().map(|s| s.name().to_owned()).collect(),
        max_iterations: *max_iterations,
        no_progress_threshold: *no_progress_threshold,
        max_tokens: *max_tokens,
        max_cost_usd: *max_cost_usd,
        max_duration_ms: max_duration.map(|d| d.as_millis() as u64),
        mode: mode.name().to_owned(),
        approve_rollout: *approve_rollout,
        attended: *attended,
        rules: rules.number(),
        tree: tree.to_string(),
    })
}

/// The course that a first record describes.
pub(super) fn read_course(data: &serde_json::Value) -> Result<Course, RecordError> {
    let record: CourseRecord = unseal(data)?;
    Ok(Course {
        stages: record.stages.iter().map(|s| stage(s)).collect::<Result<_, _>>()?,
        limits: Limits {
            max_iterations: record.max_iterations,
            no_progress_threshold: record.no_progress_threshold,
            max_tokens: record.max_tokens,
            max_cost_usd: record.max_cost_usd,
            max_duration: record.max_duration_ms.map(Duration::from_millis),
        },
        mode: word("mode", &record.mode, Mode::from_name(&record.mode))?,
        approve_rollout: record.approve_rollout,
        attended: record.attended,
        rules: word("set of rules", &record.rules.to_string(), Rules::from_number(record.rules))?,
        tree: word("tree id", &record.tree, record.tree.parse().ok())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symptom() -> Symptom {
        Symptom {
            stage: Stage::Smoke,
            name: "Dashboard Load".into(),
            class: FailureClass::Timeout,
            fingerprint: Fingerprint::from_digest([9; 8]),
            headline: "Dashboard Load: no answer in 5s".into(),
            person_only: true,
            flaky_suspect: true,
        }
    }

    #[test]
    fn every_input_reads_back_as_it_was_written() {
        let tree: greenloop_model::TreeId = "ab".repeat(20).parse().unwrap();
        for what in [
            Happened::Started,
            Happened::Resumed { attended: None },
            Happened::Resumed { attended: Some(false) },
            Happened::StagePassed,
            Happened::StageFailed(symptom()),
            Happened::RerunPassed,
            Happened::RerunFailed(symptom()),
            Happened::Doubted { symptom: symptom(), request: "accept it?".into(), person: true },
            Happened::Restored { serving: true },
            Happened::RestoreFailed { reason: "gone".into() },
            Happened::Declined { reason: "superseded".into() },
            Happened::Proposed {
                tree: tree.clone(),
                decision: Decision::NeedsHuman,
                answer: Some(Fingerprint::from_digest([1; 8])),
                refusal: Some(Fingerprint::from_digest([2; 8])),
                wants: Some(Confirmation { request: "apply it?".into(), avoidable: true }),
            },
            Happened::Refused {
                reason: "ambiguous".into(),
                answer: Some(Fingerprint::from_digest([3; 8])),
                refusal: None,
            },
            Happened::NoPatch { class: NoPatchClass::NeedsHuman, reason: "a decision".into() },
            Happened::ModelFailed { reason: "down".into(), configured: false },
            Happened::Reviewed {
                verdict: Verdict::Reject,
                review: Some(Fingerprint::from_digest([4; 8])),
                reason: "no".into(),
            },
            Happened::HumanDecided { approved: None, request: "deploy?".into() },
            Happened::Applied { tree: tree.clone() },
            Happened::TasksMerged { tree },
            Happened::MarkedVerified,
            Happened::Broke { reason: "disk".into() },
            Happened::Cancelled,
        ] {
            let spent = Usage { requests: 1, input_tokens: 2, output_tokens: 3, cost_usd: 0.25 };
            let input = Input { at: Duration::from_millis(1_234), spent, what };
            let written = write_input(&input).unwrap();
            let text = written.to_string();
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(read_input(&read).unwrap(), input, "{text}");
        }
    }

    #[test]
    fn an_input_of_an_older_program_lacks_what_it_did_not_know() {
        let read = |happened: serde_json::Value| {
            let spent = serde_json::json!({
                "requests": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0,
            });
            let mut data = serde_json::json!({"v": 1, "at_ms": 0, "spent": spent});
            let fields = data.as_object_mut().unwrap();
            fields.extend(happened.as_object().unwrap().clone());
            read_input(&data).unwrap().what
        };
        let resumed = read(serde_json::json!({"happened": "resumed"}));
        assert_eq!(resumed, Happened::Resumed { attended: None });
        let refused = read(serde_json::json!({"happened": "refused", "reason": "x"}));
        let expect = Happened::Refused { reason: "x".into(), answer: None, refusal: None };
        assert_eq!(refused, expect);
    }

    #[test]
    fn a_record_of_a_newer_form_is_refused() {
        let data = serde_json::json!({"v": 2, "at_ms": 0, "happened": "started"});
        assert!(matches!(read_input(&data), Err(RecordError::Version(2))));
    }
}
