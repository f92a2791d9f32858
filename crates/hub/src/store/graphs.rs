//! Graphs: submitted whole, shown, cancelled.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::address::without_login;
use super::approvals::ask_for_task;
use super::columns::{opt_time, percent, reached, time};
use super::connect::TaskStore;
use super::error::StoreError;
use super::finish::settle_graph;
use super::page::{Page, PageRequest};
use super::record::Record;
use super::requests::{fingerprint, remember, replayed};
use super::tasks::Cancelled;
use super::tx::{Done, NewEvent, Tx};
use super::value::{args, columns};
use greenloop_hub_api::graph::TaskGraph;
use greenloop_hub_api::types::Graph;
use greenloop_model::task::{GraphId, GraphState, TaskEventKind, TaskId, TaskState, total_hours};

const GRAPH: &str = "SELECT g.*, p.name AS project FROM graphs g \
    JOIN projects p ON p.id = g.project_id WHERE g.id = $1 AND g.purged = 0";
const GRAPHS: &str = "SELECT g.*, p.name AS project FROM graphs g \
    JOIN projects p ON p.id = g.project_id WHERE g.id < $1 AND g.purged = 0 \
    ORDER BY g.id DESC LIMIT $2";
const COUNTS: &str = "SELECT graph_id, state, COUNT(*) AS tasks, SUM(hours) AS hours \
    FROM tasks WHERE graph_id IN {ids $1} GROUP BY graph_id, state";

impl TaskStore {
    /// Takes a graph in: its tasks without open needs are ready at once. All or nothing.
    ///
    /// `run` is the deploy run that asks. The same `key` gives the same graph again.
    ///
    /// # Errors
    /// `Conflict` when the key was used for another graph, or when a graph of the project runs in
    /// another repository.
    pub async fn submit(
        &self,
        graph: &TaskGraph,
        run: Option<&str>,
        key: Option<&str>,
    ) -> Result<Graph, StoreError> {
        self.submit_with(graph, run, key, "").await
    }

    /// The same, with the token whose id `token` is.
    ///
    /// # Errors
    /// See [`submit`](Self::submit).
    pub async fn submit_with(
        &self,
        graph: &TaskGraph,
        run: Option<&str>,
        key: Option<&str>,
        token: &str,
    ) -> Result<Graph, StoreError> {
        let print = fingerprint("submit", &(graph, run));
        let (run, key) = (run.map(str::to_owned), key.map(str::to_owned));
        let asked = Arc::new((graph.clone(), run, key, print, token.to_owned()));
        let id = self
            .write(move |tx| {
                let asked = Arc::clone(&asked);
                Box::pin(async move {
                    let (graph, run, key, print, token) = &*asked;
                    if let Some(id) = replayed::<i64>(tx, key.as_deref(), print).await? {
                        return Ok(GraphId(id));
                    }
                    let id = insert(tx, graph, run.as_deref(), token).await?;
                    remember(tx, key.as_deref(), print, &id.0).await?;
                    Ok(id)
                })
            })
            .await?;
        self.graph(id).await
    }

    /// One graph.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn graph(&self, id: GraphId) -> Result<Graph, StoreError> {
        {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            let rows = tx.all(GRAPH, args![id.0]).await?;
            views(tx, rows).await?
        }
        .pop()
        .ok_or_else(|| StoreError::not_found(format_args!("graph {id}")))
    }

    /// Newest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn graphs(&self, page: PageRequest) -> Result<Page<Graph>, StoreError> {
        let found = {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            let before = page.cursor.unwrap_or(i64::MAX);
            let rows = tx.all(GRAPHS, args![before, page.limit() + 1]).await?;
            views(tx, rows).await?
        };
        Ok(page.cut(found, |graph| graph.id.0))
    }

    /// Cancels all tasks of a graph that are not over; those that run end at their next
    /// heartbeat. One whose commit is being pushed to the target is not cancelled: it is merged, or
    /// refused. Nothing happens to a graph that is over.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn cancel_graph(&self, id: GraphId, key: Option<&str>) -> Result<Graph, StoreError> {
        let key = key.map(str::to_owned);
        let print = fingerprint("cancel graph", &id);
        self.write(move |tx| {
            let (key, print) = (key.clone(), print.clone());
            Box::pin(async move {
                if replayed::<()>(tx, key.as_deref(), &print).await?.is_some() {
                    return Ok(());
                }
                cancel(tx, id).await?;
                remember(tx, key.as_deref(), &print, &()).await
            })
        })
        .await?;
        self.graph(id).await
    }
}

#[derive(Clone, Copy, Default)]
struct Share {
    tasks: i64,
    done: i64,
    hours: f64,
    hours_done: f64,
}

impl Share {
    fn of(graph: &TaskGraph, epic: usize) -> Self {
        graph.tasks.iter().filter(|it| it.epic == Some(epic)).fold(Self::default(), |sum, task| {
            Self {
                tasks: sum.tasks + 1,
                done: sum.done + i64::from(task.done),
                hours: sum.hours + task.hours,
                hours_done: sum.hours_done + if task.done { task.hours } else { 0.0 },
            }
        })
    }

    fn has_reached(self, at_least: u8) -> bool {
        reached(self.hours_done, self.hours, self.done, self.tasks) >= i64::from(at_least)
    }
}

async fn insert(
    tx: &mut Tx<'_>,
    graph: &TaskGraph,
    run: Option<&str>,
    token: &str,
) -> Done<GraphId> {
    let project = project(tx, graph).await?;
    let row = tx
        .one(
            "INSERT INTO graphs (project_id, name, repository, target, gates, run, state, \
             created_at) VALUES ($1, $2, $3, $4, $5, $6, 'running', {now}) \
             RETURNING id, created_at",
            args![
                project,
                &graph.name,
                &graph.repository,
                &graph.target,
                graph.gates.as_slice(),
                run,
            ],
        )
        .await?;
    let (id, now) = (GraphId(row.int("id")?), row.int("created_at")?);
    tx.emit(NewEvent::new(TaskEventKind::GraphSubmitted).graph(id).text(&graph.name));

    let shares: Vec<Share> = (0..graph.epics.len()).map(|epic| Share::of(graph, epic)).collect();
    let epics = insert_epics(tx, id, graph, &shares).await?;
    let (tasks, asking) = insert_tasks(tx, id, now, graph, &shares, &epics).await?;
    let approved = graph.tasks.iter().zip(&tasks).filter(|(task, _)| task.merge_approval);
    let approved = approved.map(|(_, id)| *id);
    super::merges::note_rules(tx, id, graph.merge_approval, approved).await?;
    for position in asking {
        if let (Some(task_id), Some(task)) = (tasks.get(position), graph.tasks.get(position)) {
            ask_for_task(tx, id, *task_id, &task.submission, token).await?;
        }
    }

    let needs = graph.tasks.iter().zip(&tasks).flat_map(|(task, id)| {
        unique(&task.needs).into_iter().map(|need| (id.0, tasks.get(need).map(|it| it.0)))
    });
    let needs = needs.map(|(task, need)| columns! { task_id: task, needs_id: need }).collect();
    tx.insert("dependencies", &[], needs, "").await?;
    let mut conditions = Vec::new();
    for (task, id) in graph.tasks.iter().zip(&tasks) {
        for condition in &task.conditions {
            let met =
                shares.get(condition.epic).is_some_and(|it| it.has_reached(condition.at_least));
            let epic = epics.get(condition.epic).copied();
            conditions.push(columns! {
                task_id: id.0,
                epic_id: epic,
                at_least: i64::from(condition.at_least),
                met: met,
            });
        }
    }
    tx.insert("conditions", &[], conditions, "").await?;
    settle_graph(tx, id).await?;
    Ok(id)
}

/// The project, which is new or has the repository of the graph from now on. Its merge queues are
/// in one repository: another one waits until no graph of the project runs.
async fn project(tx: &mut Tx<'_>, graph: &TaskGraph) -> Done<i64> {
    // Holds the row: of two imports, the second one sees the first one's graph.
    let project = tx
        .one(
            "INSERT INTO projects (name, repository, created_at) VALUES ($1, $2, {now}) \
             ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id, repository",
            args![&graph.project, &graph.repository],
        )
        .await?;
    let (id, before) = (project.int("id")?, project.opt_text("repository")?);
    let Some(repository) = graph.repository.as_ref().filter(|it| before.as_ref() != Some(it))
    else {
        return Ok(id);
    };
    if let Some(before) = before {
        let running = tx
            .maybe(
                "SELECT name FROM graphs WHERE project_id = $1 AND state = 'running' \
                 AND repository IS NOT NULL LIMIT 1",
                args![id],
            )
            .await?;
        if let Some(running) = running {
            return Err(StoreError::conflict(format!(
                "the graph `{}` of project `{}` is running in the repository {}, but this one is \
                 in {}: use another project name, or wait until that graph ends",
                running.text("name")?,
                graph.project,
                without_login(&before),
                without_login(repository)
            ))
            .into());
        }
    }
    tx.run("UPDATE projects SET repository = $2 WHERE id = $1", args![id, repository]).await?;
    Ok(id)
}

fn unique(needs: &[usize]) -> Vec<usize> {
    let mut needs = needs.to_vec();
    needs.sort_unstable();
    needs.dedup();
    needs
}

async fn insert_epics(
    tx: &mut Tx<'_>,
    graph_id: GraphId,
    graph: &TaskGraph,
    shares: &[Share],
) -> Done<Vec<i64>> {
    let rows = graph.epics.iter().zip(shares).enumerate().map(|(position, (epic, share))| {
        columns! {
            graph_id: graph_id.0,
            position: at(position),
            key: &epic.key,
            title: &epic.title,
            branch: &epic.branch,
            tasks: share.tasks,
            tasks_done: share.done,
            hours: share.hours,
            hours_done: share.hours_done,
        }
    });
    let inserted = tx.insert("epics", &[], rows.collect(), "RETURNING id, position").await?;
    in_order(&inserted)
}

/// The ids of the tasks, and the places of those whose start a person has to approve.
async fn insert_tasks(
    tx: &mut Tx<'_>,
    graph_id: GraphId,
    now: i64,
    graph: &TaskGraph,
    shares: &[Share],
    epics: &[i64],
) -> Done<(Vec<TaskId>, Vec<usize>)> {
    let mut dependants = vec![0_i64; graph.tasks.len()];
    for task in &graph.tasks {
        for need in unique(&task.needs) {
            if let Some(count) = dependants.get_mut(need) {
                *count += 1;
            }
        }
    }
    let mut rows = Vec::with_capacity(graph.tasks.len());
    let (mut ready, mut asking) = (Vec::new(), Vec::new());
    for (position, (task, dependants)) in graph.tasks.iter().zip(dependants).enumerate() {
        let needs = unique(&task.needs);
        let open_needs =
            needs.iter().filter(|need| graph.tasks.get(**need).is_some_and(|it| !it.done)).count();
        let open_conditions = task
            .conditions
            .iter()
            .filter(|it| !shares.get(it.epic).is_some_and(|share| share.has_reached(it.at_least)))
            .count();
        let unmet = at(open_needs + open_conditions);
        let state = match (task.done, unmet) {
            (true, _) => TaskState::Done,
            (false, _) if task.submission.approval => TaskState::Blocked,
            (false, 0) => TaskState::Ready,
            (false, _) => TaskState::Waiting,
        };
        if state == TaskState::Blocked {
            asking.push(position);
        }
        if state == TaskState::Ready {
            ready.push(position);
        }
        let mut row = super::tasks::columns(&task.submission);
        row.extend(columns! {
            graph_id: graph_id.0,
            epic_id: task.epic.and_then(|epic| epics.get(epic).copied()),
            position: at(position),
            rank: task.rank,
            links: at(needs.len() + task.conditions.len()),
            dependants: dependants,
            unmet: unmet,
            state: state.name(),
            epoch: 0_i64,
            attempts: 0_i64,
            deaths: 0_i64,
            not_before: 0_i64,
            created_at: now,
            updated_at: now,
            ended_at: task.done.then_some(now),
        });
        rows.push(row);
    }
    let inserted = tx.insert("tasks", &[], rows, "RETURNING id, position").await?;
    let ids: Vec<TaskId> = in_order(&inserted)?.into_iter().map(TaskId).collect();
    for position in ready {
        if let Some(id) = ids.get(position) {
            tx.emit(NewEvent::new(TaskEventKind::TaskReady).graph(graph_id).task(*id));
        }
    }
    Ok((ids, asking))
}

fn at(position: usize) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// The ids of inserted rows by their position.
fn in_order(rows: &[Record]) -> Done<Vec<i64>> {
    let mut ids = rows
        .iter()
        .map(|row| Ok((row.int("position")?, row.int("id")?)))
        .collect::<Result<Vec<_>, StoreError>>()?;
    ids.sort_unstable();
    Ok(ids.into_iter().map(|(_, id)| id).collect())
}

pub(super) async fn cancel(tx: &mut Tx<'_>, id: GraphId) -> Done<()> {
    let state = tx
        .maybe("SELECT state FROM graphs WHERE id = $1", args![id.0])
        .await?
        .ok_or_else(|| StoreError::not_found(format_args!("graph {id}")))?
        .named("state", GraphState::from_name)?;
    if state != GraphState::Running {
        return Ok(());
    }
    cancel_tasks(tx, id).await?;
    // A person may have brought one back to life meanwhile: with the graph's row held, no more.
    tx.one("SELECT id FROM graphs WHERE id = $1 {lock}", args![id.0]).await?;
    if cancel_tasks(tx, id).await? {
        // Its end comes with the end of what is being pushed.
        return Ok(());
    }
    // Also when nothing was left to cancel but its end had not come yet.
    let ended = tx
        .run(
            "UPDATE graphs SET state = 'cancelled', ended_at = {now} \
             WHERE id = $1 AND state = 'running'",
            args![id.0],
        )
        .await?;
    if ended > 0 {
        tx.emit(NewEvent::new(TaskEventKind::GraphCancelled).graph(id));
    }
    Ok(())
}

/// Whether a commit is being pushed, so that its task goes on.
async fn cancel_tasks(tx: &mut Tx<'_>, id: GraphId) -> Done<bool> {
    let tasks = tx
        .all(
            "SELECT id FROM tasks WHERE graph_id = $1 \
             AND state NOT IN ('done', 'failed', 'cancelled') ORDER BY id {lock end}",
            args![id.0],
        )
        .await?;
    let mut pushed = false;
    for row in tasks {
        let cancelled = super::tasks::cancel(tx, TaskId(row.int("id")?)).await?;
        pushed |= matches!(cancelled, Cancelled::BeingPushed);
    }
    Ok(pushed)
}

async fn views(tx: &mut Tx<'_>, rows: Vec<Record>) -> Done<Vec<Graph>> {
    let ids = rows.iter().map(|row| row.int("id")).collect::<Result<Vec<_>, _>>()?;
    let mut counts: BTreeMap<i64, Vec<(TaskState, u64, f64)>> = BTreeMap::new();
    for row in tx.all(COUNTS, args![ids.as_slice()]).await? {
        let state = row.named("state", TaskState::from_name)?;
        let count = (state, row.count("tasks")?, row.real("hours")?);
        counts.entry(row.int("graph_id")?).or_default().push(count);
    }
    let mut graphs = Vec::with_capacity(rows.len());
    for row in rows {
        let id = row.int("id")?;
        let counts = counts.remove(&id).unwrap_or_default();
        let done = counts.iter().filter(|it| it.0 == TaskState::Done);
        let hours = total_hours(counts.iter().map(|it| it.2));
        let hours_done = total_hours(done.clone().map(|it| it.2));
        let (tasks_done, tasks) = (done.map(|it| it.1).sum(), counts.iter().map(|it| it.1).sum());
        graphs.push(Graph {
            id: GraphId(id),
            project: row.text("project")?,
            name: row.text("name")?,
            repository: row.opt_text("repository")?,
            target: row.text("target")?,
            state: row.named("state", GraphState::from_name)?,
            paused_since: opt_time(&row, "paused_at")?,
            run: row.opt_text("run")?,
            tasks: counts.iter().map(|it| (it.0, it.1)).collect(),
            percent: percent(hours_done, hours, tasks_done, tasks),
            created_at: time(&row, "created_at")?,
            ended_at: opt_time(&row, "ended_at")?,
        });
    }
    Ok(graphs)
}
