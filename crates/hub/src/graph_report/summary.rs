//! What follows from the facts of a graph.

use std::collections::BTreeMap;

use super::critical_path::critical_path;
use crate::store::{MergeFacts, ReportFacts, ShareFacts, TaskFacts};
use greenloop_hub_api::types::{
    Contributor, GraphReport, ModelCost, ReportCosts, ReportEstimates, ReportMerges, ReportTask,
    SpeedUp, UnsuccessfulMerge,
};
use greenloop_model::ModelUsage;
use greenloop_model::task::{AttemptState, MergeState, TaskState, total_hours};

/// Tasks that are listed at most.
const MOST_TASKS: usize = 5_000;
/// Tasks of the critical path that are listed at most.
const MOST_OF_PATH: usize = 100;

/// The report on a graph.
pub fn report(facts: ReportFacts) -> GraphReport {
    let ReportFacts {
        now,
        graph,
        started_at,
        mut tasks,
        shares,
        unsuccessful,
        merges,
        unsuccessful_merges,
        actions,
        usage,
        unreported,
    } = facts;
    let elapsed = started_at.map(|start| graph.ended_at.unwrap_or(now).since(start));
    let elapsed = elapsed.map(|it| it.as_secs_f64());
    let estimates = estimates(&tasks);
    let speed_up = elapsed.and_then(|elapsed| speed_up(&tasks, &shares, elapsed));
    let tasks_total = tasks.len() as u64;
    tasks.truncate(MOST_TASKS);
    GraphReport {
        at: now,
        graph,
        started_at,
        elapsed_seconds: elapsed,
        estimates,
        speed_up,
        contributors: contributors(&shares),
        actions,
        costs: ReportCosts {
            models: usage.into_iter().map(cost).collect(),
            unreported_attempts: unreported,
        },
        merges: merged(&merges, unsuccessful_merges),
        unsuccessful_total: shares
            .iter()
            .filter(|it| is_unsuccessful(it.state))
            .map(|it| it.attempts)
            .sum(),
        unsuccessful,
        tasks: tasks.into_iter().map(task).collect(),
        tasks_total,
    }
}

const fn is_unsuccessful(state: AttemptState) -> bool {
    match state {
        AttemptState::Running | AttemptState::Succeeded => false,
        AttemptState::Failed
        | AttemptState::Lost
        | AttemptState::Cancelled
        | AttemptState::Ejected
        | AttemptState::Returned => true,
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of fewer than 2^52")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// 0 hours are no estimate: nobody expects work that takes no time.
fn estimate(task: &TaskFacts) -> Option<f64> {
    (task.hours > 0.0).then_some(task.hours)
}

fn estimates(tasks: &[TaskFacts]) -> ReportEstimates {
    let both: Vec<(f64, u64)> =
        tasks.iter().filter_map(|task| Some((estimate(task)?, task.worked?))).collect();
    let any = !both.is_empty();
    ReportEstimates {
        hours: total_hours(tasks.iter().map(|task| task.hours)),
        tasks_without_estimate: tasks.iter().filter(|it| estimate(it).is_none()).count() as u64,
        compared_tasks: both.len() as u64,
        compared_hours: any.then(|| total_hours(both.iter().map(|it| it.0))),
        compared_seconds: any.then(|| seconds(both.iter().map(|it| it.1).sum())),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of workers")]
fn speed_up(tasks: &[TaskFacts], shares: &[ShareFacts], elapsed: f64) -> Option<SpeedUp> {
    let work = seconds(tasks.iter().filter_map(|it| it.worked).sum());
    let mut workers: Vec<&str> =
        shares.iter().filter(|it| it.worked.is_some()).map(|it| it.agent.as_str()).collect();
    workers.dedup();
    if work <= 0.0 || elapsed <= 0.0 || workers.is_empty() {
        return None;
    }
    let path = critical_path(tasks);
    let keys = path.tasks.iter().filter_map(|task| tasks.get(*task));
    let bound = seconds(path.length).max(work / workers.len() as f64);
    let worked = |wanted: fn(AttemptState) -> bool| {
        let of = shares.iter().filter(|it| wanted(it.state));
        seconds(of.filter_map(|it| it.worked).sum())
    };
    let unsuccessful = worked(is_unsuccessful);
    let all = elapsed * workers.len() as f64;
    let unmeasured =
        tasks.iter().filter(|it| it.state == TaskState::Done && it.worked.is_none()).count();
    Some(SpeedUp {
        work_seconds: work,
        unmeasured_tasks: unmeasured as u64,
        elapsed_seconds: elapsed,
        reached: work / elapsed,
        workers: workers.len() as u64,
        critical_path_seconds: seconds(path.length),
        critical_path: keys.take(MOST_OF_PATH).map(|it| it.key.clone()).collect(),
        critical_path_tasks: path.tasks.len() as u64,
        bound_seconds: bound,
        largest: work / bound,
        unsuccessful_seconds: unsuccessful,
        idle_seconds: (all - worked(|_any| true)).max(0.0),
    })
}

/// `shares` are in the order of their agents.
fn contributors(shares: &[ShareFacts]) -> Vec<Contributor> {
    let mut contributors: BTreeMap<&str, Contributor> = BTreeMap::new();
    for ShareFacts { agent, state, attempts, worked } in shares {
        let one = contributors.entry(agent).or_insert_with(|| Contributor {
            name: agent.clone(),
            succeeded: 0,
            failed: 0,
            lost: 0,
            other: 0,
            running: 0,
            worked_seconds: None,
        });
        let count = match state {
            AttemptState::Succeeded => &mut one.succeeded,
            AttemptState::Failed | AttemptState::Ejected => &mut one.failed,
            AttemptState::Lost => &mut one.lost,
            AttemptState::Cancelled | AttemptState::Returned => &mut one.other,
            AttemptState::Running => &mut one.running,
        };
        *count += attempts;
        if let Some(worked) = worked {
            *one.worked_seconds.get_or_insert(0.0) += seconds(*worked);
        }
    }
    contributors.into_values().collect()
}

/// A worker without prices reports tokens and no costs.
fn cost(used: ModelUsage) -> ModelCost {
    let ModelUsage { model, usage } = used;
    ModelCost {
        model,
        requests: usage.requests.into(),
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cost_usd: (usage.cost_usd > 0.0).then_some(usage.cost_usd),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of entries")]
fn merged(merges: &[MergeFacts], unsuccessful: Vec<UnsuccessfulMerge>) -> ReportMerges {
    let entries =
        |state| -> u64 { merges.iter().filter(|it| it.state == state).map(|it| it.entries).sum() };
    let merged = merges.iter().find(|it| it.state == MergeState::Merged && it.entries > 0);
    ReportMerges {
        merged: entries(MergeState::Merged),
        average_seconds: merged.map(|it| seconds(it.took) / it.entries as f64),
        conflicts: entries(MergeState::Conflict),
        ejected: entries(MergeState::Ejected),
        open: entries(MergeState::Queued)
            + entries(MergeState::Testing)
            + entries(MergeState::Waiting),
        unsuccessful,
    }
}

fn task(facts: TaskFacts) -> ReportTask {
    let estimate_hours = estimate(&facts);
    let TaskFacts {
        id, key, title, epic, state, hours: _, attempts, conflicts, agent, worked, ..
    } = facts;
    ReportTask {
        id,
        key,
        title,
        epic,
        state,
        agent,
        attempts,
        conflicts,
        estimate_hours,
        actual_seconds: worked.map(seconds),
    }
}
