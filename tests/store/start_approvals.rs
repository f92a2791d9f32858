//! Tasks whose start a person has to approve: nothing starts otherwise, whichever way it opens again.

use greenloop_hub::store::{Operator, OperatorCommand, StoreErrorKind, TaskStore};
use greenloop_hub_api::types::{Approval, ApprovalSubmission, Resolution, TaskEdit};
use greenloop_model::task::{GraphId, TaskId, TaskState};
use greenloop_model::{ApprovalState, ApprovalSubject};

use crate::merge_approvals::{act, approve, entries, person, requests};
use crate::place::Place;
use crate::work::{claim, claim_key, complete, ids, kind, many};

/// A graph of alice, of which the second task wants an approval and needs the first.
async fn submit(store: &TaskStore) -> (GraphId, TaskId, TaskId) {
    let mut spec = many(2);
    spec.tasks[1].submission.approval = true;
    spec.tasks[1].needs = vec![0];
    let graph = store.submit_with(&spec, None, None, "token-alice").await.unwrap().id;
    let tasks = ids(store, graph).await;
    (graph, tasks[0], tasks[1])
}

async fn state(store: &TaskStore, task: TaskId) -> TaskState {
    store.task(task).await.unwrap().state
}

/// The latest request.
async fn latest(store: &TaskStore) -> Approval {
    requests(store).await.remove(0)
}

/// It is blocked, and this many requests were made by now, of which the last is pending.
async fn waits(store: &TaskStore, task: TaskId, asked: usize) {
    assert_eq!(state(store, task).await, TaskState::Blocked);
    let requests = requests(store).await;
    assert_eq!(requests.len(), asked);
    assert_eq!(requests[0].state, ApprovalState::Pending);
    let pending = requests.iter().filter(|it| it.state == ApprovalState::Pending);
    assert_eq!(pending.count(), 1);
}

pub(crate) async fn a_task_that_opens_again_starts_only_if_that_was_approved(place: &Place) {
    let store = place.open().await;
    let (graph, first, task) = submit(&store).await;
    waits(&store, task, 1).await;
    // With what it needs.
    act(&store, OperatorCommand::CancelGraph { graph }).await;
    act(&store, OperatorCommand::RetryTask { task: first, dependants: true }).await;
    waits(&store, task, 2).await;
    let lease = claim(&store, "w1").await.unwrap().lease();
    complete(&store, lease).await;
    assert_eq!(claim_key(&store, "w1").await, None);
    // With its graph, after somebody took it over.
    act(&store, OperatorCommand::TakeOverTask { task }).await;
    assert_eq!(latest(&store).await.state, ApprovalState::Withdrawn);
    act(&store, OperatorCommand::RetryGraph { graph }).await;
    waits(&store, task, 3).await;
    // After a no.
    let reject = OperatorCommand::Reject { id: latest(&store).await.id, scope: None };
    act(&store, reject).await;
    assert_eq!(state(&store, task).await, TaskState::Cancelled);
    let retry = OperatorCommand::RetryTask { task, dependants: false };
    let bob = person("bob");
    store.act(&retry, &bob, None).await.unwrap();
    waits(&store, task, 4).await;
    // After what a person has done for it was thrown out, put back and thrown out again.
    let resolution = Resolution {
        commit: "c1".to_owned(),
        branch: Some("by-hand".to_owned()),
        reason: String::new(),
    };
    let resolve = OperatorCommand::ResolveTask { task, resolution };
    store.act(&resolve, &bob, None).await.unwrap();
    let lease = store.claim_merges("h1", std::time::Duration::from_secs(60)).await;
    let lease = lease.unwrap().unwrap();
    let id = entries(&store).await[0].id;
    store.merge_ejected(&lease, id, "its gates failed", true).await.unwrap();
    waits(&store, task, 5).await;
    act(&store, OperatorCommand::RequeueMerge { id }).await;
    assert_eq!(latest(&store).await.state, ApprovalState::Withdrawn);
    store.merge_ejected(&lease, id, "its gates failed", true).await.unwrap();
    waits(&store, task, 6).await;
    assert_eq!(claim_key(&store, "w1").await, None);

    store.act(&retry, &bob, None).await.unwrap();
    assert_eq!(latest(&store).await.state, ApprovalState::Approved);
    assert_eq!(claim_key(&store, "w1").await.as_deref(), Some("1"));
}

pub(crate) async fn what_is_changed_is_approved_anew_and_by_somebody_else(place: &Place) {
    let store = place.open().await;
    let (_graph, first, task) = submit(&store).await;
    let edit = async |who: &str, edit: TaskEdit| {
        store.act(&OperatorCommand::EditTask { task, edit }, &person(who), None).await.unwrap();
    };
    let text = |text: &str| TaskEdit { description: Some(text.to_owned()), ..TaskEdit::default() };
    let decide = async |who: &str| {
        store.act(&approve(latest(&store).await.id), &person(who), None).await.map(|_| ())
    };
    let lease = claim(&store, "w1").await.unwrap().lease();
    assert_eq!(lease.task, first);
    complete(&store, lease).await;
    decide("bob").await.unwrap();
    assert_eq!(state(&store, task).await, TaskState::Ready);
    // What it does is the same.
    edit("carol", TaskEdit { priority: Some(7), ..TaskEdit::default() }).await;
    edit("carol", text("")).await;
    assert_eq!(state(&store, task).await, TaskState::Ready);
    assert_eq!(requests(&store).await.len(), 1);
    // A long text, and its very end.
    let long = "x".repeat(5_000);
    edit("carol", text(&long)).await;
    waits(&store, task, 2).await;
    edit("dave", text(&format!("{long}!"))).await;
    waits(&store, task, 3).await;
    edit("dave", TaskEdit { files: Some(vec!["src/**".to_owned()]), ..TaskEdit::default() }).await;
    waits(&store, task, 4).await;
    edit("alice", TaskEdit { command: Some("echo".to_owned()), ..TaskEdit::default() }).await;
    waits(&store, task, 5).await;
    assert_eq!(claim_key(&store, "w1").await, None);
    // Whoever has requested or changed it at any time.
    for own in ["alice", "carol", "dave"] {
        assert_eq!(kind(decide(own).await), StoreErrorKind::Forbidden, "{own}");
    }
    decide("bob").await.unwrap();
    assert_eq!(state(&store, task).await, TaskState::Ready);

    // One that is over is asked about when it is tried again.
    act(&store, OperatorCommand::CancelTask { task }).await;
    edit("erin", text("else")).await;
    assert_eq!(state(&store, task).await, TaskState::Cancelled);
    let retry = OperatorCommand::RetryTask { task, dependants: false };
    let own = store.act(&retry, &person("erin"), None).await;
    assert_eq!(kind(own), StoreErrorKind::Forbidden);
    store.act(&retry, &person("bob"), None).await.unwrap();
    assert_eq!(state(&store, task).await, TaskState::Ready);
    let approved = store.approval(latest(&store).await.id).await.unwrap();
    assert!(approved.evidence.starts_with("else"), "{approved:?}");

    // Old records go, but not what a task's start depends on.
    place.meddle("UPDATE approvals SET ended_at = 1 WHERE ended_at > 0").await;
    let kept = requests(&store).await.len();
    while store.purge(&greenloop_hub::store::Retention::default()).await.unwrap().is_some() {}
    assert_eq!(requests(&store).await.len(), kept);
}

/// A run that asks again with another token still does not decide with the first one.
pub(crate) async fn whoever_asked_first_does_not_approve(place: &Place) {
    let store = place.open().await;
    let asked = ApprovalSubmission {
        run: "r1".to_owned(),
        environment: "prod".to_owned(),
        subject: ApprovalSubject::Patch,
        iteration: 1,
        commit: None,
        base_tree: "b".repeat(40),
        new_tree: "a".repeat(40),
        policy: "p".to_owned(),
        request: "apply it?".to_owned(),
        diff: String::new(),
        evidence: String::new(),
        review: String::new(),
        timeout_seconds: 600,
        lease_seconds: 600,
    };
    let id = store.request_approval(&asked, "token-alice", None).await.unwrap().id;
    for token in ["token-run", "token-run", "token-other"] {
        assert_eq!(store.request_approval(&asked, token, None).await.unwrap().id, id);
    }
    for own in ["alice", "run", "other"] {
        let refused = store.act(&approve(id), &person(own), None).await;
        assert_eq!(kind(refused), StoreErrorKind::Forbidden, "{own}");
    }
    let bob: Operator = person("bob");
    store.act(&approve(id), &bob, None).await.unwrap();
}
