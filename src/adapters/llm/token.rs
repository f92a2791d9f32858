//! Microsoft Entra tokens for Azure OpenAI.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::time::OffsetDateTime;
use azure_identity::{
    ClientSecretCredential, DeveloperToolsCredential, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
};
use tokio::sync::Mutex;

/// What a token is asked for.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

/// A token is renewed this long before it expires.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// How long one way to a token may take: off Azure, the managed identity's address answers
/// nothing at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// No token could be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// The credential cannot even be made.
    #[error("{way} cannot be used")]
    Setup {
        way: &'static str,
        #[source]
        source: azure_core::Error,
    },
    /// None of the ways gave one; the source is the last one's error.
    #[error("no Microsoft Entra token from {}", tried.join(", "))]
    Refused {
        tried: Vec<&'static str>,
        #[source]
        source: Option<azure_core::Error>,
    },
}

/// One way to a token: its name, and the credential.
type Way = (&'static str, Arc<dyn TokenCredential>);

#[derive(Default)]
struct Held {
    token: Option<AccessToken>,
    /// The way that worked.
    way: Option<usize>,
}

/// Where tokens come from: the ways the environment offers, tried in order; the first that
/// works is kept, its token is held until five minutes before it expires.
#[derive(Clone)]
pub(super) struct TokenSource {
    ways: Arc<Vec<Way>>,
    held: Arc<Mutex<Held>>,
}

impl TokenSource {
    /// Client secret, workload identity, managed identity, developer tools: those that the
    /// environment has the settings for, in that order. The last two need none.
    pub(super) fn from_environment(
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, TokenError> {
        let var = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let setup = |way| move |source| TokenError::Setup { way, source };
        let mut ways: Vec<Way> = Vec::new();
        let client = var("AZURE_CLIENT_ID");
        if let (Some(tenant), Some(client), Some(secret)) =
            (var("AZURE_TENANT_ID"), client.clone(), var("AZURE_CLIENT_SECRET"))
        {
            const WAY: &str = "the client secret";
            let secret = Secret::new(secret.trim().to_owned());
            let credential = ClientSecretCredential::new(&tenant, client, secret, None);
            ways.push((WAY, credential.map_err(setup(WAY))?));
        }
        if var("AZURE_FEDERATED_TOKEN_FILE").is_some() {
            const WAY: &str = "the workload identity";
            ways.push((WAY, WorkloadIdentityCredential::new(None).map_err(setup(WAY))?));
        }
        let options = ManagedIdentityCredentialOptions {
            user_assigned_id: client.map(UserAssignedId::ClientId),
            ..ManagedIdentityCredentialOptions::default()
        };
        const MANAGED: &str = "the managed identity";
        let managed = ManagedIdentityCredential::new(Some(options)).map_err(setup(MANAGED))?;
        ways.push((MANAGED, managed));
        const TOOLS: &str = "the developer tools (az, azd)";
        ways.push((TOOLS, DeveloperToolsCredential::new(None).map_err(setup(TOOLS))?));
        Ok(Self::new(ways))
    }

    fn new(ways: Vec<Way>) -> Self {
        Self { ways: Arc::new(ways), held: Arc::new(Mutex::new(Held::default())) }
    }

    #[cfg(test)]
    pub(super) fn of(credential: Arc<dyn TokenCredential>) -> Self {
        Self::new(vec![("a test", credential)])
    }

    /// A token that is good for some minutes more.
    pub(super) async fn token(&self) -> Result<Secret, TokenError> {
        // Held across the request on purpose: whoever comes second waits for the first's token.
        let mut held = self.held.lock().await;
        if let Some(token) = &held.token
            && token.expires_on > OffsetDateTime::now_utc() + MARGIN
        {
            return Ok(token.token.clone());
        }
        let mut tried = Vec::new();
        let mut last = None;
        let known = held.way.into_iter();
        let others = (0..self.ways.len()).filter(|way| Some(*way) != held.way);
        for index in known.chain(others) {
            let Some((name, credential)) = self.ways.get(index) else { continue };
            tried.push(*name);
            match tokio::time::timeout(PATIENCE, credential.get_token(&[SCOPE], None)).await {
                Ok(Ok(token)) => {
                    let secret = token.token.clone();
                    *held = Held { token: Some(token), way: Some(index) };
                    return Ok(secret);
                }
                Ok(Err(source)) => last = Some(source),
                Err(_elapsed) => {}
            }
        }
        Err(TokenError::Refused { tried, source: last })
    }

    /// Forgets the token: a server would not take it.
    pub(super) async fn forget(&self) {
        self.held.lock().await.token = None;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use azure_core::credentials::TokenRequestOptions;
    use azure_core::error::ErrorKind;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Gives `token-1`, `token-2`, … that live this many seconds; none when negative.
    #[derive(Debug)]
    pub(in crate::adapters::llm) struct Counting {
        pub(in crate::adapters::llm) asked: AtomicU32,
        pub(in crate::adapters::llm) lives: i64,
    }

    impl Counting {
        pub(in crate::adapters::llm) fn living(lives: i64) -> Arc<Self> {
            Arc::new(Self { asked: AtomicU32::new(0), lives })
        }
    }

    #[async_trait::async_trait]
    impl TokenCredential for Counting {
        async fn get_token(
            &self,
            scopes: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            assert_eq!(scopes, [SCOPE]);
            let nth = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            if self.lives < 0 {
                return Err(azure_core::Error::with_message(ErrorKind::Credential, "no"));
            }
            let expires = OffsetDateTime::now_utc() + Duration::from_secs(self.lives as u64);
            Ok(AccessToken::new(format!("token-{nth}"), expires))
        }
    }

    #[tokio::test]
    async fn a_token_is_held_until_shortly_before_it_expires() {
        for (lives, expect) in [(3600, 1), (200, 2)] {
            let credential = Counting::living(lives);
            let source = TokenSource::of(credential.clone());
            source.token().await.unwrap();
            source.token().await.unwrap();
            assert_eq!(credential.asked.load(Ordering::SeqCst), expect, "{lives}");
        }
    }

    #[tokio::test]
    async fn the_way_that_works_is_kept_and_all_are_named_when_none_does() {
        let (bad, good) = (Counting::living(-1), Counting::living(0));
        let source = TokenSource::new(vec![("bad", bad.clone()), ("good", good.clone())]);
        source.token().await.unwrap();
        source.token().await.unwrap();
        assert_eq!(bad.asked.load(Ordering::SeqCst), 1);
        assert_eq!(good.asked.load(Ordering::SeqCst), 2);

        let source = TokenSource::new(vec![("this", bad.clone()), ("that", bad)]);
        let error = source.token().await.unwrap_err();
        assert_eq!(error.to_string(), "no Microsoft Entra token from this, that");
    }

    #[test]
    fn the_environment_decides_which_ways_there_are() {
        for (set, expect) in [
            (&[][..], vec!["the managed identity", "the developer tools (az, azd)"]),
            (
                &["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"][..],
                vec!["the client secret", "the managed identity", "the developer tools (az, azd)"],
            ),
        ] {
            let env = |name: &str| set.contains(&name).then(|| "0-1".to_owned());
            let source = TokenSource::from_environment(&env).unwrap();
            let names: Vec<_> = source.ways.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, expect);
        }
    }
}
