//! What a plan needs of the outside world to deliver: the target, the image's source, who one is
//! in Azure and at registries, and the secrets that the plan only names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::agents::key_variables;
use super::hub_connection::HUB_TOKEN;
use super::{AppError, Environment, configuration, folder};
use greenloop_azure::{AzureError, Identity, KeyVault};
use greenloop_config::plan::{AzurePlan, RunPlan};
use greenloop_config::{fill_secrets, secret_references, with_secrets};
use greenloop_evidence::{Redactor, SecretValue, sensitive_parts};
use greenloop_image::ImagePipeline;
use greenloop_image::engine::Engine;
use greenloop_image::registry::{Credentials, logins};
use greenloop_kubernetes::{Connection, KubernetesTarget, Repository};
use greenloop_llm::RECORD_VARIABLE;
use greenloop_model::{TargetKind, error_chain};
use greenloop_ports::environment::{EnvironmentSecrets, fetch};
use greenloop_ports::{ImageSource, SecretSource, Target};
use greenloop_report::pull_requests::token_variables;
use greenloop_target::docker::{DockerSettings, DockerTarget};
use greenloop_target::process::ProcessTarget;
use greenloop_workspace::Workspace;

/// How long the key vault may take where its values are only to be recognised.
const VAULT_ANSWER: Duration = Duration::from_secs(5);

fn is_reference(value: &str) -> bool {
    value.starts_with("keyvault:")
}

/// Settings of the plan whose names look secret: what a build, a gate or a service is given, it may
/// print.
fn learn_settings(redactor: &Redactor, plan: &RunPlan) {
    let mut maps: Vec<&BTreeMap<String, String>> =
        plan.gates.iter().map(|gate| &gate.env).collect();
    maps.extend(plan.build.as_ref().map(|build| &build.args));
    maps.extend(plan.deploy.process.as_ref().map(|process| &process.env));
    maps.extend(plan.deploy.docker.as_ref().map(|docker| &docker.env));
    maps.extend(plan.deploy.kubernetes.as_ref().map(|kubernetes| &kubernetes.variables));
    // `keyvault:NAME` says where a value is, and is none.
    let settings = maps.into_iter().flatten().filter(|(_, text)| !is_reference(text));
    redactor.learn_vars(settings.map(|(name, text)| (OsString::from(name), OsString::from(text))));
}

/// The secrets of these names, from the environment or the key vault; the redactor learns them.
pub(super) async fn secrets(
    names: &[String],
    identity: &Result<Identity, AzureError>,
    azure: &AzurePlan,
    env: &Environment,
    redactor: &Redactor,
) -> Result<BTreeMap<String, SecretString>, AppError> {
    let environment = EnvironmentSecrets::new(Arc::clone(env));
    let vault = match (identity, &azure.key_vault) {
        (Ok(identity), Some(vault)) => Some(KeyVault::new(identity.clone(), vault)),
        _ => None,
    };
    let mut sources: Vec<&dyn SecretSource> = vec![&environment];
    sources.extend(vault.as_ref().map(|vault| vault as &dyn SecretSource));
    let values = fetch(names, &sources).await?;
    redactor.learn(values.iter().flat_map(|(name, value)| {
        let value = value.expose_secret();
        let mut parts = sensitive_parts(SecretValue { key: name, bytes: value.as_bytes() });
        parts.push(value.to_owned());
        parts
    }));
    Ok(values)
}

/// A plan with what it needs of the outside world.
pub(super) struct Delivering {
    /// The plan; its secrets are in it after [`Delivering::with_secrets`].
    pub(super) plan: RunPlan,
    /// The environment; with the secrets, for whoever asks for them by name.
    pub(super) env: Environment,
    /// Knows every secret that is in the plan.
    pub(super) redactor: Redactor,
    /// Who one is in Azure.
    pub(super) azure: Result<Identity, AzureError>,
    /// Who one is at registries.
    pub(super) credentials: Credentials,
}

impl Delivering {
    /// Asks nobody anything yet.
    pub(super) fn new(plan: RunPlan, env: &Environment) -> Self {
        let azure = Identity::new(&plan.azure, &|name| env(name));
        let credentials = Credentials::new(Arc::clone(env), azure.as_ref().ok().cloned());
        let credentials = match &plan.build {
            Some(build) => credentials.with_variables_for(&build.registry),
            None => credentials,
        };
        let redactor = Redactor::from_env().guard_exits();
        learn_settings(&redactor, &plan);
        Self { plan, env: Arc::clone(env), redactor, azure, credentials }
    }

    /// Fetches the secrets that the plan names.
    pub(super) async fn with_secrets(mut self) -> Result<Self, AppError> {
        let names = secret_references(&self.plan);
        if names.is_empty() {
            return Ok(self);
        }
        let values =
            secrets(&names, &self.azure, &self.plan.azure, &self.env, &self.redactor).await?;
        // Every name has been fetched, or there would have been an error.
        let _none_missing = fill_secrets(&mut self.plan, &values);
        self.env = with_secrets(self.env, values);
        Ok(self)
    }

    /// Whether what is applied to a cluster has values of the key vault in it.
    pub(super) fn applies_secrets(&self) -> bool {
        let kubernetes = self.plan.deploy.kubernetes.as_ref();
        kubernetes.is_some_and(|plan| plan.variables.values().any(|text| is_reference(text)))
    }

    /// Makes the redactor know the values of the key vault, for a command that shows what runs and
    /// starts nothing: what ran with such a value may say it. Why it does not know them, where they
    /// cannot be read.
    pub(super) async fn learn_secrets(&self) -> Option<String> {
        let names = secret_references(&self.plan);
        if names.is_empty() {
            return None;
        }
        let asked = secrets(&names, &self.azure, &self.plan.azure, &self.env, &self.redactor);
        let why = match tokio::time::timeout(VAULT_ANSWER, asked).await {
            Ok(Ok(_)) => return None,
            Ok(Err(error)) => error_chain(&error),
            Err(_elapsed) => format!("no answer within {} s", VAULT_ANSWER.as_secs()),
        };
        Some(format!(
            "the values of {} cannot be read, so they would not be recognised in what is shown \
             here: {why}",
            names.iter().map(|name| format!("keyvault:{name}")).collect::<Vec<_>>().join(", ")
        ))
    }

    /// Variables that hold what Greenloop alone may use: models' keys, the tokens of pull requests
    /// and of the hub. Gates, tools and services do not get to see them.
    pub(super) fn env_remove(&self) -> Vec<String> {
        let mut names = key_variables([&self.plan.author, &self.plan.reviewer]);
        names.extend(self.plan.pull_request.iter().flat_map(token_variables));
        names.extend(self.plan.tasks.iter().map(|tasks| tasks.token_env.clone()));
        names.push(HUB_TOKEN.to_owned());
        names.sort();
        names.dedup();
        names
    }

    fn env_remove_os(&self) -> impl Iterator<Item = OsString> + use<> {
        self.env_remove().into_iter().map(OsString::from)
    }

    /// The target that the plan asks for.
    ///
    /// # Errors
    /// When it has no settings, or the environment is another configuration's.
    pub(super) fn target(&self, workspace: &Workspace) -> Result<Arc<dyn Target>, AppError> {
        let plan = &self.plan;
        configuration::check(workspace, plan)?;
        let state = configuration::state_folder(workspace, plan);
        let program = || {
            std::env::current_exe()
                .map_err(|source| AppError::Folder { path: "greenloop".into(), source })
        };
        let missing = || AppError::Unsupported {
            what: format!("the {} target has no settings", plan.deploy.target.name()),
            hint: "run `greenloop config check`".to_owned(),
        };
        Ok(match plan.deploy.target {
            TargetKind::Process => {
                let process = plan.deploy.process.as_ref().ok_or_else(missing)?;
                let target = ProcessTarget::new(
                    state,
                    process,
                    &plan.environment.url,
                    &plan.verification.health,
                    self.redactor.clone(),
                    program()?,
                );
                Arc::new(target.env_remove(self.env_remove_os()))
            }
            TargetKind::Docker => {
                let docker = plan.deploy.docker.as_ref().ok_or_else(missing)?;
                let target = DockerTarget::new(DockerSettings {
                    state: state.join("docker"),
                    plan: docker,
                    environment: &plan.environment,
                    health: &plan.verification.health,
                    rollback: plan.deploy.rollback,
                    engine: self.engine(docker.docker_host.as_deref())?,
                    logins: logins(self.credentials.clone()),
                    redactor: self.redactor.clone(),
                    program: program()?,
                });
                Arc::new(target.env_remove(self.env_remove_os()))
            }
            TargetKind::Kubernetes => Arc::new(self.cluster(workspace).ok_or_else(missing)?),
        })
    }

    /// The Kubernetes target, when the plan has one.
    pub(super) fn cluster(&self, workspace: &Workspace) -> Option<KubernetesTarget> {
        let kubernetes = self.plan.deploy.kubernetes.as_ref()?;
        let azure = self.azure.as_ref().ok().cloned();
        let azure = azure.map(|identity| (identity, self.plan.azure.clone()));
        let connection = Connection::new(kubernetes, azure, Arc::clone(&self.env));
        let target = KubernetesTarget::new(
            kubernetes,
            &self.plan.environment,
            self.plan.deploy.rollback,
            workspace.root().to_owned(),
            connection,
            self.redactor.clone(),
        );
        let repository =
            Repository::new(workspace.root_commit(), workspace.remote_url("origin").as_deref())
                .configured_by(self.plan.policy.config_path.as_ref().map(ToString::to_string));
        Some(target.of_repository(repository).env_remove(self.env_remove_os()))
    }

    /// A Docker Engine.
    pub(super) fn engine(&self, host: Option<&str>) -> Result<Engine, AppError> {
        Ok(Engine::at(host, &|name| (self.env)(name))?)
    }

    /// Where the image comes from; `None` for a target that runs none.
    pub(super) fn image_source(&self, workspace: &Workspace) -> Option<Arc<dyn ImageSource>> {
        let build = self.plan.build.as_ref()?;
        match self.plan.deploy.target {
            TargetKind::Process => None,
            TargetKind::Docker | TargetKind::Kubernetes => {
                let pipeline = ImagePipeline::new(
                    build,
                    workspace.git_dir().join("greenloop").join("images"),
                    self.credentials.clone(),
                    self.redactor.clone(),
                    &|name| (self.env)(name),
                );
                let recording = (self.env)(RECORD_VARIABLE);
                let own = folder::own_files(workspace, &self.plan, recording.as_deref());
                Some(Arc::new(pipeline.leave_out(own)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
environments:
  staging: { namespace: fleet, url: http://fleet.example.com }
deploy:
  method: kubernetes
  manifest_path: k8s
  kubernetes: { variables: { greeting: keyvault:motd } }
azure: { key_vault: https://fleet.vault.azure.net }
";

    fn delivering(value: Option<&'static str>) -> Delivering {
        let config = greenloop_config::parse(CONFIG, "config.yaml").unwrap();
        let plan = config.plan("staging", &Default::default(), &|_| None).unwrap();
        let env: Environment = Arc::new(move |name| {
            value.filter(|_| name == "GREENLOOP_SECRET_MOTD").map(str::to_owned)
        });
        Delivering::new(plan, &env)
    }

    /// A name that does not look secret: only that the value is of the vault tells that it is.
    #[tokio::test]
    async fn values_of_the_vault_are_known_before_anything_is_applied_or_shown() {
        let said = "web: pod says: good morning, grey heron";
        let hidden = "web: pod says: good morning, [redacted]";
        let fresh = delivering(Some("grey heron"));
        assert_eq!(fresh.redactor.redact(said), said);
        assert!(fresh.applies_secrets());
        // What a status shows.
        assert_eq!(fresh.learn_secrets().await, None);
        assert_eq!(fresh.redactor.redact(said), hidden);
        assert_eq!(
            fresh.plan.deploy.kubernetes.unwrap().variables["greeting"],
            "keyvault:motd",
            "nothing is filled in for a look"
        );
        // What a rollout and a dry run apply.
        let filled = delivering(Some("grey heron")).with_secrets().await.unwrap();
        assert_eq!(filled.redactor.redact(said), hidden);
        assert_eq!(filled.plan.deploy.kubernetes.unwrap().variables["greeting"], "grey heron");
        // Without the value, a look says so.
        let note = delivering(None).learn_secrets().await.unwrap();
        assert!(note.contains("the values of keyvault:motd cannot be read"), "{note}");
    }
}
