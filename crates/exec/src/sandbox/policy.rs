//! The sandbox of a run: from places and settings to what each command may do.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::container::{Container, ContainerJob, Mount};
use super::probe::{Probe, probe};
use super::rules::{Access, Rules};
use super::scratch::ScratchOwner;
use super::{Level, Limits, Request, cgroup, environment, home};
use crate::program::{Invocation, Program};
use crate::withheld::is_withheld;
use greenloop_model::Network;

/// What a configuration says of sandboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The weakest level that will do; `None` for no sandbox even where there could be one.
    pub required: Option<Level>,
    /// The strongest level that is used.
    pub at_most: Level,
    /// Variables that commands get beside those that builds are known to need. A name that ends
    /// in `*` stands for all that begin so.
    pub env: Vec<String>,
    /// Folders that commands may read although they would be hidden.
    pub read: Vec<PathBuf>,
    /// Folders that commands may write to.
    pub cache: Vec<PathBuf>,
    /// What a command may use up.
    pub limits: Limits,
    /// Makes containers, where neither A nor B is to be had or may be used.
    pub container: Option<Container>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            required: Some(Level::B),
            at_most: Level::A,
            env: Vec::new(),
            read: Vec::new(),
            cache: Vec::new(),
            limits: Limits::default(),
            container: None,
        }
    }
}

/// Where a run works.
#[derive(Debug, Clone)]
pub struct Place {
    /// The work tree, which commands may write to.
    pub root: PathBuf,
    /// Git's folders, which they may read.
    pub git: Vec<PathBuf>,
    /// What else of Greenloop's lies in the work tree: they may read it.
    pub own: Vec<PathBuf>,
    /// Greenloop's state: they may not see it.
    pub state: Vec<PathBuf>,
    /// Where the run's home and temporary folder are made; removed with the [`Sandbox`].
    pub scratch: PathBuf,
    /// This program.
    pub launcher: PathBuf,
}

/// The sandbox of a run.
#[derive(Debug)]
pub struct Sandbox {
    level: Level,
    off: bool,
    probe: Option<&'static Probe>,
    settings: Settings,
    place: Place,
    /// The user's home folders.
    homes: Vec<PathBuf>,
    /// Whether the work tree's `.git` belongs to the command.
    owns_git: bool,
    /// Given back after the scratch folder is removed.
    _owner: Option<ScratchOwner>,
}

/// Where a program works in a clone of its own.
#[derive(Debug, Clone)]
pub struct ClonePlace {
    /// The clone, which it may write to, its `.git` included.
    pub root: PathBuf,
    /// Where a home and a temporary folder are made.
    pub scratch: PathBuf,
    /// What it may read: the objects that the clone shares, its input.
    pub read: Vec<PathBuf>,
    /// Folders that it may write to.
    pub cache: Vec<PathBuf>,
    /// Variables that it gets beside those that builds are known to need.
    pub env: Vec<String>,
}

/// What one command may do beyond what all may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// What it may reach.
    pub network: Network,
    /// Whether it needs what an earlier command of the run has fetched.
    pub fetched: bool,
    /// Bytes of memory; the sandbox's limit for `None`.
    pub memory: Option<u64>,
    /// Folders that it may write to.
    pub cache: Vec<PathBuf>,
    /// Variables that it gets.
    pub env: Vec<String>,
}

/// The sandbox of a command.
#[derive(Debug, Clone)]
pub struct Confinement {
    /// Of the run.
    pub sandbox: Arc<Sandbox>,
    /// What the command may do besides.
    pub grant: Grant,
}

/// Why a run has no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The machine has none that is strong enough.
    #[error(
        "commands run code that a model has written and need a sandbox of level {required}, and \
         this machine has level {level} ({}): {}",
        .level.parts(),
        .probe.reasons().join("; ")
    )]
    TooWeak {
        /// What is required.
        required: Level,
        /// What would be used.
        level: Level,
        /// What there is.
        probe: &'static Probe,
    },
    /// A folder of the sandbox.
    #[error("failed to make the sandbox's folder {}", .path.display())]
    Scratch {
        /// Which.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Sandbox {
    /// The strongest sandbox that this machine has.
    ///
    /// # Errors
    /// [`SandboxError::TooWeak`] when the settings require a stronger one.
    pub fn new(settings: Settings, place: Place) -> Result<Self, SandboxError> {
        let (level, found) = Self::choose(&settings, &place.root, &place.launcher)?;
        let off = settings.required.is_none();
        let homes = homes();
        let sandbox = Self {
            level,
            off,
            probe: found,
            settings,
            place,
            homes,
            owns_git: false,
            _owner: None,
        };
        if level > Level::D {
            cgroup::tidy();
            sandbox.furnish()?;
        }
        Ok(sandbox)
    }

    /// The sandbox of a program that works in a clone of the repository: of the same level, and
    /// without what this one shows of the original, its work tree and its git folders.
    ///
    /// # Errors
    /// [`SandboxError::Scratch`].
    pub fn of_clone(&self, clone: ClonePlace) -> Result<Self, SandboxError> {
        let ClonePlace { root, scratch, read, cache, env } = clone;
        let mut state = self.place.state.clone();
        state.extend(self.place.git.iter().cloned());
        state.push(self.place.root.clone());
        let settings = Settings { env, read, cache, ..self.settings.clone() };
        let place = Place {
            root,
            git: Vec::new(),
            own: Vec::new(),
            state,
            scratch,
            launcher: self.place.launcher.clone(),
        };
        let homes = self.homes.clone();
        let sandbox = Self {
            level: self.level,
            off: self.off,
            probe: self.probe,
            settings,
            place,
            homes,
            owns_git: true,
            _owner: None,
        };
        if sandbox.level > Level::D {
            sandbox.furnish()?;
        }
        Ok(sandbox)
    }

    /// The same, with the right to its scratch folder, as long as it lives.
    #[must_use]
    pub fn owned_by(mut self, owner: Option<ScratchOwner>) -> Self {
        self._owner = owner;
        self
    }

    /// The level that commands in `root` would run at, and what the machine has.
    ///
    /// # Errors
    /// [`SandboxError::TooWeak`] when the settings require a stronger one.
    pub fn choose(
        settings: &Settings,
        root: &Path,
        launcher: &Path,
    ) -> Result<(Level, Option<&'static Probe>), SandboxError> {
        let Some(required) = settings.required else { return Ok((Level::D, None)) };
        let probe = probe(launcher);
        // Only one user is mapped into the namespace: another's work tree could not be written to.
        let foreign = std::fs::metadata(root)
            .is_ok_and(|root| root.uid() != rustix::process::geteuid().as_raw());
        let most = if foreign { Level::B.min(settings.at_most) } else { settings.at_most };
        let level = match (probe.strongest(most), &settings.container) {
            (Level::D, Some(_)) if most >= Level::C => Level::C,
            (level, _) => level,
        };
        if level < required {
            return Err(SandboxError::TooWeak { required, level, probe });
        }
        Ok((level, Some(probe)))
    }

    /// How strong it is.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Whether the configuration wants none.
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// What the machine has, and why no more; `None` when nobody looked.
    pub fn probe(&self) -> Option<&'static Probe> {
        self.probe
    }

    /// What the level and the machine leave open, a line each.
    pub fn missing(&self) -> Vec<String> {
        self.probe.map(|probe| probe.missing(self.level)).unwrap_or_default()
    }

    fn home(&self) -> PathBuf {
        self.place.scratch.join("home")
    }

    fn temporary(&self) -> PathBuf {
        self.place.scratch.join("tmp")
    }

    fn fetched(&self) -> PathBuf {
        self.place.scratch.join("fetched")
    }

    /// The private home and temporary folder. What builds need of the real home is linked.
    fn furnish(&self) -> Result<(), SandboxError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| SandboxError::Scratch { path, source }
        };
        for folder in [self.home(), self.temporary(), self.fetched()] {
            std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
        }
        let scratch = &self.place.scratch;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(scratch, private).map_err(failed(scratch))?;
        let Some(real) = self.homes.first() else { return Ok(()) };
        let wanted = home::SHOWN.iter().map(|shown| PathBuf::from(shown.path));
        let given = self.settings.cache.iter().chain(&self.settings.read);
        let given = given.filter_map(|path| Some(path.strip_prefix(real).ok()?.to_owned()));
        for path in wanted.chain(given) {
            link(&real.join(&path), &self.home().join(&path));
        }
        for fetched in home::FETCHED.iter().filter(|fetched| !fetched.kept.is_empty()) {
            let shared = std::env::var_os(fetched.variable).map(PathBuf::from);
            let shared = shared.unwrap_or_else(|| real.join(fetched.shared));
            for name in fetched.kept {
                link(&shared.join(name), &self.fetched().join(fetched.folder).join(name));
            }
        }
        Ok(())
    }

    /// Whether a variable is set here, and a command with this grant does not get it. A model's
    /// key is none that it should get.
    pub fn hides_variable(&self, name: &str, grant: &Grant, env_remove: &[String]) -> bool {
        let Some(value) = std::env::var_os(name) else { return false };
        let mut named = self.settings.env.iter().chain(&grant.env);
        let gets = named.any(|it| environment::matches(it, name))
            || environment::is_inherited(name.as_ref(), &value) && !is_withheld(name.as_ref())
            || self.own_variables(grant).iter().any(|(own, _)| own == name)
            || environment::OF_THE_SHELL.contains(&name);
        !gets && !env_remove.iter().any(|removed| removed == name)
    }

    /// The environment of a command: what is inherited, then what it is given.
    pub(crate) fn environment(
        &self,
        command: Invocation<'_>,
        grant: &Grant,
    ) -> Vec<(OsString, OsString)> {
        let named = |name: &OsStr| {
            let Some(name) = name.to_str() else { return false };
            self.settings.env.iter().chain(&grant.env).any(|it| environment::matches(it, name))
        };
        let inherited = std::env::vars_os().filter(|(name, value)| {
            !command.env_remove.contains(name)
                && (named(name) || environment::is_inherited(name, value) && !is_withheld(name))
        });
        let mut all: Vec<_> = inherited.collect();
        if self.level > Level::D {
            all = environment::merged(all, self.own_variables(grant));
        } else {
            let real = ["HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"];
            let real = real.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
            all = environment::merged(all, real.map(|(name, value)| (name.into(), value)));
        }
        environment::merged(all, command.env.iter().cloned().chain(command.marker.variables()))
    }

    fn own_variables(&self, grant: &Grant) -> Vec<(OsString, OsString)> {
        let temporary = match self.level {
            Level::A | Level::C => "/tmp".into(),
            Level::B | Level::D => self.temporary(),
        };
        let mut own: Vec<(OsString, OsString)> = vec![
            ("HOME".into(), self.home().into()),
            ("TMPDIR".into(), temporary.into()),
            ("GREENLOOP_SANDBOX".into(), self.level.name().into()),
        ];
        // Gradle writes to its folder whatever it does.
        own.push(("GRADLE_USER_HOME".into(), self.fetched().join("gradle").into()));
        if let Some(caches) = self.homes.first().map(|real| real.join(".gradle/caches"))
            && caches.is_dir()
        {
            own.push(("GRADLE_RO_DEP_CACHE".into(), caches.into()));
        }
        if grant.network.is_some() || grant.fetched {
            own.extend(home::FETCHED.iter().map(|fetched| {
                (fetched.variable.into(), self.fetched().join(fetched.folder).into())
            }));
            // Maven has no variable for it.
            let mut options = std::env::var_os("MAVEN_OPTS").unwrap_or_default();
            options.push(" -Dmaven.repo.local=");
            options.push(self.fetched().join("maven"));
            own.push(("MAVEN_OPTS".into(), options));
        }
        own
    }

    /// What the launcher is asked for.
    pub(crate) fn request(&self, command: Invocation<'_>, grant: &Grant) -> Request {
        let mut limits = self.settings.limits.clone();
        if let Some(memory) = grant.memory {
            limits.memory = memory;
        }
        Request {
            level: self.level,
            bubblewrap: self.probe.and_then(|probe| probe.bubblewrap.clone()),
            command: match command.program {
                Program::Shell(line) => vec!["sh".into(), "-c".into(), line.into()],
                Program::Argv(words) => words.clone(),
            },
            environment: self.environment(command, grant),
            cwd: command.cwd.to_path_buf(),
            rules: self.rules(grant).into_rules(),
            network: grant.network == Network::All,
            proxied: matches!(grant.network, Network::Hosts(_)),
            limits,
            group: command.marker.step(),
        }
    }

    fn rules(&self, grant: &Grant) -> Rules {
        let mut rules = Rules::default();
        rules.set(Path::new("/"), Access::Read);
        self.hide_system(&mut rules);
        self.hide_homes(&mut rules);
        self.show_tools(&mut rules);
        for path in &self.settings.read {
            rules.set(path, Access::Read);
        }
        // Deeper rules hold whatever the order; for one path the last one does.
        if self.level == Level::A {
            for folder in ["/tmp", "/var/tmp"].map(Path::new).into_iter().filter(|it| it.is_dir()) {
                rules.replace(folder, self.temporary());
            }
        }
        rules.set(&self.place.root, Access::Write);
        for path in [self.home(), self.temporary(), self.fetched()] {
            rules.set(&path, Access::Write);
        }
        for path in self.settings.cache.iter().chain(&grant.cache) {
            rules.set(path, Access::Write);
        }
        for name in home::OUTPUT_FOLDERS {
            let folder = std::env::var_os(name).map(PathBuf::from);
            if let Some(folder) = folder.filter(|it| it.is_absolute()) {
                rules.set(&folder, Access::Write);
            }
        }
        let dot_git = (!self.owns_git).then(|| self.place.root.join(".git"));
        for path in self.place.git.iter().chain(&self.place.own).chain(&dot_git) {
            rules.set(path, Access::Read);
        }
        if let Ok(program) = std::env::current_exe() {
            rules.set(&program, Access::Read);
        }
        for path in &self.place.state {
            rules.set(path, Access::Hidden);
        }
        rules
    }

    fn hide_system(&self, rules: &mut Rules) {
        for path in home::RUNTIME.iter().chain(home::SYSTEM_PRIVATE) {
            rules.set(Path::new(path), Access::Hidden);
        }
        rules.set(&std::env::temp_dir(), Access::Hidden);
        for (folder, start) in home::SYSTEM_PRIVATE_NAMES {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let begins = |name: &OsStr| name.as_encoded_bytes().starts_with(start.as_bytes());
            for entry in entries.filter(|entry| begins(&entry.file_name())) {
                rules.set(&entry.path(), Access::Hidden);
            }
        }
        for name in home::SOCKET_VARIABLES {
            let value = std::env::var(name).unwrap_or_default();
            let path = value.split(['=', ';', ',']).find_map(|part| {
                let part = part.strip_prefix("unix://").unwrap_or(part);
                part.starts_with('/').then(|| PathBuf::from(part))
            });
            if let Some(path) = path.filter(|path| path.parent().is_some()) {
                rules.set(&path, Access::Hidden);
            }
        }
        for path in home::RUNTIME_SHOWN {
            rules.show(Path::new(path));
        }
        rules.show(Path::new("/etc/resolv.conf"));
    }

    fn hide_homes(&self, rules: &mut Rules) {
        let others = home::HOMES.iter().map(PathBuf::from);
        for path in self.homes.iter().cloned().chain(others) {
            // Somebody's home may be the root.
            if path.parent().is_some() {
                rules.set(&path, Access::Hidden);
            }
        }
    }

    fn show_tools(&self, rules: &mut Rules) {
        for real in &self.homes {
            for shown in home::SHOWN {
                rules.show(&real.join(shown.path));
            }
        }
        let placed = home::SHOWN.iter().filter_map(|shown| shown.variable);
        let names = placed.chain(home::TOOL_FOLDERS.iter().copied());
        for name in names {
            let value = std::env::var_os(name).unwrap_or_default();
            for path in std::env::split_paths(&value).filter(|path| path.is_absolute()) {
                self.show_folder(rules, &path);
            }
        }
        for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
            if !folder.is_absolute() {
                continue;
            }
            // What is in `bin` needs what lies beside it.
            let beside = folder.parent().filter(|above| {
                folder.ends_with("bin")
                    && ["lib", "lib64", "libexec", "share"].iter().any(|it| above.join(it).is_dir())
            });
            self.show_folder(rules, beside.unwrap_or(&folder));
        }
        for real in &self.homes {
            for path in home::PRIVATE {
                rules.set(&real.join(path), Access::Hidden);
            }
        }
    }

    /// Shows a folder that holds tools, unless it is one that holds everything.
    fn show_folder(&self, rules: &mut Rules, path: &Path) {
        let Ok(real) = path.canonicalize() else { return };
        if !rules.hides(&real) && !self.homes.iter().any(|home| home.starts_with(&real)) {
            rules.show(&real);
        }
    }

    /// What only a level with mounts can keep a command from writing to.
    pub(crate) fn guarded(&self) -> &[PathBuf] {
        match self.level {
            Level::B => &self.place.git,
            Level::A | Level::C | Level::D => &[],
        }
    }

    pub(crate) fn launcher(&self) -> Option<&Path> {
        (self.level > Level::C).then_some(self.place.launcher.as_path())
    }

    /// At level C, what runs the command, and what it is asked for.
    ///
    /// # Errors
    /// What a container cannot have.
    pub(crate) fn container_job(
        &self,
        command: Invocation<'_>,
        grant: &Grant,
    ) -> Option<Result<(Container, ContainerJob), String>> {
        let container = self.settings.container.clone().filter(|_| self.level == Level::C)?;
        if matches!(grant.network, Network::Hosts(_)) {
            return Some(Err("a list of hosts needs level A or B of the sandbox".to_owned()));
        }
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        // Variables that builds inherit name places of this machine, not of the image.
        let given = std::env::vars_os().filter(|(name, _)| {
            let Some(name) = name.to_str() else { return false };
            self.settings.env.iter().chain(&grant.env).any(|it| environment::matches(it, name))
        });
        let given = given.filter(|(name, _)| !command.env_remove.contains(name));
        let mut all = environment::merged(given.collect(), self.own_variables(grant));
        let over = command.env.iter().cloned().chain(command.marker.variables());
        all = environment::merged(all, over);
        let mut limits = self.settings.limits.clone();
        limits.memory = grant.memory.unwrap_or(limits.memory);
        let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let job = ContainerJob {
            name: format!("greenloop-{}", command.marker.step()),
            command: match command.program {
                Program::Shell(line) => vec!["sh".into(), "-c".into(), line.clone()],
                Program::Argv(words) => words.iter().map(|word| text(word)).collect(),
            },
            environment: all.iter().map(|(name, value)| (text(name), text(value))).collect(),
            cwd: command.cwd.to_path_buf(),
            mounts: self.container_mounts(grant),
            network: grant.network == Network::All,
            user: format!("{}:{}", user.0, user.1),
            memory: limits.memory,
            processes: limits.processes,
            file_bytes: limits.file_bytes,
            timeout: command.timeout,
        };
        Some(Ok((container, job)))
    }

    /// The deeper ones later: they are mounted over the others.
    fn container_mounts(&self, grant: &Grant) -> Vec<Mount> {
        let there = |path: &PathBuf| path.canonicalize().ok();
        let mut mounts = vec![Mount::WriteAt(self.temporary(), "/tmp".into())];
        let read = self.settings.read.iter().filter_map(there).map(Mount::Read);
        mounts.extend(read);
        let root = there(&self.place.root);
        let written = self.settings.cache.iter().chain(&grant.cache).filter_map(there).chain(root);
        mounts.extend(written.map(Mount::Write));
        mounts.extend([self.home(), self.fetched()].iter().filter_map(there).map(Mount::Write));
        let dot_git = (!self.owns_git).then(|| self.place.root.join(".git"));
        let kept = self.place.git.iter().chain(&self.place.own).chain(&dot_git);
        mounts.extend(kept.filter_map(there).map(Mount::Read));
        let hidden = self.place.state.iter().filter_map(there).filter(|path| {
            // What lies in no mount is not seen.
            mounts.iter().any(|mount| path.starts_with(mount.at())) && path.is_dir()
        });
        let hidden: Vec<Mount> = hidden.map(Mount::Empty).collect();
        mounts.extend(hidden);
        mounts.sort_by(|a, b| a.at().cmp(b.at()));
        mounts.dedup_by(|a, b| a.at() == b.at());
        mounts
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.level > Level::D {
            let _removed_later = remove_scratch(&self.place.scratch);
        }
    }
}

/// Removes a scratch folder, also where a command has taken rights away.
pub fn remove_scratch(folder: &Path) -> io::Result<()> {
    let first = std::fs::remove_dir_all(folder);
    if !matches!(&first, Err(error) if error.kind() == io::ErrorKind::PermissionDenied) {
        return first;
    }
    open_up(folder);
    std::fs::remove_dir_all(folder)
}

fn open_up(folder: &Path) {
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    let _best_effort = std::fs::set_permissions(folder, private);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// The home folder that the environment names, and the one that the system knows.
fn homes() -> Vec<PathBuf> {
    let named = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let user = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (*fields.get(2)? == user).then(|| PathBuf::from(fields.get(5).unwrap_or(&"")))
    });
    let mut homes: Vec<PathBuf> = Vec::new();
    for home in [named, known].into_iter().flatten().filter_map(|it| it.canonicalize().ok()) {
        if !homes.contains(&home) {
            homes.push(home);
        }
    }
    homes
}

/// Links `to` to `from` where there is something, and nothing in the way.
fn link(from: &Path, to: &Path) {
    if from.exists()
        && let Some(above) = to.parent()
        && std::fs::create_dir_all(above).is_ok()
    {
        let _there_already = std::os::unix::fs::symlink(from, to);
    }
}
