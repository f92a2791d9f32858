//! The content of a report, once for all formats: headings, sentences and tables of plain text,
//! which a format escapes and lays out.

use super::words::{counted, duration, grouped, hours, trimmed};
use greenloop_hub_api::types::{
    Contributor, GraphReport, ModelCost, ReportMerges, ReportTask, SpeedUp,
};
use greenloop_model::task::GraphState;

/// What stands for something that nobody knows.
const UNKNOWN: &str = "not known";

/// A part of a report.
#[derive(Debug)]
pub(super) struct Section {
    /// Without user's text.
    pub(super) heading: &'static str,
    /// One sentence each.
    pub(super) sentences: Vec<String>,
    pub(super) table: Option<Table>,
}

/// A table; every row has a cell for each column.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<String>>,
    /// Rows that are not shown.
    pub(super) left_out: u64,
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) number: bool,
}

const fn text(name: &'static str) -> Column {
    Column { name, number: false }
}

const fn number(name: &'static str) -> Column {
    Column { name, number: true }
}

/// The title of a report.
pub(super) fn title(report: &GraphReport) -> String {
    format!("Graph {}: {}", report.graph.id, report.graph.name)
}

/// All parts, in their order.
pub(super) fn sections(report: &GraphReport) -> Vec<Section> {
    let parts = [
        Some(result(report)),
        Some(speed(report)),
        Some(estimates(report)),
        Some(people_and_workers(report)),
        actions(report),
        Some(retries(report)),
        Some(merges(&report.merges)),
        Some(costs(report)),
        Some(tasks(report)),
    ];
    parts.into_iter().flatten().collect()
}

fn result(report: &GraphReport) -> Section {
    let graph = &report.graph;
    let counts: Vec<String> =
        graph.tasks.iter().map(|(state, count)| format!("{} {state}", grouped(*count))).collect();
    let state = match graph.state {
        GraphState::Running => "It still runs: this report is about the work so far.".to_owned(),
        GraphState::Done => "It is done.".to_owned(),
        GraphState::Failed => "It failed.".to_owned(),
        GraphState::Cancelled => "It was cancelled.".to_owned(),
    };
    let mut sentences = vec![
        state,
        format!(
            "{} in the project {}, merged into {}: {}.",
            counted(report.tasks_total, "task"),
            graph.project,
            graph.target,
            counts.join(", "),
        ),
    ];
    sentences.push(match (report.started_at, graph.ended_at) {
        (Some(start), Some(end)) => format!("Started {start}, ended {end}."),
        (Some(start), None) => format!("Started {start}, not ended at {}.", report.at),
        (None, _) => "No attempt has begun.".to_owned(),
    });
    if let Some(elapsed) = report.elapsed_seconds {
        sentences.push(format!("Elapsed time: {}.", duration(elapsed)));
    }
    Section { heading: "Result", sentences, table: None }
}

fn speed(report: &GraphReport) -> Section {
    let heading = "Speed-up";
    let Some(speed_up) = &report.speed_up else {
        let none = "Not known: no attempt of a worker has succeeded yet.".to_owned();
        return Section { heading, sentences: vec![none], table: None };
    };
    let SpeedUp {
        work_seconds,
        unmeasured_tasks,
        elapsed_seconds,
        reached,
        workers,
        critical_path_seconds,
        critical_path,
        critical_path_tasks,
        bound_seconds,
        largest,
        unsuccessful_seconds,
        idle_seconds,
    } = speed_up;
    let mut sentences = vec![
        format!(
            "Reached {}x with {}: {} of work in {}.",
            trimmed(*reached, 2),
            counted(*workers, "worker"),
            duration(*work_seconds),
            duration(*elapsed_seconds),
        ),
        format!(
            "The bound is {}x: with these workers and dependencies, no order of work takes less \
             than {}.",
            trimmed(*largest, 2),
            duration(*bound_seconds),
        ),
    ];
    let shown: Vec<&str> = critical_path.iter().map(String::as_str).collect();
    let more = critical_path_tasks.saturating_sub(shown.len() as u64);
    let more = if more > 0 { format!(" and {} more", grouped(more)) } else { String::new() };
    sentences.push(format!(
        "The critical path takes {}: {}{more}.",
        duration(*critical_path_seconds),
        shown.join(" → "),
    ));
    sentences.push(format!(
        "Of the workers' time, {} went into attempts that did not succeed, and {} into waiting.",
        duration(*unsuccessful_seconds),
        duration(*idle_seconds),
    ));
    if *unmeasured_tasks > 0 {
        sentences.push(format!(
            "The work of {} is not in these figures: no worker did it, so it was not measured.",
            counted(*unmeasured_tasks, "finished task"),
        ));
    }
    Section { heading, sentences, table: None }
}

fn estimates(report: &GraphReport) -> Section {
    let it = &report.estimates;
    let mut sentences = Vec::new();
    if it.tasks_without_estimate == report.tasks_total {
        sentences.push("No task has an estimate.".to_owned());
    } else {
        sentences.push(format!("All estimates together: {}.", hours(it.hours)));
        if it.tasks_without_estimate > 0 {
            let without = counted(it.tasks_without_estimate, "task");
            sentences.push(format!("Without an estimate: {without}."));
        }
    }
    match (it.compared_hours, it.compared_seconds) {
        (Some(estimated), Some(actual)) => {
            let share = if estimated > 0.0 { actual / (estimated * 3_600.0) } else { 0.0 };
            sentences.push(format!(
                "{} with an estimate and a measured time: {} estimated, {} actual ({} %).",
                counted(it.compared_tasks, "task"),
                hours(estimated),
                duration(actual),
                trimmed(100.0 * share, 1),
            ));
        }
        _ => sentences.push("No task has both an estimate and a measured time.".to_owned()),
    }
    Section { heading: "Estimates", sentences, table: None }
}

fn people_and_workers(report: &GraphReport) -> Section {
    let heading = "Who did what";
    if report.contributors.is_empty() {
        let none = "Nobody has begun.".to_owned();
        return Section { heading, sentences: vec![none], table: None };
    }
    let row = |it: &Contributor| {
        vec![
            it.name.clone(),
            it.succeeded.to_string(),
            it.failed.to_string(),
            it.lost.to_string(),
            it.other.to_string(),
            it.running.to_string(),
            it.worked_seconds.map_or_else(|| "not measured".to_owned(), duration),
        ]
    };
    let columns = vec![
        text("Who"),
        number("Succeeded"),
        number("Failed"),
        number("Lost"),
        number("Cancelled or given back"),
        number("Running"),
        number("Time"),
    ];
    let rows = report.contributors.iter().map(row).collect();
    let table = Table { columns, rows, left_out: 0 };
    Section { heading, sentences: Vec::new(), table: Some(table) }
}

fn actions(report: &GraphReport) -> Option<Section> {
    if report.actions.is_empty() {
        return None;
    }
    let rows = report.actions.iter();
    let rows = rows.map(|it| vec![it.operator.clone(), it.action.clone(), grouped(it.count)]);
    let columns = vec![text("Who"), text("Action"), number("Times")];
    let table = Table { columns, rows: rows.collect(), left_out: 0 };
    Some(Section { heading: "Actions of people", sentences: Vec::new(), table: Some(table) })
}

fn retries(report: &GraphReport) -> Section {
    let heading = "Retries";
    if report.unsuccessful_total == 0 {
        let none = "No attempt was unsuccessful.".to_owned();
        return Section { heading, sentences: vec![none], table: None };
    }
    let sentences =
        vec![format!("{} did not succeed.", counted(report.unsuccessful_total, "attempt"))];
    let rows = report.unsuccessful.iter().map(|it| {
        vec![
            it.key.clone(),
            it.epoch.to_string(),
            it.agent.clone(),
            match &it.class {
                Some(class) => format!("{} ({class})", it.state),
                None => it.state.to_string(),
            },
            it.seconds.map_or_else(|| UNKNOWN.to_owned(), duration),
            it.message.clone().unwrap_or_default(),
        ]
    });
    let columns = vec![
        text("Task"),
        number("Attempt"),
        text("Who"),
        text("End"),
        number("Time"),
        text("Why"),
    ];
    let left_out = report.unsuccessful_total.saturating_sub(report.unsuccessful.len() as u64);
    let table = Table { columns, rows: rows.collect(), left_out };
    Section { heading, sentences, table: Some(table) }
}

fn merges(merges: &ReportMerges) -> Section {
    let heading = "Merges and conflicts";
    let ReportMerges { merged, average_seconds, conflicts, ejected, open, unsuccessful } = merges;
    if merged + conflicts + ejected + open == 0 {
        let none = "Nothing went to a merge queue.".to_owned();
        return Section { heading, sentences: vec![none], table: None };
    }
    let average = match average_seconds {
        Some(average) => format!(", on average {} after they were queued", duration(*average)),
        None => String::new(),
    };
    let mut sentences = vec![
        format!("{} merged{average}.", grouped(*merged)),
        format!("{}, {} rejected.", counted(*conflicts, "conflict"), grouped(*ejected)),
    ];
    if *open > 0 {
        sentences.push(format!("{} still in the queue.", grouped(*open)));
    }
    let rows = unsuccessful.iter().map(|it| {
        vec![
            it.key.clone(),
            it.state.to_string(),
            it.target.clone(),
            it.ended_at.map_or_else(|| UNKNOWN.to_owned(), |at| at.to_string()),
            it.reason.clone().unwrap_or_default(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let left_out = (conflicts + ejected).saturating_sub(rows.len() as u64);
    let columns = vec![text("Task"), text("End"), text("Target"), text("When"), text("Why")];
    let table = (!rows.is_empty()).then_some(Table { columns, rows, left_out });
    Section { heading, sentences, table }
}

fn costs(report: &GraphReport) -> Section {
    let heading = "Costs of models";
    let costs = &report.costs;
    let mut sentences = Vec::new();
    if costs.models.is_empty() {
        sentences.push("No worker has reported what models used.".to_owned());
    } else {
        let known: Vec<f64> = costs.models.iter().filter_map(|it| it.cost_usd).collect();
        let unpriced = costs.models.len() - known.len();
        if !known.is_empty() {
            sentences.push(format!("${:.2} in total.", known.iter().sum::<f64>()));
        }
        if unpriced > 0 {
            let models = counted(unpriced as u64, "model");
            sentences.push(format!(
                "The costs of {models} are not known: the workers have no price configured."
            ));
        }
    }
    if costs.unreported_attempts > 0 {
        let attempts = counted(costs.unreported_attempts, "attempt");
        sentences.push(format!("No usage was reported by {attempts} of authors."));
    }
    let row = |it: &ModelCost| {
        vec![
            it.model.clone(),
            grouped(it.requests),
            grouped(it.input_tokens),
            grouped(it.output_tokens),
            it.cost_usd.map_or_else(|| UNKNOWN.to_owned(), |cost| format!("${cost:.2}")),
        ]
    };
    let columns = vec![
        text("Model"),
        number("Requests"),
        number("Tokens sent"),
        number("Tokens received"),
        number("Cost"),
    ];
    let rows: Vec<Vec<String>> = costs.models.iter().map(row).collect();
    let table = (!rows.is_empty()).then_some(Table { columns, rows, left_out: 0 });
    Section { heading, sentences, table }
}

fn tasks(report: &GraphReport) -> Section {
    let row = |it: &ReportTask| {
        vec![
            it.key.clone(),
            it.title.clone(),
            it.epic.clone().unwrap_or_default(),
            it.state.to_string(),
            it.agent.clone().unwrap_or_default(),
            it.attempts.to_string(),
            it.conflicts.to_string(),
            it.estimate_hours.map_or_else(|| "none given".to_owned(), hours),
            it.actual_seconds.map_or_else(|| "not measured".to_owned(), duration),
        ]
    };
    let columns = vec![
        text("Task"),
        text("Title"),
        text("Epic"),
        text("State"),
        text("Done by"),
        number("Attempts"),
        number("Conflicts"),
        number("Estimate"),
        number("Actual"),
    ];
    let left_out = report.tasks_total.saturating_sub(report.tasks.len() as u64);
    let table = Table { columns, rows: report.tasks.iter().map(row).collect(), left_out };
    Section { heading: "Tasks", sentences: Vec::new(), table: Some(table) }
}
