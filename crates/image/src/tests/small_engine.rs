//! An engine of the test's own, on a disk that is soon full.
//!
//! It runs in network and mount namespaces of its own: an engine that starts takes away or sets
//! up the bridge and the packet filter of the network it finds itself in, and another engine on
//! the same machine would lose its own.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::engine::Engine;

/// Mounts the disk and becomes the engine.
const START: &str = r#"
mount -t tmpfs -o "size=$2m" tmpfs "$1/data" &&
exec dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" \
    -H "unix://$1/docker.sock" --bridge=none --iptables=false
"#;

/// Stops when dropped; its disk goes with its namespace.
pub(super) struct SmallEngine {
    folder: tempfile::TempDir,
    engine: Child,
}

impl SmallEngine {
    /// With so many megabytes for images and builds.
    pub(super) async fn start(megabytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let engine = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private", "sh", "-c", START, "sh"])
            .arg(folder.path())
            .arg(megabytes.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare on the PATH");
        let mut small = Self { folder, engine };
        for _ in 0..300 {
            if let Ok(engine) = Engine::at(Some(&small.address()), &|_| None)
                && engine.info().await.is_ok()
            {
                return small;
            }
            let ended = small.engine.try_wait().unwrap();
            assert!(ended.is_none(), "dockerd needs root and a namespace of its own: {ended:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the engine did not start");
    }

    pub(super) fn address(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }
}

impl Drop for SmallEngine {
    fn drop(&mut self) {
        // A friendly end, so that it stops its containerd too.
        let _sent = Command::new("kill").arg(self.engine.id().to_string()).status();
        let _ended = self.engine.wait();
    }
}
