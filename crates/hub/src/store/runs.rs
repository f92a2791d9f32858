//! Deploy runs and their reports, kept for the dashboard.

use std::sync::Arc;

use super::columns::{small, time};
use super::connect::TaskStore;
use super::error::StoreError;
use super::page::PageRequest;
use super::record::Record;
use super::tx::NewEvent;
use super::value::args;
use greenloop_hub_api::types::{Run, RunReport};
use greenloop_model::task::TaskEventKind;

/// A place in the list of runs: behind the one that was reported then and has this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCursor {
    /// In microseconds.
    pub updated_at: i64,
    pub id: String,
}

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this environment.
    pub environment: Option<String>,
    /// In this state.
    pub state: Option<String>,
}

impl TaskStore {
    /// Takes a report on a run; a later one takes the place of an earlier one.
    ///
    /// Needs no idempotency key: a second one does no harm.
    ///
    /// # Errors
    /// `Invalid` for a run without an id.
    pub async fn report_run(&self, run: &RunReport) -> Result<Run, StoreError> {
        if run.id.is_empty() {
            return Err(StoreError::invalid("a run needs an id"));
        }
        let asked = Arc::new(run.clone());
        self.write(move |tx| {
            let run = Arc::clone(&asked);
            Box::pin(async move {
                tx.run(
                    "INSERT INTO runs (id, environment, state, commit_sha, iterations, summary, \
                     report, created_at, updated_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, {now}, {now}) \
                     ON CONFLICT (id) DO UPDATE SET environment = excluded.environment, \
                     state = excluded.state, commit_sha = excluded.commit_sha, \
                     iterations = excluded.iterations, summary = excluded.summary, \
                     report = excluded.report, updated_at = excluded.updated_at",
                    args![
                        &run.id,
                        &run.environment,
                        &run.state,
                        &run.commit,
                        i64::from(run.iterations),
                        &run.summary,
                        &run.report,
                    ],
                )
                .await?;
                let text = format!("{} {}: {}", run.environment, run.id, run.state);
                tx.emit(NewEvent::new(TaskEventKind::RunReported).text(text));
                Ok(())
            })
        })
        .await?;
        self.run(&run.id).await
    }

    /// One run.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn run(&self, id: &str) -> Result<Run, StoreError> {
        let row =
            self.reader().await?.tx().maybe("SELECT * FROM runs WHERE id = $1", args![id]).await?;
        row.as_ref()
            .map(view)
            .transpose()?
            .ok_or_else(|| StoreError::not_found(format_args!("run {id}")))
    }

    /// The run of an environment that was reported last, without its report.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn last_run(&self, environment: &str) -> Result<Option<Run>, StoreError> {
        let row = self
            .reader()
            .await?
            .tx()
            .maybe(
                "SELECT id, environment, state, commit_sha, iterations, summary, \
                 '' AS report, created_at, updated_at FROM runs WHERE environment = $1 \
                 ORDER BY updated_at DESC, id DESC LIMIT 1",
                args![environment],
            )
            .await?;
        row.as_ref().map(view).transpose()
    }

    /// Runs, the one reported last first; at most `limit` (1 to 500), without their reports, and
    /// where the next part begins. A run that is reported meanwhile moves to the first part.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn runs(
        &self,
        filter: &RunFilter,
        after: Option<&RunCursor>,
        limit: u32,
    ) -> Result<(Vec<Run>, Option<RunCursor>), StoreError> {
        let limit = PageRequest::first(limit).limit();
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx
            .all(
                "SELECT id, environment, state, commit_sha, iterations, summary, \
                     '' AS report, created_at, updated_at FROM runs \
                     WHERE ($1 IS NULL OR environment = $1) AND ($2 IS NULL OR state = $2) \
                     AND (updated_at, id) < ($3, $4) \
                     ORDER BY updated_at DESC, id DESC LIMIT $5",
                args![
                    &filter.environment,
                    &filter.state,
                    after.map_or(i64::MAX, |it| it.updated_at),
                    after.map_or("", |it| it.id.as_str()),
                    limit + 1,
                ],
            )
            .await?;
        let mut runs = rows.iter().map(view).collect::<Result<Vec<_>, _>>()?;
        let more = runs.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        let next = more.then(|| {
            runs.pop();
            runs.last().map(|run| RunCursor { updated_at: run.updated_at.0, id: run.id.clone() })
        });
        Ok((runs, next.flatten()))
    }
}

fn view(row: &Record) -> Result<Run, StoreError> {
    let (state, updated_at) = (row.text("state")?, time(row, "updated_at")?);
    Ok(Run {
        id: row.text("id")?,
        environment: row.text("environment")?,
        commit: row.opt_text("commit_sha")?,
        iterations: small(row, "iterations")?,
        summary: row.text("summary")?,
        report: row.text("report")?,
        started_at: time(row, "created_at")?,
        updated_at,
        ended_at: (state != "running").then_some(updated_at),
        state,
    })
}
