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
pub(super) fn sarif(evaluation: &Evaluation, policy: &Policy) -> Value {
    let mut ids: Vec<&str> = evaluation.matches().iter().map(|m| m.rule.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let rules: Vec<Value> = ids
        .iter()
        .filter_map(|id| policy.rule(id))
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
    let index = |found: &RuleMatch| ids.iter().position(|id| *id == found.rule);
    let results: Vec<Value> =
        evaluation.matches().iter().map(|found| result(found, index(found))).collect();
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

fn result(found: &RuleMatch, rule: Option<usize>) -> Value {
    let mut result = json!({
        "ruleId": found.rule,
        "level": level(found.decision),
        "message": { "text": found.detail },
    });
    if let Some(rule) = rule {
        result["ruleIndex"] = json!(rule);
    }
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

    fn matched(rule: &str, decision: Decision, path: Option<&str>, line: Option<u64>) -> RuleMatch {
        RuleMatch {
            rule: rule.into(),
            decision,
            path: path.and_then(|path| RepoPath::new(path).ok()),
            line,
            detail: "looks like a key".into(),
        }
    }

    fn policy() -> Policy {
        let plan = greenloop_config::heal_plan(&|_: &str| None).expect("a plan").policy;
        Policy::new(&plan).expect("a policy")
    }

    #[test]
    fn a_match_is_placed_and_explained() {
        let evaluation =
            Evaluation::new(vec![matched("secret", Decision::Forbid, Some("a b.py"), Some(3))]);
        let report = sarif(&evaluation, &policy());
        let run = &report["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "secret");
        let place = &run["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b.py");
        assert_eq!(place["region"]["startLine"], 3);
        assert_eq!(run["results"][0]["level"], "error");
        assert_eq!(json(&evaluation)["decision"], "forbid");
    }

    /// What the schema of SARIF 2.1.0 demands of the properties that are used here.
    #[test]
    fn the_report_has_the_structure_of_sarif() {
        let evaluation = Evaluation::new(vec![
            matched("secret", Decision::Forbid, Some("src/a.py"), Some(1)),
            matched("max_files", Decision::Forbid, None, None),
            matched("file_mode", Decision::NeedsHuman, Some("über/x.sh"), None),
            matched("secret", Decision::Forbid, Some("src/b.py"), Some(7)),
        ]);
        let report = sarif(&evaluation, &policy());
        let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        assert_eq!(report["version"], "2.1.0");
        assert!(report["$schema"].as_str().is_some_and(|uri| uri.ends_with("sarif-2.1.0.json")));
        let [run] = report["runs"].as_array().expect("runs").as_slice() else { panic!("runs") };
        let driver = &run["tool"]["driver"];
        assert!(text(&driver["name"]) && text(&driver["version"]));
        let rules = driver["rules"].as_array().expect("rules");
        let mut ids: Vec<&str> = rules.iter().filter_map(|rule| rule["id"].as_str()).collect();
        assert_eq!(ids.len(), rules.len());
        ids.dedup();
        assert_eq!(ids, ["file_mode", "max_files", "secret"]);
        for rule in rules {
            for message in ["shortDescription", "fullDescription", "help"] {
                assert!(text(&rule[message]["text"]), "{rule}");
            }
            let level = rule["defaultConfiguration"]["level"].as_str();
            assert!(matches!(level, Some("none" | "note" | "warning" | "error")), "{rule}");
        }
        let results = run["results"].as_array().expect("results");
        assert_eq!(results.len(), 4);
        for result in results {
            assert!(text(&result["message"]["text"]), "{result}");
            let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
            for place in result["locations"].as_array().into_iter().flatten() {
                let place = &place["physicalLocation"];
                let uri = place["artifactLocation"]["uri"].as_str().expect("a uri");
                assert!(uri.is_ascii() && !uri.starts_with('/') && !uri.contains(' '), "{uri}");
                let line = &place["region"]["startLine"];
                assert!(line.is_null() || line.as_u64().is_some_and(|line| line > 0), "{place}");
            }
        }
        assert!(results[1]["locations"].is_null(), "a match of the whole patch has no place");
    }
}
