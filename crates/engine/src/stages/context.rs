//! What every stage is given.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use greenloop_evidence::Redactor;
use greenloop_exec::sandbox::{Confinement, Grant, Sandbox};
use greenloop_exec::{Command, Marker, Program};
use greenloop_model::{EventSink, RunId, Stage};

/// What every stage is given.
pub struct StageContext<'a> {
    /// The repository's root.
    pub root: &'a Path,
    pub run: RunId,
    /// 1-based.
    pub iteration: u32,
    /// The run's folder; logs go to `stages/<iteration>-<stage>-<name>.log` in it.
    pub folder: &'a Path,
    /// Takes secrets out of every text.
    pub redactor: &'a Redactor,
    /// Where events go.
    pub events: &'a EventSink,
    /// Ends what runs.
    pub cancel: &'a CancellationToken,
    /// Gates that may run at the same time; at least 1.
    pub parallelism: usize,
    /// Variables that commands do not inherit: the models' keys.
    pub env_remove: &'a [String],
    /// What commands run in; `None` for commands that see what Greenloop sees.
    pub sandbox: Option<&'a Arc<Sandbox>>,
}

impl StageContext<'_> {
    /// A command with the variables every stage gives, in the sandbox.
    pub(super) fn command(
        &self,
        stage: Stage,
        program: Program,
        cwd: &Path,
        grant: Grant,
    ) -> Command {
        let confinement =
            self.sandbox.map(|sandbox| Confinement { sandbox: Arc::clone(sandbox), grant });
        let own = [
            ("GREENLOOP_ITERATION", self.iteration.to_string()),
            ("GREENLOOP_STAGE", stage.name().to_owned()),
        ];
        Command {
            program,
            cwd: cwd.to_owned(),
            env: own.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            env_remove: self.env_remove.iter().map(OsString::from).collect(),
            timeout: None,
            marker: Marker::new(self.run),
            confinement,
        }
    }

    /// The logs that a part has in one iteration, in the order in which they were written.
    pub(crate) fn logs_of(folder: &Path, iteration: u32, stage: Stage, part: &str) -> Vec<PathBuf> {
        let base = Self::log_base(iteration, stage, part);
        let names = std::iter::once(format!("{base}.log"));
        let names = names.chain((2..).map(|nth| format!("{base}-{nth}.log")));
        names.map(|name| folder.join(name)).take_while(|path| path.exists()).collect()
    }

    fn log_base(iteration: u32, stage: Stage, part: &str) -> String {
        let plain: String = part
            .chars()
            .map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' })
            .take(60)
            .collect();
        format!("stages/{iteration}-{stage}-{plain}")
    }

    /// A log for a part, relative to the run's folder; one that no file has yet, because a part
    /// may run again and two names may differ only in what a file name cannot hold.
    pub(super) fn log_name(&self, stage: Stage, part: &str) -> String {
        let base = Self::log_base(self.iteration, stage, part);
        let mut name = format!("{base}.log");
        let mut nth = 1;
        while self.folder.join(&name).exists() {
            nth += 1;
            name = format!("{base}-{nth}.log");
        }
        name
    }
}
