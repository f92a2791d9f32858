//! `pyproject.toml`, requirements, Pipfiles, and the lockfiles of Poetry, uv, PDM and pipenv.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::cargo::terms;
use super::install::{Install, Pin, Source, Want, is_default_host};
use super::toml;
use crate::objects;

/// `pyproject.toml`
pub(super) fn pyproject(text: &str) -> Option<Install> {
    let mut root = toml(text)?.as_object()?.clone();
    let mut install = Install::default();
    if let Some(Value::Object(project)) = root.get_mut("project") {
        requirements_of(project.remove("dependencies"), "", &mut install);
        for (group, list) in entries(project.remove("optional-dependencies")) {
            requirements_of(Some(list), &group, &mut install);
        }
        commands(project.remove("scripts"), &mut install);
        commands(project.remove("gui-scripts"), &mut install);
        for (group, table) in entries(project.remove("entry-points")) {
            for (name, target) in entries(Some(table)) {
                let target = target.as_str().unwrap_or_default().to_owned();
                install.scripts.insert(format!("{group} {name}"), target);
            }
        }
    }
    for (group, list) in entries(root.remove("dependency-groups")) {
        requirements_of(Some(list), &group, &mut install);
    }
    if let Some(Value::Object(build)) = root.get_mut("build-system") {
        requirements_of(build.remove("requires"), "build", &mut install);
        for key in ["build-backend", "backend-path"] {
            if let Some(value) = build.remove(key) {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                install.scripts.insert(key.to_owned(), value);
            }
        }
    }
    if let Some(Value::Object(tools)) = root.get_mut("tool") {
        for (name, tool) in tools.iter_mut() {
            if let Value::Object(tool) = tool {
                tool_of(name, tool, &mut install);
            }
        }
    }
    install.rest = Value::Object(root);
    Some(install)
}

/// What `[tool.poetry]`, `[tool.uv]`, `[tool.pdm]` and `[tool.hatch]` say of packages.
fn tool_of(name: &str, tool: &mut Map<String, Value>, install: &mut Install) {
    match name {
        "poetry" => {
            for (key, section) in [("dependencies", ""), ("dev-dependencies", "dev")] {
                poetry_table(tool.remove(key), section, install);
            }
            for (group, table) in entries(tool.remove("group")) {
                poetry_table(table.get("dependencies").cloned(), &group, install);
            }
            commands(tool.remove("scripts"), install);
            if let Some(build) = tool.remove("build") {
                install.scripts.insert("tool.poetry.build".to_owned(), build.to_string());
            }
            named_sources(tool.remove("source"), install);
        }
        "uv" => {
            for (package, source) in entries(tool.remove("sources")) {
                let list = source.as_array().cloned().unwrap_or_else(|| vec![source]);
                for source in list {
                    let place = source_table(&source);
                    if place != Source::Registry {
                        install.want("overrides", &package, "", place);
                    }
                }
            }
            named_sources(tool.remove("index"), install);
            for key in ["index-url", "extra-index-url", "find-links"] {
                sources_of(key, tool.remove(key), install);
            }
            for key in ["allow-insecure-host", "trusted-host"] {
                if let Some(hosts) = tool.remove(key) {
                    install.unchecked.insert(format!("{key} = {hosts}"));
                }
            }
            for key in ["override-dependencies", "constraint-dependencies"] {
                requirements_of(tool.remove(key), "overrides", install);
            }
            requirements_of(tool.remove("dev-dependencies"), "dev", install);
        }
        "pdm" => {
            named_sources(tool.remove("source"), install);
            for (group, list) in entries(tool.remove("dev-dependencies")) {
                requirements_of(Some(list), &group, install);
            }
            if let Some(build) = tool.remove("build") {
                install.scripts.insert("tool.pdm.build".to_owned(), build.to_string());
            }
        }
        "hatch" | "setuptools" => {
            for key in ["build", "cmdclass", "envs"] {
                if let Some(value) = tool.remove(key) {
                    install.scripts.insert(format!("tool.{name}.{key}"), value.to_string());
                }
            }
        }
        _ => {}
    }
}

fn entries(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn commands(table: Option<Value>, install: &mut Install) {
    for (name, target) in entries(table) {
        let target = target.as_str().map_or_else(|| target.to_string(), str::to_owned);
        install.scripts.insert(format!("command {name}"), target);
    }
}

fn sources_of(key: &str, value: Option<Value>, install: &mut Install) {
    let Some(value) = value else { return };
    for url in value.as_array().cloned().unwrap_or_else(|| vec![value]) {
        if let Some(url) = url.as_str() {
            install.sources.insert(format!("{key} {url}"));
        }
    }
}

/// `[[tool.poetry.source]]`, `[[tool.uv.index]]`
fn named_sources(list: Option<Value>, install: &mut Install) {
    for source in list.as_ref().and_then(Value::as_array).into_iter().flatten() {
        if let Some(url) = source["url"].as_str() {
            install.sources.insert(url.to_owned());
        }
        if source["verify_ssl"] == false {
            install.unchecked.insert("verify_ssl".to_owned());
        }
    }
}

fn source_table(spec: &Value) -> Source {
    let text = |key: &str| spec[key].as_str().map(str::to_owned);
    if let Some(url) = text("git") {
        return Source::Git(url);
    }
    if let Some(url) = text("url").or_else(|| text("file")) {
        return Source::Url(url);
    }
    if let Some(path) = text("path").or_else(|| text("editable")).or_else(|| text("directory")) {
        return Source::Path(path);
    }
    text("index").or_else(|| text("source")).map_or(Source::Registry, Source::Host)
}

fn poetry_table(table: Option<Value>, section: &str, install: &mut Install) {
    for (name, spec) in entries(table) {
        let version = spec.as_str().or_else(|| spec["version"].as_str()).unwrap_or_default();
        let want =
            Want { version: version.to_owned(), source: source_table(&spec), terms: terms(&spec) };
        install.want_with(section, &name, want);
    }
}

fn requirements_of(list: Option<Value>, section: &str, install: &mut Install) {
    for text in list.as_ref().and_then(Value::as_array).into_iter().flatten() {
        if let Some(text) = text.as_str() {
            requirement(text, section, install);
        }
    }
}

/// A requirement of PEP 508: `name[extra]>=1 ; marker`, `name @ url`.
fn requirement(text: &str, section: &str, install: &mut Install) {
    let (plain, marker) = text.split_once(';').unwrap_or((text, ""));
    let plain = plain.trim();
    let end =
        plain.find(|c: char| !(c.is_alphanumeric() || "-_.".contains(c))).unwrap_or(plain.len());
    let (name, rest) = plain.split_at(end);
    let rest = rest.trim_start();
    let (extras, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((extras, rest)) => (extras, rest.trim_start()),
        None => ("", rest),
    };
    let (version, source) = match rest.strip_prefix('@') {
        Some(url) => ("", place(url.trim())),
        None => (rest.trim_matches(['(', ')', ' ']), Source::Registry),
    };
    let terms = [extras, marker.trim()].join(" ").trim().to_owned();
    install.want_with(section, name, Want { version: version.to_owned(), source, terms });
}

fn place(url: &str) -> Source {
    if url.starts_with("git+") || url.starts_with("hg+") || url.starts_with("svn+") {
        Source::Git(url.to_owned())
    } else if url.contains("://") && !url.starts_with("file:") {
        Source::Url(url.to_owned())
    } else {
        Source::Path(url.to_owned())
    }
}

/// Options of a requirements file that take a value.
const VALUED: &[&str] = &[
    "--index-url",
    "--pypi-url",
    "--extra-index-url",
    "--find-links",
    "--proxy",
    "--trusted-host",
    "--editable",
    "--requirement",
    "--constraint",
    "--no-binary",
    "--only-binary",
    "--use-feature",
    "--hash",
    "--global-option",
    "--config-settings",
];
/// Those without one.
const SWITCHES: &[&str] = &["--no-index", "--require-hashes", "--pre", "--prefer-binary"];
/// Their short forms, which a value may follow directly.
const SHORT: &[(&str, &str)] = &[
    ("-i", "--index-url"),
    ("-f", "--find-links"),
    ("-e", "--editable"),
    ("-r", "--requirement"),
    ("-c", "--constraint"),
    ("-C", "--config-settings"),
];

/// `requirements.txt`, `constraints.txt`
pub(super) fn requirements(text: &str) -> Option<Install> {
    let mut install = Install::default();
    let mut rest = Vec::new();
    for line in logical_lines(text) {
        let mut words = line.split_whitespace().peekable();
        let mut plain = Vec::new();
        while let Some(word) = words.next_if(|word| !word.starts_with('-')) {
            plain.push(word);
        }
        let mut checksums = BTreeSet::new();
        while let Some(word) = words.next() {
            let unquoted = |word: &str| word.replace(['"', '\''], "");
            let (name, mut value) = option(&unquoted(word));
            if value.is_empty() && VALUED.contains(&name.as_str()) {
                value = unquoted(words.next().unwrap_or_default());
            }
            let written = format!("{name} {value}").trim().to_owned();
            match name.as_str() {
                "--hash" => {
                    checksums.insert(value);
                }
                "--index-url" | "--pypi-url" | "--extra-index-url" | "--find-links" | "--proxy" => {
                    install.sources.insert(written);
                }
                "--trusted-host" => {
                    install.unchecked.insert(written);
                }
                "--editable" => {
                    let place = place(&value);
                    install.want("editable", &value, "", place);
                }
                "--require-hashes" | "--only-binary" | "--no-index" => {
                    install.guards.insert(written);
                }
                // What it hands to the build of a package.
                "--global-option" | "--config-settings" => {
                    install.scripts.insert(format!("{} {name}", plain.join(" ")), value);
                }
                _ => rest.push(Value::String(written)),
            }
        }
        let plain = plain.join(" ");
        if plain.is_empty() {
            continue;
        }
        let direct =
            plain.split_once("://").is_some_and(|(scheme, _)| !scheme.contains(['@', ' ']));
        let (name, version) = if direct || is_file(&plain) {
            install.want("", &plain, "", place(&plain));
            (plain.as_str(), "")
        } else {
            requirement(&plain, "", &mut install);
            let wanted = plain.split(';').next().unwrap_or(&plain);
            let end = wanted.find(|c: char| "=<>!~@( ".contains(c)).unwrap_or(wanted.len());
            let (name, version) = wanted.split_at(end);
            (name.split('[').next().unwrap_or(name), version.trim().trim_start_matches("=="))
        };
        install.pin(name.trim(), version.trim(), Pin { checksums, ..Pin::default() });
    }
    install.rest = Value::Array(rest);
    Some(install)
}

/// An option's full name, and the value that is written in one word with it. As pip reads them,
/// the beginning of a name is enough.
fn option(word: &str) -> (String, String) {
    if !word.starts_with("--") {
        let short = SHORT.iter().find(|(short, _)| word.starts_with(short));
        return short.map_or((word.to_owned(), String::new()), |(short, name)| {
            ((*name).to_owned(), word[short.len()..].trim_start_matches('=').to_owned())
        });
    }
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let known = VALUED.iter().chain(SWITCHES);
    let full = known.clone().find(|known| **known == name);
    let full = full.or_else(|| known.clone().find(|known| known.starts_with(name)));
    (full.map_or(name, |full| full).to_owned(), value.to_owned())
}

/// The lines of a requirements file as pip joins them, without comments: a comment at the
/// beginning of a line does not go on in the next one.
fn logical_lines(text: &str) -> Vec<String> {
    // What ends a line for Python.
    let ends = [
        '\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}',
        '\u{2029}',
    ];
    let mut found = Vec::new();
    let mut open = String::new();
    for line in text.split(ends) {
        let comment = line.trim_start().starts_with('#');
        if let Some(start) = line.strip_suffix('\\').filter(|_| !comment) {
            open.push_str(start);
            continue;
        }
        if comment {
            open.push(' ');
        }
        open.push_str(line);
        let mut end = open.char_indices().filter(|(at, c)| {
            *c == '#' && open[..*at].chars().next_back().is_none_or(char::is_whitespace)
        });
        let end = end.next().map_or(open.len(), |(at, _)| at);
        found.push(open[..end].trim().to_owned());
        open.clear();
    }
    found.push(open.trim().to_owned());
    found
}

fn is_file(text: &str) -> bool {
    text.starts_with(['.', '/', '~'])
        || [".whl", ".zip", ".tar.gz", ".tgz"].iter().any(|end| text.ends_with(end))
}

/// `poetry.lock`, `uv.lock`, `pdm.lock`, `pylock.toml`
pub(super) fn lock(text: &str) -> Option<Install> {
    let root = toml(text)?;
    let mut install = Install::default();
    let packages = root["package"].as_array().or_else(|| root["packages"].as_array())?;
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let version = package["version"].as_str().unwrap_or_default();
        let given = &package["source"];
        // The project itself.
        if given.get("virtual").is_some() || given["editable"] == "." {
            continue;
        }
        let source = if let Some(url) = given["registry"].as_str() {
            Source::registry(url)
        } else if given["type"] == "legacy" {
            Source::registry(given["url"].as_str().unwrap_or_default())
        } else if given["type"] == "git" {
            Source::Git(given["url"].as_str().unwrap_or_default().to_owned())
        } else if given["type"] == "url" {
            Source::Url(given["url"].as_str().unwrap_or_default().to_owned())
        } else if given["type"] == "directory" || given["type"] == "file" {
            Source::Path(given["url"].as_str().unwrap_or_default().to_owned())
        } else {
            source_table(given)
        };
        let mut pin = Pin { source, needs: needs(&package["dependencies"]), ..Pin::default() };
        let old = &root["metadata"]["files"][name];
        let files = [&package["files"], &package["wheels"], old]
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .chain(std::iter::once(&package["sdist"]));
        for file in files {
            pin.checksums.extend(file["hash"].as_str().map(str::to_owned));
            if let Some(url) = file["url"].as_str() {
                let host = super::host_of(url).filter(|host| !is_default_host(host));
                install.sources.extend(host);
            }
        }
        install.pin(name, version, pin);
    }
    Some(install)
}

/// Names in Poetry's table, or in uv's and PDM's lists.
fn needs(dependencies: &Value) -> BTreeSet<String> {
    let table = dependencies.as_object().into_iter().flat_map(Map::keys).cloned();
    let list = dependencies.as_array().into_iter().flatten().filter_map(|it| {
        let text = it["name"].as_str().or_else(|| it.as_str())?;
        let end = text.find(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)));
        Some(text[..end.unwrap_or(text.len())].to_owned())
    });
    table.chain(list).collect()
}

/// `Pipfile`
pub(super) fn pipfile(text: &str) -> Option<Install> {
    let mut root = toml(text)?.as_object()?.clone();
    let mut install = Install::default();
    poetry_table(root.remove("packages"), "", &mut install);
    poetry_table(root.remove("dev-packages"), "dev", &mut install);
    named_sources(root.remove("source"), &mut install);
    install.rest = Value::Object(root);
    Some(install)
}

/// `Pipfile.lock`
pub(super) fn pipfile_lock(text: &str) -> Option<Install> {
    let root = objects::json(text)?;
    let mut install = Install::default();
    named_sources(root["_meta"].get("sources").cloned(), &mut install);
    for section in ["default", "develop"] {
        for (name, entry) in root[section].as_object().into_iter().flatten() {
            let version = entry["version"].as_str().unwrap_or_default().trim_start_matches("==");
            let hashes = entry["hashes"].as_array().into_iter().flatten();
            let pin = Pin {
                source: source_table(entry),
                checksums: hashes.filter_map(Value::as_str).map(str::to_owned).collect(),
                ..Pin::default()
            };
            install.pin(name, version, pin);
        }
    }
    Some(install)
}
