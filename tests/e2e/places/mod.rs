//! Deployments of the hub and workers: machines (compose, systemd, cloud-init) and clusters. Every
//! file is parsed and checked against rules, every script is run against its counterpart.

mod cloud_init;
mod cluster;
mod compose;
mod flags;
mod scripts;
mod setup;
mod units;
mod verify;
mod vm;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect(path)
}

/// Files directly in a folder of the repository, by the end of their names.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(root().join(folder))
        .expect(folder)
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.to_str().is_some_and(|path| path.ends_with(end)))
        .collect();
    found.sort();
    found
}

/// Runs a tool; if this machine does not have it, prints that and returns `None`.
fn installed(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: {} is not installed", command.get_program().display());
            None
        }
        Err(error) => panic!("{}: {error}", command.get_program().display()),
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The number after `--grace` among arguments.
fn grace<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Option<u64> {
    let mut arguments = arguments.into_iter();
    arguments.find(|argument| *argument == "--grace")?;
    arguments.next()?.parse().ok()
}

/// Whether a setting of this name contains a secret.
fn is_secret(name: &str) -> bool {
    ["PASSWORD", "TOKEN", "SECRET", "CREDENTIALS", "STORE"].iter().any(|word| name.contains(word))
}
