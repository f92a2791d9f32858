//! Against real registries, and on the wire against servers that speak the documented protocols.

mod acr;
mod bearer;
mod engine;
mod real;

use std::collections::BTreeMap;

use super::*;

/// Credentials from these variables, and nobody in Azure.
fn credentials(variables: &[(&str, &str)]) -> Credentials {
    Credentials::new(environment(variables), None)
}

type Environment = std::sync::Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    std::sync::Arc::new(move |name| variables.get(name).cloned())
}

/// The host of a server on this machine.
fn host(server: &wiremock::MockServer) -> String {
    server.address().to_string()
}

/// A small image manifest, and its digest.
fn manifest() -> (Vec<u8>, String) {
    use sha2::Digest as _;
    let text = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2,
                   "digest": digest(b"{}")},
        "layers": []
    });
    let bytes = text.to_string().into_bytes();
    let named = digest(&bytes);
    return (bytes, named);

    fn digest(bytes: &[u8]) -> String {
        let hex: String = sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        format!("sha256:{hex}")
    }
}
