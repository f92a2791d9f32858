//! A run on a real pseudo-terminal (`script`): the line that stays, and the keys.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::repository::{Repository, free_port};

/// How long something may take to be shown; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program at a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    pieces: Receiver<String>,
    seen: String,
}

impl Terminal {
    /// Runs the program's command at a terminal of its own; `None` where `script` is missing.
    fn open(repository: &Repository, arguments: &str) -> Option<Self> {
        Self::open_with(repository, arguments, &[])
    }

    /// The same with these variables.
    pub(crate) fn open_with(
        repository: &Repository,
        arguments: &str,
        variables: &[(&str, String)],
    ) -> Option<Self> {
        if !Command::new("script").arg("--version").output().is_ok_and(|ran| ran.status.success()) {
            eprintln!("LEFT OUT: `script` is not installed: no pseudo-terminal");
            return None;
        }
        let line = format!("stty cols 80; {} {arguments}", env!("CARGO_BIN_EXE_greenloop"));
        let mut command = Command::new("timeout");
        command.args(["120", "script", "-qec", &line, "/dev/null"]).current_dir(repository.path());
        for (name, _) in repository.greenloop().get_envs() {
            command.env_remove(name);
        }
        command.env_remove("CI").env("TERM", "xterm");
        command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let keyboard = child.stdin.take().unwrap();
        let mut screen = child.stdout.take().unwrap();
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                let piece = String::from_utf8_lossy(&buffer[..count]).into_owned();
                if sender.send(piece).is_err() {
                    return;
                }
            }
        });
        Some(Self { child, keyboard, pieces, seen: String::new() })
    }

    /// Waits until `text` has been shown since the last wait.
    pub(crate) fn until(&mut self, text: &str) {
        while !self.seen.contains(text) {
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.seen.push_str(&piece),
                Err(_) => panic!("{text:?} was not shown:\n{}", self.seen),
            }
        }
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end);
    }

    pub(crate) fn press(&mut self, key: &str) {
        self.keyboard.write_all(key.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    pub(crate) fn end(mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        drop(self.keyboard);
        code
    }
}

fn repository(gate: &str) -> Repository {
    let config = format!(
        "version: 1\nenvironments: {{local: {{url: 'http://127.0.0.1:{}', health_endpoint: /}}}}\n\
         quality_gates: [{{name: slow, command: {gate:?}}}]\n\
         deploy:\n  method: process\n  process: {{command: [python3, -m, http.server, '{{{{ port }}}}', \
         --bind, 127.0.0.1], artifacts: [index.html]}}\n",
        free_port()
    );
    Repository::new(&[("greenloop.yaml", &config), ("index.html", "hello")])
}

#[test]
fn the_line_that_stays_says_how_far_the_run_is() {
    let repository = repository("sleep 1");
    let Some(mut terminal) = Terminal::open(&repository, "run") else { return };
    terminal.until("iteration 1 of 5");
    terminal.until("gates, stage 1 of 3");
    terminal.until("smoke, stage 3 of 3");
    terminal.until("verified");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn keys_show_tail_and_status_and_cancel() {
    let repository = repository("seq 1 40; printf 'the %s line\n' telling; sleep 90");
    let Some(mut terminal) = Terminal::open(&repository, "run") else { return };
    terminal.until("the telling line");
    terminal.press("t");
    terminal.until("--- slow: the last 20 lines");
    terminal.until("the telling line");
    terminal.press("s");
    terminal.until("--- iteration 1 of 5");
    terminal.press("x");
    terminal.press("q");
    terminal.until("q once more forces");
    assert_eq!(terminal.end(), Some(130));
}

#[test]
fn ctrl_c_at_the_question_of_init_writes_nothing() {
    let repository = Repository::new(&[("index.html", "hello")]);
    let Some(mut terminal) = Terminal::open(&repository, "init") else { return };
    terminal.until("Write these files?");
    terminal.until("[y/N]");
    terminal.press("\u{3}");
    terminal.until("cancelled: nothing was written");
    assert_eq!(terminal.end(), Some(130));
    assert!(!repository.path().join("greenloop.yaml").exists());
}

#[test]
fn a_dumb_terminal_and_no_colour_are_respected() {
    let repository = repository("true");
    let Some(mut terminal) = Terminal::open(&repository, "run") else { return };
    terminal.until("\u{1b}[");
    terminal.until("verified");
    assert_eq!(terminal.end(), Some(0));
    let line = format!("NO_COLOR=1 TERM=dumb {} run", env!("CARGO_BIN_EXE_greenloop"));
    let ran = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(repository.path())
        .env_remove("CI")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(said.contains("verified") && !said.contains('\u{1b}'), "{said:?}");
}
