//! `audit replay`: feeds a run's recorded inputs through the machine and compares what it
//! decides with what was done.

use std::path::Path;

use super::machine::{OutOfOrder, State, step};
use super::record::{RecordError, read_input, read_run_spec, write_effect};
use greenloop_audit::{AuditError, Record};

/// Where a log and the machine part.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// The record whose intent differs.
    pub seq: u64,
    /// What the machine decides.
    pub expected: serde_json::Value,
    /// What the log says was intended.
    pub recorded: serde_json::Value,
}

/// What a replay came to.
#[derive(Debug)]
pub struct Replayed {
    /// The machine after the last input.
    pub state: State,
    /// Inputs that were fed.
    pub inputs: usize,
    /// The last intent, when no input follows it: what was under way when the log ends.
    pub pending: Option<serde_json::Value>,
    /// Where log and machine part; empty for a log that tells the truth.
    pub divergences: Vec<Divergence>,
}

/// A log that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log itself is broken.
    #[error("the audit log cannot be read")]
    Audit(#[from] AuditError),
    /// It died before `run.started`.
    #[error("the log has no run.started record, so the run did nothing yet")]
    Unborn,
    /// It has inputs and no `run.started`.
    #[error("the log has inputs, but no run.started record")]
    NoStart,
    /// A record of another form.
    #[error("record {seq} cannot be read")]
    Record {
        seq: u64,
        #[source]
        source: RecordError,
    },
    /// An input that the machine cannot take there.
    #[error("record {seq} is out of order")]
    OutOfOrder {
        seq: u64,
        #[source]
        source: OutOfOrder,
    },
}

/// Whether two intents are the same decision. The `reason` of an end is its text for people: an
/// earlier program may have worded it otherwise, or have given the end another word.
fn same_intent(expected: &serde_json::Value, recorded: &serde_json::Value) -> bool {
    let decision = |intent: &serde_json::Value| {
        let mut intent = intent.clone();
        if let Some(fields) = intent.as_object_mut().filter(|f| f.contains_key("stop")) {
            fields.remove("reason");
            let stop = fields.get("stop").and_then(serde_json::Value::as_str).map(current_word);
            fields.insert("stop".to_owned(), stop.into());
        }
        intent
    };
    decision(expected) == decision(recorded)
}

/// The word for a stop reason today.
fn current_word(recorded: &str) -> &str {
    match recorded {
        "no_model" => "failed",
        same => same,
    }
}

/// Reads the log at `path` and replays it.
pub fn replay_file(path: &Path) -> Result<Replayed, ReplayError> {
    replay(&greenloop_audit::read(path)?)
}

/// Replays verified records.
pub fn replay(records: &[Record]) -> Result<Replayed, ReplayError> {
    let fed = records.iter().any(|r| r.event == "input" || r.event == "intent");
    let start = records.iter().find(|r| r.event == "run.started").ok_or(if fed {
        ReplayError::NoStart
    } else {
        ReplayError::Unborn
    })?;
    let at = |seq| move |source| ReplayError::Record { seq, source };
    let spec = start.data.get("course").unwrap_or(&serde_json::Value::Null);
    let mut state = State::new(read_run_spec(spec).map_err(at(start.seq))?);
    let mut inputs = 0;
    let mut decided: Option<serde_json::Value> = None;
    let mut pending = None;
    let mut divergences = Vec::new();
    for record in records {
        match record.event.as_str() {
            "input" => {
                let input = read_input(&record.data).map_err(at(record.seq))?;
                let (next, effect) = step(state, input)
                    .map_err(|source| ReplayError::OutOfOrder { seq: record.seq, source })?;
                state = next;
                inputs += 1;
                decided = Some(write_effect(&effect));
                pending = None;
            }
            "intent" => {
                let expected = decided.take().unwrap_or(serde_json::Value::Null);
                if !same_intent(&expected, &record.data) {
                    divergences.push(Divergence {
                        seq: record.seq,
                        expected,
                        recorded: record.data.clone(),
                    });
                }
                pending = Some(record.data.clone());
            }
            // What else is recorded tells people more; the machine does not depend on it.
            _other => {}
        }
    }
    // The last input was recorded and its intent was not: it is what comes next.
    let pending = decided.or(pending);
    Ok(Replayed { state, inputs, pending, divergences })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::{write_input, write_run_spec};

    /// The intents of a run without a model, as the first version recorded them and as they are
    /// decided now.
    #[test]
    fn an_end_that_was_worded_otherwise_is_the_same_decision() {
        let recorded = json!({
            "v": 1, "effect": "finish", "stop": "no_model", "reason": "no model is configured: x",
        });
        let now = json!({
            "v": 1, "effect": "finish", "stop": "failed",
            "reason": "gate lint failed; no model is configured: x",
        });
        assert!(same_intent(&now, &recorded));
        let verified =
            json!({"v": 1, "effect": "finish", "stop": "verified", "reason": "verified"});
        assert!(!same_intent(&verified, &recorded));
        let restore = json!({"v": 1, "effect": "restore"});
        assert!(same_intent(&restore, &restore) && !same_intent(&restore, &recorded));
    }

    /// The logs are from before the machine's own types were recorded: they are read, decided as
    /// they were, and what is written now is the same, to the byte.
    #[test]
    fn logs_of_earlier_programs_are_replayed_and_written_as_they_were() {
        let records = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/records");
        for name in ["deployed", "healed", "failed", "no_model", "not_rolled_back"] {
            let log = records.join(name).join(greenloop_audit::FILE_NAME);
            let replayed = replay_file(&log).unwrap();
            assert!(replayed.inputs > 0, "{name}");
            assert!(replayed.divergences.is_empty(), "{name}: {:?}", replayed.divergences);
            for record in greenloop_audit::read(&log).unwrap() {
                let written = match record.event.as_str() {
                    "input" => write_input(&read_input(&record.data).unwrap()).unwrap(),
                    "run.started" => {
                        let spec = &record.data["course"];
                        let written = write_run_spec(&read_run_spec(spec).unwrap()).unwrap();
                        assert_eq!(written.to_string(), spec.to_string(), "{name}");
                        continue;
                    }
                    _ => continue,
                };
                assert_eq!(written.to_string(), record.data.to_string(), "{name}");
            }
        }
    }
}
