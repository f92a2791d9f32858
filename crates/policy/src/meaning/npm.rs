//! `package.json` and the lockfiles of npm, Yarn, pnpm and Bun.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::install::{Install, Pin, Source, is_default_host};
use crate::objects;

/// Sections of dependencies, and what they are called here.
const SECTIONS: &[(&str, &str)] = &[
    ("dependencies", ""),
    ("devDependencies", "dev"),
    ("optionalDependencies", "optional"),
    ("peerDependencies", "peer"),
];

/// Sections that put one package in the place of another, however deep they name it.
const OVERRIDES: &[&str] = &["overrides", "resolutions"];

/// Scripts that an install runs by itself.
const INSTALL_SCRIPTS: &[&str] = &[
    "preinstall",
    "install",
    "postinstall",
    "preprepare",
    "prepare",
    "postprepare",
    "prepublish",
    "dependencies",
    "predependencies",
    "postdependencies",
    "prepack",
];

/// `package.json`
pub(super) fn manifest(text: &str) -> Option<Install> {
    let mut root = objects::json(text)?.as_object()?.clone();
    let mut install = Install::default();
    for (key, section) in SECTIONS {
        for (name, spec) in entries(root.remove(*key)) {
            let spec = spec.as_str().unwrap_or_default();
            install.want(section, &name, spec, source_of(spec));
        }
    }
    for key in OVERRIDES {
        overrides(key, root.remove(*key), &mut install);
    }
    if let Some(Value::Object(pnpm)) = root.get_mut("pnpm") {
        overrides("overrides", pnpm.remove("overrides"), &mut install);
        for (name, patch) in entries(pnpm.remove("patchedDependencies")) {
            let patch = patch.as_str().unwrap_or_default();
            install.want("overrides", &name, "", Source::Path(patch.to_owned()));
        }
        for key in ["onlyBuiltDependencies", "neverBuiltDependencies"] {
            runs_scripts_of(pnpm.remove(key), &mut install);
        }
        if pnpm.get("dangerouslyAllowAllBuilds") == Some(&Value::Bool(true)) {
            install.scripts.insert("install".to_owned(), "scripts of all packages".to_owned());
        }
    }
    runs_scripts_of(root.remove("trustedDependencies"), &mut install);
    if let Some(Value::Object(scripts)) = root.get_mut("scripts") {
        for name in INSTALL_SCRIPTS {
            if let Some(script) = scripts.remove(*name) {
                let script = script.as_str().unwrap_or_default().to_owned();
                install.scripts.insert((*name).to_owned(), script);
            }
        }
    }
    match root.remove("bin") {
        Some(Value::String(path)) => {
            install.scripts.insert("bin".to_owned(), path);
        }
        Some(Value::Object(commands)) => {
            for (name, path) in commands {
                let path = path.as_str().unwrap_or_default().to_owned();
                install.scripts.insert(format!("bin {name}"), path);
            }
        }
        _ => {}
    }
    let registry = root.get("publishConfig").and_then(|it| it.get("registry"));
    for url in [root.get("packageManager"), registry].into_iter().flatten() {
        if let Some(url) = url.as_str().filter(|url| url.contains("://")) {
            install.sources.insert(url.to_owned());
        }
    }
    install.rest = Value::Object(root);
    Some(install)
}

fn entries(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn runs_scripts_of(list: Option<Value>, install: &mut Install) {
    let Some(Value::Array(names)) = list else { return };
    for name in names.iter().filter_map(Value::as_str) {
        install.scripts.insert(format!("install of {name}"), "its own scripts".to_owned());
    }
}

/// `{"a": "1", "b": {".": "2", "c": "npm:d@3"}}`
fn overrides(path: &str, value: Option<Value>, install: &mut Install) {
    for (name, spec) in entries(value) {
        match spec {
            Value::String(spec) => {
                install.want("overrides", &format!("{path} {name}"), &spec, source_of(&spec));
            }
            inner @ Value::Object(_) => {
                overrides(&format!("{path} {name}"), Some(inner), install);
            }
            _ => {}
        }
    }
}

/// Where a version of `package.json` says that a package comes from.
fn source_of(spec: &str) -> Source {
    let lower = spec.to_lowercase();
    let starts = |starts: &[&str]| starts.iter().any(|start| lower.starts_with(start));
    if starts(&["git+", "git:", "git@", "ssh:", "github:", "gitlab:", "bitbucket:", "gist:"]) {
        return Source::Git(spec.to_owned());
    }
    if starts(&["http://", "https://"]) {
        let git = lower.split('#').next().is_some_and(|url| url.ends_with(".git"));
        return if git { Source::Git(spec.to_owned()) } else { Source::Url(spec.to_owned()) };
    }
    if starts(&["file:", "link:", "portal:", "patch:", "exec:", "./", "../", "/", "~/"]) {
        return Source::Path(spec.to_owned());
    }
    if let Some(alias) = spec.strip_prefix("npm:") {
        // Yarn writes `npm:^1.0.0` for the package itself.
        let version = alias.starts_with(|c: char| c.is_ascii_digit() || "^~<>=*".contains(c));
        return if version { Source::Registry } else { Source::Alias(alias.to_owned()) };
    }
    if starts(&["workspace:", "catalog:"]) {
        return Source::Registry;
    }
    // `user/repository`
    let mut parts = spec.split('#').next().unwrap_or_default().split('/');
    let plain = |part: Option<&str>| {
        part.is_some_and(|part| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        })
    };
    if plain(parts.next()) && plain(parts.next()) && parts.next().is_none() {
        return Source::Git(spec.to_owned());
    }
    Source::Registry
}

/// Where a lockfile's `resolved` says that the package of this name comes from.
fn resolved(name: &str, url: &str) -> Source {
    if url.is_empty() {
        return Source::Registry;
    }
    match source_of(url) {
        // A registry serves every package: the path says which one it is.
        Source::Url(url) if is_of(name, &url) => Source::registry(&url),
        Source::Registry | Source::Host(_) => Source::Path(url.to_owned()),
        other => other,
    }
}

/// Whether a registry's URL is one of the package's archive.
fn is_of(name: &str, url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("", |at| &rest[at..]).split(['?', '#']).next();
    let path = path.unwrap_or_default().replace("%2f", "/").replace("%2F", "/");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~+@/!*'()".contains(c);
    let climbs = path.split('/').any(|part| part == ".." || part == ".");
    let default = super::host_of(url).is_some_and(|host| is_default_host(&host));
    let own = if default {
        let file = path.strip_prefix(&format!("/{name}/-/"));
        file.is_some_and(|file| !file.contains('/'))
    } else {
        path.contains(&format!("/{name}/"))
    };
    own && !climbs && path.chars().all(plain)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The keys of tables of dependencies.
fn names(tables: &[&Value]) -> BTreeSet<String> {
    tables.iter().filter_map(|it| it.as_object()).flat_map(Map::keys).cloned().collect()
}

fn checksums(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// `package-lock.json`, `npm-shrinkwrap.json`, of any version.
pub(super) fn lock(text_of: &str) -> Option<Install> {
    let root = objects::json(text_of)?;
    let mut install = Install::default();
    for (path, entry) in root["packages"].as_object().into_iter().flatten() {
        let Some((_, name)) = path.rsplit_once("node_modules/") else { continue };
        let link = entry["link"] == true;
        let source = if link {
            Source::Path(text(entry, "resolved").to_owned())
        } else if entry["name"].as_str().is_some_and(|other| other != name) {
            Source::Alias(text(entry, "name").to_owned())
        } else {
            resolved(name, text(entry, "resolved"))
        };
        let pin = Pin {
            source,
            checksums: checksums(text(entry, "integrity")),
            script: entry["hasInstallScript"] == true,
            needs: names(&[&entry["dependencies"], &entry["optionalDependencies"]]),
        };
        install.pin(name, text(entry, "version"), pin);
    }
    if root["packages"].is_null() {
        old_lock(&root["dependencies"], 0, &mut install);
    }
    install.rest = Value::Null;
    (root["packages"].is_object() || root["dependencies"].is_object()).then_some(install)
}

/// The tree of `package-lock.json`, version 1.
fn old_lock(tree: &Value, depth: usize, install: &mut Install) {
    if depth > 64 {
        return;
    }
    for (name, entry) in tree.as_object().into_iter().flatten() {
        let version = text(entry, "version");
        let source = match source_of(version) {
            Source::Registry => resolved(name, text(entry, "resolved")),
            other => other,
        };
        let checksums = checksums(text(entry, "integrity"));
        let needs = names(&[&entry["requires"]]);
        install.pin(name, version, Pin { source, checksums, script: false, needs });
        old_lock(&entry["dependencies"], depth + 1, install);
    }
}

/// `yarn.lock`, of Yarn 1 or later.
pub(super) fn yarn(text: &str) -> Option<Install> {
    if text.contains("__metadata:") { berry(text) } else { yarn_classic(text) }
}

fn yarn_classic(text: &str) -> Option<Install> {
    let mut install = Install::default();
    let mut name = String::new();
    let (mut version, mut pin) = (String::new(), Pin::default());
    let unquote = |text: &str| text.trim().trim_matches('"').to_owned();
    for line in text.lines().chain(["end:"]) {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        if !line.starts_with(' ') {
            let header = line.strip_suffix(':')?;
            if !name.is_empty() {
                install.pin(&name, &version, std::mem::take(&mut pin));
            }
            let first = header.split(',').next().map(unquote)?;
            let at = first.char_indices().skip(1).find(|(_, c)| *c == '@').map(|(at, _)| at);
            let (own, spec) = first.split_at(at.unwrap_or(first.len()));
            own.clone_into(&mut name);
            version = String::new();
            pin = Pin { source: source_of(spec.trim_start_matches('@')), ..Pin::default() };
            continue;
        }
        let Some((key, value)) = line.trim().split_once(' ') else { continue };
        if line.starts_with("    ") {
            pin.needs.insert(unquote(key));
            continue;
        }
        match key {
            "version" => version = unquote(value),
            "resolved" => {
                let url = unquote(value);
                let (url, hash) = url.split_once('#').unwrap_or((&url, ""));
                if pin.source == Source::Registry {
                    pin.source = resolved(&name, url);
                }
                if pin.checksums.is_empty() && !hash.is_empty() {
                    pin.checksums.insert(hash.to_owned());
                }
            }
            "integrity" => pin.checksums = checksums(&unquote(value)),
            _ => {}
        }
    }
    Some(install)
}

fn berry(text_of: &str) -> Option<Install> {
    let root = objects::yaml(text_of)?;
    let mut install = Install::default();
    for (key, entry) in root[0].as_object()? {
        let resolution = text(entry, "resolution");
        let at = resolution.char_indices().skip(1).find(|(_, c)| *c == '@').map(|(at, _)| at);
        let Some(at) = at.filter(|_| key != "__metadata") else { continue };
        let (name, reference) = (&resolution[..at], &resolution[at + 1..]);
        if reference.starts_with("workspace:") {
            continue;
        }
        let source = match source_of(reference) {
            Source::Registry if reference.contains("__archiveUrl") => {
                Source::Url(reference.to_owned())
            }
            other => other,
        };
        let checksums = checksums(text(entry, "checksum"));
        let needs = names(&[&entry["dependencies"]]);
        let pin = Pin { source, checksums, script: false, needs };
        install.pin(name, text(entry, "version"), pin);
    }
    Some(install)
}

/// `pnpm-lock.yaml`
pub(super) fn pnpm(text_of: &str) -> Option<Install> {
    let documents = objects::yaml(text_of)?;
    let root = documents.as_array()?.last()?.clone();
    let mut install = Install::default();
    for (key, entry) in root["packages"].as_object().into_iter().flatten() {
        let plain = key.trim_start_matches('/').split('(').next().unwrap_or_default();
        let at = plain.char_indices().skip(1).filter(|(_, c)| *c == '@' || *c == '/').last();
        let (name, version) = match at {
            Some((at, '@')) => (&plain[..at], &plain[at + 1..]),
            // `/name/1.0.0`, but not `/@scope/name`.
            Some((at, _)) if plain[at + 1..].starts_with(|c: char| c.is_ascii_digit()) => {
                (&plain[..at], &plain[at + 1..])
            }
            Some(_) | None => (plain, ""),
        };
        let resolution = &entry["resolution"];
        let source = if resolution["type"] == "git" || resolution["repo"].is_string() {
            Source::Git(text(resolution, "repo").to_owned())
        } else if resolution["type"] == "directory" {
            Source::Path(text(resolution, "directory").to_owned())
        } else if let Some(tarball) = resolution["tarball"].as_str() {
            resolved(name, tarball)
        } else {
            Source::Registry
        };
        let checksums = checksums(text(resolution, "integrity"));
        let script = entry["requiresBuild"] == true;
        let snapshot = &root["snapshots"][key];
        let needs = names(&[&entry["dependencies"], &snapshot["dependencies"]]);
        install.pin(name, version, Pin { source, checksums, script, needs });
    }
    overrides("overrides", root.get("overrides").cloned(), &mut install);
    for (name, patch) in root["patchedDependencies"].as_object().into_iter().flatten() {
        let path = patch["path"].as_str().or(patch.as_str()).unwrap_or_default();
        install.want("overrides", name, "", Source::Path(path.to_owned()));
    }
    root.is_object().then_some(install)
}

/// `bun.lock`, JSON with trailing commas.
pub(super) fn bun(text_of: &str) -> Option<Install> {
    // YAML's flow style has trailing commas, too.
    let root = objects::yaml(text_of)?;
    let mut install = Install::default();
    for (key, entry) in root[0]["packages"].as_object()? {
        let Some(id) = entry[0].as_str() else { continue };
        let at = id.char_indices().skip(1).find(|(_, c)| *c == '@').map(|(at, _)| at);
        let (name, reference) = at.map_or((key.as_str(), ""), |at| (&id[..at], &id[at + 1..]));
        if reference.starts_with("workspace:") {
            continue;
        }
        let source = match source_of(reference) {
            Source::Registry => resolved(name, entry[1].as_str().unwrap_or_default()),
            other => other,
        };
        let last = entry.as_array().and_then(|list| list.last()).and_then(Value::as_str);
        let checksums = checksums(last.filter(|it| it.contains('-')).unwrap_or_default());
        let needs = names(&[&entry[2]["dependencies"], &entry[1]["dependencies"]]);
        install.pin(name, reference, Pin { source, checksums, script: false, needs });
    }
    runs_scripts_of(root[0].get("trustedDependencies").cloned(), &mut install);
    Some(install)
}
