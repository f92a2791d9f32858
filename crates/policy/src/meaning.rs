//! What a parsed file means: what a change makes a build, an install or a cluster do that it did
//! not do before. Layout, order and comments mean nothing; each file is read by its own format.
//!
//! A file that cannot be read yields nothing here: it is judged by its kind, and no harmless shape
//! that needs its meaning covers it.

mod cargo;
pub(super) mod cluster;
pub(super) mod dockerfile;
mod go;
mod install;
mod jvm;
mod npm;
mod other;
pub(super) mod packages;
mod python;
mod settings;

use std::collections::BTreeMap;

use serde_json::Value;

use super::file_kind::FileKind;
use super::syntax::{SourceFile, Syntax};

/// Something that a file means after a change, and did not mean before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// The id of the rule that it matches.
    pub rule: &'static str,
    /// 0-based line of the resulting file, where the format tells it.
    pub line: Option<usize>,
    pub detail: String,
}

impl Finding {
    fn new(rule: &'static str, detail: impl AsRef<str>) -> Self {
        Self { rule, line: None, detail: shown(detail.as_ref()) }
    }
}

/// What the change of a file of these kinds brings in. A new file is compared with an empty one.
pub(super) fn compare(
    file: &SourceFile,
    kinds: &[FileKind],
    before: &str,
    after: &str,
) -> Vec<Finding> {
    let is = |kind: FileKind| kinds.contains(&kind);
    let mut found = Vec::new();
    if file.syntax == Syntax::Docker {
        found.extend(dockerfile::compare(before, after));
    } else if is(FileKind::Deploy) || is(FileKind::Image) {
        found.extend(cluster::compare(file, before, after));
    }
    let manifest = is(FileKind::Manifest) || is(FileKind::Lockfile);
    if manifest || is(FileKind::Build) || is(FileKind::Judge) {
        found.extend(packages::compare(file, manifest, before, after));
    }
    found
}

/// A text that names a place to fetch from: the host, or the scheme's rest where there is none.
fn host_of(url: &str) -> Option<String> {
    let rest = match url.split_once("://") {
        Some((_, rest)) => rest,
        // `git@host:path`
        None => url.split_once('@').filter(|(user, _)| !user.contains(['/', ' ']))?.1,
    };
    let authority = rest.split(['/', '?', '#', ' ', '"', '\'']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    (!host.is_empty()).then(|| host.to_lowercase())
}

/// A text that names places, without the logins and queries of its URLs, and no longer than a line.
fn shown(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        out.push_str(&rest[..at + 3]);
        rest = &rest[at + 3..];
        let end = rest.find(|c: char| c.is_whitespace() || "\"'`".contains(c));
        let (url, after) = rest.split_at(end.unwrap_or(rest.len()));
        let plain = url.split('?').next().unwrap_or_default();
        let path = plain.find('/').unwrap_or(plain.len());
        let login = plain[..path].rfind('@').map_or(0, |login| login + 1);
        out.push_str(&plain[login..]);
        rest = after;
    }
    out.push_str(rest);
    out.chars().take(MAX_SHOWN).collect()
}

/// How much of a text a finding shows.
const MAX_SHOWN: usize = 160;
/// How much of a URL is read for its host.
const MAX_URL: usize = 300;

/// The hosts of every URL in a text.
fn hosts_in(text: &str) -> Vec<String> {
    text.match_indices("://")
        .filter_map(|(at, _)| {
            let rest: String = text[at..]
                .chars()
                .take(MAX_URL)
                .take_while(|c| !c.is_whitespace() && !"\"'`<>)]},;".contains(*c))
                .collect();
            host_of(&rest)
        })
        .collect()
}

/// A TOML document as data.
pub(super) fn toml(text: &str) -> Option<Value> {
    ::toml::from_str(text).ok()
}

/// `section.key = value` of an INI file; keys outside a section have none.
fn ini(text: &str) -> BTreeMap<(String, String), String> {
    let mut section = String::new();
    let mut found = BTreeMap::new();
    let mut open: Option<(String, String)> = None;
    for line in text.split(['\n', '\r']) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut section);
            open = None;
            continue;
        }
        // A value goes on in lines that are indented.
        if line.starts_with([' ', '\t'])
            && let Some(key) = &open
        {
            let value: &mut String = found.entry(key.clone()).or_default();
            value.push(' ');
            value.push_str(trimmed);
            continue;
        }
        let (key, value) = trimmed.split_once(['=', ':']).unwrap_or((trimmed, ""));
        let key = (section.to_lowercase(), key.trim().to_lowercase());
        open = Some(key.clone());
        found.insert(key, value.trim().to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_show_no_login() {
        for (text, expect) in [
            ("`https://user:pass@x.example/a?token=b` c?", "`https://x.example/a` c?"),
            ("git+ssh://git@x.example/a and http://b@c/", "git+ssh://x.example/a and http://c/"),
            ("a@b.example", "a@b.example"),
        ] {
            assert_eq!(shown(text), expect);
        }
    }

    #[test]
    fn hosts_are_read_from_urls() {
        assert_eq!(
            hosts_in("a https://u@X.example:80/b, 'git+ssh://y.example' z://"),
            ["x.example", "y.example"]
        );
        assert_eq!(host_of("git@github.com:a/b"), Some("github.com".to_owned()));
    }

    #[test]
    fn values_of_settings_go_on_in_indented_lines() {
        let values = ini("a = 1\n[s]\n; no\nb =\n  x\n  y\nc: 2\n");
        let get = |section: &str, key: &str| {
            values.get(&(section.to_owned(), key.to_owned())).map(String::as_str)
        };
        assert_eq!(get("", "a"), Some("1"));
        assert_eq!(get("s", "b"), Some(" x y"));
        assert_eq!(get("s", "c"), Some("2"));
    }
}
