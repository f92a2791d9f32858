//! `deploy/vm/setup.sh`: reads secrets from a local key vault server with the VM's identity.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{root, text};

/// The metadata service and a vault with one secret.
async fn cloud() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/metadata/identity/oauth2/token"))
        .and(header("Metadata", "true"))
        .and(query_param("resource", "https://vault.azure.net"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"access_token": "eyJ.vm"})))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path("/secrets/greenloop-worker-token"))
        .and(header("Authorization", "Bearer eyJ.vm"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"value": "glh_1_fromvault"})))
        .mount(&server)
        .await;
    server
}

/// Runs it with an install.sh that records its environment.
fn setup(server: &MockServer, place: &str) -> (std::process::Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::copy(root().join("deploy/vm/setup.sh"), at.join("setup.sh")).unwrap();
    std::fs::write(at.join("install.sh"), "#!/bin/sh\nenv >\"$GIVEN\"\n").unwrap();
    std::fs::set_permissions(at.join("install.sh"), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(at.join("place.env"), format!("VAULT={}\n{place}", server.uri())).unwrap();
    let output = Command::new(at.join("setup.sh"))
        .env("PLACE", at.join("place.env"))
        .env("METADATA", server.uri())
        .env("GIVEN", at.join("given"))
        .env("RETRIES", "0")
        .output()
        .unwrap();
    (output, std::fs::read_to_string(at.join("given")).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_takes_its_secrets_from_the_vault() {
    let server = cloud().await;
    let place = "PART=worker\nHUB_TOKEN_SECRET=greenloop-worker-token\nHUB_CA_SECRET=\n";
    let (output, given) = tokio::task::block_in_place(|| setup(&server, place));
    assert!(output.status.success(), "{}", text(&output));
    assert!(given.contains("HUB_TOKEN=glh_1_fromvault\n"), "{given}");
    assert!(given.contains("PART=worker\n") && !given.contains("HUB_CA="), "{given}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_there_is_named() {
    let server = cloud().await;
    let (output, given) =
        tokio::task::block_in_place(|| setup(&server, "PART=hub\nSTORE_SECRET=absent\n"));
    assert!(!output.status.success());
    assert!(text(&output).contains("could not read the secret absent"), "{}", text(&output));
    assert_eq!(given, "");
}
