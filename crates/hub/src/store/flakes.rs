//! Tests that were seen to pass and to fail on one tree, by repository.
//!
//! # Guarantees
//! - A test that is not reported for [`QUIET`] is forgotten: it is in no answer, and its row goes.
//! - Of one repository at most [`MOST`] tests are kept, those that were reported last.

use std::sync::Arc;
use std::time::Duration;

use super::columns::{micros, time};
use super::connect::TaskStore;
use super::error::StoreError;
use super::page::PageRequest;
use super::value::args;
use greenloop_hub_api::types::{Flake, FlakeReport};

/// How long a test behaves until it is forgotten.
pub(super) const QUIET: Duration = Duration::from_secs(14 * 24 * 3600);
/// Tests of one repository.
const MOST: i64 = 2_000;

impl TaskStore {
    /// Remembers the tests of a report, from now on for [`QUIET`].
    ///
    /// Needs no idempotency key: a second one does no harm.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn report_flakes(&self, report: &FlakeReport) -> Result<(), StoreError> {
        let report = Arc::new(report.clone());
        self.write(move |tx| {
            let report = Arc::clone(&report);
            Box::pin(async move {
                let FlakeReport { repository, tests } = &*report;
                // In one order, whoever reports: two reports never wait for each other.
                let mut tests: Vec<&String> = tests.iter().collect();
                tests.sort_unstable();
                tests.dedup();
                for test in tests {
                    tx.run(
                        "INSERT INTO flakes (repository, test, seen_at) VALUES ($1, $2, {now}) \
                         ON CONFLICT (repository, test) DO UPDATE SET seen_at = excluded.seen_at",
                        args![repository, test],
                    )
                    .await?;
                }
                tx.run(
                    "DELETE FROM flakes WHERE repository = $1 AND test IN (SELECT test FROM flakes \
                     WHERE repository = $1 ORDER BY seen_at DESC, test LIMIT 1000000 OFFSET $2)",
                    args![repository, MOST],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// The flaky tests of a repository, the latest first; at most `limit` (1 to 500).
    ///
    /// # Errors
    /// Those of the database.
    pub async fn flakes(&self, repository: &str, limit: u32) -> Result<Vec<Flake>, StoreError> {
        let limit = PageRequest::first(limit).limit();
        let mut reader = self.reader().await?;
        let rows = reader
            .tx()
            .all(
                "SELECT test, seen_at FROM flakes WHERE repository = $1 AND seen_at > {now} - $2 \
                 ORDER BY seen_at DESC, test LIMIT $3",
                args![repository, micros(QUIET), limit],
            )
            .await?;
        rows.iter()
            .map(|row| Ok(Flake { test: row.text("test")?, seen_at: time(row, "seen_at")? }))
            .collect()
    }
}
