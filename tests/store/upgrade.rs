//! A hub of the previous version works on while one of this version brings the tables up to date
//! and works beside it. `previous/` has the statements of the tables' version 8, as PostgreSQL was
//! given them.

use std::time::Duration;

use greenloop_hub::store::TaskStore;
use greenloop_hub_api::types::Completion;
use greenloop_model::task::{EventId, GraphId, GraphState, Lease, TaskEventKind, TaskId};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::invariants;
use crate::place::Place;
use crate::work::claim;

const TASKS: i64 = 400;

macro_rules! migrations {
    ($database:literal: $($name:literal),+) => {
        [$(include_str!(concat!(
            "../../crates/hub/src/store/migrations/", $database, "/", $name, ".sql"
        ))),+]
    };
}

/// The tables as version 8 left them, with a graph of tasks that are ready.
async fn previous_tables(place: &Place) {
    let versions = if place.is_postgres() {
        migrations!("postgres": "0001_tables", "0002_merge_holds", "0003_workers", "0004_targets",
            "0005_hold_tries", "0006_agents", "0007_operate", "0008_logs")
    } else {
        migrations!("sqlite": "0001_tables", "0002_merge_holds", "0003_workers", "0004_targets",
            "0005_hold_tries", "0006_agents", "0007_operate", "0008_logs")
    };
    if let Some(path) = place.url.strip_prefix("sqlite:") {
        std::fs::File::create(path).unwrap();
    }
    place
        .meddle("CREATE TABLE schema_versions (version BIGINT PRIMARY KEY, checksum TEXT NOT NULL)")
        .await;
    for (version, sql) in (1..).zip(versions) {
        let checksum = blake3::hash(sql.as_bytes()).to_hex();
        let applied = format!("INSERT INTO schema_versions VALUES ({version}, '{checksum}')");
        place.meddle(&format!("{sql};\n{applied}")).await;
    }
    let numbers = if place.is_postgres() {
        format!("generate_series(1, {TASKS}) AS s (n)")
    } else {
        format!(
            "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {TASKS}) \
             SELECT n FROM s)"
        )
    };
    place
        .meddle(&format!(
            "INSERT INTO projects (name, created_at) VALUES ('shop', 1); \
             INSERT INTO graphs (project_id, name, target, gates, state, created_at) \
             VALUES (1, 'work', 'main', '[]', 'running', 1); \
             INSERT INTO tasks (graph_id, position, key, title, description, labels, priority, \
             rank, hours, files, command, max_attempts, links, dependants, unmet, state, epoch, \
             attempts, deaths, not_before, created_at, updated_at) \
             SELECT 1, n, 'k' || n, 't', 'd', '[]', 1, 1, 1, '[]', 'true', 3, 0, 0, 0, 'ready', 0, \
             0, 0, 0, 1, 1 FROM {numbers}; \
             INSERT INTO {} (at, kind, graph_id) VALUES (1, 'graph.submitted', 1)",
            if place.is_postgres() { "outbox_pending" } else { "outbox" }
        ))
        .await;
}

/// A worker's connection of the hub of the previous version.
struct Previous {
    connection: PgConnection,
    agent: String,
}

impl Previous {
    async fn connect(place: &Place, agent: String) -> Self {
        Self { connection: PgConnection::connect(&place.url).await.unwrap(), agent }
    }

    async fn claim(&mut self) -> Option<Lease> {
        let row = sqlx::query(include_str!("previous/claim.sql"))
            .bind(&self.agent)
            .bind("[]")
            .bind("[]")
            .bind("[]")
            .bind(None::<String>)
            .bind("1")
            .bind(60_000_000_i64)
            .fetch_optional(&mut self.connection)
            .await
            .unwrap()?;
        Some(Lease { task: TaskId(row.get("id")), epoch: row.get("claim_epoch") })
    }

    /// Whether that was all; otherwise the hub goes on with more statements.
    async fn complete(&mut self, lease: Lease) -> bool {
        sqlx::query(include_str!("previous/complete.sql"))
            .bind(lease.task.0)
            .bind(lease.epoch)
            .bind("done by the previous version")
            .bind(None::<String>)
            .fetch_optional(&mut self.connection)
            .await
            .unwrap()
            .is_some()
    }

    /// Sets a task back as after a failed attempt.
    async fn set_back(&mut self, lease: Lease) {
        let sql = format!(
            "BEGIN; UPDATE attempts SET state = 'failed', ended_at = started_at WHERE task_id = {0} \
             AND epoch = {1}; UPDATE tasks SET state = 'ready', not_before = 1 WHERE id = {0}; \
             INSERT INTO outbox_pending (at, kind, graph_id, task_id, epoch) \
             VALUES (1, 'task.retry', 1, {0}, {1}); COMMIT",
            lease.task.0, lease.epoch
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await.unwrap();
    }

    async fn collect(&mut self) {
        sqlx::raw_sql("BEGIN; SELECT pg_advisory_xact_lock(7235041912)")
            .execute(&mut self.connection)
            .await
            .unwrap();
        sqlx::query(include_str!("previous/collect.sql"))
            .bind(5_000_i64)
            .execute(&mut self.connection)
            .await
            .unwrap();
        sqlx::raw_sql("COMMIT").execute(&mut self.connection).await.unwrap();
    }
}

/// Claims and completes until nothing is left. What takes the previous hub more than one statement
/// is reported to the new one, as a worker may.
async fn previous_work(mut hub: Previous, store: TaskStore, fails: usize) {
    let mut nth = 0;
    while let Some(lease) = hub.claim().await {
        nth += 1;
        if nth <= fails {
            hub.set_back(lease).await;
        } else if !hub.complete(lease).await {
            store.complete(lease, &Completion::default(), None).await.unwrap();
        }
        if nth % 20 == 0 {
            hub.collect().await;
        }
    }
}

async fn new_work(store: TaskStore, agent: String) {
    // Tasks that another one holds are over soon.
    for _ in 0..20 {
        while let Some(claimed) = claim(&store, &agent).await {
            store.complete(claimed.lease(), &Completion::default(), None).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Old and new hub on one database: each task is done once, by either; what one sets back the other
/// one finds; every event is told once.
pub(crate) async fn an_earlier_hub_works_on(place: &Place) {
    previous_tables(place).await;
    if !place.is_postgres() {
        // One hub at a time: the new one finds everything.
        let store = place.open().await;
        new_work(store.clone(), "new".to_owned()).await;
        assert_eq!(store.graph(GraphId(1)).await.unwrap().state, GraphState::Done);
        return invariants::hold(place).await;
    }
    let mut hubs = Vec::new();
    let mut held = Vec::new();
    for n in 0..3 {
        let mut hub = Previous::connect(place, format!("previous-{n}")).await;
        for _ in 0..3 {
            let lease = hub.claim().await.unwrap();
            assert!(hub.complete(lease).await);
        }
        held.push(hub.claim().await.unwrap());
        hub.collect().await;
        hubs.push(hub);
    }
    let store = place.open().await;
    // What was claimed before is completed by either.
    assert!(hubs[0].complete(held[0]).await);
    store.complete(held[1], &Completion::default(), None).await.unwrap();
    hubs[2].set_back(held[2]).await;

    let mut all = tokio::task::JoinSet::new();
    for hub in hubs {
        all.spawn(previous_work(hub, store.clone(), 5));
    }
    for n in 0..4 {
        all.spawn(new_work(store.clone(), format!("new-{n}")));
    }
    all.join_all().await;
    assert_eq!(store.graph(GraphId(1)).await.unwrap().state, GraphState::Done);
    for (who, least) in [("previous", 12), ("new", 12)] {
        let sql = format!(
            "SELECT COUNT(*) FROM attempts WHERE state = 'succeeded' AND agent LIKE '{who}%'"
        );
        assert!(place.count(&sql).await >= least, "{who} hubs had a part in it");
    }
    let mut after = EventId(0);
    let (mut claims, mut ends) = (0, 0);
    loop {
        let events = store.events_after(after, 500).await.unwrap();
        let Some(last) = events.last() else { break };
        after = last.id;
        claims += events.iter().filter(|it| it.kind == TaskEventKind::TaskClaimed).count();
        ends += events.iter().filter(|it| it.kind == TaskEventKind::TaskDone).count();
    }
    assert_eq!(i64::try_from(ends).unwrap(), TASKS);
    let attempts = place.count("SELECT COUNT(*) FROM attempts").await;
    assert_eq!(i64::try_from(claims).unwrap(), attempts);
    invariants::hold(place).await;
}
