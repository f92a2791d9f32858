//! The hub as a witness of runs' audit logs.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::{Arc, Mutex};

use greenloop_audit::{Actor, Checkpoint, SigningKey, VerifyingKey, Writer, consistency_proof};
use greenloop_model::RunId;
use serde_json::{Value, json};

use super::program::Hub;
use super::stores::Place;

/// A log of `run` with six records, and its checkpoint after each.
fn log(path: &Path, run: RunId, word: &str) -> Vec<Checkpoint> {
    let mut writer = Writer::create(path, run, Box::new(str::to_owned)).unwrap();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    writer.checkpoint_every(NonZeroU64::MIN, Box::new(move |it| keep.lock().unwrap().push(it)));
    for n in 0..6 {
        writer.append(&Actor::Machine, "noted", json!({"word": word, "n": n})).unwrap();
    }
    drop(writer);
    Arc::into_inner(kept).unwrap().into_inner().unwrap()
}

fn submission(path: &Path, known: u64, checkpoint: &Checkpoint) -> Value {
    let proof = consistency_proof(path, known, checkpoint.records).unwrap().unwrap();
    json!({"checkpoint": checkpoint.to_string(), "known": known, "proof": proof.to_lines()})
}

#[tokio::test]
async fn a_log_is_signed_for_as_long_as_it_only_grows() {
    for place in Place::all() {
        let key = SigningKey::generate("hub").unwrap();
        let env = [("GREENLOOP_AUDIT_KEY", key.to_secret())];
        let hub = Hub::start_env(&place, &[], &env);
        let witness: VerifyingKey = key.as_witness();
        assert!(hub.greeting.contains(&witness.to_string()), "{}", hub.greeting);
        let run = RunId::generate();
        let (path, other) = (place.folder.path().join("a"), place.folder.path().join("b"));
        let (whole, forged) = (log(&path, run, "true"), log(&other, run, "false"));
        let worker = hub.client(&place.token(&["--scope", "work"]));
        let reader = hub.client(&place.token(&["--scope", "read"]));
        let at = format!("/checkpoints/{run}");
        reader.get(&at).await.problem(404, "not-found");

        // It must begin somewhere; what it began with is not replaced.
        worker.post("/checkpoints", submission(&path, 1, &whole[1])).await.problem(409, "conflict");
        let kept = worker.post("/checkpoints", submission(&path, 0, &whole[1])).await.expect(200);
        let kept: Checkpoint = kept["checkpoint"].as_str().unwrap().parse().unwrap();
        assert!(kept.is_of_same_log(&whole[1]) && kept.is_signed_by(&witness));
        for wrong in [
            submission(&other, 0, &forged[4]),
            submission(&other, 2, &forged[4]),
            submission(&path, 3, &whole[4]),
        ] {
            worker.post("/checkpoints", wrong).await.problem(409, "conflict");
        }
        let kept = worker.post("/checkpoints", submission(&path, 2, &whole[5])).await.expect(200);
        assert_eq!(reader.get(&at).await.expect(200), kept);
        let kept: Checkpoint = kept["checkpoint"].as_str().unwrap().parse().unwrap();
        assert!(kept.is_of_same_log(&whole[5]) && kept.is_signed_by(&witness));
        // A log does not shrink.
        let back = json!({"checkpoint": whole[1].to_string(), "known": 6, "proof": []});
        worker.post("/checkpoints", back).await.problem(409, "conflict");

        // Others add nothing to it, and say nothing at all without the scope.
        let second = hub.client(&place.token(&["--scope", "work"]));
        second.post("/checkpoints", submission(&path, 6, &whole[5])).await.problem(409, "conflict");
        reader
            .post("/checkpoints", submission(&path, 6, &whole[5]))
            .await
            .problem(403, "forbidden");
        let agent = hub.client(&place.token(&["--scope", "work", "--agent", "w1"]));
        agent.post("/checkpoints", submission(&path, 0, &whole[0])).await.problem(403, "forbidden");
        for (field, wrong) in [
            ("checkpoint", json!("greenloop/audit/x\n1\n\n\n")),
            ("checkpoint", json!("x".repeat(5000))),
            ("proof", json!(["AAAA"])),
            ("proof", json!(vec!["AAAA"; 200])),
        ] {
            let mut body = submission(&path, 6, &whole[5]);
            body[field] = wrong;
            worker.post("/checkpoints", body).await.problem(422, "invalid");
        }
    }
}

#[tokio::test]
async fn a_hub_without_a_key_keeps_checkpoints_unsigned() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    assert!(!hub.greeting.contains("signs as"), "{}", hub.greeting);
    let path = place.folder.path().join("log");
    let whole = log(&path, RunId::generate(), "true");
    let worker = hub.client(&place.token(&["--scope", "work"]));
    let kept = worker.post("/checkpoints", submission(&path, 0, &whole[5])).await.expect(200);
    assert_eq!(kept["checkpoint"], whole[5].to_string());
}
