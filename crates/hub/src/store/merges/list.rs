//! Entries and target branches as people see them.

use std::collections::BTreeMap;

use super::hold::hold;
use crate::store::columns::{opt_time, time};
use crate::store::connect::TaskStore;
use crate::store::error::StoreError;
use crate::store::page::{Page, PageRequest};
use crate::store::record::Record;
use crate::store::value::args;
use greenloop_hub_api::types::{Branch, Merge, MergeHold};
use greenloop_model::task::{GraphId, MergeId, MergeState, TaskId};

/// Which entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergeFilter {
    /// In this state.
    pub state: Option<MergeState>,
    /// Of this graph.
    pub graph: Option<GraphId>,
    /// Of this target branch.
    pub target: Option<String>,
}

/// The columns of an entry as it is shown, and where they come from.
macro_rules! merge_rows {
    ($rest:literal) => {
        concat!(
            "SELECT m.*, p.name AS project, \
             CASE WHEN m.state = 'conflict' AND k.epoch = m.epoch \
             AND k.state IN ('ready', 'waiting', 'blocked') THEN 1 ELSE 0 END AS unsolved, \
             (SELECT MAX(a.id) FROM approvals a WHERE a.merge_id = m.id AND a.merge_id > 0 \
             AND a.state = 'pending') AS request \
             FROM merge_queue m JOIN projects p ON p.id = m.project_id \
             JOIN tasks k ON k.id = m.task_id ",
            $rest
        )
    };
}

pub(in crate::store) const ENTRY: &str = merge_rows!("WHERE m.id = $1");
pub(in crate::store) const ENTRIES: &str = merge_rows!(
    "WHERE m.id < $1 AND ($2 IS NULL OR m.state = $2) AND ($3 IS NULL OR m.graph_id = $3) \
     AND ($4 IS NULL OR m.target = $4) ORDER BY m.id DESC LIMIT $5"
);

const BRANCHES: &str = "SELECT t.project_id, p.name AS project, p.repository, t.target, t.head, \
    COALESCE(t.reason, t.waits_for) AS reason, t.paused_at, \
    CASE WHEN t.expires_at > {now} THEN t.holder ELSE NULL END AS writer, \
    CASE WHEN t.not_before > {now} THEN t.not_before ELSE NULL END AS paused_until, \
    COALESCE(q.queued, 0) AS queued, COALESCE(q.testing, 0) AS testing, \
    COALESCE(q.merged, 0) AS merged \
    FROM merge_targets t JOIN projects p ON p.id = t.project_id LEFT JOIN \
    (SELECT project_id, target, \
        COUNT(CASE WHEN state IN ('queued', 'waiting') THEN 1 END) AS queued, \
        COUNT(CASE WHEN state = 'testing' THEN 1 END) AS testing, \
        COUNT(CASE WHEN state = 'merged' THEN 1 END) AS merged \
        FROM merge_queue GROUP BY project_id, target) q \
    ON q.project_id = t.project_id AND q.target = t.target \
    LEFT JOIN merge_holds h ON h.project_id = t.project_id AND h.target = t.target \
    ORDER BY CASE WHEN h.target IS NULL THEN 1 ELSE 0 END, p.name, t.target";

impl TaskStore {
    /// One entry.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn merge(&self, id: MergeId) -> Result<Merge, StoreError> {
        let row = self.reader().await?.tx().maybe(ENTRY, args![id.0]).await?;
        row.as_ref().map(view).transpose()?.ok_or_else(|| no_entry(id))
    }

    /// Entries, latest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn merges(
        &self,
        filter: &MergeFilter,
        page: PageRequest,
    ) -> Result<Page<Merge>, StoreError> {
        let found = {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            let rows = tx
                .all(
                    ENTRIES,
                    args![
                        page.cursor.unwrap_or(i64::MAX),
                        filter.state.map(MergeState::name),
                        filter.graph.map(|it| it.0),
                        &filter.target,
                        page.limit() + 1,
                    ],
                )
                .await?;
            rows.iter().map(view).collect::<Result<Vec<_>, _>>()?
        };
        Ok(page.cut(found, |entry| entry.id.0))
    }

    /// The target branches that something was ever queued for; those on hold first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn branches(&self) -> Result<Vec<Branch>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx.all(BRANCHES, args![]).await?;
        let mut held = BTreeMap::new();
        for row in tx.all("SELECT * FROM merge_holds", args![]).await? {
            held.insert((row.int("project_id")?, row.text("target")?), hold(&row)?);
        }
        rows.iter()
            .map(|row| {
                let place = (row.int("project_id")?, row.text("target")?);
                branch(row, held.remove(&place))
            })
            .collect()
    }

    /// Which of these entries there are, in whatever state.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn known_merges(&self, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
        let mut reader = self.reader().await?;
        let rows =
            reader.tx().all("SELECT id FROM merge_queue WHERE id IN {ids $1}", args![ids]).await?;
        rows.iter().map(|row| row.int("id")).collect()
    }
}

pub(in crate::store) fn no_entry(id: MergeId) -> StoreError {
    StoreError::not_found(format_args!("entry {id} in a merge queue"))
}

fn view(row: &Record) -> Result<Merge, StoreError> {
    Ok(Merge {
        id: MergeId(row.int("id")?),
        project: row.text("project")?,
        task: TaskId(row.int("task_id")?),
        epoch: row.int("epoch")?,
        branch: row.text("branch")?,
        commit: row.text("commit_sha")?,
        target: row.text("target")?,
        state: row.named("state", MergeState::from_name)?,
        merged: row.opt_text("merged")?,
        reason: row.opt_text("reason")?,
        unsolved: row.flag("unsolved")?,
        approval: row.opt_int("request")?,
        created_at: time(row, "created_at")?,
        ended_at: opt_time(row, "ended_at")?,
    })
}

fn branch(row: &Record, hold: Option<MergeHold>) -> Result<Branch, StoreError> {
    Ok(Branch {
        name: row.text("target")?,
        kind: "target".to_owned(),
        project: Some(row.text("project")?),
        repository: row.opt_text("repository")?,
        commit: row.opt_text("head")?,
        task: None,
        writer: row.opt_text("writer")?,
        queued: row.count("queued")?,
        testing: row.count("testing")?,
        merged: row.count("merged")?,
        paused_until: opt_time(row, "paused_until")?,
        reason: row.opt_text("reason")?,
        paused_since: opt_time(row, "paused_at")?,
        hold,
    })
}
