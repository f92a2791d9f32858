//! Claiming, completing, waiting and heartbeats of the hub's store.
//!
//! `cargo bench --bench queue -- throughput URL WORKERS TASKS` claims and completes tasks that are
//! there already, each worker one at a time, and prints how many a second;
//! `… latency URL ROUNDS` prints how long after its submission a task is with an agent that
//! waits for one; `… agents URL AGENTS` has so many agents heartbeat, each with a task, as fast
//! as the store takes it. `benches/queue.sh` runs them beside other queues.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use greenloop_hub::store::{StoreError, StoreOptions, TaskStore};
use greenloop_hub_api::graph::{TaskGraph, TaskSpec};
use greenloop_hub_api::types::{
    Action, AgentHeartbeat, AttemptHeartbeat, ClaimRequest, Completion, TaskSubmission,
};
use tokio::task::JoinSet;

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

async fn throughput(url: &str, workers: usize, tasks: usize) -> Result<String, StoreError> {
    let store = open(url).await?;
    store.submit(&graph(tasks), None, None).await?;
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
    Ok(format!("{:.0}", done as f64 / seconds))
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

async fn run(words: &[&str]) -> Result<Option<String>, StoreError> {
    let number = |text: &str| text.parse::<usize>().unwrap_or(1).max(1);
    Ok(Some(match words {
        ["throughput", url, workers, tasks] => {
            throughput(url, number(workers), number(tasks)).await?
        }
        ["latency", url, rounds] => latency(url, number(rounds)).await?,
        ["agents", url, count] => agents(url, number(count)).await?,
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
            eprintln!("{error}: {:?}", error.source);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
