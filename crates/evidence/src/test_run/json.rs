//! Results as JSON: `go test -json` a line each; jest, vitest and mocha as one document.

use serde_json::Value;

use super::{Outcome, Repeat, TestRun, outcome_of};

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// Whether the line is one of `go test -json`, or a whole document.
pub(super) fn line(line: &[u8], run: &mut TestRun) -> bool {
    let known = [&b"\"Action\":"[..], b"\"testResults\"", b"\"stats\"", b"\"type\""];
    if !known.iter().any(|key| memchr::memmem::find(line, key).is_some()) {
        return false;
    }
    let Ok(value) = serde_json::from_slice::<Value>(line) else { return false };
    let (Some(action), Some(package)) = (text(&value, "Action"), text(&value, "Package")) else {
        return results(&value, run);
    };
    let outcome = match action {
        "pass" => Outcome::Passed,
        "fail" => Outcome::Failed,
        "skip" => Outcome::Skipped,
        _other => return true,
    };
    match text(&value, "Test") {
        Some(test) => run.add("go", &format!("{package}: {test}"), outcome, Repeat::Replaces),
        None => {
            run.add("go", &super::compare::go_package(package), outcome, Repeat::Replaces);
            run.runners.entry("go").or_default().summaries += 1;
        }
    }
    true
}

/// A whole document; anything else is nothing.
pub(super) fn document(bytes: &[u8], run: &mut TestRun) -> bool {
    serde_json::from_slice::<Value>(bytes).is_ok_and(|value| results(&value, run))
}

fn results(value: &Value, run: &mut TestRun) -> bool {
    jest(value, run) || mocha(value, run)
}

/// jest, and vitest in its form.
fn jest(value: &Value, run: &mut TestRun) -> bool {
    let Some(files) = value.get("testResults").and_then(Value::as_array) else { return false };
    for file in files {
        let tests = file.get("assertionResults").and_then(Value::as_array);
        if tests.is_none_or(Vec::is_empty) && text(file, "status") == Some("failed") {
            run.runners.entry("js").or_default().not_loaded += 1;
        }
        for test in tests.into_iter().flatten() {
            let name = text(test, "fullName").or_else(|| text(test, "title")).unwrap_or_default();
            if let Some(outcome) = text(test, "status").and_then(outcome_of) {
                run.add("js", name, outcome, Repeat::Counts);
            }
        }
    }
    run.runners.entry("js").or_default().summaries += 1;
    true
}

fn mocha(value: &Value, run: &mut TestRun) -> bool {
    if value.get("stats").is_none() {
        return false;
    }
    let lists =
        [("passes", Outcome::Passed), ("failures", Outcome::Failed), ("pending", Outcome::Skipped)];
    for (list, outcome) in lists {
        for test in value.get(list).and_then(Value::as_array).into_iter().flatten() {
            run.add("js", text(test, "fullTitle").unwrap_or_default(), outcome, Repeat::Counts);
        }
    }
    run.runners.entry("js").or_default().summaries += 1;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_jest_names_every_test() {
        let mut run = TestRun::default();
        let found = document(
            br#"{"numFailedTests":1,"testResults":[
                {"name":"/a.test.js","status":"failed","assertionResults":[
                    {"fullName":"cart adds","status":"passed"},
                    {"fullName":"cart removes","status":"failed"},
                    {"fullName":"cart waits","status":"pending"}]},
                {"name":"/b.test.js","status":"failed","assertionResults":[]}]}"#,
            &mut run,
        );
        assert!(found);
        assert_eq!(run.named(Outcome::Passed).collect::<Vec<_>>(), ["cart adds"]);
        assert_eq!(run.named(Outcome::Failed).collect::<Vec<_>>(), ["cart removes"]);
        assert_eq!(run.named(Outcome::Skipped).collect::<Vec<_>>(), ["cart waits"]);
        assert!(run.is_broken_off());
        assert!(!document(br#"{"name": "package"}"#, &mut TestRun::default()));
    }
}
