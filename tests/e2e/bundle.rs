//! `greenloop heal --bundle` in one clone and `greenloop accept` in another: two jobs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::children::{Dumps, SECRETS, canary, holds_none};
use crate::repository::{Outcome, Repository};
use crate::server::{APPROVE, ModelServer};

const TEST: &str = "#!/bin/sh\n. ./add.sh\n[ \"$(add 2 3)\" = 5 ] || { echo \"add.sh:2: error: add 2 3 is $(add 2 3), not 5\" >&2; exit 1; }\n";
const BROKEN: &str = "add() {\n  echo $(($1 - $2))\n}\n";
const FIX: &str = "The operator is wrong: it subtracts.\n\n\
    add.sh\n```sh\n<<<<<<< SEARCH\n  echo $(($1 - $2))\n=======\n  echo $(($1 + $2))\n>>>>>>> REPLACE\n```\n";
const COMMAND: [&str; 3] = ["--", "sh", "test.sh"];

/// Two clones of one commit, and the key of the first one's job.
struct Jobs {
    folder: tempfile::TempDir,
    heals: Repository,
    key: String,
}

impl Jobs {
    fn new() -> Self {
        Self::of(&[("add.sh", BROKEN), ("test.sh", TEST), ("other.txt", "as it was\n")])
    }

    fn of(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let heals = Repository::new(files);
        let key = heals.run(&[
            "audit",
            "keygen",
            "heal-job",
            "--out",
            folder.path().join("key").to_str().unwrap(),
        ]);
        assert_eq!(key.code, Some(0), "{}", key.all());
        Self { folder, heals, key: key.stdout.trim().to_owned() }
    }

    fn bundle(&self) -> PathBuf {
        self.folder.path().join("heal.bundle")
    }

    async fn heal(&self, answer: &str) -> Outcome {
        let server = ModelServer::start(&[answer], APPROVE).await;
        self.heals
            .greenloop()
            .args(["heal", "--bundle", self.bundle().to_str().unwrap()])
            .args(COMMAND)
            .env("GREENLOOP_AUDIT_KEY_FILE", self.folder.path().join("key"))
            .env("OPENAI_BASE_URL", server.base_url())
            .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
            .env("GREENLOOP_MODEL", "test-model")
            .env("SYSTEM_ACCESSTOKEN", "the-token-of-the-job")
            .output()
            .unwrap()
            .into()
    }

    /// The second job's clone, with the first one's commit and nothing else of it.
    fn clone(&self, name: &str) -> Clone {
        let path = self.folder.path().join(name);
        let done = Command::new("git")
            .args(["clone", "--quiet", "--single-branch", "--branch", "main"])
            .arg(self.heals.path())
            .arg(&path)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Clone { path }
    }
}

struct Clone {
    path: PathBuf,
}

impl Clone {
    fn accept(&self, bundle: &Path, key: &str, more: &[&str]) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenloop"));
        for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "GREENLOOP_CONFIG", "TF_BUILD"] {
            command.env_remove(name);
        }
        let output = command
            .args(["accept", bundle.to_str().unwrap(), "--key", key])
            .args(more)
            .current_dir(&self.path)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        output.into()
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
            .args(arguments)
            .current_dir(&self.path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Everything that an acceptance could write but for the checkpoints of its audit log.
    fn state(&self) -> [String; 4] {
        let refs = self.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
        let others = refs.lines().filter(|line| !line.starts_with("refs/greenloop/audit "));
        [
            others.collect::<Vec<_>>().join("\n"),
            self.git(&["rev-parse", "HEAD"]),
            self.git(&["status", "--porcelain", "--untracked-files=all"]),
            format!("{}", self.path.join("logs").exists()),
        ]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_job_heals_another_judges_again_and_commits() {
    let jobs = Jobs::new();
    let healed = jobs.heal(FIX).await;
    assert_eq!(healed.code, Some(0), "{}", healed.all());
    assert!(healed.all().contains("greenloop accept"), "{}", healed.all());
    assert!(healed.all().contains("this job holds SYSTEM_ACCESSTOKEN"), "{}", healed.all());
    // The job that heals keeps its files as they were.
    assert_eq!(jobs.heals.read("add.sh"), BROKEN);
    assert_eq!(jobs.heals.git(&["status", "--porcelain"]), "");

    let clone = jobs.clone("accepts");
    let before = clone.git(&["rev-parse", "HEAD"]);
    let accepted = clone.accept(&jobs.bundle(), &jobs.key, &COMMAND);
    assert_eq!(accepted.code, Some(0), "{}", accepted.all());
    assert_eq!(clone.git(&["rev-parse", "HEAD~1"]), before);
    assert_eq!(clone.git(&["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!(clone.git(&["status", "--porcelain"]), "");
    let add = std::fs::read_to_string(clone.path.join("add.sh")).unwrap();
    assert!(add.contains("$(($1 + $2))"), "{add}");
    let message = clone.git(&["log", "-1", "--format=%B"]);
    assert!(message.contains("Greenloop-Run:") && message.contains("bundle of run"), "{message}");
    // Its own log says what it was and proves what was run here.
    let runs: Vec<PathBuf> = std::fs::read_dir(clone.path.join("logs/runs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let log = std::fs::read_to_string(runs[0].join("audit.jsonl")).unwrap();
    for part in ["accept the repair of `sh test.sh`", "bundle of run", "policy.evaluated"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let kept = std::fs::read(runs[0].join("accepted.bundle")).unwrap();
    assert_eq!(kept, std::fs::read(jobs.bundle()).unwrap());

    // A second time, the command passes without it.
    let head = clone.git(&["rev-parse", "HEAD"]);
    let again = clone.accept(&jobs.bundle(), &jobs.key, &[]);
    assert_eq!(again.code, Some(1), "{}", again.all());
    assert!(again.all().contains("add.sh changed between"), "{}", again.all());
    assert_eq!(clone.git(&["rev-parse", "HEAD"]), head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_is_not_what_the_key_signed_is_refused_and_nothing_is_written() {
    let jobs = Jobs::new();
    assert_eq!(jobs.heal(FIX).await.code, Some(0));
    let good = std::fs::read(jobs.bundle()).unwrap();
    let clone = jobs.clone("accepts");
    let before = clone.state();
    let file = jobs.folder.path().join("other.bundle");
    let refused = |bytes: &[u8], key: &str, more: &[&str], says: &str| {
        std::fs::write(&file, bytes).unwrap();
        let outcome = clone.accept(&file, key, more);
        assert_eq!(outcome.code, Some(1), "{says}: {}", outcome.all());
        assert!(outcome.all().contains(says), "{says}: {}", outcome.all());
        assert!(outcome.all().contains("nothing was written"), "{}", outcome.all());
        assert_eq!(clone.state(), before, "{says}");
    };
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    refused(&flipped(20), &jobs.key, &[], "its signature is not one of the key");
    refused(&flipped(good.len() - 1), &jobs.key, &[], "its hash is another");
    refused(&good[..good.len() / 2], &jobs.key, &[], "cut off");
    refused(&[&good[..], b"x"].concat(), &jobs.key, &[], "appended");
    refused(b"PK\x03\x04", &jobs.key, &[], "not a bundle of Greenloop");
    refused(&[], &jobs.key, &[], "not a bundle of Greenloop");
    let other = Jobs::new();
    refused(&good, &other.key, &[], "its signature is not one of the key");
    refused(&good, &jobs.key, &["--", "true"], "it is a repair of `sh test.sh`, not of `true`");
    let size = std::fs::File::create(&file).unwrap();
    size.set_len(65 << 20).unwrap();
    let outcome = clone.accept(&file, &jobs.key, &[]);
    assert!(outcome.all().contains("larger than"), "{}", outcome.all());
    assert_eq!(clone.state(), before);

    // Another repository, one that does not have the commit yet, and one that went on.
    let stranger = Jobs::of(&[("add.sh", BROKEN), ("test.sh", TEST), ("x", "x")]);
    let stranger = stranger.clone("stranger");
    let outcome = stranger.accept(&jobs.bundle(), &jobs.key, &[]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(outcome.all().contains("not in the history of HEAD"), "{}", outcome.all());
    let outcome = clone.accept(&jobs.bundle(), "heal-job+00000000+AAAA", &[]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_went_on_takes_the_repair_unless_its_files_did() {
    let jobs = Jobs::new();
    assert_eq!(jobs.heal(FIX).await.code, Some(0));
    let clone = jobs.clone("accepts");
    std::fs::write(clone.path.join("other.txt"), "went on\n").unwrap();
    clone.git(&["commit", "-qam", "another file"]);
    let accepted = clone.accept(&jobs.bundle(), &jobs.key, &COMMAND);
    assert_eq!(accepted.code, Some(0), "{}", accepted.all());
    assert_eq!(clone.git(&["show", "HEAD:other.txt"]), "went on");
    assert!(clone.git(&["show", "HEAD:add.sh"]).contains("$(($1 + $2))"));

    // What is not committed is not overwritten, and not taken along.
    let clone = jobs.clone("dirty");
    std::fs::write(clone.path.join("other.txt"), "mine\n").unwrap();
    let before = clone.git(&["rev-parse", "HEAD"]);
    let outcome = clone.accept(&jobs.bundle(), &jobs.key, &COMMAND);
    assert_eq!(outcome.code, Some(2), "{}", outcome.all());
    assert_eq!(clone.git(&["rev-parse", "HEAD"]), before);
    assert_eq!(clone.git(&["status", "--porcelain"]), "M other.txt");
}

/// The rules of the checkout decide, whatever the job that made the patch had.
#[tokio::test(flavor = "multi_thread")]
async fn the_accepting_side_s_policy_and_its_own_run_of_the_command_decide() {
    let jobs = Jobs::new();
    assert_eq!(jobs.heal(FIX).await.code, Some(0));

    let strict = jobs.folder.path().join("strict.yaml");
    let config = |safety: &str| {
        format!(
            "environments:\n  local:\n    url: http://127.0.0.1:1\n    health_endpoint: /\n\
             deploy:\n  method: process\n  process:\n    command: [x]\n    artifacts: [x]\n{safety}"
        )
    };
    std::fs::write(&strict, config("safety:\n  require_confirmation: ['$1 + $2']\n")).unwrap();
    let clone = jobs.clone("strict");
    let before = clone.state();
    let with = ["--config", strict.to_str().unwrap()];
    let asked = clone.accept(&jobs.bundle(), &jobs.key, &with);
    assert_eq!(asked.code, Some(1), "{}", asked.all());
    assert!(asked.all().contains("nothing was committed"), "{}", asked.all());
    assert_eq!(clone.state()[..3], before[..3]);
    let yes = clone.accept(&jobs.bundle(), &jobs.key, &[&with[..], &["--yes"]].concat());
    assert_eq!(yes.code, Some(0), "{}", yes.all());
    assert!(yes.all().contains("the rules here are not those"), "{}", yes.all());

    // Here the command fails with the patch as well.
    let clone = jobs.clone("elsewhere");
    std::fs::write(clone.path.join("other.txt"), "x\n").unwrap();
    let test = format!("{TEST}[ -e other.txt ] && grep -q 'as it was' other.txt\n");
    std::fs::write(clone.path.join("test.sh"), test).unwrap();
    clone.git(&["commit", "-qam", "another test"]);
    let before = clone.state();
    let failed = clone.accept(&jobs.bundle(), &jobs.key, &[]);
    assert_eq!(failed.code, Some(1), "{}", failed.all());
    assert_eq!(clone.state()[..3], before[..3], "{}", failed.all());

    // Nothing is run: the same checkout takes it, and says so.
    let trusted = clone.accept(&jobs.bundle(), &jobs.key, &["--no-rerun", "--branch"]);
    assert_eq!(trusted.code, Some(0), "{}", trusted.all());
    assert!(trusted.all().contains("NOTHING IS RUN AGAIN"), "{}", trusted.all());
    assert_eq!(clone.git(&["rev-parse", "HEAD"]), before[1]);
    let branch = clone.git(&["branch", "--list", "greenloop/*", "--format=%(refname:short)"]);
    assert!(clone.git(&["show", &format!("{branch}:add.sh")]).contains("$(($1 + $2))"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_repair_is_pushed_on_a_branch_of_its_own() {
    let jobs = Jobs::new();
    assert_eq!(jobs.heal(FIX).await.code, Some(0));
    let remote = jobs.folder.path().join("remote.git");
    let done = Command::new("git").args(["init", "--quiet", "--bare"]).arg(&remote).output();
    assert!(done.unwrap().status.success());
    let clone = jobs.clone("accepts");
    clone.git(&["remote", "set-url", "origin", remote.to_str().unwrap()]);
    let accepted = clone.accept(&jobs.bundle(), &jobs.key, &["--push"]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.all());
    let pushed = clone.git(&["ls-remote", "origin", "refs/heads/greenloop/*"]);
    let head = clone.git(&["rev-parse", "HEAD"]);
    assert!(pushed.starts_with(&head) && pushed.lines().count() == 1, "{pushed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_or_with_changes_of_somebody_s_no_bundle_is_begun() {
    let jobs = Jobs::new();
    let bundle = jobs.bundle();
    let heal = || {
        let mut command = jobs.heals.greenloop();
        command.args(["heal", "--bundle", bundle.to_str().unwrap(), "--", "sh", "test.sh"]);
        command.env_remove("GREENLOOP_AUDIT_KEY").env_remove("GREENLOOP_AUDIT_KEY_FILE");
        command
    };
    let outcome: Outcome = heal().output().unwrap().into();
    assert_eq!(outcome.code, Some(2), "{}", outcome.all());
    assert!(outcome.all().contains("audit keygen"), "{}", outcome.all());
    assert!(!jobs.heals.path().join("logs").exists());

    jobs.heals.write("add.sh", &format!("{BROKEN}# mine\n"));
    let key = jobs.folder.path().join("key");
    let outcome: Outcome = heal().env("GREENLOOP_AUDIT_KEY_FILE", &key).output().unwrap().into();
    assert_eq!(outcome.code, Some(2), "{}", outcome.all());
    assert!(!bundle.exists());

    // A command that passes has nothing to hand on.
    jobs.heals.write("add.sh", &BROKEN.replace('-', "+"));
    jobs.heals.commit("right");
    let outcome: Outcome = heal().env("GREENLOOP_AUDIT_KEY_FILE", &key).output().unwrap().into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.all().contains("was not written"), "{}", outcome.all());
    assert!(!bundle.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn git_and_its_hooks_get_no_keys_of_greenloop() {
    let jobs = Jobs::new();
    assert_eq!(jobs.heal(FIX).await.code, Some(0));
    let remote = jobs.folder.path().join("remote.git");
    let done = Command::new("git").args(["init", "--quiet", "--bare"]).arg(&remote).output();
    assert!(done.unwrap().status.success());
    let clone = jobs.clone("accepts");
    clone.git(&["remote", "set-url", "origin", remote.to_str().unwrap()]);
    let dumps = Dumps::new();
    let git = Command::new("sh").args(["-c", "command -v git"]).output().unwrap().stdout;
    let git = String::from_utf8(git).unwrap();
    dumps.program("bin/git", &format!("sh OUT/dump git\nexec {} \"$@\"\n", git.trim()));
    let hook = dumps.program("hook", "sh OUT/dump hook\n");
    std::fs::copy(&hook, clone.path.join(".git/hooks/pre-push")).unwrap();
    std::fs::copy(&hook, remote.join("hooks/pre-receive")).unwrap();

    let mut command = Command::new(env!("CARGO_BIN_EXE_greenloop"));
    for name in SECRETS {
        command.env(name, canary(name));
    }
    let path = std::env::var("PATH").unwrap();
    let outcome: Outcome = command
        .args(["accept", jobs.bundle().to_str().unwrap(), "--key", &jobs.key, "--push"])
        .current_dir(&clone.path)
        .env("PATH", format!("{}:{path}", dumps.path().join("bin").display()))
        .env("GREENLOOP_AUDIT_KEY_FILE", jobs.folder.path().join("key"))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    for child in ["git", "hook"] {
        for [env, arguments, _] in dumps.of(child) {
            let own = ["OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "GREENLOOP_HUB_TOKEN"];
            holds_none(child, &env, &own);
            holds_none(child, &arguments, SECRETS);
        }
    }
}
