//! Rollbacks: to the last verified release, to a given one, to a revision in the cluster.

use greenloop_config::plan::Rollback;
use greenloop_model::{EventSink, FailureClass, ReleaseState};
use greenloop_ports::{Earlier, Restored, Target as _, TargetErrorKind};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{RolloutFailure, fails};
use crate::objects::{config_map, deployment, first};
use crate::program::{self, Program};
use crate::world::{World, scenarios};

fn panics() -> RolloutFailure {
    RolloutFailure {
        class: FailureClass::Code,
        message: &[],
        evidence: &["missing DATABASE_URL"],
        within: (8, 60),
    }
}

/// A service with its settings; both are part of a release.
fn release_of(world: &World, program: &Program, greeting: &str) -> Vec<Value> {
    let mut object = deployment(world, program);
    first(&mut object)["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    vec![config_map("settings", json!({"GREETING": greeting})), object]
}

async fn command(world: &World) -> Vec<String> {
    let web: Deployment = world.api().get("web").await.unwrap();
    web.spec.unwrap().template.spec.unwrap().containers[0].command.clone().unwrap()
}

fn command_of(program: &Program) -> Vec<String> {
    serde_json::from_value(program.command()).unwrap()
}

async fn greeting(world: &World) -> Option<String> {
    let map: ConfigMap = world.api().get("settings").await.unwrap();
    map.data.unwrap().get("GREETING").cloned()
}

async fn goes_back(world: &World, earlier: Earlier) -> Result<(), TargetErrorKind> {
    let target = world.target();
    let cancel = CancellationToken::new();
    let outcome = target.roll_back(earlier, &EventSink::null(), &cancel).await;
    outcome.map(|_| ()).map_err(|error| error.kind)
}

/// Evidence first, then the write; the whole release is restored, with its settings.
async fn restores_the_last_verified_release(world: &mut World) {
    world.manifests(&release_of(world, &program::HEALTHY, "one"));
    let good = world.release().await;
    let broken = fails(world, &release_of(world, &program::PANICS, "two"), &panics()).await;
    assert_eq!(greeting(world).await.as_deref(), Some("two"));
    let restored = broken
        .target
        .restore(broken.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap();
    let Restored::Release { deployed, .. } = restored else { panic!("{restored:?}") };
    assert_eq!(deployed.release, good);
    assert_eq!(greeting(world).await.as_deref(), Some("one"));
    assert_eq!(command(world).await, command_of(&program::HEALTHY));
    let status = broken.target.status().await.unwrap();
    let (serving, _) = status.serving.unwrap();
    assert_eq!((serving.id, serving.state), (good, ReleaseState::Verified));
    let failed = status.releases.iter().find(|release| release.id == broken.release).unwrap();
    assert_eq!(failed.state, ReleaseState::Failed);

    if let Some(wire) = &world.wire {
        let journal = wire.server.journal();
        let places = |wanted: &dyn Fn(&crate::server::journal::Entry) -> bool| -> Vec<usize> {
            let all = journal.entries().iter().enumerate();
            all.filter(|(_, entry)| wanted(entry)).map(|(place, _)| place).collect()
        };
        let logs = places(&|entry| entry.call.subresource == "log");
        let writes =
            places(&|entry| entry.call.writes() && entry.call.resource.plural == "deployments");
        assert_eq!(writes.len(), 3, "once for each release, and once to go back");
        assert!(logs.iter().all(|log| *log < writes[2]), "evidence after the rollback began");
        assert!(logs.iter().any(|log| *log > writes[1]), "no evidence of the broken release");
    }
}

async fn the_first_release_fails_and_nothing_is_left(world: &mut World) {
    let broken = fails(world, &release_of(world, &program::PANICS, "one"), &panics()).await;
    let restored = broken
        .target
        .restore(broken.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(restored, Restored::Nothing);
    let left: Option<Deployment> = world.api().get_opt("web").await.unwrap();
    assert!(left.is_none_or(|left| left.metadata.deletion_timestamp.is_some()));
}

/// The objects in the cluster were changed by hand; the record has the original.
async fn a_config_map_changed_by_hand_comes_back(world: &mut World) {
    world.manifests(&release_of(world, &program::HEALTHY, "one"));
    world.release().await;
    let api = world.api::<ConfigMap>();
    let hand =
        PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
    let change = json!({"data": {"GREETING": "by hand"}});
    api.patch("settings", &hand, &Patch::Merge(&change)).await.unwrap();
    let mut objects = release_of(world, &program::PANICS, "one");
    objects.remove(0);
    let broken = fails(world, &objects, &panics()).await;
    broken
        .target
        .restore(broken.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(greeting(world).await.as_deref(), Some("one"));
    assert_eq!(command(world).await, command_of(&program::HEALTHY));
}

async fn a_release_that_must_stay_stays(world: &mut World) {
    world.manifests(&release_of(world, &program::HEALTHY, "one"));
    world.release().await;
    world.rollback = Rollback::Forbidden;
    let broken = fails(world, &release_of(world, &program::PANICS, "two"), &panics()).await;
    let refused = broken
        .target
        .restore(broken.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(refused.kind, TargetErrorKind::Forbidden, "{refused}");
    assert_eq!(command(world).await, command_of(&program::PANICS));
}

/// A manual rollback to the previous verified release; a second one goes further back.
async fn goes_back_by_hand_and_never_forth(world: &mut World) {
    world.manifests(&release_of(world, &program::HEALTHY, "one"));
    let first = world.release().await;
    world.manifests(&release_of(world, &program::HEALTHY_TOO, "two"));
    let second = world.release().await;
    goes_back(world, Earlier::LastVerified).await.unwrap();
    assert_eq!(greeting(world).await.as_deref(), Some("one"));
    let status = world.target().status().await.unwrap();
    assert_eq!(status.serving.unwrap().0.id, first);
    // There is no release before the first; the replaced release is not a target.
    assert_eq!(goes_back(world, Earlier::LastVerified).await, Err(TargetErrorKind::NoRelease));
    goes_back(world, Earlier::Release(second)).await.unwrap();
    assert_eq!(greeting(world).await.as_deref(), Some("two"));
}

/// Like `kubectl rollout undo --to-revision`, for workloads that Greenloop did not deploy.
async fn a_foreign_deployment_goes_back_to_a_revision(world: &mut World) {
    world.create(&deployment(world, &program::HEALTHY)).await;
    settled(world, "1").await;
    let hand =
        PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
    let change = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "command": program::HEALTHY_TOO.command()}]}}}});
    let api = world.api::<Deployment>();
    api.patch("web", &hand, &Patch::Strategic(&change)).await.unwrap();
    settled(world, "2").await;
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    goes_back(world, Earlier::Revision(1)).await.unwrap();
    assert_eq!(command(world).await, command_of(&program::HEALTHY));
    assert_eq!(goes_back(world, Earlier::Revision(77)).await, Err(TargetErrorKind::NoRelease));
}

async fn settled(world: &World, revision: &str) {
    let done = |object: Option<&Deployment>| {
        object.is_some_and(|object| {
            let status = object.status.clone().unwrap_or_default();
            let annotations = object.metadata.annotations.clone().unwrap_or_default();
            annotations.get("deployment.kubernetes.io/revision").is_some_and(|r| r == revision)
                && status.observed_generation == object.metadata.generation
                && status.available_replicas == Some(1)
                && status.replicas == Some(1)
        })
    };
    let waiting = kube::runtime::wait::await_condition(world.api::<Deployment>(), "web", done);
    tokio::time::timeout(std::time::Duration::from_secs(90), waiting).await.unwrap().unwrap();
}

/// Records beyond `history` are deleted once a release is verified.
async fn records_are_kept_within_bounds(world: &mut World) {
    world.plan.history = 2;
    for number in 0..4 {
        world.manifests(&[config_map("settings", json!({"N": number.to_string()}))]);
        world.release().await;
    }
    let status = world.target().status().await.unwrap();
    let states: Vec<ReleaseState> = status.releases.iter().map(|r| r.state).collect();
    assert_eq!(states, [ReleaseState::Verified, ReleaseState::Superseded]);
    let secrets = world.api::<Secret>().list(&ListParams::default()).await.unwrap();
    let records: Vec<_> = secrets
        .iter()
        .filter(|secret| secret.type_.as_deref() == Some("greenloop.dev/release"))
        .collect();
    assert_eq!(records.len(), 2);
}

/// A run that dies between rollout and smoke tests is cleaned up by the next.
async fn the_next_run_cleans_up_after_one_that_died(world: &mut World) {
    world.manifests(&release_of(world, &program::HEALTHY, "one"));
    let good = world.release().await;
    world.manifests(&release_of(world, &program::HEALTHY_TOO, "two"));
    let target = world.target();
    let run = greenloop_model::RunId::generate();
    target.claim(run, &EventSink::null(), &CancellationToken::new()).await.unwrap();
    let died = world.roll_out_with(target, run).await;
    died.outcome.as_ref().unwrap();
    died.target.release_claim().await;
    drop(died);
    let next = world.target();
    let notes = next.clean_up(run).await.unwrap();
    assert!(!notes.is_empty());
    assert_eq!(greeting(world).await.as_deref(), Some("one"));
    assert_eq!(next.status().await.unwrap().serving.unwrap().0.id, good);
}

scenarios! {
    both:
        restores_the_last_verified_release,
        the_first_release_fails_and_nothing_is_left,
        a_config_map_changed_by_hand_comes_back,
        a_release_that_must_stay_stays,
        goes_back_by_hand_and_never_forth,
        a_foreign_deployment_goes_back_to_a_revision,
        records_are_kept_within_bounds,
        the_next_run_cleans_up_after_one_that_died
}
