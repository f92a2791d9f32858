//! Merge queues on hold, followed rewinds, and redos of conflicts in order.

use std::time::Duration;

use greenloop_hub::store::{
    ConflictReport, GateRecord, MergeFilter, NewHold, PageRequest, QueueEntry, QueueLease,
    StoreErrorKind, SweepOptions, TaskStore,
};
use greenloop_model::task::{
    GraphState, HoldDecision, HoldReason, Lease, MergeId, MergeState, TaskEventKind, TaskState,
};

use crate::invariants;
use crate::place::Place;
use crate::work::{at_least, claim, committed, epic, events, graph, ids, kind, many, task};

const LEASE: Duration = Duration::from_secs(60);

const HOUR: Duration = Duration::from_secs(3_600);

async fn turn(store: &TaskStore) -> QueueLease {
    store.claim_merges("h", LEASE).await.unwrap().expect("something to merge")
}

async fn entries(store: &TaskStore, writer: &QueueLease) -> Vec<QueueEntry> {
    store.next_merges(writer, 50).await.unwrap()
}

async fn land(store: &TaskStore, writer: &QueueLease, id: MergeId, sha: &str) {
    store.merge_testing(writer, id, sha).await.unwrap();
    let record = GateRecord { sha: sha.to_owned(), passed: true, detail: String::new() };
    store.record_gates(writer, &record).await.unwrap();
    store.merge_landing(writer, id, sha).await.unwrap();
    store.merge_landed(writer, id, sha).await.unwrap();
}

async fn work(store: &TaskStore, commit: &str) -> Lease {
    let claimed = claim(store, "w").await.expect("a task to claim");
    store.complete(claimed.lease(), &committed(commit), None).await.unwrap();
    claimed.lease()
}

async fn state(store: &TaskStore, lease: Lease) -> TaskState {
    store.task(lease.task).await.unwrap().state
}

fn broken(tip: &str) -> NewHold {
    NewHold {
        reason: HoldReason::TargetBroken,
        tip: Some(tip.to_owned()),
        expected: Some("good".to_owned()),
        commit: Some(tip.to_owned()),
        author: Some("Ada".to_owned()),
        text: format!("main is broken since commit {tip} by Ada"),
        lost: Vec::new(),
        tried: Vec::new(),
    }
}

/// The hold belongs to the target, for every hub and across restarts: its entries keep their places
/// and nothing is counted.
pub(crate) async fn a_hold_is_every_hubs(place: &Place) {
    let (one, two) = (place.open().await, place.open().await);
    one.submit(&many(2), None, None).await.unwrap();
    let tasks = [work(&one, "c1").await, work(&one, "c2").await];
    let writer = turn(&one).await;
    let first = entries(&one, &writer).await[0].id;
    one.merge_testing(&writer, first, "m1").await.unwrap();
    for _again in 0..2 {
        // The second one sends no new event.
        let held = one.hold_merges(&writer, &broken("b1"), Duration::from_secs(600)).await;
        assert_eq!(held.is_ok(), _again == 0, "the lease went with it");
    }
    assert_eq!(two.claim_merges("h2", LEASE).await.unwrap(), None, "it rests");
    let hold = two.branches().await.unwrap().remove(0).hold.expect("a hold");
    assert_eq!((hold.reason, hold.author.as_deref()), (HoldReason::TargetBroken, Some("Ada")));
    for lease in tasks {
        let task = two.task(lease.task).await.unwrap();
        assert_eq!((task.state, task.attempts), (TaskState::Merging, 1));
    }
    for refused in [HoldDecision::Follow, HoldDecision::Restore] {
        let refused = two.decide_hold(None, None, refused).await;
        assert_eq!(kind(refused), StoreErrorKind::Conflict);
    }
    let nowhere = two.decide_hold(None, Some("other"), HoldDecision::Retry).await;
    assert_eq!(kind(nowhere), StoreErrorKind::NotFound);
    two.decide_hold(Some("shop"), Some("main"), HoldDecision::Retry).await.unwrap();
    // A restarted hub keeps the hold.
    let later = place.open().await;
    let writer = turn(&later).await;
    let found = later.target_record(&writer).await.unwrap();
    assert_eq!(found.hold.unwrap().tip.as_deref(), Some("b1"));
    assert!(found.tested_for > Duration::from_secs(600), "it is to be tested again");
    let left = entries(&later, &writer).await;
    assert_eq!(left.iter().map(|it| it.state).collect::<Vec<_>>(), [MergeState::Queued; 2]);
    later.lift_hold(&writer, "it passes again").await.unwrap();
    assert_eq!(two.branches().await.unwrap()[0].hold, None);
    for (entry, sha) in left.iter().zip(["m1", "m2"]) {
        land(&later, &writer, entry.id, sha).await;
    }
    let kinds = events(&one).await;
    let of = |kind| kinds.iter().filter(|it| **it == kind).count();
    assert_eq!(of(TaskEventKind::MergeResumed), 1);
    assert_eq!(of(TaskEventKind::MergeEjected), 0);
    invariants::hold(place).await;
}

/// A passing result is stored by commit and gates.
pub(crate) async fn tips_that_passed_are_known(place: &Place) {
    let store = place.open().await;
    store.submit(&many(2), None, None).await.unwrap();
    work(&store, "c1").await;
    work(&store, "c2").await;
    let writer = turn(&store).await;
    let gates = |it: &str| vec![it.to_owned()];
    assert!(!store.tip_passes(&writer, "m1", &gates("just check"), HOUR).await.unwrap());
    let first = entries(&store, &writer).await[0].id;
    land(&store, &writer, first, "m1").await;
    assert!(store.tip_passes(&writer, "m1", &gates("just check"), HOUR).await.unwrap());
    assert!(!store.tip_passes(&writer, "m1", &gates("other"), HOUR).await.unwrap());
    store.note_tip_passes(&writer, "p1", &gates("other")).await.unwrap();
    assert!(store.tip_passes(&writer, "p1", &gates("other"), HOUR).await.unwrap());
    let asked = ["m1", "x", "p1"].map(str::to_owned);
    let mut good = store.known_good(&writer, &asked).await.unwrap();
    good.sort();
    assert_eq!(good, ["m1", "p1"]);
    // No result within a duration of zero.
    assert!(!store.tip_passes(&writer, "m1", &gates("just check"), Duration::ZERO).await.unwrap());
    // An old result does not count.
    place
        .meddle("UPDATE tip_passes SET created_at = 1; UPDATE gate_records SET created_at = 1")
        .await;
    assert!(!store.tip_passes(&writer, "m1", &gates("just check"), HOUR).await.unwrap());
    assert!(!store.tip_passes(&writer, "p1", &gates("other"), HOUR).await.unwrap());
}

/// A target with an empty queue is given to one hub at a time for a check, and no more often than
/// requested.
pub(crate) async fn an_empty_queue_is_looked_at_now_and_then(place: &Place) {
    let store = place.open().await;
    let (now, later) = (Duration::ZERO, Duration::from_secs(3600));
    let mut spec = many(2);
    spec.repository = Some("https://example.org/r.git".to_owned());
    let id = store.submit(&spec, None, None).await.unwrap().id;
    assert_eq!(store.watch_merges("h", LEASE, now).await.unwrap(), None, "nothing was merged yet");
    work(&store, "c1").await;
    let writer = turn(&store).await;
    let entry = entries(&store, &writer).await[0].id;
    land(&store, &writer, entry, "m1").await;
    assert_eq!(store.watch_merges("i", LEASE, now).await.unwrap(), None, "somebody writes to it");
    store.release_merges(&writer).await.unwrap();

    assert_eq!(
        store.watch_merges("i", LEASE, later).await.unwrap(),
        None,
        "it was just written to"
    );
    let watcher = store.watch_merges("i", LEASE, now).await.unwrap().unwrap();
    assert_eq!(watcher.target, "main");
    assert!(watcher.epoch > writer.epoch, "whoever wrote before is fenced off");
    assert_eq!(watcher.repository, "https://example.org/r.git");
    let record = store.target_record(&watcher).await.unwrap();
    assert_eq!(record.tip.as_deref(), Some("m1"));
    store.release_merges(&watcher).await.unwrap();
    assert_eq!(store.watch_merges("h", LEASE, later).await.unwrap(), None);
    assert_eq!(store.repositories().await.unwrap(), ["https://example.org/r.git"]);
    assert_eq!(store.known_merges(&[entry.0, entry.0 + 1]).await.unwrap(), [entry.0]);

    // Waiting entries come first; targets of ended graphs are checked as well.
    work(&store, "c2").await;
    let writer = turn(&store).await;
    let entry = entries(&store, &writer).await[0].id;
    land(&store, &writer, entry, "m2").await;
    store.release_merges(&writer).await.unwrap();
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Done);
    let watcher = store.watch_merges("h", LEASE, now).await.unwrap().unwrap();
    store.release_merges(&watcher).await.unwrap();
    // One that is being deleted is not.
    place.meddle("UPDATE graphs SET purged = 1").await;
    assert_eq!(store.watch_merges("h", LEASE, now).await.unwrap(), None);
    assert!(store.repositories().await.unwrap().is_empty());
}

/// A followed rewind reopens the tasks of the removed merges, and their dependents wait again.
pub(crate) async fn a_rewind_opens_its_tasks_again(place: &Place) {
    let store = place.open().await;
    let mut spec = graph(vec![task("a"), task("b"), task("c"), task("d"), task("e")]);
    spec.epics = vec![epic("1")];
    spec.tasks[0].epic = Some(0);
    spec.tasks[1].epic = Some(0);
    spec.tasks[2].needs = vec![1];
    spec.tasks[3].needs = vec![2];
    spec.tasks[4].conditions = vec![at_least(0, 100)];
    let id = store.submit(&spec, None, None).await.unwrap().id;
    let tasks = ids(&store, id).await;
    let writer = {
        work(&store, "ca").await;
        turn(&store).await
    };
    let first = entries(&store, &writer).await[0].id;
    land(&store, &writer, first, "ma").await;
    let b = work(&store, "cb").await;
    let second = entries(&store, &writer).await[0].id;
    land(&store, &writer, second, "mb").await;
    // c, which needs b, is running; e, which needs all of the epic, can be claimed.
    let c = work(&store, "cc").await;
    assert_eq!(store.task(tasks[4]).await.unwrap().state, TaskState::Ready);
    let hold = NewHold {
        reason: HoldReason::TargetRewound,
        tip: Some("ma".to_owned()),
        expected: Some("mb".to_owned()),
        commit: None,
        author: None,
        text: "main was moved from mb to ma".to_owned(),
        lost: vec!["mb b".to_owned()],
        tried: Vec::new(),
    };
    store.hold_merges(&writer, &hold, Duration::from_secs(600)).await.unwrap();
    assert_eq!(state(&store, b).await, TaskState::Done, "nobody has decided yet");
    store.decide_hold(None, None, HoldDecision::Follow).await.unwrap();
    let writer = turn(&store).await;
    let record = store.target_record(&writer).await.unwrap();
    assert_eq!(record.hold.unwrap().decision, Some(HoldDecision::Follow));
    let merged = store.merged_commits(&writer).await.unwrap();
    assert_eq!(merged.iter().map(|it| it.sha.as_str()).collect::<Vec<_>>(), ["mb", "ma"]);
    let gone = vec!["mb".to_owned()];
    for _again in 0..2 {
        store.follow_rewind(&writer, &[second], &gone, Some("ma")).await.unwrap();
    }
    let reopened = store.task(b.task).await.unwrap();
    assert_eq!((reopened.state, reopened.attempts, reopened.commit), (TaskState::Ready, 0, None));
    assert!(reopened.reason.unwrap().contains("was removed"));
    let dependant = store.task(c.task).await.unwrap();
    assert_eq!((dependant.state, dependant.attempts), (TaskState::Waiting, 0), "its branch left");
    assert_eq!(store.task(tasks[4]).await.unwrap().state, TaskState::Waiting);
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Running);
    let record = store.target_record(&writer).await.unwrap();
    assert_eq!((record.tip.as_deref(), record.rewound), (Some("ma"), gone));
    invariants::hold(place).await;
    // Everything finishes.
    let mut n = 0;
    while let Some(claimed) = claim(&store, "w").await {
        n += 1;
        store.complete(claimed.lease(), &committed(&format!("d{n}")), None).await.unwrap();
        for entry in entries(&store, &writer).await {
            land(&store, &writer, entry.id, &format!("n{}", entry.id)).await;
        }
    }
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Done);
    invariants::hold(place).await;
}

fn report(files: &[&str]) -> ConflictReport {
    ConflictReport {
        reason: "it does not merge".to_owned(),
        files: files.iter().map(|it| (*it).to_owned()).collect(),
        brief: "it does not merge: - shared".to_owned(),
    }
}

/// Redos run one after the other if their files overlap, otherwise in parallel, and get the earlier
/// merges. None of it counts against a task.
pub(crate) async fn conflicts_are_done_anew_in_turn(place: &Place) {
    let store = place.open().await;
    let mut spec = many(5);
    spec.tasks.iter_mut().for_each(|it| it.max_attempts = 1);
    let id = store.submit(&spec, None, None).await.unwrap().id;
    let mut leases = Vec::new();
    for n in 0..5 {
        leases.push(work(&store, &format!("c{n}")).await);
    }
    let writer = turn(&store).await;
    let all = entries(&store, &writer).await;
    land(&store, &writer, all[0].id, "m0").await;
    for (entry, files) in
        all[1..].iter().zip([&["shared"][..], &["shared"], &["other"], &["shared"]])
    {
        store.merge_conflicting(&writer, entry.id, &report(files)).await.unwrap();
    }
    use TaskState::{Ready, Waiting};
    let states = async || {
        let mut states = Vec::new();
        for lease in &leases[1..] {
            states.push(state(&store, *lease).await);
        }
        states
    };
    assert_eq!(states().await, [Ready, Waiting, Ready, Waiting]);
    invariants::hold(place).await;
    let unsolved = async || {
        let page = PageRequest::first(50);
        let all = store.merges(&MergeFilter::default(), page).await.unwrap().items;
        all.iter().filter(|it| it.unsolved).count()
    };
    assert_eq!(unsolved().await, 4);
    // A later entry does not overtake the redo of an earlier one.
    let redo = claim(&store, "w").await.unwrap();
    assert_eq!((redo.lease().task, redo.task.attempts), (leases[1].task, 1));
    assert_eq!(redo.previous.as_deref(), Some("it does not merge: - shared"));
    assert_eq!(unsolved().await, 3);
    let other = claim(&store, "w").await.unwrap();
    assert_eq!(other.lease().task, leases[3].task);
    assert_eq!(claim(&store, "w").await, None);
    store.complete(other.lease(), &committed("d3"), None).await.unwrap();
    store.complete(redo.lease(), &committed("d1"), None).await.unwrap();
    let next = entries(&store, &writer).await;
    let order: Vec<_> = next.iter().map(|it| it.lease.task).collect();
    assert_eq!(order, [leases[1].task, leases[3].task]);
    let redos = store.redos(&writer).await.unwrap();
    let of = |unclaimed| -> Vec<_> {
        redos.iter().filter(|it| it.unclaimed == unclaimed).map(|it| it.task).collect()
    };
    assert_eq!(of(true), [leases[2].task, leases[4].task]);
    assert_eq!(of(false), order, "in the queue again");
    for redo in [leases[2].task, leases[4].task] {
        store.add_to_brief(&writer, redo, "Then main got 1").await.unwrap();
    }
    land(&store, &writer, next[0].id, "m1").await;
    land(&store, &writer, next[1].id, "m3").await;
    assert_eq!(states().await[1], Ready);
    assert_eq!(states().await[3], Waiting);
    let redo = claim(&store, "w").await.unwrap();
    assert_eq!(redo.lease().task, leases[2].task);
    assert!(redo.previous.as_ref().unwrap().ends_with("Then main got 1"));
    // One that is cancelled holds nobody up.
    store.cancel_task(redo.lease().task, None).await.unwrap();
    store.sweep(&SweepOptions::default()).await.unwrap();
    assert_eq!(states().await[3], Ready);
    invariants::hold(place).await;
    // Conflicts are limited: after as many as it has attempts, the task waits for a person.
    let redo = claim(&store, "w").await.unwrap();
    store.complete(redo.lease(), &committed("d4"), None).await.unwrap();
    let last = entries(&store, &writer).await[0].id;
    for _again in 0..2 {
        store.merge_conflicting(&writer, last, &report(&["shared"])).await.unwrap();
    }
    assert_eq!(state(&store, leases[4]).await, TaskState::Blocked);
    assert_eq!(unsolved().await, 1);
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Running);
    store.retry_task(leases[4].task, None).await.unwrap();
    let redo = claim(&store, "w").await.unwrap();
    store.complete(redo.lease(), &committed("d5"), None).await.unwrap();
    let last = entries(&store, &writer).await[0].id;
    land(&store, &writer, last, "m4").await;
    assert_eq!(unsolved().await, 0);
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Cancelled);
    assert_eq!(place.count("SELECT COUNT(*) FROM merge_conflicts").await, 0);
    invariants::hold(place).await;
}

/// A task that only waits for the redo of another graph's task keeps its own graph alive.
pub(crate) async fn a_redo_may_wait_for_another_graphs(place: &Place) {
    let store = place.open().await;
    let first = store.submit(&many(1), None, None).await.unwrap().id;
    let second = store.submit(&many(1), None, None).await.unwrap().id;
    let leases = [work(&store, "c1").await, work(&store, "c2").await];
    let writer = turn(&store).await;
    for entry in entries(&store, &writer).await {
        store.merge_conflicting(&writer, entry.id, &report(&["shared"])).await.unwrap();
    }
    assert_eq!(state(&store, leases[1]).await, TaskState::Waiting);
    store.sweep(&SweepOptions::default()).await.unwrap();
    assert_eq!(store.graph(second).await.unwrap().state, GraphState::Running);
    invariants::hold(place).await;
    let redo = claim(&store, "w").await.unwrap();
    crate::work::complete(&store, redo.lease()).await;
    store.sweep(&SweepOptions::default()).await.unwrap();
    assert_eq!(store.graph(first).await.unwrap().state, GraphState::Done);
    let redo = claim(&store, "w").await.unwrap();
    crate::work::complete(&store, redo.lease()).await;
    assert_eq!(store.graph(second).await.unwrap().state, GraphState::Done);
    store.sweep(&SweepOptions::default()).await.unwrap();
    invariants::hold(place).await;
}

/// The entries that did not repair a broken tip are stored with the hold, while the tip is the same
/// and no retry is requested.
pub(crate) async fn entries_that_do_not_mend_a_target_are_known(place: &Place) {
    let store = place.open().await;
    store.submit(&many(2), None, None).await.unwrap();
    work(&store, "c1").await;
    work(&store, "c2").await;
    let mut writer = turn(&store).await;
    let all = entries(&store, &writer).await;
    let tried = async |writer: &QueueLease| store.target_record(writer).await.unwrap().tried;
    let hold = NewHold { tried: vec![all[0].id], ..broken("b1") };
    for tip in ["b1", "b1", "b2"] {
        let hold = match tip {
            "b1" => hold.clone(),
            other => broken(other),
        };
        store.hold_merges(&writer, &hold, Duration::ZERO).await.unwrap();
        writer = turn(&store).await;
        let expect = if tip == "b1" { vec![all[0].id] } else { Vec::new() };
        assert_eq!(tried(&writer).await, expect);
    }
    store.merge_testing(&writer, all[1].id, "m2").await.unwrap();
    for _again in 0..2 {
        store.hold_tried(&writer, all[1].id).await.unwrap();
    }
    assert_eq!(tried(&writer).await, [all[1].id]);
    let states: Vec<_> = entries(&store, &writer).await.iter().map(|it| it.state).collect();
    assert_eq!(states, [MergeState::Queued; 2], "it waits at its place");
    store.decide_hold(None, None, HoldDecision::Retry).await.unwrap();
    assert_eq!(tried(&writer).await, []);
    invariants::hold(place).await;
}

/// A task that waits for its dependency does not block the dependency in the queue, although it
/// conflicted first.
pub(crate) async fn a_redo_does_not_wait_for_what_waits_for_it(place: &Place) {
    let store = place.open().await;
    let mut spec = graph(vec![task("t"), task("r"), task("s")]);
    spec.tasks[1].needs = vec![0];
    store.submit(&spec, None, None).await.unwrap();
    let t = work(&store, "ct").await;
    let writer = turn(&store).await;
    let first = entries(&store, &writer).await[0].id;
    land(&store, &writer, first, "mt").await;
    // r needs t and conflicts; then the merge of t is removed.
    let claimed = claim(&store, "w").await.unwrap();
    let r = claimed.lease();
    store.complete(r, &committed("cr"), None).await.unwrap();
    let entry = entries(&store, &writer).await[0].id;
    store.merge_conflicting(&writer, entry, &report(&["shared"])).await.unwrap();
    let tasks = async || -> Vec<_> {
        store.redos(&writer).await.unwrap().iter().map(|it| it.task).collect()
    };
    assert_eq!(tasks().await, [r.task]);
    let gone = vec!["mt".to_owned()];
    store.follow_rewind(&writer, &[first], &gone, None).await.unwrap();
    assert_eq!(
        (state(&store, t).await, state(&store, r).await),
        (TaskState::Ready, TaskState::Waiting)
    );
    assert_eq!(tasks().await, [], "t may be merged before r");
    // Another conflict in that file does not wait for it, either.
    for _each in 0..2 {
        let claimed = claim(&store, "w").await.unwrap();
        store.complete(claimed.lease(), &committed("again"), None).await.unwrap();
    }
    let queued = entries(&store, &writer).await;
    let of = |task| queued.iter().find(|it| it.lease.task == task).unwrap().id;
    store.merge_conflicting(&writer, of(t.task), &report(&["shared"])).await.unwrap();
    assert_eq!(state(&store, t).await, TaskState::Ready);
    invariants::hold(place).await;
    let claimed = claim(&store, "w").await.unwrap();
    assert_eq!(claimed.lease().task, t.task);
    store.complete(claimed.lease(), &committed("ct2"), None).await.unwrap();
    let entry = entries(&store, &writer).await;
    let entry = entry.iter().find(|it| it.lease.task == t.task).unwrap().id;
    land(&store, &writer, entry, "mt2").await;
    // It is its turn, and it blocks others again.
    assert_eq!(state(&store, r).await, TaskState::Ready);
    assert_eq!(tasks().await, [r.task]);
    invariants::hold(place).await;
}

/// A task whose merge would bring removed commits back is redone a limited number of times; the
/// merge of an epic, which would always be the same, never.
pub(crate) async fn what_is_done_anew_has_an_end(place: &Place) {
    let options = greenloop_hub::store::StoreOptions { max_returns: 3, ..crate::place::options() };
    let store = place.open_with(options).await;
    let mut spec = graph(vec![task("a"), task("b")]);
    spec.epics = vec![greenloop_hub_api::types::EpicSubmission {
        branch: Some("epic".to_owned()),
        ..epic("1")
    }];
    spec.tasks[0].epic = Some(0);
    let id = store.submit(&spec, None, None).await.unwrap().id;
    work(&store, "ca").await;
    let on_epic = turn(&store).await;
    assert_eq!(on_epic.target, "epic");
    let entry = entries(&store, &on_epic).await[0].id;
    land(&store, &on_epic, entry, "ma").await;
    let writer = turn(&store).await;
    assert_eq!(writer.target, "main");
    let home = entries(&store, &writer).await[0].clone();
    store.redo_merge(&writer, home.id, "it stands on what was taken back").await.unwrap();
    assert_eq!(state(&store, home.lease).await, TaskState::Blocked);

    for round in 1..=3 {
        let lease = work(&store, &format!("cb{round}")).await;
        let entry = entries(&store, &writer).await[0].id;
        store.redo_merge(&writer, entry, "it stands on what was taken back").await.unwrap();
        let task = store.task(lease.task).await.unwrap();
        let expect = if round < 3 { TaskState::Ready } else { TaskState::Blocked };
        assert_eq!((task.state, task.attempts), (expect, 0), "round {round}");
    }
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Running, "a person is asked");
    invariants::hold(place).await;
    // The branch of the epic is the epic's own; what the queue made of a conflict is the hub's to
    // delete once the task is over.
    store.retry_merge(home.id).await.unwrap();
    invariants::hold(place).await;
    store.merge_conflicting(&writer, home.id, &report(&["shared"])).await.unwrap();
    store.cancel_graph(id, None).await.unwrap();
    place.meddle("UPDATE tasks SET ended_at = 1; UPDATE attempts SET ended_at = 1").await;
    let spent = store.take_spent_branches(HOUR, HOUR, 100).await.unwrap();
    let of_the_merge: Vec<_> = spent.iter().filter(|it| it.merge == Some(home.id)).collect();
    assert_eq!(of_the_merge.len(), 1, "{spent:?}");
    assert_eq!(of_the_merge[0].branch, home.lease.branch());
    invariants::hold(place).await;
}

/// Targets in the order in which a person looks at them, each with what its queue waits for.
pub(crate) async fn held_branches_come_first(place: &Place) {
    let store = place.open().await;
    for target in ["a", "b", "c"] {
        let spec = greenloop_hub_api::graph::TaskGraph { target: target.to_owned(), ..many(1) };
        store.submit(&spec, None, None).await.unwrap();
        work(&store, target).await;
    }
    let names = async || -> Vec<String> {
        store.branches().await.unwrap().into_iter().map(|it| it.name).collect()
    };
    assert_eq!(names().await, ["a", "b", "c"]);
    for target in ["a", "b", "c"] {
        let writer = turn(&store).await;
        assert_eq!(writer.target, target);
        if target == "b" {
            store.hold_merges(&writer, &broken("b1"), HOUR).await.unwrap();
        } else {
            let waits = (target == "c").then_some("every entry waits for 1.2");
            store.rest_merges(&writer, HOUR, waits).await.unwrap();
        }
    }
    assert_eq!(names().await, ["b", "a", "c"]);
    let branches = store.branches().await.unwrap();
    let reasons: Vec<_> = branches.iter().map(|it| it.reason.as_deref()).collect();
    assert_eq!(reasons, [None, None, Some("every entry waits for 1.2")]);
    assert!(branches.iter().all(|it| it.paused_until.is_some()));
    // What comes in meanwhile may be what they wait for: it is looked at at once, and the reason is
    // gone with the look.
    let spec = greenloop_hub_api::graph::TaskGraph { target: "c".to_owned(), ..many(1) };
    store.submit(&spec, None, None).await.unwrap();
    work(&store, "more").await;
    assert_eq!(turn(&store).await.target, "c");
    let branches = store.branches().await.unwrap();
    assert!(branches.iter().all(|it| it.reason.is_none()), "{branches:?}");
}

/// A store that fails for a moment throws no entry out.
pub(crate) async fn an_entry_that_cannot_be_read_now_stays(place: &Place) {
    let store = place.open().await;
    store.submit(&many(1), None, None).await.unwrap();
    let lease = work(&store, &"a".repeat(40)).await;
    let writer = turn(&store).await;
    place.meddle("ALTER TABLE tasks RENAME TO away").await;
    let failed = store.next_merges(&writer, 10).await.unwrap_err();
    assert_eq!(failed.kind, StoreErrorKind::Corrupt, "{failed}");
    place.meddle("ALTER TABLE away RENAME TO tasks").await;
    // Connections that have prepared statements before the change are made again.
    let store = place.open().await;
    assert_eq!(state(&store, lease).await, TaskState::Merging, "nothing was thrown out");
    assert_eq!(entries(&store, &writer).await.len(), 1);
    invariants::hold(place).await;
}

/// A cancelled graph ends when its commit that is being pushed has landed.
pub(crate) async fn a_push_does_not_keep_a_graph_from_being_cancelled(place: &Place) {
    for refused in [false, true] {
        let store = place.open().await;
        let id = store.submit(&many(3), None, None).await.unwrap().id;
        let leases = [work(&store, "c1").await, work(&store, "c2").await];
        let writer = turn(&store).await;
        let first = entries(&store, &writer).await[0].id;
        store.merge_testing(&writer, first, "m1").await.unwrap();
        let record = GateRecord { sha: "m1".to_owned(), passed: true, detail: String::new() };
        store.record_gates(&writer, &record).await.unwrap();
        store.merge_landing(&writer, first, "m1").await.unwrap();
        let ejected = store.eject_merge(first, "no").await.unwrap_err();
        assert!(ejected.message.contains("being pushed"), "{ejected}");
        let cancelled = store.cancel_task(leases[0].task, None).await.unwrap_err();
        assert_eq!(cancelled.kind, StoreErrorKind::Conflict);
        assert!(cancelled.message.contains("being pushed"), "{cancelled}");

        assert_eq!(store.cancel_graph(id, None).await.unwrap().state, GraphState::Running);
        assert_eq!(state(&store, leases[1]).await, TaskState::Cancelled);
        assert_eq!(claim(&store, "w").await, None, "the third one is as well");
        if refused {
            store.merge_refused(&writer, first).await.unwrap();
            assert_eq!(store.cancel_graph(id, None).await.unwrap().state, GraphState::Cancelled);
            assert_eq!(state(&store, leases[0]).await, TaskState::Cancelled);
        } else {
            store.merge_landed(&writer, first, "m1").await.unwrap();
            assert_eq!(state(&store, leases[0]).await, TaskState::Done);
            assert_eq!(store.graph(id).await.unwrap().state, GraphState::Cancelled);
        }
        store.release_merges(&writer).await.unwrap();
        invariants::hold(place).await;
    }
}

/// All merge queues of a project use one repository at a time.
pub(crate) async fn a_running_project_keeps_its_repository(place: &Place) {
    let store = place.open().await;
    let first = store.submit(&many(1), None, None).await.unwrap().id;
    let mut other = many(1);
    other.repository = Some("https://me:secret@example.org/other.git".to_owned());
    let refused = store.submit(&other, None, None).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Conflict);
    for part in ["https://example.org/shop.git", "https://example.org/other.git", "`work`"] {
        assert!(refused.message.contains(part), "{refused}");
    }
    assert!(!refused.message.contains("secret"), "{refused}");
    assert_eq!(store.branches().await.unwrap().len(), 0);
    // The same repository, none, and another project's are allowed.
    store.submit(&many(1), None, None).await.unwrap();
    store
        .submit(&greenloop_hub_api::graph::TaskGraph { repository: None, ..many(1) }, None, None)
        .await
        .unwrap();
    let elsewhere =
        greenloop_hub_api::graph::TaskGraph { project: "else".to_owned(), ..other.clone() };
    store.submit(&elsewhere, None, None).await.unwrap();
    assert_eq!(store.graph(first).await.unwrap().state, GraphState::Running);
    // When they have ended, the project may change its repository.
    for graph in store.graphs(PageRequest::first(50)).await.unwrap().items {
        store.cancel_graph(graph.id, None).await.unwrap();
    }
    store.submit(&other, None, None).await.unwrap();
    work(&store, "c1").await;
    let turn = store.claim_merges("h", LEASE).await.unwrap().unwrap();
    assert_eq!(Some(turn.repository), other.repository);
    invariants::hold(place).await;
}

/// A database of the first version gets the new tables and keeps its data.
pub(crate) async fn a_database_of_the_first_version_is_brought_up_to_date(place: &Place) {
    let store = place.open().await;
    let id = store.submit(&many(2), None, None).await.unwrap().id;
    work(&store, "c1").await;
    drop(store);
    place
        .meddle(
            "DROP TABLE merge_holds; DROP TABLE merge_rewinds; DROP TABLE tip_passes; \
             DROP TABLE merge_conflicts; ALTER TABLE merge_targets DROP COLUMN tip; \
             DELETE FROM schema_versions WHERE version IN (2, 5)",
        )
        .await;
    let store = place.open().await;
    let writer = turn(&store).await;
    let entry = entries(&store, &writer).await[0].id;
    land(&store, &writer, entry, "m1").await;
    assert_eq!(store.target_record(&writer).await.unwrap().tip.as_deref(), Some("m1"));
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Running);
    invariants::hold(place).await;
}
