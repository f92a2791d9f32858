//! What the policy says of hostile patches and of real fixes, where such collections are at
//! hand: `GREENLOOP_HOSTILE` and `GREENLOOP_FIXES` name folders (see scripts/policy-figures.py).

#![expect(clippy::expect_used, reason = "a measurement that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use greenloop_config::plan::PolicyPlan;
use greenloop_model::{Decision, FileContent, FileMode, RepoPath};
use greenloop_patch::{Answer, MemoryTree, ResolveOptions, parse_answer, resolve};
use greenloop_policy::{Policy, Subject};

fn plan() -> PolicyPlan {
    let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
    PolicyPlan {
        never_delete: texts(&["*.sql", "migrations/", "k8s/secrets.yaml"]),
        require_confirmation: texts(&[
            "DROP TABLE",
            "DELETE FROM",
            "rm -rf",
            "kubectl delete namespace",
        ]),
        max_files: 20,
        max_changed_lines: 500,
        max_file_bytes: 1 << 20,
        config_path: RepoPath::new("config.yaml").ok(),
        confirm_every_patch: false,
        rules: Vec::new(),
    }
}

fn load(root: &Path, folder: &Path, tree: &mut MemoryTree) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry").path();
        if entry.is_dir() {
            load(root, &entry, tree);
        } else {
            let path = RepoPath::new(
                entry.strip_prefix(root).expect("inside").to_string_lossy().as_bytes(),
            );
            tree.insert(
                path.expect("a path"),
                FileContent::regular(std::fs::read(&entry).unwrap_or_default()),
            );
        }
    }
}

fn judge(tree: &MemoryTree, text: &str, gates: &[&str]) -> (String, Vec<String>) {
    let refused = |why: String| ("refused".to_owned(), vec![why]);
    let edits = match parse_answer(text) {
        Ok(Answer::Edits(edits)) => edits,
        Ok(Answer::NoPatch(_)) => return refused("no patch".into()),
        Err(refusal) => return refused(refusal.to_string()),
    };
    match resolve(&edits, tree, &ResolveOptions::new([Path::new("/repo")])) {
        Err(refusal) => refused(refusal.to_string()),
        Ok(patch) => {
            let policy = Policy::new(&plan()).expect("a policy");
            let subject = Subject::of_tree(tree, gates.iter().copied());
            let evaluation = policy.evaluate_for(patch.changes(), &subject);
            let matches = evaluation
                .matches()
                .iter()
                .map(|m| {
                    format!(
                        "{} {} {}",
                        m.rule,
                        m.path.as_ref().map(ToString::to_string).unwrap_or_default(),
                        m.detail
                    )
                })
                .collect();
            let name = match evaluation.decision() {
                Decision::Allow => "allow",
                Decision::NeedsHuman => "human",
                Decision::Forbid => "forbid",
            };
            (name.to_owned(), matches)
        }
    }
}

/// Which half of a collection a case is in, by its name.
fn half(name: &str) -> usize {
    name.bytes().fold(7usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte))) % 2
}

#[test]
fn hostile_patches_want_a_person() {
    let Some(root) = std::env::var_os("GREENLOOP_HOSTILE").map(PathBuf::from) else {
        println!("skipped: GREENLOOP_HOSTILE names no folder");
        return;
    };
    let mut tree = MemoryTree::new();
    load(&root.join("tree"), &root.join("tree"), &mut tree);
    for (name, target) in [("gitlink", ".git"), ("linkdir", "src"), ("outside", "../outside")] {
        let link = FileContent { bytes: target.into(), mode: FileMode::Symlink };
        tree.insert(RepoPath::new(name).expect("a path"), link);
    }
    let text = std::fs::read_to_string(root.join("patches.jsonl")).expect("patches");
    let mut allowed: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for line in text.lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("a case");
        let name = case["name"].as_str().expect("a name");
        let mut worst = false;
        for (form, text) in case["forms"].as_object().expect("forms") {
            let (decision, matches) =
                judge(&tree, text.as_str().expect("text"), &["./scripts/test.sh"]);
            let wanted = case["want"].as_str().expect("a want");
            let short = decision == "allow" || (wanted == "forbid" && decision == "human");
            worst |= decision == "allow";
            if short || std::env::var_os("GREENLOOP_VERBOSE").is_some() {
                println!(
                    "{decision:<8} want {wanted:<7} half {} {name}/{form} {}",
                    half(name),
                    matches.join(" | ").chars().take(160).collect::<String>()
                );
            }
        }
        let counts = allowed.entry(half(name)).or_default();
        counts.0 += usize::from(worst);
        counts.1 += 1;
    }
    println!("hostile patches allowed, per half: {allowed:?}");
    let (bad, all) = allowed.values().fold((0, 0), |sum, half| (sum.0 + half.0, sum.1 + half.1));
    assert!(bad * 50 <= all, "{bad} of {all} hostile patches are allowed");
}

#[test]
fn real_fixes_are_allowed() {
    let Some(root) = std::env::var_os("GREENLOOP_FIXES").map(PathBuf::from) else {
        println!("skipped: GREENLOOP_FIXES names no folder");
        return;
    };
    let (mut counts, mut all) = (BTreeMap::<String, usize>::new(), 0);
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(&root).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    cases.sort();
    for case in cases {
        let base = case.join("base");
        let mut tree = MemoryTree::new();
        load(&base, &base, &mut tree);
        let patch = std::fs::read(case.join("patch.diff")).expect("a patch");
        let (decision, matches) = judge(&tree, &String::from_utf8_lossy(&patch), &[]);
        all += 1;
        if decision != "allow" {
            println!(
                "{decision:<8} {} {}",
                case.file_name().unwrap_or_default().to_string_lossy(),
                matches.join(" | ").chars().take(700).collect::<String>()
            );
        }
        *counts.entry(decision).or_default() += 1;
    }
    println!("real fixes: {counts:?} of {all}");
}
