//! The tables, version by version. Each version is applied once, under a lock, in a transaction:
//! several hubs may start at once, and one that dies half-way leaves nothing behind.

use sqlx::{Connection as _, PgConnection, SqliteConnection};

use super::dialect::Dialect;
use super::driver::Connection;
use super::error::{DatabaseError, StoreError, sort};
use super::tx::{Done, Stop, Tx};
use super::value::args;

struct Migration {
    version: i64,
    sqlite: &'static str,
    postgres: &'static str,
}

/// Applied ones are never changed: add another.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        sqlite: include_str!("migrations/sqlite/0001_tables.sql"),
        postgres: include_str!("migrations/postgres/0001_tables.sql"),
    },
    Migration {
        version: 2,
        sqlite: include_str!("migrations/sqlite/0002_merge_holds.sql"),
        postgres: include_str!("migrations/postgres/0002_merge_holds.sql"),
    },
    Migration {
        version: 3,
        sqlite: include_str!("migrations/sqlite/0003_workers.sql"),
        postgres: include_str!("migrations/postgres/0003_workers.sql"),
    },
    Migration {
        version: 4,
        sqlite: include_str!("migrations/sqlite/0004_targets.sql"),
        postgres: include_str!("migrations/postgres/0004_targets.sql"),
    },
    Migration {
        version: 5,
        sqlite: include_str!("migrations/sqlite/0005_hold_tries.sql"),
        postgres: include_str!("migrations/postgres/0005_hold_tries.sql"),
    },
    Migration {
        version: 6,
        sqlite: include_str!("migrations/sqlite/0006_agents.sql"),
        postgres: include_str!("migrations/postgres/0006_agents.sql"),
    },
    Migration {
        version: 7,
        sqlite: include_str!("migrations/sqlite/0007_operate.sql"),
        postgres: include_str!("migrations/postgres/0007_operate.sql"),
    },
    Migration {
        version: 8,
        sqlite: include_str!("migrations/sqlite/0008_logs.sql"),
        postgres: include_str!("migrations/postgres/0008_logs.sql"),
    },
    Migration {
        version: 9,
        sqlite: include_str!("migrations/sqlite/0009_queue.sql"),
        postgres: include_str!("migrations/postgres/0009_queue.sql"),
    },
    Migration {
        version: 10,
        sqlite: include_str!("migrations/sqlite/0010_notifications.sql"),
        postgres: include_str!("migrations/postgres/0010_notifications.sql"),
    },
    Migration {
        version: 11,
        sqlite: include_str!("migrations/sqlite/0011_approvals.sql"),
        postgres: include_str!("migrations/postgres/0011_approvals.sql"),
    },
    Migration {
        version: 12,
        sqlite: include_str!("migrations/sqlite/0012_merge_approvals.sql"),
        postgres: include_str!("migrations/postgres/0012_merge_approvals.sql"),
    },
    Migration {
        version: 13,
        sqlite: include_str!("migrations/sqlite/0013_flakes.sql"),
        postgres: include_str!("migrations/postgres/0013_flakes.sql"),
    },
    Migration {
        version: 14,
        sqlite: include_str!("migrations/sqlite/0014_checkpoints.sql"),
        postgres: include_str!("migrations/postgres/0014_checkpoints.sql"),
    },
    Migration {
        version: 15,
        sqlite: include_str!("migrations/0015_requesters.sql"),
        postgres: include_str!("migrations/0015_requesters.sql"),
    },
];

/// How often bringing PostgreSQL up to date is tried.
const TRIES: u32 = 5;

/// One hub at a time brings a PostgreSQL database up to date. The number is any, but fixed.
const LOCK: &str = "SELECT 1 AS one FROM (SELECT pg_advisory_xact_lock(7235041911)) held";

/// Brings a SQLite file up to date.
pub(super) async fn migrate_sqlite(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let plain = |error| plain(Dialect::Sqlite, error);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(plain)?;
    match apply((&mut *transaction).into()).await {
        Ok(()) => transaction.commit().await.map_err(plain),
        Err(stop) => {
            transaction.rollback().await.map_err(plain)?;
            Err(stop.into())
        }
    }
}

/// Brings a PostgreSQL database up to date; again after a conflict with a hub that works meanwhile.
pub(super) async fn migrate_postgres(connection: &mut PgConnection) -> Result<(), StoreError> {
    let plain = |error| plain(Dialect::Postgres, error);
    let mut tries = TRIES;
    loop {
        let mut transaction = connection.begin().await.map_err(plain)?;
        match apply((&mut *transaction).into()).await {
            Ok(()) => return transaction.commit().await.map_err(plain),
            Err(stop) => {
                transaction.rollback().await.map_err(plain)?;
                tries -= 1;
                if tries == 0 || !matches!(stop, Stop::Again(_)) {
                    return Err(stop.into());
                }
            }
        }
    }
}

fn plain(dialect: Dialect, error: sqlx::Error) -> StoreError {
    match sort(dialect, error) {
        DatabaseError::Again(error) | DatabaseError::Final(error) => error,
    }
}

async fn apply(connection: Connection<'_>) -> Done<()> {
    let mut tx = Tx::new(connection);
    let dialect = tx.dialect();
    if dialect == Dialect::Postgres {
        tx.one(LOCK, args![]).await?;
    }
    tx.run(
        "CREATE TABLE IF NOT EXISTS schema_versions \
         (version BIGINT PRIMARY KEY, checksum TEXT NOT NULL)",
        args![],
    )
    .await?;
    let applied = tx
        .all(
            "SELECT CAST(version AS BIGINT) AS version, checksum FROM schema_versions \
             ORDER BY version",
            args![],
        )
        .await?
        .iter()
        .map(|row| Ok((row.int("version")?, row.text("checksum")?)))
        .collect::<Result<Vec<_>, StoreError>>()?;
    if let Some((newest, _)) = applied.last()
        && !MIGRATIONS.iter().any(|known| known.version == *newest)
    {
        return Err(StoreError::corrupt(format!(
            "the database has tables of version {newest}, created by a newer greenloop"
        ))
        .into());
    }
    for migration in MIGRATIONS {
        let sql = match dialect {
            Dialect::Sqlite => migration.sqlite,
            Dialect::Postgres => migration.postgres,
        };
        let checksum = blake3::hash(sql.as_bytes()).to_hex().to_string();
        match applied.iter().find(|(version, _)| *version == migration.version) {
            Some((_, found)) if *found == checksum => {}
            Some(_changed) => {
                return Err(StoreError::corrupt(format!(
                    "version {} of the database's tables differs from the one of this greenloop",
                    migration.version
                ))
                .into());
            }
            None => {
                tx.script(sql).await?;
                tx.run(
                    "INSERT INTO schema_versions (version, checksum) VALUES ($1, $2)",
                    args![migration.version, checksum],
                )
                .await?;
            }
        }
    }
    Ok(())
}
