//! Reads what containers have written, as it comes: memory does not grow with a log, and a log
//! that is too long to be read in time is read from both its ends.

use std::pin::pin;
use std::time::Duration;

use futures::{AsyncBufRead, AsyncReadExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, Client};
use tokio::time::Instant;

use super::crash::{ReadCrashLog, Reading, end_of};
use super::view::statuses;
use crate::{admission_error, secrets};
use greenloop_evidence::Redactor;
use greenloop_ports::PartLog;

/// Lines that are asked for where only a log's end is wanted.
const LINES: i64 = 400;
/// How long a log may take to be read from its beginning to its end.
const WHOLE: Duration = Duration::from_millis(3_000);
/// How long its end may take besides, where that was too long.
const END: Duration = Duration::from_millis(1_500);
/// Bytes that are read of a log from its beginning: a node keeps 10 MiB of a container's log, if
/// nobody has said otherwise.
const MOST: usize = 64 << 20;
/// Bytes of one read.
const CHUNK: usize = 64 * 1024;

/// A container of a pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct ContainerRef<'a> {
    pub(super) namespace: &'a str,
    pub(super) pod: &'a str,
    pub(super) container: &'a str,
}

/// How much of a log was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Got {
    All,
    /// Time or room ran out.
    Beginning,
}

/// Gives what `log` brings to `take`, until it ends, `MOST` bytes have come or time is up.
async fn drain(
    log: impl AsyncBufRead,
    until: Instant,
    mut take: impl FnMut(&[u8]),
) -> std::io::Result<Got> {
    let mut log = pin!(log);
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    while bytes < MOST {
        let Ok(read) = tokio::time::timeout_at(until, log.read(&mut chunk)).await else {
            return Ok(Got::Beginning);
        };
        let read = read?;
        if read == 0 {
            return Ok(Got::All);
        }
        take(chunk.get(..read).unwrap_or_default());
        bytes += read;
    }
    Ok(Got::Beginning)
}

/// The right that is missing to read a log, with the rule to add.
pub(super) type Refused = String;

/// What a container's log says; that of the container before it when `previous`. `None` when
/// there is none to be had, now or ever.
async fn read(
    client: &Client,
    place: ContainerRef<'_>,
    previous: bool,
    redactor: &Redactor,
) -> Result<Option<ReadCrashLog>, Refused> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), place.namespace);
    let container = Some(place.container.to_owned());
    let whole = LogParams { container, previous, ..LogParams::default() };
    let mut reading = Reading::new();
    let until = Instant::now() + WHOLE;
    let log = match tokio::time::timeout_at(until, pods.log_stream(place.pod, &whole)).await {
        Ok(Ok(log)) => log,
        Ok(Err(error)) => return admission_error::of_error(&error).map_or(Ok(None), Err),
        Err(_) => return Ok(None),
    };
    let got = drain(log, until, |bytes| reading.push(bytes)).await;
    // What a connection that broke has brought is worth telling.
    if !matches!(got, Ok(Got::All)) {
        let params = LogParams { tail_lines: Some(LINES), ..whole };
        let until = Instant::now() + END;
        if let Ok(Ok(log)) =
            tokio::time::timeout_at(until, pods.log_stream(place.pod, &params)).await
        {
            reading.skip();
            let _cut_off = drain(log, until, |bytes| reading.push(bytes)).await;
        }
    }
    let said = reading.finish(!previous, redactor);
    Ok((!is_gone(&said.text)).then_some(said))
}

/// The previous container's log, or the current one's where that is gone: a kubelet that has
/// removed a container answers with a sentence in place of its log, and the API calls it a
/// success.
pub(super) async fn read_either(
    client: &Client,
    place: ContainerRef<'_>,
    previous: bool,
    redactor: &Redactor,
) -> Result<Option<ReadCrashLog>, Refused> {
    let first = read(client, place, previous, redactor).await?;
    if first.as_ref().is_some_and(|said| !said.is_empty()) {
        return Ok(first);
    }
    let second = read(client, place, !previous, redactor).await?;
    Ok(second.filter(|said| !said.is_empty()).or(first))
}

/// The last lines that a container has written since then.
async fn last_lines(
    client: &Client,
    place: ContainerRef<'_>,
    since: Option<jiff::Timestamp>,
    redactor: &Redactor,
) -> Option<ReadCrashLog> {
    let params = LogParams {
        container: Some(place.container.to_owned()),
        tail_lines: Some(LINES),
        since_time: since,
        ..LogParams::default()
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), place.namespace);
    let until = Instant::now() + WHOLE;
    let log = tokio::time::timeout_at(until, pods.log_stream(place.pod, &params)).await;
    let mut reading = Reading::new();
    let _cut_off = drain(log.ok()?.ok()?, until, |bytes| reading.push(bytes)).await;
    let said = reading.finish(true, redactor);
    (!is_gone(&said.text)).then_some(said)
}

/// Bytes of all logs that [`append`] puts together.
const APPENDED: usize = 48 * 1024;
/// Bytes of one of them.
const ONE: usize = 16 * 1024;

/// Adds the end of what each of a pod's containers has written since then, while there is room.
pub(super) async fn append(
    client: &Client,
    pod: &Pod,
    since: Option<jiff::Timestamp>,
    redactor: &Redactor,
    logs: &mut Vec<PartLog>,
) {
    let (Some(namespace), Some(name)) =
        (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref())
    else {
        return;
    };
    secrets::of_pod(client, pod, redactor).await;
    for (status, _) in statuses(pod) {
        let used: usize = logs.iter().map(|log| log.text.len()).sum();
        let left = APPENDED.saturating_sub(used).min(ONE);
        if left < 200 {
            return;
        }
        let place = ContainerRef { namespace, pod: name, container: &status.name };
        let Some(log) = last_lines(client, place, since, redactor).await else { continue };
        let said = end_of(log.text.trim_end(), left);
        let end = if said.is_empty() { "" } else { "\n" };
        logs.push(PartLog {
            part: format!("{name}/{}", status.name),
            life: u32::try_from(status.restart_count).unwrap_or(0),
            text: format!("{said}{end}"),
        });
    }
}

/// Whether this is the kubelet's sentence and not a log.
fn is_gone(log: &str) -> bool {
    let log = log.trim();
    !log.contains('\n') && log.starts_with("unable to retrieve container logs for ")
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    /// Three lines, and then nothing more for ever.
    fn stalled() -> impl AsyncBufRead {
        let lines = (0..3).map(|i| Ok::<_, std::io::Error>(format!("line {i}\n")));
        let lines = futures::stream::iter(lines).chain(futures::stream::pending());
        futures::TryStreamExt::into_async_read(lines)
    }

    #[tokio::test]
    async fn a_log_is_read_until_its_end_or_until_time_is_up() {
        let mut text = Vec::new();
        let until = Instant::now() + Duration::from_millis(50);
        let got = drain(stalled(), until, |bytes| text.extend_from_slice(bytes)).await.unwrap();
        assert_eq!(got, Got::Beginning);
        assert_eq!(text, b"line 0\nline 1\nline 2\n");

        let whole: &[u8] = b"one\ntwo\n";
        text.clear();
        let until = Instant::now() + WHOLE;
        let got = drain(whole, until, |bytes| text.extend_from_slice(bytes)).await.unwrap();
        assert_eq!((got, text.as_slice()), (Got::All, whole));
    }

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
