//! Whose attempt it is. An attempt's agent never changes, so it is asked for once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::auth::Caller;
use super::problem::{Kind, Problem};
use crate::store::{StoreError, TaskStore};
use greenloop_model::task::Lease;

/// Attempts that are remembered at most.
const MOST: usize = 16_384;

/// The agents of attempts.
#[derive(Debug)]
pub(super) struct AttemptOwners {
    store: TaskStore,
    known: Mutex<HashMap<Lease, String>>,
}

impl AttemptOwners {
    pub(super) fn new(store: TaskStore) -> Self {
        Self { store, known: Mutex::new(HashMap::new()) }
    }

    /// Notes an attempt that was just given out.
    pub(super) fn note(&self, lease: Lease, agent: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(lease, agent.to_owned());
    }

    /// Whether a caller may report on an attempt: one with a token of an agent only on that
    /// agent's.
    pub(super) async fn check(&self, caller: &Caller, lease: Lease) -> Result<(), Problem> {
        if caller.agent().is_none() {
            return Ok(());
        }
        match self.agent(lease).await? {
            Some(agent) => caller.must_be(&agent),
            None => Err(Problem::new(
                Kind::NotFound,
                format!("there is no attempt {} at task {}", lease.epoch, lease.task),
            )),
        }
    }

    async fn agent(&self, lease: Lease) -> Result<Option<String>, StoreError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&lease).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let found = self.store.agent_of(lease).await?;
        if let Some(agent) = &found {
            self.note(lease, agent);
        }
        Ok(found)
    }
}
