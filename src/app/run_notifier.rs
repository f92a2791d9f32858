//! Notifies the receivers of the configuration of how a run ended, and of what it waits for. One
//! that does not answer delays the end of the run a little, and never fails it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{AppError, Environment};
use greenloop_config::plan::NotificationPlan;
use greenloop_evidence::Redactor;
use greenloop_http::retry::RETRY;
use greenloop_model::{
    NotificationKind, RunEvent, RunHeader, RunKind, RunSummary, StopReason, error_chain,
};
use greenloop_notify::{Notification, Sender, Sink, run_end};
use greenloop_report::Reporter;

/// How long all receivers together may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The receivers of one run.
pub(super) struct RunNotifier {
    sinks: Vec<Sink>,
    redactor: Redactor,
    run: String,
    kind: RunKind,
    environment: String,
    facts: Vec<(String, String)>,
    decisions: Mutex<Decisions>,
}

/// What people decided, as far as it was reported.
#[derive(Default)]
struct Decisions {
    count: u32,
    /// Who said no last, and why.
    rejected: Option<String>,
    /// Notifications on their way.
    sent: Vec<JoinHandle<()>>,
}

impl RunNotifier {
    /// Those of the configuration whose variables are set; `None` where there is none.
    pub(super) fn of(
        plans: &[NotificationPlan],
        env: &Environment,
        redactor: &Redactor,
        header: &RunHeader,
    ) -> Option<Self> {
        let mut sinks = Vec::new();
        for plan in plans {
            match Sink::of(plan, &|name| env(name)) {
                Ok(sink) => sinks.push(sink),
                Err(error) => tracing::warn!(%error, "nobody is notified there"),
            }
        }
        if sinks.is_empty() {
            return None;
        }
        let environment =
            header.environment.as_ref().map_or_else(|| header.title.clone(), ToString::to_string);
        let subject = redactor.redact(&header.commit_subject).into_owned();
        let facts = vec![
            ("Environment".to_owned(), environment.clone()),
            ("Run".to_owned(), header.run.to_string()),
            ("Commit".to_owned(), format!("{} {subject}", header.commit.short())),
        ];
        Some(Self {
            sinks,
            redactor: redactor.clone(),
            run: header.run.to_string(),
            kind: header.task,
            environment,
            facts,
            decisions: Mutex::default(),
        })
    }

    /// Sends how the run ended, after the decision was sent.
    pub(super) async fn end(&self, outcome: &Result<RunSummary, AppError>) {
        let Decisions { rejected, sent, .. } = std::mem::take(&mut *self.decisions());
        futures::future::join_all(sent).await;
        let Some(kind) = kind(outcome, self.kind, rejected.is_some()) else { return };
        let text = match (outcome, rejected) {
            (Ok(summary), Some(rejected)) if needs_person(summary) => {
                format!("{rejected}\n\n{}", summary.stop)
            }
            (Ok(summary), _) => summary.stop.to_string(),
            (Err(error), _) => error_chain(error),
        };
        let mut facts = self.facts.clone();
        if let Ok(summary) = outcome {
            facts.push(("Iterations".to_owned(), summary.iterations.to_string()));
            if let Some(branch) = &summary.branch {
                facts.push(("Branch".to_owned(), branch.clone()));
            }
        }
        self.send(Notification {
            id: format!("run-{}-end", self.run),
            kind,
            at: jiff::Timestamp::now().as_second(),
            title: format!("{}: {}", self.environment, run_end(kind)),
            text: self.redactor.redact(&text).into_owned(),
            link: None,
            facts,
        })
        .await;
    }

    /// Says that the run waits for a decision, and where it is taken; the run does not wait for the
    /// receivers.
    pub(super) fn approval_wanted(self: &Arc<Self>, id: i64, link: &str, request: &str) {
        let kind = NotificationKind::ApprovalWanted;
        let notification = Notification {
            id: format!("run-{}-approval-{id}", self.run),
            kind,
            at: jiff::Timestamp::now().as_second(),
            title: format!("{}: {}", self.environment, run_end(kind)),
            text: self.redactor.redact(request).into_owned(),
            link: Some(link.to_owned()),
            facts: self.facts.clone(),
        };
        let notifier = Arc::clone(self);
        tokio::spawn(async move { notifier.send(notification).await });
    }

    /// Says who decided what, and why; the run does not wait for the receivers.
    fn decided(self: &Arc<Self>, approved: bool, who: &str, reason: &str, runtime: &Handle) {
        let word = if approved { "approved" } else { "rejected" };
        let mut decisions = self.decisions();
        decisions.count += 1;
        let text = match reason {
            "" => format!("{word} by {who}"),
            reason => format!("{word} by {who}: {reason}"),
        };
        decisions.rejected = (!approved).then(|| text.clone());
        let notification = Notification {
            id: format!("run-{}-decision-{}", self.run, decisions.count),
            kind: NotificationKind::ApprovalDecided,
            at: jiff::Timestamp::now().as_second(),
            title: format!("{}: {word} by {who}", self.environment),
            text: self.redactor.redact(&text).into_owned(),
            link: None,
            facts: self.facts.clone(),
        };
        let notifier = Arc::clone(self);
        decisions.sent.push(runtime.spawn(async move { notifier.send(notification).await }));
    }

    fn decisions(&self) -> MutexGuard<'_, Decisions> {
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, notification: Notification) {
        let sender = Sender::default();
        let wanted = self.sinks.iter().filter(|sink| sink.wants(notification.kind));
        let sent = wanted.map(|sink| sender.send(sink, &notification, notification.at, RETRY));
        match tokio::time::timeout(TIMEOUT, futures::future::join_all(sent)).await {
            Ok(ended) => {
                for error in ended.into_iter().filter_map(Result::err) {
                    tracing::warn!(%error, "somebody was not notified");
                }
            }
            Err(_elapsed) => {
                let seconds = TIMEOUT.as_secs();
                tracing::warn!("notifications were not delivered within {seconds} s");
            }
        }
    }
}

/// Tells the receivers of a run what people decide.
pub(super) struct DecisionReporter {
    notifier: Arc<RunNotifier>,
    runtime: Handle,
}

impl DecisionReporter {
    /// To be called where the run is: its notifications are sent there.
    pub(super) fn new(notifier: &Arc<RunNotifier>) -> Self {
        Self { notifier: Arc::clone(notifier), runtime: Handle::current() }
    }
}

impl Reporter for DecisionReporter {
    fn event(&mut self, _at: jiff::Timestamp, event: &RunEvent) -> std::io::Result<()> {
        if let RunEvent::HumanDecided { iteration: _, approved, who, reason } = event {
            self.notifier.decided(*approved, who, reason, &self.runtime);
        }
        Ok(())
    }

    fn finish(&mut self) {}
}

const fn needs_person(summary: &RunSummary) -> bool {
    matches!(summary.stop, StopReason::NeedsHuman { .. })
}

/// What the end of a run is for people; `None` for one that a person cancelled. One that a person
/// `rejected` waits for no one.
fn kind(
    outcome: &Result<RunSummary, AppError>,
    run: RunKind,
    rejected: bool,
) -> Option<NotificationKind> {
    let Ok(summary) = outcome else { return Some(NotificationKind::RunStopped) };
    match &summary.stop {
        StopReason::Verified if run == RunKind::RollBack => Some(NotificationKind::RunRolledBack),
        StopReason::Verified if summary.patches.is_empty() => Some(NotificationKind::RunVerified),
        StopReason::Verified => Some(NotificationKind::RunHealed),
        StopReason::Cancelled => None,
        _ if summary.is_restored() => Some(NotificationKind::RunRolledBack),
        StopReason::NeedsHuman { .. } if !rejected => Some(NotificationKind::ApprovalWanted),
        _ => Some(NotificationKind::RunStopped),
    }
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::method;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use greenloop_model::NotificationForm;

    fn notifier(address: String, kind: RunKind) -> RunNotifier {
        let plan = NotificationPlan {
            name: "ops".to_owned(),
            form: NotificationForm::Generic,
            url_env: "OPS_URL".to_owned(),
            secret_env: None,
            events: Vec::new(),
        };
        let env: Environment = Arc::new(move |name| (name == "OPS_URL").then(|| address.clone()));
        let sinks = vec![Sink::of(&plan, &|name| env(name)).unwrap()];
        RunNotifier {
            sinks,
            redactor: Redactor::new(["hunter2hunter2".to_owned()]),
            run: "r1".to_owned(),
            kind,
            environment: "staging".to_owned(),
            facts: Vec::new(),
            decisions: Mutex::default(),
        }
    }

    fn stopped() -> Result<RunSummary, AppError> {
        let what = "the password hunter2hunter2 is wrong".to_owned();
        Err(AppError::Unsupported { what, hint: String::new() })
    }

    #[tokio::test]
    async fn a_receiver_that_refuses_first_hears_how_a_run_ended() {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(503))
            .up_to_n_times(1)
            .mount(&server)
            .await;
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
        notifier(server.uri(), RunKind::Deploy).end(&stopped()).await;
        let received = server.received_requests().await.unwrap();
        assert_eq!(received.len(), 2);
        let body: serde_json::Value = serde_json::from_slice(&received[1].body).unwrap();
        assert_eq!(body["event"], "run_stopped");
        assert_eq!(body["title"], "staging: stopped, a person is needed");
        let text = body["text"].as_str().unwrap();
        assert!(text.contains("is wrong") && !text.contains("hunter2"), "{text}");
    }

    #[tokio::test]
    async fn where_a_decision_is_taken_is_in_the_notification_of_a_run_that_waits() {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
        let notifier = Arc::new(notifier(server.uri(), RunKind::Deploy));
        notifier.approval_wanted(4, "https://hub/#/approvals/4", "apply? hunter2hunter2");
        let received = loop {
            let received = server.received_requests().await.unwrap();
            if !received.is_empty() {
                break received;
            }
            tokio::task::yield_now().await;
        };
        let body: serde_json::Value = serde_json::from_slice(&received[0].body).unwrap();
        assert_eq!(
            (&body["event"], &body["link"], &body["title"]),
            (
                &"approval_wanted".into(),
                &"https://hub/#/approvals/4".into(),
                &"staging: waits for a decision".into()
            )
        );
        assert!(!body.to_string().contains("hunter2"), "{body}");
    }

    #[tokio::test]
    async fn a_receiver_that_refuses_for_good_changes_nothing() {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(404)).mount(&server).await;
        notifier(server.uri(), RunKind::Deploy).end(&stopped()).await;
        assert_eq!(server.received_requests().await.unwrap().len(), 1, "not again");
    }
}
