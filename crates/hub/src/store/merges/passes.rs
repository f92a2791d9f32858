//! Which commits passed which gates.

use std::sync::Arc;
use std::time::Duration;

use super::lease::QueueLease;
use crate::store::columns::micros;
use crate::store::connect::TaskStore;
use crate::store::error::StoreError;
use crate::store::value::{args, list};

/// How long a tip that passed its gates is taken to pass them still, in microseconds.
const PASS_LASTS: i64 = 3_600_000_000;

impl TaskStore {
    /// Whether a commit has passed these gates as it is, within so long and the last hour.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn tip_passes(
        &self,
        lease: &QueueLease,
        sha: &str,
        gates: &[String],
        within: Duration,
    ) -> Result<bool, StoreError> {
        let within = micros(within).min(PASS_LASTS);
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let known = tx
            .maybe(
                "SELECT sha FROM tip_passes WHERE project_id = $1 AND target = $2 AND sha = $3 \
                 AND gates = $4 AND created_at > {now} - $5 \
                 UNION ALL SELECT m.merged FROM merge_queue m JOIN graphs g ON g.id = m.graph_id \
                 JOIN gate_records r ON r.project_id = m.project_id AND r.target = m.target \
                 AND r.sha = m.merged WHERE m.project_id = $1 AND m.target = $2 \
                 AND m.merged = $3 AND g.gates = $4 AND r.passed = 1 \
                 AND r.created_at > {now} - $5 LIMIT 1",
                args![lease.project, &lease.target, sha, list(gates), within],
            )
            .await?;
        Ok(known.is_some())
    }

    /// Writes down that a commit passes these gates as it is.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn note_tip_passes(
        &self,
        lease: &QueueLease,
        sha: &str,
        gates: &[String],
    ) -> Result<(), StoreError> {
        let asked = Arc::new((sha.to_owned(), list(gates)));
        self.as_writer(lease, move |tx, lease| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                tx.run(
                    "INSERT INTO tip_passes (project_id, target, sha, gates, created_at) \
                     VALUES ($1, $2, $3, $4, {now}) ON CONFLICT (project_id, target, sha, gates) \
                     DO UPDATE SET created_at = excluded.created_at",
                    args![lease.project, &lease.target, &asked.0, &asked.1],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Which of these commits are known to have passed gates of the target, whichever these were.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn known_good(
        &self,
        lease: &QueueLease,
        shas: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx
            .all(
                "SELECT sha FROM gate_records WHERE project_id = $1 AND target = $2 \
                 AND passed = 1 AND sha IN {in $3} \
                 UNION SELECT sha FROM tip_passes WHERE project_id = $1 AND target = $2 \
                 AND sha IN {in $3}",
                args![lease.project, &lease.target, shas],
            )
            .await?;
        rows.iter().map(|it| it.text("sha")).collect()
    }
}
