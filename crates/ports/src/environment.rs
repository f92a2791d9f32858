//! Secrets by name, wherever they are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::{SecretError, SecretErrorKind, SecretSource};

/// Looks up a variable of the environment.
type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Secrets in variables of the environment: `db-password` is `GREENLOOP_SECRET_DB_PASSWORD`, for
/// machines that cannot see the key vault.
#[derive(Clone)]
pub struct EnvironmentSecrets {
    env: Environment,
}

impl EnvironmentSecrets {
    /// `env` looks up variables.
    pub fn new(env: Environment) -> Self {
        Self { env }
    }
}

#[async_trait]
impl SecretSource for EnvironmentSecrets {
    async fn secret(&self, name: &str) -> Result<SecretString, SecretError> {
        let variable = variable(name);
        match (self.env)(&variable).filter(|value| !value.is_empty()) {
            Some(value) => Ok(SecretString::from(value)),
            None => Err(SecretError {
                kind: SecretErrorKind::NotFound,
                message: format!("the variable {variable} is not set"),
                source: None,
            }),
        }
    }
}

fn variable(name: &str) -> String {
    format!("GREENLOOP_SECRET_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// All secrets of these names, each from the first source that has it.
///
/// Errors: that of the first source that fails, or of the last one when none has the secret.
pub async fn fetch(
    names: &[String],
    sources: &[&dyn SecretSource],
) -> Result<BTreeMap<String, SecretString>, SecretError> {
    let fetched = names.iter().map(|name| async move {
        let mut missing = SecretError {
            kind: SecretErrorKind::NotFound,
            message: format!("no store is configured that could keep the secret {name}"),
            source: None,
        };
        for source in sources {
            match source.secret(name).await {
                Ok(value) => return Ok((name.clone(), value)),
                Err(error) if error.kind == SecretErrorKind::NotFound => missing = error,
                Err(error) => return Err(error),
            }
        }
        Err(missing)
    });
    futures::future::try_join_all(fetched).await.map(|pairs| pairs.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    /// Has no secret, for this reason.
    struct Without(SecretErrorKind);

    #[async_trait]
    impl SecretSource for Without {
        async fn secret(&self, name: &str) -> Result<SecretString, SecretError> {
            Err(SecretError { kind: self.0, message: format!("no {name}"), source: None })
        }
    }

    #[tokio::test]
    async fn the_first_source_that_has_it_gives_it() {
        let env = |name: &str| (name == "GREENLOOP_SECRET_DB_PASSWORD").then(|| "pw".to_owned());
        let environment = EnvironmentSecrets::new(Arc::new(env));
        let names = ["db-password".to_owned()];
        let absent = Without(SecretErrorKind::NotFound);
        let given = fetch(&names, &[&absent, &environment]).await.unwrap();
        assert_eq!(given["db-password"].expose_secret(), "pw");
        for (kind, expect) in [
            (SecretErrorKind::NotFound, SecretErrorKind::NotFound),
            (SecretErrorKind::Refused, SecretErrorKind::Refused),
        ] {
            let names = ["other".to_owned(), "db-password".to_owned()];
            let error = fetch(&names, &[&environment, &Without(kind)]).await.unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (expect, "no other"));
        }
        let error = fetch(&names, &[]).await.unwrap_err();
        assert!(error.message.contains("db-password"), "{error}");
        assert!(fetch(&[], &[]).await.unwrap().is_empty());
    }
}
