//! Reads what containers have written.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, Client};

use super::crash::end_of;
use super::view::statuses;
use crate::evidence::Redactor;

/// Lines of a log that are asked for, from its end.
const LINES: i64 = 400;
/// Bytes of them at most; the server cuts the end off there.
const BYTES: i64 = 256 * 1024;
/// One log may take this long.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A container of a pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) namespace: &'a str,
    pub(super) pod: &'a str,
    pub(super) container: &'a str,
}

/// The end of a container's log; of the container before it when `previous`. `None` when there is
/// none to be had, now or ever.
pub(super) async fn read(
    client: &Client,
    place: Place<'_>,
    previous: bool,
    since: Option<jiff::Timestamp>,
) -> Option<String> {
    let params = LogParams {
        container: Some(place.container.to_owned()),
        previous,
        tail_lines: Some(LINES),
        limit_bytes: Some(BYTES),
        since_time: since,
        ..LogParams::default()
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), place.namespace);
    let asked = tokio::time::timeout(TIMEOUT, pods.logs(place.pod, &params)).await;
    asked.ok()?.ok().filter(|log| !is_gone(log))
}

/// The previous container's log, or the current one's where that is gone: a kubelet that has
/// removed a container answers with a sentence in place of its log, and the API calls it a
/// success. `true` for the current one's.
pub(super) async fn read_either(
    client: &Client,
    place: Place<'_>,
    previous: bool,
) -> Option<(String, bool)> {
    let first = read(client, place, previous, None).await;
    if let Some(log) = first.as_ref().filter(|log| !log.trim().is_empty()) {
        return Some((log.clone(), !previous));
    }
    let second = read(client, place, !previous, None).await.filter(|log| !log.trim().is_empty());
    match second {
        Some(log) => Some((log, previous)),
        None => first.map(|log| (log, !previous)),
    }
}

/// Bytes of all logs that [`append`] puts together.
const APPENDED: usize = 48 * 1024;
/// Bytes of one of them.
const ONE: usize = 16 * 1024;

/// Adds the end of what a pod's containers have written since then, each under its name, while
/// there is room.
pub(super) async fn append(
    client: &Client,
    pod: &Pod,
    since: Option<jiff::Timestamp>,
    redactor: &Redactor,
    text: &mut String,
) {
    let (Some(namespace), Some(name)) =
        (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref())
    else {
        return;
    };
    for (status, _) in statuses(pod) {
        let left = APPENDED.saturating_sub(text.len()).min(ONE);
        if left < 200 {
            return;
        }
        let place = Place { namespace, pod: name, container: &status.name };
        let Some(log) = read(client, place, false, since).await else { continue };
        let log = redactor.redact(&log);
        let said = end_of(log.trim_end(), left);
        if !said.is_empty() {
            text.push_str(&format!("--- {name}/{}\n{said}\n", status.name));
        }
    }
}

/// Whether this is the kubelet's sentence and not a log.
fn is_gone(log: &str) -> bool {
    let log = log.trim();
    !log.contains('\n') && log.starts_with("unable to retrieve container logs for ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_of_the_kubelet_is_no_log() {
        for (log, expect) in [
            ("unable to retrieve container logs for containerd://0f1e", true),
            ("unable to retrieve container logs for containerd://0f1e\n", true),
            ("starting\nunable to retrieve container logs for containerd://0f1e", false),
            ("", false),
        ] {
            assert_eq!(is_gone(log), expect, "{log}");
        }
    }
}
