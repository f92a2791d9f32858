//! The targets of smoke tests, errors without a target, and the current state of what serves.

use std::time::Duration;

use greenloop_config::plan::ServicePlan;
use greenloop_model::{Condition, EventSink, FailureClass};
use greenloop_ports::{Target as _, TargetError, TargetErrorKind};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::objects::{deployment, first, probe, service};
use crate::program::{HEALTHY, IDLE, PANICS};
use crate::world::{World, scenarios};

fn port(world: &mut World, port: Option<u16>) {
    world.plan.service = Some(ServicePlan { name: "web".to_owned(), port });
}

async fn unreachable(world: &World, kind: TargetErrorKind, class: FailureClass, parts: &[&str]) {
    let error = world.target().smoke_endpoint().await.unwrap_err();
    told(&error, kind, class, parts);
}

fn told(error: &TargetError, kind: TargetErrorKind, class: FailureClass, parts: &[&str]) {
    assert_eq!((error.kind, error.class), (kind, class), "{error}");
    for part in parts {
        assert!(error.message.contains(part), "{part}: {error}");
    }
}

/// A service whose port leads to `target` of the pods `app: web`.
fn leading_to(target: Value) -> Value {
    let mut service = service();
    service["spec"]["ports"][0]["targetPort"] = target;
    service
}

async fn running(world: &World) {
    let up = |object: Option<&Deployment>| {
        let status = object.and_then(|object| object.status.as_ref());
        status.is_some_and(|status| status.ready_replicas == Some(1))
    };
    let waiting = kube::runtime::wait::await_condition(world.api::<Deployment>(), "web", up);
    tokio::time::timeout(Duration::from_secs(90), waiting).await.unwrap().unwrap();
}

const RELEASE: TargetErrorKind = TargetErrorKind::Release;

async fn nothing_is_deployed(world: &mut World) {
    port(world, None);
    let parts = ["there is no service/web", "nothing is deployed there"];
    unreachable(world, RELEASE, FailureClass::Config, &parts).await;
}

async fn the_namespace_does_not_exist(world: &mut World) {
    port(world, None);
    world.plan.namespace = "elsewhere".to_owned();
    let parts = ["the namespace elsewhere does not exist"];
    unreachable(world, RELEASE, FailureClass::Config, &parts).await;
}

async fn the_service_selects_no_pod(world: &mut World) {
    port(world, None);
    world.create(&service()).await;
    let parts = ["service/web", "has no ready pod", "no pod matches its selector", "app=web"];
    unreachable(world, RELEASE, FailureClass::Unknown, &parts).await;
}

async fn no_pod_is_ready(world: &mut World) {
    port(world, None);
    world.create(&service()).await;
    let mut object = deployment(world, &PANICS);
    // Without a probe it is ready for as long as it lives.
    first(&mut object)["readinessProbe"] = probe("/");
    world.create(&object).await;
    let crashed = async {
        let pods = world.api::<Pod>();
        let crashes = |pod: &Pod| {
            let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
            statuses.into_iter().flatten().any(|status| {
                let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
                waiting.and_then(|waiting| waiting.reason.as_deref()) == Some("CrashLoopBackOff")
            })
        };
        while !pods.list(&ListParams::default()).await.unwrap().items.iter().any(crashes) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), crashed).await.unwrap();
    // Between two starts, or after one.
    let parts = ["has no ready pod", "web-", "(container web"];
    unreachable(world, RELEASE, FailureClass::Unknown, &parts).await;
}

async fn the_service_has_no_such_port(world: &mut World) {
    port(world, Some(9090));
    world.create(&service()).await;
    let parts = ["has no port 9090; it has 80", "`deploy.kubernetes.service`"];
    unreachable(world, RELEASE, FailureClass::Config, &parts).await;
}

async fn the_pods_have_no_such_port(world: &mut World) {
    port(world, None);
    world.create(&leading_to(json!("https"))).await;
    world.create(&deployment(world, &HEALTHY)).await;
    running(world).await;
    let parts = ["named \"https\"", "do not have"];
    unreachable(world, RELEASE, FailureClass::Config, &parts).await;
}

/// Only a connection shows that nothing listens.
async fn nobody_listens_at_the_port(world: &mut World) {
    port(world, None);
    world.create(&leading_to(json!(9999))).await;
    world.create(&deployment(world, &HEALTHY)).await;
    running(world).await;
    let target = world.target();
    let reached = target.smoke_endpoint().await.unwrap().unwrap();
    assert!(target.endpoint_error().await.is_none());
    reqwest::get(&reached.url).await.unwrap_err();
    let error = target.endpoint_error().await.unwrap();
    let parts = ["accepts no connection on port 9999", "connection refused"];
    told(&error, RELEASE, FailureClass::Config, &parts);
    assert!(target.endpoint_error().await.is_none(), "told twice");
}

async fn forwarding_is_forbidden(world: &mut World) {
    port(world, None);
    world.create(&service()).await;
    world.create(&deployment(world, &HEALTHY)).await;
    running(world).await;
    world.wire().server.forbid("create", "pods/portforward");
    let parts = ["(403)", "`create` on `pods/portforward`"];
    unreachable(world, TargetErrorKind::Target, FailureClass::Auth, &parts).await;
}

async fn reading_the_service_is_forbidden(world: &mut World) {
    port(world, None);
    world.create(&service()).await;
    world.wire().server.forbid("get", "services");
    let parts = ["is not permitted to get services in namespace shop"];
    unreachable(world, TargetErrorKind::Target, FailureClass::Auth, &parts).await;
}

async fn the_pod_goes_while_it_is_forwarded_to(world: &mut World) {
    port(world, None);
    world.create(&service()).await;
    world.create(&deployment(world, &HEALTHY)).await;
    running(world).await;
    let target = world.target();
    let reached = target.smoke_endpoint().await.unwrap().unwrap();
    assert_eq!(reqwest::get(&reached.url).await.unwrap().status(), 200);
    world.api::<Deployment>().delete("web", &DeleteParams::foreground()).await.unwrap();
    let pods = world.api::<Pod>();
    let gone = async {
        while !pods.list(&ListParams::default()).await.unwrap().items.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap();
    client.get(&reached.url).send().await.unwrap_err();
    let error = target.endpoint_error().await.unwrap();
    told(&error, RELEASE, FailureClass::Unknown, &["has no ready pod"]);
    let error = target.smoke_endpoint().await.unwrap_err();
    told(&error, RELEASE, FailureClass::Unknown, &["has no ready pod"]);
}

async fn the_api_server_goes_while_a_pod_is_forwarded_to(world: &mut World) {
    port(world, None);
    world.create(&service()).await;
    world.create(&deployment(world, &HEALTHY)).await;
    running(world).await;
    let target = world.target();
    let reached = target.smoke_endpoint().await.unwrap().unwrap();
    world.wire().server.cut(Duration::from_secs(600));
    let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap();
    client.get(&reached.url).send().await.unwrap_err();
    let error = target.endpoint_error().await.unwrap();
    told(&error, TargetErrorKind::Target, FailureClass::Infrastructure, &["API server"]);
}

/// The address of a port-forward ends with the run, so it is not shown.
async fn the_address_of_a_release_is_the_environments(world: &mut World) {
    port(world, None);
    world.manifests(&[service(), deployment(world, &HEALTHY)]);
    let attempt = world.roll_out().await;
    assert_eq!(attempt.outcome.as_ref().unwrap().endpoint.url, world.environment.url);
    attempt.target.smoke_endpoint().await.unwrap().unwrap();
    attempt.target.mark_verified(attempt.release).await.unwrap();
    let status = attempt.target.status().await.unwrap();
    let (serving, endpoint) = status.serving.unwrap();
    assert_eq!((serving.id, &endpoint.url), (attempt.release, &world.environment.url));
    assert_eq!(status.condition, Condition::Serves);
}

async fn condition(world: &World) -> Condition {
    world.target().status().await.unwrap().condition
}

async fn what_serves_is_asked_at_that_moment(world: &mut World) {
    let mut object = deployment(world, &HEALTHY);
    object["spec"]["replicas"] = json!(2);
    world.manifests(&[service(), object]);
    world.release().await;
    assert_eq!(condition(world).await, Condition::Serves);
    let web = world.api::<Deployment>();
    let hand =
        PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };

    let change = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "command": IDLE.command()}]}}}});
    web.patch("web", &hand, &Patch::Strategic(&change)).await.unwrap();
    let seen = condition(world).await;
    assert!(matches!(&seen, Condition::Partly(why) if why.contains("deployment/web")), "{seen:?}");

    let change = json!({"spec": {"replicas": 0}});
    web.patch("web", &hand, &Patch::Merge(&change)).await.unwrap();
    let seen = condition(world).await;
    assert!(matches!(&seen, Condition::Down(why) if why.contains("scaled to 0")), "{seen:?}");

    web.delete("web", &DeleteParams::background()).await.unwrap();
    let gone = async {
        while web.get_opt("web").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
    assert_eq!(
        condition(world).await,
        Condition::Down("deployment/web no longer exists".to_owned())
    );
}

/// The restore of a release whose pods never existed does not wait for their evidence.
async fn a_restore_says_when_it_serves_and_soaks_after_that(world: &mut World) {
    use greenloop_model::RunEvent;
    use greenloop_ports::Restored;

    world.manifests(&[deployment(world, &HEALTHY)]);
    world.release().await;
    world.manifests(&[deployment(world, &PANICS)]);
    let broken = world.roll_out().await;
    assert!(broken.outcome.is_err());
    let (sender, told) = std::sync::mpsc::channel();
    let events = EventSink::new(sender);
    let patient = CancellationToken::new();
    let restored = broken.target.restore(broken.release, &events, &patient).await.unwrap();
    let Restored::Release { serving_after: Some(_), .. } = restored else { panic!("{restored:?}") };
    drop(events);
    let steps: Vec<(String, String)> = told
        .iter()
        .filter_map(|event| match event {
            RunEvent::StepFinished { name, detail, .. } => Some((name, detail)),
            _ => None,
        })
        .collect();
    let place = |wanted: &str| steps.iter().position(|(name, _)| name == wanted);
    let (serving, soaked) = (place("restore"), place("soak"));
    assert!(serving.is_some() && serving < soaked, "{steps:?}");
    assert!(steps[serving.unwrap()].1.contains("serves again after"), "{steps:?}");
}

scenarios! {
    both:
        nothing_is_deployed,
        the_service_selects_no_pod,
        no_pod_is_ready,
        the_service_has_no_such_port,
        the_pods_have_no_such_port,
        nobody_listens_at_the_port,
        the_pod_goes_while_it_is_forwarded_to,
        the_address_of_a_release_is_the_environments,
        what_serves_is_asked_at_that_moment,
        a_restore_says_when_it_serves_and_soaks_after_that;
    wire:
        the_namespace_does_not_exist,
        forwarding_is_forbidden,
        reading_the_service_is_forbidden,
        the_api_server_goes_while_a_pod_is_forwarded_to
}
