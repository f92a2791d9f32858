//! Settings of package managers: registries, proxies, certificates, and what runs.

use serde_json::Value;

use super::install::Install;
use super::{ini, toml};
use crate::objects;

/// Keys, in any spelling, whose value is a place to fetch from.
const PLACES: &[&str] = &[
    "registry",
    "registryserver",
    "npmregistryserver",
    "indexurl",
    "extraindexurl",
    "findlinks",
    "index",
    "url",
    "proxy",
    "httpsproxy",
    "httpproxy",
    "channels",
    "channelalias",
    "defaultchannels",
    "customchannels",
    "mirror",
    "yarnpath",
    "repositoryurl",
    "source",
];
/// Keys that switch a check off.
const CHECKS: &[&str] = &[
    "strictssl",
    "sslverify",
    "verifyssl",
    "enablestrictssl",
    "trustedhost",
    "cafile",
    "ca",
    "cert",
    "checksumbehavior",
    "enableimmutableinstalls",
    "unsafehttpwhitelist",
    "packagelock",
    "allowinsecurehost",
    "requirehashes",
    "nodeps",
    "audit",
    "shrinkwrap",
    "requireverification",
    "breaksystempackages",
    "verifystoreintegrity",
];
/// Keys that keep something out when they are true.
const GUARDS: &[&str] = &[
    "strictssl",
    "sslverify",
    "verifyssl",
    "enablestrictssl",
    "enableimmutableinstalls",
    "packagelock",
    "requirehashes",
    "audit",
    "shrinkwrap",
    "requireverification",
    "verifystoreintegrity",
    "ignorescripts",
    "noindex",
];
/// Keys that decide what runs.
const PROGRAMS: &[&str] = &[
    "scriptshell",
    "shell",
    "noderuntime",
    "nodeoptions",
    "ignorescripts",
    "enablescripts",
    "plugins",
    "initmodule",
    "onloadscript",
    "git",
    "editor",
    "viewer",
    "prefix",
    "cache",
    "onlybuiltdependencies",
    "enableprepostscripts",
    "scriptsprependnodepath",
    "preload",
    "globalbindir",
    "pnpmfile",
    "unsafeperm",
    "userconfig",
    "globalconfig",
    "lifecyclescripts",
    "dangerouslyallowallbuilds",
    "packageextensions",
    "provider",
    "keyringprovider",
];

/// Takes a setting for what it is.
fn setting(path: &str, value: &str, install: &mut Install) {
    let last = path.rsplit(['.', ':']).next().unwrap_or(path);
    let key: String = last.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let key = key.to_lowercase();
    // No finding contains a login.
    let login = ["token", "auth", "password", "secret", "credential"]
        .iter()
        .any(|word| path.to_lowercase().contains(word));
    let written = if login { path.to_owned() } else { format!("{path} = {value}") };
    if value == "true" && GUARDS.contains(&key.as_str()) {
        install.guards.insert(written);
        return;
    }
    // An access token for another place sends packages, and credentials, there.
    if path.starts_with("//") || value.contains("://") || PLACES.contains(&key.as_str()) {
        install.sources.insert(written);
    } else if CHECKS.contains(&key.as_str()) {
        install.unchecked.insert(written);
    } else if PROGRAMS.contains(&key.as_str()) {
        install.scripts.insert(path.to_owned(), value.to_owned());
    }
}

/// `.npmrc`: no value goes on in another line, and a key may be written as JSON.
pub(super) fn npmrc(text: &str) -> Option<Install> {
    let mut install = Install::default();
    for line in text.split(['\n', '\r']).map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';', '[']) {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, "true"));
        let plain = |text: &str| {
            let text = text.trim();
            let parsed = objects::json(text).and_then(|it| it.as_str().map(str::to_owned));
            parsed.unwrap_or_else(|| text.trim_matches(['"', '\'']).to_owned())
        };
        setting(&plain(key).to_lowercase(), &plain(value), &mut install);
    }
    Some(install)
}

/// `pip.conf`, `.gemrc` and others of lines with a key and a value.
pub(super) fn pairs(text: &str) -> Option<Install> {
    let mut install = Install::default();
    for ((section, key), value) in ini(text) {
        let path = if section.is_empty() { key } else { format!("{section}.{key}") };
        setting(&path, value.trim_matches(['"', '\'']), &mut install);
    }
    Some(install)
}

/// `.yarnrc` of Yarn 1: a key and a value by white space.
pub(super) fn yarnrc(text: &str) -> Option<Install> {
    let mut install = Install::default();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if let Some((key, value)) = line.trim().split_once(char::is_whitespace) {
            let key = key.trim_matches('"').trim_start_matches("--");
            setting(key, value.trim().trim_matches('"'), &mut install);
        }
    }
    Some(install)
}

/// `.yarnrc.yml`, `.condarc`, `pnpm-workspace.yaml`
pub(super) fn yaml(text: &str) -> Option<Install> {
    let documents = objects::yaml(text)?;
    let mut install = Install::default();
    each(&documents[0], &mut install);
    Some(install)
}

/// `uv.toml`, `bunfig.toml`, `poetry.toml`
pub(super) fn table(text: &str) -> Option<Install> {
    let mut install = Install::default();
    each(&toml(text)?, &mut install);
    Some(install)
}

/// `.bowerrc`, `auth.json`
pub(super) fn json(text: &str) -> Option<Install> {
    let mut install = Install::default();
    each(&objects::json(text)?, &mut install);
    Some(install)
}

/// Every setting of a document. Entries of a list are settings of its key.
fn each(value: &Value, install: &mut Install) {
    super::cargo::leaves("", value, 0, &mut |path, value| {
        let path = path.split('.').filter(|part| !part.starts_with('[')).collect::<Vec<_>>();
        let named = path.iter().rev().find(|part| {
            let key: String = part.chars().filter(char::is_ascii_alphanumeric).collect();
            let key = key.to_lowercase();
            PLACES.contains(&key.as_str())
                || CHECKS.contains(&key.as_str())
                || PROGRAMS.contains(&key.as_str())
        });
        let path = path.join(".");
        match named {
            Some(key) => setting(&format!("{path}.{key}"), value, install),
            None => setting(&path, value, install),
        }
    });
}
