//! A sign of trouble, with the row of the rule table that it fits.

use std::time::Duration;

use super::cause::Cause;
use super::rule::Rule;
use greenloop_model::FailureClass;

/// A sign of trouble.
#[derive(Debug, Clone)]
pub(super) struct Signal {
    pub(super) rule: &'static Rule,
    pub(super) scope: usize,
    /// The pod's uid and name.
    pub(super) pod: Option<(String, String)>,
    pub(super) container: Option<String>,
    pub(super) image: String,
    /// What the cluster says, as it says it.
    pub(super) message: String,
    pub(super) count: u32,
    /// The probe's window, for the rules that look at it.
    pub(super) window: Duration,
    /// Since when, where that is not since when it was first seen.
    pub(super) since: Option<Duration>,
    /// The class that the container's log tells.
    pub(super) log_class: Option<FailureClass>,
    /// `0/3`, of a pod that no node takes: with another number of nodes it is another sign.
    pub(super) nodes: String,
    /// Whether something that runs and was never probed may be what the container waits for.
    pub(super) waits: bool,
    /// What the words of the container say about waiting.
    pub(super) cause: Cause,
    /// When the last run that it is about began; only of crashes.
    pub(super) began: Option<Duration>,
    /// Whether something else can still change it: it is not final meanwhile.
    pub(super) held: bool,
    /// Its age is counted from then, when that is later than since when it has been there.
    pub(super) from: Option<Duration>,
}

impl Signal {
    /// What the sign is about.
    pub(super) fn subject(&self) -> String {
        let pod = self.pod.as_ref().map(|(uid, _)| uid.as_str()).unwrap_or_default();
        let container = self.container.as_deref().unwrap_or_default();
        format!("{} {pod} {container} {}", self.scope, self.nodes)
    }
}
