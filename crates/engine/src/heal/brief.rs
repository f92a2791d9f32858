//! What the author is told.

use minijinja::context;

use super::budget::{Keep, Section, fit};
use super::context::{Shown, relevant};
use super::evidence_sections;
use super::fence::Fence;
use super::playbooks::hints;
use super::prompt::{Prompt, fenced};
use greenloop_evidence::Redactor;
use greenloop_model::{Attempt, AttemptOutcome, Evaluation, Failure};
use greenloop_patch::Tree;
use greenloop_workspace::CommitInfo;

/// Characters of all data in a brief.
const BUDGET: usize = 60_000;

/// The name of the failure that stands for a task nobody has begun.
pub const ASSIGNMENT: &str = "assignment";

/// Paths of the repository that are listed.
const MOST_PATHS: usize = 200;

/// What the author is told of one failure.
#[derive(Debug)]
pub struct Brief<'a> {
    /// What is being run, as a person would call it: `environment staging`.
    pub title: &'a str,
    /// What failed.
    pub failure: &'a Failure,
    /// Recent commits, newest first, with the diffs that touch the failing files.
    pub commits: &'a [CommitInfo],
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
        tree: &dyn Tree,
        redactor: &Redactor,
        fence: &Fence,
        tool_steps: u32,
    ) -> Result<String, minijinja::Error> {
        let evidence = &self.failure.evidence;
        let mut sections = evidence_sections::sections(self.failure);
        sections.extend(relevant(tree, evidence).into_iter().map(code));
        sections.extend(self.attempts.iter().enumerate().map(|(nth, attempt)| {
            let newest = nth + 1 == self.attempts.len();
            tried(attempt, if newest { 2 } else { 4 })
        }));
        sections.extend(self.commits.iter().map(commit));
        sections.push(Section {
            heading: "The repository's files".into(),
            label: "paths".into(),
            text: paths(tree),
            most: 3_000,
            rank: 6,
            keep: Keep::Ends,
        });
        for section in &mut sections {
            section.text = redactor.redact(&section.text).into_owned();
            section.label = redactor.redact(&section.label).into_owned();
        }
        let sections = fit(sections, BUDGET);
        Prompt::Brief.render(context! {
            title => redactor.redact(self.title),
            stage => self.failure.stage.name(),
            name => redactor.redact(&self.failure.name),
            class => self.failure.class.name(),
            command => evidence.command.as_deref().map(|command| redactor.redact(command)),
            exit => evidence.exit.as_ref().map(ToString::to_string),
            sections => fenced(&sections, fence),
            hints => hints(evidence),
            assignment => self.assignment.map(|text| redactor.redact(text).trim().to_owned()),
            nothing_failed => self.assignment.is_some() && self.failure.name == ASSIGNMENT,
            limits => self.limits_text.trim(),
            tool_steps => tool_steps,
        })
    }
}

/// The paths of the tree, one a line: what a model that cannot look around has of it.
fn paths(tree: &dyn Tree) -> String {
    let files = tree.files().unwrap_or_default();
    let more = files.len().saturating_sub(MOST_PATHS);
    let mut text: String = files.iter().take(MOST_PATHS).map(|path| format!("{path}\n")).collect();
    if more > 0 {
        text.push_str(&format!("[… {more} more …]\n"));
    }
    text
}

fn code(shown: Shown) -> Section {
    let Shown { label, text, named } = shown;
    let (heading, rank) =
        if named { ("Code that the failure names", 2) } else { ("Other code", 5) };
    Section { heading: heading.into(), label, text, most: 16_000, rank, keep: Keep::Ends }
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
    Section {
        heading: format!("What was tried before, in iteration {}{times}", attempt.iteration),
        label: "an earlier try".into(),
        text: format!("For: {}\n{outcome}\nThe change:\n{}", attempt.headline, attempt.diff),
        most: 8_000,
        rank,
        keep: Keep::Ends,
    }
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

fn commit(info: &CommitInfo) -> Section {
    Section {
        heading: "A recent commit".into(),
        label: "a commit".into(),
        text: format!(
            "commit {} by {}, {}\n{}\n\n{}",
            info.id.short(),
            info.author,
            info.when,
            info.subject,
            info.diff
        ),
        most: 5_000,
        rank: 3,
        keep: Keep::Ends,
    }
}
