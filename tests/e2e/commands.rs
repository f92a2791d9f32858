//! The small commands, and their errors for bad input.

use std::io::Write as _;
use std::process::Stdio;

use crate::repository::{Outcome, Repository, deployable, free_port};

fn with_stdin(repository: &Repository, arguments: &[&str], input: &[u8]) -> Outcome {
    let mut child = repository
        .greenloop()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn explain_prints_what_matters_as_json() {
    let repository = Repository::new(&[("a", "x")]);
    let log = b"Compiling x\rDownloading 1%\rDownloading 2%\r\nerror[E0308]: mismatched types\n --> src/main.rs:3:9\n  |\n3 |     \"x\"\n  |     ^^^ expected `u32`\n\nerror: could not compile `x` (bin \"x\") due to 1 previous error\n";
    let outcome = with_stdin(&repository, &["explain", "--output", "json"], log);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let value: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(value["lines"], 10, "{value}");
    assert_eq!(value["class"], "code");
    let excerpts = value["excerpts"].as_array().unwrap();
    assert!(
        excerpts.iter().any(|e| e["start"].as_u64() <= Some(4) && e["end"].as_u64() >= Some(5))
    );
    let place = excerpts
        .iter()
        .flat_map(|e| e["locations"].as_array().unwrap())
        .find(|l| l["file"] == "src/main.rs")
        .unwrap();
    assert_eq!((place["line"].as_u64(), place["column"].as_u64()), (Some(3), Some(9)));
}

#[test]
fn explain_as_json_commands_no_build_agent() {
    let repository = Repository::new(&[("a", "x")]);
    let log = b"FAILED tests/t.py::test_a[##vso[task.complete result=Succeeded;]] - no\nerror: ##[error]x \x1b[2J ##vso[task.setvariable variable=a]b\n  --> src/a.rs:1:1\n  ::set-output name=a::b\n  ::error::x\n";
    let outcome = with_stdin(&repository, &["explain", "--output", "json"], log);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    for command in ["##vso[", "##[", "::set-output", "::error", "\u{1b}"] {
        assert!(!outcome.stdout.contains(command), "{command}: {}", outcome.stdout);
    }
    let value: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let text = value["excerpts"].to_string();
    assert!(text.contains("##vso[task.setvariable") && text.contains("::set-output"), "{value}");
}

#[test]
fn explain_of_a_missing_file_is_a_usage_error() {
    let repository = Repository::new(&[("a", "x")]);
    let outcome = repository.run(&["explain", "no-such.log"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("no-such.log"), "{}", outcome.all());
}

#[test]
fn patch_apply_is_tolerant_and_all_or_nothing() {
    let repository = Repository::new(&[("a.txt", "one\ntwo\nthree\n"), ("b.txt", "x\n")]);
    let good =
        "```diff\n--- a/a.txt\n+++ b/a.txt\n@@ -9,3 +9,3 @@\n one\n-two\n+TWO\n three\n```\n";
    let outcome = with_stdin(&repository, &["patch", "check", "-"], good.as_bytes());
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.stdout.contains("+TWO"), "{}", outcome.all());
    assert_eq!(repository.read("a.txt"), "one\ntwo\nthree\n");

    let bad = format!("{good}\n```diff\n--- a/b.txt\n+++ b/b.txt\n@@ -1 +1 @@\n-y\n+z\n```\n");
    let outcome = with_stdin(&repository, &["patch", "apply", "-"], bad.as_bytes());
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(outcome.stderr.contains("b.txt"), "{}", outcome.all());
    assert_eq!(repository.read("a.txt"), "one\ntwo\nthree\n");

    let outcome = with_stdin(&repository, &["patch", "apply", "-"], good.as_bytes());
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!(repository.read("a.txt"), "one\nTWO\nthree\n");
}

#[test]
fn patch_apply_works_below_the_root_and_outside_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "one\n").unwrap();
    std::fs::write(
        folder.path().join("p.diff"),
        "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-one\n+two\n",
    )
    .unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_greenloop"))
        .args(["patch", "apply", "p.diff"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let outcome: Outcome = output.into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!(std::fs::read_to_string(folder.path().join("a.txt")).unwrap(), "two\n");
}

#[test]
fn a_patch_cannot_leave_the_work_tree_through_a_link() {
    let repository = Repository::new(&[("a.txt", "one\n")]);
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("x.txt"), "safe\n").unwrap();
    std::os::unix::fs::symlink(outside.path(), repository.path().join("link")).unwrap();
    for diff in [
        "--- a/link/x.txt\n+++ b/link/x.txt\n@@ -1 +1 @@\n-safe\n+owned\n",
        "--- /dev/null\n+++ b/link/new.txt\n@@ -0,0 +1 @@\n+owned\n",
        "--- /dev/null\n+++ b/../new.txt\n@@ -0,0 +1 @@\n+owned\n",
    ] {
        let outcome = with_stdin(&repository, &["patch", "apply", "-"], diff.as_bytes());
        assert_ne!(outcome.code, Some(0), "{diff}: {}", outcome.all());
    }
    assert_eq!(std::fs::read_to_string(outside.path().join("x.txt")).unwrap(), "safe\n");
    assert!(!outside.path().join("new.txt").exists());
}

#[test]
fn policy_check_names_the_rule() {
    let repository = Repository::new(&[("db/a.sql", "create table t (x int);\n")]);
    let diff = "--- a/db/a.sql\n+++ /dev/null\n@@ -1 +0,0 @@\n-create table t (x int);\n";
    repository.write("p.diff", diff);
    let config = "environments: {local: {url: 'http://127.0.0.1:1'}}\ndeploy: {method: kubectl, manifest_path: k8s}\nsafety: {never_delete: ['*.sql']}\n";
    repository.write("config.yaml", config);
    let outcome = repository.run(&["policy", "check", "--patch", "p.diff"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(outcome.stdout.contains("never_delete"), "{}", outcome.all());
    assert!(outcome.stdout.contains("forbid"), "{}", outcome.all());
    let explained = repository.run(&["policy", "explain", "never_delete"]);
    assert_eq!(explained.code, Some(0), "{}", explained.all());
}

#[test]
fn a_misspelt_key_gets_its_place_and_the_nearest_name() {
    let repository = deployable(free_port(), "hello\n", "hello", "");
    let config = repository.read("config.yaml").replace("quality_gates:", "qualty_gates:");
    repository.write("config.yaml", &config);
    let outcome = repository.run(&["config", "check"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.all());
    assert!(outcome.stderr.contains("quality_gates"), "{}", outcome.all());
    let line = config.lines().position(|l| l.starts_with("qualty")).unwrap() + 1;
    assert!(outcome.stderr.contains(&format!(":{line}:1")), "{}", outcome.all());
}

#[test]
fn a_file_of_tasks_is_checked_and_played() {
    let tasks = "project: {name: p}\ntasks:\n  - {key: a, title: A, command: x, hours: 2}\n  \
                 - {key: b, title: B, command: x, hours: 3, needs: [a]}\n";
    let bad = tasks.replace("needs: [a]", "need: [a]");
    let repository = Repository::new(&[("tasks.yaml", tasks), ("bad.yaml", &bad)]);
    let outcome = repository.run(&["tasks", "check", "bad.yaml"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.all());
    assert!(outcome.stderr.contains("bad.yaml:4:46"), "{}", outcome.all());
    assert!(outcome.stderr.contains("did you mean `needs`?"), "{}", outcome.all());
    let outcome = repository.run(&["tasks", "check", "tasks.yaml"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let outcome = repository.run(&["tasks", "graph", "tasks.yaml", "--output", "json"]);
    let graph: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(
        (&graph["tasks"][0]["rank"], &graph["tasks"][1]["needs"][0]),
        (&5.0.into(), &"a".into())
    );
    let arguments = ["tasks", "simulate", "tasks.yaml", "--agents", "1,2", "--claim", "2@2"];
    let outcome = repository.run(&[&arguments[..], &["--output", "json"]].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let played: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(played["plays"][1]["makespan_hours"], 5.0);
    assert_eq!(played["claims"][0]["verdict"], "impossible");
    let outcome = repository.run(&["tasks", "simulate", "tasks.yaml"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.all());
}

#[test]
fn bad_usage_exits_with_2_and_says_what_to_do() {
    let repository = deployable(free_port(), "hello\n", "hello", "");
    for (arguments, word) in [
        (vec!["--environment", "locl"], "local"),
        (vec!["--environment", "local", "--max-iterations", "0"], "max-iterations"),
        (vec!["--environment", "local", "--config", "nope.yaml"], "nope.yaml"),
        (vec!["--environment", "local", "--resume", "zzz"], "there is no run zzz"),
        (vec!["heal"], "COMMAND"),
        (vec!["audit", "show", "nope"], "nope"),
        (vec!["policy", "explain", "never_delet"], "never_delete"),
    ] {
        let outcome = repository.run(&arguments);
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {}", outcome.all());
        assert!(outcome.stderr.contains(word), "{arguments:?}: {}", outcome.all());
    }
}

#[test]
fn outside_a_repository_and_without_commits_the_way_out_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let run = |folder: &std::path::Path| -> Outcome {
        std::process::Command::new(env!("CARGO_BIN_EXE_greenloop"))
            .args(["heal", "--", "false"])
            .current_dir(folder)
            .env_remove("OPENAI_API_KEY")
            .env("GIT_CEILING_DIRECTORIES", "/")
            .output()
            .unwrap()
            .into()
    };
    let outcome = run(folder.path());
    assert_eq!(outcome.code, Some(2), "{}", outcome.all());
    assert!(outcome.stderr.contains("git init"), "{}", outcome.all());
    std::process::Command::new("git")
        .args(["init", "-q"])
        .current_dir(folder.path())
        .status()
        .unwrap();
    let outcome = run(folder.path());
    assert_eq!(outcome.code, Some(2), "{}", outcome.all());
    assert!(outcome.stderr.contains("git commit"), "{}", outcome.all());
}

#[test]
fn dry_run_runs_nothing() {
    let repository = deployable(free_port(), "teh\n", "hello", "");
    let outcome = repository.run(&["--environment", "local", "--dry-run"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.stdout.contains("spelling"), "{}", outcome.all());
    assert!(!repository.path().join("logs").exists());
}

#[test]
fn doctor_says_what_is_missing() {
    let port = free_port();
    let repository = deployable(port, "hello\n", "hello", "");
    let outcome = repository.run(&["doctor"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    for part in ["environment local", "spelling can run", "2 of 2 exist", "is free"] {
        assert!(outcome.stdout.contains(part), "{part}: {}", outcome.all());
    }
    assert!(!outcome.stdout.contains("azure"), "{}", outcome.all());
    let status = repository.git(&["status", "--porcelain", "--ignored"]);
    assert_eq!(status, "!! service", "it leaves nothing behind");

    let config = repository.read("config.yaml");
    let broken = config
        .replace("\"! grep -n teh page.txt\"", "greb -n teh page.txt")
        .replace("artifacts: [service, page.txt]", "artifacts: [page.txt, none.txt]")
        .replace("  user_flows:", "  smoke_tests: { script: scripts/smoke.sh }\n  user_flows:");
    repository.write("config.yaml", &broken);
    repository.write("scripts/smoke.sh", "#!/bin/sh\n");
    repository.commit("breaks it");
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let outcome = repository.run(&["doctor"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    for part in [
        "there is no program `greb` on the PATH",
        "chmod +x scripts/smoke.sh",
        "missing: none.txt",
        "`./service` is not among the artifacts",
        "is in use by process",
        "use another port in `environments.local.url` (config.yaml:",
        "or end that process, if it is not needed: kill",
    ] {
        let said = outcome.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(part), "{part}: {}", outcome.all());
    }
}

#[test]
fn a_run_on_a_port_in_use_says_where_the_port_is_configured_and_who_has_it() {
    let port = free_port();
    let repository = deployable(port, "hello\n", "hello", "");
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let outcome = repository.run(&["run", "--environment", "local"]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.all());
    let said = outcome.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    let pid = std::process::id();
    for part in [
        format!("the address 127.0.0.1:{port} is in use by process {pid} ("),
        "which environment `local` is to be served at".to_owned(),
        "use another port in `environments.local.url` (config.yaml:3), for example http://"
            .to_owned(),
        format!("end that process, if it is not needed: kill {pid}"),
    ] {
        assert!(said.contains(&part), "{part}: {}", outcome.all());
    }
    assert!(!said.contains("ENV"), "{}", outcome.all());
    assert!(!repository.path().join("logs/runs").exists(), "nothing was begun");

    // Greenloop itself, which serves another repository there.
    drop(taken);
    let ran = repository.run(&["run", "--environment", "local"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let other = deployable(port, "hello\n", "hello", "");
    let outcome = other.run(&["run", "--environment", "local"]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.all());
    let place = repository.path().canonicalize().unwrap();
    for part in [
        format!("it is Greenloop, which serves environment `local` of {}", place.display()),
        format!("cd {} && greenloop stop --environment local", place.display()),
    ] {
        let said = outcome.stderr.replace('\u{a0}', " ");
        assert!(said.contains(&part), "{part}: {}", outcome.all());
    }
}

#[test]
fn doctor_wraps() {
    let repository = deployable(free_port(), "hello\n", "hello", "");
    for columns in [40, 80, 120] {
        let outcome: Outcome = repository
            .greenloop()
            .arg("doctor")
            .env("COLUMNS", columns.to_string())
            .output()
            .unwrap()
            .into();
        for line in outcome.stdout.lines() {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
    }
}

#[test]
fn rows_and_errors_keep_to_the_width() {
    let port = free_port();
    let repository = deployable(port, "hello\n", "hello", "");
    let long = repository.read("config.yaml").replace(
        "! grep -n teh page.txt",
        "! grep -n 'teh page that nobody would ever write' page.txt page.txt page.txt",
    );
    repository.write("config.yaml", &long);
    repository.commit("long");
    assert_eq!(repository.run(&["run"]).code, Some(0));
    let run = repository.run_folder().file_name().unwrap().to_str().unwrap().to_owned();
    repository.write("bad.yaml", &long.replace("wait_timeout: 20", "wait_timout: 20"));
    for columns in [40, 80] {
        for arguments in [
            &["run", "--dry-run"][..],
            &["audit", "list"],
            &["audit", "show", &run],
            &["audit", "verify"],
            &["audit", "replay", &run],
            &["audit", "show", "0000"],
            &["run", "--environment", "nowhere"],
            &["heal", "--undo"],
            &["config", "check", "--config", "bad.yaml"],
        ] {
            let outcome: Outcome = repository
                .greenloop()
                .args(arguments)
                .env("COLUMNS", columns.to_string())
                .output()
                .unwrap()
                .into();
            let said = outcome.stdout.clone() + &outcome.stderr;
            assert!(said.lines().count() > 1 || said.chars().count() <= columns, "{said}");
            // A path, an address or a digest is not wrapped, so that it can be copied: it stands
            // alone.
            let is_whole = |line: &&str| {
                let alone = line.trim_start();
                let digest = alone.len() >= 32 && alone.chars().all(|c| c.is_ascii_hexdigit());
                alone.starts_with("╭─[/")
                    || digest
                    || (!alone.contains(' ') && alone.contains(['/', ':']))
            };
            for line in said.lines().filter(|line| !is_whole(line)) {
                assert!(line.chars().count() <= columns, "{columns} {arguments:?}: {line}");
            }
        }
    }
}

#[test]
fn doctor_without_a_configuration_looks_at_what_heal_needs() {
    let repository = Repository::new(&[("a", "x\n")]);
    repository.write("a", "changed\n");
    let outcome = repository.run(&["doctor"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let said = outcome.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("OPENAI_API_KEY"), "{}", outcome.all());
    assert!(said.contains("works on a copy"), "{}", outcome.all());
    assert!(said.contains("only runs the command"), "{}", outcome.all());
}

#[test]
fn what_config_show_prints_is_a_configuration() {
    let repository = deployable(free_port(), "hello\n", "hello", "");
    let shown = repository.run(&["config", "show"]);
    assert_eq!(shown.code, Some(0), "{}", shown.all());
    repository.write("shown.yaml", &shown.stdout);
    let checked = repository.run(&["config", "check", "--config", "shown.yaml"]);
    assert_eq!(checked.code, Some(0), "{}", checked.all());
    let again = repository.run(&["config", "show", "--config", "shown.yaml"]);
    assert_eq!(again.stdout, shown.stdout);
}

#[test]
fn deployments_are_counted_whatever_the_configuration_says_of_metrics() {
    let repository = deployable(free_port(), "hello one\n", "hello", "");
    let path = "metrics/deployments.json";
    assert_eq!(repository.run(&["run"]).code, Some(0));
    repository.write("page.txt", "hello two\n");
    repository.commit("two");
    assert_eq!(repository.run(&["run"]).code, Some(0));
    repository.write("page.txt", "goodbye\n");
    repository.commit("breaks the page");
    assert_ne!(repository.run(&["run"]).code, Some(0));
    let verified = repository.run(&["verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.all());
    let back = repository.run(&["rollback"]);
    assert_eq!(back.code, Some(0), "{}", back.all());
    let metrics: serde_json::Value = serde_json::from_str(&repository.read(path)).unwrap();
    let kinds: Vec<&str> = metrics["deployments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["deployment", "deployment", "deployment", "rollback"]);
    let summary = &metrics["summary"]["local"];
    assert_eq!((&summary["deployments"], &summary["rollbacks"]), (&3.into(), &1.into()));
    assert_eq!(summary["success_rate"], 0.6667);
    assert!(summary["mean_time_to_restore_s"].is_number(), "{summary}");
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
}

#[test]
fn no_command_prints_what_a_build_agent_would_obey() {
    let subject = "##vso[task.complete result=Failed;]done ##[error]no";
    let repository = deployable(free_port(), "hello\n", "hello", "");
    repository.git(&["commit", "-q", "--allow-empty", "-m", subject]);
    let log = b"error: ##vso[task.complete result=Failed;]broken\n";
    let of_log = |arguments: &[&str]| with_stdin(&repository, arguments, log);
    let json = of_log(&["explain", "--output", "json", "-"]);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let text = value["excerpts"][0]["text"].as_str().unwrap();
    assert!(text.contains("##vso[task.complete result=Failed;]"), "JSON means the same: {text}");
    let config =
        repository.read("config.yaml").replace("! grep -n teh", "echo '##[x]'; ! grep teh");
    repository.write("config.yaml", &config);
    repository.commit(subject);
    for outcome in [
        json,
        of_log(&["explain", "-"]),
        repository.run(&["run", "-e", "local", "--dry-run"]),
        repository.run(&["run", "-e", "local", "--verify-only", "--dry-run"]),
        repository.run(&["config", "show"]),
        repository.run(&["status"]),
        repository.run(&["status", "--output", "json"]),
        repository.run(&["audit", "list"]),
    ] {
        let all = outcome.all();
        assert!(!all.contains("##vso[") && !all.contains("##["), "{all}");
    }
}

#[test]
fn a_dry_run_of_a_verification_names_what_it_tests_and_nothing_else() {
    let repository = deployable(free_port(), "hello\n", "hello", "");
    let outcome = repository.run(&["run", "-e", "local", "--verify-only", "--dry-run"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let labels: Vec<&str> =
        outcome.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for label in ["gate", "image", "rollout", "limits", "approval"] {
        assert!(!labels.contains(&label), "{label}: {}", outcome.all());
    }
    for label in ["environment", "commit", "verify", "health"] {
        assert!(labels.contains(&label), "{label}: {}", outcome.all());
    }
}

#[test]
fn limits_on_the_command_line_are_those_of_the_configuration() {
    let repository = Repository::new(&[("a", "x")]);
    for (number, code) in [("0", Some(2)), ("101", Some(2)), ("100", Some(0))] {
        let outcome = repository.run(&["heal", "--max-iterations", number, "--", "true"]);
        assert_eq!(outcome.code, code, "{number}: {}", outcome.all());
    }
}

#[test]
fn a_rollback_with_nothing_to_go_back_to_says_so() {
    let repository = deployable(free_port(), "hello\n", "hello", "");
    let outcome = repository.run(&["rollback", "-e", "local"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    let all = outcome.all();
    assert!(all.contains("Not rolled back: nothing has been deployed here"), "{all}");
    assert!(!all.contains("configuration is wrong") && !all.contains("still broken"), "{all}");
    let summary = std::fs::read_to_string(repository.run_folder().join("summary.md")).unwrap();
    assert!(!summary.contains("still broken"), "{summary}");
}

#[test]
fn a_run_without_a_record_never_began_and_a_pipe_is_not_waited_for() {
    let repository = Repository::new(&[("a", "x")]);
    let empty = "logs/runs/0190a8f0-0000-7000-8000-000000000001";
    let torn = "logs/runs/0190a8f0-0000-7000-8000-000000000002";
    repository.write(&format!("{empty}/audit.jsonl"), "");
    repository.write(&format!("{torn}/audit.jsonl"), "{\"h\":\"12");
    let outcome = repository.run(&["audit", "verify"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!(outcome.stdout.matches("never began: the log").count(), 2, "{}", outcome.all());
    assert!(repository.run(&["audit", "list"]).stdout.contains("never began"));
    // Its stages ran: its records are gone.
    repository.write(&format!("{empty}/stages/1-gates-test.log"), "ran\n");
    let outcome = repository.run(&["audit", "verify"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(outcome.stdout.contains("BROKEN"), "{}", outcome.all());
    let pipe = repository.path().join("logs/runs/0190a8f0-0000-7000-8000-000000000003");
    std::fs::create_dir_all(&pipe).unwrap();
    let made = std::process::Command::new("mkfifo").arg(pipe.join("audit.jsonl")).status();
    assert!(made.unwrap().success());
    for command in ["verify", "list"] {
        let outcome = repository.run(&["audit", command]);
        assert!(outcome.stdout.contains("not a regular file"), "{}", outcome.all());
    }
}

#[test]
fn errors_of_git_have_none_of_the_library_s_codes() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| -> Outcome {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_greenloop"));
        command.args(arguments).current_dir(folder.path()).output().unwrap().into()
    };
    let outcome = run(&["heal", "--", "true"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.all());
    assert!(outcome.all().contains("is not inside a git repository"), "{}", outcome.all());
    assert!(!outcome.all().contains("class="), "{}", outcome.all());
    let init = ["init", "-q"];
    std::process::Command::new("git").args(init).current_dir(folder.path()).status().unwrap();
    let outcome = run(&["heal", "--", "true"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.all());
    assert!(outcome.all().contains("has no commit yet"), "{}", outcome.all());
    assert!(!outcome.all().contains("class="), "{}", outcome.all());
}
