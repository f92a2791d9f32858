//! `greenloop policy`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::error::{CommandError, Exit};
use super::patch::{self, WorkTree};
use super::{completions, output, policy_report, terminal};
use greenloop_config::Overrides;
use greenloop_config::plan::PolicyPlan;
use greenloop_model::{Decision, Evaluation};
use greenloop_patch::ParsedPatch;
use greenloop_policy::{Policy, Subject};

/// What to ask the policy.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Evaluate a diff or a model's answer against the work tree; exit 0 allow, 1 otherwise
    Check {
        /// Diff or answer to evaluate; `-` reads standard input
        #[arg(long, value_name = "FILE")]
        patch: PathBuf,
        /// Failure that the patch repairs: a build log, or the output of `explain`; `-` reads
        /// standard input
        #[arg(long, value_name = "EVIDENCE")]
        failure: Option<PathBuf>,
        /// Output format
        #[arg(short, long, value_enum, default_value_t = PolicyOutput::Text)]
        output: PolicyOutput,
        /// Configuration file [default: greenloop.yaml or config.yaml at the repository's root, if there is one]
        #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
        config: Option<PathBuf>,
    },
    /// Explain a rule and what to do about it; without RULE, list all rules
    Explain {
        /// Name of the rule, for example never_delete
        #[arg(add = ArgValueCandidates::new(completions::rules))]
        rule: Option<String>,
    },
}

/// How a decision is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PolicyOutput {
    /// One line per match, and the decision
    #[value(alias = "human", alias = "plain", alias = "auto")]
    Text,
    /// One JSON object
    Json,
    /// SARIF 2.1.0, for annotations on code hosts
    Sarif,
}

pub(super) fn policy(command: PolicyCommand) -> Result<Exit, CommandError> {
    match command {
        PolicyCommand::Check { patch, failure, output, config } => {
            check(patch, failure, output, config)
        }
        PolicyCommand::Explain { rule } => explain(rule),
    }
}

fn check(
    file: PathBuf,
    failure: Option<PathBuf>,
    form: PolicyOutput,
    config: Option<PathBuf>,
) -> Result<Exit, CommandError> {
    let tree = WorkTree::open(&terminal::current_directory()?)?;
    let parsed = match patch::read(&file, &tree)? {
        Ok(parsed) => parsed,
        Err(refusal) => return patch::refused(&refusal),
    };
    let failure = failure.map(|path| patch::read_text(&path)).transpose()?;
    let (policy, evaluation) = evaluate(&tree, &parsed, failure.as_deref(), config)?;
    let safe = |text: String| greenloop_report::safe_text::safe(&text);
    match form {
        PolicyOutput::Text => output::print(&safe(in_lines(&evaluation)))?,
        PolicyOutput::Json => {
            output::print_content(&safe(format!("{}\n", policy_report::json(&evaluation))))?;
        }
        PolicyOutput::Sarif => {
            let log = policy_report::sarif(&evaluation, &policy);
            output::print_content(&safe(format!("{log}\n")))?;
        }
    }
    Ok(match evaluation.decision() {
        Decision::Allow => Exit::Ok,
        Decision::NeedsHuman | Decision::Forbid => Exit::NeedsPerson,
    })
}

/// The policy, and what it says of a patch.
pub(super) fn evaluate(
    tree: &WorkTree,
    patch: &ParsedPatch,
    failure: Option<&str>,
    config: Option<PathBuf>,
) -> Result<(Policy, Evaluation), CommandError> {
    let (plan, gates) = match config.or_else(|| tree.default_config()) {
        Some(path) => configured(&path, tree)?,
        None => (greenloop_config::heal_plan(&|_: &str| None)?.policy, Vec::new()),
    };
    let policy =
        Policy::new(&plan).map_err(|e| CommandError::usage("the policy is invalid").because(e))?;
    let subject = Subject::of_tree(tree, gates.iter().map(String::as_str));
    let subject = match failure {
        Some(failure) => subject.repairing(failure),
        None => subject,
    };
    let evaluation = policy.evaluate_for(patch.changes(), &subject);
    Ok((policy, evaluation))
}

fn in_lines(evaluation: &Evaluation) -> String {
    let mut text = String::new();
    for m in evaluation.matches() {
        let place = match (&m.path, m.line) {
            (Some(path), Some(line)) => format!("{path}:{line}"),
            (Some(path), None) => path.to_string(),
            (None, _) => "patch".to_owned(),
        };
        let _infallible =
            writeln!(text, "{:<11}  {:<22}  {place}: {}", m.decision.name(), m.rule, m.detail);
    }
    let _infallible = writeln!(text, "{}", evaluation.decision().name());
    text
}

/// The policy is the same for every environment, but for who must confirm: a patch by itself
/// belongs to none.
fn configured(path: &Path, tree: &WorkTree) -> Result<(PolicyPlan, Vec<String>), CommandError> {
    let config = greenloop_config::load(path)?;
    let overrides = Overrides { config_path: tree.relative(path), ..Overrides::default() };
    let first = config.environments().first().map(|name| name.as_str().to_owned());
    let plan = config.plan(&first.unwrap_or_default(), &overrides, &|_: &str| None)?;
    let gates = plan.gates.into_iter().map(|gate| gate.command).collect();
    Ok((PolicyPlan { confirm_every_patch: false, ..plan.policy }, gates))
}

/// The policy of the repository's configuration, where there is one that can be read: the built-in
/// rules are explained in any case.
fn own_policy() -> Option<Policy> {
    let tree = WorkTree::open(&terminal::current_directory().ok()?).ok()?;
    let (plan, _gates) = configured(&tree.default_config()?, &tree).ok()?;
    Policy::new(&plan).ok()
}

fn explain(rule: Option<String>) -> Result<Exit, CommandError> {
    let own = own_policy();
    let Some(name) = rule else {
        let mut text = String::new();
        let own = own.iter().flat_map(Policy::own_rules);
        for rule in Policy::rules().iter().chain(own) {
            let _infallible =
                writeln!(text, "{:<24} {:<11}  {}", rule.id, rule.decision.name(), rule.what);
        }
        output::print(&text)?;
        return Ok(Exit::Ok);
    };
    let found = own.as_ref().map_or_else(|| Policy::explain(&name), |policy| policy.rule(&name));
    let Some(rule) = found else {
        let nearest = Policy::rules()
            .iter()
            .max_by(|a, b| {
                strsim::jaro_winkler(&a.id, &name).total_cmp(&strsim::jaro_winkler(&b.id, &name))
            })
            .map_or("never_delete", |rule| rule.id.as_str());
        return Err(CommandError::usage(format!("no such rule: {name:?}"))
            .hint(format!("did you mean {nearest}? `greenloop policy explain` lists all rules")));
    };
    let mut text = format!(
        "{} ({})\n\n{}\n\nWhy: {}\n\nWhat to do: {}\n",
        rule.id,
        rule.decision.name(),
        rule.what,
        rule.why,
        rule.way_out
    );
    if !rule.examples.is_empty() {
        text.push_str("\nExamples:\n");
        for example in &rule.examples {
            let what = match (&example.before, &example.after) {
                (None, Some(after)) => format!("new: {after}"),
                (Some(before), None) => format!("deleted, was: {before}"),
                (Some(before), Some(after)) => format!("{before} → {after}"),
                (None, None) => continue,
            };
            let verdict = if example.matches { "matches" } else { "does not match" };
            let what = what.replace('\n', "⏎");
            let _infallible = writeln!(text, "  {verdict:<15} {}  {what}", example.path);
            if let Some(failure) = &example.failure {
                let _infallible = writeln!(text, "  {:<15} while repairing: {failure}", "");
            }
        }
    }
    output::print(&text)?;
    Ok(Exit::Ok)
}
