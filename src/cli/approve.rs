//! `greenloop approve`: decisions that runs and tasks wait for at a hub.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};

use super::error::{CommandError, Exit};
use super::tasks::HubArgs;
use super::{block_on, output, terminal};
use crate::app::AppError;
use greenloop_hub_api::types::{Approval, ApprovalDecision};
use greenloop_model::{ApprovalState, ApprovalSubject, shell_word};
use greenloop_report::safe_text::safe;

/// Requests that are listed.
const LISTED: u32 = 100;

/// What to decide.
#[derive(Debug, Args)]
pub(super) struct ApproveArgs {
    /// The request's id; what waits is listed without one
    #[arg(value_name = "ID")]
    id: Option<i64>,
    /// Reject it
    #[arg(long, requires = "id")]
    reject: bool,
    /// Why, for the record
    #[arg(short = 'm', long, value_name = "TEXT", requires = "id")]
    reason: Option<String>,
    /// Decide without being asked, as a script does
    #[arg(short, long, requires = "id")]
    yes: bool,
    /// List also what was decided, expired or was withdrawn
    #[arg(long, conflicts_with = "id")]
    all: bool,
    #[command(flatten)]
    hub: HubArgs,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = ApproveOutput::Plain)]
    output: ApproveOutput,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ApproveOutput {
    /// Text
    #[value(alias = "human", alias = "auto")]
    Plain,
    /// One JSON value
    Json,
}

pub(super) fn approve(args: ApproveArgs) -> Result<Exit, CommandError> {
    let ApproveArgs { id, reject, reason, yes, all, hub, output } = args;
    let client = hub.access().client()?;
    let Some(id) = id else {
        let state = (!all).then_some(ApprovalState::Pending);
        let found =
            block_on(async { client.approvals(state, LISTED).await.map_err(AppError::from) })??;
        match output {
            ApproveOutput::Json => output::print_json(&serde_json::json!(found))?,
            ApproveOutput::Plain => output::print(&safe(&list(&found, all)))?,
        }
        return Ok(Exit::Ok);
    };
    let approval = block_on(async { client.approval(id).await.map_err(AppError::from) })??;
    if output == ApproveOutput::Plain {
        output::print(&safe(&page(&approval)))?;
    }
    if approval.state != ApprovalState::Pending {
        if output == ApproveOutput::Json {
            output::print_json(&serde_json::json!(approval))?;
        }
        // Whoever asked for nothing but a look has it.
        return match (yes || reject, decided_as(&approval, !reject)) {
            (false, _) | (_, true) => Ok(Exit::Ok),
            (true, false) => Err(CommandError::person(format!(
                "request {id} is {}: only one that is pending is decided",
                approval.state
            ))),
        };
    }
    let approved = match output {
        _ if yes => Some(!reject),
        // A program is told, and not asked.
        ApproveOutput::Json => None,
        ApproveOutput::Plain => ask(&approval, reject),
    };
    let Some(approve) = approved else {
        if output == ApproveOutput::Json {
            output::print_json(&serde_json::json!(approval))?;
        }
        return match reject {
            false => Ok(Exit::Ok),
            true => Err(CommandError::usage("nobody can be asked here")
                .hint(format!("decide with `greenloop approve {id} --reject --yes`"))),
        };
    };
    let decision = ApprovalDecision {
        reason: reason.unwrap_or_default(),
        // What was shown, and nothing else.
        scope: Some(approval.scope.clone()),
    };
    let decided = block_on(async {
        client.decide_approval(id, approve, &decision).await.map_err(AppError::from)
    })??;
    match output {
        ApproveOutput::Json => output::print_json(&serde_json::json!(decided))?,
        ApproveOutput::Plain => {
            output::print(&safe(&format!("\n{}\n", outcome(&decided).unwrap_or_default())))?;
        }
    }
    Ok(Exit::Ok)
}

fn decided_as(approval: &Approval, approve: bool) -> bool {
    let wanted = if approve { ApprovalState::Approved } else { ApprovalState::Rejected };
    approval.state == wanted
}

/// What a person at the terminal says; `None` where there is nobody, or nobody decides.
fn ask(approval: &Approval, reject: bool) -> Option<bool> {
    let id = approval.id;
    if reject {
        return match terminal::confirm(&format!("reject request {id}?"))? {
            true => Some(false),
            false => None,
        };
    }
    match terminal::confirm(&format!("approve request {id}?"))? {
        true => Some(true),
        false => match terminal::confirm("reject it? (no: it goes on waiting)")? {
            true => Some(false),
            false => None,
        },
    }
}

fn list(found: &[Approval], all: bool) -> String {
    if found.is_empty() {
        return match all {
            true => "nobody has asked for a decision\n".to_owned(),
            false => "nothing waits for a decision\n".to_owned(),
        };
    }
    let mut text = String::new();
    for approval in found {
        let line = approval.request.lines().next().unwrap_or_default();
        let _infallible = writeln!(
            text,
            "{:>5}  {:<9}  {}  {}",
            approval.id,
            approval.state.name(),
            whose(approval),
            line
        );
        if let Some(outcome) = outcome(approval) {
            let _infallible = writeln!(text, "       {outcome}");
        }
    }
    if found.iter().any(|it| it.state == ApprovalState::Pending) {
        text.push_str("\nshow and decide one: greenloop approve ID\n");
    }
    text
}

fn whose(approval: &Approval) -> String {
    let of = match (approval.subject, approval.task) {
        (ApprovalSubject::Task | ApprovalSubject::Merge, Some(task)) => format!("task {task}"),
        _ => approval.environment.clone().unwrap_or_default(),
    };
    format!("{} of {of}", approval.subject)
}

fn outcome(approval: &Approval) -> Option<String> {
    let ended = approval.ended_at?;
    let who = match &approval.decided_by {
        Some(who) => format!(" by {who}"),
        None => String::new(),
    };
    let why = match approval.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    Some(format!("{}{who} at {ended}{why}", approval.state))
}

fn page(approval: &Approval) -> String {
    let mut text = format!("{}\n\n", approval.request.trim_end());
    let mut line = |label: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _infallible = writeln!(text, "{label:<12} {value}");
        }
    };
    line("request", Some(&format!("{} ({})", approval.id, whose(approval))));
    line("asked by", approval.requested_by.as_deref());
    line("run", approval.run.as_deref());
    line("commit", approval.commit.as_deref());
    line("tree before", approval.base_tree.as_deref());
    line("tree", approval.new_tree.as_deref());
    line("policy", approval.policy.as_deref());
    line("asked", Some(&approval.created_at.to_string()));
    match (outcome(approval), approval.expires_at) {
        (Some(outcome), _) => line("decided", Some(&outcome)),
        (None, Some(expires)) => line("expires", Some(&expires.to_string())),
        (None, None) => {}
    }
    for (heading, body) in
        [("Change", &approval.diff), ("Evidence", &approval.evidence), ("Review", &approval.review)]
    {
        if !body.trim().is_empty() {
            let _infallible = writeln!(text, "\n{heading}\n");
            for line in body.trim_end().lines() {
                let _infallible = writeln!(text, "  {line}");
            }
        }
    }
    if approval.state == ApprovalState::Pending {
        let id = shell_word(&approval.id.to_string());
        let _infallible = write!(
            text,
            "\napprove: greenloop approve {id} --yes --reason TEXT\nreject:  greenloop approve \
             {id} --reject --yes --reason TEXT\n"
        );
    }
    text
}
