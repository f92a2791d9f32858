//! `greenloop tasks queue`: merge queues, and what becomes of one that is on hold.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};

use super::hub_args::HubArgs;
use crate::app;
use crate::cli::error::{CommandError, Exit};
use crate::cli::{block_on, output};
use greenloop_hub_api::types::Branch;
use greenloop_model::task::HoldDecision;
use greenloop_report::safe_text::safe;

/// What to do with merge queues.
#[derive(Debug, Args)]
pub(in crate::cli) struct QueueArgs {
    /// What to do
    #[arg(value_enum, default_value_t = QueueAction::Show)]
    action: QueueAction,
    #[command(flatten)]
    hub: HubArgs,
    /// The project, when several have such a target
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// The target branch, when several queues are on hold
    #[arg(long, value_name = "BRANCH")]
    target: Option<String>,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum QueueAction {
    /// Show the merge queues
    Show,
    /// The target stays where somebody moved it back to: what is missing there is done again
    Follow,
    /// The target gets back what somebody took from it
    Restore,
    /// Look again now at a target that is broken or was moved back
    Retry,
}

pub(super) fn queue(args: QueueArgs) -> Result<Exit, CommandError> {
    let QueueArgs { action, hub, project, target, json } = args;
    let access = hub.access();
    let decision = match action {
        QueueAction::Show => None,
        QueueAction::Follow => Some(HoldDecision::Follow),
        QueueAction::Restore => Some(HoldDecision::Restore),
        QueueAction::Retry => Some(HoldDecision::Retry),
    };
    let queues = block_on(app::merge_queues(&access, decision, project, target))??;
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
        if let Some(line) = on_hold(queue) {
            text.push_str(&line);
        } else if let Some(reason) = &queue.reason {
            let _infallible = writeln!(text, "        waits: {reason}");
        }
    }
    if text.is_empty() {
        text.push_str("nothing was ever merged\n");
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
