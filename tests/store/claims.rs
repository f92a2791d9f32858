//! Concurrent claims, and agents that wait for tasks.

use std::collections::HashMap;
use std::time::Duration;

use greenloop_hub::store::{StoreError, StoreErrorKind, SweepOptions, TaskStore};
use greenloop_hub_api::types::Completion;
use greenloop_model::task::{GraphState, Lease, TaskState};
use tokio::task::JoinSet;

use crate::invariants;
use crate::place::Place;
use crate::work::{agent, claim, complete, graph, many, task};

/// Several hubs if the database supports it, otherwise one.
async fn hubs(place: &Place, count: usize) -> Vec<TaskStore> {
    let count = if place.is_postgres() { count } else { 1 };
    futures::future::join_all((0..count).map(|_| place.open())).await
}

/// The answer; `None` while all connections are in use: a client would get 503 and retry.
fn unless_busy<T>(answer: Result<T, StoreError>) -> Option<T> {
    match answer {
        Err(error) if error.kind == StoreErrorKind::Busy => None,
        answer => Some(answer.unwrap()),
    }
}

/// 64 clients at 3 hubs claim 10,000 tasks: each is claimed once and done once.
pub(crate) async fn nothing_is_claimed_twice(place: &Place) {
    const CLIENTS: usize = 64;
    const TASKS: usize = 10_000;

    let hubs = hubs(place, 3).await;
    let id = hubs[0].submit(&many(TASKS), None, None).await.unwrap().id;
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let store = hubs[n % hubs.len()].clone();
        clients.spawn(async move {
            let request = agent(&format!("agent-{n}"));
            let mut leases = Vec::new();
            let (pause, done) = (Duration::from_millis(200), Completion::default());
            loop {
                let claimed = store.claim_within(&request, None, pause).await;
                let Some(claimed) = unless_busy(claimed) else { continue };
                let Some(lease) = claimed.map(|it| it.lease()) else { break };
                while unless_busy(store.complete(lease, &done, None).await).is_none() {}
                leases.push(lease);
            }
            leases
        });
    }
    let mut taken: HashMap<Lease, usize> = HashMap::new();
    let mut workers = 0;
    while let Some(leases) = clients.join_next().await {
        let leases = leases.unwrap();
        workers += usize::from(!leases.is_empty());
        for lease in leases {
            *taken.entry(lease).or_default() += 1;
        }
    }
    assert_eq!(taken.len(), TASKS);
    assert!(taken.iter().all(|(lease, times)| lease.epoch == 1 && *times == 1));
    assert_eq!(workers, CLIENTS, "everybody had a part in it");
    assert_eq!(hubs[0].graph(id).await.unwrap().state, GraphState::Done);
    invariants::hold(place).await;
}

/// Waiting agents find a task without a wake-up within the polling interval.
pub(crate) async fn a_lost_wake_up_is_made_up_for(place: &Place) {
    let store = place.open().await;
    store.submit(&many(1), None, None).await.unwrap();
    complete(&store, claim(&store, "a").await.unwrap().lease()).await;
    let waiting = store.clone();
    let waiter = tokio::spawn(async move {
        waiting.claim_within(&agent("a"), None, Duration::from_secs(600)).await.unwrap()
    });
    // It has polled without success, and no message will come.
    tokio::time::sleep(Duration::from_millis(300)).await;
    place
        .meddle(
            "UPDATE graphs SET state = 'running'; UPDATE tasks SET state = 'ready'; \
             UPDATE attempts SET state = 'failed'",
        )
        .await;
    let claimed = waiter.await.unwrap().unwrap();
    assert_eq!(claimed.lease().epoch, 2);
}

/// The sweep announces a task whose back-off ends.
pub(crate) async fn the_end_of_a_rest_wakes(place: &Place) {
    let store = place.open().await;
    store.submit(&many(1), None, None).await.unwrap();
    place.meddle("UPDATE tasks SET not_before = (SELECT created_at FROM graphs) + 500000").await;
    let waiting = store.clone();
    let waiter = tokio::spawn(async move {
        waiting.claim_within(&agent("a"), None, Duration::from_secs(600)).await.unwrap()
    });
    while !waiter.is_finished() {
        store.sweep(&SweepOptions::default()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(waiter.await.unwrap().is_some());
}

/// 200 agents wait for one task: one gets it, the others keep waiting, with about one query each.
pub(crate) async fn a_herd_waits_on(place: &Place) {
    const HERD: usize = 200;

    let hubs = hubs(place, 2).await;
    let mut herd = JoinSet::new();
    for n in 0..HERD {
        let store = hubs[n % hubs.len()].clone();
        herd.spawn(async move {
            let request = agent(&format!("agent-{n}"));
            store.claim_within(&request, None, Duration::from_secs(30)).await.unwrap()
        });
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let before = place.transactions().await;
    hubs[0].submit(&many(1), None, None).await.unwrap();
    let winner = herd.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(winner.lease().epoch, 1);
    assert!(
        tokio::time::timeout(Duration::from_millis(1500), herd.join_next()).await.is_err(),
        "the others wait on"
    );
    if let (Some(before), Some(after)) = (before, place.transactions().await) {
        // One query per agent, one more when the winner's hub notifies the other, and the periodic
        // ones.
        let looks = after - before;
        assert!(looks < 4 * i64::try_from(HERD).unwrap(), "{looks} transactions");
    }
    assert_eq!(place.count("SELECT COUNT(*) FROM attempts").await, 1);
    herd.abort_all();
}

/// The end of a task briefly locks another task of its graph. That task can still be claimed: an
/// idle agent does not return without a task and come back seconds later.
pub(crate) async fn an_end_hides_no_task(place: &Place) {
    if !place.is_postgres() {
        return;
    }
    let store = place.open().await;
    store.submit(&many(2), None, None).await.unwrap();
    let first = claim(&store, "a").await.unwrap().lease();
    place
        .meddle(
            "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM pg_sleep(1); RETURN NEW; END $$; \
             CREATE TRIGGER slow BEFORE INSERT ON outbox_batches FOR EACH ROW \
             WHEN (NEW.kind = 'task.done') EXECUTE FUNCTION slowly()",
        )
        .await;
    let ending = store.clone();
    let ending =
        tokio::spawn(
            async move { ending.complete(first, &Completion::default(), None).await.unwrap() },
        );
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!ending.is_finished());
    let second = claim(&store, "b").await;
    assert!(!ending.is_finished(), "the claim did not wait for it");
    assert!(second.is_some(), "there is a task");
    assert_eq!(ending.await.unwrap(), TaskState::Done);
    complete(&store, second.unwrap().lease()).await;
    invariants::hold(place).await;
}

/// Tasks of a graph that end at the same time: their common dependent becomes ready, and the graph
/// ends.
pub(crate) async fn all_end_at_once(place: &Place) {
    const WIDTH: usize = 12;

    let hubs = hubs(place, 3).await;
    for round in 0..8 {
        let mut tasks: Vec<_> = (0..WIDTH).map(|n| task(&n.to_string())).collect();
        let mut last = task("last");
        last.needs = (0..WIDTH).collect();
        tasks.push(last);
        let id = hubs[0].submit(&graph(tasks), None, None).await.unwrap().id;
        let mut leases = Vec::new();
        for n in 0..WIDTH {
            leases.push(claim(&hubs[0], &format!("agent-{n}")).await.unwrap().lease());
        }
        let ends = leases
            .into_iter()
            .enumerate()
            .map(|(n, lease)| {
                let store = hubs[n % hubs.len()].clone();
                tokio::spawn(async move { complete(&store, lease).await })
            })
            .collect::<Vec<_>>();
        for end in ends {
            end.await.unwrap();
        }
        let last = claim(&hubs[0], "a").await.unwrap_or_else(|| panic!("round {round}"));
        // The last two ends, one by a report and one by a person, come at once as well.
        complete(&hubs[0], last.lease()).await;
        assert_eq!(hubs[0].graph(id).await.unwrap().state, GraphState::Done);

        let id = hubs[0].submit(&many(WIDTH), None, None).await.unwrap().id;
        let ends = futures::future::join_all((0..WIDTH).map(|n| {
            let store = hubs[n % hubs.len()].clone();
            async move {
                let name = format!("agent-{n}");
                while let Some(claimed) = claim(&store, &name).await {
                    complete(&store, claimed.lease()).await;
                }
            }
        }));
        ends.await;
        assert_eq!(hubs[0].graph(id).await.unwrap().state, GraphState::Done, "round {round}");
    }
    invariants::hold(place).await;
}
