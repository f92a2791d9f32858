//! The end of a run: the work tree, the summary, the last record.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::gate_writes::KeptFile;
use super::{Driver, WorkTreeAtEnd};
use crate::advice;
use crate::record_forms::stop_word;
use greenloop_audit::{Actor, AuditError, Checkpoint, Writer};
use greenloop_model::{
    CommitId, FixPlace, Notice, ReleaseState, Restoration, RunEvent, RunSummary, RunningNow,
    StopReason, TargetAtEnd, error_chain,
};
use greenloop_workspace::{BroughtBack, Fix, WorkspaceError, WorkspaceErrorKind};

/// How long the target may take to say what it runs.
const ANSWER: Duration = Duration::from_secs(10);
/// The same when the run was cancelled, and seconds are left.
const SHORT_ANSWER: Duration = Duration::from_millis(700);

/// A run that has ended; its log lacks the last record still, which seals what the reporters
/// write at the end.
#[must_use = "the log has no end until it is closed"]
pub struct Ended {
    /// How it ended; this was the last event, too.
    pub summary: RunSummary,
    folder: PathBuf,
    audit: Writer,
    data: serde_json::Value,
}

impl Ended {
    /// Appends the log's last record, `run.finished`. Nothing is to be written to the run's
    /// folder any more.
    ///
    /// # Errors
    /// The log then has no end, and `audit verify` says so.
    pub fn close(self) -> (RunSummary, Result<Checkpoint, AuditError>) {
        let checkpoint = self.audit.close(&Actor::Machine, self.data, &self.folder);
        (self.summary, checkpoint)
    }
}

impl Driver {
    pub(super) async fn finish(mut self, reason: StopReason) -> Ended {
        let healed = reason == StopReason::Verified;
        let run = self.run.header.run;
        let mut reset = Vec::new();
        let fix = self.place_fix(healed, &mut reset);
        self.context.reset.append(&mut reset);
        let serving = self.serving().await;
        let restored = if healed { None } else { self.restored(serving.as_ref()) };
        let branch = (!self.context.patches.is_empty()).then(|| run.branch());
        let mut summary = RunSummary {
            stop: reason.clone(),
            iterations: self.state.iteration(),
            patches: std::mem::take(&mut self.context.patches),
            failure: if healed { None } else { self.context.failure.take().map(Box::new) },
            target: TargetAtEnd {
                serving,
                restored,
                restored_fails: self.context.restored_fails.take().filter(|_| !healed),
            },
            branch,
            fix,
            flaky: std::mem::take(&mut self.context.flaky),
            proof: if healed { self.context.tests.take_proof() } else { None },
            usage: self.state.usage(),
            models: std::mem::take(&mut self.context.models),
            elapsed: self.before + self.began.elapsed(),
            next_steps: Vec::new(),
        };
        let confirms = !self.context.tests.is_proof_undecided;
        summary.next_steps = advice::next_steps(&self.run.header, &summary, confirms);
        if !healed && self.patch_changed_nothing_in_copy(&summary) {
            summary.next_steps.insert(0, advice::leave_copy(&self.run.header));
        }
        summary.next_steps.extend(self.reset_steps());
        let flaky = self.context.tests.take_flaky();
        self.run.passed_before.add_flaky(flaky);
        if let Err(error) = self.run.passed_before.save() {
            tracing::warn!(%error, "could not save which gates passed");
        }
        let data = json!({
            "outcome": stop_word(&reason),
            "reason": reason.to_string(),
            "iterations": summary.iterations,
            "restored": summary.is_restored(),
            "branch": summary.branch,
            "patches": summary.patches.len(),
            "not_brought_back": summary.not_brought_back(),
            "tokens": summary.usage.tokens(),
            "cost_usd": summary.usage.cost_usd,
        });
        self.events.send(RunEvent::Finished(Box::new(summary.clone())));
        Ended { summary, folder: self.run.header.folder, audit: self.audit, data }
    }

    /// Whether the run worked on a copy, and the failure it ends with is the one that its last
    /// patch was made for: what was tested may lie at the original's path.
    fn patch_changed_nothing_in_copy(&self, summary: &RunSummary) -> bool {
        let before = self.context.previous.as_ref().map(|failure| &failure.fingerprint);
        let now = summary.failure.as_ref().map(|failure| &failure.fingerprint);
        self.works_on_copy() && now.is_some() && before == now
    }

    /// Leaves the work tree as it is to be at the end, and says where the patches are; adds to `reset`
    /// what files held that were put back for it.
    fn place_fix(&self, healed: bool, reset: &mut Vec<KeptFile>) -> Option<FixPlace> {
        let workspace = &self.run.workspace;
        let (base, tip) = (&self.run.header.commit, &self.tip);
        let run = self.run.header.run;
        if tip == base {
            return None;
        }
        let warn = |text: String| {
            self.events.send(RunEvent::Notice(Notice::Warning(self.redacted(&text))));
        };
        Some(match (&self.run.at_end, healed) {
            (WorkTreeAtEnd::Keep, true) => {
                let fix = Fix { run, before: base.clone(), after: tip.clone() };
                // A worker's clone is nobody's work tree.
                let recorded = self.run.assignment.is_none().then(|| workspace.record_fix(&fix));
                let can_undo = matches!(recorded, Some(Ok(())));
                if let Some(Err(error)) = recorded {
                    warn(without_undo(&error));
                }
                FixPlace::WorkTree { can_undo }
            }
            (WorkTreeAtEnd::Keep | WorkTreeAtEnd::Restore, _) => {
                match workspace.is_head(base).and_then(|same| match same {
                    true => self.restore_work_tree(tip, base, reset).map(|()| true),
                    false => Ok(false),
                }) {
                    Ok(true) => {}
                    Ok(false) => warn(format!(
                        "HEAD is no longer at {}: the files of the work tree, including patches, \
                         were not changed",
                        base.short()
                    )),
                    Err(error) => {
                        let why = error_chain(&error);
                        warn(format!("could not restore the work tree: {why}"));
                    }
                }
                FixPlace::Branch
            }
            (WorkTreeAtEnd::BringBack(original), true) => {
                match original.bring_back(run, base, tip) {
                    Ok(BroughtBack { files: _, not_recorded }) => {
                        if let Some(error) = &not_recorded {
                            warn(without_undo(error));
                        }
                        FixPlace::WorkTree { can_undo: not_recorded.is_none() }
                    }
                    Err(error) => {
                        FixPlace::NotBroughtBack { why: self.redacted(&error_chain(&error)) }
                    }
                }
            }
            (WorkTreeAtEnd::BringBack(_) | WorkTreeAtEnd::Discard, _) => FixPlace::SnapshotBranch,
        })
    }

    fn restore_work_tree(
        &self,
        tip: &CommitId,
        base: &CommitId,
        reset: &mut Vec<KeptFile>,
    ) -> Result<(), WorkspaceError> {
        let workspace = &self.run.workspace;
        match workspace.restore(tip, base) {
            Ok(_) => Ok(()),
            Err(WorkspaceError { kind: WorkspaceErrorKind::InTheWay { paths }, .. }) => {
                reset.extend(self.put_back_what_gates_changed(paths)?.1);
                workspace.restore(tip, base).map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// What the target runs, asked of it now.
    async fn serving(&self) -> Option<RunningNow> {
        let (_, target) = self.delivery()?;
        if self.context.restored == Some(Restoration::Unconfirmed) {
            let why = "the target did not answer in the remaining time".to_owned();
            return Some(RunningNow::Unknown { why });
        }
        let hurried = self.cancelled || self.cancel.is_cancelled();
        let patience = if hurried { SHORT_ANSWER } else { ANSWER };
        Some(match tokio::time::timeout(patience, target.status()).await {
            Ok(Ok(status)) => match status.serving {
                Some((release, endpoint)) if release.state != ReleaseState::Failed => {
                    let condition = status.condition;
                    RunningNow::Release { release: release.id, endpoint, condition }
                }
                Some(_) | None => RunningNow::Nothing,
            },
            Ok(Err(error)) => RunningNow::Unknown { why: self.redacted(&error_chain(&error)) },
            Err(_elapsed) => {
                let seconds = patience.as_secs_f64();
                let kind = target.kind().name();
                let why = format!("the {kind} target did not answer within {seconds:.1} s");
                RunningNow::Unknown { why }
            }
        })
    }

    /// What became of the release that failed. Of a restore by a process that has died since, the
    /// log knows only that it succeeded.
    fn restored(&self, serving: Option<&RunningNow>) -> Option<Restoration> {
        self.context.restored.or_else(|| match (self.state.restored()?, serving?) {
            (false, _) => Some(Restoration::Nothing),
            (true, RunningNow::Release { release, .. }) => {
                Some(Restoration::Restored { release: *release, serving_after: None })
            }
            (true, RunningNow::Nothing | RunningNow::Unknown { .. }) => None,
        })
    }
}

fn without_undo(error: &WorkspaceError) -> String {
    format!("the fix is in the work tree, but --undo cannot remove it: {}", error_chain(error))
}
