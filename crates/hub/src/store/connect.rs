//! Opening a store, and running operations on it.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Database, PgConnection, PgPool, SqliteConnection, SqlitePool};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::batch::Batcher;
use super::dialect::Dialect;
use super::driver::{Connection, Pooled};
use super::error::{DatabaseError, StoreError, StoreErrorKind, sort};
use super::migrate::{migrate_postgres, migrate_sqlite};
use super::tx::{Done, Stop, Tx};
use super::wake::{Changes, Wake};
use super::writer::{Operation, Writer};
use super::{attempts, claim, claim_batch, complete_batch, listen, pubsub};
use greenloop_http::retry::{Retryable as _, backoff};
use greenloop_hub_api::types::Claimed;

/// How long a connection or a lock is waited for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that nobody used for so long is tried before it is used: the server may have gone.
const RESTED: Duration = Duration::from_millis(500);
/// How often a transaction that conflicted with another is run again.
const TRIES: usize = 12;

/// How a store works.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The expected period of heartbeats; an agent without one for three times as long is down.
    pub heartbeat: Duration,
    /// How long a task rests after its first failed attempt; twice as long after each further one.
    pub retry_base: Duration,
    /// The longest it rests.
    pub retry_cap: Duration,
    /// A task whose lease expired this often is given up, whatever attempts it has left.
    pub max_deaths: u32,
    /// A task that was given back this often without an attempt that counts waits for a person.
    pub max_returns: u32,
    /// How long an entry of a merge queue waits for a person to approve it.
    pub merge_approval: Duration,
    /// Whether people may approve what they requested themselves.
    pub self_approval: bool,
    /// Connections to PostgreSQL to write with, and as many to read with; or readers of a SQLite
    /// file.
    pub connections: u32,
    /// `redis://…`, to carry wake-ups between hubs beside PostgreSQL's own. Never needed.
    pub redis: Option<String>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(30),
            retry_base: Duration::from_secs(5),
            retry_cap: Duration::from_secs(300),
            max_deaths: 3,
            max_returns: 10,
            merge_approval: Duration::from_secs(7 * 24 * 3600),
            self_approval: false,
            connections: 8,
            redis: None,
        }
    }
}

/// The hub's memory: tasks, agents, merges, events. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct TaskStore {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Backend,
    /// Whether the last claim found something: then the next one need not look first.
    promising: AtomicBool,
    /// PostgreSQL: claims and completions on their way.
    claims: Batcher<claim::Lane, claim::ClaimQuery, Option<Claimed>>,
    completions: Batcher<(), attempts::CompletionQuery, attempts::Completed>,
    wake: Wake,
    options: StoreOptions,
    redis: Option<pubsub::Status>,
    _background: DropGuard,
}

enum Backend {
    /// One writer, and as many readers as there are connections.
    Sqlite { readers: SqlitePool, writer: Writer },
    /// What is written goes by keys, so that one plan is good for all; planning again would cost
    /// more than the statement itself. What is read has filters that may be absent, and is
    /// planned for what is asked.
    Postgres { readers: PgPool, writers: PgPool, listening: listen::Status },
}

/// A connection that is back in the pool once this is dropped.
pub(super) struct Reader(Pooled);

impl Reader {
    /// What statements are run on.
    pub(super) fn tx(&mut self) -> Tx<'_> {
        Tx::new(self.0.connection())
    }
}

impl std::fmt::Debug for TaskStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskStore").field("dialect", &self.dialect()).finish_non_exhaustive()
    }
}

/// The database that an address means, and the address as its driver understands it.
fn dialect_of(url: &str) -> Result<(Dialect, Cow<'_, str>), StoreError> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok((Dialect::Postgres, Cow::Borrowed(url)));
    }
    let Some(path) = url.strip_prefix("sqlite:") else {
        return Err(StoreError::invalid(
            "the address of a store must begin with sqlite: or postgres://, for example \
             sqlite:hub.db",
        ));
    };
    if path.contains(":memory:") || path.contains("mode=memory") {
        return Err(StoreError::invalid("a store in memory would be lost: use a file"));
    }
    let separator = if path.contains('?') { '&' } else { '?' };
    Ok((Dialect::Sqlite, Cow::Owned(format!("{url}{separator}mode=rwc"))))
}

/// Settings of each SQLite connection. Every commit is on the disk before it is answered.
///
/// How a file gives space back is decided before it has its first page: one that was made by an
/// earlier version keeps its free pages for itself.
const PRAGMAS: &str = "PRAGMA busy_timeout = 10000; PRAGMA auto_vacuum = INCREMENTAL; \
    PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
    PRAGMA cache_size = -16000; PRAGMA journal_size_limit = 67108864;";
/// Readers cannot write, not even by a mistake in this program.
const READER: &str = "PRAGMA query_only = ON;";
/// PostgreSQL plans a statement once for a connection, possibly before there are any statistics: an
/// index for every table, whatever its size seems to be.
pub(super) const ONE_PLAN: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
    SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
    SET jit = off;";

impl TaskStore {
    /// Opens a store and brings its tables up to date; several hubs may do so at once.
    ///
    /// `sqlite:PATH` (made when it is not there) or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    ///
    /// # Errors
    /// `Invalid` for an address that is not understood, `Unavailable` when nobody answers there,
    /// `Corrupt` when the tables are damaged or of a newer version.
    pub async fn open(url: &str, options: StoreOptions) -> Result<Self, StoreError> {
        let (dialect, url) = dialect_of(url)?;
        let wake = Wake::new();
        let background = CancellationToken::new();
        let process = Uuid::new_v4().simple().to_string();
        let backend = match dialect {
            Dialect::Sqlite => open_sqlite(&url, &options, &wake).await?,
            Dialect::Postgres => {
                let (readers, writers) = open_postgres(&url, &options).await?;
                let listening = listen::start(
                    &url,
                    &process,
                    readers.clone(),
                    wake.clone(),
                    background.clone(),
                );
                Backend::Postgres { readers, writers, listening }
            }
        };
        let redis = match &options.redis {
            Some(url) => Some(pubsub::start(url, &process, wake.clone(), background.clone())?),
            None => None,
        };
        let inner = Inner {
            backend,
            promising: AtomicBool::new(false),
            claims: Batcher::new(claim_batch::send),
            completions: Batcher::new(complete_batch::send),
            wake,
            options,
            redis,
            _background: background.drop_guard(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// As it was opened.
    pub fn options(&self) -> &StoreOptions {
        &self.inner.options
    }

    /// Changes after which a claim that found nothing may find something.
    pub fn work_changes(&self) -> Changes {
        self.inner.wake.work()
    }

    /// Changes after which the outbox has more.
    pub fn event_changes(&self) -> Changes {
        self.inner.wake.events()
    }

    pub(super) fn dialect(&self) -> Dialect {
        match &self.inner.backend {
            Backend::Sqlite { .. } => Dialect::Sqlite,
            Backend::Postgres { .. } => Dialect::Postgres,
        }
    }

    pub(super) fn wake(&self) -> &Wake {
        &self.inner.wake
    }

    pub(super) fn listening(&self) -> Option<&listen::Status> {
        match &self.inner.backend {
            Backend::Sqlite { .. } => None,
            Backend::Postgres { listening, .. } => Some(listening),
        }
    }

    pub(super) fn redis(&self) -> Option<&pubsub::Status> {
        self.inner.redis.as_ref()
    }

    /// Runs an operation in a transaction of its own, and again after a conflict with another.
    pub(super) async fn write<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Operation<T>,
    {
        match &self.inner.backend {
            Backend::Sqlite { writer, .. } => writer.write(operation).await,
            Backend::Postgres { writers, .. } => {
                let operation = || self.transaction(writers, &operation);
                Ok(retried(operation).await?)
            }
        }
    }

    /// The same for an operation that is one statement and leaves no events: where the database
    /// commits it by itself, it is spared the rest.
    pub(super) async fn write_statement<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Operation<T>,
    {
        match &self.inner.backend {
            Backend::Sqlite { writer, .. } => writer.write(operation).await,
            Backend::Postgres { writers, .. } => {
                let operation = || self.statement(writers, &operation);
                Ok(retried(operation).await?)
            }
        }
    }

    async fn transaction<T, F: Operation<T>>(&self, writers: &PgPool, operation: &F) -> Done<T> {
        let mut transaction = writers.begin().await.map_err(|e| self.plain(e))?;
        let mut tx = Tx::new(&mut *transaction);
        let answer = match operation(&mut tx).await {
            Ok(answer) => tx.flush().await.map(|()| answer),
            Err(stop) => Err(stop),
        };
        let woken = tx.woken();
        match answer {
            Ok(answer) => {
                transaction.commit().await.map_err(|error| match sort(self.dialect(), error) {
                    DatabaseError::Again(error) => Stop::Again(error),
                    DatabaseError::Final(error) => Stop::Final(error),
                })?;
                self.inner.wake.wake(woken);
                Ok(answer)
            }
            Err(stop) => {
                // Dropped without a commit, it is rolled back in any case.
                if let Err(error) = transaction.rollback().await {
                    tracing::debug!(%error, "could not roll back a transaction");
                }
                Err(stop)
            }
        }
    }

    async fn statement<T, F: Operation<T>>(&self, writers: &PgPool, operation: &F) -> Done<T> {
        let mut connection = writers.acquire().await.map_err(|e| self.plain(e))?;
        let mut tx = Tx::new(&mut *connection);
        let answer = operation(&mut tx).await?;
        let woken = tx.woken();
        self.inner.wake.wake(woken);
        Ok(answer)
    }

    /// A connection to read with; each statement sees what is committed when it starts.
    pub(super) async fn reader(&self) -> Result<Reader, StoreError> {
        let connection = match &self.inner.backend {
            Backend::Sqlite { readers, .. } => readers.acquire().await.map(Pooled::Sqlite),
            Backend::Postgres { readers, .. } => readers.acquire().await.map(Pooled::Postgres),
        };
        connection.map(Reader).map_err(|e| self.plain(e))
    }

    /// PostgreSQL: where claims are gathered.
    pub(super) fn claims(&self) -> &Batcher<claim::Lane, claim::ClaimQuery, Option<Claimed>> {
        &self.inner.claims
    }

    /// PostgreSQL: where completions without a commit are gathered.
    pub(super) fn completions(
        &self,
    ) -> &Batcher<(), attempts::CompletionQuery, attempts::Completed> {
        &self.inner.completions
    }

    /// Whether a claim may well find something.
    pub(super) fn promising(&self) -> &AtomicBool {
        &self.inner.promising
    }

    fn plain(&self, error: sqlx::Error) -> StoreError {
        plain(self.dialect(), error)
    }
}

fn plain(dialect: Dialect, error: sqlx::Error) -> StoreError {
    match sort(dialect, error) {
        DatabaseError::Again(error) | DatabaseError::Final(error) => error,
    }
}

/// Makes the file, where there is none, so that only its owner can read it, and takes the rights of
/// others away from one that an older version made. SQLite gives its other files the same rights.
fn keep_private(url: &str) -> std::io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    const OWNER_ONLY: u32 = 0o600;
    let Ok(options) = url.parse::<SqliteConnectOptions>() else { return Ok(()) };
    let path = options.get_filename();
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path);
    match made {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        // Opening it says what is wrong with the path.
        Err(_) => return Ok(()),
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let Ok(found) = std::fs::metadata(&name) else { continue };
        if found.is_file() && found.permissions().mode() & 0o077 != 0 {
            std::fs::set_permissions(&name, std::fs::Permissions::from_mode(OWNER_ONLY))?;
        }
    }
    Ok(())
}

async fn open_sqlite(
    url: &str,
    options: &StoreOptions,
    wake: &Wake,
) -> Result<Backend, StoreError> {
    let plain = |error| plain(Dialect::Sqlite, error);
    keep_private(url).map_err(|error| plain(sqlx::Error::Io(error)))?;
    let mut first = open_writer(url).await?;
    migrate_sqlite(&mut first).await?;
    let readers = limits(options)
        .after_connect(|connection: &mut SqliteConnection, _meta| {
            Box::pin(async move {
                script(&mut *connection, PRAGMAS).await?;
                script(connection, READER).await
            })
        })
        .connect(url)
        .await
        .map_err(plain)?;
    let writer = Writer::start(first, url.to_owned(), wake.clone());
    Ok(Backend::Sqlite { readers, writer })
}

/// A connection to write to the file with.
pub(super) async fn open_writer(url: &str) -> Result<SqliteConnection, StoreError> {
    let mut connection: SqliteConnection = first_connection(Dialect::Sqlite, url).await?;
    let set = script(&mut connection, PRAGMAS).await;
    set.map_err(|error| plain(Dialect::Sqlite, error))?;
    Ok(connection)
}

/// The pools to read and to write with.
async fn open_postgres(url: &str, options: &StoreOptions) -> Result<(PgPool, PgPool), StoreError> {
    let plain = |error| plain(Dialect::Postgres, error);
    let mut first: PgConnection = first_connection(Dialect::Postgres, url).await?;
    migrate_postgres(&mut first).await?;
    first.close().await.map_err(plain)?;
    let writers = limits(options)
        .after_connect(|connection: &mut PgConnection, _meta| {
            Box::pin(script(connection, ONE_PLAN))
        })
        .connect(url)
        .await
        .map_err(plain)?;
    Ok((limits(options).connect(url).await.map_err(plain)?, writers))
}

async fn first_connection<C: sqlx::Connection>(
    dialect: Dialect,
    url: &str,
) -> Result<C, StoreError> {
    tokio::time::timeout(ACQUIRE_TIMEOUT, C::connect(url))
        .await
        .map_err(|error| {
            StoreError::with(
                StoreErrorKind::Unavailable,
                "the database did not answer in time",
                error,
            )
        })?
        .map_err(|error| plain(dialect, error))
}

fn limits<DB: Database>(options: &StoreOptions) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(options.connections.max(1))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection: &mut DB::Connection, meta| {
            Box::pin(async move {
                if meta.idle_for > RESTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

async fn script<'c>(
    connection: impl Into<Connection<'c>>,
    sql: &'static str,
) -> Result<(), sqlx::Error> {
    connection.into().script(sql).await
}

/// Tries an operation again that conflicted with another one.
async fn retried<T, F, Fut>(operation: F) -> Done<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Done<T>>,
{
    // The random part keeps operations that conflicted once from doing so again.
    let delays = backoff(Duration::from_millis(2), Duration::from_millis(100));
    let conflicts = |error: &Stop| matches!(error, Stop::Again(_));
    let tries = operation.retry(delays.with_max_times(TRIES - 1));
    tries.sleep(tokio::time::sleep).when(conflicts).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_say_which_database_it_is() {
        for (url, expect) in [
            ("sqlite:hub.db", Some("sqlite:hub.db?mode=rwc")),
            (
                "sqlite:///srv/hub.db?cache=private",
                Some("sqlite:///srv/hub.db?cache=private&mode=rwc"),
            ),
            ("postgres://u@h/d", Some("postgres://u@h/d")),
            ("postgresql://u@h/d", Some("postgresql://u@h/d")),
            ("sqlite::memory:", None),
            ("mysql://h/d", None),
            ("hub.db", None),
        ] {
            assert_eq!(
                dialect_of(url).ok().map(|it| it.1.into_owned()).as_deref(),
                expect,
                "{url}"
            );
        }
    }
}
