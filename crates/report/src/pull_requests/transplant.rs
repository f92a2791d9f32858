//! Puts the commits of a fix onto another commit, in a work tree of its own.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use greenloop_exec::{Command, Marker, Program, run};
use greenloop_model::{Exit, RunId};
use greenloop_ports::{PullRequestError, PullRequestErrorKind};

/// For one git command.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Bytes of git's output that are kept, from its beginning.
const LONGEST_OUTPUT: usize = 16 << 10;

/// The new tip: the commits after `base` up to `fix`, on top of `onto`. The repository that `folder`
/// lies in gets the commits, and nothing else of it changes.
///
/// # Errors
/// [`PullRequestErrorKind::Rejected`] where they do not fit there.
pub async fn transplant(
    folder: &Path,
    onto: &str,
    (base, fix): (&str, &str),
    run_id: RunId,
    cancel: &CancellationToken,
) -> Result<String, PullRequestError> {
    let scratch = tempfile::Builder::new().prefix("greenloop-").tempdir().map_err(|source| {
        PullRequestError {
            kind: PullRequestErrorKind::Git,
            message: "no temporary folder for a work tree".to_owned(),
            source: Some(source.into()),
        }
    })?;
    let tree = scratch.path().join("tree");
    let git = async |at: &Path, arguments: &[&str]| git(at, arguments, run_id, cancel).await;
    let path = tree.to_string_lossy().into_owned();
    git(folder, &["worktree", "add", "--quiet", "--detach", &path, onto]).await?;
    let range = format!("{base}..{fix}");
    let picked = match git(&tree, &["cherry-pick", "--allow-empty", &range]).await {
        Ok(_) => git(&tree, &["rev-parse", "HEAD"]).await.map(|said| said.trim().to_owned()),
        Err(error) if error.kind == PullRequestErrorKind::Git => Err(PullRequestError {
            kind: PullRequestErrorKind::Rejected,
            message: format!("the fix does not fit {}: {}", short(onto), error.message),
            source: None,
        }),
        Err(error) => Err(error),
    };
    // Whatever became of it.
    let removed = git(folder, &["worktree", "remove", "--force", &path]).await;
    if let Err(error) = removed {
        tracing::warn!(%error, path, "a work tree of a fix could not be removed");
    }
    picked
}

/// Whether `ancestor` is `commit` or before it.
///
/// # Errors
/// When git does not know one of them.
pub async fn is_ancestor(
    folder: &Path,
    ancestor: &str,
    commit: &str,
    run_id: RunId,
    cancel: &CancellationToken,
) -> Result<bool, PullRequestError> {
    let list = ["rev-list", "--max-count=1", ancestor, &format!("^{commit}")];
    // What can be reached from the ancestor and not from the commit: nothing.
    git(folder, &list, run_id, cancel).await.map(|said| said.trim().is_empty())
}

/// The commit before `commit`.
///
/// # Errors
/// When there is none.
pub async fn parent(
    folder: &Path,
    commit: &str,
    run_id: RunId,
    cancel: &CancellationToken,
) -> Result<String, PullRequestError> {
    tip(folder, &format!("{commit}^"), run_id, cancel).await
}

/// The commit that a ref or an expression names.
///
/// # Errors
/// When it names none.
pub async fn tip(
    folder: &Path,
    name: &str,
    run_id: RunId,
    cancel: &CancellationToken,
) -> Result<String, PullRequestError> {
    let commit = format!("{name}^{{commit}}");
    let said = git(folder, &["rev-parse", "--verify", &commit], run_id, cancel).await?;
    Ok(said.trim().to_owned())
}

/// The id of a file's content in a commit; `None` where it is not in it.
pub async fn blob(
    folder: &Path,
    commit: &str,
    path: &str,
    run_id: RunId,
    cancel: &CancellationToken,
) -> Option<String> {
    let object = format!("{commit}:{path}");
    let said = git(folder, &["rev-parse", "--verify", "--quiet", &object], run_id, cancel).await;
    said.ok().map(|said| said.trim().to_owned()).filter(|id| !id.is_empty())
}

async fn git(
    at: &Path,
    arguments: &[&str],
    run_id: RunId,
    cancel: &CancellationToken,
) -> Result<String, PullRequestError> {
    let mut argv: Vec<OsString> = vec!["git".into()];
    // No program of the repository's runs, and who commits is known.
    for setting in [
        "core.hooksPath=/dev/null",
        "commit.gpgSign=false",
        "user.name=Greenloop",
        "user.email=greenloop@localhost",
        "advice.detachedHead=false",
    ] {
        argv.extend(["-c".into(), setting.into()]);
    }
    argv.extend(arguments.iter().map(Into::into));
    let command = Command {
        program: Program::Argv(argv),
        cwd: at.to_owned(),
        env: vec![("GIT_TERMINAL_PROMPT".into(), "0".into()), ("LC_ALL".into(), "C".into())],
        env_remove: super::push::ENV_REMOVE.into_iter().map(Into::into).collect(),
        timeout: Some(TIMEOUT),
        marker: Marker::new(run_id),
        confinement: None,
    };
    let mut output = Vec::new();
    let mut keep = |piece: &[u8]| {
        let room = LONGEST_OUTPUT.saturating_sub(output.len());
        output.extend_from_slice(&piece[..piece.len().min(room)]);
    };
    let outcome = run(&command, &mut keep, cancel).await;
    let said = String::from_utf8_lossy(&output).into_owned();
    if outcome.cancelled {
        return Err(PullRequestError {
            kind: PullRequestErrorKind::Cancelled,
            message: "git was cancelled".to_owned(),
            source: None,
        });
    }
    if outcome.exit == Exit::Code(0) {
        return Ok(said);
    }
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let verb = arguments.first().copied().unwrap_or_default();
    let line: String = line.chars().take(400).collect();
    Err(PullRequestError {
        kind: PullRequestErrorKind::Git,
        message: format!("git {verb} failed ({}): {line}", outcome.exit),
        source: None,
    })
}

fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}
