//! Notifications: what happened, in the form that a receiver understands, signed and sent.
//!
//! Lives here: the forms (a generic one, Slack, Microsoft Teams), the signature, one delivery. Must
//! not be here: what is worth a notification, and when a delivery is tried again later.
//!
//! # Guarantees
//! - A delivery carries the same id however often it is sent: a receiver may see it twice, and can
//!   tell.
//! - The address of a receiver is a secret: no error and no log has it.

mod form;
mod sign;
mod sink;

pub use form::body;
pub use sign::signature;
pub use sink::{DeliveryError, Sender, Sink, SinkError};

use greenloop_model::NotificationKind;

/// Something that people want to hear of. Texts were redacted by who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The same for every delivery of it.
    pub id: String,
    /// What happened.
    pub kind: NotificationKind,
    /// When, in seconds since the epoch.
    pub at: i64,
    /// One line.
    pub title: String,
    /// More; may be empty.
    pub text: String,
    /// Where to read on.
    pub link: Option<String>,
    /// Names and values.
    pub facts: Vec<(String, String)>,
}

/// How a run ended, for a title.
pub const fn run_end(kind: NotificationKind) -> &'static str {
    match kind {
        NotificationKind::RunVerified => "verified",
        NotificationKind::RunHealed => "healed and verified",
        NotificationKind::RunRolledBack => "deployment failed, the last good release is restored",
        NotificationKind::RunStopped => "stopped, a person is needed",
        NotificationKind::ApprovalWanted => "waits for a decision",
        NotificationKind::ApprovalDecided
        | NotificationKind::GraphDone
        | NotificationKind::GraphFailed
        | NotificationKind::Conflict
        | NotificationKind::WorkerLost
        | NotificationKind::MainBroken => "",
    }
}
