//! Endless watches: what they bring, and when they are cut off.
//!
//! kube's watcher lists, watches with bookmarks and resumes by itself when the server ends a
//! watch in good order. It does not tell when it is back after an error, and it repeats a watch
//! that was refused with 410 at the same version for ever: hence after any error this makes a new
//! one, which lists again.

use std::fmt::Debug;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures::stream::{BoxStream, StreamExt};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::view::Change;

/// The server ends a watch after this long, so that a connection that is dead without a word is
/// noticed within a minute.
const WATCH_SECONDS: u32 = 50;
/// A list that takes longer is given up.
const LIST_TIMEOUT: Duration = Duration::from_secs(20);
/// Before a watch is made again.
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(200))
    .with_max_delay(Duration::from_secs(5))
    .without_max_times();

/// What comes out of a watch.
#[derive(Debug)]
pub(super) enum WatchEvent<K> {
    /// The cluster said something.
    Change(Change<K>),
    /// The watch is cut off, for the given reason; a [`Change::Listed`] follows when it is back.
    WatchError(WatchError),
}

/// Why a watch was cut off.
#[derive(Debug)]
pub(super) enum WatchError {
    /// The server has forgotten the version that the watch was at: nothing is wrong.
    Expired,
    /// The server refuses: the account may not, or is not known.
    Refused(Box<kube::Error>),
    /// The server cannot be reached, or is in trouble.
    Away(Option<Box<kube::Error>>),
}

struct Watch<K: Clone + Debug + Send + 'static> {
    api: Api<K>,
    config: watcher::Config,
    stream: Option<BoxStream<'static, Result<Event<K>, watcher::Error>>>,
    /// Objects of a list that is not complete yet.
    listing: Option<Vec<K>>,
    /// Since the last good list.
    delays: Option<ExponentialBackoff>,
    /// Before the next connection.
    delay: Option<Duration>,
}

/// Watches the objects that `selector` (labels) or `name` restrict.
pub(super) fn watch<K>(
    api: Api<K>,
    labels: Option<String>,
    name: Option<&str>,
) -> BoxStream<'static, WatchEvent<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
    if let Some(labels) = labels {
        config = config.labels(&labels);
    }
    if let Some(name) = name {
        config = config.fields(&format!("metadata.name={name}"));
    }
    let watch =
        Watch { api, config, stream: None, listing: Some(Vec::new()), delays: None, delay: None };
    futures::stream::unfold(watch, |mut watch| async {
        let news = watch.next().await;
        Some((news, watch))
    })
    .boxed()
}

impl<K> Watch<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    async fn next(&mut self) -> WatchEvent<K> {
        loop {
            if let Some(delay) = self.delay {
                tokio::time::sleep(delay).await;
                self.delay = None;
            }
            let (api, config) = (&self.api, &self.config);
            let stream = self
                .stream
                .get_or_insert_with(|| watcher::watcher(api.clone(), config.clone()).boxed());
            let next = match self.listing {
                Some(_) => match tokio::time::timeout(LIST_TIMEOUT, stream.next()).await {
                    Ok(next) => next,
                    Err(_) => return self.lose(WatchError::Away(None)),
                },
                None => stream.next().await,
            };
            match next {
                Some(Ok(Event::Init)) => self.listing = Some(Vec::new()),
                Some(Ok(Event::InitApply(object))) => {
                    self.listing.get_or_insert_default().push(object);
                }
                Some(Ok(Event::InitDone)) => {
                    self.delays = None;
                    let listed = self.listing.take().unwrap_or_default();
                    return WatchEvent::Change(Change::Listed(listed));
                }
                Some(Ok(Event::Apply(object))) => {
                    return WatchEvent::Change(Change::Applied(object));
                }
                Some(Ok(Event::Delete(object))) => return WatchEvent::Change(Change::Gone(object)),
                Some(Err(error)) => return self.lose(why(error)),
                None => return self.lose(WatchError::Away(None)),
            }
        }
    }

    fn lose(&mut self, lost: WatchError) -> WatchEvent<K> {
        self.stream = None;
        self.listing = Some(Vec::new());
        // A watch that had gone well is taken up again at once when its version has expired.
        let expired = matches!(lost, WatchError::Expired) && self.delays.is_none();
        let next = self.delays.get_or_insert_with(|| RETRY.build()).next();
        self.delay = next.filter(|_| !expired);
        WatchEvent::WatchError(lost)
    }
}

fn why(error: watcher::Error) -> WatchError {
    match error {
        watcher::Error::WatchError(status) if status.code == 410 => WatchError::Expired,
        watcher::Error::WatchError(status) => of(kube::Error::Api(status)),
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => of(error),
        watcher::Error::NoResourceVersion => WatchError::Away(None),
    }
}

fn of(error: kube::Error) -> WatchError {
    match &error {
        kube::Error::Api(status) => match status.code {
            410 => WatchError::Expired,
            401 | 403 => WatchError::Refused(Box::new(error)),
            _ => WatchError::Away(Some(Box::new(error))),
        },
        kube::Error::Auth(_) => WatchError::Refused(Box::new(error)),
        _ => WatchError::Away(Some(Box::new(error))),
    }
}
