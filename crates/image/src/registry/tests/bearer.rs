//! The bearer protocol of the distribution project, retries and redirects.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use wiremock::matchers::{body_string_contains, header, header_exists, method, path, query_param};
use wiremock::{Match, Mock, MockServer, Request, Respond, ResponseTemplate};

use super::*;

const LOGIN: [(&str, &str); 2] =
    [("GREENLOOP_REGISTRY_USERNAME", "me"), ("GREENLOOP_REGISTRY_PASSWORD", "pa~ss")];

/// Answers in this order, the last one for ever.
struct InTurn {
    answers: Vec<ResponseTemplate>,
    next: AtomicU32,
}

fn in_turn(answers: Vec<ResponseTemplate>) -> InTurn {
    InTurn { answers, next: AtomicU32::new(0) }
}

impl Respond for InTurn {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let nth = self.next.fetch_add(1, Ordering::SeqCst) as usize;
        self.answers[nth.min(self.answers.len() - 1)].clone()
    }
}

/// A header that must not be there.
struct Without(&'static str);

impl Match for Without {
    fn matches(&self, request: &Request) -> bool {
        !request.headers.contains_key(self.0)
    }
}

fn found() -> ResponseTemplate {
    let (bytes, digest) = manifest();
    ResponseTemplate::new(200)
        .insert_header("docker-content-digest", digest)
        .insert_header("content-length", bytes.len().to_string())
        .insert_header("content-type", "application/vnd.oci.image.manifest.v1+json")
}

fn challenge(server: &MockServer, scope: &str) -> ResponseTemplate {
    let uri = server.uri();
    ResponseTemplate::new(401).insert_header(
        "www-authenticate",
        format!("Bearer realm=\"{uri}/token\",service=\"a-registry\",scope=\"{scope}\""),
    )
}

/// A registry that lets `bearer` in and sends everybody else for a token.
async fn guarded(bearer: &str, scope: &str) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path("/v2/team/fleet/manifests/1"))
        .and(header("authorization", format!("Bearer {bearer}").as_str()))
        .respond_with(found())
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(path("/v2/team/fleet/manifests/1"))
        .respond_with(challenge(&server, scope))
        .mount(&server)
        .await;
    server
}

async fn paths(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|r| format!("{} {}", r.method, r.url.path())).collect()
}

#[tokio::test]
async fn a_password_is_exchanged_for_a_token_once() {
    let server = guarded("t-1", "repository:team/fleet:pull").await;
    Mock::given(method("GET"))
        .and(path("/token"))
        .and(query_param("service", "a-registry"))
        .and(query_param("scope", "repository:team/fleet:pull"))
        .and(query_param("account", "me"))
        .and(header("authorization", "Basic bWU6cGF+c3M="))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"token": "t-1", "expires_in": 300})),
        )
        .expect(1)
        .mount(&server)
        .await;
    let registry = Registry::new(&host(&server), credentials(&LOGIN)).with_short_delays();
    for _ in 0..3 {
        assert!(registry.head("team/fleet", "1").await.unwrap().is_some());
    }
    let many = (0..8).map(|_| registry.head("team/fleet", "1"));
    assert!(futures::future::join_all(many).await.iter().all(|found| found.is_ok()));
}

#[tokio::test]
async fn nobody_in_particular_gets_a_token_too() {
    let server = guarded("anonymous", "repository:team/fleet:pull").await;
    Mock::given(method("GET"))
        .and(path("/token"))
        .and(Without("authorization"))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"access_token": "anonymous"})),
        )
        .expect(1)
        .mount(&server)
        .await;
    let registry = Registry::new(&host(&server), Credentials::default()).with_short_delays();
    assert!(registry.head("team/fleet", "1").await.unwrap().is_some());
}

#[tokio::test]
async fn a_token_that_runs_out_or_is_not_taken_is_asked_for_again() {
    // It says that it has run out already, so each request asks; and the first is not taken.
    for (expires_in, tokens, asked) in [(0, ["t-1", "t-1"], 2), (300, ["revoked", "t-1"], 2)] {
        let server = guarded("t-1", "repository:team/fleet:pull").await;
        let given = tokens.map(|token| {
            let body = json!({"token": token, "expires_in": expires_in});
            ResponseTemplate::new(200).set_body_json(body)
        });
        Mock::given(method("GET"))
            .and(path("/token"))
            .respond_with(in_turn(given.to_vec()))
            .expect(asked)
            .mount(&server)
            .await;
        let registry = Registry::new(&host(&server), credentials(&LOGIN)).with_short_delays();
        let first = registry.head("team/fleet", "1").await;
        assert_eq!(first.is_ok(), tokens[0] == "t-1", "{first:?}");
        assert!(registry.head("team/fleet", "1").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn refused_logins_are_told_apart_from_servers_that_are_down() {
    for (answer, kind, words) in [
        (
            ResponseTemplate::new(401)
                .set_body_json(json!({"details": "incorrect username or password"})),
            RegistryErrorKind::Auth,
            "incorrect username or password",
        ),
        (
            ResponseTemplate::new(400)
                .set_body_json(json!({"error": "invalid_grant", "error_description": "expired"})),
            RegistryErrorKind::Auth,
            "invalid_grant: expired",
        ),
        (ResponseTemplate::new(503), RegistryErrorKind::Server, "HTTP 503"),
        (ResponseTemplate::new(429), RegistryErrorKind::Limited, "HTTP 429"),
        (
            ResponseTemplate::new(200).set_body_json(json!({})),
            RegistryErrorKind::Protocol,
            "no token",
        ),
        (
            ResponseTemplate::new(200).set_body_string("<html>"),
            RegistryErrorKind::Protocol,
            "no token",
        ),
    ] {
        let server = guarded("t", "repository:team/fleet:pull").await;
        Mock::given(path("/token")).respond_with(answer).mount(&server).await;
        let registry = Registry::new(&host(&server), credentials(&LOGIN)).with_short_delays();
        let error = registry.head("team/fleet", "1").await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
        assert!(!format!("{error:?}").contains("pa~ss"), "{error:?}");
    }
}

#[tokio::test]
async fn a_realm_in_the_clear_gets_no_password() {
    for realm in ["http://auth.example.org/token", "ftp://127.0.0.1/token", "token"] {
        let server = MockServer::start().await;
        let value = format!("Bearer realm=\"{realm}\",service=\"s\"");
        Mock::given(path("/v2/team/fleet/manifests/1"))
            .respond_with(ResponseTemplate::new(401).insert_header("www-authenticate", value))
            .mount(&server)
            .await;
        let registry = Registry::new(&host(&server), credentials(&LOGIN)).with_short_delays();
        let error = registry.head("team/fleet", "1").await.unwrap_err();
        assert_eq!(error.kind, RegistryErrorKind::Protocol, "{error}");
    }
}

#[tokio::test]
async fn an_identity_token_is_posted() {
    let server = guarded("t-1", "repository:team/fleet:pull").await;
    Mock::given(method("POST"))
        .and(path("/token"))
        .and(Without("authorization"))
        .and(body_string_contains("grant_type=refresh_token"))
        .and(body_string_contains("refresh_token=an-identity-token"))
        .and(body_string_contains("scope=repository%3Ateam%2Ffleet%3Apull"))
        .and(body_string_contains("service=a-registry"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"access_token": "t-1"})))
        .expect(1)
        .mount(&server)
        .await;
    let folder = tempfile::tempdir().unwrap();
    let config = json!({"auths": {host(&server): {
        "auth": "MDAwMDAwMDA6", "identitytoken": "an-identity-token"}}});
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let variables = [("DOCKER_CONFIG", folder.path().to_str().unwrap())];
    let registry = Registry::new(&host(&server), credentials(&variables)).with_short_delays();
    assert!(registry.head("team/fleet", "1").await.unwrap().is_some());
}

#[tokio::test]
async fn what_lags_is_waited_for_and_what_stumbles_is_asked_again() {
    let (_, digest) = manifest();
    let empty = ResponseTemplate::new(404);
    let busy = ResponseTemplate::new(503);
    let limited = ResponseTemplate::new(429).insert_header("retry-after", "0");
    for (answers, patience, expect) in [
        // Replication lag.
        (vec![empty.clone(), empty.clone(), found()], 2_000, Ok(())),
        (vec![empty.clone()], 40, Err(RegistryErrorKind::NotFound)),
        (vec![busy.clone(), limited, found()], 2_000, Ok(())),
        (vec![busy], 2_000, Err(RegistryErrorKind::Server)),
        (vec![ResponseTemplate::new(403)], 2_000, Err(RegistryErrorKind::Auth)),
        (vec![ResponseTemplate::new(400)], 2_000, Err(RegistryErrorKind::Refused)),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("HEAD"))
            .and(header_exists("accept"))
            .respond_with(in_turn(answers))
            .mount(&server)
            .await;
        let registry = Registry::new(&host(&server), Credentials::default()).with_short_delays();
        let patience = Duration::from_millis(patience);
        let seen = registry.appears("team/fleet", &digest, patience).await;
        match seen {
            Ok(manifest) => {
                assert_eq!(manifest.digest, digest);
                assert_eq!(expect, Ok(()));
            }
            Err(error) => assert_eq!(Err(error.kind), expect, "{error}"),
        }
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_carries_no_authorization() {
    let (bytes, digest) = manifest();
    let elsewhere = MockServer::start().await;
    Mock::given(Without("authorization"))
        .and(path("/store/manifest"))
        .respond_with(ResponseTemplate::new(200).set_body_bytes(bytes))
        .expect(1)
        .mount(&elsewhere)
        .await;
    let server = MockServer::start().await;
    let to = format!("{}/store/manifest", elsewhere.uri());
    Mock::given(header_exists("authorization"))
        .and(method("GET"))
        .respond_with(ResponseTemplate::new(307).insert_header("location", to))
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(header_exists("authorization"))
        .and(method("PUT"))
        .respond_with(ResponseTemplate::new(201))
        .with_priority(1)
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(Without("authorization"))
        .respond_with(
            ResponseTemplate::new(401).insert_header("www-authenticate", "Basic realm=\"r\""),
        )
        .mount(&server)
        .await;
    let registry = Registry::new(&host(&server), credentials(&LOGIN)).with_short_delays();
    registry.tag("team/fleet", &digest, "x").await.unwrap();
    assert_eq!(paths(&elsewhere).await, ["GET /store/manifest"]);

    let server = MockServer::start().await;
    let to = format!("{}/v2/again", server.uri());
    Mock::given(method("HEAD"))
        .respond_with(ResponseTemplate::new(302).insert_header("location", to))
        .mount(&server)
        .await;
    let registry = Registry::new(&host(&server), Credentials::default()).with_short_delays();
    let error = registry.head("team/fleet", "1").await.unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Protocol, "{error}");
}

#[tokio::test]
async fn a_registry_that_gives_something_else_is_not_believed() {
    let (_, digest) = manifest();
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_string("{\"other\": 1}"))
        .mount(&server)
        .await;
    let registry = Registry::new(&host(&server), Credentials::default()).with_short_delays();
    let error = registry.tag("team/fleet", &digest, "x").await.unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Protocol, "{error}");
    assert_eq!(paths(&server).await, [format!("GET /v2/team/fleet/manifests/{digest}")]);
}

#[tokio::test]
async fn pushing_wants_another_token_than_pulling() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v2/team/fleet/blobs/uploads/"))
        .and(header("authorization", "Bearer may-push"))
        .respond_with(
            ResponseTemplate::new(202)
                .insert_header("location", "/v2/team/fleet/blobs/uploads/an-id?_state=x"),
        )
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(method("DELETE"))
        .and(path("/v2/team/fleet/blobs/uploads/an-id"))
        .and(query_param("_state", "x"))
        .and(header("authorization", "Bearer may-push"))
        .respond_with(ResponseTemplate::new(204))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(challenge(&server, "repository:team/fleet:pull,push"))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path("/token"))
        .and(query_param("scope", "repository:team/fleet:pull,push"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"token": "may-push"})))
        .expect(1)
        .mount(&server)
        .await;
    let registry = Registry::new(&host(&server), credentials(&LOGIN)).with_short_delays();
    registry.can_push("team/fleet").await.unwrap();

    // The token server gives a token all the same, and the registry does not take it.
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(challenge(&server, "repository:team/fleet:pull,push"))
        .expect(2)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"token": "may-pull"})))
        .mount(&server)
        .await;
    let registry = Registry::new(&host(&server), credentials(&LOGIN)).with_short_delays();
    let error = registry.can_push("team/fleet").await.unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Auth, "{error}");
}

#[tokio::test]
async fn the_engine_is_given_what_gets_there() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(header("authorization", "Bearer may-push"))
        .respond_with(ResponseTemplate::new(202))
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(challenge(&server, "repository:team/fleet:pull,push"))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path("/token"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"token": "may-push"})))
        .expect(2)
        .mount(&server)
        .await;
    // One of three in a row is not written as the engine reads it, wherever it stands.
    let awkward =
        [("GREENLOOP_REGISTRY_USERNAME", "me"), ("GREENLOOP_REGISTRY_PASSWORD", "Q~~~word")];
    let registry = Registry::new(&host(&server), credentials(&awkward)).with_short_delays();
    for _ in 0..2 {
        let given =
            registry.engine_credentials("team/fleet", RegistryAction::Push).await.unwrap().unwrap();
        assert_eq!(given.registrytoken.as_deref(), Some("may-push"));
        assert_eq!((given.username, given.password, given.identitytoken), (None, None, None));
        assert_eq!(given.serveraddress, Some(host(&server)));
    }

    let plain =
        [("GREENLOOP_REGISTRY_USERNAME", "me"), ("GREENLOOP_REGISTRY_PASSWORD", "a-password")];
    let registry = Registry::new(&host(&server), credentials(&plain)).with_short_delays();
    let given =
        registry.engine_credentials("team/fleet", RegistryAction::Push).await.unwrap().unwrap();
    assert_eq!(given.password.as_deref(), Some("a-password"));
    let registry = Registry::new(&host(&server), Credentials::default()).with_short_delays();
    assert_eq!(
        registry.engine_credentials("team/fleet", RegistryAction::Pull).await.unwrap(),
        None
    );

    let server = MockServer::start().await;
    Mock::given(header_exists("authorization"))
        .respond_with(ResponseTemplate::new(202))
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(
            ResponseTemplate::new(401).insert_header("www-authenticate", "Basic realm=\"r\""),
        )
        .mount(&server)
        .await;
    let registry = Registry::new(&host(&server), credentials(&awkward)).with_short_delays();
    let error = registry.engine_credentials("team/fleet", RegistryAction::Push).await.unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Auth);
    assert!(!format!("{error:?}").contains("Q~~~"), "{error:?}");
}
