//! Where runs leave their files.

use std::path::{Path, PathBuf};

use super::AppError;
use greenloop_config::plan::{LoggingPlan, RunPlan};
use greenloop_image::context::OwnFiles;
use greenloop_model::RunId;
use greenloop_workspace::Workspace;

/// What Greenloop writes into a work tree, kept out of `git status`.
const OWN_FILES: [&str; 2] = ["/logs/runs/", "/logs/orchestrator_*.log"];
/// The same, where the configuration names no other metrics.
const METRICS: &str = "metrics/deployments.json";

/// What the names of files begin with that reports are written to before they are renamed: a process
/// that is killed leaves one.
const TEMPORARY: &str = ".greenloop-";

/// `logs/runs` of the repository.
pub fn runs_folder(root: &Path) -> PathBuf {
    root.join("logs").join("runs")
}

/// The run of a whole id or of its end, in the work tree of `directory`.
///
/// # Errors
/// As [`audit_log`].
pub fn run_of(directory: &Path, run: &str) -> Result<RunId, AppError> {
    if let Ok(id) = run.parse() {
        return Ok(id);
    }
    let workspace = Workspace::open(directory)?;
    let log = audit_log(workspace.root(), run)?;
    let folder = log.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let id = folder.and_then(|name| name.parse().ok());
    id.ok_or_else(|| AppError::NoSuchRun { run: run.to_owned() })
}

/// The audit log of a run.
///
/// # Errors
/// [`AppError::NoSuchRun`] when there is none. `run` may be the end of an id, if it is the end
/// of only one.
pub fn audit_log(root: &Path, run: &str) -> Result<PathBuf, AppError> {
    let runs = runs_folder(root);
    let matching: Vec<PathBuf> = std::fs::read_dir(&runs)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(run))
        .map(|entry| entry.path().join("audit.jsonl"))
        .filter(|path| path.is_file())
        .collect();
    match matching.as_slice() {
        [path] if !run.is_empty() => Ok(path.clone()),
        _none_or_several => Err(AppError::NoSuchRun { run: run.to_owned() }),
    }
}

/// What Greenloop writes where images are built from: a plan's logs and metrics, wherever they
/// are configured, the runs' folders, its state in the git folder, and the file that answers of
/// models are recorded to.
pub(super) fn own_files(
    workspace: &Workspace,
    plan: &RunPlan,
    recording: Option<&str>,
) -> OwnFiles {
    let root = workspace.root();
    let own = OwnFiles::default()
        .with_folder(runs_folder(root))
        .with_folder(workspace.git_dir().join("greenloop"));
    // A file that is replaced is first written under another name, and one that is not ours is
    // put aside under a longer one.
    let files = |own: OwnFiles, path: &Path| {
        let Some(folder) = path.parent() else { return own };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (prefix, suffix) = name.split_once("{date}").unwrap_or((&name, ""));
        own.with_files(folder.to_owned(), prefix, suffix).with_files(
            folder.to_owned(),
            TEMPORARY,
            "",
        )
    };
    let recording = recording.and_then(|path| std::path::absolute(path).ok());
    let configured = [
        Some(root.join(&plan.logging.file)),
        plan.metrics.as_ref().map(|metrics| root.join(metrics)),
        recording,
    ];
    configured.iter().flatten().fold(own, |own, path| files(own, path))
}

/// Whether a path, relative to a work tree's root, is written by Greenloop itself.
pub(super) fn is_own(path: &Path) -> bool {
    let text = path.to_string_lossy();
    path == Path::new("logs/runs")
        || path == Path::new(METRICS)
        || (text.starts_with("logs/orchestrator_") && text.ends_with(".log"))
}

/// That what is written to `path`, below the work tree's root, stays in the repository: a link
/// that somebody committed must not send it elsewhere.
///
/// # Errors
/// [`AppError::LinkOutside`] when a folder on the way, or the file, is a link that leads out.
pub(super) fn ensure_inside(workspace: &Workspace, path: &Path) -> Result<(), AppError> {
    let root = workspace.root();
    // A path outside was configured as one.
    let Ok(below) = path.strip_prefix(root) else { return Ok(()) };
    let mut at = root.to_owned();
    for part in below.components() {
        at.push(part);
        if !at.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
            continue;
        }
        let inside = at.canonicalize().is_ok_and(|target| target.starts_with(root));
        if !inside {
            return Err(AppError::LinkOutside { path: at });
        }
    }
    Ok(())
}

/// The folder of a run.
pub(super) fn of_run(workspace: &Workspace, run: RunId) -> PathBuf {
    runs_folder(workspace.root()).join(run.to_string())
}

/// Keeps files that the configuration names out of `git status`, too.
pub(super) fn keep_out(
    workspace: &Workspace,
    logging: &LoggingPlan,
    metrics: Option<&Path>,
) -> Result<(), AppError> {
    let mut patterns = vec![format!("/{}", logging.file.replace("{date}", "*"))];
    patterns.extend(metrics.into_iter().flat_map(written_to));
    exclude(workspace, &patterns)
}

/// Patterns of a file that is replaced as a whole.
fn written_to(file: &Path) -> [String; 2] {
    let beside = file.with_file_name(format!("{TEMPORARY}*"));
    [file, &beside].map(|path| format!("/{}", path.to_string_lossy()))
}

fn exclude(workspace: &Workspace, patterns: &[String]) -> Result<(), AppError> {
    Ok(workspace.exclude(&patterns.iter().map(String::as_str).collect::<Vec<_>>())?)
}

/// Makes a run's folder and keeps it out of `git status`.
pub(super) fn prepare(workspace: &Workspace, folder: &Path) -> Result<(), AppError> {
    let mut patterns = OWN_FILES.map(str::to_owned).to_vec();
    patterns.extend(written_to(Path::new(METRICS)));
    exclude(workspace, &patterns)?;
    std::fs::create_dir_all(folder.join("stages"))
        .map_err(|source| AppError::Folder { path: folder.to_owned(), source })
}
