//! The sandbox of a run's commands, from the configuration and the places of the run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{AppError, Environment, configuration};
use greenloop_config::plan::{ContainerPlan, SandboxLevel, SandboxPlan};
use greenloop_exec::sandbox::{
    Confinement, Container, Grant, Level, Limits, Place, Probe, Sandbox, ScratchOwner, Settings,
    probe, remove_scratch, sweep_scratch,
};
use greenloop_exec::{Command, Marker, Outcome, Program};
use greenloop_image::engine::Engine;
use greenloop_model::{Network, RunId};
use greenloop_target::docker::CommandContainers;
use greenloop_workspace::Workspace;

/// The variable that names the strongest level that is used: for tests, and for machines whose
/// stronger one makes trouble.
const AT_MOST: &str = "GREENLOOP_SANDBOX_AT_MOST";

/// How many folders of dead runs one run removes: the next one goes on.
const MOST_SWEPT: usize = 16;

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
        (SandboxLevel::C, Need::AsConfigured) => Some(Level::C),
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
        container: plan.container.as_ref().and_then(|plan| container(plan, env)),
    }
}

/// What makes containers; `None` where the engine's address leads nowhere.
fn container(plan: &ContainerPlan, env: &Environment) -> Option<Container> {
    match Engine::at(plan.docker_host.as_deref(), &|name| env(name)) {
        Ok(engine) => Some(Container(Arc::new(CommandContainers::new(engine, plan.image.clone())))),
        Err(error) => {
            tracing::warn!(%error, "commands cannot run in containers");
            None
        }
    }
}

/// Finds out what the machine has while other things are prepared: it takes tens of milliseconds.
pub(super) fn look_ahead(plan: &SandboxPlan) {
    if plan.level != SandboxLevel::Off {
        std::thread::spawn(sandbox_probe);
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
        scratch: scratch(workspace, run, &**env),
        launcher: LAUNCHER.into(),
    };
    owned(settings(plan, need, env), place)
}

/// A sandbox whose folders no other run removes while this process lives.
fn owned(settings: Settings, place: Place) -> Result<Arc<Sandbox>, AppError> {
    let owner = ScratchOwner::take(&place.scratch);
    Ok(Arc::new(Sandbox::new(settings, place)?.owned_by(owner)))
}

/// All of the network where a person asks for it, else what the configuration gives.
pub(super) fn network(all: bool, plan: &SandboxPlan) -> Network {
    if all { Network::All } else { plan.network.clone() }
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
        Ok((settings, plan.network == Network::All, launcher))
    }
}

/// Where the private home and temporary folder of a run's commands lie. In the user's cache folder:
/// test runners and other tools that walk the work tree would find there, by links, all the tools
/// that the home shows. In git's folder where there is no cache folder outside all work trees.
fn scratch(workspace: &Workspace, run: RunId, env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    sandboxes(workspace, env).join(run.to_string())
}

/// The folder of all runs' [`scratch`] folders.
fn sandboxes(workspace: &Workspace, env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let folder = |name: &str| Some(PathBuf::from(env(name)?)).filter(|it| it.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    let outside = cache.map(|cache| cache.join("greenloop/sandbox")).filter(|sandboxes| {
        let existing = sandboxes.ancestors().find_map(|it| it.canonicalize().ok());
        existing.is_some_and(|it| it.ancestors().all(|folder| !folder.join(".git").exists()))
            && std::fs::create_dir_all(sandboxes).is_ok()
    });
    outside.unwrap_or_else(|| workspace.git_dir().join("greenloop/sandbox"))
}

/// Removes what the sandboxes of runs that were killed have left, in this repository and in others;
/// the folders that it removed. A run that is killed again and again leaves at most one a time, so
/// the next runs keep up.
pub(super) fn sweep(workspace: &Workspace, env: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    sweep_scratch(&sandboxes(workspace, env), MOST_SWEPT)
}

/// Removes what the sandbox of a run that died has left.
pub(super) fn forget(workspace: &Workspace, run: RunId) {
    let folder = scratch(workspace, run, &|name| std::env::var(name).ok());
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
    /// The configuration; the one at the repository's root, where there is one, for `None`.
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
    /// Ends it.
    pub timeout: Option<std::time::Duration>,
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
        scratch: scratch(&workspace, run, &*request.env),
        launcher: LAUNCHER.into(),
    };
    let sandbox = owned(settings, place)?;
    let level = sandbox.level();
    let grant = Grant {
        network: network(request.network, &plan),
        fetched: false,
        memory: request.memory,
        cache: request.cache,
        env: request.env_names,
    };
    let command = Command {
        program: Program::Argv(request.command),
        cwd: request.directory,
        env: Vec::new(),
        env_remove: super::agents::configured_key_variables(&request.env)
            .into_iter()
            .map(Into::into)
            .collect(),
        timeout: request.timeout,
        marker: Marker::new(run),
        confinement: Some(Confinement { sandbox, grant }),
    };
    Ok((level, greenloop_exec::run(&command, output, &cancel).await))
}

fn plan_of(workspace: &Workspace, request: &SandboxRequest) -> Result<SandboxPlan, AppError> {
    let path = configuration::path(workspace, request.config.as_ref(), &request.directory);
    if request.config.is_none() && !path.is_file() {
        return Ok(SandboxPlan::default());
    }
    let env = |name: &str| (request.env)(name);
    Ok(greenloop_config::load(&path)?.heal_plan(None, &env)?.sandbox)
}
