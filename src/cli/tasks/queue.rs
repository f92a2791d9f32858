//! `greenloop tasks queue`: merge queues, and what becomes of one that is on hold.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};

use super::actions::ReasonArgs;
use super::hub_args::HubArgs;
use crate::app;
use crate::cli::error::{CommandError, Exit};
use crate::cli::{block_on, output};
use greenloop_hub_api::types::{Branch, HoldDecisionRequest, QueueRequest};
use greenloop_model::task::{HoldDecision, MergeId};
use greenloop_report::safe_text::safe;

/// What to do with merge queues.
#[derive(Debug, Args)]
pub(in crate::cli) struct QueueArgs {
    /// What to do
    #[arg(value_enum, default_value_t = QueueAction::Show)]
    action: QueueAction,
    #[command(flatten)]
    hub: HubArgs,
    /// Project, if several have such a target
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Target branch, if several queues are on hold
    #[arg(long, value_name = "BRANCH")]
    target: Option<String>,
    /// The entry, for eject and requeue
    #[arg(long, value_name = "ID", required_if_eq_any = [("action", "eject"), ("action", "requeue")])]
    entry: Option<i64>,
    #[command(flatten)]
    reason: ReasonArgs,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum QueueAction {
    /// Show the merge queues
    Show,
    /// Accept where the target was moved back to, and redo the missing merges
    Follow,
    /// Push the removed commits to the target again
    Restore,
    /// Check a target that is broken or was moved back again now
    Retry,
    /// Merge nothing; what is being pushed arrives
    Pause,
    /// End the pause
    Resume,
    /// Throw the entry --entry out of its queue; its task waits for a person
    Eject,
    /// Put the entry --entry, which left its queue, back at its place
    Requeue,
}

pub(super) fn queue(args: QueueArgs) -> Result<Exit, CommandError> {
    let QueueArgs { action, hub, project, target, entry, reason, json } = args;
    let access = hub.access();
    let client = access.client()?;
    let reason = reason.reason;
    let entry = MergeId(entry.unwrap_or_default());
    let queues = block_on(async {
        let decide = |decision| HoldDecisionRequest {
            project: project.clone(),
            target: target.clone(),
            decision,
            reason: reason.clone(),
        };
        let queue = QueueRequest {
            project: project.clone(),
            target: target.clone(),
            reason: reason.clone(),
        };
        match action {
            QueueAction::Show => {}
            QueueAction::Follow => client.decide_hold(&decide(HoldDecision::Follow)).await?,
            QueueAction::Restore => client.decide_hold(&decide(HoldDecision::Restore)).await?,
            QueueAction::Retry => client.decide_hold(&decide(HoldDecision::Retry)).await?,
            QueueAction::Pause => client.pause_queue(&queue, true).await.map(drop)?,
            QueueAction::Resume => client.pause_queue(&queue, false).await.map(drop)?,
            QueueAction::Eject => client.eject_merge(entry, &reason).await.map(drop)?,
            QueueAction::Requeue => client.requeue_merge(entry, &reason).await.map(drop)?,
        }
        app::merge_queues(&access, project.as_deref(), target.as_deref()).await
    })??;
    if json {
        output::print_json(&serde_json::json!(queues))?;
        return Ok(Exit::Ok);
    }
    output::print(&safe(&report(&queues)))?;
    Ok(Exit::Ok)
}

fn report(queues: &[Branch]) -> String {
    let mut text = String::new();
    for queue in queues {
        let project = queue.project.as_deref().unwrap_or_default();
        let _infallible = writeln!(
            text,
            "{} of {project}: {} queued, {} testing, {} merged",
            queue.name, queue.queued, queue.testing, queue.merged
        );
        if let Some(since) = queue.paused_since {
            let _infallible = writeln!(text, "        paused since {since}");
        }
        if let Some(line) = on_hold(queue) {
            text.push_str(&line);
        } else if let Some(reason) = &queue.reason {
            let _infallible = writeln!(text, "        waiting: {reason}");
        }
    }
    if text.is_empty() {
        text.push_str("no merge queues\n");
    }
    text
}

/// Why a queue is on hold, when it is.
pub(super) fn on_hold(queue: &Branch) -> Option<String> {
    let hold = queue.hold.as_ref()?;
    let mut text = format!("        on hold since {}: {}\n", hold.since, hold.text);
    for lost in &hold.lost {
        let _infallible = writeln!(text, "          missing: {lost}");
    }
    if let Some(decision) = &hold.decision {
        let _infallible = writeln!(text, "          decided: {decision}");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_hub_api::types::{MergeHold, Timestamp};
    use greenloop_model::task::HoldReason;

    #[test]
    fn a_queue_on_hold_says_why_and_what_is_missing() {
        let queue = Branch {
            name: "main".into(),
            kind: "target".into(),
            project: Some("fleet".into()),
            repository: None,
            commit: None,
            task: None,
            writer: None,
            queued: 2,
            testing: 0,
            merged: 8,
            paused_until: None,
            reason: None,
            paused_since: None,
            hold: Some(MergeHold {
                reason: HoldReason::TargetRewound,
                tip: None,
                expected: None,
                commit: None,
                author: None,
                text: "main was deleted".into(),
                lost: vec!["abc 1.1 Title".into()],
                decision: None,
                since: Timestamp(0),
            }),
        };
        assert_eq!(
            report(&[queue]),
            "main of fleet: 2 queued, 0 testing, 8 merged\n        on hold since \
             1970-01-01T00:00:00Z: main was deleted\n          missing: abc 1.1 Title\n"
        );
    }
}
