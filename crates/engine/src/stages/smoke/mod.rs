//! Smoke tests: is what serves now what it should be?
//!
//! # Expected flow
//!
//! The health check first, with its retries; then the script and the user flows side by side,
//! the steps of a flow in order. The first failure of each is kept.
//!
//! # Guarantees
//!
//! - Every request and every response body is bounded, in time and in size.
//! - The evidence holds the request, the response and the service's own log since the switch;
//!   all of it redacted.
//! - Each request has an `X-Request-Id` of its own; the log is read until it names those that
//!   failed, or is quiet.

mod expect;
mod request;
mod settled_log;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::future::join_all;

use self::request::{Answer, Caller, Complaint};
use super::StageContext;
use super::confined;
use super::identity::combined;
use super::output::{Output, report_incomplete_log};
use super::preflight;
use greenloop_config::nearest::nearest;
use greenloop_config::plan::{
    Expectation, FlowPlan, FlowStep, HealthPlan, ScriptPlan, VerificationPlan,
};
use greenloop_evidence::{
    CodeLimits, ExtractLimits, Extraction, condense_repeats, extract, normalise, read_code,
};
use greenloop_exec::Program;
use greenloop_exec::sandbox::Grant;
use greenloop_model::{
    Evidence, Exit, Failure, FailureClass, HttpExchange, Network, ReleaseId, Remedy, RunEvent,
    Stage, USUAL_HEALTH_PATHS, counted,
};
use greenloop_ports::Target;

/// How the smoke tests ended.
#[derive(Debug)]
pub enum SmokeOutcome {
    /// All passed.
    Passed,
    /// One or more failed.
    Failed(Box<Failure>),
    /// They were cancelled.
    Cancelled,
}

/// One check that failed.
struct FailedCheck {
    name: String,
    remedy: Option<Remedy>,
    headline: String,
    class: FailureClass,
    flaky_suspect: bool,
    http: Option<HttpExchange>,
    /// What the failed request was sent with as `X-Request-Id`.
    request_id: Option<String>,
    script: Option<(Exit, String, Option<String>, Extraction)>,
}

/// What is tested.
pub struct Subject<'a> {
    /// Where it is reached.
    pub url: &'a str,
    /// What runs it, and knows why it cannot be reached.
    pub target: Option<&'a dyn Target>,
    /// The release whose own log is evidence.
    pub release: Option<ReleaseId>,
    /// It was rolled out or restored just now: a name, a certificate, a pod may be on its way. Of
    /// what has stood for a while, none is waited for.
    pub fresh: bool,
}

/// Verifies what serves.
pub async fn run_smoke(
    plan: &VerificationPlan,
    subject: &Subject<'_>,
    context: &StageContext<'_>,
) -> SmokeOutcome {
    let mut parts = vec!["health".to_owned()];
    parts.extend(plan.script.iter().map(|s| s.script.display().to_string()));
    parts.extend(plan.flows.iter().map(|f| f.name.clone()));
    context.events.send(RunEvent::StageStarted {
        iteration: context.iteration,
        stage: Stage::Smoke,
        parts,
    });
    let checks = checks(plan, subject, context);
    let failed = tokio::select! {
        failed = checks => failed,
        () = context.cancel.cancelled() => return SmokeOutcome::Cancelled,
    };
    if context.cancel.is_cancelled() {
        return SmokeOutcome::Cancelled;
    }
    if failed.is_empty() {
        return SmokeOutcome::Passed;
    }
    let service_log = match (subject.target, subject.release) {
        (Some(target), Some(release)) => {
            let requests: Vec<String> =
                failed.iter().filter_map(|check| check.request_id.clone()).collect();
            let read = || async { target.service_log(release).await.ok() };
            settled_log::settled(read, &requests, settled_log::EVERY, context.cancel).await
        }
        (None, _) | (_, None) => None,
    };
    SmokeOutcome::Failed(Box::new(failure_of(failed, service_log, context)))
}

async fn checks(
    plan: &VerificationPlan,
    subject: &Subject<'_>,
    context: &StageContext<'_>,
) -> Vec<FailedCheck> {
    let base_url = subject.url;
    let health = match Caller::new(base_url, context.redactor) {
        Ok(caller) => check_health(&plan.health, &caller, subject, context).await,
        Err(complaint) => Err(failed_check("health", complaint)),
    };
    if let Err(check) = health {
        // Nothing else can be learnt from a service that is not there.
        return vec![check];
    }
    let script = async {
        match &plan.script {
            Some(script) => run_script(script, base_url, context).await,
            None => Ok(()),
        }
    };
    let flows = join_all(plan.flows.iter().map(|flow| run_flow(flow, base_url, context)));
    let (script, flows) = tokio::join!(script, flows);
    std::iter::once(script).chain(flows).filter_map(Result::err).collect()
}

fn step_finished(
    context: &StageContext<'_>,
    name: &str,
    outcome: Result<String, String>,
    elapsed: Duration,
) {
    let (ok, detail) = match outcome {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    context.events.send(RunEvent::StepFinished {
        stage: Stage::Smoke,
        name: name.to_owned(),
        ok,
        detail,
        elapsed,
    });
}

async fn check_health(
    plan: &HealthPlan,
    caller: &Caller<'_>,
    subject: &Subject<'_>,
    context: &StageContext<'_>,
) -> Result<(), FailedCheck> {
    let step = FlowStep {
        method: "GET".to_owned(),
        path: plan.endpoint.clone(),
        headers: Default::default(),
        body: None,
        expect: Expectation::default(),
        timeout: plan.timeout,
    };
    let began = Instant::now();
    let mut delays = ExponentialBuilder::new()
        .with_min_delay(plan.backoff)
        .without_max_delay()
        .without_max_times()
        .build();
    let mut tries = 1;
    loop {
        let mut complaint = match caller.call(&step).await {
            Ok(Answer { status, .. }) => {
                let detail = match tries {
                    1 => format!("GET {} → {status}", plan.endpoint),
                    n => format!("GET {} → {status} at attempt {n}", plan.endpoint),
                };
                step_finished(context, "health", Ok(detail), began.elapsed());
                return Ok(());
            }
            Err(complaint) => complaint,
        };
        let unanswered = complaint.exchange.status.is_none();
        if let Some(target) = subject.target.filter(|_| unanswered)
            && let Some(error) = target.endpoint_error().await
        {
            complaint.explain(&error, context.redactor);
        }
        let hopeless = complaint.settled && !subject.fresh;
        if tries > plan.retries || hopeless {
            let mut complaint = Box::pin(wrong_path(plan, &step, caller, complaint)).await;
            // Its own retries have settled whether it fails by chance.
            complaint.flaky_suspect &= tries == 1;
            let text = match tries {
                1 => complaint.exchange.complaint.clone(),
                n => {
                    let tries = counted(n as usize, "try", "tries");
                    format!("{} (after {tries})", complaint.exchange.complaint)
                }
            };
            step_finished(context, "health", Err(text), began.elapsed());
            return Err(failed_check("health", complaint));
        }
        tokio::time::sleep(delays.next().unwrap_or_default()).await;
        tries += 1;
    }
}

/// What a 404 at the health endpoint means: the service is there and answers, so where?
async fn wrong_path(
    plan: &HealthPlan,
    step: &FlowStep,
    caller: &Caller<'_>,
    mut complaint: Complaint,
) -> Complaint {
    if complaint.exchange.status != Some(404) {
        return complaint;
    }
    let mut answers = Vec::new();
    for path in USUAL_HEALTH_PATHS.into_iter().filter(|path| *path != plan.endpoint) {
        let step = FlowStep { path: path.to_owned(), ..step.clone() };
        if caller.call(&step).await.is_ok() {
            answers.push(path);
        }
    }
    if answers.is_empty() {
        return complaint;
    }
    complaint.class = FailureClass::Config;
    complaint.flaky_suspect = false;
    complaint.exchange.complaint.push_str(&format!(
        "; the service has no {}, but answers at {}",
        plan.endpoint,
        answers.join(", ")
    ));
    let near = nearest(&plan.endpoint, answers.iter().copied()).or(answers.first().copied());
    complaint.remedy = near.map(Remedy::health_path).map(Box::new);
    complaint
}

/// What keeps the smoke script from being started, as the failure of a rollout that is not begun:
/// the release would fail for it.
pub fn script_fault(plan: &ScriptPlan, root: &Path) -> Option<Failure> {
    let fault = preflight::of_script(plan, root)?;
    let name = plan.script.display().to_string();
    let headline = format!("cannot run the smoke script: {fault}");
    Some(Failure {
        stage: Stage::Rollout,
        fingerprint: combined(&["script", &name, &fault.to_string()]),
        symptoms: BTreeSet::from([format!("script {name}")]),
        class: FailureClass::Config,
        flaky_suspect: false,
        evidence: Evidence {
            notes: vec![
                "nothing was deployed, because the smoke tests could not have passed".to_owned(),
            ],
            remedy: Some(fault.remedy()),
            ..Evidence::default()
        },
        headline,
        name,
    })
}

async fn run_flow(
    flow: &FlowPlan,
    base_url: &str,
    context: &StageContext<'_>,
) -> Result<(), FailedCheck> {
    // A client of its own for each flow: a login's cookie is for its own steps.
    let caller =
        Caller::new(base_url, context.redactor).map_err(|c| failed_check(&flow.name, c))?;
    for step in &flow.steps {
        let began = Instant::now();
        let label = format!("{}: {} {}", flow.name, step.method, step.path);
        match caller.call(step).await {
            Ok(Answer { status, .. }) => {
                step_finished(context, &label, Ok(format!("{status}")), began.elapsed());
            }
            Err(complaint) => {
                let text = complaint.exchange.complaint.clone();
                step_finished(context, &label, Err(text), began.elapsed());
                return Err(failed_check(&flow.name, complaint));
            }
        }
    }
    Ok(())
}

async fn run_script(
    plan: &ScriptPlan,
    base_url: &str,
    context: &StageContext<'_>,
) -> Result<(), FailedCheck> {
    let name = plan.script.display().to_string();
    let path = context.root.join(&plan.script);
    let program = Program::Argv(vec![path.into(), base_url.into()]);
    // It tests a service that it reaches over the network.
    let grant = Grant { network: Network::All, ..Grant::default() };
    let mut command = context.command(Stage::Smoke, program, context.root, grant);
    for variable in ["GREENLOOP_URL", "PRODUCTION_URL", "BASE_URL"] {
        command.env.push((variable.into(), base_url.into()));
    }
    command.timeout = Some(plan.timeout);
    let shown = format!("{name} {base_url}");
    context.events.send(RunEvent::PartStarted {
        stage: Stage::Smoke,
        name: name.clone(),
        command: shown.clone(),
    });
    let log = context.log_name(Stage::Smoke, &name);
    let file = context.folder.join(&log);
    let mut output = Output::new(Stage::Smoke, &name, &file, context.redactor, context.events);
    let outcome =
        greenloop_exec::run(&command, &mut |bytes| output.push(bytes), context.cancel).await;
    let (extraction, log_error) = output.finish(context.redactor);
    if let Some(error) = log_error {
        report_incomplete_log(&name, &log, &error, context);
    }
    confined::report_put_back(&name, &outcome, context);
    if outcome.exit == Exit::Code(0) {
        step_finished(context, &name, Ok("passed".to_owned()), outcome.duration);
        return Ok(());
    }
    let headline = match extraction.headline.as_str() {
        "" => format!("{name}: {}", outcome.exit),
        telling => format!("{name} ({}): {telling}", outcome.exit),
    };
    step_finished(context, &name, Err(outcome.exit.to_string()), outcome.duration);
    let fault = match &outcome.exit {
        Exit::Code(126 | 127) | Exit::NotStarted(_) => preflight::of_script(plan, context.root),
        Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut(_) => None,
    };
    let headline = match &fault {
        Some(fault) => format!("{name}: {fault}"),
        None => headline,
    };
    let limit = confined::over_limit(&outcome);
    let headline = match &limit {
        Some((what, _)) => format!("{name}: {what}"),
        None => headline,
    };
    let class = match (&outcome.exit, extraction.class) {
        _ if limit.is_some() => FailureClass::Quota,
        _ if fault.is_some() => FailureClass::Config,
        (Exit::NotStarted(_), _) => FailureClass::Config,
        (Exit::TimedOut(_), FailureClass::Unknown) => FailureClass::Timeout,
        (Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut(_), class) => class,
    };
    Err(FailedCheck {
        name,
        remedy: limit.map(|(_, remedy)| remedy).or(fault.map(|fault| fault.remedy())),
        headline,
        class,
        flaky_suspect: extraction.flaky_suspect,
        http: None,
        request_id: None,
        script: Some((outcome.exit, shown, Some(log), extraction)),
    })
}

fn failed_check(name: &str, complaint: Complaint) -> FailedCheck {
    let Complaint { exchange, class, flaky_suspect, settled: _, request_id, remedy } = complaint;
    FailedCheck {
        name: name.to_owned(),
        remedy: remedy.map(|remedy| *remedy),
        headline: format!("{name}: {}: {}", exchange.request, exchange.complaint),
        class,
        flaky_suspect,
        http: Some(*exchange),
        request_id,
        script: None,
    }
}

/// `2 checks failed (login, orders): `, before what the first says; nothing where it is alone.
fn several(names: &[&str]) -> String {
    const MOST: usize = 5;
    if names.len() < 2 {
        return String::new();
    }
    let mut listed = names.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    if names.len() > MOST {
        listed.push_str(", …");
    }
    format!("{} checks failed ({listed}): ", names.len())
}

fn failure_of(
    failed: Vec<FailedCheck>,
    service_log: Option<String>,
    context: &StageContext<'_>,
) -> Failure {
    let mut evidence = Evidence::default();
    let mut identity = vec!["smoke".to_owned()];
    let mut symptoms = BTreeSet::new();
    let mut flaky_suspect = true;
    let mut class = FailureClass::Unknown;
    let (mut name, mut headline) = (String::new(), String::new());
    let names: Vec<&str> = failed.iter().map(|check| check.name.as_str()).collect();
    let several = several(&names);
    for check in failed {
        identity.push(check.name.clone());
        flaky_suspect &= check.flaky_suspect;
        if headline.is_empty() {
            headline = format!("{several}{}", check.headline);
            (name, class) = (check.name.clone(), check.class);
            evidence.remedy = check.remedy;
        } else {
            evidence.notes.push(format!("failed too: {}", check.headline));
            if !class.heals() && check.class.heals() {
                class = check.class;
            }
        }
        if let Some(exchange) = check.http {
            let complaint = normalise(&exchange.complaint);
            symptoms.insert(format!("{}: {complaint}", check.name));
            identity.push(complaint);
            evidence.http.push(exchange);
        }
        if let Some((exit, command, log, extraction)) = check.script {
            identity.push(exit.to_string());
            identity.push(extraction.fingerprint.to_string());
            if extraction.symptoms.is_empty() {
                symptoms.insert(format!("script {}", check.name));
            }
            symptoms.extend(extraction.symptoms);
            evidence.excerpts.extend(extraction.excerpts);
            evidence.failing_tests.extend(extraction.failing_tests);
            evidence.log_lines = extraction.lines;
            (evidence.exit, evidence.command, evidence.log) = (Some(exit), Some(command), log);
        }
    }
    if let Some(log) = service_log.filter(|log| !log.is_empty()) {
        let log = condense_repeats(&log);
        // What the service said of itself may name the place.
        let said = extract(log.as_bytes(), ExtractLimits::default(), context.redactor);
        let mut excerpts = evidence.excerpts.clone();
        excerpts.extend(said.excerpts);
        evidence.code = read_code(context.root, &excerpts, CodeLimits::default(), context.redactor);
        evidence.service_log = Some(context.redactor.redact(&log).into_owned());
    } else {
        evidence.code =
            read_code(context.root, &evidence.excerpts, CodeLimits::default(), context.redactor);
    }
    let parts: Vec<&str> = identity.iter().map(String::as_str).collect();
    Failure {
        stage: Stage::Smoke,
        name,
        headline,
        class,
        fingerprint: combined(&parts),
        flaky_suspect,
        symptoms,
        evidence,
    }
}
