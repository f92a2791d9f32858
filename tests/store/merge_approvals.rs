//! Merges that a person has to approve: nothing lands without, and whatever ends the wait ends the
//! request.

use std::time::Duration;

use greenloop_hub::store::{
    ApprovalFilter, GateRecord, MergeFilter, MergeQuestion, Operator, OperatorCommand, PageRequest,
    QueueLease, StoreErrorKind, StoreOptions, SweepOptions, TaskStore,
};
use greenloop_hub_api::types::{Approval, Merge};
use greenloop_model::ApprovalState;
use greenloop_model::task::{MergeId, MergeState, TaskState};

use crate::place::{Place, options};
use crate::work::{claim, committed, kind, many};

const LEASE: Duration = Duration::from_secs(60);

pub(crate) fn person(name: &str) -> Operator {
    Operator {
        token: format!("token-{name}"),
        agent: None,
        name: name.to_owned(),
        reason: "looked at it".to_owned(),
    }
}

async fn turn(store: &TaskStore) -> QueueLease {
    store.claim_merges("h1", LEASE).await.unwrap().unwrap()
}

/// Tests the first entry that is there, and asks a person about it.
async fn ask(store: &TaskStore, lease: &QueueLease, sha: &str) -> MergeId {
    let entry = store.next_merges(lease, 10).await.unwrap().remove(0);
    assert!(entry.wants_approval);
    store.merge_testing(lease, entry.id, sha).await.unwrap();
    let record = GateRecord { sha: sha.to_owned(), passed: true, detail: "all".to_owned() };
    store.record_gates(lease, &record).await.unwrap();
    // Passed, and yet not to be pushed.
    let early = store.merge_landing(lease, entry.id, sha).await;
    assert_eq!(kind(early), StoreErrorKind::Conflict);
    let question = MergeQuestion {
        staged: sha.to_owned(),
        base_tree: "b".repeat(40),
        new_tree: "a".repeat(40),
        diff: "diff --git a/x b/x".to_owned(),
        evidence: "passed".to_owned(),
    };
    store.ask_for_approval(lease, entry.id, &question).await.unwrap();
    entry.id
}

/// The task is done with a commit.
async fn hand_in(store: &TaskStore, commit: &str) {
    let lease = claim(store, "w1").await.unwrap().lease();
    store.complete_task(lease, &committed(commit), None, Some("token-w1")).await.unwrap();
}

pub(crate) async fn requests(store: &TaskStore) -> Vec<Approval> {
    let page = PageRequest::first(100);
    store.approvals(&ApprovalFilter::default(), page).await.unwrap().items
}

pub(crate) async fn entries(store: &TaskStore) -> Vec<Merge> {
    store.merges(&MergeFilter::default(), PageRequest::first(100)).await.unwrap().items
}

pub(crate) async fn act(store: &TaskStore, command: OperatorCommand) {
    store.act(&command, &person("alice"), None).await.unwrap();
}

pub(crate) fn approve(id: i64) -> OperatorCommand {
    OperatorCommand::Approve { id, scope: None }
}

/// A graph whose merges want a person.
async fn submit(store: &TaskStore, tasks: usize) {
    let mut spec = many(tasks);
    spec.merge_approval = true;
    store.submit(&spec, None, None).await.unwrap();
}

/// The queue goes on without what waits; a decision, a removal and a new commit are what they are.
pub(crate) async fn a_merge_waits_for_its_own_decision(place: &Place) {
    let store = place.open().await;
    submit(&store, 2).await;
    hand_in(&store, "c1").await;
    hand_in(&store, "c2").await;
    let lease = turn(&store).await;
    let first = ask(&store, &lease, "m1").await;
    // The other one is next.
    let second = ask(&store, &lease, "m2").await;
    assert_ne!(first, second);
    assert_eq!(store.next_merges(&lease, 10).await.unwrap(), []);
    store.release_merges(&lease).await.unwrap();
    assert_eq!(store.claim_merges("h1", LEASE).await.unwrap(), None, "only people can go on");
    let asked = requests(&store).await;
    assert_eq!(
        asked.iter().map(|it| (it.merge, it.requested_by.as_deref())).collect::<Vec<_>>(),
        [(Some(second), Some("w1")), (Some(first), Some("w1"))]
    );

    // Whoever handed it in does not approve it.
    let own = Operator { token: "token-w1".to_owned(), ..person("w1") };
    let refused = store.act(&approve(asked[1].id), &own, None).await;
    assert_eq!(kind(refused), StoreErrorKind::Forbidden);
    let bound = Operator { agent: Some("w1".to_owned()), ..person("else") };
    let refused = store.act(&approve(asked[1].id), &bound, None).await;
    assert_eq!(kind(refused), StoreErrorKind::Forbidden);

    // Thrown out and put back, it is asked about again.
    act(&store, OperatorCommand::EjectMerge { id: first }).await;
    assert_eq!(requests(&store).await[1].state, ApprovalState::Withdrawn);
    act(&store, OperatorCommand::RequeueMerge { id: first }).await;
    let lease = turn(&store).await;
    assert_eq!(ask(&store, &lease, "m3").await, first);
    let asked = requests(&store).await;
    assert_eq!(asked.len(), 3);

    act(&store, approve(asked[0].id)).await;
    let entry = store.next_merges(&lease, 10).await.unwrap().remove(0);
    assert_eq!((entry.id, entry.wants_approval), (first, false));
    store.merge_testing(&lease, first, "m4").await.unwrap();
    let record = GateRecord { sha: "m4".to_owned(), passed: true, detail: String::new() };
    store.record_gates(&lease, &record).await.unwrap();
    store.merge_landing(&lease, first, "m4").await.unwrap();
    store.merge_landed(&lease, first, "m4").await.unwrap();

    // The other one is rejected: its task is done again, and hears why.
    let no = Operator { reason: "use tabs".to_owned(), ..person("bob") };
    let reject = OperatorCommand::Reject { id: asked[1].id, scope: None };
    store.act(&reject, &no, None).await.unwrap();
    assert_eq!(entries(&store).await[0].state, MergeState::Ejected);
    let again = claim(&store, "w2").await.unwrap();
    assert_eq!(again.previous.as_deref(), Some("its merge was rejected by bob: use tabs"));
    store.complete(again.lease(), &committed("c3"), None).await.unwrap();
    ask(&store, &lease, "m5").await;
    let asked = requests(&store).await;
    assert_eq!(asked[0].commit.as_deref(), Some("c3"));
    assert_ne!(asked[0].scope, asked[2].scope, "another commit is another request");

    // With its task, its request is over.
    let task = asked[0].task.unwrap();
    act(&store, OperatorCommand::CancelTask { task }).await;
    assert_eq!(requests(&store).await[0].state, ApprovalState::Withdrawn);
}

/// An approval is for all that comes with its commit, and an entry that is put back needs another.
pub(crate) async fn an_approval_is_given_once_and_waived_with_the_merge(place: &Place) {
    let store = place.open().await;
    submit(&store, 1).await;
    hand_in(&store, "c1").await;
    let lease = turn(&store).await;
    let id = ask(&store, &lease, "m1").await;
    act(&store, approve(requests(&store).await[0].id)).await;
    assert!(!store.want_approval(&lease, id).await.unwrap(), "it was given");
    assert!(!store.next_merges(&lease, 1).await.unwrap()[0].wants_approval);
    act(&store, OperatorCommand::EjectMerge { id }).await;
    act(&store, OperatorCommand::RequeueMerge { id }).await;
    assert!(store.want_approval(&lease, id).await.unwrap());

    // The target has it already: only with a passing record, and only then is nobody asked.
    let wants = async || store.next_merges(&lease, 1).await.unwrap()[0].wants_approval;
    store.merge_testing(&lease, id, "t1").await.unwrap();
    let failed = store.merge_found(&lease, id, "t1").await;
    assert_eq!(kind(failed), StoreErrorKind::Conflict);
    assert!(wants().await);
    assert_eq!(store.next_merges(&lease, 1).await.unwrap()[0].landing, None);
    let record = GateRecord { sha: "t1".to_owned(), passed: true, detail: String::new() };
    store.record_gates(&lease, &record).await.unwrap();
    store.merge_found(&lease, id, "t1").await.unwrap();
    assert_eq!(entries(&store).await[0].state, MergeState::Merged);
    // Taken back from the target, it is asked about before it returns.
    store.follow_rewind(&lease, &[id], &["t1".to_owned()], Some("t0")).await.unwrap();
    act(&store, OperatorCommand::RequeueMerge { id }).await;
    assert!(wants().await);
}

/// What nobody approved is known to all queues of a project, and any decision lets them go on.
pub(crate) async fn unapproved_work_is_known_to_other_targets(place: &Place) {
    let store = place.open().await;
    submit(&store, 2).await;
    hand_in(&store, "c1").await;
    hand_in(&store, "c2").await;
    let mut other = many(1);
    other.target = "release".to_owned();
    store.submit(&other, None, None).await.unwrap();
    hand_in(&store, "c3").await;
    let main = turn(&store).await;
    let first = ask(&store, &main, "m1").await;
    let second = ask(&store, &main, "m2").await;
    let release = turn(&store).await;
    assert_eq!(release.target, "release");
    let list = store.unapproved_merges(&release).await.unwrap();
    let list: Vec<_> = list.iter().map(|it| (it.commit.as_str(), it.open)).collect();
    assert_eq!(list, [("c2", true), ("c1", true)]);

    let [of_second, of_first] = requests(&store).await.try_into().unwrap();
    let reject = OperatorCommand::Reject { id: of_second.id, scope: None };
    let cancel = OperatorCommand::CancelTask { task: of_first.task.unwrap() };
    let mut lease = release;
    for (decision, expect) in
        [(reject, vec![("c1", true), ("c2", false)]), (cancel, vec![("c2", false), ("c1", false)])]
    {
        store.rest_merges(&lease, LEASE, Some("a decision")).await.unwrap();
        assert_eq!(store.claim_merges("h1", LEASE).await.unwrap(), None);
        act(&store, decision).await;
        lease = turn(&store).await;
        assert_eq!(lease.target, "release");
        let list = store.unapproved_merges(&lease).await.unwrap();
        let list: Vec<_> = list.iter().map(|it| (it.commit.as_str(), it.open)).collect();
        assert_eq!(list, expect);
    }
    assert_eq!(
        [first, second].map(|id| id.0),
        [of_first.merge, of_second.merge].map(|it| it.unwrap().0)
    );
}

/// An expired request leaves the merge to a person.
pub(crate) async fn a_merge_that_nobody_decides_on_expires(place: &Place) {
    let options = StoreOptions { merge_approval: Duration::ZERO, ..options() };
    let store = TaskStore::open(&place.url, options).await.unwrap();
    submit(&store, 1).await;
    hand_in(&store, "c1").await;
    let lease = turn(&store).await;
    ask(&store, &lease, "m1").await;
    store.sweep(&SweepOptions::default()).await.unwrap();
    let request = requests(&store).await.remove(0);
    assert_eq!(request.state, ApprovalState::Expired);
    assert_eq!(entries(&store).await[0].state, MergeState::Ejected);
    let task = store.task(request.task.unwrap()).await.unwrap();
    assert_eq!(task.state, TaskState::Blocked);
    assert!(task.reason.unwrap().contains("nobody decided in time"));
}
