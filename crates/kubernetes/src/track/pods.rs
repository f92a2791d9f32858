//! The pods of a workload, asked for once, and what keeps one of them from being ready.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::api::ListParams;
use kube::core::{NamespaceResourceScope, Selector};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::object::Object;
use super::view::{disruption, is_terminating, statuses};
use super::workload_status::is_ready;
use super::{TrackError, TrackErrorKind, Workload, WorkloadKind};
use greenloop_model::times;

/// The workload's pods, newest first; none when the workload is gone.
pub(super) async fn of(client: &Client, workload: &Workload) -> Result<Vec<Pod>, TrackError> {
    let object = match workload.kind {
        WorkloadKind::Deployment => {
            get::<Deployment>(client, workload).await?.map(|o| Object::Deployment(Box::new(o)))
        }
        WorkloadKind::StatefulSet => {
            get::<StatefulSet>(client, workload).await?.map(|o| Object::StatefulSet(Box::new(o)))
        }
        WorkloadKind::DaemonSet => {
            get::<DaemonSet>(client, workload).await?.map(|o| Object::DaemonSet(Box::new(o)))
        }
        WorkloadKind::Job => get::<Job>(client, workload).await?.map(|o| Object::Job(Box::new(o))),
    };
    let selector = object.as_ref().and_then(Object::selector).cloned();
    let Some(selector) = selector.and_then(|labels| Selector::try_from(labels).ok()) else {
        return Ok(Vec::new());
    };
    let api: Api<Pod> = Api::namespaced(client.clone(), &workload.namespace);
    let params = ListParams::default().labels_from(&selector);
    let mut pods = api.list(&params).await.map_err(|error| failed(workload, error))?.items;
    pods.sort_by_key(|pod| {
        std::cmp::Reverse(pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
    });
    Ok(pods)
}

/// Pods of one workload that are told of.
pub(super) const TOLD: usize = 3;

/// `pod web-1: container web waits: CrashLoopBackOff; it has died 4 times, the last time with exit
/// status 1`. `None` for a pod that is ready, ended well, or going away. What a container wrote is
/// not part of it.
pub(super) fn what_keeps(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if is_ready(pod) || is_terminating(pod) || status.phase.as_deref() == Some("Succeeded") {
        return None;
    }
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let unplaced = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(unplaced) = unplaced {
        let why = unplaced.message.as_deref().or(unplaced.reason.as_deref()).unwrap_or_default();
        return Some(format!("pod {name} has no node: {why}"));
    }
    if let Some((reason, message)) = disruption(pod) {
        return Some(format!("pod {name}: {reason}: {message}"));
    }
    let mut unready = statuses(pod).filter(|(status, init)| match init {
        true => status.state.as_ref().is_some_and(|state| {
            state.terminated.as_ref().is_none_or(|ended| ended.exit_code != 0)
        }),
        false => !status.ready,
    });
    let Some((container, _)) = unready.next() else {
        return Some(format!("pod {name} is not ready"));
    };
    let state = container.state.as_ref();
    let now = match state.and_then(|state| state.waiting.as_ref()) {
        Some(waiting) => {
            let reason = waiting.reason.as_deref().unwrap_or("no reason");
            match waiting.message.as_deref().filter(|message| !message.is_empty()) {
                Some(message) => format!("waits: {reason}: {message}"),
                None => format!("waits: {reason}"),
            }
        }
        None if state.is_some_and(|state| state.terminated.is_some()) => "has ended".to_owned(),
        None => "runs and is not ready".to_owned(),
    };
    let ended = |state: Option<&ContainerState>| Some(state?.terminated.as_ref()?.exit_code);
    let last = ended(state).or_else(|| ended(container.last_state.as_ref()));
    let died = match (u32::try_from(container.restart_count).unwrap_or(0), last) {
        (_, None) => String::new(),
        (count, Some(code)) => {
            let count = times(count.max(1));
            format!("; it has died {count}, the last time with exit status {code}")
        }
    };
    Some(format!("pod {name}: container {} {now}{died}", container.name))
}

async fn get<K>(client: &Client, workload: &Workload) -> Result<Option<K>, TrackError>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(client.clone(), &workload.namespace);
    api.get_opt(&workload.name).await.map_err(|error| failed(workload, error))
}

fn failed(workload: &Workload, error: kube::Error) -> TrackError {
    let kind = match &error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => TrackErrorKind::Refused,
        kube::Error::Auth(_) => TrackErrorKind::Refused,
        _ => TrackErrorKind::Unreachable,
    };
    let message = format!(
        "could not read the pods of {}/{} in namespace {}",
        workload.kind.word(),
        workload.name,
        workload.namespace
    );
    TrackError::caused(kind, message, Box::new(error))
}
