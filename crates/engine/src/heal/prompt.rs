//! Prompts: templates with values put in. Nothing is escaped, so that code stays code; what
//! comes from outside is fenced before it gets here.

use minijinja::{Environment, UndefinedBehavior, Value};

use super::budget::Section;
use super::fence::Fence;

/// The templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prompt {
    /// The author's system prompt.
    Author,
    /// What the author is asked.
    Brief,
    /// Sent to the author after an answer that could not be applied.
    Refused,
    /// Sent to the author after a patch that needs a person where nobody can be asked.
    WantsPerson,
    /// Sent to the author when its tool calls are used up.
    AnswerNow,
    /// What a program of the user's own is given.
    OwnAgent,
    /// The reviewer's system prompt.
    Reviewer,
    /// What the reviewer is asked.
    Review,
}

impl Prompt {
    const fn source(self) -> &'static str {
        match self {
            Self::Author => include_str!("prompts/author.md.j2"),
            Self::Brief => include_str!("prompts/brief.md.j2"),
            Self::Refused => include_str!("prompts/refused.md.j2"),
            Self::WantsPerson => include_str!("prompts/wants_person.md.j2"),
            Self::AnswerNow => include_str!("prompts/answer_now.md.j2"),
            Self::OwnAgent => include_str!("prompts/own_agent.md.j2"),
            Self::Reviewer => include_str!("prompts/reviewer.md.j2"),
            Self::Review => include_str!("prompts/review.md.j2"),
        }
    }

    /// The text with `values` in it.
    pub(super) fn render(self, values: Value) -> Result<String, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.template_from_str(self.source())?.render(values)
    }
}

/// All sections within one fence, each under its heading.
pub(super) fn fenced(sections: &[Section], label: &str, fence: &Fence) -> String {
    let mut text = String::new();
    for section in sections {
        let heading: String =
            section.heading.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        text.push_str(&format!("=== {heading}\n{}", section.text));
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    fence.wrap(label, &text)
}
