//! Whether this machine is fit to work: disk, git, the shell, the clock, the repositories, the
//! model.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use greenloop_evidence::Redactor;
use greenloop_exec::{Command, Marker, Program};
use greenloop_hub_api::client::HubClient;
use greenloop_hub_api::client::wire::Graph;
use greenloop_model::{Exit, FailureClass, RunId, chain};
use greenloop_workspace::git::{self, Git};

/// Bytes that are written to see whether the disk takes them.
const WRITTEN: usize = 1 << 20;
/// Free space that is enough on any disk.
const ENOUGH: u64 = 256 << 20;
/// And the share of a small disk that must be free.
const SHARE: u64 = 20;
/// How long one step of the check may take.
const STEP: Duration = Duration::from_secs(30);
/// How long the hub is asked which repositories are worked in.
const HUB: Duration = Duration::from_secs(5);
/// Repositories that are tried before they are all taken for out of reach.
const REPOSITORIES: usize = 8;
/// 2026-01-01: no clock of a machine that runs this program is right and earlier.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

/// Why this machine cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `infrastructure`, `auth` or `quota`
    pub class: FailureClass,
    /// One line: what was tried, what was said, what to do.
    pub reason: String,
}

impl Fault {
    /// One of a class.
    pub fn new(class: FailureClass, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into() }
    }

    fn infrastructure(reason: impl Into<String>) -> Self {
        Self::new(FailureClass::Infrastructure, reason)
    }
}

/// Asks the model that agents' tasks need, cheaply.
pub type ModelCheck = Arc<dyn Fn() -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

/// What the check needs beside the machine itself.
#[derive(Clone, Default)]
pub(super) struct Needs {
    /// A repository that a task could not reach.
    pub(super) repository: Option<String>,
    /// A model that an author could not be asked with.
    pub(super) model: Option<ModelCheck>,
}

/// The check of one worker.
pub(super) struct SelfCheck {
    pub(super) folder: PathBuf,
    pub(super) client: HubClient,
    pub(super) redactor: Redactor,
    /// The model that this worker's environment names, when it names one.
    pub(super) model: Option<ModelCheck>,
}

impl SelfCheck {
    /// Everything: the machine, the repositories of running graphs, the model.
    pub(super) async fn whole(&self, needs: &Needs) -> Result<(), Fault> {
        self.machine().await?;
        self.repositories(needs.repository.as_deref()).await?;
        for model in [&self.model, &needs.model].into_iter().flatten() {
            model().await?;
        }
        Ok(())
    }

    /// The machine alone; some milliseconds.
    pub(super) async fn machine(&self) -> Result<(), Fault> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if now < EARLIEST {
            let at = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or_default();
            return Err(Fault::infrastructure(format!(
                "the clock says {at}: no certificate is good then; set it"
            )));
        }
        let folder = self.folder.clone();
        let disk = tokio::task::spawn_blocking(move || disk(&folder));
        disk.await.unwrap_or_else(|error| Err(Fault::infrastructure(chain(&error))))?;
        self.shell().await?;
        let cancel = CancellationToken::new();
        let git = Git::new(RunId::generate(), &self.redactor, &cancel);
        match tokio::time::timeout(STEP, git::works(&self.folder, &git)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Fault::new(error.class(), chain(&error))),
            Err(_elapsed) => Err(Fault::infrastructure("git init does not end")),
        }
    }

    /// Free space alone: no more than one call of the system.
    pub(super) fn room(&self) -> Result<(), Fault> {
        room(&self.folder)
    }

    async fn shell(&self) -> Result<(), Fault> {
        let command = Command {
            program: Program::Shell(":".to_owned()),
            cwd: self.folder.clone(),
            env: Vec::new(),
            withheld: Vec::new(),
            timeout: Some(STEP),
            marker: Marker::new(RunId::generate()),
        };
        let outcome = greenloop_exec::run(&command, &mut |_| {}, &CancellationToken::new()).await;
        match outcome.exit {
            Exit::Code(0) => Ok(()),
            exit => Err(Fault::infrastructure(format!("`sh -c :` cannot be run: {exit}"))),
        }
    }

    /// At least one repository of the running graphs that have work must be within reach, unless
    /// one of them needs none. One that is not, beside others that are, is the graph's fault: its
    /// tasks are given back until a person is asked.
    async fn repositories(&self, missed: Option<&str>) -> Result<(), Fault> {
        let graphs = match self.client.within(HUB).graphs().await {
            Ok(graphs) => graphs,
            Err(error) => {
                // Without the hub there is nothing to claim either.
                tracing::debug!(%error, "the hub does not say which repositories are worked in");
                return Ok(());
            }
        };
        let Some(mut urls) = needed(graphs) else { return Ok(()) };
        // The one that is to blame last: what can be reached is found sooner.
        urls.sort_by_key(|url| missed == Some(url.as_str()));
        let mut first = None;
        for url in urls.iter().take(REPOSITORIES) {
            let cancel = CancellationToken::new();
            let git = Git::new(RunId::generate(), &self.redactor, &cancel);
            let asked = git::reachable(&self.folder, url, &git);
            let fault = match tokio::time::timeout(STEP, asked).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => Fault::new(error.class(), chain(&error)),
                Err(_elapsed) => {
                    let url = self.redactor.redact(url);
                    Fault::infrastructure(format!("git ls-remote {url} does not end"))
                }
            };
            first.get_or_insert(fault);
        }
        first.map_or(Ok(()), Err)
    }
}

/// The repositories of running graphs that have work for somebody; `None` when there is work that
/// needs none.
fn needed(graphs: Vec<Graph>) -> Option<Vec<String>> {
    let has = |graph: &Graph, state| graph.tasks.get(state).is_some_and(|count| *count > 0);
    let work = graphs
        .into_iter()
        .filter(|graph| graph.state == "running" && (has(graph, "ready") || has(graph, "running")));
    let mut urls = work.map(|graph| graph.repository).collect::<Option<Vec<String>>>()?;
    urls.sort_unstable();
    urls.dedup();
    Some(urls)
}

/// Whether a folder takes what is written to it.
fn disk(folder: &Path) -> Result<(), Fault> {
    room(folder)?;
    write(folder, WRITTEN).map_err(|error| {
        let class = git::class_of(error.kind()).unwrap_or(FailureClass::Infrastructure);
        Fault::new(class, format!("cannot write to {}: {error}", folder.display()))
    })?;
    // Programs of tasks write there, too; but whether they need to is not known.
    let temporary = std::env::temp_dir();
    match write(&temporary, WRITTEN / 16) {
        Err(error) => match git::class_of(error.kind()) {
            Some(class) => {
                let reason = format!("cannot write to {}: {error}", temporary.display());
                Err(Fault::new(class, reason))
            }
            None => Ok(()),
        },
        Ok(()) => Ok(()),
    }
}

fn write(folder: &Path, bytes: usize) -> std::io::Result<()> {
    let path = folder.join(format!(".check-{}", uuid::Uuid::new_v4().simple()));
    let written = std::fs::File::create_new(&path).and_then(|mut file| {
        file.write_all(&vec![0x47; bytes])?;
        file.sync_all()
    });
    let removed = std::fs::remove_file(&path);
    written?;
    removed
}

/// Whether there is room at the folder: for bytes and for files.
fn room(folder: &Path) -> Result<(), Fault> {
    let system = match rustix::fs::statvfs(folder) {
        Ok(system) => system,
        Err(error) => {
            let reason = format!("cannot look at {}: {error}", folder.display());
            return Err(Fault::infrastructure(reason));
        }
    };
    let unit = if system.f_frsize == 0 { system.f_bsize } else { system.f_frsize };
    let (free, all) = (system.f_bavail.saturating_mul(unit), system.f_blocks.saturating_mul(unit));
    let least = ENOUGH.min(all / SHARE);
    // File systems that do not count their files have none at all.
    let crowded = system.f_files > 0 && system.f_favail == 0;
    if free < least {
        return Err(Fault::infrastructure(format!(
            "the disk of {} is full: {} of {} are free, {} are needed",
            folder.display(),
            size(free),
            size(all),
            size(least)
        )));
    }
    if crowded {
        let reason = format!("the disk of {} takes no more files", folder.display());
        return Err(Fault::infrastructure(reason));
    }
    Ok(())
}

/// In the largest unit of which there is at least one.
pub(super) fn size(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit {
            return format!("{:.1} {name}", bytes as f64 / unit as f64);
        }
    }
    format!("{bytes} bytes")
}

/// How often the kernel has killed something for want of memory, on the whole machine.
pub(super) fn out_of_memory_kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_repositories_that_work_is_in_are_needed() {
        let graph = |state: &str, repository: Option<&str>, tasks: &[(&str, u64)]| Graph {
            id: 1,
            project: "shop".to_owned(),
            name: "work".to_owned(),
            repository: repository.map(str::to_owned),
            target: "main".to_owned(),
            state: state.to_owned(),
            run: None,
            tasks: tasks.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect(),
            percent: 0.0,
            created_at: String::new(),
            ended_at: None,
        };
        let urls = |urls: &[&str]| Some(urls.iter().map(|it| (*it).to_owned()).collect());
        let ready = graph("running", Some("b"), &[("ready", 1), ("blocked", 2)]);
        let busy = graph("running", Some("a"), &[("running", 1)]);
        let blocked = graph("running", Some("c"), &[("blocked", 1), ("ready", 0)]);
        let over = graph("failed", Some("d"), &[("ready", 1)]);
        let bare = graph("running", None, &[("ready", 1)]);
        let bare_and_blocked = graph("running", None, &[("blocked", 1)]);
        let all = vec![ready.clone(), busy, ready.clone(), blocked.clone(), over, bare_and_blocked];
        assert_eq!(needed(all.clone()), urls(&["a", "b"]));
        assert_eq!(needed(vec![blocked]), urls(&[]));
        assert_eq!(needed([all, vec![bare]].concat()), None);
    }

    #[test]
    fn sizes_are_told_in_the_largest_unit() {
        for (bytes, expect) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (3 << 20, "3.0 MiB"),
            (1 << 30, "1.0 GiB"),
        ] {
            assert_eq!(size(bytes), expect);
        }
    }

    #[test]
    fn a_folder_that_takes_nothing_is_told_with_the_systems_word() {
        let folder = tempfile::tempdir().unwrap();
        disk(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
        let gone = folder.path().join("gone");
        let fault = disk(&gone).unwrap_err();
        assert_eq!(fault.class, FailureClass::Infrastructure);
        assert!(fault.reason.contains("gone"), "{fault:?}");
        // No user, root included, writes there.
        let fault = disk(Path::new("/proc/self")).unwrap_err();
        assert!(fault.reason.starts_with("cannot write to /proc/self: "), "{fault:?}");
    }
}
