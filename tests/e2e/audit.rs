//! The audit log of a finished run, as an auditor and as a forger meet it.

use std::path::{Path, PathBuf};

use greenloop_audit::SigningKey;

use crate::hub::Hub;
use crate::repository::{Outcome, Repository, deployable, free_port};
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

fn git(repository: &Repository, arguments: &[&str]) {
    let mut command = std::process::Command::new("git");
    assert!(command.arg("-C").arg(repository.path()).args(arguments).status().unwrap().success());
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

    for (name, make) in [("link", ["ln", "-s", "/etc/hostname"].as_slice()), ("pipe", &["mkfifo"])]
    {
        let path = folder.join("patches").join(name);
        let mut command = std::process::Command::new(make[0]);
        assert!(command.args(&make[1..]).arg(&path).status().unwrap().success());
        is_broken(&repository, &[], &format!("patches/{name} was added"));
        std::fs::remove_file(path).unwrap();
    }
    let log = folder.join("audit.jsonl");
    let elsewhere = repository.path().join("elsewhere");
    std::fs::rename(&log, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &log).unwrap();
    is_broken(&repository, &[], "not a regular file");
    std::fs::rename(&elsewhere, &log).unwrap();
    let checkpoint = folder.join("audit.checkpoint");
    let kept = std::fs::read(&checkpoint).unwrap();
    std::fs::remove_file(&checkpoint).unwrap();
    holds(&repository, &[], ", complete");
    git(&repository, &["update-ref", "refs/kept", "refs/greenloop/audit"]);
    git(&repository, &["update-ref", "-d", "refs/greenloop/audit"]);
    holds(&repository, &[], "without a checkpoint");
    git(&repository, &["update-ref", "refs/greenloop/audit", "refs/kept"]);
    std::fs::write(&checkpoint, kept).unwrap();
    holds(&repository, &[], ", complete");

    // A log that was cut is no run that is under way.
    let text = std::fs::read_to_string(&log).unwrap();
    let cut: String = text.lines().take(7).map(|line| format!("{line}\n")).collect();
    std::fs::write(&log, cut).unwrap();
    let open = verify(&repository, &[]);
    assert_eq!(open.code, Some(1), "{}", open.all());
    assert!(
        open.stdout.starts_with("OPEN") && open.stdout.contains("without an end"),
        "{}",
        open.all()
    );
    std::fs::write(&log, text).unwrap();
    for name in ["0190a8f0-0000-7000-8000-000000000001", ".hidden", "a.old"] {
        let renamed = folder.with_file_name(name);
        std::fs::rename(&folder, &renamed).unwrap();
        is_broken(&repository, &[], "the folder's name does not");
        std::fs::rename(&renamed, &folder).unwrap();
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let gone = verify(&repository, &["--anchor", "git"]);
    assert_eq!(gone.code, Some(1), "{}", gone.all());
    assert!(gone.stdout.starts_with("GONE"), "{}", gone.all());
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
    // What was in its place is missed.
    let missed = verify(&repository, &["--anchor", "git"]);
    assert!(missed.stdout.contains("GONE"), "{}", missed.all());
    is_broken(&repository, &["--anchor", &anchor], "the anchor has no checkpoint of it");

    // A checkpoint beside the log of another's records.
    std::fs::write(moved.join("audit.checkpoint"), checkpoint).unwrap();
    is_broken(&repository, &[], "audit.checkpoint is of another log");
}

#[test]
fn a_hub_signs_what_it_has_seen_grow_and_is_an_anchor() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path());
    let repository = deployable(free_port(), "hello\n", "hello", "");
    let run = |arguments: &[&str]| -> Outcome {
        let mut command = repository.greenloop();
        command.args(arguments).env("GREENLOOP_HUB_URL", &hub.url);
        command.env("GREENLOOP_HUB_TOKEN", &hub.token).output().unwrap().into()
    };
    let deployed = run(&["--environment", "local"]);
    assert_eq!(deployed.code, Some(0), "{}", deployed.all());
    let witness = hub.key.as_witness().to_string();
    // Offline, and with the checkpoint that the hub has.
    holds(&repository, &["--key", &witness], ", signed");
    let said = run(&["audit", "verify", "--anchor", &hub.url, "--key", &witness]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(said.stdout.contains(", anchored, signed"), "{}", said.all());
    let other = SigningKey::generate("hub").unwrap().as_witness().to_string();
    is_broken(&repository, &["--key", &other], "no checkpoint of it is signed by that key");

    // A run that the hub never heard of.
    let stopped = repository.run(&["stop", "--environment", "local", "--yes"]);
    assert_eq!(stopped.code, Some(0), "{}", stopped.all());
    let alone = repository.run(&["--environment", "local"]);
    assert_eq!(alone.code, Some(0), "{}", alone.all());
    let said = run(&["audit", "verify", "--anchor", &hub.url]);
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert!(said.stdout.contains("the anchor has no checkpoint of it"), "{}", said.all());

    let url = hub.url.clone();
    drop(hub);
    let said = verify(&repository, &["--anchor", &url]);
    assert_eq!(said.code, Some(3), "{}", said.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tags_of_an_azure_build_are_an_anchor() {
    let keys = tempfile::tempdir().unwrap();
    let key_file = keys.path().join("key");
    let repository =
        Repository::new(&[("add.sh", "add() {\n  echo $(($1 - $2))\n}\n"), ("test.sh", TEST)]);
    let made = repository.run(&["audit", "keygen", "ci", "--out", key_file.to_str().unwrap()]);
    let public = made.stdout.trim().to_owned();
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let job = |key: &str| -> Outcome {
        let mut command = repository.greenloop();
        command.args(["heal", "--output", "azure", "--", "sh", "test.sh"]);
        command.env("OPENAI_BASE_URL", server.base_url()).env("GREENLOOP_MODEL", "test-model");
        command.env("OPENAI_API_KEY", "sk-test-0123456789abcdef");
        command.env("GREENLOOP_AUDIT_KEY_FILE", key).output().unwrap().into()
    };
    let tags = |outcome: &Outcome| -> Vec<String> {
        let lines = outcome.stdout.lines();
        let tags = lines.filter_map(|line| line.strip_prefix("##vso[build.addbuildtag]"));
        tags.map(str::to_owned).collect()
    };
    // Without a key, nothing proves who wrote the tags.
    let unsigned = job("");
    assert_eq!(unsigned.code, Some(0), "{}", unsigned.all());
    assert!(!unsigned.stdout.contains("greenloop-audit"), "{}", unsigned.all());
    std::fs::remove_dir_all(repository.path().join("logs/runs")).unwrap();

    let signed = job(key_file.to_str().unwrap());
    assert_eq!(signed.code, Some(0), "{}", signed.all());
    let tags = tags(&signed);
    let anchors = tags.iter().map(String::as_str).filter(|it| it.starts_with("greenloop-audit"));
    let anchors: Vec<&str> = anchors.collect();
    assert_eq!((anchors.len(), tags.len() > 2), (2, true), "{tags:?}");
    let valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    assert!(anchors.iter().all(|it| it.len() <= 128 && it.chars().all(valid)), "{tags:?}");

    // As the REST API lists them, and as somebody copies the first from the build's page.
    let listed = keys.path().join("tags.json");
    let answer = serde_json::json!({"count": tags.len(), "value": &tags});
    std::fs::write(&listed, answer.to_string()).unwrap();
    let listed = listed.to_str().unwrap().to_owned();
    holds(&repository, &["--key", &public, "--anchor", &listed], ", anchored, signed");
    holds(&repository, &["--anchor", anchors[0]], ", anchored");
    let key = ["--key", public.as_str()];
    is_broken(
        &repository,
        &[&key[..], &["--anchor", anchors[0]]].concat(),
        "no checkpoint of it is signed by that key",
    );
    // The head of another log of the same length.
    let (known, root) = anchors[0].rsplit_once('.').unwrap();
    let other: String = root.chars().map(|c| if c == 'A' { 'B' } else { 'A' }).collect();
    let forged = format!("{known}.{}A", &other[..other.len() - 1]);
    is_broken(&repository, &["--anchor", &forged], "it is not the log");
    let broken = verify(&repository, &["--anchor", "greenloop-audit.nonsense"]);
    assert_eq!(broken.code, Some(2), "{}", broken.all());
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

/// The records of an event.
fn records(folder: &Path, event: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["body"].clone())
        .filter(|record| record["event"] == event)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_models_were_asked_and_answered_is_kept_under_its_hash() {
    let repository = healed(None).await;
    let folder = repository.run_folder();
    let exchanges = records(&folder, "model.exchange");
    let kinds: Vec<&str> =
        exchanges.iter().filter_map(|record| record["actor"]["kind"].as_str()).collect();
    assert_eq!(kinds, ["author", "reviewer"]);
    for record in &exchanges {
        let data = &record["data"];
        assert!(data["model"].as_str().unwrap().starts_with("test-model"), "{data}");
        assert!(data["parameters"].get("temperature").is_some(), "{data}");
        // What the server says that answered, not what was asked for.
        assert_eq!(data["served_model"], "m", "{data}");
        for part in ["request", "answer"] {
            let hash = data[part].as_str().unwrap();
            let kept =
                std::fs::read(folder.join("exchanges").join(format!("{hash}.json"))).unwrap();
            let digest = <sha2::Sha256 as sha2::Digest>::digest(&kept);
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, hash);
        }
    }
    let asked = exchanges[0]["data"]["request"].as_str().unwrap();
    let asked =
        std::fs::read_to_string(folder.join("exchanges").join(format!("{asked}.json"))).unwrap();
    assert!(asked.contains("not 5") && !asked.contains("sk-test"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_run_is_verified_where_only_the_archive_is() {
    let repository = healed(None).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let archive = elsewhere.path().join("run.tar.gz");
    let run = repository.run_folder().file_name().unwrap().to_str().unwrap().to_owned();
    let exported = repository.run(&["audit", "export", &run, "--out", archive.to_str().unwrap()]);
    assert_eq!(exported.code, Some(0), "{}", exported.all());
    let unpacked = std::process::Command::new("tar")
        .args(["-xzf", "run.tar.gz"])
        .current_dir(elsewhere.path())
        .status()
        .unwrap();
    assert!(unpacked.success());
    let top = elsewhere.path().join(format!("greenloop-audit-{run}"));
    let verify = || -> Outcome {
        repository
            .greenloop()
            .current_dir(&top)
            .args(["audit", "verify", &run, "--anchor", "checkpoint.txt"])
            .output()
            .unwrap()
            .into()
    };
    let held = verify();
    assert!(held.code == Some(0) && held.stdout.contains("anchored"), "{}", held.all());

    // The README's commands, without the program.
    let readme = std::fs::read_to_string(top.join("README.md")).unwrap();
    assert!(readme.contains("complete") && readme.contains("--anchor checkpoint.txt"), "{readme}");
    let script = readme.rsplit("```sh\n").next().unwrap().split("```").next().unwrap().to_owned();
    let by_shell = || {
        let out = std::process::Command::new("bash")
            .args(["-c", &script])
            .current_dir(&top)
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
    };
    assert_eq!(by_shell(), "");

    let folder = top.join("logs/runs").join(&run);
    let exchange = std::fs::read_dir(folder.join("exchanges")).unwrap().next().unwrap().unwrap();
    std::fs::write(exchange.path(), "{}").unwrap();
    let broken = verify();
    assert!(broken.code == Some(1) && broken.stdout.contains("was changed"), "{}", broken.all());
    assert!(by_shell().starts_with("changed: exchanges/"), "{}", by_shell());
}
