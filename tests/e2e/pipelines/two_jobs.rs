//! The stage with a job that heals and a job that accepts: what each of them holds, and their
//! scripts, run one after the other in two clones.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::expression::text_of;
use super::schema::{check, scripts};
use super::template::expand;
use super::{TWO_JOBS, files, groups, named};
use crate::repository::{Outcome, Repository};
use crate::server::{APPROVE, ModelServer};

const FIX: &str = "It subtracts.\n\n\
    add.sh\n```sh\n<<<<<<< SEARCH\n  echo $(($1 - $2))\n=======\n  echo $(($1 + $2))\n>>>>>>> REPLACE\n```\n";
const TEST: &str = ". ./add.sh\n[ \"$(add 2 3)\" = 5 ] || { echo \"add.sh:2: error: $(add 2 3) is not 5\" >&2; exit 1; }\n";

fn stage(key: &str) -> Value {
    let given = json!({
        "command": "sh test.sh",
        "verifyingKey": key,
        "modelEnv": {"OPENAI_API_KEY": "the-models-key"},
    });
    expand(&files(), TWO_JOBS, &given).unwrap()
}

#[test]
fn only_the_second_job_has_a_token_and_neither_persists_one() {
    let stage = stage("k");
    let none: Vec<String> = Vec::new();
    assert_eq!(check(&stage, &groups()), none);
    let jobs = stage["stages"][0]["jobs"].as_array().unwrap();
    let [heals, accepts] = jobs.as_slice() else { panic!("{jobs:?}") };
    assert_eq!(accepts["dependsOn"], "HealJob");
    let text = heals.to_string();
    for credential in ["AccessToken", "azureSubscription", "--push", "serviceConnection"] {
        assert!(!text.contains(credential), "{credential}: {text}");
    }
    assert!(!accepts.to_string().contains("OPENAI_API_KEY"));
    for job in [heals, accepts] {
        let steps = job["steps"].as_array().unwrap();
        let checkout = steps.iter().find(|step| step.get("checkout").is_some()).unwrap();
        assert_eq!(checkout["persistCredentials"], false);
        for step in steps {
            for script in scripts(step) {
                let checked = Command::new("bash").args(["-n", "-c", &script]).output().unwrap();
                assert!(checked.status.success(), "{script}");
            }
        }
    }
}

fn run(step: &Value, folder: &Path, more: &[(&str, &str)]) -> Outcome {
    let [script] = scripts(step).try_into().expect("one script");
    let own = std::env::var("PATH").unwrap();
    let binaries = Path::new(env!("CARGO_BIN_EXE_greenloop")).parent().unwrap();
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc", "-c", &script]).current_dir(folder);
    for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "GREENLOOP_CONFIG"] {
        command.env_remove(name);
    }
    command.env("PATH", format!("{}:{own}", binaries.display())).env("TF_BUILD", "True");
    for (name, value) in step["env"].as_object().into_iter().flatten() {
        command.env(name, text_of(value));
    }
    command.envs(more.iter().copied()).stdin(std::process::Stdio::null());
    command.output().unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scripts_of_the_two_jobs_hand_a_repair_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let repository =
        Repository::new(&[("add.sh", "add() {\n  echo $(($1 - $2))\n}\n"), ("test.sh", TEST)]);
    let key = repository.run(&["audit", "keygen", "heal-job", "--out", &at("key")]);
    let stage = stage(key.stdout.trim());
    let jobs = &stage["stages"][0]["jobs"];
    let (heal, accept) = (
        named(jobs[0]["steps"].as_array().unwrap(), "heal"),
        named(jobs[1]["steps"].as_array().unwrap(), "accept"),
    );
    let done = Command::new("git")
        .args(["clone", "--quiet", "--bare"])
        .arg(repository.path())
        .arg(at("remote.git"))
        .output()
        .unwrap();
    assert!(done.status.success());
    let clone = |name: &str| {
        let done = Command::new("git")
            .args(["clone", "--quiet", &at("remote.git"), &at(name)])
            .output()
            .unwrap();
        assert!(done.status.success());
        folder.path().join(name)
    };
    let (first, second) = (clone("first"), clone("second"));
    std::fs::create_dir_all(at("workspace/greenloop-bundle")).unwrap();

    let server = ModelServer::start(&[FIX], APPROVE).await;
    let base_url = server.base_url();
    let healed = run(
        heal,
        &first,
        &[
            ("BUILD_ARTIFACTSTAGINGDIRECTORY", &at("workspace/greenloop-bundle")),
            ("GREENLOOP_AUDIT_KEY_FILE", &at("key")),
            ("OPENAI_BASE_URL", &base_url),
            ("OPENAI_API_KEY", "sk-test-0123456789abcdef"),
            ("GREENLOOP_MODEL", "test-model"),
        ],
    );
    assert_eq!(healed.code, Some(0), "{}", healed.all());
    assert!(healed.stdout.contains("variable=made;isOutput=true]true"), "{}", healed.all());

    let accepted = run(accept, &second, &[("PIPELINE_WORKSPACE", &at("workspace"))]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.all());
    let remote = Command::new("git")
        .args(["--git-dir", &at("remote.git"), "branch", "--list", "greenloop/*"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&remote.stdout).lines().count(), 1, "{}", accepted.all());
}
