//! The sources to a token, and which of them the environment offers.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::ClientOptions;
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, AzureDeveloperCliCredential,
    AzureDeveloperCliCredentialOptions, AzurePipelinesCredential, AzurePipelinesCredentialOptions,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    Executor, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};

use greenloop_config::plan::AzurePlan;

/// A credential for one request: the credentials of `azure_identity` each hold tokens of their
/// own, so a fresh one is what keeps the cache one.
type MakeCredential =
    Box<dyn Fn() -> azure_core::Result<Arc<dyn TokenCredential>> + Send + Sync + 'static>;

/// Whether a source can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It was configured, so it is what was meant: when it fails, no other is tried.
    Configured,
    /// The metadata service must answer first.
    Probed,
    /// It may be.
    Perhaps,
}

/// One source of tokens.
pub(super) struct CredentialSource {
    pub(super) name: &'static str,
    pub(super) presence: Presence,
    pub(super) make: MakeCredential,
}

/// What a pipeline's Azure tasks call what the other settings are called elsewhere.
const PIPELINE: [(&str, &str); 3] = [
    ("AZURE_TENANT_ID", "AZURESUBSCRIPTION_TENANT_ID"),
    ("AZURE_CLIENT_ID", "AZURESUBSCRIPTION_CLIENT_ID"),
    ("AZURE_SERVICE_CONNECTION_ID", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"),
];

/// What the sources are made of.
pub(super) struct Settings {
    tenant: Option<String>,
    client: Option<String>,
    connection: Option<String>,
    client_secret: Option<Secret>,
    pipeline_token: Option<Secret>,
    federated_token: Option<PathBuf>,
    own_endpoint: bool,
    path: OsString,
}

impl Settings {
    pub(super) fn new(plan: &AzurePlan, env: &dyn Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| {
            let value = env(name)?;
            let value = value.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let oidc = var("SYSTEM_OIDCREQUESTURI").is_some();
        let [tenant, client, connection] = PIPELINE.map(|(name, in_pipeline)| {
            let given = match name {
                "AZURE_TENANT_ID" => plan.tenant_id.clone(),
                "AZURE_CLIENT_ID" => plan.client_id.clone(),
                _ => plan.service_connection_id.clone(),
            };
            given.or_else(|| var(name)).or_else(|| var(in_pipeline).filter(|_| oidc))
        });
        Self {
            tenant,
            client,
            connection,
            client_secret: var("AZURE_CLIENT_SECRET").map(Secret::new),
            pipeline_token: var("SYSTEM_ACCESSTOKEN").filter(|_| oidc).map(Secret::new),
            federated_token: var("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from),
            own_endpoint: var("IDENTITY_ENDPOINT").is_some() || var("MSI_ENDPOINT").is_some(),
            path: env("PATH").map(OsString::from).unwrap_or_default(),
        }
    }

    pub(super) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The sources that there are the settings for, in the order they are tried.
    pub(super) fn sources(self, options: &ClientOptions) -> Vec<CredentialSource> {
        let mut sources = Vec::new();
        let mut add =
            |name, presence, make| sources.push(CredentialSource { name, presence, make });
        let principal = self.tenant.clone().zip(self.client.clone());
        if let (Some((tenant, client)), Some(secret)) = (&principal, self.client_secret) {
            let make = secret_maker(tenant.clone(), client.clone(), secret, options.clone());
            add("the client secret", Presence::Configured, make);
        }
        if let (Some((tenant, client)), Some(connection), Some(token)) =
            (&principal, self.connection, self.pipeline_token)
        {
            let make =
                pipeline_maker(tenant.clone(), client.clone(), connection, token, options.clone());
            add("the pipeline's service connection", Presence::Configured, make);
        }
        if let (Some((tenant, client)), Some(file)) = (principal, self.federated_token) {
            let make = workload_maker(tenant, client, file, options.clone());
            add("the workload identity", Presence::Configured, make);
        }
        let presence = if self.own_endpoint { Presence::Configured } else { Presence::Probed };
        add("the managed identity", presence, managed_maker(self.client, options.clone()));
        if is_installed("az", &self.path) {
            let make = az_maker(self.tenant.clone(), Tools { path: self.path.clone() });
            add("the Azure CLI (az)", Presence::Perhaps, make);
        }
        if is_installed("azd", &self.path) {
            let make = azd_maker(self.tenant, Tools { path: self.path });
            add("the Azure Developer CLI (azd)", Presence::Perhaps, make);
        }
        sources
    }
}

fn secret_maker(
    tenant: String,
    client: String,
    secret: Secret,
    options: ClientOptions,
) -> MakeCredential {
    Box::new(move || {
        let options = ClientSecretCredentialOptions { client_options: options.clone() };
        let made =
            ClientSecretCredential::new(&tenant, client.clone(), secret.clone(), Some(options))?;
        Ok(made)
    })
}

fn pipeline_maker(
    tenant: String,
    client: String,
    connection: String,
    token: Secret,
    options: ClientOptions,
) -> MakeCredential {
    Box::new(move || {
        let options = AzurePipelinesCredentialOptions {
            credential_options: ClientAssertionCredentialOptions {
                client_options: options.clone(),
            },
        };
        let (tenant, client) = (tenant.clone(), client.clone());
        let made = AzurePipelinesCredential::new(
            tenant,
            client,
            &connection,
            token.clone(),
            Some(options),
        )?;
        Ok(made)
    })
}

fn workload_maker(
    tenant: String,
    client: String,
    file: PathBuf,
    options: ClientOptions,
) -> MakeCredential {
    Box::new(move || {
        let options = WorkloadIdentityCredentialOptions {
            credential_options: ClientAssertionCredentialOptions {
                client_options: options.clone(),
            },
            client_id: Some(client.clone()),
            tenant_id: Some(tenant.clone()),
            token_file_path: Some(file.clone()),
        };
        let made = WorkloadIdentityCredential::new(Some(options))?;
        Ok(made)
    })
}

fn managed_maker(client: Option<String>, options: ClientOptions) -> MakeCredential {
    Box::new(move || {
        let options = ManagedIdentityCredentialOptions {
            user_assigned_id: client.clone().map(UserAssignedId::ClientId),
            client_options: options.clone(),
        };
        let made = ManagedIdentityCredential::new(Some(options))?;
        Ok(made)
    })
}

fn az_maker(tenant: Option<String>, tools: Tools) -> MakeCredential {
    Box::new(move || {
        let executor: Arc<dyn Executor> = Arc::new(tools.clone());
        let options = AzureCliCredentialOptions {
            tenant_id: tenant.clone(),
            executor: Some(executor),
            ..AzureCliCredentialOptions::default()
        };
        let made = AzureCliCredential::new(Some(options))?;
        Ok(made)
    })
}

fn azd_maker(tenant: Option<String>, tools: Tools) -> MakeCredential {
    Box::new(move || {
        let executor: Arc<dyn Executor> = Arc::new(tools.clone());
        let options = AzureDeveloperCliCredentialOptions {
            tenant_id: tenant.clone(),
            executor: Some(executor),
        };
        let made = AzureDeveloperCliCredential::new(Some(options))?;
        Ok(made)
    })
}

/// Whether a program is on the path.
fn is_installed(program: &str, path: &OsStr) -> bool {
    std::env::split_paths(path).any(|folder| folder.join(program).is_file())
}

/// Runs developer tools; what was started ends when nobody waits for it any more.
#[derive(Debug, Clone)]
struct Tools {
    path: OsString,
}

#[async_trait::async_trait]
impl Executor for Tools {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> std::io::Result<Output> {
        tokio::process::Command::new(program)
            .args(args)
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
    }
}
