//! The output of a command that another component reads: an engine.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Hands on what a command prints, and no bytes at all when nothing has come for a while.
pub(crate) struct Listener<'a> {
    heard: Mutex<Heard<'a>>,
    came: Notify,
}

struct Heard<'a> {
    output: &'a mut (dyn FnMut(&[u8]) + Send),
    bytes: u64,
}

impl<'a> Listener<'a> {
    pub(crate) fn new(output: &'a mut (dyn FnMut(&[u8]) + Send)) -> Self {
        Self { heard: Mutex::new(Heard { output, bytes: 0 }), came: Notify::new() }
    }

    /// The next piece.
    pub(crate) fn hear(&self, piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        self.with(|heard| {
            heard.bytes += piece.len() as u64;
            (heard.output)(piece);
        });
        self.came.notify_one();
    }

    /// Tells `output`, once after each burst of pieces, that nothing has come for `quiet`. It never
    /// ends by itself: it is polled beside what calls [`Self::hear`].
    pub(crate) async fn tell_quiet(&self, quiet: Duration) -> Infallible {
        loop {
            self.came.notified().await;
            while tokio::time::timeout(quiet, self.came.notified()).await.is_ok() {}
            self.with(|heard| (heard.output)(&[]));
        }
    }

    /// How many have been handed on.
    pub(crate) fn bytes(&self) -> u64 {
        self.with(|heard| heard.bytes)
    }

    /// Nobody waits for this lock: all calls come from the one task of the command.
    fn with<T>(&self, act: impl FnOnce(&mut Heard<'a>) -> T) -> T {
        act(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn silence_is_told_once_after_each_burst() {
        let (sender, told) = std::sync::mpsc::channel();
        let mut output = |bytes: &[u8]| sender.send(bytes.to_vec()).unwrap();
        let listener = Listener::new(&mut output);
        // Waits until the silence after a burst was reported.
        let silence = async || loop {
            match told.try_recv() {
                Ok(piece) if piece.is_empty() => break,
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let command = async {
            // No silence is reported before the first output.
            listener.hear(b"");
            tokio::time::sleep(4 * QUIET).await;
            assert!(told.try_recv().is_err());
            for _ in 0..2 {
                listener.hear(b"first");
                listener.hear(b"second");
                silence().await;
            }
            tokio::time::sleep(4 * QUIET).await;
            assert!(told.try_recv().is_err(), "it was told twice");
            listener.hear(b"last");
        };
        tokio::select! {
            biased;
            () = command => {}
            never = listener.tell_quiet(QUIET) => match never {},
        }
        assert_eq!(listener.bytes(), 26);
        assert_eq!(told.try_recv().unwrap(), b"last");
        assert!(told.try_recv().is_err());
    }
}
