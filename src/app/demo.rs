//! The demo: the whole loop on a small service, without an account or a network.
//!
//! A repository is made from the service in `examples/service`, its last good commit is
//! deployed, then a commit that breaks it in three ways (`demo/breakage.diff`) is taken through
//! the same loop as any other repository.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::run::{RunRequest, run};
use super::{AppError, Environment};
use greenloop_engine::approval::Approval;
use greenloop_model::{CommitId, Invocation, RunSummary};
use greenloop_patch::{Answer, ResolveOptions, parse_answer, resolve};
use greenloop_report::Boxed;
use greenloop_target::process;
use greenloop_workspace::Workspace;

/// The service as it works, and what the demo adds to it.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../examples/service/Cargo.toml")),
    ("Cargo.lock", include_str!("../../examples/service/Cargo.lock")),
    ("src/main.rs", include_str!("../../examples/service/src/main.rs")),
    ("src/fleet.rs", include_str!("../../examples/service/src/fleet.rs")),
    ("src/http.rs", include_str!("../../examples/service/src/http.rs")),
    ("src/routes.rs", include_str!("../../examples/service/src/routes.rs")),
    ("rustfmt.toml", include_str!("../../examples/service/rustfmt.toml")),
    (".gitignore", "/target\n"),
    ("demo/transcript.jsonl", include_str!("../../demo/transcript.jsonl")),
];
const CONFIG: &str = include_str!("../../demo/config.yaml");
const BREAKAGE: &str = include_str!("../../demo/breakage.diff");
/// The address in `demo/config.yaml`; another port takes its place when it is in use.
const PORT: &str = "8088";
/// Marks a folder as one that the demo made, and may make again.
const MARK: &str = ".git/greenloop-demo";

/// How the demo is wanted.
pub struct DemoRequest {
    /// Where its repository is made.
    pub folder: PathBuf,
    /// Ask a model instead of answering from the recording.
    pub live: bool,
    /// Environment variables.
    pub env: Environment,
    /// How a person's decision is obtained.
    pub approval: Approval,
    /// How commands about its repository are written.
    pub invocation: Invocation,
}

/// What the demo has made before the loop starts.
pub struct Stage {
    /// Its repository.
    pub folder: PathBuf,
    /// Where the service serves.
    pub url: String,
    /// The commit that works.
    pub good: CommitId,
    /// The commit that does not.
    pub broken: CommitId,
    /// What the broken commit changes.
    pub breakage: &'static str,
}

/// Why the demo could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The folder holds something else.
    #[error("{} exists, but was not created by the demo", .0.display())]
    Foreign(PathBuf),
    /// A file could not be written.
    #[error("failed to set up the demo in {}", .folder.display())]
    Io {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The service cannot be built.
    #[error("the demo builds a small Rust service, but `cargo` was not found")]
    NoCargo,
    /// Something that the demo brings does not fit together.
    #[error("internal error: the demo's files do not fit together: {0}")]
    Broken(String),
    #[error(transparent)]
    App(#[from] AppError),
}

/// Stops the demo's service and removes its repository. Whether there was one.
pub async fn stop(folder: &Path) -> Result<bool, DemoError> {
    if !folder.exists() {
        return Ok(false);
    }
    if !folder.join(MARK).exists() {
        return Err(DemoError::Foreign(folder.to_owned()));
    }
    let state = folder.join(".git/greenloop/targets/local");
    process::shut_down(&state).await.map_err(AppError::Target)?;
    let failed = |source| DemoError::Io { folder: folder.to_owned(), source };
    std::fs::remove_dir_all(folder).map_err(failed)?;
    Ok(true)
}

/// Makes the repository, with the good commit checked out.
pub async fn set_up(request: &DemoRequest) -> Result<Stage, DemoError> {
    let cargo = std::process::Command::new("cargo").arg("--version").output();
    if !cargo.is_ok_and(|output| output.status.success()) {
        return Err(DemoError::NoCargo);
    }
    stop(&request.folder).await?;
    let folder = request.folder.clone();
    let failed = |source| DemoError::Io { folder: folder.clone(), source };
    let port = free_port().map_err(failed)?;
    for (path, text) in FILES {
        write(&folder.join(path), text).map_err(failed)?;
    }
    write(&folder.join("config.yaml"), &CONFIG.replace(PORT, &port)).map_err(failed)?;
    greenloop_workspace::create_repository(&folder).map_err(AppError::from)?;
    std::fs::write(folder.join(MARK), "").map_err(failed)?;
    let good =
        greenloop_workspace::commit_all(&folder, "Fleet service: list and register vehicles")
            .map_err(AppError::from)?;
    let broken = broken_commit(&folder)?;
    greenloop_workspace::check_out(&folder, &good).map_err(AppError::from)?;
    Ok(Stage { folder, url: format!("http://127.0.0.1:{port}"), good, broken, breakage: BREAKAGE })
}

/// Deploys the good commit, so that there is something to restore.
pub async fn deploy_good(
    request: &DemoRequest,
    stage: &Stage,
    cancel: CancellationToken,
) -> Result<RunSummary, DemoError> {
    Ok(run(run_request(request, stage), Vec::new(), cancel).await?.0)
}

/// Takes the broken commit through the loop.
pub async fn heal_broken(
    request: &DemoRequest,
    stage: &Stage,
    reporters: Vec<Boxed>,
    cancel: CancellationToken,
) -> Result<RunSummary, DemoError> {
    greenloop_workspace::check_out(&stage.folder, &stage.broken).map_err(AppError::from)?;
    Ok(run(run_request(request, stage), reporters, cancel).await?.0)
}

fn run_request(request: &DemoRequest, stage: &Stage) -> RunRequest {
    RunRequest {
        directory: stage.folder.clone(),
        environment: "local".to_owned(),
        config: None,
        max_iterations: None,
        verify_only: false,
        resume: None,
        debug: false,
        approval: request.approval.clone(),
        env: request.env.clone(),
        live_roles: request.live,
        invocation: request.invocation.clone(),
    }
}

/// Commits the breakage on top of what is checked out.
fn broken_commit(folder: &Path) -> Result<CommitId, DemoError> {
    let workspace = Workspace::open(folder).map_err(AppError::from)?;
    let head = workspace.head().map_err(AppError::from)?;
    let tree = workspace.tree_at(&head.commit).map_err(AppError::from)?;
    let edits = match parse_answer(BREAKAGE) {
        Ok(Answer::Edits(edits)) => edits,
        Ok(Answer::NoPatch(_)) => return Err(DemoError::Broken("no edits in the diff".into())),
        Err(refusal) => return Err(DemoError::Broken(refusal.to_string())),
    };
    let patch = resolve(&edits, &tree, &ResolveOptions::default())
        .map_err(|refusal| DemoError::Broken(refusal.to_string()))?;
    greenloop_workspace::write_work_tree(folder, patch.changes()).map_err(AppError::from)?;
    let message = edits.reason().lines().next().unwrap_or("Show a summary of the fleet").to_owned();
    Ok(greenloop_workspace::commit_all(folder, &message).map_err(AppError::from)?)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, text)
}

/// The configured port, or one that is free.
fn free_port() -> io::Result<String> {
    let wanted = TcpListener::bind(("127.0.0.1", PORT.parse().unwrap_or(0)));
    let listener = wanted.or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    Ok(listener.local_addr()?.port().to_string())
}
