//! `greenloop run` to the process target, with agents that answer from a recording.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::repository::{deployable, deployable_without_a_model, free_port, get};

pub(crate) const FIX_SPELLING: &str = r#"{"role":"author","answer":"The word is misspelt.\n\npage.txt\n```\n<<<<<<< SEARCH\nteh page\n=======\nthe page\n>>>>>>> REPLACE\n```\n"}"#;
pub(crate) const FIX_CONTENT: &str = r#"{"role":"author","answer":"The greeting is missing.\n\npage.txt\n```\n<<<<<<< SEARCH\nthe page\n=======\nthe page: hello\n>>>>>>> REPLACE\n```\n"}"#;
pub(crate) const APPROVE: &str = r#"{"role":"reviewer","answer":"{\"verdict\":\"approve\",\"risk\":\"low\",\"reason\":\"right\",\"suggestion\":null}"}"#;

fn transcript() -> String {
    [FIX_SPELLING, APPROVE, FIX_CONTENT, APPROVE].join("\n") + "\n"
}

#[test]
fn a_commit_that_is_broken_twice_is_healed_and_deployed() {
    let port = free_port();
    let repository = deployable(port, "teh page\n", "hello", &transcript());
    let outcome = repository.run(&["--environment", "local"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!(get(port, "/"), Some((200, "the page: hello\n".into())));
    assert_eq!(repository.read("page.txt"), "teh page\n", "the work tree is as it was");
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
    let branch = repository.git(&["branch", "--list", "greenloop/*", "--format=%(refname:short)"]);
    assert_eq!(repository.git(&["show", &format!("{branch}:page.txt")]), "the page: hello");

    let status = repository.run(&["status", "--environment", "local", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["serving"]["release"]["state"], "verified");
    let verify = repository.run(&["verify", "--environment", "local"]);
    assert_eq!(verify.code, Some(0), "{}", verify.all());
    let metrics = repository.run(&["audit", "list"]);
    assert!(metrics.stdout.contains("verified"), "{}", metrics.all());
}

#[test]
fn a_release_that_fails_its_smoke_test_gives_way_to_the_last_verified_one() {
    let port = free_port();
    let repository = deployable(port, "hello one\n", "hello", "");
    let first = repository.run(&["--environment", "local"]);
    assert_eq!(first.code, Some(0), "{}", first.all());

    repository.write("page.txt", "goodbye\n");
    repository.commit("breaks the page");
    let second = repository.run(&["--environment", "local"]);
    // The recording has no answer, so nothing is healed; the first release serves.
    assert_eq!(second.code, Some(4), "{}", second.all());
    assert_eq!(get(port, "/"), Some((200, "hello one\n".into())));
    let status = repository.run(&["status", "--environment", "local"]);
    assert!(status.stdout.contains("verified"), "{}", status.all());
}

#[test]
fn a_release_that_never_starts_leaves_the_old_one_serving() {
    let port = free_port();
    let repository = deployable(port, "hello one\n", "hello", "");
    assert_eq!(repository.run(&["--environment", "local"]).code, Some(0));
    repository.write("page.txt", "exit 3\n");
    repository.commit("does not start");
    let second = repository.run(&["--environment", "local"]);
    assert_eq!(second.code, Some(4), "{}", second.all());
    assert!(second.all().contains("exit status 3"), "{}", second.all());
    assert_eq!(get(port, "/"), Some((200, "hello one\n".into())));
}

#[test]
fn rollback_serves_the_verified_release_before() {
    let port = free_port();
    let repository = deployable(port, "hello one\n", "hello", "");
    assert_eq!(repository.run(&["--environment", "local"]).code, Some(0));
    repository.write("page.txt", "hello two\n");
    repository.commit("two");
    assert_eq!(repository.run(&["--environment", "local"]).code, Some(0));
    assert_eq!(get(port, "/"), Some((200, "hello two\n".into())));
    let back = repository.run(&["rollback", "--environment", "local"]);
    assert_eq!(back.code, Some(0), "{}", back.all());
    assert_eq!(get(port, "/"), Some((200, "hello one\n".into())));
}

#[test]
fn a_second_run_is_told_who_holds_the_environment() {
    let port = free_port();
    let repository = deployable(port, "hello\n", "hello", "");
    let slow = repository.read("config.yaml").replace("! grep -n teh page.txt", "sleep 20");
    repository.write("config.yaml", &slow);
    repository.commit("slow");
    let mut first = repository
        .greenloop()
        .args(["--environment", "local"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let claims = repository.path().join(".git/greenloop/claims/env-local.json");
    let began = Instant::now();
    while !claims.exists() && began.elapsed() < Duration::from_secs(180) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = repository.run(&["--environment", "local"]);
    assert_eq!(second.code, Some(5), "{}", second.all());
    assert!(second.stderr.contains(&first.id().to_string()), "{}", second.all());
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn ctrl_c_ends_the_run_and_its_children() {
    let port = free_port();
    let repository = deployable(port, "hello\n", "hello", "");
    let slow = repository
        .read("config.yaml")
        .replace("! grep -n teh page.txt", "sleep 97 & setsid sleep 98 & sleep 99");
    repository.write("config.yaml", &slow);
    repository.commit("slow");
    let first = repository
        .greenloop()
        .args(["--environment", "local"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = || std::fs::read_dir(repository.path().join("logs/runs")).ok();
    let began = Instant::now();
    while log().is_none() && began.elapsed() < Duration::from_secs(180) {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(700));
    let interrupt = std::process::Command::new("kill")
        .args(["-INT", &first.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupt.success());
    let outcome: crate::repository::Outcome = first.wait_with_output().unwrap().into();
    assert_eq!(outcome.code, Some(130), "{}", outcome.all());
    assert_eq!(crate::repository::pids_mentioning(repository.path()), Vec::<u32>::new());
    let run = repository.run_folder();
    let id = run.file_name().unwrap().to_str().unwrap().to_owned();
    let verified = repository.run(&["audit", "verify", &id]);
    assert!(verified.stdout.contains("complete"), "{}", verified.all());
}

fn signal(pid: u32, name: &str) {
    let mut kill = std::process::Command::new("kill");
    kill.args([&format!("-{name}"), &pid.to_string()]);
    assert!(kill.status().unwrap().success());
}

/// The record names a release; `status` reports the release that answers.
#[test]
fn status_tells_what_serves_at_that_moment() {
    let port = free_port();
    let repository = deployable(port, "hello\n", "hello", "");
    assert_eq!(repository.run(&["--environment", "local"]).code, Some(0));
    let status = || -> serde_json::Value {
        let status = repository.run(&["status", "--environment", "local", "--output", "json"]);
        assert_eq!(status.code, Some(0), "{}", status.all());
        serde_json::from_str(&status.stdout).unwrap()
    };
    let seen = status();
    assert_eq!(seen["condition"], "serving", "{seen}");
    let notes = seen["notes"].to_string();
    let process = notes.split("process ").nth(1).unwrap().split(' ').next().unwrap();
    let service: u32 = process.parse().unwrap();
    signal(service, "STOP");
    let seen = status();
    assert_eq!(seen["condition"], "down", "{seen}");
    let text = repository.run(&["status", "--environment", "local"]);
    assert!(text.stdout.contains("local: NOT serving: no answer from"), "{}", text.all());
    let verify = repository.run(&["verify", "--environment", "local"]);
    assert_eq!(verify.code, Some(1), "{}", verify.all());
    assert!(verify.all().contains("Nothing is serving: release"), "{}", verify.all());
    assert!(!verify.all().contains("rerunning"), "{}", verify.all());
    signal(service, "CONT");
    let seen = status();
    assert_eq!(seen["condition"], "serving", "{seen}");
}

/// Another program may answer at the address.
#[test]
fn what_greenloop_has_not_released_is_not_verified() {
    let port = free_port();
    let repository = deployable(port, "hello\n", "hello", "");
    let verify = repository.run(&["verify", "--environment", "local"]);
    assert_eq!(verify.code, Some(1), "{}", verify.all());
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 2048];
            let _request = stream.read(&mut asked).unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let verify = repository.run(&["verify", "--environment", "local"]);
    assert_eq!(verify.code, Some(1), "{}", verify.all());
    for part in ["NOT verified", "Greenloop has deployed nothing in local", "`greenloop run`"] {
        assert!(verify.all().contains(part), "{part}: {}", verify.all());
    }
}

/// Ctrl-C during the smoke tests: the previous release is restored, and nothing is healed.
#[test]
fn ctrl_c_takes_an_unverified_release_back() {
    let port = free_port();
    let repository = deployable(port, "hello one\n", "hello", "");
    assert_eq!(repository.run(&["--environment", "local"]).code, Some(0));
    let config = repository.read("config.yaml");
    let patient = "verification:\n  smoke_tests: { script: ./wait.sh, timeout: 300 }\n";
    repository.write("config.yaml", &config.replace("verification:\n", patient));
    repository.write("wait.sh", "#!/bin/sh\nexec sleep 300\n");
    let script = repository.path().join("wait.sh");
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    repository.write("page.txt", "hello two\n");
    repository.commit("two");
    let run = repository
        .greenloop()
        .args(["--environment", "local"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while get(port, "/") != Some((200, "hello two\n".into())) {
        assert!(began.elapsed() < Duration::from_secs(120), "it was never rolled out");
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(run.id(), "INT");
    let outcome: crate::repository::Outcome = run.wait_with_output().unwrap().into();
    assert_eq!(outcome.code, Some(130), "{}", outcome.all());
    assert_eq!(get(port, "/"), Some((200, "hello one\n".into())), "{}", outcome.all());
    assert!(outcome.all().contains("Cancelled: restored to release"), "{}", outcome.all());
}

#[test]
fn an_environment_that_requires_approval_stops_where_nobody_can_be_asked() {
    let port = free_port();
    let repository = deployable(port, "hello\n", "hello", "");
    let strict = repository.read("config.yaml").replace(
        "    health_endpoint: /health\n",
        "    health_endpoint: /health\n    require_approval: true\n",
    );
    repository.write("config.yaml", &strict);
    repository.commit("strict");
    let outcome = repository.run(&["--environment", "local"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(outcome.all().contains("approval"), "{}", outcome.all());
    assert_eq!(get(port, "/"), None, "nothing was deployed");
    let outcome = repository.run(&["--environment", "local", "--yes"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
}

#[test]
fn a_flaky_gate_is_run_again_and_reported() {
    let port = free_port();
    let repository = deployable(port, "hello\n", "hello", "");
    let flaky = repository.read("config.yaml").replace(
        "! grep -n teh page.txt",
        "[ -e .git/once ] || { touch .git/once; echo 'Error: connect ECONNRESET 127.0.0.1:5432' >&2; exit 1; }",
    );
    // It keeps count in `.git`, which the sandbox protects.
    repository.write("config.yaml", &format!("{flaky}sandbox: {{level: off}}\n"));
    repository.commit("flaky");
    let outcome = repository.run(&["--environment", "local"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.all().to_lowercase().contains("flaky"), "{}", outcome.all());
    let read = |name: &str| std::fs::read_to_string(repository.run_folder().join(name)).unwrap();
    let junit = read("junit.xml");
    assert!(junit.contains("<flakyFailure"), "{junit}");
    assert!(!junit.contains("<failure"), "it passed in the end: {junit}");
    assert!(read("summary.md").contains("flaky: passed when rerun"));
    assert!(read("events.jsonl").contains(r#""status":"flaky""#), "{}", read("events.jsonl"));
}

/// The last event's stop reason of a run with `--output json`.
fn stop_of(stdout: &str) -> serde_json::Value {
    let last = stdout.lines().last().unwrap();
    let event: serde_json::Value = serde_json::from_str(last).unwrap();
    event["stop"].clone()
}

#[test]
fn without_a_model_a_failing_gate_is_what_every_report_is_headed_by() {
    let port = free_port();
    let repository = deployable_without_a_model(port, "teh page\n", "page");
    let outcome = repository.run(&["--environment", "local", "--output", "json"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    let stop = stop_of(&outcome.stdout);
    assert_eq!(stop["kind"], "failed", "{stop}");
    assert_eq!(
        (&stop["failure"]["stage"], &stop["failure"]["name"]),
        (&"gates".into(), &"spelling".into())
    );
    let headline = stop["failure"]["headline"].as_str().unwrap();
    assert!(headline.contains("gate spelling failed"), "{headline}");
    assert!(stop["no_model"].as_str().unwrap().contains("OPENAI_API_KEY"), "{stop}");

    let folder = repository.run_folder();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let summary = read("summary.md");
    let first = summary.lines().next().unwrap();
    assert!(first.contains("Failed: gate spelling failed"), "{first}");
    let remark = summary.lines().nth(2).unwrap();
    assert!(remark.contains("None is configured") && remark.contains("doctor"), "{remark}");
    assert!(read("report.html").contains("Failed: gate spelling failed"));
    let junit = read("junit.xml");
    assert!(junit.contains("gate spelling failed") && !junit.contains("no model"), "{junit}");

    let list = repository.run(&["audit", "list"]);
    assert!(list.stdout.contains("failed"), "{}", list.all());
    let run = folder.file_name().unwrap().to_str().unwrap().to_owned();
    let replayed = repository.run(&["audit", "replay", &run]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.all());
    let azure = repository.run(&["--environment", "local", "--output", "azure"]);
    let issue = |line: &&str| line.contains("logissue") && line.contains("gate spelling failed");
    let issues: Vec<&str> = azure.stdout.lines().filter(issue).collect();
    assert_eq!(issues.len(), 1, "{}", azure.all());
    assert!(issues[0].starts_with("##vso[task.logissue type=error;"), "{}", issues[0]);
    assert!(azure.stdout.contains("variable=outcome;isOutput=true]stopped"), "{}", azure.all());
}

#[test]
fn without_a_model_a_failed_smoke_test_is_headed_by_the_restore() {
    let port = free_port();
    let repository = deployable_without_a_model(port, "hello one\n", "hello");
    assert_eq!(repository.run(&["--environment", "local"]).code, Some(0));
    repository.write("page.txt", "goodbye\n");
    repository.commit("breaks the page");
    let outcome = repository.run(&["--environment", "local", "--output", "azure"]);
    assert_eq!(outcome.code, Some(4), "{}", outcome.all());
    assert!(
        outcome.stdout.contains("variable=outcome;isOutput=true]restored"),
        "{}",
        outcome.all()
    );
    let summary = std::fs::read_to_string(repository.run_folder().join("summary.md")).unwrap();
    let mut lines = summary.lines().filter(|line| !line.is_empty());
    let first = lines.next().unwrap();
    let restored = ["Restored to release", "serving again after"];
    assert!(restored.iter().all(|part| first.contains(part)), "{first}");
    let second = lines.next().unwrap();
    assert!(second.contains("The smoke stage failed: page: GET http"), "{second}");
    assert!(lines.next().unwrap().contains("With a model"), "{summary}");
    assert_eq!(get(port, "/"), Some((200, "hello one\n".into())));
}

/// Changes the configuration, and commits that.
fn reconfigure(repository: &crate::repository::Repository, from: &str, to: &str) {
    let config = repository.read("config.yaml");
    assert!(config.contains(from), "{config}");
    repository.write("config.yaml", &config.replacen(from, to, 1));
    repository.commit("configure");
}

const GATE: &str = "    command: \"! grep -n teh page.txt\"\n";
const GATES: &str = "quality_gates:\n  - name: spelling\n    command: \"! grep -n teh page.txt\"\n    required: true\n";

#[test]
fn what_cannot_run_is_told_before_anything_runs() {
    let cases = [
        (
            GATE,
            "    command: grepp-of-nobody teh\n",
            "gate spelling: there is no program",
            "install",
        ),
        (
            GATE,
            "    command: scripts/smoke_test.sh\n",
            "not executable",
            "chmod +x scripts/smoke_test.sh",
        ),
        (GATES, "", "the smoke script: `scripts/smoke_test.sh` is not executable", "chmod +x"),
    ];
    for (from, to, said, remedy) in cases {
        let repository = deployable(free_port(), "the page\n", "page", &transcript());
        repository.write("scripts/smoke_test.sh", "#!/bin/sh\n");
        if to.is_empty() {
            let smoke = "verification:\n  smoke_tests:\n    script: scripts/smoke_test.sh\n";
            reconfigure(&repository, "verification:\n", smoke);
        }
        reconfigure(&repository, from, to);
        for dry in [&[][..], &["--dry-run"]] {
            let outcome = repository.run(&[&["--environment", "local"], dry].concat());
            assert_eq!(outcome.code, Some(2), "{to}: {}", outcome.all());
            assert!(outcome.stderr.contains(said), "{to}: {}", outcome.all());
            assert!(outcome.stderr.contains(remedy), "{to}: {}", outcome.all());
            assert!(!repository.path().join("logs").exists(), "{to}");
        }
    }
}

#[test]
fn what_an_earlier_gate_mends_is_doubtful_and_no_reason_to_refuse() {
    let repository = deployable(free_port(), "the page\n", "page", "");
    repository.write(".gitignore", "/service\n/tool\n");
    repository.write("scripts/smoke_test.sh", "#!/bin/sh\n");
    // The first in the list runs last, and a gate sets the mode of the smoke script.
    let gates = "\
quality_gates:
  - name: spelling
    command: ./tool
    needs: [tool]
  - name: tool
    command: \"lacking-of-nobody || cp /bin/true tool && chmod +x scripts/smoke_test.sh\"
";
    let smoke = "verification:\n  smoke_tests:\n    script: scripts/smoke_test.sh\n";
    reconfigure(&repository, GATES, gates);
    reconfigure(&repository, "verification:\n", smoke);
    let dry = repository.run(&["--environment", "local", "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{}", dry.all());
    let doctor = repository.run(&["doctor"]);
    assert_eq!(doctor.code, Some(0), "{}", doctor.all());
    for doubt in [
        "gate spelling: there is no file `./tool`",
        "gate tool: there is no program `lacking-of-nobody`",
        "the smoke script: `scripts/smoke_test.sh` is not executable",
    ] {
        assert!(dry.stdout.contains(&format!("doubtful     {doubt}")), "{}", dry.all());
        let (_, fault) = doubt.split_once(": ").unwrap();
        let said = doctor.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(fault), "{}", doctor.all());
    }
    let outcome = repository.run(&["--environment", "local"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
}

#[test]
fn an_address_of_another_program_is_told_before_anything_runs() {
    let port = free_port();
    let repository = deployable(port, "the page\n", "page", "");
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let outcome = repository.run(&["--environment", "local"]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.all());
    let said = format!("in use by process {} (", std::process::id());
    assert!(outcome.stderr.contains(&said), "{}", outcome.all());
    assert!(!repository.path().join("logs/runs").exists());
    drop(listener);
    assert_eq!(repository.run(&["--environment", "local"]).code, Some(0));
    // Greenloop's own service does not count as another program.
    assert_eq!(repository.run(&["--environment", "local"]).code, Some(0));
}

/// A run that fails with `headline`, `class` and `remedy`, and asks the author at most `asked`
/// times.
fn fails(
    repository: &crate::repository::Repository,
    headline: &str,
    class: &str,
    remedy: &str,
    asked: u64,
) {
    let outcome = repository.run(&["--environment", "local", "--output", "json"]);
    let last = outcome.stdout.lines().last().unwrap();
    let event: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    let failure = &event["failure"];
    let found = failure["headline"].as_str().unwrap();
    assert!(found.contains(headline), "{found}");
    assert_eq!(failure["class"], class, "{found}");
    let what = &failure["evidence"]["remedy"]["what"];
    assert!(what.as_str().unwrap().contains(remedy), "{what}");
    assert_eq!(event["next_steps"][0]["what"], *what);
    assert!(event["usage"]["requests"].as_u64().unwrap() <= asked, "{event}");
}

#[test]
fn a_later_gate_that_cannot_run_is_told_and_the_author_is_not_asked() {
    let second =
        format!("{GATE}    required: true\n  - name: lint\n    command: linntt-of-nobody .\n");
    let repository = deployable(free_port(), "the page\n", "page", &transcript());
    reconfigure(&repository, GATE, &second);
    fails(&repository, "there is no program `linntt-of-nobody`", "config", "install", 0);
}

/// A missing program may be caused by the machine or by the commit.
#[test]
fn a_program_that_is_missing_deeper_down_goes_to_the_author_with_a_hint() {
    let repository = deployable(free_port(), "the page\n", "page", &transcript());
    repository.write("test.sh", "linntt-of-nobody .\n");
    reconfigure(&repository, GATE, "    command: sh test.sh\n");
    let outcome = repository.run(&["--environment", "local", "--output", "json"]);
    let last = outcome.stdout.lines().last().unwrap();
    let event: serde_json::Value = serde_json::from_str(last).unwrap();
    let failure = &event["failure"];
    assert_eq!(failure["class"], "unknown", "{event}");
    let remedy = &failure["evidence"]["remedy"]["what"];
    assert!(remedy.as_str().unwrap().contains("install `linntt-of-nobody`"), "{event}");
    assert!(event["usage"]["requests"].as_u64().unwrap() > 0, "{event}");
}

#[test]
fn a_gate_that_asks_is_told_so() {
    let repository = deployable(free_port(), "the page\n", "page", "");
    reconfigure(&repository, GATE, "    command: read -r answer\n");
    let outcome = repository.run(&["--environment", "local", "--output", "json"]);
    assert!(
        outcome.stdout.contains("reads its standard input, which is empty"),
        "{}",
        outcome.all()
    );
    assert!(outcome.stdout.contains("gates run unattended"), "{}", outcome.all());
}

#[test]
fn a_wrong_health_path_is_named_with_the_paths_that_answer() {
    let repository =
        crate::repository::deployable_without_a_model(free_port(), "the page\n", "page");
    reconfigure(&repository, "health_endpoint: /health", "health_endpoint: /missing/health");
    reconfigure(&repository, "wait_timeout: 20", "wait_timeout: 1");
    fails(
        &repository,
        "the service has no /missing/health (404), but answers at /health,",
        "config",
        "did you mean /health?",
        0,
    );
}

#[test]
fn a_missing_artifact_is_named_with_what_was_built_instead() {
    let repository =
        crate::repository::deployable_without_a_model(free_port(), "the page\n", "page");
    reconfigure(&repository, "artifacts: [service, page.txt]", "artifacts: [service, pages.txt]");
    fails(&repository, "artifact pages.txt: no such file", "config", "did you mean `page.txt`", 0);
}
