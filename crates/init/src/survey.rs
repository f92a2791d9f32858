//! All that is known of a repository before anything is run.

use crate::cluster::{Cluster, cluster};
use crate::container::{Compose, Dockerfile, compose, dockerfile};
use crate::files::Files;
use crate::health;
use crate::pages::pages;
use crate::pipeline::{Pipeline, System, pipelines};
use crate::project::{everything, projects};
use crate::start::Start;
use crate::trial::Candidate;
use greenloop_model::TargetKind;

/// A port for services that name none.
const PORT: u16 = 8080;

impl Start {
    /// One that a person has said. What it needs is not known, so the release is all there is.
    pub fn given(files: &Files, command: &[String]) -> Self {
        Self {
            kind: "started as you said".to_owned(),
            folder: String::new(),
            command: command.to_vec(),
            artifacts: everything(files),
            reads_port: true,
            answers_root: false,
            program: None,
            port: None,
            runner: false,
        }
    }
}

/// What a repository is.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Of the repository's folder, as names of images and namespaces may be.
    pub(crate) name: String,
    /// For a person: `Cargo`, `Node.js in web`.
    pub(crate) kinds: Vec<String>,
    /// Commands that may be gates, those of pipelines first.
    pub candidates: Vec<Candidate>,
    /// How its service may be started, the likeliest first.
    pub starts: Vec<Start>,
    pub(crate) dockerfile: Option<Dockerfile>,
    pub(crate) compose: Option<Compose>,
    pub(crate) cluster: Option<Cluster>,
    pub(crate) pipelines: Vec<Pipeline>,
    /// Lines that `.gitignore` needs.
    pub(crate) ignore: Vec<String>,
    /// Routes of health checks that the sources name.
    pub(crate) health: Vec<String>,
    pub(crate) has_root: bool,
    /// What else it may answer.
    pages: Vec<String>,
}

/// Looks at the files; runs nothing.
pub fn survey(files: &Files) -> Survey {
    let projects = projects(files);
    let pipelines = pipelines(files);
    let mut candidates: Vec<Candidate> =
        pipelines.iter().flat_map(|pipeline| pipeline.candidates.iter().cloned()).collect();
    let mut starts: Vec<Start> = Vec::new();
    let mut ignore: Vec<String> = Vec::new();
    let mut kinds: Vec<String> = Vec::new();
    for project in &projects {
        let own = project.candidates(files);
        // The table knows more of a command than that it is a step.
        candidates.retain(|step| {
            !own.iter().any(|it| (&it.command, &it.folder) == (&step.command, &step.folder))
                || step.origin == project.kind.name
        });
        candidates.extend(own);
        starts.extend(project.starts(files));
        for line in &project.kind.ignore {
            if !ignore.contains(line) {
                ignore.push(line.clone());
            }
        }
        kinds.push(match project.folder.as_str() {
            "" => project.kind.name.clone(),
            folder => format!("{} in {folder}", project.kind.name),
        });
    }
    dedup(&mut candidates);
    // What a language's own files say is likelier than a task runner's recipe.
    starts.sort_by_key(|start| start.runner);
    let folder = starts.first().map(|start| start.folder.clone()).unwrap_or_default();
    let (health, has_root) = health::routes(files, &folder);
    let serves_files = starts.first().is_some_and(|start| start.answers_root);
    let pages = pages(files, &folder, serves_files);
    Survey {
        name: slug(files.root().file_name().and_then(|name| name.to_str()).unwrap_or_default()),
        kinds,
        candidates,
        starts,
        dockerfile: dockerfile(files),
        compose: compose(files),
        cluster: cluster(files),
        pipelines,
        ignore,
        health,
        has_root,
        pages,
    }
}

fn dedup(candidates: &mut Vec<Candidate>) {
    let mut seen: Vec<(String, String)> = Vec::new();
    candidates.retain(|candidate| {
        let key = (candidate.command.clone(), candidate.folder.clone());
        let new = !seen.contains(&key);
        seen.push(key);
        new
    });
}

/// Small letters, digits and hyphens.
fn slug(name: &str) -> String {
    let plain: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let plain = plain.trim_matches('-').to_owned();
    if plain.is_empty() { "service".to_owned() } else { plain }
}

impl Survey {
    /// What was found, for a person, a line each.
    pub fn findings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.kinds.is_empty() {
            lines.push(format!("projects: {}", self.kinds.join(", ")));
        }
        if let Some(dockerfile) = &self.dockerfile {
            lines.push(format!("image: {}", dockerfile.path));
        }
        if let Some(compose) = &self.compose {
            lines.push(format!("compose: {} ({})", compose.path, compose.services.join(", ")));
        }
        if let Some(cluster) = &self.cluster {
            use crate::cluster::Source;
            lines.push(match &cluster.source {
                Source::Manifests(path) => format!("Kubernetes manifests: {path}"),
                Source::Kustomize(path) => format!("kustomization: {path}"),
                Source::Helm { chart, name } => format!("Helm chart: {chart} ({name})"),
            });
        }
        for pipeline in &self.pipelines {
            lines.push(format!("{}: {}", pipeline.system.name(), pipeline.path));
        }
        lines
    }

    /// The target that fits best; `None` when nothing in the repository can be started.
    pub fn target(&self) -> Option<TargetKind> {
        if self.starts.iter().any(|start| !start.runner) {
            Some(TargetKind::Process)
        } else if self.dockerfile.is_some() {
            Some(TargetKind::Docker)
        } else if self.cluster.is_some() {
            Some(TargetKind::Kubernetes)
        } else {
            (!self.starts.is_empty()).then_some(TargetKind::Process)
        }
    }

    /// The systems whose pipelines the repository has.
    pub(crate) fn systems(&self) -> Vec<System> {
        let mut systems: Vec<System> = self.pipelines.iter().map(|it| it.system).collect();
        systems.sort_unstable();
        systems.dedup();
        systems
    }

    /// The port that the service is known by.
    pub fn port(&self) -> u16 {
        let compose = self.compose.as_ref().and_then(|compose| compose.port);
        let image = self.dockerfile.as_ref().and_then(|dockerfile| dockerfile.port);
        let kind = self.starts.first().and_then(|start| start.port);
        let named = compose.or(image).filter(|port| *port >= 1024);
        named.or(kind).unwrap_or(PORT)
    }

    /// Paths other than the health check that a smoke test may request, the likeliest first.
    pub fn pages(&self, health: &str) -> Vec<String> {
        let root = std::iter::once("/".to_owned());
        let all = root.chain(self.pages.iter().cloned());
        all.filter(|path| path != health && !self.health.contains(path)).collect()
    }

    /// The first page, where it is known without a try that the service has one of its own.
    pub(crate) fn untried_page(&self, health: &str) -> Option<String> {
        let serves_files = self.starts.first().is_some_and(|start| start.answers_root);
        ((self.has_root || serves_files) && health != "/").then(|| "/".to_owned())
    }

    /// Paths that a health check may ask, the likeliest first; `/` is the last.
    pub fn health_paths(&self) -> Vec<String> {
        let mut paths = self.health.clone();
        paths.push("/".to_owned());
        paths
    }
}
