//! What a supervisor supervises, and what it knows of a release that is being started.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Supervisor;
use super::protocol::{Protocol, Reply, RequestError};
use super::release_state::{ReleaseDetail, StateError, TargetState};
use crate::proxy::listener::Backend;
use greenloop_model::ReleaseId;

/// Requests that only this workload's target has.
pub(crate) type OwnRequest<W> = <<W as Workload>::Protocol as Protocol>::Request;
/// Its replies.
pub(crate) type OwnReply<W> = <<W as Workload>::Protocol as Protocol>::Reply;
/// A reply, when it comes at once, and whether the supervisor goes on.
pub(crate) type Answered<W> = (Option<Reply<OwnReply<W>>>, Next);

/// The processes or containers that releases run as. The supervisor decides which release serves,
/// and calls these when it has; each of them returns without waiting for a process or an engine.
pub(crate) trait Workload: Sized + 'static {
    /// What it remembers of a release.
    type Detail: ReleaseDetail + Clone + Serialize + DeserializeOwned;
    /// What its deployers ask besides what all ask.
    type Protocol: Protocol;
    /// What happens to it.
    type Event: Send + 'static;
    /// What it knows of a release that is being started.
    type Startup;

    /// Whether what runs is stopped whenever the supervisor ends; else only by a shutdown.
    const ENDS_WITH_SUPERVISOR: bool;

    /// The state of a target that has lost its record.
    async fn rebuild_state(&self) -> TargetState<Self::Detail> {
        TargetState::default()
    }

    /// The supervisor has just begun: makes what is to run run.
    fn take_over(supervisor: &mut Supervisor<Self>);

    /// A request of this target alone.
    async fn answer(
        supervisor: &mut Supervisor<Self>,
        asker: &Asker<Self>,
        request: OwnRequest<Self>,
    ) -> Result<Answered<Self>, StateError>;

    /// Something happened to it.
    fn handle(supervisor: &mut Supervisor<Self>, event: Self::Event) -> Result<(), StateError>;

    /// Where new connections to `release` go, when it runs.
    fn backend(&self, release: ReleaseId) -> Option<Backend>;

    /// Whether what `release` needs to be started again is still there.
    fn is_kept(supervisor: &Supervisor<Self>, release: ReleaseId) -> bool;

    /// `release` is not to run any more.
    fn stop(supervisor: &mut Supervisor<Self>, release: ReleaseId);

    /// The same for one that has served: its connections may finish.
    fn retire(supervisor: &mut Supervisor<Self>, release: ReleaseId);

    /// The candidate `release` is given up and no longer supervised.
    fn forget(supervisor: &mut Supervisor<Self>, release: ReleaseId);

    /// `to` shall serve again. Where it runs, it is switched to at once; else it is started for
    /// `asker`, or for nobody. `None`: the answer comes later.
    fn serve_again(
        supervisor: &mut Supervisor<Self>,
        to: ReleaseId,
        asker: Option<&Asker<Self>>,
    ) -> Result<Option<Reply<OwnReply<Self>>>, StateError>;

    /// A release was verified and others are not remembered any more: removes their files.
    fn prune(_supervisor: &mut Supervisor<Self>) {}

    /// Ends a start that was given up.
    fn give_up(supervisor: &mut Supervisor<Self>, pending: &Pending<Self>);

    /// Tells whoever waits for a start that was given up.
    fn tell_given_up(_pending: Pending<Self>, _error: RequestError) {}

    /// From time to time.
    fn tick(supervisor: &mut Supervisor<Self>);

    /// Whether it has work that the supervisor must not end before.
    fn is_busy(&self) -> bool {
        false
    }

    /// After each message.
    fn after_message(_supervisor: &mut Supervisor<Self>) {}

    /// Stops everything; returns when nothing runs.
    async fn stop_all(supervisor: Supervisor<Self>);
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Continue,
    /// End; what outlives a supervisor serves on.
    End,
    /// Stop everything first.
    StopAndEnd,
}

/// Who asks.
pub(crate) struct Asker<W: Workload> {
    /// The number of its connection.
    pub(crate) connection: u64,
    pub(crate) replies: mpsc::UnboundedSender<Reply<OwnReply<W>>>,
}

impl<W: Workload> Asker<W> {
    pub(crate) fn tell(&self, reply: impl Into<Reply<OwnReply<W>>>) {
        let _asker_is_gone = self.replies.send(reply.into());
    }
}

impl<W: Workload> Clone for Asker<W> {
    fn clone(&self) -> Self {
        Self { connection: self.connection, replies: self.replies.clone() }
    }
}

/// Why a release is being started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    RollOut,
    RollBack,
    Restore,
}

/// A release on its way to serving. At most one at a time.
pub(crate) struct Pending<W: Workload> {
    pub(crate) release: ReleaseId,
    pub(crate) purpose: Purpose,
    /// The connection that gives it up by closing.
    pub(crate) connection: Option<u64>,
    pub(crate) startup: W::Startup,
}

/// Who answers for a release that serves but is not verified.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lease {
    /// Every release that serves is verified.
    None,
    Held {
        connection: u64,
        release: ReleaseId,
    },
    Lost {
        release: ReleaseId,
        until: Instant,
    },
}
