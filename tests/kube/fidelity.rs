//! Tests the simulated server with a plain client: it behaves like a real cluster where the
//! scenarios rely on it.

use std::time::Duration;

use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use kube::ResourceExt as _;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, LogParams, Patch, PatchParams, PostParams,
    ValidationDirective, WatchEvent, WatchParams,
};
use kube::core::Status;
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{WatchStreamExt as _, wait};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::objects::{self, config_map, deployment, first};
use crate::program;
use crate::server::fault::Fault;
use crate::world::World;

fn greenloop() -> PatchParams {
    PatchParams::apply("greenloop")
}

fn refusal(error: kube::Error) -> Box<Status> {
    match error {
        kube::Error::Api(status) => status,
        other => panic!("not a refusal: {other:?}"),
    }
}

async fn apply(world: &World, object: &Value) -> kube::Result<Deployment> {
    let name = object["metadata"]["name"].as_str().unwrap();
    world.api::<Deployment>().patch(name, &greenloop(), &Patch::Apply(object)).await
}

async fn rolled_out(world: &World) -> Deployment {
    let complete =
        wait::await_condition(world.api::<Deployment>(), "web", |object: Option<&Deployment>| {
            let Some(object) = object else { return false };
            let status = object.status.clone().unwrap_or_default();
            let wanted = object.spec.as_ref().and_then(|spec| spec.replicas);
            status.observed_generation == object.metadata.generation
                && status.updated_replicas == wanted
                && status.replicas == wanted
                && status.available_replicas == wanted
        });
    let found = tokio::time::timeout(Duration::from_secs(10), complete).await.unwrap();
    found.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applying_creates_defaults_and_owns() {
    let world = World::on_wire().await;
    let object = deployment(&world, &program::HEALTHY);
    let dry = PatchParams { dry_run: true, ..greenloop() };
    let api: Api<Deployment> = world.api();
    let tried = api.patch("web", &dry, &Patch::Apply(&object)).await.unwrap();
    assert!(tried.uid().is_some());
    assert_eq!(tried.spec.unwrap().progress_deadline_seconds, Some(600));
    assert_eq!(api.get_opt("web").await.unwrap(), None, "a dry run stores nothing");

    let stored = apply(&world, &object).await.unwrap();
    assert_eq!(stored.metadata.generation, Some(1));
    let fields = &stored.managed_fields()[0];
    assert_eq!(fields.manager.as_deref(), Some("greenloop"));
    assert_eq!(fields.operation.as_deref(), Some("Apply"));
    let owned = &fields.fields_v1.as_ref().unwrap().0;
    assert_eq!(owned["f:spec"]["f:replicas"], json!({}));
    assert_eq!(owned["f:spec"].get("f:progressDeadlineSeconds"), None);

    let now = rolled_out(&world).await;
    let again = apply(&world, &object).await.unwrap();
    assert_eq!(again.resource_version(), now.resource_version(), "nothing changed");

    let mut changed = object.clone();
    first(&mut changed)["env"] = json!([{"name": "A", "value": "1"}]);
    assert_eq!(apply(&world, &changed).await.unwrap().metadata.generation, Some(2));
    let back = apply(&world, &object).await.unwrap();
    assert_eq!(back.spec.unwrap().template.spec.unwrap().containers[0].env, None, "let go of");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applying_over_others_conflicts_by_field() {
    let world = World::on_wire().await;
    let api: Api<Deployment> = world.api();
    apply(&world, &deployment(&world, &program::HEALTHY)).await.unwrap();
    let by_hand = json!({"spec": {"replicas": 3, "template": {"spec": {"containers": [
        {"name": "web", "image": "registry.test/other:1"}]}}}});
    let hand = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..Default::default() };
    api.patch("web", &hand, &Patch::Strategic(&by_hand)).await.unwrap();
    let refused = refusal(apply(&world, &deployment(&world, &program::HEALTHY)).await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    let causes = refused.details.unwrap().causes;
    let fields: Vec<&str> = causes.iter().map(|cause| cause.field.as_str()).collect();
    assert_eq!(fields, [".spec.replicas", ".spec.template.spec.containers[name=\"web\"].image"]);
    assert_eq!(causes[0].reason, "FieldManagerConflict");
    let expected = "conflict with \"kubectl-edit\" using apps/v1 at ";
    assert!(causes[0].message.starts_with(expected), "{}", causes[0].message);
    assert!(refused.message.starts_with("Apply failed with 2 conflicts: conflicts with \"kube"));

    let forced = greenloop().force();
    let object = deployment(&world, &program::HEALTHY);
    let won = api.patch("web", &forced, &Patch::Apply(&object)).await.unwrap();
    assert_eq!(won.spec.unwrap().replicas, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_the_servers_form() {
    let world = World::on_wire().await;
    let maps: Api<ConfigMap> = world.api();
    let missing = refusal(maps.get("nope").await.unwrap_err());
    assert_eq!(missing.message, "configmaps \"nope\" not found");

    let mut unknown = deployment(&world, &program::HEALTHY);
    first(&mut unknown)["imge"] = json!("x");
    let refused = refusal(apply(&world, &unknown).await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (500, ""));
    let told = "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): \
                .spec.template.spec.containers[0].imge: field not declared in schema";
    assert_eq!(refused.message, told);

    let mut invalid = deployment(&world, &program::HEALTHY);
    first(&mut invalid).as_object_mut().unwrap().shift_remove("image");
    let refused = refusal(apply(&world, &invalid).await.unwrap_err());
    assert_eq!(refused.code, 422);
    let told = "Deployment.apps \"web\" is invalid: spec.template.spec.containers[0].image: \
                Required value";
    assert_eq!(refused.message, told);

    let elsewhere: Api<ConfigMap> = Api::namespaced(world.client.clone(), "nowhere");
    let map = config_map("a", json!({}));
    let refused = elsewhere.patch("a", &greenloop(), &Patch::Apply(&map)).await.unwrap_err();
    assert_eq!(refusal(refused).message, "namespaces \"nowhere\" not found");

    let strict = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    maps.patch("a", &greenloop(), &Patch::Apply(&map)).await.unwrap();
    let change = json!({"dta": {"x": "y"}});
    let refused = maps.patch("a", &strict, &Patch::Merge(&change)).await.unwrap_err();
    assert!(refusal(refused).message.contains("strict decoding error: unknown field \"dta\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_taken_by_compare_and_swap() {
    let world = World::on_wire().await;
    let api: Api<Lease> = world.api();
    let lease: Lease = serde_json::from_value(json!({
        "metadata": {"name": "env"},
        "spec": {"holderIdentity": "a", "renewTime": "2026-01-02T03:04:05.000006Z"},
    }))
    .unwrap();
    let made = api.create(&PostParams::default(), &lease).await.unwrap();
    let again = refusal(api.create(&PostParams::default(), &lease).await.unwrap_err());
    assert_eq!((again.code, again.reason.as_str()), (409, "AlreadyExists"));
    let mut mine = made.clone();
    mine.spec.as_mut().unwrap().holder_identity = Some("b".to_owned());
    api.replace("env", &PostParams::default(), &mine).await.unwrap();
    let late = refusal(api.replace("env", &PostParams::default(), &made).await.unwrap_err());
    assert_eq!((late.code, late.reason.as_str()), (409, "Conflict"));
    assert!(late.message.contains("the object has been modified"), "{}", late.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_page_and_watches_go_on_after_expiry() {
    let world = World::on_wire().await;
    let maps: Api<ConfigMap> = world.api();
    for name in ["a", "b", "c"] {
        let map = config_map(name, json!({}));
        maps.patch(name, &greenloop(), &Patch::Apply(&map)).await.unwrap();
    }
    let page = maps.list(&ListParams::default().limit(3)).await.unwrap();
    let rest =
        ListParams::default().limit(3).continue_token(page.metadata.continue_.as_ref().unwrap());
    let rest = maps.list(&rest).await.unwrap();
    assert_eq!((page.items.len(), rest.items.len()), (3, 1), "with the authority's map");

    let version = rest.metadata.resource_version.clone().unwrap();
    let mut watch = maps.watch(&WatchParams::default(), &version).await.unwrap().boxed();
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    match watch.try_next().await.unwrap().unwrap() {
        WatchEvent::Deleted(map) => assert_eq!(map.name_any(), "a"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(watch.try_next().await.unwrap(), Some(WatchEvent::Bookmark(_))));

    let server = &world.wire().server;
    for strategy in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let name = format!("{strategy:?}").len().to_string();
        let mut seen = watcher(maps.clone(), strategy).default_backoff().touched_objects().boxed();
        seen.try_next().await.unwrap();
        server.expire_watches(true);
        let expired = loop {
            if let Err(error) = seen.try_next().await {
                break error;
            }
        };
        assert!(matches!(expired, watcher::Error::WatchError(status) if status.code == 410));
        let map = config_map(&name, json!({}));
        maps.patch(&name, &greenloop(), &Patch::Apply(&map)).await.unwrap();
        let found = async { while seen.try_next().await.unwrap().unwrap().name_any() != name {} };
        tokio::time::timeout(Duration::from_secs(15), found).await.unwrap();
    }
    server.expire_watches(false);
    let old = maps.watch(&WatchParams::default(), &version).await.err().map(refusal);
    assert_eq!(old.unwrap().code, 410);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_roll_through_replica_sets() {
    let world = World::on_wire().await;
    apply(&world, &deployment(&world, &program::HEALTHY)).await.unwrap();
    rolled_out(&world).await;
    apply(&world, &deployment(&world, &program::HEALTHY_TOO)).await.unwrap();
    rolled_out(&world).await;
    apply(&world, &deployment(&world, &program::HEALTHY)).await.unwrap();
    let web = rolled_out(&world).await;
    assert_eq!(web.annotations()["deployment.kubernetes.io/revision"], "3");
    let sets = world.api::<ReplicaSet>().list(&ListParams::default()).await.unwrap();
    let mut revisions: Vec<String> = sets
        .iter()
        .map(|set| {
            let history = set.annotations().get("deployment.kubernetes.io/revision-history");
            let revision = &set.annotations()["deployment.kubernetes.io/revision"];
            format!("{revision} {}", history.map_or("", String::as_str))
        })
        .collect();
    revisions.sort();
    assert_eq!(revisions, ["2 ", "3 1"]);
    let conditions = web.status.unwrap().conditions.unwrap();
    let progressing = conditions.iter().find(|c| c.type_ == "Progressing").unwrap();
    assert_eq!(progressing.reason.as_deref(), Some("NewReplicaSetAvailable"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loop_leaves_logs_events_and_states() {
    let world = World::on_wire().await;
    apply(&world, &deployment(&world, &program::PANICS)).await.unwrap();
    let pods: Api<Pod> = world.api();
    let looping = |pod: &Pod| {
        let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.clone());
        statuses.is_some_and(|all| {
            all[0].restart_count >= 1
                && all[0]
                    .state
                    .as_ref()
                    .and_then(|state| state.waiting.as_ref())
                    .is_some_and(|w| w.reason.as_deref() == Some("CrashLoopBackOff"))
        })
    };
    let mut watch = watcher(pods.clone(), watcher::Config::default()).touched_objects().boxed();
    let pod = loop {
        let pod = watch.try_next().await.unwrap().unwrap();
        if looping(&pod) {
            break pod;
        }
    };
    let name = pod.name_any();
    let status = &pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
    let last = status.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (101, Some("Error")));
    let previous = LogParams { previous: true, tail_lines: Some(1), ..Default::default() };
    let text = pods.logs(&name, &previous).await.unwrap();
    assert!(text.ends_with("missing DATABASE_URL\n") && text.lines().count() == 1, "{text}");
    let wrong = LogParams { container: Some("side".to_owned()), ..Default::default() };
    let refused = refusal(pods.logs(&name, &wrong).await.unwrap_err());
    assert_eq!(refused.message, format!("container side is not valid for pod {name}"));

    let about = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let events = world.api::<Event>().list(&about).await.unwrap();
    let reasons: Vec<String> = events.iter().filter_map(|event| event.reason.clone()).collect();
    for reason in ["Scheduled", "Pulled", "Created", "Started", "BackOff"] {
        assert!(reasons.iter().any(|told| told == reason), "{reason} in {reasons:?}");
    }
    let newer: Api<k8s_openapi::api::events::v1::Event> = world.api();
    let about = ListParams::default().fields(&format!("regarding.name={name}"));
    let same = newer.list(&about).await.unwrap();
    assert_eq!(same.items.len(), events.items.len());
    assert!(same.iter().any(|event| event.note.as_deref().is_some_and(|n| n.contains("Back-off"))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_are_forwarded_to_what_listens() {
    let world = World::on_wire().await;
    apply(&world, &deployment(&world, &program::HEALTHY)).await.unwrap();
    rolled_out(&world).await;
    let pods: Api<Pod> = world.api();
    let name =
        pods.list(&ListParams::default().labels("app=web")).await.unwrap().items[0].name_any();
    let mut forwarder = pods.portforward(&name, &[program::PORT, 9999]).await.unwrap();
    let mut stream = forwarder.take_stream(program::PORT).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 64];
    let count = stream.read(&mut answer).await.unwrap();
    assert!(answer[..count].starts_with(b"HTTP/1.1 200 OK"));
    let error = forwarder.take_error(9999).unwrap().await.unwrap();
    assert!(error.contains("connection refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_comes_when_it_is_ordered() {
    let world = World::on_wire().await;
    let maps: Api<ConfigMap> = world.api();
    let server = &world.wire().server;
    let status = |code| Fault::Status { code, retry_after: Some(1) };
    // The client retries automatically after `Retry-After`.
    server.faults().add(1, status(500), |call| call.verb == "list");
    let refused = maps.list(&ListParams::default()).await.unwrap_err();
    assert_eq!(refusal(refused).code, 500);
    server.faults().add(1, Fault::LoseAnswer, |call| call.verb == "patch");
    let map = config_map("a", json!({}));
    let lost = maps.patch("a", &greenloop(), &Patch::Apply(&map)).await;
    assert!(matches!(lost, Err(error) if !matches!(error, kube::Error::Api(_))));
    assert!(maps.get("a").await.is_ok(), "it was written all the same");
    assert!(server.faults().spent());
    server.cut(Duration::from_millis(300));
    assert!(!matches!(maps.get("a").await, Ok(_) | Err(kube::Error::Api(_))));
    tokio::time::sleep(Duration::from_millis(400)).await;
    maps.get("a").await.unwrap();
    server.forbid("get", "configmaps");
    let refused = refusal(maps.get("a").await.unwrap_err());
    assert!(refused.message.contains("cannot get resource \"configmaps\" in API group \"\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_owned_goes_with_its_owner() {
    let world = World::on_wire().await;
    apply(&world, &deployment(&world, &program::HEALTHY)).await.unwrap();
    rolled_out(&world).await;
    world.api::<Deployment>().delete("web", &DeleteParams::foreground()).await.unwrap();
    let gone = async {
        let pods: Api<Pod> = world.api();
        while !pods.list(&ListParams::default()).await.unwrap().items.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
    let left = world.api::<Deployment>().get_opt("web").await.unwrap();
    assert!(left.is_none_or(|left| left.metadata.deletion_timestamp.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_tells_of_custom_kinds_both_ways() {
    let world = World::on_wire().await;
    let kind = kube::core::GroupVersionKind::gvk("greenloop.test", "v1", "Widget");
    let (found, _) = kube::discovery::pinned_kind(&world.client, &kind).await.unwrap();
    assert_eq!(found.plural, "widgets");
    let all = kube::discovery::Discovery::new(world.client.clone()).run_aggregated().await.unwrap();
    assert!(all.resolve_gvk(&kind).is_some());
    let widgets: Api<DynamicObject> =
        Api::namespaced_with(world.client.clone(), &world.namespace, &found);
    let widget = json!({
        "apiVersion": "greenloop.test/v1", "kind": "Widget", "metadata": {"name": "w"},
        "spec": {"anything": {"goes": [1, 2]}},
    });
    let stored = widgets.patch("w", &greenloop(), &Patch::Apply(&widget)).await.unwrap();
    assert_eq!(stored.data["spec"], widget["spec"]);
    assert_eq!(objects::resource(&widget).plural, "widgets");
    let logs = world.client.request_stream(http::Request::get("/readyz").body(Vec::new()).unwrap());
    let line = logs.await.unwrap().lines().try_next().await.unwrap();
    assert_eq!(line.as_deref(), Some("ok"));
}
