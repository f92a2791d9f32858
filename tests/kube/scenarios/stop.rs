//! What serves is taken out of the cluster on request.

use greenloop_model::{EventSink, RunId};
use greenloop_ports::{Stopped, Target as _, TargetErrorKind};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service};
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::objects::{config_map, deployment, service};
use crate::program::HEALTHY;
use crate::world::{World, scenarios};

/// What Greenloop made goes, what may hold data and what others made stays, and the next release
/// serves again.
async fn what_serves_is_removed_and_recorded(world: &mut World) {
    assert_eq!(world.target().stop().await.unwrap(), Stopped::Nothing);
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}});
    let foreign = config_map("foreign", json!({"a": "1"}));
    world.create(&foreign).await;
    world.manifests(&[claim, service(), config_map("own", json!({})), deployment(world, &HEALTHY)]);
    let release = world.release().await;
    let stopped = world.target().stop().await.unwrap();
    let Stopped::Release { release: of, kept } = stopped else { panic!("{stopped:?}") };
    assert_eq!(of.id, release);
    assert_eq!(kept, ["persistentvolumeclaim/data"]);
    assert!(world.api::<Deployment>().get_opt("web").await.unwrap().is_none());
    assert!(world.api::<Service>().get_opt("web").await.unwrap().is_none());
    assert!(world.api::<ConfigMap>().get_opt("own").await.unwrap().is_none());
    assert!(world.api::<ConfigMap>().get_opt("foreign").await.unwrap().is_some());
    assert!(world.api::<PersistentVolumeClaim>().get_opt("data").await.unwrap().is_some());
    let status = world.target().status().await.unwrap();
    assert!(status.serving.is_none());
    assert!(
        status.notes.iter().any(|note| note.contains("stopped by `greenloop stop`")),
        "{status:?}"
    );
    assert_eq!(world.target().stop().await.unwrap(), Stopped::Nothing);
    world.release().await;
    assert!(world.api::<Deployment>().get_opt("web").await.unwrap().is_some());
    let status = world.target().status().await.unwrap();
    assert!(status.serving.is_some() && !status.notes.iter().any(|note| note.contains("stopped")));
}

/// Each replica's log is by itself, and says which it is.
async fn logs_of_replicas_are_apart(world: &mut World) {
    let mut web = deployment(world, &HEALTHY);
    web["spec"]["replicas"] = json!(2);
    world.manifests(&[service(), web]);
    let release = world.release().await;
    let logs = world.target().part_logs(release).await.unwrap();
    let pods = world.api::<Pod>().list(&ListParams::default().labels("app=web")).await.unwrap();
    let mut names: Vec<String> =
        pods.items.into_iter().filter_map(|pod| Some(pod.metadata.name? + "/web")).collect();
    let mut parts: Vec<String> = logs.iter().map(|log| log.part.clone()).collect();
    names.sort();
    parts.sort();
    assert_eq!(parts, names);
    assert_eq!(parts.len(), 2);
    for log in &logs {
        assert_eq!(log.life, 0, "{log:?}");
        assert!(!log.text.contains("---"), "{log:?}");
    }
    let whole = world.target().service_log(release).await.unwrap();
    for part in logs.iter().filter(|log| !log.text.is_empty()).map(|log| &log.part) {
        assert!(whole.contains(&format!("--- {part}\n")), "{whole}");
    }
}

/// Somebody has deleted what serves, in part or wholly: the rest goes, and it is recorded.
async fn what_is_gone_already_is_stopped_all_the_same(world: &mut World) {
    world.manifests(&[service(), config_map("own", json!({})), deployment(world, &HEALTHY)]);
    for deleted in [&["web"][..], &["web", "own"]] {
        let release = world.release().await;
        let now = DeleteParams::default();
        for name in deleted {
            match *name {
                "own" => drop(world.api::<ConfigMap>().delete("own", &now).await.unwrap()),
                _ => {
                    drop(world.api::<Deployment>().delete("web", &now).await.unwrap());
                    drop(world.api::<Service>().delete("web", &now).await.unwrap());
                }
            }
        }
        let stopped = world.target().stop().await.unwrap();
        let Stopped::Release { release: of, kept } = stopped else { panic!("{stopped:?}") };
        assert_eq!((of.id, kept.len()), (release, 0));
        assert!(world.api::<ConfigMap>().get_opt("own").await.unwrap().is_none());
        assert!(world.target().status().await.unwrap().serving.is_none());
        assert_eq!(world.target().stop().await.unwrap(), Stopped::Nothing);
    }
}

/// Another machine's run holds the lease: nothing is deleted under it.
async fn during_a_run_nothing_is_deleted(world: &mut World) {
    world.manifests(&[service(), deployment(world, &HEALTHY)]);
    world.release().await;
    let (running, cancel) = (world.target(), CancellationToken::new());
    let run = RunId::generate();
    running.claim(run, &EventSink::null(), &cancel).await.unwrap();
    let refused = world.target().stop().await.unwrap_err();
    assert_eq!(refused.kind, TargetErrorKind::Held, "{refused}");
    assert!(refused.message.contains(&run.to_string()), "{refused}");
    assert!(world.api::<Deployment>().get_opt("web").await.unwrap().is_some());
    running.release_claim().await;
    assert!(matches!(world.target().stop().await.unwrap(), Stopped::Release { .. }));
}

scenarios! {
    both:
        what_serves_is_removed_and_recorded,
        logs_of_replicas_are_apart,
        what_is_gone_already_is_stopped_all_the_same,
        during_a_run_nothing_is_deleted
}
