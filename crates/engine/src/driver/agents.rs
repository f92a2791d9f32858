//! Asking the author, the reviewer and a person.

use std::time::{Instant, SystemTime};

use serde_json::json;

use super::gate_writes::InTheWay;
use super::waits::no_waits;
use super::{Draft, DriveError, Driver, Prepared};
use crate::advice;
use crate::approval::HumanDecision;
use crate::heal::{
    AgentAnswer, AgentRun, Answered, Author, Brief, Explore, Opening, RecordedPatch, ReviewRequest,
    SentBack, SentBackWhy, failure_evidence,
};
use crate::machine::{self, Event, Mode};
use crate::stages::identity::{combined, of_answer};
use greenloop_audit::Actor;
use greenloop_evidence::Redactor;
use greenloop_model::{
    ApprovalSubject, Attempt, AttemptOutcome, CommitId, Decision, Evaluation, Failure, Fingerprint,
    NoPatch, NoPatchClass, RepoPath, Review, ReviewVerdict, RunEvent, TreeId, Usage, error_chain,
};
use greenloop_patch::{Answer, ParsedPatch, Refusal, ResolveOptions, parse_answer, resolve};
use greenloop_policy::{
    Confirmation, Judgement, Scope, Subject, failure_text, is_about_every_patch,
};
use greenloop_ports::{ApprovalQuestion, ModelError, ModelErrorKind};

/// How many commits back one that passed is sought.
const GREEN_COMMITS: usize = 50;

impl Driver {
    pub(super) async fn ask_author(
        &mut self,
        iteration: u32,
        again: bool,
    ) -> Result<(Event, Usage), DriveError> {
        if self.cancel.is_cancelled() {
            return Ok((Event::Cancelled, Usage::default()));
        }
        let author = match &self.run.author {
            Ok(author) => author,
            Err(error) => return Ok((model_failed(error, &self.run.redactor), Usage::default())),
        };
        let Some(failure) = &self.context.failure else {
            return Ok((Event::Broke { reason: "no failure is at hand".into() }, Usage::default()));
        };
        if author.own_agent().is_some() {
            return self.ask_own_agent(iteration, again).await;
        }
        if let Some(recorded) = author.recorded() {
            let recorded = recorded.clone();
            return self.take_recorded(iteration, recorded);
        }
        let model = author.label_after(&self.context.attempts);
        self.events.send(RunEvent::AuthorAsked { iteration, model: model.clone() });
        let conversation = self.context.conversation.take().filter(|_| again);
        let sent_back = self.context.sent_back.take().filter(|_| again);
        let prepared = self.context.prepared.take().filter(|prepared| {
            !again
                && prepared.failure == *failure
                && prepared.tip == self.tip
                && prepared.attempts == self.context.attempts.len()
        });
        let opening = match (conversation.zip(sent_back.as_ref()), prepared) {
            (Some((conversation, sent_back)), _) => Opening::SentBack(conversation, sent_back),
            (None, Some(prepared)) => Opening::Prepared(prepared.conversation),
            (None, None) => Opening::New,
        };
        let brief = self.brief(failure, iteration);
        let events = self.events.clone();
        let mut on_look = |call: &str| {
            events.send(RunEvent::AuthorLooked { iteration, call: call.to_owned() });
        };
        let explore = author.explores().then(|| {
            let limit = self.state.spec().limits.max_tokens;
            let tokens = limit.map(|most| most.saturating_sub(self.state.usage().tokens()));
            let (run, sandbox) = (self.run.header.run, self.run.sandbox.as_ref());
            Explore::new(&self.run.gates, run, &self.run.env_remove, &self.cancel, sandbox, tokens)
        });
        let workspace = &self.run.workspace;
        author.ask_before_waits(&self.waits());
        let asked = author.propose(&brief, workspace, &self.tip, opening, explore, &mut on_look);
        let answer = tokio::select! {
            answer = asked => Some(answer),
            () = self.cancel.cancelled() => None,
        };
        author.ask_before_waits(&no_waits());
        let exchanges = author.take_exchanges();
        let actor = Actor::Author(model);
        self.keep_exchanges(iteration, &actor, exchanges)?;
        let Some(answer) = answer else { return Ok((Event::Cancelled, Usage::default())) };
        match answer {
            // Never parsed: half a patch is not a patch. A model that is cut time and again is
            // as good as none.
            Err(error) if error.kind == ModelErrorKind::Cut && !again => {
                let reason = self.redacted(&error.to_string());
                let identity = combined(&["cut"]);
                let refused =
                    self.refuse(iteration, &actor, String::new(), reason, identity, error.usage);
                // There is no answer to send back: it is asked again, and told why.
                self.context.sent_back = None;
                refused
            }
            Err(error) => {
                let usage = error.usage;
                Ok((model_failed(&error, &self.run.redactor), usage))
            }
            Ok(Answered { answer, usage, conversation }) => {
                self.context.conversation = Some(conversation);
                self.receive(iteration, &actor, answer, usage)
            }
        }
    }

    /// Has the user's own program work on the failure in a clone.
    async fn ask_own_agent(
        &mut self,
        iteration: u32,
        again: bool,
    ) -> Result<(Event, Usage), DriveError> {
        let broke = || Event::Broke { reason: "no failure or no agent is at hand".into() };
        let sent_back = self.context.sent_back.take().filter(|_| again);
        let agent = self.run.author.as_ref().ok().and_then(Author::own_agent);
        let (Some(agent), Some(failure)) = (agent, &self.context.failure) else {
            return Ok((broke(), Usage::default()));
        };
        let model = agent.label();
        self.events.send(RunEvent::AuthorAsked { iteration, model: model.clone() });
        let brief = self.brief(failure, iteration);
        let folder = &self.run.header.folder;
        let logs = (1..).map(|nth| match nth {
            1 => format!("stages/{iteration}-agent.log"),
            nth => format!("stages/{iteration}-agent-{nth}.log"),
        });
        let log = logs.map(|name| folder.join(name)).find(|path| !path.exists());
        let at = AgentRun {
            run: self.run.header.run,
            log: &log.unwrap_or_else(|| folder.join("agent.log")),
            env_remove: &self.run.env_remove,
            sandbox: self.run.sandbox.as_ref().filter(|sandbox| !sandbox.is_off()),
            cancel: &self.cancel,
        };
        let workspace = &self.run.workspace;
        let answer = agent.propose(&brief, workspace, &self.tip, sent_back.as_ref(), at).await;
        let usage = Usage { requests: 1, ..Usage::default() };
        let actor = Actor::Author(model);
        let AgentAnswer { changes, said } = match answer {
            Err(error) => return Ok((model_failed(&error, &self.run.redactor), usage)),
            Ok(None) => return Ok((Event::Cancelled, usage)),
            Ok(Some(answer)) => answer,
        };
        if changes.is_empty() {
            if let Ok(Answer::NoPatch(no_patch)) = parse_answer(&said) {
                return self.no_patch(iteration, &actor, &no_patch, usage);
            }
            let reason = "the program ended with status 0 and changed no file that git does not \
                          ignore"
                .to_owned();
            let identity = combined(&["the agent changed nothing"]);
            return self.refuse(iteration, &actor, said, reason, identity, usage);
        }
        let patch = ParsedPatch::from_changes(changes);
        let diff = String::from_utf8_lossy(&patch.to_unified_diff()).into_owned();
        self.take_patch(iteration, &actor, diff, patch, &last_paragraph(&said), usage)
    }

    /// Proposes the patch that an earlier run has made. There is no second one: why the first was
    /// not taken is the reason for none.
    fn take_recorded(
        &mut self,
        iteration: u32,
        recorded: RecordedPatch,
    ) -> Result<(Event, Usage), DriveError> {
        let RecordedPatch { label, changes, reason } = recorded;
        let actor = Actor::Author(label.clone());
        self.events.send(RunEvent::AuthorAsked { iteration, model: label });
        if !self.context.attempts.is_empty() {
            let why = self.context.sent_back.take().map(|sent_back| sent_back.text);
            let why = why.unwrap_or_else(|| "the command still fails with it".to_owned());
            let no_patch = NoPatch {
                class: NoPatchClass::NeedsHuman,
                reason: format!("the bundle's patch is not accepted, and it has no other: {why}"),
            };
            return self.no_patch(iteration, &actor, &no_patch, Usage::default());
        }
        let patch = ParsedPatch::from_changes(changes);
        let diff = String::from_utf8_lossy(&patch.to_unified_diff()).into_owned();
        self.take_patch(iteration, &actor, diff, patch, &reason, Usage::default())
    }

    fn brief<'a>(&'a self, failure: &'a Failure, iteration: u32) -> Brief<'a> {
        let limits = &self.state.spec().limits;
        Brief {
            failure,
            start: &self.run.header.commit,
            green: self.last_green(failure),
            attempts: &self.context.attempts,
            assignment: self.run.assignment.as_ref().map(|assignment| assignment.text.as_str()),
            limits_text: advice::limits_text(&self.run.policy_plan, limits, iteration),
            title: &self.run.header.title,
        }
    }

    /// Waits for gates that run once more, and writes the brief for the author meanwhile.
    pub(super) async fn while_preparing<T>(
        &self,
        iteration: u32,
        gates: impl Future<Output = T>,
    ) -> (T, Option<Prepared>) {
        // The gates are polled first: their processes run while this thread writes.
        tokio::join!(gates, async { self.prepare(iteration) })
    }

    fn prepare(&self, iteration: u32) -> Option<Prepared> {
        let author = self
            .run
            .author
            .as_ref()
            .ok()
            .filter(|it| it.own_agent().is_none() && it.recorded().is_none())?;
        let failure = self.context.failure.as_ref().filter(|failure| failure.class.heals())?;
        if self.state.spec().mode != Mode::Heal || self.context.prepared.is_some() {
            return None;
        }
        let brief = self.brief(failure, iteration);
        Some(Prepared {
            failure: failure.clone(),
            tip: self.tip.clone(),
            attempts: self.context.attempts.len(),
            conversation: author.begin(&brief, &self.run.workspace, &self.tip).ok()?,
        })
    }

    /// The last commit before the run's own on whose tree the failed gate passed in an earlier
    /// run.
    fn last_green(&self, failure: &Failure) -> Option<CommitId> {
        let gate = self.run.gates.iter().find(|gate| gate.name == failure.name)?;
        let passed = &self.run.passed_before;
        let wanted = |tree: &TreeId| passed.contains(tree, &gate.command);
        self.run.workspace.last_with_tree(&self.run.header.commit, GREEN_COMMITS, wanted)
    }

    fn receive(
        &mut self,
        iteration: u32,
        actor: &Actor,
        answer: String,
        usage: Usage,
    ) -> Result<(Event, Usage), DriveError> {
        let edits = match parse_answer(&answer) {
            Err(refusal) => {
                let (text, identity) = (refusal.to_string(), identity_of(&refusal));
                return self.refuse(iteration, actor, answer, text, identity, usage);
            }
            Ok(Answer::NoPatch(no_patch)) => {
                return self.no_patch(iteration, actor, &no_patch, usage);
            }
            Ok(Answer::Edits(edits)) => edits,
        };
        let tree = self.run.workspace.tree_at(&self.tip)?;
        let options = ResolveOptions::new([self.run.workspace.root()]);
        let patch = match resolve(&edits, &tree, &options) {
            Ok(patch) => patch,
            Err(refusal) => {
                let (text, identity) = (refusal.to_string(), identity_of(&refusal));
                return self.refuse(iteration, actor, answer, text, identity, usage);
            }
        };
        self.take_patch(iteration, actor, answer, patch, edits.reason(), usage)
    }

    fn no_patch(
        &mut self,
        iteration: u32,
        actor: &Actor,
        no_patch: &NoPatch,
        usage: Usage,
    ) -> Result<(Event, Usage), DriveError> {
        let (class, reason) = (no_patch.class, self.redacted(&no_patch.reason));
        let data = json!({"iteration": iteration, "class": class.name(), "reason": reason});
        self.note(actor, "author.no_patch", data)?;
        self.events.send(RunEvent::NoPatch {
            iteration,
            class: class.name().to_owned(),
            reason: reason.clone(),
        });
        Ok((Event::NoPatch { class, reason }, usage))
    }

    /// What becomes of a patch that fits the tree, whoever made it. `answer` is what it was read
    /// from.
    fn take_patch(
        &mut self,
        iteration: u32,
        actor: &Actor,
        answer: String,
        patch: ParsedPatch,
        reason: &str,
        usage: Usage,
    ) -> Result<(Event, Usage), DriveError> {
        let tree = self.run.workspace.tree_at(&self.tip)?;
        let resulting = match self.run.workspace.preview(&self.tip, patch.changes()) {
            Ok(tree) => tree,
            // The author can do nothing about a full disk or a broken repository.
            Err(error) if !error.is_about_the_patch() => return Err(error.into()),
            Err(error) => {
                let reason = format!("the patch cannot be applied: {}", error_chain(&error));
                let identity = combined(&["cannot be applied"]);
                return self.refuse(iteration, actor, answer, reason, identity, usage);
            }
        };
        if &resulting == self.state.tree() {
            let reason = "the patch changes nothing: the files are already like that".to_owned();
            let identity = combined(&["changes nothing"]);
            return self.refuse(iteration, actor, answer, reason, identity, usage);
        }
        let in_the_way = self
            .run
            .workspace
            .in_the_way(&self.tip, patch.changes())
            .and_then(|paths| self.put_back_what_gates_changed(paths));
        let in_the_way = in_the_way.map(|(left, mut reset)| {
            self.context.reset.append(&mut reset);
            left
        });
        match in_the_way {
            Ok(left) if left == InTheWay::default() => {}
            Ok(InTheWay { untracked, changed }) => {
                let names = |paths: &[RepoPath]| {
                    let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
                    names.join(", ")
                };
                let mut reasons = Vec::new();
                if !untracked.is_empty() {
                    reasons.push(format!(
                        "the work tree has files there that are not in the last commit, and \
                         nothing overwrites them: {}",
                        names(&untracked)
                    ));
                }
                if !changed.is_empty() {
                    reasons.push(format!(
                        "somebody changed files in the work tree after the run began, and nothing \
                         overwrites that: {}",
                        names(&changed)
                    ));
                }
                let identity =
                    combined(&["files block the patch", &names(&untracked), &names(&changed)]);
                let reason = reasons.join("\n");
                let refused = self.refuse(iteration, actor, answer, reason, identity, usage)?;
                // People read the reason, too: what to do differently is the author's alone.
                if let Some(sent_back) = &mut self.context.sent_back {
                    sent_back.text.push_str(
                        "\nLeave these files alone, and choose another path for a new file.",
                    );
                }
                return Ok(refused);
            }
            Err(error) if !error.is_about_the_patch() => return Err(error.into()),
            Err(error) => {
                let reason = format!("the patch cannot be applied: {}", error_chain(&error));
                let identity = combined(&["cannot be applied"]);
                return self.refuse(iteration, actor, answer, reason, identity, usage);
            }
        }
        let gates = self.run.gates.iter().map(|gate| gate.command.as_str());
        let failure = self.context.failure.as_ref().map(failure_text);
        let subject = Subject::of_tree(&tree, gates);
        let subject = match &failure {
            Some(failure) => subject.repairing(failure),
            None => subject,
        };
        let Judgement { evaluation, facts } = self.run.policy.judge(patch.changes(), &subject);
        let scope = self.scope(&resulting);
        let decision = evaluation.decision();
        let diff = self.redacted(&String::from_utf8_lossy(&patch.to_unified_diff()));
        let reason = self.redacted(reason);
        let file = format!("patches/patch_{iteration}.diff");
        write_file(&self.run.header.folder.join(&file), diff.as_bytes())?;
        self.note(actor, "author.proposed", json!({
            "iteration": iteration, "reason": reason, "patch": file, "tree": resulting.to_string(),
            "leniencies": patch.leniencies(), "diff": diff,
        }))?;
        self.events.send(RunEvent::PatchProposed {
            iteration,
            reason: reason.clone(),
            diff: diff.clone(),
            usage,
        });
        self.note(&Actor::Machine, "policy.evaluated", json!({
            "iteration": iteration, "decision": decision.name(), "matches": matches_json(&evaluation),
        }))?;
        self.events.send(RunEvent::Evaluated { iteration, evaluation: evaluation.clone() });
        let identity = Some(of_answer(&answer));
        let mut refusal = None;
        let mut wants = None;
        match decision {
            Decision::Forbid => {
                refusal = Some(identity_of_rules(&evaluation));
                self.remember(iteration, diff, AttemptOutcome::Forbidden { evaluation });
            }
            Decision::NeedsHuman if self.state.nobody_to_ask(decision) => {
                wants = Some(self.nobody_confirms(iteration, diff, evaluation)?);
            }
            Decision::Allow | Decision::NeedsHuman => {
                self.context.draft = Some(Draft {
                    patch,
                    diff,
                    reason,
                    evaluation,
                    facts,
                    scope,
                    tree: resulting.clone(),
                    review: None,
                    confirmation: None,
                });
            }
        }
        let answer = identity;
        Ok((Event::Proposed { tree: resulting, decision, answer, refusal, wants }, usage))
    }

    /// The patch wants a person, and nobody can be asked: it may go back to the author, and
    /// goes no further.
    fn nobody_confirms(
        &mut self,
        iteration: u32,
        diff: String,
        evaluation: Evaluation,
    ) -> Result<machine::Confirmation, DriveError> {
        let request = advice::patch_request(&evaluation, iteration);
        let one_patch = self.run.author.as_ref().is_ok_and(|it| it.recorded().is_some());
        let avoidable = !one_patch && !is_about_every_patch(&evaluation);
        self.note(
            &Actor::Machine,
            "human.missing",
            json!({"iteration": iteration, "request": request, "avoidable": avoidable}),
        )?;
        let reason = "a person would have to confirm it, and nobody can be asked".to_owned();
        let usage = Usage::default();
        self.events.send(RunEvent::PatchRefused { iteration, reason, usage });
        let why = SentBackWhy::WantsPerson;
        self.context.sent_back = Some(SentBack { text: request.clone(), why });
        self.remember(iteration, diff, AttemptOutcome::WantsPerson { evaluation });
        Ok(machine::Confirmation { request, avoidable })
    }

    fn refuse(
        &mut self,
        iteration: u32,
        actor: &Actor,
        answer: String,
        reason: String,
        identity: Fingerprint,
        usage: Usage,
    ) -> Result<(Event, Usage), DriveError> {
        let reason = self.redacted(&reason);
        let shown = self.redacted(&answer);
        self.note(
            actor,
            "author.refused",
            json!({
                "iteration": iteration, "reason": reason, "answer": shown,
            }),
        )?;
        self.events.send(RunEvent::PatchRefused { iteration, reason: reason.clone(), usage });
        let shown: String = shown.chars().take(4_000).collect();
        self.remember(iteration, shown, AttemptOutcome::Refused { reason: reason.clone() });
        // An answer that was cut has no text to compare.
        let whole = identity != combined(&["cut"]);
        let told = whole.then(|| of_answer(&answer));
        let why = SentBackWhy::Refused;
        self.context.sent_back = Some(SentBack { text: reason.clone(), why });
        Ok((Event::Refused { reason, answer: told, refusal: Some(identity) }, usage))
    }

    pub(super) fn remember(&mut self, iteration: u32, diff: String, outcome: AttemptOutcome) {
        let headline =
            self.context.failure.as_ref().map_or_else(String::new, |f| f.headline.clone());
        let attempt = Attempt { iteration, headline, diff, outcome, times: 1 };
        Attempt::add(&mut self.context.attempts, attempt);
    }

    pub(super) async fn ask_reviewer(
        &mut self,
        iteration: u32,
    ) -> Result<(Event, Usage), DriveError> {
        let reviewer = match &self.run.reviewer {
            Ok(reviewer) => reviewer,
            Err(error) => return Ok((model_failed(error, &self.run.redactor), Usage::default())),
        };
        let (Some(draft), Some(failure)) = (&self.context.draft, &self.context.failure) else {
            return Ok((Event::Broke { reason: "no patch is at hand".into() }, Usage::default()));
        };
        self.events.send(RunEvent::ReviewerAsked { iteration, model: reviewer.label() });
        let request = ReviewRequest {
            diff: &draft.diff,
            failure,
            policy_facts: &draft.facts,
            proposal_reason: &draft.reason,
        };
        reviewer.ask_before_waits(self.waits());
        let asked = reviewer.review(&request, &self.run.workspace, &self.tip);
        let answer = tokio::select! {
            answer = asked => Some(answer),
            () = self.cancel.cancelled() => None,
        };
        reviewer.ask_before_waits(no_waits());
        let (actor, exchanges) = (Actor::Reviewer(reviewer.label()), reviewer.take_exchanges());
        self.keep_exchanges(iteration, &actor, exchanges)?;
        let Some(answer) = answer else { return Ok((Event::Cancelled, Usage::default())) };
        let (mut review, usage) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let usage = error.usage;
                return Ok((model_failed(&error, &self.run.redactor), usage));
            }
        };
        review.reason = self.redacted(&review.reason);
        review.suggestion = review.suggestion.map(|text| self.redacted(&text));
        self.note(
            &Actor::Reviewer(review.reviewer.clone()),
            "reviewer.reviewed",
            json!({
                "iteration": iteration,
                "verdict": if review.verdict == ReviewVerdict::Approve { "approve" } else { "reject" },
                "risk": review.risk.name(),
                "reason": review.reason,
                "suggestion": review.suggestion,
            }),
        )?;
        self.events.send(RunEvent::Reviewed { iteration, review: review.clone(), usage });
        let verdict = review.verdict;
        let said = review.suggestion.as_deref().unwrap_or_default();
        let identity = combined(&[of_answer(&review.reason).as_str(), of_answer(said).as_str()]);
        let reason = review.reason.clone();
        match verdict {
            ReviewVerdict::Approve => {
                if let Some(draft) = &mut self.context.draft {
                    draft.review = Some(review);
                }
            }
            ReviewVerdict::Reject => {
                if let Some(draft) = self.context.draft.take() {
                    self.remember(iteration, draft.diff, AttemptOutcome::Rejected { review });
                }
            }
        }
        Ok((Event::Reviewed { verdict, review: Some(identity), reason }, usage))
    }

    pub(super) async fn ask_about_patch(&mut self, iteration: u32) -> Result<Event, DriveError> {
        let Some(draft) = &self.context.draft else {
            return Ok(Event::Broke { reason: "no patch is at hand".into() });
        };
        let question = ApprovalQuestion {
            subject: ApprovalSubject::Patch,
            iteration,
            commit: self.tip.clone(),
            base: Some(self.state.tree().clone()),
            tree: draft.tree.clone(),
            policy: self.run.policy.digest(),
            request: advice::patch_request(&draft.evaluation, iteration),
            diff: draft.diff.clone(),
            evidence: self.evidence_text(),
            review: draft.review.as_ref().map_or_else(String::new, review_text),
        };
        let scope = draft.scope.clone();
        // The patch itself stands right above the question.
        let (happened, decision) = self.ask_person(question, "").await?;
        if let (Some(decision), Some(draft)) =
            (decision.filter(|decision| decision.approved), &mut self.context.draft)
        {
            // For an approval at the hub, its record says which trees and policy were approved.
            let scope = match &decision.remote {
                Some(remote) => Scope::new(&remote.base, &remote.tree, &remote.policy),
                None => scope,
            };
            draft.confirmation = Some(Confirmation::new(decision.who, scope, SystemTime::now()));
        }
        Ok(happened)
    }

    pub(super) async fn ask_about_rollout(&mut self, iteration: u32) -> Result<Event, DriveError> {
        let (facts, base, diff) = match self.run.approval.shows_facts() {
            true => self.rollout_facts().await,
            false => (String::new(), None, String::new()),
        };
        let question = ApprovalQuestion {
            subject: ApprovalSubject::Rollout,
            iteration,
            commit: self.tip.clone(),
            base,
            tree: self.state.tree().clone(),
            policy: self.run.policy.digest(),
            request: advice::rollout_request(&self.run.header, &self.tip),
            diff,
            evidence: facts.clone(),
            review: String::new(),
        };
        Ok(self.ask_person(question, &facts).await?.0)
    }

    /// The commits that a rollout would bring with their diff, shortened; the tree of what serves,
    /// and the whole diff.
    async fn rollout_facts(&self) -> (String, Option<TreeId>, String) {
        let nothing = |text: String| (text, None, String::new());
        let Some((_, target)) = self.delivery() else { return nothing(String::new()) };
        let serving = match target.status().await {
            Ok(status) => status.serving.map(|(release, _)| release),
            Err(error) => {
                let why = format!("the serving release is unknown: {}", error_chain(&error));
                return nothing(self.redacted(&why));
            }
        };
        let Some(serving) = serving else {
            return nothing("nothing is deployed there yet".to_owned());
        };
        let workspace = &self.run.workspace;
        let since = workspace.commits_since(&serving.commit, &self.tip, advice::COMMITS_ASKED);
        let diff = workspace.diff(&serving.commit, &self.tip).unwrap_or_default();
        let git = &self.run.header.invocation.git;
        let facts = self.redacted(&advice::rollout_facts(&serving, &self.tip, since, &diff, git));
        (facts, workspace.tree_id(&serving.commit).ok(), self.redacted(&diff))
    }

    /// What is known of the failure at hand, for a person.
    pub(super) fn evidence_text(&self) -> String {
        let text = self.context.failure.as_ref().map(failure_evidence);
        self.redacted(&text.unwrap_or_default())
    }

    pub(super) async fn ask_person(
        &mut self,
        question: ApprovalQuestion,
        facts: &str,
    ) -> Result<(Event, Option<HumanDecision>), DriveError> {
        let (iteration, request) = (question.iteration, question.request.clone());
        self.note(
            &Actor::Machine,
            "human.asked",
            json!({
                "iteration": iteration, "request": request,
            }),
        )?;
        let asked = Instant::now();
        let decision = tokio::select! {
            decision = self.run.approval.decide(&question, facts, &self.events) => Some(decision),
            () = self.cancel.cancelled() => None,
        };
        // What a person takes is not the run's time.
        self.waited += asked.elapsed();
        let Some(decision) = decision else {
            self.run.approval.withdraw("the run was cancelled").await;
            return Ok((Event::Cancelled, None));
        };
        if let Some(decision) = &decision {
            let HumanDecision { approved, who, remote } = decision;
            let mut data = json!({
                "iteration": iteration, "approved": approved, "request": request,
            });
            let reason = self.redacted(decision.reason());
            if let Some(remote) = remote {
                data["reason"] = reason.clone().into();
                data["approval"] = json!({
                    "id": remote.id, "link": remote.link, "base_tree": remote.base,
                    "tree": remote.tree, "policy": remote.policy,
                });
            }
            let (approved, who) = (*approved, who.clone());
            self.note(&Actor::Human(who.clone()), "human.decided", data)?;
            self.events.send(RunEvent::HumanDecided { iteration, approved, who, reason });
        }
        let approved = decision.as_ref().map(|decision| decision.approved);
        Ok((Event::HumanDecided { approved, request }, decision))
    }
}

/// The reviewer's verdict, for a person.
fn review_text(review: &Review) -> String {
    let word = if review.verdict == ReviewVerdict::Approve { "approved" } else { "rejected" };
    let mut text =
        format!("{word} by {} ({} risk)\n{}", review.reviewer, review.risk.name(), review.reason);
    if let Some(suggestion) = &review.suggestion {
        text.push_str(&format!("\nsuggestion: {suggestion}"));
    }
    text
}

/// The last paragraph of what a program printed, at most this many characters of it.
fn last_paragraph(said: &str) -> String {
    const MOST: usize = 1_000;
    let said = said.trim_end();
    let from = said.rfind("\n\n").map_or(0, |at| at + 2);
    let paragraph = said.get(from..).unwrap_or(said).trim();
    let left = paragraph.chars().count().saturating_sub(MOST);
    paragraph.chars().skip(left).collect()
}

/// What is wrong with an answer, apart from the words it is told in.
fn identity_of(refusal: &Refusal) -> Fingerprint {
    let findings: Vec<String> =
        refusal.findings().iter().map(|(kind, subject)| format!("{kind:?} {subject}")).collect();
    let parts: Vec<&str> = findings.iter().map(String::as_str).collect();
    combined(&parts)
}

/// The rules that forbid a patch, and where.
fn identity_of_rules(evaluation: &Evaluation) -> Fingerprint {
    let forbidding = evaluation.matches().iter().filter(|m| m.decision == Decision::Forbid);
    let found: Vec<String> = forbidding
        .map(|m| match &m.path {
            Some(path) => format!("{} {path}", m.rule),
            None => m.rule.to_string(),
        })
        .collect();
    let parts: Vec<&str> = found.iter().map(String::as_str).collect();
    combined(&parts)
}

fn model_failed(error: &ModelError, redactor: &Redactor) -> Event {
    let configured = error.kind != ModelErrorKind::NotConfigured;
    // The name of a model that is not there says nothing.
    let reason = if configured { error_chain(error) } else { error.message.clone() };
    Event::ModelFailed { reason: redactor.redact(&reason).into_owned(), configured }
}

fn matches_json(evaluation: &Evaluation) -> Vec<serde_json::Value> {
    let one = |m: &greenloop_model::RuleMatch| {
        json!({
            "rule": m.rule,
            "decision": m.decision.name(),
            "path": m.path.as_ref().map(ToString::to_string),
            "line": m.line,
            "detail": m.detail,
        })
    };
    evaluation.matches().iter().map(one).collect()
}

fn write_file(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, bytes)
}
