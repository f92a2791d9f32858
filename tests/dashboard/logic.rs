//! The modules without a page, `tests/dashboard/js`, in Node's own test runner.

use std::process::Command;

#[test]
fn the_modules_pass_their_tests() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dashboard/js");
    let run = match Command::new("node").arg("--test").arg(folder).output() {
        Ok(run) => run,
        // The browser tests hold the same modules; these only say sooner what broke.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => panic!("node: {error}"),
    };
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
}
