//! Who one is at a registry.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

use super::acr::Exchange;
use super::docker_config::DockerConfig;
use super::error::{RegistryError, RegistryErrorKind};
use super::helper;
use super::host::{helper_key, is_azure, is_key_of};
use super::jwt;
use super::login::Login;
use greenloop_azure::Identity;

const USERNAME: &str = "GREENLOOP_REGISTRY_USERNAME";
const PASSWORD: &str = "GREENLOOP_REGISTRY_PASSWORD";
/// A host that is spoken to as one of Azure's registries, for tests and mirrors.
const ACR: &str = "GREENLOOP_ACR";

/// Looks up a variable of the environment.
type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where logins come from, in this order: the variables `GREENLOOP_REGISTRY_USERNAME` and
/// `GREENLOOP_REGISTRY_PASSWORD`; Docker's configuration with its credential helpers; for Azure's
/// registries, the exchange of a Microsoft Entra token. Cheap to clone.
#[derive(Clone, Default)]
pub struct Credentials {
    /// `None` knows nobody, and everything is asked for anonymously.
    inner: Option<Arc<Inner>>,
    /// The one registry that the variables are for; every one for `None`.
    own: Option<String>,
}

struct Inner {
    env: Environment,
    exchange: Option<Exchange>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads nothing yet.
    pub fn new(env: Environment, azure: Option<Identity>) -> Self {
        let exchange = azure.map(Exchange::new);
        Self { inner: Some(Arc::new(Inner { env, exchange })), own: None }
    }

    /// The variables are for this registry only: other hosts, such as those of base images, do
    /// not get to see the password.
    #[must_use]
    pub fn with_variables_for(self, host: &str) -> Self {
        Self { own: Some(host.to_owned()), ..self }
    }

    /// Who one is at `host`, asked just before it is needed: tokens do not live long. `None` for
    /// nobody in particular.
    ///
    /// Errors: [`RegistryErrorKind::Auth`] when a login is configured and cannot be read,
    /// [`RegistryErrorKind::Unreachable`] when whoever gives tokens does not answer.
    pub async fn login(&self, host: &str) -> Result<Option<Login>, RegistryError> {
        let Some(inner) = &self.inner else { return Ok(None) };
        if self.own.as_deref().is_none_or(|own| is_key_of(own, host))
            && let Some(login) = from_variables(host, &inner.env)?
        {
            return Ok(Some(login));
        }
        if let Some(login) = from_docker(host, &inner.env).await? {
            return Ok(Some(login));
        }
        let as_azure = (inner.env)(ACR);
        match &inner.exchange {
            Some(exchange) if is_azure(host, as_azure.as_deref()) => exchange.login(host).await,
            Some(_) | None => Ok(None),
        }
    }

    /// Forgets what was exchanged for `host`: it was not taken.
    pub(super) async fn forget(&self, host: &str) {
        if let Some(exchange) = self.inner.as_ref().and_then(|inner| inner.exchange.as_ref()) {
            exchange.forget(host).await;
        }
    }
}

fn from_variables(host: &str, env: &Environment) -> Result<Option<Login>, RegistryError> {
    let var = |name| env(name).filter(|value| !value.trim().is_empty());
    let half = |missing: &str, given: &str| {
        let message = format!("could not be logged in to: {given} is set, but {missing} is not");
        Err(RegistryError::new(host, RegistryErrorKind::Auth, message))
    };
    match (var(USERNAME), var(PASSWORD)) {
        (Some(username), Some(password)) => Ok(Some(Login {
            username: username.trim().to_owned(),
            // What files and pipelines leave at the end of a value is not part of it.
            password: SecretString::from(password.trim_end_matches(['\r', '\n']).to_owned()),
            identity_token: false,
        })),
        (None, None) => Ok(None),
        (Some(_), None) => half(PASSWORD, USERNAME),
        (None, Some(_)) => half(USERNAME, PASSWORD),
    }
}

async fn from_docker(host: &str, env: &Environment) -> Result<Option<Login>, RegistryError> {
    let folder = match env("DOCKER_CONFIG").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => match env("HOME").filter(|home| !home.is_empty()) {
            Some(home) => PathBuf::from(home).join(".docker"),
            None => return Ok(None),
        },
    };
    let Some(config) = DockerConfig::read(host, &folder.join("config.json")).await? else {
        return Ok(None);
    };
    let mut failed = None;
    if let Some(name) = config.helper(host) {
        let path = env("PATH").unwrap_or_default();
        match helper::get(name, helper_key(host), path.as_ref()).await {
            Ok(Some(login)) if is_alive(&login) => return Ok(Some(login)),
            Ok(_) => {}
            Err(error) => {
                let message = format!("could not be logged in to with docker-credential-{name}");
                let error =
                    RegistryError::new(host, RegistryErrorKind::Auth, message).because(error);
                failed = Some(error);
            }
        }
    }
    match (config.login(host)?.filter(is_alive), failed) {
        (Some(login), _) => Ok(Some(login)),
        (None, Some(failed)) => Err(failed),
        (None, None) => Ok(None),
    }
}

/// `az acr login` leaves tokens behind that live for three hours; one that has run out is as
/// good as none.
fn is_alive(login: &Login) -> bool {
    use secrecy::ExposeSecret as _;
    let life = jwt::life(login.password.expose_secret(), std::time::SystemTime::now());
    !life.is_some_and(|life| life.is_zero())
}

#[cfg(test)]
mod tests;
