//! A cluster's address and credentials, from the resource manager.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use secrecy::SecretString;
use serde::Deserialize;

use super::error::{AzureError, AzureErrorKind};
use super::identity::Identity;
use super::key_vault::push;
use super::rest::{self, Answer};
use greenloop_config::plan::{AksPlan, AzurePlan};

const API_VERSION: &str = "2024-09-01";

/// What a cluster that knows Microsoft Entra takes tokens for: the application that all such
/// clusters are, in every cloud.
const SCOPE: &str = "6dae42f8-4368-4678-94ff-3960e28e3630/.default";

/// A cluster and the way in.
#[derive(Debug, Clone)]
pub struct AksCluster {
    /// `https://NAME.hcp.REGION.azmk8s.io:443`
    pub server: String,
    /// PEM.
    pub certificate_authority: Vec<u8>,
    /// What [`Identity::token`] is to be asked for, for each request again; `None` when the
    /// cluster has accounts of its own.
    pub token_scope: Option<&'static str>,
    /// Certificate and key, PEM, of a cluster's own account.
    pub client_certificate: Option<(Vec<u8>, SecretString)>,
    /// A token of a cluster's own account.
    pub token: Option<SecretString>,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    kubeconfigs: Vec<Credential>,
}

#[derive(Deserialize)]
struct Credential {
    value: SecretString,
}

/// The part of a kubeconfig that is of use here.
#[derive(Deserialize)]
struct Kubeconfig {
    #[serde(rename = "current-context")]
    current: Option<String>,
    #[serde(default)]
    contexts: Vec<Named<ContextEntry>>,
    #[serde(default)]
    clusters: Vec<Named<ClusterEntry>>,
    #[serde(default)]
    users: Vec<Named<UserEntry>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster", alias = "user")]
    entry: T,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    server: String,
    certificate_authority_data: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UserEntry {
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
    client_certificate_data: Option<String>,
    client_key_data: Option<SecretString>,
    token: Option<SecretString>,
}

/// Asks the resource manager for the cluster's user credentials. The plugin that a kubeconfig
/// would run for a token is dropped: [`AksCluster::token_scope`] says what to ask for instead.
pub async fn cluster(
    identity: &Identity,
    azure: &AzurePlan,
    aks: &AksPlan,
) -> Result<AksCluster, AzureError> {
    let mut url = match &azure.resource_manager {
        Some(given) => super::cloud::base(given, "the resource manager")?,
        None => identity.resource_manager().clone(),
    };
    let scope = format!("{}/.default", url.as_str().trim_end_matches('/'));
    let segments = [
        "subscriptions",
        &aks.subscription,
        "resourceGroups",
        &aks.resource_group,
        "providers",
        "Microsoft.ContainerService",
        "managedClusters",
        &aks.cluster,
        "listClusterUserCredential",
    ];
    if !push(&mut url, &segments) {
        let message = "the address of the resource manager must not have a path";
        return Err(AzureError::new(AzureErrorKind::NotConfigured, message));
    }
    url.query_pairs_mut().append_pair("api-version", API_VERSION).append_pair("format", "exec");
    let what = "Azure's resource manager";
    let answer = rest::call::<Credentials>(identity, Method::POST, url, &scope, what).await?;
    let name = format!("{} (resource group {})", aks.cluster, aks.resource_group);
    match answer {
        Answer::Given(credentials) => read(&name, credentials),
        Answer::Refused(refusal) => {
            let said = refusal.in_words();
            let (kind, message) = match refusal.status.as_u16() {
                404 => (
                    AzureErrorKind::NotFound,
                    format!(
                        "AKS cluster {name} does not exist, or is not visible to this \
                         identity{said}: check subscription, resource group and name under \
                         `deploy.kubernetes.aks`"
                    ),
                ),
                403 => (
                    AzureErrorKind::Forbidden,
                    format!(
                        "this identity is not permitted to fetch the credentials of AKS cluster \
                         {name}{said}: assign it the role Azure Kubernetes Service Cluster User"
                    ),
                ),
                401 => (
                    AzureErrorKind::Auth,
                    format!(
                        "{what} rejected the token of this identity{said}: check that the \
                         subscription belongs to the identity's tenant"
                    ),
                ),
                _ => (
                    AzureErrorKind::Refused,
                    format!("{what} did not return the credentials of {name}{said}"),
                ),
            };
            Err(AzureError::new(kind, message))
        }
    }
}

/// Errors quote nothing of the text: it holds keys.
fn read(name: &str, credentials: Credentials) -> Result<AksCluster, AzureError> {
    use secrecy::ExposeSecret as _;
    let wrong = |what: &str| {
        let message = format!("unusable credentials for AKS cluster {name}: {what}");
        AzureError::new(AzureErrorKind::Protocol, message)
    };
    let Some(first) = credentials.kubeconfigs.first() else {
        return Err(wrong("no kubeconfig"));
    };
    let decoded = |text: &str, what: &str| {
        STANDARD.decode(text.trim().as_bytes()).map_err(|_unread| wrong(what))
    };
    let yaml = decoded(first.value.expose_secret(), "the kubeconfig is not valid base64")?;
    let config: Kubeconfig = std::str::from_utf8(&yaml)
        .ok()
        .and_then(|text| serde_yaml::from_str(text).ok())
        .ok_or_else(|| wrong("the kubeconfig has an unexpected format"))?;
    let context = match &config.current {
        Some(current) => config.contexts.iter().find(|context| context.name == *current),
        None => config.contexts.first(),
    };
    let context = &context.ok_or_else(|| wrong("no current context"))?.entry;
    let cluster = config.clusters.into_iter().find(|cluster| cluster.name == context.cluster);
    let cluster = cluster.ok_or_else(|| wrong("the current context names no known cluster"))?.entry;
    let user = config.users.into_iter().find(|user| user.name == context.user);
    let user = user.map(|user| user.entry).unwrap_or_default();
    let authority = cluster.certificate_authority_data;
    let authority = authority.ok_or_else(|| wrong("no certificate authority"))?;
    let certificate_authority =
        decoded(&authority, "the certificate authority is not valid base64")?;
    let client_certificate = match (user.client_certificate_data, user.client_key_data) {
        (Some(certificate), Some(key)) => {
            let key = decoded(key.expose_secret(), "the client key is not valid base64")?;
            let key =
                String::from_utf8(key).map_err(|_unread| wrong("the client key is not PEM"))?;
            let certificate = decoded(&certificate, "the client certificate is not valid base64")?;
            Some((certificate, SecretString::from(key)))
        }
        (Some(_), None) | (None, Some(_)) | (None, None) => None,
    };
    let by_entra = user.exec.is_some() || user.auth_provider.is_some();
    if !by_entra && client_certificate.is_none() && user.token.is_none() {
        return Err(wrong("no token, key or certificate"));
    }
    Ok(AksCluster {
        server: cluster.server,
        certificate_authority,
        token_scope: by_entra.then_some(SCOPE),
        client_certificate,
        token: user.token,
    })
}

#[cfg(test)]
mod tests;
