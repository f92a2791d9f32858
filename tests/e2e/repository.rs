//! Repositories for runs of the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// A temporary git repository; removed on drop, together with its service.
pub(crate) struct Repository {
    folder: tempfile::TempDir,
}

/// The result of a run of the program.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// All output, for failed assertions.
    pub(crate) fn all(&self) -> String {
        format!("exit {:?}\n{}\n{}", self.code, self.stdout, self.stderr)
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Repository {
    /// With these files in its first commit.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let repository = Self { folder: tempfile::tempdir().unwrap() };
        repository.git(&["init", "-q", "-b", "main"]);
        for (path, text) in files {
            repository.write(path, text);
        }
        repository.commit("first");
        repository
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path().join(path)).unwrap()
    }

    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    /// Runs git and returns what it printed, trimmed.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The program in this repository, with no model, no pipeline and no terminal.
    pub(crate) fn greenloop(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenloop"));
        command.current_dir(self.path());
        for name in [
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "GREENLOOP_MODEL",
            "GREENLOOP_CONFIG",
            "TF_BUILD",
            "NO_COLOR",
        ] {
            command.env_remove(name);
        }
        command.stdin(std::process::Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.greenloop().args(arguments).output().unwrap().into()
    }

    /// The only run's folder, or the newest.
    pub(crate) fn run_folder(&self) -> PathBuf {
        let mut folders: Vec<PathBuf> = std::fs::read_dir(self.path().join("logs/runs"))
            .unwrap()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        folders.sort();
        folders.pop().expect("a run")
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        // Stops a service that a test deployed.
        for pid in pids_mentioning(self.path()) {
            let _gone = Command::new("kill").args(["-9", &pid.to_string()]).output();
        }
    }
}

/// Processes whose command line or working directory is in `folder`.
pub(crate) fn pids_mentioning(folder: &Path) -> Vec<u32> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            let proc = PathBuf::from(format!("/proc/{pid}"));
            let cmdline = std::fs::read(proc.join("cmdline")).unwrap_or_default();
            let cwd = std::fs::read_link(proc.join("cwd")).unwrap_or_default();
            holds(&cmdline) || holds(cwd.as_os_str().as_encoded_bytes())
        })
        .collect()
}

/// A free loopback port.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The page service, built once for all tests.
pub(crate) fn page_service() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let program = folder.join(format!("page-service-{}", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/services/page.rs");
        let status = Command::new("rustc")
            .args(["--edition", "2024", "-O", source, "-o"])
            .arg(&program)
            .status()
            .unwrap();
        assert!(status.success());
        program
    })
}

/// A repository that deploys the page service: gates on `page.txt`, smoke tests that require `want`
/// in the page, and agents that answer from `transcript.jsonl`.
pub(crate) fn deployable(port: u16, page: &str, want: &str, transcript: &str) -> Repository {
    let config = format!(
        r#"environments:
  local:
    url: http://127.0.0.1:{port}
    health_endpoint: /health
quality_gates:
  - name: spelling
    command: "! grep -n teh page.txt"
    required: true
deploy:
  method: process
  wait_timeout: 20
  process:
    command: ["./service"]
    artifacts: [service, page.txt]
verification:
  health_check:
    endpoint: "{{{{ env.health_endpoint }}}}"
    timeout: 5
    retries: 3
  user_flows:
    - name: page
      steps:
        - request: GET /
          expect:
            status: 200
            body_contains: {want}
agents:
  codex:
    provider: replay
    transcript: transcript.jsonl
  jules:
    provider: replay
    transcript: transcript.jsonl
"#
    );
    let repository = Repository::new(&[
        ("config.yaml", &config),
        ("page.txt", page),
        ("transcript.jsonl", transcript),
        (".gitignore", "/service\n"),
    ]);
    std::fs::hard_link(page_service(), repository.path().join("service"))
        .or_else(|_| {
            std::fs::copy(page_service(), repository.path().join("service")).map(|_bytes| ())
        })
        .unwrap();
    repository
}

/// The same without configured agents: without a key, there is no model.
pub(crate) fn deployable_without_a_model(port: u16, page: &str, want: &str) -> Repository {
    let repository = deployable(port, page, want, "");
    let config = repository.read("config.yaml");
    let (before, _agents) = config.split_once("agents:\n").unwrap();
    repository.write("config.yaml", before);
    repository.commit("no agents");
    repository
}

/// A GET over a plain socket: status and body, or `None` without an answer.
pub(crate) fn get(port: u16, path: &str) -> Option<(u16, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, text.split_once("\r\n\r\n")?.1.to_owned()))
}
