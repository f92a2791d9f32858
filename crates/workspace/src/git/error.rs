//! What can go wrong with git.

use std::io::ErrorKind;

use greenloop_model::FailureClass;

/// The kind of an error of git.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitErrorKind {
    /// There is no git on this machine, or it cannot be started.
    NoGit,
    /// The remote answered, and does not take the push: the branch has moved, or is guarded.
    Rejected,
    /// The remote was not heard: network, credentials or address. May pass.
    Remote,
    /// Something in a folder of our own.
    Local,
    Cancelled,
}

/// A command of git's that failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct GitError {
    pub kind: GitErrorKind,
    /// One line for a person, without secrets.
    pub message: String,
    #[source]
    pub source: Option<std::io::Error>,
}

impl GitError {
    pub(super) fn new(kind: GitErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(super) fn io(what: String) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self {
            kind: GitErrorKind::Local,
            message: format!("cannot {what}"),
            source: Some(source),
        }
    }

    /// The class of the failure.
    pub fn class(&self) -> FailureClass {
        match self.kind {
            GitErrorKind::Rejected => FailureClass::Code,
            GitErrorKind::NoGit | GitErrorKind::Cancelled => FailureClass::Infrastructure,
            GitErrorKind::Remote | GitErrorKind::Local => self
                .source
                .as_ref()
                .and_then(|source| class_of(source.kind()))
                .or_else(|| words(&self.message, self.kind))
                .unwrap_or(FailureClass::Infrastructure),
        }
    }

    /// Whether the machine or its way to the repository is the cause for sure, and not what the
    /// repository, or the work in it, holds.
    pub fn is_of_the_machine(&self) -> bool {
        match self.kind {
            GitErrorKind::NoGit | GitErrorKind::Remote => true,
            GitErrorKind::Rejected | GitErrorKind::Cancelled => false,
            GitErrorKind::Local => match &self.source {
                Some(source) => class_of(source.kind()).is_some(),
                None => words(&self.message, self.kind).is_some(),
            },
        }
    }
}

/// The class of an error of the operating system that says: this machine cannot go on. `None`
/// for one that a program may well have brought upon itself.
pub fn class_of(kind: ErrorKind) -> Option<FailureClass> {
    match kind {
        ErrorKind::StorageFull
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::OutOfMemory
        | ErrorKind::StaleNetworkFileHandle => Some(FailureClass::Infrastructure),
        ErrorKind::QuotaExceeded => Some(FailureClass::Quota),
        _ => None,
    }
}

/// Git passes on the system's error as words only: those of `strerror` in the C locale, which
/// every command is run with.
const SYSTEM: [(&str, FailureClass); 8] = [
    // error: unable to write file a.bin: No space left on device
    ("No space left on device", FailureClass::Infrastructure),
    // fatal: cannot create directory at 'b': Disk quota exceeded
    ("Disk quota exceeded", FailureClass::Quota),
    // fatal: Unable to create '/w/.git/index.lock': Read-only file system
    ("Read-only file system", FailureClass::Infrastructure),
    // error: cannot fork() for index-pack: Cannot allocate memory
    ("Cannot allocate memory", FailureClass::Infrastructure),
    // error: cannot fork() for index-pack: Resource temporarily unavailable
    ("Resource temporarily unavailable", FailureClass::Infrastructure),
    // error: open("a"): Too many open files in system
    ("Too many open files", FailureClass::Infrastructure),
    // fatal: pack has bad object: Input/output error
    ("Input/output error", FailureClass::Infrastructure),
    // fatal: Unable to read current working directory: Stale file handle
    ("Stale file handle", FailureClass::Infrastructure),
];

/// What git, ssh and servers say when they do not let one in. Only of a remote: in a work tree
/// the same words are about the work's own files.
const REMOTE: [(&str, FailureClass); 9] = [
    // fatal: Authentication failed for 'https://git.example.org/shop.git/'
    ("Authentication failed", FailureClass::Auth),
    // fatal: could not read Username for 'https://github.com': terminal prompts disabled
    ("could not read Username", FailureClass::Auth),
    // fatal: could not read Password for 'https://x@github.com': terminal prompts disabled
    ("could not read Password", FailureClass::Auth),
    // git@github.com: Permission denied (publickey).
    ("Permission denied", FailureClass::Auth),
    // Host key verification failed.
    ("Host key verification failed", FailureClass::Auth),
    // fatal: unable to access '…': The requested URL returned error: 403
    ("returned error: 403", FailureClass::Auth),
    ("returned error: 401", FailureClass::Auth),
    // ERROR: Repository not found. (GitHub, of a private repository)
    ("Repository not found", FailureClass::Auth),
    // fatal: unable to access '…': The requested URL returned error: 429
    ("returned error: 429", FailureClass::Quota),
];

/// The class of a system's error that a program passes on as words: this machine cannot go on.
pub fn system_class(text: &str) -> Option<FailureClass> {
    SYSTEM.iter().find(|(words, _)| text.contains(words)).map(|(_, class)| *class)
}

fn words(text: &str, kind: GitErrorKind) -> Option<FailureClass> {
    let remote = if kind == GitErrorKind::Remote { &REMOTE[..] } else { &[] };
    let found = remote.iter().find(|(words, _)| text.contains(words)).map(|(_, class)| *class);
    system_class(text).or(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureClass::{Auth, Code, Infrastructure, Quota};

    #[test]
    fn the_machines_own_faults_are_told_from_the_works() {
        for (kind, message, class, machine) in [
            (GitErrorKind::NoGit, "git cannot be run: No such file", Infrastructure, true),
            (GitErrorKind::Rejected, "the remote does not take task/1/e1", Code, false),
            (GitErrorKind::Remote, "Could not resolve host: git.invalid", Infrastructure, true),
            (GitErrorKind::Remote, "git@h: Permission denied (publickey).", Auth, true),
            (GitErrorKind::Remote, "The requested URL returned error: 403", Auth, true),
            (GitErrorKind::Remote, "write error: No space left on device", Infrastructure, true),
            (GitErrorKind::Local, "unable to write a: Disk quota exceeded", Quota, true),
            // Whose files they are is not said.
            (GitErrorKind::Local, "open('a'): Permission denied", Infrastructure, false),
            (GitErrorKind::Local, "the history was rewritten", Infrastructure, false),
        ] {
            let error = GitError::new(kind, message);
            assert_eq!((error.class(), error.is_of_the_machine()), (class, machine), "{message}");
        }
        for (code, class, machine) in [
            (28, Infrastructure, true),
            (122, Quota, true),
            (30, Infrastructure, true),
            (13, Infrastructure, false),
        ] {
            let error =
                GitError::io("make a folder".to_owned())(std::io::Error::from_raw_os_error(code));
            assert_eq!((error.class(), error.is_of_the_machine()), (class, machine), "{code}");
        }
    }
}
