//! How a release comes to serve: admitted, switched to, verified; or given up.

use jiff::Timestamp;

use super::Supervisor;
use super::protocol::{Reply, RequestError};
use super::release_state::{ReleaseRecord, StateError, TargetState};
use super::workload::{Asker, Lease, OwnReply, Pending, Purpose, Workload};
use greenloop_model::{ReleaseId, ReleaseState};

impl<W: Workload> Supervisor<W> {
    /// Writes `candidate` down, to be started next. `Some`: the answer, for there is nothing to
    /// start.
    pub(crate) async fn admit(
        &mut self,
        asker: &Asker<W>,
        candidate: ReleaseRecord<W::Detail>,
        address: &str,
    ) -> Result<Option<Reply<OwnReply<W>>>, StateError> {
        let release = candidate.id;
        let taken_up = self.state.active() == Some(release)
            && self.state_of(release) == Some(ReleaseState::Live);
        if taken_up && let Err(error) = self.listen(address).await {
            return Ok(Some(error.into()));
        }
        if let Some(known) = self.state.get(release) {
            return Ok(Some(match known.state {
                ReleaseState::Live | ReleaseState::Verified
                    if self.state.active() == Some(release) =>
                {
                    if known.state == ReleaseState::Live {
                        self.lease = Lease::Held { connection: asker.connection, release };
                    }
                    Reply::Serving { release }
                }
                ReleaseState::Candidate => self.busy().into(),
                ReleaseState::Live | ReleaseState::Verified | ReleaseState::Superseded => {
                    let why = "another release replaced it".to_owned();
                    RequestError::FailedBefore { why }.into()
                }
                ReleaseState::Failed => {
                    let why = known.failure.clone().unwrap_or_else(|| "it failed".to_owned());
                    RequestError::FailedBefore { why }.into()
                }
            }));
        }
        if self.pending.is_some() {
            return Ok(Some(self.busy().into()));
        }
        if let Err(error) = self.listen(address).await {
            return Ok(Some(error.into()));
        }
        self.state.add(candidate);
        if let Err(error) = self.save() {
            self.state.forget_candidate(release);
            return Err(error);
        }
        Ok(None)
    }

    /// The release that a rollback goes to: `release`, or the one before what serves.
    pub(crate) fn earlier(&self, release: Option<ReleaseId>) -> Result<ReleaseId, RequestError> {
        if self.pending.is_some() {
            return Err(self.busy());
        }
        let release = release.or_else(|| self.state.before_active());
        let release = release.ok_or_else(|| {
            RequestError::no_release(match self.state.active() {
                Some(_) => "there is no verified release before the one that serves",
                None => "there is no verified release to restore",
            })
        })?;
        let short = release.short();
        match self.state.get(release) {
            Some(known) if known.is_restorable() && W::is_kept(self, release) => {}
            Some(known) if known.state == ReleaseState::Failed => {
                return Err(RequestError::no_release(format!("release {short} failed")));
            }
            Some(_) => {
                let message = format!("release {short} was never verified");
                return Err(RequestError::no_release(message));
            }
            None => {
                let message = format!("release {short} is no longer stored here");
                return Err(RequestError::no_release(message));
            }
        }
        if let Some(active) = self.state.active()
            && active != release
            && let Some(by) = self.state.closed_by(active, Some(release))
        {
            return Err(RequestError::forbidden(active, by));
        }
        Ok(release)
    }

    /// `release` serves from now on; what served before stands by or is retired. `change` is
    /// written down with it.
    pub(crate) fn switch(
        &mut self,
        release: ReleaseId,
        change: impl FnOnce(&mut TargetState<W::Detail>),
    ) -> Result<(), StateError> {
        let before = [self.state.active(), self.state.fallback()];
        let mut next = self.state.clone();
        change(&mut next);
        next.switch(release);
        next.save(&self.folder)?;
        self.state = next;
        self.publish();
        for last in before.into_iter().flatten() {
            if !self.state.is_wanted(last) {
                W::retire(self, last);
            }
        }
        Ok(())
    }

    /// What was pending serves: its deployer's connection is the lease on a new release.
    pub(crate) fn take_pending(&mut self) -> Option<Pending<W>> {
        let pending = self.pending.take()?;
        self.lease = match (pending.purpose, pending.connection) {
            (Purpose::RollOut, Some(connection)) => {
                Lease::Held { connection, release: pending.release }
            }
            (Purpose::RollOut, None) | (Purpose::RollBack | Purpose::Restore, _) => Lease::None,
        };
        Some(pending)
    }

    pub(super) fn mark_verified(
        &mut self,
        release: ReleaseId,
    ) -> Result<Reply<OwnReply<W>>, StateError> {
        if self.state.active() != Some(release) {
            let message = format!("release {} is not serving", release.short());
            return Ok(RequestError::no_release(message).into());
        }
        let stood_by = self.state.verify(release, Timestamp::now());
        let gone = self.state.prune(release);
        self.lease = Lease::None;
        if let Some(address) = self.listeners.stay() {
            self.state.front = Some(address.to_owned());
        }
        self.save()?;
        if let Some(last) = stood_by {
            W::retire(self, last);
        }
        for release in gone {
            W::stop(self, release);
        }
        W::prune(self);
        Ok(Reply::Done { notes: Vec::new() })
    }

    /// Gives up what `connection` has asked for.
    pub(crate) fn cancel(&mut self, connection: u64) -> Result<(), StateError> {
        let asked = |pending: &Pending<W>| pending.connection == Some(connection);
        if self.pending.as_ref().is_some_and(asked) {
            self.give_up(RequestError::Cancelled)?;
        }
        Ok(())
    }

    /// Ends what is pending: the release did not come to serve. A candidate that was cancelled is
    /// forgotten.
    pub(crate) fn give_up(&mut self, error: RequestError) -> Result<(), StateError> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        W::give_up(self, &pending);
        match (pending.purpose, &error) {
            (Purpose::RollOut, RequestError::Cancelled) => W::forget(self, pending.release),
            (Purpose::RollOut, error) => self.state.fail(pending.release, &error.to_string()),
            (Purpose::RollBack | Purpose::Restore, _) => {}
        }
        let saved = self.save();
        // Whoever waits is told in any case; what keeps the state from being written, first.
        let error = match (&saved, error) {
            (Ok(()), error) | (Err(_), error @ RequestError::Supervisor { .. }) => error,
            (Err(full), _) => RequestError::unsaved(full),
        };
        W::tell_given_up(pending, error);
        saved
    }

    pub(crate) fn is_pending(&self, release: ReleaseId) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.release == release)
    }

    pub(crate) fn busy(&self) -> RequestError {
        let with = match &self.pending {
            Some(pending) => format!("release {}", pending.release.short()),
            None => "another request".to_owned(),
        };
        RequestError::Busy { with }
    }
}
