//! Containers follow the record: what the engine has is compared with what the record says, and
//! what is too much is stopped or removed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::containers::Containers;
use greenloop_image::engine::EngineError;
use greenloop_model::{ImageRef, ReleaseId};

/// Between two looks at the engine's containers when nothing has happened.
const SWEEP: Duration = Duration::from_secs(30);
/// Until the next look when the engine did not answer, or may not have done all yet.
const SWEEP_AGAIN: Duration = Duration::from_secs(3);
/// When the next comparison is due, and what is being asked of the engine.
pub(super) struct Sweep {
    due: Instant,
    under_way: bool,
    /// Whether what is to serve is started when it stands still: at the beginning, and when the
    /// supervisor itself goes back to a release.
    starting: bool,
    /// Each with what calls the stop off while connections still drain.
    stopping: BTreeMap<ReleaseId, CancellationToken>,
    tasks: JoinSet<()>,
}

impl Sweep {
    pub(super) fn new() -> Self {
        Self {
            due: Instant::now(),
            under_way: false,
            starting: true,
            stopping: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    pub(super) fn now(&mut self) {
        self.within(Duration::ZERO);
    }

    fn within(&mut self, pause: Duration) {
        self.due = self.due.min(Instant::now() + pause);
    }

    /// The next one starts what is to serve and stands still.
    pub(super) fn start_wanted(&mut self) {
        self.starting = true;
    }

    /// Whether one is to begin now; it has begun then.
    pub(super) fn begin(&mut self) -> bool {
        let begins = !self.under_way && Instant::now() >= self.due;
        if begins {
            self.under_way = true;
            self.due = Instant::now() + SWEEP;
        }
        begins
    }

    /// Whether this one starts what is to serve and stands still.
    pub(super) fn is_starting(&self) -> bool {
        self.starting
    }

    /// Does what a comparison has found; `done` receives whether all of it was.
    pub(super) fn follow(
        &mut self,
        chores: Vec<SweepAction>,
        containers: Containers,
        done: impl FnOnce(bool) + Send + 'static,
    ) {
        self.starting = false;
        self.spawn(async move {
            let mut all = true;
            for chore in chores {
                if let Err(error) = chore.done(&containers).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "postponed");
                    all = false;
                }
            }
            done(all);
        });
    }

    /// Asks the engine for something.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    pub(super) fn is_stopping(&self, release: ReleaseId) -> bool {
        self.stopping.contains_key(&release)
    }

    /// A stop of the container of `release` begins; what calls it off.
    pub(super) fn stopping(&mut self, release: ReleaseId) -> CancellationToken {
        let call_off = CancellationToken::new();
        self.stopping.insert(release, call_off.clone());
        call_off
    }

    pub(super) fn ended(&mut self, all: bool) {
        self.under_way = false;
        if !all {
            self.within(SWEEP_AGAIN);
        }
    }

    /// Leaves the container of `release` alone if its connections still drain; whether it is being
    /// stopped.
    pub(super) fn call_off(&self, release: ReleaseId) -> bool {
        let call_off = self.stopping.get(&release);
        call_off.map(CancellationToken::cancel).is_some()
    }

    pub(super) fn stopped(&mut self, release: ReleaseId) {
        self.stopping.remove(&release);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.under_way || !self.stopping.is_empty()
    }

    pub(super) fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }

    /// Waits for what the engine has been asked, and asks it nothing more.
    pub(super) async fn cancel(&mut self) {
        for call_off in self.stopping.values() {
            call_off.cancel();
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What a comparison found to do.
pub(super) enum SweepAction {
    Remove { id: String, image: Option<ImageRef> },
    Follow { id: String, rename: Option<String>, start: bool },
}

impl SweepAction {
    async fn done(self, containers: &Containers) -> Result<(), EngineError> {
        match self {
            Self::Remove { id, image } => {
                containers.remove(&id).await?;
                match image {
                    Some(image) => containers.remove_image(&image).await,
                    None => Ok(()),
                }
            }
            Self::Follow { id, rename, start } => {
                if let Some(name) = rename {
                    containers.rename(&id, &name).await?;
                }
                if start {
                    containers.set_restart(&id, true).await?;
                    containers.start(&id).await?;
                }
                Ok(())
            }
        }
    }
}
