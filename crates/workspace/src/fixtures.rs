//! A real repository in a temporary folder, made with the git command.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Workspace;
use greenloop_model::{
    CommitId, Evaluation, FileChange, FileContent, FileMode, RepoPath, Review, ReviewVerdict, Risk,
};
use greenloop_patch::ParsedPatch;
use greenloop_policy::{ClearedPatch, Scope, clear};

pub(super) struct TestRepo {
    // Removed when dropped.
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl TestRepo {
    /// With one commit of these files.
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path().canonicalize().expect("path").join("repo");
        std::fs::create_dir(&root).expect("root");
        let repo = Self { _folder: folder, root };
        repo.git(&["init", "-q", "-b", "main"]);
        repo.git(&["config", "user.name", "Test"]);
        repo.git(&["config", "user.email", "test@localhost"]);
        for (path, text) in files {
            repo.write(path, text);
        }
        repo.git(&["add", "-A"]);
        repo.git(&["commit", "-qm", "Begin", "--allow-empty"]);
        repo
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn workspace(&self) -> Workspace {
        Workspace::open(&self.root).expect("opens")
    }

    pub(super) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folders");
        std::fs::write(path, text).expect("written");
    }

    pub(super) fn read(&self, path: &str) -> Option<String> {
        std::fs::read(self.root.join(path))
            .ok()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) fn commit(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            self.write(path, text);
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", "Change"]);
    }

    pub(super) fn git(&self, arguments: &[&str]) -> String {
        let (ok, text) = self.run(arguments, &[]);
        assert!(ok, "git {arguments:?}: {text}");
        text
    }

    /// What differs between the work tree and `commit`, files that are not in the index too.
    pub(super) fn differences(&self, commit: &CommitId) -> String {
        let index = self.root.join(".git/test-index").display().to_string();
        let env = [("GIT_INDEX_FILE", index.as_str())];
        assert!(self.run(&["read-tree", commit.as_str()], &env).0);
        let changed = self.run(&["diff", "--stat"], &env).1;
        let others = self.run(&["ls-files", "--others", "--exclude-standard"], &env).1;
        changed + &others
    }

    pub(super) fn git_may_fail(&self, arguments: &[&str]) {
        self.run(arguments, &[]);
    }

    fn run(&self, arguments: &[&str], env: &[(&str, &str)]) -> (bool, String) {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(&self.root)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env_remove("GIT_DIR")
            .envs(env.iter().copied())
            .output()
            .expect("git runs");
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            text.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        (output.status.success(), text)
    }

    /// A change of one file from what HEAD has to `after`.
    pub(super) fn change(&self, path: &str, after: Option<&str>) -> FileChange {
        FileChange {
            path: RepoPath::new(path).expect("a path"),
            moved_from: None,
            before: self.head_file(path),
            after: after.map(FileContent::regular),
        }
    }

    fn head_file(&self, path: &str) -> Option<FileContent> {
        let workspace = self.workspace();
        let head = workspace.head().expect("head").commit;
        let tree = workspace.tree_at(&head).expect("tree");
        greenloop_patch::Tree::read(&tree, &RepoPath::new(path).expect("a path")).expect("read")
    }
}

/// An approved patch of these changes that no rule is asked about.
pub(super) fn cleared(changes: Vec<FileChange>) -> ClearedPatch {
    let review = Review {
        verdict: ReviewVerdict::Approve,
        risk: Risk::Low,
        reason: String::new(),
        suggestion: None,
        reviewer: "test".to_owned(),
    };
    let patch = ParsedPatch::from_changes(changes);
    let scope = Scope::new("", "", "");
    let now = std::time::SystemTime::UNIX_EPOCH;
    clear(patch, &review, &Evaluation::new(Vec::new()), None, &scope, now).expect("cleared")
}

pub(super) fn executable(text: &str) -> FileContent {
    FileContent { bytes: text.as_bytes().to_vec(), mode: FileMode::Executable }
}
