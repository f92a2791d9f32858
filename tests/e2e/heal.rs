//! `greenloop heal` against a server that speaks OpenAI's protocol.

use crate::repository::{Outcome, Repository};
use crate::server::{APPROVE, ModelServer, Quirk, REJECT};

const TEST: &str = "#!/bin/sh\n. ./add.sh\n[ \"$(add 2 3)\" = 5 ] || { echo \"add.sh:2: error: add 2 3 is $(add 2 3), not 5\" >&2; exit 1; }\n";
const BROKEN: &str = "add() {\n  echo $(($1 - $2))\n}\n";

const FIX: &str = "The operator is wrong: it subtracts.\n\n\
    add.sh\n```sh\n<<<<<<< SEARCH\n  echo $(($1 - $2))\n=======\n  echo $(($1 + $2))\n>>>>>>> REPLACE\n```\n";
/// Wrong line numbers, changed indentation, surrounding prose: typical answers of models.
const FIX_AS_DIFF: &str = "Here is the patch:\n\n```diff\n--- a/add.sh\n+++ b/add.sh\n@@ -40,9 +40,9 @@ add\n add() {\n-    echo $(($1 - $2))\n+    echo $(($1 + $2))\n }\n```\nThat is all.\n";

fn repository() -> Repository {
    Repository::new(&[("add.sh", BROKEN), ("test.sh", TEST)])
}

fn heal(repository: &Repository, server: &ModelServer, arguments: &[&str]) -> Outcome {
    repository
        .greenloop()
        .arg("heal")
        .args(arguments)
        .args(["--", "sh", "test.sh"])
        .env("OPENAI_BASE_URL", server.base_url())
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .env("GREENLOOP_MODEL", "test-model")
        .output()
        .unwrap()
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_command_is_healed_in_the_work_tree() {
    for answer in [FIX, FIX_AS_DIFF] {
        let repository = repository();
        let server = ModelServer::start(&[answer], APPROVE).await;
        let outcome = heal(&repository, &server, &[]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.all());
        assert!(repository.read("add.sh").contains("  echo $(($1 + $2))"), "{}", outcome.all());
        assert_eq!(repository.read("test.sh"), TEST);
        assert_eq!(server.author_requests().len(), 1);
        assert_eq!(server.reviewer_requests().len(), 1);
        assert_eq!(repository.git(&["status", "--porcelain"]), "M add.sh");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_branch_the_work_tree_stays_and_the_branch_has_the_fix() {
    let repository = repository();
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome = heal(&repository, &server, &["--branch"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!(repository.read("add.sh"), BROKEN);
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
    let branches =
        repository.git(&["branch", "--list", "greenloop/*", "--format=%(refname:short)"]);
    let fixed = repository.git(&["show", &format!("{branches}:add.sh")]);
    assert!(fixed.contains("$(($1 + $2))"), "{fixed}");
    assert_eq!(repository.git(&["rev-list", "--count", &format!("main..{branches}")]), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_passes_asks_nobody() {
    let repository = Repository::new(&[("a", "x\n")]);
    let outcome = repository.run(&["heal", "--", "true"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
}

#[test]
fn no_command_is_a_mistake_and_not_a_pass() {
    let repository = Repository::new(&[("a", "x\n")]);
    for command in ["", "   ", "\n", "# cargo test"] {
        let outcome = repository.run(&["heal", "--", command]);
        assert_eq!(outcome.code, Some(2), "{command:?}: {}", outcome.all());
        assert!(outcome.all().contains("no command"), "{}", outcome.all());
    }
    assert!(!repository.path().join("logs").exists(), "no run was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_once_is_flaky_and_nobody_is_asked() {
    let repository = repository();
    let server = ModelServer::start(&[FIX], APPROVE).await;
    repository.write("t.sh", "echo run >>.git/runs\n[ \"$(wc -l <.git/runs)\" -ge 2 ] || { echo 'total is 3, not 5' >&2; exit 1; }\n");
    repository.commit("a test that fails by chance");
    let outcome: Outcome = repository
        .greenloop()
        .args(["heal", "--sandbox", "off", "--", "sh", "t.sh"])
        .env("OPENAI_BASE_URL", server.base_url())
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .env("GREENLOOP_MODEL", "test-model")
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let headline = "Flaky: it failed once and passed on the same tree";
    assert!(outcome.all().contains(headline), "{}", outcome.all());
    assert!(!outcome.all().contains("nothing had to be repaired"), "{}", outcome.all());
    let summary = std::fs::read_to_string(repository.run_folder().join("summary.md")).unwrap();
    assert!(summary.contains(headline), "{summary}");
    assert_eq!(server.author_requests().len(), 0, "{}", outcome.all());
    assert_eq!(repository.read("add.sh"), BROKEN);
    assert_eq!(repository.read(".git/runs").lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_s_error_is_not_tried_again_before_the_author_is_asked() {
    let repository = repository();
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let compile = "echo run >>.git/runs; sh test.sh && exit; \
                   echo \"add.sh:1:8: error: expected '+' before '-' token\" >&2; exit 1";
    let outcome: Outcome = repository
        .greenloop()
        .args(["heal", "--sandbox", "off", "--", compile])
        .env("OPENAI_BASE_URL", server.base_url())
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .env("GREENLOOP_MODEL", "test-model")
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(!outcome.all().contains("rerunning"), "{}", outcome.all());
    // Once before the patch, once with it.
    assert_eq!(repository.read(".git/runs").lines().count(), 2, "{}", outcome.all());
    assert_eq!(server.author_requests().len(), 1, "{}", outcome.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_twice_is_healed_and_runs_once_more_for_the_patch() {
    let repository = repository();
    repository.write("test.sh", &TEST.replace("add.sh:2: error: ", ""));
    repository.commit("a test that names no place");
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome: Outcome = repository
        .greenloop()
        .args(["heal", "--sandbox", "off", "--", "echo run >>.git/runs; sh test.sh"])
        .env("OPENAI_BASE_URL", server.base_url())
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .env("GREENLOOP_MODEL", "test-model")
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!(server.author_requests().len(), 1, "{}", outcome.all());
    assert_eq!(repository.read(".git/runs").lines().count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_git_cannot_store_is_no_fault_of_the_author_s() {
    let repository = repository();
    repository.write(".git/fixed", &BROKEN.replace("$1 - $2", "$1 + $2"));
    let blob = repository.git(&["hash-object", ".git/fixed"]);
    let in_the_way = format!(".git/objects/{}", &blob[..2]);
    let _none_yet = std::fs::remove_dir_all(repository.path().join(&in_the_way));
    repository.write(&in_the_way, "a file where git needs a folder");
    let server = ModelServer::start(&[FIX, FIX], APPROVE).await;
    let outcome = heal(&repository, &server, &[]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.all());
    assert_eq!(server.author_requests().len(), 1, "{}", outcome.all());
    assert!(outcome.all().contains("cannot store add.sh"), "{}", outcome.all());
    assert!(!outcome.all().contains("class="), "{}", outcome.all());
    assert_eq!(repository.read("add.sh"), BROKEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fix_whose_undo_cannot_be_recorded_is_healed_and_offers_no_undo() {
    for dirty in [false, true] {
        let repository = repository();
        if dirty {
            repository.write("notes.txt", "mine\n");
        }
        // Where the refs of fixes lie, a file keeps every ref out.
        repository.write(".git/refs/greenloop/heals", "");
        let server = ModelServer::start(&[FIX], APPROVE).await;
        let outcome = heal(&repository, &server, &[]);
        if dirty {
            // A run in a copy is marked by such a ref before it begins.
            assert_eq!(outcome.code, Some(3), "{}", outcome.all());
            continue;
        }
        assert_eq!(outcome.code, Some(0), "{}", outcome.all());
        assert!(repository.read("add.sh").contains("$1 + $2"), "{}", outcome.all());
        assert!(outcome.all().contains("it passes now"), "{}", outcome.all());
        assert!(outcome.all().contains("--undo cannot remove it"), "{}", outcome.all());
        assert!(!outcome.all().contains("heal --undo"), "{}", outcome.all());
    }
}

/// Re-indents the file and tests it, as `gofmt -w . && go test ./...` does.
const FORMATS: &str = "sed -i 's/^  echo/    echo/' add.sh; sh test.sh";

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_changes_the_file_under_repair_is_healed() {
    for (dirty, flags) in [(false, &[][..]), (true, &[][..]), (false, &["--branch"][..])] {
        let repository = repository();
        if dirty {
            repository.write("notes.txt", "mine\n");
            repository.git(&["add", "notes.txt"]);
        }
        let server = ModelServer::start(&[FIX], APPROVE).await;
        let outcome: Outcome = repository
            .greenloop()
            .arg("heal")
            .args(flags)
            .args(["--", FORMATS])
            .env("OPENAI_BASE_URL", server.base_url())
            .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
            .env("GREENLOOP_MODEL", "test-model")
            .env("XDG_CACHE_HOME", repository.path().join(".git/test-cache"))
            .output()
            .unwrap()
            .into();
        assert_eq!(outcome.code, Some(0), "{}", outcome.all());
        assert_eq!(server.author_requests().len(), 1, "{}", outcome.all());
        assert!(outcome.all().contains("add.sh changed while the gates ran"), "{}", outcome.all());
        let expect = if flags.is_empty() { "$1 + $2" } else { "$1 - $2" };
        assert!(repository.read("add.sh").contains(expect), "{}", outcome.all());
        if !flags.is_empty() {
            assert_eq!(repository.git(&["status", "--porcelain"]), "", "{}", outcome.all());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changes_while_the_author_thinks_is_not_overwritten() {
    let repository = repository();
    // Written by the command, but with a time of long ago: not told from a person's change.
    let command = "printf '# mine\\n' >>add.sh; touch -d '2 hours ago' add.sh; sh test.sh";
    let server = ModelServer::start(&[FIX, FIX], APPROVE).await;
    let outcome: Outcome = repository
        .greenloop()
        .args(["heal", "--", command])
        .env("OPENAI_BASE_URL", server.base_url())
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .env("GREENLOOP_MODEL", "test-model")
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(outcome.all().contains("somebody changed files in the work tree"), "{}", outcome.all());
    assert!(repository.read("add.sh").contains("# mine"), "{}", outcome.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_cannot_bring_a_configuration_or_records() {
    for path in ["config.yaml", "logs/runs/0190/audit.jsonl", "metrics/deployments.json"] {
        let repository = repository();
        let answer = format!(
            "{FIX}\n{path}\n```\n<<<<<<< SEARCH\n=======\nagents: {{}}\n>>>>>>> REPLACE\n```\n"
        );
        let server = ModelServer::start(&[&answer], APPROVE).await;
        let outcome = heal(&repository, &server, &["--yes", "--max-iterations", "2"]);
        assert_eq!(outcome.code, Some(1), "{path}: {}", outcome.all());
        assert_eq!(repository.read("add.sh"), BROKEN, "{path}: {}", outcome.all());
        assert_eq!(server.reviewer_requests().len(), 0, "{path}: {}", outcome.all());
        assert!(!repository.path().join("config.yaml").exists(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_the_failure_is_told_and_the_variable_is_named() {
    let repository = repository();
    let outcome = repository.run(&["heal", "--", "sh", "test.sh"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(
        outcome.all().contains("Failed: gate command failed (exit status 1)"),
        "{}",
        outcome.all()
    );
    assert!(outcome.all().contains("OPENAI_API_KEY"), "{}", outcome.all());
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_goes_back_to_the_author_with_its_suggestion() {
    let repository = repository();
    let server = ModelServer::start(&[FIX], REJECT).await;
    let outcome = heal(&repository, &server, &["--max-iterations", "3"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert_eq!(repository.read("add.sh"), BROKEN);
    let requests = server.author_requests();
    assert_eq!(requests.len(), 2, "{}", outcome.all());
    assert!(requests[1].to_string().contains("repair the cause"), "{}", requests[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_review_is_no_approval() {
    for review in ["LGTM!", r#"{"verdict": "approve"}"#, ""] {
        let repository = repository();
        let server = ModelServer::start(&[FIX], review).await;
        let outcome = heal(&repository, &server, &["--max-iterations", "2"]);
        assert_eq!(outcome.code, Some(1), "{review}: {}", outcome.all());
        assert_eq!(repository.read("add.sh"), BROKEN, "{review}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_answer_is_sent_back_once_with_what_is_wrong() {
    let repository = repository();
    let wrong = FIX.replace("$1 - $2", "$1 * $7");
    let server = ModelServer::start(&[&wrong, FIX], APPROVE).await;
    let outcome = heal(&repository, &server, &["--max-iterations", "2"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let requests = server.author_requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].to_string().contains("$1 - $2"), "{}", requests[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_patch_stops_the_run_with_the_authors_reason() {
    for (class, code) in [("infrastructure", 3), ("needs human", 1)] {
        let repository = repository();
        let answer =
            format!("```no-patch\nclass: {class}\nreason: the licence server is down\n```\n");
        let server = ModelServer::start(&[&answer], APPROVE).await;
        let outcome = heal(&repository, &server, &[]);
        assert_eq!(outcome.code, Some(code), "{}", outcome.all());
        assert!(outcome.all().contains("the licence server is down"), "{}", outcome.all());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_forbids_is_not_applied_even_with_yes() {
    let repository = repository();
    let evil = "```diff\n--- /dev/null\n+++ b/.git/hooks/post-commit\n@@ -0,0 +1 @@\n+touch /tmp/owned\n```\n";
    let server = ModelServer::start(&[evil], APPROVE).await;
    let outcome = heal(&repository, &server, &["--yes", "--max-iterations", "2"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(!repository.path().join(".git/hooks/post-commit").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weakened_test_needs_a_person() {
    let weaken = "```diff\n--- a/test.sh\n+++ b/test.sh\n@@ -1,3 +1,3 @@\n #!/bin/sh\n-. ./add.sh\n+. ./add.sh; exit 0\n```\n";
    let repository = repository();
    let server = ModelServer::start(&[weaken], APPROVE).await;
    let outcome = heal(&repository, &server, &["--max-iterations", "9"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert_eq!(repository.read("test.sh"), TEST);
    // The author was asked for an alternative once; a patch that cannot be applied was not
    // reviewed.
    let asked = server.author_requests();
    assert_eq!(asked.len(), 2, "{}", outcome.all());
    assert!(asked[1].to_string().contains("a way to repair the cause that needs no person"));
    assert_eq!(server.reviewer_requests().len(), 0);
    assert!(outcome.all().contains("a person has to decide"), "{}", outcome.all());

    let server = ModelServer::start(&[weaken, FIX], APPROVE).await;
    let outcome = heal(&repository, &server, &["--max-iterations", "9"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!(repository.read("test.sh"), TEST);
    assert_eq!(server.reviewer_requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_or_a_reviewer_that_repeats_itself_ends_the_run() {
    let prose = "I would look at the operator.";
    let spaced = "I would look at the operator.  \n\n";
    let elsewhere = |n: u32| {
        FIX.replace("add.sh\n```", "nowhere.sh\n```").replace("wrong", &format!("wrong {n} times"))
    };
    let (one, two) = (elsewhere(1), elsewhere(2));
    let wrong = FIX.replace("$1 + $2", "$1 * $2");
    let other = FIX.replace("$1 + $2", "$2 * $1");
    for (what, answers, review, requests) in [
        ("the same prose", vec![prose], APPROVE, 2),
        ("white space apart", vec![prose, spaced], APPROVE, 2),
        ("nothing at all", vec![""], APPROVE, 2),
        ("another text, the same fault", vec![one.as_str(), two.as_str()], APPROVE, 2),
        ("the same patch, rejected", vec![wrong.as_str()], REJECT, 2),
        ("two patches, one verdict", vec![wrong.as_str(), other.as_str(), FIX], REJECT, 2),
    ] {
        let repository = repository();
        let server = ModelServer::start(&answers, review).await;
        let outcome = heal(&repository, &server, &["--max-iterations", "9"]);
        assert_eq!(outcome.code, Some(1), "{what}: {}", outcome.all());
        assert_eq!(server.author_requests().len(), requests, "{what}: {}", outcome.all());
        assert!(outcome.all().contains("no progress"), "{what}: {}", outcome.all());
        assert_eq!(repository.read("add.sh"), BROKEN, "{what}");
        let run = repository.run_folder();
        let id = run.file_name().unwrap().to_str().unwrap();
        let replayed = repository.run(&["audit", "replay", id]);
        assert_eq!(replayed.code, Some(0), "{what}: {}", replayed.all());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_repository_s_configuration_holds_for_heal_too() {
    let config = "environments:\n  local:\n    url: http://127.0.0.1:1\n    health_endpoint: /\n\
        deploy:\n  method: process\n  process:\n    command: [x]\n    artifacts: [x]\n\
        agents:\n  codex:\n    model: the-file-s\n  jules:\n    model: the-reviewer-s\n\
        safety:\n  max_iterations: 7\n  max_changed_lines: 1\n";
    let repository = repository();
    repository.write("config.yaml", config);
    repository.commit("configure");
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome = heal(&repository, &server, &[]);
    // Two lines change, and the policy of the file allows one.
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    let asked = server.author_requests();
    assert_eq!(asked[0]["model"], "the-file-s");
    assert!(asked[0].to_string().contains("iteration 1 of at most 7"), "{}", asked[0]);
    assert_eq!(repository.read("add.sh"), BROKEN);

    // A file of that name with another purpose is no reason to refuse.
    repository.write("config.yaml", "title: a blog\nbaseURL: /\n");
    repository.commit("blog");
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome = heal(&repository, &server, &[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!(server.author_requests()[0]["model"], "test-model");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_model_is_asked_after_an_attempt_that_came_to_nothing() {
    let config = "environments:\n  local:\n    url: http://127.0.0.1:1\n    health_endpoint: /\n\
        deploy:\n  method: process\n  process:\n    command: [x]\n    artifacts: [x]\n\
        agents:\n  codex:\n    models: [small, large]\n    input_price: 10\n\
        \x20   cached_input_price: 1\n    output_price: 20\n  jules:\n    model: critic\n";
    let refused = FIX.replace("$1 - $2", "$1 * $7");
    let no_help = FIX.replace("$1 + $2", "$1 / $2");
    let after_no_help = FIX.replace("$1 - $2", "$1 / $2");
    // A rejected patch, and one that does not help, take an iteration each.
    for (answers, review, iterations, code) in [
        ([refused.as_str(), FIX], APPROVE, "2", 0),
        ([no_help.as_str(), after_no_help.as_str()], APPROVE, "3", 0),
        ([FIX, FIX_AS_DIFF], REJECT, "3", 1),
    ] {
        let repository = repository();
        repository.write("config.yaml", config);
        repository.commit("configure");
        let server = ModelServer::start(&answers, review).await;
        let outcome = heal(&repository, &server, &["--max-iterations", iterations]);
        assert_eq!(outcome.code, Some(code), "{}", outcome.all());
        let asked: Vec<String> =
            server.author_requests().iter().map(|body| body["model"].to_string()).collect();
        assert_eq!(asked, ["\"small\"", "\"large\""], "{}", outcome.all());
        let summary = std::fs::read_to_string(repository.run_folder().join("summary.md")).unwrap();
        // Of 100 tokens sent 60 were cached: 40 for 10 $, 60 for 1 $, and 20 for 20 $ a million.
        let base_url = server.base_url();
        let host = base_url.trim_start_matches("http://").trim_end_matches("/v1");
        for model in ["small", "large"] {
            let row =
                format!("| · {model} at {host} | 1 request · 120 tokens (60 cached) · $0.0009 |");
            assert!(summary.contains(&row), "{row}\n{summary}");
        }
        assert!(summary.contains(&format!("| · critic at {host} |")), "{summary}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_command_is_told_at_once_and_nobody_is_asked() {
    let repository = repository();
    repository.write("scripts/check.sh", "#!/bin/sh\n");
    repository.commit("script");
    let server = ModelServer::start(&[FIX], APPROVE).await;
    for (command, said, remedy) in [
        ("gti-of-nobody status", "there is no program `gti-of-nobody` on the PATH", "install"),
        (
            "scripts/chekc.sh",
            "there is no file `scripts/chekc.sh`",
            "did you mean `scripts/check.sh`",
        ),
        ("scripts/check.sh", "`scripts/check.sh` is not executable", "chmod +x scripts/check.sh"),
    ] {
        let outcome: Outcome = repository
            .greenloop()
            .args(["heal", "--max-iterations", "9", "--", command])
            .env("OPENAI_BASE_URL", server.base_url())
            .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
            .output()
            .unwrap()
            .into();
        assert_eq!(outcome.code, Some(2), "{command}: {}", outcome.all());
        assert!(outcome.stderr.contains(said), "{command}: {}", outcome.all());
        assert!(outcome.stderr.contains(remedy), "{command}: {}", outcome.all());
        assert!(!outcome.all().contains("configuration"), "{command}: {}", outcome.all());
        assert!(!repository.path().join("logs").exists(), "{command}");
    }
    // A command that passes is never refused.
    for command in ["exec 2>&1; true", "lacking-of-nobody; true", "! lacking-of-nobody"] {
        let outcome = repository.run(&["heal", "--", command]);
        assert_eq!(outcome.code, Some(0), "{command}: {}", outcome.all());
    }
    // Without PATH, programs are found as a shell finds them.
    let outcome: Outcome = repository
        .greenloop()
        .args(["heal", "--", "ls test.sh"])
        .env_remove("PATH")
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    // What only a shell can evaluate is run, and judged by its result.
    for command in ["sh -c true && carggo-of-nobody test", "cd . || true; wholly-unknown-tool x"] {
        let outcome: Outcome = repository
            .greenloop()
            .args(["heal", "--max-iterations", "9", "--", command])
            .env("OPENAI_BASE_URL", server.base_url())
            .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
            .output()
            .unwrap()
            .into();
        assert_eq!(outcome.code, Some(1), "{command}: {}", outcome.all());
        assert!(outcome.all().contains("there is no program"), "{command}: {}", outcome.all());
    }
    assert_eq!(server.author_requests().len(), 0);
}

/// Without a timeout, at a terminal that stops background processes.
#[test]
fn a_command_that_asks_at_the_terminal_is_ended_and_told() {
    let repository = repository();
    let program = env!("CARGO_BIN_EXE_greenloop");
    let line = format!("{program} heal --output plain -- 'read -r answer </dev/tty'");
    let mut terminal = std::process::Command::new("timeout");
    terminal.args(["120", "script", "-qec", &line, "/dev/null"]).current_dir(repository.path());
    for (name, value) in repository.greenloop().get_envs() {
        assert!(value.is_none(), "{name:?} is only taken away");
        terminal.env_remove(name);
    }
    terminal.stdin(std::process::Stdio::null());
    let outcome: Outcome = terminal.output().unwrap().into();
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    let said = outcome.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("it waits for input from a terminal"), "{}", outcome.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_reach_neither_the_model_nor_the_disk() {
    let secret = "hunter2-deploy-password-9f3b";
    let leaky = TEST.replace("exit 1;", "echo \"password is $DEPLOY_PASSWORD\" >&2; exit 1;");
    let repository = Repository::new(&[("add.sh", BROKEN), ("test.sh", &leaky)]);
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome: Outcome = repository
        .greenloop()
        .args(["heal", "--env", "DEPLOY_PASSWORD", "--", "sh", "test.sh"])
        .env("OPENAI_BASE_URL", server.base_url())
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .env("DEPLOY_PASSWORD", secret)
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    for request in server.author_requests().iter().chain(&server.reviewer_requests()) {
        assert!(!request.to_string().contains(secret), "{request}");
    }
    assert!(!outcome.all().contains(secret));
    let found = std::process::Command::new("grep")
        .args(["-rl", secret])
        .arg(repository.path().join("logs"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_of_a_healed_run_verifies_and_replays() {
    let repository = repository();
    let server = ModelServer::start(&[FIX], APPROVE).await;
    assert_eq!(heal(&repository, &server, &[]).code, Some(0));
    let run = repository.run_folder();
    let id = run.file_name().unwrap().to_str().unwrap();
    for file in ["audit.jsonl", "summary.md", "report.html", "junit.xml", "patches/patch_1.diff"] {
        assert!(run.join(file).is_file(), "{file}");
    }
    let verified = repository.run(&["audit", "verify", id]);
    assert_eq!(verified.code, Some(0), "{}", verified.all());
    assert!(verified.stdout.contains("complete"), "{}", verified.all());
    let replayed = repository.run(&["audit", "replay", id]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.all());
    assert!(replayed.stdout.contains("no divergence"), "{}", replayed.all());

    let log = run.join("audit.jsonl");
    let changed = std::fs::read_to_string(&log).unwrap().replacen("approve", "approvE", 1);
    std::fs::write(&log, changed).unwrap();
    let broken = repository.run(&["audit", "verify", id]);
    assert_eq!(broken.code, Some(1), "{}", broken.all());
    assert!(broken.stdout.contains("BROKEN"), "{}", broken.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn json_output_is_one_object_a_line() {
    let repository = repository();
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome = heal(&repository, &server, &["--output", "json"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let events: Vec<String> = outcome
        .stdout
        .lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).expect(line);
            event["event"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(events.first().map(String::as_str), Some("started"));
    assert_eq!(events.last().map(String::as_str), Some("finished"));
    assert!(events.iter().any(|e| e == "patch_applied"), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_streams_is_asked_without() {
    let repository = repository();
    let server = ModelServer::with_quirk(&[FIX], APPROVE, Quirk::NoStreams).await;
    let outcome = heal(&repository, &server, &[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(repository.read("add.sh").contains("$1 + $2"), "{}", outcome.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_that_is_always_cut_ends_the_run_and_changes_nothing() {
    let repository = repository();
    let server = ModelServer::with_quirk(&[FIX], APPROVE, Quirk::CutsTheAuthor).await;
    let outcome = heal(&repository, &server, &[]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.all());
    assert!(outcome.all().contains("ended before the answer was complete"), "{}", outcome.all());
    // There is no environment in which `run --resume` could continue it.
    assert!(!outcome.all().contains("--resume"), "{}", outcome.all());
    assert_eq!(repository.read("add.sh"), BROKEN);
    // One request and three retries, twice.
    assert_eq!(server.author_requests().len(), 8);
    assert!(server.reviewer_requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_file_in_the_way_is_told_to_the_author_and_kept() {
    let repository =
        Repository::new(&[("add.sh", BROKEN), ("test.sh", TEST), (".gitignore", "new.sh\n")]);
    repository.write("new.sh", "mine\n");
    let collides = format!("new.sh\n```sh\necho theirs\n```\n\n{FIX}");
    let server = ModelServer::start(&[&collides, FIX], APPROVE).await;
    let outcome = heal(&repository, &server, &[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!(repository.read("new.sh"), "mine\n");
    let requests = server.author_requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].to_string().contains("nothing overwrites them: new.sh"), "{}", requests[1]);
    assert_eq!(server.reviewer_requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_in_the_way_is_told_before_anything_else() {
    let repository = repository();
    repository.git(&["branch", "greenloop"]);
    let outcome = repository.run(&["heal", "--", "sh", "test.sh"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.all());
    assert!(outcome.stderr.contains("git branch -m"), "{}", outcome.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_outside_a_sparse_checkout_are_no_changes() {
    let repository = Repository::new(&[
        ("add.sh", BROKEN),
        ("test.sh", TEST),
        ("in/x", "1\n"),
        ("out/y", "2\n"),
    ]);
    repository.git(&["sparse-checkout", "set", "in"]);
    assert!(!repository.path().join("out/y").exists());
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome = heal(&repository, &server, &[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!(repository.git(&["status", "--porcelain"]), "M add.sh");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_command_line_is_told_nobody() {
    let secret = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
    let repository = repository();
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome: Outcome = repository
        .greenloop()
        .args(["heal", "--", &format!(": {secret}; sh test.sh")])
        .env("OPENAI_BASE_URL", server.base_url())
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(!outcome.all().contains(secret), "{}", outcome.all());
    for request in server.author_requests().iter().chain(&server.reviewer_requests()) {
        assert!(!request.to_string().contains(secret), "{request}");
    }
    let found = std::process::Command::new("grep")
        .args(["-rl", secret])
        .arg(repository.path().join("logs"))
        .arg(repository.path().join(".git/greenloop"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

/// A full tmpfs in place of a folder, unmounted when dropped.
struct FullDisk(std::path::PathBuf);

impl FullDisk {
    /// `None` where mounting is not allowed.
    fn mount(at: std::path::PathBuf) -> Option<Self> {
        let options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"];
        let mount = std::process::Command::new("mount").args(options).arg(&at).output();
        let disk = mount.ok()?.status.success().then(|| Self(at))?;
        let filler = std::fs::File::create(disk.0.join("filler")).unwrap();
        let full = std::io::copy(&mut std::io::repeat(b'x'), &mut &filler).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        Some(disk)
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _still_mounted = std::process::Command::new("umount").arg(&self.0).output();
    }
}

#[test]
fn a_run_whose_first_record_cannot_be_written_leaves_no_folder() {
    let repository = repository();
    let outcome = repository.run(&["heal", "--", "true"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let runs = repository.path().join("logs/runs");
    let Some(_disk) = FullDisk::mount(runs.clone()) else {
        eprintln!("SKIPPED: a tmpfs cannot be mounted here, so no disk was filled");
        return;
    };
    let outcome = repository.run(&["heal", "--", "true"]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.all());
    assert!(outcome.all().contains("No space left"), "{}", outcome.all());
    let left: Vec<_> = std::fs::read_dir(&runs).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["filler"], "{}", outcome.all());
    let outcome = repository.run(&["audit", "verify"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
}

/// Each test writes its name down; `chance` fails the first time.
const CRATE: &str = "pub fn add(a: i32, b: i32) -> i32 { OPERATION }\n\
    #[cfg(test)]\nmod tests {\n    \
    fn ran(name: &str) -> usize {\n        use std::io::Write as _;\n        \
    let path = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/.git/ran-\").to_owned() + name;\n        \
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();\n        \
    writeln!(file, \"{name}\").unwrap();\n        \
    std::fs::read_to_string(path).unwrap().lines().count()\n    }\n    \
    #[test]\n    fn steady() {\n        ran(\"steady\");\n    }\n    \
    #[test]\n    fn chance() {\n        assert!(ran(\"chance\") > 1 || CALM);\n    }\n    \
    #[test]\n    fn adds() {\n        ran(\"adds\");\n        assert_eq!(super::add(2, 3), 5);\n    }\n}\n";

async fn heal_crate(operation: &str, calm: &str) -> (Repository, ModelServer, Outcome) {
    let library = CRATE.replace("OPERATION", operation).replace("CALM", calm);
    let manifest = "[package]\nname = \"sum\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let repository = Repository::new(&[
        ("Cargo.toml", manifest),
        ("src/lib.rs", &library),
        (".gitignore", "/target\nCargo.lock\n"),
    ]);
    let fix = "It subtracts.\n\nsrc/lib.rs\n```rust\n<<<<<<< SEARCH\npub fn add(a: i32, b: i32) -> \
        i32 { a - b }\n=======\npub fn add(a: i32, b: i32) -> i32 { a + b }\n>>>>>>> REPLACE\n```\n";
    let server = ModelServer::start(&[fix], APPROVE).await;
    let outcome: Outcome = repository
        .greenloop()
        .args(["heal", "--sandbox", "off", "--", "cargo test --offline --lib --no-fail-fast"])
        .env("OPENAI_BASE_URL", server.base_url())
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .env("GREENLOOP_MODEL", "test-model")
        .env("CARGO_TARGET_DIR", repository.path().join("target"))
        .output()
        .unwrap()
        .into();
    (repository, server, outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_tests_that_failed_run_again_before_the_author_is_asked() {
    let times = |repository: &Repository, name: &str| {
        repository.read(&format!(".git/ran-{name}")).lines().count()
    };
    // By chance: nobody is asked, and the test is remembered.
    let (repository, server, outcome) = heal_crate("a + b", "false").await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.all().contains("Flaky"), "{}", outcome.all());
    assert_eq!(server.author_requests().len(), 0);
    assert_eq!((times(&repository, "chance"), times(&repository, "steady")), (2, 1));
    assert!(repository.read(".git/greenloop/flaky.json").contains("tests::chance"));
    // For a reason: the failure stands, and the rest runs only with the patch.
    let (repository, server, outcome) = heal_crate("a - b", "true").await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!(server.author_requests().len(), 1, "{}", outcome.all());
    assert_eq!((times(&repository, "adds"), times(&repository, "steady")), (3, 2));
    // Both: the author is told which one is not to be repaired.
    let (repository, server, outcome) = heal_crate("a - b", "false").await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let asked = server.author_requests();
    assert_eq!(asked.len(), 1, "{}", outcome.all());
    let told = asked[0].to_string();
    assert!(told.contains("not what is to be repaired: tests::chance"), "{told}");
    assert!(repository.read(".git/greenloop/flaky.json").contains("tests::chance"));
}
