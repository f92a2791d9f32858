//! The Microsoft Entra token of a model's server.

use secrecy::SecretString;

use greenloop_azure::{AzureError, Identity};

/// Where models are, in each cloud, and what their tokens are for.
const AUDIENCES: [(&str, &str); 3] = [
    (".azure.com", "https://cognitiveservices.azure.com/.default"),
    (".azure.us", "https://cognitiveservices.azure.us/.default"),
    (".azure.cn", "https://cognitiveservices.azure.cn/.default"),
];

/// Gives tokens for one server; the identity holds them.
#[derive(Clone)]
pub(super) struct Tokens {
    identity: Identity,
    scope: &'static str,
}

impl Tokens {
    /// For the server at `host`, with or without a port.
    pub(super) fn new(identity: Identity, host: &str) -> Self {
        let name = host.split(':').next().unwrap_or(host);
        let own = AUDIENCES.iter().find(|(suffix, _)| name.ends_with(suffix));
        Self { identity, scope: own.unwrap_or(&AUDIENCES[0]).1 }
    }

    /// A token that is good for some minutes more.
    pub(super) async fn token(&self) -> Result<SecretString, AzureError> {
        self.identity.token(self.scope).await
    }

    /// Forgets the token: the server would not take it.
    pub(super) async fn forget(&self) {
        self.identity.forget(self.scope).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_azure::fake::Counting;

    #[test]
    fn each_cloud_has_an_audience_of_its_own() {
        for (host, expect) in [
            ("n.openai.azure.com", "https://cognitiveservices.azure.com/.default"),
            ("n.openai.azure.us", "https://cognitiveservices.azure.us/.default"),
            ("n.openai.azure.cn:443", "https://cognitiveservices.azure.cn/.default"),
            ("127.0.0.1:9", "https://cognitiveservices.azure.com/.default"),
        ] {
            let identity = Identity::with_credential(Counting::living(1));
            assert_eq!(Tokens::new(identity, host).scope, expect, "{host}");
        }
    }
}
