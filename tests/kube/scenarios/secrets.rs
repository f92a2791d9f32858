//! Secrets that containers print are in no report of a release.

use std::sync::mpsc::{Receiver, channel};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use greenloop_evidence::MARKER;
use greenloop_model::{EventSink, RunId};
use greenloop_ports::{Target as _, TargetError, TargetErrorKind};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::said;
use crate::objects::{container, deployment, first, pod_spec};
use crate::program::{ECHOED, ECHOES, HEALTHY, PANICS};
use crate::world::{World, scenarios};

/// Every event, as one text.
fn events(receiver: &Receiver<greenloop_model::RunEvent>) -> String {
    receiver.try_iter().map(|event| format!("{event:?}\n")).collect()
}

/// An error with its sources, as text.
fn told(error: &TargetError) -> String {
    let mut text = format!("{error}\n{}", said(&error.evidence));
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!("\n{error} {error:?}"));
        source = error.source();
    }
    text
}

fn secret(name: &str, field: &str, values: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, field: values})
}

/// A Deployment whose container reads Secrets in every possible way, and prints them.
fn echoing(world: &World) -> Value {
    let mut web = deployment(world, &ECHOES);
    let of = |name: &str, key: &str| json!({"secretKeyRef": {"name": name, "key": key}});
    first(&mut web)["env"] = json!([
        {"name": "PASSWORD", "valueFrom": of("web", "password")},
        {"name": "DSN", "valueFrom": of("creds", "dsn")},
        {"name": "TOKEN", "valueFrom": of("web", "token")},
    ]);
    first(&mut web)["envFrom"] = json!([{"secretRef": {"name": "bundle"}}]);
    first(&mut web)["volumeMounts"] = json!([{"name": "v", "mountPath": "/secrets"}]);
    pod_spec(&mut web)["volumes"] = json!([{"name": "v",
        "projected": {"sources": [{"secret": {"name": "files"}}]}}]);
    pod_spec(&mut web)["imagePullSecrets"] = json!([{"name": "pull"}]);
    web
}

async fn cluster_secrets(world: &World) {
    world.create(&secret("creds", "stringData", json!({"dsn": "grey-heron-44"}))).await;
    world.create(&secret("bundle", "stringData", json!({"API_KEY": "nightjar-88"}))).await;
    let docker = r#"{"auths":{"registry.test":{"username":"puller","password":"moor-hen-41","auth":"cHVsbGVyOm1vb3ItaGVuLTQx"}}}"#;
    let mut pull = secret("pull", "stringData", json!({".dockerconfigjson": docker}));
    pull["type"] = json!("kubernetes.io/dockerconfigjson");
    world.create(&pull).await;
}

fn manifest_secrets() -> Vec<Value> {
    vec![
        secret("web", "stringData", json!({"password": "swan-lake-17", "on": "true"})),
        // `data` and `stringData`; the latter takes precedence.
        {
            let mut files = secret(
                "files",
                "data",
                json!({
                    "app.json": STANDARD.encode(r#"{"db": {"pw": "oystercatcher"}}"#),
                    "notes": STANDARD.encode("first line\nlapwing flock 9\n"),
                }),
            );
            files["metadata"]["labels"] = json!({"a": "b"});
            files
        },
    ]
}

/// Secrets that a crashing container prints are nowhere: not in the error and its sources, the
/// evidence, the events or the service's log.
async fn what_pods_read_is_told_nowhere(world: &mut World) {
    cluster_secrets(world).await;
    let mut objects = manifest_secrets();
    objects[0]["stringData"]["token"] = json!("kestrel-hovers-5");
    objects.push(echoing(world));
    world.manifests(&objects);
    let (sender, receiver) = channel();
    let target = world.target();
    let sink = EventSink::new(sender);
    let (run, cancel) = (RunId::generate(), CancellationToken::new());
    target.claim(run, &sink, &cancel).await.unwrap();
    let request = world.request(run);
    let error = target.roll_out(&request, &sink, &cancel).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Release, "{}", told(&error));
    let log = target.service_log(request.release).await.unwrap();
    target.restore(request.release, &sink, &CancellationToken::new()).await.unwrap();
    let status = format!("{:?}", target.status().await.unwrap());
    let all = [told(&error), log, events(&receiver), status].join("\n");
    for value in ECHOED {
        assert!(!all.contains(value), "{value}: {all}");
        let encoded = STANDARD.encode(value);
        assert!(!all.contains(encoded.trim_end_matches('=')), "{value} in base64: {all}");
    }
    // Other output is kept, and so is `true`, which is not a secret.
    assert!(all.contains(MARKER) && all.contains("cannot log in with"), "{all}");
    assert!(all.contains("verbose is true"), "{all}");
}

/// The Secret of another release is known when that release is inspected, restored or rolled back
/// to.
async fn what_earlier_releases_hold_is_known(world: &mut World) {
    let objects = |world: &World, password: &str| {
        vec![
            secret("web", "stringData", json!({"password": password})),
            deployment(world, &HEALTHY),
        ]
    };
    world.manifests(&objects(world, "swan-lake-17"));
    let good = world.release().await;
    // Prints the secret of the first release, and that of the second in base64.
    let mut second = objects(world, "kestrel-hovers-5");
    let mut printer = container(world, &ECHOES);
    printer["name"] = json!("printer");
    let containers = &mut pod_spec(&mut second[1])["containers"];
    containers.as_array_mut().unwrap().push(printer);
    world.manifests(&second);
    let (sender, receiver) = channel();
    let attempt = world.roll_out().await;
    let sink = EventSink::new(sender);
    attempt.target.restore(attempt.release, &sink, &CancellationToken::new()).await.unwrap();
    let target = world.target();
    let status = target.status().await.unwrap();
    assert_eq!(status.serving.as_ref().unwrap().0.id, good);
    let all = format!("{}\n{}\n{status:?}", told(&attempt.outcome.unwrap_err()), events(&receiver));
    assert!(all.contains("cannot log in with"), "{all}");
    for value in ["swan-lake-17", "kestrel-hovers-5", "a2VzdHJlbC1ob3ZlcnMt"] {
        assert!(!all.contains(value), "{value}: {all}");
    }
}

/// Without permission to read Secrets, one warning says so, and the release is judged all the same.
async fn secrets_that_may_not_be_read_are_told_of_once(world: &mut World) {
    cluster_secrets(world).await;
    for secret in manifest_secrets() {
        world.create(&secret).await;
    }
    world.wire().server.forbid("get", "secrets");
    let mut web = echoing(world);
    first(&mut web)["command"] = PANICS.command();
    first(&mut web)["env"] = json!([]);
    world.manifests(&[web]);
    let (sender, receiver) = channel();
    let target = world.target();
    let sink = EventSink::new(sender);
    let (run, cancel) = (RunId::generate(), CancellationToken::new());
    target.claim(run, &sink, &cancel).await.unwrap();
    let error = target.roll_out(&world.request(run), &sink, &cancel).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Release, "{}", told(&error));
    assert!(error.message.contains("missing DATABASE_URL"), "{error}");
    let events = events(&receiver);
    assert_eq!(events.matches("no permission to read Secrets").count(), 1, "{events}");
}

/// A dry run shows that a Secret changes, and reports if Secrets cannot be read.
async fn a_dry_run_shows_no_secret(world: &mut World) {
    cluster_secrets(world).await;
    let mut objects = manifest_secrets();
    let mut web = echoing(world);
    // In clear text where it should not be.
    first(&mut web)["args"] = json!(["--password", "swan-lake-17", "--dsn=grey-heron-44"]);
    objects.push(web);
    world.manifests(&objects);
    let shown = world.target().preview(&world.request(RunId::generate())).await.unwrap();
    assert!(shown.contains("+++ b/secret/web"), "{shown}");
    for value in ECHOED {
        assert!(!shown.contains(value), "{value}: {shown}");
    }
    world.wire().server.forbid("get", "secrets");
    let shown = world.target().preview(&world.request(RunId::generate())).await;
    let error = told(&shown.unwrap_err());
    assert!(!error.contains("swan-lake-17"), "{error}");
}

scenarios! {
    both: what_pods_read_is_told_nowhere;
    wire:
        what_earlier_releases_hold_is_known,
        secrets_that_may_not_be_read_are_told_of_once,
        a_dry_run_shows_no_secret
}
