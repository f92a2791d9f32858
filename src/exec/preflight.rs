//! What can be told of a command before it runs: that its program is not there, that it may not
//! be executed, that its interpreter is missing.
//!
//! A shell line is only judged by the program it begins with, and only where that is a plain
//! word: what a shell makes of anything else is the shell's business, and no fault is reported.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read as _;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Why a command cannot run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandFault {
    /// No folder of `PATH` has the program.
    NotFound {
        /// As the command names it.
        program: String,
    },
    /// The command names a file by its path, and there is none.
    Missing {
        /// That path.
        path: PathBuf,
    },
    /// The file is there and has no executable bit.
    NotExecutable {
        /// As the command names it.
        path: PathBuf,
    },
    /// The file's first line names an interpreter that is not there.
    NoInterpreter {
        /// The file.
        path: PathBuf,
        /// The interpreter.
        interpreter: String,
    },
}

impl fmt::Display for CommandFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { program } => write!(f, "`{program}` is not installed, or not in PATH"),
            Self::Missing { path } => write!(f, "`{}` does not exist", path.display()),
            Self::NotExecutable { path } => write!(f, "`{}` is not executable", path.display()),
            Self::NoInterpreter { path, interpreter } => {
                write!(f, "`{}` asks for `{interpreter}`, which does not exist", path.display())
            }
        }
    }
}

impl CommandFault {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::NotFound { program } => {
                format!("install `{program}`, add its folder to PATH, or correct the command")
            }
            Self::Missing { path } => format!("write `{}`, or correct its path", path.display()),
            Self::NotExecutable { path } => {
                let path = path.display();
                format!("chmod +x {path} && git add --chmod=+x {path}")
            }
            Self::NoInterpreter { path, interpreter } => {
                let path = path.display();
                format!("install `{interpreter}`, or correct the first line of `{path}`")
            }
        }
    }
}

/// The fault of a program that is started without a shell, in `folder`.
pub fn check_program(program: &OsStr, folder: &Path, path: Option<&OsStr>) -> Option<CommandFault> {
    if !program.as_bytes().contains(&b'/') {
        return on_path(program, folder, path)
            .is_none()
            .then(|| CommandFault::NotFound { program: program.to_string_lossy().into_owned() });
    }
    let named = PathBuf::from(program);
    let file = folder.join(&named);
    if !file.is_file() {
        return Some(CommandFault::Missing { path: named });
    }
    if !is_executable(&file) {
        return Some(CommandFault::NotExecutable { path: named });
    }
    let interpreter = interpreter(&file)?;
    let there = folder.join(&interpreter).is_file();
    (!there).then(|| CommandFault::NoInterpreter {
        path: named,
        interpreter: interpreter.to_string_lossy().into_owned(),
    })
}

/// The fault of a line for `sh -c`, run in `folder`.
pub fn check_line(line: &str, folder: &Path, path: Option<&OsStr>) -> Option<CommandFault> {
    let mut words = line.split_whitespace().skip_while(|word| *word == "!").peekable();
    while let Some(word) = words.peek()
        && let Some((name, value)) = word.split_once('=')
        && is_name(name)
    {
        // What follows is found, or not, by a path that only the shell knows.
        if name == "PATH" || !is_plain(value) {
            return None;
        }
        words.next();
    }
    let program = words.next()?.trim_end_matches(';');
    if !is_plain(program) || is_shell_word(program) {
        return None;
    }
    let fault = check_program(OsStr::new(program), folder, path);
    if fault.is_some() || !is_shell(program) {
        return fault;
    }
    let script = words.next().filter(|word| is_plain(word) && !word.starts_with('-'))?;
    let missing = !folder.join(script).exists();
    missing.then(|| CommandFault::Missing { path: PathBuf::from(script) })
}

/// The file that a program without a slash in its name is.
pub fn on_path(program: &OsStr, folder: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    // What a shell takes where there is no PATH.
    let default = OsString::from("/usr/local/bin:/usr/bin:/bin");
    std::env::split_paths(path.unwrap_or(&default))
        .map(|part| folder.join(part).join(program))
        .find(|file| file.is_file() && is_executable(file))
}

/// Whether another process listens at a local address, `HOST:PORT`. Addresses of other machines
/// and ports that may not be bound tell nothing: then it is not.
pub fn port_in_use(address: &str) -> bool {
    let addresses: Vec<_> = address.to_socket_addrs().into_iter().flatten().collect();
    addresses.iter().any(|address| {
        matches!(
            TcpListener::bind(address),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse
        )
    })
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
}

/// What `#!` names; for `env` what `env` is asked for is left to it.
fn interpreter(file: &Path) -> Option<PathBuf> {
    let mut head = Vec::new();
    std::fs::File::open(file).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    // With the carriage return, if it has one: the kernel looks for that name too.
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    Some(PathBuf::from(OsStr::from_bytes(words.next()?)))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a shell takes the word as it is.
fn is_plain(word: &str) -> bool {
    word.chars().all(|c| c.is_alphanumeric() || "_-+./:,@%=".contains(c))
}

fn is_shell(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    matches!(name, "sh" | "bash" | "dash" | "zsh" | "ksh")
}

/// Built into every POSIX shell, or part of its grammar; those that run another program
/// included, because that one is found by their rules.
fn is_shell_word(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "", ".", ":", "alias", "bg", "break", "case", "cd", "command", "continue", "do", "done",
        "echo", "elif", "else", "esac", "eval", "exec", "exit", "export", "false", "fg", "fi",
        "for", "function", "getopts", "hash", "if", "in", "jobs", "kill", "local", "printf", "pwd",
        "read", "readonly", "return", "select", "set", "shift", "source", "test", "then", "time",
        "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "until", "wait",
        "while",
    ];
    WORDS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn file(folder: &Path, name: &str, text: &str, mode: u32) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn faults_are_named_and_what_only_a_shell_knows_is_left_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        file(root, "bin/tool", "#!/bin/sh\n", 0o755);
        file(root, "good.sh", "#!/bin/sh\n", 0o755);
        file(root, "plain.sh", "#!/bin/sh\n", 0o644);
        file(root, "lost.sh", "#!/no/such/interpreter -x\n", 0o755);
        file(root, "dos.sh", "#!/bin/sh\r\n", 0o755);
        let path = root.join("bin").into_os_string();
        let path = || Some(path.as_os_str());
        let missing = |path: &str| Some(CommandFault::Missing { path: path.into() });
        let absent = |program: &str| Some(CommandFault::NotFound { program: program.into() });
        for (line, expect) in [
            ("tool --x", None),
            ("! tool", None),
            ("A=1 B= tool", None),
            ("tol --x", absent("tol")),
            ("A=1 tol; true", absent("tol")),
            ("tol; true", absent("tol")),
            ("./good.sh", None),
            ("./none.sh a", missing("./none.sh")),
            ("./plain.sh", Some(CommandFault::NotExecutable { path: "./plain.sh".into() })),
            (
                "./lost.sh",
                Some(CommandFault::NoInterpreter {
                    path: "./lost.sh".into(),
                    interpreter: "/no/such/interpreter".into(),
                }),
            ),
            (
                "./dos.sh",
                Some(CommandFault::NoInterpreter {
                    path: "./dos.sh".into(),
                    interpreter: "/bin/sh\r".into(),
                }),
            ),
            ("/bin/sh plain.sh", None),
            ("/bin/sh none.sh", missing("none.sh")),
            ("/bin/sh -c 'none.sh'", None),
            // Built in, or more than a word.
            ("cd x && tol", None),
            ("if true; then tol; fi", None),
            ("$TOOL x", None),
            ("(tol)", None),
            ("PATH=/x tol", None),
            ("A=$(date) tol", None),
            ("", None),
        ] {
            assert_eq!(check_line(line, root, path()), expect, "{line}");
        }
        for fault in [missing("a"), absent("b")].into_iter().flatten() {
            assert!(!fault.to_string().is_empty() && !fault.remedy().is_empty());
        }
    }

    #[test]
    fn a_port_is_in_use_while_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(port_in_use(&address));
        drop(listener);
        assert!(!port_in_use(&address));
        assert!(!port_in_use("no such host:1"));
    }
}
