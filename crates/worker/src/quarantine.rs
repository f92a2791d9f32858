//! A worker whose machine is at fault claims nothing until its self-check passes.
//!
//! The check is repeated with a pause that doubles each time, and goes on doubling when what
//! passed fails again at the next task: only a task that was done sets it back.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::self_check::{Fault, ModelCheck, SelfCheck};
use super::stop::Stop;
use greenloop_http::retry::nth_delay;

/// Between two checks, at most.
const LONGEST: Duration = Duration::from_secs(300);

/// Whether the worker is fit, and what it must prove before it is again.
pub(super) struct Quarantine {
    check: SelfCheck,
    /// From a failed check to the next one, at first.
    pause: Duration,
    reason: watch::Sender<Option<String>>,
    /// Checks and tasks in a row that the machine failed.
    in_a_row: AtomicU32,
    /// A model that a task could not ask: the check asks it as well.
    missed: std::sync::Mutex<Option<ModelCheck>>,
    /// One check at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Quarantine {
    pub(super) fn new(check: SelfCheck, pause: Duration) -> Self {
        Self {
            check,
            pause,
            reason: watch::Sender::new(None),
            in_a_row: AtomicU32::new(0),
            missed: std::sync::Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Why it claims nothing, for reports to the hub.
    pub(super) fn reason(&self) -> watch::Receiver<Option<String>> {
        self.reason.subscribe()
    }

    pub(super) fn check(&self) -> &SelfCheck {
        &self.check
    }

    /// Why it is in quarantine now.
    pub(super) fn why(&self) -> Option<String> {
        self.reason.borrow().clone()
    }

    /// Begins, or goes on with another reason; the model that was `missed` is asked as well from now
    /// on.
    pub(super) fn begin(&self, fault: &Fault, missed: Option<ModelCheck>) {
        if missed.is_some() {
            *self.missed() = missed;
        }
        self.in_a_row.fetch_add(1, Ordering::Relaxed);
        let before = self.reason.send_replace(Some(fault.reason.clone()));
        if before.as_ref() != Some(&fault.reason) {
            let (reason, class) = (&fault.reason, fault.class);
            tracing::error!(
                reason,
                %class,
                "quarantine: claiming nothing until the self-check passes"
            );
        }
    }

    /// A task was done: the machine can do it.
    pub(super) fn worked(&self) {
        self.in_a_row.store(0, Ordering::Relaxed);
    }

    /// The check before the first claim.
    pub(super) async fn start(&self) {
        match self.check.whole(None).await {
            Ok(()) => {
                self.reason.send_replace(None);
                tracing::info!("the self-check passes");
            }
            Err(fault) => self.begin(&fault, None),
        }
    }

    /// Waits until the worker may claim; `false` when it stops first.
    pub(super) async fn over(&self, stop: &Stop) -> bool {
        let open = async {
            if let Err(fault) = self.check.room() {
                self.begin(&fault, None);
            }
            while self.why().is_some() {
                let _turn = self.turn.lock().await;
                if self.why().is_some() {
                    self.try_again().await;
                }
            }
        };
        tokio::select! {
            () = open => true,
            () = stop.draining() => false,
        }
    }

    async fn try_again(&self) {
        let seen = self.in_a_row.load(Ordering::Relaxed);
        self.pause().await;
        let missed = self.missed().clone();
        match self.check.whole(missed.as_ref()).await {
            // What another slot found meanwhile was not looked at.
            Ok(()) if self.in_a_row.load(Ordering::Relaxed) != seen => {}
            Ok(()) => {
                *self.missed() = None;
                self.reason.send_replace(None);
                tracing::info!("the self-check passed: quarantine ended");
            }
            Err(fault) => self.begin(&fault, None),
        }
    }

    /// Until it is time for the next check.
    pub(super) async fn pause(&self) {
        let failed = self.in_a_row.load(Ordering::Relaxed);
        tokio::time::sleep(nth_delay(self.pause, LONGEST, failed.saturating_sub(1))).await;
    }

    fn missed(&self) -> std::sync::MutexGuard<'_, Option<ModelCheck>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
