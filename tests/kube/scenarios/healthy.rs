//! Successful rollouts, and conditions that must not count as failures.

use std::time::{Duration, Instant};

use greenloop_model::{ReleaseState, RunId};
use greenloop_ports::Target as _;
use serde_json::json;

use super::{RolloutFailure, fails, judged};
use crate::control::Autoscaler;
use crate::objects::{self, deployment, first, pod_spec, service};
use crate::program;
use crate::world::{World, scenarios};

async fn becomes_a_verified_release(world: &mut World) {
    world.manifests(&[service(), deployment(world, &program::HEALTHY)]);
    let attempt = world.roll_out().await;
    let deployed = attempt.outcome.as_ref().unwrap();
    assert_eq!(deployed.release, attempt.release);
    let target = &attempt.target;
    let (serving, _) = target.status().await.unwrap().serving.unwrap();
    assert_eq!((serving.id, serving.state), (attempt.release, ReleaseState::Live));
    assert_eq!(serving.verified_at, None, "not before its smoke tests");
    target.mark_verified(attempt.release).await.unwrap();
    let (serving, _) = target.status().await.unwrap().serving.unwrap();
    assert_eq!(serving.state, ReleaseState::Verified);
    assert!(serving.verified_at.is_some());
    let log = target.service_log(attempt.release).await.unwrap();
    assert!(log.contains("listening on 8080"), "{log}");
    target.release_claim().await;
    let preview = world.target().preview(&world.request(RunId::generate())).await.unwrap();
    assert_eq!(preview, "", "the same manifests change nothing");
}

async fn a_preview_shows_the_change_and_makes_none(world: &mut World) {
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    world.release().await;
    world.manifests(&[deployment(world, &program::HEALTHY_TOO)]);
    let mark = world.wire.as_ref().map(|wire| wire.server.journal().entries().len());
    let preview = world.target().preview(&world.request(RunId::generate())).await.unwrap();
    assert!(preview.contains("echo ok >") && preview.contains("echo two >"), "{preview}");
    if let (Some(wire), Some(mark)) = (&world.wire, mark) {
        let journal = wire.server.journal();
        let write = journal.entries()[mark..].iter().find(|entry| entry.call.writes());
        assert!(write.is_none(), "{:?}", write.map(|entry| entry.call.told()));
    }
}

async fn twice_the_same_is_no_failure(world: &mut World) {
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    world.release().await;
    world.release().await;
}

/// A rollout without changes is judged all the same.
async fn twice_the_same_is_no_success_either(world: &mut World) {
    let failure = RolloutFailure {
        class: greenloop_model::FailureClass::Code,
        message: &[],
        evidence: &["missing DATABASE_URL"],
        // On a cluster, the next crash may come after a long back-off.
        within: (8, 120),
    };
    let first = fails(world, &[deployment(world, &program::PANICS)], &failure).await;
    first.target.release_claim().await;
    let again = world.roll_out().await;
    judged(world, &again, &failure);
}

async fn recovers_after_two_restarts(world: &mut World) {
    let mut object = deployment(world, &program::WAITS);
    pod_spec(&mut object)["volumes"] = json!([{"name": "state", "emptyDir": {}}]);
    first(&mut object)["volumeMounts"] = json!([{"name": "state", "mountPath": "/state"}]);
    world.manifests(&[object]);
    world.release().await;
}

async fn an_old_replica_set_is_broken_and_the_new_one_is_not(world: &mut World) {
    world.manifests(&[deployment(world, &program::PANICS)]);
    let broken = world.roll_out().await;
    assert!(broken.outcome.is_err());
    broken.target.release_claim().await;
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    world.release().await;
}

async fn the_kubelet_catches_up_with_a_config_map(world: &mut World) {
    let until = Instant::now() + Duration::from_secs(4);
    world.wire().control.cluster().kubelet.out_of_sync = Some(until);
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    world.manifests(&[objects::config_map("settings", json!({"A": "1"})), object]);
    world.release().await;
    assert!(Instant::now() > until);
}

async fn a_pod_is_evicted_on_the_way(world: &mut World) {
    let mut object = deployment(world, &program::HEALTHY);
    object["spec"]["replicas"] = json!(2);
    object["spec"]["minReadySeconds"] = json!(10);
    world.manifests(&[object]);
    let control = world.wire().control.clone();
    let server = world.wire().server.clone();
    let evict = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let resource = crate::server::resource::by_kind("Pod");
            let running = server
                .api()
                .store
                .list(resource, None)
                .find(|pod| pod["status"]["phase"] == "Running")
                .map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned());
            if let Some(name) = running {
                control.cluster().kubelet.evict.push(name);
                return;
            }
        }
    });
    world.release().await;
    evict.await.unwrap();
    let resource = crate::server::resource::by_kind("Pod");
    let api = world.wire().server.api();
    assert!(api.store.list(resource, None).any(|pod| pod["status"]["reason"] == "Evicted"));
}

async fn waits_for_a_node_that_is_being_added(world: &mut World) {
    // Longer than the wait for an unschedulable pod.
    world.wire().control.cluster().scheduler.autoscaler = Autoscaler::AddsNode(630);
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["resources"] = json!({"requests": {"cpu": "100"}});
    object["spec"]["progressDeadlineSeconds"] = json!(3600);
    world.manifests(&[object]);
    let attempt = world.roll_out().await;
    attempt.outcome.unwrap();
    assert!(attempt.took > Duration::from_secs(62), "{:?}", attempt.took);
}

scenarios! {
    both:
        becomes_a_verified_release,
        a_preview_shows_the_change_and_makes_none,
        twice_the_same_is_no_failure,
        twice_the_same_is_no_success_either,
        recovers_after_two_restarts,
        an_old_replica_set_is_broken_and_the_new_one_is_not;
    wire:
        the_kubelet_catches_up_with_a_config_map,
        a_pod_is_evicted_on_the_way,
        waits_for_a_node_that_is_being_added
}
