//! What Greenloop and a supervisor say to each other.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::state::Launch;
use crate::front::control::{Answer, Protocol};
use crate::front::ledger::{as_optional_text, as_text};
use crate::front::probe::Probe;
use crate::front::wire::VERSION;
use greenloop_model::{CommitId, Exit, ReleaseId, RunId};

/// What a supervisor can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum Request {
    /// Whether it is there.
    Ping,
    /// Start a release whose folder is ready, and switch to it when it is healthy. The
    /// connection is the deployer's lease: see the module's documentation.
    RollOut {
        #[serde(with = "as_text")]
        release: ReleaseId,
        #[serde(with = "as_text")]
        commit: CommitId,
        #[serde(with = "as_text")]
        run: RunId,
        launch: Launch,
        front: String,
        wait: Duration,
        environment: Vec<Variable>,
    },
    /// Start an earlier release, and switch to it when it is healthy.
    RollBack {
        #[serde(with = "as_optional_text")]
        release: Option<ReleaseId>,
        wait: Duration,
    },
    /// Give up what this connection has asked for.
    Cancel,
    /// The release passed its smoke tests.
    MarkVerified {
        #[serde(with = "as_text")]
        release: ReleaseId,
    },
    /// The release failed; the last verified one shall serve.
    Restore {
        #[serde(with = "as_text")]
        failed: ReleaseId,
    },
    /// The run is gone.
    CleanUp {
        #[serde(with = "as_text")]
        run: RunId,
    },
    /// Stop the service and end.
    ShutDown,
}

/// What it answers. `Progress` may come any number of times before the last one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Reply {
    /// To `Ping`.
    Here { pid: u32 },
    /// A step of a rollout.
    Progress { step: String, ok: bool, detail: String, elapsed: Duration },
    /// The release serves.
    Serving {
        #[serde(with = "as_text")]
        release: ReleaseId,
    },
    /// To `Restore`: what serves now, and whether it had stopped serving.
    Restored {
        #[serde(with = "as_optional_text")]
        serving: Option<ReleaseId>,
        untouched: bool,
    },
    /// It is done.
    Done { notes: Vec<String> },
    /// It is not.
    Failed { trouble: Trouble },
}

/// Why a request could not be met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Trouble {
    /// The release's program could not be started.
    NotStarted { reason: String },
    /// The release's process ended before it was healthy.
    Exited { exit: ExitRecord },
    /// The release's process lives, but its health check does not pass.
    Unhealthy { last: Option<Probe>, waited: Duration },
    /// It failed in an earlier request.
    FailedBefore { why: String },
    /// The front's address belongs to somebody else.
    AddressInUse { address: String, owner: Option<String> },
    /// Another rollout is under way.
    Busy { with: String },
    /// It was cancelled, by the deployer or by a person.
    Cancelled,
    /// There is no such release.
    NoRelease { message: String },
    /// The supervisor itself could not.
    Supervisor { message: String },
    /// The supervisor speaks another version.
    Version { supervisor: u32 },
}

/// The process target's protocol.
#[derive(Debug)]
pub(super) enum Supervision {}

impl Protocol for Supervision {
    type Request = Request;
    type Reply = Reply;

    fn ping() -> Request {
        Request::Ping
    }

    fn kind(reply: &Reply) -> Answer {
        match reply {
            Reply::Here { pid } => Answer::Here(*pid),
            Reply::Progress { .. } => Answer::Progress,
            Reply::Failed { trouble: Trouble::Version { supervisor } } => {
                Answer::OtherVersion(*supervisor)
            }
            Reply::Serving { .. }
            | Reply::Restored { .. }
            | Reply::Done { .. }
            | Reply::Failed { .. } => Answer::Last,
        }
    }

    fn other_version() -> Reply {
        Reply::Failed { trouble: Trouble::Version { supervisor: VERSION } }
    }
}

/// [`Exit`] on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExitRecord {
    Code(i32),
    Signal(i32),
}

impl From<ExitRecord> for Exit {
    fn from(record: ExitRecord) -> Self {
        match record {
            ExitRecord::Code(code) => Self::Code(code),
            ExitRecord::Signal(signal) => Self::Signal(signal),
        }
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
    use super::*;
    use crate::front::wire::{WireError, receive, send};

    #[tokio::test]
    async fn messages_round_trip() {
        let request = Request::RollOut {
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
        };
        let mut wire = Vec::new();
        send(&mut wire, &request).await.unwrap();
        send(&mut wire, &Request::RollBack { release: None, wait: Duration::ZERO }).await.unwrap();
        let mut from = wire.as_slice();
        assert_eq!(receive::<Request>(&mut from).await.unwrap(), Some(request));
        assert!(matches!(receive(&mut from).await.unwrap(), Some(Request::RollBack { .. })));
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
