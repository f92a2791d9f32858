//! What happened, in an order that nobody sees change.
//!
//! Under PostgreSQL a transaction draws its numbers before it commits: another one with a later
//! number may be seen earlier, and a reader that has gone on to that number would never see the
//! first. So transactions leave their events in `outbox_pending`, and whoever reads first moves
//! what is committed into `outbox`, under a lock that is held until that move is committed. The
//! ids given there are seen in their order. An event that follows from another one was drawn
//! later, and is never moved before it.

use super::columns::time;
use super::connect::TaskStore;
use super::dialect::Dialect;
use super::error::StoreError;
use super::record::Record;
use super::tx::{Done, Tx, event_id};
use super::value::args;
use greenloop_hub_api::types::Event;
use greenloop_model::task::{EventId, GraphId, MergeId, TaskEventKind, TaskId};

/// How many events one move takes.
const MOVED: i64 = 5_000;

impl TaskStore {
    /// Events after an id, in order, at most `limit` (1 to 1,000). An empty answer means that
    /// there is nothing more yet.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn events_after(&self, after: EventId, limit: u32) -> Result<Vec<Event>, StoreError> {
        if self.dialect() == Dialect::Postgres {
            self.collect_events().await?;
        }
        let limit = i64::from(limit.clamp(1, 1_000));
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx
            .all("SELECT * FROM outbox WHERE id > $1 ORDER BY id LIMIT $2", args![after.0, limit])
            .await?;
        rows.iter().map(view).collect()
    }

    /// The latest event that can be read: where a client begins that wants only what is new.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn latest_event(&self) -> Result<EventId, StoreError> {
        if self.dialect() == Dialect::Postgres {
            self.collect_events().await?;
        }
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let row = tx.one("SELECT COALESCE(MAX(id), 0) AS id FROM outbox", args![]).await?;
        event_id(&row)
    }

    /// The earliest event that is still kept; 0 when there are none. A client that wants to go on
    /// after an earlier one has missed some.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn earliest_event(&self) -> Result<EventId, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let row = tx.one("SELECT COALESCE(MIN(id), 0) AS id FROM outbox", args![]).await?;
        event_id(&row)
    }

    /// Gives committed events their place.
    pub(super) async fn collect_events(&self) -> Result<(), StoreError> {
        let waiting = self
            .reader()
            .await?
            .tx()
            .maybe("SELECT seq FROM outbox_pending ORDER BY seq LIMIT 1", args![])
            .await?;
        if waiting.is_none() {
            return Ok(());
        }
        self.write(|tx| Box::pin(collect(tx))).await
    }
}

async fn collect(tx: &mut Tx<'_>) -> Done<()> {
    // One at a time: the lock is let go with the commit, after the new rows can be seen. Whoever
    // waits here sees, in the next statement, what was moved meanwhile.
    tx.one("SELECT 1 AS one FROM (SELECT pg_advisory_xact_lock(7235041912)) held", args![]).await?;
    tx.run(
        "WITH moved AS (DELETE FROM outbox_pending WHERE seq IN \
            (SELECT seq FROM outbox_pending ORDER BY seq LIMIT $1) RETURNING *) \
         INSERT INTO outbox (at, kind, graph_id, task_id, epoch, agent, merge_id, percent, text) \
         SELECT at, kind, graph_id, task_id, epoch, agent, merge_id, percent, text FROM moved \
         ORDER BY seq",
        args![MOVED],
    )
    .await?;
    Ok(())
}

fn view(row: &Record) -> Result<Event, StoreError> {
    Ok(Event {
        id: event_id(row)?,
        at: time(row, "at")?,
        kind: row.named("kind", TaskEventKind::from_name)?,
        graph: row.opt_int("graph_id")?.map(GraphId),
        task: row.opt_int("task_id")?.map(TaskId),
        epoch: row.opt_int("epoch")?,
        agent: row.opt_text("agent")?,
        merge: row.opt_int("merge_id")?.map(MergeId),
        percent: row.percent("percent")?,
        text: row.opt_text("text")?,
    })
}
