//! What the records of a dead run tell the process that goes on with it, and what becomes of its
//! fix.

use std::process::Command;

use super::*;

fn record(event: &str, data: serde_json::Value) -> Record {
    Record {
        seq: 0,
        prev: String::new(),
        hash: String::new(),
        wall: jiff::Timestamp::UNIX_EPOCH,
        mono_ms: 0,
        run: RunId::generate(),
        actor: Actor::Machine,
        event: event.to_owned(),
        data,
    }
}

fn proposed(iteration: u32, rule: &str, decision: Decision) -> [Record; 2] {
    let diff = format!("+{rule}");
    let found = json!({
        "rule": rule, "decision": decision.name(), "path": "ci.yml", "line": 3, "detail": "why",
    });
    [
        record("author.proposed", json!({"iteration": iteration, "diff": diff, "reason": "x"})),
        record(
            "policy.evaluated",
            json!({"iteration": iteration, "decision": decision.name(), "matches": [found]}),
        ),
    ]
}

fn failed(headline: &str) -> Record {
    record("stage.failed", json!({"iteration": 1, "headline": headline}))
}

#[test]
fn every_outcome_of_a_try_is_rebuilt_from_the_records() {
    let mut records = vec![failed("gate test failed")];
    records.extend(proposed(1, "never_delete", Decision::Forbid));
    records.extend(proposed(2, "ci_files", Decision::NeedsHuman));
    let missing = json!({"iteration": 2, "request": "apply it?", "avoidable": true});
    records.push(record("human.missing", missing));
    let refused = json!({"iteration": 2, "reason": "ambiguous", "answer": "half"});
    records.push(record("author.refused", refused));
    records.extend(proposed(3, "allowed", Decision::Allow));
    let review = json!({"iteration": 3, "verdict": "reject", "risk": "low", "reason": "no"});
    records.push(record("reviewer.reviewed", review));
    records.extend(proposed(4, "allowed", Decision::Allow));
    records.push(record("apply.done", json!({"iteration": 4})));
    records.push(failed("gate lint failed"));
    records.extend(proposed(5, "never_delete", Decision::Forbid));
    records.push(failed("gate lint failed"));

    let attempts = attempts_of(&records);
    let told: Vec<(u32, &str)> = attempts.iter().map(|a| (a.iteration, a.diff.as_str())).collect();
    let expect = [
        (1, "+never_delete"),
        (2, "+ci_files"),
        (2, "half"),
        (3, "+allowed"),
        (4, "+allowed"),
        (5, "+never_delete"),
    ];
    assert_eq!(told, expect);
    let matched = |rule: &str, decision| {
        Evaluation::new(vec![RuleMatch {
            rule: rule.to_owned(),
            decision,
            path: RepoPath::new("ci.yml").ok(),
            line: Some(3),
            detail: "why".to_owned(),
        }])
    };
    let forbidden = matched("never_delete", Decision::Forbid);
    let wants = matched("ci_files", Decision::NeedsHuman);
    assert_eq!(attempts[0].outcome, AttemptOutcome::Forbidden { evaluation: forbidden });
    assert_eq!(attempts[1].outcome, AttemptOutcome::WantsPerson { evaluation: wants });
    assert_eq!(attempts[2].outcome, AttemptOutcome::Refused { reason: "ambiguous".into() });
    assert!(
        matches!(&attempts[3].outcome, AttemptOutcome::Rejected { review } if review.reason == "no")
    );
    let next = Some("gate lint failed".to_owned());
    assert_eq!(attempts[4].outcome, AttemptOutcome::Applied { next_failure: next });
    assert_eq!(attempts[5].headline, "gate lint failed");
}

#[test]
fn a_try_that_was_repeated_is_counted_and_told_once() {
    let mut records = vec![failed("gate test failed")];
    records.extend(proposed(1, "never_delete", Decision::Forbid));
    records.extend(proposed(2, "never_delete", Decision::Forbid));
    let attempts = attempts_of(&records);
    let told: Vec<(u32, u32)> = attempts.iter().map(|a| (a.iteration, a.times)).collect();
    assert_eq!(told, [(2, 2)]);
}

fn git(root: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=t", "-c", "user.email=t@localhost"]).args(arguments);
    assert!(git.current_dir(root).status().unwrap().success(), "git {arguments:?}");
}

/// Died after the fix was written and before the run's end.
#[test]
fn a_fix_that_came_back_is_put_back_only_while_head_is_where_it_was() {
    for moved in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        git(folder.path(), &["init", "-q", "-b", "main"]);
        write("1\n");
        git(folder.path(), &["add", "-A"]);
        git(folder.path(), &["commit", "-qm", "one"]);
        let workspace = Workspace::open(folder.path()).unwrap();
        write("2\n");
        let tip = workspace.snapshot().unwrap().commit;
        write("1\n");
        let base = workspace.snapshot().unwrap().commit;
        let run = RunId::generate();
        workspace.bring_back(run, &base, &tip).unwrap();
        if moved {
            git(folder.path(), &["commit", "-qam", "mine"]);
        }
        let did = put_fix_back(&workspace, run).unwrap().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, if moved { "2\n" } else { "1\n" }, "{did}");
        assert_eq!(did.contains("HEAD is no longer at"), moved, "{did}");
        assert_eq!(workspace.fixes().unwrap().len(), usize::from(moved), "{did}");
    }
}

/// Died while the gates ran with the base's own tests.
#[test]
fn what_gates_judge_by_is_put_back_as_patched() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("test_a.py"), text).unwrap();
    let read = || std::fs::read_to_string(folder.path().join("test_a.py")).unwrap();
    git(folder.path(), &["init", "-q", "-b", "main"]);
    write("patched\n");
    git(folder.path(), &["add", "-A"]);
    git(folder.path(), &["commit", "-qm", "one"]);
    let workspace = Workspace::open(folder.path()).unwrap();
    let tip = workspace.head().unwrap().commit;
    let intent = record("judge.intent", json!({"iteration": 2, "paths": ["test_a.py"]}));
    let done = record("judge.done", json!({"iteration": 2, "passed": true}));
    write("as it was\n");
    let records = [intent.clone(), done];
    assert_eq!(put_judges_back(&workspace, &records, &tip).unwrap(), None);
    assert_eq!(read(), "as it was\n");
    let did = put_judges_back(&workspace, &[intent], &tip).unwrap().unwrap();
    assert!(did.contains("1 file"), "{did}");
    assert_eq!(read(), "patched\n");
}
