//! What becomes of an epic's branch once all of its tasks are done: it goes to the graph's target
//! through the target's own merge queue, as a task of the graph that no worker does.

use super::done_task::DoneTask;
use super::tx::{Done, NewEvent, Tx};
use super::value::args;
use greenloop_model::task::{GraphId, Lease, MergeId, TaskEventKind, TaskId};

/// Beyond the positions of all tasks that a graph may have.
pub(super) const POSITIONS: i64 = 1_000_000;

/// The agent of attempts that are merges of epics' branches. No worker can have this name: it has a
/// space.
pub(super) const MERGE_QUEUE: &str = "merge queue";

/// Queues the branch of an epic that was just done, when its tasks have left something there;
/// whether they have. The graph is not done before that is merged.
///
/// The task has had its one attempt: in conflict, it waits for a person. One who tries it again
/// has a worker merge the branches.
pub(super) async fn bring_home(tx: &mut Tx<'_>, graph: GraphId, epic: i64) -> Done<bool> {
    let Some(epic) = tx
        .maybe(
            "SELECT e.key, e.branch, e.position, g.project_id, g.target, t.head FROM epics e \
             JOIN graphs g ON g.id = e.graph_id JOIN merge_targets t \
             ON t.project_id = g.project_id AND t.target = e.branch \
             WHERE e.id = $1 AND e.branch <> g.target AND t.head IS NOT NULL",
            args![epic],
        )
        .await?
    else {
        return Ok(false);
    };
    let (project, target) = (epic.int("project_id")?, epic.text("target")?);
    let (branch, head) = (epic.text("branch")?, epic.text("head")?);
    let key = format!("{}-merge", epic.text("key")?);
    let title = format!("Merge {branch} into {target}");
    let described = format!("The tasks of the epic are done; merge {branch} into {target}.");
    let quoted = format!("refs/heads/{branch}").replace('\'', "'\\''");
    let command = format!("git fetch origin '{quoted}' && git merge --no-edit FETCH_HEAD");
    let task = tx
        .one(
            "INSERT INTO tasks (graph_id, position, key, title, description, labels, priority, \
             rank, hours, files, command, max_attempts, links, dependants, unmet, state, epoch, \
             attempts, deaths, not_before, commit_sha, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, '[]', 0, 0, 0, '[]', $6, 1, 0, 0, 0, 'merging', 1, 1, \
             0, 0, $7, {now}, {now}) \
             ON CONFLICT (graph_id, position) DO UPDATE SET state = 'merging', \
             epoch = tasks.epoch + 1, attempts = 1, commit_sha = excluded.commit_sha, \
             reason = NULL, updated_at = {now}, ended_at = NULL RETURNING id, epoch",
            args![
                graph.0,
                POSITIONS + epic.int("position")?,
                &key,
                &title,
                &described,
                &command,
                &head,
            ],
        )
        .await?;
    let lease = Lease { task: TaskId(task.int("id")?), epoch: task.int("epoch")? };
    attempt(tx, graph, lease, &head).await?;
    let place = Destination { project, target, graph };
    let merge = enqueue(tx, &place, lease, (&branch, &head), None).await?;
    let event = NewEvent::new(TaskEventKind::TaskMerging).graph(graph).lease(lease).merge(merge);
    tx.emit(event.text(head));
    Ok(true)
}

/// The merge queue has the task, and has done its part: as every epoch of a task, this one has an
/// attempt.
async fn attempt(tx: &mut Tx<'_>, graph: GraphId, lease: Lease, head: &str) -> Done<()> {
    tx.run(
        "INSERT INTO attempts (task_id, epoch, agent, instance, state, percent, commit_sha, \
         lease_us, expires_at, progress_at, stuck, outcome, started_at, ended_at) \
         VALUES ($1, $2, $3, '', 'succeeded', 100, $4, 0, {now}, {now}, 0, 'merging', {now}, \
         {now})",
        args![lease.task.0, lease.epoch, MERGE_QUEUE, head],
    )
    .await?;
    let event = NewEvent::new(TaskEventKind::TaskClaimed).graph(graph).lease(lease);
    tx.emit(event.agent(MERGE_QUEUE));
    Ok(())
}

/// The epic whose branch a task that is just done has brought to the target.
pub(super) async fn came_home(tx: &mut Tx<'_>, done: &DoneTask) -> Done<Option<i64>> {
    if done.position < POSITIONS {
        return Ok(None);
    }
    let epic = tx
        .maybe(
            "SELECT id FROM epics WHERE graph_id = $1 AND position = $2",
            args![done.graph.0, done.position - POSITIONS],
        )
        .await?;
    let Some(epic) = epic else { return Ok(None) };
    let id = epic.int("id")?;
    // Its branch may be deleted from now on: that is no rewind.
    tx.run(
        "UPDATE merge_targets SET tip = NULL, head = NULL \
         WHERE project_id = (SELECT project_id FROM graphs WHERE id = $1) \
         AND target = (SELECT e.branch FROM epics e JOIN graphs g ON g.id = e.graph_id \
            WHERE e.id = $2 AND e.branch <> g.target) \
         AND NOT EXISTS (SELECT 1 FROM merge_queue q \
            WHERE q.project_id = merge_targets.project_id AND q.target = merge_targets.target \
            AND q.state IN ('queued', 'testing', 'waiting'))",
        args![done.graph.0, id],
    )
    .await?;
    Ok(Some(id))
}

/// Where something is to be merged, and for which graph.
pub(super) struct Destination {
    pub(super) project: i64,
    pub(super) target: String,
    pub(super) graph: GraphId,
}

/// Puts a commit on a branch into the queue of a target; `by` is the token that handed it in.
pub(super) async fn enqueue(
    tx: &mut Tx<'_>,
    place: &Destination,
    lease: Lease,
    (branch, commit): (&str, &str),
    by: Option<&str>,
) -> Done<MergeId> {
    let Destination { project, target, graph } = place;
    tx.run(
        // Holds the row: it is not deleted as an old one meanwhile.
        "INSERT INTO merge_targets (project_id, target, epoch, expires_at, not_before, looked_at) \
         VALUES ($1, $2, 0, 0, 0, {now}) ON CONFLICT (project_id, target) \
         DO UPDATE SET looked_at = excluded.looked_at",
        args![*project, target],
    )
    .await?;
    // A queue that has nothing to do but wait for this, or is on hold, may look at once; one that
    // something outside blocks may not.
    tx.run(
        "UPDATE merge_targets SET not_before = 0 WHERE project_id = $1 AND target = $2 \
         AND not_before > {now} AND reason IS NULL",
        args![*project, target],
    )
    .await?;
    let row = tx
        .one(
            "INSERT INTO merge_queue (project_id, target, graph_id, task_id, epoch, branch, \
             commit_sha, state, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'queued', {now}, {now}) RETURNING id",
            args![*project, target, graph.0, lease.task.0, lease.epoch, branch, commit],
        )
        .await?;
    let id = MergeId(row.int("id")?);
    super::merges::note_entry(tx, id, by).await?;
    Ok(id)
}
