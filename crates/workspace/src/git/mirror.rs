//! A bare copy of a remote repository, kept between uses, that clones borrow objects from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Git, GitError, GitErrorKind};
use greenloop_model::{CommitId, Exit};

/// Lines of a difference that are reported.
const DIFF_LINES: usize = 200;
/// Characters of a reported change.
const DIFF_LENGTH: usize = 10_000;

/// One fetch or push at a time.
type MirrorLock = Arc<tokio::sync::Mutex<()>>;

/// A commit that a branch stood at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    pub commit: CommitId,
    /// Who wrote it.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
}

/// A mirror of one repository. Clones of the value share its turn.
#[derive(Debug, Clone)]
pub struct Mirror {
    folder: PathBuf,
    url: String,
    turn: MirrorLock,
}

impl Mirror {
    /// The mirror of `url` below `place`, made when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub async fn open(place: &Path, url: &str, git: &Git) -> Result<Self, GitError> {
        if url.starts_with('-') {
            let message = format!("{url:?} is not the address of a repository");
            return Err(GitError::new(GitErrorKind::Local, message));
        }
        let folder = place.join(Self::folder_name(url));
        std::fs::create_dir_all(&folder)
            .map_err(GitError::io(format!("make the folder {}", folder.display())))?;
        // Again on one that is there: harmless, and it repairs a half-made one.
        git.run(&folder, &["init", "--quiet", "--bare", "."], GitErrorKind::Local).await?;
        Ok(Self { folder, url: url.to_owned(), turn: MirrorLock::default() })
    }

    /// What the folder of the mirror of `url` is called.
    pub fn folder_name(url: &str) -> String {
        let digest = Sha256::digest(url.as_bytes());
        let name: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
        format!("{name}.git")
    }

    /// The bare repository.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The remote's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where a branch of the remote is, asked for there; `None` when there is none.
    ///
    /// # Errors
    /// When the remote is not heard.
    pub async fn remote_tip(&self, branch: &str, git: &Git) -> Result<Option<CommitId>, GitError> {
        let name = format!("refs/heads/{branch}");
        let arguments = ["ls-remote", "--exit-code", "--", &self.url, &name];
        let said = git.outcome(&self.folder, &arguments).await?;
        match &said.exit {
            Exit::Code(0) => {
                let tip = said.text.lines().filter_map(|line| line.split_once('\t'));
                let tip =
                    tip.filter(|(_, found)| *found == name).find_map(|(id, _)| id.parse().ok());
                Ok(tip)
            }
            // What `--exit-code` means.
            Exit::Code(2) => Ok(None),
            exit => {
                let message = format!("git ls-remote failed ({exit}): {}", said.line());
                Err(GitError::new(GitErrorKind::Remote, message))
            }
        }
    }

    /// Brings a branch of the remote, and says where it is.
    ///
    /// # Errors
    /// When the remote is not heard, or has no such branch.
    pub async fn fetch(&self, branch: &str, git: &Git) -> Result<CommitId, GitError> {
        let own = format!("refs/remotes/origin/{branch}");
        self.fetch_as(&format!("refs/heads/{branch}"), &own, git).await
    }

    /// Brings a commit that no branch of the remote leads to any more, as long as the remote
    /// still has it and gives it.
    ///
    /// # Errors
    /// When the remote is not heard, or does not give it.
    pub async fn fetch_commit(&self, commit: &CommitId, git: &Git) -> Result<CommitId, GitError> {
        let own = format!("refs/greenloop/fetched/{commit}");
        self.fetch_as(commit.as_str(), &own, git).await
    }

    /// Brings what the remote checks out by itself.
    ///
    /// # Errors
    /// When the remote is not heard, or is empty.
    pub async fn fetch_default(&self, git: &Git) -> Result<CommitId, GitError> {
        self.fetch_as("HEAD", "refs/remotes/origin/HEAD", git).await
    }

    async fn fetch_as(&self, from: &str, to: &str, git: &Git) -> Result<CommitId, GitError> {
        let _turn = self.turn.lock().await;
        fetch(&self.folder, &self.url, from, to, git).await
    }

    /// The commit that a name stands for in the mirror.
    ///
    /// # Errors
    /// When it stands for none.
    pub async fn resolve(&self, name: &str, git: &Git) -> Result<CommitId, GitError> {
        resolve(&self.folder, name, git).await
    }

    /// Pushes `commit` to a branch of the remote, if that is a step forward from where the
    /// branch is; never by force.
    ///
    /// # Errors
    /// [`GitErrorKind::Rejected`] when the branch has moved on, or is guarded.
    pub async fn push(&self, commit: &CommitId, branch: &str, git: &Git) -> Result<(), GitError> {
        let _turn = self.turn.lock().await;
        push(&self.folder, &self.url, commit, branch, None, git).await
    }

    /// The same, only as long as the branch is where it is `expected` to be (`None`: not there).
    /// The remote compares and swaps: a branch that was moved back meanwhile, which a plain push
    /// would move forward again, refuses it too. `commit` has to stand on `expected`.
    ///
    /// # Errors
    /// [`GitErrorKind::Rejected`] when the branch is elsewhere, or is guarded.
    pub async fn push_from(
        &self,
        expected: Option<&CommitId>,
        commit: &CommitId,
        branch: &str,
        git: &Git,
    ) -> Result<(), GitError> {
        let expected = expected.map_or("", |it| it.as_str());
        let lease = format!("--force-with-lease=refs/heads/{branch}:{expected}");
        let _turn = self.turn.lock().await;
        push(&self.folder, &self.url, commit, branch, Some(&lease), git).await
    }

    /// The commit that two have in common, when there is one.
    ///
    /// # Errors
    /// When git cannot say.
    pub async fn merge_base(
        &self,
        one: &CommitId,
        other: &CommitId,
        git: &Git,
    ) -> Result<Option<CommitId>, GitError> {
        let arguments = ["merge-base", "--end-of-options", one.as_str(), other.as_str()];
        let said = git.outcome(&self.folder, &arguments).await?;
        match &said.exit {
            Exit::Code(0) => Ok(said.text.trim().parse().ok()),
            // What it says when there is none.
            Exit::Code(1) => Ok(None),
            exit => {
                let message = format!("git merge-base failed ({exit}): {}", said.line());
                Err(GitError::new(GitErrorKind::Local, message))
            }
        }
    }

    /// Whether some files are not the same in two commits.
    ///
    /// # Errors
    /// When the mirror does not have the commits.
    pub async fn differ(
        &self,
        one: &CommitId,
        other: &CommitId,
        files: &[String],
        git: &Git,
    ) -> Result<bool, GitError> {
        let mut arguments = vec![
            "--literal-pathspecs",
            "diff",
            "--quiet",
            "--no-ext-diff",
            "--no-textconv",
            "--end-of-options",
            one.as_str(),
            other.as_str(),
            "--",
        ];
        arguments.extend(files.iter().map(String::as_str));
        let said = git.outcome(&self.folder, &arguments).await?;
        match &said.exit {
            Exit::Code(0) => Ok(false),
            Exit::Code(1) => Ok(true),
            exit => {
                let message = format!("git diff failed ({exit}): {}", said.line());
                Err(GitError::new(GitErrorKind::Local, message))
            }
        }
    }

    /// What happened to some files between two commits of a branch: the merges and commits that
    /// changed them, latest first, and the difference, cut to what a person reads. Empty when
    /// they are the same.
    ///
    /// # Errors
    /// When the mirror does not have the commits.
    pub async fn changes(
        &self,
        from: &CommitId,
        to: &CommitId,
        files: &[String],
        git: &Git,
    ) -> Result<String, GitError> {
        let range = format!("{from}..{to}");
        let log = [
            "--literal-pathspecs",
            "log",
            "--first-parent",
            "--format=%h %an: %<(120,trunc)%s",
            "--max-count=20",
            "--end-of-options",
            &range,
            "--",
        ];
        let diff = [
            "--literal-pathspecs",
            "diff",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--end-of-options",
            from.as_str(),
            to.as_str(),
            "--",
        ];
        let files = || files.iter().map(String::as_str);
        let log: Vec<&str> = log.into_iter().chain(files()).collect();
        let diff: Vec<&str> = diff.into_iter().chain(files()).collect();
        let diff = git.run(&self.folder, &diff, GitErrorKind::Local).await?;
        if diff.trim().is_empty() {
            return Ok(String::new());
        }
        let log = git.run(&self.folder, &log, GitErrorKind::Local).await?;
        let log: Vec<&str> = log.lines().map(str::trim_end).collect();
        let mut lines: Vec<&str> = diff.lines().take(DIFF_LINES).collect();
        if diff.lines().nth(DIFF_LINES).is_some() {
            lines.push("[the difference goes on]");
        }
        let text = format!("{}\n\n{}", log.join("\n"), lines.join("\n"));
        Ok(text.chars().take(DIFF_LENGTH).collect())
    }

    /// The difference of two commits, as a unified diff; what is beyond `most` bytes is cut at a line,
    /// which is said.
    ///
    /// # Errors
    /// When the mirror does not have the commits.
    pub async fn diff(
        &self,
        from: &CommitId,
        to: &CommitId,
        most: usize,
        git: &Git,
    ) -> Result<String, GitError> {
        let arguments = [
            "diff",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--find-renames",
            "--end-of-options",
            from.as_str(),
            to.as_str(),
            "--",
        ];
        let (mut diff, more) =
            git.run_head(&self.folder, &arguments, most, GitErrorKind::Local).await?;
        if more {
            diff.push_str(&format!("… cut here; the whole change: git diff {from} {to}\n"));
        }
        Ok(diff)
    }

    /// The files that are not the same in two commits, each with the letter of `git diff
    /// --name-status` before it, as far as `most` bytes of them go, and whether there are more.
    ///
    /// # Errors
    /// When the mirror does not have the commits.
    pub async fn changed_files(
        &self,
        from: &CommitId,
        to: &CommitId,
        most: usize,
        git: &Git,
    ) -> Result<(Vec<String>, bool), GitError> {
        let arguments = [
            "diff",
            "--name-status",
            "--no-renames",
            "--end-of-options",
            from.as_str(),
            to.as_str(),
            "--",
        ];
        let (files, more) =
            git.run_head(&self.folder, &arguments, most, GitErrorKind::Local).await?;
        Ok((files.lines().map(|line| line.replace('\t', " ")).collect(), more))
    }

    /// The id of a commit's tree.
    ///
    /// # Errors
    /// When the mirror does not have the commit.
    pub async fn resolve_tree(&self, commit: &CommitId, git: &Git) -> Result<String, GitError> {
        let name = format!("{commit}^{{tree}}");
        let arguments = ["rev-parse", "--verify", "--end-of-options", &name];
        let tree = git.run(&self.folder, &arguments, GitErrorKind::Local).await?;
        Ok(tree.trim().to_owned())
    }

    /// The commits that were tips of a branch that stands at `tip`, the latest first, at most
    /// `most`: the first parents.
    ///
    /// # Errors
    /// When the mirror does not have the commit.
    pub async fn first_parents(
        &self,
        tip: &CommitId,
        most: usize,
        git: &Git,
    ) -> Result<Vec<Tip>, GitError> {
        let count = format!("--max-count={most}");
        let arguments = [
            "log",
            "--first-parent",
            "--format=%H%x09%<(60,trunc)%an%x09%<(120,trunc)%s",
            &count,
            "--end-of-options",
            tip.as_str(),
        ];
        let text = git.run(&self.folder, &arguments, GitErrorKind::Local).await?;
        let tip = |line: &str| {
            let mut parts = line.splitn(3, '\t');
            let commit = parts.next()?.parse().ok()?;
            let mut text = || parts.next().unwrap_or_default().trim().to_owned();
            Some(Tip { commit, author: text(), subject: text() })
        };
        Ok(text.lines().filter_map(tip).collect())
    }
}

/// Brings a branch of the repository at `url` (or of a remote of that name) into the repository
/// at `folder`, as the ref `to`, and says where it is.
///
/// # Errors
/// When the remote is not heard, or has no such branch.
pub async fn fetch_branch(
    folder: &Path,
    url: &str,
    branch: &str,
    to: &str,
    git: &Git,
) -> Result<CommitId, GitError> {
    fetch(folder, url, &format!("refs/heads/{branch}"), to, git).await
}

async fn fetch(
    folder: &Path,
    url: &str,
    from: &str,
    to: &str,
    git: &Git,
) -> Result<CommitId, GitError> {
    let refspec = format!("+{from}:{to}");
    let arguments = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", url, &refspec];
    git.run(folder, &arguments, GitErrorKind::Remote).await?;
    resolve(folder, to, git).await
}

async fn resolve(folder: &Path, name: &str, git: &Git) -> Result<CommitId, GitError> {
    let peeled = format!("{name}^{{commit}}");
    let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &peeled];
    let text = git.run(folder, &arguments, GitErrorKind::Local).await?;
    text.trim().parse().map_err(|_invalid| {
        GitError::new(
            GitErrorKind::Local,
            format!("{name} is not a commit of {}", folder.display()),
        )
    })
}

/// Pushes a commit of the repository at `folder`; `lease` is git's option for it.
pub(super) async fn push(
    folder: &Path,
    url: &str,
    commit: &CommitId,
    branch: &str,
    lease: Option<&str>,
    git: &Git,
) -> Result<(), GitError> {
    let refspec = format!("{commit}:refs/heads/{branch}");
    let mut arguments =
        vec!["push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no"];
    arguments.extend(lease);
    arguments.extend(["--", url, &refspec]);
    let said = git.outcome(folder, &arguments).await?;
    if said.exit == Exit::Code(0) {
        return Ok(());
    }
    // The format for programs: `!<tab>from:to<tab>[reason]`.
    let refused = said.text.lines().find(|line| line.starts_with("!\t"));
    match refused.and_then(|line| line.split('\t').nth(2)) {
        Some(reason) => {
            let message = format!("the remote rejected {branch}: {reason}");
            Err(GitError::new(GitErrorKind::Rejected, message))
        }
        None => {
            let message = format!("git push failed ({}): {}", said.exit, said.line());
            Err(GitError::new(GitErrorKind::Remote, message))
        }
    }
}
