//! Keys while a run goes on at a terminal: `t` the end of what runs, `s` how far it is, `q` cancel,
//! once more to force.
//!
//! The terminal is read without waiting for a line's end from when the run begins; while a person is
//! asked something, and when the run is over, it is as it was.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio_util::sync::CancellationToken;

use super::error::Exit;
use greenloop_report::LiveView;

/// Between two looks while the terminal is not to be read.
const PAUSE: Duration = Duration::from_millis(100);

/// How the terminal was before keys were read; `None` while they are not.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
/// A person is asked something: what is typed is the answer.
static ASKING: AtomicBool = AtomicBool::new(false);

/// Reads keys until it is dropped.
pub(super) struct Keys {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keys {
    /// `None` where there is no terminal of ours to be read.
    pub(super) fn read(view: LiveView, cancel: CancellationToken) -> Option<Self> {
        Self::each(move |key| match key {
            b't' => view.show_tail(),
            b's' => view.show_status(),
            b'q' if cancel.is_cancelled() => force(),
            b'q' => {
                view.say("cancelling: what is not verified is taken back; q once more forces");
                cancel.cancel();
            }
            _ => {}
        })
    }

    /// The same for keys that mean something else; letters are small.
    pub(super) fn each(pressed: impl FnMut(u8) + Send + 'static) -> Option<Self> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() || !is_in_foreground() {
            return None;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("keys".to_owned())
            .spawn(move || follow(&told, pressed))
            .ok()?;
        Some(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _it_panicked = thread.join();
        }
        restore();
    }
}

fn follow(stop: &AtomicBool, mut pressed: impl FnMut(u8)) {
    while !stop.load(Ordering::SeqCst) {
        if ASKING.load(Ordering::SeqCst) || !is_in_foreground() || !unbuffered() {
            std::thread::sleep(PAUSE);
            continue;
        }
        let mut key = [0];
        // Returns after a tenth of a second without a key.
        match std::io::stdin().read(&mut key) {
            Ok(1) => pressed(key[0].to_ascii_lowercase()),
            Ok(_) => {}
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// A process in the background that reads the terminal, or changes it, is stopped for that.
fn is_in_foreground() -> bool {
    tcgetpgrp(std::io::stdin()).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Makes the terminal give each key at once, without showing it; a shell may have changed that.
fn unbuffered() -> bool {
    let Ok(mut now) = tcgetattr(std::io::stdin()) else { return false };
    if !now.local_modes.contains(LocalModes::ICANON) {
        return true;
    }
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| now.clone());
    now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    now.special_codes[SpecialCodeIndex::VMIN] = 0;
    now.special_codes[SpecialCodeIndex::VTIME] = 1;
    tcsetattr(std::io::stdin(), OptionalActions::Now, &now).is_ok()
}

/// Makes the terminal as it was.
pub(super) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before.filter(|_| is_in_foreground()) {
        let _gone = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
}

/// Runs `ask` with the terminal as it was.
pub(super) fn paused<R>(ask: impl FnOnce() -> R) -> R {
    ASKING.store(true, Ordering::SeqCst);
    // What is being read comes to its end first.
    if BEFORE.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
        std::thread::sleep(2 * PAUSE);
    }
    restore();
    let answer = ask();
    ASKING.store(false, Ordering::SeqCst);
    answer
}

/// Ends the program without waiting for anything.
#[expect(clippy::exit, reason = "whoever signals twice does not want to wait for a clean end")]
pub(super) fn force() -> ! {
    restore();
    let said = "\ngreenloop: forced to end; the next run in this environment completes the \
        cleanup first\n";
    let _closed_pipe = std::io::stderr().write_all(said.as_bytes());
    std::process::exit(i32::from(Exit::Cancelled.code()))
}
