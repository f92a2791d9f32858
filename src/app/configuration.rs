//! Where the configuration is, and which one of the repository deploys an environment on this machine. The state of the
//! process and docker targets is kept by the environment's name alone: a second configuration with
//! an environment of that name would take the first one's service for an earlier release of its own,
//! and stop it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::AppError;
use greenloop_config::plan::RunPlan;
use greenloop_model::{RepoPath, TargetKind};
use greenloop_workspace::Workspace;

const FILE: &str = "configuration.json";

/// Where the configuration lies for a command given in `directory`.
pub(super) fn path(workspace: &Workspace, given: Option<&PathBuf>, directory: &Path) -> PathBuf {
    given.map_or_else(
        || greenloop_config::locate(workspace.root()).path,
        |path| directory.join(path),
    )
}

/// The configuration that deployed last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DeployedWith {
    /// Its path in the work tree.
    configuration: String,
    /// The environment's address in it.
    url: String,
}

impl DeployedWith {
    /// `None` for a configuration outside the work tree, and for a target that keeps its state
    /// elsewhere.
    fn of(plan: &RunPlan) -> Option<Self> {
        match plan.deploy.target {
            TargetKind::Process | TargetKind::Docker => Some(Self {
                configuration: plan.policy.config_path.as_ref()?.to_string(),
                url: plan.environment.url.clone(),
            }),
            TargetKind::Kubernetes => None,
        }
    }

    fn read(kept: &Value) -> Option<Self> {
        let text = |field: &str| kept.get(field)?.as_str().map(str::to_owned);
        Some(Self { configuration: text("configuration")?, url: text("url")? })
    }

    /// Whether `self` deploys another service than `last` did, whose configuration is still there. A
    /// configuration that was moved, and several for one address, are none of that.
    fn is_other_than(&self, last: &Self, root: &Path) -> bool {
        self.configuration != last.configuration
            && self.url != last.url
            && root.join(&last.configuration).is_file()
    }
}

/// The configuration, where it tells environments of one name apart: in a cluster, two of them may
/// deploy to two namespaces.
pub(super) fn apart(plan: &RunPlan) -> Option<&RepoPath> {
    let path = plan.policy.config_path.as_ref()?;
    let default = [greenloop_config::FILE_NAME, greenloop_config::OLD_NAME]
        .iter()
        .any(|name| path.as_bytes() == name.as_bytes());
    let apart = plan.deploy.target == TargetKind::Kubernetes && !default;
    apart.then_some(path)
}

/// Where an environment's targets keep their state.
pub(super) fn state_folder(workspace: &Workspace, plan: &RunPlan) -> PathBuf {
    let targets = workspace.git_dir().join("greenloop").join("targets");
    targets.join(plan.environment.name.as_str())
}

/// Refuses a plan whose environment another configuration deploys to another address.
///
/// # Errors
/// [`AppError::Unsupported`].
pub(super) fn check(workspace: &Workspace, plan: &RunPlan) -> Result<(), AppError> {
    let path = state_folder(workspace, plan).join(FILE);
    let Some(own) = DeployedWith::of(plan) else { return Ok(()) };
    // One that is not there, or cannot be read, refuses nobody.
    let last = std::fs::read(&path).ok();
    let last = last.and_then(|text| DeployedWith::read(&serde_json::from_slice(&text).ok()?));
    let Some(last) = last.filter(|last| own.is_other_than(last, workspace.root())) else {
        return Ok(());
    };
    let environment = &plan.environment.name;
    Err(AppError::Unsupported {
        what: format!(
            "the environment {environment} is deployed with {} at {}; {} would deploy its own \
             service at {} as the next release of it, and stop that one",
            last.configuration, last.url, own.configuration, own.url
        ),
        hint: format!(
            "give one of them an environment name of its own; where {} takes the place of {}, \
             remove {}",
            own.configuration,
            last.configuration,
            path.display()
        ),
    })
}

/// Notes that this configuration deploys the environment from now on.
///
/// # Errors
/// When the note cannot be written.
pub(super) fn remember(workspace: &Workspace, plan: &RunPlan) -> Result<(), AppError> {
    let Some(own) = DeployedWith::of(plan) else { return Ok(()) };
    let folder = state_folder(workspace, plan);
    let failed = |source| AppError::Folder { path: folder.clone(), source };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let text = json!({"configuration": own.configuration, "url": own.url}).to_string();
    std::fs::write(folder.join(FILE), text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_service_of_a_configuration_that_is_there_is_another() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.yaml"), "").unwrap();
        let of = |configuration: &str, url: &str| DeployedWith {
            configuration: configuration.to_owned(),
            url: url.to_owned(),
        };
        let (one, two) = ("http://localhost:1", "http://localhost:2");
        for (own, last, expect) in [
            (of("b.yaml", two), of("a.yaml", one), true),
            // The same address; the same file; one that was moved.
            (of("b.yaml", one), of("a.yaml", one), false),
            (of("a.yaml", two), of("a.yaml", one), false),
            (of("b.yaml", two), of("gone.yaml", one), false),
        ] {
            assert_eq!(own.is_other_than(&last, root.path()), expect, "{own:?} {last:?}");
        }
    }
}
