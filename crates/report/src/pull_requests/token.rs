//! The token that opens a repository, and how it is sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use greenloop_config::plan::{PullRequestPlan, PullRequestProvider};
use greenloop_ports::{PullRequestError, PullRequestErrorKind};

/// A token from the environment.
#[derive(Clone)]
pub(super) struct Token {
    secret: SecretString,
    provider: PullRequestProvider,
    /// Where it was found.
    pub(super) variable: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("variable", &self.variable).finish_non_exhaustive()
    }
}

/// The variables a provider's token usually stands in.
pub(super) fn usual(provider: PullRequestProvider) -> [&'static str; 2] {
    match provider {
        PullRequestProvider::AzureDevops => ["SYSTEM_ACCESSTOKEN", "AZURE_DEVOPS_EXT_PAT"],
        PullRequestProvider::Github => ["GITHUB_TOKEN", "GH_TOKEN"],
        PullRequestProvider::Gitlab => ["GITLAB_TOKEN", "GL_TOKEN"],
    }
}

impl Token {
    /// The token in the environment.
    pub(super) fn find(
        plan: &PullRequestPlan,
        provider: PullRequestProvider,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, PullRequestError> {
        let usual = usual(provider);
        let names = match &plan.token_env {
            Some(name) => vec![name.as_str()],
            None => usual.to_vec(),
        };
        // A pipeline that does not map its token leaves the text of the variable there.
        let found = names.iter().find_map(|name| {
            let value = env(name)?;
            let value = value.trim();
            let given = !value.is_empty() && !value.starts_with("$(");
            given.then(|| ((*name).to_owned(), SecretString::from(value)))
        });
        let Some((variable, secret)) = found else {
            let hint = match provider {
                PullRequestProvider::AzureDevops => {
                    " (in a pipeline: env: SYSTEM_ACCESSTOKEN: $(System.AccessToken))"
                }
                PullRequestProvider::Github => "",
                PullRequestProvider::Gitlab => {
                    " (a project access token: CI_JOB_TOKEN may not comment)"
                }
            };
            return Err(PullRequestError {
                kind: PullRequestErrorKind::NoToken,
                message: format!("no token for pull requests: set {}{hint}", names.join(" or ")),
                source: None,
            });
        };
        let token = Self { secret, provider, variable };
        if token.secret().chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(PullRequestError {
                kind: PullRequestErrorKind::NoToken,
                message: format!(
                    "the token in {} contains characters that are not allowed in a \
                    token",
                    token.variable
                ),
                source: None,
            });
        }
        Ok(token)
    }

    pub(super) fn secret(&self) -> &str {
        self.secret.expose_secret()
    }

    /// Azure DevOps takes its own and Entra's tokens, which are JSON Web Tokens, as a bearer's,
    /// and personal ones as a password.
    fn is_bearer(&self) -> bool {
        let secret = self.secret();
        self.variable == "SYSTEM_ACCESSTOKEN"
            || (secret.starts_with("ey") && secret.split('.').count() == 3)
    }

    /// `Authorization` for the REST API.
    pub(super) fn for_api(&self) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
        let text = match self.provider {
            PullRequestProvider::Github | PullRequestProvider::Gitlab => {
                format!("Bearer {}", self.secret())
            }
            PullRequestProvider::AzureDevops => self.azure(),
        };
        let mut value = HeaderValue::try_from(text)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// `Authorization` for git over https. GitHub takes no bearer there.
    pub(super) fn for_git(&self) -> String {
        match self.provider {
            PullRequestProvider::Github => basic("x-access-token", self.secret()),
            PullRequestProvider::Gitlab => basic("oauth2", self.secret()),
            PullRequestProvider::AzureDevops => self.azure(),
        }
    }

    fn azure(&self) -> String {
        if self.is_bearer() {
            format!("Bearer {}", self.secret())
        } else {
            basic("", self.secret())
        }
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(
        provider: PullRequestProvider,
        token_env: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Token, PullRequestError> {
        let plan =
            PullRequestPlan { token_env: token_env.map(Into::into), ..PullRequestPlan::default() };
        Token::find(&plan, provider, &|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn tokens_are_sent_as_their_kind_wants_it() {
        use PullRequestProvider::{AzureDevops, Github};
        for (provider, name, variables, api, git) in [
            (
                AzureDevops,
                None,
                [("SYSTEM_ACCESSTOKEN", "sys-token")],
                "Bearer sys-token",
                "Bearer sys-token",
            ),
            // `:pat` in base64
            (
                AzureDevops,
                None,
                [("AZURE_DEVOPS_EXT_PAT", "pat")],
                "Basic OnBhdA==",
                "Basic OnBhdA==",
            ),
            (AzureDevops, Some("MY"), [("MY", "eyJ0.b.c")], "Bearer eyJ0.b.c", "Bearer eyJ0.b.c"),
            // `x-access-token:t`
            (Github, None, [("GH_TOKEN", "t\n")], "Bearer t", "Basic eC1hY2Nlc3MtdG9rZW46dA=="),
        ] {
            let token = find(provider, name, &variables).unwrap();
            assert_eq!(token.for_api().unwrap(), api);
            assert_eq!(token.for_git(), git);
            assert!(!format!("{token:?}").contains(token.secret()));
        }
    }

    #[test]
    fn a_missing_token_says_where_it_belongs() {
        use PullRequestProvider::AzureDevops;
        for variables in [&[][..], &[("SYSTEM_ACCESSTOKEN", "$(System.AccessToken)")]] {
            let error = find(AzureDevops, None, variables).unwrap_err();
            assert_eq!(error.kind, PullRequestErrorKind::NoToken);
            assert!(error.message.contains("SYSTEM_ACCESSTOKEN: $(System.AccessToken)"));
        }
        let error = find(AzureDevops, Some("MY"), &[("SYSTEM_ACCESSTOKEN", "x")]).unwrap_err();
        assert!(error.message.contains("set MY"), "{error}");
        let error = find(AzureDevops, Some("MY"), &[("MY", "a\nb")]).unwrap_err();
        assert!(error.message.contains("in MY"), "{error}");
    }
}
