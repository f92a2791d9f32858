//! Invariants between the tables at any moment without an open transaction. Each rule counts the
//! rows that violate it.

use std::fmt::Write as _;

use crate::place::{BackDoor, Place};

/// A name, and a statement that counts violations. `{events}` are all events, including those
/// without a position.
const RULES: &[(&str, &str)] = &[
    (
        "a task's epoch is the number of its attempts, and that of the last of them",
        "SELECT COUNT(*) FROM tasks t WHERE \
         t.epoch <> (SELECT COUNT(*) FROM attempts a WHERE a.task_id = t.id) \
         OR t.epoch <> (SELECT COALESCE(MAX(a.epoch), 0) FROM attempts a WHERE a.task_id = t.id)",
    ),
    (
        "a running task has one running attempt, its current one, and no other task has any",
        "SELECT COUNT(*) FROM tasks t WHERE (t.state = 'running') <> EXISTS (SELECT 1 FROM \
         attempts a WHERE a.task_id = t.id AND a.state = 'running' AND a.epoch = t.epoch) \
         OR EXISTS (SELECT 1 FROM attempts a WHERE a.task_id = t.id AND a.state = 'running' \
         AND a.epoch <> t.epoch)",
    ),
    (
        "a task that was done here has one succeeded attempt, its last one",
        "SELECT COUNT(*) FROM tasks t WHERE t.state = 'done' AND t.epoch > 0 AND (1 <> (SELECT \
         COUNT(*) FROM attempts a WHERE a.task_id = t.id AND a.state = 'succeeded') \
         OR NOT EXISTS (SELECT 1 FROM attempts a WHERE a.task_id = t.id AND a.epoch = t.epoch \
         AND a.state = 'succeeded'))",
    ),
    (
        "only a task that is done or being merged has a succeeded attempt",
        "SELECT COUNT(*) FROM attempts a JOIN tasks t ON t.id = a.task_id \
         WHERE a.state = 'succeeded' AND t.state NOT IN ('done', 'merging')",
    ),
    (
        "a task that is being merged has one open entry, of its current attempt",
        "SELECT COUNT(*) FROM tasks t WHERE (t.state = 'merging') <> EXISTS (SELECT 1 FROM \
         merge_queue m WHERE m.task_id = t.id AND m.epoch = t.epoch \
         AND m.state IN ('queued', 'testing', 'waiting'))",
    ),
    (
        "an open entry is that of a task's current attempt",
        "SELECT COUNT(*) FROM merge_queue m JOIN tasks t ON t.id = m.task_id \
         WHERE m.state IN ('queued', 'testing', 'waiting') AND (t.state <> 'merging' OR t.epoch <> m.epoch)",
    ),
    (
        "what was merged is done, with that very commit",
        "SELECT COUNT(*) FROM merge_queue m JOIN tasks t ON t.id = m.task_id \
         WHERE m.state = 'merged' AND (t.state <> 'done' OR t.epoch <> m.epoch \
         OR t.commit_sha <> m.merged)",
    ),
    (
        "every commit on a target has a passing gate record of exactly that commit",
        "SELECT COUNT(*) FROM merge_queue m WHERE m.state = 'merged' AND NOT EXISTS (SELECT 1 \
         FROM gate_records g WHERE g.project_id = m.project_id AND g.target = m.target \
         AND g.sha = m.merged AND g.passed = 1)",
    ),
    (
        "so has every commit that is about to be pushed",
        "SELECT COUNT(*) FROM merge_queue m WHERE m.landing IS NOT NULL AND NOT EXISTS (SELECT 1 \
         FROM gate_records g WHERE g.project_id = m.project_id AND g.target = m.target \
         AND g.sha = m.landing AND g.passed = 1)",
    ),
    (
        "a target stands at something that was merged",
        "SELECT COUNT(*) FROM merge_targets t WHERE t.head IS NOT NULL AND NOT EXISTS (SELECT 1 \
         FROM merge_queue m WHERE m.project_id = t.project_id AND m.target = t.target \
         AND m.merged = t.head)",
    ),
    (
        "what a task waits for is counted rightly",
        "SELECT COUNT(*) FROM tasks t WHERE t.unmet <> (SELECT COUNT(*) FROM dependencies d \
         JOIN tasks n ON n.id = d.needs_id WHERE d.task_id = t.id AND n.state <> 'done') \
         + (SELECT COUNT(*) FROM conditions c WHERE c.task_id = t.id AND c.met = 0) \
         + (SELECT COUNT(*) FROM merge_conflicts k WHERE k.task_id = t.id AND k.waiting = 1)",
    ),
    (
        "a task waits exactly as long as there is something to wait for",
        "SELECT COUNT(*) FROM tasks t WHERE (t.state = 'waiting' AND t.unmet = 0) OR (t.unmet > 0 \
         AND t.state NOT IN ('waiting', 'cancelled', 'failed', 'blocked'))",
    ),
    (
        "an epic counts the tasks that are done",
        "SELECT COUNT(*) FROM epics e WHERE e.tasks_done <> (SELECT COUNT(*) FROM tasks t \
         WHERE t.epic_id = e.id AND t.state = 'done') OR ABS(e.hours_done - (SELECT \
         COALESCE(SUM(t.hours), 0) FROM tasks t WHERE t.epic_id = e.id AND t.state = 'done')) \
         > 0.000001",
    ),
    (
        "a condition is met exactly when its epic has come so far, the merge of its branch included",
        "SELECT COUNT(*) FROM conditions c JOIN epic_progress e ON e.id = c.epic_id \
         WHERE (c.met = 1) <> (CASE WHEN EXISTS (SELECT 1 FROM tasks h \
         WHERE h.graph_id = e.graph_id AND h.position = 1000000 + e.position \
         AND h.state <> 'done') THEN 99 ELSE e.percent END + 0.000001 >= c.at_least)",
    ),
    (
        "a graph runs exactly as long as one of its tasks can",
        "SELECT COUNT(*) FROM graphs g WHERE (g.state = 'running') <> EXISTS (SELECT 1 FROM \
         tasks t LEFT JOIN merge_conflicts k ON k.task_id = t.id AND k.waiting = 1 \
         WHERE t.graph_id = g.id AND (t.state IN ('ready', 'running', 'merging', 'blocked') \
         OR (t.state = 'waiting' AND k.task_id IS NOT NULL)))",
    ),
    (
        "a graph is done exactly when all its tasks are",
        "SELECT COUNT(*) FROM graphs g WHERE (g.state = 'done') <> NOT EXISTS (SELECT 1 FROM \
         tasks t WHERE t.graph_id = g.id AND t.state <> 'done')",
    ),
    (
        "the queue has exactly the tasks that are ready, as they are",
        "SELECT (SELECT COUNT(*) FROM tasks t WHERE (t.state = 'ready') <> EXISTS (SELECT 1 \
         FROM task_queue q JOIN task_kinds k ON k.id = q.kind_id WHERE q.task_id = t.id \
         AND q.graph_id = t.graph_id AND k.graph_id = t.graph_id AND q.priority = t.priority \
         AND q.rank = t.rank AND q.not_before = t.not_before AND k.labels = t.labels \
         AND k.role_key = COALESCE('=' || t.role, '*') AND k.assigned = COALESCE(t.assigned, '') \
         AND q.tried = CASE WHEN t.epoch > 0 OR t.assigned IS NOT NULL OR t.excluded <> '[]' \
         THEN 1 ELSE 0 END)) \
         + (SELECT COUNT(*) FROM task_queue q WHERE NOT EXISTS (SELECT 1 FROM tasks t \
         WHERE t.id = q.task_id))",
    ),
    (
        "a graph's submission is told once",
        "SELECT COUNT(*) FROM graphs g WHERE 1 <> (SELECT COUNT(*) FROM {events} o \
         WHERE o.graph_id = g.id AND o.kind = 'graph.submitted')",
    ),
    (
        "a claim is told once",
        "SELECT COUNT(*) FROM attempts a WHERE 1 <> (SELECT COUNT(*) FROM {events} o \
         WHERE o.task_id = a.task_id AND o.epoch = a.epoch AND o.kind = 'task.claimed')",
    ),
    (
        "a loss is told once",
        "SELECT COUNT(*) FROM attempts a WHERE (a.state = 'lost') <> (1 = (SELECT COUNT(*) \
         FROM {events} o WHERE o.task_id = a.task_id AND o.epoch = a.epoch \
         AND o.kind IN ('task.lost')))",
    ),
    (
        "an agent's figures are those of its attempts",
        "SELECT COUNT(*) FROM agents g WHERE g.succeeded <> (SELECT COUNT(*) FROM attempts s \
         WHERE s.agent = g.name AND s.state = 'succeeded') OR g.failed <> (SELECT COUNT(*) \
         FROM attempts f WHERE f.agent = g.name AND f.state IN ('failed', 'lost')) \
         OR g.worked_us <> (SELECT COALESCE(SUM(b.ended_at - b.started_at), 0) FROM attempts b \
         WHERE b.agent = g.name AND b.ended_at IS NOT NULL)",
    ),
    (
        "a failure is told once",
        "SELECT COUNT(*) FROM attempts a WHERE a.state = 'failed' AND 1 <> (SELECT COUNT(*) \
         FROM {events} o WHERE o.task_id = a.task_id AND o.epoch = a.epoch \
         AND o.kind IN ('task.retry', 'task.failed'))",
    ),
    (
        "a task's end is told once",
        "SELECT COUNT(*) FROM tasks t WHERE t.epoch > 0 AND (CASE WHEN t.state = 'done' THEN 1 \
         ELSE 0 END) + (SELECT COUNT(*) FROM {events} r \
         WHERE r.task_id = t.id AND r.kind = 'task.reopened') <> (SELECT COUNT(*) FROM {events} o \
         WHERE o.task_id = t.id AND o.kind = 'task.done')",
    ),
    (
        "a merge is told once",
        "SELECT COUNT(*) FROM merge_queue m WHERE (CASE WHEN m.state = 'merged' THEN 1 ELSE 0 \
         END) + (SELECT COUNT(*) FROM {events} r WHERE r.merge_id = m.id \
         AND r.kind = 'task.reopened') <> (SELECT COUNT(*) FROM {events} o \
         WHERE o.merge_id = m.id AND o.kind = 'merge.done')",
    ),
    (
        "a piece of evidence is told once",
        "SELECT ABS((SELECT COUNT(*) FROM evidence) - (SELECT COUNT(*) FROM {events} o \
         WHERE o.kind = 'evidence.added'))",
    ),
    (
        "nothing is told of what is not there",
        "SELECT COUNT(*) FROM {events} o WHERE o.epoch IS NOT NULL AND NOT EXISTS (SELECT 1 \
         FROM attempts a WHERE a.task_id = o.task_id AND a.epoch = o.epoch)",
    ),
];

/// The violated rules, one per line.
pub(crate) async fn broken(place: &Place, pool: &BackDoor) -> String {
    let events = if place.is_postgres() {
        "(SELECT graph_id, task_id, epoch, merge_id, kind FROM outbox UNION ALL \
         SELECT graph_id, task_id, epoch, merge_id, kind FROM outbox_waiting)"
    } else {
        "outbox"
    };
    let mut broken = String::new();
    for (rule, sql) in RULES {
        let sql = sql.replace("{events}", events);
        let count = pool.number(&sql).await.expect(rule);
        if count != 0 {
            let _ = writeln!(broken, "{rule}: {count} rows break this");
        }
    }
    broken
}

/// Checks all rules, with indexes that make this fast for many tasks.
pub(crate) async fn hold(place: &Place) {
    let pool = place.back_door().await;
    let tables: &[_] =
        if place.is_postgres() { &["outbox", "outbox_pending"] } else { &["outbox"] };
    // What was left in batches would be taken apart again for each row.
    while place.is_postgres()
        && pool.number("SELECT COUNT(*) FROM outbox_batches").await.unwrap() > 0
    {
        place.open().await.latest_event().await.unwrap();
    }
    for table in tables {
        for column in ["graph_id", "task_id", "merge_id"] {
            let sql = format!("CREATE INDEX IF NOT EXISTS {table}_{column} ON {table} ({column})");
            pool.run(&sql).await.unwrap();
        }
    }
    if place.is_postgres() {
        pool.run("ANALYZE").await.unwrap();
    }
    assert_eq!(broken(place, &pool).await, "");
    pool.close().await;
}

/// Tests the rules: they detect violations.
pub(crate) async fn rules_find_what_is_wrong(place: &Place) {
    use crate::work::{claim, complete, many};

    let store = place.open().await;
    let mut spec = many(3);
    spec.tasks[1].needs = vec![0];
    store.submit(&spec, None, None).await.unwrap();
    complete(&store, claim(&store, "a").await.unwrap().lease()).await;
    claim(&store, "a").await.unwrap();
    hold(place).await;
    for (sql, expect) in [
        ("UPDATE tasks SET epoch = 7 WHERE position = 0", "number of its attempts"),
        ("UPDATE attempts SET state = 'failed' WHERE state = 'succeeded'", "succeeded attempt"),
        ("UPDATE task_queue SET priority = 7", "the queue has exactly"),
        ("UPDATE tasks SET state = 'waiting' WHERE position = 2", "something to wait for"),
        ("UPDATE tasks SET state = 'merging' WHERE position = 2", "one open entry"),
        ("UPDATE tasks SET unmet = 1 WHERE position = 2", "counted rightly"),
        ("DELETE FROM attempts WHERE state = 'running'", "one running attempt"),
        ("UPDATE graphs SET state = 'done'", "a graph is done exactly"),
        ("UPDATE graphs SET state = 'failed'", "a graph runs exactly"),
    ] {
        let pool = place.back_door().await;
        pool.run(sql).await.unwrap();
        let found = broken(place, &pool).await;
        assert!(found.contains(expect), "{sql}: {found}");
        pool.close().await;
    }
}
