//! What can be wrong between here and a hub.

use crate::types::Problem;

/// The kind of an error, which decides what the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubErrorKind {
    /// The lease has expired or the task was claimed again: whatever was done is void.
    StaleLease,
    /// The hub holds something that contradicts the call.
    Conflict,
    /// There is no such thing.
    NotFound,
    /// The token is missing, wrong or has been revoked.
    Unauthorised,
    /// The token's scope does not cover the call.
    Forbidden,
    /// The call itself is wrong.
    Invalid,
    /// Nobody answers, or only with excuses, and patience is at its end.
    Unavailable,
    /// The answer is none that a hub gives.
    Protocol,
}

impl HubErrorKind {
    pub(super) fn of(status: u16, problem: Option<&Problem>) -> Self {
        let kind = problem.and_then(|p| p.kind.strip_prefix("urn:greenloop:problem:"));
        match (status, kind) {
            (_, Some("stale-lease")) => Self::StaleLease,
            (409 | 412, _) => Self::Conflict,
            (404 | 410, _) => Self::NotFound,
            (401, _) => Self::Unauthorised,
            (403, _) => Self::Forbidden,
            (408 | 429 | 500..=599, _) => Self::Unavailable,
            (400..=499, _) => Self::Invalid,
            (_, _) => Self::Protocol,
        }
    }
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct HubError {
    pub kind: HubErrorKind,
    /// One line for a person: what was asked of which hub, and what it said.
    pub message: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl HubError {
    pub(super) fn new(kind: HubErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(super) fn because(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hubs_own_word_makes_a_lease_stale() {
        let problem = |kind: &str| Problem {
            kind: kind.to_owned(),
            title: String::new(),
            status: 409,
            detail: String::new(),
        };
        for (status, problem, expect) in [
            (409, Some(problem("urn:greenloop:problem:stale-lease")), HubErrorKind::StaleLease),
            (409, Some(problem("urn:greenloop:problem:conflict")), HubErrorKind::Conflict),
            (409, None, HubErrorKind::Conflict),
            (404, None, HubErrorKind::NotFound),
            (401, None, HubErrorKind::Unauthorised),
            (403, None, HubErrorKind::Forbidden),
            (422, None, HubErrorKind::Invalid),
            (503, None, HubErrorKind::Unavailable),
            (302, None, HubErrorKind::Protocol),
        ] {
            assert_eq!(HubErrorKind::of(status, problem.as_ref()), expect, "{status}");
        }
    }
}
