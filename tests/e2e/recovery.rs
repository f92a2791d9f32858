//! kill -9 at any point: never two deployments, never a partial patch.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::repository::{Repository, deployable, free_port, get, pids_mentioning};
use crate::run::{APPROVE, FIX_CONTENT, FIX_SPELLING};

/// Number of kills in CI; `GREENLOOP_KILLS` sets more.
const KILLS: u64 = 50;

/// A reproducible pseudo-random sequence.
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
    while services(repository) != 1 && began.elapsed() < Duration::from_secs(180) {
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
        // Every other time the dead run is resumed; otherwise the next run cleans up.
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

/// Pids of this repository's supervisors.
fn supervisors(repository: &Repository) -> Vec<u32> {
    let supervises = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).nth(1) == Some(b"supervise")
    };
    pids_mentioning(repository.path()).into_iter().filter(supervises).collect()
}

fn kill(pid: u32) {
    let _gone = std::process::Command::new("kill").args(["-9", &pid.to_string()]).output();
}

#[test]
fn a_supervisor_killed_at_any_point_is_replaced_and_the_verified_release_serves() {
    let port = free_port();
    let transcript = [FIX_SPELLING, APPROVE, FIX_CONTENT, APPROVE].join("\n") + "\n";
    let repository = deployable(port, "teh page\n", "hello", &transcript);
    let arguments = ["--environment", "local"];
    let began = Instant::now();
    assert_eq!(repository.run(&arguments).code, Some(0));
    let length = began.elapsed().as_millis() as u64 + 50;
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for nth in 0..12 {
        let after = Duration::from_millis(dice.below(length));
        let mut child = start(&repository, &arguments);
        std::thread::sleep(after);
        supervisors(&repository).into_iter().for_each(kill);
        let code = child.wait().unwrap().code();
        let context = format!("kill {nth} after {after:?}: exit {code:?}");
        // The run continues with the next supervisor, or reports that it could not.
        assert!(matches!(code, Some(0 | 3 | 4)), "{context}");
        // `status` starts it again.
        let status = repository.run(&["status", "--environment", "local"]);
        assert!(status.stdout.contains("verified"), "{context}: {}", status.all());
        check(&repository, port, &context);
    }
}

#[test]
fn a_rollback_killed_at_any_point_leaves_one_of_the_two_releases_serving() {
    let port = free_port();
    let repository = deployable(port, "hello one\n", "hello", "");
    assert_eq!(repository.run(&["--environment", "local"]).code, Some(0));
    repository.write("page.txt", "hello two\n");
    repository.commit("two");
    assert_eq!(repository.run(&["--environment", "local"]).code, Some(0));
    let arguments = ["rollback", "--environment", "local"];
    let began = Instant::now();
    assert_eq!(repository.run(&arguments).code, Some(0));
    let length = began.elapsed().as_millis() as u64 + 50;
    let mut dice = Dice(0x1357_9bdf_0246_8ace);
    for nth in 0..12 {
        let after = Duration::from_millis(dice.below(length));
        let mut child = start(&repository, &arguments);
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
        let context = format!("kill {nth} after {after:?}");
        let (status, page) = get(port, "/").expect("an answer");
        assert_eq!(status, 200, "{context}");
        assert!(["hello one\n", "hello two\n"].contains(&page.as_str()), "{context}: {page}");
        let began = Instant::now();
        while services(&repository) != 1 && began.elapsed() < Duration::from_secs(180) {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(services(&repository), 1, "{context}");
    }
    let verify = repository.run(&["verify", "--environment", "local"]);
    assert_eq!(verify.code, Some(0), "{}", verify.all());
    for run in std::fs::read_dir(repository.path().join("logs/runs")).unwrap().flatten() {
        let id = run.file_name().into_string().unwrap();
        // Killed before its first record, there is nothing to replay.
        let log = std::fs::metadata(run.path().join("audit.jsonl")).map_or(0, |log| log.len());
        if log > 0 {
            let replay = repository.run(&["audit", "replay", &id]);
            assert_eq!(replay.code, Some(0), "{}", replay.all());
        }
    }
}

#[test]
fn only_the_same_kind_of_run_in_the_same_environment_can_be_resumed() {
    let repository = deployable(free_port(), "hello\n", "hello", "");
    let slow = repository.read("config.yaml").replace("! grep -n teh page.txt", "sleep 0.4");
    repository.write("config.yaml", &slow);
    repository.commit("slow");
    let mut child = start(&repository, &["--environment", "local"]);
    let runs = repository.path().join("logs/runs");
    let has_begun = || {
        let mut folders = std::fs::read_dir(&runs).into_iter().flatten().flatten();
        folders.any(|folder| {
            let log = std::fs::read_to_string(folder.path().join("audit.jsonl"));
            log.is_ok_and(|log| log.contains(r#""event":"intent""#))
        })
    };
    let began = Instant::now();
    while !has_begun() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let run = repository.run_folder().file_name().unwrap().to_str().unwrap().to_owned();
    let other = ["run", "--environment", "local", "--verify-only", "--resume", &run];
    let refused = repository.run(&other);
    assert_eq!(refused.code, Some(2), "{}", refused.all());
    assert!(refused.stderr.contains("`deploy to local`"), "{}", refused.all());
    let arguments = ["run", "--environment", "local", "--resume", &run];
    // Its patches would overwrite later commits.
    repository.git(&["commit", "-q", "--allow-empty", "-m", "since"]);
    let moved = repository.run(&arguments);
    assert_eq!(moved.code, Some(1), "{}", moved.all());
    assert!(moved.stderr.contains("HEAD is not at"), "{}", moved.all());
    repository.git(&["reset", "-q", "--soft", "HEAD~1"]);
    assert_eq!(repository.run(&arguments).code, Some(0));
    let again = repository.run(&arguments);
    assert_eq!(again.code, Some(2), "{}", again.all());
    assert!(again.stderr.contains("has ended"), "{}", again.all());
    // The refused runs do not look like dead runs.
    let next = repository.run(&["--environment", "local"]);
    assert_eq!(next.code, Some(0));
    assert!(!next.all().contains("died"), "{}", next.all());
}

/// The patch fixes the spelling and adds a pipeline: the policy requires a person.
fn wants_a_person(file: &str) -> String {
    let answer = format!(
        "The word is misspelt.\n\npage.txt\n```\n<<<<<<< SEARCH\nteh page: hello\n=======\nthe page: hello\n\
         >>>>>>> REPLACE\n```\n\n.github/workflows/{file}\n```yaml\non: push\n```\n"
    );
    serde_json::json!({"role": "author", "answer": answer}).to_string()
}

#[test]
fn a_resumed_run_asks_a_person_when_its_own_process_can() {
    let yes = "--yes";
    for (first, second, code) in [(Some(yes), None, 1), (None, Some(yes), 0), (None, None, 1)] {
        let port = free_port();
        let (one, two) = (wants_a_person("one.yml"), wants_a_person("two.yml"));
        // Without a person, the author gives a second answer; the reviewer is asked only with a
        // person.
        let transcript = [&one, APPROVE, &two].map(|line| format!("{line}\n")).concat();
        let repository = deployable(port, "teh page: hello\n", "hello", &transcript);
        repository.write(
            "gate.sh",
            "touch .git/waiting\nwhile test -e .git/hold; do sleep 0.05; done\n\
             ! grep -n teh page.txt\n",
        );
        let config = repository.read("config.yaml");
        let config = config.replace("! grep -n teh page.txt", "sh gate.sh");
        repository.write("config.yaml", &format!("{config}sandbox: {{level: off}}\n"));
        repository.commit("a gate that waits");
        repository.write(".git/hold", "");
        let mut arguments = vec!["run", "--environment", "local"];
        arguments.extend(first);
        let mut child = start(&repository, &arguments);
        let waiting = repository.path().join(".git/waiting");
        while !waiting.exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended before its gate");
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::remove_file(repository.path().join(".git/hold")).unwrap();

        let run = repository.run_folder().file_name().unwrap().to_str().unwrap().to_owned();
        let mut arguments = vec!["run", "--environment", "local", "--resume", &run];
        arguments.extend(second);
        let outcome = repository.run(&arguments);
        let context = format!("{first:?} then {second:?}: {}", outcome.all());
        assert_eq!(outcome.code, Some(code), "{context}");
        assert_eq!(outcome.all().contains("a person has to decide"), code == 1, "{context}");
        assert!(!outcome.all().contains("internal error"), "{context}");
        let log = std::fs::read_to_string(repository.run_folder().join("audit.jsonl")).unwrap();
        assert_eq!(log.contains("reviewer.reviewed"), code == 0, "{context}");
        let replayed = repository.run(&["audit", "replay", &run]);
        assert_eq!(replayed.code, Some(0), "{}", replayed.all());
    }
}
