//! What a claim looks at, with 100,000 tasks of every kind: the plan and the rows and pages it
//! touches, not the time.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use sqlx::{SqlSafeStr as _, SqliteConnection};

use super::claim::{ClaimQuery, PROBE, TAKE_ALL};
use super::connect::{ONE_PLAN, StoreOptions, TaskStore};
use super::dialect::Dialect;
use greenloop_hub_api::types::ClaimRequest;

/// Tasks of each kind.
const EACH: usize = 16_000;
/// Rows of a table that a claim may look at, and pages of all tables.
const ROWS: u64 = 64;
const PAGES: u64 = 400;

/// Tasks that are ready for `backend`; that rest; for a role that nobody has; for labels of their
/// own, each another one; assigned to another agent; in a repository out of reach; and running ones.
fn fill(dialect: Dialect) -> String {
    let numbers = |from: usize| match dialect {
        Dialect::Postgres => format!("generate_series({from}, {}) AS s (n)", from + EACH - 1),
        Dialect::Sqlite => format!(
            "(WITH RECURSIVE s (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM s \
             WHERE n < {}) SELECT n FROM s)",
            from + EACH - 1
        ),
    };
    let mut sql = "INSERT INTO projects (name, created_at) VALUES ('p', 1); \
        INSERT INTO graphs (project_id, name, repository, target, gates, state, created_at) \
        VALUES (1, 'near', 'near.git', 'main', '[]', 'running', 1), \
        (1, 'far', 'far.git', 'main', '[]', 'running', 1);"
        .to_owned();
    for (nth, (graph, role, labels, state, not_before, assigned)) in [
        (1, "'backend'", "'[\"linux\"]'", "ready", "0", "NULL"),
        (1, "'backend'", "'[]'", "ready", "9000000000000000", "NULL"),
        (1, "'nobody'", "'[]'", "ready", "0", "NULL"),
        (1, "'backend'", "'[]'", "ready", "0", "'other'"),
        (1, "NULL", "'[\"own-' || n || '\", \"linux\"]'", "ready", "0", "NULL"),
        (2, "'backend'", "'[]'", "ready", "0", "NULL"),
        (1, "'backend'", "'[]'", "running", "0", "NULL"),
    ]
    .into_iter()
    .enumerate()
    {
        sql += &format!(
            "INSERT INTO tasks (graph_id, position, key, title, description, role, labels, \
             priority, rank, hours, files, max_attempts, links, dependants, unmet, state, epoch, \
             attempts, deaths, not_before, assigned, created_at, updated_at) \
             SELECT {graph}, n, 'k' || n, 't', 'd', {role}, {labels}, 1, 1, 1, '[]', 3, 0, 0, 0, \
             '{state}', 0, 0, 0, {not_before}, {assigned}, 1, 1 FROM {};",
            numbers(nth * EACH)
        );
    }
    sql + "INSERT INTO attempts (task_id, epoch, agent, instance, state, percent, lease_us, \
        expires_at, progress_at, stuck, started_at) SELECT id, 1, 'other', '1', 'running', 0, 1, \
        9000000000000000, 9000000000000000, 0, 1 FROM tasks WHERE state = 'running';"
}

fn query(role: &str, labels: &[&str]) -> ClaimQuery {
    ClaimQuery {
        request: ClaimRequest {
            agent: "a".to_owned(),
            instance: "1".to_owned(),
            roles: vec![role.to_owned()],
            labels: labels.iter().map(|&it| it.to_owned()).collect(),
            lease_seconds: 60,
            wait_seconds: 0,
            unreachable: vec!["far.git".to_owned()],
        },
        key: Some("k".to_owned()),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// All nodes of a plan.
fn nodes<'p>(plan: &'p Value, into: &mut Vec<&'p Value>) {
    into.push(plan);
    for child in plan["Plans"].as_array().into_iter().flatten() {
        nodes(child, into);
    }
}

fn check(name: &str, explained: &Value) {
    let plan = &explained[0]["Plan"];
    let mut all = Vec::new();
    nodes(plan, &mut all);
    let number = |node: &Value, key: &str| node[key].as_f64().unwrap_or(0.0);
    for node in &all {
        let Some(table) = node["Relation Name"].as_str() else { continue };
        let looked = ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"]
            .map(|key| number(node, key))
            .iter()
            .sum::<f64>()
            * number(node, "Actual Loops");
        assert!(looked <= ROWS as f64, "{name}: {looked} rows of {table}: {node:#}");
        let scan = node["Node Type"].as_str().unwrap_or_default();
        if ["tasks", "task_queue", "task_kinds", "attempts"].contains(&table) {
            assert!(
                scan != "Seq Scan" || number(node, "Actual Loops") == 0.0,
                "{name}: all of {table} is read"
            );
        }
    }
    let pages = number(plan, "Shared Hit Blocks") + number(plan, "Shared Read Blocks");
    assert!(pages > 0.0 && pages <= PAGES as f64, "{name}: {pages} pages");
}

const CASES: [(&str, &str, &[&str], bool); 4] = [
    ("what it may have", "backend", &["linux", "gpu"], true),
    ("other labels", "backend", &[], false),
    ("no such role", "frontend", &["linux"], false),
    ("labels of one task", "frontend", &["linux", "own-64007"], true),
];

/// `GREENLOOP_TEST_POSTGRES` is the server's address, or `skip`.
#[tokio::test]
async fn a_claim_on_postgres_passes_over_nothing() {
    let variable = "GREENLOOP_TEST_POSTGRES";
    let server = std::env::var(variable).unwrap_or_else(|_| {
        panic!("set {variable} (scripts/services.sh starts a server), or set it to `skip`")
    });
    if server == "skip" {
        return;
    }
    let mut admin = PgConnection::connect(&server).await.unwrap();
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    drop(TaskStore::open(&url, StoreOptions::default()).await.unwrap());
    let mut connection = PgConnection::connect(&url).await.unwrap();
    // As the hub's connections that write; without statistics first, and with them then.
    connection.execute(sqlx::raw_sql(ONE_PLAN)).await.unwrap();
    sqlx::raw_sql(
        "CREATE FUNCTION explained(statement TEXT) RETURNS TEXT LANGUAGE plpgsql AS $$ \
         DECLARE found JSON; BEGIN EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || statement \
         INTO found; RETURN found; END $$",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let prepare = format!(
        "PREPARE claim (TEXT, TEXT, TEXT, TEXT, TEXT, BIGINT, TEXT) AS {}",
        Dialect::Postgres.write(TAKE_ALL)
    );
    connection.execute(sqlx::raw_sql(AssertSqlSafe(prepare))).await.unwrap();
    let fill = fill(Dialect::Postgres);
    connection.execute(sqlx::raw_sql(AssertSqlSafe(fill))).await.unwrap();
    for statistics in [false, true] {
        if statistics {
            connection.execute(sqlx::raw_sql("VACUUM ANALYZE")).await.unwrap();
        }
        for (case, role, labels, found) in CASES {
            for several in [false, true] {
                let query = query(role, labels);
                let lane = query.lane();
                let claims = if several { 8 } else { 1 };
                let claims: Vec<Value> = (0..claims)
                    .map(|n| {
                        let key = format!("{case}-{several}-{statistics}-{n}");
                        serde_json::json!({"n": n, "agent": format!("a{n}"), "instance": "1",
                            "lease_us": 1, "key": key})
                    })
                    .collect();
                let execute = format!(
                    "EXECUTE claim ({}, {}, {}, {}, {}, 16, {})",
                    quoted(&Value::from(claims).to_string()),
                    quoted(&lane.role_keys),
                    quoted(&lane.label_keys),
                    quoted(&lane.unreachable),
                    if several { "NULL" } else { "'a0'" },
                    quoted(&lane.labels),
                );
                connection.execute(sqlx::raw_sql("BEGIN")).await.unwrap();
                let before: i64 = running(&mut connection).await;
                let explain = format!("SELECT explained({})", quoted(&execute));
                let row = connection.fetch_one(sqlx::query(AssertSqlSafe(explain))).await.unwrap();
                let explained: Value = serde_json::from_str(row.get::<&str, _>(0)).unwrap();
                check(&format!("{case}, several: {several}"), &explained);
                assert_eq!(running(&mut connection).await > before, found, "{case}");
                connection.execute(sqlx::raw_sql("ROLLBACK")).await.unwrap();
            }
        }
    }
    connection.close().await.unwrap();
    admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
}

async fn running(connection: &mut PgConnection) -> i64 {
    let count = "SELECT COUNT(*) FROM attempts WHERE ended_at IS NULL";
    connection.fetch_one(count).await.unwrap().get(0)
}

#[tokio::test]
async fn a_claim_on_sqlite_searches_by_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("hub.db").display());
    let store = TaskStore::open(&url, StoreOptions::default()).await.unwrap();
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let fill = fill(Dialect::Sqlite);
    connection.execute(sqlx::raw_sql(AssertSqlSafe(fill))).await.unwrap();
    let explain = format!("EXPLAIN QUERY PLAN {}", Dialect::Sqlite.write(PROBE));
    let rows = connection
        .fetch_all(
            sqlx::query(AssertSqlSafe(explain).into_sql_str())
                .bind("a")
                .bind("[]")
                .bind("[]")
                .bind("[]")
                .bind("k")
                .bind("[]"),
        )
        .await
        .unwrap();
    let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    let plan = steps.join("\n");
    let scanned: BTreeSet<&str> = steps
        .iter()
        .filter_map(|step| step.strip_prefix("SCAN "))
        .map(|rest| rest.split(' ').next().unwrap())
        .collect();
    // The kinds that fit and the choice among them are few; so are agents and running graphs.
    for few in scanned {
        assert!(["f", "c", "g", "o", "json_each", "fitting", "one"].contains(&few), "{plan}");
    }
    for index in ["task_queue_claim", "task_queue_resting", "task_kinds_fitting"] {
        assert!(plan.contains(index), "{index}: {plan}");
    }
    connection.close().await.unwrap();
    for (case, role, labels, found) in CASES {
        let claimed = store.claim(&query(role, labels).request, None).await.unwrap();
        assert_eq!(claimed.is_some(), found, "{case}");
    }
}
