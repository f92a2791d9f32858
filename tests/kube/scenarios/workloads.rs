//! StatefulSets, DaemonSets, Jobs and custom kinds.

use greenloop_model::{EventSink, FailureClass};
use greenloop_ports::{Restored, Target as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{RolloutFailure, fails, judged};
use crate::objects::{daemon_set, deployment, first, job, stateful_set};
use crate::program;
use crate::world::{World, scenarios};

fn panics() -> RolloutFailure {
    RolloutFailure {
        class: FailureClass::Code,
        message: &[],
        evidence: &["missing DATABASE_URL"],
        within: (8, 90),
    }
}

/// The broken pod would block its StatefulSet forever, even for the old revision.
async fn a_stateful_set_is_stuck_on_a_broken_pod(world: &mut World) {
    world.manifests(&[stateful_set(world, &program::HEALTHY)]);
    let good = world.release().await;
    let broken = fails(world, &[stateful_set(world, &program::PANICS)], &panics()).await;
    let restored = broken
        .target
        .restore(broken.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap();
    let Restored::Release { deployed, .. } = restored else { panic!("{restored:?}") };
    assert_eq!(deployed.release, good);
    let set: k8s_openapi::api::apps::v1::StatefulSet = world.api().get("db").await.unwrap();
    assert_eq!(set.status.unwrap().ready_replicas, Some(2));
}

/// A broken object of the last rollout does not block the next.
async fn a_stateful_set_gets_over_a_broken_revision(world: &mut World) {
    let broken = fails(world, &[stateful_set(world, &program::PANICS)], &panics()).await;
    broken.target.release_claim().await;
    world.manifests(&[stateful_set(world, &program::HEALTHY)]);
    world.release().await;
}

async fn a_daemon_set_rolls(world: &mut World) {
    world.manifests(&[daemon_set(world, &program::HEALTHY)]);
    world.release().await;
    world.manifests(&[daemon_set(world, &program::HEALTHY_TOO)]);
    world.release().await;
    fails(world, &[daemon_set(world, &program::PANICS)], &panics()).await;
}

async fn a_job_runs_to_its_end(world: &mut World) {
    world.manifests(&[job(world, &program::MIGRATION_WORKS), deployment(world, &program::HEALTHY)]);
    world.release().await;
}

async fn a_job_fails(world: &mut World) {
    let failure = RolloutFailure {
        class: FailureClass::Code,
        message: &["migrate"],
        evidence: &["migration 0042 failed"],
        within: (5, 60),
    };
    world.manifests(&[job(world, &program::MIGRATION_FAILS)]);
    let attempt = world.roll_out().await;
    judged(world, &attempt, &failure);
}

/// A Job is immutable: the next release recreates it.
async fn a_job_of_the_next_release_runs_again(world: &mut World) {
    world.manifests(&[job(world, &program::MIGRATION_WORKS)]);
    world.release().await;
    let mut changed = job(world, &program::MIGRATION_WORKS);
    first(&mut changed)["env"] = json!([{"name": "TO", "value": "43"}]);
    world.manifests(&[changed]);
    world.release().await;
}

async fn custom_kinds_are_applied(world: &mut World) {
    world.manifests(&[
        json!({
            "apiVersion": "greenloop.test/v1", "kind": "Widget", "metadata": {"name": "w"},
            "spec": {"size": 3},
        }),
        deployment(world, &program::HEALTHY),
    ]);
    world.release().await;
    let api = world.wire().server.api();
    let resource = crate::server::resource::by_kind("Widget");
    let widget = api.store.get(resource, &world.namespace, "w").unwrap();
    assert_eq!(widget["spec"]["size"], 3);
}

scenarios! {
    both:
        a_stateful_set_is_stuck_on_a_broken_pod,
        a_stateful_set_gets_over_a_broken_revision,
        a_daemon_set_rolls,
        a_job_runs_to_its_end,
        a_job_fails,
        a_job_of_the_next_release_runs_again;
    wire: custom_kinds_are_applied
}
