//! Who did what when.

use std::collections::HashMap;

use super::columns::time;
use super::connect::TaskStore;
use super::error::StoreError;
use super::value::args;
use greenloop_hub_api::types::{Timeline, Timestamp};
use greenloop_model::task::{AttemptState, GraphId, TaskId};

/// Attempts of one answer.
const MOST: usize = 20_000;
/// People and merge queues have no instance, and no time of theirs is known.
const ATTEMPTS: &str = "SELECT a.task_id, a.epoch, a.agent, a.state, a.started_at, a.ended_at \
    FROM attempts a JOIN tasks t ON t.id = a.task_id \
    WHERE t.graph_id = $1 AND a.instance <> '' ORDER BY a.started_at, a.id LIMIT $2";

impl TaskStore {
    /// The attempts of workers at a graph's tasks, at most 20,000.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn timeline(&self, id: GraphId) -> Result<Timeline, StoreError> {
        let graph = self.graph(id).await?;
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let now = time(&tx.one("SELECT {now} AS now", args![]).await?, "now")?;
        let limit = i64::try_from(MOST).unwrap_or(i64::MAX).saturating_add(1);
        let mut rows = tx.all(ATTEMPTS, args![id.0, limit]).await?;
        let more = rows.len() > MOST;
        rows.truncate(MOST);
        let started_at = rows.first().map(|row| time(row, "started_at")).transpose()?;
        let after_start = |at: i64| {
            let since = Timestamp(at).since(started_at.unwrap_or(Timestamp(at)));
            since.as_secs_f64()
        };
        let mut timeline = Timeline {
            graph: id,
            started_at,
            until: graph.ended_at.unwrap_or(now),
            workers: Vec::new(),
            tasks: Vec::new(),
            epochs: Vec::new(),
            worker: Vec::new(),
            states: Vec::new(),
            begins: Vec::new(),
            ends: Vec::new(),
            more,
        };
        let mut workers: HashMap<String, u32> = HashMap::new();
        for row in &rows {
            let agent = row.text("agent")?;
            let next = u32::try_from(workers.len()).unwrap_or(u32::MAX);
            let worker = *workers.entry(agent.clone()).or_insert(next);
            if worker == next {
                timeline.workers.push(agent);
            }
            timeline.tasks.push(TaskId(row.int("task_id")?));
            timeline.epochs.push(row.int("epoch")?);
            timeline.worker.push(worker);
            timeline.states.push(row.named("state", AttemptState::from_name)?);
            timeline.begins.push(after_start(row.int("started_at")?));
            timeline.ends.push(row.opt_int("ended_at")?.map(after_start));
        }
        Ok(timeline)
    }
}
