//! The audit log of a finished run, as an auditor and as a forger meet it.

use std::path::{Path, PathBuf};

use crate::repository::{Outcome, Repository};
use crate::server::{APPROVE, ModelServer};

const FIX: &str = "The operator is wrong: it subtracts.\n\n\
    add.sh\n```sh\n<<<<<<< SEARCH\n  echo $(($1 - $2))\n=======\n  echo $(($1 + $2))\n>>>>>>> REPLACE\n```\n";
const TEST: &str =
    ". ./add.sh\n[ \"$(add 2 3)\" = 5 ] || { echo \"add.sh:2: error: not 5\"; exit 1; }\n";

/// A repository with a run that healed it, and the secret key that its checkpoint was signed with.
async fn healed(key: Option<&str>) -> Repository {
    let repository =
        Repository::new(&[("add.sh", "add() {\n  echo $(($1 - $2))\n}\n"), ("test.sh", TEST)]);
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome: Outcome = repository
        .greenloop()
        .args(["heal", "--", "sh", "test.sh"])
        .env("OPENAI_BASE_URL", server.base_url())
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .env("GREENLOOP_MODEL", "test-model")
        .env("GREENLOOP_AUDIT_KEY", key.unwrap_or_default())
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    repository
}

fn verify(repository: &Repository, arguments: &[&str]) -> Outcome {
    repository.run(&[&["audit", "verify"], arguments].concat())
}

fn holds(repository: &Repository, arguments: &[&str], says: &str) {
    let outcome = verify(repository, arguments);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.stdout.contains(says), "{}", outcome.all());
}

fn is_broken(repository: &Repository, arguments: &[&str], says: &str) {
    let outcome = verify(repository, arguments);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    let text = outcome.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("BROKEN") && text.contains(says), "{}", outcome.all());
}

/// Every file that the run has left beside its log.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("audit.jsonl") && !path.ends_with("audit.checkpoint") {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_run_is_held_to_every_file_that_it_left() {
    let repository = healed(None).await;
    holds(&repository, &[], ", complete");
    let folder = repository.run_folder();
    let left = files(&folder);
    for name in ["events.jsonl", "junit.xml", "report.html", "summary.md", "patches/patch_1.diff"] {
        assert!(left.contains(&folder.join(name)), "{name}: {left:?}");
    }
    for file in left {
        let name = file.strip_prefix(&folder).unwrap().display().to_string();
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, [&bytes[..], b" "].concat()).unwrap();
        is_broken(&repository, &[], &format!("{name} was changed"));
        std::fs::remove_file(&file).unwrap();
        is_broken(&repository, &[], &format!("{name} is missing"));
        std::fs::write(&file, bytes).unwrap();
    }
    repository.write(
        &format!(
            "{}/patches/patch_9.diff",
            folder.strip_prefix(repository.path()).unwrap().display()
        ),
        "",
    );
    is_broken(&repository, &[], "patches/patch_9.diff was added");
    std::fs::remove_file(folder.join("patches/patch_9.diff")).unwrap();
    holds(&repository, &[], ", complete");

    // A log that was cut is no run that is under way.
    let log = folder.join("audit.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    let cut: String = text.lines().take(7).map(|line| format!("{line}\n")).collect();
    std::fs::write(&log, cut).unwrap();
    is_broken(&repository, &[], "without an end");
    std::fs::write(&log, text).unwrap();
    let renamed = folder.with_file_name("0190a8f0-0000-7000-8000-000000000001");
    std::fs::rename(&folder, &renamed).unwrap();
    is_broken(&repository, &[], "the folder's name does not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_checkpoint_that_is_kept_in_git_finds_every_other_log() {
    let keys = tempfile::tempdir().unwrap();
    let key_file = keys.path().join("key");
    let plain = Repository::new(&[("a", "x\n")]);
    let made = plain.run(&["audit", "keygen", "ci", "--out", key_file.to_str().unwrap()]);
    assert_eq!(made.code, Some(0), "{}", made.all());
    let public = made.stdout.trim().to_owned();
    let secret = std::fs::read_to_string(&key_file).unwrap();
    assert!(public.starts_with("ci+") && secret.starts_with("PRIVATE+KEY+ci+"), "{public}");
    let again = plain.run(&["audit", "keygen", "ci", "--out", key_file.to_str().unwrap()]);
    assert_eq!(again.code, Some(2), "{}", again.all());

    let repository = healed(Some(&secret)).await;
    let other = healed(None).await;
    holds(&repository, &["--key", &public, "--anchor", "git"], ", anchored, signed");
    is_broken(&other, &["--key", &public], "no checkpoint of it is signed by that key");
    // The secret key is nowhere in what the run left.
    let folder = repository.run_folder();
    for file in files(&folder) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        assert!(!text.contains(secret.trim()), "{}", file.display());
    }

    // Another whole run's records under this run's name: valid by themselves.
    let checkpoint = std::fs::read_to_string(folder.join("audit.checkpoint")).unwrap();
    let anchor = keys.path().join("anchor");
    std::fs::write(&anchor, &checkpoint).unwrap();
    let anchor = anchor.to_str().unwrap().to_owned();
    holds(&repository, &["--anchor", &anchor], ", anchored");
    let theirs = other.run_folder();
    let moved = folder.with_file_name(theirs.file_name().unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(
        std::process::Command::new("cp")
            .arg("-a")
            .args([&theirs, &moved])
            .status()
            .unwrap()
            .success()
    );
    holds(&repository, &[], ", complete");
    is_broken(&repository, &["--anchor", "git"], "the anchor has no checkpoint of it");
    is_broken(&repository, &["--anchor", &anchor], "the anchor has no checkpoint of it");

    // A checkpoint beside the log of another's records.
    std::fs::write(moved.join("audit.checkpoint"), checkpoint).unwrap();
    is_broken(&repository, &[], "audit.checkpoint is of another log");
}

#[test]
fn a_key_that_cannot_sign_keeps_the_run_from_beginning() {
    let repository = Repository::new(&[("a", "x\n")]);
    let mut command = repository.greenloop();
    command.args(["heal", "--", "true"]).env("GREENLOOP_AUDIT_KEY", "PRIVATE+KEY+secret+part");
    let outcome: Outcome = command.output().unwrap().into();
    assert_eq!(outcome.code, Some(2), "{}", outcome.all());
    assert!(outcome.all().contains("GREENLOOP_AUDIT_KEY does not hold"), "{}", outcome.all());
    assert!(!outcome.all().contains("secret+part"), "{}", outcome.all());
    assert!(!repository.path().join("logs/runs").exists());
}
