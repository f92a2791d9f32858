//! The service's own log as evidence. A service answers before its line of the answer is where
//! Greenloop can read it: output is flushed late, and passes a pipe, an engine or a node's agent.
//! So the log is read until it has the failed requests' lines, or nothing has come for a while.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How often the log is read.
pub(super) const EVERY: Duration = Duration::from_millis(100);
/// Readings without anything new after which it has said what it has to say: a second, for most
/// services log no request's id.
const QUIET: u32 = 10;
/// The same once it names the failed requests; a stack trace may follow the line.
const QUIET_AFTER_REQUEST: u32 = 2;
/// A log that never is quiet is not read more often than this: the failed release is still up.
const MOST: u32 = 50;

/// What `read` gives in the end, asked once in `every`; `None` when the log cannot be read.
/// `requests` are the ids of the requests that failed.
pub(super) async fn settled<F: Future<Output = Option<String>>>(
    read: impl Fn() -> F,
    requests: &[String],
    every: Duration,
    cancel: &CancellationToken,
) -> Option<String> {
    let mut log = read().await?;
    let mut quiet = 0;
    for _ in 1..MOST {
        let has_all = !requests.is_empty() && requests.iter().all(|id| log.contains(id.as_str()));
        if quiet >= if has_all { QUIET_AFTER_REQUEST } else { QUIET } {
            break;
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            () = tokio::time::sleep(every) => {}
        }
        let Some(now) = read().await else { break };
        quiet = if now == log { quiet + 1 } else { 0 };
        log = now;
    }
    Some(log)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// The log as it is at each reading; the last one stays.
    async fn read_through(logs: &[String], requests: &[&str]) -> (Option<String>, usize) {
        let readings = AtomicUsize::new(0);
        let read = || async {
            let at = readings.fetch_add(1, Ordering::Relaxed);
            logs.get(at).or(logs.last()).cloned()
        };
        let requests: Vec<String> = requests.iter().map(|id| (*id).to_owned()).collect();
        let log = settled(read, &requests, Duration::ZERO, &CancellationToken::new()).await;
        (log, readings.load(Ordering::Relaxed))
    }

    fn logs(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[tokio::test]
    async fn the_line_of_the_request_is_waited_for() {
        // It comes at the seventh reading, long after the answer.
        let mut texts = vec!["up\n"; 6];
        texts.extend(["up\nGET /report id-1\n", "up\nGET /report id-1\n  at report.rs:7\n"]);
        let (log, with_id) = read_through(&logs(&texts), &["id-1"]).await;
        assert_eq!(log.as_deref(), Some("up\nGET /report id-1\n  at report.rs:7\n"));
        // A service that logs no ids is given longer to be quiet.
        let (log, without) = read_through(&logs(&texts), &["id-2"]).await;
        assert_eq!(log.as_deref(), Some("up\nGET /report id-1\n  at report.rs:7\n"));
        assert!(with_id < without, "{with_id} {without}");
        // With two failed requests, both are waited for.
        let (_, both) = read_through(&logs(&texts), &["id-1", "id-2"]).await;
        assert_eq!(both, without);
    }

    #[tokio::test]
    async fn a_log_that_never_is_quiet_is_not_waited_for() {
        let endless: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
        let (log, readings) = read_through(&endless, &["never"]).await;
        assert_eq!((log, readings), (Some("49".to_owned()), 50));
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_read_is_none() {
        assert_eq!(read_through(&[], &["id"]).await, (None, 1));
        let cancel = CancellationToken::new();
        cancel.cancel();
        let log = settled(|| async { Some("up".to_owned()) }, &[], EVERY, &cancel).await;
        assert_eq!(log.as_deref(), Some("up"));
    }
}
