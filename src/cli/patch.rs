//! `greenloop patch`: the tolerant, all-or-nothing ladder on the work tree.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::error::{CommandError, Exit};
use super::{output, terminal};
use greenloop_model::{FileContent, RepoPath};
use greenloop_patch::{Answer, ParsedPatch, Refusal, ResolveOptions, Tree, parse_answer, resolve};
use greenloop_workspace::WorkspaceError;

/// What to do with a patch.
#[derive(Debug, Subcommand)]
pub(super) enum PatchCommand {
    /// Check whether it would apply, and print the canonical diff
    Check {
        /// Diff or model's answer; `-` reads standard input
        file: PathBuf,
    },
    /// Apply a patch to the work tree, all or nothing
    Apply {
        /// Diff or model's answer; `-` reads standard input
        file: PathBuf,
    },
}

/// The files as they stand in the folder: the repository's work tree, or any folder.
pub(super) struct WorkTree {
    root: PathBuf,
}

impl WorkTree {
    /// The work tree around `directory`; `directory` itself outside a repository.
    pub(super) fn open(directory: &Path) -> Result<Self, CommandError> {
        let root =
            greenloop_workspace::work_tree_root(directory).unwrap_or_else(|| directory.to_owned());
        Ok(Self { root })
    }

    /// The repository's configuration, when there is one.
    pub(super) fn default_config(&self) -> Option<PathBuf> {
        Some(greenloop_config::locate(&self.root).path).filter(|path| path.is_file())
    }

    /// Whether the patch can be written as it is.
    pub(super) fn check(&self, patch: &ParsedPatch) -> Result<(), WorkspaceError> {
        greenloop_workspace::check_work_tree(&self.root, patch.changes())
    }

    /// A path relative to the root, when it lies inside.
    pub(super) fn relative(&self, path: &Path) -> Option<RepoPath> {
        let inside = path.strip_prefix(&self.root).ok()?;
        RepoPath::new(inside.as_os_str().as_encoded_bytes()).ok()
    }
}

impl Tree for WorkTree {
    fn read(&self, path: &RepoPath) -> io::Result<Option<FileContent>> {
        greenloop_workspace::read_work_tree(&self.root, path)
    }

    fn files(&self) -> io::Result<Vec<RepoPath>> {
        greenloop_workspace::list_work_tree(&self.root)
    }
}

pub(super) fn patch(command: PatchCommand) -> Result<Exit, CommandError> {
    let (file, write) = match command {
        PatchCommand::Check { file } => (file, false),
        PatchCommand::Apply { file } => (file, true),
    };
    let tree = WorkTree::open(&terminal::current_directory()?)?;
    let parsed = match read(&file, &tree)? {
        Ok(parsed) => parsed,
        Err(refusal) => return refused(&refusal),
    };
    let mut stderr = anstream::stderr();
    for leniency in parsed.leniencies() {
        let leniency = greenloop_report::safe_text::safe(leniency);
        let _closed_pipe = writeln!(stderr, "tolerated: {leniency}");
    }
    if write {
        greenloop_workspace::write_work_tree(&tree.root, parsed.changes())?;
        for change in parsed.changes() {
            let what = match (&change.before, &change.after) {
                (None, _) => "added",
                (_, None) => "deleted",
                (Some(_), Some(_)) if change.moved_from.is_some() => "moved",
                (Some(_), Some(_)) => "changed",
            };
            output::print(&format!("{what} {}\n", change.path))?;
        }
    } else {
        greenloop_workspace::check_work_tree(&tree.root, parsed.changes())?;
        let diff = parsed.to_unified_diff();
        let mut stdout = io::stdout().lock();
        let text = String::from_utf8_lossy(&diff);
        for line in text.split_inclusive('\n') {
            let (line, end) = match line.strip_suffix("\r\n") {
                Some(line) => (line, "\r\n"),
                None => line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n")),
            };
            // A pipeline or a terminal would obey what is in it.
            let line = greenloop_report::safe_text::safe(line);
            let _closed_pipe = stdout.write_all(line.as_bytes());
            let _closed_pipe = stdout.write_all(end.as_bytes());
        }
    }
    Ok(Exit::Ok)
}

/// The text of a file; `-` is standard input.
pub(super) fn read_text(file: &Path) -> Result<String, CommandError> {
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        io::stdin().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|mut f| f.read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        CommandError::usage(format!("failed to read {}", file.display())).because(error)
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a diff or an answer and resolves it against the tree.
pub(super) fn read(
    file: &Path,
    tree: &WorkTree,
) -> Result<Result<ParsedPatch, Refusal>, CommandError> {
    resolve_text(&read_text(file)?, tree)
}

/// Resolves a diff or an answer against the tree.
pub(super) fn resolve_text(
    text: &str,
    tree: &WorkTree,
) -> Result<Result<ParsedPatch, Refusal>, CommandError> {
    let edits = match parse_answer(text) {
        Ok(Answer::Edits(edits)) => edits,
        Ok(Answer::NoPatch(no_patch)) => {
            return Err(CommandError::person(format!(
                "the answer says that no patch is appropriate ({}): {}",
                no_patch.class.name(),
                no_patch.reason
            )));
        }
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(resolve(&edits, tree, &ResolveOptions::new([&tree.root])))
}

/// Tells a refusal: exit 1, with the text that teaches.
pub(super) fn refused(refusal: &Refusal) -> Result<Exit, CommandError> {
    let text = greenloop_report::safe_text::safe(&refusal.to_string());
    let _closed_pipe = writeln!(anstream::stderr(), "rejected, nothing was changed\n{text}");
    Ok(Exit::NeedsPerson)
}
