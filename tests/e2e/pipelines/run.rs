//! The scripts of the pipelines, run like on an agent: in the checked-out folder, with the step's
//! variables and some of the agent's.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::expression::text_of;
use super::schema::scripts;
use super::template::expand;
use super::{PIPELINE, TEMPLATE, files, named, steps};
use crate::repository::{
    Outcome, Repository, deployable, deployable_without_a_model, free_port, get,
};
use crate::run::{APPROVE, FIX_SPELLING};

/// Runs a step's script in `folder`. `more` are the agent's variables, or what a step before
/// has set; `path` comes before the machine's own programs.
fn run(step: &Value, folder: &Path, path: &str, more: &[(&str, &str)]) -> Outcome {
    let [script] = scripts(step).try_into().expect("one script");
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc", "-c", &script]).current_dir(folder);
    for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "GREENLOOP_MODEL", "GREENLOOP_CONFIG"] {
        command.env_remove(name);
    }
    let own = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{path}:{own}")).env("TF_BUILD", "True");
    for (name, value) in step.get("env").and_then(Value::as_object).into_iter().flatten() {
        command.env(name, text_of(value).replace("$(System.AccessToken)", "the-job-token"));
    }
    command.envs(more.iter().copied());
    command.stdin(std::process::Stdio::null()).output().unwrap().into()
}

/// The step that runs Greenloop in the template, with the demo environment.
fn template_step(given: Value) -> Value {
    let mut all = json!({"environment": "local"});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    let expanded = expand(&files(), TEMPLATE, &all).unwrap();
    named(expanded["steps"].as_array().unwrap(), "greenloop").clone()
}

fn binaries() -> &'static str {
    Path::new(env!("CARGO_BIN_EXE_greenloop")).parent().unwrap().to_str().unwrap()
}

fn deploy(repository: &Repository, given: Value) -> Outcome {
    let head = repository.git(&["rev-parse", "HEAD"]);
    let variables = [("BUILD_SOURCEVERSION", head.as_str())];
    run(&template_step(given), repository.path(), binaries(), &variables)
}

fn outcome_of(outcome: &Outcome) -> Vec<&str> {
    let set = "##vso[task.setvariable variable=outcome;isOutput=true]";
    outcome.stdout.lines().filter_map(|line| line.strip_prefix(set)).collect()
}

#[test]
fn the_run_step_heals_verifies_and_takes_back_only_its_own() {
    let port = free_port();
    let transcript = [FIX_SPELLING, APPROVE].join("\n") + "\n";
    let repository = deployable(port, "the page\n", "page", &transcript);
    let good = repository.git(&["rev-parse", "HEAD"]);
    let first = deploy(&repository, json!({"approved": true}));
    assert_eq!((first.code, outcome_of(&first)), (Some(0), vec!["verified"]), "{}", first.all());
    assert!(first.stdout.contains("##vso[build.addbuildtag]greenloop-local-verified"));
    assert!(first.stdout.contains("##vso[task.uploadsummary]"));
    assert!(first.stdout.contains("##vso[artifact.upload containerfolder=greenloop-local-"));
    assert!(repository.run_folder().join("junit.xml").is_file());

    let verified = deploy(&repository, json!({"verifyOnly": true}));
    assert_eq!(verified.code, Some(0), "{}", verified.all());
    assert!(verified.stdout.contains("Verified"), "{}", verified.all());

    repository.write("page.txt", "teh page\n");
    repository.commit("misspell");
    let healed = deploy(&repository, json!({}));
    assert_eq!((healed.code, outcome_of(&healed)), (Some(0), vec!["healed"]), "{}", healed.all());
    let branch = repository.git(&["branch", "--list", "greenloop/*", "--format=%(refname:short)"]);
    let set = format!("##vso[task.setvariable variable=branch;isOutput=true]{branch}");
    assert!(healed.stdout.contains(&set), "{}", healed.all());
    assert!(healed.stdout.contains("##vso[task.complete result=SucceededWithIssues;]"));

    // The serving commit is the healed one, not that of the pipeline.
    let untouched = deploy(&repository, json!({"rollback": true}));
    assert_eq!(
        (untouched.code, outcome_of(&untouched)),
        (Some(0), vec!["untouched"]),
        "{}",
        untouched.all()
    );

    repository.write("page.txt", "another page\n");
    repository.commit("rewrite");
    let rewritten = deploy(&repository, json!({"maxIterations": 1}));
    assert_eq!(rewritten.code, Some(0), "{}", rewritten.all());
    assert_eq!(get(port, "/"), Some((200, "another page\n".into())));
    let back = deploy(&repository, json!({"rollback": true}));
    assert_eq!(back.code, Some(0), "{}", back.all());
    assert_eq!(get(port, "/"), Some((200, "the page\n".into())));
    // The second time, there is nothing to roll back.
    let again = deploy(&repository, json!({"rollback": true}));
    assert_eq!(outcome_of(&again), ["untouched"], "{}", again.all());
    assert_ne!(repository.git(&["rev-parse", "HEAD"]), good);
}

#[test]
fn exit_codes_become_words_for_people_and_stages() {
    let port = free_port();
    let repository = deployable(port, "the page\n", "page", "");
    let first = deploy(&repository, json!({}));
    assert_eq!(first.code, Some(0), "{}", first.all());

    // One iteration, as in production: no model is asked.
    repository.write("page.txt", "nothing here\n");
    repository.commit("break");
    let restored = deploy(&repository, json!({"maxIterations": 1}));
    assert_eq!(
        (restored.code, outcome_of(&restored)),
        (Some(4), vec!["restored"]),
        "{}",
        restored.all()
    );
    assert!(restored.stdout.contains("type=error]the deployment failed; the last verified"));
    assert_eq!(get(port, "/"), Some((200, "the page\n".into())));
    let untouched = deploy(&repository, json!({"rollback": true}));
    assert_eq!(outcome_of(&untouched), ["untouched"], "a restored release stays");

    let unusable = deploy(&repository, json!({"config": "nowhere.yaml"}));
    assert_eq!(
        (unusable.code, outcome_of(&unusable)),
        (Some(2), vec!["unusable"]),
        "{}",
        unusable.all()
    );

    // Exit codes that would need a cluster, from a stub.
    let stub = tempfile::tempdir().unwrap();
    let program = stub.path().join("greenloop");
    for (code, says) in [(1, "needs a person"), (3, "doctor"), (5, "holds local"), (9, "code 9")] {
        std::fs::write(&program, format!("#!/bin/sh\nexit {code}\n")).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let path = stub.path().to_str().unwrap();
        let ended = run(&template_step(json!({})), repository.path(), path, &[]);
        assert_eq!(ended.code, Some(code), "{}", ended.all());
        assert!(ended.stdout.contains(says), "{}", ended.all());
    }
}

#[test]
fn a_pipeline_without_a_model_tells_what_failed() {
    let repository = deployable_without_a_model(free_port(), "teh page\n", "page");
    let failed = deploy(&repository, json!({}));
    assert_eq!((failed.code, outcome_of(&failed)), (Some(1), vec!["stopped"]), "{}", failed.all());
    let said = "##vso[task.logissue type=error;]gate spelling failed";
    assert!(failed.stdout.contains(said), "{}", failed.all());
}

#[test]
fn the_program_is_installed_from_an_artifact_or_a_release_or_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = folder.path().join("workspace");
    std::fs::create_dir_all(workspace.join("tools")).unwrap();
    let built = Path::new(env!("CARGO_BIN_EXE_greenloop"));
    let copy = workspace.join("tools/greenloop");
    std::fs::hard_link(built, &copy).or_else(|_| std::fs::copy(built, &copy).map(|_| ())).unwrap();
    let sum = Command::new("sha256sum").arg(built).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap()[..64].to_owned();
    let url = format!("file://{}", built.display());
    let install = |name: &str, given: Value, path: &str| {
        let mut all = json!({"environment": "local"});
        all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        let expanded = expand(&files(), TEMPLATE, &all).unwrap();
        let steps = expanded["steps"].as_array().unwrap();
        let step = steps.iter().find(|s| s["displayName"] == "Install Greenloop").unwrap();
        let tools = folder.path().join(name);
        let variables = [
            ("AGENT_TOOLSDIRECTORY", tools.to_str().unwrap()),
            ("PIPELINE_WORKSPACE", workspace.to_str().unwrap()),
        ];
        let outcome = run(step, folder.path(), path, &variables);
        let there = tools.join("greenloop/greenloop").is_file();
        (outcome, there, format!("##vso[task.prependpath]{}/greenloop", tools.display()))
    };
    let nothing = "/nonexistent";
    for (name, given) in [
        ("artifact", json!({"artifact": "tools"})),
        ("release", json!({"releaseUrl": url, "releaseSha256": sum})),
    ] {
        let (outcome, there, prepended) = install(name, given, nothing);
        assert_eq!(outcome.code, Some(0), "{}", outcome.all());
        assert!(there && outcome.stdout.contains(&prepended), "{}", outcome.all());
        assert!(outcome.stdout.contains("greenloop 0."), "{}", outcome.all());
    }
    let wrong = json!({"releaseUrl": url, "releaseSha256": "0".repeat(64)});
    let (outcome, _, prepended) = install("wrong", wrong, nothing);
    assert_ne!(outcome.code, Some(0));
    assert!(!outcome.stdout.contains(&prepended), "{}", outcome.all());
    assert_eq!(install("there", json!({}), binaries()).0.code, Some(0));
    let (outcome, ..) = install("missing", json!({}), nothing);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(outcome.stdout.contains("give the template an artifact"), "{}", outcome.all());
}

#[test]
fn the_service_connection_becomes_variables_and_no_secret() {
    let given = json!({"environment": "local", "serviceConnection": "Azure"});
    let expanded = expand(&files(), TEMPLATE, &given).unwrap();
    let steps = expanded["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["task"] == "AzureCLI@2").unwrap();
    let variables = [
        ("AZURESUBSCRIPTION_TENANT_ID", "t"),
        ("AZURESUBSCRIPTION_CLIENT_ID", "c"),
        ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "s"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(step, folder.path(), "/nonexistent", &variables);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    for (name, value) in
        [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_SERVICE_CONNECTION_ID", "s")]
    {
        let set = format!("##vso[task.setvariable variable={name}]{value}\n");
        assert!(outcome.stdout.contains(&set), "{}", outcome.all());
    }
    // A connection with a secret instead of federation sets no variables.
    assert_ne!(run(step, folder.path(), "/nonexistent", &[]).code, Some(0));
}

/// With stubs that only record their arguments, because a release build takes minutes.
#[test]
fn the_build_stage_builds_checks_and_hands_over_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join("programs");
    std::fs::create_dir_all(&programs).unwrap();
    std::fs::create_dir_all(folder.path().join("scripts")).unwrap();
    let script = |path: &Path, text: &str| {
        std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    };
    script(&programs.join("rustup"), "echo \"rustup $*\" >>calls");
    script(
        &programs.join("cargo"),
        "echo \"cargo $* $LIBZ_SYS_STATIC\" >>calls\n\
         mkdir -p target/release\n\
         printf '#!/bin/sh\\necho \"greenloop $*\" >>calls\\n' >target/release/greenloop\n\
         chmod +x target/release/greenloop",
    );
    script(&folder.path().join("scripts/test.sh"), "echo \"tests $LIBZ_SYS_STATIC\" >>calls");
    let staging = folder.path().join("staging");
    let pipeline = expand(&files(), PIPELINE, &Value::Null).unwrap();
    for step in steps(&pipeline, "Build").iter().filter(|step| !scripts(step).is_empty()) {
        let variables = [("BUILD_ARTIFACTSTAGINGDIRECTORY", staging.to_str().unwrap())];
        let outcome = run(step, folder.path(), programs.to_str().unwrap(), &variables);
        assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    }
    assert!(staging.join("greenloop/greenloop").is_file());
    let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
    assert_eq!(
        calls,
        "rustup toolchain install 1.95.0 --profile minimal --component clippy,rustfmt --no-self-update\n\
         cargo +1.95.0 build --locked --release 1\n\
         greenloop config check\n\
         tests 1\n"
    );
}
