//! Attempts and their evidence, as they are shown.

use super::columns::{opt_time, time};
use super::connect::TaskStore;
use super::error::StoreError;
use super::page::{Page, PageRequest};
use super::record::Record;
use super::value::args;
use greenloop_hub_api::types::{Attempt, Evidence};
use greenloop_model::task::{AttemptState, EvidenceKind, Lease, TaskId};

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
        let found = {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            let asked = args![
                page.cursor.unwrap_or(i64::MAX),
                &filter.agent,
                filter.task.map(|it| it.0),
                filter.state.map(AttemptState::name),
                page.limit() + 1,
            ];
            let rows = tx
                .all(
                    "SELECT * FROM attempts WHERE id < $1 AND ($2 IS NULL OR agent = $2) \
                         AND ($3 IS NULL OR task_id = $3) AND ($4 IS NULL OR state = $4) \
                         ORDER BY id DESC LIMIT $5",
                    asked,
                )
                .await?;
            rows.iter()
                .map(|row| Ok((row.int("id")?, attempt(row)?)))
                .collect::<Result<Vec<_>, StoreError>>()?
        };
        let page = page.cut(found, |(id, _)| *id);
        Ok(Page { items: page.items.into_iter().map(|(_, it)| it).collect(), next: page.next })
    }
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
