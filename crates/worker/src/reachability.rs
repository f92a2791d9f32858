//! Repositories that this worker cannot reach. It claims nothing in one until it answers again:
//! that says nothing of the machine, nor of the tasks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::stop::Stop;
use greenloop_evidence::Redactor;
use greenloop_http::retry::nth_delay;
use greenloop_model::RunId;
use greenloop_workspace::git::{Git, reachable};

/// Between two looks at a repository, at most.
const LONGEST: Duration = Duration::from_secs(300);
/// How long one look may take.
const LOOK: Duration = Duration::from_secs(30);

/// Which repositories are out of reach. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reachability {
    outages: Arc<Mutex<BTreeMap<String, Outage>>>,
    away: watch::Sender<Vec<String>>,
    folder: PathBuf,
    redactor: Redactor,
    /// From one look to the next, at first; twice as long each time.
    pause: Duration,
    stop: Stop,
}

/// What is known of a repository that was out of reach.
#[derive(Debug, Default)]
struct Outage {
    /// Attempts and looks in a row that missed it: an attempt that reaches it sets this back.
    missed: u32,
    /// Whether nothing is claimed in it now.
    away: bool,
}

impl Reachability {
    /// `folder` is where git is run.
    pub(super) fn new(folder: PathBuf, redactor: Redactor, pause: Duration, stop: Stop) -> Self {
        let away = watch::Sender::new(Vec::new());
        Self { outages: Arc::default(), away, folder, redactor, pause, stop }
    }

    /// The addresses of repositories that are out of reach now.
    pub(super) fn unreachable(&self) -> Vec<String> {
        self.away.borrow().clone()
    }

    /// The same, for those who wait for a change.
    pub(super) fn changes(&self) -> watch::Receiver<Vec<String>> {
        self.away.subscribe()
    }

    /// An attempt could not reach a repository: nothing is claimed in it until it answers.
    pub(super) fn missed(&self, url: &str, why: &str) {
        if self.note(url) {
            let repository = self.redactor.redact(url);
            tracing::warn!(%repository, why, "the repository is unreachable: claiming none of its \
                tasks until it answers");
            tokio::spawn(self.clone().look(url.to_owned()));
        }
    }

    /// An attempt reached a repository.
    pub(super) fn reached(&self, url: &str) {
        let mut outages = self.lock();
        if outages.get(url).is_some_and(|outage| !outage.away) {
            outages.remove(url);
        }
    }

    /// Counts a miss; whether nobody looks at the repository yet.
    fn note(&self, url: &str) -> bool {
        let mut outages = self.lock();
        let outage = outages.entry(url.to_owned()).or_default();
        outage.missed = outage.missed.saturating_add(1);
        let new = !std::mem::replace(&mut outage.away, true);
        self.publish(&outages);
        new
    }

    /// Looks at a repository until it answers, or the worker stops.
    async fn look(self, url: String) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.rest(&url)) => {}
                () = self.stop.draining() => return,
            }
            let cancel = CancellationToken::new();
            let git = Git::new(RunId::generate(), &self.redactor, &cancel);
            let asked = reachable(&self.folder, &url, &git);
            if matches!(tokio::time::timeout(LOOK, asked).await, Ok(Ok(()))) {
                break;
            }
            self.note(&url);
        }
        let mut outages = self.lock();
        if let Some(outage) = outages.get_mut(&url) {
            outage.away = false;
        }
        self.publish(&outages);
        drop(outages);
        let repository = self.redactor.redact(&url);
        tracing::info!(%repository, "the repository is reachable again");
    }

    /// From now to the next look.
    fn rest(&self, url: &str) -> Duration {
        let missed = self.lock().get(url).map_or(1, |outage| outage.missed);
        nth_delay(self.pause, LONGEST, missed.saturating_sub(1))
    }

    fn publish(&self, outages: &BTreeMap<String, Outage>) {
        let away = outages.iter().filter(|(_, outage)| outage.away);
        let away: Vec<String> = away.map(|(url, _)| url.clone()).collect();
        self.away.send_if_modified(|before| {
            let changed = *before != away;
            *before = away;
            changed
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Outage>> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(folder: &std::path::Path) -> Reachability {
        let pause = Duration::from_millis(5);
        Reachability::new(folder.to_owned(), Redactor::default(), pause, Stop::default())
    }

    #[tokio::test]
    async fn a_repository_is_left_alone_until_it_answers() {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("r.git").to_str().unwrap().to_owned();
        let reach = reach(folder.path());
        let mut changes = reach.changes();
        reach.missed(&url, "it is not there");
        reach.missed(&url, "another slot says so, too");
        assert_eq!(reach.unreachable(), std::slice::from_ref(&url));
        let made = std::process::Command::new("git").args(["init", "-q", "--bare", &url]).status();
        assert!(made.unwrap().success());
        changes.wait_for(Vec::is_empty).await.unwrap();
        // What answers and cannot be worked with is looked at less often each time, until an attempt
        // reaches it.
        let first = reach.rest(&url);
        reach.note(&url);
        assert!(reach.rest(&url) > first);
        reach.reached(&url);
        assert!(reach.rest(&url) > first, "it is out of reach now");
        reach.lock().get_mut(&url).unwrap().away = false;
        reach.reached(&url);
        assert_eq!(reach.rest(&url), Duration::from_millis(5));
    }
}
