//! bash and shellcheck accept every shell script.

use std::path::PathBuf;
use std::process::Command;

use super::{files, installed, text};

fn all() -> Vec<PathBuf> {
    let found: Vec<PathBuf> = [".", "scripts", "scripts/release", "deploy/vm"]
        .iter()
        .flat_map(|folder| files(folder, ".sh"))
        .collect();
    assert!(found.len() >= 12, "{found:?}");
    found
}

#[test]
fn bash_can_read_every_script() {
    for script in all() {
        let output = Command::new("bash").arg("-n").arg(&script).output().unwrap();
        assert!(output.status.success(), "{}: {}", script.display(), text(&output));
    }
}

#[test]
fn shellcheck_finds_nothing() {
    let Some(output) = installed(Command::new("shellcheck").args(all())) else { return };
    assert!(output.status.success(), "{}", text(&output));
}
