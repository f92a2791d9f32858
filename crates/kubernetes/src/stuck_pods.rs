//! Broken pods that a StatefulSet's controller waits for, for ever, before it makes new ones: a
//! known issue of it (kubernetes/kubernetes#67250). Somebody has to remove them.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::core::Selector;
use kube::{Api, ResourceExt as _};

use super::cluster::Cluster;
use super::track::{Workload, WorkloadKind};
use greenloop_model::{Notice, RunEvent};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// The label with the revision that a pod is of.
const REVISION: &str = "controller-revision-hash";
/// Why a container waits that does not get on by itself.
const BROKEN: &[&str] = &[
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// Removes broken pods of earlier revisions of the StatefulSets among `workloads`, until it is
/// dropped. What cannot be read or removed now is tried again: the rollout itself says what comes
/// of it.
pub(super) async fn unstick(cluster: &Cluster, workloads: &[Workload]) -> std::convert::Infallible {
    let sets: Vec<&Workload> = workloads
        .iter()
        .filter(|workload| workload.kind == WorkloadKind::StatefulSet && workload.changed)
        .collect();
    if sets.is_empty() {
        return std::future::pending().await;
    }
    loop {
        for set in &sets {
            if let Err(error) = look(cluster, set).await {
                tracing::debug!(%error, set = %set.name, "could not handle stuck pods");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(cluster: &Cluster, workload: &Workload) -> Result<(), kube::Error> {
    let sets: Api<StatefulSet> = Api::namespaced(cluster.client().clone(), &workload.namespace);
    let pods: Api<Pod> = Api::namespaced(cluster.client().clone(), &workload.namespace);
    let Some(set) = sets.get_opt(&workload.name).await? else { return Ok(()) };
    let status = set.status.unwrap_or_default();
    // Before its controller has seen the write, a pod would be made again as it was.
    let seen = status.observed_generation.is_some_and(|seen| seen >= workload.generation);
    let Some(revision) = status.update_revision.filter(|_| seen) else { return Ok(()) };
    let selector = set.spec.and_then(|spec| Selector::try_from(spec.selector).ok());
    let Some(selector) = selector else { return Ok(()) };
    let listed = pods.list(&ListParams::default().labels_from(&selector)).await?;
    for pod in listed.items.iter().filter(|pod| is_stuck(pod, &revision)) {
        let asked = DeleteParams {
            preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        let name = pod.name_any();
        match cluster.write(|| pods.delete(&name, &asked)).await {
            Ok(_) => {
                let text = format!(
                    "deleted pod/{}, which is broken and blocked statefulset/{}",
                    pod.name_any(),
                    workload.name
                );
                cluster.events().send(RunEvent::Notice(Notice::Info(text)));
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a pod of an earlier revision than `revision` is broken beyond waiting.
fn is_stuck(pod: &Pod, revision: &str) -> bool {
    if pod.labels().get(REVISION).is_none_or(|own| own == revision)
        || pod.metadata.deletion_timestamp.is_some()
    {
        return false;
    }
    let Some(status) = &pod.status else { return false };
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let containers = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten());
    !ready && (status.phase.as_deref() == Some("Failed") || containers.into_iter().any(is_broken))
}

fn is_broken(status: &ContainerStatus) -> bool {
    let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let now = status.state.as_ref().and_then(|state| state.terminated.as_ref());
    BROKEN.contains(&reason)
        || [last, now].into_iter().flatten().any(|end| !status.ready && end.exit_code != 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_broken_pods_of_earlier_revisions_go() {
        let pod = |revision: &str, ready: &str, container: serde_json::Value| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"name": "db-1", "labels": {"controller-revision-hash": revision}},
                "status": {"phase": "Running",
                    "conditions": [{"type": "Ready", "status": ready}],
                    "containerStatuses": [container]},
            }))
            .unwrap()
        };
        let base = json!({"name": "a", "image": "", "imageID": "", "ready": false,
            "restartCount": 1});
        let with = |key: &str, state: serde_json::Value| {
            let mut status = base.clone();
            status[key] = state;
            status
        };
        let crashed = with("lastState", json!({"terminated": {"exitCode": 1}}));
        let looping = with("state", json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        let starting = with("state", json!({"waiting": {"reason": "ContainerCreating"}}));
        let done = with("lastState", json!({"terminated": {"exitCode": 0}}));
        for (revision, ready, container, expect) in [
            ("old", "False", &crashed, true),
            ("old", "False", &looping, true),
            ("old", "False", &starting, false),
            ("old", "False", &done, false),
            ("old", "True", &crashed, false),
            ("new", "False", &looping, false),
        ] {
            let pod = pod(revision, ready, container.clone());
            assert_eq!(is_stuck(&pod, "new"), expect, "{revision} {ready} {container}");
        }
    }
}
