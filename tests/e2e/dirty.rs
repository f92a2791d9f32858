//! `greenloop heal` in a work tree with changes: it runs on a copy, and the fix is merged back.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::repository::{Outcome, Repository};
use crate::server::{APPROVE, ModelServer};

const TEST: &str = "#!/bin/sh\n. ./add.sh\n[ \"$(add 2 3)\" = 5 ] || { echo \"add.sh:2: error: add 2 3 is $(add 2 3), not 5\" >&2; exit 1; }\n";
const BROKEN: &str = "add() {\n  echo $(($1 - $2))\n}\n\n# one\n# two\n# three\n# end\n";
const FIX: &str = "The operator is wrong: it subtracts.\n\n\
    add.sh\n```sh\n<<<<<<< SEARCH\n  echo $(($1 - $2))\n=======\n  echo $(($1 + $2))\n>>>>>>> REPLACE\n```\n";

fn command(repository: &Repository, server: &ModelServer, arguments: &[&str]) -> Command {
    let mut command = repository.greenloop();
    command
        .args(arguments)
        .env("OPENAI_BASE_URL", server.base_url())
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .env("GREENLOOP_MODEL", "test-model")
        .env("ORIGINAL", repository.path())
        .env("XDG_CACHE_HOME", repository.path().join(".git/test-cache"));
    command
}

fn run(repository: &Repository, server: &ModelServer, arguments: &[&str]) -> Outcome {
    command(repository, server, arguments).output().unwrap().into()
}

/// Everything of the user in a repository, without Greenloop's data in git's folder.
fn state(repository: &Repository) -> [String; 4] {
    [
        repository.git(&["ls-files", "--stage", "-v"]),
        repository.git(&["rev-parse", "HEAD"]),
        repository.git(&["status", "--porcelain=v2"]),
        repository.git(&["stash", "list"]),
    ]
}

/// No copy is left, neither in git's worktree list nor on disk.
fn assert_no_copy(repository: &Repository) {
    assert_eq!(
        repository.git(&["worktree", "list", "--porcelain"]).matches("worktree ").count(),
        1
    );
    let copies = repository.path().join(".git/test-cache/greenloop/heal");
    assert!(!copies.exists(), "{copies:?}");
}

/// With a staged change, an unstaged one on top of it, a deletion, a new file and ignored ones.
fn changed() -> Repository {
    let repository = Repository::new(&[
        ("add.sh", "add() {\n  echo $(($1 + $2))\n}\n"),
        ("test.sh", &TEST.replace(". ./add.sh", ". ./add.sh; . deps/lib.sh; . ./new.sh")),
        ("staged.txt", "1\n"),
        ("gone.txt", "1\n"),
        (".gitignore", "deps/\n"),
    ]);
    repository.write("deps/lib.sh", "lib() { :; }\n");
    repository.write("new.sh", "# untracked\n");
    repository.write("staged.txt", "2\n");
    repository.write("add.sh", BROKEN);
    repository.git(&["add", "staged.txt", "add.sh"]);
    repository.write("staged.txt", "3\n");
    repository.write("add.sh", &BROKEN.replace("# end", "# unstaged"));
    std::fs::remove_file(repository.path().join("gone.txt")).unwrap();
    repository
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fix_comes_back_and_everything_else_is_as_it_was() {
    let repository = changed();
    let before = state(&repository);
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome = run(&repository, &server, &["heal", "--", "sh", "test.sh"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let fixed = BROKEN.replace("# end", "# unstaged").replace("$1 - $2", "$1 + $2");
    assert_eq!(repository.read("add.sh"), fixed);
    assert_eq!(repository.read("staged.txt"), "3\n");
    assert_eq!(repository.read("new.sh"), "# untracked\n");
    assert!(!repository.path().join("gone.txt").exists());
    assert_eq!(state(&repository), before, "index, HEAD and the list of changes");
    assert_no_copy(&repository);
    assert!(outcome.all().contains("heal --undo"), "{}", outcome.all());
    let id = repository.run_folder().file_name().unwrap().to_str().unwrap().to_owned();
    let fixed = repository.git(&["show", &format!("greenloop/{id}:add.sh")]);
    assert!(fixed.contains("$1 + $2"), "{fixed}");
    let verified = repository.run(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.all());

    let undone = repository.run(&["heal", "--undo"]);
    assert_eq!(undone.code, Some(0), "{}", undone.all());
    assert!(undone.stdout.contains("add.sh"), "{}", undone.all());
    assert_eq!(repository.read("add.sh"), BROKEN.replace("# end", "# unstaged"));
    assert_eq!(state(&repository), before);
    let again = repository.run(&["heal", "--undo"]);
    assert_eq!(again.code, Some(2), "{}", again.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fix_in_a_clean_tree_is_taken_back_too_and_only_it() {
    let repository = Repository::new(&[("add.sh", BROKEN), ("test.sh", TEST)]);
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome = run(&repository, &server, &["heal", "--", "sh", "test.sh"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let fixed = repository.read("add.sh");
    repository.write("add.sh", &fixed.replace("# end", "# more work"));
    let id = repository.run_folder().file_name().unwrap().to_str().unwrap().to_owned();
    let undone = repository.run(&["heal", "--undo", &id]);
    assert_eq!(undone.code, Some(0), "{}", undone.all());
    assert_eq!(repository.read("add.sh"), BROKEN.replace("# end", "# more work"));

    let outcome = run(&repository, &server, &["heal", "--", "sh", "test.sh"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let mine = repository.read("add.sh").replace("$1 + $2", "$1 + $2 + 0");
    repository.write("add.sh", &mine);
    let refused = repository.run(&["heal", "--undo"]);
    assert_eq!(refused.code, Some(1), "{}", refused.all());
    assert!(refused.stderr.contains("add.sh"), "{}", refused.all());
    assert_eq!(repository.read("add.sh"), mine);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_edited_meanwhile_is_merged_or_keeps_the_fix_on_its_branch() {
    // When the gate passes, it edits the file in the original work tree, like a user who goes on
    // working.
    for (edit, code) in [("s/# one/# meanwhile/", 0), ("s/echo/printf/", 1)] {
        let repository = Repository::new(&[
            ("add.sh", BROKEN),
            ("test.sh", &format!("{TEST}sed -i '{edit}' \"$ORIGINAL/add.sh\"\n")),
        ]);
        repository.write("wip.txt", "wip\n");
        let server = ModelServer::start(&[FIX], APPROVE).await;
        let outcome = run(
            &repository,
            &server,
            &["heal", "--sandbox", "off", "--env", "ORIGINAL", "--", "sh", "test.sh"],
        );
        assert_eq!(outcome.code, Some(code), "{}", outcome.all());
        let text = repository.read("add.sh");
        if code == 0 {
            let both = BROKEN.replace("$1 - $2", "$1 + $2").replace("# one", "# meanwhile");
            assert_eq!(text, both);
        } else {
            assert_eq!(text, BROKEN.replace("echo", "printf"), "nothing of theirs is touched");
            assert!(outcome.all().contains("git diff "), "{}", outcome.all());
            assert!(said(&outcome).contains("not in the work tree"), "{}", outcome.all());
            assert!(outcome.all().contains("add.sh"), "{}", outcome.all());
            let id = repository.run_folder().file_name().unwrap().to_str().unwrap().to_owned();
            let fixed = repository.git(&["show", &format!("greenloop/{id}:add.sh")]);
            assert!(fixed.contains("$1 + $2"), "{fixed}");
        }
        assert_no_copy(&repository);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_branch_the_changed_work_tree_stays_and_the_command_given_takes_the_fix() {
    let repository = changed();
    let before = (state(&repository), repository.read("add.sh"));
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome = run(&repository, &server, &["heal", "--branch", "--", "sh", "test.sh"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!((state(&repository), repository.read("add.sh")), before);
    let take = outcome.stdout.lines().find(|line| line.contains("| git apply")).unwrap();
    let taken = Command::new("sh").arg("-c").arg(take).current_dir(repository.path()).status();
    assert!(taken.unwrap().success());
    assert!(repository.read("add.sh").contains("$1 + $2"));
    assert!(repository.read("add.sh").contains("# unstaged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_given_in_a_folder_runs_in_that_folder_of_the_copy() {
    let repository = Repository::new(&[("sub/add.sh", BROKEN), ("sub/test.sh", TEST)]);
    repository.write("wip.txt", "wip\n");
    let server = ModelServer::start(&[&FIX.replace("add.sh\n", "sub/add.sh\n")], APPROVE).await;
    let outcome: Outcome = command(&repository, &server, &["heal", "--", "sh test.sh"])
        .current_dir(repository.path().join("sub"))
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(repository.read("sub/add.sh").contains("$1 + $2"));
    assert_eq!(repository.git(&["status", "--porcelain"]), "M sub/add.sh\n?? wip.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_files_are_whole_and_the_next_run_cleans_up() {
    let repository = changed();
    let before = (state(&repository), repository.read("add.sh"));
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let held = "touch \"$ORIGINAL/.git/reached\"; while [ -e \"$ORIGINAL/.git/reached\" ]; do sleep 0.05; done; sh test.sh";
    // Before the fix, and while the command runs on the fixed copy.
    for stops_at in [1, 2] {
        let reached = repository.path().join(".git/reached");
        let mut child = command(
            &repository,
            &server,
            &["heal", "--sandbox", "off", "--env", "ORIGINAL", "--", held],
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
        for stop in 1..=stops_at {
            while !reached.exists() {
                assert_eq!(child.try_wait().unwrap(), None, "it ended before stop {stop}");
                std::thread::sleep(Duration::from_millis(20));
            }
            if stop < stops_at {
                std::fs::remove_file(&reached).unwrap();
            }
        }
        let second = run(&repository, &server, &["heal", "--", "true"]);
        assert_eq!(second.code, Some(5), "two at once do not mix: {}", second.all());
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::remove_file(&reached).unwrap();
        assert_eq!((state(&repository), repository.read("add.sh")), before);
        let next = run(&repository, &server, &["heal", "--", "true"]);
        assert_eq!(next.code, Some(0), "{}", next.all());
        let said = next.all().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("removed its copy of the work tree"), "{}", next.all());
        assert_eq!((state(&repository), repository.read("add.sh")), before);
        assert_no_copy(&repository);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_writes_the_fix_is_whole_or_taken_back() {
    let server = ModelServer::start(&[FIX], APPROVE).await;
    for delay in [0, 2, 5, 10, 20, 40, 80, 160] {
        let repository = changed();
        let before = (state(&repository), repository.read("add.sh"));
        let ended = repository.path().join(".git/ended");
        // At the second end of the command, the fix is merged back.
        let text = "sh test.sh && touch \"$ORIGINAL/.git/ended\"";
        let mut child = command(
            &repository,
            &server,
            &["heal", "--sandbox", "off", "--env", "ORIGINAL", "--", text],
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
        let began = Instant::now();
        while !ended.exists() && began.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(delay));
        let _ended_already = child.kill();
        child.wait().unwrap();
        let fixed = before.1.replace("$1 - $2", "$1 + $2");
        let text = repository.read("add.sh");
        assert!(text == before.1 || text == fixed, "{delay}: {text}");
        let next = run(&repository, &server, &["heal", "--", "true"]);
        assert_eq!(next.code, Some(0), "{delay}: {}", next.all());
        let text = repository.read("add.sh");
        assert!(text == before.1 || text == fixed, "{delay}: {text}");
        assert_eq!(state(&repository), before.0, "{delay}");
        if text == fixed {
            let undone = repository.run(&["heal", "--undo"]);
            assert_eq!(undone.code, Some(0), "{delay}: {}", undone.all());
            assert_eq!(repository.read("add.sh"), before.1);
        }
        assert_no_copy(&repository);
    }
}

/// Runs of the command before a patch: a located compiler error is not rerun.
const WITHOUT_PATCH: u32 = 1;

/// Starts `heal`, and ends it with `kill -9` when the command it heals runs for the `nth` time.
fn killed_at(repository: &Repository, server: &ModelServer, nth: u32) {
    let reached = repository.path().join(".git/reached");
    let held = "touch \"$ORIGINAL/.git/reached\"; while [ -e \"$ORIGINAL/.git/reached\" ]; do sleep 0.05; done; sh test.sh";
    let mut child =
        command(repository, server, &["heal", "--sandbox", "off", "--env", "ORIGINAL", "--", held])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
    for stop in 1..=nth {
        while !reached.exists() {
            assert_eq!(child.try_wait().unwrap(), None, "it ended before stop {stop}");
            std::thread::sleep(Duration::from_millis(20));
        }
        if stop < nth {
            std::fs::remove_file(&reached).unwrap();
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(&reached).unwrap();
}

/// Without line breaks.
fn said(outcome: &Outcome) -> String {
    outcome.all().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_after_a_kill_is_not_undone() {
    let fixed = BROKEN.replace("$1 - $2", "$1 + $2");
    let server = ModelServer::start(&[FIX], APPROVE).await;
    for go_on in [&["commit", "-qam", "mine"][..], &["commit", "-qm", "empty", "--allow-empty"]] {
        let repository = Repository::new(&[("add.sh", BROKEN), ("test.sh", TEST)]);
        killed_at(&repository, &server, WITHOUT_PATCH + 1);
        assert_eq!(repository.read("add.sh"), fixed);
        repository.git(go_on);
        let status = repository.git(&["status", "--porcelain"]);
        let next = run(&repository, &server, &["heal", "--", "true"]);
        assert_eq!(next.code, Some(0), "{}", next.all());
        assert_eq!(repository.read("add.sh"), fixed, "{go_on:?}");
        assert_eq!(repository.git(&["status", "--porcelain"]), status);
        assert!(said(&next).contains("HEAD is no longer at"), "{}", next.all());
        // The first time: the dead run is cleaned up.
        let again = run(&repository, &server, &["heal", "--", "true"]);
        assert!(!said(&again).contains("HEAD"), "{}", again.all());
    }
    // If HEAD has not moved, the partial fix is reverted as usual.
    let repository = Repository::new(&[("add.sh", BROKEN), ("test.sh", TEST)]);
    killed_at(&repository, &server, WITHOUT_PATCH + 1);
    let next = run(&repository, &server, &["heal", "--", "true"]);
    assert_eq!(next.code, Some(0), "{}", next.all());
    assert_eq!(repository.read("add.sh"), BROKEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_during_a_run_is_not_undone_by_its_end() {
    let repository = Repository::new(&[("add.sh", BROKEN), ("test.sh", TEST)]);
    let server = ModelServer::start(&[FIX], APPROVE).await;
    // The user commits the patch while the command runs on it, and the command keeps failing.
    let text = "git -c user.name=t -c user.email=t@localhost commit -qam mine; exit 1";
    let outcome =
        run(&repository, &server, &["heal", "--sandbox", "off", "--env", "ORIGINAL", "--", text]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(repository.read("add.sh").contains("$1 + $2"), "{}", outcome.all());
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
    assert!(said(&outcome).contains("HEAD is no longer at"), "{}", outcome.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fix_is_taken_back_where_it_is_and_stays_known_where_it_is_not() {
    let repository = Repository::new(&[("add.sh", BROKEN), ("test.sh", TEST)]);
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome = run(&repository, &server, &["heal", "--", "sh", "test.sh"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let linked = tempfile::tempdir().unwrap();
    let linked = linked.path().join("linked");
    repository.git(&["worktree", "add", "-q", "-b", "other", linked.to_str().unwrap()]);
    let elsewhere: Outcome = repository
        .greenloop()
        .args(["heal", "--undo"])
        .current_dir(&linked)
        .output()
        .unwrap()
        .into();
    assert_eq!(elsewhere.code, Some(2), "{}", elsewhere.all());
    repository.git(&["stash", "-q"]);
    let absent = repository.run(&["heal", "--undo"]);
    assert_eq!(absent.code, Some(1), "{}", absent.all());
    assert!(absent.stderr.contains("nothing was removed"), "{}", absent.all());
    repository.git(&["stash", "pop", "-q"]);
    let undone = repository.run(&["heal", "--undo"]);
    assert_eq!(undone.code, Some(0), "{}", undone.all());
    assert_eq!(repository.read("add.sh"), BROKEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_folder_inside_the_work_tree_is_not_copied_into_itself() {
    for linked in [false, true] {
        let repository = Repository::new(&[
            ("add.sh", BROKEN),
            ("test.sh", &format!("{TEST}[ ! -e cache/greenloop ]\n")),
            (".gitignore", "cache/\nlink\n"),
        ]);
        repository.write("wip.txt", "wip\n");
        repository.write("cache/x", "x\n");
        std::os::unix::fs::symlink("cache", repository.path().join("link")).unwrap();
        let cache = repository.path().join(if linked { "link" } else { "cache" });
        let server = ModelServer::start(&[FIX], APPROVE).await;
        let outcome: Outcome = command(&repository, &server, &["heal", "--", "sh", "test.sh"])
            .env("XDG_CACHE_HOME", &cache)
            .output()
            .unwrap()
            .into();
        assert_eq!(outcome.code, Some(0), "{}", outcome.all());
        assert!(!repository.path().join("cache/greenloop").exists());
        assert!(repository.read("add.sh").contains("$1 + $2"));
    }
}

/// The program without root's permission to read everything.
fn unprivileged(command: &Command) -> Command {
    let mut plain = Command::new("setpriv");
    plain.args(["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]);
    plain.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => plain.env(name, value),
            None => plain.env_remove(name),
        };
    }
    plain.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
    plain
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_left_out_with_one_notice() {
    let repository =
        Repository::new(&[("add.sh", BROKEN), ("test.sh", TEST), (".gitignore", "data/\n*.key\n")]);
    repository.write("wip.txt", "wip\n");
    repository.write("data/postgres/base", "x\n");
    repository.write("data/readable", "x\n");
    repository.write("secret.key", "x\n");
    repository.write("untracked", "x\n");
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    for path in ["data/postgres", "secret.key", "untracked"] {
        std::fs::set_permissions(repository.path().join(path), Clone::clone(&closed)).unwrap();
    }
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let text = "[ -e data/readable ] && [ ! -e data/postgres ] && sh test.sh";
    let outcome: Outcome = unprivileged(&command(
        &repository,
        &server,
        &["heal", "--sandbox", "off", "--env", "ORIGINAL", "--", text],
    ))
    .output()
    .unwrap()
    .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(repository.read("add.sh").contains("$1 + $2"));
    assert_eq!(said(&outcome).matches("cannot be read").count(), 1, "{}", outcome.all());
    assert_no_copy(&repository);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(repository.path().join("data/postgres"), open).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_does_not_fit_leaves_nothing_behind() {
    let repository =
        Repository::new(&[("add.sh", BROKEN), ("test.sh", TEST), (".gitignore", "big\n")]);
    repository.write("wip.txt", "wip\n");
    repository.write("big", &"x".repeat(3 << 20));
    let exclude = repository.read(".git/info/exclude");
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let heal = command(&repository, &server, &["heal", "--", "sh", "test.sh"]);
    // A limit on the file size simulates a full disk.
    let mut limited = Command::new("sh");
    limited.arg("-c").arg("trap '' XFSZ; ulimit -f 4096; exec \"$@\"").arg("sh");
    limited.arg(heal.get_program()).args(heal.get_args());
    limited.envs(heal.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let outcome: Outcome = limited.current_dir(repository.path()).output().unwrap().into();
    assert_eq!(outcome.code, Some(3), "{}", outcome.all());
    for part in ["cannot copy big to", "greenloop/heal", "XDG_CACHE_HOME"] {
        assert!(said(&outcome).contains(part), "{part}: {}", outcome.all());
    }
    assert!(!repository.path().join("logs").exists());
    assert_eq!(repository.read(".git/info/exclude"), exclude);
    assert_eq!(repository.git(&["for-each-ref", "refs/greenloop", "refs/heads/greenloop"]), "");
    let traces = std::fs::read_dir(repository.path().join(".git/greenloop/claims")).unwrap();
    let traces =
        traces.flatten().filter(|file| file.path().extension().is_some_and(|e| e == "json"));
    assert_eq!(traces.count(), 0, "the next run has nothing to clean up");
    assert_no_copy(&repository);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_the_original_is_told_from_a_patch_that_does_not_help() {
    let repository = Repository::new(&[
        ("add.sh", BROKEN),
        // Like an editable install or a CMake cache: it records the path.
        ("test.sh", &TEST.replace(". ./add.sh", ". \"$ORIGINAL/add.sh\"")),
    ]);
    repository.write("wip.txt", "wip\n");
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome = run(&repository, &server, &["heal", "--", "sh", "test.sh"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(said(&outcome).contains("tests the original"), "{}", outcome.all());
    assert_eq!(repository.read("add.sh"), BROKEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_of_another_program_does_not_keep_a_command_from_being_healed() {
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let theirs = "environments:\n  production:\n    replicas: 3\nservices: [a, b]\n";
    let ours = "environments:\n  local:\n    url: http://localhost:1\n    oops: 1\ndeploy:\n  method: process\n";
    for (config, flags, code) in [
        (theirs, &[][..], 0),
        (ours, &[], 2),
        (ours, &["--config", ""], 0),
        (theirs, &["--config", "config.yaml"], 2),
    ] {
        let repository =
            Repository::new(&[("add.sh", BROKEN), ("test.sh", TEST), ("config.yaml", config)]);
        let arguments: Vec<&str> =
            ["heal"].iter().chain(flags).chain(&["--", "sh", "test.sh"]).copied().collect();
        let outcome = run(&repository, &server, &arguments);
        assert_eq!(outcome.code, Some(code), "{config} {flags:?}: {}", outcome.all());
        assert_eq!(repository.read("add.sh") == BROKEN, code != 0);
    }
}
