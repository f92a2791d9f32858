//! Rules of the configuration (`safety.rules`), beside the built-in ones: checked when they are
//! loaded, with their examples.

use std::collections::BTreeMap;

use super::file_kind::FileKind;
use super::gate_files::GateFiles;
use super::rules::{self, Example, RuleDoc};
use super::{Judged, PolicyError};
use greenloop_config::plan::{PolicyRule, RuleChange, RulePosition};
use greenloop_model::{FileChange, FileContent, FileMode, RepoPath};

/// A rule of the configuration, ready to judge.
#[derive(Debug)]
pub(super) struct OwnRule {
    pub doc: RuleDoc,
    changes: Vec<RuleChange>,
}

/// Where a rule matched.
pub(super) struct OwnMatch {
    /// 0-based line of the resulting file.
    pub line: Option<usize>,
    pub detail: String,
}

/// Compiles the rules and holds each to its examples.
///
/// # Errors
/// [`PolicyError::Rule`] with the place of what is wrong.
pub(super) fn compile(plans: &[PolicyRule]) -> Result<Vec<OwnRule>, PolicyError> {
    let mut compiled: Vec<OwnRule> = Vec::new();
    for plan in plans {
        let wrong = |position: RulePosition, problem: String| PolicyError::Rule {
            position,
            rule: plan.id.clone(),
            problem,
        };
        let taken = rules::table().iter().chain(compiled.iter().map(|rule| &rule.doc));
        if taken.into_iter().any(|doc| doc.id == plan.id) {
            return Err(wrong(plan.position, "another rule has this id".to_owned()));
        }
        let mut kinds = Vec::new();
        for (name, position) in &plan.kinds {
            let kind = FileKind::named(name).ok_or_else(|| {
                let names = FileKind::ALL.map(FileKind::name).join(", ");
                wrong(
                    *position,
                    format!("there is no kind of file `{name}`; the kinds are {names}"),
                )
            })?;
            kinds.push(kind);
        }
        let doc = RuleDoc::own(plan, kinds).map_err(|problem| wrong(plan.position, problem))?;
        let rule = OwnRule { doc, changes: plan.changes.clone() };
        for example in &plan.examples {
            let change = Example {
                path: example.path.clone(),
                before: example.before.clone(),
                after: example.after.clone(),
                mode: FileMode::Regular,
                failure: None,
                beside: BTreeMap::new(),
                matches: example.matches,
            };
            let change = change.change().map_err(|problem| wrong(example.position, problem))?;
            let matched = !rule.matches(&Judged::new(&change, &GateFiles::default())).is_empty();
            if matched != example.matches {
                let problem = if matched {
                    "the rule matches this example, which says `matches: false`"
                } else {
                    "the rule does not match this example"
                };
                return Err(wrong(example.position, problem.to_owned()));
            }
        }
        compiled.push(rule);
    }
    Ok(compiled)
}

impl OwnRule {
    /// Where it matches a change of a file.
    pub(super) fn matches(&self, judged: &Judged<'_>) -> Vec<OwnMatch> {
        let Judged { change, file, kind, moved_from, becomes, lines } = judged;
        let kinds = [Some(*kind), *moved_from, *becomes];
        let looks = kinds.iter().flatten().any(|kind| self.doc.looks_at(file, *kind))
            || change.moved_from.as_ref().is_some_and(|from| self.doc.looks_at_path(from, &kinds));
        let counted = self.changes.is_empty() || self.changes.iter().any(|kind| is(*kind, change));
        if !looks || !counted || is_unchanged(change) {
            return Vec::new();
        }
        if !self.doc.reads_text() {
            let detail = format!("{}: {}", change.path, self.doc.why);
            return vec![OwnMatch { line: None, detail }];
        }
        let bytes = |content: &Option<FileContent>| {
            content.as_ref().map_or(Vec::new(), |content| content.bytes.to_vec())
        };
        let found = self.doc.matches(&bytes(&change.before), &bytes(&change.after), lines);
        found
            .into_iter()
            .map(|hit| {
                let verb = if hit.gone { "takes away" } else { "adds" };
                OwnMatch { line: Some(hit.line), detail: format!("{verb} `{}`", hit.text) }
            })
            .collect()
    }
}

fn is_unchanged(change: &FileChange) -> bool {
    change.before == change.after && change.moved_from.is_none()
}

fn is(kind: RuleChange, change: &FileChange) -> bool {
    let moved = change.moved_from.as_ref().is_some_and(|from: &RepoPath| *from != change.path);
    match kind {
        RuleChange::New => change.before.is_none() && change.after.is_some(),
        RuleChange::Deleted => change.after.is_none(),
        RuleChange::Moved => moved,
        RuleChange::Edited => {
            change.before.is_some() && change.after.is_some() && change.before != change.after
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use super::*;
    use greenloop_config::plan::{PolicyPlan, RuleExample};
    use greenloop_model::Decision;

    const AT: RulePosition = RulePosition { line: 12, column: 7 };

    fn example(
        path: &str,
        before: Option<&str>,
        after: Option<&str>,
        matches: bool,
    ) -> RuleExample {
        RuleExample {
            path: path.to_owned(),
            before: before.map(ToOwned::to_owned),
            after: after.map(ToOwned::to_owned),
            matches,
            position: RulePosition { line: 20, column: 9 },
        }
    }

    fn rule() -> PolicyRule {
        PolicyRule {
            id: "billing".to_owned(),
            decision: Decision::Forbid,
            reason: "finance signs off what is charged".to_owned(),
            way_out: None,
            paths: vec!["billing/".to_owned()],
            kinds: Vec::new(),
            changes: Vec::new(),
            adds: None,
            removes: None,
            examples: vec![
                example("src/billing/tax.py", Some("a = 1\n"), Some("a = 2\n"), true),
                example("src/cart.py", Some("a = 1\n"), Some("a = 2\n"), false),
            ],
            position: AT,
        }
    }

    fn plan(rules: Vec<PolicyRule>) -> PolicyPlan {
        let plan = greenloop_config::heal_plan(&|_: &str| None).expect("a plan").policy;
        PolicyPlan { rules, ..plan }
    }

    fn decision(
        rule: PolicyRule,
        path: &str,
        before: Option<&str>,
        after: Option<&str>,
    ) -> Decision {
        let policy = Policy::new(&plan(vec![rule])).expect("a policy");
        let change = example(path, before, after, true);
        let change = Example {
            path: change.path,
            before: change.before,
            after: change.after,
            mode: FileMode::Regular,
            failure: None,
            beside: BTreeMap::new(),
            matches: true,
        };
        policy.evaluate(&[change.change().expect("a change")]).decision()
    }

    #[test]
    fn a_rule_judges_by_path_kind_change_and_text() {
        let (old, new) = (Some("a = 1\n"), Some("a = 2\n"));
        assert_eq!(decision(rule(), "src/billing/tax.py", old, new), Decision::Forbid);
        assert_eq!(decision(rule(), "src/cart.py", old, new), Decision::Allow);

        let added = |adds: &str| PolicyRule {
            decision: Decision::NeedsHuman,
            paths: Vec::new(),
            kinds: vec![("product".to_owned(), AT)],
            adds: Some(adds.to_owned()),
            examples: Vec::new(),
            ..rule()
        };
        let legacy = Some("legacy_call()\n");
        assert_eq!(decision(added("legacy_"), "src/a.py", old, legacy), Decision::NeedsHuman);
        assert_eq!(decision(added("legacy_"), "src/a.py", legacy, old), Decision::Allow);
        assert_eq!(decision(added("legacy_"), "docs/a.md", old, legacy), Decision::Allow);

        let deleted = PolicyRule {
            changes: vec![RuleChange::Deleted],
            paths: vec!["*.py".to_owned()],
            examples: Vec::new(),
            ..rule()
        };
        assert_eq!(decision(deleted.clone(), "src/a.py", old, None), Decision::Forbid);
        assert_eq!(decision(deleted, "src/a.py", old, new), Decision::Allow);
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said_with_its_place() {
        let taken = PolicyRule { id: "secret".to_owned(), ..rule() };
        let unknown = PolicyRule { kinds: vec![("prodcut".to_owned(), AT)], ..rule() };
        let broken = PolicyRule { adds: Some("(".to_owned()), ..rule() };
        let example = PolicyRule {
            examples: vec![example("src/cart.py", None, Some("a\n"), true)],
            ..rule()
        };
        for (rules, expect) in [
            (vec![taken], "line 12, column 7: rule `secret`: another rule has this id"),
            (vec![rule(), rule()], "line 12, column 7: rule `billing`: another rule has this id"),
            (
                vec![unknown],
                "line 12, column 7: rule `billing`: there is no kind of file `prodcut`",
            ),
            (vec![broken], "line 12, column 7: rule `billing`: "),
            (vec![example], "line 20, column 9: rule `billing`: the rule does not match"),
        ] {
            let error = Policy::new(&plan(rules)).expect_err("a mistake").to_string();
            assert!(error.contains(expect), "{error}");
        }
    }
}
