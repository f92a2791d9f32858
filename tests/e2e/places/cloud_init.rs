//! The user data in `deploy/cloud-init/`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{files, installed, is_secret, read, text};

/// Inserts the files of the repository after `# from FILE` in the user data.
fn filled(user_data: &str) -> String {
    let mut result = String::new();
    let mut lines = user_data.lines().peekable();
    let mut source = None;
    while let Some(line) = lines.next() {
        result += line;
        result.push('\n');
        if let Some(path) = line.trim_start().strip_prefix("# from ") {
            source = Some(path.to_owned());
        } else if line.trim() == "content: |"
            && let Some(path) = source.take()
        {
            let within = line.len() - line.trim_start().len();
            let inside =
                |line: &&str| line.is_empty() || line.len() - line.trim_start().len() > within;
            while lines.next_if(inside).is_some() {}
            for copied in read(&path).lines() {
                if !copied.is_empty() {
                    result += &" ".repeat(within + 2);
                    result += copied;
                }
                result.push('\n');
            }
            // The blank line before the next key is not part of the file.
            if lines.peek().is_some_and(|next| !next.starts_with(' ')) {
                result.push('\n');
            }
        }
    }
    result
}

#[test]
fn the_files_in_the_user_data_are_those_of_the_repository() {
    for path in files("deploy/cloud-init", ".yaml") {
        let user_data = std::fs::read_to_string(&path).unwrap();
        let filled = filled(&user_data);
        if std::env::var_os("GREENLOOP_UPDATE").is_some() {
            std::fs::write(&path, &filled).unwrap();
        } else {
            assert!(filled == user_data, "{}: just generate", path.display());
        }
        // Azure allows 64 KiB after base64.
        assert!(filled.len() < 48 * 1024, "{}: {} bytes", path.display(), filled.len());
    }
}

fn written(path: &Path) -> Vec<(String, Value)> {
    let user_data: Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let files = user_data["write_files"].as_array().unwrap();
    files.iter().map(|file| (file["path"].as_str().unwrap().to_owned(), file.clone())).collect()
}

#[test]
fn a_vm_gets_the_unit_the_scripts_and_no_secret() {
    for (name, unit) in [("hub", "greenloop-hub.service"), ("worker", "greenloop-worker@.service")]
    {
        let path = super::root().join(format!("deploy/cloud-init/{name}.yaml"));
        let user_data = std::fs::read_to_string(&path).unwrap();
        assert!(user_data.starts_with("#cloud-config\n"), "{name}");
        let written = written(&path);
        let content = |path: &str| {
            let file = &written.iter().find(|(name, _)| name == path).expect(path).1;
            (file["content"].as_str().unwrap(), file["permissions"].as_str().unwrap())
        };
        let at = "/usr/local/share/greenloop";
        assert_eq!(
            content(&format!("{at}/systemd/{unit}")),
            (read(&format!("deploy/systemd/{unit}")).as_str(), "0644")
        );
        for script in ["install.sh", "setup.sh"] {
            assert_eq!(
                content(&format!("{at}/vm/{script}")),
                (read(&format!("deploy/vm/{script}")).as_str(), "0755")
            );
        }
        let (place, mode) = content("/etc/greenloop/place.env");
        assert_eq!(mode, "0600");
        assert!(place.contains(&format!("PART={name}\n")), "{place}");
        for line in place.lines().filter(|line| !line.starts_with('#')) {
            let (key, _) = line.split_once('=').unwrap();
            // Secrets are referenced by name, never included.
            assert!(!is_secret(key) || key.ends_with("_SECRET"), "{name}: {line}");
        }
        let user_data: Value = serde_yaml::from_str(&user_data).unwrap();
        assert_eq!(user_data["runcmd"][0][0], format!("{at}/vm/setup.sh"));
    }
}

#[test]
fn cloud_init_accepts_the_user_data() {
    for path in files("deploy/cloud-init", ".yaml") {
        let mut schema = Command::new("cloud-init");
        schema.arg("schema").arg("--config-file").arg(&path);
        let Some(output) = installed(&mut schema) else { return };
        assert!(output.status.success(), "{}", text(&output));
    }
}
