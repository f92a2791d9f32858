//! All tasks of a graph at once, without what only one task's own page shows.

use std::collections::BTreeMap;

use super::columns::time;
use super::connect::TaskStore;
use super::error::StoreError;
use super::value::args;
use greenloop_hub_api::types::{GraphTask, GraphTasks};
use greenloop_model::task::{GraphId, TaskId, TaskState};

const EPICS: &str = "SELECT id, key FROM epics WHERE graph_id = $1 ORDER BY position";
const TASKS: &str = "SELECT t.id, t.key, t.title, t.state, t.epic_id, t.role, t.labels, t.hours, \
    t.epoch, t.reason, t.updated_at, a.agent, a.percent FROM tasks t \
    LEFT JOIN attempts a ON a.task_id = t.id AND a.epoch = t.epoch \
    WHERE t.graph_id = $1 ORDER BY t.id";
const NEEDS: &str = "SELECT d.task_id, d.needs_id FROM dependencies d \
    JOIN tasks t ON t.id = d.task_id WHERE t.graph_id = $1 ORDER BY d.task_id, d.needs_id";

impl TaskStore {
    /// All tasks of a graph, in the order in which they were handed in.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn graph_tasks(&self, id: GraphId) -> Result<GraphTasks, StoreError> {
        self.graph(id).await?;
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let mut epics = BTreeMap::new();
        let mut keys = Vec::new();
        for row in tx.all(EPICS, args![id.0]).await? {
            epics.insert(row.int("id")?, place(keys.len()));
            keys.push(row.text("key")?);
        }
        let rows = tx.all(TASKS, args![id.0]).await?;
        let mut places = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            places.insert(row.int("id")?, at);
        }
        let mut needs = vec![Vec::new(); rows.len()];
        for row in tx.all(NEEDS, args![id.0]).await? {
            let task = places.get(&row.int("task_id")?).and_then(|at| needs.get_mut(*at));
            if let (Some(task), Some(need)) = (task, places.get(&row.int("needs_id")?)) {
                task.push(place(*need));
            }
        }
        let mut tasks = GraphTasks::new(id, keys);
        for (row, needs) in rows.iter().zip(needs) {
            let epic = row.opt_int("epic_id")?.and_then(|epic| epics.get(&epic).copied());
            tasks.push(GraphTask {
                id: TaskId(row.int("id")?),
                key: row.text("key")?,
                title: row.text("title")?,
                state: row.named("state", TaskState::from_name)?,
                epic,
                role: row.opt_text("role")?,
                labels: row.list("labels")?,
                hours: row.real("hours")?,
                epoch: row.int("epoch")?,
                percent: row.percent("percent")?.unwrap_or(0),
                agent: row.opt_text("agent")?,
                reason: row.opt_text("reason")?,
                updated_at: time(row, "updated_at")?,
                needs,
            });
        }
        Ok(tasks)
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
