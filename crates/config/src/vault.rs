//! `keyvault:NAME` in the place of a value: the secret of that name in `azure.key_vault`.
//!
//! Lives here: where such references may stand, finding them in a plan, putting the values in
//! their place. Must not be here: fetching anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::document::{Document, KeyPath};
use super::error::{Problem, ProblemKind, quoted};
use super::plan::{DeployPlan, Provider, RolePlan, RunPlan};
use super::vault_reference::{is_vault_name, reference};
use greenloop_model::TargetKind;

/// Looks up a variable of the environment.
type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The names of all secrets that the plan takes from the key vault, sorted, each once.
pub fn secret_references(plan: &RunPlan) -> Vec<String> {
    let keys = [&plan.author, &plan.reviewer].into_iter().filter_map(key);
    references(maps(plan).into_iter().flat_map(BTreeMap::values).chain(keys))
}

/// The variable of a role's key, or its reference.
pub(super) fn key(role: &RolePlan) -> Option<&String> {
    match &role.provider {
        Provider::OpenAi { api_key_env, .. } => Some(api_key_env),
        Provider::Azure { api_key_env, .. } => api_key_env.as_ref(),
        Provider::Replay { .. } => None,
    }
}

/// The names in those values that are references, sorted, each once.
pub(super) fn references<'a>(values: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<String> =
        values.filter_map(|value| reference(value)).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Puts the values in the place of the references, and gives the names that have no value. The
/// agents' keys stay names: [`with_secrets`] looks them up.
#[must_use = "a reference without a value would be used as a value"]
pub fn fill_secrets(plan: &mut RunPlan, values: &BTreeMap<String, SecretString>) -> Vec<String> {
    let missing: Vec<String> =
        secret_references(plan).into_iter().filter(|name| !values.contains_key(name)).collect();
    for value in maps_mut(plan).into_iter().flat_map(BTreeMap::values_mut) {
        let found = reference(value).and_then(|name| values.get(name));
        if let Some(secret) = found {
            secret.expose_secret().clone_into(value);
        }
    }
    missing
}

/// `env`, in which `keyvault:NAME` is a variable too: that is how `api_key_env: keyvault:NAME`
/// reaches whoever asks for the key.
pub fn with_secrets(env: Environment, values: BTreeMap<String, SecretString>) -> Environment {
    if values.is_empty() {
        return env;
    }
    Arc::new(move |name| match reference(name) {
        Some(secret) => values.get(secret).map(|value| value.expose_secret().to_owned()),
        None => env(name),
    })
}

/// Where references may stand in a plan, and are needed: those of another target, and of an image
/// that is not built, are not asked for. [`may_stand`] is the same of a file.
fn maps(plan: &RunPlan) -> Vec<&BTreeMap<String, String>> {
    let mut maps: Vec<_> = plan.gates.iter().map(|gate| &gate.env).collect();
    let DeployPlan { target, process, docker, kubernetes, .. } = &plan.deploy;
    let build = plan.build.as_ref().map(|build| &build.args);
    match target {
        TargetKind::Process => maps.extend(process.as_ref().map(|process| &process.env)),
        TargetKind::Docker => {
            maps.extend(build);
            maps.extend(docker.as_ref().map(|docker| &docker.env));
        }
        TargetKind::Kubernetes => {
            maps.extend(build);
            maps.extend(kubernetes.as_ref().map(|kubernetes| &kubernetes.variables));
        }
    }
    maps
}

fn maps_mut(plan: &mut RunPlan) -> Vec<&mut BTreeMap<String, String>> {
    let mut maps: Vec<_> = plan.gates.iter_mut().map(|gate| &mut gate.env).collect();
    let DeployPlan { target, process, docker, kubernetes, .. } = &mut plan.deploy;
    let build = plan.build.as_mut().map(|build| &mut build.args);
    match target {
        TargetKind::Process => maps.extend(process.as_mut().map(|process| &mut process.env)),
        TargetKind::Docker => {
            maps.extend(build);
            maps.extend(docker.as_mut().map(|docker| &mut docker.env));
        }
        TargetKind::Kubernetes => {
            maps.extend(build);
            maps.extend(kubernetes.as_mut().map(|kubernetes| &mut kubernetes.variables));
        }
    }
    maps
}

/// Every reference in the file that cannot be followed.
pub(super) fn problems(document: &Document) -> Vec<Problem> {
    let vault = document.has(&KeyPath::root().key("azure").key("key_vault"));
    let mut problems = Vec::new();
    for (place, node) in document.scalars() {
        let Some(name) = document.scalar(node).and_then(reference) else { continue };
        let (kind, message, help) = if !may_stand(&place) {
            (
                ProblemKind::InvalidValue,
                format!("`{place}` cannot be read from a key vault"),
                "supported: values under `build.args`, a gate's `env`, `deploy.process.env`, \
                 `deploy.docker.env` and `deploy.kubernetes.variables`, and an agent's \
                 `api_key_env`",
            )
        } else if !is_vault_name(name) {
            (
                ProblemKind::InvalidValue,
                format!("{} is not a valid name for a secret in a key vault", quoted(name)),
                "names consist of letters, digits and hyphens",
            )
        } else if !vault {
            (
                ProblemKind::MissingKey,
                format!("`{place}` is read from a key vault, but `azure.key_vault` is missing"),
                "for example `azure: { key_vault: https://NAME.vault.azure.net }`",
            )
        } else {
            continue;
        };
        let position = Some(document.position(&place));
        problems.push(Problem { kind, message, help: Some(help.to_owned()), position });
    }
    // The tree is walked from its end.
    problems.sort_by_key(|problem| problem.position.as_ref().map(|at| at.span.start));
    problems
}

/// Whether a value at `place` is looked for by [`secret_references`].
fn may_stand(place: &KeyPath) -> bool {
    let keys = place.keys();
    let deploy = match keys.as_slice() {
        ["agents", _, "api_key_env"] | ["build", "args", _] | ["quality_gates", "env", _] => {
            return true;
        }
        ["environments", _, "deploy", rest @ ..] | ["deploy", rest @ ..] => rest,
        _ => return false,
    };
    matches!(deploy, ["process" | "docker", "env", _] | ["kubernetes", "variables", _])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Overrides, parse};

    const CONFIG: &str = "\
environments:
  staging:
    url: http://127.0.0.1:8080
    deploy:
      process: { command: ./server, env: { OWN: keyvault:own-1 } }
  local:
    url: http://127.0.0.1:8081
quality_gates:
  - name: unit
    command: make test
    env: { DB_PASSWORD: keyvault:db-password-2024, PLAIN: x }
deploy:
  method: process
  process: { command: ./server, env: { SHARED: keyvault:shared } }
build:
  registry: fleet.azurecr.io
  image_name: fleet
  args: { NPM_TOKEN: keyvault:npm-token-0123456, NOT: keyvault, SAME: keyvault:shared }
agents:
  codex: { api_key_env: keyvault:openai-key }
azure: { key_vault: https://fleet.vault.azure.net }
";

    fn plan(environment: &str) -> RunPlan {
        let config = parse(CONFIG, "config.yaml").unwrap();
        config.plan(environment, &Overrides::default(), &|_| None).unwrap()
    }

    #[test]
    fn references_are_found_and_filled() {
        let mut plan = plan("staging");
        let names = secret_references(&plan);
        assert_eq!(names, ["db-password-2024", "openai-key", "own-1"]);
        let values: BTreeMap<String, SecretString> = names
            .iter()
            .filter(|name| *name != "own-1")
            .map(|name| (name.clone(), SecretString::from(format!("value of {name}"))))
            .collect();
        assert_eq!(fill_secrets(&mut plan, &values), ["own-1"]);
        assert_eq!(plan.gates[0].env["DB_PASSWORD"], "value of db-password-2024");
        assert_eq!(plan.gates[0].env["PLAIN"], "x");
        assert_eq!(plan.deploy.process.as_ref().unwrap().env["OWN"], "keyvault:own-1");

        let env = with_secrets(Arc::new(|name| Some(format!("variable {name}"))), values);
        assert_eq!(env("keyvault:openai-key").as_deref(), Some("value of openai-key"));
        assert_eq!(env("keyvault:own-1"), None);
        assert_eq!(env("HOME").as_deref(), Some("variable HOME"));
    }

    #[test]
    fn only_the_environments_own_references_are_fetched() {
        let names = secret_references(&plan("local"));
        assert_eq!(names, ["db-password-2024", "openai-key", "shared"]);
    }

    #[test]
    fn a_builds_references_are_fetched_where_an_image_is_built() {
        let mut plan = plan("local");
        plan.deploy.target = TargetKind::Docker;
        let names = secret_references(&plan);
        assert_eq!(names, ["db-password-2024", "npm-token-0123456", "openai-key", "shared"]);
        let values =
            names.iter().map(|name| (name.clone(), SecretString::from(format!("value of {name}"))));
        assert!(fill_secrets(&mut plan, &values.collect()).is_empty());
        let build = plan.build.as_ref().unwrap();
        assert_eq!(build.args["NPM_TOKEN"], "value of npm-token-0123456");
        assert_eq!(build.args["NOT"], "keyvault");
        assert_eq!(build.args["SAME"], "value of shared");
    }

    #[test]
    fn what_cannot_be_followed_is_told_with_its_place() {
        let without = CONFIG.replace("azure: { key_vault: https://fleet.vault.azure.net }\n", "");
        let error = parse(&without, "config.yaml").unwrap_err();
        let places: Vec<_> = error
            .problems()
            .iter()
            .map(|problem| {
                let at = problem.position.as_ref().unwrap();
                assert_eq!(problem.kind, ProblemKind::MissingKey, "{problem:?}");
                (at.line, at.column)
            })
            .collect();
        assert_eq!(places, [(5, 49), (11, 25), (14, 48), (18, 22), (18, 71), (20, 25)]);

        for (from, to, kind, line) in [
            ("keyvault:own-1", "keyvault:own_1", ProblemKind::InvalidValue, 5),
            ("make test", "keyvault:make", ProblemKind::InvalidValue, 10),
            ("fleet.azurecr.io", "keyvault:registry", ProblemKind::InvalidValue, 16),
        ] {
            let error = parse(&CONFIG.replace(from, to), "config.yaml").unwrap_err();
            let problem = &error.problems()[0];
            let at = problem.position.as_ref().unwrap().line;
            assert_eq!((problem.kind, at), (kind, line), "{problem:?}");
        }
    }

    #[test]
    fn text_that_speaks_of_vaults_is_left_alone() {
        for (value, expect) in [
            ("keyvault:a-1", Some("a-1")),
            ("keyvault:", None),
            ("keyvault: secrets live there", None),
            ("Keyvault:a", None),
            ("x keyvault:a", None),
        ] {
            assert_eq!(reference(value), expect, "{value}");
        }
    }
}
