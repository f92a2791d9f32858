//! `greenloop heal` in a work tree that holds changes: on a copy of it, the fix coming back.

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

/// Everything that a person has in a repository, but for what Greenloop keeps in git's folder.
fn state(repository: &Repository) -> [String; 4] {
    [
        repository.git(&["ls-files", "--stage", "-v"]),
        repository.git(&["rev-parse", "HEAD"]),
        repository.git(&["status", "--porcelain=v2"]),
        repository.git(&["stash", "list"]),
    ]
}

/// No copy is left: neither for git nor on disk.
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
    // The gate, once it passes, edits the file in the original: somebody who works on.
    for (edit, code) in [("s/# one/# meanwhile/", 0), ("s/echo/printf/", 1)] {
        let repository = Repository::new(&[
            ("add.sh", BROKEN),
            ("test.sh", &format!("{TEST}sed -i '{edit}' \"$ORIGINAL/add.sh\"\n")),
        ]);
        repository.write("wip.txt", "wip\n");
        let server = ModelServer::start(&[FIX], APPROVE).await;
        let outcome = run(&repository, &server, &["heal", "--", "sh", "test.sh"]);
        assert_eq!(outcome.code, Some(code), "{}", outcome.all());
        let text = repository.read("add.sh");
        if code == 0 {
            let both = BROKEN.replace("$1 - $2", "$1 + $2").replace("# one", "# meanwhile");
            assert_eq!(text, both);
        } else {
            assert_eq!(text, BROKEN.replace("echo", "printf"), "nothing of theirs is touched");
            assert!(outcome.all().contains("git diff "), "{}", outcome.all());
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
        let mut child = command(&repository, &server, &["heal", "--", held])
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
        // The second time the command is at its end, the fix comes back.
        let text = "sh test.sh && touch \"$ORIGINAL/.git/ended\"";
        let mut child = command(&repository, &server, &["heal", "--", text])
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
