//! A port of this machine that leads to a service in the cluster, for smoke tests where there is
//! no ingress.
//!
//! Each connection goes to a pod of its own choosing: one that is ready, the newest first. When a
//! pod dies, its connections end, and the next one goes to another.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::ListParams;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::cluster::Cluster;
use super::error::{KubernetesError, KubernetesErrorKind};
use crate::config::plan::ServicePlan;

/// How long a connection waits for a pod that is ready.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks for one.
const LOOK: Duration = Duration::from_millis(250);
/// Connections at the same time.
const MOST: usize = 64;

/// A forwarded port; closed when it is dropped.
pub(super) struct Forward {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forward {
    /// `http://127.0.0.1:PORT`
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether it still takes connections.
    pub(super) fn is_open(&self) -> bool {
        !self.task.is_finished()
    }
}

/// Opens a port that leads to `wanted`.
///
/// # Errors
/// When there is no such service or port, and when no port can be bound.
pub(super) async fn open(
    cluster: &Cluster,
    namespace: &str,
    wanted: &ServicePlan,
) -> Result<Forward, KubernetesError> {
    let way = Way {
        services: Api::namespaced(cluster.client().clone(), namespace),
        pods: Api::namespaced(cluster.client().clone(), namespace),
        wanted: wanted.clone(),
        cluster: cluster.clone(),
    };
    way.service().await?;
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = bound.map_err(|error| {
        let message = format!("no local port for service/{}", wanted.name);
        KubernetesError::new(KubernetesErrorKind::Setup, message).because(error)
    })?;
    let address = listener.local_addr().map_err(|error| {
        let message = format!("no local port for service/{}", wanted.name);
        KubernetesError::new(KubernetesErrorKind::Setup, message).because(error)
    })?;
    Ok(Forward { address, task: tokio::spawn(serve(listener, way)) })
}

async fn serve(listener: TcpListener, way: Way) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MOST {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((socket, _)) => {
                let way = way.clone();
                connections.spawn(async move { way.carry(socket).await });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection to the forwarded port was not accepted");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// How connections get to the service.
#[derive(Clone)]
struct Way {
    services: Api<Service>,
    pods: Api<Pod>,
    wanted: ServicePlan,
    cluster: Cluster,
}

impl Way {
    /// The service's selector, and where its port leads to.
    async fn service(&self) -> Result<(String, IntOrString), KubernetesError> {
        let name = &self.wanted.name;
        let found = self.cluster.ask(|| self.services.get(name)).await;
        let service =
            found.map_err(|error| KubernetesError::of(&format!("read service/{name}"), error))?;
        let wrong = |message: String| KubernetesError::new(KubernetesErrorKind::Manifest, message);
        let spec = service.spec.unwrap_or_default();
        let ports = spec.ports.unwrap_or_default();
        let port = match self.wanted.port {
            None => ports.first(),
            Some(number) => ports.iter().find(|port| port.port == i32::from(number)),
        };
        let Some(port) = port else {
            let known: Vec<String> = ports.iter().map(|port| port.port.to_string()).collect();
            return Err(wrong(match self.wanted.port {
                Some(number) => {
                    format!("service/{name} has no port {number}; it has {}", known.join(", "))
                }
                None => format!("service/{name} has no port"),
            }));
        };
        let selector = spec.selector.unwrap_or_default();
        if selector.is_empty() {
            return Err(wrong(format!("service/{name} selects no pods, so none can be reached")));
        }
        let labels: Vec<String> =
            selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let target = port.target_port.clone().unwrap_or(IntOrString::Int(port.port));
        Ok((labels.join(","), target))
    }

    /// Ready pods of the service with the port to use, newest first.
    async fn ready(&self) -> Result<Vec<(String, u16)>, KubernetesError> {
        let (labels, target) = self.service().await?;
        let asked = ListParams::default().labels(&labels);
        let listed = self.cluster.ask(|| self.pods.list(&asked)).await;
        let mut pods =
            listed.map_err(|e| KubernetesError::of(&format!("list pods of {labels}"), e))?.items;
        pods.retain(is_ready);
        pods.sort_by(|a, b| b.metadata.creation_timestamp.cmp(&a.metadata.creation_timestamp));
        Ok(pods
            .iter()
            .filter_map(|pod| Some((pod.metadata.name.clone()?, port_of(pod, &target)?)))
            .collect())
    }

    async fn carry(&self, mut socket: TcpStream) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let ready = match self.ready().await {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::debug!(%error, "no pod to forward to");
                    Vec::new()
                }
            };
            for (pod, port) in ready {
                match self.pods.portforward(&pod, &[port]).await {
                    Ok(mut forwarder) => {
                        let Some(mut stream) = forwarder.take_stream(port) else { continue };
                        let carried = tokio::io::copy_bidirectional(&mut socket, &mut stream).await;
                        if let Err(error) = carried {
                            tracing::debug!(%pod, %error, "a forwarded connection broke off");
                        }
                        drop(stream);
                        forwarder.abort();
                        return;
                    }
                    Err(error) => tracing::debug!(%pod, %error, "the pod cannot be forwarded to"),
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A named port is a matter of each pod.
fn port_of(pod: &Pod, target: &IntOrString) -> Option<u16> {
    match target {
        IntOrString::Int(port) => u16::try_from(*port).ok(),
        IntOrString::String(name) => {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            let port = ports.find(|port| port.name.as_deref() == Some(name))?;
            u16::try_from(port.container_port).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_are_found_by_number_and_by_name() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a"},
            "spec": {"containers": [
                {"name": "side"},
                {"name": "web", "ports": [{"name": "http", "containerPort": 8080}]}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        for (target, expect) in [
            (IntOrString::Int(80), Some(80)),
            (IntOrString::Int(70_000), None),
            (IntOrString::String("http".to_owned()), Some(8080)),
            (IntOrString::String("https".to_owned()), None),
        ] {
            assert_eq!(port_of(&pod, &target), expect, "{target:?}");
        }
        assert!(is_ready(&pod));
        let mut going = pod;
        going.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::now()));
        assert!(!is_ready(&going));
    }
}
