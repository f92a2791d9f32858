//! The policy's decision as data: JSON, and SARIF for code hosts.

use serde_json::{Value, json};

use greenloop_model::{Decision, Evaluation, RuleMatch};
use greenloop_policy::Policy;

/// One object: the decision and every match.
pub(super) fn json(evaluation: &Evaluation) -> Value {
    let matches: Vec<Value> = evaluation
        .matches()
        .iter()
        .map(|found| {
            json!({
                "rule": found.rule,
                "decision": name(found.decision),
                "path": found.path.as_ref().map(ToString::to_string),
                "line": found.line,
                "detail": found.detail,
            })
        })
        .collect();
    json!({ "decision": name(evaluation.decision()), "matches": matches })
}

/// A SARIF log of one run: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/>.
pub(super) fn sarif(evaluation: &Evaluation) -> Value {
    let mut ids: Vec<&str> = evaluation.matches().iter().map(|m| m.rule.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let rules: Vec<Value> = ids
        .iter()
        .filter_map(|id| Policy::explain(id))
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": { "text": rule.what },
                "fullDescription": { "text": rule.why },
                "help": { "text": rule.way_out },
                "defaultConfiguration": { "level": level(rule.decision) },
            })
        })
        .collect();
    let results: Vec<Value> = evaluation.matches().iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "greenloop",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": results,
        }],
    })
}

fn result(found: &RuleMatch) -> Value {
    let mut result = json!({
        "ruleId": found.rule,
        "level": level(found.decision),
        "message": { "text": found.detail },
    });
    if let Some(path) = &found.path {
        let mut place = json!({ "artifactLocation": { "uri": uri(&path.to_string()) } });
        if let Some(line) = found.line {
            place["region"] = json!({ "startLine": line });
        }
        result["locations"] = json!([{ "physicalLocation": place }]);
    }
    result
}

/// A path as a relative reference: what a URI reserves is escaped.
fn uri(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    path.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn name(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "allow",
        Decision::NeedsHuman => "needs_human",
        Decision::Forbid => "forbid",
    }
}

fn level(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "note",
        Decision::NeedsHuman => "warning",
        Decision::Forbid => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::RepoPath;

    #[test]
    fn a_match_is_placed_and_explained() {
        let evaluation = Evaluation::new(vec![RuleMatch {
            rule: "secret".into(),
            decision: Decision::Forbid,
            path: RepoPath::new("a b.py").ok(),
            line: Some(3),
            detail: "looks like a key".into(),
        }]);
        let report = sarif(&evaluation);
        let run = &report["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "secret");
        let place = &run["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b.py");
        assert_eq!(place["region"]["startLine"], 3);
        assert_eq!(run["results"][0]["level"], "error");
        assert_eq!(json(&evaluation)["decision"], "forbid");
    }
}
