//! Redis carries only wake-ups: everything continues after a flush or a kill. Clocks: only the
//! database's clock is used.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use greenloop_hub::store::{POLL, StoreErrorKind, StoreOptions, SweepOptions, TaskStore};
use greenloop_hub_api::types::{AttemptHeartbeat, ClaimRequest, Completion};
use greenloop_model::task::AttemptState;

use crate::invariants;
use crate::place::{Place, options, server};
use crate::work::{agent, claim, complete, kind, many};

/// A separate Redis, so that it can be killed.
struct Redis {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Redis {
    fn start(port: Option<u16>) -> Self {
        let port = port.unwrap_or_else(|| {
            let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            probe.local_addr().unwrap().port()
        });
        let folder = tempfile::tempdir().unwrap();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is on the path");
        Self { process, port, folder }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn kill(mut self) -> u16 {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        assert!(self.folder.path().read_dir().unwrap().next().is_none(), "it wrote nothing down");
        self.port
    }
}

async fn redis_is(store: &TaskStore, healthy: bool) {
    let begun = Instant::now();
    loop {
        let all = store.health().await;
        let redis = all.iter().find(|it| it.name == "redis").unwrap();
        assert!(redis.optional, "the store works without it");
        if redis.healthy == healthy {
            assert_eq!(redis.detail.is_none(), healthy);
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(180), "{redis:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A task is submitted to one hub, an agent waits at the other: the time until it has the task.
async fn across(from: &TaskStore, to: &TaskStore) -> Duration {
    let waiting = to.clone();
    let waiter = tokio::spawn(async move {
        let claimed = waiting.claim_within(&agent("a"), None, Duration::from_secs(300)).await;
        (claimed.unwrap().unwrap(), Instant::now())
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    from.submit(&many(1), None, None).await.unwrap();
    let (claimed, at) = waiter.await.unwrap();
    complete(to, claimed.lease()).await;
    at - begun
}

/// The other hub wakes an agent before it polls.
async fn wakes(from: &TaskStore, to: &TaskStore) {
    let mut took = Vec::new();
    // A busy machine may be late once, but not every time.
    while took.len() < 10 {
        took.push(across(from, to).await);
        if took.last().is_some_and(|took| *took < POLL) {
            return;
        }
    }
    panic!("nobody is woken: {took:?}");
}

/// Redis is flushed during the work, then killed, then restarted empty.
pub(crate) async fn redis_is_flushed_and_killed(place: &Place) {
    if server("GREENLOOP_TEST_REDIS").is_none() {
        return;
    }
    let redis = Redis::start(None);
    let with = StoreOptions { redis: Some(redis.url()), ..options() };
    let one = TaskStore::open(&place.url, with.clone()).await.unwrap();
    // SQLite supports one hub, but several processes may open the file: Redis carries the only
    // wake-ups between them.
    let two = TaskStore::open(&place.url, with).await.unwrap();
    redis_is(&one, true).await;
    redis_is(&two, true).await;
    wakes(&one, &two).await;

    // Many tasks; meanwhile Redis is flushed and disconnects all clients.
    let id = one.submit(&many(120), None, None).await.unwrap().id;
    let workers: Vec<_> = (0..6)
        .map(|n| {
            let store = if n % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move {
                let request = agent(&format!("agent-{n}"));
                let mut done = 0;
                while let Some(it) = store.claim(&request, None).await.unwrap() {
                    store.complete(it.lease(), &Completion::default(), None).await.unwrap();
                    done += 1;
                }
                done
            })
        })
        .collect();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for _ in 0..5 {
        let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
        let _: () = redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "pubsub"])
            .query_async(&mut connection)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let keys: i64 = redis::cmd("DBSIZE").query_async(&mut connection).await.unwrap();
    assert_eq!(keys, 0, "it holds nothing");
    let mut done = 0;
    for worker in workers {
        done += worker.await.unwrap();
    }
    assert_eq!(done, 120);
    assert_eq!(one.graph(id).await.unwrap().percent, 100.0);
    redis_is(&one, true).await;

    let port = redis.kill();
    redis_is(&one, false).await;
    redis_is(&two, false).await;
    assert!(one.health().await.iter().all(|it| it.healthy || it.optional));
    // PostgreSQL's notifications continue; a SQLite file is polled.
    if place.is_postgres() {
        wakes(&one, &two).await;
    } else {
        across(&one, &two).await;
    }

    let redis = Redis::start(Some(port));
    redis_is(&one, true).await;
    redis_is(&two, true).await;
    // Messages that were sent without a listener have been handled by polling; from here on,
    // notifications arrive again.
    wakes(&two, &one).await;
    invariants::hold(place).await;
    redis.kill();
}

/// An agent restarts under its name while the old process still runs: reports of the old one are
/// rejected, those of the new one accepted. Only the database's clock matters.
pub(crate) async fn the_same_name_started_again(place: &Place) {
    let (one, two) = (place.open().await, place.open().await);
    one.submit(&many(1), None, None).await.unwrap();
    let short = ClaimRequest { lease_seconds: 1, ..agent("a") };
    let old = one.claim(&short, None).await.unwrap().unwrap();
    let now = place.count(if place.is_postgres() {
        "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"
    } else {
        "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
    });
    let left = place.count("SELECT expires_at FROM attempts").await - now.await;
    assert!((0..=1_000_000).contains(&left), "{left} microseconds of a second are left");
    assert!(one.sweep(&SweepOptions::default()).await.unwrap().lost.is_empty());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(two.sweep(&SweepOptions::default()).await.unwrap().lost, [old.lease()]);

    let again = ClaimRequest { instance: "2".to_owned(), ..agent("a") };
    let new = two.claim(&again, None).await.unwrap().unwrap();
    assert_eq!(new.lease().epoch, old.lease().epoch + 1);
    let report = AttemptHeartbeat { percent: Some(90), message: None };
    assert_eq!(kind(one.heartbeat(old.lease(), &report).await), StoreErrorKind::StaleLease);
    let late = one.complete(old.lease(), &Completion::default(), Some("old")).await;
    assert_eq!(kind(late), StoreErrorKind::StaleLease);
    let seen = crate::work::attempts(&one, old.lease().task).await;
    let seen: Vec<_> = seen.iter().map(|it| (it.epoch, it.state, it.percent)).collect();
    assert_eq!(seen, [(1, AttemptState::Lost, 0), (2, AttemptState::Running, 0)]);
    complete(&two, new.lease()).await;
    // Its own end, late and with its own key: refused for good.
    let late = one.complete(old.lease(), &Completion::default(), Some("old")).await;
    assert_eq!(kind(late), StoreErrorKind::StaleLease);
    assert!(claim(&one, "a").await.is_none());
    invariants::hold(place).await;
}
