//! A second engine on the machine, started by `scripts/services.sh`. Needs root, or
//! `GREENLOOP_TEST_NAMESPACES=skip`.

use std::path::Path;
use std::process::{Command, Output};

fn services(arguments: &[&str], folder: &Path) -> Output {
    let (command, rest) = arguments.split_first().unwrap();
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services.sh"))
        .arg(command)
        .arg(folder)
        .args(rest)
        .output()
        .unwrap()
}

/// Links, addresses, routes and packet filters of the network that the test runs in, and its
/// mounts.
fn machine() -> Vec<String> {
    let lines = [
        "ip -o link show type bridge | cut -d: -f2",
        "ip -o address | awk '{print $2, $3, $4}'",
        "ip route",
        "iptables -S; iptables -t nat -S",
        "findmnt --raw --noheadings --output TARGET",
    ]
    .map(|script| Command::new("sh").args(["-c", script]).output().unwrap());
    lines.iter().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).collect()
}

#[test]
fn a_second_engine_touches_nothing_outside_its_own_namespace() {
    if std::env::var("GREENLOOP_TEST_NAMESPACES").is_ok_and(|it| it == "skip")
        || crate::services::services().is_none()
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("s");
    // Other tests create and remove containers and veth pairs: compare only what has the second
    // engine's mark, and what existed before.
    let before = machine();
    let started = services(&["start", "engine", "registry"], &at);
    assert!(started.status.success(), "{started:?}");
    let during = machine();

    // Inside are an engine with its own bridge and filters, and a registry.
    let script = "ip -o link show greenloop0 && iptables -t nat -S | grep -q greenloop0 && \
                  curl -sf --unix-socket ${GREENLOOP_TEST_DOCKER#unix://} http://x/_ping && \
                  curl -sf http://$GREENLOOP_TEST_REGISTRY/v2/";
    let inside = services(&["run", "sh", "-c", script], &at);
    assert!(inside.status.success(), "{inside:?}");
    let status = services(&["run", "sh", "-c", "exit 7"], &at).status;
    assert_eq!(status.code(), Some(7));
    // Processes that are left running there end with it.
    let left = services(&["run", "sh", "-c", "setsid sleep 100000 >/dev/null 2>&1 & echo $!"], &at);
    let left: u32 = String::from_utf8_lossy(&left.stdout).trim().parse().unwrap();
    assert!(Path::new(&format!("/proc/{left}")).exists());

    let stopped = services(&["stop"], &at);
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(crate::repository::pids_mentioning(folder.path()).is_empty());
    // It was killed; its new parent needs a moment to reap it.
    let status = || std::fs::read_to_string(format!("/proc/{left}/stat")).unwrap_or_default();
    while !matches!(status().rsplit(") ").next().unwrap_or_default().get(..1), None | Some("Z")) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let after = machine();
    for seen in [during, after] {
        for (before, seen) in before.iter().zip(&seen) {
            let (mark, path) = ("172.31.20.", folder.path().display().to_string());
            let new = seen.lines().filter(|line| !before.lines().any(|old| old == *line));
            for line in new {
                assert!(!line.contains(&path), "a mount: {line}");
                assert!(before.contains(mark) || !line.contains(mark), "{line}");
                assert!(before.contains("greenloop0") || !line.contains("greenloop0"), "{line}");
            }
        }
        // The bridge and the chains of the first engine are unchanged.
        for name in ["docker0", "greenloop0", "gl-"] {
            let has = |machine: &[String]| machine[..1].iter().any(|links| links.contains(name));
            assert_eq!(has(&before), has(&seen), "{name}");
        }
        let docker = |machine: &[String]| machine[3].matches("-N DOCKER").count();
        assert_eq!(docker(&before), docker(&seen));
    }
    // And the first one answers.
    let (docker, _) = crate::services::services().unwrap();
    let socket = docker.strip_prefix("unix://").unwrap();
    let ping = ["-sf", "--unix-socket", socket, "http://x/_ping"];
    assert!(Command::new("curl").args(ping).output().unwrap().status.success());
}
