//! A hub that is killed at any moment, and one whose connections break in the middle of a
//! transaction. Clients retry with the same key: nothing is lost, and nothing is accepted twice.
//!
//! The hub is this test program, started again with the store's address, a seed, and a file in
//! which it records each call and its answer. The calls are a fixed script, so that the parent can
//! repeat them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use greenloop_hub::store::{GateRecord, StoreErrorKind, SweepOptions, TaskStore};
use greenloop_hub_api::types::{AttemptHeartbeat, Completion, NewEvidence};
use greenloop_model::task::{EvidenceKind, Lease, TaskId};

use crate::invariants;
use crate::place::Place;
use crate::work::{agent, committed, epic, failure, many};

const STORE: &str = "GREENLOOP_CRASH_STORE";
const SEED: &str = "GREENLOOP_CRASH_SEED";
const JOURNAL: &str = "GREENLOOP_CRASH_JOURNAL";

/// Numbers that are the same in every run (`SplitMix64`).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// A call that takes effect once, and can be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Submit,
    Claim,
    Evidence(Lease),
    Complete(Lease),
    Deliver(Lease),
    Fail(Lease),
    Cancel(TaskId),
    Retry(TaskId),
}

impl Call {
    fn write(self) -> String {
        match self {
            Self::Submit => "submit 0 0".to_owned(),
            Self::Claim => "claim 0 0".to_owned(),
            Self::Evidence(it) => format!("evidence {} {}", it.task, it.epoch),
            Self::Complete(it) => format!("complete {} {}", it.task, it.epoch),
            Self::Deliver(it) => format!("deliver {} {}", it.task, it.epoch),
            Self::Fail(it) => format!("fail {} {}", it.task, it.epoch),
            Self::Cancel(it) => format!("cancel {it} 0"),
            Self::Retry(it) => format!("retry {it} 0"),
        }
    }

    fn read(words: &[&str]) -> Self {
        let task = TaskId(words[1].parse().unwrap());
        let lease = Lease { task, epoch: words[2].parse().unwrap() };
        match words[0] {
            "submit" => Self::Submit,
            "claim" => Self::Claim,
            "evidence" => Self::Evidence(lease),
            "complete" => Self::Complete(lease),
            "deliver" => Self::Deliver(lease),
            "fail" => Self::Fail(lease),
            "cancel" => Self::Cancel(task),
            "retry" => Self::Retry(task),
            other => panic!("unknown call {other}"),
        }
    }

    /// Makes the call; returns the answer as text.
    async fn make(self, store: &TaskStore, key: &str) -> String {
        let key = Some(key);
        let answer = match self {
            Self::Submit => {
                let mut spec = many(4);
                spec.tasks[1].needs = vec![0];
                spec.tasks[3].needs = vec![1, 2];
                spec.epics = vec![epic("1")];
                spec.tasks[2].epic = Some(0);
                store.submit(&spec, None, key).await.map(|it| it.id.to_string())
            }
            Self::Claim => store.claim(&agent("a"), key).await.map(|it| match it {
                Some(it) => format!("{} {}", it.lease().task, it.lease().epoch),
                None => "nothing".to_owned(),
            }),
            Self::Evidence(lease) => {
                let evidence = NewEvidence {
                    kind: EvidenceKind::Log,
                    title: "log".to_owned(),
                    body: "text".to_owned(),
                    url: None,
                };
                store.add_evidence(lease, &evidence, key).await.map(|it| it.to_string())
            }
            Self::Complete(lease) => store
                .complete(lease, &Completion::default(), key)
                .await
                .map(|it| it.name().to_owned()),
            Self::Deliver(lease) => {
                let commit = format!("c{}", lease.task);
                store.complete(lease, &committed(&commit), key).await.map(|it| it.name().to_owned())
            }
            Self::Fail(lease) => {
                store.fail(lease, &failure(true), key).await.map(|it| it.name().to_owned())
            }
            Self::Cancel(task) => store.cancel_task(task, key).await.map(|_now| "yes".to_owned()),
            Self::Retry(task) => store.retry_task(task, key).await.map(|_now| "yes".to_owned()),
        };
        match answer {
            Ok(answer) => answer,
            Err(error) if !error.kind.is_transient() => format!("{:?}", error.kind),
            Err(error) => panic!("{self:?}: {error:?}"),
        }
    }
}

/// The work of a hub until it is killed. Does nothing in a normal test run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Ok(url), Ok(seed), Ok(journal)) =
        (std::env::var(STORE), std::env::var(SEED), std::env::var(JOURNAL))
    else {
        return;
    };
    let store = TaskStore::open(&url, crate::place::options()).await.unwrap();
    let hands = (0..4_u64).map(|hand| {
        let (store, seed, journal) = (store.clone(), seed.clone(), journal.clone());
        tokio::spawn(async move {
            let mut numbers = Numbers(seed.parse::<u64>().unwrap() * 16 + hand);
            let mut journal = std::fs::File::options().append(true).open(journal).unwrap();
            let mut held: Vec<Lease> = Vec::new();
            for turn in 0.. {
                let key = format!("{seed}-{hand}-{turn}");
                let one = held.len().checked_sub(1).map(|last| held[last]);
                let call = match (numbers.next(16), one) {
                    (0, _) => Call::Submit,
                    (1..6, _) | (_, None) => Call::Claim,
                    (6, Some(it)) => Call::Evidence(it),
                    (7..10, Some(it)) => Call::Complete(it),
                    (10 | 11, Some(it)) => Call::Deliver(it),
                    (12, Some(it)) => Call::Fail(it),
                    (13, Some(it)) => Call::Cancel(it.task),
                    (14, Some(it)) => Call::Retry(it.task),
                    (_, Some(it)) => {
                        let report =
                            AttemptHeartbeat { percent: Some(50), message: Some(key.clone()) };
                        let _ = store.heartbeat(it, &report).await;
                        let _ = merge(&store, "child").await;
                        continue;
                    }
                };
                // One write per line, so that no line is partial.
                journal.write_all(format!("ask {key} {}\n", call.write()).as_bytes()).unwrap();
                let answer = call.make(&store, &key).await;
                journal.write_all(format!("got {key} {answer}\n").as_bytes()).unwrap();
                match call {
                    Call::Claim if answer != "nothing" => {
                        let words: Vec<_> = answer.split(' ').collect();
                        held.push(Lease {
                            task: TaskId(words[0].parse().unwrap()),
                            epoch: words[1].parse().unwrap(),
                        });
                    }
                    Call::Complete(_) | Call::Deliver(_) | Call::Fail(_) => {
                        held.pop();
                    }
                    Call::Submit
                    | Call::Claim
                    | Call::Evidence(_)
                    | Call::Cancel(_)
                    | Call::Retry(_) => {}
                }
            }
        })
    });
    for hand in hands.collect::<Vec<_>>() {
        hand.await.unwrap();
    }
}

/// Merges or rejects waiting entries; every step may be the last one.
async fn merge(store: &TaskStore, holder: &str) -> Result<(), greenloop_hub::store::StoreError> {
    let Some(turn) = store.claim_merges(holder, Duration::from_secs(1)).await? else {
        return Ok(());
    };
    for entry in store.next_merges(&turn, 4).await? {
        let sha = format!("m{}", entry.id);
        if entry.landing.as_deref() == Some(sha.as_str()) {
            store.merge_landed(&turn, entry.id, &sha).await?;
            continue;
        }
        store.merge_testing(&turn, entry.id, &sha).await?;
        if entry.id.0 % 3 == 0 {
            store.merge_ejected(&turn, entry.id, "its gates failed", true).await?;
            continue;
        }
        let record = GateRecord { sha: sha.clone(), passed: true, detail: String::new() };
        store.record_gates(&turn, &record).await?;
        store.merge_landing(&turn, entry.id, &sha).await?;
        store.merge_landed(&turn, entry.id, &sha).await?;
    }
    store.release_merges(&turn).await
}

/// The calls, in order, and their answers.
fn read(journal: &Path) -> (Vec<(String, Call)>, BTreeMap<String, String>) {
    let text = std::fs::read_to_string(journal).unwrap();
    let (mut asked, mut got) = (Vec::new(), BTreeMap::new());
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[0] {
            "ask" => asked.push((words[1].to_owned(), Call::read(&words[2..]))),
            "got" => {
                got.insert(words[1].to_owned(), words[2..].join(" "));
            }
            other => panic!("unknown line {other}"),
        }
    }
    (asked, got)
}

/// Repeats every call that changed something, with its key.
async fn replay(
    store: &TaskStore,
    asked: &[(String, Call)],
    got: &BTreeMap<String, String>,
) -> usize {
    let mut open = 0;
    for (key, call) in asked {
        let again = call.make(store, key).await;
        let Some(first) = got.get(key) else {
            open += 1;
            continue;
        };
        // A call that changed nothing has no stored answer: it may get another one now.
        let changed_nothing =
            first == "nothing" || first.chars().next().is_some_and(char::is_uppercase);
        if !changed_nothing {
            assert_eq!(&again, first, "{key} {call:?}");
        }
    }
    open
}

/// A hub is killed repeatedly, at any moment. After each kill, acknowledged changes exist,
/// unacknowledged calls took effect once at most, and all tables agree.
pub(crate) async fn a_hub_is_killed_at_any_moment(place: &Place) {
    const ROUNDS: u64 = 7;

    let folder = tempfile::tempdir().unwrap();
    let store = place.open().await;
    let mut numbers = Numbers(std::process::id().into());
    let (mut calls, mut unheard) = (0, 0);
    for round in 0..ROUNDS {
        let journal = folder.path().join(round.to_string());
        std::fs::write(&journal, "").unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child", "--nocapture"])
            .env(STORE, &place.url)
            .env(SEED, (round + 1).to_string())
            .env(JOURNAL, &journal)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = std::time::Instant::now();
        while std::fs::metadata(&journal).unwrap().len() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(180), "the hub does not start");
            assert!(child.try_wait().unwrap().is_none(), "the hub ended by itself");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_micros(100_000 + numbers.next(300_000))).await;
        child.kill().unwrap();
        child.wait().unwrap();

        invariants::hold(place).await;
        let (asked, got) = read(&journal);
        let before = place.count("SELECT COUNT(*) FROM graphs").await;
        unheard += replay(&store, &asked, &got).await;
        // A third repetition changes nothing.
        let counted = tables(place).await;
        replay(&store, &asked, &got).await;
        // Claims that returned nothing may return a task now.
        let again = tables(place).await;
        assert_eq!((counted.0, counted.1), (again.0, again.1), "accepted twice");
        let submitted = asked.iter().filter(|it| it.1 == Call::Submit).count();
        let graphs = place.count("SELECT COUNT(*) FROM graphs").await;
        assert!(graphs - before <= 4, "only what was on its way is new");
        calls += asked.len();
        assert!(usize::try_from(graphs).unwrap() >= submitted);
        invariants::hold(place).await;

        // The tasks of the dead hub's workers go to others, and merges continue.
        place
            .meddle(
                "UPDATE attempts SET expires_at = 1 WHERE state = 'running'; \
                 UPDATE merge_targets SET expires_at = 1",
            )
            .await;
        store.sweep(&SweepOptions::default()).await.unwrap();
        assert_eq!(place.count("SELECT COUNT(*) FROM attempts WHERE state = 'running'").await, 0);
        merge(&store, "parent").await.unwrap();
        invariants::hold(place).await;
    }
    assert!(calls > 100 && unheard > 0, "{calls} calls, {unheard} without an answer");
}

/// Graphs and evidence: a replay adds none.
async fn tables(place: &Place) -> (i64, i64) {
    (
        place.count("SELECT COUNT(*) FROM graphs").await,
        place.count("SELECT COUNT(*) FROM evidence").await,
    )
}

/// PostgreSQL repeatedly closes all connections of a hub in the middle of transactions. Unanswered
/// calls are retried with their keys.
pub(crate) async fn connections_break_off(place: &Place) {
    if !place.is_postgres() {
        return;
    }
    let store = place.open().await;
    store.submit(&many(300), None, None).await.unwrap();
    let workers: Vec<_> = (0..8)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let request = agent(&format!("agent-{n}"));
                let (mut done, mut broken) = (0, 0);
                for turn in 0.. {
                    let key = format!("claim-{n}-{turn}");
                    let claimed = loop {
                        match store.claim(&request, Some(&key)).await {
                            Ok(claimed) => break claimed,
                            Err(error) if error.kind.is_transient() => broken += 1,
                            Err(error) => panic!("{error:?}"),
                        }
                    };
                    let Some(claimed) = claimed else { break };
                    let key = format!("end-{n}-{turn}");
                    let commit = (turn % 2 == 0).then(|| format!("c{n}-{turn}"));
                    let completion = Completion { commit, ..Completion::default() };
                    loop {
                        match store.complete(claimed.lease(), &completion, Some(&key)).await {
                            Ok(_state) => break,
                            Err(error) if error.kind.is_transient() => broken += 1,
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                    done += 1;
                }
                (done, broken)
            })
        })
        .collect();
    let killer = place.back_door().await;
    while workers.iter().any(|it| !it.is_finished()) {
        let _ended = killer
            .run(
                "SELECT CAST(COUNT(pg_terminate_backend(pid)) AS BIGINT) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() \
             AND query NOT LIKE 'LISTEN%' AND random() < 0.5",
            )
            .await;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let (mut done, mut broken) = (0, 0);
    for worker in workers {
        let (some, often) = worker.await.unwrap();
        done += some;
        broken += often;
    }
    killer.close().await;
    assert_eq!(done, 300, "nothing lost, nothing done twice");
    assert!(broken > 0, "nothing broke off");
    assert_eq!(place.count("SELECT COUNT(*) FROM attempts").await, 300);
    assert_eq!(place.count("SELECT COUNT(*) FROM merge_queue").await, {
        place.count("SELECT COUNT(*) FROM attempts WHERE commit_sha IS NOT NULL").await
    });
    invariants::hold(place).await;
    // A key that another one used is refused, also by a hub that never saw the first call.
    let other = place.open().await;
    let refused = other.claim(&agent("someone else"), Some("claim-0-0")).await;
    assert_eq!(crate::work::kind(refused), StoreErrorKind::Conflict);
}
