//! Checks that images, hosted agents and actions are named by a digest or an exact version
//! (docs/SUPPLY-CHAIN.md).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

/// Where images and actions are named. A folder that does not exist has none.
const PLACES: &[&str] = &[
    "Dockerfile",
    "examples",
    "docker-compose.yml",
    "deploy",
    "k8s",
    "pipelines",
    "templates",
    ".github",
    "action.yml",
];

fn files(path: &Path, into: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            files(&entry.unwrap().path(), into);
        }
        return;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dockerfile = name == "Dockerfile" || name.ends_with(".Dockerfile");
    if path.exists() && (dockerfile || name.ends_with(".yml") || name.ends_with(".yaml")) {
        into.push(path.to_owned());
    }
}

/// `3.22.2`, `1.95.0-alpine3.22`, `17.6-alpine3.22`: at least two numbers, no moving name.
fn is_exact(tag: &str) -> bool {
    let version = tag.split('-').next().unwrap_or_default().trim_start_matches('v');
    let mut numbers = version.split('.');
    let are_numbers =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    numbers.clone().count() >= 2 && numbers.all(are_numbers)
}

/// Whether an image's reference says which image it is. `local` are the names that are built or
/// set here: stages, images of the compose file, images that a kustomization sets by digest.
fn is_pinned(image: &str, local: &[&str]) -> bool {
    if local.contains(&image)
        || image.contains("{{")
        || image.contains("$[[")
        || image.contains("@sha256:")
    {
        return true;
    }
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split_once(':').is_some_and(|(_, tag)| is_exact(tag))
}

/// The images, agents and actions of a file, and those that are not pinned.
fn look(text: &str, dockerfile: bool) -> (usize, Vec<String>) {
    let mut local = vec!["scratch", "greenloop-tools", "greenloop-tools:local"];
    let (mut found, mut loose) = (0, Vec::new());
    for line in text.lines() {
        let line = line.trim().trim_start_matches("- ");
        let value = |key: &str| Some(line.strip_prefix(key)?.trim().trim_matches(['"', '\'']));
        let fine = if dockerfile {
            let Some(rest) = line.strip_prefix("FROM ") else { continue };
            let words: Vec<&str> =
                rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            let fine = is_pinned(words[0], &local);
            if let [_, "AS" | "as", stage] = words[..] {
                local.push(stage);
            }
            fine
        } else if value("image:").is_some_and(str::is_empty) {
            // A mapping, not a reference.
            continue;
        } else if let Some(image) = value("image:") {
            // `${NAME:-default}` of a compose file: the default counts.
            let image =
                image.split_once(":-").map_or(image, |(_, rest)| rest.trim_end_matches('}'));
            is_pinned(image, &local)
        } else if let Some(agent) = value("vmImage:").or_else(|| value("runs-on:")) {
            !agent.ends_with("-latest")
        } else if let Some(action) = value("uses:") {
            let revision = action.split_once('@').map(|(_, revision)| revision);
            let revision = revision.and_then(|it| it.split_whitespace().next()).unwrap_or_default();
            let is_commit = revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit());
            action.starts_with("./") || is_commit
        } else {
            continue;
        };
        found += 1;
        if !fine {
            loose.push(line.to_owned());
        }
    }
    (found, loose)
}

#[test]
fn images_agents_and_actions_are_pinned() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for place in PLACES {
        files(&root.join(place), &mut all);
    }
    let (mut found, mut loose) = (0, Vec::new());
    for path in all {
        let text = std::fs::read_to_string(&path).unwrap();
        let dockerfile = path.to_string_lossy().ends_with("Dockerfile");
        let (some, here) = look(&text, dockerfile);
        found += some;
        loose.extend(here.iter().map(|line| format!("{}: {line}", path.display())));
    }
    assert!(found >= 15, "only {found} images and agents were found");
    assert!(loose.is_empty(), "not pinned:\n{}", loose.join("\n"));
}

#[test]
fn what_moves_is_found() {
    for (line, pinned) in [
        ("image: postgres:17.6-alpine3.22", true),
        ("image: postgres:17-alpine", false),
        ("image: postgres", false),
        ("image: registry.example.org:5000/app:latest", false),
        ("image: registry.example.org:5000/app", false),
        ("image: \"{{ image }}\"", true),
        ("image: app@sha256:0123", true),
        ("image: ${REDIS_IMAGE:-redis:7.4.5}", true),
        ("image: ${REDIS_IMAGE:-redis:7}", false),
        ("vmImage: ubuntu-24.04", true),
        ("vmImage: ubuntu-latest", false),
        ("- uses: actions/checkout@v4", false),
        ("- uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0", true),
        ("uses: ./action", true),
    ] {
        assert_eq!(
            look(line, false),
            (1, if pinned { vec![] } else { vec![line.trim_start_matches("- ").to_owned()] })
        );
    }
    let stages = "FROM rust:1.95.0-alpine3.22 AS build\nFROM build\nFROM scratch\nFROM alpine:3\n";
    assert_eq!(look(stages, true), (4, vec!["FROM alpine:3".to_owned()]));
}
