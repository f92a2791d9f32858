use std::sync::Mutex;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::*;
use greenloop_model::ApprovalSubject;

/// A hub at which the test decides, when it wants to.
#[derive(Default)]
struct Hub {
    decided: Mutex<Option<Option<bool>>>,
    wake: Notify,
    withdrawn: Mutex<Vec<String>>,
}

impl Hub {
    fn says(&self, answer: Option<bool>) {
        *self.decided.lock().unwrap() = Some(answer);
        self.wake.notify_one();
    }
}

#[async_trait]
impl RemoteApprovals for Hub {
    async fn decide(
        &self,
        question: &ApprovalQuestion,
        news: &mut (dyn FnMut(ApprovalNews) + Send),
    ) -> Option<RemoteDecision> {
        let timeout = Duration::from_secs(90 * 60);
        news(ApprovalNews::Waiting { link: "http://hub/#/approvals/4".to_owned(), id: 4, timeout });
        loop {
            if let Some(answer) = *self.decided.lock().unwrap() {
                return answer.map(|approved| RemoteDecision {
                    approved,
                    who: "alice".to_owned(),
                    reason: "right".to_owned(),
                    base: String::new(),
                    tree: question.tree.to_string(),
                    policy: question.policy.clone(),
                    id: 4,
                    link: String::new(),
                });
            }
            self.wake.notified().await;
        }
    }

    async fn withdraw(&self, why: &str) {
        self.withdrawn.lock().unwrap().push(why.to_owned());
    }
}

fn question() -> ApprovalQuestion {
    ApprovalQuestion {
        subject: ApprovalSubject::Patch,
        iteration: 1,
        commit: format!("{:040x}", 1).parse().unwrap(),
        base: None,
        tree: format!("{:040x}", 2).parse().unwrap(),
        policy: "ab".to_owned(),
        request: "apply?".to_owned(),
        diff: String::new(),
        evidence: String::new(),
        review: String::new(),
    }
}

/// Somebody at the terminal who answers at once, or reads until an answer came from elsewhere.
fn terminal(answer: Option<Option<bool>>) -> Terminal {
    let asker: Asker = Arc::new(move |_, _, over: Option<&AtomicBool>| {
        if let Some(answer) = answer {
            return answer;
        }
        let over = over.unwrap();
        while !over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    });
    Terminal { who: "bob".to_owned(), asker }
}

fn asking(hub: &Arc<Hub>, terminal: Option<Terminal>) -> Approval {
    let base = terminal.map_or(Approval::Nobody, Approval::Ask);
    base.with_hub(Some(Arc::clone(hub) as Arc<dyn RemoteApprovals>))
}

#[tokio::test]
async fn whoever_answers_first_decides() {
    // The terminal, and the request at the hub is taken back with who said what.
    let hub = Arc::new(Hub::default());
    let approval = asking(&hub, Some(terminal(Some(Some(true)))));
    let events = EventSink::null();
    let decision = approval.decide(&question(), "", &events).await.unwrap();
    assert_eq!((decision.approved, decision.who.as_str()), (true, "bob"));
    assert_eq!(*hub.withdrawn.lock().unwrap(), ["approved by bob at the terminal"]);

    // The hub, and the terminal is read no longer: its thread ends, or the test would not.
    let hub = Arc::new(Hub::default());
    hub.says(Some(false));
    let approval = asking(&hub, Some(terminal(None)));
    let decision = approval.decide(&question(), "", &EventSink::null()).await.unwrap();
    assert_eq!((decision.approved, decision.who.as_str()), (false, "alice"));
    assert_eq!(decision.reason(), "right");
    assert_eq!(hub.withdrawn.lock().unwrap().len(), 0);

    // A terminal that is closed leaves it to the hub; a hub that gives up, to the terminal.
    let hub = Arc::new(Hub::default());
    let approval = asking(&hub, Some(terminal(Some(None))));
    let late = Arc::clone(&hub);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        late.says(Some(true));
    });
    let decision = approval.decide(&question(), "", &EventSink::null()).await.unwrap();
    assert_eq!(decision.who, "alice");
    let hub = Arc::new(Hub::default());
    hub.says(None);
    let approval = asking(&hub, Some(terminal(Some(Some(true)))));
    let decision = approval.decide(&question(), "", &EventSink::null()).await.unwrap();
    assert_eq!(decision.who, "bob");
}

#[tokio::test]
async fn who_decided_beforehand_is_not_asked_at_the_hub() {
    let hub: Arc<dyn RemoteApprovals> = Arc::new(Hub::default());
    let approval = Approval::Beforehand { who: "ci (--yes)".to_owned() }.with_hub(Some(hub));
    let decision = approval.decide(&question(), "", &EventSink::null()).await.unwrap();
    assert_eq!((decision.approved, decision.who.as_str()), (true, "ci (--yes)"));
    assert!(!Approval::Nobody.is_attended() && approval.is_attended());
    assert_eq!(Approval::Nobody.decide(&question(), "", &EventSink::null()).await, None);
}

#[test]
fn a_time_is_said_in_its_units() {
    assert_eq!(length(Duration::from_secs(90 * 60)), "1h 30m");
    assert_eq!(length(Duration::from_secs(61)), "1m 1s");
}
