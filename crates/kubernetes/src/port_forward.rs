//! A port of this machine that leads to a service in the cluster, for smoke tests where there is
//! no ingress.
//!
//! Each connection goes to a pod of its own choosing: one that is ready, the newest first. When a
//! pod dies, its connections end, and the next one goes to another. A connection that finds none
//! is closed, and what it found is kept for whoever made it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::{ListParams, Portforwarder};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::cluster::Cluster;
use super::dry_run::{NamespaceState, namespace_state};
use super::error::{KubernetesError, KubernetesErrorKind};
use greenloop_config::plan::ServicePlan;

/// How long a connection waits for a pod that is ready: one that has just died is replaced.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a pod may take to become ready before the port is opened at all.
const OPENING: Duration = Duration::from_secs(1);
/// Between two looks for one.
const LOOK: Duration = Duration::from_millis(250);
/// How long the API server may take to answer one question of a connection.
const ANSWER: Duration = Duration::from_secs(5);
/// Connections at the same time.
const MOST: usize = 64;
/// Pods that a message names.
const SHOWN: usize = 3;

/// A forwarded port; closed when it is dropped.
pub(super) struct PortForward {
    address: SocketAddr,
    task: JoinHandle<()>,
    way: ServiceRoute,
}

impl Drop for PortForward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PortForward {
    /// `http://127.0.0.1:PORT`
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether it still takes connections.
    pub(super) fn is_open(&self) -> bool {
        !self.task.is_finished()
    }

    /// Whether a connection would reach a pod now.
    ///
    /// # Errors
    /// Why it would not.
    pub(super) async fn check(&self) -> Result<(), KubernetesError> {
        self.way.usable().await
    }

    /// Why the last connection came to nothing, if it did; told once.
    pub(super) fn trouble(&self) -> Option<KubernetesError> {
        self.way.last().take()
    }
}

/// Opens a port that leads to `wanted`, once a connection would reach a pod.
///
/// # Errors
/// When there is no such service or port, no ready pod behind it, when the account may not
/// forward ports, and when no port can be bound.
pub(super) async fn open(
    cluster: &Cluster,
    namespace: &str,
    wanted: &ServicePlan,
) -> Result<PortForward, KubernetesError> {
    let way = ServiceRoute {
        services: Api::namespaced(cluster.client().clone(), namespace),
        pods: Api::namespaced(cluster.client().clone(), namespace),
        namespace: namespace.to_owned(),
        wanted: wanted.clone(),
        cluster: cluster.clone(),
        last: Arc::default(),
    };
    way.usable().await?;
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = bound.map_err(|error| {
        let message = format!("could not open a local port for service/{}", wanted.name);
        KubernetesError::new(KubernetesErrorKind::Setup, message).because(error)
    })?;
    let address = listener.local_addr().map_err(|error| {
        let message = format!("could not open a local port for service/{}", wanted.name);
        KubernetesError::new(KubernetesErrorKind::Setup, message).because(error)
    })?;
    Ok(PortForward { address, task: tokio::spawn(serve(listener, way.clone())), way })
}

async fn serve(listener: TcpListener, way: ServiceRoute) {
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
struct ServiceRoute {
    services: Api<Service>,
    pods: Api<Pod>,
    namespace: String,
    wanted: ServicePlan,
    cluster: Cluster,
    /// Why the last connection came to nothing.
    last: Arc<Mutex<Option<KubernetesError>>>,
}

impl ServiceRoute {
    fn last(&self) -> std::sync::MutexGuard<'_, Option<KubernetesError>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `service/web in shop`
    fn title(&self) -> String {
        format!("service/{} in namespace {}", self.wanted.name, self.namespace)
    }

    /// The service's selector, and where its port leads to.
    fn leads_to(&self, service: Service) -> Result<(String, IntOrString), KubernetesError> {
        let wrong = |message: String| KubernetesError::new(KubernetesErrorKind::Manifest, message);
        let spec = service.spec.unwrap_or_default();
        let ports = spec.ports.unwrap_or_default();
        let port = match self.wanted.port {
            None => ports.first(),
            Some(number) => ports.iter().find(|port| port.port == i32::from(number)),
        };
        let title = self.title();
        let Some(port) = port else {
            let known: Vec<String> = ports.iter().map(|port| port.port.to_string()).collect();
            return Err(wrong(match self.wanted.port {
                Some(number) if !known.is_empty() => format!(
                    "{title} has no port {number}; it has {}: check `deploy.kubernetes.service`",
                    known.join(", ")
                ),
                Some(_) | None => format!("{title} has no port"),
            }));
        };
        let selector = spec.selector.unwrap_or_default();
        if selector.is_empty() {
            return Err(wrong(format!("{title} has no selector, so it has no pods")));
        }
        let labels: Vec<String> =
            selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let target = port.target_port.clone().unwrap_or(IntOrString::Int(port.port));
        Ok((labels.join(","), target))
    }

    /// Ready pods of the service with the port to use, newest first; never none.
    async fn ready(&self) -> Result<Vec<(String, u16)>, KubernetesError> {
        let name = &self.wanted.name;
        let found = within(self.services.get(name)).await;
        let service = match found {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                return Err(self.missing().await);
            }
            found => found.map_err(|error| {
                KubernetesError::of(&format!("read service/{name} in {}", self.namespace), error)
            })?,
        };
        let (labels, target) = self.leads_to(service)?;
        let asked = ListParams::default().labels(&labels);
        let listed = within(self.pods.list(&asked)).await;
        let pods = listed
            .map_err(|error| {
                let what = format!("list the pods of {labels} in {}", self.namespace);
                KubernetesError::of(&what, error)
            })?
            .items;
        let mut ready: Vec<&Pod> = pods.iter().filter(|pod| is_ready(pod)).collect();
        if ready.is_empty() {
            let message =
                format!("{} has no ready pod: {}", self.title(), not_ready(&labels, &pods));
            return Err(KubernetesError::new(KubernetesErrorKind::NotReady, message));
        }
        ready.sort_by(|a, b| b.metadata.creation_timestamp.cmp(&a.metadata.creation_timestamp));
        let reached: Vec<(String, u16)> = ready
            .iter()
            .filter_map(|pod| Some((pod.metadata.name.clone()?, port_of(pod, &target)?)))
            .collect();
        if reached.is_empty() {
            let named = match &target {
                IntOrString::Int(port) => port.to_string(),
                IntOrString::String(name) => format!("named {name:?}"),
            };
            let message =
                format!("{} targets the port {named}, which its pods do not have", self.title());
            return Err(KubernetesError::new(KubernetesErrorKind::Manifest, message));
        }
        Ok(reached)
    }

    async fn missing(&self) -> KubernetesError {
        let namespace = &self.namespace;
        let message = match namespace_state(&self.cluster, namespace).await {
            Ok(NamespaceState::Ending(error)) => return error,
            Ok(NamespaceState::Missing) => {
                format!("the namespace {namespace} does not exist: nothing is deployed there")
            }
            Ok(NamespaceState::Active) | Err(_) => format!(
                "there is no service/{} in namespace {namespace}: nothing is deployed there, or \
                 `deploy.kubernetes.service` is wrong",
                self.wanted.name
            ),
        };
        KubernetesError::new(KubernetesErrorKind::Missing, message)
    }

    /// A stream to the pod's port.
    async fn forwarder(&self, pod: &str, port: u16) -> Result<Portforwarder, KubernetesError> {
        let opened = within(self.pods.portforward(pod, &[port])).await;
        opened.map_err(|error| {
            let code = match &error {
                kube::Error::Api(status) => Some(status.code),
                kube::Error::UpgradeConnection(
                    kube::client::UpgradeConnectionError::ProtocolSwitch(status),
                ) => Some(status.as_u16()),
                _ => None,
            };
            let what = format!("forward a port to pod/{pod} in {}", self.namespace);
            let mut told = KubernetesError::of(&what, error);
            match code {
                Some(401) => told.kind = KubernetesErrorKind::Credentials,
                Some(403) => {
                    told.kind = KubernetesErrorKind::Refused;
                    told.message.push_str(
                        " (403): the account needs `get` and `create` on `pods/portforward`",
                    );
                }
                // The pod has gone since it was listed.
                Some(404) => told.kind = KubernetesErrorKind::NotReady,
                Some(_) | None => {}
            }
            told
        })
    }

    /// Waits for a moment for a pod to be ready, and tries the way to it. An API server that is
    /// away is waited for longer: nothing is known of the pods.
    async fn usable(&self) -> Result<(), KubernetesError> {
        let began = Instant::now();
        loop {
            let error = match self.tried().await {
                Ok(forwarder) => {
                    forwarder.abort();
                    return Ok(());
                }
                Err(error) => error,
            };
            let limit = match error.kind {
                KubernetesErrorKind::NotReady => OPENING,
                KubernetesErrorKind::Unreachable => self.cluster.outage_limit(),
                _ => return Err(error),
            };
            if began.elapsed() + LOOK > limit {
                return Err(error);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A connection to the first ready pod that takes one.
    async fn tried(&self) -> Result<Portforwarder, KubernetesError> {
        let mut last = None;
        for (pod, port) in self.ready().await? {
            match self.forwarder(&pod, port).await {
                Ok(forwarder) => return Ok(forwarder),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            let message = format!("{} has no ready pod", self.title());
            KubernetesError::new(KubernetesErrorKind::NotReady, message)
        }))
    }

    async fn carry(&self, mut socket: TcpStream) {
        *self.last() = None;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let error = match self.carried(&mut socket).await {
                Ok(()) => return,
                Err(error) => error,
            };
            tracing::debug!(%error, "a forwarded connection failed");
            let may_come = matches!(
                error.kind,
                KubernetesErrorKind::NotReady | KubernetesErrorKind::Unreachable
            );
            // Before it is waited for: whoever made the connection may give up first.
            *self.last() = Some(error);
            if !may_come || Instant::now() + LOOK > deadline {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Carries one connection to its end.
    async fn carried(&self, socket: &mut TcpStream) -> Result<(), KubernetesError> {
        for (pod, port) in self.ready().await? {
            let mut forwarder = match self.forwarder(&pod, port).await {
                Ok(forwarder) => forwarder,
                Err(error) if error.kind == KubernetesErrorKind::NotReady => continue,
                Err(error) => return Err(error),
            };
            let refused = forwarder.take_error(port);
            let Some(mut stream) = forwarder.take_stream(port) else { continue };
            *self.last() = None;
            let refused = async {
                match refused {
                    Some(refused) => match refused.await {
                        Some(said) => said,
                        None => std::future::pending().await,
                    },
                    None => std::future::pending().await,
                }
            };
            let outcome = tokio::select! {
                biased;
                said = refused => {
                    let message = format!(
                        "pod/{pod} in {} accepts no connection on port {port}, which {} targets: \
                         {}",
                        self.namespace, self.title(), said.trim()
                    );
                    Err(KubernetesError::new(KubernetesErrorKind::Manifest, message))
                }
                carried = tokio::io::copy_bidirectional(socket, &mut stream) => {
                    if let Err(error) = carried {
                        tracing::debug!(%pod, %error, "a forwarded connection was interrupted");
                    }
                    Ok(())
                }
            };
            drop(stream);
            forwarder.abort();
            return outcome;
        }
        let message = format!("the pods of {} no longer exist", self.title());
        Err(KubernetesError::new(KubernetesErrorKind::NotReady, message))
    }
}

/// An answer of the API server, in bounded time.
async fn within<T>(asked: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    tokio::time::timeout(ANSWER, asked)
        .await
        .unwrap_or_else(|elapsed| Err(kube::Error::Service(Box::new(elapsed))))
}

/// Why none of the pods takes connections: `web-1 is not ready (container web: CrashLoopBackOff)`.
fn not_ready(labels: &str, pods: &[Pod]) -> String {
    if pods.is_empty() {
        return format!("no pod matches its selector ({labels})");
    }
    let mut told: Vec<String> = pods.iter().take(SHOWN).map(in_words).collect();
    if pods.len() > SHOWN {
        told.push(format!("and {} more", pods.len() - SHOWN));
    }
    told.join(", ")
}

fn in_words(pod: &Pod) -> String {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    if pod.metadata.deletion_timestamp.is_some() {
        return format!("{name} is being deleted");
    }
    let status = pod.status.as_ref();
    let statuses = status.and_then(|status| status.container_statuses.as_ref());
    let waiting = statuses.into_iter().flatten().find_map(|status| {
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        Some(format!("container {}: {}", status.name, waiting.reason.as_deref()?))
    });
    let restarted = statuses.into_iter().flatten().find_map(|status| {
        let last = status.last_state.as_ref()?.terminated.as_ref()?;
        let (name, code) = (&status.name, last.exit_code);
        Some(format!("container {name} was restarted, last exit code {code}"))
    });
    let phase = status.and_then(|status| status.phase.clone());
    let why = waiting.or(restarted);
    match why.or_else(|| phase.filter(|phase| phase != "Running")) {
        Some(why) => format!("{name} is not ready ({why})"),
        None => format!("{name} is not ready"),
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
