//! Where the target is reached, and how that moves with a release.

use super::Supervisor;
use super::protocol::RequestError;
use super::workload::{Purpose, Workload};
use greenloop_model::ReleaseState;

impl<W: Workload> Supervisor<W> {
    /// Listens at `address`; besides at the one that serves now, which is left when a release has
    /// been verified at the new one.
    pub(super) async fn listen(&mut self, address: &str) -> Result<(), RequestError> {
        match self.state.front.clone().filter(|_| self.state.active().is_some()) {
            Some(serving) => self.listeners.move_to(address, &serving).await?,
            None => {
                self.listeners.open(address).await?;
                self.state.front = Some(address.to_owned());
            }
        }
        Ok(())
    }

    /// The release that moved the address is not to be verified any more.
    pub(super) async fn move_back(&mut self) {
        let rolling_out = self.pending.as_ref().is_some_and(|p| p.purpose == Purpose::RollOut);
        let active = self.state.active().and_then(|active| self.state_of(active));
        if self.listeners.has_moved() && !rolling_out && active != Some(ReleaseState::Live) {
            self.listeners.move_back().await;
        }
    }

    /// Takes the address again for a release that serves again after the target was stopped. Whoever is
    /// told that it serves finds it there.
    pub(crate) async fn reopen(&mut self) -> Result<(), RequestError> {
        match self.state.front.clone().filter(|_| !self.listeners.is_open()) {
            Some(address) => Ok(self.listeners.open(&address).await?),
            None => Ok(()),
        }
    }

    /// Takes the address again after a restart; another program may have it meanwhile.
    pub(super) async fn listen_again(&mut self) {
        if let (Some(address), Some(_)) = (self.state.front.clone(), self.state.active())
            && let Err(error) = self.listeners.open(&address).await
        {
            tracing::warn!("{}", RequestError::from(error));
        }
    }
}
