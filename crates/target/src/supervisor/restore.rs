//! How the last verified release comes to serve again.

use super::Supervisor;
use super::protocol::{Reply, RequestError};
use super::release_state::StateError;
use super::workload::{Asker, Lease, OwnReply, Workload};
use greenloop_model::ReleaseId;

impl<W: Workload> Supervisor<W> {
    /// The last verified release serves again in the place of `failed`, which is stopped after
    /// that. `None`: the answer comes later.
    pub(crate) fn restore(
        &mut self,
        failed: ReleaseId,
        why: &str,
        asker: Option<&Asker<W>>,
    ) -> Result<Option<Reply<OwnReply<W>>>, StateError> {
        if self.state.active() != Some(failed) {
            self.state.fail(failed, why);
            self.try_save();
            W::stop(self, failed);
            return Ok(Some(Reply::Restored { serving: self.state.active(), untouched: true }));
        }
        let to = self.state.restorable();
        if let Some(by) = self.state.closed_by(failed, to) {
            return self.keep_failed(failed, by).map(Some);
        }
        self.lease = Lease::None;
        self.state.fail(failed, why);
        match to {
            Some(to) => W::serve_again(self, to, asker),
            None => {
                self.state.stop_serving();
                self.save()?;
                self.publish();
                W::retire(self, failed);
                Ok(Some(Reply::Restored { serving: None, untouched: false }))
            }
        }
    }

    /// A release that failed and whose rollback is forbidden serves on.
    pub(crate) fn keep_failed(
        &mut self,
        release: ReleaseId,
        by: ReleaseId,
    ) -> Result<Reply<OwnReply<W>>, StateError> {
        self.lease = Lease::None;
        if let Some(known) = self.state.get_mut(release) {
            let failure = || "it failed, but must not be rolled back".to_owned();
            known.failure.get_or_insert_with(failure);
        }
        self.save()?;
        Ok(RequestError::forbidden(release, by).into())
    }
}
