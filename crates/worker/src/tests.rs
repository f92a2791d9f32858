//! A worker on real repositories, with a hub that keeps its word and nothing else.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as Segments, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use super::*;
use greenloop_evidence::Redactor;
use greenloop_hub_api::client::HubClient;

/// One task, which anybody can claim while nobody holds it.
struct Board {
    action: Value,
    repository: Option<String>,
    lease: Duration,
    epoch: i64,
    held_until: Option<Instant>,
    cancelled: bool,
    over: bool,
    /// Path and body of every call, heartbeats of the agent left out.
    calls: Vec<(String, Value)>,
}

type Shared = Arc<Mutex<Board>>;

fn holds(board: &Board, epoch: i64) -> bool {
    board.epoch == epoch && board.held_until.is_some_and(|until| until > Instant::now())
}

fn reply(status: StatusCode, body: &Value) -> Response {
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

fn stale() -> Response {
    let problem = json!({
        "type": "urn:greenloop:problem:stale-lease", "title": "stale", "status": 409,
        "detail": "the lease is not held",
    });
    reply(StatusCode::CONFLICT, &problem)
}

async fn claim(State(shared): State<Shared>) -> Response {
    let claimed = {
        let mut board = shared.lock().unwrap();
        let free = board.held_until.is_none_or(|until| until < Instant::now());
        if board.over || board.cancelled || !free {
            None
        } else {
            board.epoch += 1;
            board.held_until = Some(Instant::now() + board.lease);
            Some((board.epoch, board.action.clone(), board.repository.clone(), board.lease))
        }
    };
    let Some((epoch, action, repository, lease)) = claimed else {
        tokio::time::sleep(Duration::from_millis(100)).await;
        return StatusCode::NO_CONTENT.into_response();
    };
    let task = json!({
        "id": 7, "graph": 1, "key": "1.3", "title": "Add the file", "description": "all of it",
        "epic": null, "role": null, "labels": [], "priority": 1, "rank_hours": 1.0, "hours": 1.0,
        "branch": null, "files": [], "needs": [], "conditions": [], "action": action,
        "timeout_seconds": 60, "state": "running", "reason": null, "epoch": epoch, "attempts": 1,
        "max_attempts": 3, "percent": 0, "agent": "w", "commit": null, "updated_at": "2026-11-21T00:00:00Z",
    });
    let claimed = json!({
        "task": task, "epoch": epoch, "lease_seconds": lease.as_secs(), "repository": repository,
        "target": "main", "branch": format!("task/7/e{epoch}"), "gates": [], "previous": null,
    });
    reply(StatusCode::OK, &claimed)
}

async fn attempt(
    State(shared): State<Shared>,
    Segments((task, epoch, what)): Segments<(i64, i64, String)>,
    body: Bytes,
) -> Response {
    assert_eq!(task, 7);
    let body: Value = serde_json::from_slice(&body).unwrap();
    let mut board = shared.lock().unwrap();
    let held = holds(&board, epoch);
    board.calls.push((format!("{epoch} {what}{}", if held { "" } else { " refused" }), body));
    if !held {
        return stale();
    }
    match what.as_str() {
        "heartbeat" => {
            board.held_until = Some(Instant::now() + board.lease);
            let answer = json!({"lease_seconds": board.lease.as_secs(), "cancel": board.cancelled});
            return reply(StatusCode::OK, &answer);
        }
        "complete" | "fail" => {
            board.held_until = None;
            board.over = true;
        }
        _ => {}
    }
    StatusCode::NO_CONTENT.into_response()
}

/// A hub with one task.
struct Hub {
    url: String,
    board: Shared,
}

impl Hub {
    async fn with(command: &str, repository: Option<&Path>, lease: u64) -> Self {
        let board = Arc::new(Mutex::new(Board {
            action: json!({"command": command}),
            repository: repository.map(|path| path.to_str().unwrap().to_owned()),
            lease: Duration::from_secs(lease),
            epoch: 0,
            held_until: None,
            cancelled: false,
            over: false,
            calls: Vec::new(),
        }));
        let routes = Router::new()
            .route("/api/v1/claims", post(claim))
            .route("/api/v1/agents/heartbeat", post(|| async { StatusCode::NO_CONTENT }))
            .route("/api/v1/tasks/{task}/attempts/{epoch}/{what}", post(attempt))
            .with_state(Arc::clone(&board));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, board }
    }

    fn calls(&self, what: &str) -> Vec<(String, Value)> {
        let board = self.board.lock().unwrap();
        board.calls.iter().filter(|(call, _)| call.contains(what)).cloned().collect()
    }

    async fn until(&self, what: impl Fn(&Board) -> bool) {
        let began = Instant::now();
        while !what(&self.board.lock().unwrap()) {
            assert!(began.elapsed() < Duration::from_secs(300), "{:?}", self.calls(""));
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    fn worker(&self, work: &Path, lease: u64, grace: Duration) -> Worker {
        Worker {
            options: WorkerOptions {
                name: "w".to_owned(),
                roles: Vec::new(),
                labels: Vec::new(),
                slots: 1,
                work: work.to_owned(),
                lease: Duration::from_secs(lease),
                heartbeat: Duration::from_secs(30),
                grace,
                recheck: Duration::from_millis(200),
                keep_mirrors: None,
                most_mirrors: u64::MAX,
                env_remove: vec!["CARGO_MANIFEST_DIR".to_owned()],
                sandbox: None,
            },
            client: HubClient::new(&self.url, None).unwrap(),
            redactor: Redactor::new(["correct-horse-battery".to_owned()]),
            agents: None,
            model: None,
        }
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn repository(folder: &Path) -> PathBuf {
    let bare = folder.join("remote.git");
    git(folder, &["init", "-q", "-b", "main", "seed"]);
    let seed = folder.join("seed");
    std::fs::write(seed.join("a.txt"), "one\n").unwrap();
    git(&seed, &["add", "-A"]);
    git(&seed, &["commit", "-q", "-m", "first"]);
    git(folder, &["clone", "-q", "--bare", "seed", "remote.git"]);
    bare
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_becomes_a_commit_on_the_attempts_own_branch() {
    let folder = tempfile::tempdir().unwrap();
    let remote = repository(folder.path());
    let line = "test -z \"$CARGO_MANIFEST_DIR\" && printf '%s %s' \"$GREENLOOP_TASK_KEY\" \
                \"$GREENLOOP_TASK_TITLE\" > b.txt";
    let hub = Hub::with(line, Some(&remote), 30).await;
    let stop = Stop::default();
    let work = folder.path().join("work");
    let worker = tokio::spawn(hub.worker(&work, 30, Duration::ZERO).run(stop.clone()));
    hub.until(|board| board.over).await;
    stop.drain();
    worker.await.unwrap().unwrap();
    let complete = &hub.calls("1 complete")[0].1;
    assert_eq!(complete["commit"], git(&remote, &["rev-parse", "task/7/e1"]));
    assert_eq!(git(&remote, &["show", "task/7/e1:b.txt"]), "1.3 Add the file");
    let message = git(&remote, &["log", "-1", "--format=%an|%s|%(trailers:only)", "task/7/e1"]);
    assert!(message.starts_with("w|Add the file|Greenloop-Task: 7 (1.3)"), "{message}");
    assert!(message.contains("Greenloop-Epoch: 1"), "{message}");
    assert_eq!(std::fs::read_dir(work.join("w/tasks")).unwrap().count(), 0);
    assert_eq!(git(&remote, &["log", "--format=%s", "main"]), "first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_nothing_completes_without_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let remote = repository(folder.path());
    let hub = Hub::with("true", Some(&remote), 30).await;
    let stop = Stop::default();
    let worker = tokio::spawn(hub.worker(folder.path(), 30, Duration::ZERO).run(stop.clone()));
    hub.until(|board| board.over).await;
    stop.drain();
    worker.await.unwrap().unwrap();
    assert_eq!(hub.calls("complete")[0].1.get("commit"), Some(&Value::Null));
    assert_eq!(git(&remote, &["branch", "--list", "task/*"]), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_reported_with_its_evidence_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let line = "echo token correct-horse-battery; echo \"error: cannot find 'x'\" >&2; exit 3";
    let hub = Hub::with(line, None, 30).await;
    let stop = Stop::default();
    let worker = tokio::spawn(hub.worker(folder.path(), 30, Duration::ZERO).run(stop.clone()));
    hub.until(|board| board.over).await;
    stop.drain();
    worker.await.unwrap().unwrap();
    let failure = &hub.calls("1 fail")[0].1;
    assert_eq!(failure["retry"], true);
    assert!(failure["message"].as_str().unwrap().contains("exit status 3"), "{failure}");
    assert_eq!(failure["fingerprint"].as_str().unwrap().len(), 16);
    let evidence = hub.calls("1 evidence");
    assert!(evidence.iter().any(|(_, e)| e["kind"] == "log"), "{evidence:?}");
    let log = std::fs::read_to_string(folder.path().join("w/logs/7-e1.log")).unwrap();
    assert!(log.contains("cannot find"), "{log}");
    for text in [format!("{:?}", hub.calls("")), log] {
        assert!(!text.contains("battery"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_worker_keeps_its_lease() {
    let folder = tempfile::tempdir().unwrap();
    // Output as fast as it goes, for four leases.
    let hub = Hub::with("timeout 4 yes 'a long line of nothing' || true", None, 1).await;
    let stop = Stop::default();
    let worker = tokio::spawn(hub.worker(folder.path(), 1, Duration::ZERO).run(stop.clone()));
    hub.until(|board| board.over).await;
    stop.drain();
    worker.await.unwrap().unwrap();
    assert_eq!(hub.board.lock().unwrap().epoch, 1);
    assert_eq!(hub.calls("complete").len(), 1);
    assert!(hub.calls("heartbeat").len() >= 4);
    let said = hub.calls("heartbeat").pop().unwrap().1;
    assert_eq!(said["message"], "a long line of nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_everything_and_nothing_is_pushed() {
    let folder = tempfile::tempdir().unwrap();
    let remote = repository(folder.path());
    let mark = folder.path().join("mark");
    let line = format!("echo x > b.txt; sh -c 'echo $$ > {}; sleep 300' & wait", mark.display());
    let hub = Hub::with(&line, Some(&remote), 1).await;
    let stop = Stop::default();
    let work = folder.path().join("work");
    let worker = tokio::spawn(hub.worker(&work, 1, Duration::ZERO).run(stop.clone()));
    hub.until(|_| mark.exists()).await;
    hub.board.lock().unwrap().cancelled = true;
    let tasks = work.join("w/tasks");
    hub.until(|_| std::fs::read_dir(&tasks).unwrap().count() == 0).await;
    let pid = std::fs::read_to_string(&mark).unwrap();
    // A zombie that nobody waits for has no command line.
    let left = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
    assert!(left.is_empty(), "{}", String::from_utf8_lossy(&left));
    stop.drain();
    worker.await.unwrap().unwrap();
    assert!(hub.calls("complete").is_empty() && hub.calls("fail").is_empty());
    assert_eq!(git(&remote, &["branch", "--list", "task/*"]), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_anothers_throws_the_work_away() {
    let folder = tempfile::tempdir().unwrap();
    let remote = repository(folder.path());
    let mark = folder.path().join("mark");
    let line = format!("echo x > b.txt; touch {}; sleep 300", mark.display());
    let hub = Hub::with(&line, Some(&remote), 1).await;
    let stop = Stop::default();
    let work = folder.path().join("work");
    let worker = tokio::spawn(hub.worker(&work, 1, Duration::ZERO).run(stop.clone()));
    hub.until(|_| mark.exists()).await;
    {
        // Another has claimed it, and has finished.
        let mut board = hub.board.lock().unwrap();
        board.epoch += 1;
        board.over = true;
    }
    let tasks = work.join("w/tasks");
    hub.until(|_| std::fs::read_dir(&tasks).unwrap().count() == 0).await;
    stop.drain();
    worker.await.unwrap().unwrap();
    assert!(hub.calls("complete").is_empty() && hub.calls("fail").is_empty());
    assert_eq!(git(&remote, &["branch", "--list", "task/*"]), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_drains_finishes_or_hands_back() {
    for (grace, call) in [(Duration::from_secs(60), "1 complete"), (Duration::ZERO, "1 fail")] {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let line = format!("touch {}; sleep 2", mark.display());
        let hub = Hub::with(&line, None, 30).await;
        let stop = Stop::default();
        let worker = tokio::spawn(hub.worker(folder.path(), 30, grace).run(stop.clone()));
        hub.until(|_| mark.exists()).await;
        stop.drain();
        worker.await.unwrap().unwrap();
        let reports = hub.calls(call);
        assert_eq!(reports.len(), 1, "{:?}", hub.calls(""));
        if call == "1 fail" {
            assert_eq!(reports[0].1["retry"], true);
            assert_eq!(reports[0].1["class"], "infrastructure");
        }
    }
}
