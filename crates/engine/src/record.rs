//! The machine's inputs and effects, and what it knows of a run, as they stand in the audit log. The
//! machine's own types are written; what an older program did not know has a default there.
//!
//! An input is the event `input`, an effect the event `intent`; both carry `"v": 1`.

use serde::{Deserialize, Serialize};

use super::machine::{Effect, Input, RunSpec};

/// A record that this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not the JSON of a record, or a word in it that is not one of ours, such as a stage's name.
    #[error("unexpected format of the record")]
    Json(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error("unsupported record version {0}")]
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

/// An input as the data of an `input` event.
pub(super) fn write_input(input: &Input) -> Result<serde_json::Value, RecordError> {
    seal(input)
}

/// The input that an `input` event's data describes.
pub(super) fn read_input(data: &serde_json::Value) -> Result<Input, RecordError> {
    unseal(data)
}

/// An effect in words: what an `intent` event carries, and what replay compares.
pub(super) fn write_effect(effect: &Effect) -> serde_json::Value {
    // Words, numbers and texts: that cannot fail.
    let mut value = serde_json::to_value(effect).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("v".to_owned(), VERSION.into());
    }
    value
}

/// The spec as part of the first record.
pub(super) fn write_run_spec(spec: &RunSpec) -> Result<serde_json::Value, RecordError> {
    seal(spec)
}

/// The spec that a first record describes.
pub(super) fn read_run_spec(data: &serde_json::Value) -> Result<RunSpec, RecordError> {
    unseal(data)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::machine::{Confirmation, Event, FailureInput, Mode, Rules};
    use greenloop_model::{
        Decision, FailureClass, Fingerprint, Limits, NoPatchClass, ReviewVerdict, Stage,
        StopReason, Usage,
    };

    fn symptom() -> FailureInput {
        FailureInput {
            stage: Stage::Smoke,
            name: "Dashboard Load".into(),
            class: FailureClass::Timeout,
            fingerprint: Fingerprint::from_digest([9; 8]),
            headline: "Dashboard Load: no answer in 5s".into(),
            person_only: true,
            flaky_suspect: true,
        }
    }

    fn every_input() -> Vec<Input> {
        let tree: greenloop_model::TreeId = "ab".repeat(20).parse().unwrap();
        let spent = Usage {
            requests: 1,
            input_tokens: 2,
            cached_tokens: 0,
            output_tokens: 3,
            cost_usd: 0.25,
        };
        let at = Duration::from_millis(1_234);
        let happened = [
            Event::Started,
            Event::Resumed { attended: None },
            Event::Resumed { attended: Some(false) },
            Event::StagePassed,
            Event::StageFailed(symptom()),
            Event::RerunPassed,
            Event::RerunFailed(symptom()),
            Event::Doubted { symptom: symptom(), request: "accept it?".into(), person: true },
            Event::Restored { serving: true },
            Event::RestoreFailed { reason: "gone".into() },
            Event::Declined { reason: "superseded".into() },
            Event::Proposed {
                tree: tree.clone(),
                decision: Decision::NeedsHuman,
                answer: Some(Fingerprint::from_digest([1; 8])),
                refusal: Some(Fingerprint::from_digest([2; 8])),
                wants: Some(Confirmation { request: "apply it?".into(), avoidable: true }),
            },
            Event::Refused {
                reason: "ambiguous".into(),
                answer: Some(Fingerprint::from_digest([3; 8])),
                refusal: None,
            },
            Event::NoPatch { class: NoPatchClass::NeedsHuman, reason: "a decision".into() },
            Event::ModelFailed { reason: "down".into(), configured: false },
            Event::Reviewed {
                verdict: ReviewVerdict::Reject,
                review: Some(Fingerprint::from_digest([4; 8])),
                reason: "no".into(),
            },
            Event::HumanDecided { approved: None, request: "deploy?".into() },
            Event::Applied { tree: tree.clone() },
            Event::TasksMerged { tree },
            Event::MarkedVerified,
            Event::Broke { reason: "disk".into() },
            Event::Cancelled,
        ];
        happened.into_iter().map(|what| Input { at, spent, what }).collect()
    }

    #[test]
    fn every_input_reads_back_as_it_was_written() {
        for input in every_input() {
            let text = write_input(&input).unwrap().to_string();
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(read_input(&read).unwrap(), input, "{text}");
        }
    }

    /// The log outlives the program: what stands in the snapshot is in logs that have to be read.
    #[test]
    fn records_are_written_as_ever() {
        let mut lines: Vec<String> =
            every_input().iter().map(|input| write_input(input).unwrap().to_string()).collect();
        let (iteration, stage) = (2, Stage::Gates);
        for effect in [
            Effect::RunStage { iteration, stage },
            Effect::Rerun { iteration, stage, name: "test".into() },
            Effect::Restore,
            Effect::AskAuthor { iteration, again: true },
            Effect::AskReviewer { iteration },
            Effect::AskHumanForPatch { iteration },
            Effect::AskHumanForRollout { iteration },
            Effect::AskHumanForProof { iteration },
            Effect::Apply { iteration },
            Effect::MarkVerified,
            Effect::Finish(StopReason::Verified),
            Effect::Finish(StopReason::NoModel { failure: None, reason: "no key".into() }),
            Effect::Finish(StopReason::NotHealable { class: FailureClass::Auth, stage }),
        ] {
            lines.push(write_effect(&effect).to_string());
        }
        for (mode, rules, max_duration) in [
            (Mode::Heal, Rules::V1, None),
            (Mode::Verify, Rules::V2, Some(Duration::from_secs(90))),
            (Mode::RollBack, Rules::V2, None),
        ] {
            let spec = RunSpec {
                stages: vec![
                    Stage::Gates,
                    Stage::Tasks,
                    Stage::Image,
                    Stage::Rollout,
                    Stage::Smoke,
                ],
                limits: Limits {
                    max_iterations: 5,
                    no_progress_threshold: 3,
                    max_tokens: Some(1_000_000),
                    max_cost_usd: max_duration.map(|_| 2.5),
                    max_duration,
                },
                mode,
                approve_rollout: true,
                attended: false,
                rules,
                tree: "ab".repeat(20).parse().unwrap(),
            };
            let written = write_run_spec(&spec).unwrap();
            assert_eq!(read_run_spec(&written).unwrap(), spec);
            lines.push(written.to_string());
        }
        let expect = include_str!("../../../tests/fixtures/records/machine.jsonl");
        assert_eq!(lines.join("\n"), expect.trim_end());
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
        assert_eq!(resumed, Event::Resumed { attended: None });
        let refused = read(serde_json::json!({"happened": "refused", "reason": "x"}));
        let expect = Event::Refused { reason: "x".into(), answer: None, refusal: None };
        assert_eq!(refused, expect);
    }

    #[test]
    fn a_record_of_a_newer_form_is_refused() {
        let data = serde_json::json!({"v": 2, "at_ms": 0, "happened": "started"});
        assert!(matches!(read_input(&data), Err(RecordError::Version(2))));
    }
}
