//! Where manifests come from: files of the repository, or what a tool makes of them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use globset::GlobBuilder;
use tokio_util::sync::CancellationToken;

use crate::error::{KubernetesError, KubernetesErrorKind};
use greenloop_config::plan::Manifests;
use greenloop_exec::{Command, Marker, Program};
use greenloop_model::{Exit, RunId};

/// Bytes of all manifests together.
const LARGEST: usize = 16 << 20;
/// Manifest files.
const MOST: usize = 1_000;
/// How long a tool may take.
const TOOL_LIMIT: Duration = Duration::from_secs(120);
/// Bytes of a tool's complaint that are shown.
const COMPLAINT: usize = 4_096;
/// What a shell says when there is no such program.
const NOT_FOUND: i32 = 127;

/// How a text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Yaml,
    Json,
}

/// A text with manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// As a person knows it.
    pub(crate) name: String,
    /// What it says.
    pub(crate) text: String,
    /// How.
    pub(crate) form: Form,
}

/// What the manifests are read for.
pub(crate) struct Reading<'a> {
    /// The repository's root.
    pub(crate) root: &'a Path,
    /// The run that reads: a tool's processes carry its mark.
    pub(crate) run: RunId,
    /// Where objects without a namespace of their own go.
    pub(crate) namespace: &'a str,
    /// Variables that a tool does not inherit.
    pub(crate) env_remove: &'a [OsString],
    /// Ends a tool.
    pub(crate) cancel: &'a CancellationToken,
}

fn bad(message: String) -> KubernetesError {
    KubernetesError::new(KubernetesErrorKind::Manifest, message)
}

/// Whether the texts are templates: a chart has been rendered by its own tool, and braces that
/// are left in it are meant for somebody else.
pub(crate) fn are_templates(manifests: &Manifests) -> bool {
    match manifests {
        Manifests::Files(_) | Manifests::Kustomize(_) => true,
        Manifests::Helm { .. } => false,
    }
}

/// Reads them all, sorted by name.
pub(crate) async fn read(
    manifests: &Manifests,
    reading: &Reading<'_>,
) -> Result<Vec<Source>, KubernetesError> {
    match manifests {
        Manifests::Files(path) => {
            let (root, path) = (reading.root.to_owned(), path.clone());
            tokio::task::spawn_blocking(move || files(&root, &path))
                .await
                .map_err(|_| bad("reading the manifests was interrupted".to_owned()))?
        }
        Manifests::Kustomize(_) | Manifests::Helm { .. } => {
            for command in commands(manifests, reading.namespace) {
                if let Some(source) = run(&command, reading).await? {
                    return Ok(vec![source]);
                }
            }
            Err(missing(match manifests {
                Manifests::Helm { .. } => "`helm` is not installed",
                Manifests::Kustomize(_) | Manifests::Files(_) => {
                    "neither `kustomize` nor `kubectl` is installed"
                }
            }))
        }
    }
}

/// What renders the manifests; the first that is installed is used.
fn commands(manifests: &Manifests, namespace: &str) -> Vec<Vec<OsString>> {
    match manifests {
        Manifests::Files(_) => Vec::new(),
        Manifests::Kustomize(folder) => {
            let folder = || [folder.as_os_str().to_owned()];
            vec![words(["kustomize", "build"], folder()), words(["kubectl", "kustomize"], folder())]
        }
        Manifests::Helm { chart, release, values } => {
            let mut command = words(["helm", "template"], [release.into(), chart.into()]);
            command.extend(["--namespace".into(), namespace.into()]);
            // Hooks are acts at moments that only Helm knows: a `pre-delete` job must not run now.
            command.push("--include-crds".into());
            for file in values {
                command.extend(["--values".into(), file.into()]);
            }
            vec![command]
        }
    }
}

fn missing(what: &str) -> KubernetesError {
    let message = format!(
        "{what}, but `deploy.kubernetes` needs it to render the manifests; install it, or commit \
         the rendered manifests and set `deploy.manifest_path`"
    );
    KubernetesError::new(KubernetesErrorKind::Tool, message)
}

fn words<const N: usize>(
    fixed: [&str; N],
    rest: impl IntoIterator<Item = OsString>,
) -> Vec<OsString> {
    fixed.into_iter().map(OsString::from).chain(rest).collect()
}

/// What the tool writes; `None` when it is not installed. Its complaints go to a file, because
/// they are not part of what it writes.
async fn run(
    command: &[OsString],
    reading: &Reading<'_>,
) -> Result<Option<Source>, KubernetesError> {
    let shown: Vec<String> =
        command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let shown = shown.join(" ");
    let failed = |message: String| KubernetesError::new(KubernetesErrorKind::Tool, message);
    let complaints = tempfile::NamedTempFile::new().map_err(|e| {
        failed(format!("could not create a file for the output of `{shown}`")).because(e)
    })?;
    let mut argv = words(["sh", "-c", "exec \"$@\" 2>\"$GREENLOOP_COMPLAINTS\"", "sh"], []);
    argv.extend(command.iter().cloned());
    let command = Command {
        program: Program::Argv(argv),
        cwd: reading.root.to_owned(),
        env: vec![("GREENLOOP_COMPLAINTS".into(), complaints.path().into())],
        env_remove: reading.env_remove.to_vec(),
        timeout: Some(TOOL_LIMIT),
        marker: Marker::new(reading.run),
        confinement: None,
    };
    let mut output = Vec::new();
    let mut overflow = false;
    let mut keep = |bytes: &[u8]| {
        overflow |= output.len() + bytes.len() > LARGEST;
        if !overflow {
            output.extend_from_slice(bytes);
        }
    };
    let outcome = greenloop_exec::run(&command, &mut keep, reading.cancel).await;
    if outcome.cancelled {
        let message = format!("`{shown}` was cancelled");
        return Err(KubernetesError::new(KubernetesErrorKind::Cancelled, message));
    }
    match outcome.exit {
        Exit::Code(0) if overflow => {
            Err(failed(format!("`{shown}` wrote more than {} MiB", LARGEST >> 20)))
        }
        Exit::Code(0) => {
            let text = String::from_utf8(output)
                .map_err(|_| failed(format!("the output of `{shown}` is not UTF-8")))?;
            Ok(Some(Source { name: shown, text, form: Form::Yaml }))
        }
        Exit::Code(NOT_FOUND) => Ok(None),
        exit => {
            let said = std::fs::read(complaints.path()).unwrap_or_default();
            let said = String::from_utf8_lossy(said.get(..COMPLAINT).unwrap_or(&said)).into_owned();
            let lines = said.lines().map(str::trim_end).filter(|line| !line.is_empty());
            Err(failed(format!("`{shown}` failed: {exit}")).noting(lines.map(str::to_owned)))
        }
    }
}

/// A file, a folder with all below it, or a glob; relative to `root`, and within it.
fn files(root: &Path, path: &Path) -> Result<Vec<Source>, KubernetesError> {
    let shown = path.display();
    let whole = root.join(path);
    let mut paths = Vec::new();
    if whole.is_dir() {
        walk(&whole, &mut paths)?;
        if paths.is_empty() {
            return Err(bad(format!("{shown} contains no .yaml, .yml or .json file")));
        }
    } else if whole.is_file() {
        paths.push(whole);
    } else {
        let pattern = path.to_string_lossy();
        if !pattern.contains(['*', '?', '[', '{']) {
            return Err(bad(format!("{shown} does not exist (`deploy.manifest_path`)")));
        }
        let glob = GlobBuilder::new(pattern.trim_start_matches("./"))
            .literal_separator(true)
            .build()
            .map_err(|error| bad(format!("{shown} is not a valid glob")).because(error))?
            .compile_matcher();
        // The part before the first wildcard, so that not all of a repository is looked at.
        let fixed: PathBuf = path
            .components()
            .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']))
            .collect();
        let mut found = Vec::new();
        walk(&root.join(fixed), &mut found)?;
        paths.extend(
            found.into_iter().filter(|p| p.strip_prefix(root).is_ok_and(|p| glob.is_match(p))),
        );
        if paths.is_empty() {
            return Err(bad(format!("{shown} matches no file (`deploy.manifest_path`)")));
        }
    }
    if paths.len() > MOST {
        return Err(bad(format!("{shown} has {} files; the maximum is {MOST}", paths.len())));
    }
    paths.sort();
    let mut total = 0;
    let mut sources = Vec::with_capacity(paths.len());
    for path in paths {
        let source = one(root, &path)?;
        total += source.text.len();
        if total > LARGEST {
            return Err(bad(format!("{shown} contains more than {} MiB", LARGEST >> 20)));
        }
        sources.push(source);
    }
    Ok(sources)
}

fn one(root: &Path, path: &Path) -> Result<Source, KubernetesError> {
    let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
    let unreadable = |error: std::io::Error| bad(format!("could not read {name}")).because(error);
    if path.file_name().is_some_and(|n| n == "kustomization.yaml" || n == "kustomization.yml") {
        return Err(bad(format!(
            "{name} is for kustomize: set `deploy.kubernetes.kustomize` to its folder"
        )));
    }
    // A link that leads out of the repository would put foreign files into the cluster.
    let real = path.canonicalize().map_err(unreadable)?;
    if !real.starts_with(root.canonicalize().map_err(unreadable)?) {
        return Err(bad(format!("{name} leads outside the repository")));
    }
    let size = real.metadata().map_err(unreadable)?.len();
    if usize::try_from(size).unwrap_or(usize::MAX) > LARGEST {
        return Err(bad(format!("{name} has more than {} MiB", LARGEST >> 20)));
    }
    let bytes = std::fs::read(&real).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| bad(format!("{name} is not UTF-8")))?;
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    };
    let json = path.extension().is_some_and(|extension| extension == "json");
    Ok(Source { name, text, form: if json { Form::Json } else { Form::Yaml } })
}

/// All manifests below `folder`, hidden ones left out.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), KubernetesError> {
    let unreadable = |error: std::io::Error| {
        bad(format!("could not read the folder {}", folder.display())).because(error)
    };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().map_err(unreadable)?.is_dir() {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|extension| {
            ["yaml", "yml", "json"].iter().any(|known| extension == *known)
        }) {
            found.push(path);
        }
        if found.len() > MOST {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("k8s/web.yaml", "a: 1\n"),
            ("k8s/base/config.yml", "b: 1\n"),
            ("k8s/base/extra.json", "{}"),
            ("k8s/README.md", "no"),
            ("k8s/.hidden/x.yaml", "no"),
            ("k8s/prod-web.yaml", "\u{feff}c: 1\n"),
        ] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn files_folders_and_globs() {
        let root = tree();
        for (path, expect) in [
            ("k8s/web.yaml", vec!["k8s/web.yaml"]),
            (
                "k8s",
                vec![
                    "k8s/base/config.yml",
                    "k8s/base/extra.json",
                    "k8s/prod-web.yaml",
                    "k8s/web.yaml",
                ],
            ),
            ("k8s/*.yaml", vec!["k8s/prod-web.yaml", "k8s/web.yaml"]),
            ("k8s/**/*.yml", vec!["k8s/base/config.yml"]),
            ("./k8s/prod-*.yaml", vec!["k8s/prod-web.yaml"]),
        ] {
            let sources = files(root.path(), Path::new(path)).unwrap();
            let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
            assert_eq!(names, expect, "{path}");
        }
        let marked = files(root.path(), Path::new("k8s/prod-web.yaml")).unwrap();
        assert_eq!(marked[0].text, "c: 1\n");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let root = tree();
        std::fs::write(root.path().join("k8s/base/kustomization.yaml"), "").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("k8s/out.yaml")).unwrap();
        for (path, expect) in [
            ("k9s", "k9s does not exist (`deploy.manifest_path`)"),
            ("k8s/*.txt", "k8s/*.txt matches no file (`deploy.manifest_path`)"),
            (
                "k8s/base",
                "k8s/base/kustomization.yaml is for kustomize: set \
                 `deploy.kubernetes.kustomize` to its folder",
            ),
            ("k8s/out.yaml", "k8s/out.yaml leads outside the repository"),
        ] {
            assert_eq!(files(root.path(), Path::new(path)).unwrap_err().message, expect);
        }
    }

    #[test]
    fn tools_are_asked_for_plain_objects() {
        let shown = |manifests: &Manifests| -> Vec<String> {
            let commands = commands(manifests, "shop");
            commands
                .iter()
                .map(|words| {
                    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
                    words.join(" ")
                })
                .collect()
        };
        assert_eq!(
            shown(&Manifests::Kustomize("k8s/prod".into())),
            ["kustomize build k8s/prod", "kubectl kustomize k8s/prod"]
        );
        let helm = Manifests::Helm {
            chart: "chart".into(),
            release: "web".to_owned(),
            values: vec!["a.yaml".into(), "b.yaml".into()],
        };
        assert_eq!(
            shown(&helm),
            ["helm template web chart --namespace shop --include-crds --values a.yaml \
              --values b.yaml"]
        );
    }

    async fn with_tool(script: &str) -> Result<Source, String> {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tree();
        let tool = root.path().join("tool");
        std::fs::write(&tool, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        let cancel = CancellationToken::new();
        let reading = Reading {
            root: root.path(),
            run: RunId::generate(),
            namespace: "shop",
            env_remove: &[],
            cancel: &cancel,
        };
        match run(&[tool.into_os_string(), "k8s".into()], &reading).await {
            Ok(Some(source)) => Ok(source),
            Ok(None) => Err("not installed".to_owned()),
            Err(error) => Err(format!("{}; {}", error.message, error.notes.join("; "))),
        }
    }

    #[tokio::test]
    async fn a_tools_complaints_are_no_manifest() {
        let source = with_tool("echo warning >&2; echo \"a: $1\"").await.unwrap();
        assert_eq!(source.text, "a: k8s\n");
        let error = with_tool("echo 'no base' >&2; exit 3").await.unwrap_err();
        assert!(error.ends_with("failed: exit status 3; no base"), "{error}");
        assert_eq!(with_tool("exit 127").await, Err("not installed".to_owned()));
    }
}
