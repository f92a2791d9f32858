//! The files that a repository gets: the configuration, ignore lines, the step of its pipeline.

use std::fmt::Write as _;

use crate::cluster::{Cluster, Source, registry};
use crate::files::Files;
use crate::ignore_file::with_lines;
use crate::pipeline::System;
use crate::start::Start;
use crate::survey::Survey;
use crate::trial::{Conclusion, Trial};
use crate::yaml::{list, scalar};
use greenloop_config::{FILE_NAME, SCHEMA_PATH};
use greenloop_model::TargetKind;

/// What Greenloop writes into a work tree.
const OWN_FILES: &[&str] =
    &["/logs/runs/", "/logs/orchestrator_*.log", "/metrics/deployments.json"];
/// What no image needs and no build context should hold.
const NOT_IN_IMAGE: &[&str] = &[".git/", ".env", "logs/", "metrics/", ".greenloop/"];

/// What was found by trying, and what the person wants.
#[derive(Debug, Clone)]
pub struct Choices {
    pub target: TargetKind,
    /// How the service is started, for the process target.
    pub start: Option<Start>,
    /// Where the environment's address listens.
    pub port: u16,
    /// The path of the health check, and whether the service answered it when it was started once.
    pub health: (String, bool),
    /// What the service answered beside its health check when it was started once; `None` where
    /// that was not tried.
    pub page: Option<Option<String>>,
    pub trials: Vec<Trial>,
}

/// A file that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedFile {
    /// Relative to the root.
    pub path: String,
    /// What is there; `None` for a new file.
    pub before: Option<String>,
    pub text: String,
}

/// The files to write: a new configuration where there is none, and lines that other files lack.
/// A file that is there is otherwise left as it is.
pub fn propose(survey: &Survey, files: &Files, choices: &Choices) -> Vec<ProposedFile> {
    let environment = environment_name(choices.target);
    let mut proposed = Vec::new();
    let mut new = |path: &str, text: String| {
        if !files.exists(path) {
            proposed.push(ProposedFile { path: path.to_owned(), before: None, text });
        }
    };
    if !is_configured(files) {
        new(FILE_NAME, configuration(survey, choices));
        new(SCHEMA_PATH, format!("{:#}\n", greenloop_config::schema()));
    }
    for system in survey.systems() {
        let (path, text) = pipeline_file(system, environment);
        new(path, text);
    }
    let lines = |own: &[&str]| -> Vec<String> {
        survey.ignore.iter().cloned().chain(own.iter().map(|line| (*line).to_owned())).collect()
    };
    proposed.extend(added(
        files,
        ".gitignore",
        "Greenloop's records, and what builds leave",
        lines(OWN_FILES),
    ));
    if let Some(dockerfile) = &survey.dockerfile {
        let path = match dockerfile.context.as_str() {
            "." => ".dockerignore".to_owned(),
            folder => format!("{folder}/.dockerignore"),
        };
        proposed.extend(added(files, &path, "Not part of an image", lines(NOT_IN_IMAGE)));
    }
    if survey.systems().contains(&System::GitLab) {
        proposed.extend(gitlab_include(files));
    }
    proposed
}

/// Whether there is a configuration of Greenloop's.
fn is_configured(files: &Files) -> bool {
    files.exists(FILE_NAME)
        || files
            .text(greenloop_config::OLD_NAME)
            .is_some_and(|text| greenloop_config::is_meant_for_greenloop(&text))
}

fn added(files: &Files, path: &str, heading: &str, lines: Vec<String>) -> Option<ProposedFile> {
    let before = files.text(path).map(|text| text.to_string());
    // One that is there and is no text is not touched.
    if before.is_none() && files.exists(path) {
        return None;
    }
    let text = with_lines(before.as_deref(), heading, &lines)?;
    Some(ProposedFile { path: path.to_owned(), before, text })
}

pub(crate) fn environment_name(target: TargetKind) -> &'static str {
    match target {
        TargetKind::Process | TargetKind::Docker => "local",
        TargetKind::Kubernetes => "staging",
    }
}

fn configuration(survey: &Survey, choices: &Choices) -> String {
    let environment = environment_name(choices.target);
    let mut text = format!(
        "# yaml-language-server: $schema=./{SCHEMA_PATH}\n\
         # Greenloop's configuration, written by `greenloop init`. Lines with GUESS need a look.\n\
         #\n\
         #     greenloop run --environment {environment}\n\
         #\n\
         # `greenloop config check` validates this file; `greenloop config show` prints it with every\n\
         # default. Never put secrets into it: they come from the environment or a key vault, by name.\n\
         version: 1\n\n"
    );
    environments(&mut text, survey, choices);
    gates(&mut text, survey, &choices.trials);
    deploy(&mut text, survey, choices);
    verification(&mut text, survey, choices);
    text
}

/// Writing into a string cannot fail.
macro_rules! line {
    ($text:expr, $($arguments:tt)*) => { let _infallible = writeln!($text, $($arguments)*); };
}

fn environments(text: &mut String, survey: &Survey, choices: &Choices) {
    let environment = environment_name(choices.target);
    line!(text, "environments:\n  {environment}:");
    match choices.target {
        TargetKind::Process | TargetKind::Docker => {
            line!(text, "    # Greenloop listens here; the service itself gets a free port.");
            line!(text, "    url: http://127.0.0.1:{}", choices.port);
        }
        TargetKind::Kubernetes => {
            let cluster = survey.cluster.as_ref();
            let namespace = cluster.and_then(|it| it.namespace.clone());
            let guess = if namespace.is_some() { "" } else { "    # GUESS" };
            let namespace = namespace.unwrap_or_else(|| format!("{}-staging", survey.name));
            line!(text, "    namespace: {}{guess}", scalar(&namespace));
            match cluster.and_then(|it| it.host.clone()) {
                Some(host) => {
                    line!(text, "    url: {}", scalar(&format!("https://{host}")));
                }
                None => {
                    line!(
                        text,
                        "    url: https://{}.example.org    # GUESS: the address of the service",
                        survey.name
                    );
                }
            }
        }
    }
    let (path, seen) = &choices.health;
    let comment = if *seen {
        "GUESS: it answered when the service was started once"
    } else if survey.health.contains(path) {
        "GUESS: the sources name this route"
    } else {
        "GUESS: no route of a health check was found"
    };
    line!(text, "    health_endpoint: {}    # {comment}", scalar(path));
    text.push('\n');
}

fn gates(text: &mut String, survey: &Survey, trials: &[Trial]) {
    let passed: Vec<&Trial> = trials.iter().filter(|trial| trial.passed()).collect();
    if trials.is_empty() {
        line!(
            text,
            "# No command was found that checks this repository. A gate is a command that must pass:"
        );
        line!(text, "# quality_gates:\n#   - {{name: test, command: make test}}");
    } else {
        line!(
            text,
            "# Commands that must pass before anything is deployed, in a sandbox without network. Each of"
        );
        line!(
            text,
            "# these was run once by `greenloop init`; those that failed are commented out."
        );
        line!(text, "{}quality_gates:", if passed.is_empty() { "# " } else { "" });
    }
    for trial in trials {
        gate(text, trial, &passed);
    }
    for pipeline in survey.pipelines.iter().filter(|pipeline| !pipeline.others.is_empty()) {
        line!(text, "# Steps of {} that are no gates here:", pipeline.path);
        for other in &pipeline.others {
            line!(text, "#   {}", other.chars().take(100).collect::<String>());
        }
    }
    text.push('\n');
}

fn gate(text: &mut String, trial: &Trial, passed: &[&Trial]) {
    let candidate = &trial.candidate;
    let mut lines = vec![
        format!("- name: {}", scalar(&trial.name)),
        format!("  command: {}", scalar(&candidate.command)),
    ];
    if !candidate.required {
        lines.push("  required: false    # only warns".to_owned());
    }
    let network = matches!(trial.conclusion, Conclusion::Passed { network: true, .. });
    if network || candidate.network {
        lines.push("  network: true".to_owned());
    }
    if !candidate.folder.is_empty() {
        lines.push(format!("  working_directory: {}", scalar(&candidate.folder)));
    }
    let needs: Vec<String> = candidate
        .needs
        .iter()
        .filter_map(|role| {
            let same = |other: &&&Trial| {
                (&other.candidate.role, &other.candidate.folder) == (role, &candidate.folder)
            };
            passed.iter().find(same).map(|other| other.name.clone())
        })
        .collect();
    if !needs.is_empty() {
        lines.push(format!("  needs: {}", list(&needs)));
    }
    if !candidate.reports.is_empty() {
        lines.push(format!("  reports: {}", list(&candidate.reports)));
    }
    let hash = match &trial.conclusion {
        Conclusion::Passed { ran_no_test: true, .. } => {
            line!(text, "  # GUESS: it passed, but ran no test.");
            ""
        }
        Conclusion::Passed { .. } => "",
        Conclusion::Failed { reason } => {
            let reason = reason.replace(['\n', '\r'], " ");
            line!(text, "  # failed: {reason}");
            "# "
        }
    };
    for line in lines {
        line!(text, "  {hash}{line}");
    }
}

fn deploy(text: &mut String, survey: &Survey, choices: &Choices) {
    match choices.target {
        TargetKind::Process => process(text, choices),
        TargetKind::Docker => {
            build(text, survey, survey.cluster.as_ref());
            let port = survey.dockerfile.as_ref().and_then(|it| it.port);
            line!(text, "deploy:\n  method: docker\n  docker:");
            match port {
                Some(port) => {
                    line!(text, "    container_port: {port}    # the container gets it as PORT");
                }
                None => {
                    line!(
                        text,
                        "    container_port: {}    # GUESS: the Dockerfile exposes no port",
                        survey.port()
                    );
                }
            }
        }
        TargetKind::Kubernetes => {
            build(text, survey, survey.cluster.as_ref());
            kubernetes(text, survey.cluster.as_ref());
        }
    }
    text.push('\n');
}

fn process(text: &mut String, choices: &Choices) {
    line!(
        text,
        "deploy:\n  method: process\n  wait_timeout: 30    # how long it may take to become healthy\n  process:"
    );
    let Some(start) = &choices.start else { return };
    let port = if start.command.iter().any(|word| word.contains("{{ port }}")) {
        "`{{ port }}` is the port that it must listen on, on 127.0.0.1"
    } else {
        "it must listen on 127.0.0.1, at the port in the variable PORT"
    };
    line!(text, "    # {}; runs in the release's folder; {port}.", start.kind);
    if !start.reads_port {
        line!(
            text,
            "    # GUESS: nothing in the sources reads PORT. Make it listen there, or give it the port as an"
        );
        line!(text, "    # argument: {{{{ port }}}}.");
    }
    line!(text, "    command: {}", list(&start.command));
    line!(text, "    # The files and folders of a release, copied under their own names.");
    line!(text, "    artifacts:");
    for artifact in &start.artifacts {
        line!(text, "      - {}", scalar(artifact));
    }
}

fn build(text: &mut String, survey: &Survey, cluster: Option<&Cluster>) {
    let Some(dockerfile) = &survey.dockerfile else { return };
    let named = cluster.and_then(|cluster| cluster.image.as_deref()).and_then(registry);
    line!(text, "build:");
    match named {
        Some((host, name)) => {
            line!(text, "  registry: {}", scalar(host));
            line!(text, "  image_name: {}", scalar(name));
        }
        None => {
            line!(
                text,
                "  registry: \"127.0.0.1:5000\"    # GUESS: docker run -d -p 127.0.0.1:5000:5000 registry:2"
            );
            line!(text, "  image_name: {}    # GUESS", scalar(&survey.name));
        }
    }
    line!(text, "  dockerfile_path: {}", scalar(&dockerfile.path));
    if dockerfile.context != "." {
        line!(text, "  context_path: {}", scalar(&dockerfile.context));
    }
    text.push('\n');
}

fn kubernetes(text: &mut String, cluster: Option<&Cluster>) {
    line!(text, "deploy:\n  method: kubernetes");
    let Some(cluster) = cluster else {
        line!(text, "  manifest_path: k8s    # GUESS: no manifests were found");
        return;
    };
    let mut settings = Vec::new();
    match &cluster.source {
        Source::Manifests(path) => {
            line!(text, "  manifest_path: {}", scalar(path));
        }
        Source::Kustomize(folder) => settings.push(format!("kustomize: {}", scalar(folder))),
        Source::Helm { chart, name } => {
            settings.push(format!("helm: {{chart: {}, release: {}}}", scalar(chart), scalar(name)));
        }
    }
    if cluster.host.is_none()
        && let Some(service) = &cluster.service
    {
        settings.push(format!(
            "service: {}    # smoke tests use a port-forward to it",
            scalar(service)
        ));
    }
    if !settings.is_empty() {
        line!(text, "  kubernetes:");
        for setting in settings {
            line!(text, "    {setting}");
        }
    }
}

fn verification(text: &mut String, survey: &Survey, choices: &Choices) {
    let (health, _) = &choices.health;
    let Some(path) = choices.page.clone().unwrap_or_else(|| survey.untried_page(health)) else {
        line!(
            text,
            "# A release counts as verified when it answers {}: no other request was found that it",
            scalar(health)
        );
        line!(text, "# answers. Add what your users do:\n#");
        line!(text, "# verification:\n#   user_flows:\n#     - name: order\n#       steps:");
        line!(text, "#         - GET /orders");
        return;
    };
    let seen = match choices.page {
        Some(_) => " It answered this when it was started once.",
        None => "",
    };
    line!(
        text,
        "# GUESS: what a release must answer beside its health check before it counts as verified."
    );
    line!(text, "#{seen} Add what your users do.");
    let name = if path == "/" { "first page" } else { "a page" };
    line!(text, "verification:\n  user_flows:\n    - name: {name}\n      steps:");
    line!(text, "        - {}", scalar(&format!("GET {path}")));
}

/// A file of its own, so that none that is there changes.
fn pipeline_file(system: System, environment: &str) -> (&'static str, String) {
    let heading = "# Greenloop's pipeline, written by `greenloop init`. `greenloop` must be on the PATH of the\n\
                   # machine that runs it. With OPENAI_API_KEY it repairs what fails.\n";
    match system {
        System::GitHub => (
            ".github/workflows/greenloop.yml",
            format!(
                "{heading}name: greenloop\non:\n  push:\n  pull_request:\njobs:\n  greenloop:\n    runs-on: \
                 ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n        with:\n          \
                 fetch-depth: 0\n      - run: greenloop run --environment {environment}\n        env:\n          \
                 OPENAI_API_KEY: ${{{{ secrets.OPENAI_API_KEY }}}}\n"
            ),
        ),
        System::GitLab => (
            ".gitlab/greenloop.yml",
            format!(
                "{heading}greenloop:\n  variables:\n    GIT_DEPTH: \"0\"\n  script:\n    - greenloop run \
                 --environment {environment}\n  artifacts:\n    when: always\n    paths: [logs/runs/]\n    \
                 reports:\n      junit: logs/runs/*/junit.xml\n"
            ),
        ),
        System::AzureDevops => (
            "azure-pipelines-greenloop.yml",
            format!(
                "{heading}# Create a pipeline for it: Pipelines, New pipeline, Existing Azure Pipelines YAML \
                 file.\ntrigger: ['*']\npool:\n  vmImage: ubuntu-latest\nsteps:\n  - checkout: self\n    \
                 fetchDepth: 0\n  - script: greenloop run --environment {environment}\n    displayName: \
                 Greenloop\n    # env:\n    #   OPENAI_API_KEY: $(OPENAI_API_KEY)\n"
            ),
        ),
    }
}

/// GitLab reads one file, which has to include others.
fn gitlab_include(files: &Files) -> Option<ProposedFile> {
    let path = [".gitlab-ci.yml", ".gitlab-ci.yaml"].into_iter().find(|path| files.exists(path))?;
    let before = files.text(path)?.to_string();
    if before.lines().any(|line| line.starts_with("include:")) {
        return None;
    }
    let gap = if before.ends_with('\n') { "" } else { "\n" };
    let text = format!("{before}{gap}\ninclude:\n  - local: .gitlab/greenloop.yml\n");
    Some(ProposedFile { path: path.to_owned(), before: Some(before), text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::survey;
    use crate::trial::Candidate;
    use greenloop_config::Overrides;

    struct Repository {
        _folder: tempfile::TempDir,
        files: Files,
    }

    fn of(content: &[(&str, &str)]) -> Repository {
        let (_folder, files) = crate::files::tests::written(content.iter().copied());
        Repository { _folder, files }
    }

    fn proposed(
        repository: &Repository,
        target: TargetKind,
        failing: &[&str],
    ) -> Vec<ProposedFile> {
        let survey = survey(&repository.files);
        let name = |candidate: &Candidate| candidate.role.clone();
        let trials = survey.candidates.iter().map(|candidate| Trial {
            name: name(candidate),
            candidate: candidate.clone(),
            conclusion: match failing.contains(&candidate.role.as_str()) {
                true => Conclusion::Failed { reason: "exit 1: two\nlines".to_owned() },
                false => Conclusion::Passed { network: false, ran_no_test: false },
            },
        });
        let mut seen = Vec::new();
        let trials = trials.filter(|trial| {
            let new = !seen.contains(&trial.name);
            seen.push(trial.name.clone());
            new
        });
        let choices = Choices {
            target,
            start: survey.starts.first().cloned(),
            port: survey.port(),
            health: (survey.health_paths().remove(0), false),
            page: None,
            trials: trials.collect(),
        };
        propose(&survey, &repository.files, &choices)
    }

    fn text<'a>(files: &'a [ProposedFile], path: &str) -> &'a str {
        &files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path}")).text
    }

    const OBJECTS: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: fleet}\nspec: \
        {template: {spec: {containers: [{image: 'r.example.org/team/fleet:1'}]}}}\n---\napiVersion: \
        v1\nkind: Service\nmetadata: {name: fleet}\nspec: {ports: [{port: 80}]}\n";

    #[test]
    fn what_is_written_is_a_valid_configuration_that_means_what_was_found() {
        let node =
            ("package.json", r#"{"scripts":{"lint":"x","test":"x","start":"node server.js"}}"#);
        let server = ("server.js", "createServer().listen(process.env.PORT); '/healthz'; '/'");
        let docker = ("Dockerfile", "FROM x\nEXPOSE 8081\n");
        let objects = ("k8s/all.yaml", OBJECTS);
        let chart = ("chart/Chart.yaml", "name: fleet\n");
        for (content, target) in [
            (&[node, server][..], TargetKind::Process),
            (&[("index.html", "x")], TargetKind::Process),
            (&[node, server, docker], TargetKind::Docker),
            (&[docker], TargetKind::Docker),
            (&[node, docker, objects], TargetKind::Kubernetes),
            (
                &[docker, objects, ("k8s/kustomization.yaml", "resources: [all.yaml]\n")],
                TargetKind::Kubernetes,
            ),
            (&[docker, chart], TargetKind::Kubernetes),
            (
                &[
                    ("svc/go.mod", "module x\n"),
                    ("svc/main.go", "package main\nListenAndServe PORT"),
                ],
                TargetKind::Process,
            ),
        ] {
            for failing in [&[][..], &["test"], &["test", "lint", "syntax", "page", "vet", "build"]]
            {
                let files = proposed(&of(content), target, failing);
                let text = text(&files, FILE_NAME);
                let config = greenloop_config::parse(text, FILE_NAME)
                    .unwrap_or_else(|error| panic!("{error:?}\n{text}"));
                let name = environment_name(target);
                let plan = config.plan(name, &Overrides::default(), &|_| None).unwrap();
                assert_eq!(plan.deploy.target, target);
                assert!(text.starts_with("# yaml-language-server: $schema="), "{text}");
                assert!(
                    !plan.gates.iter().any(|gate| failing.contains(&gate.name.as_str())),
                    "{text}"
                );
                assert_eq!(text.matches("# failed: exit 1: two lines").count() > 0, {
                    let has = |role: &&str| text.contains(&format!("# - name: {role}"));
                    failing.iter().any(has)
                });
            }
        }
    }

    #[test]
    fn the_smoke_test_is_another_request_than_the_health_check_or_none() {
        let repository = of(&[("index.html", "x"), ("about.html", "x")]);
        let survey = survey(&repository.files);
        for (health, page, expect) in [
            ("/healthz", Some(Some("/")), Some("/")),
            ("/", Some(Some("/about.html")), Some("/about.html")),
            ("/", Some(None), None),
            ("/healthz", None, Some("/")),
            ("/", None, None),
        ] {
            let choices = Choices {
                target: TargetKind::Process,
                start: survey.starts.first().cloned(),
                port: 8080,
                health: (health.to_owned(), true),
                page: page.map(|page| page.map(str::to_owned)),
                trials: Vec::new(),
            };
            let files = propose(&survey, &repository.files, &choices);
            let config = greenloop_config::parse(text(&files, FILE_NAME), FILE_NAME).unwrap();
            let plan = config.plan("local", &Overrides::default(), &|_| None).unwrap();
            let asked = plan.verification.flows.first().map(|flow| flow.steps[0].path.clone());
            assert_eq!(asked.as_deref(), expect, "{health} {page:?}");
            assert_ne!(asked.as_deref(), Some(health));
        }
        assert_eq!(survey.pages("/"), ["/about.html"]);
        assert_eq!(survey.pages("/healthz"), ["/", "/about.html"]);
    }

    #[test]
    fn a_cluster_s_image_and_service_are_taken_over() {
        let repository = of(&[("Dockerfile", "FROM x\n"), ("k8s/all.yaml", OBJECTS)]);
        let files = proposed(&repository, TargetKind::Kubernetes, &[]);
        let config = greenloop_config::parse(text(&files, FILE_NAME), FILE_NAME).unwrap();
        let plan = config.plan("staging", &Overrides::default(), &|_| None).unwrap();
        assert_eq!(plan.build.unwrap().repository(), "r.example.org/team/fleet");
        assert_eq!(plan.deploy.kubernetes.unwrap().service.unwrap().name, "fleet");
    }

    #[test]
    fn nothing_that_is_there_is_replaced_and_lines_are_added_once() {
        let repository = of(&[
            ("index.html", "x"),
            ("Dockerfile", "FROM x\n"),
            (FILE_NAME, "version: 1\n"),
            (".gitignore", "/logs/runs\nmine\n"),
            (".github/workflows/ci.yml", "jobs: {}\n"),
            (".gitlab-ci.yml", "test: {script: [make]}\n"),
        ]);
        let files = proposed(&repository, TargetKind::Process, &[]);
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let expect = [
            ".github/workflows/greenloop.yml",
            ".gitlab/greenloop.yml",
            ".gitignore",
            ".dockerignore",
            ".gitlab-ci.yml",
        ];
        assert_eq!(paths, expect);
        assert!(text(&files, ".gitignore").starts_with("/logs/runs\nmine\n\n# "));
        assert_eq!(text(&files, ".gitignore").matches("logs/runs").count(), 1);
        assert!(text(&files, ".gitlab-ci.yml").starts_with("test: {script: [make]}\n\ninclude:\n"));
        for file in &files {
            std::fs::create_dir_all(repository.files.root().join(&file.path).parent().unwrap())
                .unwrap();
            std::fs::write(repository.files.root().join(&file.path), &file.text).unwrap();
        }
        let again = of_root(repository.files.root());
        assert_eq!(proposed(&again, TargetKind::Process, &[]), []);
    }

    fn of_root(root: &std::path::Path) -> Repository {
        Repository { _folder: tempfile::tempdir().unwrap(), files: Files::read(root) }
    }

    #[test]
    fn the_pipelines_are_yaml() {
        for system in [System::GitHub, System::GitLab, System::AzureDevops] {
            let (_, text) = pipeline_file(system, "local");
            let read: serde_json::Value = serde_yaml::from_str(&text).unwrap();
            assert!(read.to_string().contains("greenloop run --environment local"), "{text}");
        }
    }
}
