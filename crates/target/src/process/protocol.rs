//! What Greenloop and a supervisor say to each other.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::state::Launch;
use crate::supervisor::protocol::Protocol;
use greenloop_model::{CommitId, ReleaseId, RunId};

/// What only a process target's supervisor is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum ProcessRequest {
    /// Start a release whose folder is ready, and switch to it when it is healthy. The
    /// connection is the deployer's lease: see the module's documentation.
    RollOut {
        release: ReleaseId,
        commit: CommitId,
        run: RunId,
        launch: Launch,
        front: String,
        wait: Duration,
        environment: Vec<Variable>,
    },
    /// Start an earlier release, and switch to it when it is healthy.
    RollBack { release: Option<ReleaseId>, wait: Duration },
    /// Give up what this connection has asked for.
    Cancel,
    /// The release failed; the last verified one shall serve.
    Restore { failed: ReleaseId },
}

/// What only it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum ProcessReply {
    /// A step of a rollout; may come any number of times before the last reply.
    Progress { step: String, ok: bool, detail: String, elapsed: Duration },
}

/// The process target's protocol.
#[derive(Debug)]
pub(super) enum ProcessProtocol {}

impl Protocol for ProcessProtocol {
    type Request = ProcessRequest;
    type Reply = ProcessReply;

    fn is_progress(reply: &ProcessReply) -> bool {
        let ProcessReply::Progress { .. } = reply;
        true
    }
}

/// A variable of the environment; as bytes where it is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Variable {
    Text(String, String),
    Bytes(Vec<u8>, Vec<u8>),
}

impl Variable {
    pub(super) fn new(name: OsString, value: OsString) -> Self {
        match (name.to_str(), value.to_str()) {
            (Some(name), Some(value)) => Self::Text(name.to_owned(), value.to_owned()),
            (_, _) => Self::Bytes(name.as_bytes().to_vec(), value.as_bytes().to_vec()),
        }
    }

    pub(super) fn into_pair(self) -> (OsString, OsString) {
        match self {
            Self::Text(name, value) => (name.into(), value.into()),
            Self::Bytes(name, value) => (OsString::from_vec(name), OsString::from_vec(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::supervisor::protocol::{Reply as AnyReply, Request as AnyRequest, RequestError};
    use crate::supervisor::wire::{WireError, receive, send};

    type Request = AnyRequest<ProcessRequest>;
    type Reply = AnyReply<ProcessReply>;

    /// A deployer and a supervisor of other builds speak the same version.
    #[test]
    fn the_wire_form_stays() {
        let release = ReleaseId::generate();
        for (request, expect) in [
            (Request::Ping, json!({"ask": "ping"})),
            (
                Request::MarkVerified { release },
                json!({"ask": "mark_verified", "release": release.to_string()}),
            ),
            (Request::Own(ProcessRequest::Cancel), json!({"ask": "cancel"})),
            (
                Request::Own(ProcessRequest::Restore { failed: release }),
                json!({"ask": "restore", "failed": release.to_string()}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&request).unwrap(), expect);
            assert_eq!(serde_json::from_value::<Request>(expect).unwrap(), request);
        }
        let step = "start".to_owned();
        let elapsed = Duration::from_secs(1);
        for (reply, expect) in [
            (Reply::Here { pid: 7 }, json!({"answer": "here", "pid": 7})),
            (
                RequestError::NotStarted { reason: "x".to_owned() }.into(),
                json!({"answer": "failed", "trouble": {"kind": "not_started", "reason": "x"}}),
            ),
            (
                Reply::Own(ProcessReply::Progress {
                    step,
                    ok: true,
                    detail: String::new(),
                    elapsed,
                }),
                json!({"answer": "progress", "step": "start", "ok": true, "detail": "",
                    "elapsed": {"secs": 1, "nanos": 0}}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&reply).unwrap(), expect);
            assert_eq!(serde_json::from_value::<Reply>(expect).unwrap(), reply);
        }
    }

    #[tokio::test]
    async fn messages_round_trip() {
        let request = Request::Own(ProcessRequest::RollOut {
            release: ReleaseId::generate(),
            commit: "b".repeat(40).parse().unwrap(),
            run: RunId::generate(),
            launch: Launch {
                command: vec!["x".into()],
                env: std::collections::BTreeMap::new(),
                health: "/".into(),
                health_timeout: Duration::from_millis(1500),
                drain: Duration::ZERO,
                keep: 3,
            },
            front: "127.0.0.1:1".into(),
            wait: Duration::from_secs(60),
            environment: vec![
                Variable::new("A".into(), "1".into()),
                Variable::new("B".into(), OsString::from_vec(vec![0xff])),
            ],
        });
        let mut wire = Vec::new();
        send(&mut wire, &request).await.unwrap();
        let roll_back = ProcessRequest::RollBack { release: None, wait: Duration::ZERO };
        send(&mut wire, &Request::Own(roll_back.clone())).await.unwrap();
        let mut from = wire.as_slice();
        assert_eq!(receive::<Request>(&mut from).await.unwrap(), Some(request));
        assert_eq!(receive(&mut from).await.unwrap(), Some(Request::Own(roll_back)));
        assert!(receive::<Request>(&mut from).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn another_version_is_told_apart_from_noise() {
        let mut newer = b"{\"v\":7,\"body\":{\"ask\":\"dance\"}}\n".as_slice();
        assert!(matches!(receive::<Request>(&mut newer).await, Err(WireError::Version(7))));
        let mut noise = b"hello\n".as_slice();
        assert!(matches!(receive::<Request>(&mut noise).await, Err(WireError::Malformed(_))));
        let mut cut = b"{\"v\":1,".as_slice();
        assert!(matches!(receive::<Request>(&mut cut).await, Err(WireError::Malformed(_))));
    }
}
