//! How many tasks there are of which role, in which state.

use super::connect::TaskStore;
use super::error::StoreError;
use super::value::args;
use greenloop_model::task::TaskState;

/// Tasks of one role in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskCount {
    /// Who may do them.
    pub role: Option<String>,
    /// Where they stand.
    pub state: TaskState,
    /// How many; never 0.
    pub tasks: u64,
}

impl TaskStore {
    /// Tasks that are not over, of running graphs, by role and state.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn task_counts(&self) -> Result<Vec<TaskCount>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx
            .all(
                "SELECT t.role, t.state, COUNT(*) AS tasks FROM tasks t \
                     JOIN graphs g ON g.id = t.graph_id WHERE g.state = 'running' \
                     AND t.state IN ('waiting', 'ready', 'running', 'merging', 'blocked') \
                     GROUP BY t.role, t.state",
                args![],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(TaskCount {
                    role: row.opt_text("role")?,
                    state: row.named("state", TaskState::from_name)?,
                    tasks: row.count("tasks")?,
                })
            })
            .collect()
    }
}
