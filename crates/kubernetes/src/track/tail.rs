//! Looks at how the log of a container that runs ends: whether it waits for something remote in the
//! process, where no crash tells.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, Client};

use super::WorkloadKind;
use super::cause::{self, Cause};
use super::view::{View, statuses};
use greenloop_evidence::Redactor;

/// Between two looks at one log, and before the first.
const PAUSE: Duration = Duration::from_secs(3);
/// One look may take this long.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Lines that say what a program does now.
const LINES: i64 = 2;
/// Bytes of a line that are shown.
const BYTES: usize = 4 * 1024;
/// Pods of one workload that are looked at.
const PODS: usize = 2;

/// A log to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedTail {
    pub(super) namespace: String,
    pub(super) pod_uid: String,
    pub(super) pod: String,
    pub(super) container: String,
    /// Not before.
    pub(super) at: Duration,
}

/// The logs to look at, of workloads at these places: of containers that run and are not where they
/// should be.
pub(super) fn wanted(view: &View, scopes: impl Iterator<Item = usize>) -> Vec<WantedTail> {
    let mut wanted = Vec::new();
    for scope in scopes {
        let Some(followed) = view.followed.get(scope) else { continue };
        let ends = followed.workload.kind == WorkloadKind::Job;
        for (uid, seen) in view.new_pods(scope).take(PODS) {
            for (status, _) in statuses(&seen.pod).filter(|(status, _)| ends || !status.ready) {
                let kept = seen.containers.get(&status.name);
                let Some((_, since)) = kept.and_then(|kept| kept.run) else { continue };
                let last = view.tails.get(&(uid.clone(), status.name.clone()));
                wanted.push(WantedTail {
                    namespace: followed.workload.namespace.clone(),
                    pod_uid: uid.clone(),
                    pod: seen.pod.metadata.name.clone().unwrap_or_default(),
                    container: status.name.clone(),
                    at: last.map_or(since, |last| last.at) + PAUSE,
                });
            }
        }
    }
    wanted
}

/// Looks; what cannot be read says nothing.
pub(super) async fn look(
    client: &Client,
    wanted: &WantedTail,
    redactor: &Redactor,
) -> Option<String> {
    let params = LogParams {
        container: Some(wanted.container.clone()),
        tail_lines: Some(LINES),
        limit_bytes: i64::try_from(Redactor::margin(BYTES)).ok(),
        ..LogParams::default()
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), &wanted.namespace);
    let asked = tokio::time::timeout(TIMEOUT, pods.logs(&wanted.pod, &params)).await;
    let log = asked.ok()?.ok()?;
    let line = waits(&log)?;
    Some(redactor.head(line.as_bytes(), BYTES))
}

/// The line that says that a program waits for something remote.
fn waits(log: &str) -> Option<&str> {
    match cause::cause(log.lines()) {
        Cause::Waits("connection" | "name") => log.lines().rfind(|line| !line.trim().is_empty()),
        Cause::Waits(_) | Cause::Lasts(_) | Cause::Likely(_) | Cause::Unclear => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_now_counts() {
        for (log, expect) in [
            ("connecting to web:8080\nconnect: connection refused, once more\n", true),
            ("lookup web: no such host\n", true),
            ("applying 41\napplying 42\n", false),
            ("waiting for the table lock\n", false),
            ("", false),
        ] {
            assert_eq!(waits(log).is_some(), expect, "{log}");
        }
    }
}
