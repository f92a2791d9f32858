//! The tasks stage: with a scripted hub and a repository that has the work, and with a real hub and
//! real workers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::hub::Hub as RealHub;
use crate::repository::{Outcome, Repository, deployable, free_port, get};

/// A hub whose one graph is in `state`, with one task.
struct Hub {
    runtime: tokio::runtime::Runtime,
    server: MockServer,
}

impl Hub {
    fn new(state: &str, task_state: &str, commit: Option<&str>, repository: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let graph = json!({
            "id": 7, "project": "pages", "name": "sprint", "repository": repository,
            "target": "main", "state": state, "run": null, "tasks": {task_state: 1},
            "percent": 100.0, "created_at": "2026-11-21T00:00:00Z", "ended_at": null,
        });
        let task = json!({
            "id": 3, "graph": 7, "key": "1.1", "title": "Say welcome", "description": "",
            "epic": null, "role": null, "labels": [], "priority": 2, "rank_hours": 1.0,
            "hours": 1.0, "branch": null, "files": [], "needs": [], "conditions": [],
            "action": {"command": "make"}, "timeout_seconds": null, "state": task_state,
            "reason": "the command failed: exit status 3", "epoch": 2, "attempts": 2,
            "max_attempts": 2, "percent": 0, "agent": "w1", "commit": commit,
            "updated_at": "2026-11-21T00:00:00Z",
        });
        let attempt = json!({
            "task": 3, "epoch": 2, "agent": "w1", "state": "failed", "percent": 0,
            "message": null, "commit": null, "class": "code", "fingerprint": "0123456789abcdef",
            "started_at": "2026-11-21T00:00:01Z", "ended_at": null,
        });
        let log = json!({
            "id": 1, "task": 3, "epoch": 2, "agent": "w1", "kind": "log", "title": "the end",
            "body": "make: *** [all] Error 3\n", "url": null, "created_at": "2026-11-21T00:00:01Z",
        });
        let page = |item: Value| json!({"items": [item], "next": null});
        let server = runtime.block_on(async {
            let server = MockServer::start().await;
            for (verb, place, body) in [
                ("POST", "graphs", graph.clone()),
                ("GET", "graphs/7", graph.clone()),
                ("GET", "tasks/3/attempts", page(attempt)),
                ("GET", "tasks/3/evidence", page(log)),
            ] {
                Mock::given(method(verb))
                    .and(path(format!("/api/v1/{place}")))
                    .respond_with(ResponseTemplate::new(200).set_body_json(body))
                    .mount(&server)
                    .await;
            }
            Mock::given(method("GET"))
                .and(path("/api/v1/tasks"))
                .and(query_param("graph", "7"))
                .respond_with(ResponseTemplate::new(200).set_body_json(page(task)))
                .mount(&server)
                .await;
            server
        });
        Self { runtime, server }
    }

    fn submissions(&self) -> Vec<(String, Value)> {
        let requests = self.runtime.block_on(self.server.received_requests()).unwrap();
        let posts = requests.iter().filter(|request| request.url.path() == "/api/v1/graphs");
        posts
            .map(|request| {
                let key = request.headers["idempotency-key"].to_str().unwrap().to_owned();
                (key, serde_json::from_slice(&request.body).unwrap())
            })
            .collect()
    }
}

/// A deployable repository with a graph, and a bare remote of it.
fn project(port: u16) -> (Repository, tempfile::TempDir, String) {
    let repository = deployable(port, "hello", "welcome", "");
    let config = repository.read("config.yaml");
    repository.write("config.yaml", &format!("{config}tasks:\n  timeout: 60\n"));
    repository.write(
        "tasks.yaml",
        "project: {name: pages}\ntasks:\n  - key: '1.1'\n    title: Say welcome\n    command: make\n",
    );
    repository.commit("tasks");
    let remotes = tempfile::tempdir().unwrap();
    let remote = remotes.path().join("remote.git").to_str().unwrap().to_owned();
    repository.git(&["clone", "-q", "--bare", ".", &remote]);
    (repository, remotes, remote)
}

/// Starts a run of the environment `local` whose tasks go to the hub.
fn begin_run(repository: &Repository, hub: &RealHub) -> std::process::Child {
    repository
        .greenloop()
        .args(["--environment", "local", "--output", "plain"])
        .env("GREENLOOP_HUB_URL", &hub.url)
        .env("GREENLOOP_HUB_TOKEN", &hub.token)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn the_run_goes_on_from_the_merged_work_and_deploys_it() {
    let port = free_port();
    let (repository, _remotes, remote) = project(port);
    let base = repository.git(&["rev-parse", "HEAD"]);
    // The merged work of the tasks.
    repository.git(&["checkout", "-q", "-b", "work"]);
    repository.write("page.txt", "welcome");
    repository.commit("say welcome");
    let merged = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["push", "-q", &remote, "work:main"]);
    repository.git(&["checkout", "-q", "main"]);
    repository.git(&["branch", "-q", "-D", "work"]);
    let hub = Hub::new("done", "done", Some(&merged), &remote);
    let outcome: Outcome = repository
        .greenloop()
        .args(["--environment", "local", "--output", "plain"])
        .env("GREENLOOP_HUB_URL", hub.server.uri())
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.stdout.contains("continues from"), "{}", outcome.all());
    assert_eq!(get(port, "/").unwrap().1, "welcome");
    // The work tree is unchanged; the run's branch has the work.
    assert_eq!(repository.read("page.txt"), "hello");
    assert_eq!(repository.git(&["rev-parse", "HEAD"]), base);
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
    let branch =
        repository.git(&["for-each-ref", "--format=%(objectname)", "refs/heads/greenloop"]);
    assert_eq!(branch, merged);
    let submissions = hub.submissions();
    assert_eq!(submissions.len(), 1);
    let (key, body) = &submissions[0];
    assert!(key.ends_with(&base), "{key}");
    assert!(body["run"].is_string() && body["tasks"][0]["key"] == "1.1", "{body}");
}

#[test]
fn a_task_that_was_given_up_ends_the_run_with_its_evidence() {
    let port = free_port();
    let (repository, _remotes, remote) = project(port);
    let hub = Hub::new("failed", "failed", None, &remote);
    let outcome: Outcome = repository
        .greenloop()
        .args(["--environment", "local", "--output", "plain"])
        .env("GREENLOOP_HUB_URL", hub.server.uri())
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    for expect in ["task 1.1 Say welcome failed", "make: *** [all] Error 3", "/tasks/3"] {
        assert!(outcome.all().contains(expect), "{expect}: {}", outcome.all());
    }
    assert_eq!(get(port, "/"), None, "nothing was deployed");
}

/// Five tasks; the second one's first attempt never ends.
const TASKS: &str = r#"project:
  name: pages
  gates: ["! grep -rn teh parts"]
epics:
  - {key: 1, title: The parts, branch: epic-1/parts}
tasks:
  - {key: 1.1, title: Say welcome, epic: 1, command: "mkdir -p parts; printf 'welcome, ' > parts/1"}
  - key: 1.2
    title: Say whom
    epic: 1
    command: >-
      mkdir -p parts; printf everybody > parts/2;
      echo $GREENLOOP_AGENT > MARKS/e$GREENLOOP_TASK_EPOCH;
      test $GREENLOOP_TASK_EPOCH != 1 || sleep 300
  - {key: 1.3, title: End it, epic: 1, command: "mkdir -p parts; printf . > parts/3"}
  - {key: 2.1, title: Write it down, command: "echo made of parts > NOTES"}
  - key: 2.2
    title: Put it together
    needs: [2.1]
    conditions: [{epic: 1, at_least: 100%}]
    command: cat parts/1 parts/2 parts/3 > page.txt
"#;

#[test]
fn a_graph_is_done_by_two_workers_one_of_them_killed_and_then_deployed() {
    let port = free_port();
    let (repository, remotes, remote) = project(port);
    let place = remotes.path();
    let marks = place.join("marks");
    std::fs::create_dir(&marks).unwrap();
    repository.write("tasks.yaml", &TASKS.replace("MARKS", marks.to_str().unwrap()));
    repository.commit("a graph");
    repository.git(&["remote", "add", "origin", &remote]);
    repository.git(&["push", "-q", "origin", "main"]);
    let base = repository.git(&["rev-parse", "HEAD"]);
    let hub = RealHub::start(place);
    let mut workers = ["w1", "w2"].map(|name| (name, hub.worker(name, &place.join("workers"))));
    let run = begin_run(&repository, &hub);
    let began = Instant::now();
    let busy = loop {
        let agent = std::fs::read_to_string(marks.join("e1")).unwrap_or_default();
        if agent.ends_with('\n') {
            break agent.trim().to_owned();
        }
        assert!(began.elapsed() < Duration::from_secs(300), "{:#}", hub.status());
        std::thread::sleep(Duration::from_millis(50));
    };
    for (name, worker) in &mut workers {
        if *name == busy {
            worker.kill();
        }
    }
    let outcome: Outcome = run.wait_with_output().unwrap().into();
    assert_eq!(outcome.code, Some(0), "{}\n{:#}", outcome.all(), hub.status());
    assert_eq!(get(port, "/").unwrap().1, "welcome, everybody.");
    let status = hub.status();
    assert_eq!(status["graph"]["state"], "done", "{status:#}");
    let other = std::fs::read_to_string(marks.join("e2")).unwrap();
    assert_ne!(other.trim(), busy, "somebody else did it");
    // The run was reported to the hub.
    let hub_port = hub.url.rsplit_once(':').unwrap().1.parse().unwrap();
    let runs = |path: &str| -> serde_json::Value {
        serde_json::from_str(&get(hub_port, &format!("/api/v1/runs{path}")).unwrap().1).unwrap()
    };
    let listed = &runs("")["items"][0];
    assert_eq!(listed["state"], "verified", "{listed:#}");
    let run = runs(&format!("/{}", listed["id"].as_str().unwrap()));
    assert!(run["report"].as_str().unwrap().starts_with("# ✓"), "{run:#}");
    assert!(run["ended_at"].is_string(), "{run:#}");
    // The run continued from the merge queue's commit and deployed it; the work tree is unchanged.
    let tip = repository.git(&["ls-remote", &remote, "refs/heads/main"]);
    let branch =
        repository.git(&["for-each-ref", "--format=%(objectname)", "refs/heads/greenloop"]);
    assert!(tip.starts_with(&branch), "{tip} {branch}");
    assert_eq!(repository.git(&["rev-parse", "HEAD"]), base);
    assert_eq!(repository.read("page.txt"), "hello");
}

#[test]
fn a_run_waits_on_for_its_graph_while_the_hub_is_killed_and_started_again() {
    let port = free_port();
    let (repository, remotes, remote) = project(port);
    let place = remotes.path();
    let marks = place.join("marks");
    std::fs::create_dir(&marks).unwrap();
    let at = marks.display();
    let command = format!(
        "touch {at}/begun; until [ -e {at}/go ]; do sleep 0.1; done; echo welcome > page.txt"
    );
    let tasks = format!(
        "project: {{name: pages}}\ntasks:\n  - key: '1.1'\n    title: Say welcome\n    command: {command}\n"
    );
    repository.write("tasks.yaml", &tasks);
    let config = repository.read("config.yaml").replace("  timeout: 60\n", "  timeout: 600\n");
    repository.write("config.yaml", &config);
    repository.commit("a task that takes a while");
    repository.git(&["remote", "add", "origin", &remote]);
    repository.git(&["push", "-q", "origin", "main"]);
    let mut hub = RealHub::start(place);
    let _worker = hub.worker("w1", &place.join("workers"));
    let run = begin_run(&repository, &hub);
    let began = Instant::now();
    while !marks.join("begun").exists() {
        assert!(began.elapsed() < Duration::from_secs(300), "{:#}", hub.status());
        std::thread::sleep(Duration::from_millis(50));
    }
    hub.restart(place);
    std::fs::write(marks.join("go"), "").unwrap();
    let outcome: Outcome = run.wait_with_output().unwrap().into();
    assert_eq!(outcome.code, Some(0), "{}\n{:#}", outcome.all(), hub.status());
    assert_eq!(get(port, "/").unwrap().1, "welcome\n");
    // Asked for once: the graph from before is the one that was done.
    let hub_port = hub.url.rsplit_once(':').unwrap().1.parse().unwrap();
    let graphs = get(hub_port, "/api/v1/graphs").unwrap().1;
    let graphs: serde_json::Value = serde_json::from_str(&graphs).unwrap();
    let [graph] = graphs["items"].as_array().unwrap().as_slice() else { panic!("{graphs:#}") };
    assert_eq!(graph["state"], "done", "{graphs:#}");
}
