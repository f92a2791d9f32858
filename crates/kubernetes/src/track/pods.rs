//! The pods of a workload, asked for once.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::{NamespaceResourceScope, Selector};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::object::Object;
use super::{TrackError, TrackErrorKind, Workload, WorkloadKind};

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
        "the pods of {}/{} in namespace {} cannot be read",
        workload.kind.word(),
        workload.name,
        workload.namespace
    );
    TrackError::caused(kind, message, Box::new(error))
}
