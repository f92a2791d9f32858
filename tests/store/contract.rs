//! What both stores promise, call by call.

use std::time::Duration;

use greenloop_hub::store::{
    AttemptFilter, PageRequest, Retention, RunFilter, Scope, StoreErrorKind, SweepOptions,
    TaskFilter, TokenRequest,
};
use greenloop_hub_api::types::{AttemptHeartbeat, NewEvidence, Run, RunReport};
use greenloop_model::task::{
    AgentState, AttemptState, EvidenceKind, GraphState, Lease, TaskEventKind, TaskId, TaskState,
};

use crate::place::Place;
use crate::work::{
    agent, at_least, beat, claim, claim_key, complete, epic, events, failure, graph, ids, kind,
    many, task,
};

/// A graph of three in a row, from its submission to its end.
pub(crate) async fn a_graph_runs_to_its_end(place: &Place) {
    let store = place.open().await;
    let mut spec = many(3);
    for n in [1, 2] {
        spec.tasks[n].needs = vec![n - 1];
    }
    let submitted = store.submit(&spec, Some("run-1"), None).await.unwrap();
    assert_eq!(submitted.state, GraphState::Running);
    assert_eq!(submitted.tasks[&TaskState::Waiting], 2);
    for n in 0..3 {
        assert_eq!(store.ready(None, 10).await.unwrap().len(), 1);
        let claimed = claim(&store, "a").await.unwrap();
        assert_eq!(claimed.task.key, n.to_string());
        assert_eq!(claimed.task.state, TaskState::Running);
        assert_eq!(claimed.repository.as_deref(), Some("https://example.org/shop.git"));
        assert!(claim(&store, "b").await.is_none());
        complete(&store, claimed.lease()).await;
    }
    let ended = store.graph(submitted.id).await.unwrap();
    assert_eq!(ended.state, GraphState::Done);
    assert_eq!(ended.percent, 100.0);
    assert!(ended.ended_at.is_some());
    use TaskEventKind as Kind;
    assert_eq!(
        events(&store).await,
        [
            Kind::GraphSubmitted,
            Kind::TaskReady,
            Kind::TaskClaimed,
            Kind::TaskDone,
            Kind::TaskReady,
            Kind::TaskClaimed,
            Kind::TaskDone,
            Kind::TaskReady,
            Kind::TaskClaimed,
            Kind::TaskDone,
            Kind::GraphDone,
        ]
    );
}

/// Priority first, then the longest remaining path, then the order of the file; roles and labels.
pub(crate) async fn the_most_urgent_fitting_task_comes_first(place: &Place) {
    let store = place.open().await;
    let mut spec = many(6);
    (spec.tasks[1].priority, spec.tasks[1].rank) = (0, 1.0);
    (spec.tasks[2].priority, spec.tasks[2].rank) = (0, 9.0);
    spec.tasks[3].role = Some("backend".to_owned());
    spec.tasks[3].priority = -5;
    spec.tasks[4].labels = vec!["gpu".to_owned(), "azure".to_owned()];
    spec.tasks[4].priority = -4;
    store.submit(&spec, None, None).await.unwrap();

    let mut strong = agent("strong");
    strong.roles = vec!["frontend".to_owned(), "backend".to_owned()];
    strong.labels = vec!["azure".to_owned(), "gpu".to_owned(), "x".to_owned()];
    let mut half = agent("half");
    half.labels = vec!["gpu".to_owned()];
    let mut order = Vec::new();
    for request in [&strong, &half, &strong, &half, &strong, &half, &half] {
        order.push(store.claim(request, None).await.unwrap().map(|it| it.task.key));
    }
    let order: Vec<_> = order.iter().map(Option::as_deref).collect();
    assert_eq!(order, [Some("3"), Some("2"), Some("4"), Some("1"), Some("0"), Some("5"), None]);
}

/// Conditions on epics, and tasks that were done before they came in.
pub(crate) async fn conditions_open_at_their_percent(place: &Place) {
    let store = place.open().await;
    let mut tasks: Vec<_> = (0..6).map(|n| task(&n.to_string())).collect();
    for (one, hours) in tasks.iter_mut().zip([32.0, 48.0, 40.0, 40.0]) {
        one.epic = Some(0);
        one.hours = hours;
    }
    tasks[0].done = true;
    tasks[4].conditions = vec![at_least(0, 50)];
    tasks[5].conditions = vec![at_least(0, 20), at_least(0, 100)];
    let mut spec = graph(tasks);
    spec.epics = vec![epic("1")];
    let id = store.submit(&spec, None, None).await.unwrap().id;
    let all = ids(&store, id).await;
    // 32 of 160 hours are 20 percent.
    let met = format!("SELECT COUNT(*) FROM conditions WHERE met = 1 AND task_id = {}", all[5]);
    assert_eq!(
        (store.task(all[5]).await.unwrap().conditions.len(), place.count(&met).await),
        (2, 1)
    );

    let states = async || {
        let four = store.task(all[4]).await.unwrap().state;
        (four, store.task(all[5]).await.unwrap().state)
    };
    assert_eq!(states().await, (TaskState::Waiting, TaskState::Waiting));
    complete(&store, claim(&store, "a").await.unwrap().lease()).await;
    assert_eq!(states().await, (TaskState::Ready, TaskState::Waiting));
    let (third, fourth) = (claim(&store, "a").await.unwrap(), claim(&store, "a").await.unwrap());
    complete(&store, third.lease()).await;
    assert_eq!(states().await.1, TaskState::Waiting);
    complete(&store, fourth.lease()).await;
    assert_eq!(states().await.1, TaskState::Ready);
    let summary = store.summary(Some(id)).await.unwrap();
    assert_eq!((summary.epics[0].percent, summary.epics[0].tasks_done), (100.0, 4));
    assert_eq!((summary.tasks_last_hour, summary.hours_last_hour), (3, 128.0));
}

/// An epoch that is not the current one any more changes nothing, whatever it reports.
pub(crate) async fn a_zombie_changes_nothing(place: &Place) {
    let store = place.open().await;
    store.submit(&many(1), None, None).await.unwrap();
    let zombie = claim(&store, "a").await.unwrap().lease();
    place.meddle("UPDATE attempts SET expires_at = 1").await;
    // Nobody took notice yet: the holder comes back in time.
    store.heartbeat(zombie, &AttemptHeartbeat::default()).await.unwrap();
    place.meddle("UPDATE attempts SET expires_at = 1").await;
    let swept = store.sweep(&SweepOptions::default()).await.unwrap();
    assert_eq!(swept.lost, [zombie]);
    // The same agent, started again: nobody else is there.
    let second = claim(&store, "a").await.unwrap().lease();
    assert_eq!(second.epoch, 2);

    let evidence = NewEvidence {
        kind: EvidenceKind::Log,
        title: "log".to_owned(),
        body: String::new(),
        url: None,
    };
    let beat = AttemptHeartbeat { percent: Some(99), message: None };
    let known = async || {
        let task = store.task(zombie.task).await.unwrap();
        let attempts = crate::work::attempts(&store, zombie.task).await;
        (task, attempts, crate::work::evidence(&store, zombie.task).await)
    };
    let before = known().await;
    let all = events(&store).await.len();
    assert_eq!(kind(store.heartbeat(zombie, &beat).await), StoreErrorKind::StaleLease);
    assert_eq!(kind(store.add_evidence(zombie, &evidence, None).await), StoreErrorKind::StaleLease);
    let completion = crate::work::committed("c1");
    assert_eq!(kind(store.complete(zombie, &completion, None).await), StoreErrorKind::StaleLease);
    assert_eq!(kind(store.fail(zombie, &failure(false), None).await), StoreErrorKind::StaleLease);
    let future = Lease { epoch: 3, ..second };
    assert_eq!(kind(store.complete(future, &completion, None).await), StoreErrorKind::StaleLease);
    assert_eq!(known().await, before);
    assert_eq!(events(&store).await.len(), all);
    complete(&store, second).await;
    assert_eq!(kind(store.heartbeat(second, &beat).await), StoreErrorKind::StaleLease);
    let states: Vec<_> =
        crate::work::attempts(&store, zombie.task).await.iter().map(|it| it.state).collect();
    assert_eq!(states, [AttemptState::Lost, AttemptState::Succeeded]);
}

/// Failures are tried again up to the limit, with rests in between; permanent ones are not.
pub(crate) async fn failures_end_in_the_dead_letter(place: &Place) {
    let mut options = crate::place::options();
    options.retry_base = Duration::from_secs(100);
    options.retry_cap = Duration::from_secs(150);
    let store = greenloop_hub::store::TaskStore::open(&place.url, options).await.unwrap();
    let mut spec = many(3);
    spec.tasks[1].needs = vec![0];
    let id = store.submit(&spec, None, None).await.unwrap().id;
    let all = ids(&store, id).await;
    for (round, rest) in [(1, 100), (2, 150)] {
        let lease = claim(&store, "a").await.unwrap().lease();
        assert_eq!((lease.task, lease.epoch), (all[0], round));
        let state = store.fail(lease, &failure(true), None).await.unwrap();
        assert_eq!(state, TaskState::Ready);
        let task = store.task(all[0]).await.unwrap();
        let rests = format!("SELECT not_before - updated_at FROM tasks WHERE id = {}", all[0]);
        let rests = Duration::from_micros(place.count(&rests).await.cast_unsigned());
        assert!(rests.abs_diff(Duration::from_secs(rest)) < Duration::from_millis(10), "{rests:?}");
        assert_eq!(task.reason.as_deref(), Some("it does not compile"));
        // It rests: something else comes first.
        let other = claim(&store, "b").await;
        assert_eq!(other.map(|it| it.task.id), (round == 1).then_some(all[2]));
        place.meddle("UPDATE tasks SET not_before = 0").await;
    }
    let claimed = claim(&store, "a").await.unwrap();
    assert_eq!(claimed.previous.as_deref(), Some("it does not compile"));
    let state = store.fail(claimed.lease(), &failure(true), None).await.unwrap();
    assert_eq!(state, TaskState::Failed);
    // Something else still runs; then nothing can, and what waits never will.
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Running);
    let other = Lease { task: all[2], epoch: 1 };
    assert_eq!(store.fail(other, &failure(false), None).await.unwrap(), TaskState::Failed);
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Failed);
    assert_eq!(store.task(all[1]).await.unwrap().state, TaskState::Waiting);

    // A person's retry begins again, and the graph goes on.
    assert_eq!(kind(store.retry_task(all[1], None).await), StoreErrorKind::Conflict);
    for lost in [all[0], all[2]] {
        assert_eq!(store.retry_task(lost, None).await.unwrap().attempts, 0);
    }
    for _ in 0..3 {
        complete(&store, claim(&store, "a").await.unwrap().lease()).await;
    }
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Done);
}

/// A task that takes its agents down with it is stopped, whatever attempts it has left.
pub(crate) async fn poison_stops(place: &Place) {
    let store = place.open().await;
    let mut spec = many(1);
    spec.tasks[0].max_attempts = 50;
    let id = store.submit(&spec, None, None).await.unwrap().id;
    for death in 1..=3 {
        let lease = claim(&store, &format!("a{death}")).await.unwrap().lease();
        place.meddle("UPDATE attempts SET expires_at = 1").await;
        // Two hubs sweep at once: one takes it back.
        let sweep = SweepOptions::default();
        let (one, two) = tokio::join!(store.sweep(&sweep), store.sweep(&sweep));
        assert_eq!([one.unwrap().lost, two.unwrap().lost].concat(), [lease]);
    }
    let task = store.task(ids(&store, id).await[0]).await.unwrap();
    let deaths = place.count("SELECT deaths FROM tasks").await;
    assert_eq!((task.state, deaths, task.attempts), (TaskState::Failed, 3, 3));
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Failed);
}

/// After a failed attempt it is somebody else's turn, as long as there is somebody else.
pub(crate) async fn not_the_same_agent_again(place: &Place) {
    let store = place.open().await;
    let mut spec = many(1);
    spec.tasks[0].role = Some("backend".to_owned());
    spec.tasks[0].max_attempts = 9;
    store.submit(&spec, None, None).await.unwrap();
    let backend = |name: &str| {
        let mut request = agent(name);
        request.roles = vec!["backend".to_owned()];
        request
    };
    let mut others = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let mut other = beat(name);
        // `c` cannot do it, `d` takes no more.
        other.roles = vec![if name == "c" { "frontend" } else { "backend" }.to_owned()];
        other.draining = name == "d";
        assert!(store.agent_heartbeat(&other).await.unwrap());
        others.push(other);
    }
    let take = async |name: &str| store.claim(&backend(name), None).await.unwrap();
    let first = take("a").await.unwrap();
    store.fail(first.lease(), &failure(true), None).await.unwrap();
    assert!(take("a").await.is_none(), "b is there");
    assert!(take("d").await.is_none(), "d drains");
    let second = take("b").await.unwrap();
    store.fail(second.lease(), &failure(true), None).await.unwrap();
    // Both have failed: nobody else is left.
    let third = take("a").await.unwrap();
    store.fail(third.lease(), &failure(true), None).await.unwrap();

    // `b` is down: then `a` may, though `b` would be next.
    store.submit(&spec, None, None).await.unwrap();
    let fourth = take("b").await.unwrap();
    store.fail(fourth.lease(), &failure(true), None).await.unwrap();
    store.deactivate_agent("b", None).await.unwrap();
    assert!(take("b").await.is_none(), "a person said so");
    assert!(!store.agent_heartbeat(&others[1]).await.unwrap());
    store.activate_agent("b", None).await.unwrap();
    assert!(store.agent_heartbeat(&others[1]).await.unwrap());
}

/// Cancelling reaches agents at work by their heartbeat.
pub(crate) async fn cancelling_reaches_those_at_work(place: &Place) {
    let store = place.open().await;
    let mut spec = many(4);
    spec.tasks[3].needs = vec![0, 1, 2];
    let id = store.submit(&spec, None, None).await.unwrap().id;
    let all = ids(&store, id).await;
    let running = claim(&store, "a").await.unwrap().lease();
    let done = claim(&store, "b").await.unwrap().lease();
    complete(&store, done).await;
    let told = store.heartbeat(running, &AttemptHeartbeat::default()).await.unwrap();
    assert!(!told.cancel && told.lease_seconds == 60);

    store.cancel_task(running.task, None).await.unwrap();
    let told = store.heartbeat(running, &AttemptHeartbeat::default()).await.unwrap();
    assert!(told.cancel);
    let late = store.complete(running, &crate::work::committed("c"), None).await;
    assert_eq!(kind(late), StoreErrorKind::StaleLease);
    assert_eq!(store.graph(id).await.unwrap().state, GraphState::Running);

    assert_eq!(store.cancel_graph(id, None).await.unwrap().state, GraphState::Cancelled);
    let states: Vec<_> = {
        let mut states = Vec::new();
        for id in &all {
            states.push(store.task(*id).await.unwrap().state);
        }
        states
    };
    use TaskState::{Cancelled, Done};
    assert_eq!(states, [Cancelled, Done, Cancelled, Cancelled]);
    assert!(claim_key(&store, "a").await.is_none());
    // What is over stays as it is.
    store.cancel_graph(id, None).await.unwrap();
    assert_eq!(store.cancel_task(all[1], None).await.unwrap().state, Done);
    assert_eq!(kind(store.cancel_task(TaskId(999), None).await), StoreErrorKind::NotFound);
}

/// The same call with the same key has the same answer and changes nothing more.
pub(crate) async fn a_replay_has_the_same_answer(place: &Place) {
    let store = place.open().await;
    let spec = many(4);
    let once = store.submit(&spec, None, Some("k1")).await.unwrap();
    assert_eq!(store.submit(&spec, None, Some("k1")).await.unwrap().id, once.id);
    assert_eq!(kind(store.submit(&many(2), None, Some("k1")).await), StoreErrorKind::Conflict);
    assert_eq!(place.count("SELECT COUNT(*) FROM tasks").await, 4);

    let first = store.claim(&agent("a"), Some("k2")).await.unwrap().unwrap();
    let again = store.claim(&agent("a"), Some("k2")).await.unwrap().unwrap();
    assert_eq!(first, again);
    assert_eq!(kind(store.claim(&agent("b"), Some("k2")).await), StoreErrorKind::Conflict);

    let evidence = NewEvidence {
        kind: EvidenceKind::Test,
        title: "12 tests".to_owned(),
        body: "ok".to_owned(),
        url: None,
    };
    let lease = first.lease();
    let id = store.add_evidence(lease, &evidence, Some("k3")).await.unwrap();
    assert_eq!(store.add_evidence(lease, &evidence, Some("k3")).await.unwrap(), id);
    assert_eq!(crate::work::evidence(&store, lease.task).await.len(), 1);
    assert_eq!(store.evidence_piece(id).await.unwrap().title, "12 tests");
    assert_eq!(kind(store.evidence_piece(id + 1).await), StoreErrorKind::NotFound);
    assert_eq!(store.agent_of(lease).await.unwrap().as_deref(), Some("a"));
    let unknown = Lease { epoch: 9, ..lease };
    assert_eq!(store.agent_of(unknown).await.unwrap(), None);

    let completion = crate::work::committed("c1");
    let state = store.complete(lease, &completion, Some("k4")).await.unwrap();
    assert_eq!(store.complete(lease, &completion, Some("k4")).await.unwrap(), state);
    assert_eq!(
        kind(store.complete(lease, &completion, Some("k5")).await),
        StoreErrorKind::StaleLease
    );
    let other = crate::work::committed("c2");
    assert_eq!(kind(store.complete(lease, &other, Some("k4")).await), StoreErrorKind::Conflict);
    assert_eq!(place.count("SELECT COUNT(*) FROM merge_queue").await, 1);
    // The claim is the same one, long after.
    assert_eq!(store.claim(&agent("a"), Some("k2")).await.unwrap().unwrap().lease(), lease);

    let second = claim(&store, "a").await.unwrap().lease();
    let state = store.fail(second, &failure(true), Some("k6")).await.unwrap();
    assert_eq!(store.fail(second, &failure(true), Some("k6")).await.unwrap(), state);
    assert_eq!(store.task(second.task).await.unwrap().attempts, 1);
    // Even when the task has gone on since.
    claim(&store, "a").await.unwrap();
    assert_eq!(store.fail(second, &failure(true), Some("k6")).await.unwrap(), state);

    let third = store.ready(None, 1).await.unwrap()[0].id;
    store.cancel_task(third, Some("k7")).await.unwrap();
    store.retry_task(third, Some("k8")).await.unwrap();
    // The replay of the cancellation does not cancel what was tried again since.
    assert_eq!(store.cancel_task(third, Some("k7")).await.unwrap().state, TaskState::Ready);
    store.retry_task(third, Some("k8")).await.unwrap();
    assert_eq!(kind(store.retry_task(third, Some("k7")).await), StoreErrorKind::Conflict);
    assert_eq!(store.snapshot(Some("k9")).await.unwrap(), 1);
    assert_eq!(store.snapshot(Some("k9")).await.unwrap(), 1);
    assert_eq!(store.history(once.id, PageRequest::first(9)).await.unwrap().items.len(), 1);
    store.agent_heartbeat(&beat("a")).await.unwrap();
    store.deactivate_agent("a", Some("k10")).await.unwrap();
    store.activate_agent("a", Some("k11")).await.unwrap();
    let state = store.deactivate_agent("a", Some("k10")).await.unwrap().state;
    assert_ne!(state, AgentState::Inactive);
    store.cancel_graph(once.id, Some("k12")).await.unwrap();
    store.cancel_graph(once.id, Some("k12")).await.unwrap();

    // Forgotten after a while.
    place.meddle("UPDATE requests SET created_at = 1").await;
    assert_eq!(store.purge(&Retention::default()).await.unwrap().unwrap().table, "requests");
    assert_ne!(store.submit(&spec, None, Some("k1")).await.unwrap().id, once.id);
}

/// Progress, evidence and the alerts that follow when there is none.
pub(crate) async fn stuck_and_silent_ones_are_told_once(place: &Place) {
    let store = place.open().await;
    store.submit(&many(2), None, None).await.unwrap();
    store.agent_heartbeat(&beat("a")).await.unwrap();
    let lease = claim(&store, "a").await.unwrap().lease();
    let news = AttemptHeartbeat { percent: Some(40), message: Some("half-way".to_owned()) };
    store.heartbeat(lease, &news).await.unwrap();
    store.heartbeat(lease, &news).await.unwrap();
    let view = store.agent("a").await.unwrap();
    assert_eq!((view.task, view.percent), (Some(lease.task), Some(40)));
    assert_eq!(store.task(lease.task).await.unwrap().percent, 40);

    place.meddle("UPDATE attempts SET progress_at = 1").await;
    place.meddle("UPDATE agents SET heartbeat_at = 1").await;
    let sweep = SweepOptions::default();
    let swept = store.sweep(&sweep).await.unwrap();
    assert_eq!((swept.stuck, swept.down), (vec![lease], vec!["a".to_owned()]));
    // A heartbeat without news does not make it move.
    store.heartbeat(lease, &news).await.unwrap();
    let swept = store.sweep(&sweep).await.unwrap();
    assert!(swept.stuck.is_empty() && swept.down.is_empty());
    assert_eq!(store.agent("a").await.unwrap().state.name(), "down");
    store.agent_heartbeat(&beat("a")).await.unwrap();
    assert_eq!(store.agent("a").await.unwrap().state.name(), "working");
    let count = |kind| events_of(kind, &store);
    assert_eq!(count(TaskEventKind::TaskProgress).await, 1);
    assert_eq!(count(TaskEventKind::TaskStuck).await, 1);
    assert_eq!(count(TaskEventKind::AgentDown).await, 1);
    assert_eq!(count(TaskEventKind::AgentUp).await, 2);
}

async fn events_of(kind: TaskEventKind, store: &greenloop_hub::store::TaskStore) -> usize {
    events(store).await.into_iter().filter(|it| *it == kind).count()
}

/// Pages, filters, runs, tokens, health: what is shown.
pub(crate) async fn what_is_shown(place: &Place) {
    let store = place.open().await;
    let mut spec = many(7);
    spec.epics = vec![epic("1")];
    for one in &mut spec.tasks[..3] {
        one.epic = Some(0);
        one.role = Some("backend".to_owned());
    }
    spec.tasks[6].needs = vec![0, 5, 5];
    let id = store.submit(&spec, None, None).await.unwrap().id;
    let mut request = PageRequest::first(3);
    let mut seen = Vec::new();
    loop {
        let page = store.tasks(&TaskFilter::default(), request).await.unwrap();
        seen.extend(page.items.iter().map(|it| it.key.clone()));
        request.cursor = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6"]);
    let all = ids(&store, id).await;
    let filtered = async |filter: TaskFilter| {
        store.tasks(&filter, PageRequest::first(50)).await.unwrap().items.len()
    };
    assert_eq!(filtered(TaskFilter { epic: Some("1".into()), ..Default::default() }).await, 3);
    assert_eq!(
        filtered(TaskFilter { role: Some("backend".into()), ..Default::default() }).await,
        3
    );
    let waiting = TaskFilter { state: Some(TaskState::Waiting), ..Default::default() };
    assert_eq!(filtered(waiting).await, 1);
    assert_eq!(store.task(all[6]).await.unwrap().needs, [all[0], all[5]]);
    assert_eq!(kind(store.task(TaskId(12345)).await), StoreErrorKind::NotFound);
    assert_eq!(store.graphs(PageRequest::first(10)).await.unwrap().items.len(), 1);

    let lease = claim(&store, "a").await.unwrap().lease();
    let filter = AttemptFilter { agent: Some("a".to_owned()), ..AttemptFilter::default() };
    let page = store.assignments(&filter, PageRequest::first(5)).await.unwrap();
    assert_eq!(page.items.iter().map(|it| it.lease()).collect::<Vec<_>>(), [lease]);

    let run = RunReport {
        id: "r1".to_owned(),
        environment: "staging".to_owned(),
        state: "running".to_owned(),
        commit: None,
        iterations: 1,
        summary: String::new(),
        report: "# Report".to_owned(),
    };
    store.report_run(&run).await.unwrap();
    let run = RunReport { state: "verified".to_owned(), ..run };
    store.report_run(&run).await.unwrap();
    assert_eq!(run_of(store.run("r1").await.unwrap()), run);
    let found = async |environment: Option<&str>, state: Option<&str>| {
        let filter = RunFilter {
            environment: environment.map(str::to_owned),
            state: state.map(str::to_owned),
        };
        store.runs(&filter, None, 10).await.unwrap().0.len()
    };
    assert_eq!(found(None, None).await, 1);
    assert_eq!(found(Some("staging"), Some("verified")).await, 1);
    assert_eq!((found(Some("live"), None).await, found(None, Some("running")).await), (0, 0));
    assert_eq!(store.last_run("staging").await.unwrap().map(|run| run.id).as_deref(), Some("r1"));
    assert_eq!(store.last_run("live").await.unwrap(), None);
    assert_eq!(kind(store.run("r2").await), StoreErrorKind::NotFound);

    let request = TokenRequest {
        name: "worker 1".to_owned(),
        agent: Some("a".to_owned()),
        scopes: vec![Scope::Read, Scope::Work],
        valid_for: None,
    };
    let token = store.create_token(&request).await.unwrap();
    let secret = token.expose().to_owned();
    assert_eq!(store.verify_token(&secret).await.unwrap(), Some(token.token.clone()));
    for wrong in [format!("{secret}x"), secret.replace("glh_", "glx_"), "glh_x_y".to_owned()] {
        assert_eq!(store.verify_token(&wrong).await.unwrap(), None);
    }
    let half = secret.rsplit('_').next().unwrap();
    let kept = format!("SELECT COUNT(*) FROM tokens WHERE secret_hash LIKE '%{half}%'");
    assert_eq!(place.count(&kept).await, 0);
    store.revoke_token(&token.token.id).await.unwrap();
    assert_eq!(store.verify_token(&secret).await.unwrap(), None);
    let short = TokenRequest { valid_for: Some(Duration::ZERO), ..request };
    let short = store.create_token(&short).await.unwrap();
    assert_eq!(store.verify_token(short.expose()).await.unwrap(), None);
    assert_eq!(store.tokens().await.unwrap().len(), 2);

    tokio::time::sleep(Duration::from_millis(300)).await;
    for dependency in store.health().await {
        assert!(dependency.healthy, "{dependency:?}");
    }
}

fn run_of(run: Run) -> RunReport {
    let Run { id, environment, state, commit, iterations, summary, report, .. } = run;
    RunReport { id, environment, state, commit, iterations, summary, report }
}

/// What makes no sense is refused before anything is written.
pub(crate) async fn nonsense_is_refused(place: &Place) {
    let store = place.open().await;
    let mut short = agent("a");
    short.lease_seconds = 0;
    assert_eq!(kind(store.claim(&short, None).await), StoreErrorKind::Invalid);
    // Done before it came in: over at once. In a circle: over at once as well.
    let mut done = many(1);
    done.tasks[0].done = true;
    assert_eq!(store.submit(&done, None, None).await.unwrap().state, GraphState::Done);
    let mut circle = many(2);
    circle.tasks[0].needs = vec![1];
    circle.tasks[1].needs = vec![0];
    assert_eq!(store.submit(&circle, None, None).await.unwrap().state, GraphState::Failed);
}

/// Several hubs start on an empty database at once.
pub(crate) async fn several_hubs_start_at_once(place: &Place) {
    let opened = futures::future::join_all((0..6).map(|_| place.open())).await;
    opened[0].submit(&many(1), None, None).await.unwrap();
    assert!(claim(&opened[5], "a").await.is_some());
    // Each migration was made once.
    let newest = place.count("SELECT MAX(version) FROM schema_versions").await;
    assert_eq!(place.count("SELECT COUNT(*) FROM schema_versions").await, newest);
    drop(opened);
    // A newer program was here.
    place.meddle("INSERT INTO schema_versions (version, checksum) VALUES (99, 'x')").await;
    let refused = greenloop_hub::store::TaskStore::open(&place.url, crate::place::options()).await;
    assert_eq!(kind(refused), StoreErrorKind::Corrupt);
}
