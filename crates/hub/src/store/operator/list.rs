//! The record of what people did.

use crate::store::columns::time;
use crate::store::connect::TaskStore;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::page::{Page, PageRequest};
use crate::store::record::Record;
use crate::store::value::args;
use greenloop_hub_api::types::OperatorAction;
use greenloop_model::task::{GraphId, MergeId, TaskId};

/// Which actions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActionFilter {
    /// About this graph or one of its tasks.
    pub graph: Option<GraphId>,
    /// About this task.
    pub task: Option<TaskId>,
    /// About this worker.
    pub agent: Option<String>,
    /// By somebody whose token has this name.
    pub operator: Option<String>,
}

impl TaskStore {
    /// What people did, latest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn actions(
        &self,
        filter: &ActionFilter,
        page: PageRequest,
    ) -> Result<Page<OperatorAction>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = reader
            .tx()
            .all(
                "SELECT * FROM operator_actions WHERE id < $1 \
                 AND ($2 IS NULL OR graph_id = $2) AND ($3 IS NULL OR task_id = $3) \
                 AND ($4 IS NULL OR agent = $4) AND ($5 IS NULL OR operator = $5) \
                 ORDER BY id DESC LIMIT $6",
                args![
                    page.cursor.unwrap_or(i64::MAX),
                    filter.graph.map(|it| it.0),
                    filter.task.map(|it| it.0),
                    &filter.agent,
                    &filter.operator,
                    page.limit() + 1,
                ],
            )
            .await?;
        let found = rows.iter().map(view).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(found, |action| action.id))
    }
}

fn view(row: &Record) -> Result<OperatorAction, StoreError> {
    let json = |column: &str| -> Result<serde_json::Value, StoreError> {
        serde_json::from_str(&row.text(column)?).map_err(|error| {
            let text = format!("the column {column} of a record is not understood");
            StoreError::with(StoreErrorKind::Corrupt, text, error)
        })
    };
    Ok(OperatorAction {
        id: row.int("id")?,
        at: time(row, "at")?,
        operator: row.text("operator")?,
        token: row.text("token")?,
        action: row.text("name")?,
        reason: row.text("reason")?,
        graph: row.opt_int("graph_id")?.map(GraphId),
        task: row.opt_int("task_id")?.map(TaskId),
        agent: row.opt_text("agent")?,
        merge: row.opt_int("merge_id")?.map(MergeId),
        target: row.opt_text("target")?,
        before: json("was")?,
        after: json("became")?,
    })
}
