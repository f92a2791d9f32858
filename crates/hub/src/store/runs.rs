//! Deploy runs and their reports, kept for the dashboard.

use std::sync::Arc;

use super::connect::TaskStore;
use super::error::StoreError;
use super::records::{Moment, moment, small};
use super::statement::{Record, args};
use super::tx::NewEvent;
use greenloop_model::task::TaskEventKind;

/// A deploy run as it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReport {
    /// The run's id.
    pub id: String,
    /// The environment.
    pub environment: String,
    /// `running`, `verified` or why it stopped.
    pub state: String,
    /// What it deploys.
    pub commit: Option<String>,
    /// How often it went round.
    pub iterations: u32,
    /// One line for people.
    pub summary: String,
    /// The report, in Markdown; redacted by who sends it.
    pub report: String,
}

/// A deploy run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunView {
    /// What was reported last.
    pub run: RunReport,
    /// First reported.
    pub created_at: Moment,
    /// Last reported.
    pub updated_at: Moment,
}

impl TaskStore {
    /// Takes a report on a run; a later one takes the place of an earlier one.
    ///
    /// Needs no idempotency key: a second one does no harm.
    ///
    /// # Errors
    /// `Invalid` for a run without an id.
    pub async fn report_run(&self, run: &RunReport) -> Result<RunView, StoreError> {
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
                tx.tell(NewEvent::new(TaskEventKind::RunReported).text(text));
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
    pub async fn run(&self, id: &str) -> Result<RunView, StoreError> {
        let row =
            self.reader().await?.tx().maybe("SELECT * FROM runs WHERE id = $1", args![id]).await?;
        row.as_ref()
            .map(view)
            .transpose()?
            .ok_or_else(|| StoreError::not_found(format_args!("run {id}")))
    }

    /// Runs, the one reported last first; at most `limit` (1 to 500), without their reports.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn runs(&self, limit: u32) -> Result<Vec<RunView>, StoreError> {
        let limit = super::PageRequest::first(limit).limit();
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx
            .all(
                "SELECT id, environment, state, commit_sha, iterations, summary, \
                     '' AS report, created_at, updated_at FROM runs \
                     ORDER BY updated_at DESC, id LIMIT $1",
                args![limit],
            )
            .await?;
        rows.iter().map(view).collect()
    }
}

fn view(row: &Record) -> Result<RunView, StoreError> {
    Ok(RunView {
        run: RunReport {
            id: row.text("id")?,
            environment: row.text("environment")?,
            state: row.text("state")?,
            commit: row.opt_text("commit_sha")?,
            iterations: small(row, "iterations")?,
            summary: row.text("summary")?,
            report: row.text("report")?,
        },
        created_at: moment(row, "created_at")?,
        updated_at: moment(row, "updated_at")?,
    })
}
