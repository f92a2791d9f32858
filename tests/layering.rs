//! Checks the manifests against the table in ARCHITECTURE.md, where the compiler cannot.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;

/// A crate uses only crates before it.
const ORDER: &[&str] = &[
    "model",
    "evidence",
    "patch",
    "config",
    "init",
    "mcp",
    "policy",
    "ports",
    "http",
    "notify",
    "audit",
    "bundle",
    "exec",
    "workspace",
    "azure",
    "llm",
    "image",
    "target",
    "kubernetes",
    "engine",
    "report",
    "hub-api",
    "hub",
    "worker",
];

/// Packages that only these crates may depend on; dev-dependencies do not count.
const RESERVED: &[(&str, &[&str])] = &[
    ("async-openai", &["llm"]),
    ("axum", &["hub"]),
    ("azure_core", &["azure"]),
    ("azure_identity", &["azure"]),
    // The docker target uses the image crate's connection to the engine.
    ("bollard", &["image", "target"]),
    ("git2", &["workspace"]),
    ("hyper", &["hub"]),
    ("indicatif", &["report"]),
    ("k8s-openapi", &["kubernetes"]),
    ("kube", &["kubernetes"]),
    ("landlock", &["exec"]),
    ("seccompiler", &["exec"]),
    // The program itself watches work trees.
    ("notify", &[]),
    ("opentelemetry", &["report"]),
    ("parse-dockerfile", &["policy"]),
    ("petgraph", &["hub-api"]),
    ("prometheus-client", &["hub"]),
    ("redis", &["hub"]),
    ("rmcp", &["mcp"]),
    ("roxmltree", &["policy"]),
    ("rust-embed", &["hub"]),
    ("sqlx", &["hub"]),
    ("syntect", &["report"]),
    ("sysinfo", &["exec"]),
    ("toml", &["policy"]),
    ("tower-http", &["hub"]),
    ("utoipa", &["hub-api", "hub"]),
];

/// The dependencies of each crate, those of single platforms included.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let folders = std::fs::read_dir(crates).unwrap();
    let mut all = BTreeMap::new();
    for folder in folders.map(|it| it.unwrap().path()) {
        let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let mut counts = false;
        let mut names = Vec::new();
        for line in text.lines() {
            if line.starts_with('[') {
                counts = line == "[dependencies]"
                    || line.starts_with("[target.") && line.ends_with(".dependencies]");
            } else if counts && let Some(name) = line.split(['.', ' ']).next() {
                names.push(name.to_owned());
            }
        }
        names.retain(|name| !name.is_empty() && !name.starts_with('#'));
        all.insert(folder.file_name().unwrap().to_str().unwrap().to_owned(), names);
    }
    all
}

#[test]
fn a_crate_uses_only_crates_before_it() {
    let found = dependencies();
    let mut faults = Vec::new();
    for (name, uses) in &found {
        let Some(place) = ORDER.iter().position(|it| it == name) else {
            faults.push(format!("crates/{name} stands in no order"));
            continue;
        };
        for other in uses.iter().filter_map(|it| it.strip_prefix("greenloop-")) {
            if !ORDER[..place].contains(&other) {
                faults.push(format!("{name} uses {other}, which does not stand before it"));
            }
        }
    }
    assert_eq!(found.len(), ORDER.len(), "{:?}", found.keys());
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn heavy_packages_stand_in_one_crate() {
    let found = dependencies();
    for (package, rooms) in RESERVED {
        let users = found.iter().filter(|(_, uses)| uses.iter().any(|it| it == package));
        let users: Vec<&str> = users.map(|(name, _)| name.as_str()).collect();
        let mut rooms = rooms.to_vec();
        rooms.sort_unstable();
        assert_eq!(users, rooms, "{package}");
    }
}
