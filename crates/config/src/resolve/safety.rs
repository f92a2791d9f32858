//! `safety`: the limits of the run, and the policy's settings.

use super::Context;
use super::agents::Roles;
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::nearest::list;
use crate::plan::{EnvironmentPlan, PolicyPlan};
use crate::raw::RawSafety;
use greenloop_model::Limits;

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
                "`safety.max_cost_usd` cannot be kept: what the model of {} costs is not known",
                list(names.iter().map(String::as_str))
            ),
            "give `input_price` and `output_price` there, in US dollars per million tokens",
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
    policy
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
            format!("{} is not a pattern: {}", quoted(pattern), error.kind()),
            "patterns are written as in a .gitignore",
        );
    }
}
