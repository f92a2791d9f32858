//! The store of a test: a SQLite file, or a new database on a real PostgreSQL.

use std::time::Duration;

use greenloop_hub::store::{StoreOptions, TaskStore};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use uuid::Uuid;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// The address of a server for tests; `None` to skip its tests.
pub(crate) fn server(name: &str) -> Option<String> {
    let value = std::env::var(name).unwrap_or_else(|_| {
        panic!("set {name} (scripts/services.sh starts a server), or set it to `skip`")
    });
    (value != "skip").then_some(value)
}

/// An empty database; removed on drop.
pub(crate) struct Place {
    pub(crate) url: String,
    /// Of SQLite's file.
    _folder: tempfile::TempDir,
    /// PostgreSQL: the server's default database, and ours.
    server: Option<(String, String)>,
}

impl Place {
    pub(crate) async fn new(kind: Kind) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        if kind == Kind::Sqlite {
            let url = format!("sqlite:{}", folder.path().join("hub.db").display());
            return Some(Self { url, _folder: folder, server: None });
        }
        let server = server("GREENLOOP_TEST_POSTGRES")?;
        let name = format!("test_{}", Uuid::new_v4().simple());
        command(&server, format!("CREATE DATABASE {name}")).await;
        let (before, _database) = server.rsplit_once('/').unwrap();
        let url = format!("{before}/{name}");
        Some(Self { url, _folder: folder, server: Some((server, name)) })
    }

    pub(crate) async fn open(&self) -> TaskStore {
        self.open_with(options()).await
    }

    /// Another hub on the database, with other options.
    pub(crate) async fn open_with(&self, options: StoreOptions) -> TaskStore {
        TaskStore::open(&self.url, options).await.unwrap()
    }

    /// Direct access to the database, bypassing the store.
    pub(crate) async fn back_door(&self) -> BackDoor {
        if self.is_postgres() {
            let pool = PgPoolOptions::new().max_connections(2).connect(&self.url).await;
            BackDoor::Postgres(pool.unwrap())
        } else {
            let pool = SqlitePoolOptions::new().max_connections(2).connect(&self.url).await;
            BackDoor::Sqlite(pool.unwrap())
        }
    }

    /// Changes data bypassing the store.
    pub(crate) async fn meddle(&self, sql: &str) {
        let pool = self.back_door().await;
        pool.run(sql).await.unwrap();
        pool.close().await;
    }

    /// One number from the database.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let pool = self.back_door().await;
        let found = pool.number(sql).await.unwrap();
        pool.close().await;
        found
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.server.is_some()
    }

    /// How many transactions the database has seen; only PostgreSQL counts them.
    pub(crate) async fn transactions(&self) -> Option<i64> {
        let (server, name) = self.server.as_ref()?;
        // Servers report at most once a second.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let pool = PgPoolOptions::new().max_connections(1).connect(server).await.unwrap();
        let sql = format!(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '{name}'"
        );
        let seen = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap();
        pool.close().await;
        Some(seen)
    }

    /// Removes the database.
    pub(crate) async fn end(self) {
        if let Some((server, name)) = &self.server {
            command(server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

/// Connections that bypass the store.
pub(crate) enum BackDoor {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl BackDoor {
    /// Runs statements, all or none.
    pub(crate) async fn run(&self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(pool) => {
                let mut transaction = pool.begin().await?;
                sql.execute(&mut *transaction).await?;
                transaction.commit().await
            }
            Self::Postgres(pool) => {
                let mut transaction = pool.begin().await?;
                sql.execute(&mut *transaction).await?;
                transaction.commit().await
            }
        }
    }

    /// One number.
    pub(crate) async fn number(&self, sql: &str) -> Result<i64, sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(pool) => sqlx::query_scalar(sql).fetch_one(pool).await,
            Self::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(pool).await,
        }
    }

    /// The texts of one column.
    pub(crate) async fn texts(&self, sql: &str) -> Result<Vec<String>, sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(pool) => sqlx::query_scalar(sql).fetch_all(pool).await,
            Self::Postgres(pool) => sqlx::query_scalar(sql).fetch_all(pool).await,
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

async fn command(server: &str, sql: String) {
    let pool = PgPoolOptions::new().max_connections(1).connect(server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    pool.close().await;
}

/// Fast retries, so that tests need not wait.
pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        heartbeat: Duration::from_secs(30),
        retry_base: Duration::ZERO,
        retry_cap: Duration::ZERO,
        ..StoreOptions::default()
    }
}
