//! The command line of bubblewrap, at level A.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::sandbox::Request;
use crate::sandbox::rules::Access;

/// The arguments that make the namespaces and the mounts, up to the command.
pub(super) fn arguments(request: &Request) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        // The launcher is process 1: it cannot be killed from within, and all die with it.
        "--as-pid-1",
        "--cap-drop",
        "ALL",
        "--hostname",
        "sandbox",
    ]
    .map(OsString::from)
    .to_vec();
    if !request.network {
        arguments.push("--unshare-net".into());
    }
    let mut add = |words: &[&OsString]| arguments.extend(words.iter().map(|&word| word.clone()));
    let [bind, read_only, tmpfs, null] =
        ["--bind", "--ro-bind", "--tmpfs", "/dev/null"].map(OsString::from);
    let mut first = true;
    for rule in &request.rules {
        let path = rule.path.clone().into_os_string();
        match (rule.access, &rule.source) {
            (Access::Write, Some(source)) => add(&[&bind, &source.clone().into_os_string(), &path]),
            (Access::Write, None) => add(&[&bind, &path, &path]),
            (Access::Read, _) => add(&[&read_only, &path, &path]),
            (Access::Hidden, _) if rule.path.is_dir() => add(&[&tmpfs, &path]),
            (Access::Hidden, _) => add(&[&read_only, &null, &path]),
        }
        if std::mem::take(&mut first) {
            // Over the root, and below what rules say of places in them.
            for words in [["--proc", "/proc"], ["--dev", "/dev"]] {
                add(&[&words[0].into(), &words[1].into()]);
            }
        }
    }
    add(&[&"--chdir".into(), &request.cwd.clone().into_os_string()]);
    arguments
}

/// Where bubblewrap may lie: never at a place that `PATH` names relative to a folder.
pub(super) fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = ["/usr/bin".into(), "/usr/local/bin".into(), "/bin".into()].into_iter();
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in
        folders.chain(std::env::split_paths(&path)).filter(|it: &PathBuf| it.is_absolute())
    {
        let program = folder.join("bwrap");
        if program.is_file() && !found.contains(&program) {
            found.push(program);
        }
    }
    found
}
