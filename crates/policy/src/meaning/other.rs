//! Bundler, Composer, NuGet's lockfile, conda and Terraform's lockfile.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::install::{Install, Pin, Source};
use crate::objects;

static CALL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"^(\w+)\s*\(?\s*["']([^"']*)["']\s*(.*)$"#).ok());
static OPTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?::|\b)(git|github|gist|bitbucket|gitlab|path|source)(?:\s*=>|:)\s*["']([^"']*)["']"#,
    )
    .ok()
});

/// `Gemfile`. Other Ruby than its calls counts as what it says beside.
pub(super) fn gemfile(text: &str) -> Option<Install> {
    let mut install = Install::default();
    let mut rest = Vec::new();
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let call = CALL.as_ref()?.captures(line);
        match call.as_ref().map(|call| (&call[1], &call[2], &call[3])) {
            Some(("source" | "plugin", url, _)) => {
                install.sources.insert(url.to_owned());
            }
            Some(("gem", name, arguments)) => {
                let option = OPTION.as_ref()?.captures(arguments);
                let source = match option.as_ref().map(|it| (&it[1], it[2].to_owned())) {
                    Some(("path", path)) => Source::Path(path),
                    Some(("source", url)) => Source::registry(&url),
                    Some((_, url)) => Source::Git(url),
                    None => Source::Registry,
                };
                let version = arguments.trim_start_matches([',', ' ']);
                let version = version.trim_end_matches(')').trim_matches(['"', '\'']);
                install.want("", name, version, source);
            }
            Some((verb @ ("git" | "path" | "git_source"), url, _)) => {
                install.sources.insert(format!("{verb} {url}"));
                rest.push(Value::String(line.to_owned()));
            }
            Some(_) | None => rest.push(Value::String(line.to_owned())),
        }
    }
    install.rest = Value::Array(rest);
    Some(install)
}

/// `Gemfile.lock`
pub(super) fn gemfile_lock(text: &str) -> Option<Install> {
    let mut install = Install::default();
    let (mut section, mut remote, mut specs) = (String::new(), String::new(), false);
    let id = |line: &str| -> Option<(String, String)> {
        let (name, version) = line.trim().split_once(" (")?;
        Some((name.to_owned(), version.split(')').next()?.to_owned()))
    };
    for line in text.lines() {
        if !line.starts_with(' ') {
            line.trim().clone_into(&mut section);
            specs = false;
            continue;
        }
        if let Some(url) = line.strip_prefix("  remote: ") {
            url.trim().clone_into(&mut remote);
        } else if line.trim() == "specs:" {
            specs = true;
        } else if section == "CHECKSUMS" {
            let Some((name, version)) = id(line) else { continue };
            let sums = line.split(") ").nth(1).unwrap_or_default();
            let checksums =
                sums.split([',', ' ']).filter(|it| !it.is_empty()).map(str::to_owned).collect();
            install.pin(&name, &version, Pin { checksums, ..Pin::default() });
        } else if specs && line.starts_with("    ") && !line.starts_with("      ") {
            let Some((name, version)) = id(line) else { continue };
            let source = match section.as_str() {
                "GIT" => Source::Git(remote.clone()),
                "PATH" => Source::Path(remote.clone()),
                _ => Source::registry(&remote),
            };
            install.pin(&name, &version, Pin { source, ..Pin::default() });
        }
    }
    Some(install)
}

/// Scripts that Composer runs by itself.
fn runs_itself(event: &str) -> bool {
    event.starts_with("pre-") || event.starts_with("post-") || event == "command"
}

/// `composer.json`
pub(super) fn composer(text: &str) -> Option<Install> {
    let mut root = objects::json(text)?.as_object()?.clone();
    let mut install = Install::default();
    for (key, section) in [("require", ""), ("require-dev", "dev"), ("replace", "overrides")] {
        for (name, version) in map(root.remove(key)) {
            install.want(section, &name, version.as_str().unwrap_or_default(), Source::Registry);
        }
    }
    if let Some(repositories) = root.remove("repositories") {
        super::cargo::leaves("repositories", &repositories, 0, &mut |_, value| {
            if value.contains("://") || value.starts_with(['.', '/']) {
                install.sources.insert(value.to_owned());
            }
        });
    }
    if let Some(Value::Object(scripts)) = root.get_mut("scripts") {
        let own: Vec<String> = scripts.keys().filter(|name| runs_itself(name)).cloned().collect();
        for name in own {
            let script = scripts.remove(&name).unwrap_or_default();
            let script = script.as_str().map_or_else(|| script.to_string(), str::to_owned);
            install.scripts.insert(name, script);
        }
    }
    if let Some(Value::Object(config)) = root.get_mut("config") {
        for (name, allowed) in map(config.remove("allow-plugins")) {
            if allowed == true {
                install.scripts.insert(format!("plugin {name}"), "code of the plugin".to_owned());
            }
        }
        if config.get("secure-http") == Some(&Value::Bool(false)) {
            install.unchecked.insert("secure-http = false".to_owned());
        }
    }
    install.rest = Value::Object(root);
    Some(install)
}

fn map(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// `composer.lock`
pub(super) fn composer_lock(text: &str) -> Option<Install> {
    let root = objects::json(text)?;
    let mut install = Install::default();
    for key in ["packages", "packages-dev"] {
        for package in root[key].as_array().into_iter().flatten() {
            let get = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let url = get(&package["dist"]["url"]);
            let source = if url.is_empty() {
                Source::Git(get(&package["source"]["url"]))
            } else if package["dist"]["type"] == "path" {
                Source::Path(url)
            } else {
                Source::registry(&url)
            };
            let checksums = [&package["dist"]["shasum"], &package["dist"]["reference"]]
                .iter()
                .filter_map(|it| it.as_str())
                .filter(|it| !it.is_empty())
                .map(str::to_owned)
                .collect();
            let script = package["type"] == "composer-plugin";
            let pin = Pin { source, checksums, script, ..Pin::default() };
            install.pin(&get(&package["name"]), &get(&package["version"]), pin);
        }
    }
    Some(install)
}

/// `packages.lock.json` of NuGet.
pub(super) fn nuget_lock(text: &str) -> Option<Install> {
    let root = objects::json(text)?;
    let mut install = Install::default();
    for framework in root["dependencies"].as_object()?.values() {
        for (name, entry) in framework.as_object().into_iter().flatten() {
            if entry["type"] == "Project" {
                continue;
            }
            let version = entry["resolved"].as_str().unwrap_or_default();
            let checksums = entry["contentHash"].as_str().map(str::to_owned).into_iter().collect();
            install.pin(name, version, Pin { checksums, ..Pin::default() });
        }
    }
    Some(install)
}

static PROVIDER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?s)provider\s+"([^"]+)"\s*\{(.*?)\n\}"#).ok());
static QUOTED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#""([^"]*)""#).ok());

/// `.terraform.lock.hcl`
pub(super) fn terraform_lock(text: &str) -> Option<Install> {
    let mut install = Install::default();
    for found in PROVIDER.as_ref()?.captures_iter(text) {
        let (name, body) = (&found[1], &found[2]);
        let value = |line: &str| QUOTED.as_ref()?.captures(line).map(|it| it[1].to_owned());
        let version = body
            .lines()
            .find(|line| line.trim_start().starts_with("version"))
            .and_then(value)
            .unwrap_or_default();
        let checksums = body
            .lines()
            .filter_map(value)
            .filter(|it| it.starts_with("h1:") || it.starts_with("zh:"))
            .collect();
        let host = name.split('/').next().unwrap_or_default().to_owned();
        let source = Source::Host(host);
        install.pin(name, &version, Pin { source, checksums, ..Pin::default() });
    }
    Some(install)
}
