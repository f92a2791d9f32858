//! The systemd units in `deploy/systemd/`.

use std::collections::BTreeMap;
use std::process::Command;

use super::{files, grace, installed, is_secret, read, text};

/// Sections of keys; a repeated key has several values.
type Unit = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn parse(text: &str) -> Unit {
    let mut unit = Unit::new();
    let mut section = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let (key, value) = line.split_once('=').expect(line);
        let keys = unit.entry(section.clone()).or_default();
        keys.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    unit
}

fn one<'a>(unit: &'a Unit, section: &str, key: &str) -> &'a str {
    let values = unit.get(section).and_then(|section| section.get(key));
    let values = values.unwrap_or_else(|| panic!("[{section}] has no {key}"));
    assert_eq!(values.len(), 1, "{key}");
    values.first().unwrap()
}

fn seconds(value: &str) -> u64 {
    value.parse().expect("a number of seconds")
}

fn units() -> Vec<(String, Unit)> {
    let found: Vec<_> = files("deploy/systemd", ".service")
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .map(|name| (name.clone(), parse(&read(&format!("deploy/systemd/{name}")))))
        .collect();
    assert_eq!(found.len(), 2);
    found
}

#[test]
fn a_unit_has_no_more_rights_than_it_needs() {
    for (name, unit) in units() {
        for (key, value) in [
            ("DynamicUser", "yes"),
            ("NoNewPrivileges", "yes"),
            ("PrivateTmp", "yes"),
            ("ProtectHome", "yes"),
            ("ProtectSystem", "strict"),
            ("CapabilityBoundingSet", ""),
            ("UMask", "0077"),
            ("Restart", "always"),
            // Tasks of a worker do not get the SIGTERM of its drain.
            ("KillMode", "mixed"),
        ] {
            assert_eq!(one(&unit, "Service", key), value, "{name}: {key}");
        }
        assert_eq!(one(&unit, "Install", "WantedBy"), "multi-user.target", "{name}");
    }
}

#[test]
fn no_secret_stands_in_a_unit_or_on_a_command_line() {
    for (name, unit) in units() {
        let service = &unit["Service"];
        for file in &service["EnvironmentFile"] {
            assert!(file.trim_start_matches('-').starts_with("/etc/greenloop/"), "{name}: {file}");
        }
        for setting in &service["Environment"] {
            let (key, value) = setting.trim_matches('"').split_once('=').unwrap();
            assert!(!is_secret(key) || value.is_empty(), "{name}: {setting}");
        }
        for word in one(&unit, "Service", "ExecStart").split_whitespace() {
            assert!(!is_secret(word), "{name}: {word} on the command line");
        }
    }
}

#[test]
fn a_stopping_worker_has_the_time_its_tasks_are_given() {
    for (name, unit) in units() {
        let stop = seconds(one(&unit, "Service", "TimeoutStopSec"));
        let start = one(&unit, "Service", "ExecStart");
        match grace(start.split_whitespace()) {
            Some(grace) => assert!(stop >= grace + 30, "{name}: {grace} s to end in {stop} s"),
            None => assert!(!name.contains("worker"), "{name}: no --grace"),
        }
    }
}

/// systemd's analysis. The exposure is in tenths: permissions for compilers and test runners make a
/// worker's higher than the hub's.
#[test]
fn systemd_accepts_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("greenloop");
    std::os::unix::fs::symlink("/bin/true", &program).unwrap();
    for (name, exposure) in [("greenloop-hub.service", "25"), ("greenloop-worker@.service", "45")] {
        let unit = read(&format!("deploy/systemd/{name}"))
            .replace("/usr/local/bin/greenloop", program.to_str().unwrap());
        let path = folder.path().join(name.replace('@', "@one"));
        std::fs::write(&path, unit).unwrap();
        let mut verify = Command::new("systemd-analyze");
        let Some(output) = installed(verify.args(["verify", "--man=no"]).arg(&path)) else {
            return;
        };
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {}", text(&output));
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--offline=yes", "--threshold", exposure]).arg(&path);
        let output = installed(&mut security).unwrap();
        // Before systemd 250, it analyses only running units.
        if text(&output).contains("offline") && !output.status.success() {
            eprintln!("skipped: {}", text(&output));
            continue;
        }
        assert!(output.status.success(), "{name}: {}", text(&output));
    }
}
