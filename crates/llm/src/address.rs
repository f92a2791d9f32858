//! Where a model is and how one gets in.

use async_openai::config::{AzureConfig, Config};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::not_configured;
use super::token::Tokens;
use greenloop_azure::{AzureError, Identity};
use greenloop_ports::ModelError;

/// Where a model is: what `async_openai` builds its requests from. Unlike that crate's own
/// configurations it reads no environment and cannot panic on a key that is no header value.
#[derive(Clone)]
pub(super) struct Address {
    form: Form,
    entry: Authentication,
    /// The host, with the port when it is not the scheme's own.
    host: String,
    /// Whether the host is this machine, which no proxy stands before.
    loopback: bool,
    model: String,
}

#[derive(Clone)]
enum Form {
    /// `{base}/chat/completions`, the model named in the body.
    OpenAi { base: String },
    /// `{base}/openai/deployments/{deployment}/chat/completions?api-version=…`
    Azure { config: AzureConfig, version: String },
}

/// How one gets in.
#[derive(Clone)]
enum Authentication {
    /// Nothing is asked.
    Open,
    /// `Authorization: Bearer …`
    Bearer(SecretString),
    /// `api-key: …`
    ApiKey(SecretString),
    /// `Authorization: Bearer …` with a Microsoft Entra token, fresh for each request.
    Entra(Tokens),
}

/// Bytes of a key that is looked for in what a server says.
const SHORTEST_KEY: usize = 8;
/// The host whose servers always want a key.
const OPENAI_HOST: &str = "api.openai.com";

impl Address {
    /// OpenAI or a server that speaks its form, at `base_url` as given.
    pub(super) fn open_ai(
        model: &str,
        base_url: &str,
        key_variable: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ModelError> {
        let (base, host, loopback) = parse(model, base_url)?;
        let label = format!("{model} at {host}");
        if model.trim().is_empty() {
            return Err(not_configured(host, "no model is configured: set GREENLOOP_MODEL", None));
        }
        let entry = match key(&label, key_variable, env)? {
            Some(key) => Authentication::Bearer(key),
            None if host == OPENAI_HOST => {
                return Err(not_configured(
                    label,
                    format!("no API key: {key_variable} is not set"),
                    None,
                ));
            }
            None => Authentication::Open,
        };
        Ok(Self { form: Form::OpenAi { base }, entry, host, loopback, model: model.to_owned() })
    }

    /// Azure OpenAI: with a key where there is one, else with a token. An endpoint that ends in
    /// `/openai/v1` is spoken to in OpenAI's own form.
    pub(super) fn azure(
        endpoint: &str,
        deployment: &str,
        api_version: &str,
        key_variable: Option<&str>,
        env: &dyn Fn(&str) -> Option<String>,
        azure: Result<&Identity, &AzureError>,
    ) -> Result<Self, ModelError> {
        let (base, host, loopback) = parse(deployment, endpoint)?;
        let label = format!("{deployment} at {host}");
        let key = match key_variable {
            Some(variable) => key(&label, variable, env)?,
            None => None,
        };
        let entry = match key {
            Some(key) => Authentication::ApiKey(key),
            None => match azure {
                Ok(identity) => Authentication::Entra(Tokens::new(identity.clone(), &host)),
                Err(error) => {
                    let message = format!("could not get a Microsoft Entra token: {error}");
                    return Err(not_configured(label, message, None));
                }
            },
        };
        let form = if base.ends_with("/openai/v1") {
            Form::OpenAi { base }
        } else {
            let config = AzureConfig::new()
                .with_api_base(base)
                .with_deployment_id(deployment)
                .with_api_version(api_version)
                .with_api_key("");
            Form::Azure { config, version: api_version.to_owned() }
        };
        Ok(Self { form, entry, host, loopback, model: deployment.to_owned() })
    }

    /// Where its server lists models: the cheapest question that takes the key.
    pub(super) fn models(&self) -> String {
        match &self.form {
            Form::OpenAi { base } => format!("{base}/models"),
            Form::Azure { config, .. } => format!("{}/openai/models", config.api_base()),
        }
    }

    /// `gpt-4o at api.openai.com`
    pub(super) fn label(&self) -> String {
        format!("{} at {}", self.model, self.host)
    }

    /// The name the body carries.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// Whether this is OpenAI's own service, whose newer models take only the newer parameters.
    pub(super) fn is_openai(&self) -> bool {
        self.host == OPENAI_HOST
    }

    /// Whether the server is known to take `prompt_cache_key`: OpenAI's own, and Azure's in the
    /// form of its `/openai/v1`. Others may refuse a parameter that they do not know.
    pub(super) fn takes_cache_key(&self) -> bool {
        match &self.form {
            Form::OpenAi { base } => self.is_openai() || base.ends_with("/openai/v1"),
            Form::Azure { .. } => false,
        }
    }

    /// Whether the host is this machine.
    pub(super) const fn loopback(&self) -> bool {
        self.loopback
    }

    /// The tokens, when that is how one gets in.
    pub(super) const fn tokens(&self) -> Option<&Tokens> {
        match &self.entry {
            Authentication::Entra(tokens) => Some(tokens),
            Authentication::Open | Authentication::Bearer(_) | Authentication::ApiKey(_) => None,
        }
    }

    /// `text` without the key: servers have been seen to echo it. A key like `x`, which servers
    /// that want none are given, is no secret and stands in many words.
    pub(super) fn scrub(&self, text: &str) -> String {
        match &self.entry {
            Authentication::Bearer(key) | Authentication::ApiKey(key)
                if key.expose_secret().len() >= SHORTEST_KEY =>
            {
                text.replace(key.expose_secret(), "[the API key]")
            }
            Authentication::Bearer(_)
            | Authentication::ApiKey(_)
            | Authentication::Open
            | Authentication::Entra(_) => text.to_owned(),
        }
    }
}

impl Config for Address {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let (name, value) = match &self.entry {
            Authentication::Open | Authentication::Entra(_) => return headers,
            Authentication::Bearer(key) => {
                (AUTHORIZATION, format!("Bearer {}", key.expose_secret()))
            }
            Authentication::ApiKey(key) => {
                (http::HeaderName::from_static("api-key"), key.expose_secret().to_owned())
            }
        };
        // The key was tried as a header value when the address was made.
        if let Ok(mut value) = HeaderValue::try_from(value) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers
    }

    fn url(&self, path: &str) -> String {
        match &self.form {
            Form::OpenAi { base } => format!("{base}{path}"),
            Form::Azure { config, .. } => config.url(path),
        }
    }

    fn query(&self) -> Vec<(&str, &str)> {
        match &self.form {
            Form::OpenAi { .. } => Vec::new(),
            Form::Azure { version, .. } => vec![("api-version", version)],
        }
    }

    fn api_base(&self) -> &str {
        match &self.form {
            Form::OpenAi { base } => base,
            Form::Azure { config, .. } => config.api_base(),
        }
    }

    fn api_key(&self) -> &SecretString {
        static NONE: std::sync::LazyLock<SecretString> =
            std::sync::LazyLock::new(|| SecretString::from(String::new()));
        match &self.entry {
            Authentication::Bearer(key) | Authentication::ApiKey(key) => key,
            Authentication::Open | Authentication::Entra(_) => &NONE,
        }
    }
}

/// The base without trailing slashes, the host, and whether it is this machine.
fn parse(model: &str, base_url: &str) -> Result<(String, String, bool), ModelError> {
    let base = base_url.trim().trim_end_matches('/');
    // The whole address of the call is what many a server's page says to copy.
    let base = base.strip_suffix("/chat/completions").unwrap_or(base);
    let wrong =
        |what: &str| not_configured(model, format!("the base URL of the model {what}"), None);
    let url = Url::parse(base).map_err(|source| {
        not_configured(model, "the base URL of the model is not a URL", Some(source.into()))
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("does not begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("contains credentials: put the key into an environment variable"));
    }
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err(wrong("has no host")),
    };
    let name = url.host_str().unwrap_or_default();
    let host = match url.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    };
    Ok((base.to_owned(), host, loopback))
}

/// The key in `variable`, without the white space that files and pipelines leave around it.
fn key(
    label: &str,
    variable: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<SecretString>, ModelError> {
    let Some(value) = env(variable) else { return Ok(None) };
    let value = value.trim();
    if value.is_empty() {
        return Ok(None);
    }
    // The parser's own error is not passed on: it has nothing to say that the key is not in.
    if HeaderValue::from_str(value).is_err() {
        let message = format!(
            "the key in {variable} contains characters that are not allowed in \
            a key"
        );
        return Err(not_configured(label, message, None));
    }
    Ok(Some(SecretString::from(value.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_ports::ModelErrorKind;

    fn open_ai(base: &str, key: Option<&str>) -> Result<Address, ModelError> {
        Address::open_ai("m", base, "THE_KEY", &|name| {
            (name == "THE_KEY").then(|| key.map(str::to_owned)).flatten()
        })
    }

    #[test]
    fn bases_become_urls_and_labels() {
        for (base, url, label) in [
            (
                "https://api.openai.com/v1",
                "https://api.openai.com/v1/chat/completions",
                "m at api.openai.com",
            ),
            (
                "http://localhost:11434/v1/",
                "http://localhost:11434/v1/chat/completions",
                "m at localhost:11434",
            ),
            ("http://[::1]:8000", "http://[::1]:8000/chat/completions", "m at [::1]:8000"),
        ] {
            let address = open_ai(base, Some("k")).unwrap();
            assert_eq!(address.url("/chat/completions"), url);
            assert_eq!(address.label(), label);
        }
    }

    #[test]
    fn bad_configurations_are_told() {
        for (base, key, expect) in [
            ("https://api.openai.com/v1", None, "THE_KEY is not set"),
            ("https://api.openai.com/v1", Some(" \n"), "THE_KEY is not set"),
            ("https://api.openai.com/v1", Some("sk-a\nb"), "not allowed in a key"),
            ("api.openai.com/v1", Some("k"), "is not a URL"),
            ("ftp://x/v1", Some("k"), "does not begin with http"),
            ("https://me:pw@x/v1", Some("k"), "contains credentials"),
        ] {
            let error = open_ai(base, key).err().unwrap();
            assert_eq!(error.kind, ModelErrorKind::NotConfigured, "{base}");
            assert!(error.message.contains(expect), "{base}: {}", error.message);
            assert!(!format!("{error} {error:?}").contains("sk-a"));
        }
    }

    #[test]
    fn keys_are_trimmed_and_sent_in_the_right_header() {
        let address = open_ai("http://x/v1", Some("  sk-12345\r\n")).unwrap();
        assert_eq!(address.headers()[AUTHORIZATION], "Bearer sk-12345");
        assert_eq!(address.scrub("bad key sk-12345!"), "bad key [the API key]!");
        let local = open_ai("http://x/v1", Some("x")).unwrap();
        assert_eq!(local.scrub("no text/html: it exists"), "no text/html: it exists");
        assert!(open_ai("http://x/v1", None).unwrap().headers().is_empty());

        let azure = |endpoint: &str| {
            let unused = AzureError::for_test();
            let env = |_: &str| Some("az".into());
            Address::azure(endpoint, "gpt", "2024-10-21", Some("K"), &env, Err(&unused)).unwrap()
        };
        let address = azure("https://n.openai.azure.com/");
        assert_eq!(address.headers()["api-key"], "az");
        assert_eq!(
            address.url("/chat/completions"),
            "https://n.openai.azure.com/openai/deployments/gpt/chat/completions"
        );
        assert_eq!(address.query(), [("api-version", "2024-10-21")]);
        assert_eq!(address.label(), "gpt at n.openai.azure.com");
        let address = azure("https://n.openai.azure.com/openai/v1/");
        assert_eq!(
            address.url("/chat/completions"),
            "https://n.openai.azure.com/openai/v1/chat/completions"
        );
        assert!(address.query().is_empty());
    }
}
