//! The end of a run: the work tree, the summary, the last record.

use serde_json::json;

use super::{DriveError, Driver, WorkTreeAtEnd};
use crate::audit::Actor;
use crate::engine::advice;
use crate::engine::record::stop_word;
use crate::model::{
    Notice, Release, ReleaseId, ReleaseState, RunEvent, RunSummary, StopReason, chain,
};

impl Driver {
    pub(super) async fn finish(mut self, reason: StopReason) -> Result<RunSummary, DriveError> {
        let healed = reason == StopReason::Verified;
        let run = self.run.header.run;
        let keep = healed && self.run.at_end == WorkTreeAtEnd::Keep;
        if !keep
            && self.tip != self.run.header.commit
            && let Err(error) = self.run.workspace.restore(&self.tip, &self.run.header.commit)
        {
            let text = format!(
                "the work tree could not be put back as it was: {}",
                self.redacted(&chain(&error))
            );
            self.events.send(RunEvent::Notice(Notice::Warning(text)));
        }
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
        summary.next_steps = advice::next_steps(&self.run.header, &summary, keep);
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

    async fn serving(&self) -> Option<(ReleaseId, crate::model::Endpoint)> {
        if let Some(deployed) = &self.case.serving {
            return Some((deployed.release, deployed.endpoint.clone()));
        }
        let (_, target) = self.delivery()?;
        let (Release { id, state, .. }, endpoint) = target.status().await.ok()?.serving?;
        (state != ReleaseState::Failed).then_some((id, endpoint))
    }
}
