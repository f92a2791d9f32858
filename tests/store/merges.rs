//! Merge queues: writers, landing, and entries that leave the queue.

use std::time::Duration;

use greenloop_hub::store::{
    GateRecord, MergeFilter, PageRequest, QueueEntry, QueueLease, StoreErrorKind, TaskStore,
};
use greenloop_model::task::{GraphState, Lease, MergeState, TaskState};

use crate::place::Place;
use crate::work::{at_least, claim, committed, epic, graph, ids, kind, many, task};

const LEASE: Duration = Duration::from_secs(60);

async fn passes(store: &TaskStore, lease: &QueueLease, sha: &str) {
    let record = GateRecord { sha: sha.to_owned(), passed: true, detail: "all".to_owned() };
    store.record_gates(lease, &record).await.unwrap();
}

/// An entry's whole way to the target.
async fn land(store: &TaskStore, lease: &QueueLease, entry: &QueueEntry, sha: &str) {
    store.merge_testing(lease, entry.id, sha).await.unwrap();
    passes(store, lease, sha).await;
    store.merge_landing(lease, entry.id, sha).await.unwrap();
    store.merge_landed(lease, entry.id, sha).await.unwrap();
}

/// Claims the next task and ends it with a commit.
async fn work(store: &TaskStore, agent: &str, commit: &str) -> Lease {
    let claimed = claim(store, agent).await.unwrap();
    store.complete(claimed.lease(), &committed(commit), None).await.unwrap();
    claimed.lease()
}

async fn turn(store: &TaskStore, holder: &str) -> QueueLease {
    store.claim_merges(holder, LEASE).await.unwrap().unwrap()
}

async fn state(store: &TaskStore, lease: Lease) -> TaskState {
    store.task(lease.task).await.unwrap().state
}

pub(crate) async fn one_writer_merges_in_order(place: &Place) {
    let store = place.open().await;
    let id = store.submit(&many(2), None, None).await.unwrap().id;
    assert_eq!(store.claim_merges("h1", LEASE).await.unwrap(), None, "nothing to merge");
    for commit in ["c1", "c2"] {
        work(&store, "w", commit).await;
    }
    let first = turn(&store, "h1").await;
    assert_eq!(store.claim_merges("h2", LEASE).await.unwrap(), None, "it has a writer");
    let entries = store.next_merges(&first, 10).await.unwrap();
    let commits: Vec<&str> = entries.iter().map(|it| it.commit.as_str()).collect();
    assert_eq!(commits, ["c1", "c2"]);

    // Nothing lands without a result for exactly this commit.
    store.merge_testing(&first, entries[0].id, "m1").await.unwrap();
    passes(&store, &first, "m0").await;
    let refused = store.merge_landing(&first, entries[0].id, "m1").await;
    assert_eq!(kind(refused), StoreErrorKind::Conflict);
    let failed = GateRecord { sha: "m1".to_owned(), passed: false, detail: String::new() };
    store.record_gates(&first, &failed).await.unwrap();
    let refused = store.merge_landing(&first, entries[0].id, "m1").await;
    assert_eq!(kind(refused), StoreErrorKind::Conflict);

    // A writer that lost its lease changes nothing.
    place.meddle("UPDATE merge_targets SET expires_at = 1").await;
    let second = turn(&store, "h2").await;
    assert_eq!(second.epoch, first.epoch + 1);
    passes(&store, &second, "m1").await;
    for refused in [
        store.merge_testing(&first, entries[0].id, "m9").await,
        store.record_gates(&first, &failed).await,
        store.merge_landing(&first, entries[0].id, "m1").await,
        store.merge_conflict(&first, entries[0].id, "no", true).await,
        store.merge_ejected(&first, entries[0].id, "no", true).await,
        store.pause_merges(&first, LEASE, "no").await,
        store.release_merges(&first).await,
        store.extend_merges(&first, LEASE).await.map(drop),
        store.next_merges(&first, 1).await.map(drop),
    ] {
        assert_eq!(kind(refused), StoreErrorKind::StaleLease);
    }
    // It died between its push and the record: the commit to land is known.
    store.merge_landing(&second, entries[0].id, "m1").await.unwrap();
    place.meddle("UPDATE merge_targets SET expires_at = 1").await;
    let third = turn(&store, "h1").await;
    let left = store.next_merges(&third, 1).await.unwrap();
    assert_eq!(left[0].landing.as_deref(), Some("m1"));
    let taken = store.eject_merge(left[0].id, "no").await;
    assert_eq!(kind(taken), StoreErrorKind::Conflict, "nobody takes it back");
    for _again in 0..2 {
        store.merge_landed(&third, left[0].id, "m1").await.unwrap();
    }
    land(&store, &third, &entries[1], "m2").await;
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Done);
    let branches = store.branches().await.unwrap();
    assert_eq!((branches[0].commit.as_deref(), branches[0].merged), (Some("m2"), 2));
    store.release_merges(&third).await.unwrap();
    assert_eq!(store.claim_merges("h1", LEASE).await.unwrap(), None);
}

pub(crate) async fn a_conflict_reopens_a_task_so_often(place: &Place) {
    let store = place.open().await;
    let id = store.submit(&many(1), None, None).await.unwrap().id;
    let lease = work(&store, "w", "c1").await;
    let writer = turn(&store, "h").await;
    let entry = store.next_merges(&writer, 1).await.unwrap().remove(0);
    // A writer whose push did not happen may still report that.
    store.merge_testing(&writer, entry.id, "m1").await.unwrap();
    passes(&store, &writer, "m1").await;
    store.merge_landing(&writer, entry.id, "m1").await.unwrap();
    for _again in 0..2 {
        store.merge_conflict(&writer, entry.id, "both changed a", true).await.unwrap();
    }
    assert_eq!(state(&store, lease).await, TaskState::Ready);
    // As often as it has attempts, without counting one; then it waits for a person.
    let mut entry = entry;
    for n in 2..=4 {
        let again = claim(&store, "w").await.unwrap();
        assert_eq!((again.previous.as_deref(), again.task.attempts), (Some("both changed a"), 1));
        store.complete(again.lease(), &committed(&format!("c{n}")), None).await.unwrap();
        entry = store.next_merges(&writer, 1).await.unwrap().remove(0);
        let reason = if n == 4 { "both changed b" } else { "both changed a" };
        store.merge_conflict(&writer, entry.id, reason, true).await.unwrap();
    }
    let task = store.task(lease.task).await.unwrap();
    assert_eq!((task.state, task.reason.as_deref()), (TaskState::Blocked, Some("both changed b")));
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Running, "a person is waited for");
    // A conflict that was resolved on the branch is merged.
    store.retry_merge(entry.id).await.unwrap();
    assert_eq!(state(&store, lease).await, TaskState::Merging);
    land(&store, &writer, &entry, "m2").await;
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Done);
}

pub(crate) async fn what_needs_an_ejected_entry_leaves_as_well(place: &Place) {
    let store = place.open().await;
    let mut spec = many(4);
    spec.tasks[1].needs = vec![0];
    spec.tasks[2].needs = vec![1];
    let id = store.submit(&spec, None, None).await.unwrap().id;
    let writer_of = |commit: &'static str| work(&store, "w", commit);
    let first = writer_of("c0").await;
    let other = writer_of("c3").await;
    let writer = turn(&store, "h").await;
    let entries = store.next_merges(&writer, 10).await.unwrap();
    land(&store, &writer, &entries[0], "m0").await;
    let second = writer_of("c1").await;
    let entries = store.next_merges(&writer, 10).await.unwrap();
    land(&store, &writer, &entries[1], "m1").await;
    let third = writer_of("c2").await;
    // As if their base were still being merged.
    let tasks = ids(&store, id).await;
    for task in &tasks[..2] {
        place
            .meddle(&format!(
                "UPDATE tasks SET state = 'merging' WHERE id = {task}; \
                 UPDATE merge_queue SET state = 'queued', landing = NULL WHERE task_id = {task}"
            ))
            .await;
    }
    let entries = store.next_merges(&writer, 10).await.unwrap();
    assert_eq!(entries.len(), 4);
    let of = |lease: Lease| entries.iter().find(|it| it.lease == lease).unwrap().id;
    store.merge_ejected(&writer, of(first), "gates failed", true).await.unwrap();
    let left = store.next_merges(&writer, 10).await.unwrap();
    assert_eq!(left.iter().map(|it| it.lease).collect::<Vec<_>>(), [other]);
    assert_eq!(state(&store, first).await, TaskState::Ready);
    for lease in [second, third] {
        let entry = store.merge(of(lease)).await.unwrap();
        assert_eq!(entry.state, MergeState::Ejected);
        assert!(entry.reason.unwrap().contains("was removed"));
        assert_ne!(state(&store, lease).await, TaskState::Merging);
    }
    // All attempts are used up: it fails.
    place.meddle("UPDATE tasks SET attempts = 3 WHERE state = 'merging'").await;
    store.merge_ejected(&writer, of(other), "gates failed", true).await.unwrap();
    assert_eq!(state(&store, other).await, TaskState::Failed);
}

pub(crate) async fn an_epics_branch_goes_to_the_target_when_the_epic_is_done(place: &Place) {
    let store = place.open().await;
    let mut spec = graph(vec![task("1.1"), task("1.2"), task("2.1"), task("3.1"), task("4")]);
    spec.tasks[4].conditions = vec![at_least(0, 100)];
    spec.epics = vec![epic("1"), epic("2"), epic("3")];
    spec.epics[0].branch = Some("epic-1/repositories".to_owned());
    spec.epics[1].branch = Some("epic-2/nothing".to_owned());
    for (task, epic) in [(0, 0), (1, 0), (2, 1), (3, 2)] {
        spec.tasks[task].epic = Some(epic);
    }
    let id = store.submit(&spec, None, None).await.unwrap().id;
    let first = work(&store, "w", "c1").await;
    let writer = turn(&store, "h").await;
    assert_eq!(writer.target, "epic-1/repositories");
    let entry = store.next_merges(&writer, 1).await.unwrap().remove(0);
    land(&store, &writer, &entry, "m1").await;
    assert_eq!(state(&store, first).await, TaskState::Done);
    // The last task of the epic changes nothing; the epic is done.
    let second = claim(&store, "w").await.unwrap();
    assert_eq!(second.target, "epic-1/repositories");
    crate::work::complete(&store, second.lease()).await;
    let home = turn(&store, "h").await;
    assert_eq!(home.target, "main");
    let entry = store.next_merges(&home, 9).await.unwrap().remove(0);
    assert_eq!((entry.branch.as_str(), entry.commit.as_str()), ("epic-1/repositories", "m1"));
    assert_eq!(entry.gates, ["just check"]);
    // The second epic's branch has no commits.
    let third = claim(&store, "w").await.unwrap();
    crate::work::complete(&store, third.lease()).await;
    let fourth = claim(&store, "w").await.unwrap();
    assert_eq!(fourth.target, "main");
    crate::work::complete(&store, fourth.lease()).await;
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Running, "not merged yet");
    assert_eq!(claim(&store, "w").await, None, "the epic is not where it builds on it");
    let all = store.merges(&MergeFilter::default(), PageRequest::first(10)).await.unwrap();
    assert_eq!(all.items.len(), 2);

    // A conflict of whole epics waits for a person; a retry lets a worker do the merge.
    store.merge_conflict(&home, entry.id, "both changed a", true).await.unwrap();
    assert_eq!(state(&store, entry.lease).await, TaskState::Blocked);
    assert_eq!(store.retry_task(entry.lease.task, None).await.unwrap().state, TaskState::Ready);
    let merging = claim(&store, "w").await.unwrap();
    assert_eq!((merging.lease().epoch, merging.target.as_str()), (2, "main"));
    assert_eq!(merging.task.title, "Merge epic-1/repositories into main");
    store.complete(merging.lease(), &committed("c5"), None).await.unwrap();
    let entry = store.next_merges(&home, 9).await.unwrap().remove(0);
    land(&store, &home, &entry, "m5").await;
    // The epic's branch has no expected commit any more.
    let branches = store.branches().await.unwrap();
    let head = |name: &str| branches.iter().find(|it| it.name == name).unwrap().commit.clone();
    assert_eq!((head("epic-1/repositories"), head("main").as_deref()), (None, Some("m5")));
    let last = claim(&store, "w").await.unwrap();
    assert_eq!(last.task.key, "4");
    crate::work::complete(&store, last.lease()).await;
    let ended = store.graph(id).await.unwrap();
    assert_eq!((ended.state, ended.percent), (GraphState::Done, 100.0));
    let summary = store.summary(Some(id)).await.unwrap();
    assert_eq!((summary.hours, summary.hours_done), (5.0, 5.0));
    crate::invariants::hold(place).await;
}
