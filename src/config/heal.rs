//! What `greenloop heal` works under, which needs no file.

use super::error::ConfigError;
use super::plan::{PolicyPlan, RolePlan};
use super::resolve::{Context, default_limits, default_policy, roles};
use crate::model::Limits;

/// The roles, limits and policy of a repair without a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct HealPlan {
    /// The Codex role.
    pub author: RolePlan,
    /// The Jules role.
    pub reviewer: RolePlan,
    /// What ends a repair that does not end by itself.
    pub limits: Limits,
    /// The policy's settings.
    pub policy: PolicyPlan,
}

/// The plan from `OPENAI_BASE_URL`, `GREENLOOP_MODEL` and `GREENLOOP_REVIEWER_MODEL`; the key
/// is read later, from `OPENAI_API_KEY`. Fails only when a variable holds what cannot be used.
pub fn heal_plan(env: &dyn Fn(&str) -> Option<String>) -> Result<HealPlan, ConfigError> {
    let mut cx = Context { document: None, problems: Vec::new(), env };
    let roles = roles(&mut cx, None);
    match cx.problems.into_iter().next() {
        Some(problem) => Err(ConfigError::without_text("the environment", problem, None)),
        None => Ok(HealPlan {
            author: roles.author,
            reviewer: roles.reviewer,
            // One more try than the loop gives by default: with a single command nothing else
            // can tell a useless patch from a step forward.
            limits: Limits { no_progress_threshold: 3, ..default_limits() },
            policy: default_policy(),
        }),
    }
}
