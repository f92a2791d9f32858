//! Workers as processes: killed, stopped past their lease, drained.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as Segments, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use crate::repository::Repository;
use crate::server::{APPROVE, ModelServer};

const LEASE: Duration = Duration::from_secs(2);

/// One task; only the holder of its lease can report.
struct Board {
    action: Value,
    gates: Vec<String>,
    repository: String,
    epoch: i64,
    held_until: Option<Instant>,
    over: bool,
    /// `<agent> claim`, `<epoch> <what>` and whether it was accepted.
    calls: Vec<(String, Value)>,
}

type Shared = Arc<Mutex<Board>>;

fn reply(status: StatusCode, body: &Value) -> Response {
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

async fn claim(State(shared): State<Shared>, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let claimed = {
        let mut board = shared.lock().unwrap();
        let free = board.held_until.is_none_or(|until| until < Instant::now());
        (free && !board.over).then(|| {
            board.epoch += 1;
            board.held_until = Some(Instant::now() + LEASE);
            board.calls.push((format!("{} claim", request["agent"].as_str().unwrap()), request));
            (board.epoch, board.action.clone(), board.gates.clone(), board.repository.clone())
        })
    };
    let Some((epoch, action, gates, repository)) = claimed else {
        tokio::time::sleep(Duration::from_millis(100)).await;
        return StatusCode::NO_CONTENT.into_response();
    };
    let task = json!({
        "id": 7, "graph": 1, "key": "1", "title": "Work",
        "description": "Let add.sh add its two numbers.", "epic": null,
        "role": null, "labels": [], "priority": 1, "rank_hours": 1.0, "hours": 1.0,
        "branch": null, "files": [], "needs": [], "conditions": [],
        "action": action, "timeout_seconds": 60, "state": "running",
        "reason": null, "epoch": epoch, "attempts": 1, "max_attempts": 3, "percent": 0,
        "agent": null, "commit": null, "updated_at": "2026-11-21T00:00:01Z",
    });
    reply(
        StatusCode::OK,
        &json!({
            "task": task, "epoch": epoch, "lease_seconds": LEASE.as_secs(),
            "repository": repository, "target": "main", "branch": format!("task/7/e{epoch}"),
            "gates": gates, "previous": null,
        }),
    )
}

async fn attempt(
    State(shared): State<Shared>,
    Segments((_task, epoch, what)): Segments<(i64, i64, String)>,
    body: Bytes,
) -> Response {
    let mut board = shared.lock().unwrap();
    let held = board.epoch == epoch && board.held_until.is_some_and(|until| until > Instant::now());
    let verdict = if held { "taken" } else { "refused" };
    let body = serde_json::from_slice(&body).unwrap();
    board.calls.push((format!("{epoch} {what} {verdict}"), body));
    if !held {
        return reply(
            StatusCode::CONFLICT,
            &json!({
                "type": "urn:greenloop:problem:stale-lease", "title": "stale", "status": 409,
                "detail": "the lease is not held",
            }),
        );
    }
    match what.as_str() {
        "heartbeat" => {
            board.held_until = Some(Instant::now() + LEASE);
            let answer = json!({"lease_seconds": LEASE.as_secs(), "cancel": false});
            reply(StatusCode::OK, &answer)
        }
        "complete" => {
            board.held_until = None;
            board.over = true;
            StatusCode::NO_CONTENT.into_response()
        }
        "fail" => {
            board.held_until = None;
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

struct Hub {
    runtime: tokio::runtime::Runtime,
    url: String,
    board: Shared,
    work: tempfile::TempDir,
}

/// A worker process; killed on drop.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        self.signal("CONT");
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

impl Worker {
    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let _gone = Command::new("kill").args([&format!("-{name}"), &pid]).output();
    }

    fn wait(&mut self) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(began.elapsed() < Duration::from_secs(300), "it does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Hub {
    fn new(repository: &Repository, command: &str) -> Self {
        let board = Arc::new(Mutex::new(Board {
            action: json!({"command": command}),
            gates: Vec::new(),
            repository: repository.path().join(".git").to_str().unwrap().to_owned(),
            epoch: 0,
            held_until: None,
            over: false,
            calls: Vec::new(),
        }));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let routes = Router::new()
            .route("/api/v1/claims", post(claim))
            .route("/api/v1/agents/heartbeat", post(|| async { StatusCode::NO_CONTENT }))
            .route("/api/v1/tasks/{task}/attempts/{epoch}/{what}", post(attempt))
            .with_state(Arc::clone(&board));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { runtime, url, board, work: tempfile::tempdir().unwrap() }
    }

    fn worker(&self, name: &str, more: &[&str]) -> Worker {
        self.worker_in(self.work.path(), name, more)
    }

    fn worker_in(&self, place: &Path, name: &str, more: &[&str]) -> Worker {
        self.worker_with(place, name, more, &[])
    }

    fn worker_with(&self, place: &Path, name: &str, more: &[&str], env: &[(&str, &str)]) -> Worker {
        let child = Command::new(env!("CARGO_BIN_EXE_greenloop"))
            // Commands here tell tests things through files outside their work trees.
            .args(["worker", "--sandbox", "off", "--pass-env", "*"])
            .args(["--hub", &self.url, "--name", name, "--lease", "2", "--work"])
            .arg(place)
            .args(more)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Worker(child)
    }

    fn calls(&self, what: &str) -> Vec<(String, Value)> {
        let board = self.board.lock().unwrap();
        board.calls.iter().filter(|(call, _)| call.contains(what)).cloned().collect()
    }

    fn until(&self, why: &str, what: impl Fn() -> bool) {
        let began = Instant::now();
        while !what() {
            assert!(began.elapsed() < Duration::from_secs(300), "{why}: {:?}", self.calls(""));
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

fn repository() -> Repository {
    Repository::new(&[("a.txt", "one\n")])
}

/// The first attempt never ends, later ones do; each writes a mark.
fn first_hangs(marks: &Path) -> String {
    format!(
        "touch {0}/e$GREENLOOP_TASK_EPOCH; echo $GREENLOOP_AGENT > who.txt; \
         test $GREENLOOP_TASK_EPOCH != 1 || sleep 300",
        marks.display()
    )
}

#[test]
fn a_killed_workers_task_goes_to_another_and_its_processes_end_with_the_next() {
    let repository = repository();
    let marks = tempfile::tempdir().unwrap();
    let hub = Hub::new(&repository, &first_hangs(marks.path()));
    let first = hub.worker("w1", &[]);
    hub.until("the first begins", || marks.path().join("e1").exists());
    first.signal("KILL");
    let _second = hub.worker("w2", &[]);
    hub.until("the second claims", || !hub.calls("w2 claim").is_empty());
    hub.until("it is done", || hub.board.lock().unwrap().over);
    assert_eq!(repository.git(&["show", "task/7/e2:who.txt"]), "w2");
    let left = hub.work.path().join("w1/tasks/7-e1");
    assert!(left.exists());
    let _again = hub.worker("w1", &[]);
    hub.until("what is left is cleared away", || !left.exists());
    assert!(crate::repository::pids_mentioning(&left).is_empty());
}

#[test]
fn a_zombie_changes_nothing_even_when_its_name_is_in_use_again() {
    for other in ["w2", "w1"] {
        let repository = repository();
        let marks = tempfile::tempdir().unwrap();
        let command = format!(
            "touch {0}/e$GREENLOOP_TASK_EPOCH; echo $GREENLOOP_TASK_EPOCH > who.txt; \
             test $GREENLOOP_TASK_EPOCH != 1 || sleep 2",
            marks.path().display()
        );
        let hub = Hub::new(&repository, &command);
        let zombie = hub.worker("w1", &[]);
        hub.until("the first begins", || marks.path().join("e1").exists());
        zombie.signal("STOP");
        // Restarted under the same name, but with another folder: the old process still holds its
        // folder.
        let elsewhere = tempfile::tempdir().unwrap();
        let _another = hub.worker_in(elsewhere.path(), other, &[]);
        hub.until("another is done", || hub.board.lock().unwrap().over);
        std::thread::sleep(Duration::from_secs(2));
        zombie.signal("CONT");
        let left = hub.work.path().join("w1/tasks/7-e1");
        hub.until("the zombie gives up", || !left.exists());
        assert!(hub.calls("1 complete taken").is_empty() && hub.calls("1 fail").is_empty());
        let branches = repository.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        assert_eq!(branches, "main\ntask/7/e2");
        assert_eq!(repository.git(&["show", "task/7/e2:who.txt"]), "2");
    }
}

#[test]
fn sigterm_drains_and_a_second_one_ends_at_once() {
    let repository = repository();
    let marks = tempfile::tempdir().unwrap();
    let hub = Hub::new(&repository, &format!("touch {}/begun; sleep 2", marks.path().display()));
    let mut worker = hub.worker("w1", &["--grace", "60"]);
    hub.until("it begins", || marks.path().join("begun").exists());
    worker.signal("TERM");
    assert_eq!(worker.wait(), 0);
    assert_eq!(hub.calls("1 complete taken").len(), 1);

    let marks = tempfile::tempdir().unwrap();
    let hub = Hub::new(&repository, &format!("touch {}/begun; sleep 300", marks.path().display()));
    let mut worker = hub.worker("w1", &["--grace", "600"]);
    hub.until("it begins", || marks.path().join("begun").exists());
    worker.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    worker.signal("TERM");
    assert_eq!(worker.wait(), 0);
    let handed_back = hub.calls("1 fail taken");
    assert_eq!(handed_back.len(), 1, "{:?}", hub.calls(""));
    assert_eq!(handed_back[0].1["retry"], true);
}

#[test]
fn an_agents_task_is_drafted_judged_and_pushed() {
    const BROKEN: &str = "add() {\n  echo $(($1 - $2))\n}\n";
    const FIX: &str = "It subtracts.\n\nadd.sh\n```sh\n<<<<<<< SEARCH\n  echo $(($1 - $2))\n\
        =======\n  echo $(($1 + $2))\n>>>>>>> REPLACE\n```\n";
    let repository = Repository::new(&[("add.sh", BROKEN)]);
    let hub = Hub::new(&repository, "");
    {
        let mut board = hub.board.lock().unwrap();
        board.action = json!("agent");
        board.gates = vec![". ./add.sh && test \"$(add 2 3)\" = 5".to_owned()];
    }
    let models = hub.runtime.block_on(ModelServer::start(&[FIX], APPROVE));
    let env = [
        ("OPENAI_BASE_URL", models.base_url()),
        ("OPENAI_API_KEY", "sk-test-0123456789abcdef".to_owned()),
        ("GREENLOOP_MODEL", "test-model".to_owned()),
    ];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _worker = hub.worker_with(hub.work.path(), "w1", &[], &env);
    hub.until("it is done", || hub.board.lock().unwrap().over);
    let added = repository.git(&["show", "task/7/e1:add.sh"]);
    assert!(added.contains("$(($1 + $2))"), "{added}");
    assert_eq!(repository.git(&["rev-list", "--count", "main..task/7/e1"]), "1");
    let kinds: Vec<Value> =
        hub.calls("1 evidence").into_iter().map(|(_, body)| body["kind"].clone()).collect();
    assert_eq!(kinds, ["usage", "diff", "review", "commit"]);
    let asked = models.author_requests();
    assert!(asked[0].to_string().contains("Let add.sh add its two numbers."));
}

/// The gate passes with a function taken out: its test is skipped then.
const SKIPPING: &str = "#!/bin/sh\n. ./add.sh\necho 1..2\n\
    test \"$(add 2 3)\" = 5 && echo 'ok 1 - adds' || { echo 'not ok 1 - adds'; failed=1; }\n\
    if type sub >/dev/null 2>&1; then test \"$(sub 3 2)\" = 1 && echo 'ok 2 - subtracts'\n\
    else echo 'ok 2 - subtracts # SKIP there is no sub'; fi\nexit $failed\n";

#[test]
fn an_agents_task_keeps_the_tests_of_its_commit() {
    const LIBRARY: &str = "add() {\n  echo $(($1 + $2))\n}\nsub() {\n  echo $(($1 - $2))\n}\n";
    const LOSES: &str = "Nobody calls sub.\n\nadd.sh\n```sh\n<<<<<<< SEARCH\n}\nsub() {\n  \
        echo $(($1 - $2))\n}\n=======\n}\nmul() {\n  echo $(($1 * $2))\n}\n>>>>>>> REPLACE\n```\n";
    const KEEPS: &str = "It belongs below.\n\nadd.sh\n```sh\n<<<<<<< SEARCH\nmul() {\n=======\n\
        sub() {\n  echo $(($1 - $2))\n}\nmul() {\n>>>>>>> REPLACE\n```\n";
    let repository = Repository::new(&[("add.sh", LIBRARY), ("check.sh", SKIPPING)]);
    let hub = Hub::new(&repository, "");
    {
        let mut board = hub.board.lock().unwrap();
        board.action = json!("agent");
        board.gates = vec!["sh check.sh".to_owned()];
    }
    let models = hub.runtime.block_on(ModelServer::start(&[LOSES, KEEPS], APPROVE));
    let env = [
        ("OPENAI_BASE_URL", models.base_url()),
        ("OPENAI_API_KEY", "sk-test-0123456789abcdef".to_owned()),
        ("GREENLOOP_MODEL", "test-model".to_owned()),
    ];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _worker = hub.worker_with(hub.work.path(), "w1", &[], &env);
    hub.until("it is done", || hub.board.lock().unwrap().over);
    let asked = models.author_requests();
    assert_eq!(asked.len(), 2, "{asked:?}");
    let told = asked[1].to_string();
    assert!(told.contains("subtracts") && told.contains("is skipped now"), "{told}");
    let done = repository.git(&["show", "task/7/e1:add.sh"]);
    assert!(done.contains("sub()") && done.contains("mul()"), "{done}");
}
