//! `audit replay`: feeds a run's recorded inputs through the machine and compares what it
//! decides with what was done; each input must rest on the records that a run makes before it,
//! and the end on a decision of the machine.

use std::path::Path;

use super::machine::{OutOfOrder, State, step};
use super::record::{RecordError, read_input, read_run_spec, write_effect};
use super::record_forms::stop_word;
use super::supporting;
use greenloop_audit::{AuditError, RUN_FINISHED, Record};
use greenloop_model::StopReason;

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

/// An input, or an end, that the log does not account for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The record.
    pub seq: u64,
    /// What is wrong with it, after "record N: ".
    pub why: String,
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
    /// What the log does not account for; empty for a log that is whole.
    pub unsupported: Vec<Unsupported>,
}

/// A log that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log itself is broken.
    #[error("could not read the audit log")]
    Audit(#[from] AuditError),
    /// It died before `run.started`.
    #[error("the log has no run.started record, so the run did nothing yet")]
    Unborn,
    /// It has inputs and no `run.started`.
    #[error("the log has inputs, but no run.started record")]
    NoStart,
    /// A record of another form.
    #[error("could not read record {seq}")]
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
    let mut pending: Option<serde_json::Value> = None;
    let mut divergences = Vec::new();
    let mut unsupported = Vec::new();
    let mut since: Vec<&Record> = Vec::new();
    for record in records {
        match record.event.as_str() {
            "input" => {
                let input = read_input(&record.data).map_err(at(record.seq))?;
                let doing = pending.as_ref().and_then(|intent| intent.get("effect")?.as_str());
                let spec = state.spec();
                let missing = supporting::missing(&input.what, spec, doing, &since)
                    .map(|what| format!("there is no record of {what} before it"));
                let contradicting = supporting::contradicting(&input.what, &since)
                    .map(|what| format!("there is a record of {what} before it"));
                let faults = missing.into_iter().chain(contradicting);
                unsupported.extend(faults.map(|why| Unsupported { seq: record.seq, why }));
                since.clear();
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
                since.clear();
            }
            RUN_FINISHED => {
                let why = undecided_end(&state, record);
                unsupported.extend(why.map(|why| Unsupported { seq: record.seq, why }));
            }
            _other => since.push(record),
        }
    }
    // The last input was recorded and its intent was not: it is what comes next.
    let pending = decided.or(pending);
    Ok(Replayed { state, inputs, pending, divergences, unsupported })
}

/// Why the end of a log is not the one that the machine decided. A run whose log or repository
/// failed, or whose process died, ends without the machine, and never as a success.
fn undecided_end(state: &State, finished: &Record) -> Option<String> {
    let said = finished.data.get("outcome").and_then(serde_json::Value::as_str)?;
    let without_machine = [StopReason::Abandoned, StopReason::Internal { reason: String::new() }];
    if without_machine.iter().any(|reason| stop_word(reason) == said) {
        return None;
    }
    match state.stop_reason() {
        None => Some(format!("it ends as `{said}`, and the machine did not decide to end")),
        Some(reason) => {
            let decided = stop_word(reason);
            (decided != current_word(said))
                .then(|| format!("it ends as `{said}`, and the machine decided `{decided}`"))
        }
    }
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

    const LOGS: [&str; 5] = ["deployed", "healed", "failed", "no_model", "not_rolled_back"];

    fn records_of(name: &str) -> Vec<Record> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/records");
        greenloop_audit::read(&folder.join(name).join(greenloop_audit::FILE_NAME)).unwrap()
    }

    /// As somebody does who then hashes the rest again: each record that is not the machine's
    /// own input or intent is left out once, but for those that the machine does without.
    #[test]
    fn a_log_without_one_of_its_records_is_found() {
        let free = ["run.started", "apply.done", "rollout.intent", "rollout.switched", "rerun"];
        for name in LOGS {
            let records = records_of(name);
            for left_out in &records {
                let event = left_out.event.as_str();
                if ["input", "intent", RUN_FINISHED].contains(&event) || free.contains(&event) {
                    continue;
                }
                // Of a rerun that failed, either record is enough.
                let before = records[..left_out.seq as usize].iter().rev();
                if before.take(2).any(|r| r.data["effect"] == "rerun") {
                    continue;
                }
                let rest: Vec<Record> =
                    records.iter().filter(|r| r.seq != left_out.seq).cloned().collect();
                let replayed = replay(&rest).unwrap();
                assert!(!replayed.unsupported.is_empty(), "{name} without {event}");
            }
        }
    }

    #[test]
    fn a_heal_that_its_own_tests_speak_against_is_found() {
        let mut records = records_of("healed");
        let last = records.iter().rposition(|record| record.event == "stage.passed").unwrap();
        let mut proof = records[last].clone();
        proof.event = "gates.proof".to_owned();
        proof.data = json!({"proven": false, "complaints": []});
        records.insert(last, proof);
        assert_eq!(replay(&records).unwrap().unsupported, []);
        records[last].data["complaints"] = json!(["2 tests of the base commit no longer run"]);
        let found = replay(&records).unwrap().unsupported;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].why.contains("speak against"), "{found:?}");
    }

    #[test]
    fn an_end_that_the_machine_did_not_decide_is_found() {
        for name in LOGS {
            let records = records_of(name);
            let (end, before) = records.split_last().unwrap();
            assert_eq!(end.event, RUN_FINISHED);
            for kept in 1..before.len() {
                // Up to an intent: after an input, the machine may have decided the end already.
                if before[kept - 1].event == "input" {
                    continue;
                }
                let mut cut = before[..kept].to_vec();
                cut.push(end.clone());
                let replayed = replay(&cut).unwrap();
                let found = !replayed.unsupported.is_empty();
                assert_eq!(found, kept < before.len(), "{name}, {kept} records kept");
            }
            let mut other = records.clone();
            let said = if name == "healed" { "failed" } else { "verified" };
            other.last_mut().unwrap().data["outcome"] = said.into();
            let found = replay(&other).unwrap().unsupported;
            assert_eq!(found.is_empty(), name == "deployed", "{name}: {found:?}");
        }
    }

    /// The logs are from before the machine's own types were recorded: they are read, decided as
    /// they were, and what is written now is the same, to the byte.
    #[test]
    fn logs_of_earlier_programs_are_replayed_and_written_as_they_were() {
        let records = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/records");
        for name in LOGS {
            let log = records.join(name).join(greenloop_audit::FILE_NAME);
            let replayed = replay_file(&log).unwrap();
            assert!(replayed.inputs > 0, "{name}");
            assert!(replayed.divergences.is_empty(), "{name}: {:?}", replayed.divergences);
            assert!(replayed.unsupported.is_empty(), "{name}: {:?}", replayed.unsupported);
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
