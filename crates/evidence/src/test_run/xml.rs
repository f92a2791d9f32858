//! Report files: JUnit and surefire, xUnit.net, NUnit, TRX; TAP and JSON as on a console.

use std::io::{BufRead, Read};

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::{Outcome, Repeat, Source, TestReader, TestRun, outcome_of};

/// Bytes of a piece of a report that is no XML.
const CHUNK: usize = 64 << 10;

/// A report file that says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[from] std::io::Error),
    /// It is no well-formed XML.
    #[error("it is not well-formed XML")]
    Xml(#[source] quick_xml::Error),
    /// It names no test.
    #[error(
        "it names no test in a form that is known (JUnit, surefire, xUnit.net, NUnit, TRX, TAP, JSON)"
    )]
    Nothing,
}

/// What a runner's report file says. At most `limit` bytes are read.
///
/// # Errors
/// When it cannot be read or parsed, or names no test.
pub fn read_report(report: impl BufRead, limit: u64) -> Result<TestRun, ReportError> {
    let mut report = report.take(limit);
    let head = report.fill_buf()?;
    let first = head.iter().copied().find(|byte| !byte.is_ascii_whitespace() && *byte < 0x80);
    let mut run = if first == Some(b'<') { xml(report)? } else { console(report)? };
    run.source = Source::Report;
    if run.counts() == greenloop_model::TestCounts::default() {
        return Err(ReportError::Nothing);
    }
    Ok(run)
}

fn console(mut report: impl Read) -> Result<TestRun, ReportError> {
    let mut reader = TestReader::new();
    let mut piece = vec![0; CHUNK];
    loop {
        let read = report.read(&mut piece)?;
        if read == 0 {
            return Ok(reader.finish());
        }
        reader.push(piece.get(..read).unwrap_or_default());
    }
}

/// A test whose children may say how it ended.
struct OpenTest {
    name: String,
    outcome: Outcome,
}

fn xml(report: impl BufRead) -> Result<TestRun, ReportError> {
    let mut reader = Reader::from_reader(report);
    let mut run = TestRun::default();
    let mut buffer = Vec::new();
    let mut open: Option<OpenTest> = None;
    let mut finish = |test: OpenTest| run.add("report", &test.name, test.outcome, Repeat::Counts);
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer).map_err(ReportError::Xml)? {
            Event::Eof => break,
            Event::Empty(element) => match start(&element) {
                Some(test) => finish(test),
                None => child(&element, open.as_mut()),
            },
            Event::Start(element) => match start(&element) {
                Some(test) => {
                    if let Some(before) = open.replace(test) {
                        finish(before);
                    }
                }
                None => child(&element, open.as_mut()),
            },
            Event::End(element) => {
                let name = element.local_name();
                if TESTS.iter().any(|test| name.as_ref() == test.as_bytes())
                    && let Some(test) = open.take()
                {
                    finish(test);
                }
            }
            _other => {}
        }
    }
    Ok(run)
}

/// The elements that are one test each.
const TESTS: &[&str] = &["testcase", "test", "test-case", "UnitTestResult"];

fn start(element: &BytesStart<'_>) -> Option<OpenTest> {
    let local = element.local_name();
    let kind = TESTS.iter().find(|test| local.as_ref() == test.as_bytes())?;
    let (mut name, mut owner, mut full, mut said) = (None, None, None, None);
    for attribute in element.attributes().flatten() {
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned();
        match attribute.key.local_name().as_ref() {
            b"name" => name = Some(value),
            b"classname" | b"class" => owner = Some(value),
            b"fullname" | b"testName" => full = Some(value),
            b"result" | b"outcome" | b"status" => said = Some(value),
            _other => {}
        }
    }
    let name = match (full, owner.filter(|owner| !owner.is_empty()), name) {
        (Some(full), _, _) => full,
        (None, Some(owner), Some(name)) if *kind == "testcase" => {
            crate::test_name::join(&owner, &name)
        }
        (None, _, name) => name?,
    };
    // `status="run"` and the like of JUnit say nothing; its children do.
    let outcome = said.as_deref().and_then(outcome_of).unwrap_or(Outcome::Passed);
    Some(OpenTest { name, outcome })
}

fn child(element: &BytesStart<'_>, open: Option<&mut OpenTest>) {
    let Some(test) = open else { return };
    match element.local_name().as_ref() {
        b"failure" | b"error" => test.outcome = Outcome::Failed,
        b"skipped" => test.outcome = Outcome::Skipped,
        _other => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
        let run = read_report(text.as_bytes(), 1 << 20).unwrap();
        assert_eq!(run.source(), Source::Report);
        let names = |outcome| run.named(outcome).map(str::to_owned).collect();
        (names(Outcome::Passed), names(Outcome::Failed), names(Outcome::Skipped))
    }

    #[test]
    fn reports_are_read() {
        let expect = |passed: &str, failed: &str, skipped: &str| {
            let list = |name: &str| vec![name.to_owned()];
            (list(passed), list(failed), list(skipped))
        };
        let junit = r#"<?xml version="1.0"?><testsuites><testsuite name="s" tests="3">
            <testcase name="adds" classname="com.acme.Cart" time="0.1"/>
            <testcase name="removes &lt;all&gt;" classname="com.acme.Cart"><failure message="x">at</failure></testcase>
            <testcase name="waits" classname="com.acme.Cart"><skipped/></testcase>
            </testsuite></testsuites>"#;
        let (passed, failed, skipped) = read(junit);
        assert_eq!(passed, ["com.acme.Cart.adds"]);
        assert_eq!(failed, ["com.acme.Cart removes <all>"]);
        assert_eq!(skipped, ["com.acme.Cart.waits"]);
        let xunit = r#"<assemblies><assembly><collection>
            <test name="Shop.Adds" result="Pass"/><test name="Shop.Removes" result="Fail"><failure/></test>
            <test name="Shop.Waits" result="Skip"/></collection></assembly></assemblies>"#;
        assert_eq!(read(xunit), expect("Shop.Adds", "Shop.Removes", "Shop.Waits"));
        let nunit = r#"<test-run><test-suite><test-case name="a" fullname="Shop.Adds" result="Passed"/>
            <test-case name="b" fullname="Shop.Removes" result="Failed"/>
            <test-case name="c" fullname="Shop.Waits" result="Skipped"/></test-suite></test-run>"#;
        assert_eq!(read(nunit), expect("Shop.Adds", "Shop.Removes", "Shop.Waits"));
        let trx = r#"<TestRun><Results><UnitTestResult testName="Shop.Adds" outcome="Passed"/>
            <UnitTestResult testName="Shop.Removes" outcome="Failed"/>
            <UnitTestResult testName="Shop.Waits" outcome="NotExecuted"/></Results></TestRun>"#;
        assert_eq!(read(trx), expect("Shop.Adds", "Shop.Removes", "Shop.Waits"));
        assert_eq!(read("ok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP\n"), expect("a", "b", "c"));
    }

    #[test]
    fn a_report_that_says_nothing_is_an_error() {
        for text in ["", "<testsuites/>", "<testsuite><testcase", "hello"] {
            assert!(read_report(text.as_bytes(), 1 << 20).is_err(), "{text}");
        }
    }
}
