//! How the cluster is reached: a kubeconfig, the pod's own account, or AKS.
//!
//! Nothing is read before somebody asks for the client, and the client is made once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http::header::{AUTHORIZATION, HeaderValue};
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tower::buffer::BufferLayer;
use tower::filter::AsyncFilterLayer;

use super::error::{KubernetesError, KubernetesErrorKind, TokenRefused};
use greenloop_azure::aks::{self, AksCluster};
use greenloop_azure::{AzureError, AzureErrorKind, Identity};
use greenloop_config::plan::{AksPlan, AzurePlan, KubernetesPlan};

/// Environment variables by name.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Requests that wait for a token.
const WAITING: usize = 64;

/// How to reach the cluster.
pub struct Connection {
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    aks: Option<AksPlan>,
    azure: Option<(Identity, AzurePlan)>,
    env: Environment,
    made: OnceCell<Made>,
}

/// A client and the address that it was made for.
struct Made {
    client: Client,
    address: String,
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
            made: OnceCell::new(),
        }
    }

    /// The client; made at the first call and kept.
    ///
    /// # Errors
    /// [`KubernetesErrorKind::Setup`] when there is no usable configuration,
    /// [`KubernetesErrorKind::Credentials`] when there are no credentials to be had.
    pub async fn client(&self) -> Result<Client, KubernetesError> {
        self.made.get_or_try_init(|| self.connect()).await.map(|made| made.client.clone())
    }

    /// Where the API server is, once there is a client: `https://10.0.0.1:6443/`.
    pub(super) fn address(&self) -> Option<&str> {
        self.made.get().map(|made| made.address.as_str())
    }

    async fn connect(&self) -> Result<Made, KubernetesError> {
        let Some(aks) = &self.aks else {
            return build(self.config().await?, None).await;
        };
        let Some((identity, azure)) = &self.azure else {
            let message = "`deploy.kubernetes.aks` needs an Azure identity";
            return Err(KubernetesError::new(KubernetesErrorKind::Setup, message));
        };
        let found = aks::cluster(identity, azure, aks).await.map_err(in_azure)?;
        let token = found.token_scope.map(|scope| (identity.clone(), scope));
        build(ours(aks_config(&aks.cluster, &found).await?), token).await
    }

    async fn config(&self) -> Result<Config, KubernetesError> {
        let options = KubeConfigOptions { context: self.context.clone(), ..Default::default() };
        let setup = |message: String| KubernetesError::new(KubernetesErrorKind::Setup, message);
        let config = match self.files() {
            Files::Given(paths) => {
                let named = in_words(&paths);
                let merged = tokio::task::spawn_blocking(move || read(&paths)).await;
                let kubeconfig = merged
                    .map_err(|_| setup(format!("reading {named} was interrupted")))?
                    .map_err(|error| setup(format!("could not use {named}")).because(error))?;
                Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .map_err(|error| setup(format!("could not use {named}")).because(error))?
            }
            Files::None => Config::incluster().map_err(|error| {
                setup(
                    "no kubeconfig found (`deploy.kubernetes.kubeconfig`, KUBECONFIG, \
                     ~/.kube/config), and this is not a pod in a cluster"
                        .to_owned(),
                )
                .because(error)
            })?,
        };
        Ok(ours(config))
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

/// Retries are ours: bounded, and for lost connections too. A read timeout would end watches that
/// are merely quiet.
fn ours(mut config: Config) -> Config {
    config.default_retry = false;
    config.read_timeout = None;
    config
}

fn in_azure(error: AzureError) -> KubernetesError {
    let kind = match error.kind {
        AzureErrorKind::NotConfigured | AzureErrorKind::NotFound => KubernetesErrorKind::Setup,
        AzureErrorKind::NoCredential | AzureErrorKind::Auth | AzureErrorKind::Forbidden => {
            KubernetesErrorKind::Credentials
        }
        AzureErrorKind::Unreachable | AzureErrorKind::Refused | AzureErrorKind::Protocol => {
            KubernetesErrorKind::Unreachable
        }
    };
    KubernetesError::new(kind, "could not fetch the credentials of the AKS cluster").because(error)
}

/// The cluster as a kubeconfig would name it.
async fn aks_config(name: &str, found: &AksCluster) -> Result<Config, KubernetesError> {
    let text = |bytes: &[u8]| Value::from(STANDARD.encode(bytes));
    let mut cluster = json!({"server": found.server});
    if !found.certificate_authority.is_empty() {
        cluster["certificate-authority-data"] = text(&found.certificate_authority);
    }
    let mut user = json!({});
    if let Some((certificate, key)) = &found.client_certificate {
        user["client-certificate-data"] = text(certificate);
        user["client-key-data"] = text(key.expose_secret().as_bytes());
    }
    if let Some(token) = &found.token {
        user["token"] = token.expose_secret().into();
    }
    let whole = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
    });
    let setup = |source: Box<dyn std::error::Error + Send + Sync>| {
        let message = format!("could not use the credentials of AKS cluster {name}");
        KubernetesError::new(KubernetesErrorKind::Setup, message).because(source)
    };
    let kubeconfig: Kubeconfig =
        serde_json::from_value(whole).map_err(|error| setup(Box::new(error)))?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| setup(Box::new(error)))
}

/// A token in front of every request: it expires, and the identity knows when.
async fn authorized(
    identity: Identity,
    scope: &'static str,
    mut request: Request<Body>,
) -> Result<Request<Body>, TokenRefused> {
    let token: SecretString = identity.token(scope).await?;
    let mut header = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
        .map_err(|error| TokenRefused { unanswered: false, source: Box::new(error) })?;
    header.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, header);
    Ok(request)
}

/// A credential plugin is a program that is waited for: not on a worker.
async fn build(
    config: Config,
    token: Option<(Identity, &'static str)>,
) -> Result<Made, KubernetesError> {
    let address = config.cluster_url.to_string();
    let made = tokio::task::spawn_blocking(move || {
        let builder = ClientBuilder::try_from(config)?;
        Ok(match token {
            None => builder.build(),
            Some((identity, scope)) => builder
                .with_layer(&BufferLayer::new(WAITING))
                .with_layer(&AsyncFilterLayer::new(move |request| {
                    authorized(identity.clone(), scope, request)
                }))
                .build(),
        })
    });
    let client = made
        .await
        .map_err(|_| {
            let message = "creating the client for the cluster was interrupted";
            KubernetesError::new(KubernetesErrorKind::Setup, message)
        })?
        .map_err(|error| KubernetesError::of("use the cluster's credentials", error))?;
    Ok(Made { client, address })
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use greenloop_azure::fake::Counting;
    use greenloop_config::plan::Manifests;

    /// Signs nothing: the server of this test speaks plain HTTP.
    const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBdTCCARugAwIBAgIUaHoApW9Us6P140KMRcxDm6aiADowCgYIKoZIzj0EAwIw\n\
        DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjEwNzM0MDlaGA8yMTI2MTAyODA3MzQw\n\
        OVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHwf\n\
        paxrLRN7uoNY9sAgG5VG7qIvF9R43BLlHHinyw+qqM7hta/yrk6ppo10v1kE1M5v\n\
        muS+g0Dx+R9oEIRw8NKjUzBRMB0GA1UdDgQWBBTlQmCDwwCpv9egd9lIfYDZQ6CA\n\
        jzAfBgNVHSMEGDAWgBTlQmCDwwCpv9egd9lIfYDZQ6CAjzAPBgNVHRMBAf8EBTAD\n\
        AQH/MAoGCCqGSM49BAMCA0gAMEUCIEviuoLoz+ibUyeA55eyu+1RjlVFr+8NHI1u\n\
        nGq+yJt5AiEA4RDopWJ21/d/j/HCEv5nBo2Pc9oMqzJKLofc6vh+ikM=\n\
        -----END CERTIFICATE-----\n";

    fn plan() -> KubernetesPlan {
        KubernetesPlan {
            manifests: Manifests::Files("k8s".into()),
            namespace: "shop".to_owned(),
            kubeconfig: None,
            context: None,
            aks: None,
            variables: Default::default(),
            service: None,
            soak: None,
            lease_wait: Default::default(),
            history: 10,
            prune: false,
        }
    }

    fn kubeconfig(folder: &Path, name: &str, server: &str) -> PathBuf {
        let at = folder.join(name);
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {name}\nclusters:\n- name: {name}\n  \
             cluster: {{server: '{server}'}}\nusers:\n- name: {name}\n  user: {{token: t}}\n\
             contexts:\n- name: {name}\n  context: {{cluster: {name}, user: {name}}}\n"
        );
        std::fs::write(&at, text).unwrap();
        at
    }

    #[tokio::test]
    async fn the_nearest_configuration_counts() {
        let folder = tempfile::tempdir().unwrap();
        let one = kubeconfig(folder.path(), "one", "http://127.0.0.1:1");
        let two = kubeconfig(folder.path(), "two", "http://127.0.0.1:2");
        std::fs::create_dir_all(folder.path().join(".kube")).unwrap();
        kubeconfig(&folder.path().join(".kube"), "config", "http://127.0.0.1:3");
        let list = std::env::join_paths([&one, &folder.path().join("none"), &two]).unwrap();
        let list = list.into_string().unwrap();
        let home = folder.path().to_str().unwrap().to_owned();
        for (given, context, variable, expect) in [
            (Some(two.clone()), None, list.as_str(), "http://127.0.0.1:2/"),
            (None, None, list.as_str(), "http://127.0.0.1:1/"),
            (None, Some("two"), list.as_str(), "http://127.0.0.1:2/"),
            (None, None, "", "http://127.0.0.1:3/"),
        ] {
            let (home, variable) = (home.clone(), variable.to_owned());
            let env: Environment = Arc::new(move |name| match name {
                "KUBECONFIG" => Some(variable.clone()),
                "HOME" => Some(home.clone()),
                _ => None,
            });
            let mut plan = plan();
            plan.kubeconfig = given;
            plan.context = context.map(str::to_owned);
            let config = Connection::new(&plan, None, env).config().await.unwrap();
            assert_eq!(config.cluster_url.to_string(), expect);
            assert!(!config.default_retry);
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_said() {
        let mut plan = plan();
        let nothing: Environment = Arc::new(|_| None);
        let error = Connection::new(&plan, None, nothing.clone()).client().await.err().unwrap();
        assert_eq!(error.kind, KubernetesErrorKind::Setup);
        assert!(error.message.starts_with("no kubeconfig found"), "{error}");
        plan.aks = Some(AksPlan {
            subscription: "s".to_owned(),
            resource_group: "g".to_owned(),
            cluster: "c".to_owned(),
        });
        let error = Connection::new(&plan, None, nothing).client().await.err().unwrap();
        assert!(error.message.contains("needs an Azure identity"), "{error}");
    }

    #[tokio::test]
    async fn every_request_to_aks_has_a_token() {
        let server = MockServer::start().await;
        let whole = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: f\nclusters:\n- name: f\n  cluster:\n    \
             certificate-authority-data: {}\n    server: {}\nusers:\n- name: u\n  user:\n    exec: {{command: kubelogin}}\n\
             contexts:\n- name: f\n  context: {{cluster: f, user: u}}\n",
            STANDARD.encode(AUTHORITY),
            server.uri()
        );
        let answer = json!({"kubeconfigs": [{"name": "u", "value": STANDARD.encode(whole)}]});
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(200).set_body_json(answer))
            .mount(&server)
            .await;
        let version = json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "",
            "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
        // The first token went to the resource manager.
        Mock::given(method("GET"))
            .and(path("/version"))
            .and(header("authorization", "Bearer token-2"))
            .respond_with(ResponseTemplate::new(200).set_body_json(version))
            .expect(2)
            .mount(&server)
            .await;
        let mut plan = plan();
        plan.aks = Some(AksPlan {
            subscription: "s".to_owned(),
            resource_group: "g".to_owned(),
            cluster: "f".to_owned(),
        });
        let azure = AzurePlan { resource_manager: Some(server.uri()), ..AzurePlan::default() };
        let identity = Identity::with_credential(Counting::living(3600));
        let connection = Connection::new(&plan, Some((identity, azure)), Arc::new(|_| None));
        for _ in 0..2 {
            let client = connection.client().await.unwrap();
            assert_eq!(client.apiserver_version().await.unwrap().git_version, "v1.36.0");
        }
    }
}
