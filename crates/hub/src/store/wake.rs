//! Wake-ups: hints that something changed, never the truth. One may be lost, or come twice;
//! whoever waits looks for itself, and looks again after [`POLL`] at the latest.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::tx::Woken;

/// How long to rely on wake-ups before looking anyway.
pub const POLL: Duration = Duration::from_secs(5);

/// Waits for changes. Those that happen between two waits are not missed: the next wait returns
/// at once.
#[derive(Debug, Clone)]
pub struct Changes {
    seen: watch::Receiver<u64>,
}

impl Changes {
    /// Returns when something changed since the last call, or since this was made. It may never
    /// return: look, then wait at most [`POLL`] for the next.
    pub async fn changed(&mut self) {
        if self.seen.changed().await.is_err() {
            // The store is gone, and nobody will wake this again.
            std::future::pending::<()>().await;
        }
    }
}

/// How often this process changed something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct LocalChanges {
    work: u64,
    events: u64,
}

/// Where wake-ups of this process come together.
#[derive(Debug, Clone)]
pub(super) struct Wake {
    work: Arc<watch::Sender<u64>>,
    events: Arc<watch::Sender<u64>>,
    own: Arc<watch::Sender<LocalChanges>>,
}

impl Wake {
    pub(super) fn new() -> Self {
        Self {
            work: Arc::new(watch::Sender::new(0)),
            events: Arc::new(watch::Sender::new(0)),
            own: Arc::new(watch::Sender::new(LocalChanges::default())),
        }
    }

    /// Something may be claimed.
    pub(super) fn work(&self) -> Changes {
        Changes { seen: self.work.subscribe() }
    }

    /// The outbox has more.
    pub(super) fn events(&self) -> Changes {
        Changes { seen: self.events.subscribe() }
    }

    /// What this process does from now on, for those who notify other processes.
    pub(super) fn outward(&self) -> RemoteNotifier {
        RemoteNotifier { own: self.own.subscribe(), notified: *self.own.borrow() }
    }

    /// This process did something: wakes everybody.
    pub(super) fn wake(&self, woken: Woken) {
        if woken.any() {
            self.wake_here(woken);
            self.own.send_modify(|own| {
                own.work = own.work.wrapping_add(u64::from(woken.work));
                own.events = own.events.wrapping_add(u64::from(woken.events));
            });
        }
    }

    /// Another process did something: wakes those of this one.
    pub(super) fn wake_here(&self, woken: Woken) {
        if woken.work {
            self.work.send_modify(|count| *count = count.wrapping_add(1));
        }
        if woken.events {
            self.events.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

/// What other processes were not notified of yet. However much happens between two looks, it is
/// one message.
#[derive(Debug)]
pub(super) struct RemoteNotifier {
    own: watch::Receiver<LocalChanges>,
    notified: LocalChanges,
}

impl RemoteNotifier {
    /// Waits for something to notify of; `None` when the store is gone.
    pub(super) async fn next(&mut self) -> Option<Woken> {
        self.own.changed().await.ok()?;
        let own = *self.own.borrow_and_update();
        let woken = Woken {
            work: own.work != self.notified.work,
            events: own.events != self.notified.events,
        };
        self.notified = own;
        Some(woken)
    }
}

/// A wake-up as it travels between processes: `<sender> work events`.
pub(super) fn message(sender: &str, woken: Woken) -> String {
    let work = if woken.work { " work" } else { "" };
    let events = if woken.events { " events" } else { "" };
    format!("{sender}{work}{events}")
}

/// What a message says, unless it is one of our own.
pub(super) fn understood(own: &str, message: &str) -> Option<Woken> {
    let mut words = message.split(' ');
    if words.next() == Some(own) {
        return None;
    }
    let mut woken = Woken::default();
    for word in words {
        match word {
            "work" => woken.work = true,
            "events" => woken.events = true,
            _later_version => {}
        }
    }
    woken.any().then_some(woken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_between_two_waits_is_missed_and_much_is_told_once() {
        let wake = Wake::new();
        let (mut changes, mut outward) = (wake.work(), wake.outward());
        for _ in 0..3 {
            wake.wake(Woken { work: true, events: false });
        }
        changes.changed().await;
        assert_eq!(outward.next().await, Some(Woken { work: true, events: false }));
        assert!(tokio::time::timeout(Duration::from_millis(20), changes.changed()).await.is_err());
        assert!(tokio::time::timeout(Duration::from_millis(20), outward.next()).await.is_err());
    }

    #[test]
    fn messages_are_read_by_others_only() {
        let woken = Woken { work: true, events: true };
        assert_eq!(message("a", woken), "a work events");
        assert_eq!(understood("b", "a work events"), Some(woken));
        assert_eq!(understood("a", "a work events"), None);
        assert_eq!(understood("b", "a something"), None);
        assert_eq!(understood("b", ""), None);
    }
}
