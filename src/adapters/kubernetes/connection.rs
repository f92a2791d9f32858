//! How the cluster is reached: a kubeconfig, the pod's own account, or AKS.
//!
//! Nothing is read before somebody asks for the client, and the client is made once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::OnceCell;

use super::error::{KubernetesError, KubernetesErrorKind};
use crate::config::plan::{AksPlan, AzurePlan, KubernetesPlan};

/// Environment variables by name.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A token for the cluster cannot be had; asking again at once would not change that.
#[derive(Debug, thiserror::Error)]
#[error("no token for the cluster")]
pub struct TokenRefused(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Who asks Azure; there is none until the identity chain has landed.
pub enum Identity {}

/// How to reach the cluster.
pub struct Connection {
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    aks: Option<AksPlan>,
    azure: Option<(Identity, AzurePlan)>,
    env: Environment,
    client: OnceCell<Client>,
}

impl Connection {
    /// Nothing is read and nobody is called yet. `azure` is needed where the plan names AKS.
    pub fn new(
        plan: &KubernetesPlan,
        azure: Option<(Identity, AzurePlan)>,
        env: Environment,
    ) -> Self {
        Self {
            kubeconfig: plan.kubeconfig.clone(),
            context: plan.context.clone(),
            aks: plan.aks.clone(),
            azure,
            env,
            client: OnceCell::new(),
        }
    }

    /// The client; made at the first call and kept.
    ///
    /// # Errors
    /// [`KubernetesErrorKind::Setup`] when there is no usable configuration,
    /// [`KubernetesErrorKind::Credentials`] when there are no credentials to be had.
    pub async fn client(&self) -> Result<Client, KubernetesError> {
        self.client.get_or_try_init(|| self.connect()).await.cloned()
    }

    async fn connect(&self) -> Result<Client, KubernetesError> {
        let config = self.config().await?;
        build(config).await
    }

    async fn config(&self) -> Result<Config, KubernetesError> {
        let options = KubeConfigOptions { context: self.context.clone(), ..Default::default() };
        let setup = |message: String| KubernetesError::new(KubernetesErrorKind::Setup, message);
        let mut config = match self.files() {
            Files::Given(paths) => {
                let named = in_words(&paths);
                let merged = tokio::task::spawn_blocking(move || read(&paths)).await;
                let kubeconfig =
                    merged
                        .map_err(|_| setup(format!("reading {named} broke off")))?
                        .map_err(|error| setup(format!("{named} cannot be used")).because(error))?;
                Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .map_err(|error| setup(format!("{named} cannot be used")).because(error))?
            }
            Files::None => Config::incluster().map_err(|error| {
                setup(
                    "there is no kubeconfig (`deploy.kubernetes.kubeconfig`, KUBECONFIG, \
                     ~/.kube/config), and this is no pod of a cluster"
                        .to_owned(),
                )
                .because(error)
            })?,
        };
        // Retries are ours: bounded, and for lost connections too. A read timeout would end
        // watches that are merely quiet.
        config.default_retry = false;
        config.read_timeout = None;
        Ok(config)
    }

    fn files(&self) -> Files {
        if let Some(path) = &self.kubeconfig {
            return Files::Given(vec![path.clone()]);
        }
        let listed = (self.env)("KUBECONFIG").unwrap_or_default();
        let listed: Vec<PathBuf> =
            std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
        if !listed.is_empty() {
            return Files::Given(listed);
        }
        let home = (self.env)("HOME").map(|home| Path::new(&home).join(".kube/config"));
        match home {
            Some(path) if path.is_file() => Files::Given(vec![path]),
            _ => Files::None,
        }
    }
}

/// Where the address and the credentials stand.
enum Files {
    /// In these, the first that says something wins.
    Given(Vec<PathBuf>),
    /// In none: the pod's own account is left.
    None,
}

fn in_words(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    format!("the kubeconfig {}", names.join(" with "))
}

/// Several files are one, as kubectl reads `KUBECONFIG`; one of several may be missing.
fn read(paths: &[PathBuf]) -> Result<Kubeconfig, kube::config::KubeconfigError> {
    let mut whole: Option<Kubeconfig> = None;
    for path in paths {
        if paths.len() > 1 && !path.exists() {
            continue;
        }
        let next = Kubeconfig::read_from(path)?;
        whole = Some(match whole {
            Some(whole) => whole.merge(next)?,
            None => next,
        });
    }
    whole.ok_or(kube::config::KubeconfigError::FindPath)
}

/// A credential plugin is a program that is waited for: not on a worker.
async fn build(config: Config) -> Result<Client, KubernetesError> {
    let made = tokio::task::spawn_blocking(move || {
        ClientBuilder::try_from(config).map(ClientBuilder::build)
    });
    made.await
        .map_err(|_| {
            let message = "making the cluster's client broke off";
            KubernetesError::new(KubernetesErrorKind::Setup, message)
        })?
        .map_err(|error| KubernetesError::of("use the cluster's credentials", error))
}
