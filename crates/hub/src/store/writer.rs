//! The one writer of a SQLite file. Operations queue up for it; those that have gathered while
//! the disk was busy are committed together, each in a savepoint of its own, and are answered
//! only after the commit.

use futures::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::connect::open_writer;
use super::dialect::Dialect;
use super::error::{DatabaseError, StoreError, StoreErrorKind, sort};
use super::tx::{Done, Stop, Tx, Woken};
use super::wake::Wake;

/// How many operations one commit carries at most.
const TOGETHER: usize = 128;
/// How many may wait before callers wait as well.
const QUEUE: usize = 1024;

/// An operation on a transaction. It may be run more than once.
pub(super) trait Operation<T>:
    for<'t, 'c> Fn(&'t mut Tx<'c>) -> BoxFuture<'t, Done<T>> + Send + Sync + 'static
{
}

impl<T, F> Operation<T> for F where
    F: for<'t, 'c> Fn(&'t mut Tx<'c>) -> BoxFuture<'t, Done<T>> + Send + Sync + 'static
{
}

/// An operation with its answer, waiting for the commit.
trait Job: Send {
    fn run<'t>(&'t mut self, tx: &'t mut Tx<'_>) -> BoxFuture<'t, Result<(), StoreError>>;
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Queued<T, F> {
    operation: F,
    answer: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Queued<T, F>
where
    T: Send + 'static,
    F: Operation<T>,
{
    fn run<'t>(&'t mut self, tx: &'t mut Tx<'_>) -> BoxFuture<'t, Result<(), StoreError>> {
        Box::pin(async move {
            self.answer = Some((self.operation)(tx).await?);
            Ok(tx.flush().await?)
        })
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let answer = match (outcome, self.answer) {
            (Err(error), _) => Err(error),
            (Ok(()), Some(answer)) => Ok(answer),
            (Ok(()), None) => Err(gone()),
        };
        // Whoever asked may have gone; what was done stays done.
        let _ = self.reply.send(answer);
    }
}

fn gone() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the store is shutting down")
}

/// The way to the writer.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
}

impl Writer {
    /// Starts the writer on a connection to `url` of its own.
    pub(super) fn start(connection: SqliteConnection, url: String, wake: Wake) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(work(connection, url, jobs, wake));
        Self { queue }
    }

    /// Runs an operation and waits until it is committed.
    pub(super) async fn write<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Operation<T>,
    {
        let (reply, answer) = oneshot::channel();
        let job = Queued { operation, answer: None, reply };
        self.queue.send(Box::new(job)).await.map_err(|_closed| gone())?;
        answer.await.map_err(|_closed| gone())?
    }
}

async fn work(
    mut connection: SqliteConnection,
    url: String,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    wake: Wake,
) {
    while let Some(first) = jobs.recv().await {
        if is_stuck(&mut connection).await {
            match open_writer(&url).await {
                Ok(opened) => connection = opened,
                Err(error) => {
                    first.answer(Err(error));
                    continue;
                }
            }
        }
        let woken = together(&mut connection, first, &mut jobs).await;
        wake.wake(woken);
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the database file was not closed cleanly");
    }
}

/// Whether no transaction can be begun on the connection any more. SQLite ends one by itself when the
/// disk is full or cannot be read; sqlx counts it as open for good, because its own `ROLLBACK` finds
/// none.
async fn is_stuck(connection: &mut SqliteConnection) -> bool {
    if !connection.is_in_transaction() {
        return false;
    }
    // A transaction that was dropped is rolled back in the background, before this is answered.
    connection.ping().await.is_err() || connection.is_in_transaction()
}

/// Runs the first operation, and those that wait behind it, in one transaction.
async fn together(
    connection: &mut SqliteConnection,
    first: Box<dyn Job>,
    jobs: &mut mpsc::Receiver<Box<dyn Job>>,
) -> Woken {
    let plain = |error| match sort(Dialect::Sqlite, error) {
        DatabaseError::Again(error) | DatabaseError::Final(error) => error,
    };
    let mut transaction = match connection.begin_with("BEGIN IMMEDIATE").await {
        Ok(transaction) => transaction,
        Err(error) => {
            first.answer(Err(plain(error)));
            return Woken::default();
        }
    };
    let mut done: Vec<Box<dyn Job>> = Vec::new();
    let mut tx = Tx::new(&mut *transaction);
    let mut woken = Woken::default();
    let mut next = Some(first);
    while let Some(mut job) = next.take() {
        match guarded(&mut tx, job.as_mut()).await {
            Ok(()) => {
                woken.add(tx.woken());
                done.push(job);
            }
            Err(Guarded::Refused(error)) => {
                tx.forget();
                job.answer(Err(error));
            }
            Err(Guarded::Broken(error)) => {
                // The state of the transaction is not known: everything in it is given up.
                job.answer(Err(error));
                for other in done {
                    other.answer(Err(StoreError::new(
                        StoreErrorKind::Unavailable,
                        "the transaction that this was part of was aborted",
                    )));
                }
                if let Err(error) = transaction.rollback().await {
                    tracing::warn!(%error, "could not roll back a transaction");
                }
                return Woken::default();
            }
        }
        if done.len() < TOGETHER {
            next = jobs.try_recv().ok();
        }
    }
    match transaction.commit().await.map_err(plain) {
        Ok(()) => {
            for job in done {
                job.answer(Ok(()));
            }
            woken
        }
        Err(error) => {
            tracing::warn!(%error, source = ?error.source, "could not commit a transaction");
            for job in done {
                job.answer(Err(StoreError::new(error.kind, error.message.clone())));
            }
            Woken::default()
        }
    }
}

enum Guarded {
    /// The operation left nothing behind.
    Refused(StoreError),
    /// What it left behind could not be taken back.
    Broken(StoreError),
}

/// Runs one operation in a savepoint.
async fn guarded(tx: &mut Tx<'_>, job: &mut dyn Job) -> Result<(), Guarded> {
    tx.script("SAVEPOINT one").await.map_err(|stop: Stop| Guarded::Broken(stop.into()))?;
    let outcome = job.run(tx).await;
    let end = match outcome {
        Ok(()) => "RELEASE one",
        Err(_) => "ROLLBACK TO one; RELEASE one",
    };
    match (outcome, tx.script(end).await) {
        (Ok(()), Ok(())) => Ok(()),
        (Err(error), Ok(())) => Err(Guarded::Refused(error)),
        (Ok(()), Err(stop)) => Err(Guarded::Broken(stop.into())),
        (Err(error), Err(_)) => Err(Guarded::Broken(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::value::args;

    async fn script(writer: &Writer, sql: &'static str) -> Result<(), StoreError> {
        writer.write(move |tx| Box::pin(tx.script(sql))).await
    }

    /// SQLite ends the transaction by itself then, which sqlx does not notice.
    #[tokio::test]
    async fn after_a_full_disk_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hub.db");
        std::fs::write(&file, "").unwrap();
        let url = format!("sqlite:{}", file.display());
        let writer = Writer::start(open_writer(&url).await.unwrap(), url, Wake::new());
        script(&writer, "CREATE TABLE t (x BLOB)").await.unwrap();
        // No page more than it has: on this connection only.
        script(&writer, "PRAGMA max_page_count = 1").await.unwrap();
        let insert = "INSERT INTO t VALUES (zeroblob(100000))";
        let full = script(&writer, insert).await.unwrap_err();
        assert_eq!(full.kind, StoreErrorKind::Unavailable);
        for _again in 0..2 {
            script(&writer, insert).await.unwrap();
        }
        let rows = writer.write(|tx| {
            Box::pin(
                async move { Ok(tx.one("SELECT COUNT(*) AS n FROM t", args![]).await?.int("n")?) },
            )
        });
        assert_eq!(rows.await.unwrap(), 2);
    }
}
