//! What a run that is gone has left.

use super::Supervisor;
use super::protocol::{Reply, RequestError};
use super::release_state::StateError;
use super::workload::{OwnReply, Workload};
use greenloop_model::{ReleaseId, ReleaseState, RunId};

impl<W: Workload> Supervisor<W> {
    pub(super) fn clean_up(&mut self, run: RunId) -> Result<Reply<OwnReply<W>>, StateError> {
        let mut notes = Vec::new();
        let of_run = self.state.releases().iter().filter(|record| record.run == run);
        let open: Vec<(ReleaseId, ReleaseState)> = of_run.map(|r| (r.id, r.state)).collect();
        for (release, state) in open {
            match state {
                ReleaseState::Candidate => {
                    if self.is_pending(release) {
                        self.give_up(RequestError::Cancelled)?;
                    } else {
                        W::stop(self, release);
                        W::forget(self, release);
                        self.save()?;
                    }
                    notes.push(format!("stopped the candidate {}", release.short()));
                }
                ReleaseState::Live if self.state.active() == Some(release) => {
                    let why = "its run ended before it was verified";
                    let reply = self.restore(release, why, None)?;
                    let never = format!("release {} was never verified", release.short());
                    notes.push(match (reply, self.state.active()) {
                        (Some(Reply::Failed { error }), _) => format!("{never}: {error}"),
                        (_, Some(now)) if now != release => {
                            format!("{never}: {} serves again", now.short())
                        }
                        (_, Some(_)) => {
                            format!("{never}: starting the last verified release")
                        }
                        (_, None) => format!(
                            "{never}, and there is no verified release: stopped \
                            it"
                        ),
                    });
                }
                ReleaseState::Live
                | ReleaseState::Verified
                | ReleaseState::Superseded
                | ReleaseState::Failed => {}
            }
        }
        Ok(Reply::Done { notes })
    }
}
