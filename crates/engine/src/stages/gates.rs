//! Quality gates.
//!
//! # Expected flow
//!
//! Gates that need nothing start at once, up to the given number at the same time; each other
//! starts when what it needs has passed, and is skipped when that cannot be any more. Every gate
//! that can run does, so that one pass shows all there is to repair.
//!
//! # Guarantees
//!
//! - Results stand in the order the gates are given, however they ran.
//! - One failure speaks for all failed required gates; it is named after the first of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use futures::stream::{FuturesUnordered, StreamExt};

use super::StageContext;
use super::identity::combined;
use super::narrow::Narrowed;
use super::output::{Finished, Output, report_incomplete_log};
use super::{confined, fetch};
use super::{preflight, reports};
use greenloop_config::plan::GatePlan;
use greenloop_evidence::{CodeLimits, ExtractLimits, Extraction, TestRun, read_code};
use greenloop_exec::Program;
use greenloop_model::{
    Evidence, Excerpt, Exit, Failure, FailureClass, GateResult, GateStatus, Remedy, RunEvent,
    Stage, StageOutcome,
};

/// A gate that failed, and what its output comes to.
struct FailedGate {
    exit: Exit,
    extraction: Extraction,
    notes: Vec<String>,
    cause: Option<Cause>,
}

/// Why a gate could not do its work, where that is known.
struct Cause {
    class: FailureClass,
    what: String,
    remedy: Remedy,
}

/// Where a gate stands.
enum Progress {
    Waiting,
    Running,
    Done(Box<(GateResult, Option<FailedGate>, TestRun)>),
}

/// Runs `gates` to their end.
pub async fn run_gates(gates: &[GatePlan], context: &StageContext<'_>) -> StageOutcome {
    run(gates, &[], context).await.0
}

/// Runs `gates` once more, on the same tree. One that is among `failed` and passes now is flaky.
pub async fn run_gates_again(
    gates: &[GatePlan],
    failed: &[String],
    context: &StageContext<'_>,
) -> StageOutcome {
    run(gates, failed, context).await.0
}

/// The same, with the tests that each of the gates ran.
pub(crate) async fn run_gates_counted(
    gates: &[GatePlan],
    failed: &[String],
    context: &StageContext<'_>,
) -> (StageOutcome, GateTests) {
    run(gates, failed, context).await
}

/// Runs just the tests of a gate that failed; `None` when the run was cancelled.
pub(crate) async fn run_narrowed(
    gate: &GatePlan,
    narrowed: &Narrowed,
    context: &StageContext<'_>,
) -> Option<(GateResult, TestRun)> {
    let name = format!("{} (what failed)", gate.name);
    let plan = GatePlan { command: narrowed.command.clone(), name, ..gate.clone() };
    let (result, _failed, tests) = run_gate(&plan, true, context).await;
    let name = gate.name.clone();
    (result.status != GateStatus::Cancelled).then_some((GateResult { name, ..result }, tests))
}

/// What ran, by gate; of the gates that ran.
pub(crate) type GateTests = BTreeMap<String, TestRun>;

async fn run(
    gates: &[GatePlan],
    failed: &[String],
    context: &StageContext<'_>,
) -> (StageOutcome, GateTests) {
    let places: HashMap<&str, usize> =
        gates.iter().enumerate().map(|(i, gate)| (gate.name.as_str(), i)).collect();
    let mut progress: Vec<Progress> = gates.iter().map(|_| Progress::Waiting).collect();
    let mut running = FuturesUnordered::new();
    loop {
        // Skipping a gate can make another one skippable, so until nothing changes.
        while let Some((i, needs)) = next_skippable(gates, &places, &progress) {
            let result = skipped(&gates[i], needs);
            finished(context, &result);
            progress[i] = Progress::Done(Box::new((result, None, TestRun::default())));
        }
        for (i, gate) in gates.iter().enumerate() {
            let ready = matches!(progress[i], Progress::Waiting)
                && gate.needs.iter().all(|need| passed(need, &places, &progress));
            if ready && running.len() < context.parallelism.max(1) && !context.cancel.is_cancelled()
            {
                progress[i] = Progress::Running;
                let again = failed.contains(&gate.name);
                running.push(async move { (i, run_gate(gate, again, context).await) });
            }
        }
        match running.next().await {
            Some((i, done)) => {
                finished(context, &done.0);
                progress[i] = Progress::Done(Box::new(done));
            }
            None => break,
        }
    }
    drop(running);
    let ran = progress.iter().zip(gates).filter_map(|(progress, gate)| match progress {
        Progress::Done(done) if done.0.log.is_some() => Some((gate.name.clone(), done.2.clone())),
        Progress::Done(_) | Progress::Waiting | Progress::Running => None,
    });
    let tests = ran.collect();
    (conclude(gates, progress, context), tests)
}

fn done<'a>(
    name: &str,
    places: &HashMap<&str, usize>,
    progress: &'a [Progress],
) -> Option<&'a GateResult> {
    match &progress[*places.get(name)?] {
        Progress::Done(done) => Some(&done.0),
        Progress::Waiting | Progress::Running => None,
    }
}

fn passed(name: &str, places: &HashMap<&str, usize>, progress: &[Progress]) -> bool {
    // A need that is not among these gates has been met before: see the engine's rerun.
    !places.contains_key(name) || done(name, places, progress).is_some_and(GateResult::passed)
}

fn next_skippable(
    gates: &[GatePlan],
    places: &HashMap<&str, usize>,
    progress: &[Progress],
) -> Option<(usize, String)> {
    gates.iter().enumerate().filter(|(i, _)| matches!(progress[*i], Progress::Waiting)).find_map(
        |(i, gate)| {
            let failed = |need: &&String| {
                done(need, places, progress).is_some_and(|result| !result.passed())
            };
            Some((i, gate.needs.iter().find(failed)?.clone()))
        },
    )
}

fn skipped(gate: &GatePlan, needs: String) -> GateResult {
    GateResult {
        name: gate.name.clone(),
        required: gate.required,
        status: GateStatus::Skipped { needs },
        duration: Duration::ZERO,
        output_bytes: 0,
        log: None,
    }
}

fn finished(context: &StageContext<'_>, result: &GateResult) {
    context
        .events
        .send(RunEvent::GateFinished { iteration: context.iteration, result: result.clone() });
}

async fn run_gate(
    gate: &GatePlan,
    failed_before: bool,
    context: &StageContext<'_>,
) -> (GateResult, Option<FailedGate>, TestRun) {
    let command_text = context.redactor.redact(&gate.command).into_owned();
    context.events.send(RunEvent::PartStarted {
        stage: Stage::Gates,
        name: gate.name.clone(),
        command: command_text,
    });
    let cwd = match &gate.working_directory {
        Some(folder) => context.root.join(folder.to_os_path()),
        None => context.root.to_owned(),
    };
    let log = context.log_name(Stage::Gates, &gate.name);
    let path = context.folder.join(&log);
    let mut output = Output::new(Stage::Gates, &gate.name, &path, context.redactor, context.events)
        .counting_tests();
    let fetched = match &gate.access.fetch {
        Some(plan) => fetch::fetch(plan, gate, &cwd, &mut output, context).await,
        None => Ok(Vec::new()),
    };
    let program = Program::Shell(gate.command.clone());
    let mut command = context.command(Stage::Gates, program, &cwd, confined::grant(gate));
    command.env.extend(gate.env.iter().map(|(name, value)| (name.into(), value.into())));
    command.timeout = gate.timeout;
    let began = SystemTime::now();
    let (outcome, unfetched) = match fetched {
        Ok(offline) => {
            command.env.extend(offline.iter().map(|(name, value)| (name.into(), value.into())));
            let mut keep = |bytes: &[u8]| output.push(bytes);
            (greenloop_exec::run(&command, &mut keep, context.cancel).await, None)
        }
        Err((outcome, why)) => (*outcome, Some(why)),
    };
    let Finished { extraction, tests: console, log_error } =
        output.finish_counted(context.redactor);

    let mut notes: Vec<String> = unfetched.into_iter().collect();
    notes.extend(confined::refused_note(gate, &outcome));
    if outcome.leftovers > 0 {
        notes.push(format!(
            "{} processes of gate {} were still running when it ended, and were killed",
            outcome.leftovers, gate.name
        ));
    }
    if let Some(error) = log_error {
        let what = format!("gate {}", gate.name);
        notes.push(report_incomplete_log(&what, &log, &error, context));
    }
    notes.extend(confined::report_put_back(&gate.name, &outcome, context));
    let tests = reports::tests(gate, &cwd, began, console, &mut notes);
    let hidden = hidden_failure(gate, &outcome.exit, &tests);
    let status = match (outcome.cancelled, &outcome.exit) {
        (true, _) => GateStatus::Cancelled,
        (false, exit) if hidden.is_some() => GateStatus::Failed(exit.clone()),
        (false, Exit::Code(0)) if failed_before => GateStatus::Flaky,
        (false, Exit::Code(0)) => GateStatus::Passed,
        (false, exit) => GateStatus::Failed(exit.clone()),
    };
    let failure = match &status {
        GateStatus::Failed(exit) => {
            let cause = hidden.or_else(|| cause_of(gate, exit, &extraction, &outcome, context));
            if cause.is_none() && confined::is_offline(gate, context) {
                notes.extend(confined::network_note(gate, &extraction));
            }
            notes.extend(confined::listed_note(gate, &extraction));
            Some(FailedGate { exit: exit.clone(), extraction, notes, cause })
        }
        GateStatus::Passed
        | GateStatus::Flaky
        | GateStatus::Skipped { .. }
        | GateStatus::Cancelled => None,
    };
    let result = GateResult {
        name: gate.name.clone(),
        required: gate.required,
        status,
        duration: outcome.duration,
        output_bytes: outcome.output_bytes,
        log: Some(log),
    };
    (result, failure, tests)
}

fn conclude(
    gates: &[GatePlan],
    progress: Vec<Progress>,
    context: &StageContext<'_>,
) -> StageOutcome {
    let mut results = Vec::new();
    let mut failed: Vec<(&GatePlan, Option<String>, FailedGate)> = Vec::new();
    for (gate, progress) in gates.iter().zip(progress) {
        let Progress::Done(done) = progress else {
            // Never started: only a cancel leaves a gate waiting.
            return StageOutcome::Cancelled;
        };
        let (result, failure, _tests) = *done;
        if let Some(failure) = failure.filter(|_| gate.required) {
            failed.push((gate, result.log.clone(), failure));
        }
        results.push(result);
    }
    if context.cancel.is_cancelled() {
        return StageOutcome::Cancelled;
    }
    if failed.is_empty() {
        // A required gate that was skipped because an advisory one failed did not pass.
        let held = results.iter().find(|r| r.required && !r.passed());
        return match held {
            None => StageOutcome::Passed { gates: results },
            Some(held) => {
                let failure = Box::new(held_up(held));
                StageOutcome::Failed { failure, gates: results }
            }
        };
    }
    let failure = Box::new(failure_of(failed, context));
    StageOutcome::Failed { failure, gates: results }
}

fn held_up(held: &GateResult) -> Failure {
    let needs = match &held.status {
        GateStatus::Skipped { needs } => needs.as_str(),
        GateStatus::Passed | GateStatus::Failed(_) | GateStatus::Flaky | GateStatus::Cancelled => {
            ""
        }
    };
    let headline = format!(
        "gate {} is required, but needs the advisory gate {needs}, which failed",
        held.name
    );
    Failure {
        stage: Stage::Gates,
        name: held.name.clone(),
        fingerprint: combined(&["gates", &held.name, needs]),
        class: FailureClass::Config,
        flaky_suspect: false,
        symptoms: BTreeSet::from([format!("gate {}", held.name)]),
        evidence: Evidence { notes: vec![headline.clone()], ..Evidence::default() },
        headline,
    }
}

fn failure_of(
    failed: Vec<(&GatePlan, Option<String>, FailedGate)>,
    context: &StageContext<'_>,
) -> Failure {
    let names: Vec<&str> = failed.iter().map(|(gate, ..)| gate.name.as_str()).collect();
    let share = ExtractLimits::default().lines / failed.len().max(1);
    let mut identity = vec!["gates".to_owned()];
    let mut evidence = Evidence::default();
    let mut symptoms = BTreeSet::new();
    let mut flaky_suspect = true;
    let mut class = None;
    let mut headline = String::new();
    let mut person_only = true;
    for (gate, log, failure) in &failed {
        let FailedGate { exit, extraction, notes, cause } = failure;
        // One gate that a patch can repair is reason enough to ask the author.
        person_only &= cause.as_ref().is_some_and(|cause| cause.remedy.person_only);
        identity.push(gate.name.clone());
        identity.push(exit.to_string());
        identity.push(extraction.fingerprint.to_string());
        // The gate's own name only where its output names nothing: it would be common to all
        // failures of the gate, and hide that one of them is gone.
        if extraction.symptoms.is_empty() {
            symptoms.insert(format!("gate {}", gate.name));
        }
        symptoms.extend(extraction.symptoms.iter().cloned());
        flaky_suspect &= extraction.flaky_suspect;
        let own = match cause {
            Some(cause) => cause.class,
            None => class_of(exit, extraction.class),
        };
        // The strictest reading that still lets a patch help: one gate that code can repair is
        // reason enough to ask the author.
        class = match class {
            None => Some(own),
            Some(
                known @ (FailureClass::Infrastructure | FailureClass::Auth | FailureClass::Quota),
            ) => Some(if own.heals() { own } else { known }),
            Some(known) => Some(known),
        };
        if headline.is_empty() {
            let telling = cause.as_ref().map_or(&extraction.headline, |cause| &cause.what);
            headline = headline_of(&names, exit, telling);
            evidence.remedy = cause
                .as_ref()
                .map(|cause| cause.remedy.clone())
                .or_else(|| confined::hidden_variable(gate, extraction, context));
            evidence.command = Some(context.redactor.redact(&gate.command).into_owned());
            evidence.exit = Some(exit.clone());
            evidence.log = log.clone();
            evidence.log_lines = extraction.lines;
        } else {
            evidence.notes.push(format!(
                "gate {} failed too ({exit}): {}",
                gate.name,
                context.redactor.redact(&gate.command)
            ));
        }
        evidence.excerpts.extend(first_lines(&extraction.excerpts, share));
        // One gate that cannot pass is enough: the stage cannot.
        evidence.deterministic |= matches!(exit, Exit::Code(_)) && extraction.deterministic;
        evidence.failing_tests.extend(extraction.failing_tests.iter().cloned());
        evidence.notes.extend(notes.iter().cloned());
    }
    if let Some(remedy) = &mut evidence.remedy {
        remedy.person_only = person_only;
    }
    evidence.code =
        read_code(context.root, &evidence.excerpts, CodeLimits::default(), context.redactor);
    let identity: Vec<&str> = identity.iter().map(String::as_str).collect();
    Failure {
        stage: Stage::Gates,
        name: names.first().copied().unwrap_or_default().to_owned(),
        headline,
        class: class.unwrap_or(FailureClass::Unknown),
        fingerprint: combined(&identity),
        flaky_suspect,
        symptoms,
        evidence,
    }
}

/// Tests that failed though the gate's exit status is 0, where its command hides theirs.
fn hidden_failure(gate: &GatePlan, exit: &Exit, tests: &TestRun) -> Option<Cause> {
    let failed = tests.failed_in_summary();
    if *exit != Exit::Code(0) || failed == 0 {
        return None;
    }
    let by = preflight::hides_status(gate)?;
    let plural = if failed == 1 { "" } else { "s" };
    let what = match by {
        "pipe" => {
            "write the output to a file (`> FILE 2>&1`), or run the line with bash: \
                   bash -c 'set -o pipefail; …'"
        }
        _ => "let the line end with the exit status of the tests",
    };
    Some(Cause {
        class: FailureClass::Config,
        what: format!("{failed} test{plural} failed, but the exit status is 0: the {by} hides it"),
        remedy: Remedy { what: what.to_owned(), command: None, person_only: true },
    })
}

/// What a gate's end means, where it is the shell's, or that of a command that waits for a person.
fn cause_of(
    gate: &GatePlan,
    exit: &Exit,
    extraction: &Extraction,
    outcome: &greenloop_exec::Outcome,
    context: &StageContext<'_>,
) -> Option<Cause> {
    if let Some((what, remedy)) = confined::over_limit(outcome) {
        return Some(Cause { class: FailureClass::Quota, what, remedy });
    }
    let root = context.root;
    let said: Vec<&str> = std::iter::once(extraction.headline.as_str())
        .chain(extraction.excerpts.iter().map(|excerpt| excerpt.text.as_str()))
        .collect();
    let said = said.join("\n");
    let silent = outcome.output_bytes == 0;
    match exit {
        Exit::Code(126 | 127) | Exit::NotStarted(_) => {
            let (class, what, remedy) = preflight::cause(gate, &said, root)?;
            Some(Cause { class, what, remedy })
        }
        Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut(_)
            if outcome.waits_for_input || preflight::wants_terminal(&said) =>
        {
            Some(Cause {
                class: FailureClass::Config,
                what: "it waits for input from a terminal, but gates have none".to_owned(),
                remedy: preflight::input_remedy(),
            })
        }
        Exit::Code(_)
            if confined::is_offline(gate, context) && confined::misses_network(extraction) =>
        {
            let (what, remedy) = confined::offline(gate);
            Some(Cause { class: FailureClass::Config, what, remedy })
        }
        Exit::Code(_) if preflight::wants_input(gate, &said, silent) => Some(Cause {
            class: FailureClass::Config,
            what: "it reads its standard input, which is empty for gates".to_owned(),
            remedy: preflight::input_remedy(),
        }),
        Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut(_) => None,
    }
}

fn class_of(exit: &Exit, said: FailureClass) -> FailureClass {
    match (exit, said) {
        (Exit::TimedOut(_), FailureClass::Unknown) => FailureClass::Timeout,
        (Exit::NotStarted(_), _) => FailureClass::Config,
        // The shell's own: cannot be executed, or not found.
        (Exit::Code(126 | 127), FailureClass::Unknown) => FailureClass::Config,
        (Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut(_), said) => said,
    }
}

fn headline_of(names: &[&str], exit: &Exit, telling: &str) -> String {
    let what = match names {
        [one] => format!("gate {one} failed"),
        several => format!("gates {} failed", several.join(", ")),
    };
    if telling.is_empty() {
        format!("{what}: {exit}")
    } else {
        format!("{what} ({exit}): {telling}")
    }
}

/// Excerpts up to `lines` lines in all; the last one may be cut.
fn first_lines(excerpts: &[Excerpt], lines: usize) -> Vec<Excerpt> {
    let mut left = lines;
    let mut kept = Vec::new();
    for excerpt in excerpts {
        if left == 0 {
            break;
        }
        let all: Vec<&str> = excerpt.text.lines().collect();
        let taken = all.len().min(left);
        left -= taken;
        let mut excerpt = excerpt.clone();
        if taken < all.len() {
            excerpt.text = all[..taken].join("\n");
            excerpt.end = excerpt.start + taken.saturating_sub(1) as u64;
        }
        kept.push(excerpt);
    }
    kept
}
