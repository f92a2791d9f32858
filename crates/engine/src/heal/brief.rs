//! What the author is told.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::context;

use super::budget::{Section, fit};
use super::context::{Shown, relevant};
use super::evidence_sections;
use super::fence::Fence;
use super::history;
use super::playbooks::hints;
use super::prompt::{Prompt, fenced};
use greenloop_evidence::Redactor;
use greenloop_model::{Attempt, AttemptOutcome, CommitId, Evaluation, Failure, RepoPath};
use greenloop_patch::Tree;
use greenloop_workspace::Workspace;

/// Characters of all data in a brief, and of the code in it; more of both for an author that
/// cannot look by itself.
const BUDGET: usize = 18_000;
const CODE: usize = 8_000;
const BUDGET_WITHOUT_TOOLS: usize = 40_000;
const CODE_WITHOUT_TOOLS: usize = 24_000;

/// The name of the failure that stands for a task nobody has begun.
pub const ASSIGNMENT: &str = "assignment";

/// Paths of the repository that are listed, and in a repository with more, those of folders.
const MOST_PATHS: usize = 30;
const MOST_FOLDERS: usize = 20;

/// What the author's prompt says of one failure.
#[derive(Debug)]
pub struct Brief<'a> {
    /// What is being run, as a person would call it: `environment staging`.
    pub title: &'a str,
    /// What failed.
    pub failure: &'a Failure,
    /// The commit that the run began with: its changes are the first suspects.
    pub start: &'a CommitId,
    /// The last commit before it that is known to pass.
    pub green: Option<CommitId>,
    /// What was tried before in this run, oldest first.
    pub attempts: &'a [Attempt],
    /// What is to be done beyond making things pass: the task of people who own the repository.
    /// Trusted text.
    pub assignment: Option<&'a str>,
    /// What the author works under: protected files, caps, iterations left. Trusted text.
    pub limits_text: String,
}

impl Brief<'_> {
    /// The prompt. Everything from outside is redacted, then fenced.
    pub(super) fn render(
        &self,
        workspace: &Workspace,
        tree: &dyn Tree,
        redactor: &Redactor,
        fence: &Fence,
        tool_steps: u32,
    ) -> Result<String, minijinja::Error> {
        let evidence = &self.failure.evidence;
        let (budget, most_code) = match tool_steps {
            0 => (BUDGET_WITHOUT_TOOLS, CODE_WITHOUT_TOOLS),
            _ => (BUDGET, CODE),
        };
        let code = relevant(tree, evidence, most_code);
        let mut sections = evidence_sections::sections(self.failure);
        sections.extend(history::sections(
            workspace,
            self.start,
            self.green.as_ref(),
            &code.related,
        ));
        sections.extend(code.shown.into_iter().map(|shown| {
            let Shown { title, text } = shown;
            Section::new(&title, text, most_code, 3)
        }));
        sections.extend(self.attempts.iter().enumerate().map(|(nth, attempt)| {
            let newest = nth + 1 == self.attempts.len();
            tried(attempt, if newest { 2 } else { 4 })
        }));
        let paths = paths(tree, &code.paths);
        sections.push(Section::new("Other files of the repository", paths, 1_500, 6));
        for section in &mut sections {
            section.text = redactor.redact(&section.text).into_owned();
            section.heading = redactor.redact(&section.heading).into_owned();
        }
        let sections = fit(sections, budget);
        Prompt::Brief.render(context! {
            mark => fence.mark(),
            title => redactor.redact(self.title),
            stage => self.failure.stage.name(),
            name => redactor.redact(&self.failure.name),
            class => self.failure.class.name(),
            command => evidence.command.as_deref().map(|command| redactor.redact(command)),
            exit => evidence.exit.as_ref().map(ToString::to_string),
            data => fenced(&sections, "evidence and code", fence),
            hints => hints(evidence),
            assignment => self.assignment.map(|text| redactor.redact(text).trim().to_owned()),
            nothing_failed => self.assignment.is_some() && self.failure.name == ASSIGNMENT,
            limits => self.limits_text.trim(),
            tool_steps => tool_steps,
        })
    }
}

/// The files that are not shown, one a line; of many, the folders with how many files they have.
fn paths(tree: &dyn Tree, shown: &BTreeSet<RepoPath>) -> String {
    let files = tree.files().unwrap_or_default();
    let others: Vec<String> =
        files.iter().filter(|path| !shown.contains(path)).map(ToString::to_string).collect();
    if others.len() <= MOST_PATHS {
        return others.iter().map(|path| format!("{path}\n")).collect();
    }
    let mut depth = 3;
    loop {
        let mut folders: BTreeMap<String, usize> = BTreeMap::new();
        for path in &others {
            let parts: Vec<&str> = path.split('/').collect();
            let entry = if parts.len() <= depth {
                match parts.split_last() {
                    Some((_, [])) | None => path.clone(),
                    Some((_, folder)) => format!("{}/", folder.join("/")),
                }
            } else {
                format!("{}/", parts[..depth].join("/"))
            };
            *folders.entry(entry).or_default() += 1;
        }
        if folders.len() > MOST_FOLDERS && depth > 1 {
            depth -= 1;
            continue;
        }
        let more = folders.len().saturating_sub(2 * MOST_FOLDERS);
        let mut text: String = folders
            .iter()
            .take(2 * MOST_FOLDERS)
            .map(|(folder, count)| match count {
                1 if !folder.ends_with('/') => format!("{folder}\n"),
                count => format!("{folder} ({count})\n"),
            })
            .collect();
        if more > 0 {
            text.push_str(&format!("[… {more} more …]\n"));
        }
        return text;
    }
}

fn tried(attempt: &Attempt, rank: u8) -> Section {
    let outcome = match &attempt.outcome {
        AttemptOutcome::Refused { reason } => format!("It could not be applied:\n{reason}"),
        AttemptOutcome::Rejected { review } => {
            let suggestion = review
                .suggestion
                .as_ref()
                .map_or_else(String::new, |text| format!("\nThe reviewer suggests: {text}"));
            format!(
                "The reviewer rejected it (risk {}): {}{suggestion}",
                review.risk.name(),
                review.reason
            )
        }
        AttemptOutcome::Forbidden { evaluation } => {
            format!("The policy did not let it pass:\n{}", matches(evaluation))
        }
        AttemptOutcome::WantsPerson { evaluation } => format!(
            "A person would have to confirm it, and nobody can be asked:\n{}",
            matches(evaluation)
        ),
        AttemptOutcome::Applied { next_failure: Some(next) } => {
            format!("It was applied; after it this failed: {next}")
        }
        AttemptOutcome::Applied { next_failure: None } => {
            "It was applied, and the failure went away.".to_owned()
        }
    };
    let times = match attempt.times {
        0 | 1 => String::new(),
        times => format!(" ({times} times)"),
    };
    let heading = format!("What was tried before, in iteration {}{times}", attempt.iteration);
    let text = format!("For: {}\n{outcome}\nThe change:\n{}", attempt.headline, attempt.diff);
    Section::new(&heading, text, 4_000, rank)
}

/// What a policy found, a line each.
fn matches(evaluation: &Evaluation) -> String {
    let line = |m: &greenloop_model::RuleMatch| {
        let place = match (&m.path, m.line) {
            (Some(path), Some(line)) => format!(" at {path}:{line}"),
            (Some(path), None) => format!(" at {path}"),
            (None, _) => String::new(),
        };
        format!("- {} ({}){place}: {}", m.rule, m.decision.name(), m.detail)
    };
    evaluation.matches().iter().map(line).collect::<Vec<_>>().join("\n")
}
