//! Azure's registries: a Microsoft Entra token, a refresh token, an access token.

use std::sync::atomic::Ordering;

use secrecy::ExposeSecret as _;
use serde_json::json;
use wiremock::matchers::{body_string_contains, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::registry::jwt::tests::living;
use greenloop_azure::Identity;
use greenloop_azure::fake::Counting;
use greenloop_config::plan::AzurePlan;

fn as_azure(server: &MockServer, identity: Identity, more: &[(&str, &str)]) -> Credentials {
    let name = host(server);
    let variables = [&[("GREENLOOP_ACR", name.as_str())], more].concat();
    Credentials::new(environment(&variables), Some(identity))
}

async fn exchange(server: &MockServer, entra: &str, answer: ResponseTemplate, expect: u64) {
    Mock::given(method("POST"))
        .and(path("/oauth2/exchange"))
        .and(header("content-type", "application/x-www-form-urlencoded"))
        .and(body_string_contains("grant_type=access_token"))
        .and(body_string_contains(format!("service={}", host(server).replace(':', "%3A"))))
        .and(body_string_contains(format!("&access_token={entra}")))
        .respond_with(answer)
        .expect(expect)
        .mount(server)
        .await;
}

fn refresh(token: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"refresh_token": token}))
}

#[tokio::test]
async fn an_identity_becomes_a_scoped_token() {
    let server = MockServer::start().await;
    let token = living(3 * 3600, "refresh");
    exchange(&server, "token-1", refresh(&token), 1).await;
    let challenge = format!(
        "Bearer realm=\"{}/oauth2/token\",service=\"{}\",scope=\"repository:fleet:pull\"",
        server.uri(),
        host(&server)
    );
    Mock::given(method("POST"))
        .and(path("/oauth2/token"))
        .and(body_string_contains("grant_type=refresh_token"))
        .and(body_string_contains(format!("refresh_token={token}")))
        .and(body_string_contains("scope=repository%3Afleet%3Apull"))
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_json(json!({"access_token": living(4500, "access")})),
        )
        .expect(1)
        .mount(&server)
        .await;
    let (bytes, digest) = manifest();
    Mock::given(path("/v2/fleet/manifests/1"))
        .and(header("authorization", format!("Bearer {}", living(4500, "access")).as_str()))
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("docker-content-digest", digest.as_str())
                .insert_header("content-length", bytes.len().to_string()),
        )
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(path("/v2/fleet/manifests/1"))
        .respond_with(ResponseTemplate::new(401).insert_header("www-authenticate", challenge))
        .mount(&server)
        .await;
    let credentials = as_azure(&server, Identity::with_credential(Counting::living(3600)), &[]);
    let registry = Registry::new(&host(&server), credentials.clone()).with_short_delays();
    for _ in 0..2 {
        assert_eq!(
            registry.head("fleet", "1").await.unwrap().map(|m| m.digest),
            Some(digest.clone())
        );
    }
    let login = credentials.login(&host(&server)).await.unwrap().unwrap();
    assert_eq!(login.username, "00000000-0000-0000-0000-000000000000");
    assert_eq!(login.password.expose_secret(), token);
    assert!(login.identity_token);
    assert!(!format!("{login:?} {credentials:?}").contains(&token));
}

#[tokio::test]
async fn a_refresh_token_is_renewed_at_half_its_life() {
    for (lives, exchanges) in [(3 * 3600, 1), (1, 2)] {
        let server = MockServer::start().await;
        exchange(&server, "token-1", refresh(&living(lives, "refresh")), exchanges).await;
        let credentials = as_azure(&server, Identity::with_credential(Counting::living(3600)), &[]);
        credentials.login(&host(&server)).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        credentials.login(&host(&server)).await.unwrap();
    }
}

#[tokio::test]
async fn a_registry_that_does_not_know_the_audience_is_shown_another() {
    let server = MockServer::start().await;
    exchange(&server, "token-1", ResponseTemplate::new(401), 1).await;
    exchange(&server, "token-2", refresh("second"), 1).await;
    let entra = Counting::living(3600);
    let credentials = as_azure(&server, Identity::with_credential(entra.clone()), &[]);
    let login = credentials.login(&host(&server)).await.unwrap().unwrap();
    assert_eq!(login.password.expose_secret(), "second");
    assert_eq!(entra.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn refusals_name_the_role_and_show_no_token() {
    let server = MockServer::start().await;
    let denied = json!({"errors": [{"code": "DENIED", "message": "client with IP 1.2.3.4 is not allowed access"}]});
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(403).set_body_json(denied))
        .mount(&server)
        .await;
    let credentials = as_azure(&server, Identity::with_credential(Counting::living(3600)), &[]);
    let error = credentials.login(&host(&server)).await.unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Auth);
    assert!(error.message.contains("AcrPush") && error.message.contains("1.2.3.4"), "{error}");
    assert!(!format!("{error:?}").contains("token-"), "{error:?}");

    let nobody = as_azure(&server, Identity::with_credential(Counting::living(-1)), &[]);
    let error = nobody.login(&host(&server)).await.unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Auth);
    assert!(
        greenloop_model::error_chain(&error).contains("could not get a Microsoft Entra token"),
        "{error:?}"
    );
}

#[tokio::test]
async fn explicit_logins_come_first_and_expired_ones_are_passed_over() {
    let server = MockServer::start().await;
    exchange(&server, "token-1", refresh("exchanged"), 1).await;
    let name = host(&server);
    let entra = Counting::living(3600);
    let identity = Identity::with_credential(entra.clone());
    let by_variables =
        [("GREENLOOP_REGISTRY_USERNAME", "app"), ("GREENLOOP_REGISTRY_PASSWORD", "pw")];
    let login = as_azure(&server, identity.clone(), &by_variables).login(&name).await;
    assert_eq!(login.unwrap().unwrap().username, "app");

    let folder = tempfile::tempdir().unwrap();
    let docker = [("DOCKER_CONFIG", folder.path().to_str().unwrap())];
    for (lives, expect) in [(3600, "by docker"), (-60, "exchanged")] {
        let token = living(lives, "acr-login");
        let config = json!({"auths": {&name: {"identitytoken": token}}});
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let login = as_azure(&server, identity.clone(), &docker).login(&name).await;
        let password = login.unwrap().unwrap().password;
        let expect = if expect == "by docker" { token.as_str() } else { expect };
        assert_eq!(password.expose_secret(), expect);
    }
    assert_eq!(entra.asked.load(Ordering::SeqCst), 1);

    // Nobody in Azure may still read what everybody may.
    let off = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")];
    let nobody = Identity::new(&AzurePlan::default(), &*environment(&off)).unwrap();
    assert!(as_azure(&server, nobody, &[]).login(&name).await.unwrap().is_none());

    // Other registries have nothing to do with Azure.
    let login = as_azure(&server, identity, &[]).login("quay.io").await.unwrap();
    assert!(login.is_none());
}
