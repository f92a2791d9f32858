//! What a reporter is, and the thread that feeds them.

use std::io;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use greenloop_model::RunEvent;

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamped {
    /// When it was sent.
    pub at: jiff::Timestamp,
    /// The event.
    pub event: RunEvent,
}

/// A consumer of the event stream. Live and replayed events are the same to it.
pub trait Reporter {
    /// Takes one event.
    ///
    /// # Errors
    /// When it cannot go on; it is given no further events.
    fn event(&mut self, at: jiff::Timestamp, event: &RunEvent) -> io::Result<()>;

    /// Called once, after every reporter has seen the last event.
    fn finish(&mut self);

    /// Called after [`Self::finish`] where the run's audit log was closed and signed: the checkpoint
    /// of the whole log, as tags that a build can bear.
    fn anchor(&mut self, _tags: &[String]) {}
}

/// Feeds `reporters` on a thread of their own until every sender is gone. A reporter that fails
/// is dropped, the others go on: a full disk or a closed pipe is no reason to stop a deployment.
/// The thread gives back those that are left.
pub fn spawn(
    mut reporters: Vec<Box<dyn Reporter + Send>>,
    rx: Receiver<RunEvent>,
) -> JoinHandle<Vec<Box<dyn Reporter + Send>>> {
    std::thread::spawn(move || {
        for event in rx {
            let at = jiff::Timestamp::now();
            feed(&mut reporters, at, &event);
        }
        for reporter in &mut reporters {
            reporter.finish();
        }
        reporters
    })
}

/// Feeds what has come so far, on this thread: before the run itself begins.
pub fn feed_pending(reporters: &mut Vec<Box<dyn Reporter + Send>>, rx: &Receiver<RunEvent>) {
    for event in rx.try_iter() {
        feed(reporters, jiff::Timestamp::now(), &event);
    }
}

/// The same for events that were recorded, on this thread.
pub fn replay(mut reporters: Vec<Box<dyn Reporter + Send>>, events: &[Stamped]) {
    for stamped in events {
        feed(&mut reporters, stamped.at, &stamped.event);
    }
    for reporter in &mut reporters {
        reporter.finish();
    }
}

fn feed(reporters: &mut Vec<Box<dyn Reporter + Send>>, at: jiff::Timestamp, event: &RunEvent) {
    reporters.retain_mut(|reporter| match reporter.event(at, event) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "a reporter failed and is disabled");
            false
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::{EventSink, Notice};
    use std::sync::mpsc::{Sender, channel};

    struct Probe {
        fails_at: Option<usize>,
        seen: usize,
        tell: Sender<String>,
    }

    impl Reporter for Probe {
        fn event(&mut self, _at: jiff::Timestamp, _event: &RunEvent) -> io::Result<()> {
            if self.fails_at == Some(self.seen) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.seen += 1;
            Ok(())
        }

        fn finish(&mut self) {
            self.tell.send(format!("finished after {}", self.seen)).unwrap();
        }
    }

    #[test]
    fn a_reporter_that_fails_is_dropped_and_the_others_go_on() {
        let (tell, told) = channel();
        let (tx, rx) = channel();
        let probe = |fails_at| -> Box<dyn Reporter + Send> {
            Box::new(Probe { fails_at, seen: 0, tell: tell.clone() })
        };
        let thread = spawn(vec![probe(Some(1)), probe(None)], rx);
        let sink = EventSink::new(tx);
        for _ in 0..3 {
            sink.send(RunEvent::Notice(Notice::Info("x".into())));
        }
        drop(sink);
        assert_eq!(thread.join().unwrap().len(), 1);
        drop(tell);
        assert_eq!(told.iter().collect::<Vec<_>>(), ["finished after 3"]);
    }
}
