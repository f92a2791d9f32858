//! Tasks whose branches do not merge. Each is done again from the target's new tip, in the order
//! of the queue: a later one waits for an earlier one with some of the same files, so that the
//! two do not meet again, and keeps its place among the entries. A conflict is nobody's fault:
//! it counts against no attempt, but a task meets at most `max_attempts` of them before a person
//! is asked.

use std::collections::BTreeSet;

use super::connect::TaskStore;
use super::epics::POSITIONS;
use super::error::StoreError;
use super::record::Record;
use super::tx::{Done, NewEvent, Tx};
use super::value::args;
use greenloop_model::task::{GraphId, MergeId, TaskEventKind, TaskId};

/// The longest brief, in characters.
const BRIEF: usize = 24_000;
/// What is kept of the beginning of one that becomes too long: the conflict itself.
const BRIEF_HEAD: usize = 6_000;

/// A branch that does not merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictReport {
    /// For people.
    pub reason: String,
    /// The files in conflict.
    pub files: Vec<String>,
    /// For the next attempt; redacted by who sends it.
    pub brief: String,
}

impl TaskStore {
    /// Lets go redos whose turn has come, and forgets conflicts of tasks that are over.
    pub(super) async fn sweep_conflicts(&self) -> Result<(), StoreError> {
        let any = {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            tx.maybe(
                "SELECT c.task_id FROM merge_conflicts c JOIN tasks t ON t.id = c.task_id \
                 WHERE c.waiting = 1 OR t.state IN ('done', 'failed', 'cancelled') LIMIT 1",
                args![],
            )
            .await?
        };
        if any.is_none() {
            return Ok(());
        }
        self.write(|tx| {
            Box::pin(async move {
                let over = tx
                    .all(
                        "DELETE FROM merge_conflicts WHERE task_id IN (SELECT id FROM tasks \
                         WHERE id IN (SELECT task_id FROM merge_conflicts) \
                         AND state IN ('done', 'failed', 'cancelled') ORDER BY id {lock}) \
                         RETURNING task_id, waiting",
                        args![],
                    )
                    .await?;
                for row in over {
                    if row.flag("waiting")? {
                        tx.run(
                            "UPDATE tasks SET unmet = unmet - 1 WHERE id = $1",
                            args![row.int("task_id")?],
                        )
                        .await?;
                    }
                }
                let places = tx
                    .all(
                        "SELECT DISTINCT project_id, target FROM merge_conflicts \
                         WHERE waiting = 1 ORDER BY project_id, target",
                        args![],
                    )
                    .await?;
                for place in places {
                    let target = place.text("target")?;
                    release_redos(tx, place.int("project_id")?, &target).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// Without its middle when it is too long: the conflict and what came last are kept.
pub(super) fn bounded(whole: String) -> String {
    if whole.chars().count() <= BRIEF {
        return whole;
    }
    let head: String = whole.chars().take(BRIEF_HEAD).collect();
    let rest = BRIEF - BRIEF_HEAD;
    let tail: Vec<char> = whole.chars().rev().take(rest).collect();
    let tail: String = tail.into_iter().rev().collect();
    format!("{head}\n[…]\n{tail}")
}

/// Notes a conflict of a task that is still `merging`; whether it is done again, or waits for a
/// person.
pub(super) async fn note(
    tx: &mut Tx<'_>,
    id: MergeId,
    entry: &Record,
    report: &ConflictReport,
) -> Done<bool> {
    let task = TaskId(entry.int("task_id")?);
    let (project, target) = (entry.int("project_id")?, entry.text("target")?);
    let row =
        tx.one("SELECT position, max_attempts FROM tasks WHERE id = $1", args![task.0]).await?;
    if row.int("position")? >= POSITIONS {
        // Whole epics are merged by a person, or by a worker that a person asks to.
        return Ok(false);
    }
    let conflict = tx
        .one(
            "INSERT INTO merge_conflicts (task_id, project_id, target, place, conflicts, files, \
             waiting, brief, created_at) VALUES ($1, $2, $3, $4, 1, $5, 0, $6, {now}) \
             ON CONFLICT (task_id) DO UPDATE SET project_id = excluded.project_id, \
             target = excluded.target, conflicts = merge_conflicts.conflicts + 1, \
             files = excluded.files, brief = excluded.brief RETURNING place, conflicts",
            args![
                task.0,
                project,
                &target,
                id.0,
                report.files.as_slice(),
                bounded(report.brief.clone()),
            ],
        )
        .await?;
    if conflict.int("conflicts")? > row.int("max_attempts")? {
        return Ok(false);
    }
    let earlier = open(tx, project, &target).await?;
    let files: BTreeSet<&String> = report.files.iter().collect();
    let place = conflict.int("place")?;
    let waits = earlier
        .iter()
        .any(|it| it.place < place && it.holds && it.files.iter().any(|f| files.contains(f)));
    if waits {
        tx.run("UPDATE merge_conflicts SET waiting = 1 WHERE task_id = $1", args![task.0]).await?;
        tx.run("UPDATE tasks SET unmet = unmet + 1 WHERE id = $1", args![task.0]).await?;
    }
    Ok(true)
}

/// A task's work was merged: its conflicts are solved.
pub(super) async fn solved(tx: &mut Tx<'_>, task: TaskId) -> Done<()> {
    tx.run("DELETE FROM merge_conflicts WHERE task_id = $1", args![task.0]).await?;
    Ok(())
}

/// A person wants a task to be tried again: it may meet as many conflicts as a new one.
pub(super) async fn forgive(tx: &mut Tx<'_>, task: TaskId) -> Done<()> {
    tx.run("UPDATE merge_conflicts SET conflicts = 0 WHERE task_id = $1", args![task.0]).await?;
    Ok(())
}

/// A person wants a task's entry to be merged after all: it waits for nobody.
pub(super) async fn wait_no_more(tx: &mut Tx<'_>, task: TaskId) -> Done<()> {
    let waited = tx
        .run(
            "UPDATE merge_conflicts SET waiting = 0 WHERE task_id = $1 AND waiting = 1",
            args![task.0],
        )
        .await?;
    if waited > 0 {
        tx.run("UPDATE tasks SET unmet = unmet - 1 WHERE id = $1", args![task.0]).await?;
    }
    Ok(())
}

/// What the next attempt at a task is given of its conflicts.
pub(super) async fn brief(tx: &mut Tx<'_>, task: TaskId) -> Done<Option<String>> {
    let row =
        tx.maybe("SELECT brief FROM merge_conflicts WHERE task_id = $1", args![task.0]).await?;
    Ok(row.map(|it| it.text("brief")).transpose()?)
}

/// A graph is not over as long as one of its tasks only waits for another's redo.
pub(super) async fn any_waits(tx: &mut Tx<'_>, graph: GraphId) -> Done<bool> {
    let row = tx
        .maybe(
            "SELECT c.task_id FROM merge_conflicts c JOIN tasks t ON t.id = c.task_id \
             WHERE c.waiting = 1 AND t.graph_id = $1 AND t.state = 'waiting' LIMIT 1",
            args![graph.0],
        )
        .await?;
    Ok(row.is_some())
}

struct OpenConflict {
    task: i64,
    graph: i64,
    place: i64,
    files: Vec<String>,
    waiting: bool,
    /// Whether it will be merged without a person: later ones wait for it.
    holds: bool,
}

/// The conflicts of a target in the order of the queue.
async fn open(tx: &mut Tx<'_>, project: i64, target: &str) -> Done<Vec<OpenConflict>> {
    let rows = tx
        .all(
            "SELECT c.task_id, c.place, c.files, c.waiting, t.state, t.unmet, t.graph_id \
             FROM merge_conflicts c JOIN tasks t ON t.id = c.task_id \
             WHERE c.project_id = $1 AND c.target = $2 ORDER BY c.place, c.task_id",
            args![project, target],
        )
        .await?;
    let one = |row: &Record| -> Result<OpenConflict, StoreError> {
        let (state, waiting) = (row.text("state")?, row.int("waiting")?);
        let holds = match state.as_str() {
            "ready" | "running" | "merging" => true,
            // For its turn, and for nothing that it needs.
            "waiting" => row.int("unmet")? <= waiting,
            _over => false,
        };
        Ok(OpenConflict {
            task: row.int("task_id")?,
            graph: row.int("graph_id")?,
            place: row.int("place")?,
            files: row.list("files")?,
            waiting: waiting != 0,
            holds,
        })
    };
    Ok(rows.iter().map(one).collect::<Result<_, _>>()?)
}

/// Lets go the redos of a target that no earlier one holds any more.
pub(super) async fn release_redos(tx: &mut Tx<'_>, project: i64, target: &str) -> Done<()> {
    let mut held: BTreeSet<String> = BTreeSet::new();
    for conflict in open(tx, project, target).await? {
        if conflict.waiting && !conflict.files.iter().any(|it| held.contains(it)) {
            let changed = tx
                .run(
                    "UPDATE merge_conflicts SET waiting = 0 WHERE task_id = $1 AND waiting = 1",
                    args![conflict.task],
                )
                .await?;
            if changed > 0 {
                let row = tx
                    .one(
                        "UPDATE tasks SET unmet = unmet - 1, updated_at = {now}, state = CASE \
                         WHEN unmet = 1 AND state = 'waiting' THEN 'ready' ELSE state END \
                         WHERE id = $1 RETURNING state, unmet",
                        args![conflict.task],
                    )
                    .await?;
                if row.int("unmet")? == 0 && row.text("state")? == "ready" {
                    let (graph, task) = (GraphId(conflict.graph), TaskId(conflict.task));
                    tx.emit(NewEvent::new(TaskEventKind::TaskReady).graph(graph).task(task));
                }
            }
        }
        if conflict.holds {
            held.extend(conflict.files);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_brief_keeps_its_beginning_and_its_end() {
        assert_eq!(bounded("short".to_owned()), "short");
        let long = format!("first {}\nlast", "é".repeat(2 * BRIEF));
        let kept = bounded(long);
        assert!(kept.starts_with("first é") && kept.ends_with("é\nlast"));
        assert!(kept.contains("[…]") && kept.chars().count() < BRIEF + 10);
    }
}
