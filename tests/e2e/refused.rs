//! A run that is refused leaves nothing behind: not in the work tree, not in git's folder.

use std::path::Path;
use std::process::Command;

use crate::repository::{Outcome, Repository, deployable, free_port, get};

/// Every file and folder, ignored ones and git's own included. git's index may be refreshed.
fn listing(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).unwrap().flatten() {
            let path = entry.path();
            found.push(path.strip_prefix(folder).unwrap().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

fn refused(repository: &Repository, arguments: &[&str], code: i32, said: &str) -> Outcome {
    let before =
        (listing(repository.path()), repository.git(&["status", "--porcelain", "--ignored"]));
    let outcome = repository.run(arguments);
    assert_eq!(outcome.code, Some(code), "{arguments:?}: {}", outcome.all());
    assert!(outcome.stderr.contains(said), "{arguments:?}: {}", outcome.all());
    let after =
        (listing(repository.path()), repository.git(&["status", "--porcelain", "--ignored"]));
    assert_eq!(after, before, "{arguments:?}");
    outcome
}

fn service() -> Repository {
    deployable(free_port(), "hello\n", "hello", "")
}

#[test]
fn a_changed_work_tree() {
    let repository = service();
    repository.write("page.txt", "changed\n");
    refused(&repository, &["run"], 2, "page.txt");
    refused(&repository, &["--environment", "local"], 2, "page.txt");
}

#[test]
fn an_operation_under_way_and_unmerged_paths() {
    let repository = service();
    repository.git(&["checkout", "-qb", "other"]);
    repository.write("page.txt", "theirs\n");
    repository.commit("theirs");
    repository.git(&["checkout", "-q", "main"]);
    repository.write("page.txt", "ours\n");
    repository.commit("ours");
    let start = |arguments: &[&str]| {
        let status = std::process::Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
            .args(arguments)
            .current_dir(repository.path())
            .output()
            .unwrap()
            .status;
        assert!(!status.success(), "{arguments:?} has a conflict");
    };
    start(&["rebase", "other"]);
    refused(&repository, &["heal", "--", "true"], 2, "a rebase is under way");
    refused(&repository, &["run"], 2, "a rebase is under way");
    repository.git(&["rebase", "--abort"]);
    start(&["merge", "other"]);
    refused(&repository, &["heal", "--", "true"], 2, "a merge is under way");
    repository.git(&["merge", "--abort"]);
    repository.write("page.txt", "stashed\n");
    repository.git(&["stash"]);
    repository.write("page.txt", "more\n");
    repository.commit("more");
    start(&["stash", "pop"]);
    refused(&repository, &["heal", "--", "true"], 2, "unmerged");
}

#[test]
fn configurations_and_environments_that_cannot_be_used() {
    let repository = service();
    refused(&repository, &["run", "--environment", "lokal"], 2, "lokal");
    refused(&repository, &["run", "--config", "none.yaml"], 2, "none.yaml");
    refused(&repository, &["run", "--resume", "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeffff"], 2, "no run");
    refused(&repository, &["heal", "--undo"], 2, "no run has a fix");
    let config = repository.read("config.yaml");
    repository.write("config.yaml", &config.replace("deploy:", "deplo:"));
    repository.commit("a mistake");
    refused(&repository, &["run", "--environment", "local"], 2, "deplo");
}

#[test]
fn several_environments_are_named() {
    let repository = service();
    let config = repository.read("config.yaml");
    let more =
        config.replace("environments:\n", "environments:\n  b: { url: 'http://127.0.0.1:1' }\n");
    repository.write("config.yaml", &more);
    repository.commit("another");
    for command in ["run", "verify", "status", "rollback"] {
        let outcome = refused(&repository, &[command], 2, "b, local");
        assert!(outcome.stderr.contains("--environment b"), "{}", outcome.all());
    }
    refused(&repository, &["config", "show"], 2, "b, local");
}

#[test]
fn a_branch_in_the_way() {
    let repository = service();
    repository.git(&["branch", "greenloop"]);
    refused(&repository, &["heal", "--", "false"], 2, "git branch -m");
    refused(&repository, &["run"], 2, "git branch -m");
}

#[test]
fn a_repository_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let run = |folder: &Path| -> Outcome {
        std::process::Command::new(env!("CARGO_BIN_EXE_greenloop"))
            .args(["heal", "--", "true"])
            .current_dir(folder)
            .output()
            .unwrap()
            .into()
    };
    let git = |arguments: &[&str]| {
        let done = std::process::Command::new("git").args(arguments).current_dir(&folder).status();
        assert!(done.unwrap().success());
    };
    git(&["init", "-q", "unborn"]);
    git(&["init", "-q", "--bare", "bare"]);
    std::fs::create_dir(folder.path().join("none")).unwrap();
    for (name, said) in
        [("none", "not inside a git repository"), ("bare", "no work tree"), ("unborn", "no commit")]
    {
        let place = folder.path().join(name);
        let before = listing(&place);
        let outcome = run(&place);
        assert_eq!(outcome.code, Some(2), "{name}: {}", outcome.all());
        assert!(outcome.stderr.contains(said), "{name}: {}", outcome.all());
        assert_eq!(listing(&place), before, "{name}");
    }
}

#[test]
fn a_link_out_of_the_repository() {
    let outside = tempfile::tempdir().unwrap();
    for link in ["logs", "logs/runs", "metrics"] {
        let repository = service();
        let place = repository.path().join(link);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(outside.path(), &place).unwrap();
        repository.commit("a link");
        refused(&repository, &["run"], 2, "is a symbolic link to outside the repository");
        if link != "metrics" {
            refused(
                &repository,
                &["heal", "--branch", "--", "true"],
                2,
                "is a symbolic link to outside",
            );
        }
        assert_eq!(listing(outside.path()), Vec::<String>::new(), "{link}");
    }
}

#[test]
fn a_claim_that_another_run_holds() {
    let repository = service();
    // Locked like by a running run.
    let hold = |name: &str| {
        let folder = repository.path().join(".git/greenloop/claims");
        std::fs::create_dir_all(&folder).unwrap();
        let lock = std::fs::File::create(folder.join(name)).unwrap();
        lock.lock().unwrap();
        lock
    };
    let lock = hold("env-local.lock");
    refused(&repository, &["run"], 5, "environment local is held");
    drop(lock);
}

/// A second configuration with an environment of the same name and another address would take the
/// first one's service for an earlier release of its own, and stop it.
#[test]
fn an_environment_that_another_configuration_deploys() {
    let (port, other) = (free_port(), free_port());
    let repository = deployable(port, "hello\n", "hello", "");
    assert_eq!(repository.run(&["--environment", "local"]).code, Some(0));
    let config = repository.read("config.yaml");
    let second = config.replace(&port.to_string(), &other.to_string());
    repository.write("front/config.yaml", &second);
    repository.commit("a second service");
    let said = format!("is deployed with config.yaml at http://127.0.0.1:{port}");
    for command in ["run", "verify", "rollback", "status"] {
        refused(&repository, &[command, "--config", "front/config.yaml"], 2, &said);
    }
    assert_eq!(get(port, "/"), Some((200, "hello\n".into())));
    // Another name keeps the two apart.
    let named = second.replace("  local:\n", "  front:\n");
    repository.write("front/config.yaml", &named);
    repository.commit("named");
    let outcome = repository.run(&["run", "--config", "front/config.yaml"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!(get(port, "/"), Some((200, "hello\n".into())));
    assert_eq!(get(other, "/"), Some((200, "hello\n".into())));
    // A configuration that was moved goes on with its environment.
    repository.git(&["mv", "config.yaml", "shop.yaml"]);
    repository.commit("moved");
    let outcome = repository.run(&["run", "--config", "shop.yaml"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
}

/// The program in a mount namespace in which `folder` of the repository is read-only; `None` where
/// that cannot be made.
fn read_only(repository: &Repository, folder: &str, arguments: &[&str]) -> Option<Outcome> {
    let place = repository.path().join(folder);
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" || exit 77; \
                  cd \"$2\" && shift 2 && exec \"$@\"";
    let greenloop = repository.greenloop();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
    command.arg(&place).arg(repository.path()).arg(greenloop.get_program()).args(arguments);
    for (name, value) in greenloop.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let outcome = Outcome::from(command.output().ok()?);
    let made = outcome.code != Some(77) && !outcome.stderr.contains("unshare");
    made.then_some(outcome)
}

/// All of it, or only what an earlier run as root has left.
#[test]
fn doctor_tells_what_cannot_be_written_to() {
    let repository = service();
    std::fs::create_dir_all(repository.path().join("logs/runs")).unwrap();
    for folder in ["", ".git/refs/heads", "logs/runs"] {
        let Some(doctor) = read_only(&repository, folder, &["doctor"]) else {
            eprintln!("SKIPPED: no read-only mount can be made here");
            return;
        };
        assert_eq!(doctor.code, Some(1), "{folder}: {}", doctor.all());
        for part in ["missing storage", "Read-only", "mount the file"] {
            assert!(doctor.stdout.contains(part), "{part} for {folder}: {}", doctor.all());
        }
    }
    let well = repository.run(&["doctor"]);
    assert!(!well.stdout.contains("storage"), "{}", well.all());
}
