//! `greenloop audit verify`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::app::{AppError, HUB_TOKEN, HubAccess, audit_log, runs_folder};
use crate::cli::error::{CommandError, Exit};
use crate::cli::{block_on, output, terminal};
use greenloop_audit::{
    CHECKPOINT_FILE, Checkpoint, CheckpointError, FILE_NAME, Fault, FaultKind, VerifiedRun,
    VerifyingKey, verify_run,
};
use greenloop_engine::claim::Claim;
use greenloop_engine::replay::{ReplayError, replay_file};
use greenloop_hub_api::client::HubErrorKind;
use greenloop_model::{RunId, counted, error_chain};
use greenloop_workspace::Workspace;

/// What a run is held to besides itself.
struct Demands<'a> {
    key: Option<&'a VerifyingKey>,
    /// Checkpoints that were kept elsewhere.
    anchors: Option<Vec<Checkpoint>>,
    /// Those of the repository, where no anchor is named.
    in_git: Vec<Checkpoint>,
    /// Where the claims of living runs are.
    claims: Option<PathBuf>,
}

pub(super) fn verify(
    root: &Path,
    run: Option<&str>,
    key: Option<&VerifyingKey>,
    anchor: Option<&str>,
) -> Result<Exit, CommandError> {
    let folders: Vec<PathBuf> = match run {
        Some(run) => audit_log(root, run)?.parent().map(Path::to_owned).into_iter().collect(),
        None => greenloop_audit::folders(&runs_folder(root)),
    };
    let repository = Workspace::open(root).ok();
    let demands = Demands {
        key,
        anchors: match anchor {
            Some(hub) if hub.starts_with("https://") || hub.starts_with("http://") => {
                Some(kept_at_hub(hub, &folders)?)
            }
            Some(anchor) => Some(anchors(anchor, repository.as_ref())?),
            None => None,
        },
        in_git: match (anchor, &repository) {
            (None, Some(repository)) => in_git(repository)?,
            (Some(_), _) | (None, None) => Vec::new(),
        },
        claims: repository.map(|it| it.git_dir().join("greenloop").join("claims")),
    };
    let mut text = String::new();
    let mut exit = Exit::Ok;
    for folder in &folders {
        let name = folder.file_name().unwrap_or_default().display();
        let (word, said) = match demands.judge(folder) {
            Ok(said) => ("ok    ", said),
            Err(Objection::Open(said)) => {
                exit = Exit::NeedsPerson;
                ("OPEN  ", said)
            }
            Err(Objection::Broken(said)) => {
                exit = Exit::NeedsPerson;
                ("BROKEN", said)
            }
        };
        let _infallible = writeln!(text, "{word}  {name}  {said}");
    }
    // Whoever asks about one run does not ask about others.
    for missing in demands.missing(&folders).iter().filter(|_| run.is_none()) {
        exit = Exit::NeedsPerson;
        let _infallible = writeln!(
            text,
            "GONE    {missing}  the anchor has a checkpoint of it, and it is not in logs/runs"
        );
    }
    if folders.is_empty() && text.is_empty() {
        text.push_str("no runs yet in logs/runs\n");
    }
    output::print(&text)?;
    Ok(exit)
}

/// The checkpoints of these runs that the hub at this address has.
fn kept_at_hub(hub: &str, folders: &[PathBuf]) -> Result<Vec<Checkpoint>, CommandError> {
    let (hub, token_env) = (hub.to_owned(), HUB_TOKEN.to_owned());
    let client = HubAccess { hub, token_env, env: terminal::environment() }.client()?;
    block_on(async {
        let mut kept = Vec::new();
        let runs = folders.iter().filter_map(|folder| folder.file_name()?.to_str());
        for run in runs.filter(|run| run.parse::<RunId>().is_ok()) {
            match client.checkpoint(run).await {
                Ok(found) => {
                    kept.push(found.checkpoint.parse().map_err(|e: CheckpointError| {
                        CommandError::infrastructure("the hub's checkpoint cannot be read")
                            .because(e)
                    })?)
                }
                // Said of each run without one.
                Err(error) if error.kind == HubErrorKind::NotFound => {}
                Err(error) => return Err(AppError::from(error).into()),
            }
        }
        Ok(kept)
    })?
}

/// The checkpoints of a file, of tags of a build, or of the repository.
fn anchors(anchor: &str, repository: Option<&Workspace>) -> Result<Vec<Checkpoint>, CommandError> {
    let bad = |e: greenloop_audit::CheckpointError| {
        CommandError::usage(format!("the checkpoint in {anchor} cannot be read")).because(e)
    };
    if anchor == "git" {
        let repository =
            repository.ok_or_else(|| CommandError::usage("--anchor git needs a git repository"))?;
        in_git(repository)
    } else if Checkpoint::has_build_tags(anchor) && !Path::new(anchor).exists() {
        Checkpoint::of_build_tags(anchor).map_err(bad)
    } else {
        let text = std::fs::read_to_string(anchor)
            .map_err(|e| CommandError::usage(format!("{anchor} cannot be read")).because(e))?;
        match Checkpoint::has_build_tags(&text) {
            true => Checkpoint::of_build_tags(&text).map_err(bad),
            false => Ok(vec![text.parse().map_err(bad)?]),
        }
    }
}

fn in_git(repository: &Workspace) -> Result<Vec<Checkpoint>, CommandError> {
    let texts = repository.checkpoints().map_err(|e| {
        CommandError::infrastructure("the checkpoints in git cannot be read").because(e)
    })?;
    let parsed = texts.iter().map(|text| text.parse());
    parsed
        .collect::<Result<_, CheckpointError>>()
        .map_err(|e| CommandError::usage("the checkpoint in git cannot be read").because(e))
}

/// Why a run's log does not hold.
enum Objection {
    /// It has no end: nothing speaks against what it says.
    Open(String),
    /// It is not as the run left it.
    Broken(String),
}

impl From<String> for Objection {
    fn from(said: String) -> Self {
        Self::Broken(said)
    }
}

impl Demands<'_> {
    /// Runs that an anchor has checkpoints of, and that are not among these folders.
    fn missing(&self, folders: &[PathBuf]) -> BTreeSet<RunId> {
        let here: BTreeSet<RunId> = folders
            .iter()
            .filter_map(|folder| folder.file_name()?.to_str()?.parse().ok())
            .collect();
        let anchored = self.anchors.iter().flatten().map(|checkpoint| checkpoint.run);
        anchored.filter(|run| !here.contains(run)).collect()
    }

    /// What there is to say of a run that holds, or what is wrong with it.
    fn judge(&self, folder: &Path) -> Result<String, Objection> {
        let run = match verify_run(folder) {
            Ok(run) => run,
            Err(fault) if never_began(folder, &fault) => {
                return Ok("never began: the log has no complete record, and the run did nothing"
                    .to_owned());
            }
            Err(fault) => return Err(fault.to_string().into()),
        };
        let mut said = counted(run.log.records as usize, "record", "records");
        if run.log.complete {
            match run.artifacts {
                Some(files) => {
                    let _infallible = write!(said, " and {}", counted(files, "file", "files"));
                }
                None => said.push_str(" (an earlier Greenloop: its files are not sealed)"),
            }
        } else if self.claims.as_ref().is_some_and(|claims| Claim::is_alive(claims, run.run)) {
            return Ok(format!("{said}, under way, head {}", run.log.head));
        } else {
            let torn = if run.log.torn { ", and its last line is torn" } else { "" };
            return Err(Objection::Open(format!(
                "{said} without an end{torn}: the run died, and the next one closes its log \
                 (`greenloop run`), or records were cut off; head {}",
                run.log.head
            )));
        }
        let own = std::fs::read_to_string(folder.join(CHECKPOINT_FILE)).ok();
        let own: Option<Checkpoint> = own.as_deref().map(str::parse).transpose().map_err(
            |error: greenloop_audit::CheckpointError| format!("{CHECKPOINT_FILE}: {error}"),
        )?;
        if own.as_ref().is_some_and(|own| !run.is_whole_in(own)) {
            return Err(format!(
                "{CHECKPOINT_FILE} is of another log: one of the two was replaced"
            )
            .into());
        }
        self.anchored(&run, own.as_ref(), &mut said)?;
        let replayed = match replay_file(&folder.join(FILE_NAME)) {
            Ok(replayed) => replayed,
            // Closed by the run that came after it.
            Err(ReplayError::Unborn) => return Ok(format!("{said}, complete, and did nothing")),
            Err(error) => return Err(error_chain(&error).into()),
        };
        if let Some(unsupported) = replayed.unsupported.first() {
            return Err(format!("record {}: {}", unsupported.seq, unsupported.why).into());
        }
        if let Some(divergence) = replayed.divergences.first() {
            return Err(format!(
                "record {}: the machine decides otherwise (greenloop audit replay)",
                divergence.seq
            )
            .into());
        }
        let _infallible = write!(said, ", complete, head {}", run.log.head);
        Ok(said)
    }

    fn anchored(
        &self,
        run: &VerifiedRun,
        own: Option<&Checkpoint>,
        said: &mut String,
    ) -> Result<(), String> {
        let of_run: Option<Vec<&Checkpoint>> = self
            .anchors
            .as_ref()
            .map(|anchors| anchors.iter().filter(|checkpoint| checkpoint.run == run.run).collect());
        if let Some(of_run) = &of_run {
            if of_run.is_empty() {
                return Err("the anchor has no checkpoint of it".to_owned());
            }
            // Those of the living run are about its beginning, the last one about all of it.
            let whole = of_run.iter().any(|checkpoint| run.is_whole_in(checkpoint));
            if !whole || !of_run.iter().all(|checkpoint| run.extends(checkpoint)) {
                return Err("it is not the log that the anchor's checkpoint was made of: records \
                            or hashes were replaced after the run"
                    .to_owned());
            }
            said.push_str(", anchored");
        }
        let mut in_git = self.in_git.iter().filter(|it| it.run == run.run).peekable();
        if in_git.peek().is_none() && of_run.is_none() && own.is_none() && run.artifacts.is_some() {
            let _infallible = write!(said, ", without a checkpoint ({CHECKPOINT_FILE} is gone)");
        }
        if !in_git.all(|checkpoint| run.extends(checkpoint)) {
            return Err("it is not the log that the checkpoint in git was made of: records or \
                        hashes were replaced after the run"
                .to_owned());
        }
        if let Some(key) = self.key {
            // What stands elsewhere is the better witness.
            let signed = match &of_run {
                Some(of_run) => of_run.iter().any(|checkpoint| checkpoint.is_signed_by(key)),
                None => own.is_some_and(|own| own.is_signed_by(key)),
            };
            if !signed {
                return Err("no checkpoint of it is signed by that key".to_owned());
            }
            said.push_str(", signed");
        }
        Ok(())
    }
}

/// Whether a run without a whole record did nothing: its first record comes before its first
/// stage (a full disk keeps both away). Where a stage or a patch has left a file, records are gone.
pub(super) fn never_began(folder: &Path, fault: &Fault) -> bool {
    let no_record = match fault.what {
        FaultKind::Empty | FaultKind::Unreadable(std::io::ErrorKind::NotFound) => true,
        FaultKind::Unreadable(_)
        | FaultKind::NotAFile
        | FaultKind::TooLong
        | FaultKind::Layout
        | FaultKind::Body(_)
        | FaultKind::Chain
        | FaultKind::Hash
        | FaultKind::Sequence { .. }
        | FaultKind::Run
        | FaultKind::AfterEnd
        | FaultKind::Seal
        | FaultKind::Sealed
        | FaultKind::Artifact { .. }
        | FaultKind::Files(_)
        | FaultKind::Folder { .. } => false,
    };
    let is_empty = |name: &str| match std::fs::read_dir(folder.join(name)) {
        Ok(mut files) => files.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    no_record && is_empty("stages") && is_empty("patches")
}
