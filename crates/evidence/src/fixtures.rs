//! The scenario folders `tests/fixtures/logs/NNN_name/{input.log,expect.json}`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{ExtractLimits, Redactor, explain_json, extract};

fn strings(value: &Value) -> BTreeSet<String> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What is wrong with what was found in one folder's log.
fn complaints(folder: &Path) -> Vec<String> {
    let log = std::fs::read(folder.join("input.log")).expect("input.log");
    let expect = std::fs::read(folder.join("expect.json")).expect("expect.json");
    let expect: Value = serde_json::from_slice(&expect).expect("JSON");
    let found = extract(&log, ExtractLimits::default(), &Redactor::default());
    let kept: BTreeSet<u64> = found.excerpts.iter().flat_map(|e| e.start..=e.end).collect();
    let text: String = found.excerpts.iter().map(|e| format!("{}\n", e.text)).collect();
    let mut wrong = Vec::new();
    for range in expect["hits"].as_array().expect("hits") {
        let (from, to) = (range[0].as_u64().unwrap_or(0), range[1].as_u64().unwrap_or(0));
        if !(from..=to).any(|line| kept.contains(&line)) {
            wrong.push(format!("lines {from}-{to} are not kept"));
        }
    }
    let most = expect["max_kept"].as_u64().expect("max_kept");
    if kept.len() as u64 > most {
        wrong.push(format!("{} lines kept, {most} at most expected", kept.len()));
    }
    if found.class.name() != expect["class"] {
        wrong.push(format!("class {}, {} expected", found.class, expect["class"]));
    }
    if Some(found.flaky_suspect) != expect["flaky_suspect"].as_bool() {
        wrong.push(format!("flaky_suspect is {}", found.flaky_suspect));
    }
    if found.failing_tests != strings(&expect["failing_tests"]) {
        wrong.push(format!(
            "failing tests {:?}, {} expected",
            found.failing_tests, expect["failing_tests"]
        ));
    }
    let places: BTreeSet<String> = found
        .excerpts
        .iter()
        .flat_map(|excerpt| &excerpt.locations)
        .map(ToString::to_string)
        .collect();
    for place in strings(&expect["locations"]).difference(&places) {
        wrong.push(format!("no location {place}, only {places:?}"));
    }
    let all = format!("{}{text}", explain_json(&found));
    for absent in strings(&expect["absent"]) {
        if all.contains(&absent) {
            wrong.push(format!("{absent:?} is there"));
        }
    }
    if let Some(headline) = expect["headline"].as_str()
        && found.headline != headline
    {
        wrong.push(format!("headline {:?}, {headline:?} expected", found.headline));
    }
    for excerpt in &found.excerpts {
        let lines = excerpt.text.split('\n').count() as u64;
        if lines != excerpt.end - excerpt.start + 1 {
            wrong.push(format!("{lines} lines of text for {}-{}", excerpt.start, excerpt.end));
        }
    }
    if !wrong.is_empty() {
        wrong.push(format!("kept:\n{text}headline: {}", found.headline));
    }
    wrong
}

#[test]
fn every_scenario_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/logs");
    let mut folders: Vec<_> = std::fs::read_dir(root)
        .expect("the fixtures")
        .map(|e| e.expect("an entry").path())
        .collect();
    folders.sort();
    assert!(folders.len() >= 35, "{}", folders.len());
    let mut failed = 0;
    for folder in folders {
        let wrong = complaints(&folder);
        if !wrong.is_empty() {
            failed += 1;
            println!("{}\n  {}", folder.display(), wrong.join("\n  "));
        }
    }
    assert_eq!(failed, 0);
}
