//! kill -9 at any point: never two deployments, never half a patch.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::repository::{Repository, deployable, free_port, get, pids_mentioning};
use crate::run::{APPROVE, FIX_CONTENT, FIX_SPELLING};

/// Kills in CI; more by `GREENLOOP_KILLS`.
const KILLS: u64 = 50;

/// A pseudo-random sequence that a failure can be repeated with.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn start(repository: &Repository, arguments: &[&str]) -> std::process::Child {
    repository
        .greenloop()
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Processes of the page service that run in this repository's state folder.
fn services(repository: &Repository) -> usize {
    let targets = repository.path().join(".git/greenloop/targets");
    let runs_there = |pid: &u32| {
        let proc = std::path::PathBuf::from(format!("/proc/{pid}"));
        let program = std::fs::read_link(proc.join("exe")).unwrap_or_default();
        program.starts_with(&targets) && program.ends_with("service")
    };
    pids_mentioning(&targets).iter().filter(|pid| runs_there(pid)).count()
}

/// What must hold after the end of any run, however many were killed before it.
fn check(repository: &Repository, port: u16, context: &str) {
    // A patched file is the old or the new version; after a run's end the tree is as it was.
    assert_eq!(repository.git(&["status", "--porcelain"]), "", "{context}");
    assert_eq!(repository.read("page.txt"), "teh page\n", "{context}");
    let branches = repository.git(&["for-each-ref", "refs/heads/greenloop", "--format=%(refname)"]);
    for branch in branches.lines() {
        let text = repository.git(&["show", &format!("{branch}:page.txt")]);
        assert!(
            ["teh page", "the page", "the page: hello"].contains(&text.as_str()),
            "{context}: {branch} has {text:?}"
        );
    }
    assert_eq!(get(port, "/"), Some((200, "the page: hello\n".into())), "{context}");
    // A replaced release may take a moment to drain.
    let began = Instant::now();
    while services(repository) != 1 && began.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(services(repository), 1, "{context}: one release serves, and no other runs");
    let verified = repository.run(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{context}: {}", verified.all());
}

#[test]
fn a_run_killed_at_any_point_is_finished_or_cleaned_up() {
    let kills = std::env::var("GREENLOOP_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let port = free_port();
    let transcript = [FIX_SPELLING, APPROVE, FIX_CONTENT, APPROVE].join("\n") + "\n";
    let repository = deployable(port, "teh page\n", "hello", &transcript);
    let arguments = ["--environment", "local"];
    let began = Instant::now();
    let whole = repository.run(&arguments);
    assert_eq!(whole.code, Some(0), "{}", whole.all());
    let length = began.elapsed().as_millis() as u64 + 50;
    check(&repository, port, "before any kill");

    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut resumed = 0;
    for kill in 0..kills {
        let after = Duration::from_millis(dice.below(length));
        let mut child = start(&repository, &arguments);
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
        let context = format!("kill {kill} after {after:?}");

        let log = repository.path().join(".git/greenloop/claims/env-local.json");
        let trace = std::fs::read_to_string(log).unwrap_or_default();
        let dead: Option<String> = serde_json::from_str::<serde_json::Value>(&trace)
            .ok()
            .and_then(|trace| Some(trace["run"].as_str()?.to_owned()));
        // Every other time the dead run itself goes on; else the next run cleans up after it.
        let outcome = match dead.filter(|_| kill % 2 == 0) {
            Some(run) => {
                let outcome = repository.run(&["run", "--environment", "local", "--resume", &run]);
                // It may have died before its first record, or after its last.
                if outcome.code == Some(2) || outcome.code == Some(3) {
                    repository.run(&arguments)
                } else {
                    resumed += 1;
                    outcome
                }
            }
            None => repository.run(&arguments),
        };
        assert_eq!(outcome.code, Some(0), "{context}: {}", outcome.all());
        check(&repository, port, &context);
    }
    assert!(kills < 20 || resumed > 0, "no run was ever resumed");
}
