//! The terminal, the environment and the signals of this process.

use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use tokio_util::sync::CancellationToken;

use super::error::CommandError;
use crate::app::Environment;
use greenloop_engine::approval::{Approval, Terminal};
use greenloop_model::{Invocation, shell_word};
use greenloop_worker::Stop;

/// The folder the command was given in.
pub(super) fn current_directory() -> Result<PathBuf, CommandError> {
    std::env::current_dir().map_err(|error| {
        CommandError::usage("the current directory no longer exists").because(error)
    })
}

/// This process's environment variables, as the layers below are given them.
pub(super) fn environment() -> Environment {
    Arc::new(|name| std::env::var(name).ok())
}

/// How a person's decision is obtained: beforehand, on the terminal, or not at all.
pub(super) fn approval(yes: bool) -> Approval {
    let who = who();
    if yes {
        return Approval::Beforehand { who: format!("{who} (--yes)") };
    }
    let pipeline = std::env::var_os("TF_BUILD").is_some() || std::env::var_os("CI").is_some();
    if pipeline || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Approval::Nobody;
    }
    Approval::Ask(Terminal {
        who,
        asker: Arc::new(|request, facts, over| super::keys::paused(|| ask(request, facts, over))),
    })
}

/// How this program is called from here: by its name where a shell finds it by that.
pub(super) fn program() -> String {
    const NAME: &str = "greenloop";
    let Ok(own) = std::env::current_exe() else { return NAME.to_owned() };
    let found = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|folder| folder.join(NAME)).find(|file| file.is_file())
    });
    if found.is_some_and(|file| file.canonicalize().is_ok_and(|file| file == own)) {
        return NAME.to_owned();
    }
    let here = std::env::current_dir().ok();
    let shown = here
        .and_then(|here| own.strip_prefix(here).ok().map(|below| Path::new(".").join(below)))
        .unwrap_or(own);
    shell_word(&shown.to_string_lossy())
}

/// The command line of a command of one environment, to be given again.
pub(super) fn invocation(
    command: &str,
    environment: &str,
    config: Option<&PathBuf>,
    flags: &str,
) -> Invocation {
    // What the variable says needs no option.
    let variable = std::env::var_os("GREENLOOP_CONFIG").map(PathBuf::from);
    let named = config.filter(|path| Some(*path) != variable.as_ref());
    let options = named.map_or_else(String::new, |path| {
        format!(" --config {}", shell_word(&path.to_string_lossy()))
    });
    let environment = shell_word(environment);
    Invocation {
        program: program(),
        git: "git".to_owned(),
        arguments: format!("{command}--environment {environment}{options}{flags}"),
        tail: String::new(),
        options,
    }
}

fn who() -> String {
    ["BUILD_REQUESTEDFOR", "SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        .unwrap_or_else(|| "an unnamed user".to_owned())
}

/// Between two looks at whether an answer came from elsewhere.
const LOOK: Duration = Duration::from_millis(200);

/// Asks at the terminal; `over` says when an answer came from elsewhere.
fn ask(request: &str, facts: &str, over: Option<&AtomicBool>) -> Option<bool> {
    if !facts.is_empty() {
        super::output::tell(&format!("\n{}\n", facts.trim_end()));
    }
    super::output::tell(&format!("\n? {request}\n"));
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "  [y/N] ").ok()?;
    stderr.flush().ok()?;
    drop(stderr);
    if let Some(over) = over
        && !typed(over)
    {
        let _closed = writeln!(std::io::stderr(), "(no longer asked here)");
        return None;
    }
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer).ok()?;
    (read > 0).then(|| matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Waits until a line was typed, or the terminal is gone; `false` when an answer came from
/// elsewhere first.
fn typed(over: &AtomicBool) -> bool {
    let look = rustix::event::Timespec::try_from(LOOK).ok();
    while !over.load(Ordering::SeqCst) {
        let stdin = std::io::stdin();
        let mut watched = [PollFd::new(&stdin, PollFlags::IN)];
        match rustix::event::poll(&mut watched, look.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) | Err(_) => return true,
        }
    }
    false
}

/// Says which configuration is read, where the repository has two and none was named.
pub(super) fn note_second_configuration(named: Option<&PathBuf>) {
    let Ok(here) = current_directory() else { return };
    let Some(root) = greenloop_workspace::work_tree_root(&here).filter(|_| named.is_none()) else {
        return;
    };
    if greenloop_config::locate(&root).ignored.is_some() {
        super::output::tell(&format!(
            "greenloop: {} is read; {} is not read\n",
            greenloop_config::FILE_NAME,
            greenloop_config::OLD_NAME
        ));
    }
}

/// A person's yes or no; `None` where nobody can be asked.
pub(super) fn confirm(question: &str) -> Option<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return None;
    }
    ask(question, "", None)
}

/// A worker's stop: the first Ctrl-C or SIGTERM drains it, the second ends what runs.
pub(super) fn stop_on_signals() -> Stop {
    let stop = Stop::default();
    let told = stop.clone();
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            tracing::warn!("cannot handle signals: Ctrl-C ends the program at once");
            return;
        };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if told.is_draining() {
                told.abort();
            } else {
                told.drain();
            }
        }
    });
    stop
}

/// Signals that come this soon after the first are the same wish: a shell and the program that
/// started this one both pass a Ctrl-C on.
const SAME_WISH: Duration = Duration::from_millis(300);

/// A token that is cancelled by Ctrl-C, SIGTERM or SIGHUP. The first asks: a release that is not
/// verified is taken back, in the seconds that pipelines give. The same signal once more forces
/// the program to end at once; the next run in the environment then does what is left.
pub(super) fn cancel_on_signals() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
            signal(SignalKind::hangup()),
        ) else {
            tracing::warn!("cannot handle signals: Ctrl-C ends the program at once");
            return;
        };
        let mut first = [None::<Instant>; 3];
        loop {
            let which = tokio::select! {
                _ = interrupt.recv() => 0,
                _ = terminate.recv() => 1,
                _ = hangup.recv() => 2,
            };
            cancelled.cancel();
            match first[which] {
                None => first[which] = Some(Instant::now()),
                Some(since) if since.elapsed() < SAME_WISH => {}
                Some(_) => super::keys::force(),
            }
        }
    });
    token
}
