//! Against real repositories.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::*;
use greenloop_evidence::Redactor;
use greenloop_model::{CommitId, RunId};

fn git() -> Git {
    Git::new(RunId::generate(), &Redactor::default(), &CancellationToken::new())
}

fn author() -> Author {
    Author { name: "worker-1".to_owned(), email: "worker-1@greenloop.invalid".to_owned() }
}

fn plain(folder: &Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A bare repository with one commit on `main`.
fn remote(folder: &Path) -> (String, CommitId) {
    let work = folder.join("work");
    std::fs::create_dir(&work).unwrap();
    plain(&work, &["init", "-q", "-b", "main"]);
    std::fs::write(work.join("a.txt"), "one\n").unwrap();
    plain(&work, &["add", "-A"]);
    plain(&work, &["commit", "-q", "-m", "first"]);
    plain(folder, &["clone", "-q", "--bare", "work", "remote.git"]);
    let id = plain(&work, &["rev-parse", "HEAD"]).parse().unwrap();
    (folder.join("remote.git").to_str().unwrap().to_owned(), id)
}

#[tokio::test]
async fn work_goes_from_the_mirror_through_a_clone_to_its_branch() {
    let folder = tempfile::tempdir().unwrap();
    let (url, first) = remote(folder.path());
    let git = git();
    let mirror = Mirror::open(&folder.path().join("mirrors"), &url, &git).await.unwrap();
    assert_eq!(mirror.remote_tip("main", &git).await.unwrap(), Some(first.clone()));
    assert_eq!(mirror.remote_tip("other", &git).await.unwrap(), None);
    assert_eq!(mirror.fetch("main", &git).await.unwrap(), first);
    assert_eq!(mirror.fetch_default(&git).await.unwrap(), first);

    let place = folder.path().join("clone");
    let clone =
        TaskClone::make(&mirror, &place, "task/7/e1", &first, &author(), &git).await.unwrap();
    assert_eq!(clone.commit("nothing", &git).await.unwrap(), None);
    std::fs::write(place.join("b.txt"), "two\n").unwrap();
    std::fs::remove_file(place.join("a.txt")).unwrap();
    // A hook of the task's own making does not run with the worker's rights.
    std::fs::create_dir_all(place.join(".git/hooks")).unwrap();
    let hook = place.join(".git/hooks/pre-push");
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    let message = "Do it\n\nGreenloop-Task: 7\n";
    let commit = clone.commit(message, &git).await.unwrap().unwrap();
    clone.push(&commit, "task/7/e1", &git).await.unwrap();
    // A lost answer is asked for again.
    clone.push(&commit, "task/7/e1", &git).await.unwrap();
    let bare = Path::new(&url);
    assert_eq!(plain(bare, &["rev-parse", "task/7/e1"]), commit.as_str());
    assert_eq!(
        plain(bare, &["log", "-1", "--format=%an %ae", "task/7/e1"]),
        "worker-1 worker-1@greenloop.invalid"
    );
    assert_eq!(plain(bare, &["ls-tree", "--name-only", "task/7/e1"]), "b.txt");
    remove_folder(clone.folder()).unwrap();
    assert!(!place.exists());
}

#[tokio::test]
async fn a_branch_that_moved_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (url, first) = remote(folder.path());
    let git = git();
    let mirror = Mirror::open(&folder.path().join("mirrors"), &url, &git).await.unwrap();
    mirror.fetch("main", &git).await.unwrap();
    let mut commits = Vec::new();
    for name in ["x", "y"] {
        let place = folder.path().join(name);
        let clone = TaskClone::make(&mirror, &place, name, &first, &author(), &git).await.unwrap();
        std::fs::write(place.join(name), name).unwrap();
        commits.push((clone.commit(name, &git).await.unwrap().unwrap(), clone));
    }
    commits[0].1.push(&commits[0].0, "main", &git).await.unwrap();
    let error = commits[1].1.push(&commits[1].0, "main", &git).await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Rejected, "{error}");
    assert_eq!(mirror.remote_tip("main", &git).await.unwrap().as_ref(), Some(&commits[0].0));
}

#[tokio::test]
async fn rewritten_history_is_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let (url, first) = remote(folder.path());
    let git = git();
    let mirror = Mirror::open(&folder.path().join("mirrors"), &url, &git).await.unwrap();
    mirror.fetch("main", &git).await.unwrap();
    let place = folder.path().join("clone");
    let clone = TaskClone::make(&mirror, &place, "b", &first, &author(), &git).await.unwrap();
    plain(&place, &["checkout", "-q", "--orphan", "other"]);
    plain(&place, &["commit", "-q", "-m", "another beginning"]);
    let error = clone.commit("on top", &git).await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Local, "{error}");
}

#[tokio::test]
async fn a_remote_that_is_not_there_may_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let git = git();
    let url = folder.path().join("gone.git");
    let mirror = Mirror::open(&folder.path().join("m"), url.to_str().unwrap(), &git).await.unwrap();
    for error in [
        mirror.fetch("main", &git).await.unwrap_err(),
        mirror.remote_tip("main", &git).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, GitErrorKind::Remote, "{error}");
    }
    let refused = Mirror::open(folder.path(), "--upload-pack=touch x", &git).await.unwrap_err();
    assert_eq!(refused.kind, GitErrorKind::Local);
}
