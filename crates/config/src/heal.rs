//! What `greenloop heal` works under: the repository's configuration where there is one, without
//! any environment of it, else what holds without a file.

use std::time::Duration;

use super::Config;
use super::error::ConfigError;
use super::plan::{AzurePlan, PolicyPlan, PullRequestPlan, RolePlan, SandboxPlan};
use super::resolve::{
    APPROVAL_TIMEOUT, Context, approval_timeout, azure, default_limits, default_policy, limits,
    policy, pull_request, roles, sandbox,
};
use super::vault;
use greenloop_model::{Limits, RepoPath};

/// One more try than the loop gives by default: with a single command nothing else can tell a
/// useless patch from a step forward.
const NO_PROGRESS_THRESHOLD: u32 = 3;

/// The roles, limits and policy of a repair.
#[derive(Debug, Clone, PartialEq)]
pub struct HealPlan {
    /// The Codex role.
    pub author: RolePlan,
    /// The Jules role.
    pub reviewer: RolePlan,
    /// What ends a repair that does not end by itself.
    pub limits: Limits,
    /// How long it waits for a person at a hub.
    pub approval_timeout: Duration,
    /// The policy's settings.
    pub policy: PolicyPlan,
    /// What the command may see and do.
    pub sandbox: SandboxPlan,
    /// Who one is in Azure, for models there and for the key vault.
    pub azure: AzurePlan,
    /// How an accepted repair is proposed.
    pub pull_request: Option<PullRequestPlan>,
}

impl HealPlan {
    /// The names of the agents' keys that are in the key vault.
    pub fn secret_references(&self) -> Vec<String> {
        vault::references([&self.author, &self.reviewer].into_iter().filter_map(vault::key))
    }
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
            limits: Limits { no_progress_threshold: NO_PROGRESS_THRESHOLD, ..default_limits() },
            approval_timeout: APPROVAL_TIMEOUT,
            policy: default_policy(),
            sandbox: SandboxPlan::default(),
            azure: AzurePlan::default(),
            pull_request: None,
        }),
    }
}

impl Config {
    /// The same by this configuration: its agents, their timeouts and prices, its limits and its
    /// policy. `config_path` is where it lies in the repository, so that the policy can protect
    /// it.
    pub fn heal_plan(
        &self,
        config_path: Option<RepoPath>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<HealPlan, ConfigError> {
        let mut cx = Context { document: Some(&self.document), problems: Vec::new(), env };
        let safety = self.raw.safety.as_ref();
        let roles = roles(&mut cx, self.raw.agents.as_ref());
        let mut limits = limits(&mut cx, safety, &roles);
        if safety.is_none_or(|safety| safety.no_progress_threshold.is_none()) {
            limits.no_progress_threshold = NO_PROGRESS_THRESHOLD;
        }
        let policy = PolicyPlan { config_path, ..policy(&mut cx, safety, None) };
        let approval_timeout = approval_timeout(&mut cx, safety);
        let azure = azure(&mut cx, self.raw.azure.as_ref());
        let sandbox = sandbox(&mut cx, self.raw.sandbox.as_ref());
        let pull_request = pull_request(&mut cx, self.raw.pull_request.as_ref());
        if cx.problems.is_empty() {
            let (author, reviewer) = (roles.author, roles.reviewer);
            Ok(HealPlan {
                author,
                reviewer,
                limits,
                approval_timeout,
                policy,
                sandbox,
                azure,
                pull_request,
            })
        } else {
            Err(self.error(cx.problems))
        }
    }
}
