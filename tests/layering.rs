//! Holds the code to the layers: a module imports only from layers to its left, and siblings
//! import nothing from each other. Reads every `crate::` path in `src/`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Leftmost first; the modules of one layer are siblings. ARCHITECTURE.md shows the same table.
const LAYERS: &[&[&str]] = &[
    &["model"],
    &["patch", "config", "evidence", "exec"],
    &["policy", "ports"],
    &["audit", "stages", "apply", "adapters"],
    &["heal"],
    &["engine", "report", "hub"],
    &["app"],
    &["cli"],
];

/// Crates that only these modules may name.
const RESERVED: &[(&str, &[&str])] = &[
    ("git2", &["apply"]),
    ("async_openai", &["adapters"]),
    ("azure_identity", &["adapters"]),
    ("bollard", &["adapters"]),
    ("kube", &["adapters"]),
    ("k8s_openapi", &["adapters"]),
    ("sqlx", &["adapters"]),
    ("redis", &["adapters"]),
    ("opentelemetry", &["report"]),
    ("clap", &["cli"]),
    ("indicatif", &["report"]),
    ("petgraph", &["hub"]),
    ("rust_embed", &["hub"]),
    ("axum", &["hub"]),
    ("hyper", &["hub"]),
    ("tower_http", &["hub"]),
    ("prometheus_client", &["hub"]),
    // The records of the API are described where they are: in the client that both sides use.
    ("utoipa", &["hub", "adapters"]),
    ("sqlx", &["adapters"]),
    ("redis", &["adapters"]),
];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The top-level module a file belongs to; `None` for `lib.rs` and `main.rs`.
fn module_of(file: &Path) -> Option<String> {
    let relative = file.strip_prefix(src()).unwrap();
    let first = relative.components().next()?.as_os_str().to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (name != "lib" && name != "main").then(|| name.to_owned())
}

/// The code of a line: comments may speak of other layers.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// `crate::NAME` for each occurrence, and each name of a `use crate::{a, b::c}` group.
fn imports(text: &str) -> Vec<String> {
    let stripped: String = text.lines().map(code).collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for (at, _) in stripped.match_indices("crate::") {
        let before = stripped[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &stripped[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(std::mem::take(&mut name)),
                    c if depth == 0 => name.push(c),
                    _nested => {}
                }
            }
            names.push(name);
        } else {
            names.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    names
        .into_iter()
        .map(|n| n.trim().split("::").next().unwrap_or_default().to_owned())
        .filter(|n| !n.is_empty())
        .collect()
}

#[test]
fn modules_import_only_from_their_left() {
    let mut files = Vec::new();
    sources(&src(), &mut files);
    let mut seen = BTreeMap::new();
    let mut faults = Vec::new();
    for file in &files {
        let Some(module) = module_of(file) else { continue };
        let Some(own) = layer_of(&module) else {
            faults.push(format!("{}: module {module} has no layer", file.display()));
            continue;
        };
        *seen.entry(module.clone()).or_insert(0) += 1;
        for name in imports(&std::fs::read_to_string(file).unwrap()) {
            match layer_of(&name) {
                Some(other) if name == module || other < own => {}
                Some(_) => faults.push(format!(
                    "{}: {module} imports {name}, which is not to its left",
                    file.display()
                )),
                None => faults.push(format!("{}: crate::{name} has no layer", file.display())),
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    for module in LAYERS.iter().flat_map(|layer| layer.iter()) {
        assert!(seen.contains_key(*module), "the table names {module}, which has no files");
    }
}

#[test]
fn some_crates_have_one_room() {
    let mut files = Vec::new();
    sources(&src(), &mut files);
    let mut faults = Vec::new();
    for file in &files {
        let Some(module) = module_of(file) else { continue };
        let text = std::fs::read_to_string(file).unwrap();
        for (name, rooms) in RESERVED {
            let used = text.lines().map(code).any(|line| {
                line.contains(&format!("{name}::")) || line.contains(&format!("use {name};"))
            });
            if used && !rooms.contains(&module.as_str()) {
                faults.push(format!("{}: only {rooms:?} may use {name}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_paths_and_groups() {
    for (text, expect) in [
        ("use crate::model::Stage;", vec!["model"]),
        ("use crate::{apply, audit::{Actor, Writer}, report};", vec!["apply", "audit", "report"]),
        ("let x = crate::exec::run();", vec!["exec"]),
        ("// crate::cli is not here", vec![]),
        ("$crate::model", vec![]),
    ] {
        assert_eq!(imports(text), expect, "{text}");
    }
}
