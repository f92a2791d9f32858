//! The JSON that `greenloop explain --output json` prints.

use serde_json::{Value, json};

use super::extractor::Extraction;

/// `{"lines", "excerpts": [{"start", "end", "kind", "text", "locations": [{"file", "line",
/// "column"}]}], "fingerprint", "failing_tests", "class", "flaky_suspect", "headline"}`; lines
/// are 1-based and inclusive, `column` is null where the log gives none.
pub fn explain_json(extraction: &Extraction) -> Value {
    let excerpts: Vec<Value> = extraction
        .excerpts
        .iter()
        .map(|excerpt| {
            let locations: Vec<Value> = excerpt
                .locations
                .iter()
                .map(
                    |place| json!({"file": place.file, "line": place.line, "column": place.column}),
                )
                .collect();
            json!({
                "start": excerpt.start,
                "end": excerpt.end,
                "kind": excerpt.kind,
                "locations": locations,
                "text": excerpt.text,
            })
        })
        .collect();
    json!({
        "lines": extraction.lines,
        "excerpts": excerpts,
        "fingerprint": extraction.fingerprint.as_str(),
        "failing_tests": extraction.failing_tests,
        "class": extraction.class.name(),
        "flaky_suspect": extraction.flaky_suspect,
        "headline": extraction.headline,
    })
}
