//! The modules without a page, `tests/hub/dashboard/js`, in Node's own test runner.

use std::process::Command;

#[test]
fn the_modules_pass_their_tests() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hub/dashboard/js");
    // File by file, because the meaning of a folder differs between versions of Node.
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let run = Command::new("node")
        .arg("--test")
        .args(files)
        .output()
        .unwrap_or_else(|error| panic!("node (Debian: nodejs): {error}"));
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
}
