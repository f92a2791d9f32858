//! The author: asks a model for a patch, and answers its questions.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::context;

use super::brief::Brief;
use super::exchange::{Exchange, ExchangeLog};
use super::explore::{Explore, RUN_COMMAND, RunCommand};
use super::fence::Fence;
use super::own_agent::OwnAgent;
use super::prompt::Prompt;
use super::recorded::RecordedPatch;
use super::sent_back::{SentBack, SentBackWhy};
use super::tools::{self, ToolInvocation};
use super::{prompt_error, tree};
use greenloop_config::plan::RolePlan;
use greenloop_evidence::Redactor;
use greenloop_model::{Attempt, CommitId, Usage};
use greenloop_ports::{
    Message, Model, ModelError, ModelErrorKind, ModelReply, ModelRequest, Waits,
};
use greenloop_workspace::Workspace;

/// Who the author is when the configuration does not say.
const PERSONA: &str = "You are the author in Greenloop, a self-healing deploy loop: a careful, \
                       experienced engineer who repairs what keeps a commit from being deployed.";

/// The longest refusal that is passed on, in characters.
const LONGEST_TEACHING: usize = 8_000;

/// Replies in a row that ask only for what the author was told already, or for what cannot be
/// read, before it has to answer.
const IDLE_REPLIES: u32 = 2;

/// What was said so far about one failure, the last answer included: the next one is asked for
/// in it, with all that the author has seen.
#[derive(Debug)]
pub struct Conversation {
    fence: Fence,
    messages: Vec<Message>,
    asked: BTreeSet<(String, String)>,
}

/// How the author is asked.
#[derive(Debug)]
pub enum Opening<'a> {
    /// For the first time about a failure.
    New,
    /// The same, with what was written before by [`Author::begin`].
    Prepared(Conversation),
    /// Again, with why the conversation's last answer was not taken.
    SentBack(Conversation, &'a SentBack),
}

/// What the author answers.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub answer: String,
    /// What it used.
    pub usage: Usage,
    /// How it came to be, for the next question.
    pub conversation: Conversation,
}

/// The author: the role that drafts patches.
pub struct Author {
    /// Asked in this order, the next one after each attempt that came to nothing; none where
    /// `own_agent` is.
    models: Vec<Arc<ExchangeLog>>,
    own_agent: Option<OwnAgent>,
    recorded: Option<RecordedPatch>,
    redactor: Redactor,
    persona: String,
    temperature: Option<f32>,
    max_tokens: Option<u32>,
    tool_steps: u32,
    explores: bool,
}

impl Author {
    /// An author that speaks through `model`; everything it is sent goes through `redactor`.
    pub fn new(model: Arc<dyn Model>, plan: &RolePlan, redactor: Redactor) -> Self {
        Self {
            models: vec![Arc::new(ExchangeLog::new(model, redactor.clone()))],
            own_agent: None,
            recorded: None,
            redactor,
            persona: plan.system_prompt.clone().unwrap_or_else(|| PERSONA.to_owned()),
            temperature: plan.temperature,
            max_tokens: plan.max_tokens,
            tool_steps: plan.tool_steps,
            explores: plan.explores,
        }
    }

    /// A program of the user's own, when that is what the plan names.
    pub fn of_program(plan: &RolePlan, redactor: Redactor) -> Option<Self> {
        let own_agent = OwnAgent::of(plan, redactor.clone())?;
        Some(Self { own_agent: Some(own_agent), ..Self::without_model(redactor) })
    }

    /// An author that proposes one patch, which an earlier run has made, and no other.
    pub fn of_patch(recorded: RecordedPatch, redactor: Redactor) -> Self {
        Self { recorded: Some(recorded), ..Self::without_model(redactor) }
    }

    fn without_model(redactor: Redactor) -> Self {
        Self {
            models: Vec::new(),
            own_agent: None,
            recorded: None,
            redactor,
            persona: String::new(),
            temperature: None,
            max_tokens: None,
            tool_steps: 0,
            explores: false,
        }
    }

    /// The only patch that it proposes.
    pub fn recorded(&self) -> Option<&RecordedPatch> {
        self.recorded.as_ref()
    }

    /// Whether it may run commands.
    pub const fn explores(&self) -> bool {
        self.explores
    }

    /// The program that is asked in place of a model.
    pub fn own_agent(&self) -> Option<&OwnAgent> {
        self.own_agent.as_ref()
    }

    /// The same with models that are asked next, one after each attempt that was refused,
    /// rejected, or did not help.
    #[must_use]
    pub fn then(mut self, models: impl IntoIterator<Item = Arc<dyn Model>>) -> Self {
        let logged = |model| Arc::new(ExchangeLog::new(model, self.redactor.clone()));
        self.models.extend(models.into_iter().map(logged).collect::<Vec<_>>());
        self
    }

    /// Who answers first: `gpt-4o at api.openai.com`.
    pub fn label(&self) -> String {
        self.label_after(&[])
    }

    /// Who answers after these attempts.
    pub fn label_after(&self, attempts: &[Attempt]) -> String {
        if let Some(recorded) = &self.recorded {
            return recorded.label.clone();
        }
        match (&self.own_agent, self.model(attempts)) {
            (Some(agent), _) => agent.label(),
            (None, Some(model)) => model.label(),
            (None, None) => String::new(),
        }
    }

    /// The calls of its models since they were last taken.
    pub(crate) fn take_exchanges(&self) -> Vec<Exchange> {
        self.models.iter().flat_map(|model| model.take()).collect()
    }

    /// Who is asked from now on before a model pauses.
    pub(crate) fn ask_before_waits(&self, waits: &Arc<dyn Waits>) {
        self.models.iter().for_each(|model| model.ask_before_waits(Arc::clone(waits)));
    }

    /// The first model for the first attempt, and so on; the last one for all that follow.
    fn model(&self, attempts: &[Attempt]) -> Option<&dyn Model> {
        let tried: usize = attempts.iter().map(|attempt| attempt.times.max(1) as usize).sum();
        let model = self.models.get(tried).or(self.models.last())?;
        Some(model.as_ref())
    }

    /// Asks for one answer. Tool calls are answered from the tree of `commit`, as many as the
    /// plan allows; `on_call` receives each in words. With `explore`, it may also run commands.
    ///
    /// Errors: what the model's call came to; its usage includes that of the calls before.
    pub async fn propose(
        &self,
        brief: &Brief<'_>,
        workspace: &Workspace,
        commit: &CommitId,
        opening: Opening<'_>,
        mut explore: Option<Explore<'_>>,
        on_call: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Answered, ModelError> {
        let Some(model) = self.model(brief.attempts) else {
            return Err(ModelError {
                model: self.label(),
                kind: ModelErrorKind::NotConfigured,
                message: "a program is no model".to_owned(),
                usage: Usage::default(),
                source: None,
            });
        };
        let mut usage = Usage::default();
        let broken = |source| prompt_error(model.label(), source);
        let system =
            Prompt::Author.render(context! { persona => self.persona.as_str() }).map_err(broken)?;
        let mut conversation = match opening {
            Opening::SentBack(conversation, sent_back) => self.go_on(conversation, sent_back),
            Opening::Prepared(conversation) => Ok(conversation),
            Opening::New => self.begin(brief, workspace, commit),
        }
        .map_err(broken)?;
        let mut request = ModelRequest {
            system,
            messages: std::mem::take(&mut conversation.messages),
            tools: match (self.tool_steps, &explore) {
                (0, _) => Vec::new(),
                (_, None) => ToolInvocation::specs(),
                (_, Some(_)) => ToolInvocation::specs()
                    .into_iter()
                    .chain([ToolInvocation::run_spec()])
                    .collect(),
            },
            schema: None,
            temperature: self.temperature,
            max_tokens: self.max_tokens,
        };
        let mut steps = self.tool_steps;
        let mut idle = 0;
        loop {
            let reply = match model.complete(&request).await {
                Ok(reply) => reply,
                Err(mut error) => {
                    usage += error.usage;
                    error.usage = usage;
                    return Err(error);
                }
            };
            let ModelReply { text, tool_calls, usage: used, served: _ } = reply;
            usage += used;
            // Calls of tools that were not offered are talk; the text is the answer then.
            if tool_calls.is_empty() || request.tools.is_empty() {
                conversation.messages = request.messages;
                let said = Message::Assistant { text: text.clone(), tool_calls: Vec::new() };
                conversation.messages.push(said);
                return Ok(Answered { answer: text, usage, conversation });
            }
            let mut results = Vec::with_capacity(tool_calls.len() + 1);
            idle += 1;
            for call in &tool_calls {
                let arguments: String = call.arguments.split_whitespace().collect();
                let text = if steps == 0 {
                    "not looked up: the tool calls are used up".to_owned()
                } else if !conversation.asked.insert((call.name.clone(), arguments)) {
                    steps -= 1;
                    "not looked up: the result of this very call stands above".to_owned()
                } else if let Some(explore) = explore.as_mut().filter(|_| call.name == RUN_COMMAND)
                {
                    steps -= 1;
                    match RunCommand::read(call) {
                        Ok(run) => {
                            idle = 0;
                            let words = format!("run {}", run.command);
                            on_call(&self.redactor.redact(&words));
                            let found = explore.run(&run, workspace, commit, &self.redactor).await;
                            conversation.fence.wrap(&self.redactor.redact(&words), &found)
                        }
                        Err(why) => why,
                    }
                } else {
                    steps -= 1;
                    match ToolInvocation::read(call) {
                        Ok(invocation) => {
                            idle = 0;
                            self.invoke(
                                &invocation,
                                workspace,
                                commit,
                                &conversation.fence,
                                on_call,
                            )
                        }
                        Err(invalid) => invalid.to_string(),
                    }
                };
                results.push(Message::ToolResult { call_id: call.id.clone(), text });
            }
            request.messages.push(Message::Assistant { text, tool_calls });
            request.messages.extend(results);
            let tokens = explore.as_ref().and_then(|explore| explore.tokens);
            let spent = tokens.is_some_and(|most| usage.tokens() >= most);
            if steps == 0 || idle == IDLE_REPLIES || spent {
                request.tools = Vec::new();
                let now = Prompt::AnswerNow.render(context! {}).map_err(broken)?;
                request.messages.push(Message::User(now));
            }
        }
    }

    /// What the author is asked first about a failure.
    ///
    /// Errors: a template's.
    pub fn begin(
        &self,
        brief: &Brief<'_>,
        workspace: &Workspace,
        commit: &CommitId,
    ) -> Result<Conversation, minijinja::Error> {
        let fence = Fence::new();
        let tree = tree(workspace, commit);
        let first = brief.render(workspace, &*tree, &self.redactor, &fence, self.tool_steps)?;
        Ok(Conversation { fence, messages: vec![Message::User(first)], asked: BTreeSet::new() })
    }

    fn go_on(
        &self,
        mut conversation: Conversation,
        SentBack { text, why }: &SentBack,
    ) -> Result<Conversation, minijinja::Error> {
        let teaching = self.redactor.redact(text);
        let teaching =
            super::budget::shorten(&teaching, LONGEST_TEACHING, super::budget::Keep::Ends);
        let (prompt, label) = match why {
            SentBackWhy::Refused => (Prompt::Refused, "what was wrong"),
            SentBackWhy::WantsPerson => (Prompt::WantsPerson, "what wants a person"),
        };
        let teaching = conversation.fence.wrap(label, &teaching);
        conversation.messages.push(Message::User(prompt.render(context! { teaching })?));
        Ok(conversation)
    }

    fn invoke(
        &self,
        invocation: &ToolInvocation,
        workspace: &Workspace,
        commit: &CommitId,
        fence: &Fence,
        on_call: &mut (dyn FnMut(&str) + Send),
    ) -> String {
        let words = invocation.words();
        on_call(&self.redactor.redact(&words));
        let found = tools::run(invocation, workspace, commit);
        fence.wrap(&words, &self.redactor.redact(&found))
    }
}

#[cfg(test)]
#[path = "author_tests.rs"]
mod tests;
