//! Claims on PostgreSQL: those of agents that may do the same go into one statement and one commit.
//! One that the statement leaves without a task although there may be one is made again by itself,
//! with what that agent may not have passed over.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::batch::Item;
use super::claim::{ClaimQuery, Lane, TAKE_ALL, claimed, used_by_another};
use super::connect::TaskStore;
use super::error::{StoreError, StoreErrorKind};
use super::record::Record;
use super::tx::{Done, Tx};
use super::value::args;
use greenloop_hub_api::types::Claimed;
use greenloop_model::task::{Lease, TaskEventKind, TaskId};

/// How many more tasks to look at than claims: another hub may hold some of them.
const SPARE: usize = 8;
/// How many times as many the next time, when all that were looked at were held.
const WIDER: usize = 16;
/// The most tasks of a kind that are looked at.
const WIDEST: usize = 4_096;

pub(super) type ClaimItem = Item<ClaimQuery, Option<Claimed>>;

/// What one claim came to.
enum Outcome {
    /// There is nothing that the agent may have.
    Nothing,
    /// There may be something; so many tasks were looked at.
    Missed(usize),
    /// Its key was used before.
    Before(Result<Lease, StoreError>),
    Claimed(Box<Claimed>),
}

/// Sends claims of one lane.
pub(super) fn send(store: TaskStore, lane: Lane, items: Vec<ClaimItem>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        if let [_one] = items.as_slice() {
            for item in items {
                let answer = alone(&store, &lane, &item.input).await;
                item.answer(answer);
            }
            return;
        }
        let (items, repeated) = repeated(items);
        let queries: Arc<[ClaimQuery]> = items.iter().map(|item| item.input.clone()).collect();
        match take(&store, &lane, queries, items.len() + SPARE).await {
            Ok(outcomes) => {
                for (item, outcome) in items.into_iter().zip(outcomes) {
                    match outcome {
                        Outcome::Nothing => item.answer(Ok(None)),
                        Outcome::Claimed(claimed) => item.answer(Ok(Some(*claimed))),
                        again @ (Outcome::Missed(_) | Outcome::Before(_)) => {
                            apart(&store, &lane, item, again);
                        }
                    }
                }
            }
            // It may have happened: who asks again with the key learns what it got.
            Err(error) if error.kind == StoreErrorKind::Unavailable => {
                for item in items {
                    item.answer(Err(StoreError::new(error.kind, error.message.clone())));
                }
            }
            // One of them is at fault: each is told its own error.
            Err(_) => {
                for item in items {
                    apart(&store, &lane, item, Outcome::Missed(0));
                }
            }
        }
        for item in repeated {
            apart(&store, &lane, item, Outcome::Missed(0));
        }
    })
}

/// Claims, and those of them whose key another one has: a statement can give a key one task.
fn repeated(items: Vec<ClaimItem>) -> (Vec<ClaimItem>, Vec<ClaimItem>) {
    let mut keys = HashSet::new();
    items.into_iter().partition(|item| match &item.input.key {
        Some(key) => keys.insert(key.clone()),
        None => true,
    })
}

/// Answers one claim without the others having to wait for that.
fn apart(store: &TaskStore, lane: &Lane, item: ClaimItem, outcome: Outcome) {
    let (store, lane) = (store.clone(), lane.clone());
    tokio::spawn(async move {
        let answer = match outcome {
            Outcome::Before(lease) => before(&store, lease).await,
            _missed => alone(&store, &lane, &item.input).await,
        };
        item.answer(answer);
    });
}

async fn before(
    store: &TaskStore,
    lease: Result<Lease, StoreError>,
) -> Result<Option<Claimed>, StoreError> {
    store.claimed(lease?).await.map(Some)
}

async fn alone(
    store: &TaskStore,
    lane: &Lane,
    query: &ClaimQuery,
) -> Result<Option<Claimed>, StoreError> {
    let mut window = 1 + SPARE;
    loop {
        let one: Arc<[ClaimQuery]> = Arc::from([query.clone()]);
        let outcome = take(store, lane, one, window).await?.pop();
        match outcome {
            Some(Outcome::Claimed(claimed)) => return Ok(Some(*claimed)),
            Some(Outcome::Before(lease)) => return before(store, lease).await,
            // There may be more behind those that others hold.
            Some(Outcome::Missed(seen)) if seen >= window && window < WIDEST => window *= WIDER,
            Some(Outcome::Missed(_) | Outcome::Nothing) | None => return Ok(None),
        }
    }
}

/// Runs the statement; what each claim came to.
async fn take(
    store: &TaskStore,
    lane: &Lane,
    queries: Arc<[ClaimQuery]>,
    window: usize,
) -> Result<Vec<Outcome>, StoreError> {
    let lane = lane.clone();
    store
        .write_statement(move |tx| {
            let (lane, queries) = (lane.clone(), Arc::clone(&queries));
            Box::pin(async move { outcomes(tx, &lane, &queries, window).await })
        })
        .await
}

fn json(queries: &[ClaimQuery]) -> String {
    let claims = queries.iter().enumerate().map(|(n, query)| {
        serde_json::json!({
            "n": n,
            "agent": query.request.agent,
            "instance": query.request.instance,
            "lease_us": query.lease_us(),
            "key": query.key,
        })
    });
    serde_json::Value::from_iter(claims).to_string()
}

async fn outcomes(
    tx: &mut Tx<'_>,
    lane: &Lane,
    queries: &[ClaimQuery],
    window: usize,
) -> Done<Vec<Outcome>> {
    let single = match queries {
        [one] => Some(one.request.agent.as_str()),
        _several => None,
    };
    let window_rows = i64::try_from(window).unwrap_or(i64::MAX);
    let rows = tx
        .all(
            TAKE_ALL,
            args![
                json(queries),
                &lane.role_keys,
                &lane.label_keys,
                &lane.unreachable,
                single,
                window_rows,
                &lane.labels,
            ],
        )
        .await?;
    let mut outcomes = Vec::with_capacity(rows.len());
    let mut taken = Vec::new();
    for (row, query) in rows.into_iter().zip(queries) {
        if row.opt_int("id")?.is_some() {
            taken.push((outcomes.len(), row));
            outcomes.push(Outcome::Nothing);
        } else {
            outcomes.push(left_without(&row, query)?);
        }
    }
    let found = taken.len();
    if found > 0 {
        tx.note(TaskEventKind::TaskClaimed);
    }
    let (places, rows): (Vec<usize>, Vec<Record>) = taken.into_iter().unzip();
    for (place, claimed) in places.into_iter().zip(claimed(tx, rows).await?) {
        if let Some(outcome) = outcomes.get_mut(place) {
            *outcome = Outcome::Claimed(Box::new(claimed));
        }
    }
    for outcome in &mut outcomes {
        // Of those that were looked at, there are no more than were taken.
        if matches!(outcome, Outcome::Missed(seen) if *seen <= found) {
            *outcome = Outcome::Nothing;
        }
    }
    Ok(outcomes)
}

fn left_without(row: &Record, query: &ClaimQuery) -> Result<Outcome, StoreError> {
    if let Some(task) = row.opt_int("before_task")? {
        let same = row.text("before_agent")? == query.request.agent;
        let lease = Lease { task: TaskId(task), epoch: row.int("before_epoch")? };
        return Ok(Outcome::Before(if same { Ok(lease) } else { Err(used_by_another()) }));
    }
    if !row.flag("allowed")? {
        return Ok(Outcome::Nothing);
    }
    Ok(Outcome::Missed(usize::try_from(row.count("seen")?).unwrap_or(usize::MAX)))
}
