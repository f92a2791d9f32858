//! Whether a program can be started, as the kernel and the shell would look for it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::nearest::{near_file, nearest};
use greenloop_model::{Remedy, shell_word};

/// Bytes of a script's first line that are looked at; the kernel looks at 256.
const FIRST_LINE: u64 = 256;

/// Why a program cannot be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramFault {
    /// No program of that name is on the PATH; `near` is one that is.
    NotOnPath { name: String, near: Option<String> },
    /// It is a command that bash has, and `sh` has not.
    OnlyInBash { name: String },
    /// `sh` reads a part of the line otherwise than it is meant: how, and what to write instead.
    ShellSyntax { what: &'static str, instead: &'static str },
    /// There is no such file; `near` is one beside it.
    NoFile { path: String, near: Option<String> },
    /// The folder that a gate is to run in is not there; `near` is one beside it.
    NoFolder { path: String, near: Option<String> },
    /// It may not be executed.
    NotExecutable { path: String },
    /// It is a folder.
    Folder { path: String },
    /// The program that its first line names is not there; `carriage_return`: only because the
    /// line ends in one.
    NoInterpreter { path: String, interpreter: String, carriage_return: bool },
}

impl fmt::Display for ProgramFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOnPath { name, .. } => write!(f, "there is no program `{name}` on the PATH"),
            Self::OnlyInBash { name } => {
                write!(f, "`{name}` is a command of bash, which `sh` does not have")
            }
            Self::ShellSyntax { what, .. } => f.write_str(what),
            Self::NoFile { path, .. } => write!(f, "there is no file `{path}`"),
            Self::NoFolder { path, .. } => {
                write!(f, "there is no folder `{path}`, its `working_directory`")
            }
            Self::NotExecutable { path } => write!(f, "`{path}` is not executable"),
            Self::Folder { path } => write!(f, "`{path}` is a folder, not a program"),
            Self::NoInterpreter { path, interpreter, carriage_return: false } => {
                write!(f, "the interpreter `{interpreter}` of `{path}` does not exist")
            }
            Self::NoInterpreter { path, carriage_return: true, .. } => {
                write!(f, "`{path}` has Windows line endings, so its interpreter is not found")
            }
        }
    }
}

impl ProgramFault {
    /// What a person does about it.
    pub fn remedy(&self) -> Remedy {
        let (what, command) = match self {
            Self::NotOnPath { near: Some(near), .. } | Self::NoFile { near: Some(near), .. } => {
                (format!("did you mean `{near}`? Correct the command"), None)
            }
            Self::NotOnPath { name, near: None } => {
                (format!("install `{name}`, add its folder to PATH, or correct the command"), None)
            }
            Self::OnlyInBash { .. } => {
                ("run the line with bash: bash -c '…', or rewrite it for sh".to_owned(), None)
            }
            Self::ShellSyntax { instead, .. } => ((*instead).to_owned(), None),
            Self::NoFile { near: None, .. } => {
                ("add the file, or correct the command".to_owned(), None)
            }
            Self::NoFolder { near: Some(near), .. } => {
                (format!("did you mean `{near}`? Correct `working_directory`"), None)
            }
            Self::NoFolder { near: None, .. } => {
                ("add the folder, or correct `working_directory`".to_owned(), None)
            }
            Self::NotExecutable { path } => (
                "make it executable, and commit the change".to_owned(),
                Some(format!("chmod +x {}", shell_word(path))),
            ),
            Self::Folder { .. } => ("use a program in it".to_owned(), None),
            Self::NoInterpreter { path, carriage_return: true, .. } => (
                "save it with Unix line endings".to_owned(),
                Some(format!("sed -i 's/\\r$//' {}", shell_word(path))),
            ),
            Self::NoInterpreter { interpreter, carriage_return: false, .. } => {
                (format!("install `{interpreter}`, or correct the script's first line"), None)
            }
        };
        // A file that is gone may be what the commit broke.
        let a_patch_may_help = matches!(
            self,
            Self::NoInterpreter { .. }
                | Self::NoFile { near: None, .. }
                | Self::NoFolder { near: None, .. }
        );
        Remedy { what, command, person_only: !a_patch_may_help }
    }
}

/// Looks for the program `word` as the kernel does from `folder`, with this `PATH`.
pub fn look_up(word: &str, folder: &Path, path: &OsStr) -> Result<PathBuf, ProgramFault> {
    if word.contains('/') {
        let file = folder.join(word);
        return startable(&file, word, path).map(|()| file);
    }
    let mut fault = None;
    for directory in std::env::split_paths(path) {
        let file = folder.join(directory).join(word);
        if !file.is_file() {
            continue;
        }
        match startable(&file, &file.to_string_lossy(), path) {
            Ok(()) => return Ok(file),
            Err(found) => fault = fault.or(Some(found)),
        }
    }
    Err(fault.unwrap_or_else(|| {
        let names = programs(path);
        let near = nearest(word, names.iter().map(String::as_str)).map(str::to_owned);
        ProgramFault::NotOnPath { name: word.to_owned(), near }
    }))
}

/// Looks for `word` as a line for `sh -c` in `folder` does, with these variables besides its own:
/// it may also be a command of the shell, which is asked.
pub fn look_up_in_shell(
    word: &str,
    folder: &Path,
    env: &BTreeMap<String, String>,
) -> Result<(), ProgramFault> {
    let path = env.get("PATH").map_or_else(path_variable, OsString::from);
    let Err(fault) = look_up(word, folder, &path) else { return Ok(()) };
    let knows = |shell: &str| {
        let mut asked = Command::new(shell);
        asked.args(["-c", "command -v \"$1\"", shell, word]).current_dir(folder).envs(env);
        asked.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    };
    if word.contains('/') {
        return Err(fault);
    }
    if knows("sh") {
        return Ok(());
    }
    match fault {
        ProgramFault::NotOnPath { name, .. } if knows("bash") => {
            Err(ProgramFault::OnlyInBash { name })
        }
        fault => Err(fault),
    }
}

/// Where programs are looked for: the `PATH` of this process, or what shells take without one.
pub fn path_variable() -> OsString {
    const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    std::env::var_os("PATH").unwrap_or_else(|| USUAL.into())
}

/// The fault of a file, relative to `folder`, that is not there.
pub fn missing(folder: &Path, path: &str) -> Option<ProgramFault> {
    let file = folder.join(path);
    let near = || near_file(&file, path);
    (!file.exists()).then(|| ProgramFault::NoFile { path: path.to_owned(), near: near() })
}

/// Whether the file can be executed. `shown` is how it is written.
fn startable(file: &Path, shown: &str, path: &OsStr) -> Result<(), ProgramFault> {
    let shown = shown.to_owned();
    let Ok(found) = std::fs::metadata(file) else {
        let near = near_file(file, &shown);
        return Err(ProgramFault::NoFile { path: shown, near });
    };
    if found.is_dir() {
        return Err(ProgramFault::Folder { path: shown });
    }
    if !may_be_executed(&found) {
        return Err(ProgramFault::NotExecutable { path: shown });
    }
    match missing_interpreter(file, path) {
        Some((interpreter, carriage_return)) => {
            Err(ProgramFault::NoInterpreter { path: shown, interpreter, carriage_return })
        }
        None => Ok(()),
    }
}

#[cfg(unix)]
fn may_be_executed(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    found.permissions().mode() & 0o111 != 0
}

/// There is no such right there.
#[cfg(not(unix))]
fn may_be_executed(_found: &std::fs::Metadata) -> bool {
    true
}

/// The interpreter of a script's first line when it is not there, and whether it would be but for
/// a carriage return.
fn missing_interpreter(file: &Path, path: &OsStr) -> Option<(String, bool)> {
    let mut start = Vec::new();
    std::fs::File::open(file).ok()?.take(FIRST_LINE).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let carriage_return = line.ends_with('\r');
    let mut words = line.split_ascii_whitespace();
    let program = words.next()?;
    let by_name = Path::new(program).file_name().is_some_and(|name| name == "env");
    let wanted = if by_name && Path::new(program).is_file() {
        words.find(|word| !word.starts_with('-') && !word.contains('='))?
    } else {
        program
    };
    let there = if wanted.contains('/') {
        Path::new(wanted).is_file()
    } else {
        std::env::split_paths(path).any(|folder| folder.join(wanted).is_file())
    };
    // A carriage return is part of the last word for the kernel and for `env`, and an argument of
    // its own where a space comes before it.
    let spoilt = carriage_return && line.trim_end().ends_with(wanted);
    (!there || spoilt).then(|| (wanted.to_owned(), there && spoilt))
}

/// The names of all programs on the PATH.
fn programs(path: &OsStr) -> Vec<String> {
    std::env::split_paths(path)
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write(folder: &Path, name: &str, text: &str, mode: u32) {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_the_shell_has_itself_is_no_program_that_lacks() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        let none = BTreeMap::new();
        for word in ["if", "{", "read", "eval", "true", "command"] {
            assert_eq!(look_up_in_shell(word, root, &none), Ok(()), "{word}");
        }
        let fault = look_up_in_shell("wholly-other", root, &none).unwrap_err();
        assert!(matches!(fault, ProgramFault::NotOnPath { .. }), "{fault}");
        // What bash alone has depends on which shell `sh` is.
        let found = look_up_in_shell("pushd", root, &none);
        let is_bash = Command::new("sh").args(["-c", "pushd ."]).output().unwrap();
        if is_bash.status.success() {
            assert_eq!(found, Ok(()));
        } else {
            let fault = found.unwrap_err();
            assert_eq!(fault, ProgramFault::OnlyInBash { name: "pushd".into() });
            assert!(fault.remedy().what.contains("bash -c"), "{}", fault.remedy().what);
        }
        // A gate's own PATH is where its program is looked for.
        write(root, "bin/tool-of-nobody", "#!/bin/sh\n", 0o755);
        assert!(look_up_in_shell("tool-of-nobody", root, &none).is_err());
        let path = format!("bin:{}", path_variable().to_string_lossy());
        let env = BTreeMap::from([("PATH".to_owned(), path)]);
        assert_eq!(look_up_in_shell("tool-of-nobody", root, &env), Ok(()));
    }

    #[test]
    fn each_fault_is_named_with_its_remedy() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        write(root, "bin/frobnicate", "#!/bin/sh\n", 0o755);
        write(root, "bin/plain", "x", 0o644);
        write(root, "scripts/smoke_test.sh", "#!/bin/sh\n", 0o644);
        write(root, "scripts/check.sh", "#!/bin/sh\n", 0o755);
        write(root, "scripts/windows.sh", "#!/bin/sh\r\necho\r\n", 0o755);
        write(root, "scripts/odd.py", "#!/usr/bin/env pyhton-9\n", 0o755);
        let bin = root.join("bin");
        let path = bin.as_os_str();
        for (word, fault, remedy) in [
            ("frobnicate", "", ""),
            ("scripts/check.sh", "", ""),
            ("frobnicat", "no program `frobnicat` on the PATH", "did you mean `frobnicate`"),
            ("wholly-other", "no program `wholly-other` on the PATH", "install `wholly-other`"),
            ("plain", "plain` is not executable", "make it executable"),
            ("scripts/smoke_test.sh", "`scripts/smoke_test.sh` is not executable", "executable"),
            ("scripts/chekc.sh", "no file `scripts/chekc.sh`", "did you mean `scripts/check.sh`"),
            ("other/x.sh", "no file `other/x.sh`", "add the file"),
            ("./scripts", "`./scripts` is a folder", "use a program in it"),
            ("scripts/windows.sh", "has Windows line endings", "Unix line endings"),
            ("scripts/odd.py", "the interpreter `pyhton-9` of", "install `pyhton-9`"),
        ] {
            match look_up(word, root, path) {
                Ok(_) => assert_eq!(fault, "", "{word}"),
                Err(found) => {
                    let said = found.to_string();
                    assert!(!fault.is_empty() && said.contains(fault), "{word}: {said}");
                    let what = found.remedy().what;
                    assert!(what.contains(remedy), "{word}: {what}");
                }
            }
        }
        let fault = look_up("scripts/smoke_test.sh", root, path).unwrap_err();
        assert_eq!(fault.remedy().command.as_deref(), Some("chmod +x scripts/smoke_test.sh"));
        assert!(fault.remedy().person_only, "no patch changes a mode");
        let fault = look_up("scripts/windows.sh", root, path).unwrap_err();
        assert!(!fault.remedy().person_only, "a patch can change a line");
    }
}
