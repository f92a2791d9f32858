//! Workers that are unfit, leave, are removed or expire; tasks that no worker can do.

use std::time::Duration;

use greenloop_hub::store::{Retention, StoreErrorKind, StoreOptions, SweepOptions, TaskStore};
use greenloop_hub_api::types::{AgentHeartbeat, AttemptFailure, ClaimRequest, Completion};
use greenloop_model::task::{AgentState, AttemptState, TaskEventKind, TaskState};

use crate::place::{Place, options};
use crate::work::{
    agent, attempts, beat, claim, claim_key, complete, events, failure, ids, kind, many,
};

const FULL: &str = "the disk of /w is full";

/// Returned by a worker that is unfit from then on.
fn given_back() -> AttemptFailure {
    AttemptFailure {
        class: "infrastructure".to_owned(),
        message: FULL.to_owned(),
        uncounted: true,
        quarantine: Some(FULL.to_owned()),
        ..failure(false)
    }
}

async fn told(store: &TaskStore, kind: TaskEventKind) -> usize {
    events(store).await.into_iter().filter(|it| *it == kind).count()
}

/// A fault of the worker's machine does not count against the task, and the worker gets no tasks
/// until it reports that it is fit.
pub(crate) async fn an_unfit_worker_gives_back_and_gets_nothing(place: &Place) {
    let store = place.open().await;
    let mut spec = many(2);
    for task in &mut spec.tasks {
        task.max_attempts = 1;
    }
    let graph = store.submit(&spec, None, None).await.unwrap().id;
    store.agent_heartbeat(&beat("sick")).await.unwrap();
    let first = claim(&store, "sick").await.unwrap();
    let state = store.fail(first.lease(), &given_back(), Some("k")).await.unwrap();
    assert_eq!(state, TaskState::Ready);
    assert_eq!(store.fail(first.lease(), &given_back(), Some("k")).await.unwrap(), state);
    let task = store.task(first.task.id).await.unwrap();
    assert_eq!((task.attempts, task.epoch, task.reason), (0, 1, None));
    let attempt = &attempts(&store, task.id).await[0];
    assert_eq!(attempt.state, AttemptState::Returned);
    assert_eq!(attempt.message.as_deref(), Some(FULL));

    let view = store.agent("sick").await.unwrap();
    assert_eq!((view.state, view.quarantine.as_deref()), (AgentState::Quarantined, Some(FULL)));
    let since = view.quarantined_since.unwrap();
    assert_eq!(view.failed, 0, "the task's trouble is not the worker's failure");
    assert_eq!(claim_key(&store, "sick").await, None);
    // It reports this until it is fit; the start time does not change.
    let ill = AgentHeartbeat { quarantine: Some("still full".to_owned()), ..beat("sick") };
    store.agent_heartbeat(&ill).await.unwrap();
    let view = store.agent("sick").await.unwrap();
    assert_eq!(
        (view.quarantined_since, view.quarantine.unwrap()),
        (Some(since), "still full".into())
    );
    assert_eq!(claim_key(&store, "sick").await, None);
    assert_eq!(told(&store, TaskEventKind::AgentQuarantined).await, 1);

    // Another worker gets the returned task, with its one attempt.
    let again = store.claim(&agent("well"), None).await.unwrap().unwrap();
    assert_eq!((again.task.id, again.epoch, &again.previous), (task.id, 2, &None));
    complete(&store, again.lease()).await;
    store.agent_heartbeat(&beat("sick")).await.unwrap();
    assert_eq!(store.agent("sick").await.unwrap().state, AgentState::Idle);
    assert!(claim_key(&store, "sick").await.is_some());
    assert_eq!(store.graph(graph).await.unwrap().tasks[&TaskState::Done], 1);

    // A restart of the worker is different.
    store.agent_heartbeat(&ill).await.unwrap();
    let again = AgentHeartbeat { instance: "2".to_owned(), ..ill };
    store.agent_heartbeat(&again).await.unwrap();
    assert!(store.agent("sick").await.unwrap().quarantined_since.unwrap() > since);
}

/// A task that all workers return is blocked, and a person can retry it.
pub(crate) async fn a_task_that_everybody_gives_back_waits_for_a_person(place: &Place) {
    let options = StoreOptions { max_returns: 4, ..options() };
    let store = TaskStore::open(&place.url, options).await.unwrap();
    let graph = store.submit(&many(1), None, None).await.unwrap().id;
    let id = ids(&store, graph).await[0];
    for nth in 1..=4 {
        let claimed = claim(&store, &format!("w{nth}")).await.unwrap();
        let state = store.fail(claimed.lease(), &given_back(), None).await.unwrap();
        let expect = if nth == 4 { TaskState::Blocked } else { TaskState::Ready };
        assert_eq!(state, expect, "{nth}");
    }
    let task = store.task(id).await.unwrap();
    let reason = task.reason.unwrap();
    assert!(reason.contains("returned 4 times") && reason.contains(FULL), "{reason}");
    assert_eq!((task.attempts, task.epoch), (0, 4));
    assert_eq!(told(&store, TaskEventKind::TaskBlocked).await, 1);
    assert_eq!(claim_key(&store, "w9").await, None);
    store.retry_task(id, None).await.unwrap();
    let claimed = claim(&store, "w9").await.unwrap();
    assert_eq!(store.fail(claimed.lease(), &given_back(), None).await.unwrap(), TaskState::Ready);
    // Workers that stop say nothing of the task, however many they are.
    let stops = AttemptFailure { quarantine: None, ..given_back() };
    for nth in 0..9 {
        let claimed = claim(&store, &format!("s{nth}")).await.unwrap();
        assert_eq!(store.fail(claimed.lease(), &stops, None).await.unwrap(), TaskState::Ready);
    }
    // An attempt that counts resets the count of returns.
    for round in 0..2 {
        for nth in 0..3 {
            let claimed = claim(&store, &format!("r{round}-{nth}")).await.unwrap();
            let failure = if nth == 2 { failure(true) } else { given_back() };
            let state = store.fail(claimed.lease(), &failure, None).await.unwrap();
            assert_eq!(state, TaskState::Ready, "{round} {nth}");
        }
    }
}

/// A repository out of a worker's reach: the worker gets no task in it, another one does, and tasks
/// that no worker reaches are named.
pub(crate) async fn a_repository_out_of_reach_is_left_to_others(place: &Place) {
    const AWAY: &str = "https://me:secret@example.org/away.git";
    let options = StoreOptions { max_returns: 2, ..options() };
    let store = TaskStore::open(&place.url, options).await.unwrap();
    let mut away = many(1);
    away.project = "away".to_owned();
    away.repository = Some(AWAY.to_owned());
    away.tasks[0].priority = 0;
    let graph = store.submit(&away, None, None).await.unwrap().id;
    store.submit(&many(1), None, None).await.unwrap();
    let id = ids(&store, graph).await[0];
    let blind = |name: &str| ClaimRequest { unreachable: vec![AWAY.to_owned()], ..agent(name) };
    for name in ["a", "b"] {
        store.agent_heartbeat(&beat(name)).await.unwrap();
    }
    let claimed = claim(&store, "a").await.unwrap();
    assert_eq!(claimed.task.id, id, "it is the most urgent one");
    let missed = AttemptFailure { quarantine: None, unreachable: true, ..given_back() };
    assert_eq!(store.fail(claimed.lease(), &missed, None).await.unwrap(), TaskState::Ready);
    let state = store.agent("a").await.unwrap().state;
    assert_eq!(state, AgentState::Idle, "the machine is not at fault");
    // The other one's turn, and what is elsewhere is claimed.
    assert_ne!(store.claim(&blind("a"), None).await.unwrap().unwrap().task.id, id);
    assert_eq!(store.claim(&blind("a"), None).await.unwrap(), None);
    let deaf = AgentHeartbeat { unreachable: vec![AWAY.to_owned()], ..beat("a") };
    store.agent_heartbeat(&deaf).await.unwrap();
    assert_eq!(store.unserved(Some(graph)).await.unwrap(), [], "b reaches it");
    let deaf = AgentHeartbeat { name: "b".to_owned(), ..deaf };
    store.agent_heartbeat(&deaf).await.unwrap();
    let unserved = store.unserved(Some(graph)).await.unwrap();
    assert_eq!(unserved.len(), 1, "{unserved:?}");
    assert_eq!(unserved[0].repository.as_deref(), Some("https://example.org/away.git"));
    assert_eq!(unserved[0].tasks[0].id, id);
    // Nobody else is left: whoever reaches it again has it, and it does not go round for ever.
    let claimed = claim(&store, "a").await.unwrap();
    assert_eq!(store.fail(claimed.lease(), &missed, None).await.unwrap(), TaskState::Blocked);
    crate::invariants::hold(place).await;
}

/// The longer of the two periods counts: the hub's, and the one that a worker sends.
pub(crate) async fn a_worker_that_says_less_often_is_not_down(place: &Place) {
    let options = StoreOptions { heartbeat: Duration::from_secs(5), ..options() };
    let store = TaskStore::open(&place.url, options).await.unwrap();
    for (name, period) in [("quick", Some(1)), ("slow", Some(30)), ("old", None)] {
        store
            .agent_heartbeat(&AgentHeartbeat { period_seconds: period, ..beat(name) })
            .await
            .unwrap();
    }
    place.meddle("UPDATE agents SET heartbeat_at = heartbeat_at - 20000000").await;
    let down = store.sweep(&SweepOptions::default()).await.unwrap().down;
    assert_eq!(down, ["old", "quick"], "three of the hub's own periods are over");
    assert_eq!(store.agent("slow").await.unwrap().state, AgentState::Idle);
    // It counts as one who may do what another has tried.
    store.submit(&many(1), None, None).await.unwrap();
    let claimed = claim(&store, "quick").await.unwrap();
    store.fail(claimed.lease(), &failure(true), None).await.unwrap();
    assert_eq!(claim_key(&store, "quick").await, None);
    assert!(claim_key(&store, "slow").await.is_some());
}

/// A stopped worker raises no alert; a dead one does, until it expires; both expire.
pub(crate) async fn workers_leave_and_are_forgotten(place: &Place) {
    let store = place.open().await;
    store.submit(&many(3), None, None).await.unwrap();
    for name in ["left", "died", "busy", "barred"] {
        store.agent_heartbeat(&beat(name)).await.unwrap();
    }
    let held = claim(&store, "busy").await.unwrap();
    store.deactivate_agent("barred", None).await.unwrap();
    // The sign-off of an earlier start does not affect this one.
    store.agent_leaves("left", "0").await.unwrap();
    assert_eq!(store.agent("left").await.unwrap().state, AgentState::Idle);
    assert_eq!(kind(store.remove_agent("left").await), StoreErrorKind::Conflict);
    store.agent_leaves("left", "1").await.unwrap();
    store.agent_leaves("left", "1").await.unwrap();
    store.agent_leaves("nobody", "1").await.unwrap();
    assert_eq!(store.agent("left").await.unwrap().state, AgentState::Left);
    assert_eq!(told(&store, TaskEventKind::AgentLeft).await, 1);

    place.meddle("UPDATE agents SET heartbeat_at = heartbeat_at - 3600000000").await;
    let down = store.sweep(&SweepOptions::default()).await.unwrap().down;
    assert_eq!(down, ["barred", "busy", "died"], "who left is not missed");
    // A lease is never removed during an attempt.
    assert_eq!(kind(store.remove_agent("busy").await), StoreErrorKind::Conflict);
    assert_eq!(kind(store.remove_agent("nobody").await), StoreErrorKind::NotFound);

    let keep = Retention { agents: Some(Duration::from_secs(7200)), ..Retention::default() };
    assert_eq!(store.purge(&keep).await.unwrap(), None, "not yet");
    let keep = Retention { agents: Some(Duration::from_secs(1800)), ..keep };
    let purged = store.purge(&keep).await.unwrap().unwrap();
    assert_eq!((purged.table, purged.rows), ("agents", 2));
    assert_eq!(store.purge(&keep).await.unwrap(), None);
    let names = async || {
        let agents = store.agents().await.unwrap();
        agents.into_iter().map(|it| it.name).collect::<Vec<_>>()
    };
    // A deactivated worker is still deactivated when it returns.
    assert_eq!(names().await, ["barred", "busy"]);
    assert_eq!(told(&store, TaskEventKind::AgentRemoved).await, 2);

    store.complete(held.lease(), &Completion::default(), None).await.unwrap();
    store.remove_agent("busy").await.unwrap();
    store.remove_agent("barred").await.unwrap();
    assert_eq!(names().await, [""; 0]);
    // Names can be reused.
    store.agent_heartbeat(&beat("busy")).await.unwrap();
    let view = store.agent("busy").await.unwrap();
    assert_eq!((view.state, view.succeeded), (AgentState::Idle, 1));
}

/// Roles and labels that no live, fit and non-draining worker has.
pub(crate) async fn tasks_that_nobody_can_do_are_named(place: &Place) {
    let store = place.open().await;
    let mut spec = many(6);
    spec.tasks[1].role = Some("gpu".to_owned());
    spec.tasks[2].role = Some("gpu".to_owned());
    spec.tasks[2].needs = vec![1];
    spec.tasks[3].labels = vec!["azure".to_owned(), "big".to_owned()];
    spec.tasks[4].role = Some("docs".to_owned());
    spec.tasks[4].labels = vec!["big".to_owned()];
    spec.tasks[5].done = true;
    let graph = store.submit(&spec, None, None).await.unwrap().id;
    let other = store.submit(&many(1), None, None).await.unwrap().id;
    let named = async |graph| {
        let found = store.unserved(graph).await.unwrap();
        let mut found: Vec<String> = found
            .into_iter()
            .map(|it| {
                let keys: Vec<_> = it.tasks.iter().map(|task| task.key.as_str()).collect();
                assert_eq!(it.count, keys.len() as u64);
                format!(
                    "{}/{}: {}",
                    it.role.unwrap_or_default(),
                    it.labels.join("+"),
                    keys.join(",")
                )
            })
            .collect();
        found.sort();
        found
    };
    let all = ["/: 0", "/azure+big: 3", "docs/big: 4", "gpu/: 1,2"];
    assert_eq!(named(Some(graph)).await, all);
    assert_eq!(named(None).await[0], "/: 0,0");

    let strong = AgentHeartbeat {
        roles: vec!["docs".to_owned()],
        labels: vec!["big".to_owned(), "azure".to_owned()],
        ..beat("strong")
    };
    store.agent_heartbeat(&strong).await.unwrap();
    assert_eq!(named(Some(graph)).await, ["gpu/: 1,2"]);
    assert_eq!(named(Some(other)).await, [""; 0]);
    let gpu = AgentHeartbeat { roles: vec!["gpu".to_owned()], ..beat("gpu") };
    store.agent_heartbeat(&gpu).await.unwrap();
    assert_eq!(named(None).await, [""; 0]);

    // Workers that are unfit, draining, deactivated, stopped or dead do not count.
    let nobody = ["gpu/: 1,2"];
    let ill = AgentHeartbeat { quarantine: Some(FULL.to_owned()), ..gpu.clone() };
    for beat in [&ill, &AgentHeartbeat { draining: true, ..gpu.clone() }] {
        store.agent_heartbeat(beat).await.unwrap();
        assert_eq!(named(Some(graph)).await, nobody, "{beat:?}");
    }
    store.agent_heartbeat(&gpu).await.unwrap();
    store.deactivate_agent("gpu", None).await.unwrap();
    assert_eq!(named(Some(graph)).await, nobody);
    store.activate_agent("gpu", None).await.unwrap();
    assert_eq!(named(Some(graph)).await, [""; 0]);
    store.agent_leaves("gpu", "1").await.unwrap();
    assert_eq!(named(Some(graph)).await, nobody);
    store.agent_heartbeat(&gpu).await.unwrap();
    place.meddle("UPDATE agents SET heartbeat_at = 1 WHERE name = 'gpu'").await;
    assert_eq!(named(Some(graph)).await, nobody);
    store.cancel_graph(graph, None).await.unwrap();
    assert_eq!(named(None).await, [""; 0]);
}
