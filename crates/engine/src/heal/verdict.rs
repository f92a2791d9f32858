//! The reviewer's answer, read strictly: whatever is not exactly a review is no approval.

use serde::Deserialize;

use greenloop_model::{Review, ReviewVerdict, Risk};
use greenloop_ports::JsonSchema;

/// The schema of the answer, for servers that can hold a model to it.
pub(super) fn schema() -> JsonSchema {
    JsonSchema {
        name: "review",
        schema: serde_json::json!({
            "type": "object",
            "properties": {
                "verdict": { "type": "string", "enum": ["approve", "reject"] },
                "risk": { "type": "string", "enum": ["low", "medium", "high"] },
                "reason": { "type": "string" },
                "facts": { "type": "array", "items": { "type": "string" } },
                "suggestion": { "type": ["string", "null"] },
            },
            "required": ["verdict", "risk", "reason", "facts", "suggestion"],
            "additionalProperties": false,
        }),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    verdict: WrittenVerdict,
    risk: WrittenRisk,
    reason: String,
    /// What it relied on.
    #[serde(default)]
    facts: Vec<String>,
    suggestion: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenVerdict {
    Approve,
    Reject,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenRisk {
    Low,
    Medium,
    High,
}

/// Reads exactly one JSON object, which white space or one code fence may surround.
/// A repeated key, an unknown key, an unknown word and any other text are errors; only the
/// `suggestion`, which may be null, and the `facts` may be missing. The facts that the reviewer
/// relied on become part of its reason.
pub(super) fn read(answer: &str, reviewer: &str) -> Result<Review, serde_json::Error> {
    let written: Written = serde_json::from_str(unfenced(answer.trim()))?;
    let suggestion = written.suggestion.filter(|text| !text.trim().is_empty());
    let facts: Vec<&str> =
        written.facts.iter().map(|fact| fact.trim()).filter(|fact| !fact.is_empty()).collect();
    let reason = if facts.is_empty() {
        written.reason
    } else {
        format!("{} (relied on: {})", written.reason.trim_end(), facts.join("; "))
    };
    Ok(Review {
        verdict: match written.verdict {
            WrittenVerdict::Approve => ReviewVerdict::Approve,
            WrittenVerdict::Reject => ReviewVerdict::Reject,
        },
        risk: match written.risk {
            WrittenRisk::Low => Risk::Low,
            WrittenRisk::Medium => Risk::Medium,
            WrittenRisk::High => Risk::High,
        },
        reason,
        suggestion,
        reviewer: reviewer.to_owned(),
    })
}

/// What stands within a code fence that is the whole text; else the text.
fn unfenced(text: &str) -> &str {
    let inner = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    match inner.and_then(|inner| inner.split_once('\n')) {
        Some((info, body)) if matches!(info.trim(), "" | "json") => body,
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"verdict":"approve","risk":"low","reason":"ok","suggestion":null}"#;

    #[test]
    fn exactly_one_object_is_a_review() {
        for answer in [
            GOOD.to_owned(),
            format!("\n  {GOOD}\n"),
            format!("```json\n{GOOD}\n```"),
            format!("```\n{GOOD}\n```\n"),
            GOOD.replace(r#","suggestion":null"#, ""),
        ] {
            let review = read(&answer, "r").unwrap();
            assert_eq!(
                (review.verdict, review.risk),
                (ReviewVerdict::Approve, Risk::Low),
                "{answer}"
            );
            assert_eq!(review.suggestion, None);
        }
        let facts =
            GOOD.replace(r#""suggestion""#, r#""facts":["test_a wants 2", " "],"suggestion""#);
        assert_eq!(read(&facts, "r").unwrap().reason, "ok (relied on: test_a wants 2)");
        let reject = r#"{"verdict":"reject","risk":"high","reason":"no","suggestion":"check x"}"#;
        let review = read(reject, "r").unwrap();
        assert_eq!(review.verdict, ReviewVerdict::Reject);
        assert_eq!(review.suggestion.as_deref(), Some("check x"));
    }

    #[test]
    fn anything_else_is_not() {
        for answer in [
            "",
            "approve",
            "null",
            "[]",
            &format!("Here is my review: {GOOD}"),
            &format!("{GOOD} {GOOD}"),
            &format!("```json\n{GOOD}\n```\nDone."),
            &format!("```json\n{GOOD}\n```\n```json\n{GOOD}\n```"),
            &format!("[{GOOD}]"),
            &GOOD.replace("approve", "Approve"),
            &GOOD.replace("approve", "approved"),
            &GOOD.replace("low", "none"),
            &GOOD.replace(r#""verdict":"approve","#, ""),
            &GOOD.replace(r#""risk":"low","#, ""),
            &GOOD.replace(r#""reason":"ok","#, ""),
            &GOOD.replace(r#""reason":"ok""#, r#""reason":null"#),
            &GOOD.replace(r#""suggestion""#, r#""note":"x","suggestion""#),
            &GOOD.replace(r#""suggestion""#, r#""facts":"x","suggestion""#),
            &GOOD.replace(r#""risk":"low""#, r#""verdict":"reject","risk":"low""#),
            &GOOD[..GOOD.len() - 1],
        ] {
            assert!(read(answer, "r").is_err(), "{answer}");
        }
    }
}
