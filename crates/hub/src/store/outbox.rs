//! What happened, in an order that nobody sees change.
//!
//! Under PostgreSQL a transaction draws its numbers before it commits: another one with a later
//! number may be seen earlier, and a reader that has gone on to that number would never see the
//! first. So transactions leave their events in `outbox_pending`, and those of many tasks, as one
//! row, in `outbox_batches`, and whoever reads first moves
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

/// How many events one move takes, and how many batches of events.
const MOVED: i64 = 5_000;
const MOVED_BATCHES: i64 = 200;

const WAITING: &str = "SELECT 1 AS one WHERE EXISTS (SELECT 1 FROM outbox_pending) \
    OR EXISTS (SELECT 1 FROM outbox_batches)";

/// Events that were left one by one and in batches, up to where either is cut off, in the order of
/// their numbers.
const MOVE: &str = "WITH horizon AS MATERIALIZED (SELECT LEAST(\
        COALESCE((SELECT seq FROM outbox_pending ORDER BY seq OFFSET $1 LIMIT 1), \
            9223372036854775807), \
        COALESCE((SELECT seq FROM outbox_batches ORDER BY seq OFFSET $2 LIMIT 1), \
            9223372036854775807)) AS seq), \
     one AS (DELETE FROM outbox_pending WHERE seq < (SELECT seq FROM horizon) RETURNING *), \
     several AS (DELETE FROM outbox_batches WHERE seq < (SELECT seq FROM horizon) RETURNING *) \
     INSERT INTO outbox (at, kind, graph_id, task_id, epoch, agent, merge_id, percent, text) \
     SELECT at, kind, graph_id, task_id, epoch, agent, merge_id, percent, text FROM (\
        SELECT seq, CAST(0 AS BIGINT) AS nth, at, kind, graph_id, task_id, epoch, agent, \
            merge_id, percent, text FROM one \
        UNION ALL \
        SELECT b.seq, e.nth, b.at, b.kind, CAST(e.event ->> 0 AS BIGINT), \
            CAST(e.event ->> 1 AS BIGINT), CAST(e.event ->> 2 AS BIGINT), e.event ->> 3, \
            CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), e.event ->> 4 FROM several b \
        CROSS JOIN LATERAL json_array_elements(CAST(b.events AS json)) \
            WITH ORDINALITY AS e (event, nth)) moved ORDER BY seq, nth";

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
        let waiting = self.reader().await?.tx().maybe(WAITING, args![]).await?;
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
    tx.run(MOVE, args![MOVED, MOVED_BATCHES]).await?;
    Ok(())
}

pub(super) fn view(row: &Record) -> Result<Event, StoreError> {
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
