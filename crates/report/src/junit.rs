//! `junit.xml`: a suite for each stage of each iteration, a case for each gate and step, and one
//! for each test that a failure names.
//!
//! Jenkins holds the file to `junit-10.xsd` of its xunit plugin: an attribute that this schema does
//! not know, or one that it misses, refuses the whole file. Azure Pipelines reads any JUnit file,
//! but a title that is longer than a column of its database fails the upload.

use std::io;
use std::time::Duration;

use quick_junit::{
    FlakyOrRerun, NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite,
};

use super::run_history::{IterationEvents, RunHistory};
use super::safe_text::{head, literal};
use greenloop_model::{Evidence, Failure, GateResult, GateStatus, Proof, RunEvent, Stage};

/// Bytes of evidence in a case.
const LONGEST_TEXT: usize = 64 << 10;
/// Characters of a title: what Azure's test results hold.
const LONGEST_TITLE: usize = 256;

pub(super) fn render(history: &RunHistory) -> io::Result<Vec<u8>> {
    let mut report = Report::new(text(&format!("greenloop: {}", history.title())));
    for pass in &history.passes {
        for suite in suites(pass) {
            report.add_test_suite(suite);
        }
    }
    if let Some(summary) = &history.summary {
        report.set_time(summary.elapsed);
        report.add_test_suites(summary.proof.iter().map(proof));
    }
    let xml = report.to_string().map_err(io::Error::other)?;
    Ok(without_root_skipped(&xml).into_bytes())
}

/// What the tests of each repaired gate show: a case that passes is proven, one that is skipped is
/// not.
fn proof(proof: &Proof) -> TestSuite {
    let mut suite = TestSuite::new("proof");
    for gate in &proof.gates {
        let alone = Proof { gates: vec![gate.clone()], ..proof.clone() };
        let mut status = TestCaseStatus::success();
        if !alone.is_proven() {
            status = TestCaseStatus::skipped();
            status.set_message(text(&alone.verdict()));
        }
        let mut case = TestCase::new(title(&gate.gate), status);
        case.set_classname("greenloop.proof");
        let lines: Vec<String> = std::iter::once(alone.verdict())
            .chain(alone.details())
            .map(|line| text(&line))
            .collect();
        case.set_system_out(lines.join("\n"));
        suite.add_test_case(case);
    }
    suite
}

/// The number of skipped cases is an attribute of suites in Jenkins' schema, but not of the root.
fn without_root_skipped(xml: &str) -> String {
    // Within an attribute's value a quotation mark is escaped: this is the attribute itself.
    const SKIPPED: &str = " skipped=\"";
    let root = xml.find("<testsuites").unwrap_or_default();
    let end = xml.get(root..).and_then(|rest| rest.find('>')).map_or(root, |at| root + at);
    let attribute = xml.get(root..end).and_then(|tag| {
        let start = root + tag.find(SKIPPED)?;
        let value = start + SKIPPED.len();
        Some(start..value + xml.get(value..)?.find('"')? + 1)
    });
    let mut xml = xml.to_owned();
    if let Some(attribute) = attribute {
        xml.replace_range(attribute, "");
    }
    xml
}

fn suites(pass: &IterationEvents) -> Vec<TestSuite> {
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
                let mut case = TestCase::new(title(name), status);
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
            RunEvent::Restored { ok, detail, .. } => {
                let mut status = TestCaseStatus::success();
                if !*ok {
                    status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_message(text(detail));
                }
                // The steps of a restore are none of the stage's that comes next.
                cases.clear();
                let mut case = TestCase::new("restore", status);
                case.set_classname("greenloop.restore");
                case.set_system_out(text(detail));
                let mut suite = TestSuite::new(format!("{iteration}: restore"));
                suite.add_test_case(case);
                suites.push(suite);
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
            rerun.set_type("flaky");
            rerun.set_message("failed, then passed when rerun on the same tree");
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
    let mut case = TestCase::new(title(&result.name), status);
    case.set_time(result.duration);
    case
}

/// Puts the evidence into the case that failed, which is made when no event named it, and adds
/// the tests it names. One failure is one failing case: a flow fails in one of its steps, a build
/// in one of its own.
fn explain(cases: &mut Vec<TestCase>, failure: &Failure, elapsed: Duration) {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(text(&failure.headline));
    status.set_type(failure.class.name());
    status.set_description(text(&evidence(&failure.evidence)));
    let name = title(&failure.name);
    let failed = |case: &TestCase| matches!(case.status, TestCaseStatus::NonSuccess { .. });
    let step = format!("{name}: ");
    let at = cases
        .iter()
        .position(|case| case.name.as_str() == name)
        .or_else(|| cases.iter().position(|case| failed(case) && case.name.starts_with(&step)));
    match failure.stage {
        // Each gate and each smoke test may fail by itself.
        Stage::Gates | Stage::Smoke => match at.and_then(|at| cases.get_mut(at)) {
            Some(case) => case.status = status,
            None => cases.push(timed(name, status, elapsed)),
        },
        Stage::Tasks | Stage::Image | Stage::Rollout => {
            let time = at.and_then(|at| cases.get(at)).and_then(|case| case.time);
            cases.retain(|case| !failed(case) && case.name.as_str() != name);
            cases.push(timed(name, status, time.unwrap_or(elapsed)));
        }
    }
    for test in failure.evidence.failing_tests.iter().take(1_000) {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(text(&format!("failed in {}", failure.name)));
        cases.push(TestCase::new(title(test), status));
    }
}

fn timed(name: String, status: TestCaseStatus, elapsed: Duration) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_time(elapsed);
    case
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

/// A case's name: one line that is never empty.
fn title(name: &str) -> String {
    let name = text(name).split_whitespace().collect::<Vec<_>>().join(" ");
    match name.char_indices().nth(LONGEST_TITLE - 1) {
        Some((at, last)) if at + last.len_utf8() < name.len() => {
            format!("{}…", name.get(..at).unwrap_or_default())
        }
        _ if name.is_empty() => "unnamed".to_owned(),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::fixtures;
    use crate::reporter::Stamped;
    use greenloop_model::{FailureClass, Fingerprint};

    #[test]
    fn cases_tell_what_failed() {
        let xml = render(&RunHistory::of(&fixtures::every_event())).unwrap();
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

    /// What Jenkins' xunit plugin (`junit-10.xsd`) lets an element have: required attributes,
    /// others, children.
    fn allowed(element: &str) -> (&[&str], &[&str], &[&str]) {
        match element {
            "" => (&[], &[], &["testsuites"]),
            "testsuites" => (&[], &["name", "time", "tests", "failures", "errors"], &["testsuite"]),
            "testsuite" => (
                &["name", "tests", "failures", "errors"],
                &["group", "time", "skipped", "timestamp", "hostname", "id", "package", "file"],
                &["testsuite", "properties", "testcase", "system-out", "system-err"],
            ),
            "testcase" => (
                &["name"],
                &["time", "classname", "group"],
                &[
                    "skipped",
                    "error",
                    "failure",
                    "rerunFailure",
                    "rerunError",
                    "flakyFailure",
                    "flakyError",
                    "system-out",
                    "system-err",
                ],
            ),
            "failure" | "error" | "skipped" => (&[], &["type", "message"], &[]),
            "system-out" | "system-err" => (&[], &[], &[]),
            "flakyFailure" | "flakyError" | "rerunFailure" | "rerunError" => {
                (&["type"], &["message"], &["stackTrace", "system-out", "system-err"])
            }
            other => panic!("no element of the schema: {other}"),
        }
    }

    /// Holds `xml` to Jenkins' schema and to what Azure's reader takes from a file.
    fn check(xml: &str) {
        let tag = Regex::new(r#"<(/?)([\w-]+)((?: [\w-]+="[^"<]*")*)(/?)>"#).unwrap();
        let attribute = Regex::new(r#" ([\w-]+)="([^"<]*)""#).unwrap();
        let entity = Regex::new("&[a-z]+;").unwrap();
        let time = Regex::new(r"^[0-9]*(\.[0-9]+)?$").unwrap();
        let body = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").unwrap();
        assert_eq!(body.matches('<').count(), tag.find_iter(body).count(), "{body}");
        let forbidden = |c: char| {
            matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}')
                || matches!(c, '\u{fffe}' | '\u{ffff}')
        };
        assert!(!body.contains(forbidden));
        let mut open: Vec<(String, usize)> = vec![(String::new(), 0)];
        for found in tag.captures_iter(body) {
            let (name, whole) = (&found[2], &found[0]);
            if &found[1] == "/" {
                assert_eq!(open.pop().unwrap().0, name, "{whole}");
                continue;
            }
            let (parent, results) = open.last_mut().unwrap();
            assert!(allowed(parent).2.contains(&name), "{whole} in <{parent}>");
            if matches!(name, "failure" | "error" | "skipped") {
                *results += 1;
                assert_eq!(*results, 1, "a case has one result: {whole}");
            }
            let (required, optional, _) = allowed(name);
            let given: Vec<(&str, &str)> = attribute
                .captures_iter(found.get(3).unwrap().as_str())
                .map(|pair| pair.extract::<2>().1)
                .map(|[name, value]| (name, value))
                .collect();
            for needed in required {
                assert!(given.iter().any(|(name, _)| name == needed), "{needed} in {whole}");
            }
            for (key, value) in &given {
                assert!(required.contains(key) || optional.contains(key), "{key} in {whole}");
                assert!(*key != "time" || time.is_match(value), "{whole}");
                let title = *key == "name" && name == "testcase";
                let length = entity.replace_all(value, "x").chars().count();
                assert!(!title || (1..=256).contains(&length), "{whole}");
            }
            if &found[4] != "/" {
                open.push((name.to_owned(), 0));
            }
        }
        assert_eq!(open.len(), 1);
    }

    fn rendered(events: &[Stamped]) -> String {
        String::from_utf8(render(&RunHistory::of(events)).unwrap()).unwrap()
    }

    #[test]
    fn jenkins_and_azure_take_the_file() {
        for events in [fixtures::healed(), fixtures::restored(), fixtures::every_event()] {
            check(&rendered(&events));
        }
        let mut events = fixtures::every_event();
        for event in &mut events {
            if let RunEvent::GateFinished { result, .. } = &mut event.event {
                result.name = format!("a < \"b\" skipped=\"9\" & {}\n{}", '\u{1}', "x".repeat(999));
            }
        }
        let xml = rendered(&events);
        check(&xml);
        assert!(xml.contains("x…\""), "{xml}");
        assert_eq!(title(" \n"), "unnamed");
        assert_eq!(title(&"é".repeat(LONGEST_TITLE)), "é".repeat(LONGEST_TITLE));
    }

    /// The cases of a stage that failed, with what became of them.
    fn failed_cases(stage: Stage, name: &str, steps: &[(&str, bool)]) -> Vec<String> {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let elapsed = Duration::from_millis(1);
        let mut events = vec![RunEvent::Started(Box::new(fixtures::header()))];
        events.push(RunEvent::IterationStarted {
            iteration: 1,
            of: 1,
            commit: "0123456789012345678901234567890123456789".parse().unwrap(),
        });
        events.extend(steps.iter().map(|(name, ok)| RunEvent::StepFinished {
            stage,
            name: (*name).to_owned(),
            ok: *ok,
            detail: "expected status 200, got 500".to_owned(),
            elapsed,
        }));
        let failure = Failure {
            stage,
            name: name.to_owned(),
            headline: "the headline".to_owned(),
            class: FailureClass::Code,
            fingerprint: Fingerprint::from_digest([0; 8]),
            flaky_suspect: false,
            symptoms: Default::default(),
            evidence: Evidence::default(),
        };
        let failure = Box::new(failure);
        events.push(RunEvent::StageFailed { iteration: 1, failure, progress: None, elapsed });
        let events: Vec<Stamped> = events.into_iter().map(|event| Stamped { at, event }).collect();
        let xml = rendered(&events);
        check(&xml);
        let report = Report::deserialize_from_str(&xml).unwrap();
        let cases = report.test_suites.iter().flat_map(|suite| &suite.test_cases);
        let shown = cases.map(|case| match &case.status {
            TestCaseStatus::NonSuccess { message, .. } => {
                format!("{}: {}", case.name.as_str(), message.as_deref().unwrap_or_default())
            }
            _ => case.name.as_str().to_owned(),
        });
        shown.collect()
    }

    #[test]
    fn a_failed_flow_or_build_is_one_failure() {
        assert_eq!(
            failed_cases(
                Stage::Smoke,
                "Vehicles",
                &[("health", true), ("Vehicles: GET /", true), ("Vehicles: GET /v1", false)]
            ),
            ["health", "Vehicles: GET /", "Vehicles: GET /v1: the headline"]
        );
        // Each flow that fails is a failure; the first has the evidence.
        let both = [("A: GET /a", false), ("B: GET /b", false)];
        let expect = ["A: GET /a: the headline", "B: GET /b: expected status 200, got 500"];
        assert_eq!(failed_cases(Stage::Smoke, "A", &both), expect);
        assert_eq!(
            failed_cases(
                Stage::Image,
                "build",
                &[("context", true), ("[2/2] RUN make", false), ("build", false)]
            ),
            ["context", "build: the headline"]
        );
        assert_eq!(failed_cases(Stage::Rollout, "web", &[]), ["web: the headline"]);
    }

    #[test]
    fn what_xml_cannot_hold_is_not_in_it() {
        for (input, expect) in [("a\0b", "a␀b"), ("\u{1b}[31mx", "␛[31mx"), ("\u{ffff}x", "x")]
        {
            assert_eq!(text(input), expect, "{input:?}");
        }
    }
}
