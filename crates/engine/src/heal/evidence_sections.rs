//! A failure's evidence as sections of a prompt.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::budget::{Keep, Section};
use greenloop_model::{Evidence, Failure};

/// Failing tests that are listed.
const MOST_TESTS: usize = 12;

/// Of the lines of a part of the log, how many in ten an earlier part must have for the two to
/// be alike.
const ALIKE: usize = 8;

/// What is known of a failure, in the order in which it is read.
pub(super) fn sections(failure: &Failure) -> Vec<Section> {
    let evidence = &failure.evidence;
    let mut list = vec![Section::new("What is known", known(failure), 3_000, 0)];
    list.push(Section::new("Log", log(evidence), 6_000, 1));
    let exchanges: Vec<String> = evidence
        .http
        .iter()
        .map(|exchange| {
            let status = exchange.status.map_or_else(|| "none".to_owned(), |s| s.to_string());
            format!(
                "{}\ncomplaint: {}\nstatus: {status}, after {} ms\n{}\n",
                exchange.request,
                exchange.complaint,
                exchange.elapsed.as_millis(),
                exchange.response
            )
        })
        .collect();
    list.push(Section::new("Requests that failed", exchanges.join("\n"), 4_000, 1));
    let log = evidence.service_log.clone().unwrap_or_default();
    let mut log = Section::new("The end of the service's own log", log, 4_000, 2);
    log.keep = Keep::End;
    list.push(log);
    list
}

fn known(failure: &Failure) -> String {
    let mut text = format!("{}\n", failure.headline);
    for note in &failure.evidence.notes {
        text.push_str(&format!("{note}\n"));
    }
    if let Some(remedy) = &failure.evidence.remedy {
        text.push_str(&format!("what may help: {}\n", remedy.what));
    }
    let tests = &failure.evidence.failing_tests;
    if !tests.is_empty() {
        text.push_str("failing tests:\n");
        for test in tests.iter().take(MOST_TESTS) {
            text.push_str(&format!("- {test}\n"));
        }
        if tests.len() > MOST_TESTS {
            text.push_str(&format!("- and {} more\n", tests.len() - MOST_TESTS));
        }
    }
    text
}

/// Numbers, addresses and durations: what differs where the same thing fails again.
#[expect(clippy::expect_used, reason = "a constant pattern, which tests compile")]
static VARIES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"0x[0-9a-fA-F]+|\d+").expect("a constant pattern"));

/// One failure's part of the log.
struct Part {
    /// The failing test that it is about.
    test: Option<String>,
    lines: Vec<String>,
}

/// The excerpts, one after the other; of parts that are alike the first one, and which tests the
/// others are of.
fn log(evidence: &Evidence) -> String {
    let mut kept: Vec<(BTreeSet<String>, String)> = Vec::new();
    let mut out = String::new();
    let mut alike: Vec<String> = Vec::new();
    for excerpt in &evidence.excerpts {
        if !out.is_empty() {
            flush(&mut out, &mut alike);
            out.push_str("…\n");
        }
        for part in parts(&excerpt.text, evidence) {
            let keys: Vec<String> = part.lines.iter().map(|line| key(line, evidence)).collect();
            let said = keys.iter().filter(|key| !key.is_empty()).count();
            let is_known = |(lines, test): &&(BTreeSet<String>, String)| {
                let same = keys.iter().filter(|key| !key.is_empty() && lines.contains(*key));
                part.test.as_ref().is_some_and(|of| of != test) && same.count() * 10 >= said * ALIKE
            };
            if said > 0 && kept.iter().any(|known| is_known(&known)) {
                alike.extend(part.test);
                continue;
            }
            flush(&mut out, &mut alike);
            for line in &part.lines {
                out.push_str(line);
                out.push('\n');
            }
            kept.push((keys.into_iter().collect(), part.test.unwrap_or_default()));
        }
    }
    flush(&mut out, &mut alike);
    // Parts that were left out with everything around them leave their marks in a row.
    while out.contains("…\n…\n") {
        out = out.replace("…\n…\n", "…\n");
    }
    out
}

fn flush(out: &mut String, alike: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    alike.retain(|test| seen.insert(test.clone()));
    if let Some(first) = alike.first() {
        let more = match alike.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        out.push_str(&format!("[… the same of {first}{more} …]\n"));
    }
    alike.clear();
}

/// The text, cut where a line names another failing test than the lines before.
fn parts(text: &str, evidence: &Evidence) -> Vec<Part> {
    let mut parts: Vec<Part> = vec![Part { test: None, lines: Vec::new() }];
    let names: Vec<(&str, &String)> = evidence
        .failing_tests
        .iter()
        .map(|test| (test.rsplit("::").next().unwrap_or(test), test))
        .collect();
    for line in text.lines() {
        let named = names
            .iter()
            .filter(|(name, _)| name.len() > 3 && line.contains(name))
            .max_by_key(|(name, _)| name.len());
        let current = parts.last().and_then(|part| part.test.as_ref());
        if let Some((_, test)) = named
            && current != Some(*test)
        {
            let test = Some((*test).clone());
            match parts.last_mut() {
                Some(last) if last.lines.is_empty() => last.test = test,
                _ => parts.push(Part { test, lines: Vec::new() }),
            }
        }
        if let Some(last) = parts.last_mut() {
            last.lines.push(line.to_owned());
        }
    }
    parts
}

/// A line without what varies; the name of a failing test counts as such.
fn key(line: &str, evidence: &Evidence) -> String {
    let mut line = line.trim().trim_matches(['_', '=', '-', ' ']).to_owned();
    for test in &evidence.failing_tests {
        let name = test.rsplit("::").next().unwrap_or(test);
        if name.len() > 3 && line.contains(name) {
            line = line.replace(name, "T");
        }
    }
    VARIES.replace_all(&line, "0").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::Excerpt;

    fn evidence(tests: &[&str], texts: &[&str]) -> Evidence {
        let excerpt = |text: &&str| Excerpt {
            start: 1,
            end: 1,
            kind: "pytest".into(),
            text: (*text).to_owned(),
            locations: Vec::new(),
        };
        Evidence {
            failing_tests: tests.iter().map(|test| (*test).to_owned()).collect(),
            excerpts: texts.iter().map(excerpt).collect(),
            ..Evidence::default()
        }
    }

    #[test]
    fn alike_failures_have_one_representative_and_a_list() {
        let one = |n: u32| {
            format!("___ test_a[{n}] ___\nn = {n}\n>   assert f(n) == n\nE   assert 7{n} == {n}\n")
        };
        let tests = ["t.py::test_a[1]", "t.py::test_a[2]", "t.py::test_a[3]", "t.py::test_b"];
        let other = "___ test_b ___\nE   KeyError: 'x'\n";
        let text = format!("{}{}{}{other}", one(1), one(2), one(3));
        let summary = "FAILED t.py::test_a[1] - assert 71 == 1\nFAILED t.py::test_a[2] - assert 72 == 2\nFAILED t.py::test_b - KeyError: 'x'\n";
        let expect = format!(
            "{}[… the same of t.py::test_a[2] and 1 more …]\n{other}…\nFAILED t.py::test_a[1] - assert 71 == 1\n[… the same of t.py::test_a[2] …]\nFAILED t.py::test_b - KeyError: 'x'\n",
            one(1)
        );
        assert_eq!(log(&evidence(&tests, &[&text, summary])), expect);
    }

    #[test]
    fn a_difference_of_values_within_one_failure_stays() {
        let text = "- a-b-1\n- a-b-2\n+ a-b-3\n+ a-b-4\n";
        assert_eq!(log(&evidence(&["x > y"], &[text])), text);
    }

    #[test]
    fn excerpts_have_no_headers() {
        assert_eq!(log(&evidence(&[], &["one\n", "two"])), "one\n…\ntwo\n");
    }
}
