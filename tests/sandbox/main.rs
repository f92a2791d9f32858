//! Hostile programs in the sandbox, at every level that this machine has.
//!
//! Each file in `attacks/` is a program that tries one way out. It has got through when it prints
//! `GOT THROUGH` or one of the credentials that were laid out for it, or when something outside is
//! not as it was: files of the home folder, of a folder beside the repository, of git and of
//! Greenloop, processes, and what servers have received.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and one that is left out says so"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longer than any attack takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// What gets through at level B: what only mounts and namespaces of processes can keep. Known, and
/// said in docs/SECURITY-MODEL.md.
const OPEN_AT_B: &[&str] = &[
    "git-state.sh", // `.git/greenloop` lies in the work tree.
    "logs.sh",      // So does `logs`.
    // Landlock knows no rights for them.
    "outside-metadata.sh",
    "proc-cmdline.sh", // Other processes can be seen, though not looked into.
];

fn greenloop() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_greenloop"))
}

/// A home folder, a repository in it, and everything that an attack is after.
struct Stage {
    _folder: tempfile::TempDir,
    home: PathBuf,
    repository: PathBuf,
    outside: PathBuf,
    program: PathBuf,
    canary: String,
    survivor: String,
    abstract_name: String,
    victim: Child,
    tcp: TcpListener,
    udp: UdpSocket,
    local: UnixListener,
    abstract_stream: UnixListener,
    _abstract_datagram: UnixDatagram,
    before: BTreeMap<PathBuf, String>,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

fn write(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

impl Stage {
    fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Not below the temporary folder, which is hidden as a whole.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let base = folder.path().canonicalize().unwrap();
        let (home, outside) = (base.join("home"), base.join("outside"));
        let repository = home.join("work/repository");
        let canary = format!("CANARY-{}-{number}", std::process::id());
        for file in [
            ".ssh/id_ed25519",
            ".aws/credentials",
            ".azure/msal_token_cache.json",
            ".kube/config",
            ".docker/config.json",
            ".config/gh/hosts.yml",
            ".config/gcloud/credentials.db",
            ".netrc",
            ".git-credentials",
            ".npmrc",
            ".pypirc",
            ".cargo/credentials.toml",
            ".m2/settings.xml",
            ".gradle/gradle.properties",
            ".gem/credentials",
            "documents/canary.txt",
            "other-repository/.env",
        ] {
            write(&home.join(file), &canary);
        }
        for file in [".bashrc", ".profile", ".cargo/config.toml", ".cargo/bin/cargo"] {
            write(&home.join(file), "# as it was\n");
        }
        write(&home.join(".cargo/registry/src/canary/lib.rs"), "// as it was\n");
        write(&home.join(".m2/repository/a.jar"), "as it was");
        write(&home.join(".gitconfig"), &format!("[user]\n\tname = {canary}\n"));
        write(&outside.join("target"), "as it was\n");
        write(&outside.join("folder/file"), "as it was\n");
        write(&repository.join("README"), "a service\n");
        let git = |arguments: &[&str]| {
            let done = Command::new("git")
                .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
                .args(arguments)
                .current_dir(&repository)
                .output()
                .unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        git(&["init", "--quiet"]);
        git(&["add", "README"]);
        git(&["commit", "--quiet", "--message", "start"]);
        write(&repository.join(".git/greenloop/targets/local/record.json"), &canary);
        write(&repository.join("logs/runs/one/audit.jsonl"), "{\"a\":1}\n");
        let program = base.join("bin/greenloop");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::hard_link(greenloop(), &program)
            .or_else(|_| std::fs::copy(greenloop(), &program).map(|_| ()))
            .unwrap();

        // Somebody else's process, with a credential in its arguments and its environment.
        let victim = Command::new("sh")
            .args(["-c", "read -r line", &canary])
            .env("VICTIM_TOKEN", &canary)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        let socket = home.join("engine.sock");
        let local = UnixListener::bind(&socket).unwrap();
        local.set_nonblocking(true).unwrap();
        let abstract_name = format!("greenloop-{}-{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let abstract_stream = UnixListener::bind_addr(&address).unwrap();
        abstract_stream.set_nonblocking(true).unwrap();
        let address = SocketAddr::from_abstract_name(format!("{abstract_name}-d")).unwrap();
        let _abstract_datagram = UnixDatagram::bind_addr(&address).unwrap();
        let mut stage = Self {
            _folder: folder,
            home,
            repository,
            outside,
            program,
            survivor: format!("31415.{}{number:03}", std::process::id()),
            canary,
            abstract_name,
            victim,
            tcp,
            udp,
            local,
            abstract_stream,
            _abstract_datagram,
            before: BTreeMap::new(),
        };
        stage.before = stage.state();
        stage
    }

    /// Everything that is to stay as it is.
    fn state(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let git = self.repository.join(".git");
        let program = std::fs::metadata(&self.program).map(|it| (it.ino(), it.len(), it.mtime()));
        found.insert(self.program.clone(), format!("{program:?}"));
        let mut folders = vec![self.home.clone(), self.outside.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let is_work = path.starts_with(&self.repository)
                    && !path.starts_with(&git)
                    && !path.starts_with(self.repository.join("logs"));
                // What git itself brings up to date, and what a command's sandbox is made of.
                let is_gits_own = path == git.join("index")
                    || path.starts_with(self.home.join(".cache/greenloop/sandbox"))
                    || path == git.join("greenloop");
                let meta = path.symlink_metadata().unwrap();
                if meta.is_dir() {
                    folders.push(path.clone());
                }
                if is_work || is_gits_own || meta.is_dir() {
                    continue;
                }
                let content = match meta.is_symlink() {
                    true => format!("{:?}", path.read_link()).into_bytes(),
                    false if meta.is_file() => std::fs::read(&path).unwrap_or_default(),
                    false => Vec::new(),
                };
                let state = format!("{:o} {}", meta.mode(), String::from_utf8_lossy(&content));
                found.insert(path, state);
            }
        }
        found
    }

    /// Runs the attack; the ways in which it got through.
    fn attack(&mut self, program: &Path, level: &str) -> Vec<String> {
        let interpreter = match program.extension().unwrap().to_str().unwrap() {
            "sh" => "sh",
            "py" => "python3",
            other => panic!("no interpreter for .{other}"),
        };
        let name = program.file_name().unwrap();
        std::fs::copy(program, self.repository.join(name)).unwrap();
        let given = [
            ("VICTIM_HOME", self.home.display().to_string()),
            ("VICTIM_PID", self.victim.id().to_string()),
            ("OUTSIDE", self.outside.display().to_string()),
            ("PROGRAM", self.program.display().to_string()),
            ("TCP_PORT", self.tcp.local_addr().unwrap().port().to_string()),
            ("UDP_PORT", self.udp.local_addr().unwrap().port().to_string()),
            ("ABSTRACT", self.abstract_name.clone()),
            ("ENGINE_SOCKET", self.home.join("engine.sock").display().to_string()),
            ("SURVIVOR", self.survivor.clone()),
        ];
        let mut command = Command::new(&self.program);
        command.args(["sandbox", "--level", level, "--memory", "1024"]);
        for (name, _) in &given {
            command.args(["--env", name]);
        }
        for secret in [
            "OPENAI_API_KEY",
            "AZURE_CLIENT_SECRET",
            "AWS_SECRET_ACCESS_KEY",
            "REGISTRY_PASSWORD",
            "GITHUB_TOKEN",
            "SYSTEM_ACCESSTOKEN",
            "GREENLOOP_HUB_TOKEN",
            "NPM_TOKEN",
            "DATABASE_URL",
            "PIP_INDEX_URL",
        ] {
            command.env(secret, format!("https://u:{}@example.org", self.canary));
        }
        let mut child = command
            .args(["--", interpreter])
            .arg(name)
            .current_dir(&self.repository)
            .envs(given)
            .env("HOME", &self.home)
            .env("DOCKER_HOST", format!("unix://{}", self.home.join("engine.sock").display()))
            .env_remove("GREENLOOP_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let reading = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _end = stdout.read_to_end(&mut bytes);
            bytes
        });
        let complaints = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _end = stderr.read_to_end(&mut bytes);
            bytes
        });
        let began = Instant::now();
        let mut through = Vec::new();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if began.elapsed() > PATIENCE {
                through.push("Greenloop does not end".to_owned());
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let said = String::from_utf8_lossy(&reading.join().unwrap()).into_owned();
        let complaints = String::from_utf8_lossy(&complaints.join().unwrap()).into_owned();
        assert!(
            !complaints.contains("could not be started"),
            "{}: the attack was not even run: {complaints}",
            program.display()
        );
        if status.is_some_and(|status| status.code().is_none()) {
            through.push("Greenloop was killed".to_owned());
        }
        if said.contains(&self.canary) {
            through.push("a credential was read".to_owned());
        }
        let lines = said.lines().filter(|line| line.contains("GOT THROUGH"));
        through.extend(lines.take(3).map(str::to_owned));
        through.extend(self.changes());
        through
    }

    /// What is not as it was.
    fn changes(&mut self) -> Vec<String> {
        let mut through = Vec::new();
        let after = self.state();
        let paths: BTreeSet<&PathBuf> = self.before.keys().chain(after.keys()).collect();
        for path in paths {
            if self.before.get(path) != after.get(path) {
                through.push(format!("changed: {}", path.display()));
            }
        }
        if self.victim.try_wait().unwrap().is_some() {
            through.push("another process was killed".to_owned());
        }
        if self.tcp.accept().is_ok() || self.udp.recv(&mut [0; 16]).is_ok() {
            through.push("it reached the network".to_owned());
        }
        if self.local.accept().is_ok() {
            through.push("it reached the engine's socket".to_owned());
        }
        if self.abstract_stream.accept().is_ok() {
            through.push("it reached an abstract socket".to_owned());
        }
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&self.survivor) {
                through.push(format!("a process survives: {}", process.path().display()));
            }
        }
        for folder in ["/tmp", "/var/tmp", "/run"] {
            if std::fs::remove_file(Path::new(folder).join("greenloop-planted")).is_ok() {
                through.push(format!("it wrote to {folder}"));
            }
        }
        for entry in std::fs::read_dir(&self.repository).unwrap().flatten() {
            if entry
                .metadata()
                .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o4000 != 0)
            {
                through.push(format!("a setuid file: {}", entry.path().display()));
            }
        }
        through
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _already = self.victim.kill();
        let _reaped = self.victim.wait();
    }
}

/// Whether this machine has the level; says so when it does not.
fn has(level: &str) -> bool {
    let asked = Command::new(greenloop()).arg("sandbox").output().unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    let refused = said.lines().any(|line| line.trim().starts_with(&format!("level {level}:")));
    if refused {
        eprintln!("skipped: this machine has no sandbox of level {level}: {said}");
    }
    !refused
}

fn attack_all(level: &str, open: &[&str]) {
    if !has(level) {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox/attacks");
    let mut programs: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    programs.sort();
    assert!(programs.len() >= 40, "{}", programs.len());
    let wanted = std::env::var("GREENLOOP_ATTACK").ok();
    let mut through = BTreeMap::new();
    let mut report = String::new();
    for program in &programs {
        let name = program.file_name().unwrap().to_str().unwrap().to_owned();
        if wanted.as_ref().is_some_and(|wanted| !name.starts_with(wanted.as_str())) {
            continue;
        }
        let ways = Stage::new().attack(program, level);
        if !ways.is_empty() {
            writeln!(report, "  {name}: {}", ways.join("; ")).unwrap();
            through.insert(name, ways);
        }
    }
    let stopped = programs.len() - through.len();
    eprintln!("level {level}: {stopped} of {} attacks stopped\n{report}", programs.len());
    if wanted.is_some() {
        return;
    }
    let through: Vec<&str> = through.keys().map(String::as_str).collect();
    assert_eq!(through, open, "level {level}:\n{report}");
}

#[test]
fn nothing_gets_out_of_level_a() {
    attack_all("A", &[]);
}

#[test]
fn what_gets_out_of_level_b_is_known() {
    attack_all("B", OPEN_AT_B);
}

/// Attacks on the network and on local sockets, by a command that may reach one host by its proxy.
#[test]
fn a_list_of_hosts_opens_no_other_way_out() {
    for level in ["A", "B"] {
        if !has(level) {
            continue;
        }
        for name in [
            "engine-socket.py",
            "fast-open.py",
            "io-uring.py",
            "other-sockets.py",
            "tcp.py",
            "udp.py",
            "unix-abstract.py",
            "x32.py",
        ] {
            let mut stage = Stage::new();
            write(
                &stage.repository.join("config.yaml"),
                "environments:\n  local:\n    url: http://127.0.0.1:1\n    health_endpoint: /\n\
                 deploy:\n  method: process\n  process:\n    command: [x]\n    artifacts: [x]\n\
                 sandbox:\n  network: [crates.example]\n",
            );
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox/attacks");
            let ways = stage.attack(&folder.join(name), level);
            assert!(ways.is_empty(), "level {level}: {name}: {}", ways.join("; "));
        }
    }
}

/// The living processes that descend from `ancestor`.
fn descendants(ancestor: u32) -> Vec<u32> {
    let mut parents = BTreeMap::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let parent = after_name.split_ascii_whitespace().nth(1).and_then(|it| it.parse().ok());
        parents.insert(pid, parent.unwrap_or(0u32));
    }
    let mut found = vec![ancestor];
    loop {
        let new: Vec<u32> = parents
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if new.is_empty() {
            return found;
        }
        found.extend(new);
    }
}

/// Environment, arguments and open files of every process of a heal, while its command runs.
#[test]
fn no_child_holds_a_credential() {
    for level in ["A", "B"] {
        if !has(level) {
            continue;
        }
        let stage = Stage::new();
        // A work tree with changes would be copied.
        std::fs::remove_dir_all(stage.repository.join("logs")).unwrap();
        let canary = format!("sk-{}-abcdefghijklmnop", stage.canary);
        let held = "touch started; while [ ! -e go ]; do sleep 0.05; done";
        let mut child = Command::new(&stage.program)
            .args(["heal", "--output", "plain", "--", held])
            .current_dir(&stage.repository)
            .env_remove("GREENLOOP_CONFIG")
            .env("HOME", &stage.home)
            .env("GREENLOOP_SANDBOX_AT_MOST", level)
            .envs(
                ["OPENAI_API_KEY", "AZURE_CLIENT_SECRET", "GITHUB_TOKEN", "SYSTEM_ACCESSTOKEN"]
                    .map(|name| (name, &canary)),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = stage.repository.join("started");
        while !started.exists() {
            assert_eq!(child.try_wait().unwrap(), None, "level {level}: it ended too early");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut seen = 0;
        for pid in descendants(child.id()) {
            let proc = PathBuf::from(format!("/proc/{pid}"));
            let read = |name: &str| {
                let bytes = std::fs::read(proc.join(name)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let (arguments, environment) = (read("cmdline"), read("environ"));
            assert!(!arguments.contains(&canary), "level {level}: {arguments}");
            assert!(!environment.contains(&canary), "level {level}: {arguments}: {environment}");
            if pid == child.id() {
                continue;
            }
            seen += 1;
            let files = std::fs::read_dir(proc.join("fd")).into_iter().flatten().flatten();
            for file in files {
                let target = std::fs::read_link(file.path()).unwrap_or_default();
                let target = target.display().to_string();
                let is_program = target.ends_with("/greenloop");
                let harmless = ["pipe:", "socket:", "anon_inode:", "/dev/null", "/memfd:request"];
                assert!(
                    is_program || harmless.iter().any(|kind| target.starts_with(kind)),
                    "level {level}: {arguments} holds {target}"
                );
            }
        }
        assert!(seen >= 2, "level {level}: only {seen} processes were seen");
        std::fs::write(stage.repository.join("go"), "").unwrap();
        assert!(child.wait().unwrap().success(), "level {level}");
    }
}
