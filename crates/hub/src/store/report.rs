//! What the completion report of a graph is made of. Sums are made by the database; what is listed
//! is bounded, so that a graph of any size fits.

use std::collections::BTreeMap;

use super::columns::{opt_time, time};
use super::connect::TaskStore;
use super::error::StoreError;
use super::tx::{Done, Tx};
use super::value::args;
use greenloop_hub_api::types::{
    ActionCount, Graph, Timestamp, UnsuccessfulAttempt, UnsuccessfulMerge,
};
use greenloop_model::ModelUsage;
use greenloop_model::task::{AttemptState, GraphId, MergeId, MergeState, TaskId, TaskState};

/// Attempts and merges that are listed at most.
const LISTED: i64 = 500;
/// Pieces of evidence that are read at once.
const USAGES: i64 = 500;

const TASKS: &str = "SELECT t.id, t.key, t.title, t.state, t.hours, e.key AS epic_key \
    FROM tasks t LEFT JOIN epics e ON e.id = t.epic_id WHERE t.graph_id = $1 ORDER BY t.id";
const NEEDS: &str = "SELECT d.task_id, d.needs_id FROM dependencies d \
    JOIN tasks t ON t.id = d.task_id WHERE t.graph_id = $1 ORDER BY d.task_id, d.needs_id";
const ATTEMPTS: &str = "SELECT a.task_id, COUNT(*) AS attempts FROM attempts a \
    JOIN tasks t ON t.id = a.task_id WHERE t.graph_id = $1 GROUP BY a.task_id";
const SUCCEEDED: &str = "SELECT a.task_id, a.agent, a.instance, \
    COALESCE(a.ended_at - a.started_at, 0) AS worked FROM attempts a \
    JOIN tasks t ON t.id = a.task_id AND t.epoch = a.epoch \
    WHERE t.graph_id = $1 AND a.state = 'succeeded'";
const SHARES: &str = "SELECT a.agent, a.state, CASE WHEN a.instance = '' THEN 0 ELSE 1 END \
    AS measured, COUNT(*) AS attempts, \
    CAST(SUM(COALESCE(a.ended_at, {now}) - a.started_at) AS BIGINT) AS worked FROM attempts a \
    JOIN tasks t ON t.id = a.task_id WHERE t.graph_id = $1 \
    GROUP BY a.agent, a.state, CASE WHEN a.instance = '' THEN 0 ELSE 1 END ORDER BY a.agent";
const SPAN: &str = "SELECT {now} AS now, MIN(a.started_at) AS started_at FROM attempts a \
    JOIN tasks t ON t.id = a.task_id WHERE t.graph_id = $1";
const UNSUCCESSFUL: &str = "SELECT a.task_id, t.key, a.epoch, a.agent, a.state, a.class, \
    SUBSTR(a.message, 1, 500) AS message, a.ended_at - a.started_at AS worked FROM attempts a \
    JOIN tasks t ON t.id = a.task_id WHERE t.graph_id = $1 \
    AND a.state IN ('failed', 'lost', 'cancelled', 'ejected', 'returned') ORDER BY a.id LIMIT $2";
const MERGES: &str = "SELECT state, COUNT(*) AS entries, \
    CAST(COALESCE(SUM(ended_at - created_at), 0) AS BIGINT) AS took FROM merge_queue \
    WHERE graph_id = $1 GROUP BY state";
const CONFLICTS: &str = "SELECT task_id, COUNT(*) AS conflicts FROM merge_queue \
    WHERE graph_id = $1 AND state = 'conflict' GROUP BY task_id";
const UNSUCCESSFUL_MERGES: &str = "SELECT m.id, m.task_id, t.key, m.state, m.target, \
    SUBSTR(m.reason, 1, 500) AS reason, m.ended_at FROM merge_queue m \
    JOIN tasks t ON t.id = m.task_id WHERE m.graph_id = $1 \
    AND m.state IN ('conflict', 'ejected') ORDER BY m.id LIMIT $2";
const ACTIONS: &str = "SELECT operator, name, COUNT(*) AS actions FROM operator_actions \
    WHERE graph_id = $1 GROUP BY operator, name ORDER BY operator, name";
const USAGE: &str = "SELECT v.id, v.body FROM evidence v JOIN tasks t ON t.id = v.task_id \
    WHERE t.graph_id = $1 AND v.kind = 'usage' AND v.id > $2 ORDER BY v.id LIMIT $3";
const UNREPORTED: &str = "SELECT COUNT(*) AS attempts FROM attempts a \
    JOIN tasks t ON t.id = a.task_id WHERE t.graph_id = $1 AND t.command IS NULL \
    AND a.instance <> '' AND a.ended_at IS NOT NULL \
    AND NOT EXISTS (SELECT 1 FROM evidence v WHERE v.task_id = a.task_id \
        AND v.epoch = a.epoch AND v.kind = 'usage')";

/// A task, as its report needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskFacts {
    /// The task's id.
    pub id: TaskId,
    /// Unique in the graph.
    pub key: String,
    /// One line for people.
    pub title: String,
    /// The key of its epic.
    pub epic: Option<String>,
    /// Where it stands.
    pub state: TaskState,
    /// The estimate; 0 when none was given.
    pub hours: f64,
    /// All attempts.
    pub attempts: u64,
    /// Conflicts of its merges.
    pub conflicts: u64,
    /// Who did it.
    pub agent: Option<String>,
    /// Microseconds of the attempt that succeeded; `None` when nobody measured it.
    pub worked: Option<u64>,
    /// Places in [`ReportFacts::tasks`] of the tasks that it needs.
    pub needs: Vec<usize>,
}

/// The attempts of one agent that ended in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareFacts {
    /// Whose.
    pub agent: String,
    /// How they ended.
    pub state: AttemptState,
    /// How many.
    pub attempts: u64,
    /// Their time in microseconds; `None` for people and merge queues.
    pub worked: Option<u64>,
}

/// Entries of merge queues in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeFacts {
    /// Where they are.
    pub state: MergeState,
    /// How many.
    pub entries: u64,
    /// Microseconds from the queue to their end, in total.
    pub took: u64,
}

/// What a completion report is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportFacts {
    /// The database's clock.
    pub now: Timestamp,
    /// The graph.
    pub graph: Graph,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// In the order in which they were handed in.
    pub tasks: Vec<TaskFacts>,
    /// By agent and state.
    pub shares: Vec<ShareFacts>,
    /// Oldest first, at most 500.
    pub unsuccessful: Vec<UnsuccessfulAttempt>,
    /// By state.
    pub merges: Vec<MergeFacts>,
    /// Oldest first, at most 500.
    pub unsuccessful_merges: Vec<UnsuccessfulMerge>,
    /// By person and action.
    pub actions: Vec<ActionCount>,
    /// What models used, by model.
    pub usage: Vec<ModelUsage>,
    /// Attempts of an author and a reviewer that reported no usage.
    pub unreported: u64,
}

impl TaskStore {
    /// What the completion report of a graph is made of.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn report_facts(&self, id: GraphId) -> Result<ReportFacts, StoreError> {
        let graph = self.graph(id).await?;
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let span = tx.one(SPAN, args![id.0]).await?;
        Ok(ReportFacts {
            now: time(&span, "now")?,
            graph,
            started_at: opt_time(&span, "started_at")?,
            tasks: tasks(tx, id).await?,
            shares: shares(tx, id).await?,
            unsuccessful: unsuccessful(tx, id).await?,
            merges: merges(tx, id).await?,
            unsuccessful_merges: unsuccessful_merges(tx, id).await?,
            actions: actions(tx, id).await?,
            usage: usage(tx, id).await?,
            unreported: tx.one(UNREPORTED, args![id.0]).await?.count("attempts")?,
        })
    }
}

async fn tasks(tx: &mut Tx<'_>, id: GraphId) -> Done<Vec<TaskFacts>> {
    let mut tasks = Vec::new();
    let mut places = BTreeMap::new();
    for row in tx.all(TASKS, args![id.0]).await? {
        let task = TaskId(row.int("id")?);
        places.insert(task.0, tasks.len());
        tasks.push(TaskFacts {
            id: task,
            key: row.text("key")?,
            title: row.text("title")?,
            epic: row.opt_text("epic_key")?,
            state: row.named("state", TaskState::from_name)?,
            hours: row.real("hours")?,
            attempts: 0,
            conflicts: 0,
            agent: None,
            worked: None,
            needs: Vec::new(),
        });
    }
    let place = |id: i64| places.get(&id).copied();
    for row in tx.all(NEEDS, args![id.0]).await? {
        let need = place(row.int("needs_id")?);
        if let (Some(task), Some(need)) = (place(row.int("task_id")?), need)
            && let Some(task) = tasks.get_mut(task)
        {
            task.needs.push(need);
        }
    }
    for row in tx.all(ATTEMPTS, args![id.0]).await? {
        if let Some(task) = place(row.int("task_id")?).and_then(|at| tasks.get_mut(at)) {
            task.attempts = row.count("attempts")?;
        }
    }
    for row in tx.all(CONFLICTS, args![id.0]).await? {
        if let Some(task) = place(row.int("task_id")?).and_then(|at| tasks.get_mut(at)) {
            task.conflicts = row.count("conflicts")?;
        }
    }
    for row in tx.all(SUCCEEDED, args![id.0]).await? {
        if let Some(task) = place(row.int("task_id")?).and_then(|at| tasks.get_mut(at)) {
            task.agent = Some(row.text("agent")?);
            let measured = !row.text("instance")?.is_empty();
            task.worked = measured.then_some(row.count("worked")?);
        }
    }
    Ok(tasks)
}

/// Attempts without an instance of a worker were made by nobody's clock: those of people and of
/// merge queues.
async fn shares(tx: &mut Tx<'_>, id: GraphId) -> Done<Vec<ShareFacts>> {
    let rows = tx.all(SHARES, args![id.0]).await?;
    let shares = rows.iter().map(|row| {
        Ok(ShareFacts {
            agent: row.text("agent")?,
            state: row.named("state", AttemptState::from_name)?,
            attempts: row.count("attempts")?,
            worked: row.flag("measured")?.then_some(row.count("worked")?),
        })
    });
    Ok(shares.collect::<Result<_, StoreError>>()?)
}

async fn unsuccessful(tx: &mut Tx<'_>, id: GraphId) -> Done<Vec<UnsuccessfulAttempt>> {
    let rows = tx.all(UNSUCCESSFUL, args![id.0, LISTED]).await?;
    let attempts = rows.iter().map(|row| {
        Ok(UnsuccessfulAttempt {
            task: TaskId(row.int("task_id")?),
            key: row.text("key")?,
            epoch: row.int("epoch")?,
            agent: row.text("agent")?,
            state: row.named("state", AttemptState::from_name)?,
            class: row.opt_text("class")?,
            message: row.opt_text("message")?,
            seconds: row.opt_int("worked")?.map(seconds),
        })
    });
    Ok(attempts.collect::<Result<_, StoreError>>()?)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of fewer than 2^52")]
fn seconds(micros: i64) -> f64 {
    micros.max(0) as f64 / 1e6
}

async fn merges(tx: &mut Tx<'_>, id: GraphId) -> Done<Vec<MergeFacts>> {
    let rows = tx.all(MERGES, args![id.0]).await?;
    let merges = rows.iter().map(|row| {
        Ok(MergeFacts {
            state: row.named("state", MergeState::from_name)?,
            entries: row.count("entries")?,
            took: row.count("took")?,
        })
    });
    Ok(merges.collect::<Result<_, StoreError>>()?)
}

async fn unsuccessful_merges(tx: &mut Tx<'_>, id: GraphId) -> Done<Vec<UnsuccessfulMerge>> {
    let rows = tx.all(UNSUCCESSFUL_MERGES, args![id.0, LISTED]).await?;
    let merges = rows.iter().map(|row| {
        Ok(UnsuccessfulMerge {
            id: MergeId(row.int("id")?),
            task: TaskId(row.int("task_id")?),
            key: row.text("key")?,
            state: row.named("state", MergeState::from_name)?,
            target: row.text("target")?,
            reason: row.opt_text("reason")?,
            ended_at: opt_time(row, "ended_at")?,
        })
    });
    Ok(merges.collect::<Result<_, StoreError>>()?)
}

async fn actions(tx: &mut Tx<'_>, id: GraphId) -> Done<Vec<ActionCount>> {
    let rows = tx.all(ACTIONS, args![id.0]).await?;
    let actions = rows.iter().map(|row| {
        Ok(ActionCount {
            operator: row.text("operator")?,
            action: row.text("name")?,
            count: row.count("actions")?,
        })
    });
    Ok(actions.collect::<Result<_, StoreError>>()?)
}

async fn usage(tx: &mut Tx<'_>, id: GraphId) -> Done<Vec<ModelUsage>> {
    let mut sum = Vec::new();
    let mut after = 0;
    loop {
        let rows = tx.all(USAGE, args![id.0, after, USAGES]).await?;
        let Some(last) = rows.last() else { return Ok(sum) };
        after = last.int("id")?;
        for row in &rows {
            // A worker's words: what is no report adds nothing.
            let Ok(used) = serde_json::from_str::<Vec<ModelUsage>>(&row.text("body")?) else {
                continue;
            };
            for ModelUsage { model, usage } in used {
                ModelUsage::add(&mut sum, model, usage);
            }
        }
    }
}
