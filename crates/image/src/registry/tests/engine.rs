//! With a real engine: what of a login gets to the registry.

use std::time::Duration;

use bollard::Docker;
use bollard::body_full;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, PushImageOptionsBuilder, RemoveImageOptionsBuilder,
};
use futures::StreamExt as _;
use serde_json::json;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

/// The engine that `GREENLOOP_TEST_DOCKER` names; `None` when the tests with it are skipped.
fn engine() -> Option<Docker> {
    match std::env::var("GREENLOOP_TEST_DOCKER") {
        Ok(value) if value == "skip" => None,
        Ok(value) => {
            let engine = match value.strip_prefix("unix://") {
                Some(socket) => Docker::connect_with_unix(socket, 60, bollard::API_DEFAULT_VERSION),
                None => Docker::connect_with_http(&value, 60, bollard::API_DEFAULT_VERSION),
            };
            Some(engine.unwrap())
        }
        Err(_) => panic!("set GREENLOOP_TEST_DOCKER to an engine (unix:///…), or to `skip`"),
    }
}

/// An image without any file in it.
async fn image(engine: &Docker, name: &str) {
    let empty = tar::Builder::new(Vec::new()).into_inner().unwrap();
    let options = CreateImageOptionsBuilder::default().from_src("-").repo(name).tag("1").build();
    let mut made = engine.create_image(Some(options), Some(body_full(empty.into())), None);
    while let Some(step) = made.next().await {
        step.unwrap();
    }
}

#[tokio::test]
async fn an_exchanged_token_gets_through_the_engine() {
    let Some(engine) = engine() else { return };
    let server = MockServer::start().await;
    let realm = format!("Bearer realm=\"{}/token\",service=\"a-registry\"", server.uri());
    Mock::given(method("GET"))
        .and(path("/token"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"token": "may-push"})))
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(|request: &wiremock::Request| {
        let shown = request.headers.get("authorization").and_then(|v| v.to_str().ok());
        shown == Some("Bearer may-push") && request.method.as_str() == "POST"
    })
    .respond_with(ResponseTemplate::new(202).insert_header("location", "/v2/upload/1"))
    .with_priority(2)
    .mount(&server)
    .await;
    Mock::given(|request: &wiremock::Request| request.headers.contains_key("authorization"))
        .respond_with(ResponseTemplate::new(404))
        .with_priority(3)
        .mount(&server)
        .await;
    Mock::given(|_: &wiremock::Request| true)
        .respond_with(
            ResponseTemplate::new(401)
                .insert_header("www-authenticate", realm)
                .insert_header("docker-distribution-api-version", "registry/2.0"),
        )
        .with_priority(4)
        .mount(&server)
        .await;

    let login =
        [("GREENLOOP_REGISTRY_USERNAME", "me"), ("GREENLOOP_REGISTRY_PASSWORD", "Q~~~word")];
    let registry = Registry::new(&host(&server), credentials(&login)).with_short_delays();
    let given = registry.engine_credentials("team/fleet", RegistryAction::Push).await.unwrap();
    let before = server.received_requests().await.unwrap().len();

    let name = format!("{}/team/fleet", host(&server));
    image(&engine, &name).await;
    let options = PushImageOptionsBuilder::default().tag("1").build();
    let mut push = engine.push_image(&name, Some(options), given);
    // This registry takes no layer; what is asked here is with what it was tried.
    let _refused = tokio::time::timeout(Duration::from_secs(10), async {
        while let Some(Ok(_)) = push.next().await {}
    })
    .await;
    drop(push);
    let options = RemoveImageOptionsBuilder::default().force(true).build();
    engine.remove_image(&format!("{name}:1"), Some(options), None).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let seen: Vec<String> = requests
        .iter()
        .skip(before)
        .filter(|request| request.url.path().starts_with("/v2/team/fleet/"))
        .map(|request| format!("{:?}", request.headers.get("authorization")))
        .collect();
    assert!(!seen.is_empty(), "the engine never came");
    assert!(seen.iter().all(|header| header.contains("Bearer may-push")), "{seen:?}");
}
