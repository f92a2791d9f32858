//! Looks at which ports of a pod are open, through a port-forward.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

use super::rule::contains;
use super::signals::WantedPorts;
use super::view::PortLook;

/// The whole look may take this long.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A port that says nothing within this time accepted the connection.
const REFUSAL: Duration = Duration::from_millis(500);

/// Which ports are open; `None` when that cannot be told. Connections are opened and closed, no
/// byte is sent.
pub(super) async fn look(client: &Client, wanted: &WantedPorts, at: Duration) -> Option<PortLook> {
    tokio::time::timeout(TIMEOUT, connect(client, wanted, at)).await.ok()?
}

async fn connect(client: &Client, wanted: &WantedPorts, at: Duration) -> Option<PortLook> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &wanted.namespace);
    let mut ports = vec![wanted.asked];
    ports.extend(&wanted.others);
    let mut forward = pods.portforward(&wanted.pod, &ports).await.ok()?;
    let _streams: Vec<_> = ports.iter().filter_map(|port| forward.take_stream(*port)).collect();
    let errors: Vec<_> =
        ports.iter().filter_map(|port| Some((*port, forward.take_error(*port)?))).collect();
    let told = errors
        .into_iter()
        .map(|(port, error)| async move { (port, tokio::time::timeout(REFUSAL, error).await) });
    let told = futures::future::join_all(told).await;
    forward.abort();
    let (mut open, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for (port, answer) in told {
        match answer {
            Ok(Some(error)) if contains(&error, "connection refused") => {
                refused.insert(port);
            }
            Err(_) => {
                open.insert(port);
            }
            // The forward itself broke.
            Ok(_) => {}
        }
    }
    // A refusal shows that refusals are reported: only then does silence mean that a port is open.
    (!refused.is_empty()).then_some(PortLook { at, open, refused })
}
