//! The kinds of YAML files that people write, and reading one as text.

use std::io::Read as _;
use std::path::Path;

use super::error::{ConfigError, Position, Problem, ProblemKind};

/// A kind of file: how large it may be, and what its errors advise.
#[derive(Debug)]
pub struct FileKind {
    /// `configuration`, for sentences.
    pub noun: &'static str,
    /// The most bytes.
    pub longest: usize,
    /// The most scalars, lists and mappings.
    pub nodes: usize,
    /// The most mistakes that are reported at once.
    pub most_problems: usize,
    pub when_missing: &'static str,
    pub when_empty: &'static str,
    pub when_too_large: &'static str,
}

/// `greenloop.yaml`
pub(super) const CONFIGURATION: FileKind = FileKind {
    noun: "configuration",
    longest: 1024 * 1024,
    nodes: 100_000,
    most_problems: 100,
    when_missing: "`greenloop init` writes one; --config FILE uses another file; `greenloop heal -- COMMAND` \
        needs no configuration",
    when_empty: "it needs at least `environments` and `deploy`; `greenloop config schema` \
                 describes every key",
    when_too_large: "configurations are small: check that this is the right file",
};

/// The file beside `path` with the other ending of YAML files.
fn twin(path: &Path) -> Option<String> {
    let other = match path.extension()?.to_str()? {
        "yaml" => "yml",
        "yml" => "yaml",
        _ => return None,
    };
    let twin = path.with_extension(other);
    twin.is_file().then(|| twin.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// The text of the file at `path`, bounded by its kind.
pub fn read(path: &Path, kind: &FileKind) -> Result<String, ConfigError> {
    let name = path.to_string_lossy();
    let fail = |problem, message: String, help: &str, cause| {
        let help = Some(help.to_owned());
        let problem = Problem { kind: problem, message, help, position: None };
        Err(ConfigError::without_text(&name, problem, cause))
    };
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        // One byte more than allowed, so that a file that is too long differs from one that fits.
        .and_then(|file| file.take(kind.longest as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!("no {} found at {name}", kind.noun);
            let help = match twin(path) {
                Some(twin) => format!("rename {twin}, which is there, or name it: --config {twin}"),
                None => kind.when_missing.to_owned(),
            };
            return fail(ProblemKind::NotFound, message, &help, Some(error));
        }
        Err(error) => {
            return fail(
                ProblemKind::Unreadable,
                format!("could not read {name}"),
                "it must be a file that this user can read",
                Some(error),
            );
        }
    }
    if bytes.len() > kind.longest {
        return fail(
            ProblemKind::TooLarge,
            format!("{name} has more than {} bytes", kind.longest),
            kind.when_too_large,
            None,
        );
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let problem = Problem {
                kind: ProblemKind::NotUtf8,
                message: format!("{name} is not UTF-8"),
                help: Some("save it as UTF-8".to_owned()),
                position: Some(Position::new(&text, at..at + '\u{fffd}'.len_utf8())),
            };
            Err(ConfigError::in_text(&name, &text, vec![problem]))
        }
    }
}
