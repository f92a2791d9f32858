//! Which of Azure's clouds it is, by where its identities are kept.

use url::Url;

use super::error::{AzureError, AzureErrorKind};
use greenloop_config::plan::AzurePlan;
use greenloop_http::is_private;

/// Where the services are that every cloud has one of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cloud {
    /// `https://login.microsoftonline.com/`
    pub(super) authority: Url,
    /// `https://management.azure.com/`
    pub(super) resource_manager: Url,
}

/// Authority and resource manager of each cloud; the first is the public one.
const CLOUDS: [(&str, &str); 3] = [
    ("https://login.microsoftonline.com/", "https://management.azure.com/"),
    ("https://login.microsoftonline.us/", "https://management.usgovcloudapi.net/"),
    ("https://login.chinacloudapi.cn/", "https://management.chinacloudapi.cn/"),
];

impl Cloud {
    /// What the plan says, then `AZURE_AUTHORITY_HOST`, then the public cloud.
    pub(super) fn new(
        plan: &AzurePlan,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, AzureError> {
        let host = plan.authority_host.clone().or_else(|| env("AZURE_AUTHORITY_HOST"));
        let host = host.filter(|host| !host.trim().is_empty());
        let authority = base(host.as_deref().unwrap_or(CLOUDS[0].0), "the authority host")?;
        let known = CLOUDS.iter().find(|(known, _)| *known == authority.as_str());
        let manager = plan.resource_manager.as_deref();
        let manager = manager.unwrap_or_else(|| known.unwrap_or(&CLOUDS[0]).1);
        Ok(Self { authority, resource_manager: base(manager, "the resource manager")? })
    }

    /// What a token for the resource manager is asked for.
    pub(super) fn resource_manager_scope(&self) -> String {
        format!("{}/.default", self.resource_manager.as_str().trim_end_matches('/'))
    }
}

/// A base URL that may be sent secrets.
pub(super) fn base(text: &str, what: &str) -> Result<Url, AzureError> {
    let wrong = |why: &str| {
        AzureError::new(AzureErrorKind::NotConfigured, format!("{what} of Azure {why}"))
    };
    let text = text.trim();
    // AZURE_AUTHORITY_HOST is also written without a scheme.
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&whole).map_err(|source| wrong("is not a URL").because(source))?;
    if url.host_str().is_none_or(str::is_empty) || !is_private(&url) {
        return Err(wrong("must begin with https://"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_tells_the_cloud() {
        for (plan, env, authority, manager) in [
            (None, None, "https://login.microsoftonline.com/", "https://management.azure.com"),
            (
                None,
                Some("login.chinacloudapi.cn"),
                "https://login.chinacloudapi.cn/",
                "https://management.chinacloudapi.cn",
            ),
            (
                Some("https://login.microsoftonline.us"),
                Some("https://login.chinacloudapi.cn"),
                "https://login.microsoftonline.us/",
                "https://management.usgovcloudapi.net",
            ),
            (
                Some("https://login.stack.example"),
                None,
                "https://login.stack.example/",
                "https://management.azure.com",
            ),
            (
                Some("http://127.0.0.1:1"),
                None,
                "http://127.0.0.1:1/",
                "https://management.azure.com",
            ),
        ] {
            let plan =
                AzurePlan { authority_host: plan.map(str::to_owned), ..AzurePlan::default() };
            let cloud = Cloud::new(&plan, &|_| env.map(str::to_owned)).unwrap();
            assert_eq!(cloud.authority.as_str(), authority);
            assert_eq!(cloud.resource_manager_scope(), format!("{manager}/.default"));
        }
    }

    #[test]
    fn no_secret_goes_in_the_clear() {
        for host in ["http://login.example.org", "ftp://127.0.0.1", "https://", "http://[bad"] {
            let plan = AzurePlan { authority_host: Some(host.to_owned()), ..AzurePlan::default() };
            let error = Cloud::new(&plan, &|_| None).unwrap_err();
            assert_eq!(error.kind, AzureErrorKind::NotConfigured, "{host}");
        }
    }
}
