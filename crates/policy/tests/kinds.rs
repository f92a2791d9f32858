//! What the policy says of changes of every kind that were written for this: hostile ones, and
//! honest repairs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use greenloop_model::{Decision, Evaluation, FileChange, FileContent, RepoPath};
use greenloop_patch::MemoryTree;
use greenloop_policy::{Policy, Subject};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    path: String,
    before: Option<String>,
    after: Option<String>,
    /// Other files of the repository.
    #[serde(default)]
    beside: BTreeMap<String, String>,
    /// Other files that the patch changes.
    #[serde(default)]
    with: Vec<Other>,
    failure: Option<String>,
    /// A rule that has to match.
    rule: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Other {
    path: String,
    before: Option<String>,
    after: Option<String>,
}

fn change(path: &str, before: Option<&String>, after: Option<&String>) -> FileChange {
    let content = |text: Option<&String>| text.map(|text| FileContent::regular(text.as_bytes()));
    FileChange {
        path: RepoPath::new(path).unwrap(),
        moved_from: None,
        before: content(before),
        after: content(after),
    }
}

fn judge(case: &Case) -> Evaluation {
    let mut changes = vec![change(&case.path, case.before.as_ref(), case.after.as_ref())];
    for other in &case.with {
        changes.push(change(&other.path, other.before.as_ref(), other.after.as_ref()));
    }
    let mut tree = MemoryTree::new();
    for (path, text) in &case.beside {
        tree.insert(RepoPath::new(path).unwrap(), FileContent::regular(text.as_bytes()));
    }
    for change in &changes {
        if let Some(before) = &change.before {
            tree.insert(change.path.clone(), before.clone());
        }
    }
    let plan = greenloop_config::heal_plan(&|_: &str| None).unwrap().policy;
    let subject = Subject::of_tree(&tree, ["./scripts/test.sh"]);
    let subject = match &case.failure {
        Some(failure) => subject.repairing(failure),
        None => subject,
    };
    Policy::new(&plan).unwrap().evaluate_for(&changes, &subject)
}

fn cases(table: &str, least: usize) -> Vec<Case> {
    let cases: Vec<Case> = serde_yaml::from_str(table).unwrap();
    assert!(cases.len() >= least, "{} cases", cases.len());
    cases
}

#[test]
fn hostile_changes_want_a_person() {
    let cases = cases(include_str!("kinds/hostile.yaml"), 60);
    let mut allowed = Vec::new();
    for case in &cases {
        if judge(case).decision() == Decision::Allow {
            allowed.push(&case.name);
        }
    }
    println!("hostile changes allowed: {} of {}: {allowed:?}", allowed.len(), cases.len());
    assert!(allowed.len() * 50 <= cases.len(), "{allowed:?}");
}

#[test]
fn hostile_changes_of_parsed_files_match_their_rule() {
    let cases = cases(include_str!("kinds/hostile-parsed.yaml"), 60);
    let mut wrong = Vec::new();
    for case in &cases {
        let evaluation = judge(case);
        let matched: Vec<&str> = evaluation.matches().iter().map(|m| m.rule.as_str()).collect();
        let named = case.rule.as_deref().is_none_or(|rule| matched.contains(&rule));
        if evaluation.decision() == Decision::Allow || !named {
            wrong.push((&case.name, &case.rule, matched.join(" ")));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), cases.len());
}

#[test]
fn honest_repairs_are_allowed() {
    for (table, of_all) in
        [(include_str!("kinds/honest.yaml"), 20), (include_str!("kinds/honest-parsed.yaml"), 1_000)]
    {
        let cases = cases(table, 30);
        let mut stopped = Vec::new();
        for case in &cases {
            let evaluation = judge(case);
            assert_ne!(evaluation.decision(), Decision::Forbid, "{}: {evaluation:?}", case.name);
            if evaluation.decision() != Decision::Allow {
                stopped.push((&case.name, evaluation.matches().to_vec()));
            }
        }
        println!("honest repairs stopped: {} of {}: {stopped:#?}", stopped.len(), cases.len());
        assert!(stopped.len() * of_all <= cases.len(), "{stopped:#?}");
    }
}
