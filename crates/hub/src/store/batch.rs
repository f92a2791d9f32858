//! Requests of one sort that come in while a round trip to the database is out are sent together by
//! the next one: one statement and one commit for all of them. A request that finds nothing under
//! way is sent at once.
//!
//! # Guarantees
//! - Of one lane, one batch is out at a time; no request waits for more than the batch before it.
//! - A request whose caller has gone before it was sent is not sent.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::connect::TaskStore;
use super::error::{StoreError, StoreErrorKind};

/// How many requests one statement carries at most.
const MOST: usize = 64;

/// A request, and where its answer goes.
pub(super) struct Item<I, A> {
    pub(super) input: I,
    reply: oneshot::Sender<Result<A, StoreError>>,
}

impl<I, A> Item<I, A> {
    pub(super) fn answer(self, answer: Result<A, StoreError>) {
        // Whoever asked may have gone; what was done stays done.
        let _ = self.reply.send(answer);
    }
}

/// Sends one batch, and answers each of its items, itself or in a task of its own.
pub(super) type Send<K, I, A> = fn(TaskStore, K, Vec<Item<I, A>>) -> BoxFuture<'static, ()>;

type Lanes<K, I, A> = Arc<Mutex<HashMap<K, VecDeque<Item<I, A>>>>>;

/// Requests by lane: those of one lane can be in one statement. A lane is there while one of its
/// batches is out.
pub(super) struct Batcher<K, I, A> {
    lanes: Lanes<K, I, A>,
    send: Send<K, I, A>,
}

impl<K, I, A> Batcher<K, I, A>
where
    K: Clone + Eq + Hash + std::marker::Send + 'static,
    I: std::marker::Send + 'static,
    A: std::marker::Send + 'static,
{
    pub(super) fn new(send: Send<K, I, A>) -> Self {
        Self { lanes: Arc::default(), send }
    }

    /// The answer to a request.
    pub(super) async fn submit(
        &self,
        store: &TaskStore,
        lane: K,
        input: I,
    ) -> Result<A, StoreError> {
        let (reply, answer) = oneshot::channel();
        let item = Item { input, reply };
        if let Some(first) = self.join(&lane, item) {
            let guard = Lane { lanes: Arc::clone(&self.lanes), key: lane };
            tokio::spawn(drain(store.clone(), guard, self.send, first));
        }
        answer.await.map_err(|_gone| {
            StoreError::new(StoreErrorKind::Unavailable, "the store is shutting down")
        })?
    }

    /// The request, if it is to begin a lane; otherwise it waits in the one that is there.
    fn join(&self, lane: &K, item: Item<I, A>) -> Option<Item<I, A>> {
        let mut lanes = locked(&self.lanes);
        match lanes.get_mut(lane) {
            Some(waiting) => {
                waiting.push_back(item);
                None
            }
            None => {
                lanes.insert(lane.clone(), VecDeque::new());
                Some(item)
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A lane with a batch out. When it is dropped, also by a panic, nobody waits in it any more.
struct Lane<K: Eq + Hash, I, A> {
    lanes: Lanes<K, I, A>,
    key: K,
}

impl<K: Eq + Hash, I, A> Lane<K, I, A> {
    /// Those that wait, as many as a batch takes; the lane is closed when there are none.
    fn next(&self) -> Vec<Item<I, A>> {
        let mut lanes = locked(&self.lanes);
        let Some(waiting) = lanes.get_mut(&self.key) else { return Vec::new() };
        waiting.retain(|item| !item.reply.is_closed());
        let most = waiting.len().min(MOST);
        let batch: Vec<_> = waiting.drain(..most).collect();
        if batch.is_empty() {
            lanes.remove(&self.key);
        }
        batch
    }
}

impl<K: Eq + Hash, I, A> Drop for Lane<K, I, A> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            locked(&self.lanes).remove(&self.key);
        }
    }
}

async fn drain<K, I, A>(
    store: TaskStore,
    lane: Lane<K, I, A>,
    send: Send<K, I, A>,
    first: Item<I, A>,
) where
    K: Clone + Eq + Hash,
{
    let mut batch = vec![first];
    while !batch.is_empty() {
        send(store.clone(), lane.key.clone(), batch).await;
        batch = lane.next();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::StoreOptions;

    /// Each item's answer is the size of the batch that it was in; a batch takes a while.
    fn sizes(
        _store: TaskStore,
        _lane: u8,
        items: Vec<Item<usize, usize>>,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let size = items.len();
            for item in items {
                item.answer(Ok(size));
            }
        })
    }

    fn broken(
        _store: TaskStore,
        _lane: u8,
        items: Vec<Item<usize, usize>>,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move { assert!(items.is_empty(), "a batch that panics") })
    }

    async fn store() -> (tempfile::TempDir, TaskStore) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("hub.db").display());
        let store = TaskStore::open(&url, StoreOptions::default()).await.unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn an_idle_one_sends_at_once_and_then_what_has_gathered() {
        let (_folder, store) = store().await;
        let batcher = Batcher::new(sizes);
        let submit = |n| batcher.submit(&store, 0, n);
        let (first, gathered) = tokio::join!(submit(0), async {
            tokio::task::yield_now().await;
            futures::future::join_all((1..=5).map(submit)).await
        });
        assert_eq!(first.unwrap(), 1);
        assert_eq!(gathered.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [5; 5]);
        assert_eq!(submit(9).await.unwrap(), 1);
        assert!(locked(&batcher.lanes).is_empty());
    }

    #[tokio::test]
    async fn lanes_do_not_wait_for_each_other_and_a_batch_is_bounded() {
        let (_folder, store) = store().await;
        let batcher = Batcher::new(sizes);
        let many = futures::future::join_all((0..=MOST + 3).map(|n| batcher.submit(&store, 0, n)));
        let (many, other) = tokio::join!(many, batcher.submit(&store, 1, 0));
        assert_eq!(other.unwrap(), 1);
        let mut sizes: Vec<_> = many.into_iter().map(Result::unwrap).collect();
        sizes.dedup();
        assert_eq!(sizes, [1, MOST, 3]);
    }

    #[tokio::test]
    async fn who_has_gone_is_not_sent() {
        let (_folder, store) = store().await;
        let batcher = Batcher::new(sizes);
        let first = batcher.submit(&store, 0, 0);
        tokio::pin!(first);
        assert!(futures::poll!(&mut first).is_pending());
        {
            let gone = batcher.submit(&store, 0, 1);
            tokio::pin!(gone);
            assert!(futures::poll!(&mut gone).is_pending());
        }
        let stays = batcher.submit(&store, 0, 2);
        let (first, stays) = tokio::join!(first, stays);
        assert_eq!((first.unwrap(), stays.unwrap()), (1, 1));
    }

    #[tokio::test]
    async fn a_batch_that_panics_closes_its_lane() {
        let (_folder, store) = store().await;
        let batcher = Batcher::new(broken);
        let (one, two) = tokio::join!(batcher.submit(&store, 0, 0), batcher.submit(&store, 0, 1));
        assert_eq!(one.unwrap_err().kind, StoreErrorKind::Unavailable);
        assert_eq!(two.unwrap_err().kind, StoreErrorKind::Unavailable);
        assert!(locked(&batcher.lanes).is_empty());
    }
}
