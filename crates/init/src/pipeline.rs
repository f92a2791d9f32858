//! The pipelines that a repository has, and their steps.

use serde_json::Value;

use crate::files::Files;
use crate::kind::KINDS;
use crate::trial::Candidate;

/// Steps that are listed because they are no gates.
const MOST_LISTED: usize = 8;

/// Where a pipeline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    AzureDevops,
    GitHub,
    GitLab,
}

impl System {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AzureDevops => "Azure Pipelines",
            Self::GitHub => "GitHub Actions",
            Self::GitLab => "GitLab CI",
        }
    }
}

/// A pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pipeline {
    pub(crate) system: System,
    pub(crate) path: String,
    /// Steps that may be gates.
    pub(crate) candidates: Vec<Candidate>,
    /// Lines of its steps that are none.
    pub(crate) others: Vec<String>,
}

/// Globs, and the keys whose values are commands.
const SYSTEMS: &[(System, &str, &[&str])] = &[
    (
        System::AzureDevops,
        "{azure-pipelines*.y{,a}ml,pipelines/*.y{,a}ml,.azure-pipelines/*.y{,a}ml,.azuredevops/*.y{,a}ml}",
        &["script", "bash", "pwsh", "powershell"],
    ),
    (System::GitHub, ".github/workflows/*.y{,a}ml", &["run"]),
    (System::GitLab, ".gitlab-ci.y{,a}ml", &["script", "before_script"]),
];

/// All of them.
pub(crate) fn pipelines(files: &Files) -> Vec<Pipeline> {
    let mut pipelines = Vec::new();
    for (system, glob, keys) in SYSTEMS {
        for path in files.matching("", glob) {
            let Some(text) = files.text(path) else { continue };
            let Ok(json) = serde_yaml::from_str::<Value>(&text) else { continue };
            if !looks_like(*system, &json) || text.contains("greenloop") {
                continue;
            }
            let mut steps = Vec::new();
            collect(&json, keys, &mut steps);
            pipelines.push(pipeline(*system, path, steps, files));
        }
    }
    pipelines
}

fn looks_like(system: System, json: &Value) -> bool {
    let keys: &[&str] = match system {
        System::AzureDevops => &["steps", "jobs", "stages", "extends"],
        System::GitHub => &["jobs"],
        System::GitLab => return json.is_object(),
    };
    keys.iter().any(|key| json.get(key).is_some())
}

/// A command and the folder it runs in.
type Step = (String, String);

fn collect(json: &Value, keys: &[&str], steps: &mut Vec<Step>) {
    match json {
        Value::Object(map) => {
            let folder = ["working-directory", "workingDirectory"]
                .iter()
                .find_map(|key| map.get(*key)?.as_str())
                .unwrap_or_default();
            for (key, value) in map {
                if !keys.contains(&key.as_str()) {
                    collect(value, keys, steps);
                    continue;
                }
                let texts = match value {
                    Value::String(text) => vec![text.as_str()],
                    Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
                    _ => Vec::new(),
                };
                let lines = texts.into_iter().flat_map(str::lines).map(str::trim);
                let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
                steps.extend(lines.map(|line| (line.to_owned(), folder.to_owned())));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, keys, steps)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn pipeline(system: System, path: &str, steps: Vec<Step>, files: &Files) -> Pipeline {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut others: Vec<String> = Vec::new();
    for (command, folder) in steps {
        let folder = folder.trim_start_matches("./").trim_matches('/').to_owned();
        let known = kind_of(&command).zip(role(&command));
        let inside = folder.is_empty() || files.root().join(&folder).is_dir();
        match known.filter(|_| inside && stands_alone(&command)) {
            Some(((kind, runner), role)) => candidates.push(Candidate {
                role: role.to_owned(),
                kind: kind.to_owned(),
                origin: format!("a step of {path}"),
                folder,
                required: !matches!(role, "lint" | "format" | "types"),
                network: role == "install",
                needs: match role {
                    "install" => Vec::new(),
                    _ => vec!["install".to_owned()],
                },
                reports: Vec::new(),
                runner,
                command,
            }),
            None if !others.contains(&command) => others.push(command),
            None => {}
        }
    }
    others.truncate(MOST_LISTED);
    Pipeline { system, path: path.to_owned(), candidates, others }
}

/// Whether a line means something without the pipeline: no expressions and variables of it, and no
/// part of a longer script.
fn stands_alone(line: &str) -> bool {
    const OPEN: &[&str] = &["${{", "$(", "$", "`", "<<", "##["];
    const LAST: &[&str] = &["\\", "&&", "|", "||", "then", "do", "{", "(", ";"];
    !OPEN.iter().any(|part| line.contains(part)) && !LAST.iter().any(|end| line.ends_with(end))
}

/// The kind whose program the line begins with, and whether that is a task runner.
fn kind_of(line: &str) -> Option<(&'static str, bool)> {
    let first = line.split_whitespace().next()?;
    let kind = KINDS.iter().find(|kind| kind.programs.iter().any(|known| known == first))?;
    Some((kind.id.as_str(), kind.runner))
}

/// What a command is for, by the words in it; `None` for what changes something elsewhere.
fn role(line: &str) -> Option<&'static str> {
    const ROLES: &[(&str, &[&str])] = &[
        ("", &["publish", "deploy", "push", "login", "release", "serve", "start", "run-dev"]),
        (
            "test",
            &[
                "test", "tests", "pytest", "unittest", "jest", "vitest", "tox", "nox", "verify",
                "nextest",
            ],
        ),
        ("format", &["fmt", "format", "prettier", "black", "isort", "gofmt"]),
        (
            "lint",
            &[
                "lint",
                "clippy",
                "ruff",
                "flake8",
                "eslint",
                "vet",
                "pylint",
                "golangci-lint",
                "staticcheck",
            ],
        ),
        ("types", &["mypy", "tsc", "typecheck", "pyright", "type-check"]),
        ("build", &["build", "compile", "compileall", "package", "assemble"]),
        ("test", &["check"]),
        ("install", &["ci", "sync", "restore", "install"]),
    ];
    let words: Vec<&str> = line
        .split(|c: char| c.is_whitespace() || c == ':' || c == '=')
        .filter(|w| !w.starts_with('-'))
        .collect();
    let (role, _) =
        ROLES.iter().find(|(_, names)| words.iter().any(|word| names.contains(word)))?;
    // What `pip install` fetches goes into this machine, not into the repository.
    let into_the_machine = *role == "install" && words.contains(&"pip");
    (!role.is_empty() && !into_the_machine).then_some(*role)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> Pipeline {
        let (_folder, files) = crate::files::tests::written([(path, text), ("web/x", "")]);
        pipelines(&files).remove(0)
    }

    fn gates(pipeline: &Pipeline) -> Vec<(&str, &str, &str)> {
        let row = |it: &'_ Candidate| (it.role.clone(), it.folder.clone(), it.command.clone());
        let rows: Vec<_> = pipeline.candidates.iter().map(row).collect();
        rows.into_iter().map(|(a, b, c)| (&*a.leak(), &*b.leak(), &*c.leak())).collect()
    }

    #[test]
    fn steps_that_check_are_gates_and_steps_that_deliver_are_not() {
        let github = of(
            ".github/workflows/ci.yml",
            "on: push\njobs:\n  test:\n    steps:\n      - uses: actions/checkout@v4\n      - run: |\n          # first\n          npm ci\n          npm test\n        working-directory: ./web\n      - run: npx tsc --noEmit\n      - run: npm publish --tag ${{ github.ref }}\n      - run: aws s3 sync . s3://x\n",
        );
        assert_eq!(github.system, System::GitHub);
        assert_eq!(
            gates(&github),
            [
                ("install", "web", "npm ci"),
                ("test", "web", "npm test"),
                ("types", "", "npx tsc --noEmit")
            ]
        );
        assert_eq!(github.others.len(), 2, "{:?}", github.others);
        let azure = of(
            "azure-pipelines.yml",
            "steps:\n  - script: cargo clippy -- -D warnings\n  - bash: cargo test --workspace\n  - script: docker push $(image)\n",
        );
        assert_eq!(
            gates(&azure),
            [("lint", "", "cargo clippy -- -D warnings"), ("test", "", "cargo test --workspace")]
        );
        let gitlab = of(
            ".gitlab-ci.yml",
            "test:\n  before_script: [pip install -r requirements.txt]\n  script:\n    - python -m pytest\n",
        );
        assert_eq!(gates(&gitlab), [("test", "", "python -m pytest")]);
    }

    #[test]
    fn a_line_of_a_longer_script_is_no_gate() {
        for line in
            ["cargo test \\", "cargo test &&", "npm test -- $ARGS", "cargo test | tee log |"]
        {
            assert!(!stands_alone(line), "{line}");
        }
        assert!(stands_alone("cargo test && cargo doc"));
    }
}
