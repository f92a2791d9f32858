//! What is missing on this machine, and how to get it.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::address::ConfiguredUrl;
use super::delivery::Delivering;
use super::folder::runs_folder;
use super::run::load_plan;
use super::sandbox::{sandbox_probe, sweep};
use super::{AppError, Environment, agents::Agents, configuration};
use greenloop_azure::Identity;
use greenloop_config::plan::{
    AzurePlan, BuildPlan, Manifests, ProcessPlan, Provider, RolePlan, RunPlan,
};
use greenloop_config::secret_references;
use greenloop_engine::stages::preflight::{self, Finding, ProgramFault};
use greenloop_evidence::Redactor;
use greenloop_exec::sandbox::Level;
use greenloop_image::engine::Engine;
use greenloop_image::registry::{Registry, is_azure};
use greenloop_kubernetes::KubernetesTarget;
use greenloop_model::{Condition, FailureClass, Remedy, TargetKind, counted, error_chain};
use greenloop_ports::environment::EnvironmentSecrets;
use greenloop_ports::{SecretSource as _, Target, TargetErrorKind};
use greenloop_workspace::Workspace;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Ok,
    /// Works, but look at it.
    Warning,
    /// Stands in the way.
    Missing,
}

/// One line of the doctor's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub what: String,
    /// How it came out.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// What to do, when it is not [`Health::Ok`].
    pub remedy: Option<String>,
}

impl Check {
    fn ok(what: &str, found: impl Into<String>) -> Self {
        Self { what: what.into(), health: Health::Ok, found: found.into(), remedy: None }
    }

    fn warning(what: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            health: Health::Warning,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn missing(what: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { health: Health::Missing, ..Self::warning(what, found, remedy) }
    }

    /// A program that cannot be started.
    fn of(what: &str, fault: &ProgramFault) -> Self {
        Self::missing(what, fault.to_string(), in_words(fault.remedy()))
    }
}

fn in_words(remedy: Remedy) -> String {
    match remedy.command {
        Some(command) => format!("{}: {command}", remedy.what),
        None => remedy.what,
    }
}

/// Looks at everything a run needs. Without an environment, and a configuration that has only
/// one: what `heal` needs.
pub async fn doctor(
    directory: &Path,
    environment: Option<&str>,
    config: Option<&PathBuf>,
    env: &Environment,
) -> Vec<Check> {
    let mut checks = vec![git(), space(directory), sandbox()];
    let workspace = match Workspace::open(directory) {
        Ok(workspace) => {
            checks.extend(repository(&workspace));
            workspace
        }
        Err(error) => {
            let remedy =
                error.hint().unwrap_or_else(|| "run this command inside a git repository".into());
            checks.push(Check::missing("repository", error.to_string(), remedy));
            return checks;
        }
    };
    let environment = match chosen(&workspace, config, directory, environment, &mut checks) {
        Ok(environment) => environment,
        Err(check) => {
            checks.push(check);
            return checks;
        }
    };
    let deploys = environment.is_some();
    checks.extend(writable(&workspace));
    checks.extend(sandboxes(&workspace, env));
    checks.extend(work_tree(&workspace, deploys));
    let (author, reviewer, azure) = match environment.as_deref() {
        None => match greenloop_config::heal_plan(&|name: &str| env(name)) {
            Ok(plan) => (plan.author, plan.reviewer, AzurePlan::default()),
            Err(error) => {
                checks.push(Check::missing(
                    "model settings",
                    error.to_string(),
                    "correct the \
                    settings that the message names",
                ));
                return checks;
            }
        },
        Some(name) => match load_plan(&workspace, config, directory, name, None, env) {
            Ok(plan) => {
                checks.push(Check::ok("configuration", format!("environment {name}")));
                checks.extend(command_checks(&workspace, &plan));
                checks.extend(plan_checks(&workspace, &plan));
                let delivering = Delivering::new(plan, env);
                let url = delivering.plan.environment.url.clone();
                let at = || ConfiguredUrl::of(&workspace, config, directory, (name, &url));
                checks.extend(delivery_checks(&workspace, &delivering, at).await);
                let plan = delivering.plan;
                (plan.author, plan.reviewer, plan.azure)
            }
            Err(error) => {
                let found = error_chain(&error);
                let remedy = "run `greenloop config check` for the location";
                checks.push(Check::missing("configuration", found, remedy));
                return checks;
            }
        },
    };
    let redactor = Redactor::from_env().guard_exits();
    let azure = Identity::new(&azure, &|name| env(name));
    let agents =
        Agents::connect(&author, &reviewer, workspace.root(), env, azure.as_ref(), &redactor);
    for (what, plan, label, failure) in [
        ("author", &author, agents.author_label(), agents.author.as_ref().err()),
        ("reviewer", &reviewer, agents.reviewer_label(), agents.reviewer.as_ref().err()),
    ] {
        checks.push(match failure {
            Some(error) => Check::warning(what, error.message.clone(), model_remedy(plan, deploys)),
            None => endpoint(what, plan, label).await,
        });
    }
    checks
}

fn git() -> Check {
    match Command::new("git").arg("--version").output() {
        Ok(output) if output.status.success() => {
            Check::ok("git", String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(_) | Err(_) => Check::warning(
            "git",
            "not found; Greenloop has its own library, but gates may need the program",
            "apt-get install git",
        ),
    }
}

/// The sandbox of gates and scripts: which, and why no stronger one.
fn sandbox() -> Check {
    let probe = sandbox_probe();
    let found = format!("level {} ({})", probe.level, probe.level.parts());
    let reasons = probe.reasons().join("; ");
    match probe.level {
        Level::A => Check::ok("sandbox", found),
        Level::B => Check::warning("sandbox", found, reasons),
        Level::C | Level::D => Check::missing("sandbox", found, reasons),
    }
}

/// What sandboxes of runs that were killed have left is removed, as by any run.
fn sandboxes(workspace: &Workspace, env: &Environment) -> Option<Check> {
    let removed = sweep(workspace, &**env).len();
    let found = format!(
        "removed what the sandboxes of {} have left",
        counted(removed, "killed run", "killed runs")
    );
    (removed > 0).then(|| Check::ok("sandbox folders", found))
}

fn space(directory: &Path) -> Check {
    const ENOUGH: u64 = 1 << 30;
    match rustix::fs::statvfs(directory) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let found = format!("{:.1} GiB free", free as f64 / (1u64 << 30) as f64);
            if free >= ENOUGH {
                Check::ok("disk", found)
            } else {
                Check::warning("disk", found, "free some space: builds and logs need a few GiB")
            }
        }
        Err(error) => Check::warning("disk", error.to_string(), "check the file system"),
    }
}

fn repository(workspace: &Workspace) -> Vec<Check> {
    let mut checks = Vec::new();
    match workspace.head() {
        Ok(head) => checks.push(Check::ok(
            "repository",
            format!(
                "{} at {} ({})",
                workspace.root().display(),
                head.commit.short(),
                head.branch.as_deref().unwrap_or("detached HEAD")
            ),
        )),
        Err(error) => {
            let remedy = error.hint().unwrap_or_else(|| "create a first commit".into());
            checks.push(Check::missing("repository", error.to_string(), remedy));
        }
    }
    checks.extend(
        workspace
            .notices()
            .into_iter()
            .map(|notice| Check::warning("repository", notice, "for information only")),
    );
    checks
}

/// A run stores its patches and its records.
fn writable(workspace: &Workspace) -> Option<Check> {
    let runs = runs_folder(workspace.root());
    let logs = runs.parent().map(Path::to_owned);
    let more: Vec<PathBuf> = logs.into_iter().chain([runs]).collect();
    let error = workspace.check_writable(&more).err()?;
    let remedy = error.hint().unwrap_or_else(|| {
        "a run stores its patches in git's data and its records in logs/runs: mount the file \
         system for writing, and let this user write there (a run as root leaves folders of \
         root's: sudo chown -R \"$(id -u)\" .git logs)"
            .to_owned()
    });
    Some(Check::missing("storage", error_chain(&error), remedy))
}

/// A run needs a clean work tree; `heal` makes a copy of one that is not.
fn work_tree(workspace: &Workspace, deploys: bool) -> Option<Check> {
    const WHAT: &str = "work tree";
    let unclean = workspace.ensure_settled().err();
    let unclean = unclean.or_else(|| workspace.ensure_clean().err().filter(|_| deploys));
    if let Some(error) = unclean {
        let remedy = error.hint().unwrap_or_else(|| "run `git status` for details".into());
        return Some(Check::missing(WHAT, error.to_string(), remedy));
    }
    let changed = workspace.is_changed().unwrap_or(false);
    let found = "has uncommitted changes: greenloop heal works on a copy";
    (changed && !deploys).then(|| Check::ok(WHAT, found))
}

/// The environment that is looked at: the given one, or the only one. A configuration that is
/// not there is no fault: `heal` needs none.
fn chosen(
    workspace: &Workspace,
    config: Option<&PathBuf>,
    directory: &Path,
    given: Option<&str>,
    checks: &mut Vec<Check>,
) -> Result<Option<String>, Check> {
    if let Some(given) = given {
        return Ok(Some(given.to_owned()));
    }
    let path = configuration::path(workspace, config, directory);
    if config.is_none() && !path.exists() {
        return Ok(None);
    }
    match greenloop_config::load(&path) {
        Ok(config) => match config.environments().as_slice() {
            [only] => Ok(Some(only.to_string())),
            several => {
                let names: Vec<String> = several.iter().map(ToString::to_string).collect();
                let found = format!("environments: {}", names.join(", "));
                let first = several.first().map(ToString::to_string).unwrap_or_default();
                let remedy = format!("check one of them: greenloop doctor --environment {first}");
                checks.push(Check { remedy: Some(remedy), ..Check::ok("configuration", found) });
                Ok(None)
            }
        },
        Err(error) => {
            let remedy = "run `greenloop config check` for the location";
            Err(Check::missing("configuration", error_chain(&error), remedy))
        }
    }
}

/// The programs of the gates and the smoke script, as a run judges them.
fn command_checks(workspace: &Workspace, plan: &RunPlan) -> Vec<Check> {
    let script = plan.verification.script.as_ref();
    let findings = preflight::judge(&plan.gates, script, workspace.root());
    let gates: Vec<&str> = plan
        .gates
        .iter()
        .filter(|gate| findings.iter().all(|it| it.subject != format!("gate {}", gate.name)))
        .map(|gate| gate.name.as_str())
        .collect();
    let mut checks: Vec<Check> = findings
        .iter()
        .map(|Finding { subject, fault, certain }| {
            let health = if *certain { Health::Missing } else { Health::Warning };
            // The name of a row, not the beginning of a sentence.
            let name = subject.strip_prefix("the ").unwrap_or(subject);
            Check { health, ..Check::of(name, fault) }
        })
        .collect();
    if !gates.is_empty() {
        checks.push(Check::ok("gates", format!("{} can run", gates.join(", "))));
    }
    checks
}

/// What the rest of a run finds on this machine: artifacts, programs, manifests.
fn plan_checks(workspace: &Workspace, plan: &RunPlan) -> Vec<Check> {
    let root = workspace.root();
    let mut checks = Vec::new();
    match plan.deploy.target {
        TargetKind::Process => {
            if let Some(process) = &plan.deploy.process {
                checks.extend(process_checks(root, process, !plan.gates.is_empty()));
            }
        }
        TargetKind::Docker => {}
        TargetKind::Kubernetes => {
            if let Some(cluster) = &plan.deploy.kubernetes {
                checks.extend(manifests(root, &cluster.manifests));
            }
        }
    }
    checks
}

fn process_checks(root: &Path, process: &ProcessPlan, has_gates: bool) -> Vec<Check> {
    let absent: Vec<String> = process
        .artifacts
        .iter()
        .filter(|artifact| !root.join(artifact).exists())
        .map(|artifact| artifact.display().to_string())
        .collect();
    let mut checks = Vec::new();
    if !process.artifacts.is_empty() {
        const WHAT: &str = "artifacts";
        let found = format!("missing: {}", absent.join(", "));
        checks.push(match (absent.is_empty(), has_gates) {
            (true, _) => {
                let count = process.artifacts.len();
                Check::ok(WHAT, format!("{count} of {count} exist"))
            }
            (false, true) => {
                Check::warning(WHAT, found, "a gate must create them: run the build once")
            }
            (false, false) => Check::missing(
                WHAT,
                found,
                "build them, or add the build to quality_gates; deploy.process.artifacts names them",
            ),
        });
    }
    let Some(program) = process.command.first() else { return checks };
    const WHAT: &str = "service";
    // The command runs in the release's folder, where each artifact has its own name.
    let named = Path::new(program);
    let inside = named.components().find_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    let from = inside.filter(|_| program.contains('/') && named.is_relative()).and_then(|first| {
        process.artifacts.iter().find(|artifact| artifact.file_name() == Some(first))
    });
    let fault = match from {
        // Its rest lies below the artifact.
        Some(artifact) => {
            let rest: PathBuf = named
                .components()
                .filter(|part| matches!(part, Component::Normal(_)))
                .skip(1)
                .collect();
            let file =
                if rest.as_os_str().is_empty() { artifact.clone() } else { artifact.join(rest) };
            let there = root.join(artifact).exists();
            let file = Path::new(".").join(file);
            if there { program_fault(&file.to_string_lossy(), root) } else { None }
        }
        None if program.contains('/') && named.is_relative() => {
            checks.push(Check::missing(
                WHAT,
                format!("`{program}` is not among the artifacts"),
                "add it to deploy.process.artifacts: the command runs in the release's folder",
            ));
            return checks;
        }
        None => program_fault(program, root),
    };
    checks.push(match fault {
        None => Check::ok(WHAT, process.command.join(" ")),
        Some(fault) => Check::of(WHAT, &fault),
    });
    checks
}

/// What keeps `word` from being started in `root`.
fn program_fault(word: &str, root: &Path) -> Option<ProgramFault> {
    preflight::look_up(word, root, &preflight::path_variable()).err()
}

fn manifests(root: &Path, manifests: &Manifests) -> Vec<Check> {
    const WHAT: &str = "manifests";
    let (place, programs): (&Path, &[&str]) = match manifests {
        Manifests::Files(files) => (files, &[]),
        Manifests::Kustomize(folder) => (folder, &["kustomize", "kubectl"]),
        Manifests::Helm { chart, .. } => (chart, &["helm"]),
    };
    let mut checks = Vec::new();
    // A glob names no file of its own.
    let glob = place.to_string_lossy().contains(['*', '?', '[']);
    if !glob && !root.join(place).exists() {
        let found = format!("{} does not exist", place.display());
        checks.push(Check::missing(WHAT, found, "create it, or correct deploy.manifest_path"));
    } else {
        checks.push(Check::ok(WHAT, place.display().to_string()));
    }
    if !programs.is_empty() && programs.iter().all(|it| program_fault(it, root).is_some()) {
        let found = format!("{} is not on the PATH", programs.join(" or "));
        checks.push(Check::missing(WHAT, found, "install it: it renders the manifests"));
    }
    checks
}

/// The address that smoke tests and users call, where Greenloop itself listens on it.
async fn address(
    target: &dyn Target,
    at: impl FnOnce() -> ConfiguredUrl,
    url: &str,
) -> Option<Check> {
    const WHAT: &str = "address";
    match target.check().await {
        Ok(()) => (target.kind() != TargetKind::Kubernetes)
            .then(|| Check::ok(WHAT, format!("{url} is free, or in use by Greenloop"))),
        Err(error) => {
            let found = error_chain(&error);
            let remedy = match error.kind {
                TargetErrorKind::AddressInUse => {
                    let end = error.evidence.remedy.map(in_words).unwrap_or_default();
                    format!("{}; or {end}", at().remedy())
                }
                _ => format!("correct {}", at()),
            };
            Some(Check::missing(WHAT, found, remedy))
        }
    }
}

/// Engine, registry, cluster and what serves.
async fn delivery_checks(
    workspace: &Workspace,
    delivering: &Delivering,
    at: impl FnOnce() -> ConfiguredUrl,
) -> Vec<Check> {
    let plan = &delivering.plan;
    let runs_an_image = plan.deploy.target != TargetKind::Process;
    let mut checks = Vec::new();
    if let Some(build) = plan.build.as_ref().filter(|_| runs_an_image) {
        let hosts = [
            Some(&build.docker_host),
            plan.deploy.docker.as_ref().map(|docker| &docker.docker_host),
        ];
        let hosts: BTreeSet<Option<&str>> =
            hosts.into_iter().flatten().map(|host| host.as_deref()).collect();
        for host in hosts {
            checks.push(engine(delivering.engine(host)).await);
        }
        checks.push(registry(delivering, build).await);
    }
    if let Some(cluster) = delivering.cluster(workspace) {
        checks.extend(self::cluster(&cluster, plan).await);
    }
    if needs_azure(delivering).await {
        checks.push(azure(delivering).await);
    }
    let target = match delivering.target(workspace) {
        Ok(target) => target,
        Err(error) => {
            checks.push(Check::missing(
                "target",
                error_chain(&error),
                "run `greenloop config \
                check`",
            ));
            return checks;
        }
    };
    checks.push(match target.status().await {
        Ok(status) => {
            let found = match status.serving {
                Some((release, endpoint)) => match status.condition {
                    Condition::Serves => {
                        format!("release {} serves at {}", release.id.short(), endpoint.url)
                    }
                    Condition::Partly(why) | Condition::Down(why) | Condition::Unknown(why) => {
                        format!("release {} is deployed, but {why}", release.id.short())
                    }
                },
                None => format!("{}: nothing is deployed yet", target.kind().name()),
            };
            Check::ok("target", found)
        }
        Err(error) => Check::missing(
            "target",
            error_chain(&error),
            "run `greenloop status` for \
            details",
        ),
    });
    checks.extend(address(target.as_ref(), at, &plan.environment.url).await);
    checks
}

/// Whether this environment needs Microsoft Entra: for the registry it pushes to, the cluster it
/// deploys to, a secret that the environment's variables do not have, or a model without a key.
async fn needs_azure(delivering: &Delivering) -> bool {
    let plan = &delivering.plan;
    let runs_an_image = plan.deploy.target != TargetKind::Process;
    let registry = plan.build.as_ref().is_some_and(|build| is_azure(build.place().0, None));
    let cluster = plan.deploy.kubernetes.as_ref().is_some_and(|cluster| cluster.aks.is_some());
    let model = [&plan.author, &plan.reviewer].into_iter().any(|role| match &role.provider {
        Provider::Azure { api_key_env, .. } => {
            api_key_env.as_deref().is_none_or(|name| (delivering.env)(name).is_none())
        }
        Provider::OpenAi { .. } | Provider::Replay { .. } => false,
    });
    if (registry && runs_an_image) || cluster || model {
        return true;
    }
    let variables = EnvironmentSecrets::new(Arc::clone(&delivering.env));
    for name in secret_references(plan) {
        if variables.secret(&name).await.is_err() {
            return true;
        }
    }
    false
}

/// Whose token it would be: one is asked for.
async fn azure(delivering: &Delivering) -> Check {
    const WHAT: &str = "azure";
    const WAIT: Duration = Duration::from_secs(20);
    let identity = match &delivering.azure {
        Ok(identity) => identity,
        Err(error) => {
            return Check::missing(
                WHAT,
                error_chain(error),
                "check the settings under \
            `azure`",
            );
        }
    };
    let tried = identity.sources().join(", ");
    let scope = identity.resource_manager_scope();
    match tokio::time::timeout(WAIT, identity.token(&scope)).await {
        Ok(Ok(_token)) => {
            let way = identity.worked().unwrap_or("the first source that answers");
            Check::ok(WHAT, format!("tokens come from {way}"))
        }
        Ok(Err(error)) => Check::missing(
            WHAT,
            format!("no token: {} (tried: {tried})", error_chain(&error)),
            "run `az login`, or set the variables of a service principal or workload identity",
        ),
        Err(_elapsed) => Check::missing(
            WHAT,
            format!("no token within {} s (tried: {tried})", WAIT.as_secs()),
            "check the network and the proxy settings",
        ),
    }
}

async fn engine(engine: Result<Engine, AppError>) -> Check {
    const WHAT: &str = "docker engine";
    const LITTLE: u64 = 2 << 30;
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => return Check::missing(WHAT, error_chain(&error), "check build.docker_host"),
    };
    match engine.info().await {
        Ok(info) => {
            let builder = if info.buildkit { "BuildKit" } else { "the classic builder" };
            let found =
                format!("{} at {}, {}, {builder}", info.version, engine.address(), info.platform());
            match info.free {
                Some(free) if free < LITTLE => {
                    let found = format!("{found}; {} MiB free", free >> 20);
                    Check::warning(WHAT, found, "free some space: docker system prune")
                }
                Some(_) | None => Check::ok(WHAT, found),
            }
        }
        Err(error) => {
            let found = format!("{}: {}", engine.address(), error_chain(&error));
            Check::missing(WHAT, found, error.kind.advice())
        }
    }
}

async fn registry(delivering: &Delivering, build: &BuildPlan) -> Check {
    let (host, repository) = build.place();
    let registry = Registry::new(host, delivering.credentials.clone());
    match registry.can_push(&repository).await {
        Ok(()) => Check::ok("registry", format!("{host}/{repository} accepts pushes")),
        Err(error) => {
            let remedy = if error.class() == FailureClass::Auth {
                "run `docker login`, set GREENLOOP_REGISTRY_USERNAME and _PASSWORD, or assign the \
                 role AcrPush"
            } else {
                "check build.registry and the network connection to the registry"
            };
            Check::missing("registry", error_chain(&error), remedy)
        }
    }
}

async fn cluster(cluster: &KubernetesTarget, plan: &RunPlan) -> Vec<Check> {
    const WHAT: &str = "cluster";
    let mut checks = Vec::new();
    match cluster.server_version().await {
        Ok(version) => checks.push(Check::ok(WHAT, format!("Kubernetes {version}"))),
        Err(error) => {
            let remedy = "check deploy.kubernetes (kubeconfig, context, aks) and the network";
            checks.push(Check::missing(WHAT, error_chain(&error), remedy));
            return checks;
        }
    }
    match cluster.permissions().await {
        Ok(permissions) => {
            let denied: Vec<String> = permissions
                .iter()
                .filter(|permission| !permission.allowed)
                .map(|permission| {
                    let place = permission.namespace.as_deref().unwrap_or("the cluster");
                    format!("{} {} in {place}", permission.verb, permission.resource)
                })
                .collect();
            checks.push(if denied.is_empty() {
                Check::ok("permissions", format!("all {} required permissions", permissions.len()))
            } else {
                let found = format!("not allowed: {}", denied.join("; "));
                let namespace =
                    plan.deploy.kubernetes.as_ref().map_or("default", |plan| &plan.namespace);
                let remedy =
                    format!("kubectl apply --namespace {namespace} -f k8s/greenloop/rbac.yaml");
                Check::missing("permissions", found, remedy)
            });
        }
        Err(error) => checks.push(Check::missing(
            "permissions",
            error_chain(&error),
            "check deploy.manifest_path: permissions are checked for the kinds in its manifests",
        )),
    }
    checks
}

/// How to get a model, and what happens without one.
fn model_remedy(plan: &RolePlan, deploys: bool) -> String {
    let remedy = match &plan.provider {
        Provider::OpenAi { api_key_env, .. } => {
            format!("export {api_key_env}=…, and OPENAI_BASE_URL for a compatible server")
        }
        Provider::Azure { api_key_env, .. } => format!(
            "export {}=…, or run `az login`",
            api_key_env.as_deref().unwrap_or("AZURE_OPENAI_API_KEY")
        ),
        Provider::Replay { path } => format!("check the recording at {}", path.display()),
    };
    let without = if deploys {
        "without a model, Greenloop tests, deploys and restores, but repairs nothing"
    } else {
        "without a model, greenloop heal only runs the command and reports the failure"
    };
    format!("{remedy}; {without}")
}

/// Whether somebody listens at the model's address. No request that costs anything is made.
async fn endpoint(what: &str, plan: &RolePlan, label: String) -> Check {
    if let Some(agent) = &plan.agent {
        let program = agent.command.first().map_or("", String::as_str);
        let path = greenloop_config::program::path_variable();
        return match greenloop_config::program::look_up(program, Path::new("."), &path) {
            Ok(found) => Check::ok(what, format!("{label}, {}", found.display())),
            Err(fault) => Check::warning(
                what,
                format!("{label}: {fault}"),
                "install it, or correct agents.codex.command",
            ),
        };
    }
    let base = match &plan.provider {
        Provider::OpenAi { base_url, .. } => base_url,
        Provider::Azure { endpoint, .. } => endpoint,
        Provider::Replay { .. } => return Check::ok(what, label),
    };
    let client = match reqwest::Client::builder().timeout(Duration::from_secs(5)).build() {
        Ok(client) => client,
        Err(error) => return Check::warning(what, error.to_string(), "check the proxy settings"),
    };
    // Any answer will do: that somebody speaks HTTP there is all that can be known for free.
    match client.get(base).send().await {
        Ok(_answer) => Check::ok(what, format!("{label}, reachable")),
        Err(error) => Check::warning(
            what,
            format!("{label} is unreachable: {}", error_chain(&error.without_url())),
            "check the address, the network and HTTPS_PROXY",
        ),
    }
}
