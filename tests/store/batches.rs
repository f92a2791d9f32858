//! Claims and completions that are sent together, and what each of their callers is told.

use std::time::Duration;

use greenloop_hub::store::{StoreErrorKind, SweepOptions, TaskStore};
use greenloop_hub_api::types::{ClaimRequest, Claimed, Completion};
use greenloop_model::task::{GraphState, Lease, TaskId, TaskState};

use crate::invariants;
use crate::place::Place;
use crate::work::{agent, at_least, beat, claim, complete, epic, failure, graph, many, task};

/// Makes the first batch of a kind of event slow, so that others gather behind it.
async fn slow_first(place: &Place, kind: &str) {
    let sql = format!(
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NOT EXISTS (SELECT 1 FROM outbox_batches WHERE kind = NEW.kind) THEN \
         PERFORM pg_sleep(1); END IF; RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON outbox_batches FOR EACH ROW \
         WHEN (NEW.kind = '{kind}') EXECUTE FUNCTION slowly()"
    );
    place.meddle(&sql).await;
}

/// How many events each batch of a kind has, in their order.
async fn batches(place: &Place, kind: &str) -> Vec<String> {
    let door = place.back_door().await;
    let sql = format!(
        "SELECT CAST(json_array_length(CAST(events AS json)) AS TEXT) FROM outbox_batches \
         WHERE kind = '{kind}' ORDER BY seq"
    );
    let sizes = door.texts(&sql).await.unwrap();
    door.close().await;
    sizes
}

async fn claim_all(store: &TaskStore, agents: std::ops::Range<usize>) -> Vec<Claimed> {
    let names = agents.map(|n| format!("agent-{n}"));
    let claims = names.map(|name| async move { claim(store, &name).await });
    futures::future::join_all(claims).await.into_iter().flatten().collect()
}

/// While one claim is out, the others gather, and go into one statement; so do completions.
pub(crate) async fn what_gathers_goes_together(place: &Place) {
    if !place.is_postgres() {
        return;
    }
    let store = place.open().await;
    let id = store.submit(&many(60), None, None).await.unwrap().id;
    slow_first(place, "task.claimed").await;
    let (first, others) = tokio::join!(claim_all(&store, 0..1), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        claim_all(&store, 1..41).await
    });
    assert_eq!(batches(place, "task.claimed").await, ["1", "40"]);
    let claimed: Vec<Claimed> = first.into_iter().chain(others).collect();
    let mut tasks: Vec<TaskId> = claimed.iter().map(|it| it.task.id).collect();
    tasks.sort_unstable();
    tasks.dedup();
    assert_eq!(tasks.len(), 41, "each has a task of its own");
    assert!(claimed.iter().all(|it| it.task.agent.is_some() && it.repository.is_some()));

    place.meddle("DROP TRIGGER slow ON outbox_batches; DROP FUNCTION slowly").await;
    slow_first(place, "task.done").await;
    let ends = |some: &[Claimed]| {
        let leases: Vec<Lease> = some.iter().map(Claimed::lease).collect();
        let store = store.clone();
        async move {
            let done = Completion::default();
            let ends = leases.iter().map(|lease| store.complete_task(*lease, &done, None, None));
            futures::future::join_all(ends).await
        }
    };
    let (first, others) = tokio::join!(ends(&claimed[..1]), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        ends(&claimed[1..]).await
    });
    assert_eq!(batches(place, "task.done").await, ["1", "40"]);
    for (task, claimed) in first.into_iter().chain(others).zip(&claimed) {
        let task = task.unwrap();
        assert_eq!((task.id, task.state), (claimed.task.id, TaskState::Done));
        assert_eq!((task.percent, &task.agent), (100, &claimed.task.agent));
    }
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Running);
    invariants::hold(place).await;
}

/// Among completions that come at once, those that are out of date, repeated, unreadable or of a
/// task that another transaction holds are answered for themselves.
pub(crate) async fn each_is_told_its_own_answer(place: &Place) {
    let store = place.open().await;
    store.submit(&many(30), None, None).await.unwrap();
    let leases: Vec<Lease> = claim_all(&store, 0..20).await.iter().map(Claimed::lease).collect();
    assert_eq!(leases.len(), 20);
    store.complete(leases[0], &Completion::default(), Some("before")).await.unwrap();
    let stale = Lease { epoch: 9, ..leases[1] };
    let nobody = Lease { task: TaskId(4_000_000), epoch: 1 };
    let unreadable = Completion { summary: "a\0b".to_owned(), ..Completion::default() };
    let fine = Completion { summary: "fine".to_owned(), ..Completion::default() };
    let commit = Completion { commit: Some("c1".to_owned()), ..Completion::default() };
    let mut asked: Vec<(Lease, &Completion, Option<&str>)> = vec![
        (leases[0], &fine, Some("before")),
        (leases[0], &commit, Some("before")),
        (stale, &fine, None),
        (nobody, &fine, None),
        (leases[2], &commit, None),
        (leases[3], &unreadable, None),
        (leases[4], &fine, Some("twice")),
        (leases[4], &fine, Some("twice")),
        (leases[5], &fine, Some("once")),
        (leases[5], &fine, Some("another")),
    ];
    asked.extend(leases[6..].iter().map(|lease| (*lease, &fine, None)));
    let answers = futures::future::join_all(
        asked.iter().map(|(lease, completion, key)| store.complete(*lease, completion, *key)),
    )
    .await;
    let kinds: Vec<Result<TaskState, StoreErrorKind>> =
        answers.iter().map(|it| it.as_ref().map(|it| *it).map_err(|it| it.kind)).collect();
    assert_eq!(kinds[0], Ok(TaskState::Done));
    assert_eq!(kinds[1], Err(StoreErrorKind::Conflict));
    assert_eq!(kinds[2], Err(StoreErrorKind::StaleLease));
    assert_eq!(kinds[3], Err(StoreErrorKind::StaleLease));
    assert_eq!(kinds[4], Ok(TaskState::Merging));
    if place.is_postgres() {
        assert_eq!(kinds[5], Err(StoreErrorKind::Corrupt), "PostgreSQL has no such text");
    }
    assert_eq!(kinds[6..8], [Ok(TaskState::Done), Ok(TaskState::Done)]);
    let one_of_two = [Ok(TaskState::Done), Err(StoreErrorKind::StaleLease)];
    assert!(kinds[8..10].iter().all(|it| one_of_two.contains(it)) && kinds[8] != kinds[9]);
    assert!(kinds[10..].iter().all(|it| *it == Ok(TaskState::Done)), "{kinds:?}");
    invariants::hold(place).await;

    // Claims: an agent that another one's key is of, one that claimed with its key before, and one
    // that may not have what it failed at.
    let kept = store.claim(&agent("c"), Some("kept")).await.unwrap().unwrap();
    let failed = claim(&store, "a").await.unwrap().lease();
    store.agent_heartbeat(&beat("b")).await.unwrap();
    store.fail(failed, &failure(true), None).await.unwrap();
    let requests: Vec<(ClaimRequest, Option<&str>)> = vec![
        (agent("c"), Some("kept")),
        (agent("d"), Some("kept")),
        (agent("a"), None),
        (agent("b"), None),
        (agent("e"), Some("new")),
        (agent("e"), Some("new")),
    ];
    let answers =
        futures::future::join_all(requests.iter().map(|(request, key)| store.claim(request, *key)))
            .await;
    let lease = |n: usize| answers[n].as_ref().unwrap().as_ref().unwrap().lease();
    assert_eq!(lease(0), kept.lease());
    assert_eq!(answers[1].as_ref().unwrap_err().kind, StoreErrorKind::Conflict);
    assert_ne!(lease(2).task, failed.task, "it is somebody else's turn");
    assert_eq!(lease(4), lease(5), "the same key, the same claim");
    invariants::hold(place).await;
}

/// The connection is lost while a batch is on it: nobody is told that it succeeded or that it
/// failed, and whoever asks again with its key learns what became of it.
pub(crate) async fn a_connection_breaks_off_in_the_middle(place: &Place) {
    if !place.is_postgres() {
        return;
    }
    let store = place.open().await;
    let id = store.submit(&many(25), None, None).await.unwrap().id;
    let leases: Vec<Lease> = claim_all(&store, 0..20).await.iter().map(Claimed::lease).collect();
    slow_first(place, "task.done").await;
    let done = Completion::default();
    let keys: Vec<String> = (0..20).map(|n| format!("end-{n}")).collect();
    let ends = || {
        let ends = leases.iter().zip(&keys).map(|(lease, key)| {
            let (store, done) = (store.clone(), done.clone());
            async move { store.complete(*lease, &done, Some(key)).await }
        });
        futures::future::join_all(ends)
    };
    let (answers, ()) = tokio::join!(ends(), async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        place
            .meddle(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event = 'PgSleep'",
            )
            .await;
    });
    let lost = answers.iter().filter(|it| it.is_err()).count();
    assert!(lost > 0, "the first batch was lost");
    for answer in answers.into_iter().filter_map(Result::err) {
        assert_eq!(answer.kind, StoreErrorKind::Unavailable);
    }
    for answer in ends().await {
        assert_eq!(answer.unwrap(), TaskState::Done);
    }
    assert_eq!(place.count("SELECT COUNT(*) FROM tasks WHERE state = 'done'").await, 20);
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Running);
    invariants::hold(place).await;
}

/// Completions that come at once free what needs several of them, count in their epic, and meet its
/// conditions.
pub(crate) async fn what_waits_for_several_is_freed_once(place: &Place) {
    let store = place.open().await;
    for round in 0..6 {
        let mut tasks: Vec<_> = (0..12).map(|n| task(&n.to_string())).collect();
        for (n, task) in tasks.iter_mut().enumerate() {
            task.epic = (n % 2 == 0).then_some(0);
        }
        for n in 0..3 {
            let mut next = task(&format!("next-{n}"));
            next.needs = (n * 4..n * 4 + 4).collect();
            tasks.push(next);
        }
        let mut half = task("half");
        half.conditions = vec![at_least(0, 50)];
        tasks.push(half);
        let mut spec = graph(tasks);
        spec.epics = vec![epic("e")];
        let id = store.submit(&spec, None, None).await.unwrap().id;
        let first = claim_all(&store, 0..12).await;
        assert_eq!(first.len(), 12, "round {round}");
        let done = Completion::default();
        let ends = first.iter().map(|it| store.complete(it.lease(), &done, None));
        for end in futures::future::join_all(ends).await {
            assert_eq!(end.unwrap(), TaskState::Done);
        }
        let freed = claim_all(&store, 0..6).await;
        let mut keys: Vec<&str> = freed.iter().map(|it| it.task.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["half", "next-0", "next-1", "next-2"], "round {round}");
        let ends = freed.iter().map(|it| store.complete(it.lease(), &done, None));
        for end in futures::future::join_all(ends).await {
            assert_eq!(end.unwrap(), TaskState::Done);
        }
        assert_eq!(store.graph(id).await.unwrap().state, GraphState::Done, "round {round}");
        invariants::hold(place).await;
    }
}

/// No index has what changes when a task is claimed and ends: PostgreSQL changes its row in place.
pub(crate) async fn rows_are_changed_in_place(place: &Place) {
    const TASKS: i64 = 400;

    if !place.is_postgres() {
        return;
    }
    let store = place.open().await;
    store.submit(&many(usize::try_from(TASKS).unwrap()), None, None).await.unwrap();
    let workers = (0..16).map(|n| {
        let store = store.clone();
        async move {
            while let Some(claimed) = claim(&store, &format!("agent-{n}")).await {
                complete(&store, claimed.lease()).await;
            }
        }
    });
    futures::future::join_all(workers).await;
    let updates = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'tasks'";
    // Servers report now and then.
    while place.count(updates).await < 2 * TASKS {
        tokio::time::sleep(Duration::from_millis(200)).await;
        store.latest_event().await.unwrap();
    }
    let in_place =
        place.count("SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'tasks'").await;
    assert!(in_place > TASKS, "{in_place} of {} updates", 2 * TASKS);
    invariants::hold(place).await;
}

/// A task whose rest is over can be claimed before and after a sweep has noticed it.
pub(crate) async fn a_rest_ends_by_itself(place: &Place) {
    let store = place.open().await;
    store.submit(&many(2), None, None).await.unwrap();
    place.meddle("UPDATE tasks SET not_before = 9000000000000000").await;
    assert_eq!(claim(&store, "a").await, None);
    place.meddle("UPDATE tasks SET not_before = created_at").await;
    let first = claim(&store, "a").await.unwrap().lease();
    store.sweep(&SweepOptions::default()).await.unwrap();
    assert_eq!(place.count("SELECT COUNT(*) FROM task_queue WHERE not_before = 0").await, 1);
    let second = claim(&store, "b").await.unwrap().lease();
    assert_ne!(first.task, second.task);
    complete(&store, first).await;
    complete(&store, second).await;
    invariants::hold(place).await;
}
