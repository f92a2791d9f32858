//! Several hubs at one merge queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use greenloop_hub::store::{
    GateRecord, MergeFilter, PageRequest, QueueLease, StoreErrorKind, TaskStore,
};
use greenloop_model::task::{GraphState, MergeId, MergeState, TaskState};

use crate::invariants;
use crate::place::Place;
use crate::work::{claim, committed, graph, kind, many, task};

const LEASE: Duration = Duration::from_secs(30);

/// Claims all tasks and reports a commit for each.
async fn hand_in(store: &TaskStore, name: &str) -> usize {
    let mut count = 0;
    while let Some(claimed) = claim(store, name).await {
        let commit = format!("c{}", claimed.lease().task);
        store.complete(claimed.lease(), &committed(&commit), None).await.unwrap();
        count += 1;
    }
    count
}

async fn turn(store: &TaskStore, holder: &str) -> QueueLease {
    store.claim_merges(holder, LEASE).await.unwrap().unwrap()
}

async fn passed(store: &TaskStore, lease: &QueueLease, sha: &str, passed: bool) {
    let record = GateRecord { sha: sha.to_owned(), passed, detail: String::new() };
    store.record_gates(lease, &record).await.unwrap();
}

/// The way of an entry from the queue to the branch.
async fn land(store: &TaskStore, lease: &QueueLease, id: MergeId, sha: &str) {
    store.merge_testing(lease, id, sha).await.unwrap();
    passed(store, lease, sha, true).await;
    store.merge_landing(lease, id, sha).await.unwrap();
    store.merge_landed(lease, id, sha).await.unwrap();
}

/// Two hubs, four writers: never two at a time, and everything lands in order.
pub(crate) async fn one_writer_at_a_time(place: &Place) {
    const TASKS: usize = 24;

    let hubs = [place.open().await, place.open().await];
    let id = hubs[0].submit(&many(TASKS), None, None).await.unwrap().id;
    let writing = Arc::new(AtomicBool::new(false));
    let landed = Arc::new(AtomicUsize::new(0));
    let writers = (0..4_usize).map(|n| {
        let (store, writing, landed) =
            (hubs[n % 2].clone(), Arc::clone(&writing), Arc::clone(&landed));
        tokio::spawn(async move {
            let holder = format!("hub-{n}");
            while landed.load(Ordering::SeqCst) < TASKS {
                let Some(turn) = store.claim_merges(&holder, LEASE).await.unwrap() else {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                };
                assert!(!writing.swap(true, Ordering::SeqCst), "another one writes");
                for entry in store.next_merges(&turn, 3).await.unwrap() {
                    land(&store, &turn, entry.id, &format!("m{}", entry.id)).await;
                    landed.fetch_add(1, Ordering::SeqCst);
                }
                writing.store(false, Ordering::SeqCst);
                store.release_merges(&turn).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let (one, two) = tokio::join!(hand_in(&hubs[0], "a"), hand_in(&hubs[1], "b"));
    assert_eq!(one + two, TASKS);
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(hubs[1].graph(id).await.unwrap().state, GraphState::Done);
    let all = hubs[0].merges(&MergeFilter::default(), PageRequest::first(99)).await.unwrap();
    let mut ends: Vec<_> = all.items.iter().map(|it| (it.ended_at, it.id)).collect();
    ends.sort_unstable();
    assert!(ends.is_sorted_by_key(|it| it.1), "merged in the order of the queue");
    assert_eq!(
        hubs[0].branches().await.unwrap()[0].commit,
        ends.last().map(|it| format!("m{}", it.1))
    );
    invariants::hold(place).await;
}

/// A writer without a heartbeat for too long loses its branch: its reports are rejected, and its
/// successor sees the unfinished entry.
pub(crate) async fn a_late_writer_changes_nothing(place: &Place) {
    let (one, two) = (place.open().await, place.open().await);
    one.submit(&many(3), None, None).await.unwrap();
    hand_in(&one, "a").await;
    let old = turn(&one, "one").await;
    assert_eq!(old.epoch, 1);
    assert_eq!(one.target_record(&old).await.unwrap().tip, None);
    assert!(two.claim_merges("two", LEASE).await.unwrap().is_none());
    assert!(one.claim_merges("one", LEASE).await.unwrap().is_none());
    let entries = one.next_merges(&old, 10).await.unwrap();
    let [first, second, third] = [entries[0].id, entries[1].id, entries[2].id];
    land(&one, &old, first, "m1").await;
    one.merge_testing(&old, second, "m2").await.unwrap();
    passed(&one, &old, "m2", true).await;
    one.merge_landing(&old, second, "m2").await.unwrap();
    one.merge_testing(&old, third, "m3").await.unwrap();
    // It goes on as long as nobody took notice.
    place.meddle("UPDATE merge_targets SET expires_at = 1").await;
    one.extend_merges(&old, LEASE).await.unwrap();
    place.meddle("UPDATE merge_targets SET expires_at = 1").await;

    // Both try to lease it: one succeeds.
    let (a, b) = tokio::join!(two.claim_merges("two", LEASE), one.claim_merges("one", LEASE));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(a.is_some() != b.is_some(), "{a:?} {b:?}");
    let new = a.or(b).unwrap();
    assert_eq!(new.epoch, 2);
    assert_eq!(two.target_record(&new).await.unwrap().tip.as_deref(), Some("m1"));
    let record = GateRecord { sha: "m3".to_owned(), passed: true, detail: String::new() };
    for refused in [
        one.extend_merges(&old, LEASE).await.map(drop),
        one.next_merges(&old, 9).await.map(drop),
        one.merge_testing(&old, third, "x").await,
        one.record_gates(&old, &record).await,
        one.merge_landing(&old, second, "m2").await,
        one.merge_landed(&old, second, "m2").await,
        one.merge_landed(&old, first, "m1").await,
        one.merge_conflict(&old, third, "x", true).await,
        one.merge_ejected(&old, third, "x", true).await,
        one.pause_merges(&old, LEASE, "x").await,
        one.release_merges(&old).await,
    ] {
        assert_eq!(kind(refused), StoreErrorKind::StaleLease);
    }
    // What was about to be pushed is in sight; the next writer finds out whether it was.
    let left = two.next_merges(&new, 10).await.unwrap();
    let left: Vec<_> = left.iter().map(|it| (it.id, it.landing.as_deref())).collect();
    assert_eq!(left, [(second, Some("m2")), (third, None)]);
    two.merge_landed(&new, second, "m2").await.unwrap();
    // Saying it twice does no harm.
    two.merge_landed(&new, second, "m2").await.unwrap();
    land(&two, &new, third, "m3").await;
    two.release_merges(&new).await.unwrap();
    assert!(one.claim_merges("one", LEASE).await.unwrap().is_none(), "nothing is left");
    invariants::hold(place).await;
}

/// Nothing lands without a passing record of exactly that commit; a commit that is landing, or has
/// landed, keeps its record.
pub(crate) async fn only_what_passed_lands(place: &Place) {
    let store = place.open().await;
    store.submit(&many(2), None, None).await.unwrap();
    hand_in(&store, "a").await;
    let lease = turn(&store, "hub").await;
    let entries = store.next_merges(&lease, 2).await.unwrap();
    let (first, second) = (entries[0].id, entries[1].id);
    let refused = async |id, sha: &str| kind(store.merge_landing(&lease, id, sha).await);
    assert_eq!(refused(first, "m1").await, StoreErrorKind::Conflict);
    store.merge_testing(&lease, first, "m1").await.unwrap();
    assert_eq!(refused(first, "m1").await, StoreErrorKind::Conflict);
    passed(&store, &lease, "m1", false).await;
    assert_eq!(refused(first, "m1").await, StoreErrorKind::Conflict);
    passed(&store, &lease, "m2", true).await;
    assert_eq!(refused(first, "m1").await, StoreErrorKind::Conflict);
    // A second run of the same gates may pass.
    passed(&store, &lease, "m1", true).await;
    assert_eq!(refused(second, "m1").await, StoreErrorKind::Conflict, "it is not being tested");
    // A landing must be announced, and only the announced commit can land.
    assert_eq!(kind(store.merge_landed(&lease, first, "m1").await), StoreErrorKind::Conflict);
    store.merge_landing(&lease, first, "m1").await.unwrap();
    assert_eq!(kind(store.merge_landed(&lease, first, "m2").await), StoreErrorKind::Conflict);
    // While it is being pushed, neither gates nor people can remove it.
    let record = GateRecord { sha: "m1".to_owned(), passed: false, detail: String::new() };
    assert_eq!(kind(store.record_gates(&lease, &record).await), StoreErrorKind::Conflict);
    assert_eq!(kind(store.eject_merge(first, "no").await), StoreErrorKind::Conflict);
    assert_eq!(
        kind(store.cancel_task(entries[0].lease.task, None).await),
        StoreErrorKind::Conflict
    );
    store.merge_landed(&lease, first, "m1").await.unwrap();
    assert_eq!(kind(store.record_gates(&lease, &record).await), StoreErrorKind::Conflict);
    assert_eq!(kind(store.retry_merge(first).await), StoreErrorKind::Conflict);
    invariants::hold(place).await;

    // The push failed: the entry is tested again, as another commit.
    store.merge_testing(&lease, second, "m3").await.unwrap();
    passed(&store, &lease, "m3", true).await;
    store.merge_landing(&lease, second, "m3").await.unwrap();
    store.merge_testing(&lease, second, "m4").await.unwrap();
    assert_eq!(kind(store.merge_landed(&lease, second, "m3").await), StoreErrorKind::Conflict);
    passed(&store, &lease, "m3", false).await;
    passed(&store, &lease, "m4", true).await;
    store.merge_landing(&lease, second, "m4").await.unwrap();
    store.merge_landed(&lease, second, "m4").await.unwrap();
    invariants::hold(place).await;
}

/// An ejected entry also ejects its direct and indirect dependents, and nothing else.
pub(crate) async fn dependants_leave_as_well(place: &Place) {
    let store = place.open().await;
    let mut spec = many(5);
    spec.tasks[4].max_attempts = 1;
    store.submit(&spec, None, None).await.unwrap();
    hand_in(&store, "a").await;
    // Queued before their dependency was known.
    place
        .meddle(
            "INSERT INTO dependencies (task_id, needs_id) SELECT t.id, n.id FROM tasks t, tasks n \
             WHERE (t.position = 2 AND n.position = 1) OR (t.position = 4 AND n.position = 2); \
             UPDATE tasks SET dependants = 1 WHERE position IN (1, 2); \
             UPDATE tasks SET unmet = 1 WHERE position IN (2, 4)",
        )
        .await;
    let lease = turn(&store, "hub").await;
    let entries = store.next_merges(&lease, 9).await.unwrap();
    store.merge_testing(&lease, entries[1].id, "m1").await.unwrap();
    store.merge_ejected(&lease, entries[1].id, "the gates failed", true).await.unwrap();
    store.merge_ejected(&lease, entries[1].id, "the gates failed", true).await.unwrap();
    let mut states = Vec::new();
    for entry in &entries {
        let task = store.task(entry.lease.task).await.unwrap().state;
        states.push((store.merge(entry.id).await.unwrap().state, task));
    }
    use MergeState::{Ejected, Queued};
    assert_eq!(
        states,
        [
            (Queued, TaskState::Merging),
            (Ejected, TaskState::Ready),
            (Ejected, TaskState::Waiting),
            (Queued, TaskState::Merging),
            // Its only attempt is used up.
            (Ejected, TaskState::Blocked),
        ]
    );
    let left = store.next_merges(&lease, 9).await.unwrap();
    let left: Vec<_> = left.iter().map(|it| it.id).collect();
    assert_eq!(left, [entries[0].id, entries[3].id], "the others keep their places");

    // A person puts one back into its place.
    let again = store.retry_merge(entries[1].id).await.unwrap();
    assert_eq!(again.state, Queued);
    let left = store.next_merges(&lease, 9).await.unwrap();
    let left: Vec<_> = left.iter().map(|it| it.id).collect();
    assert_eq!(left, [entries[0].id, entries[1].id, entries[3].id]);
    for (n, id) in left.into_iter().enumerate() {
        land(&store, &lease, id, &format!("n{n}")).await;
    }
    // Its dependency has landed: the next one follows, and then the blocked one.
    let claimed = claim(&store, "a").await.unwrap();
    assert_eq!((claimed.task.key.as_str(), claimed.lease().epoch), ("2", 2));
    invariants::hold(place).await;
}

/// Branches of different targets do not wait for each other.
pub(crate) async fn each_target_has_its_writer(place: &Place) {
    let (one, two) = (place.open().await, place.open().await);
    let mut tasks: Vec<_> = (0..4).map(|n| task(&n.to_string())).collect();
    tasks[1].epic = Some(0);
    tasks[3].epic = Some(0);
    let mut spec = graph(tasks);
    spec.epics = vec![crate::work::epic("1")];
    spec.epics[0].branch = Some("epic-1/parts".to_owned());
    one.submit(&spec, None, None).await.unwrap();
    hand_in(&one, "a").await;
    let (a, b) = tokio::join!(one.claim_merges("one", LEASE), two.claim_merges("two", LEASE));
    let mut turns: Vec<_> = [a.unwrap(), b.unwrap()].into_iter().flatten().collect();
    // Two concurrent writers do not both get a lease.
    while turns.len() < 2 {
        turns.push(turn(&two, "two").await);
    }
    turns.sort_by(|a, b| a.target.cmp(&b.target));
    assert_eq!(turns[0].target, "epic-1/parts");
    assert_eq!(turns[1].target, "main");
    assert!(one.claim_merges("three", LEASE).await.unwrap().is_none());
    // A lease is good for its own branch only.
    let entries = two.next_merges(&turns[1], 9).await.unwrap();
    let refused = two.merge_testing(&turns[0], entries[0].id, "m").await;
    assert_eq!(kind(refused), StoreErrorKind::Conflict);
    let ejected = two.merge_ejected(&turns[0], entries[0].id, "x", true).await;
    assert_eq!(kind(ejected), StoreErrorKind::Conflict);
    two.pause_merges(&turns[0], Duration::from_secs(60), "no network").await.unwrap();
    assert!(one.claim_merges("three", LEASE).await.unwrap().is_none(), "it rests");
    place.meddle("UPDATE merge_targets SET not_before = 1").await;
    assert_eq!(turn(&one, "three").await.target, "epic-1/parts");
    invariants::hold(place).await;
}
