//! `safety`: the limits of the run, and the policy's settings.

use std::time::Duration;

use super::Context;
use super::agents::Roles;
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::nearest::list;
use crate::plan::{EnvironmentPlan, PolicyPlan, PolicyRule, RuleChange, RuleExample, RulePosition};
use crate::raw::{RawRule, RawRuleChange, RawRuleDecision, RawSafety};
use greenloop_model::{Decision, Limits};

/// What holds when the file says nothing.
pub(crate) fn default_limits() -> Limits {
    Limits {
        max_iterations: 5,
        no_progress_threshold: 2,
        max_tokens: Some(1_000_000),
        max_cost_usd: None,
        max_duration: None,
    }
}

/// How long a run waits for a person at a hub when the file says nothing.
pub(crate) const APPROVAL_TIMEOUT: Duration = Duration::from_secs(3600);

pub(crate) fn approval_timeout(cx: &mut Context<'_>, raw: Option<&RawSafety>) -> Duration {
    let given = raw.and_then(|raw| raw.approval_timeout.as_ref());
    let place = KeyPath::root().key("safety").key("approval_timeout");
    cx.timeout(given, &place).unwrap_or(APPROVAL_TIMEOUT)
}

/// What holds when the file says nothing. The words are whole statements, so that `impl Drop`
/// wants no confirmation.
pub(crate) fn default_policy() -> PolicyPlan {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    PolicyPlan {
        never_delete: own(&["*.sql", "migrations/"]),
        require_confirmation: own(&[
            "DROP TABLE",
            "DROP DATABASE",
            "DROP SCHEMA",
            "TRUNCATE TABLE",
            "DELETE FROM",
            "rm -rf",
            "kubectl delete namespace",
        ]),
        max_files: 20,
        max_changed_lines: 500,
        max_file_bytes: 1024 * 1024,
        config_path: None,
        confirm_every_patch: false,
        rules: Vec::new(),
    }
}

pub(crate) fn limits(cx: &mut Context<'_>, raw: Option<&RawSafety>, roles: &Roles) -> Limits {
    let defaults = default_limits();
    let Some(raw) = raw else { return defaults };
    let place = KeyPath::root().key("safety");
    if raw.max_cost_usd.is_some() && !roles.unpriced.is_empty() {
        let names: Vec<String> = roles.unpriced.iter().map(|r| format!("agents.{r}")).collect();
        cx.report(
            ProblemKind::MissingKey,
            &place.key("max_cost_usd"),
            format!(
                "`safety.max_cost_usd` needs prices, but the prices of the model of {} are not \
                 configured",
                list(names.iter().map(String::as_str))
            ),
            "set `input_price` and `output_price` there, in US dollars per million tokens",
        );
    }
    Limits {
        max_iterations: raw.max_iterations.unwrap_or(defaults.max_iterations),
        no_progress_threshold: raw.no_progress_threshold.unwrap_or(defaults.no_progress_threshold),
        max_tokens: raw.max_tokens.or(defaults.max_tokens),
        max_cost_usd: raw.max_cost_usd,
        max_duration: cx.timeout(raw.max_duration.as_ref(), &place.key("max_duration")),
    }
}

pub(crate) fn policy(
    cx: &mut Context<'_>,
    raw: Option<&RawSafety>,
    environment: Option<&EnvironmentPlan>,
) -> PolicyPlan {
    let mut policy = default_policy();
    policy.confirm_every_patch = environment.is_some_and(|e| e.require_approval);
    let Some(raw) = raw else { return policy };
    let place = KeyPath::root().key("safety");
    if let Some(patterns) = &raw.never_delete {
        for (i, pattern) in patterns.iter().enumerate() {
            never_delete(cx, pattern, &place.key("never_delete").index(i));
        }
        policy.never_delete.clone_from(patterns);
    }
    if let Some(words) = &raw.require_confirmation {
        for (i, word) in words.iter().enumerate() {
            cx.filled(word, &place.key("require_confirmation").index(i));
        }
        policy.require_confirmation.clone_from(words);
    }
    let count = |given: Option<u32>, default: usize| {
        given.map_or(default, |n| usize::try_from(n).unwrap_or(usize::MAX))
    };
    policy.max_files = count(raw.max_files, policy.max_files);
    policy.max_changed_lines = count(raw.max_changed_lines, policy.max_changed_lines);
    policy.max_file_bytes = count(raw.max_file_bytes, policy.max_file_bytes);
    let rules = raw.rules.iter().flatten().enumerate();
    policy.rules = rules.map(|(i, raw)| rule(cx, raw, &place.key("rules").index(i))).collect();
    policy
}

fn rule(cx: &mut Context<'_>, raw: &RawRule, place: &KeyPath) -> PolicyRule {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if raw.id.is_empty() || !raw.id.chars().all(word) {
        cx.report(
            ProblemKind::InvalidValue,
            &place.key("id"),
            format!("{} is not a valid id for a rule", quoted(&raw.id)),
            "use small letters, digits, `_` and `-`",
        );
    }
    cx.filled(&raw.reason, &place.key("reason"));
    for (name, expression) in [("adds", &raw.adds), ("removes", &raw.removes)] {
        if let Some(expression) = expression
            && let Err(error) = regex::Regex::new(expression)
        {
            cx.report(
                ProblemKind::InvalidValue,
                &place.key(name),
                format!("{} is not a valid regular expression: {error}", quoted(expression)),
                "",
            );
        }
    }
    let paths = raw.paths.clone().unwrap_or_default();
    for (i, pattern) in paths.iter().enumerate() {
        never_delete(cx, pattern, &place.key("paths").index(i));
    }
    let all = raw.paths.is_none() && raw.kinds.is_none() && raw.change.is_none();
    if all && raw.adds.is_none() && raw.removes.is_none() {
        cx.report(
            ProblemKind::MissingKey,
            place,
            "the rule matches every change of every file".to_owned(),
            "set `paths`, `kinds`, `change`, `adds` or `removes`; `require_approval` of an \
             environment asks a person for every patch",
        );
    }
    let position = |cx: &Context<'_>, place: &KeyPath| {
        cx.document.map_or_else(RulePosition::default, |document| {
            let position = document.position(place);
            RulePosition { line: position.line, column: position.column }
        })
    };
    let kinds = raw.kinds.iter().flatten().enumerate();
    let examples = raw.examples.iter().flatten().enumerate();
    PolicyRule {
        id: raw.id.clone(),
        decision: match raw.decision {
            RawRuleDecision::NeedsHuman => Decision::NeedsHuman,
            RawRuleDecision::Forbid => Decision::Forbid,
        },
        reason: raw.reason.clone(),
        way_out: raw.way_out.clone(),
        paths,
        kinds: kinds
            .map(|(i, name)| (name.clone(), position(cx, &place.key("kinds").index(i))))
            .collect(),
        changes: raw
            .change
            .iter()
            .flatten()
            .map(|change| match change {
                RawRuleChange::New => RuleChange::New,
                RawRuleChange::Edited => RuleChange::Edited,
                RawRuleChange::Moved => RuleChange::Moved,
                RawRuleChange::Deleted => RuleChange::Deleted,
            })
            .collect(),
        adds: raw.adds.clone(),
        removes: raw.removes.clone(),
        examples: examples
            .map(|(i, example)| RuleExample {
                path: example.path.clone(),
                before: example.before.clone(),
                after: example.after.clone(),
                matches: example.matches.unwrap_or(true),
                position: position(cx, &place.key("examples").index(i)),
            })
            .collect(),
        position: position(cx, place),
    }
}

/// A pattern that git would understand.
fn never_delete(cx: &mut Context<'_>, pattern: &str, place: &KeyPath) {
    let bare = pattern.trim().trim_start_matches('!').trim_matches('/');
    if bare.is_empty() {
        cx.filled("", place);
    } else if let Err(error) = globset::Glob::new(bare) {
        cx.report(
            ProblemKind::InvalidValue,
            place,
            format!("{} is not a valid pattern: {}", quoted(pattern), error.kind()),
            "patterns use the syntax of .gitignore",
        );
    }
}
