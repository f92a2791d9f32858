//! Attempts and their evidence, as they are shown.

use super::columns::{opt_time, time};
use super::connect::TaskStore;
use super::dialect::Dialect;
use super::error::StoreError;
use super::page::{Page, PageRequest};
use super::record::Record;
use super::tx::{Done, Tx};
use super::value::args;
use greenloop_hub_api::types::{Attempt, Evidence};
use greenloop_model::task::{AttemptState, EvidenceKind, Lease, TaskId};

/// How many rows are looked through first for a page of attempts.
const ROWS: i64 = 4_096;
const ASSIGNMENTS: &str = "SELECT * FROM attempts WHERE id < $1 AND id >= $2 \
    AND ($3 IS NULL OR agent = $3) AND ($4 IS NULL OR task_id = $4) \
    AND ($5 IS NULL OR state = $5) ORDER BY id DESC LIMIT $6";

/// Which attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    /// Of this agent.
    pub agent: Option<String>,
    /// At this task.
    pub task: Option<TaskId>,
    /// In this state.
    pub state: Option<AttemptState>,
}

impl TaskStore {
    /// Attempts at a task, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn attempts(
        &self,
        id: TaskId,
        page: PageRequest,
    ) -> Result<Page<Attempt>, StoreError> {
        let found = {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            let rows = tx
                .all(
                    "SELECT * FROM attempts WHERE task_id = $1 AND epoch > $2 ORDER BY epoch \
                     LIMIT $3",
                    args![id.0, page.cursor.unwrap_or(0), page.limit() + 1],
                )
                .await?;
            rows.iter().map(attempt).collect::<Result<Vec<_>, _>>()?
        };
        Ok(page.cut(found, |attempt| attempt.epoch))
    }

    /// The agent of an attempt; `None` when there is no such attempt.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn agent_of(&self, lease: Lease) -> Result<Option<String>, StoreError> {
        let row = self
            .reader()
            .await?
            .tx()
            .maybe(
                "SELECT agent FROM attempts WHERE task_id = $1 AND epoch = $2",
                args![lease.task.0, lease.epoch],
            )
            .await?;
        row.map(|row| row.text("agent")).transpose()
    }

    /// Evidence of a task, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn evidence(
        &self,
        id: TaskId,
        page: PageRequest,
    ) -> Result<Page<Evidence>, StoreError> {
        let found = {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            let rows = tx
                .all(
                    "SELECT * FROM evidence WHERE task_id = $1 AND id > $2 ORDER BY id LIMIT $3",
                    args![id.0, page.cursor.unwrap_or(0), page.limit() + 1],
                )
                .await?;
            rows.iter().map(evidence).collect::<Result<Vec<_>, _>>()?
        };
        Ok(page.cut(found, |piece| piece.id))
    }

    /// One piece of evidence.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn evidence_piece(&self, id: i64) -> Result<Evidence, StoreError> {
        let row = self
            .reader()
            .await?
            .tx()
            .maybe("SELECT * FROM evidence WHERE id = $1", args![id])
            .await?;
        row.as_ref()
            .map(evidence)
            .transpose()?
            .ok_or_else(|| StoreError::not_found(format_args!("piece of evidence {id}")))
    }

    /// Attempts of all tasks, latest first: who had what.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn assignments(
        &self,
        filter: &AttemptFilter,
        page: PageRequest,
    ) -> Result<Page<Attempt>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = match filter.state {
            Some(AttemptState::Running) => running(tx, filter, page).await?,
            _ => latest(tx, filter, page).await?,
        };
        let found = rows
            .iter()
            .map(|row| Ok((row.int("id")?, attempt(row)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        let page = page.cut(found, |(id, _)| *id);
        Ok(Page { items: page.items.into_iter().map(|(_, it)| it).collect(), next: page.next })
    }
}

/// Those that run are few, and found by that.
async fn running(tx: &mut Tx<'_>, filter: &AttemptFilter, page: PageRequest) -> Done<Vec<Record>> {
    let asked = args![
        page.cursor.unwrap_or(i64::MAX),
        &filter.agent,
        filter.task.map(|it| it.0),
        page.limit() + 1,
    ];
    tx.all(
        "SELECT * FROM attempts WHERE id < $1 AND state = 'running' AND ended_at IS NULL \
         AND ($2 IS NULL OR agent = $2) AND ($3 IS NULL OR task_id = $3) \
         ORDER BY id DESC LIMIT $4",
        asked,
    )
    .await
}

/// The ids are in the order of the rows: the latest rows first, then more and more of them.
async fn latest(tx: &mut Tx<'_>, filter: &AttemptFilter, page: PageRequest) -> Done<Vec<Record>> {
    let newest = match tx.dialect() {
        Dialect::Sqlite => "SELECT COALESCE(MAX(id), 0) AS id FROM attempts",
        Dialect::Postgres => "SELECT last_value AS id FROM attempts_id_seq",
    };
    let newest = tx.one(newest, args![]).await?.int("id")?;
    let mut below = page.cursor.unwrap_or(i64::MAX).min(newest.saturating_add(1));
    let (mut found, mut rows, limit) = (Vec::new(), ROWS, page.limit() + 1);
    while below > 0 {
        let missing = limit - i64::try_from(found.len()).unwrap_or(limit);
        if missing <= 0 {
            break;
        }
        let from = below.saturating_sub(rows);
        let asked = args![
            below,
            from,
            &filter.agent,
            filter.task.map(|it| it.0),
            filter.state.map(AttemptState::name),
            missing,
        ];
        found.extend(tx.all(ASSIGNMENTS, asked).await?);
        (below, rows) = (from, rows.saturating_mul(8));
    }
    Ok(found)
}

fn attempt(row: &Record) -> Result<Attempt, StoreError> {
    Ok(Attempt {
        task: TaskId(row.int("task_id")?),
        epoch: row.int("epoch")?,
        agent: row.text("agent")?,
        state: row.named("state", AttemptState::from_name)?,
        percent: row.percent("percent")?.unwrap_or(0),
        message: row.opt_text("message")?,
        commit: row.opt_text("commit_sha")?,
        class: row.opt_text("class")?,
        fingerprint: row.opt_text("fingerprint")?,
        started_at: time(row, "started_at")?,
        ended_at: opt_time(row, "ended_at")?,
    })
}

fn evidence(row: &Record) -> Result<Evidence, StoreError> {
    Ok(Evidence {
        id: row.int("id")?,
        task: TaskId(row.int("task_id")?),
        epoch: row.int("epoch")?,
        agent: row.text("agent")?,
        kind: row.named("kind", EvidenceKind::from_name)?,
        title: row.text("title")?,
        body: row.text("body")?,
        url: row.opt_text("url")?,
        created_at: time(row, "created_at")?,
    })
}
