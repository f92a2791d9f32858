//! `greenloop mcp`: what the agents of other programs may use of Greenloop.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::error::{CommandError, Exit};
use super::patch::WorkTree;
use super::{block_on, patch, policy, policy_report, terminal};
use crate::app::{self, HealRequest, audit_log, runs_folder};
use greenloop_engine::approval::Approval;
use greenloop_evidence::{ExtractLimits, Redactor, explain_json, extract};
use greenloop_mcp::{ServeError, ToolError, ToolSpec, Toolbox};
use greenloop_model::Invocation;

/// Records of an audit log that are shown when nothing else is asked for.
const RECORDS: u64 = 40;
/// How long a command that is healed may take.
const HEAL_TIMEOUT: Duration = Duration::from_secs(1800);

const INSTRUCTIONS: &str = "Greenloop runs quality gates, deploys and repairs. Use explain_log on \
    the output of a failed build or test in place of reading all of it; check_patch and \
    policy_check before you change files for others to review; run_status and audit_show to see what \
    a run of Greenloop did and why.";

/// What is served.
#[derive(Debug, Args)]
pub(super) struct McpArgs {
    /// Offer the tool `heal`, which runs commands, asks the configured model and commits its fix to
    /// a branch
    #[arg(long)]
    allow_heal: bool,
}

pub(super) fn mcp(args: McpArgs) -> Result<Exit, CommandError> {
    let McpArgs { allow_heal } = args;
    let toolbox = Tools { directory: terminal::current_directory()?, allow_heal };
    let served = block_on(greenloop_mcp::serve(toolbox, env!("CARGO_PKG_VERSION"), INSTRUCTIONS))?;
    match served {
        Ok(()) => Ok(Exit::Ok),
        Err(error @ ServeError::Initialize(_)) => {
            Err(CommandError::usage("no MCP client began a session on standard input")
                .because(error)
                .hint("name `greenloop mcp` as a stdio server in your agent's settings"))
        }
        Err(error @ ServeError::Stopped(_)) => {
            Err(CommandError::infrastructure("the MCP server stopped").because(error))
        }
    }
}

struct Tools {
    directory: PathBuf,
    allow_heal: bool,
}

#[async_trait]
impl Toolbox for Tools {
    fn tools(&self) -> Vec<ToolSpec> {
        let mut tools = vec![
            ToolSpec {
                name: "explain_log",
                description: "Finds what matters in the output of a build, test or deployment: the \
                    telling lines with their numbers, failing tests, file locations, the class of \
                    the failure. Secrets are redacted.",
                arguments: object(
                    &["log"],
                    json!({
                        "log": {"type": "string", "description": "The output, whole"},
                    }),
                ),
                read_only: true,
            },
            ToolSpec {
                name: "check_patch",
                description: "Checks whether a patch (a unified diff, or search/replace blocks) fits \
                    the work tree, tolerating wrong line numbers and white space, and returns the \
                    exact diff, or why it does not fit. Changes nothing.",
                arguments: object(
                    &["patch"],
                    json!({
                        "patch": {"type": "string", "description": "A unified diff or search/replace blocks"},
                    }),
                ),
                read_only: true,
            },
            ToolSpec {
                name: "policy_check",
                description: "Evaluates a patch against the repository's policy: allow, needs_human \
                    or forbid, with every rule that matched (weakened tests, deleted migrations, \
                    secrets, permissions, disabled checks).",
                arguments: object(
                    &["patch"],
                    json!({
                        "patch": {"type": "string", "description": "A unified diff or search/replace blocks"},
                        "failure": {"type": "string", "description": "The failure it repairs: a log"},
                    }),
                ),
                read_only: true,
            },
            ToolSpec {
                name: "run_status",
                description: "How a run of Greenloop ended, and its summary; the last run without \
                    `run`.",
                arguments: object(
                    &[],
                    json!({
                        "run": {"type": "string", "description": "The run's id, or the end of it"},
                    }),
                ),
                read_only: true,
            },
            ToolSpec {
                name: "audit_show",
                description: "The last records of a run's audit log: what was done, by whom and why.",
                arguments: object(
                    &["run"],
                    json!({
                        "run": {"type": "string", "description": "The run's id, or the end of it"},
                        "records": {"type": "integer", "description": "How many; 40 by default"},
                    }),
                ),
                read_only: true,
            },
        ];
        if self.allow_heal {
            tools.push(ToolSpec {
                name: "heal",
                description: "Runs a failing command in a sandbox, has the configured model repair \
                    it, reviews the fix, evaluates it against the policy, proves it, and leaves it \
                    on the branch greenloop/<run>; the work tree stays as it is.",
                arguments: object(&["command"], json!({
                    "command": {"type": "string", "description": "A line for `sh -c`, such as `cargo test`"},
                    "max_iterations": {"type": "integer", "description": "1 to 20"},
                })),
                read_only: false,
            });
        }
        tools
    }

    async fn call(
        &self,
        name: &str,
        arguments: &Map<String, Value>,
        cancel: CancellationToken,
    ) -> Result<Value, ToolError> {
        let directory = self.directory.clone();
        let (name, arguments) = (name.to_owned(), arguments.clone());
        // Reading files and logs blocks.
        let called = tokio::task::spawn_blocking(move || {
            let text = |key: &str| arguments.get(key).and_then(Value::as_str).map(str::to_owned);
            let needed = |key: &str| text(key).unwrap_or_default();
            match name.as_str() {
                "explain_log" => Ok(explain(&needed("log"))),
                "check_patch" => check_patch(&directory, &needed("patch")),
                "policy_check" => {
                    policy_check(&directory, &needed("patch"), text("failure").as_deref())
                }
                "run_status" => run_status(&directory, text("run").as_deref()),
                "audit_show" => {
                    let records = arguments.get("records").and_then(Value::as_u64);
                    audit_show(&directory, &needed("run"), records.unwrap_or(RECORDS))
                }
                "heal" => {
                    let most = arguments.get("max_iterations").and_then(Value::as_u64);
                    heal(&directory, needed("command"), most, cancel)
                }
                _ => Err(CommandError::usage(format!("there is no tool `{name}`"))),
            }
        });
        match called.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(ToolError(error.in_words())),
            Err(_panicked) => Err(ToolError("internal error: the tool stopped".to_owned())),
        }
    }
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn explain(log: &str) -> Value {
    explain_json(&extract(log.as_bytes(), ExtractLimits::default(), &Redactor::from_env()))
}

fn check_patch(directory: &Path, text: &str) -> Result<Value, CommandError> {
    let tree = WorkTree::open(directory)?;
    Ok(match patch::resolve_text(text, &tree)? {
        Err(refusal) => json!({"applies": false, "reason": refusal.to_string()}),
        Ok(parsed) => match tree.check(&parsed) {
            Err(error) => json!({"applies": false, "reason": greenloop_model::error_chain(&error)}),
            Ok(()) => json!({
                "applies": true,
                "tolerated": parsed.leniencies(),
                "diff": String::from_utf8_lossy(&parsed.to_unified_diff()),
            }),
        },
    })
}

fn policy_check(
    directory: &Path,
    text: &str,
    failure: Option<&str>,
) -> Result<Value, CommandError> {
    let tree = WorkTree::open(directory)?;
    Ok(match patch::resolve_text(text, &tree)? {
        Err(refusal) => json!({"applies": false, "reason": refusal.to_string()}),
        Ok(parsed) => policy_report::json(&policy::evaluate(&tree, &parsed, failure, None)?.1),
    })
}

fn root(directory: &Path) -> PathBuf {
    greenloop_workspace::work_tree_root(directory).unwrap_or_else(|| directory.to_owned())
}

fn run_status(directory: &Path, run: Option<&str>) -> Result<Value, CommandError> {
    let root = root(directory);
    let mut listings = greenloop_audit::list(&runs_folder(&root));
    listings.sort_by_key(|listing| listing.run);
    let found = listings.into_iter().rfind(|listing| {
        run.is_none_or(|wanted| !wanted.is_empty() && listing.run.to_string().ends_with(wanted))
    });
    let Some(listing) = found else {
        return Ok(json!({"run": null, "reason": match run {
            Some(run) => format!("there is no run {run}"),
            None => "there are no runs yet".to_owned(),
        }}));
    };
    let summary = std::fs::read_to_string(listing.folder.join(greenloop_report::SUMMARY_FILE)).ok();
    Ok(json!({
        "run": listing.run.to_string(),
        "title": listing.title,
        "started": listing.started.map(|at| at.to_string()),
        "outcome": listing.outcome,
        "ended": listing.outcome.is_some(),
        "folder": listing.folder.strip_prefix(&root).unwrap_or(&listing.folder).display().to_string(),
        "summary": summary.map(|text| greenloop_report::safe_text::harmless(&text).into_owned()),
    }))
}

fn audit_show(directory: &Path, run: &str, most: u64) -> Result<Value, CommandError> {
    let log = audit_log(&root(directory), run)?;
    let records = greenloop_audit::read(&log)
        .map_err(|error| CommandError::person("the audit log cannot be read").because(error))?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let shown = records.iter().skip(records.len().saturating_sub(most)).map(|record| {
        json!({
            "seq": record.seq,
            "at": record.wall.to_string(),
            "actor": super::audit::actor(&record.actor),
            "event": record.event,
            "data": record.data,
        })
    });
    Ok(json!({"records": records.len(), "shown": shown.collect::<Vec<_>>()}))
}

fn heal(
    directory: &Path,
    command: String,
    most: Option<u64>,
    cancel: CancellationToken,
) -> Result<Value, CommandError> {
    if greenloop_model::runs_nothing(&command) {
        return Err(CommandError::usage("the command is empty"));
    }
    let max_iterations = most.map(|most| u32::try_from(most.clamp(1, 20)).unwrap_or(20));
    let invocation = Invocation {
        program: terminal::program(),
        git: "git".to_owned(),
        arguments: "heal --branch".to_owned(),
        tail: format!(" -- {}", greenloop_model::shell_word(&command)),
        options: String::new(),
    };
    let request = HealRequest {
        directory: directory.to_owned(),
        command,
        config: None,
        max_iterations,
        max_tokens: None,
        max_cost_usd: None,
        timeout: Some(HEAL_TIMEOUT),
        network: false,
        sandbox: None,
        cache: Vec::new(),
        env_names: Vec::new(),
        branch: true,
        bundle: None,
        copies: super::work_folder(None, "greenloop/heal").ok(),
        debug: false,
        approval: Approval::Nobody,
        env: terminal::environment(),
        invocation,
    };
    let (summary, _no_bundle) =
        tokio::runtime::Handle::current().block_on(app::heal(request, Vec::new(), cancel))?;
    serde_json::to_value(&summary)
        .map_err(|error| CommandError::infrastructure("the result cannot be shown").because(error))
}
