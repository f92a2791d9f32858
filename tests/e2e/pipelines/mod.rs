//! The pipelines in `pipelines/`: validated against the schema with expanded templates, and every
//! script is run.

mod docs;
mod expression;
mod run;
mod schema;
mod template;
mod two_jobs;

use std::path::Path;

use serde_json::{Value, json};

use schema::{Groups, check, scripts};
use template::{Files, expand};

const PIPELINE: &str = "azure-pipelines.yml";
const TEMPLATE: &str = "templates/greenloop.yml";
const INSTALL: &str = "templates/install.yml";
const TWO_JOBS: &str = "templates/heal-and-accept.yml";

fn files() -> Files {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    [PIPELINE, TEMPLATE, INSTALL, TWO_JOBS]
        .into_iter()
        .map(|path| (path.into(), std::fs::read_to_string(root.join(path)).unwrap()))
        .collect()
}

fn groups() -> Groups {
    Groups::from([("fleet-secrets-prod", &["OPENAI_API_KEY", "APPROVERS"][..])])
}

/// The errors of the pipeline if `from` is replaced by `to` in one of its files.
fn complaints(path: &str, from: &str, to: &str) -> Vec<String> {
    let mut files = files();
    let text = files.get_mut(Path::new(path)).unwrap();
    assert!(text.contains(from), "{path} has no {from:?}");
    *text = text.replace(from, to);
    match expand(&files, PIPELINE, &Value::Null) {
        Ok(pipeline) => check(&pipeline, &groups()),
        Err(complaints) => complaints,
    }
}

#[test]
fn the_pipeline_keeps_to_the_schema() {
    let none: Vec<String> = Vec::new();
    assert_eq!(complaints(PIPELINE, "trigger:", "trigger:"), none);
}

/// Tests the checks: each mistake is detected.
#[test]
fn mistakes_are_found() {
    for (path, from, to, says) in [
        (PIPELINE, "batch: true", "bach: true", "unknown key bach"),
        (PIPELINE, "lockBehavior: sequential", "lockBehavior: queued", "unknown lockBehavior"),
        (PIPELINE, "timeoutInMinutes: 90", "timeoutInMinutes: soon", "is to be Number"),
        (PIPELINE, "dependsOn: Build", "dependsOn: Biuld", "depends on Biuld"),
        (PIPELINE, "job: BuildJob", "job: Build Job", "no identifier"),
        (PIPELINE, "condition: failed()", "condition: broken()", "no function broken"),
        (PIPELINE, "condition: failed()", "condition: failed(", "nothing to read"),
        (PIPELINE, "greenloop.outcome']", "greenloop.outcomes']", "nothing it can see"),
        (PIPELINE, "OrchestrationJob.greenloop", "greenloop", "nothing it can see"),
        (PIPELINE, "dependencies.Orchestrate_Staging", "dependencies.Build", "nothing it can see"),
        (PIPELINE, "variables['Build.Reason']", "variables['Build.Cause']", "nothing it can see"),
        (PIPELINE, "environment: production", "workspace: {}", "no environment"),
        (PIPELINE, "notifyUsers: $(APPROVERS)", "approvers: $(APPROVERS)", "needs notifyUsers"),
        (PIPELINE, "$(APPROVERS)", "$(APPROVER)", "unknown variables"),
        (PIPELINE, "ManualValidation@0", "ManualValidation@7", "unknown task"),
        (PIPELINE, "pool: server", "pool: default", "does not run in this pool"),
        (PIPELINE, "group: fleet-secrets-prod", "group: fleet", "unknown group"),
        (PIPELINE, "templates/greenloop.yml", "templates/green.yml", "there is no template"),
        (PIPELINE, "environment: staging", "enviroment: staging", "no parameter enviroment"),
        (
            PIPELINE,
            "environment: staging\n",
            "config: c.yaml\n",
            "parameter environment is missing",
        ),
        (PIPELINE, "rollback: true", "rollback: please", "is no boolean"),
        (PIPELINE, "name: verify", "name: greenloop", "the name greenloop is taken"),
        (PIPELINE, "parameters.maxIterations", "parameters.iterations", "no parameter iterations"),
        (TEMPLATE, "searchFolder:", "folder:", "unknown key folder"),
        (TEMPLATE, "fetchDepth: 0", "fetchDepth: all", "is to be Number"),
        (TEMPLATE, "type: boolean", "type: bool", "unknown type"),
        (TEMPLATE, "eq(parameters.setup, true)", "eq(parameters.setup)", "eq takes"),
        (TEMPLATE, "\"$MODE\" in", "\"$(System.AccessToken)\" in", "map it by env"),
        (
            TEMPLATE,
            "  - bash: |\n      set -uo",
            "  - bosh: |\n      set -uo",
            "unknown kind of step",
        ),
    ] {
        let found = complaints(path, from, to);
        assert!(found.iter().any(|c| c.contains(says)), "{from:?} -> {to:?}: {found:#?}");
    }
}

fn pipeline() -> Value {
    expand(&files(), PIPELINE, &Value::Null).unwrap()
}

fn stage<'a>(pipeline: &'a Value, name: &str) -> &'a Value {
    let stages = pipeline["stages"].as_array().unwrap();
    stages.iter().find(|stage| stage["stage"] == name).unwrap()
}

fn steps<'a>(pipeline: &'a Value, stage_name: &str) -> &'a [Value] {
    let job = &stage(pipeline, stage_name)["jobs"][0];
    let steps = match job.get("strategy") {
        Some(strategy) => &strategy["runOnce"]["deploy"]["steps"],
        None => &job["steps"],
    };
    steps.as_array().unwrap()
}

fn named<'a>(steps: &'a [Value], name: &str) -> &'a Value {
    steps.iter().find(|step| step["name"] == name).unwrap()
}

#[test]
fn the_five_stages_follow_each_other() {
    let pipeline = pipeline();
    let names: Vec<(&str, &str)> = pipeline["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["stage"].as_str().unwrap(), s["dependsOn"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(
        names,
        [
            ("Build", ""),
            ("Orchestrate_Staging", "Build"),
            ("Approval", "Orchestrate_Staging"),
            ("Deploy_Production", "Approval"),
            ("Rollback", "Deploy_Production"),
        ]
    );
    let mode = |stage: &str, step: &str| {
        let env = &named(steps(&pipeline, stage), step)["env"];
        (env["MODE"].clone(), env["TARGET_ENVIRONMENT"].clone(), env["APPROVED"].clone())
    };
    assert_eq!(
        mode("Orchestrate_Staging", "greenloop"),
        (json!("run"), json!("staging"), json!(false))
    );
    assert_eq!(mode("Deploy_Production", "greenloop"), (json!("run"), json!("prod"), json!(true)));
    assert_eq!(mode("Deploy_Production", "verify"), (json!("verify"), json!("prod"), json!(false)));
    assert_eq!(mode("Rollback", "greenloop"), (json!("rollback"), json!("prod"), json!(false)));
    let production = named(steps(&pipeline, "Deploy_Production"), "greenloop");
    assert_eq!(production["env"]["MAX_ITERATIONS"], 1, "production is not healed");
}

/// What must hold for every use of the template.
#[test]
fn the_template_is_careful_with_the_token_and_with_its_own_branches() {
    let pipeline = pipeline();
    for stage in ["Orchestrate_Staging", "Deploy_Production", "Rollback"] {
        let steps = steps(&pipeline, stage);
        let checkouts: Vec<&Value> = steps.iter().filter(|s| s.get("checkout").is_some()).collect();
        assert_eq!(checkouts.len(), 1, "{stage}");
        assert_eq!(checkouts[0]["persistCredentials"], false);
        assert_eq!(checkouts[0]["fetchDepth"], 0);
        for step in steps {
            let token = step["env"].get("SYSTEM_ACCESSTOKEN");
            assert_eq!(token.is_some(), step["env"].get("MODE").is_some(), "{stage}: {step}");
            if token.is_some() {
                let condition = step["condition"].as_str().unwrap();
                assert!(condition.contains(
                    "not(startsWith(variables['Build.SourceBranch'], 'refs/heads/greenloop/'))"
                ));
            }
            let publishes = step["task"].as_str().is_some_and(|task| task.starts_with("Publish"));
            if publishes {
                assert_eq!(step["condition"], "always()", "{stage}: {step}");
            }
        }
        assert_eq!(steps.iter().filter(|s| s["task"] == "PublishTestResults@2").count(), 1);
        assert_eq!(steps.iter().filter(|s| s["task"] == "PublishPipelineArtifact@1").count(), 1);
    }
    assert_eq!(pipeline["trigger"]["branches"]["exclude"], json!(["greenloop/*"]));
}

#[test]
fn the_template_stands_by_itself_and_can_be_extended() {
    for given in [
        json!({"environment": "staging"}),
        json!({"environment": "staging", "releaseUrl": "https://x/y", "releaseSha256": "00"}),
        json!({"environment": "staging", "serviceConnection": "Azure", "env": {"A": "b"}}),
        json!({"environment": "staging", "verifyOnly": "true", "maxIterations": "3"}),
    ] {
        let expanded = expand(&files(), TEMPLATE, &given).unwrap();
        let none: Vec<String> = Vec::new();
        assert_eq!(check(&expanded, &groups()), none, "{given}");
        let signs_in =
            expanded["steps"].as_array().unwrap().iter().any(|s| s["task"] == "AzureCLI@2");
        assert_eq!(signs_in, given.get("serviceConnection").is_some());
    }
    let missing = expand(&files(), TEMPLATE, &Value::Null).unwrap_err();
    assert!(missing[0].contains("parameter environment is missing"), "{missing:?}");
}

#[test]
fn every_script_is_a_shell_script() {
    let pipeline = pipeline();
    let mut seen = 0;
    for stage in ["Build", "Orchestrate_Staging", "Deploy_Production", "Rollback"] {
        for script in steps(&pipeline, stage).iter().flat_map(scripts) {
            let checked = std::process::Command::new("bash").args(["-n", "-c", &script]).output();
            let checked = checked.unwrap();
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
            assert!(script.starts_with("set -"), "{script}");
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen}");
}
