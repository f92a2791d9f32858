//! Every statement of the store is prepared by both databases, which hold it to their tables.

use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqlSafeStr as _};
use sqlx::{Row as _, SqliteConnection};

use super::connect::{StoreOptions, TaskStore};
use super::dialect::Dialect;
use super::{claim, merges, unserved};

/// Statements that only one of the databases is given: how they begin.
const ONLY: &[(Dialect, &str)] = &[
    (Dialect::Sqlite, "SELECT q.task_id AS id FROM (WITH fitting"),
    (Dialect::Sqlite, "WITH pick AS MATERIALIZED"),
    (Dialect::Sqlite, "SELECT f.freelist_count"),
    (Dialect::Postgres, "WITH asked AS MATERIALIZED"),
    (Dialect::Postgres, "WITH horizon AS MATERIALIZED"),
    (Dialect::Postgres, "SELECT 1 AS one WHERE EXISTS (SELECT 1 FROM outbox_pending"),
    (Dialect::Postgres, "SELECT last_value AS id FROM attempts_id_seq"),
    (Dialect::Postgres, "SELECT agent FROM claimants"),
    (Dialect::Postgres, "SELECT t.id FROM (SELECT q.task_id FROM task_queue q"),
    (Dialect::Postgres, "SELECT t.id FROM attempts a JOIN tasks t ON t.id = a.task_id AND"),
    (Dialect::Postgres, "SELECT t.id FROM merge_queue m JOIN tasks t ON t.id = m.task_id AND"),
    (Dialect::Postgres, "SELECT 1 AS one FROM (SELECT pg_advisory"),
    (Dialect::Postgres, "SELECT 1 FROM (SELECT set_config"),
];

/// `indeterminate_datatype` and `ambiguous_parameter`:
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
const UNKNOWN_TYPES: &[&str] = &["42P18", "42P08"];

/// Those that macros put together.
const COMPOSED: &[&str] = &[
    claim::PROBE,
    claim::TAKE,
    claim::TAKE_ALL,
    unserved::GROUPS_OF,
    merges::ENTRY,
    merges::ENTRIES,
];

/// The texts in a source that are statements, and how many it composes of several.
fn statements(source: &str) -> (Vec<String>, usize) {
    let source = source.split("#[cfg(test)]").next().unwrap();
    let (mut found, mut composed) = (Vec::new(), 0);
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'', 'c', 'm']) {
        rest = &rest[at..];
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if rest.starts_with("macro_rules!") {
            // To its closing brace, at the beginning of a line.
            rest = rest.split_once("\n}").map_or("", |(_, after)| after);
        } else if ["concat!(", "merge_rows!("].iter().any(|it| rest.starts_with(it)) {
            composed += 1;
            // To the end of the item.
            rest = rest.split_once(");\n").map_or("", |(_, after)| after);
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\''") {
            rest = &rest[3..];
        } else if let Some(after) = rest.strip_prefix('"') {
            let (text, after) = literal(after);
            let begins = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "];
            // The head of an insertion, whose table and columns are filled in.
            let is_format = text.contains("{table}");
            if !is_format && begins.iter().any(|word| text.starts_with(word)) {
                found.push(text);
            }
            rest = after;
        } else {
            rest = &rest[1..];
        }
    }
    (found, composed)
}

/// A string literal up to its closing quote, and what comes after it.
fn literal(source: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = source.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (text, &source[at + 1..]),
            '\\' => match chars.next() {
                Some((_, '\n')) => {
                    while chars.next_if(|(_, char)| char.is_whitespace()).is_some() {}
                }
                Some((_, 'n')) => text.push('\n'),
                Some((_, char)) => text.push(char),
                None => {}
            },
            char => text.push(char),
        }
    }
    (text, "")
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|it| it == "rs")
            && !path.ends_with("statement_tests.rs")
            && !path.ends_with("plan_tests.rs")
        {
            found.push(path);
        }
    }
    found
}

/// All statements that `dialect` is given, in its own words.
fn all(dialect: Dialect) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut all: Vec<String> = COMPOSED.iter().map(|it| (*it).to_owned()).collect();
    let mut composed = 0;
    for path in sources(&folder) {
        let (found, count) = statements(&std::fs::read_to_string(path).unwrap());
        all.extend(found);
        composed += count;
    }
    assert_eq!(composed, COMPOSED.len(), "every composed statement is listed");
    assert!(all.len() > 200, "{} statements", all.len());
    all.retain(|sql| {
        ONLY.iter().all(|(only, begins)| *only == dialect || !sql.starts_with(begins))
    });
    all.iter().map(|sql| dialect.write(sql).into_owned()).collect()
}

/// Names those that `prepared` is an error for.
fn expect_all(prepared: Vec<(String, Result<(), sqlx::Error>)>) {
    let refused: Vec<String> = prepared
        .into_iter()
        .filter_map(|(sql, outcome)| Some(format!("{}\n  {sql}", outcome.err()?)))
        .collect();
    assert!(refused.is_empty(), "{} statements:\n{}", refused.len(), refused.join("\n"));
}

#[tokio::test]
async fn sqlite_prepares_every_statement() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("hub.db").display());
    TaskStore::open(&url, StoreOptions::default()).await.unwrap();
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let mut prepared = Vec::new();
    for sql in all(Dialect::Sqlite) {
        let outcome = connection.prepare(AssertSqlSafe(sql.clone()).into_sql_str()).await;
        prepared.push((sql, outcome.map(drop)));
    }
    expect_all(prepared);
}

/// `GREENLOOP_TEST_POSTGRES` is the server's address, or `skip`.
#[tokio::test]
async fn postgres_prepares_every_statement() {
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
    let mut prepared = Vec::new();
    for sql in all(Dialect::Postgres) {
        let outcome = connection.prepare(AssertSqlSafe(sql.clone()).into_sql_str()).await;
        let outcome = match outcome {
            // The statement is understood; the driver sends the types of its parameters.
            Err(sqlx::Error::Database(error))
                if error.code().is_some_and(|code| UNKNOWN_TYPES.contains(&&*code)) =>
            {
                Ok(())
            }
            outcome => outcome.map(drop),
        };
        prepared.push((sql, outcome));
    }
    let version: i64 =
        connection.fetch_one("SELECT MAX(version) FROM schema_versions").await.unwrap().get(0);
    assert!(version > 0);
    connection.close().await.unwrap();
    admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
    expect_all(prepared);
}
