//! The version of a configuration's form.

use super::document::{Document, KeyPath, Value};
use super::error::{ConfigError, Problem, ProblemKind};

/// The form that this program reads. A file without `version` has it, too.
pub const VERSION: u64 = 1;

/// Refuses a file of a later version: what it means is not known.
pub(super) fn check(document: &Document) -> Result<(), ConfigError> {
    let Some(node) = document.root().get("version") else { return Ok(()) };
    let (message, help) = match &node.value {
        Value::Unsigned(version) if (1..=VERSION).contains(version) => return Ok(()),
        Value::Unsigned(version) if *version > VERSION => (
            format!("the file has version {version}, and this greenloop reads version {VERSION}"),
            format!(
                "install a newer greenloop (this is {}), or write the file in the form of version \
                 {VERSION}: `greenloop config schema` describes it",
                env!("CARGO_PKG_VERSION")
            ),
        ),
        _ => (
            format!("`version` is {}, and must be {VERSION}", node.describe()),
            format!("write `version: {VERSION}`, or leave it out"),
        ),
    };
    let problem = Problem {
        kind: ProblemKind::InvalidValue,
        message,
        help: Some(help),
        position: Some(document.position(&KeyPath::root().key("version"))),
    };
    Err(ConfigError::in_text(document.file_name(), document.text(), vec![problem]))
}

#[cfg(test)]
mod tests {
    use crate::parse;

    const REST: &str = "environments: {local: {url: 'http://localhost:1'}}\ndeploy: {method: process, \
                        process: {command: [a], artifacts: [a]}}\n";

    #[test]
    fn only_the_version_that_is_known_is_read() {
        for version in ["", "version: 1\n"] {
            assert!(parse(&format!("{version}{REST}"), "x").is_ok(), "{version}");
        }
        let later = parse(&format!("version: 2\nnew_key: 1\n{REST}"), "x").unwrap_err();
        let [problem] = later.problems() else { panic!("{later:?}") };
        assert!(problem.message.contains("version 2"), "{problem:?}");
        assert!(problem.help.as_deref().unwrap().contains("install a newer"), "{problem:?}");
        assert_eq!(later.line(), Some(1));
        for wrong in ["0", "one", "1.5", "-1", "[1]"] {
            let error = parse(&format!("version: {wrong}\n{REST}"), "x").unwrap_err();
            assert!(error.problems()[0].message.contains("must be 1"), "{wrong}: {error:?}");
        }
    }
}
