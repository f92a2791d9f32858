//! `Cargo.toml`, `Cargo.lock` and `.cargo/config.toml`.

use serde_json::{Map, Value};

use super::install::{Install, Pin, Source, Want};
use super::toml;

const SECTIONS: &[(&str, &str)] =
    &[("dependencies", ""), ("dev-dependencies", "dev"), ("build-dependencies", "build")];

/// `Cargo.toml`
pub(super) fn manifest(text: &str) -> Option<Install> {
    let mut root = toml(text)?.as_object()?.clone();
    let mut install = Install::default();
    tables(&mut root, "", &mut install);
    if let Some(Value::Object(workspace)) = root.get_mut("workspace") {
        tables(workspace, "workspace ", &mut install);
    }
    if let Some(Value::Object(targets)) = root.get_mut("target") {
        for (target, table) in targets.iter_mut() {
            if let Value::Object(table) = table {
                tables(table, &format!("{target} "), &mut install);
            }
        }
    }
    replacements(&mut root, &mut install);
    if let Some(Value::Object(package)) = root.get_mut("package") {
        for key in ["build", "links"] {
            if let Some(value) = package.remove(key) {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                install.scripts.insert(format!("package.{key}"), value);
            }
        }
    }
    if root.get("lib").is_some_and(|lib| lib["proc-macro"] == true) {
        install.scripts.insert("lib.proc-macro".to_owned(), "code within the compiler".to_owned());
    }
    install.rest = Value::Object(root);
    Some(install)
}

fn tables(table: &mut Map<String, Value>, prefix: &str, install: &mut Install) {
    for (key, section) in SECTIONS {
        let Some(Value::Object(dependencies)) = table.remove(*key) else { continue };
        for (name, spec) in dependencies {
            let (version, source) = dependency(&name, &spec);
            let terms = terms(&spec);
            let want = Want { version, source, terms };
            install.want_with(&format!("{prefix}{section}"), &name, want);
        }
    }
}

/// `"1"`, `{ version = "1", git = "…" }`. Features are part of what is asked for.
fn dependency(name: &str, spec: &Value) -> (String, Source) {
    let text = |key: &str| spec[key].as_str().map(str::to_owned);
    if let Some(version) = spec.as_str() {
        return (version.to_owned(), Source::Registry);
    }
    let source = if let Some(url) = text("git") {
        Source::Git(url)
    } else if let Some(path) = text("path") {
        Source::Path(path)
    } else if let Some(registry) = text("registry").or_else(|| text("registry-index")) {
        Source::Host(registry)
    } else if let Some(package) = text("package").filter(|package| package != name) {
        Source::Alias(package)
    } else {
        Source::Registry
    };
    (text("version").unwrap_or_default(), source)
}

/// The keys of a dependency other than its version.
pub(super) fn terms(spec: &Value) -> String {
    let mut spec = spec.clone();
    let Some(table) = spec.as_object_mut() else { return String::new() };
    table.remove("version");
    if table.is_empty() { String::new() } else { spec.to_string() }
}

/// `[patch.crates-io]`, `[replace]`, `paths = […]`
fn replacements(table: &mut Map<String, Value>, install: &mut Install) {
    if let Some(Value::Object(registries)) = table.remove("patch") {
        for (registry, packages) in registries {
            for (name, spec) in packages.as_object().into_iter().flatten() {
                let (version, source) = dependency(name, spec);
                install.want(&format!("overrides {registry}"), name, &version, source);
            }
        }
    }
    if let Some(Value::Object(packages)) = table.remove("replace") {
        for (name, spec) in packages {
            let (version, source) = dependency(&name, &spec);
            install.want("overrides", &name, &version, source);
        }
    }
    if let Some(Value::Array(paths)) = table.remove("paths") {
        for path in paths.iter().filter_map(Value::as_str) {
            install.want("overrides", path, "", Source::Path(path.to_owned()));
        }
    }
}

/// `Cargo.lock`
pub(super) fn lock(text: &str) -> Option<Install> {
    let root = toml(text)?;
    let mut install = Install::default();
    for package in root["package"].as_array()? {
        let get = |key: &str| package[key].as_str().unwrap_or_default();
        let source = match get("source").split_once('+') {
            // A member of the workspace, or a path.
            None => continue,
            Some(("git", url)) => Source::Git(url.split('#').next().unwrap_or(url).to_owned()),
            Some((_, "https://github.com/rust-lang/crates.io-index")) => {
                Source::Host("index.crates.io".to_owned())
            }
            Some((_, url)) => Source::registry(url),
        };
        let own = root["metadata"].as_object().and_then(|metadata| {
            let start = format!("checksum {} {} (", get("name"), get("version"));
            metadata.iter().find(|(key, _)| key.starts_with(&start))?.1.as_str()
        });
        let checksum = package["checksum"].as_str().or(own);
        let checksums = checksum.map(str::to_owned).into_iter().collect();
        let needs = package["dependencies"].as_array().into_iter().flatten();
        let needs =
            needs.filter_map(|it| it.as_str()?.split(' ').next().map(str::to_owned)).collect();
        let pin = Pin { source, checksums, script: false, needs };
        install.pin(get("name"), get("version"), pin);
    }
    Some(install)
}

/// Keys of `.cargo/config.toml` that name a program, or what one gets.
const PROGRAMS: &[&str] = &[
    "rustc",
    "rustc-wrapper",
    "rustc-workspace-wrapper",
    "rustdoc",
    "runner",
    "linker",
    "credential-provider",
    "global-credential-providers",
    "rustflags",
    "ar",
];

/// `.cargo/config.toml`
pub(super) fn config(text: &str) -> Option<Install> {
    let mut root = toml(text)?.as_object()?.clone();
    let mut install = Install::default();
    replacements(&mut root, &mut install);
    for section in ["source", "registries", "registry"] {
        if let Some(value) = root.remove(section) {
            leaves(section, &value, 0, &mut |path, value| {
                install.sources.insert(format!("{path} = {value}"));
            });
        }
    }
    for section in ["alias", "env"] {
        if let Some(value) = root.remove(section) {
            leaves(section, &value, 0, &mut |path, value| {
                install.scripts.insert(path.to_owned(), value.to_owned());
            });
        }
    }
    leaves("", &Value::Object(root.clone()), 0, &mut |path, value| {
        let key = path.rsplit('.').find(|part| !part.starts_with('[')).unwrap_or_default();
        let within = path.split('.').any(|part| PROGRAMS.contains(&part));
        if within {
            install.scripts.insert(path.to_owned(), value.to_owned());
        }
        if matches!(key, "proxy") {
            install.sources.insert(format!("{path} = {value}"));
        }
        if matches!((key, value), ("check-revoke", "false")) || key == "cainfo" {
            install.unchecked.insert(format!("{path} = {value}"));
        }
    });
    install.rest = Value::Object(root);
    Some(install)
}

/// Every scalar of a document with its path.
pub(super) fn leaves(path: &str, value: &Value, depth: usize, each: &mut dyn FnMut(&str, &str)) {
    if depth > 64 {
        return;
    }
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                leaves(&join(key), value, depth + 1, each);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                leaves(&join(&format!("[{index}]")), value, depth + 1, each);
            }
        }
        Value::String(text) => each(path, text),
        other => each(path, &other.to_string()),
    }
}
