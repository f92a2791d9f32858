//! Committing a cleared patch and writing it to the work tree.

use std::time::SystemTime;

use serde_json::json;

use super::{DriveError, Driver};
use crate::advice;
use crate::machine::Event;
use greenloop_audit::Actor;
use greenloop_model::{AttemptOutcome, RunEvent, SummaryPatch, TreeId};
use greenloop_policy::{Scope, clear};

impl Driver {
    /// What a decision is about that leads from the tree at hand to this one.
    pub(super) fn scope(&self, resulting: &TreeId) -> Scope {
        let base = self.state.tree().to_string();
        Scope::new(base, resulting.to_string(), self.run.policy.digest())
    }

    pub(super) fn apply(&mut self, iteration: u32) -> Result<Event, DriveError> {
        let Some(draft) = self.context.draft.take() else {
            return Ok(Event::Broke { reason: "no patch is at hand".into() });
        };
        let Some(review) = draft.review else {
            return Ok(Event::Broke { reason: "the patch was not reviewed".into() });
        };
        let confirmed_by = draft.confirmation.as_ref().map(|c| c.who().to_owned());
        let scope = self.scope(&self.run.workspace.preview(&self.tip, draft.patch.changes())?);
        let now = SystemTime::now();
        let (patch, evaluation) = (draft.patch, &draft.evaluation);
        let cleared = match clear(patch, &review, evaluation, draft.confirmation, &scope, now) {
            Ok(cleared) => cleared,
            Err(error) => return Ok(Event::Broke { reason: error.to_string() }),
        };
        let failure =
            self.context.failure.as_ref().map_or_else(String::new, |f| f.headline.clone());
        let message =
            advice::commit_message(&self.run.header, iteration, &failure, &draft.reason, &review);
        let run = self.run.header.run;
        let prepared = self.run.workspace.prepare(run, &self.tip, &cleared, &message)?;
        self.audit.append(
            &Actor::Machine,
            "apply.intent",
            json!({
                "iteration": iteration,
                "parent": self.tip.to_string(),
                "commit": prepared.commit().to_string(),
                "tree": prepared.tree().to_string(),
            }),
        )?;
        if self.context.patches.is_empty() && self.run.workspace.tip(run)?.is_none() {
            self.run.workspace.start_branch(run, &self.run.header.commit)?;
        }
        let applied = self.run.workspace.publish(run, &prepared)?;
        self.tip = applied.commit().clone();
        let files: Vec<String> = prepared.files().iter().map(ToString::to_string).collect();
        self.note(
            &Actor::Machine,
            "apply.done",
            json!({
                "iteration": iteration, "commit": self.tip.to_string(), "files": files,
            }),
        )?;
        self.events.send(RunEvent::PatchApplied { iteration, commit: self.tip.clone(), files });
        self.remember(
            iteration,
            draft.diff.clone(),
            AttemptOutcome::Applied { next_failure: None },
        );
        self.context.patches.push(SummaryPatch {
            iteration,
            failure,
            reason: draft.reason,
            diff: draft.diff,
            review,
            commit: self.tip.clone(),
            confirmed_by,
        });
        self.context.previous = self.context.failure.take();
        self.context.sent_back = None;
        self.context.tests.tree_changed();
        Ok(Event::Applied { tree: prepared.tree().clone() })
    }
}
