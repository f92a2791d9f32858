//! The author: asks a model for a patch, and answers its questions.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::context;

use super::brief::Brief;
use super::fence::Fence;
use super::looks::{self, Look};
use super::prompt::Prompt;
use super::prompt_error;
use greenloop_config::plan::RolePlan;
use greenloop_evidence::Redactor;
use greenloop_model::{CommitId, Proposal, Usage};
use greenloop_patch::{Answer, MemoryTree, Tree, parse_answer};
use greenloop_ports::{Message, Model, ModelError, ModelReply, ModelRequest, ToolSpec};
use greenloop_workspace::Workspace;

/// Who the author is when the configuration does not say.
const PERSONA: &str = "You are the author in Greenloop, a self-healing deploy loop: a careful, \
                       experienced engineer who repairs what keeps a commit from being deployed.";

/// The longest refusal that is passed on, in characters.
const LONGEST_TEACHING: usize = 8_000;

/// Replies in a row that ask only for what the author was told already, or for what cannot be
/// read, before it has to answer.
const IDLE_REPLIES: u32 = 2;

/// An answer that goes back to the author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentBack {
    /// The answer.
    pub proposal: Proposal,
    /// Why it was not taken, so that the next one can be.
    pub text: String,
    /// The kind of reason.
    pub why: SentBackWhy,
}

/// Why an answer goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentBackWhy {
    /// It could not be read, or does not fit.
    Refused,
    /// A person would have to confirm it, and nobody can be asked.
    WantsPerson,
}

/// The author: the role that drafts patches.
pub struct Author {
    model: Arc<dyn Model>,
    redactor: Redactor,
    persona: String,
    temperature: Option<f32>,
    max_tokens: Option<u32>,
    tool_steps: u32,
}

impl Author {
    /// An author that speaks through `model`; everything it is sent goes through `redactor`.
    pub fn new(model: Arc<dyn Model>, plan: &RolePlan, redactor: Redactor) -> Self {
        Self {
            model,
            redactor,
            persona: plan.system_prompt.clone().unwrap_or_else(|| PERSONA.to_owned()),
            temperature: plan.temperature,
            max_tokens: plan.max_tokens,
            tool_steps: plan.tool_steps,
        }
    }

    /// Who answers: `gpt-4o at api.openai.com`.
    pub fn label(&self) -> String {
        self.model.label()
    }

    /// Asks for one proposal. Tool calls are answered from the tree of `commit`, as many as the
    /// plan allows; `on_look` is told of each. With an answer that is `sent_back` the same brief
    /// is sent, then that answer and why it was not taken.
    ///
    /// Errors: what the model's call came to; its usage includes that of the calls before.
    pub async fn propose(
        &self,
        brief: &Brief<'_>,
        workspace: &Workspace,
        commit: &CommitId,
        sent_back: Option<&SentBack>,
        on_look: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(Proposal, Usage), ModelError> {
        let fence = Fence::new();
        let mut usage = Usage::default();
        let mut request = self
            .request(brief, workspace, commit, sent_back, &fence)
            .map_err(|source| prompt_error(self.model.label(), source))?;
        let mut steps = self.tool_steps;
        let mut asked = BTreeSet::new();
        let mut idle = 0;
        loop {
            let reply = match self.model.complete(&request).await {
                Ok(reply) => reply,
                Err(mut error) => {
                    usage += error.usage;
                    error.usage = usage;
                    return Err(error);
                }
            };
            let ModelReply { text, tool_calls, usage: used } = reply;
            usage += used;
            // Calls of tools that were not offered are talk; the text is the answer then.
            if tool_calls.is_empty() || request.tools.is_empty() {
                return Ok((self.proposal(text), usage));
            }
            let mut results = Vec::with_capacity(tool_calls.len() + 1);
            idle += 1;
            for call in &tool_calls {
                let arguments: String = call.arguments.split_whitespace().collect();
                let text = if steps == 0 {
                    "not looked up: the tool calls are used up".to_owned()
                } else if !asked.insert((call.name.clone(), arguments)) {
                    steps -= 1;
                    "not looked up: the result of this very call stands above".to_owned()
                } else {
                    steps -= 1;
                    match Look::read(call) {
                        Ok(look) => {
                            idle = 0;
                            self.look(&look, workspace, commit, &fence, on_look)
                        }
                        Err(no_look) => no_look.to_string(),
                    }
                };
                results.push(Message::ToolResult { call_id: call.id.clone(), text });
            }
            request.messages.push(Message::Assistant { text, tool_calls });
            request.messages.extend(results);
            if steps == 0 || idle == IDLE_REPLIES {
                request.tools = Vec::new();
                let now = Prompt::AnswerNow
                    .render(context! {})
                    .map_err(|source| prompt_error(self.model.label(), source))?;
                request.messages.push(Message::User(now));
            }
        }
    }

    fn request(
        &self,
        brief: &Brief<'_>,
        workspace: &Workspace,
        commit: &CommitId,
        sent_back: Option<&SentBack>,
        fence: &Fence,
    ) -> Result<ModelRequest, minijinja::Error> {
        let system = Prompt::Author
            .render(context! { persona => self.persona.as_str(), mark => fence.mark() })?;
        let tree = tree(workspace, commit);
        let first = brief.render(&*tree, &self.redactor, fence, self.tool_steps)?;
        let mut messages = vec![Message::User(first)];
        if let Some(SentBack { proposal, text, why }) = sent_back {
            let teaching = self.redactor.redact(text);
            let teaching =
                super::budget::shorten(&teaching, LONGEST_TEACHING, super::budget::Keep::Ends);
            let (prompt, label) = match why {
                SentBackWhy::Refused => (Prompt::Refused, "what was wrong"),
                SentBackWhy::WantsPerson => (Prompt::WantsPerson, "what wants a person"),
            };
            let teaching = fence.wrap(label, &teaching);
            messages
                .push(Message::Assistant { text: proposal.answer.clone(), tool_calls: Vec::new() });
            messages.push(Message::User(prompt.render(context! { teaching })?));
        }
        let tools: Vec<ToolSpec> = if self.tool_steps == 0 { Vec::new() } else { Look::specs() };
        Ok(ModelRequest {
            system,
            messages,
            tools,
            schema: None,
            temperature: self.temperature,
            max_tokens: self.max_tokens,
        })
    }

    fn look(
        &self,
        look: &Look,
        workspace: &Workspace,
        commit: &CommitId,
        fence: &Fence,
        on_look: &mut (dyn FnMut(&str) + Send),
    ) -> String {
        let words = look.words();
        on_look(&self.redactor.redact(&words));
        let found = looks::answer(look, workspace, commit);
        fence.wrap(&words, &self.redactor.redact(&found))
    }

    fn proposal(&self, answer: String) -> Proposal {
        let reason = match parse_answer(&answer) {
            Ok(Answer::Edits(edits)) => edits.reason().to_owned(),
            Ok(Answer::NoPatch(no_patch)) => no_patch.reason,
            Err(_) => answer.chars().take(400).collect(),
        };
        let reason = self.redactor.redact(reason.trim()).into_owned();
        Proposal { answer, reason }
    }
}

/// The commit's files. When git cannot read them the author has the evidence alone: what ails
/// the repository comes to light where the patch is applied.
fn tree(workspace: &Workspace, commit: &CommitId) -> Box<dyn Tree> {
    match workspace.tree_at(commit) {
        Ok(tree) => Box::new(tree),
        Err(error) => {
            tracing::warn!(?error, "the author sees no files");
            Box::new(MemoryTree::new())
        }
    }
}

#[cfg(test)]
#[path = "author_tests.rs"]
mod tests;
