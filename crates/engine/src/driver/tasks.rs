//! Having the tasks done, and going on from where their work has led the repository.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::{DriveError, Driver, Tasks};
use crate::stages::tasks::{TasksOutcome, run_tasks};
use greenloop_audit::Actor;
use greenloop_model::{CommitId, Notice, RunEvent, Stage, StageOutcome, counted};
use greenloop_ports::TasksRequest;

/// In the run's folder, once its tasks are done: they are done once in a run, however often its
/// stages begin again.
const DONE: &str = "tasks-done";

impl Driver {
    pub(super) async fn tasks(&mut self, iteration: u32) -> Result<StageOutcome, DriveError> {
        let passed = || StageOutcome::Passed { gates: Vec::new() };
        let Some(Tasks { runner, timeout }) = &self.run.tasks else { return Ok(passed()) };
        let (runner, timeout) = (Arc::clone(runner), *timeout);
        let parts = Vec::new();
        self.events.send(RunEvent::StageStarted { iteration, stage: Stage::Tasks, parts });
        if self.tasks_done().is_file() {
            self.tell("the tasks of this run are already done".to_owned());
            return Ok(passed());
        }
        self.note(
            &Actor::Machine,
            "tasks.intent",
            json!({"iteration": iteration, "commit": self.tip.to_string()}),
        )?;
        let request = TasksRequest {
            run: self.run.header.run,
            commit: self.tip.clone(),
            work_tree: self.run.workspace.root().to_owned(),
        };
        let context = self.context(iteration);
        match run_tasks(runner.as_ref(), &request, timeout, &context).await {
            TasksOutcome::Done(tip) => {
                self.note(
                    &Actor::Machine,
                    "tasks.done",
                    json!({
                        "iteration": iteration,
                        "merged": tip.as_ref().map(ToString::to_string),
                    }),
                )?;
                if let Some(tip) = tip {
                    self.go_on_from(tip)?;
                }
                std::fs::write(self.tasks_done(), self.tip.as_str())?;
                Ok(passed())
            }
            TasksOutcome::Failed(failure) => {
                Ok(StageOutcome::Failed { failure, gates: Vec::new() })
            }
            TasksOutcome::Cancelled => Ok(StageOutcome::Cancelled),
        }
    }

    /// The run goes on with the work of its tasks when that stands on what the run has; else
    /// with what it has, and says so.
    fn go_on_from(&mut self, merged: CommitId) -> Result<(), DriveError> {
        let workspace = &self.run.workspace;
        if merged == self.tip {
            return Ok(());
        }
        if !workspace.contains(&merged, &self.tip)? {
            let text = format!(
                "the tasks were merged to {}, which does not descend from the run's commit {}: \
                 the run continues without them",
                merged.short(),
                self.tip.short()
            );
            self.events.send(RunEvent::Notice(Notice::Warning(text)));
            return Ok(());
        }
        let from = self.tip.clone();
        workspace.fast_forward(self.run.header.run, &self.run.header.commit, &from, &merged)?;
        // From here on the end of the run knows what to put back.
        self.tip = merged.clone();
        let files = self.run.workspace.restore(&from, &merged)?.len();
        let files = counted(files, "file", "files");
        self.tell(format!(
            "the run continues from {}, which contains the work of its tasks ({files})",
            merged.short()
        ));
        Ok(())
    }

    fn tasks_done(&self) -> PathBuf {
        self.run.header.folder.join(DONE)
    }

    fn tell(&self, text: String) {
        self.events.send(RunEvent::Notice(Notice::Info(text)));
    }
}
