//! A task is added to a graph that runs.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Change, Operator};
use crate::store::PageRequest;
use crate::store::approvals::ask_for_task;
use crate::store::columns::reached;
use crate::store::connect::TaskStore;
use crate::store::epics::POSITIONS;
use crate::store::error::StoreError;
use crate::store::merges::note_rules;
use crate::store::tasks::{TaskFilter, columns as task_columns};
use crate::store::tx::{Done, NewEvent, Tx};
use crate::store::value::{args, columns};
use greenloop_hub_api::types::{EpicSubmission, Graph, GraphSubmission, Task, TaskSubmission};
use greenloop_model::task::{GraphId, GraphState, TaskEventKind, TaskId, TaskState};

/// A task that fits a graph as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct AddedTask {
    task: TaskSubmission,
    /// Ids of what it needs.
    needs: Vec<i64>,
    /// Tasks that the graph had.
    count: u64,
    /// Ranks that rise because it is there.
    ranks: Vec<(i64, f64)>,
}

impl AddedTask {
    /// As it was handed in, for no graph yet.
    pub fn unplaced(task: TaskSubmission) -> Self {
        Self { task, needs: Vec::new(), count: 0, ranks: Vec::new() }
    }

    pub(super) const fn task(&self) -> &TaskSubmission {
        &self.task
    }
}

/// A graph as it can be checked with a task more.
#[derive(Debug, Clone)]
pub struct OpenGraph {
    tasks: Vec<Task>,
    epics: Vec<EpicSubmission>,
    graph: Graph,
}

impl OpenGraph {
    /// The graph with `task` at its end, to be checked.
    pub fn with(&self, task: &TaskSubmission) -> GraphSubmission {
        let keys: BTreeMap<TaskId, &str> =
            self.tasks.iter().map(|it| (it.id, it.key.as_str())).collect();
        let submission = |it: &Task| TaskSubmission {
            epic: it.epic.clone(),
            hours: it.hours,
            needs: it.needs.iter().filter_map(|id| Some((*keys.get(id)?).to_owned())).collect(),
            conditions: it.conditions.clone(),
            done: it.state == TaskState::Done,
            ..TaskSubmission::new(&it.key, &it.title, it.action.clone())
        };
        GraphSubmission {
            project: self.graph.project.clone(),
            repository: None,
            target: self.graph.target.clone(),
            gates: Vec::new(),
            merge_approval: false,
            name: self.graph.name.clone(),
            run: None,
            epics: self.epics.clone(),
            tasks: self.tasks.iter().map(submission).chain([task.clone()]).collect(),
        }
    }

    /// How many tasks it has: the index of one that is added.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The task as it is to be added; it was checked.
    pub fn added(&self, task: TaskSubmission) -> AddedTask {
        let by_key: BTreeMap<&str, &Task> =
            self.tasks.iter().map(|it| (it.key.as_str(), it)).collect();
        let by_id: BTreeMap<TaskId, &Task> = self.tasks.iter().map(|it| (it.id, it)).collect();
        let mut needs: Vec<i64> =
            task.needs.iter().filter_map(|key| Some(by_key.get(key.as_str())?.id.0)).collect();
        needs.sort_unstable();
        needs.dedup();
        let mut ranks: BTreeMap<i64, f64> = BTreeMap::new();
        let mut open: Vec<(TaskId, f64)> =
            needs.iter().map(|id| (TaskId(*id), task.hours)).collect();
        while let Some((id, after)) = open.pop() {
            let Some(before) = by_id.get(&id) else { continue };
            let rank = before.hours + after;
            let known = ranks.get(&id.0).copied().unwrap_or(before.rank_hours);
            if rank > known {
                ranks.insert(id.0, rank);
                open.extend(before.needs.iter().map(|need| (*need, rank)));
            }
        }
        AddedTask {
            task,
            needs,
            count: self.tasks.len() as u64,
            ranks: ranks.into_iter().collect(),
        }
    }
}

impl TaskStore {
    /// A graph, to add a task to.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for one that is over.
    pub async fn open_graph(&self, id: GraphId) -> Result<OpenGraph, StoreError> {
        let graph = self.graph(id).await?;
        runs(id, graph.state)?;
        let epics = {
            let mut reader = self.reader().await?;
            let rows = reader
                .tx()
                .all(
                    "SELECT key, title, branch FROM epics WHERE graph_id = $1 ORDER BY position",
                    args![id.0],
                )
                .await?;
            rows.iter()
                .map(|row| {
                    Ok(EpicSubmission {
                        key: row.text("key")?,
                        title: row.text("title")?,
                        branch: row.opt_text("branch")?,
                    })
                })
                .collect::<Result<Vec<_>, StoreError>>()?
        };
        let filter = TaskFilter { graph: Some(id), ..TaskFilter::default() };
        let (mut tasks, mut page) = (Vec::new(), PageRequest::first(500));
        loop {
            let part = self.tasks(&filter, page).await?;
            tasks.extend(part.items);
            match part.next {
                Some(next) => page.cursor = Some(next),
                None => return Ok(OpenGraph { tasks, epics, graph }),
            }
        }
    }
}

fn runs(id: GraphId, state: GraphState) -> Result<(), StoreError> {
    if state == GraphState::Running {
        return Ok(());
    }
    Err(StoreError::conflict(format!(
        "graph {id} is {}: a task can only be added while a graph runs; submit a new graph",
        state.name()
    )))
}

pub(super) async fn add(
    tx: &mut Tx<'_>,
    graph: GraphId,
    added: &AddedTask,
    operator: &Operator,
) -> Done<Change> {
    let AddedTask { task, needs, count, ranks } = added;
    // Holds the graph: it does not end, and no other task is added, meanwhile.
    let row = tx
        .maybe(
            "SELECT state, paused_at, (SELECT COUNT(*) FROM tasks WHERE graph_id = $1) AS tasks, \
             (SELECT MAX(position) FROM tasks WHERE graph_id = $1 AND position < $2) AS last \
             FROM graphs WHERE id = $1 AND purged = 0 {lock}",
            args![graph.0, POSITIONS],
        )
        .await?
        .ok_or_else(|| StoreError::not_found(format_args!("graph {graph}")))?;
    runs(graph, row.named("state", GraphState::from_name)?)?;
    if row.count("tasks")? != *count {
        let text = format!("graph {graph} has other tasks by now: make the same request again");
        return Err(StoreError::conflict(text).into());
    }
    let paused = row.opt_int("paused_at")?.is_some();
    let epic = match &task.epic {
        Some(key) => Some(grow(tx, graph, key, task.hours).await?),
        None => None,
    };
    // Holds what it needs: none of them ends without this one being counted.
    let mut unmet = i64::from(paused);
    for need in needs {
        let need = tx
            .one(
                "UPDATE tasks SET dependants = dependants + 1 WHERE id = $1 RETURNING state",
                args![*need],
            )
            .await?;
        unmet += i64::from(need.named("state", TaskState::from_name)? != TaskState::Done);
    }
    let mut conditions = Vec::new();
    for condition in &task.conditions {
        let row = tx
            .one(
                "SELECT id, tasks, tasks_done, hours, hours_done FROM epics \
                 WHERE graph_id = $1 AND key = $2 {lock}",
                args![graph.0, &condition.epic],
            )
            .await?;
        let percent = reached(
            row.real("hours_done")?,
            row.real("hours")?,
            row.int("tasks_done")?,
            row.int("tasks")?,
        );
        let at_least = i64::from(condition.at_least);
        let met = percent >= at_least;
        unmet += i64::from(!met);
        conditions.push((row.int("id")?, at_least, met));
    }
    let mut columns = task_columns(task);
    let state = match unmet {
        _ if task.approval => TaskState::Blocked,
        0 => TaskState::Ready,
        _ => TaskState::Waiting,
    };
    columns.extend(columns! {
        graph_id: graph.0,
        epic_id: epic,
        position: row.opt_int("last")?.unwrap_or(-1) + 1,
        rank: task.hours,
        links: i64::try_from(needs.len() + conditions.len()).unwrap_or(i64::MAX),
        dependants: 0_i64,
        unmet: unmet,
        held: paused,
        state: state.name(),
        epoch: 0_i64,
        attempts: 0_i64,
        deaths: 0_i64,
        not_before: 0_i64,
    });
    let now = [("created_at", "{now}"), ("updated_at", "{now}")];
    let made = tx.insert("tasks", &now, vec![columns], "RETURNING id").await?;
    let made = made.first().ok_or_else(|| StoreError::corrupt("a new task has no id"))?;
    let id = TaskId(made.int("id")?);
    for need in needs {
        tx.run("INSERT INTO dependencies (task_id, needs_id) VALUES ($1, $2)", args![id.0, *need])
            .await?;
    }
    for (epic, at_least, met) in conditions {
        tx.run(
            "INSERT INTO conditions (task_id, epic_id, at_least, met) VALUES ($1, $2, $3, $4)",
            args![id.0, epic, at_least, met],
        )
        .await?;
    }
    for (need, rank) in ranks {
        tx.run("UPDATE tasks SET rank = $2 WHERE id = $1 AND rank < $2", args![*need, *rank])
            .await?;
    }
    if state == TaskState::Ready {
        tx.emit(NewEvent::new(TaskEventKind::TaskReady).graph(graph).task(id));
    }
    let approved = task.merge_approval.then_some(id);
    note_rules(tx, graph, false, approved.into_iter()).await?;
    if task.approval {
        ask_for_task(tx, graph, id, task, &operator.token).await?;
    }
    Ok(Change {
        graph: Some(graph),
        task: Some(id),
        before: json!({}),
        after: json!({"key": &task.key, "title": &task.title, "state": state.name()}),
        ..Change::default()
    })
}

/// An epic has a task more. One whose branch is on its way to the target has all that it will have.
async fn grow(tx: &mut Tx<'_>, graph: GraphId, key: &str, hours: f64) -> Done<i64> {
    let row = tx
        .maybe(
            "UPDATE epics SET tasks = tasks + 1, hours = hours + $3 WHERE graph_id = $1 \
             AND key = $2 AND (branch IS NULL OR tasks_done < tasks) RETURNING id",
            args![graph.0, key, hours],
        )
        .await?;
    let row = row.ok_or_else(|| {
        StoreError::conflict(format!(
            "all tasks of epic {key} are done and its branch is merged: add the task to another \
             epic, or to none"
        ))
    })?;
    Ok(row.int("id")?)
}
