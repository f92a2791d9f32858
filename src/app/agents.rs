//! The two agents, from their role plans.

use std::path::Path;

use super::Environment;
use super::audit_key::AUDIT_KEY;
use super::hub_connection::HUB_TOKEN;
use greenloop_azure::{AzureError, Identity};
use greenloop_config::plan::{Provider, RolePlan};
use greenloop_engine::driver::Agent;
use greenloop_engine::heal::{Author, Reviewer};
use greenloop_evidence::Redactor;
use greenloop_ports::ModelError;

/// The author and the reviewer, each perhaps with the reason why it is not available.
pub(super) struct Agents {
    pub(super) author: Agent<Author>,
    pub(super) reviewer: Agent<Reviewer>,
    /// Variables that hold their keys: gates do not get to see them.
    pub(super) key_variables: Vec<String>,
}

impl Agents {
    pub(super) fn connect(
        author: &RolePlan,
        reviewer: &RolePlan,
        root: &Path,
        env: &Environment,
        azure: Result<&Identity, &AzureError>,
        redactor: &Redactor,
    ) -> Self {
        let lookup = |name: &str| env(name);
        let program = Author::of_program(author, redactor.clone());
        let connect = |role, plan| greenloop_llm::connect(role, plan, root, &lookup, azure);
        Self {
            author: program.map_or_else(
                || {
                    connect("author", author).and_then(|model| {
                        let next: Vec<_> = author
                            .next
                            .iter()
                            .map(|plan| connect("author", plan))
                            .collect::<Result<_, _>>()?;
                        Ok(Author::new(model, author, redactor.clone()).then(next))
                    })
                },
                Ok,
            ),
            reviewer: connect("reviewer", reviewer)
                .map(|m| Reviewer::new(m, reviewer, redactor.clone())),
            key_variables: key_variables([author, reviewer]),
        }
    }

    /// Who writes, in words.
    pub(super) fn author_label(&self) -> String {
        self.author.as_ref().map_or_else(absent, Author::label)
    }

    /// Who reviews, in words.
    pub(super) fn reviewer_label(&self) -> String {
        self.reviewer.as_ref().map_or_else(absent, Reviewer::label)
    }
}

/// Why there is none.
fn absent(error: &ModelError) -> String {
    format!("none ({})", error.message)
}

/// Variables that hold the models' keys: the commands of other tasks do not get to see them.
pub(super) fn configured_key_variables(env: &Environment) -> Vec<String> {
    let plan = greenloop_config::heal_plan(&|name: &str| env(name));
    plan.map(|plan| key_variables([&plan.author, &plan.reviewer])).unwrap_or_default()
}

/// The variables that hold the agents' keys.
pub(super) fn key_variables(plans: [&RolePlan; 2]) -> Vec<String> {
    let mut names =
        ["OPENAI_API_KEY", "SYSTEM_ACCESSTOKEN", HUB_TOKEN, AUDIT_KEY].map(str::to_owned).to_vec();
    for plan in plans {
        match &plan.provider {
            Provider::OpenAi { api_key_env, .. } => names.push(api_key_env.clone()),
            Provider::Azure { api_key_env: Some(name), .. } => names.push(name.clone()),
            Provider::Azure { api_key_env: None, .. } | Provider::Replay { .. } => {}
        }
    }
    names.sort();
    names.dedup();
    greenloop_exec::withhold(names.iter().cloned());
    names
}
