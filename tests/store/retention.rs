//! Expired records are deleted in batches; active ones stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use greenloop_hub::store::{
    NewCheckpoint, PURGE_ROWS, Purged, Retention, Scope, SinkFilter, StoreErrorKind, TaskStore,
    TokenRequest,
};
use greenloop_hub_api::types::{Completion, NewEvidence, RunReport};
use greenloop_model::NotificationKind;
use greenloop_model::task::{EventId, EvidenceKind, HoldReason, TaskId, TaskState};

use crate::place::Place;
use crate::work::{at_least, claim, committed, complete, epic, failure, kind, many};

/// Everything is kept.
pub(crate) const FOREVER: Retention = Retention {
    events: None,
    graphs: None,
    runs: None,
    tokens: None,
    agents: None,
    actions: None,
    requests: None,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The microseconds of a day.
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// Nothing is kept.
fn none() -> Retention {
    let now = Some(Duration::ZERO);
    Retention {
        events: now,
        graphs: now,
        runs: now,
        tokens: now,
        agents: now,
        actions: now,
        requests: now,
    }
}

/// All batches; checks their size.
async fn purge(store: &TaskStore, keep: &Retention) -> Vec<Purged> {
    let mut all = Vec::new();
    while let Some(purged) = store.purge(keep).await.unwrap() {
        assert!((1..=PURGE_ROWS).contains(&purged.rows), "{purged:?}");
        all.push(purged);
    }
    all
}

fn rows(purged: &[Purged], table: &str) -> u64 {
    purged.iter().filter(|it| it.table == table).map(|it| it.rows).sum()
}

const TABLES: [&str; 10] = [
    "graphs",
    "tasks",
    "attempts",
    "evidence",
    "merge_queue",
    "epics",
    "conditions",
    "dependencies",
    "progress_snapshots",
    "gate_records",
];

async fn left(place: &Place) -> Vec<i64> {
    let mut left = Vec::new();
    for table in TABLES {
        left.push(place.count(&format!("SELECT COUNT(*) FROM {table}")).await);
    }
    left
}

/// A complete, ended graph.
async fn ended(store: &TaskStore) -> Vec<TaskId> {
    let mut spec = many(4);
    spec.epics = vec![epic("1")];
    for task in &mut spec.tasks[..2] {
        task.epic = Some(0);
    }
    spec.tasks[2].needs = vec![0, 1];
    spec.tasks[3].conditions = vec![at_least(0, 100)];
    store.submit(&spec, None, None).await.unwrap();
    store.snapshot(None).await.unwrap();
    let mut tasks = Vec::new();
    while let Some(claimed) = claim(store, "a").await {
        let evidence = NewEvidence {
            kind: EvidenceKind::Log,
            title: "log".to_owned(),
            body: "x".repeat(1000),
            url: None,
        };
        for _ in 0..30 {
            store.add_evidence(claimed.lease(), &evidence, None).await.unwrap();
        }
        tasks.push(claimed.task.id);
        complete(store, claimed.lease()).await;
    }
    tasks
}

/// An ended graph is deleted with all its records; a running one keeps everything, however old it
/// is.
pub(crate) async fn what_ended_goes_and_what_lives_stays(place: &Place) {
    let store = place.open().await;
    let tasks = ended(&store).await;
    assert_eq!(tasks.len(), 4);
    let mut spec = many(2);
    spec.tasks[0].max_attempts = 1;
    let failed = store.submit(&spec, None, None).await.unwrap().id;
    let lives = store.submit(&many(2), None, None).await.unwrap().id;
    let lease = claim(&store, "a").await.unwrap().lease();
    store.fail(lease, &failure(false), None).await.unwrap();
    let lease_of_living = {
        complete(&store, claim(&store, "a").await.unwrap().lease()).await;
        let claimed = claim(&store, "a").await.unwrap();
        assert_eq!(claimed.task.graph, lives);
        claimed.lease()
    };
    let before = left(place).await;
    place
        .meddle(&format!(
            "UPDATE graphs SET created_at = created_at - 400 * {DAY_US}; \
             UPDATE attempts SET started_at = started_at - 400 * {DAY_US}; \
             UPDATE tasks SET created_at = created_at - 400 * {DAY_US}"
        ))
        .await;
    let usual = Retention { agents: None, ..Retention::default() };
    assert_eq!(purge(&store, &usual).await, [], "they ended just now");

    place
        .meddle(&format!(
            "UPDATE graphs SET ended_at = ended_at - 91 * {DAY_US} WHERE id <> {}",
            failed.0
        ))
        .await;
    // Its deletion has begun but not ended: it is not visible any more, and cannot be retried.
    let marked = store.purge(&usual).await.unwrap().unwrap();
    assert_eq!((marked.table, marked.rows), ("graphs", 1));
    let gone = store.task(tasks[0]).await.unwrap().graph;
    assert_eq!(kind(store.graph(gone).await), StoreErrorKind::NotFound);
    place.meddle(&format!("UPDATE tasks SET state = 'failed' WHERE id = {}", tasks[0].0)).await;
    assert_eq!(kind(store.retry_task(tasks[0], None).await), StoreErrorKind::Conflict);
    assert_eq!(store.task(tasks[0]).await.unwrap().state, TaskState::Failed);

    let purged = purge(&store, &usual).await;
    assert_eq!(rows(&purged, "evidence"), 120);
    assert_eq!((rows(&purged, "tasks"), rows(&purged, "epics")), (4, 1));
    assert!(purged.iter().filter(|it| it.table == "evidence").count() > 1, "{purged:?}");
    assert_eq!(kind(store.task(tasks[0]).await), StoreErrorKind::NotFound);
    let after = left(place).await;
    for (table, (before, after)) in TABLES.iter().zip(before.iter().zip(&after)) {
        let belonging = match *table {
            "graphs" | "epics" | "progress_snapshots" | "conditions" => 1,
            "tasks" | "attempts" => 4,
            "evidence" => 120,
            "dependencies" => 2,
            _ => 0,
        };
        assert_eq!(before - after, belonging, "{table}");
    }
    // Failed tasks can still be retried, running ones continue.
    store.retry_task(lease.task, None).await.unwrap();
    store.complete(lease_of_living, &Completion::default(), None).await.unwrap();
    purge(&store, &none()).await;
    assert_eq!(store.graph(lives).await.unwrap().tasks[&TaskState::Ready], 1);
    assert_eq!(place.count("SELECT COUNT(*) FROM graphs WHERE purged = 1").await, 0);
}

/// A running graph keeps its merges and gate results; without the graph they are deleted, except
/// for the tip of a branch.
pub(crate) async fn merges_go_with_their_graph(place: &Place) {
    let store = place.open().await;
    store.submit(&many(1), None, None).await.unwrap();
    let claimed = claim(&store, "a").await.unwrap();
    store.complete(claimed.lease(), &committed("c1"), None).await.unwrap();
    let turn = store.claim_merges("hub", Duration::from_secs(60)).await.unwrap().unwrap();
    let entry = &store.next_merges(&turn, 1).await.unwrap()[0];
    let verdict = |sha: &str| greenloop_hub::store::GateRecord {
        sha: sha.to_owned(),
        passed: true,
        detail: String::new(),
    };
    for sha in ["stray", "m1"] {
        store.record_gates(&turn, &verdict(sha)).await.unwrap();
    }
    store.merge_testing(&turn, entry.id, "m1").await.unwrap();
    store.merge_landing(&turn, entry.id, "m1").await.unwrap();
    store.merge_landed(&turn, entry.id, "m1").await.unwrap();
    let usual = Retention::default();
    place.meddle(&format!("UPDATE gate_records SET created_at = created_at - 91 * {DAY_US}")).await;
    let purged = purge(&store, &usual).await;
    assert_eq!(purged, [Purged { table: "gate_records", rows: 1 }]);
    assert!(store.gate_record(turn.project, "main", "m1").await.unwrap().is_some());
    place.meddle(&format!("UPDATE graphs SET ended_at = ended_at - 91 * {DAY_US}")).await;
    let purged = purge(&store, &usual).await;
    assert_eq!((rows(&purged, "merge_queue"), rows(&purged, "graphs")), (1, 2));
    // The tip of the branch is still known to have passed.
    assert!(store.gate_record(turn.project, "main", "m1").await.unwrap().is_some());
    assert_eq!(place.count("SELECT COUNT(*) FROM tasks").await, 0);
}

/// The records of a target, its hold and its rewinds are deleted when no graph uses it any more;
/// then it starts again.
pub(crate) async fn targets_go_with_their_graphs(place: &Place) {
    let store = place.open().await;
    let lease = Duration::from_secs(60);
    let land = async |commit: &str| {
        let claimed = claim(&store, "a").await.unwrap();
        store.complete(claimed.lease(), &committed(commit), None).await.unwrap();
        let turn = store.claim_merges("hub", lease).await.unwrap().unwrap();
        let entry = &store.next_merges(&turn, 1).await.unwrap()[0];
        let record = greenloop_hub::store::GateRecord {
            sha: commit.to_owned(),
            passed: true,
            detail: String::new(),
        };
        store.merge_testing(&turn, entry.id, commit).await.unwrap();
        store.record_gates(&turn, &record).await.unwrap();
        store.merge_landing(&turn, entry.id, commit).await.unwrap();
        store.merge_landed(&turn, entry.id, commit).await.unwrap();
        turn
    };
    let left = async || {
        let mut left = Vec::new();
        for table in ["merge_targets", "merge_holds", "merge_rewinds", "gate_records"] {
            left.push(place.count(&format!("SELECT COUNT(*) FROM {table}")).await);
        }
        left
    };
    store.submit(&many(2), None, None).await.unwrap();
    let writer = land("m1").await;
    store.follow_rewind(&writer, &[], &["gone".to_owned()], Some("m1")).await.unwrap();
    store.release_merges(&writer).await.unwrap();
    let age = format!(
        "UPDATE graphs SET created_at = created_at - 92 * {DAY_US}, \
         ended_at = ended_at - 91 * {DAY_US}; \
         UPDATE merge_rewinds SET created_at = created_at - 91 * {DAY_US}; \
         UPDATE gate_records SET created_at = created_at - 91 * {DAY_US}; \
         UPDATE merge_targets SET looked_at = looked_at - 91 * {DAY_US}"
    );
    place.meddle(&age).await;
    let usual = Retention::default();
    purge(&store, &usual).await;
    assert_eq!(
        left().await,
        [1, 0, 1, 1],
        "work of a living graph may stand on what was taken back"
    );

    let writer = land("m2").await;
    let hold = greenloop_hub::store::NewHold {
        reason: HoldReason::TargetRewound,
        tip: Some("m1".to_owned()),
        expected: Some("m2".to_owned()),
        commit: None,
        author: None,
        text: "main was moved".to_owned(),
        lost: Vec::new(),
        tried: Vec::new(),
    };
    store.hold_merges(&writer, &hold, Duration::ZERO).await.unwrap();
    assert_eq!(left().await, [1, 1, 1, 2]);
    place.meddle(&age).await;
    let purged = purge(&store, &usual).await;
    assert_eq!((rows(&purged, "graphs"), rows(&purged, "merge_targets")), (2, 1), "{purged:?}");
    assert_eq!(left().await, [0; 4]);

    store.submit(&many(1), None, None).await.unwrap();
    let writer = land("n1").await;
    assert_eq!(store.target_record(&writer).await.unwrap().tip.as_deref(), Some("n1"));
}

/// Events, runs, tokens, idempotency keys.
pub(crate) async fn what_is_old_goes_by_its_age(place: &Place) {
    let store = place.open().await;
    store.submit(&many(3), None, Some("key")).await.unwrap();
    let report = |id: &str| RunReport {
        id: id.to_owned(),
        environment: "e".to_owned(),
        state: "done".to_owned(),
        commit: None,
        iterations: 1,
        summary: String::new(),
        report: String::new(),
    };
    store.report_run(&report("old")).await.unwrap();
    store.report_run(&report("new")).await.unwrap();
    for run in ["old", "new"] {
        let (run, token) = (run.to_owned(), "t".to_owned());
        let text = "a checkpoint".to_owned();
        let new = NewCheckpoint { run, records: 1, known: 0, token, text };
        store.keep_checkpoint(&new).await.unwrap();
    }
    let mut ids = Vec::new();
    for name in ["revoked", "expired", "good"] {
        let request = TokenRequest {
            name: name.to_owned(),
            agent: None,
            scopes: vec![Scope::Read],
            valid_for: (name == "expired").then_some(DAY),
        };
        ids.push(store.create_token(&request).await.unwrap().token.id);
    }
    store.revoke_token(&ids[0]).await.unwrap();
    // One receiver is not there any more, the other does not answer.
    let sink =
        |name: &str| SinkFilter { name: name.to_owned(), kinds: NotificationKind::ALL.to_vec() };
    store.collect_notifications(&[sink("gone")], "/").await.unwrap();
    store.report_run(&RunReport { state: "verified".to_owned(), ..report("old") }).await.unwrap();
    store.collect_notifications(&[sink("gone"), sink("silent")], "/").await.unwrap();
    assert_eq!(store.take_deliveries(&["silent".to_owned()]).await.unwrap().len(), 1);
    assert_eq!(store.take_deliveries(&["other".to_owned()]).await.unwrap(), []);
    let usual = Retention::default();
    assert_eq!(purge(&store, &usual).await, []);
    let latest = store.latest_event().await.unwrap();
    place
        .meddle(&format!(
            "UPDATE notification_deliveries SET at = at - 31 * 86400 WHERE sink = 'gone'; \
             UPDATE outbox SET at = at - 31 * {DAY_US}; \
             UPDATE requests SET created_at = created_at - 2 * {DAY_US}; \
             UPDATE runs SET updated_at = updated_at - 91 * {DAY_US} WHERE id = 'old'; \
             UPDATE checkpoints SET updated_at = updated_at - 366 * {DAY_US} WHERE run = 'old'; \
             UPDATE tokens SET revoked_at = revoked_at - 91 * {DAY_US}, \
             expires_at = expires_at - 92 * {DAY_US}"
        ))
        .await;
    let purged = purge(&store, &usual).await;
    assert_eq!((rows(&purged, "requests"), rows(&purged, "runs")), (1, 1));
    assert_eq!(rows(&purged, "tokens"), 2);
    assert_eq!(rows(&purged, "checkpoints"), 1);
    assert_eq!(rows(&purged, "notification_deliveries"), 1, "the other one is tried still");
    assert_eq!(place.count("SELECT COUNT(*) FROM notification_deliveries").await, 1);
    // The latest event stays, so that ids continue and a client that has read it has missed
    // nothing.
    assert!(rows(&purged, "outbox") > 0);
    assert_eq!(store.latest_event().await.unwrap(), latest);
    assert_eq!(store.earliest_event().await.unwrap(), latest);
    assert_eq!(store.events_after(EventId(0), 10).await.unwrap().len(), 1);
    let tokens = store.tokens().await.unwrap();
    assert_eq!(tokens.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["good"]);
    place.meddle("UPDATE runs SET updated_at = 1").await;
    assert_eq!(purge(&store, &FOREVER).await, []);
}

/// A hundred thousand old rows are deleted during claims and completions: in small batches, with
/// claims in between.
pub(crate) async fn old_rows_do_not_stand_in_the_way_of_claims(place: &Place) {
    const OLD: i64 = 100_000;
    let store = place.open().await;
    let numbers = match place.is_postgres() {
        true => format!("SELECT n FROM generate_series(1, {OLD}) n"),
        false => format!(
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {OLD}) \
             SELECT n FROM s"
        ),
    };
    place
        .meddle(&format!(
            "INSERT INTO outbox (at, kind, text) SELECT 1, 'task.progress', 'old' FROM ({numbers}) o"
        ))
        .await;
    store.submit(&many(1), None, None).await.unwrap();
    complete(&store, claim(&store, "a").await.unwrap().lease()).await;
    store.submit(&many(2_000), None, None).await.unwrap();
    store.latest_event().await.unwrap();

    let batches = Arc::new(AtomicU64::new(0));
    let purging = {
        let (store, batches) = (store.clone(), Arc::clone(&batches));
        tokio::spawn(async move {
            let mut rows = 0;
            // Without a pause, worse than in a hub.
            while let Some(purged) = store.purge(&Retention::default()).await.unwrap() {
                assert!(purged.rows <= PURGE_ROWS, "{purged:?}");
                rows += if purged.table == "outbox" { purged.rows } else { 0 };
                batches.fetch_add(1, Ordering::SeqCst);
            }
            rows
        })
    };
    // The number of batches at each answered claim.
    let mut seen = Vec::new();
    while !purging.is_finished() {
        if let Some(claimed) = claim(&store, "a").await {
            seen.push(batches.load(Ordering::SeqCst));
            complete(&store, claimed.lease()).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(purging.await.unwrap(), OLD as u64);
    let all = batches.load(Ordering::SeqCst);
    assert!(all >= OLD as u64 / PURGE_ROWS, "{all} batches");
    seen.dedup();
    // Claims and batches must alternate.
    assert!(seen.len() > 20, "claims were answered between {} of {all} batches", seen.len());
}

/// A SQLite file shrinks.
pub(crate) async fn a_file_shrinks(place: &Place) {
    if place.is_postgres() {
        return;
    }
    let store = place.open().await;
    place
        .meddle(
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) \
             INSERT INTO outbox (at, kind, text) SELECT 1, 'task.progress', hex(randomblob(200)) \
             FROM s",
        )
        .await;
    let pages = async || place.count("SELECT page_count FROM pragma_page_count").await;
    let before = pages().await;
    let purged = purge(&store, &Retention::default()).await;
    assert!(rows(&purged, "pages") > 0, "{purged:?}");
    let after = pages().await;
    assert!(after < before / 2, "{after} of {before} pages");
}
