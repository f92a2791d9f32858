//! Asking a person: at the run's terminal, at a hub, or both, and whoever answers first decides.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use greenloop_model::{ApprovalSubject, EventSink, Notice, RunEvent};
use greenloop_ports::{ApprovalNews, ApprovalQuestion, RemoteApprovals, RemoteDecision};

/// How long the reporters may take to come to the end of what they were sent.
const REPORTERS: Duration = Duration::from_millis(150);

/// What a person says to a request, or `None` when they went away without an answer. The second
/// text is what there is to know before an answer; it may be empty. The flag is set when an answer
/// came from elsewhere: then the asker returns soon.
pub type Asker = Arc<dyn Fn(&str, &str, Option<&AtomicBool>) -> Option<bool> + Send + Sync>;

/// A person at the run's terminal.
#[derive(Clone)]
pub struct Terminal {
    pub who: String,
    pub asker: Asker,
}

/// How a person's decision is obtained.
#[derive(Clone)]
pub enum Approval {
    /// There is no terminal: every request stops the run.
    Nobody,
    /// `--yes`: the person said so beforehand.
    Beforehand { who: String },
    /// Asked on the terminal.
    Ask(Terminal),
    /// Asked at a hub, and on the terminal where there is one.
    Hub { hub: Arc<dyn RemoteApprovals>, terminal: Option<Terminal> },
}

impl fmt::Debug for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("Nobody"),
            Self::Beforehand { who } => write!(f, "Beforehand({who})"),
            Self::Ask(Terminal { who, .. }) => write!(f, "Ask({who})"),
            Self::Hub { terminal: Some(Terminal { who, .. }), .. } => write!(f, "Hub({who})"),
            Self::Hub { terminal: None, .. } => f.write_str("Hub"),
        }
    }
}

/// A decision, and who took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HumanDecision {
    pub approved: bool,
    pub who: String,
    /// Of a decision at a hub.
    pub remote: Option<RemoteDecision>,
}

impl HumanDecision {
    fn here(approved: bool, who: &str) -> Self {
        Self { approved, who: who.to_owned(), remote: None }
    }

    fn remote(decision: RemoteDecision) -> Self {
        Self { approved: decision.approved, who: decision.who.clone(), remote: Some(decision) }
    }

    /// Why, where they said so.
    pub fn reason(&self) -> &str {
        self.remote.as_ref().map_or("", |remote| remote.reason.as_str())
    }
}

impl Approval {
    /// Whether somebody can be asked, or was.
    pub fn is_attended(&self) -> bool {
        match self {
            Self::Nobody => false,
            Self::Beforehand { .. } | Self::Ask(_) | Self::Hub { .. } => true,
        }
    }

    /// Whether somebody is shown what there is to know before the answer.
    pub fn shows_facts(&self) -> bool {
        match self {
            Self::Nobody | Self::Beforehand { .. } => false,
            Self::Ask(_) | Self::Hub { .. } => true,
        }
    }

    /// The same, with people at `hub` asked as well, unless somebody decided beforehand.
    #[must_use]
    pub fn with_hub(self, hub: Option<Arc<dyn RemoteApprovals>>) -> Self {
        match (self, hub) {
            (Self::Nobody, Some(hub)) => Self::Hub { hub, terminal: None },
            (Self::Ask(terminal), Some(hub)) => Self::Hub { hub, terminal: Some(terminal) },
            (other, _) => other,
        }
    }

    /// The decision on a question; `None` when nobody could be asked, or nobody answered. `facts`
    /// is what a person at the terminal has not seen yet. A future that is dropped leaves a request
    /// at the hub: [`withdraw`](Self::withdraw) it.
    pub async fn decide(
        &self,
        question: &ApprovalQuestion,
        facts: &str,
        events: &EventSink,
    ) -> Option<HumanDecision> {
        match self {
            Self::Nobody => None,
            // That the tests speak against a patch, nobody has seen beforehand.
            Self::Beforehand { .. } if question.subject == ApprovalSubject::Proof => None,
            Self::Beforehand { who } => Some(HumanDecision::here(true, who)),
            Self::Ask(terminal) => ask(terminal, &question.request, facts, None).await,
            Self::Hub { hub, terminal: None } => {
                let decision = hub.decide(question, &mut |news| tell(events, news)).await;
                decision.map(HumanDecision::remote)
            }
            Self::Hub { hub, terminal: Some(terminal) } => {
                either(hub.as_ref(), terminal, question, facts, events).await
            }
        }
    }

    /// Takes back what was asked and is not decided: the run ends.
    pub async fn withdraw(&self, why: &str) {
        match self {
            Self::Nobody | Self::Beforehand { .. } | Self::Ask(_) => {}
            Self::Hub { hub, .. } => hub.withdraw(why).await,
        }
    }
}

/// Sets its flag when it goes: the terminal is not read any longer.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn either(
    hub: &dyn RemoteApprovals,
    terminal: &Terminal,
    question: &ApprovalQuestion,
    facts: &str,
    events: &EventSink,
) -> Option<HumanDecision> {
    let over = Over(Arc::new(AtomicBool::new(false)));
    let mut told = |news| tell(events, news);
    let remote = hub.decide(question, &mut told);
    let here = ask(terminal, &question.request, facts, Some(Arc::clone(&over.0)));
    tokio::pin!(remote, here);
    tokio::select! {
        decision = &mut remote => match decision {
            Some(decision) => Some(HumanDecision::remote(decision)),
            None => here.await,
        },
        decision = &mut here => match decision {
            Some(decision) => {
                let word = if decision.approved { "approved" } else { "declined" };
                hub.withdraw(&format!("{word} by {} at the terminal", decision.who)).await;
                Some(decision)
            }
            // The terminal is gone: somebody may still decide at the hub.
            None => remote.await.map(HumanDecision::remote),
        },
    }
}

async fn ask(
    terminal: &Terminal,
    request: &str,
    facts: &str,
    over: Option<Arc<AtomicBool>>,
) -> Option<HumanDecision> {
    let asker = Arc::clone(&terminal.asker);
    let (request, facts) = (request.to_owned(), facts.to_owned());
    // The reporters write from a thread of their own: the question comes after what they have to
    // say so far, not in its middle.
    tokio::time::sleep(REPORTERS).await;
    // Reading a terminal blocks, perhaps for hours.
    let answer = tokio::task::spawn_blocking(move || asker(&request, &facts, over.as_deref()));
    let approved = answer.await.ok().flatten()?;
    Some(HumanDecision::here(approved, &terminal.who))
}

fn tell(events: &EventSink, news: ApprovalNews) {
    let notice = match news {
        ApprovalNews::Waiting { link, id, timeout } => Notice::Info(format!(
            "waiting for a person, {} at most: decide at {link} or with `greenloop approve {id}`",
            length(timeout)
        )),
        ApprovalNews::Away(why) => {
            Notice::Warning(format!("the hub does not answer, and the run waits on: {why}"))
        }
        ApprovalNews::Back => Notice::Info("the hub answers again".to_owned()),
        ApprovalNews::Given(why) => Notice::Warning(format!("nobody decides at the hub: {why}")),
    };
    events.send(RunEvent::Notice(notice));
}

/// `1h 30m`
fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let shown: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    shown.join(" ")
}

#[cfg(test)]
#[path = "approval_tests.rs"]
mod tests;
