//! A run that wants a person waits at a real hub until somebody decides there.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::hub::Hub;
use crate::repository::{Outcome, Repository, deployable, free_port, get};
use crate::server::{APPROVE, ModelServer};

/// `greenloop approve …` of a person with a token.
fn approve(hub: &Hub, token: &str, arguments: &[&str]) -> Outcome {
    Command::new(env!("CARGO_BIN_EXE_greenloop"))
        .args(["approve", "--hub", &hub.url])
        .args(arguments)
        .env("GREENLOOP_HUB_TOKEN", token)
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .into()
}

/// The only request that waits.
fn waiting(hub: &Hub, token: &str) -> Value {
    let began = Instant::now();
    loop {
        let listed = approve(hub, token, &["--output", "json"]);
        if let Ok(Value::Array(mut found)) = serde_json::from_str::<Value>(&listed.stdout)
            && let Some(one) = found.pop()
        {
            assert_eq!(found.len(), 0, "{}", listed.all());
            return one;
        }
        assert!(began.elapsed() < Duration::from_secs(300), "nothing waits: {}", listed.all());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Starts a run that may ask at a hub, not decide there.
fn start(repository: &Repository, hub: &Hub, arguments: &[&str], env: &[(&str, &str)]) -> Child {
    repository
        .greenloop()
        .args(arguments)
        .env("GREENLOOP_HUB_URL", &hub.url)
        .env("GREENLOOP_HUB_TOKEN", hub.token("pipeline", "work"))
        .envs(env.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(run: Child) -> Outcome {
    run.wait_with_output().unwrap().into()
}

/// The record of a person's decision in the run's audit log, which verifies.
fn decided(repository: &Repository) -> Value {
    let verified = repository.run(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.all());
    let log = std::fs::read_to_string(repository.run_folder().join("audit.jsonl")).unwrap();
    log.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].clone())
        .find(|record| record["event"] == "human.decided")
        .unwrap()
}

/// A service whose environment wants a person for the rollout.
fn strict(port: u16, more: &str) -> Repository {
    let repository = deployable(port, "hello\n", "hello", "");
    let config = repository.read("config.yaml").replace(
        "    health_endpoint: /health\n",
        "    health_endpoint: /health\n    require_approval: true\n",
    );
    repository.write("config.yaml", &format!("{config}{more}"));
    repository.commit("strict");
    repository
}

#[test]
fn a_rollout_waits_until_a_person_approves_it_also_while_the_hub_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = Hub::start(folder.path());
    let port = free_port();
    let repository = strict(port, "");
    let run = start(&repository, &hub, &["--environment", "local"], &[]);
    let asked = waiting(&hub, &hub.token);
    assert_eq!((&asked["subject"], &asked["environment"]), (&"rollout".into(), &"local".into()));
    let tree = repository.git(&["rev-parse", "HEAD^{tree}"]);
    assert_eq!(asked["new_tree"], tree);
    let id = asked["id"].to_string();
    // Whoever only asks for a look decides nothing.
    let shown = approve(&hub, &hub.token, &[&id]);
    assert_eq!(shown.code, Some(0), "{}", shown.all());
    assert!(shown.stdout.contains("requires approval"), "{}", shown.all());
    assert!(shown.stdout.contains(&tree), "{}", shown.all());
    assert_eq!(get(port, "/"), None, "nothing is deployed yet");

    hub.restart(folder.path());
    let alice = hub.token("alice", "admin");
    let yes = approve(&hub, &alice, &[&id, "--yes", "--reason", "tests are green"]);
    assert_eq!(yes.code, Some(0), "{}", yes.all());
    let outcome = end(run);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.all().contains(&format!("greenloop approve {id}")), "{}", outcome.all());
    assert!(outcome.all().contains(&format!("/#/approvals/{id}")), "{}", outcome.all());
    assert!(outcome.all().contains("alice"), "{}", outcome.all());
    assert_eq!(get(port, "/"), Some((200, "hello\n".into())));

    let record = decided(&repository);
    assert!(record["actor"].to_string().contains("alice"), "{record}");
    assert_eq!(record["data"]["reason"], "tests are green");
    assert_eq!(record["data"]["approval"]["tree"], tree);
    // Once decided, it is not decided otherwise.
    let late = approve(&hub, &alice, &[&id, "--reject", "--yes"]);
    assert_eq!(late.code, Some(1), "{}", late.all());
}

/// A repair that adds a phrase for which the policy wants a person.
const FIX: &str = "The operator is wrong.\n\n\
    add.sh\n```sh\n<<<<<<< SEARCH\n  echo $(($1 - $2))\n=======\n  rm -rf ./tmp-of-add\n  echo $(($1 + $2))\n>>>>>>> REPLACE\n```\n";
const TEST: &str = "#!/bin/sh\n. ./add.sh\n[ \"$(add 2 3)\" = 5 ] || { echo \"add.sh:2: error: add 2 3 is $(add 2 3), not 5\" >&2; exit 1; }\n";
const BROKEN: &str = "add() {\n  echo $(($1 - $2))\n}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_is_applied_when_a_person_approves_it_and_not_when_one_rejects_it() {
    for approved in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let hub = Hub::start(folder.path());
        let repository = Repository::new(&[("add.sh", BROKEN), ("test.sh", TEST)]);
        let server = ModelServer::start(&[FIX], APPROVE).await;
        let url = server.base_url();
        let model = [
            ("OPENAI_BASE_URL", url.as_str()),
            ("OPENAI_API_KEY", "sk-test-0123456789abcdef"),
            ("GREENLOOP_MODEL", "test-model"),
        ];
        let run = start(&repository, &hub, &["heal", "--", "sh", "test.sh"], &model);
        let asked = waiting(&hub, &hub.token);
        assert_eq!(asked["subject"], "patch", "{asked}");
        let id = asked["id"].to_string();
        let shown = approve(&hub, &hub.token, &[&id]);
        for part in ["+  rm -rf ./tmp-of-add", "require_confirmation", "add 2 3 is", "approved by"]
        {
            assert!(shown.stdout.contains(part), "{part}: {}", shown.all());
        }
        // The pipeline's own token may not decide.
        let own = approve(&hub, &hub.token("pipeline", "work"), &[&id, "--yes"]);
        assert_ne!(own.code, Some(0), "{}", own.all());
        let alice = hub.token("alice", "admin");
        let mut said = vec![id.as_str(), "--yes", "--reason", "I looked at it"];
        if !approved {
            said.push("--reject");
        }
        let said = approve(&hub, &alice, &said);
        assert_eq!(said.code, Some(0), "{}", said.all());
        let outcome = end(run);
        assert_eq!(outcome.code, Some(if approved { 0 } else { 1 }), "{}", outcome.all());
        let record = decided(&repository);
        assert_eq!(record["data"]["approved"], approved, "{record}");
        assert_eq!(record["data"]["reason"], "I looked at it");
        let text = repository.read("add.sh");
        assert_eq!(text != BROKEN, approved, "{}", outcome.all());
        let actions: Value = serde_json::from_str(&hub.actions()).unwrap();
        let word = if approved { "approval.approve" } else { "approval.reject" };
        assert_eq!(
            (&actions[0]["action"], &actions[0]["operator"]),
            (&word.into(), &"alice".into())
        );
    }
}

#[test]
fn a_run_that_is_cancelled_or_that_nobody_answers_withdraws_its_request() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path());
    let state = |id: &str| {
        let shown = approve(&hub, &hub.token, &[id, "--output", "json"]);
        serde_json::from_str::<Value>(&shown.stdout).unwrap()["state"].clone()
    };
    let repository = strict(free_port(), "");
    let run = start(&repository, &hub, &["--environment", "local"], &[]);
    let id = waiting(&hub, &hub.token)["id"].to_string();
    let signal = Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(signal.success());
    let outcome = end(run);
    assert_eq!(outcome.code, Some(130), "{}", outcome.all());
    assert_eq!(state(&id), "withdrawn", "{}", outcome.all());

    let repository = strict(free_port(), "safety: {approval_timeout: 1s}\n");
    let outcome = end(start(&repository, &hub, &["--environment", "local"], &[]));
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(outcome.all().contains("nobody decided in time"), "{}", outcome.all());
    let all = approve(&hub, &hub.token, &["--all", "--output", "json"]);
    let all: Value = serde_json::from_str(&all.stdout).unwrap();
    assert!(["expired", "withdrawn"].contains(&all[0]["state"].as_str().unwrap()), "{all}");
}

#[test]
fn without_a_hub_that_takes_requests_a_run_stops_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path());
    let repository = strict(free_port(), "");
    let unknown = repository
        .greenloop()
        .args(["--environment", "local"])
        .env("GREENLOOP_HUB_URL", &hub.url)
        .env("GREENLOOP_HUB_TOKEN", "glh_nobody_knows-this-token")
        .output()
        .unwrap();
    let outcome = Outcome::from(unknown);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(outcome.all().contains("approval"), "{}", outcome.all());
    assert!(Path::new(&repository.run_folder()).exists());
}
