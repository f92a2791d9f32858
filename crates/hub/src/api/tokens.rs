//! Whose token it is: asked of the store, and remembered for a moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::{StoreError, TaskStore, TokenView};

/// How long an answer holds: a token that is revoked is good for so long at most.
const HOLDS: Duration = Duration::from_secs(2);
/// Tokens that are remembered at most.
const MOST: usize = 4_096;

/// Good tokens, by the hash of the whole; bad ones are not remembered.
#[derive(Debug)]
pub(super) struct Tokens {
    store: TaskStore,
    known: Mutex<HashMap<blake3::Hash, (Instant, Arc<TokenView>)>>,
}

impl Tokens {
    pub(super) fn new(store: TaskStore) -> Self {
        Self { store, known: Mutex::new(HashMap::new()) }
    }

    /// The token, when it is good now.
    pub(super) async fn verify(&self, token: &str) -> Result<Option<Arc<TokenView>>, StoreError> {
        let hash = blake3::hash(token.as_bytes());
        if let Some(known) = self.remembered(&hash) {
            return Ok(Some(known));
        }
        let Some(view) = self.store.verify_token(token).await? else { return Ok(None) };
        let view = Arc::new(view);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(hash, (Instant::now(), Arc::clone(&view)));
        Ok(Some(view))
    }

    /// Whether it was good before: its holder is no guesser.
    pub(super) fn knows(&self, token: &str) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains_key(&blake3::hash(token.as_bytes()))
    }

    fn remembered(&self, hash: &blake3::Hash) -> Option<Arc<TokenView>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, view) = known.get(hash)?;
        (since.elapsed() < HOLDS).then(|| Arc::clone(view))
    }
}
