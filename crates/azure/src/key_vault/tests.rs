use secrecy::ExposeSecret as _;
use serde_json::json;
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::KeyVault;
use crate::fake::Counting;
use greenloop_ports::{SecretErrorKind, SecretSource as _};

#[test]
fn the_vaults_cloud_tells_the_audience() {
    for (host, expect) in [
        ("fleet.vault.azure.net", "https://vault.azure.net/.default"),
        ("fleet.vault.azure.cn", "https://vault.azure.cn/.default"),
        ("fleet.vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net/.default"),
        ("127.0.0.1", "https://vault.azure.net/.default"),
        ("evilvault.azure.cn", "https://vault.azure.net/.default"),
    ] {
        assert_eq!(scope(host), expect, "{host}");
    }
}

#[tokio::test]
async fn a_secret_comes_by_its_name() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/secrets/db-password"))
        .and(query_param("api-version", "7.4"))
        .and(header("authorization", "Bearer token-1"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({
            "value": "hunter22!", "id": "https://fleet.vault.azure.net/secrets/db-password/1",
            "attributes": {"enabled": true}
        })))
        .expect(1)
        .mount(&server)
        .await;
    let identity = Identity::with_credential(Counting::living(3600));
    let value = secret(&identity, &server.uri(), "db-password").await.unwrap();
    assert_eq!(value.expose_secret(), "hunter22!");
    for wrong in ["", "a/b", "a.b", "..", "a b", &"x".repeat(128)] {
        let error = secret(&identity, &server.uri(), wrong).await.unwrap_err();
        assert_eq!(error.kind, AzureErrorKind::NotConfigured, "{wrong}");
    }
    let error = secret(&identity, "http://fleet.vault.azure.net", "x").await.unwrap_err();
    assert_eq!(error.kind, AzureErrorKind::NotConfigured, "in the clear");
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let identity = Identity::with_credential(Counting::living(3600));
    for (status, body, kind, as_source, words) in [
        (
            404,
            json!({"error": {"code": "SecretNotFound", "message": "A secret with (name/id) x was not found"}}),
            AzureErrorKind::NotFound,
            SecretErrorKind::NotFound,
            &["no secret x", "404 SecretNotFound", "az keyvault secret set"][..],
        ),
        (
            403,
            json!({"error": {"code": "Forbidden", "message": "Caller is not authorized",
                             "innererror": {"code": "ForbiddenByRbac"}}}),
            AzureErrorKind::Forbidden,
            SecretErrorKind::Refused,
            &["403 ForbiddenByRbac", "Key Vault Secrets User"],
        ),
        (
            401,
            json!({"error": {"code": "Unauthorized", "message": "AKV10032: Invalid issuer"}}),
            AzureErrorKind::Auth,
            SecretErrorKind::Refused,
            &["AKV10032", "tenant"],
        ),
        (400, json!("no form"), AzureErrorKind::Refused, SecretErrorKind::Refused, &["(400)"]),
        (200, json!({"id": "no value"}), AzureErrorKind::Protocol, SecretErrorKind::Refused, &[]),
    ] {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(status).set_body_json(body);
        Mock::given(method("GET")).respond_with(answer).mount(&server).await;
        let error = secret(&identity, &server.uri(), "x").await.unwrap_err();
        assert_eq!(error.kind, kind, "{error:?}");
        assert!(words.iter().all(|word| error.message.contains(word)), "{error}");
        let vault = KeyVault::new(identity.clone(), &server.uri());
        assert_eq!(vault.secret("x").await.unwrap_err().kind, as_source);
    }
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_renewed_once() {
    let server = MockServer::start().await;
    Mock::given(header("authorization", "Bearer token-2"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"value": "v"})))
        .mount(&server)
        .await;
    Mock::given(header("authorization", "Bearer token-1"))
        .respond_with(ResponseTemplate::new(401))
        .expect(1)
        .mount(&server)
        .await;
    let identity = Identity::with_credential(Counting::living(3600));
    assert_eq!(secret(&identity, &server.uri(), "x").await.unwrap().expose_secret(), "v");
}
