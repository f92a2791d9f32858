//! The end of a run: the work tree, the summary, the last record.

use serde_json::json;

use super::{DriveError, Driver, WorkTreeAtEnd};
use crate::apply::Fix;
use crate::audit::Actor;
use crate::engine::advice::{self, FixPlace};
use crate::engine::record::stop_word;
use crate::model::{
    Notice, Release, ReleaseId, ReleaseState, RunEvent, RunSummary, StopReason, chain,
};

impl Driver {
    pub(super) async fn finish(mut self, reason: StopReason) -> Result<RunSummary, DriveError> {
        let healed = reason == StopReason::Verified;
        let run = self.run.header.run;
        let place = self.place_fix(healed);
        let serving = self.serving().await;
        let restored = self.state.restored() == Some(true);
        let branch = (!self.case.patches.is_empty()).then(|| run.branch());
        let mut summary = RunSummary {
            stop: reason.clone(),
            iterations: self.state.iteration(),
            patches: std::mem::take(&mut self.case.patches),
            failure: if healed { None } else { self.case.failure.take().map(Box::new) },
            serving,
            restored,
            branch,
            usage: self.state.usage(),
            elapsed: self.before + self.began.elapsed(),
            next_steps: Vec::new(),
        };
        summary.next_steps = advice::next_steps(&self.run.header, &summary, place);
        if let Err(error) = self.run.passed_before.save() {
            tracing::warn!(%error, "the gates that passed could not be remembered");
        }
        let data = json!({
            "outcome": stop_word(&reason),
            "reason": reason.to_string(),
            "iterations": summary.iterations,
            "restored": summary.restored,
            "branch": summary.branch,
            "patches": summary.patches.len(),
            "tokens": summary.usage.tokens(),
            "cost_usd": summary.usage.cost_usd,
        });
        // Before the last event: the report shows the chain's head.
        if let Err(error) = self.audit.close(&Actor::Machine, data) {
            let text = format!("the audit log has no end: {}", chain(&error));
            self.events.send(RunEvent::Notice(Notice::Warning(text)));
        }
        self.events.send(RunEvent::Finished(Box::new(summary.clone())));
        Ok(summary)
    }

    /// Leaves the work tree as it is to be at the end, and says where the patches are.
    fn place_fix(&self, healed: bool) -> FixPlace {
        let workspace = &self.run.workspace;
        let (base, tip) = (&self.run.header.commit, &self.tip);
        let run = self.run.header.run;
        if tip == base {
            return FixPlace::Branch;
        }
        let warn = |text: String| {
            self.events.send(RunEvent::Notice(Notice::Warning(self.redacted(&text))));
        };
        match (&self.run.at_end, healed) {
            (WorkTreeAtEnd::Keep, true) => {
                let fix = Fix { run, before: base.clone(), after: tip.clone() };
                // A worker's clone is nobody's work tree.
                if self.run.assignment.is_none()
                    && let Err(error) = workspace.record_fix(&fix)
                {
                    warn(format!("the fix cannot be taken back by --undo: {}", chain(&error)));
                }
                FixPlace::WorkTree
            }
            (WorkTreeAtEnd::Keep | WorkTreeAtEnd::Restore, _) => {
                if let Err(error) = workspace.restore(tip, base) {
                    let why = chain(&error);
                    warn(format!("the work tree could not be put back as it was: {why}"));
                }
                FixPlace::Branch
            }
            (WorkTreeAtEnd::BringBack(original), true) => {
                match original.bring_back(run, base, tip) {
                    Ok(_) => FixPlace::WorkTree,
                    Err(error) => {
                        let why = chain(&error);
                        warn(format!("the fix could not be brought into the work tree: {why}"));
                        FixPlace::Diff
                    }
                }
            }
            (WorkTreeAtEnd::BringBack(_) | WorkTreeAtEnd::Discard, _) => FixPlace::Diff,
        }
    }

    async fn serving(&self) -> Option<(ReleaseId, crate::model::Endpoint)> {
        if let Some(deployed) = &self.case.serving {
            return Some((deployed.release, deployed.endpoint.clone()));
        }
        let (_, target) = self.delivery()?;
        let (Release { id, state, .. }, endpoint) = target.status().await.ok()?.serving?;
        (state != ReleaseState::Failed).then_some((id, endpoint))
    }
}
