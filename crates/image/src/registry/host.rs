//! A registry's host, in the forms it goes by.

use url::Url;

use super::error::{RegistryError, RegistryErrorKind};
use greenloop_http::is_loopback;

/// Docker's own registry in names of images, as its configuration calls it, and its address.
const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Where Azure's registries are, in each cloud.
const AZURE: [&str; 3] = [".azurecr.io", ".azurecr.cn", ".azurecr.us"];

/// `https://HOST/`; plain http for this machine, as Docker does.
pub(super) fn base(host: &str) -> Result<Url, RegistryError> {
    let wrong = || RegistryError::new(host, RegistryErrorKind::Refused, "has no valid host name");
    let reached = if is_hub(host) { HUB[2] } else { host };
    let url =
        Url::parse(&format!("https://{reached}/")).map_err(|source| wrong().because(source))?;
    let plain = url.path() == "/"
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(wrong());
    }
    if !is_loopback(&url) {
        return Ok(url);
    }
    Url::parse(&format!("http://{reached}/")).map_err(|source| wrong().because(source))
}

/// The host in an image's name and the repository there, as Docker reads it.
pub(super) fn of_image(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        Some(_) | None => (HUB[0], name),
    }
}

/// Whether it is Docker's own.
pub(super) fn is_hub(host: &str) -> bool {
    HUB.contains(&host)
}

/// Whether it is one of Azure's; `extra` is one that is taken for one.
pub fn is_azure(host: &str, extra: Option<&str>) -> bool {
    let lower = host.to_ascii_lowercase();
    extra == Some(host) || AZURE.iter().any(|suffix| lower.ends_with(suffix))
}

/// Whether a key of Docker's configuration stands for `host`: it may be written with a scheme
/// and a path.
pub(super) fn is_key_of(key: &str, host: &str) -> bool {
    let bare = |text: &str| {
        let text = text.strip_prefix("https://").or(text.strip_prefix("http://")).unwrap_or(text);
        text.split('/').next().unwrap_or_default().to_ascii_lowercase()
    };
    let key = bare(key);
    key == bare(host) || (is_hub(host) && is_hub(&key))
}

/// What a credential helper knows the registry by.
pub(super) fn helper_key(host: &str) -> &str {
    if is_hub(host) { HUB_KEY } else { host }
}

/// The repository as the registry knows it.
pub(super) fn repository(host: &str, name: &str) -> String {
    if is_hub(host) && !name.contains('/') { format!("library/{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_spoken_to_without_tls() {
        for (host, expect) in [
            ("127.0.0.1:5000", Some("http://127.0.0.1:5000/")),
            ("127.3.2.1", Some("http://127.3.2.1/")),
            ("localhost:5000", Some("http://localhost:5000/")),
            ("[::1]:5000", Some("http://[::1]:5000/")),
            ("fleet.azurecr.io", Some("https://fleet.azurecr.io/")),
            ("registry.example.org:8443", Some("https://registry.example.org:8443/")),
            ("localhost.example.org", Some("https://localhost.example.org/")),
            ("docker.io", Some("https://registry-1.docker.io/")),
            ("a/b", None),
            ("me:pw@example.org", None),
            ("example.org?x", None),
            ("", None),
        ] {
            assert_eq!(base(host).ok().map(String::from).as_deref(), expect, "{host}");
        }
    }

    #[test]
    fn keys_of_dockers_configuration() {
        for (key, host, expect) in [
            ("127.0.0.1:5000", "127.0.0.1:5000", true),
            ("https://fleet.azurecr.io", "fleet.azurecr.io", true),
            ("http://Fleet.azurecr.io/v2/", "fleet.azurecr.io", true),
            ("https://index.docker.io/v1/", "docker.io", true),
            ("docker.io", "registry-1.docker.io", true),
            ("fleet.azurecr.io:443", "fleet.azurecr.io", false),
            ("fleet.azurecr.io.evil.example", "fleet.azurecr.io", false),
        ] {
            assert_eq!(is_key_of(key, host), expect, "{key}");
        }
        for (name, expect) in [
            ("busybox", ("docker.io", "busybox")),
            ("team/fleet", ("docker.io", "team/fleet")),
            ("localhost/fleet", ("localhost", "fleet")),
            ("127.0.0.1:5000/team/fleet", ("127.0.0.1:5000", "team/fleet")),
            ("fleet.azurecr.io/a/b", ("fleet.azurecr.io", "a/b")),
        ] {
            assert_eq!(of_image(name), expect);
        }
        assert_eq!(repository("docker.io", "busybox"), "library/busybox");
        assert_eq!(repository("quay.io", "busybox"), "busybox");
        assert!(is_azure("a.azurecr.cn", None) && is_azure("x:1", Some("x:1")));
        assert!(!is_azure("azurecr.io.evil.example", None) && !is_azure("x:1", None));
    }
}
