//! The sandbox of a run's commands, from the configuration and the places of the run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::run::config_path;
use super::{AppError, Environment};
use greenloop_config::plan::{SandboxLevel, SandboxPlan};
use greenloop_exec::sandbox::{
    Confinement, Grant, Level, Limits, Place, Probe, Sandbox, Settings, probe, remove_scratch,
};
use greenloop_exec::{Command, Marker, Outcome, Program};
use greenloop_model::RunId;
use greenloop_workspace::Workspace;

/// The variable that names the strongest level that is used: for tests, and for machines whose
/// stronger one makes trouble.
const AT_MOST: &str = "GREENLOOP_SANDBOX_AT_MOST";

/// This program as it was started, whatever lies at its path by now.
pub(super) const LAUNCHER: &str = "/proc/self/exe";

/// What must not begin where there is no sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// What runs code that a model has written.
    AsConfigured,
    /// What restores a release, or only looks: it begins in any case.
    WhateverThereIs,
}

/// The settings of a plan.
pub(super) fn settings(plan: &SandboxPlan, need: Need, env: &Environment) -> Settings {
    let defaults = Limits::default();
    let required = match (plan.level, need) {
        (SandboxLevel::Off, _) => None,
        (_, Need::WhateverThereIs) | (SandboxLevel::D, _) => Some(Level::D),
        (SandboxLevel::B, Need::AsConfigured) => Some(Level::B),
        (SandboxLevel::A, Need::AsConfigured) => Some(Level::A),
    };
    Settings {
        required,
        at_most: env(AT_MOST).and_then(|name| Level::named(name.trim())).unwrap_or(Level::A),
        env: plan.env.clone(),
        read: plan.read.clone(),
        cache: plan.cache.clone(),
        limits: Limits {
            memory: plan.memory.unwrap_or(defaults.memory),
            processes: plan.processes.map_or(defaults.processes, |most| most as usize),
            ..defaults
        },
    }
}

/// Whether commands in `workspace` can have the sandbox that they need, before anything begins.
///
/// # Errors
/// [`AppError::Sandbox`] when they cannot.
pub(super) fn ensure(
    workspace: &Workspace,
    plan: &SandboxPlan,
    env: &Environment,
) -> Result<(), AppError> {
    let settings = settings(plan, Need::AsConfigured, env);
    Sandbox::choose(&settings, workspace.root(), Path::new(LAUNCHER))?;
    Ok(())
}

/// The sandbox of a run that works in `workspace`. `own` is what Greenloop writes into the work
/// tree.
///
/// # Errors
/// [`AppError::Sandbox`] when the machine has none that is strong enough.
pub(super) fn of_run(
    workspace: &Workspace,
    run: RunId,
    plan: &SandboxPlan,
    need: Need,
    own: &[PathBuf],
    env: &Environment,
) -> Result<Arc<Sandbox>, AppError> {
    let root = workspace.root();
    let mut own = own.to_vec();
    own.push(root.join("logs"));
    let git_dir = workspace.git_dir();
    let place = Place {
        root: root.to_owned(),
        git: vec![git_dir.to_owned()],
        own,
        state: vec![git_dir.join("greenloop")],
        scratch: scratch(git_dir, run),
        launcher: LAUNCHER.into(),
    };
    Ok(Arc::new(Sandbox::new(settings(plan, need, env), place)?))
}

/// The sandbox of commands that no configuration speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SandboxChoice(pub SandboxPlan);

impl SandboxChoice {
    /// Its settings, whether commands may use the network, and the program that starts them.
    ///
    /// # Errors
    /// [`AppError::Sandbox`] when the machine has none that is strong enough.
    pub(super) fn settings(
        &self,
        env: &Environment,
    ) -> Result<(Settings, bool, PathBuf), AppError> {
        let Self(plan) = self;
        let settings = settings(plan, Need::AsConfigured, env);
        let launcher = PathBuf::from(LAUNCHER);
        // The folders that commands will work in are this user's own.
        let (level, probe) = Sandbox::choose(&settings, Path::new("/proc/self"), &launcher)?;
        match (level, probe) {
            (Level::D, probe) => {
                let reasons = probe.map(Probe::reasons).unwrap_or_default().join("; ");
                tracing::warn!(
                    reasons,
                    "NO SANDBOX: commands can read and change everything that this process can"
                );
            }
            (level, _) => tracing::info!(%level, "commands run in a sandbox"),
        }
        Ok((settings, plan.network, launcher))
    }
}

fn scratch(git_dir: &Path, run: RunId) -> PathBuf {
    git_dir.join("greenloop").join("sandbox").join(run.to_string())
}

/// Removes what the sandbox of a run that died has left.
pub(super) fn forget(workspace: &Workspace, run: RunId) {
    let folder = scratch(workspace.git_dir(), run);
    if folder.exists()
        && let Err(error) = remove_scratch(&folder)
    {
        tracing::warn!(%error, folder = %folder.display(), "a sandbox's folder could not be removed");
    }
}

/// What this machine has.
pub fn sandbox_probe() -> &'static Probe {
    probe(Path::new(LAUNCHER))
}

/// A command to be run in a sandbox, outside any run.
pub struct SandboxRequest {
    /// Where it runs; its repository's work tree is what it may write to.
    pub directory: PathBuf,
    /// The configuration; `config.yaml` at the repository's root, where there is one, for `None`.
    pub config: Option<PathBuf>,
    /// Exactly this level; the strongest one for `None`.
    pub level: Option<Level>,
    /// Whether it may use the network.
    pub network: bool,
    /// Variables that it inherits.
    pub env_names: Vec<String>,
    /// Folders that it may write to.
    pub cache: Vec<PathBuf>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// The command and its arguments.
    pub command: Vec<std::ffi::OsString>,
    /// Environment variables.
    pub env: Environment,
}

/// Runs a command in a sandbox as a gate would be; `output` is given what it prints.
///
/// # Errors
/// Those of the configuration, and [`AppError::Sandbox`].
pub async fn run_in_sandbox(
    request: SandboxRequest,
    output: &mut (dyn FnMut(&[u8]) + Send),
    cancel: CancellationToken,
) -> Result<(Level, Outcome), AppError> {
    let workspace = Workspace::open(&request.directory)?;
    let plan = plan_of(&workspace, &request)?;
    let mut settings = settings(&plan, Need::AsConfigured, &request.env);
    if let Some(level) = request.level {
        (settings.required, settings.at_most) = (Some(level), level);
    }
    let run = RunId::generate();
    let git_dir = workspace.git_dir();
    let place = Place {
        root: workspace.root().to_owned(),
        git: vec![git_dir.to_owned()],
        own: vec![workspace.root().join("logs")],
        state: vec![git_dir.join("greenloop")],
        scratch: scratch(git_dir, run),
        launcher: LAUNCHER.into(),
    };
    let sandbox = Arc::new(Sandbox::new(settings, place)?);
    let level = sandbox.level();
    let grant = Grant {
        network: request.network || plan.network,
        memory: request.memory,
        cache: request.cache,
        env: request.env_names,
    };
    let command = Command {
        program: Program::Argv(request.command),
        cwd: request.directory,
        env: Vec::new(),
        env_remove: super::task_agents::key_variables(&request.env)
            .into_iter()
            .map(Into::into)
            .collect(),
        timeout: None,
        marker: Marker::new(run),
        confinement: Some(Confinement { sandbox, grant }),
    };
    Ok((level, greenloop_exec::run(&command, output, &cancel).await))
}

fn plan_of(workspace: &Workspace, request: &SandboxRequest) -> Result<SandboxPlan, AppError> {
    let path = config_path(workspace, request.config.as_ref(), &request.directory);
    if request.config.is_none() && !path.is_file() {
        return Ok(SandboxPlan::default());
    }
    let env = |name: &str| (request.env)(name);
    Ok(greenloop_config::load(&path)?.heal_plan(None, &env)?.sandbox)
}
