//! People at a hub decide for a run: it asks there, keeps the request alive while it waits, and
//! takes it back when it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::Environment;
use super::hub_connection::{connect, hub_of};
use super::run_notifier::RunNotifier;
use greenloop_config::plan::TasksPlan;
use greenloop_evidence::Redactor;
use greenloop_hub_api::client::{HubClient, HubError, HubErrorKind};
use greenloop_hub_api::types::{Approval, ApprovalSubmission};
use greenloop_model::{ApprovalState, RunId, error_chain};
use greenloop_ports::{ApprovalNews, ApprovalQuestion, RemoteApprovals, RemoteDecision};

/// How long a hub may take to say at the beginning whether it has requests for approval.
const PROBE: Duration = Duration::from_secs(3);
/// How long one call is tried for before the wait is said to go on without the hub.
const CALL: Duration = Duration::from_secs(3);
/// Between two calls that a hub did not answer.
const PAUSE: Duration = Duration::from_secs(2);
/// A hub that has not heard of the run for so long withdraws the request, until it hears of it.
const LEASE_SECONDS: u32 = 90;
/// How long one call waits at the hub.
const WAIT_SECONDS: u32 = 10;
/// Longer than the request's own time, for a hub whose clock is behind.
const MARGIN: Duration = Duration::from_secs(60);
/// How long taking a request back may take.
const WITHDRAWAL: Duration = Duration::from_secs(2);

/// The people at one hub, for one run.
pub(super) struct HubApprovals {
    client: HubClient,
    redactor: Redactor,
    run: RunId,
    /// The environment, or what the run does.
    subject: String,
    timeout: Duration,
    notifier: Option<Arc<RunNotifier>>,
    /// What was asked and is not decided.
    pending: Mutex<Option<i64>>,
}

/// What a run's requests say of it.
pub(super) struct ApprovalContext {
    pub(super) run: RunId,
    /// The environment, or what the run does.
    pub(super) subject: String,
    /// How long a request waits.
    pub(super) timeout: Duration,
    pub(super) notifier: Option<Arc<RunNotifier>>,
}

impl HubApprovals {
    /// `None` where no hub or no token for it is known, and where the hub refuses.
    pub(super) async fn of_run(
        tasks: Option<&TasksPlan>,
        env: &Environment,
        context: ApprovalContext,
    ) -> Option<Arc<dyn RemoteApprovals>> {
        let (hub, token_env) = hub_of(tasks, env)?;
        let (client, redactor) = match connect(&hub, &token_env, env) {
            Ok((client, redactor)) => (client, redactor),
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "nobody at the hub can be asked");
                return None;
            }
        };
        match client.within(PROBE).approvals(Some(ApprovalState::Pending), 1).await {
            Ok(_) => {}
            // It may be there when somebody is needed.
            Err(error) if error.kind == HubErrorKind::Unavailable => {}
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "nobody at the hub can be asked");
                return None;
            }
        }
        let ApprovalContext { run, subject, timeout, notifier } = context;
        let client = client.within(CALL);
        let subject = cut(&redactor.redact(&one_line(&subject)), 200, "…");
        let pending = Mutex::new(None);
        Some(Arc::new(Self { client, redactor, run, subject, timeout, notifier, pending }))
    }

    fn submission(&self, question: &ApprovalQuestion, left: Duration) -> ApprovalSubmission {
        let ApprovalQuestion {
            subject,
            iteration,
            commit,
            base,
            tree,
            policy,
            request,
            diff,
            evidence,
            review,
        } = question;
        let text =
            |text: &str, most: usize, more: &str| cut(&self.redactor.redact(text), most, more);
        let base = base.as_ref().map(ToString::to_string).unwrap_or_default();
        let rest = format!("\n… cut here; the whole change: git diff {base} {tree}\n");
        let rest = if base.is_empty() { "\n… cut here\n" } else { rest.as_str() };
        ApprovalSubmission {
            run: self.run.to_string(),
            environment: self.subject.clone(),
            subject: *subject,
            iteration: *iteration,
            commit: Some(commit.to_string()),
            base_tree: base,
            new_tree: tree.to_string(),
            policy: policy.clone(),
            request: text(request, 16 << 10, "\n… cut here\n"),
            diff: text(diff, 256 << 10, rest),
            evidence: text(evidence, 64 << 10, "\n… cut here\n"),
            review: text(review, 16 << 10, "\n… cut here\n"),
            timeout_seconds: u32::try_from(left.as_secs().max(1)).unwrap_or(u32::MAX),
            lease_seconds: LEASE_SECONDS,
        }
    }

    fn set_pending(&self, id: Option<i64>) {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }

    fn take_pending(&self) -> Option<i64> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn link(&self, id: i64) -> String {
        format!("{}#/approvals/{id}", self.client.address())
    }
}

/// Says once that the hub is away, and once that it is back.
struct Line<'a> {
    news: &'a mut (dyn FnMut(ApprovalNews) + Send),
    away: bool,
}

impl Line<'_> {
    /// The answer; `None` when there is none for now.
    fn heard(&mut self, answer: Result<Approval, HubError>) -> Result<Option<Approval>, HubError> {
        match answer {
            Ok(approval) => {
                if self.away {
                    self.away = false;
                    (self.news)(ApprovalNews::Back);
                }
                Ok(Some(approval))
            }
            Err(error) if error.kind == HubErrorKind::Unavailable => {
                if !self.away {
                    self.away = true;
                    (self.news)(ApprovalNews::Away(error_chain(&error)));
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn give_up(&mut self, why: impl Into<String>) {
        (self.news)(ApprovalNews::Given(why.into()));
    }
}

#[async_trait]
impl RemoteApprovals for HubApprovals {
    async fn decide(
        &self,
        question: &ApprovalQuestion,
        news: &mut (dyn FnMut(ApprovalNews) + Send),
    ) -> Option<RemoteDecision> {
        let until = Instant::now() + self.timeout;
        let mut line = Line { news, away: false };
        let mut approval = None;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let late = (Instant::now() > until + MARGIN) || (approval.is_none() && left.is_zero());
            if late {
                line.give_up("nobody decided in time");
                self.withdraw("nobody decided in time").await;
                return None;
            }
            let answer = match approval.as_ref().map(|it: &Approval| it.id) {
                None => self.client.request_approval(&self.submission(question, left)).await,
                Some(id) => self.client.await_approval(id, WAIT_SECONDS).await,
            };
            let found = match line.heard(answer) {
                Ok(Some(found)) => found,
                Ok(None) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                // The hub lost its store: it is asked again.
                Err(error) if error.kind == HubErrorKind::NotFound && approval.is_some() => {
                    approval = None;
                    continue;
                }
                Err(error) => {
                    line.give_up(error_chain(&error));
                    return None;
                }
            };
            let link = self.link(found.id);
            match found.state {
                ApprovalState::Pending if approval.is_none() => {
                    self.set_pending(Some(found.id));
                    let (id, timeout) = (found.id, self.timeout);
                    (line.news)(ApprovalNews::Waiting { link: link.clone(), id, timeout });
                    if let Some(notifier) = &self.notifier {
                        notifier.approval_wanted(id, &link, &question.request);
                    }
                }
                ApprovalState::Pending => {}
                ApprovalState::Approved | ApprovalState::Rejected => {
                    self.set_pending(None);
                    let decision = decision(&found, link);
                    if !is_about(&decision, question) {
                        line.give_up("the decision is about something else");
                        return None;
                    }
                    return Some(decision);
                }
                ApprovalState::Expired => {
                    self.set_pending(None);
                    line.give_up("nobody decided in time");
                    return None;
                }
                ApprovalState::Withdrawn => {
                    self.set_pending(None);
                    line.give_up(format!("the request was withdrawn: {}", found.reason));
                    return None;
                }
            }
            approval = Some(found);
        }
    }

    async fn withdraw(&self, why: &str) {
        let Some(id) = self.take_pending() else { return };
        let why = self.redactor.redact(why);
        let client = self.client.within(WITHDRAWAL);
        let withdrawn = tokio::time::timeout(WITHDRAWAL, client.withdraw_approval(id, &why)).await;
        match withdrawn {
            Ok(Ok(_)) => {}
            // Its lease ends it.
            Ok(Err(error)) => {
                tracing::warn!(error = error_chain(&error), "the request was not withdrawn");
            }
            Err(_elapsed) => tracing::warn!("the hub did not withdraw the request in time"),
        }
    }
}

fn decision(found: &Approval, link: String) -> RemoteDecision {
    RemoteDecision {
        approved: found.state == ApprovalState::Approved,
        who: found.decided_by.clone().unwrap_or_else(|| "somebody at the hub".to_owned()),
        reason: found.reason.clone(),
        base: found.base_tree.clone().unwrap_or_default(),
        tree: found.new_tree.clone().unwrap_or_default(),
        policy: found.policy.clone().unwrap_or_default(),
        id: found.id,
        link,
    }
}

/// Whether a decision is one on exactly these trees, by this policy.
fn is_about(decision: &RemoteDecision, question: &ApprovalQuestion) -> bool {
    let base = question.base.as_ref().map(ToString::to_string).unwrap_or_default();
    decision.base == base
        && decision.tree == question.tree.to_string()
        && decision.policy == question.policy
}

fn one_line(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

/// At most so many bytes of a text; what is cut ends with `more`.
fn cut(text: &str, most: usize, more: &str) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most.saturating_sub(more.len()));
    format!("{}{more}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_says_where_the_rest_is() {
        assert_eq!(cut("abc", 3, "…"), "abc");
        let text = cut(&"ü".repeat(100), 21, "\n… more");
        assert!(text.len() <= 21 && text.ends_with("ü\n… more"), "{text}");
    }
}
