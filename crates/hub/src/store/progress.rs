//! How far everything is, now and over time.

use std::collections::BTreeMap;

use super::columns::{percent, time};
use super::connect::TaskStore;
use super::error::StoreError;
use super::page::{Page, PageRequest};
use super::record::Record;
use super::requests::{fingerprint, remember, replayed};
use super::tx::{Done, NewEvent, Tx};
use super::value::args;
use greenloop_hub_api::types::{EpicProgress, Snapshot, Timestamp};
use greenloop_model::task::{GraphId, TaskEventKind, TaskState};

/// How far a graph, or everything, is.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// When this was so.
    pub at: Timestamp,
    /// Tasks by state; states without tasks are absent.
    pub tasks: BTreeMap<TaskState, u64>,
    /// All estimated hours.
    pub hours: f64,
    /// Those that are done.
    pub hours_done: f64,
    /// Tasks that were finished in the last hour of the clock.
    pub tasks_last_hour: u64,
    /// The estimated hours of those.
    pub hours_last_hour: f64,
    /// Tasks that were finished in the last 24 hours of the clock.
    pub tasks_last_day: u64,
    /// The estimated hours of those.
    pub hours_last_day: f64,
    /// When the first task was given to an agent.
    pub started_at: Option<Timestamp>,
    /// In order.
    pub epics: Vec<EpicProgress>,
}

impl Figures {
    /// Percent of the hours that are done; of the tasks when there are no hours.
    pub fn percent(&self) -> f64 {
        let all: u64 = self.tasks.values().sum();
        let done = self.tasks.get(&TaskState::Done).copied().unwrap_or(0);
        percent(self.hours_done, self.hours, done, all)
    }
}

const HOUR: i64 = 3_600_000_000;

impl TaskStore {
    /// How far a graph is; all graphs together when none is named.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn summary(&self, graph: Option<GraphId>) -> Result<Figures, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        Ok(summary(tx, graph).await?)
    }

    /// Writes down how far the running graphs are; how many that were.
    ///
    /// # Errors
    /// `Conflict` when the key was used for something else.
    pub async fn snapshot(&self, key: Option<&str>) -> Result<u64, StoreError> {
        let key = key.map(str::to_owned);
        self.write(move |tx| {
            let key = key.clone();
            Box::pin(async move {
                let print = fingerprint("snapshot", &());
                if let Some(count) = replayed::<u64>(tx, key.as_deref(), &print).await? {
                    return Ok(count);
                }
                let count = snapshot(tx).await?;
                remember(tx, key.as_deref(), &print, &count).await?;
                Ok(count)
            })
        })
        .await
    }

    /// Snapshots of a graph, latest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn history(
        &self,
        graph: GraphId,
        page: PageRequest,
    ) -> Result<Page<Snapshot>, StoreError> {
        let found = {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            let rows = tx
                .all(
                    "SELECT * FROM progress_snapshots WHERE graph_id = $1 AND id < $2 \
                         ORDER BY id DESC LIMIT $3",
                    args![graph.0, page.cursor.unwrap_or(i64::MAX), page.limit() + 1],
                )
                .await?;
            rows.iter()
                .map(|row| Ok((row.int("id")?, view(row)?)))
                .collect::<Result<Vec<_>, StoreError>>()?
        };
        let page = page.cut(found, |(id, _)| *id);
        Ok(Page { items: page.items.into_iter().map(|(_, it)| it).collect(), next: page.next })
    }
}

async fn summary(tx: &mut Tx<'_>, graph: Option<GraphId>) -> Done<Figures> {
    let graph = graph.map(|it| it.0);
    let counted = tx
        .all(
            "SELECT state, COUNT(*) AS tasks, SUM(hours) AS hours FROM tasks \
             WHERE ($1 IS NULL OR graph_id = $1) GROUP BY state",
            args![graph],
        )
        .await?;
    let mut tasks = BTreeMap::new();
    let (mut hours, mut hours_done) = (0.0, 0.0);
    for row in counted {
        let state = row.named("state", TaskState::from_name)?;
        tasks.insert(state, row.count("tasks")?);
        hours += row.real("hours")?;
        if state == TaskState::Done {
            hours_done = row.real("hours")?;
        }
    }
    // Tasks that were done before they came in were not finished here: their epoch is 0.
    let recent = tx
        .one(
            "SELECT {now} AS now, COUNT(*) AS day, COALESCE(SUM(hours), 0.0) AS day_hours, \
             CAST(COALESCE(SUM(CASE WHEN ended_at > {now} - $2 THEN 1 ELSE 0 END), 0) AS BIGINT) \
             AS hour, \
             COALESCE(SUM(CASE WHEN ended_at > {now} - $2 THEN hours ELSE 0.0 END), 0.0) \
             AS hour_hours \
             FROM tasks WHERE state = 'done' AND ended_at > {now} - 24 * $2 AND epoch > 0 \
             AND ($1 IS NULL OR graph_id = $1)",
            args![graph, HOUR],
        )
        .await?;
    let started = tx
        .one(
            "SELECT MIN(a.started_at) AS started_at FROM attempts a \
             JOIN tasks t ON t.id = a.task_id WHERE ($1 IS NULL OR t.graph_id = $1)",
            args![graph],
        )
        .await?;
    let epics = tx
        .all(
            "SELECT * FROM epic_progress WHERE ($1 IS NULL OR graph_id = $1) \
             ORDER BY graph_id, position",
            args![graph],
        )
        .await?;
    Ok(Figures {
        at: time(&recent, "now")?,
        tasks,
        hours,
        hours_done,
        tasks_last_hour: recent.count("hour")?,
        hours_last_hour: recent.real("hour_hours")?,
        tasks_last_day: recent.count("day")?,
        hours_last_day: recent.real("day_hours")?,
        started_at: started.opt_int("started_at")?.map(Timestamp),
        epics: epics.iter().map(epic).collect::<Result<_, _>>()?,
    })
}

async fn snapshot(tx: &mut Tx<'_>) -> Done<u64> {
    let count = tx
        .run(
            "INSERT INTO progress_snapshots \
             (graph_id, tasks, tasks_done, hours, hours_done, created_at) \
             SELECT g.id, COUNT(*), SUM(CASE WHEN t.state = 'done' THEN 1 ELSE 0 END), \
             SUM(t.hours), SUM(CASE WHEN t.state = 'done' THEN t.hours ELSE 0.0 END), {now} \
             FROM graphs g JOIN tasks t ON t.graph_id = g.id WHERE g.state = 'running' \
             GROUP BY g.id",
            args![],
        )
        .await?;
    if count > 0 {
        tx.emit(NewEvent::new(TaskEventKind::Snapshot));
    }
    Ok(count)
}

fn epic(row: &Record) -> Result<EpicProgress, StoreError> {
    Ok(EpicProgress {
        graph: GraphId(row.int("graph_id")?),
        key: row.text("key")?,
        title: row.text("title")?,
        tasks: row.count("tasks")?,
        tasks_done: row.count("tasks_done")?,
        hours: row.real("hours")?,
        hours_done: row.real("hours_done")?,
        percent: row.real("percent")?,
    })
}

fn view(row: &Record) -> Result<Snapshot, StoreError> {
    Ok(Snapshot {
        at: time(row, "created_at")?,
        graph: GraphId(row.int("graph_id")?),
        tasks: row.count("tasks")?,
        tasks_done: row.count("tasks_done")?,
        hours: row.real("hours")?,
        hours_done: row.real("hours_done")?,
    })
}
