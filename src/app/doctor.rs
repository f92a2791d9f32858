//! What is missing on this machine, and how to get it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::delivery::Delivering;
use super::run::load_plan;
use super::{AppError, Environment, agents::Agents};
use crate::adapters::azure::Identity;
use crate::adapters::docker::engine::Engine;
use crate::adapters::kubernetes::KubernetesTarget;
use crate::adapters::registry::{Registry, is_azure};
use crate::apply::Workspace;
use crate::config;
use crate::config::plan::{AzurePlan, BuildPlan, Provider, RolePlan, RunPlan};
use crate::config::secret_references;
use crate::evidence::Redactor;
use crate::model::{FailureClass, TargetKind, chain};

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
}

/// Looks at everything a run needs. Without an environment: what `heal` needs.
pub async fn doctor(
    directory: &Path,
    environment: Option<&str>,
    config: Option<&std::path::PathBuf>,
    env: &Environment,
) -> Vec<Check> {
    let mut checks = vec![git(), space(directory)];
    let workspace = match Workspace::open(directory) {
        Ok(workspace) => {
            checks.extend(repository(&workspace));
            workspace
        }
        Err(error) => {
            let remedy = error.hint().unwrap_or_else(|| "run it inside a git repository".into());
            checks.push(Check::missing("repository", error.to_string(), remedy));
            return checks;
        }
    };
    let (author, reviewer, azure) = match environment {
        None => match config::heal_plan(&|name: &str| env(name)) {
            Ok(plan) => (plan.author, plan.reviewer, AzurePlan::default()),
            Err(error) => {
                checks.push(Check::missing("model settings", error.to_string(), "see the text"));
                return checks;
            }
        },
        Some(name) => match load_plan(&workspace, config, directory, name, None, env) {
            Ok(plan) => {
                checks.push(Check::ok("configuration", format!("environment {name}")));
                checks.extend(plan_checks(&workspace, &plan));
                let delivering = Delivering::new(plan, env);
                checks.extend(delivery_checks(&workspace, &delivering).await);
                let plan = delivering.plan;
                (plan.author, plan.reviewer, plan.azure)
            }
            Err(error) => {
                let found = chain(&error);
                let remedy = "greenloop config check shows the place";
                checks.push(Check::missing("configuration", found, remedy));
                return checks;
            }
        },
    };
    let redactor = Redactor::from_env();
    let azure = Identity::new(&azure, &|name| env(name));
    let agents =
        Agents::connect(&author, &reviewer, workspace.root(), env, azure.as_ref(), &redactor);
    for (what, plan, label, failure) in [
        ("author", &author, agents.author_label(), agents.author.as_ref().err()),
        ("reviewer", &reviewer, agents.reviewer_label(), agents.reviewer.as_ref().err()),
    ] {
        checks.push(match failure {
            Some(error) => Check::warning(what, error.message.clone(), model_remedy(plan)),
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
            "not found; Greenloop brings its own library, gates may need the program",
            "apt-get install git",
        ),
    }
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
                Check::warning("disk", found, "make room: builds and logs need some GiB")
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
            let remedy = error.hint().unwrap_or_else(|| "make a first commit".into());
            checks.push(Check::missing("repository", error.to_string(), remedy));
        }
    }
    if let Err(error) = workspace.ensure_clean() {
        let remedy = error.hint().unwrap_or_else(|| "commit or stash your changes".into());
        checks.push(Check::missing("work tree", error.to_string(), remedy));
    }
    checks.extend(
        workspace
            .notices()
            .into_iter()
            .map(|notice| Check::warning("repository", notice, "good to know; nothing to do")),
    );
    checks
}

fn plan_checks(workspace: &Workspace, plan: &RunPlan) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(script) = &plan.verification.script {
        let path = workspace.root().join(&script.script);
        checks.push(if path.is_file() {
            Check::ok("smoke script", script.script.display().to_string())
        } else {
            Check::missing(
                "smoke script",
                format!("{} does not exist", script.script.display()),
                "write it, or remove verification.smoke_tests",
            )
        });
    }
    checks
}

/// Engine, registry, cluster and what serves.
async fn delivery_checks(workspace: &Workspace, delivering: &Delivering) -> Vec<Check> {
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
    if needs_azure(plan) {
        checks.push(azure(delivering).await);
    }
    checks.push(match delivering.target(workspace) {
        Err(error) => Check::missing("target", chain(&error), "greenloop config check"),
        Ok(target) => match target.status().await {
            Ok(status) => {
                let found = match status.serving {
                    Some((release, endpoint)) => {
                        format!("release {} serves at {}", release.id.short(), endpoint.url)
                    }
                    None => format!("{}: nothing is deployed yet", target.kind().name()),
                };
                Check::ok("target", found)
            }
            Err(error) => Check::missing("target", chain(&error), "greenloop status shows more"),
        },
    });
    checks
}

/// Whether somebody must be known to Microsoft Entra: for the registry, the cluster or secrets.
fn needs_azure(plan: &RunPlan) -> bool {
    let registry = plan.build.as_ref().is_some_and(|build| is_azure(build.place().0, None));
    let cluster = plan.deploy.kubernetes.as_ref().is_some_and(|cluster| cluster.aks.is_some());
    registry || cluster || !secret_references(plan).is_empty() || plan.azure.key_vault.is_some()
}

/// Whose token it would be: one is asked for.
async fn azure(delivering: &Delivering) -> Check {
    const WHAT: &str = "azure";
    const WAIT: Duration = Duration::from_secs(20);
    let identity = match &delivering.azure {
        Ok(identity) => identity,
        Err(error) => return Check::missing(WHAT, chain(error), "check the azure settings"),
    };
    let tried = identity.ways().join(", ");
    let scope = identity.resource_manager_scope();
    match tokio::time::timeout(WAIT, identity.token(&scope)).await {
        Ok(Ok(_token)) => {
            let way = identity.worked().unwrap_or("the first that answers");
            Check::ok(WHAT, format!("tokens come from {way}"))
        }
        Ok(Err(error)) => Check::missing(
            WHAT,
            format!("no token: {} (tried: {tried})", chain(&error)),
            "az login, or the variables of a service principal or workload identity",
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
        Err(error) => return Check::missing(WHAT, chain(&error), "check build.docker_host"),
    };
    match engine.info().await {
        Ok(info) => {
            let builder = if info.buildkit { "BuildKit" } else { "the classic builder" };
            let found =
                format!("{} at {}, {}, {builder}", info.version, engine.address(), info.platform());
            match info.free {
                Some(free) if free < LITTLE => {
                    let found = format!("{found}; {} MiB free", free >> 20);
                    Check::warning(WHAT, found, "docker system prune makes room")
                }
                Some(_) | None => Check::ok(WHAT, found),
            }
        }
        Err(error) => {
            let found = format!("{}: {}", engine.address(), chain(&error));
            Check::missing(WHAT, found, error.kind.advice())
        }
    }
}

async fn registry(delivering: &Delivering, build: &BuildPlan) -> Check {
    let (host, repository) = build.place();
    let registry = Registry::new(host, delivering.credentials.clone());
    match registry.can_push(&repository).await {
        Ok(()) => Check::ok("registry", format!("{host}/{repository} takes pushes")),
        Err(error) => {
            let remedy = if error.class() == FailureClass::Auth {
                "docker login, GREENLOOP_REGISTRY_USERNAME and _PASSWORD, or the role AcrPush"
            } else {
                "check build.registry, and that the registry can be reached from here"
            };
            Check::missing("registry", chain(&error), remedy)
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
            checks.push(Check::missing(WHAT, chain(&error), remedy));
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
                Check::ok("permissions", format!("all {} that are needed", permissions.len()))
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
            chain(&error),
            "check deploy.manifest_path: its kinds are what is asked for",
        )),
    }
    checks
}

fn model_remedy(plan: &RolePlan) -> String {
    match &plan.provider {
        Provider::OpenAi { api_key_env, .. } => format!(
            "export {api_key_env}=…, and OPENAI_BASE_URL for a compatible server; without a \
             model Greenloop still runs and deploys, but heals nothing"
        ),
        Provider::Azure { api_key_env, .. } => format!(
            "export {}=…, or sign in with az login",
            api_key_env.as_deref().unwrap_or("AZURE_OPENAI_API_KEY")
        ),
        Provider::Replay { path } => format!("check the recording at {}", path.display()),
    }
}

/// Whether somebody listens at the model's address. No request that costs anything is made.
async fn endpoint(what: &str, plan: &RolePlan, label: String) -> Check {
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
            format!("{label} cannot be reached: {}", chain(&error.without_url())),
            "check the address, the network and HTTPS_PROXY",
        ),
    }
}
