//! The projects of a repository: a kind and a folder, its gates and how its service is started.

use regex::Regex;

use crate::condition::{Variables, all, fill, resolve};
use crate::files::{Files, join, matcher, relative};
use crate::kind::{KINDS, Kind, StartTemplate};
use crate::start::Start;
use crate::trial::Candidate;

/// How deep below the root a project is looked for.
const DEEPEST: usize = 3;
/// Folders whose content is no project of the repository's own.
const FOREIGN: &[&str] = &[
    "node_modules",
    "vendor",
    "third_party",
    "testdata",
    "fixtures",
    "examples",
    "example",
    "test",
    "tests",
    "spec",
    "templates",
    "docs",
    "doc",
];
/// Files of a project's folder that no release needs.
const NOT_RELEASED: &str = "{.*,*.md,*.rst,LICENSE*,COPYING*,NOTICE*,CHANGELOG*,test,tests,spec,\
    __tests__,docs,doc,Dockerfile*,docker-compose*,compose.y*ml,Makefile,makefile,GNUmakefile,\
    justfile,Justfile,k8s,kubernetes,manifests,chart,charts,helm,deploy,pipelines,\
    azure-pipelines*,greenloop.yaml,tox.ini,mypy.ini,pytest.ini,conftest.py,test_*.py,*_test.py,\
    *.test.*js,logs,metrics,requirements-dev*,eslint.config.*,jest.config.*,vitest.config.*}";

/// What no release holds.
const NEVER_RELEASED: &str = "{.*,logs,metrics,greenloop.yaml}";

/// A kind of project in a folder.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    pub(crate) kind: &'static Kind,
    /// Relative to the root; empty for the root.
    pub(crate) folder: String,
    variables: Variables,
}

/// The projects, in the order of the table, the root's before those of its folders.
pub(crate) fn projects(files: &Files) -> Vec<Project> {
    let mut projects: Vec<Project> = Vec::new();
    for kind in KINDS.iter() {
        let mut folders: Vec<&str> = Vec::new();
        for path in files.paths() {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let marked = kind.markers.iter().filter_map(|glob| matcher(glob));
            let allowed = match &kind.folders {
                Some(only) => only.iter().any(|it| it == folder),
                None => is_own(folder),
            };
            if allowed && marked.into_iter().any(|glob| glob.is_match(name)) {
                folders.push(folder);
            }
        }
        folders.sort_by_key(|folder| (folder.len(), *folder));
        folders.dedup();
        let mut taken: Vec<&str> = Vec::new();
        for folder in folders {
            // A member of a workspace, and a package of a project, belong to what lies above.
            if taken.iter().any(|above| relative(folder, above).is_some()) {
                continue;
            }
            taken.push(folder);
            let variables = resolve(&kind.variables, files, folder);
            projects.push(Project { kind, folder: folder.to_owned(), variables });
        }
    }
    projects
}

/// All files and folders of the repository but its records and hidden ones.
pub(crate) fn everything(files: &Files) -> Vec<String> {
    let left_out = matcher(NEVER_RELEASED);
    let kept = |name: &&str| left_out.as_ref().is_some_and(|glob| !glob.is_match(name));
    files.entries("").into_iter().filter(kept).map(str::to_owned).collect()
}

/// The files and folders in `folder` that a release of its service consists of.
pub(crate) fn released(files: &Files, folder: &str) -> Vec<String> {
    let left_out = matcher(NOT_RELEASED);
    let kept = |name: &&str| left_out.as_ref().is_some_and(|glob| !glob.is_match(name));
    files.entries(folder).into_iter().filter(kept).map(|name| join(folder, name)).collect()
}

fn is_own(folder: &str) -> bool {
    let mut parts = folder.split('/').filter(|part| !part.is_empty());
    folder.split('/').count() <= DEEPEST
        && parts.all(|part| !part.starts_with('.') && !FOREIGN.contains(&part))
}

impl Project {
    pub(crate) fn candidates(&self, files: &Files) -> Vec<Candidate> {
        let templates = self.kind.gates.iter();
        let fitting = templates.filter(|gate| all(&gate.when, files, &self.folder));
        fitting
            .filter_map(|gate| {
                Some(Candidate {
                    role: gate.name.clone(),
                    kind: self.kind.id.clone(),
                    origin: self.kind.name.clone(),
                    folder: self.folder.clone(),
                    command: fill(&gate.command, &self.variables)?,
                    required: gate.required,
                    network: gate.network,
                    needs: gate.needs.clone(),
                    reports: gate.reports.iter().map(|path| join(&self.folder, path)).collect(),
                    runner: self.kind.runner,
                })
            })
            .collect()
    }

    /// How its service is started, the likeliest first.
    pub(crate) fn starts(&self, files: &Files) -> Vec<Start> {
        self.kind.starts.iter().filter_map(|template| self.start(template, files)).collect()
    }

    fn start(&self, template: &StartTemplate, files: &Files) -> Option<Start> {
        if !all(&template.when, files, &self.folder) {
            return None;
        }
        let mut variables = self.variables.clone();
        let mut entry = None;
        if let Some(find) = &template.find {
            let path = self.found(find, files)?;
            let inside = relative(&path, &self.folder)?;
            let stem = inside.rsplit_once('.').map_or(inside, |(stem, _)| stem);
            variables.insert("file".to_owned(), inside.to_owned());
            variables.insert("stem".to_owned(), stem.to_owned());
            variables.insert("module".to_owned(), stem.replace('/', "."));
            let text = files.text(&path)?;
            for (name, expression) in &template.binds {
                let bound = Regex::new(expression).ok()?.captures(&text)?.get(1)?;
                variables.insert(name.clone(), bound.as_str().to_owned());
            }
            entry = Some((path, text));
        }
        let words = template.command.iter().map(|word| fill(word, &variables));
        let mut command: Vec<String> = Vec::new();
        for (word, template) in words.zip(&template.command) {
            let word = word?;
            match template.starts_with("{{ start") {
                true => command.extend(word.split_whitespace().map(str::to_owned)),
                false => command.push(word),
            }
        }
        if let Some((argument, (_, text))) = template.argument.as_ref().zip(entry.as_ref())
            && Regex::new(&argument.has).is_ok_and(|has| has.is_match(text))
        {
            command.extend(argument.words.iter().cloned());
        }
        let by_argument = command.iter().any(|word| word.contains("{{ port }}"));
        let reads_port = by_argument
            || template.reads_port.as_ref().is_none_or(|reads| {
                let file = fill(&reads.file, &variables).unwrap_or_default();
                crate::condition::TextIn { file, has: reads.has.clone() }.holds(files, &self.folder)
            });
        Some(Start {
            kind: self.kind.name.clone(),
            folder: self.folder.clone(),
            artifacts: self.artifacts(template, &variables, files)?,
            command,
            reads_port,
            answers_root: template.root,
            program: template.program.clone(),
            port: self.kind.port,
            runner: self.kind.runner,
        })
    }

    fn found(&self, find: &crate::kind::FindFile, files: &Files) -> Option<String> {
        let has = Regex::new(&find.has).ok()?;
        let mut matching = files.matching(&self.folder, &find.file);
        let place = |path: &&str| {
            let inside = relative(path, &self.folder).unwrap_or_default();
            let place = find.names.iter().position(|name| name == inside);
            (place.unwrap_or(find.names.len()), inside.to_owned())
        };
        matching.sort_by_key(place);
        let mut holding =
            matching.into_iter().filter(|path| files.text(path).is_some_and(|t| has.is_match(&t)));
        holding.next().map(str::to_owned)
    }

    fn artifacts(
        &self,
        template: &StartTemplate,
        variables: &Variables,
        files: &Files,
    ) -> Option<Vec<String>> {
        if !template.sources {
            let filled = template.artifacts.iter().map(|path| fill(path, variables));
            return filled.map(|path| Some(join(&self.folder, &path?))).collect();
        }
        let also = template
            .also
            .iter()
            .filter(|name| files.exists(&join(&self.folder, name)) || self.fetches(files));
        let also = also.map(|name| join(&self.folder, name));
        let all: Vec<String> = released(files, &self.folder).into_iter().chain(also).collect();
        (!all.is_empty()).then_some(all)
    }

    /// Whether a gate fetches its dependencies into its folder.
    fn fetches(&self, files: &Files) -> bool {
        self.candidates(files).iter().any(|candidate| candidate.role == "install")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::files::tests::written;

    /// The first command of each role, and the first start, of a repository with these files.
    pub(crate) fn found(
        content: &BTreeMap<String, String>,
    ) -> (BTreeMap<String, String>, Option<String>) {
        let (_folder, files) = written(content);
        let mut gates = BTreeMap::new();
        let mut start = None;
        for project in projects(&files).into_iter().filter(|project| project.folder.is_empty()) {
            for candidate in project.candidates(&files) {
                gates.entry(candidate.role).or_insert(candidate.command);
            }
            let first = project.starts(&files).into_iter().next();
            start = start.or(first.map(|start| start.command.join(" ")));
        }
        (gates, start)
    }

    #[test]
    fn members_belong_to_their_workspace_and_other_folders_are_projects_of_their_own() {
        let (_folder, files) = written([
            ("Cargo.toml", "[workspace]\n"),
            ("crates/a/Cargo.toml", "[package]\n"),
            ("web/package.json", "{}"),
            ("web/node_modules/x/package.json", "{}"),
            ("tests/fixtures/py/app.py", ""),
            ("services/api/go.mod", "module x\n"),
        ]);
        let found: Vec<(&str, String)> =
            projects(&files).into_iter().map(|p| (p.kind.id.as_str(), p.folder)).collect();
        let expect = [("cargo", ""), ("go", "services/api"), ("node", "web")];
        assert_eq!(found, expect.map(|(kind, folder)| (kind, folder.to_owned())));
    }

    #[test]
    fn a_release_is_what_the_service_needs() {
        let (_folder, files) = written([
            ("api/server.py", "import sys\nHTTPServer(('', int(sys.argv[1]))).serve_forever()\n"),
            ("api/pages/index.html", ""),
            ("api/tests/test_server.py", "import unittest\n"),
            ("api/README.md", ""),
            ("api/.env", "KEY=x"),
        ]);
        let start = projects(&files).remove(0).starts(&files).remove(0);
        assert_eq!(start.artifacts, ["api/pages", "api/server.py"]);
        assert_eq!(start.command, ["python3", "server.py", "{{ port }}"]);
        assert!(start.reads_port);
    }

    #[test]
    fn a_service_with_a_port_of_its_own_is_noticed() {
        let (_folder, files) = written([("app.py", "HTTPServer(('', 8000), H).serve_forever()\n")]);
        assert!(!projects(&files).remove(0).starts(&files).remove(0).reads_port);
    }
}
