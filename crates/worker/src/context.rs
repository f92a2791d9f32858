//! What all attempts of a worker share.

use super::agent_loop::AgentLoop;
use super::lease_keeper::LeaseKeeper;
use super::options::WorkerOptions;
use super::quarantine::Quarantine;
use super::reachability::Reachability;
use super::stop::Stop;
use super::workdir::Workdir;
use greenloop_evidence::Redactor;
use greenloop_hub_api::client::HubClient;

/// What all attempts of a worker share.
pub(super) struct WorkerContext {
    pub(super) client: HubClient,
    pub(super) options: WorkerOptions,
    pub(super) workdir: Workdir,
    pub(super) leases: LeaseKeeper,
    pub(super) redactor: Redactor,
    pub(super) agents: Option<AgentLoop>,
    pub(super) stop: Stop,
    pub(super) quarantine: Quarantine,
    pub(super) reach: Reachability,
}
