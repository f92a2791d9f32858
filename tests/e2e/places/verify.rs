//! `scripts/verify-agents.sh` with a local hub server that answers like the hub's API.

use std::process::{Command, Output};

use serde_json::{Value, json};
use wiremock::matchers::{header, method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{root, text};

const TOKEN: &str = "glh_1_qwerty";

/// The hub's answers, by path.
struct Hub {
    health: Value,
    agents: Vec<Value>,
    tasks: Value,
    ready: Vec<Value>,
    running: Vec<Value>,
    merges: Vec<Value>,
    events: ResponseTemplate,
}

fn ago(seconds: i64) -> String {
    let now = jiff::Timestamp::now();
    (now - jiff::SignedDuration::from_secs(seconds)).to_string()
}

fn agent(name: &str, role: &str, state: &str, seconds: i64) -> Value {
    json!({
        "name": name, "roles": [role], "labels": [], "host": "vm-1", "version": "0.1.0",
        "state": state, "task": (state == "working").then_some(7), "percent": null,
        "cpu_percent": null, "memory_bytes": null, "succeeded": 0, "failed": 0,
        "last_heartbeat": ago(seconds),
    })
}

fn stream(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body, "text/event-stream")
}

impl Hub {
    /// A healthy hub: seven agents, 28 tasks in five epics.
    fn well() -> Self {
        let agents = ["a", "b", "c", "d", "e", "f"].map(|name| agent(name, "backend", "idle", 5));
        let mut agents = agents.to_vec();
        agents.push(agent("g", "frontend", "working", 29));
        Self {
            health: json!({"status": "ok", "store": "ok", "redis": "ok", "version": "0.1.0"}),
            agents,
            tasks: json!({"done": 3, "running": 1, "ready": 2, "waiting": 22}),
            ready: vec![json!({"id": 1, "role": "backend"}), json!({"id": 2, "role": null})],
            running: vec![json!({"task": 7, "epoch": 1, "agent": "g", "state": "running"})],
            // A conflict whose task was redone is resolved.
            merges: vec![
                json!({"id": 1, "state": "merged", "branch": "task/3/e1"}),
                json!({"id": 2, "state": "conflict", "unsolved": false, "branch": "task/4/e1"}),
            ],
            events: stream(&format!(
                "id: 4\nevent: task.ready\ndata: {}\n\n",
                json!({"id": 4, "at": "2026-01-01T00:00:00Z", "kind": "task.ready"})
            )),
        }
    }

    async fn serve(self) -> MockServer {
        let server = MockServer::start().await;
        let summary = json!({
            "tasks": self.tasks, "hours": 552.0, "hours_done": 48.0, "percent": 8.7,
            "tasks_last_hour": 1, "velocity": null, "eta_hours": null,
            "epics": [{}, {}, {}, {}, {}],
        });
        let page = |items: &[Value]| json!({"items": items, "next": null});
        // Agents come in two pages.
        let (first, second) = self.agents.split_at(self.agents.len() / 2);
        let answer = |body: Value| ResponseTemplate::new(200).set_body_json(body);
        let agents = || get("agents");
        agents()
            .and(query_param_is_missing("cursor"))
            .respond_with(answer(json!({"items": first, "next": "a/b=="})))
            .mount(&server)
            .await;
        agents()
            .and(query_param("cursor", "a/b=="))
            .respond_with(answer(page(second)))
            .mount(&server)
            .await;
        for (path, body) in [
            ("health", self.health),
            ("progress/summary", summary),
            ("tasks/ready", page(&self.ready)),
            ("merge-queue", page(&self.merges)),
            ("branches", page(&[json!({"name": "task/3/e1"})])),
        ] {
            get(path).respond_with(answer(body)).mount(&server).await;
        }
        let running = get("assignments").and(query_param("state", "running"));
        running.respond_with(answer(page(&self.running))).mount(&server).await;
        let events = get("events").and(query_param("after", "0"));
        events.respond_with(self.events).mount(&server).await;
        // The hub rejects unknown parameters.
        let unknown = ResponseTemplate::new(422).set_body_json(json!({
            "type": "urn:greenloop:problem:invalid", "title": "invalid", "status": 422,
            "detail": "unknown query parameter",
        }));
        Mock::given(asks_for_what_the_hub_does_not_know)
            .respond_with(unknown)
            .with_priority(1)
            .mount(&server)
            .await;
        // Without a token there is no data.
        let problem = json!({
            "type": "urn:greenloop:problem:unauthorised", "title": "unauthorised", "status": 401,
            "detail": "no token",
        });
        let refused = ResponseTemplate::new(401).set_body_json(problem);
        Mock::given(method("GET")).respond_with(refused).with_priority(200).mount(&server).await;
        server
    }
}

/// Whether a request has a query parameter that `docs/openapi.json` does not have for its path.
fn asks_for_what_the_hub_does_not_know(request: &wiremock::Request) -> bool {
    let api: Value =
        serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("the API");
    let parameters = &api["paths"][request.url.path()]["get"]["parameters"];
    let known = |name: &str| {
        let all = parameters.as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().any(|it| it["in"] == "query" && it["name"] == name)
    };
    request.url.query_pairs().any(|(name, _)| !known(&name))
}

fn get(what: &str) -> wiremock::MockBuilder {
    Mock::given(method("GET"))
        .and(path(format!("/api/v1/{what}")))
        .and(header("Authorization", format!("Bearer {TOKEN}").as_str()))
}

fn verify(hub: &str, token: &str, arguments: &[&str]) -> Output {
    tokio::task::block_in_place(|| {
        Command::new(root().join("scripts/verify-agents.sh"))
            .args(arguments)
            .args(["--wait", "2", hub])
            .env("GREENLOOP_HUB_TOKEN", token)
            .output()
            .unwrap()
    })
}

/// The line of a check, and its remedy.
fn check(said: &str, name: &str) -> (bool, String) {
    let mut lines = said.lines().skip_while(|line| !line.contains(&format!(" {name}: ")));
    let line = lines.next().unwrap_or_else(|| panic!("no {name} in {said}"));
    let remedy = lines.next().filter(|line| line.trim_start().starts_with("do: "));
    (line.starts_with("ok "), format!("{line} {}", remedy.unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn all_seven_checks_of_a_hub_that_is_well() {
    let server = Hub::well().serve().await;
    let arguments = ["--agents", "a,g", "--expect-agents", "7", "--expect-tasks", "28"];
    let output = verify(&server.uri(), TOKEN, &arguments);
    let said = text(&output).replace(&server.uri(), "HUB");
    assert!(output.status.success(), "{said}");
    let heartbeat = said.lines().nth(2).unwrap();
    assert!(heartbeat.starts_with("ok   2 agents: 7 of 7 fresh, last heartbeat "), "{said}");
    assert_eq!(
        said.replace(heartbeat, "AGENTS"),
        "verification of HUB\n\
         ok   1 health: status ok, store ok, redis ok\n\
         AGENTS\n\
         ok   3 tasks: 28 tasks, 552 hours, 5 epics, 9 % done\n\
         ok   4 ready: 2 ready, 1 running, 0 merging, 22 waiting, 0 blocked, 0 failed\n\
         ok   5 claims: 1 running on g\n\
         ok   6 live: event 4 task.ready at 2026-01-01T00:00:00Z\n\
         ok   7 git: 0 queued, 0 testing, 1 merged, 0 in conflict, 0 ejected; 1 branches\n\
         all checks passed\n"
    );
    let output = verify(&server.uri(), TOKEN, &["--json"]);
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&verdict["ok"], verdict["checks"].as_array().unwrap().len()), (&json!(true), 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_check_fails_alone_and_says_what_to_do() {
    type Break = fn(&mut Hub);
    let cases: [(&str, Break, &str); 10] = [
        ("health", |hub| hub.health["redis"] = "down".into(), "start or repair redis"),
        (
            "agents",
            |hub| hub.agents[1] = agent("b", "backend", "stale", 200),
            "stale: b (stale, 20",
        ),
        // The state may lag; the time of the last heartbeat does not.
        ("agents", |hub| hub.agents[1] = agent("b", "backend", "idle", 500), "stale: b (idle, 50"),
        ("agents", |hub| hub.agents[1]["name"] = "z".into(), "start b"),
        ("tasks", |hub| hub.tasks = json!({}), "greenloop tasks import"),
        ("ready", |hub| hub.ready[0]["role"] = "dba".into(), "start a worker with --role dba"),
        (
            "ready",
            |hub| {
                hub.ready.clear();
                hub.running.clear();
                hub.tasks = json!({"waiting": 27, "failed": 1});
            },
            "their dependencies have failed",
        ),
        ("claims", |hub| hub.running.clear(), "it says why it claims nothing"),
        ("live", |hub| hub.events = stream(""), "proxy_buffering off"),
        (
            "git",
            |hub| {
                hub.merges.push(
                    json!({"state": "conflict", "unsolved": true, "branch": "task/5/e2", "reason": "both \u{1b}[31mchanged a.rs"}),
                );
            },
            // External text: no control character reaches the terminal.
            "solve task/5/e2: both ?[31mchanged a.rs",
        ),
    ];
    for (name, break_it, says) in cases {
        let mut hub = Hub::well();
        break_it(&mut hub);
        let server = hub.serve().await;
        let output = verify(&server.uri(), TOKEN, &["--agents", "b"]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        let (ok, line) = check(&said, name);
        assert!(!ok && line.contains(says), "{name}: {said}");
        assert!(said.ends_with("1 of 7 checks failed\n"), "{name}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_hub_and_workers_that_were_taken_away_are_well() {
    let mut hub = Hub::well();
    hub.tasks = json!({});
    hub.ready.clear();
    hub.running.clear();
    hub.agents[6] = agent("g", "frontend", "idle", 2);
    // Pods of yesterday.
    hub.agents.push(agent("greenloop-worker-x", "backend", "down", 90_000));
    hub.agents.push(agent("greenloop-worker-y", "backend", "inactive", 90_000));
    hub.events = stream(": keep-alive\n\n");
    let server = hub.serve().await;
    let output = verify(&server.uri(), TOKEN, &["--allow-empty"]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        check(&said, "agents").1.contains("7 of 7 fresh") && said.contains("; 1 gone"),
        "{said}"
    );
    assert!(check(&said, "claims").1.contains("none, and nothing is ready"), "{said}");
    assert!(check(&said, "live").1.contains("keep-alive, but no event yet"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_or_gets_no_answer_is_told_once() {
    let server = Hub::well().serve().await;
    for (hub, token, says) in [
        (server.uri(), "", "do: greenloop hub token create --name verify --scope read"),
        // Nothing listens at port 1.
        ("http://127.0.0.1:1".to_owned(), TOKEN, "no answer from http://127.0.0.1:1"),
    ] {
        let output = verify(&hub, token, &[]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.matches(says).count(), 1, "{said}");
        assert_eq!(said.matches("skipped").count(), 6, "{said}");
    }
    for arguments in [&["--max-age", "soon"][..], &["--what"], &["--expect-agents"], &["ftp://x"]] {
        let script = root().join("scripts/verify-agents.sh");
        let output = Command::new(script).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_what_is_still_starting() {
    let mut hub = Hub::well();
    let agents = std::mem::take(&mut hub.agents);
    let server = hub.serve().await;
    let late = server.uri();
    let arrive = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        let body = json!({"items": agents, "next": null});
        let answer = ResponseTemplate::new(200).set_body_json(body);
        get("agents").respond_with(answer).with_priority(1).mount(&server).await;
        server
    });
    let output = verify(&late, TOKEN, &["--settle", "30"]);
    assert!(output.status.success(), "{}", text(&output));
    arrive.await.unwrap();
}
