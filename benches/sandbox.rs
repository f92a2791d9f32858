//! What a command costs to start at each level of the sandbox:
//! `cargo bench --bench sandbox [-- STARTS]`. Linux only.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on fails, and tells what it found"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenloop_exec::sandbox::{Confinement, Grant, Level, Place, Sandbox, Settings};
use greenloop_exec::{Command, Marker, Program};
use greenloop_model::{Exit, Network, RunId};
use tokio_util::sync::CancellationToken;

fn main() {
    let starts = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(100);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{:<28} {:>9} {:>9} {:>9}", "`true`, one after the other", "median", "p95", "most");
    let host = "crates.io".parse().unwrap();
    for (name, level, network) in [
        ("no sandbox", None, Network::None),
        ("level B", Some(Level::B), Network::None),
        ("level B, a list of hosts", Some(Level::B), Network::Hosts(vec![host])),
        ("level A", Some(Level::A), Network::None),
        (
            "level A, a list of hosts",
            Some(Level::A),
            Network::Hosts(vec!["crates.io".parse().unwrap()]),
        ),
    ] {
        match runtime.block_on(times(level, network, starts)) {
            Some(times) => println!("{name:<28} {}", figures(times)),
            None => println!("{name:<28} this machine does not have it"),
        }
    }
}

/// Duration of each start, until the command has ended; `None` if this machine lacks the level.
async fn times(level: Option<Level>, network: Network, starts: usize) -> Option<Vec<Duration>> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    std::fs::create_dir_all(root.join(".git")).unwrap();
    let confinement = match level {
        None => None,
        Some(level) => {
            let settings =
                Settings { required: Some(level), at_most: level, ..Settings::default() };
            let sandbox = Sandbox::new(settings, place(&root, folder.path())).ok()?;
            let grant = Grant { network, ..Grant::default() };
            Some(Confinement { sandbox: Arc::new(sandbox), grant })
        }
    };
    let run = RunId::generate();
    let mut times = Vec::new();
    // The first ones fill the caches.
    for start in 0..starts + 3 {
        let command = Command {
            program: Program::Argv(vec!["true".into()]),
            cwd: root.clone(),
            env: Vec::new(),
            env_remove: Vec::new(),
            timeout: None,
            marker: Marker::new(run),
            confinement: confinement.clone(),
        };
        let began = Instant::now();
        let outcome = greenloop_exec::run(&command, &mut |_| {}, &CancellationToken::new()).await;
        assert_eq!(outcome.exit, Exit::Code(0));
        if start >= 3 {
            times.push(began.elapsed());
        }
    }
    Some(times)
}

fn place(root: &Path, folder: &Path) -> Place {
    Place {
        root: root.to_owned(),
        git: vec![root.join(".git")],
        own: Vec::new(),
        state: Vec::new(),
        scratch: folder.join("scratch"),
        launcher: PathBuf::from(env!("CARGO_BIN_EXE_greenloop")),
    }
}

fn figures(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    format!("{:>6.1} ms {:>6.1} ms {:>6.1} ms", at(50), at(95), at(100))
}
