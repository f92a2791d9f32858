//! What counts as healed: the tests that ran, and what they judge by.

use crate::repository::{Outcome, Repository};
use crate::server::{APPROVE, ModelServer};

/// Prints TAP, as many test runners do.
const TESTS: &str = "#!/bin/sh\n. ./lib/add.sh\nn=0\nbad=0\n\
    check() {\n  n=$((n + 1))\n  if [ \"$2\" = \"$3\" ]; then echo \"ok $n - $1\"; \
    else echo \"not ok $n - $1: $2, not $3\"; bad=1; fi\n}\n\
    check adds \"$(add 2 3)\" 5\ncheck doubles \"$(double 4)\" 8\necho \"1..$n\"\nexit $bad\n";
const BROKEN: &str = "add() {\n  echo $(($1 - $2))\n}\ndouble() {\n  echo $(($1 * 2))\n}\n";
const FIXED: &str = "add() {\n  echo $(($1 + $2))\n}\ndouble() {\n  echo $(($1 * 2))\n}\n";

fn repository() -> Repository {
    Repository::new(&[("lib/add.sh", BROKEN), ("tests/run.sh", TESTS)])
}

fn heal(repository: &Repository, server: &ModelServer, arguments: &[&str]) -> Outcome {
    repository
        .greenloop()
        .arg("heal")
        .args(arguments)
        .args(["--max-iterations", "5", "--", "sh tests/run.sh"])
        .env("OPENAI_BASE_URL", server.base_url())
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .env("GREENLOOP_MODEL", "test-model")
        .output()
        .unwrap()
        .into()
}

/// An answer with whole files.
fn files(files: &[(&str, &str)]) -> String {
    let file = |(path, text): &(&str, &str)| format!("{path}\n```sh\n{text}```\n\n");
    format!("This is right.\n\n{}", files.iter().map(file).collect::<String>())
}

/// The expectation follows the fault.
fn weakened() -> String {
    TESTS.replace("\" 5\n", "\" -1\n")
}

fn replays(repository: &Repository) -> String {
    let run = repository.run_folder();
    let id = run.file_name().unwrap().to_str().unwrap();
    let replayed = repository.run(&["audit", "replay", id]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.all());
    std::fs::read_to_string(run.join("audit.jsonl")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heal_is_proven_by_the_tests_that_ran() {
    let repository = repository();
    let server = ModelServer::start(&[&files(&[("lib/add.sh", FIXED)])], APPROVE).await;
    let outcome = heal(&repository, &server, &[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.all().contains("Healed: it passes now, proven by tests"), "{}", outcome.all());
    let run = repository.run_folder();
    let read = |file: &str| std::fs::read_to_string(run.join(file)).unwrap();
    for file in ["summary.md", "report.html", "junit.xml"] {
        assert!(read(file).contains("1 test fixed, 1 kept"), "{file}: {}", read(file));
    }
    let audit = replays(&repository);
    let record = audit.lines().find(|line| line.contains("\"gates.proof\"")).unwrap();
    let record: serde_json::Value = serde_json::from_str(record).unwrap();
    let data = &record["body"]["data"];
    assert_eq!(data["proven"], true, "{record}");
    assert!(data["gates"][0]["fixed"][0].as_str().unwrap().starts_with("adds"));
    assert_eq!(audit.matches("\"gates.tests\"").count(), 3, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_changes_the_test_goes_back_once_and_then_to_a_person() {
    let fake = weakened();
    let repository = repository();
    let server = ModelServer::start(&[&files(&[("tests/run.sh", &fake)])], APPROVE).await;
    let outcome = heal(&repository, &server, &[]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(outcome.all().contains("a person has to decide"), "{}", outcome.all());
    assert_eq!(repository.read("tests/run.sh"), TESTS);
    replays(&repository);

    // Who said yes beforehand has not seen that the tests speak against it, and is not sent round
    // in circles.
    let outcome = heal(&repository, &server, &["--yes"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(outcome.all().contains("a person has to decide"), "{}", outcome.all());
    assert!(outcome.all().contains("run it again at a terminal"), "{}", outcome.all());
    assert!(!outcome.all().contains("heal --yes"), "{}", outcome.all());
    assert_eq!(repository.read("tests/run.sh"), TESTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fix_that_takes_a_test_along_is_judged_by_the_one_that_was_there() {
    let more =
        TESTS.replace("check doubles", "check 'adds nothing' \"$(add 1 0)\" 1\ncheck doubles");
    let repository = repository();
    let answer = files(&[("lib/add.sh", FIXED), ("tests/run.sh", &more)]);
    let server = ModelServer::start(&[&answer], APPROVE).await;
    let outcome = heal(&repository, &server, &[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.all().contains("tests/run.sh as before"), "{}", outcome.all());
    // Both are as the patch has them.
    assert_eq!(repository.read("lib/add.sh"), FIXED);
    assert_eq!(repository.read("tests/run.sh"), more);
    let audit = replays(&repository);
    assert!(audit.contains("\"judge.intent\"") && audit.contains("\"judge.done\""), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_of_the_products_own_is_no_proof() {
    // It ends before the tests have run, and says that they did.
    let fake = format!("{BROKEN}echo 'ok 1 - adds'\necho 'ok 2 - doubles'\necho '1..2'\nexit 0\n");
    let repository = repository();
    let server = ModelServer::start(&[&files(&[("lib/add.sh", &fake)])], APPROVE).await;
    let outcome = heal(&repository, &server, &[]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert_eq!(repository.read("lib/add.sh"), BROKEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_counted_is_called_unproven() {
    let silent = "#!/bin/sh\n. ./lib/add.sh\n[ \"$(add 2 3)\" = 5 ]\n";
    let repository = Repository::new(&[("lib/add.sh", BROKEN), ("tests/run.sh", silent)]);
    let server = ModelServer::start(&[&files(&[("lib/add.sh", FIXED)])], APPROVE).await;
    let outcome = heal(&repository, &server, &[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.all().contains("Passed, unproven"), "{}", outcome.all());
    assert!(!outcome.all().contains("Healed"), "{}", outcome.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_rewrites_its_test_while_it_runs_is_not_healed() {
    let weakens = "sed -i 's/\" 5$/\" -1/' tests/run.sh\n";
    let puts_back = "cat tests/run.sh >kept\ncat kept >tests/run.sh\nrm kept\n";
    for (case, product) in [
        ("changed", format!("{weakens}{BROKEN}")),
        ("written and put back", format!("{puts_back}{FIXED}")),
    ] {
        let server = ModelServer::start(&[&files(&[("lib/add.sh", &product)])], APPROVE).await;
        let repository = repository();
        let outcome = heal(&repository, &server, &[]);
        assert_ne!(outcome.code, Some(0), "{case}: {}", outcome.all());
        let said = "tests or files that gates depend on were written";
        assert!(outcome.all().contains(said), "{case}: {}", outcome.all());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_fails_once_on_the_patched_tree_is_not_repaired() {
    let repository = repository();
    let second = BROKEN.replace(
        "echo $(($1 - $2))",
        "if [ -e seen ]; then echo $(($1 + $2)); else touch seen; echo $(($1 - $2)); fi",
    );
    let server = ModelServer::start(&[&files(&[("lib/add.sh", &second)])], APPROVE).await;
    let outcome = heal(&repository, &server, &["--yes"]);
    assert_ne!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.all().contains("it failed before it passed"), "{}", outcome.all());
}
