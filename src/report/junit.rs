//! `junit.xml`: a suite for each stage of each iteration, a case for each gate and step, and one
//! for each test that a failure names.

use std::io;
use std::time::Duration;

use quick_junit::{
    FlakyOrRerun, NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite,
};

use super::safe_text::{head, literal};
use super::story::{Pass, Story};
use crate::model::{Evidence, Failure, GateResult, GateStatus, RunEvent, Stage};

/// Bytes of evidence in a case.
const LONGEST_TEXT: usize = 64 << 10;

/// The file.
pub(super) fn render(story: &Story) -> io::Result<Vec<u8>> {
    let mut report = Report::new(text(&format!("greenloop: {}", story.title())));
    for pass in &story.passes {
        for suite in suites(pass) {
            report.add_test_suite(suite);
        }
    }
    if let Some(summary) = &story.summary {
        report.set_time(summary.elapsed);
    }
    let mut bytes = Vec::new();
    report.serialize(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn suites(pass: &Pass) -> Vec<TestSuite> {
    let iteration = pass.iteration.as_ref().map_or(0, |(iteration, _, _)| *iteration);
    let mut suites: Vec<TestSuite> = Vec::new();
    let mut cases: Vec<TestCase> = Vec::new();
    let close = |suites: &mut Vec<TestSuite>, stage: Stage, time, cases: &mut Vec<TestCase>| {
        let mut suite = TestSuite::new(format!("{iteration}: {stage}"));
        suite.set_time(time);
        for mut case in cases.drain(..) {
            case.set_classname(format!("greenloop.{stage}"));
            suite.add_test_case(case);
        }
        suites.push(suite);
    };
    // The stage that failed last: its suite, and its cases before they were explained.
    let mut failed: Option<(TestSuite, Vec<TestCase>)> = None;
    let mut waiting: Option<(TestSuite, Vec<TestCase>)> = None;
    for stamped in &pass.events {
        match &stamped.event {
            RunEvent::GateFinished { result, .. } => cases.push(gate(result)),
            RunEvent::StepFinished { stage: _, name, ok, detail, elapsed } => {
                let mut status = if *ok {
                    TestCaseStatus::success()
                } else {
                    TestCaseStatus::non_success(NonSuccessKind::Failure)
                };
                if !*ok {
                    status.set_message(text(detail));
                }
                let mut case = TestCase::new(text(name), status);
                case.set_time(*elapsed);
                cases.push(case);
            }
            RunEvent::StagePassed { stage, elapsed, .. } => {
                if cases.is_empty() {
                    let mut case = TestCase::new(stage.name(), TestCaseStatus::success());
                    case.set_time(*elapsed);
                    cases.push(case);
                }
                close(&mut suites, *stage, *elapsed, &mut cases);
            }
            RunEvent::StageFailed { failure, elapsed, .. } => {
                let plain = cases.clone();
                explain(&mut cases, failure, *elapsed);
                close(&mut suites, failure.stage, *elapsed, &mut cases);
                failed = suites.last().cloned().map(|suite| (suite, plain));
            }
            // What failed runs again: its suite waits for what comes of that.
            RunEvent::FlakyRerun { passed: None, .. } => {
                if failed.is_some() {
                    suites.pop();
                }
                waiting = failed.take();
            }
            RunEvent::FlakyRerun { passed: Some(true), .. } => {
                if let Some((_, mut plain)) = waiting.take() {
                    for case in &mut plain {
                        if let Some(again) = cases.iter().position(|c| c.name == case.name) {
                            *case = cases.remove(again);
                        }
                    }
                    plain.append(&mut cases);
                    cases = plain;
                }
            }
            RunEvent::FlakyRerun { passed: Some(false), .. } => {
                suites.extend(waiting.take().map(|(suite, _)| suite));
            }
            RunEvent::Started(_)
            | RunEvent::Notice(_)
            | RunEvent::IterationStarted { .. }
            | RunEvent::StageStarted { .. }
            | RunEvent::PartStarted { .. }
            | RunEvent::Output { .. }
            | RunEvent::Restored { .. }
            | RunEvent::AuthorAsked { .. }
            | RunEvent::AuthorLooked { .. }
            | RunEvent::PatchProposed { .. }
            | RunEvent::PatchRefused { .. }
            | RunEvent::NoPatch { .. }
            | RunEvent::ReviewerAsked { .. }
            | RunEvent::Reviewed { .. }
            | RunEvent::Evaluated { .. }
            | RunEvent::HumanDecided { .. }
            | RunEvent::PatchApplied { .. }
            | RunEvent::Switched { .. }
            | RunEvent::Progress { .. }
            | RunEvent::ImageReady { .. }
            | RunEvent::Finished(_) => {}
        }
    }
    suites.extend(waiting.map(|(suite, _)| suite));
    suites
}

fn gate(result: &GateResult) -> TestCase {
    let status = match &result.status {
        GateStatus::Passed => TestCaseStatus::success(),
        GateStatus::Flaky => {
            let mut status = TestCaseStatus::success();
            let mut rerun = TestRerun::new(NonSuccessKind::Failure);
            rerun.set_message("failed, and passed when it was run again on the same tree");
            status.add_rerun(rerun);
            status.set_rerun_kind(FlakyOrRerun::Flaky);
            status
        }
        // An advisory gate warns; a test report that fails for it would fail the pipeline.
        GateStatus::Failed(exit) if !result.required => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(text(&format!("advisory: {exit}")));
            status
        }
        GateStatus::Failed(exit) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(text(&exit.to_string()));
            status
        }
        GateStatus::Skipped { needs } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(text(&format!("it needs {needs}")));
            status
        }
        GateStatus::Cancelled => {
            let mut status = TestCaseStatus::skipped();
            status.set_message("cancelled");
            status
        }
    };
    let mut case = TestCase::new(text(&result.name), status);
    case.set_time(result.duration);
    case
}

/// Puts the evidence into the case that failed, which is made when no event named it, and adds
/// the tests it names.
fn explain(cases: &mut Vec<TestCase>, failure: &Failure, elapsed: Duration) {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(text(&failure.headline));
    status.set_type(failure.class.name());
    status.set_description(text(&evidence(&failure.evidence)));
    let name = text(&failure.name);
    match cases.iter_mut().find(|case| case.name.as_str() == name) {
        Some(case) => case.status = status,
        None => {
            let mut case = TestCase::new(name, status);
            case.set_time(elapsed);
            cases.push(case);
        }
    }
    for test in failure.evidence.failing_tests.iter().take(1_000) {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(text(&format!("failed in {}", failure.name)));
        cases.push(TestCase::new(text(test), status));
    }
}

fn evidence(evidence: &Evidence) -> String {
    let mut parts = Vec::new();
    if let Some(command) = &evidence.command {
        let exit = evidence.exit.as_ref().map(|exit| format!(" ({exit})")).unwrap_or_default();
        parts.push(format!("{command}{exit}"));
    }
    parts.extend(evidence.notes.iter().cloned());
    for excerpt in &evidence.excerpts {
        parts.push(format!("lines {} to {}:\n{}", excerpt.start, excerpt.end, excerpt.text));
    }
    for exchange in &evidence.http {
        parts.push(format!("{}\n{}\n{}", exchange.request, exchange.complaint, exchange.response));
    }
    if let Some(log) = &evidence.service_log {
        parts.push(format!("the service's own log:\n{log}"));
    }
    parts.join("\n\n")
}

/// Bounded, without the characters that XML cannot hold; a viewer that echoes it into a job's
/// log gives no commands.
fn text(text: &str) -> String {
    let text = literal(head(text, LONGEST_TEXT));
    let text: String = text.chars().filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}')).collect();
    super::safe_text::harmless(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn cases_tell_what_failed() {
        let xml = render(&Story::of(&samples::every_event())).unwrap();
        let report = Report::deserialize_from_str(std::str::from_utf8(&xml).unwrap()).unwrap();
        let names: Vec<&str> = report.test_suites.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names[..4], ["1: gates", "2: gates", "2: rollout", "2: smoke"]);
        let gates = &report.test_suites[0];
        let skipped = |case: &&TestCase| matches!(case.status, TestCaseStatus::Skipped { .. });
        let skipped = gates.test_cases.iter().filter(skipped).count();
        assert_eq!((gates.tests, gates.failures, skipped), (4, 1, 2));
        let text = String::from_utf8(xml).unwrap();
        assert!(text.contains("<flakyFailure"), "{text}");
        assert!(text.contains("testcase name=\"totals::sums\""), "{text}");
        assert!(!text.contains("##vso[") && !text.contains('\u{1b}'));
    }

    #[test]
    fn what_xml_cannot_hold_is_not_in_it() {
        for (input, expect) in [("a\0b", "a␀b"), ("\u{1b}[31mx", "␛[31mx"), ("\u{ffff}x", "x")]
        {
            assert_eq!(text(input), expect, "{input:?}");
        }
    }
}
