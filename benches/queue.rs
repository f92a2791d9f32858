//! Claiming, completing, waiting and heartbeats of the hub's store.
//!
//! `cargo bench --bench queue -- throughput URL WORKERS TASKS` claims and completes tasks that are
//! there already, each worker one at a time, and prints how many a second;
//! `… latency URL ROUNDS` prints how long after its submission a task is with an agent that
//! waits for one; `… agents URL AGENTS` has so many agents heartbeat, each with a task, as fast
//! as the store takes it. `… api URL WORKERS TASKS` is throughput through a hub's HTTP API, each
//! worker with a connection of its own; `… import URL TASKS EDGES` hands a graph to a hub by HTTP,
//! and prints how long that takes and the most memory that the hub had. On PostgreSQL, throughput is
//! followed by the bytes of WAL for each task. `benches/queue.sh` runs them beside other queues.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use greenloop_hub::store::{StoreError, StoreOptions, TaskStore};
use greenloop_hub_api::graph::{TaskGraph, TaskSpec};
use greenloop_hub_api::types::{
    Action, AgentHeartbeat, AttemptHeartbeat, ClaimRequest, Completion, TaskSubmission,
};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn graph(tasks: usize) -> TaskGraph {
    let task = |n: usize| {
        let action = Action::Command("true".to_owned());
        let submission = TaskSubmission::new(n.to_string(), format!("Task {n}"), action);
        let submission = TaskSubmission { priority: 1, hours: 1.0, ..submission };
        TaskSpec { rank: 1.0, ..TaskSpec::new(submission) }
    };
    TaskGraph {
        project: "bench".to_owned(),
        repository: None,
        target: "main".to_owned(),
        gates: Vec::new(),
        merge_approval: false,
        name: "bench".to_owned(),
        epics: Vec::new(),
        tasks: (0..tasks).map(task).collect(),
    }
}

fn request(n: usize) -> ClaimRequest {
    ClaimRequest {
        agent: format!("agent-{n}"),
        instance: "1".to_owned(),
        roles: Vec::new(),
        labels: Vec::new(),
        lease_seconds: 60,
        wait_seconds: 0,
        unreachable: Vec::new(),
    }
}

async fn open(url: &str) -> Result<TaskStore, StoreError> {
    // As many as the other queues are given.
    TaskStore::open(url, StoreOptions { connections: 16, ..StoreOptions::default() }).await
}

/// How far the log of the server is, in bytes; `None` on SQLite.
async fn wal(url: &str) -> Result<Option<i64>, Failure> {
    if url.starts_with("sqlite:") {
        return Ok(None);
    }
    let mut connection = PgConnection::connect(url).await?;
    let row = connection
        .fetch_one("SELECT CAST(pg_current_wal_lsn() - CAST('0/0' AS pg_lsn) AS BIGINT)")
        .await?;
    connection.close().await?;
    Ok(Some(row.try_get(0)?))
}

/// Tasks a second, and the WAL of each.
async fn figures(
    url: &str,
    before: Option<i64>,
    done: u64,
    seconds: f64,
) -> Result<String, Failure> {
    let rate = done as f64 / seconds;
    Ok(match (before, wal(url).await?) {
        (Some(before), Some(after)) => {
            format!("{rate:.0} {:.0}", (after - before) as f64 / done.max(1) as f64)
        }
        _sqlite => format!("{rate:.0}"),
    })
}

async fn throughput(url: &str, workers: usize, tasks: usize) -> Result<String, Failure> {
    let store = open(url).await?;
    store.submit(&graph(tasks), None, None).await?;
    let before = wal(url).await?;
    let begun = Instant::now();
    let mut all = JoinSet::new();
    for n in 0..workers {
        let store = store.clone();
        all.spawn(async move {
            let request = request(n);
            let mut done = 0_u64;
            while let Some(claimed) = store.claim(&request, None).await? {
                store.complete(claimed.lease(), &Completion::default(), None).await?;
                done += 1;
            }
            Ok::<_, StoreError>(done)
        });
    }
    let mut done = 0;
    for one in all.join_all().await {
        done += one?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    figures(url, before, done, seconds).await
}

/// A hub in a process of its own.
struct Hub {
    child: Child,
    address: String,
    token: String,
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Hub {
    fn start(store: &str) -> Result<Self, Failure> {
        let greenloop = env!("CARGO_BIN_EXE_greenloop");
        let made = Command::new(greenloop)
            .args(["hub", "token", "create", "--name", "bench", "--scope", "admin"])
            .env("GREENLOOP_STORE", store)
            .output()?;
        let token = String::from_utf8(made.stdout)?.trim().to_owned();
        let mut child = Command::new(greenloop)
            .args(["hub", "serve", "--listen", "127.0.0.1:0", "--rate", "0", "--no-merges"])
            .env("GREENLOOP_STORE", store)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let address = lines
            .find_map(|line| {
                Some(line.ok()?.split_once("http://")?.1.trim_end_matches('/').to_owned())
            })
            .ok_or("the hub did not start")?;
        std::thread::spawn(move || lines.count());
        Ok(Self { child, address, token })
    }

    /// The most memory that the hub had, in MiB.
    fn most_memory(&self) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
        let kib: f64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
        Ok(kib / 1024.0)
    }

    async fn post(
        &self,
        client: &reqwest::Client,
        path: &str,
        body: &Value,
    ) -> Result<Option<Value>, Failure> {
        let url = format!("http://{}/api/v1{path}", self.address);
        let request = client.post(url).bearer_auth(&self.token).json(body);
        let response = request.send().await?.error_for_status()?;
        if response.status() == reqwest::StatusCode::NO_CONTENT {
            return Ok(None);
        }
        Ok(Some(response.json().await?))
    }
}

fn submission(tasks: usize, edges: usize) -> Value {
    let all: Vec<Value> = (0..tasks)
        .map(|n| {
            // The needs are the tasks just before, so many that the edges come out.
            let wanted = (edges * (n + 1) / tasks) - (edges * n / tasks);
            let needs: Vec<String> =
                (1..=wanted.min(n)).map(|back| (n - back).to_string()).collect();
            json!({"key": n.to_string(), "title": format!("Task {n}"), "hours": 1.0,
                "needs": needs, "action": {"command": "true"}})
        })
        .collect();
    json!({"project": "bench", "name": "bench", "target": "main", "tasks": all})
}

async fn api(url: &str, workers: usize, tasks: usize) -> Result<String, Failure> {
    let hub = std::sync::Arc::new(Hub::start(url)?);
    hub.post(&reqwest::Client::new(), "/graphs", &submission(tasks, 0)).await?;
    let before = wal(url).await?;
    let begun = Instant::now();
    let mut all = JoinSet::new();
    for n in 0..workers {
        let hub = std::sync::Arc::clone(&hub);
        all.spawn(async move {
            let client = reqwest::Client::new();
            let claim = json!({"agent": format!("agent-{n}"), "instance": "1", "roles": [],
                "lease_seconds": 60});
            let mut done = 0_u64;
            while let Some(claimed) = hub.post(&client, "/claims", &claim).await? {
                let (task, epoch) = (&claimed["task"]["id"], &claimed["epoch"]);
                let path = format!("/tasks/{task}/attempts/{epoch}/complete");
                hub.post(&client, &path, &json!({"summary": ""})).await?;
                done += 1;
            }
            Ok::<_, Failure>(done)
        });
    }
    let mut done = 0;
    for one in all.join_all().await {
        done += one?;
    }
    figures(url, before, done, begun.elapsed().as_secs_f64()).await
}

async fn import(url: &str, tasks: usize, edges: usize) -> Result<String, Failure> {
    let hub = Hub::start(url)?;
    let graph = submission(tasks, edges);
    let begun = Instant::now();
    hub.post(&reqwest::Client::new(), "/graphs", &graph).await?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(format!("{seconds:.1} s, at most {:.0} MiB in the hub", hub.most_memory()?))
}

async fn latency(url: &str, rounds: usize) -> Result<String, StoreError> {
    let (here, there) = (open(url).await?, open(url).await?);
    let mut took = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let store = if url.starts_with("sqlite:") { here.clone() } else { there.clone() };
        let waiter = tokio::spawn(async move {
            let claimed = store.claim_within(&request(0), None, Duration::from_secs(60)).await?;
            let at = Instant::now();
            if let Some(claimed) = claimed {
                store.complete(claimed.lease(), &Completion::default(), None).await?;
            }
            Ok::<_, StoreError>(at)
        });
        tokio::time::sleep(Duration::from_millis(15 + (round % 7) as u64)).await;
        here.submit(&graph(1), None, None).await?;
        // From the moment at which the task is there for all to see.
        let submitted = Instant::now();
        let at = waiter.await.unwrap_or(Ok(submitted))?;
        took.push(at.saturating_duration_since(submitted));
    }
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
    let ms = |it: Duration| it.as_secs_f64() * 1000.0;
    Ok(format!("p50 {:.2} ms, p99 {:.2} ms", ms(at(50)), ms(at(99))))
}

async fn agents(url: &str, agents: usize) -> Result<String, StoreError> {
    let store = open(url).await?;
    store.submit(&graph(agents), None, None).await?;
    let mut leases = Vec::new();
    for n in 0..agents {
        if let Some(claimed) = store.claim(&request(n), None).await? {
            leases.push(claimed.lease());
        }
    }
    // Three rounds, all at once in each: an agent says that it lives, and how far its work is.
    const ROUNDS: u8 = 3;
    let begun = Instant::now();
    for round in 1..=ROUNDS {
        let mut all = JoinSet::new();
        for (n, lease) in leases.iter().copied().enumerate() {
            let store = store.clone();
            all.spawn(async move {
                let alive = AgentHeartbeat {
                    name: format!("agent-{n}"),
                    instance: "1".to_owned(),
                    roles: Vec::new(),
                    labels: Vec::new(),
                    host: "host".to_owned(),
                    version: "1".to_owned(),
                    cpu_percent: Some(1.0),
                    memory_bytes: Some(1 << 20),
                    draining: false,
                    quarantine: None,
                    period_seconds: None,
                    unreachable: Vec::new(),
                };
                store.agent_heartbeat(&alive).await?;
                let far = AttemptHeartbeat { percent: Some(round), message: None };
                store.heartbeat(lease, &far).await.map(drop)
            });
        }
        for one in all.join_all().await {
            one?;
        }
    }
    let each = begun.elapsed().as_secs_f64() / f64::from(ROUNDS);
    let share = each / 30.0 * 100.0;
    Ok(format!("{each:.2} s for a round of all, {share:.1} % of the 30 s between two"))
}

async fn run(words: &[&str]) -> Result<Option<String>, Failure> {
    let number = |text: &str| text.parse::<usize>().unwrap_or(1).max(1);
    Ok(Some(match words {
        ["throughput", url, workers, tasks] => {
            throughput(url, number(workers), number(tasks)).await?
        }
        ["latency", url, rounds] => latency(url, number(rounds)).await?,
        ["agents", url, count] => agents(url, number(count)).await?,
        ["api", url, workers, tasks] => api(url, number(workers), number(tasks)).await?,
        ["import", url, tasks, edges] => import(url, number(tasks), number(edges)).await?,
        _ => return Ok(None),
    }))
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark tells its figures")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&words)) {
        Ok(Some(figure)) => println!("{figure}"),
        Ok(None) => {
            println!("run benches/queue.sh, or: throughput URL WORKERS TASKS | latency URL ROUNDS");
        }
        Err(error) => {
            eprintln!("{error}: {:?}", error.source());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
