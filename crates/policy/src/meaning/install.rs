//! What manifests, lockfiles and settings of package managers ask an install to do, in one form
//! for all of them, and what a change of it brings in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Finding, host_of};
use crate::rules;

/// Where a package comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// The registry that the package manager is set to.
    #[default]
    Registry,
    /// A registry's or a server's host.
    Host(String),
    /// A repository.
    Git(String),
    /// An archive.
    Url(String),
    /// A folder or a file.
    Path(String),
    /// Another package under this one's name.
    Alias(String),
}

impl Source {
    /// The host of a registry's URL; none says nothing.
    pub(super) fn registry(url: &str) -> Self {
        host_of(url).map_or(Self::Registry, Self::Host)
    }

    /// As a clause about a package.
    fn clause(&self) -> String {
        match self {
            Self::Registry => "comes from the default registry".to_owned(),
            Self::Host(host) => format!("comes from `{host}`"),
            Self::Git(url) => format!("comes from the repository `{url}`"),
            Self::Url(url) => format!("comes from `{url}`"),
            Self::Path(path) => format!("comes from the path `{path}`"),
            Self::Alias(name) => format!("is `{name}` in truth"),
        }
    }
}

/// A dependency that a manifest declares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Want {
    /// As written: `^1.2`, `>=2,<3`; empty for any.
    pub version: String,
    pub source: Source,
    /// Additional requirements: features, markers.
    pub terms: String,
}

/// A package that a lockfile pins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pin {
    pub source: Source,
    pub checksums: BTreeSet<String>,
    /// Whether an install runs a script of the package.
    pub script: bool,
    /// The names of the packages that it needs, where the lockfile lists them.
    pub needs: BTreeSet<String>,
}

/// What a file asks an install to do.
#[derive(Debug, Default)]
pub(super) struct Install {
    /// Declared dependencies, by section (`""`: the usual ones) and name.
    pub wants: BTreeMap<(String, String), Want>,
    /// Pinned packages, by name and version.
    pub pins: BTreeMap<(String, String), Pin>,
    /// Registries, repositories and proxies, as they are written.
    pub sources: BTreeSet<String>,
    /// Commands that an install, or a build, runs, by what starts them.
    pub scripts: BTreeMap<String, String>,
    /// Checks that are switched off.
    pub unchecked: BTreeSet<String>,
    /// Settings that keep an install from running or taking something.
    pub guards: BTreeSet<String>,
    /// The other settings of the file.
    pub rest: Value,
}

impl Install {
    /// Adds a dependency.
    pub(super) fn want(&mut self, section: &str, name: &str, version: &str, source: Source) {
        let want = Want { version: version.to_owned(), source, terms: String::new() };
        self.wants.insert((section.to_owned(), name.to_owned()), want);
    }

    /// Adds a dependency that is asked for with these terms.
    pub(super) fn want_with(&mut self, section: &str, name: &str, want: Want) {
        self.wants.insert((section.to_owned(), name.to_owned()), want);
    }

    /// Adds a pinned package; what is pinned twice has the checksums of both.
    pub(super) fn pin(&mut self, name: &str, version: &str, pin: Pin) {
        let known = self.pins.entry((name.to_owned(), version.to_owned())).or_default();
        known.checksums.extend(pin.checksums);
        known.script |= pin.script;
        known.needs.extend(pin.needs);
        if known.source == Source::Registry {
            known.source = pin.source;
        }
    }
}

/// The default registries of package managers.
const DEFAULT_HOSTS: &[&str] = &[
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "github.com/rust-lang/crates.io-index",
    "index.crates.io",
    "pypi.org",
    "files.pythonhosted.org",
    "rubygems.org",
    "proxy.golang.org",
    "repo.maven.apache.org",
    "repo1.maven.org",
    "api.nuget.org",
    "packagist.org",
    "repo.packagist.org",
    "registry.terraform.io",
    "registry.opentofu.org",
    "services.gradle.org",
];

/// Whether the host is a package manager's default.
pub(super) fn is_default_host(host: &str) -> bool {
    DEFAULT_HOSTS.contains(&host)
}

/// What the change asks of an install that was not asked before.
pub(super) fn compare(old: &Install, new: &Install) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in new.sources.difference(&old.sources) {
        let detail = format!("`{source}` is a new source of packages");
        found.push(Finding::new(rules::DEPENDENCY_SOURCE, detail));
    }
    for ((section, name), want) in &new.wants {
        let was = old.wants.get(&(section.clone(), name.clone()));
        if want.source != Source::Registry && was.is_none_or(|was| was.source != want.source) {
            let detail = format!("`{name}` {}", want.source.clause());
            found.push(Finding::new(rules::DEPENDENCY_SOURCE, detail));
        }
    }
    let known = Known::of(old);
    for ((name, version), pin) in &new.pins {
        match old.pins.get(&(name.clone(), version.clone())) {
            Some(was) => same_version(name, version, was, pin, &mut found),
            None => new_version(name, version, pin, &known, &mut found),
        }
    }
    for (name, script) in &new.scripts {
        if old.scripts.get(name) != Some(script) {
            let detail =
                format!("`{name}` runs `{}`", script.chars().take(100).collect::<String>());
            found.push(Finding::new(rules::INSTALL_SCRIPT, detail));
        }
    }
    for check in new.unchecked.difference(&old.unchecked) {
        found.push(Finding::new(rules::INTEGRITY, format!("`{check}` switches a check off")));
    }
    for guard in old.guards.difference(&new.guards) {
        found.push(Finding::new(rules::INTEGRITY, format!("`{guard}` is gone")));
    }
    found
}

/// A version that was pinned is the same content from the same place.
fn same_version(name: &str, version: &str, was: &Pin, is: &Pin, found: &mut Vec<Finding>) {
    if was.source != is.source {
        let detail = format!("`{name}` {version} {}", is.source.clause());
        found.push(Finding::new(rules::DEPENDENCY_SOURCE, detail));
    }
    if !was.checksums.is_empty() && is.checksums.is_empty() {
        let detail = format!("`{name}` {version} has no checksum any more");
        found.push(Finding::new(rules::INTEGRITY, detail));
    } else if !was.checksums.is_empty() && !is.checksums.is_subset(&was.checksums) {
        let detail = format!("`{name}` {version} has another checksum, for the same version");
        found.push(Finding::new(rules::INTEGRITY, detail));
    }
    if is.script && !was.script {
        let detail = format!("an install runs a script of `{name}` {version}");
        found.push(Finding::new(rules::INSTALL_SCRIPT, detail));
    }
}

/// What a lockfile pins so far.
struct Known<'a> {
    places: BTreeSet<&'a Source>,
    with_scripts: BTreeSet<&'a str>,
    checked: bool,
}

impl<'a> Known<'a> {
    fn of(old: &'a Install) -> Self {
        let scripts = old.pins.iter().filter(|(_, pin)| pin.script);
        Self {
            places: old.pins.values().map(|pin| &pin.source).collect(),
            with_scripts: scripts.map(|((name, _), _)| name.as_str()).collect(),
            checked: old.pins.values().any(|pin| !pin.checksums.is_empty()),
        }
    }

    /// Whether a package may come from there: what is pinned already does, or names no place and
    /// this one is a default.
    fn has_place(&self, source: &Source) -> bool {
        match source {
            Source::Registry => true,
            Source::Host(host) => {
                let default = |host: &String| is_default_host(host);
                self.places.contains(source)
                    || default(host)
                        && self.places.iter().all(|place| match place {
                            Source::Host(host) => default(host),
                            Source::Registry
                            | Source::Git(_)
                            | Source::Url(_)
                            | Source::Path(_)
                            | Source::Alias(_) => true,
                        })
            }
            Source::Git(_) | Source::Url(_) | Source::Path(_) | Source::Alias(_) => false,
        }
    }
}

/// A version that was not pinned comes from where the others come from, with a checksum.
fn new_version(name: &str, version: &str, is: &Pin, known: &Known<'_>, found: &mut Vec<Finding>) {
    if !known.has_place(&is.source) {
        let detail = format!("`{name}` {version} {}", is.source.clause());
        found.push(Finding::new(rules::DEPENDENCY_SOURCE, detail));
    }
    let local = matches!(is.source, Source::Git(_) | Source::Path(_));
    if is.checksums.is_empty() && known.checked && !local {
        let detail = format!("`{name}` {version} has no checksum, and the others have one");
        found.push(Finding::new(rules::INTEGRITY, detail));
    }
    if is.script && !known.with_scripts.contains(name) {
        let detail = format!("an install runs a script of `{name}` {version}");
        found.push(Finding::new(rules::INSTALL_SCRIPT, detail));
    }
}

/// The dependencies whose version alone changed; `None` when anything else did.
pub(super) fn changed_versions(old: &Install, new: &Install) -> Option<Vec<(String, String)>> {
    let added = added(old, new)?;
    (old.wants.len() == new.wants.len() && added.iter().all(|it| it.was_there))
        .then(|| added.into_iter().map(|it| (it.name, it.version)).collect())
}

/// A dependency that is new, or has another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Added {
    pub name: String,
    pub version: String,
    pub was_there: bool,
}

/// The dependencies that are new or have another version; `None` when anything else changed, or
/// when one of them does not come from the registry.
pub(super) fn added(old: &Install, new: &Install) -> Option<Vec<Added>> {
    let same = old.rest == new.rest
        && old.sources == new.sources
        && old.scripts == new.scripts
        && old.unchecked == new.unchecked
        && old.guards == new.guards
        && old.wants.keys().all(|key| new.wants.contains_key(key));
    if !same {
        return None;
    }
    let mut found = Vec::new();
    for ((section, name), want) in &new.wants {
        let was = old.wants.get(&(section.clone(), name.clone()));
        if was == Some(want) {
            continue;
        }
        let registry = want.source == Source::Registry
            && was.is_none_or(|was| was.source == Source::Registry && was.terms == want.terms);
        if !registry || section.starts_with("overrides") {
            return None;
        }
        found.push(Added {
            name: name.clone(),
            version: want.version.clone(),
            was_there: was.is_some(),
        });
    }
    Some(found)
}

/// Whether a lockfile has a version of the package that the requirement asks for, from a registry.
pub(super) fn has(lock: &Install, name: &str, requirement: &str) -> bool {
    let plain = requirement.trim_start_matches(['^', '~', '=', '>', '<', 'v', ' ', '!']).trim();
    let exact = plain.split([',', ' ', '|', ';']).next().unwrap_or_default().trim();
    lock.pins.iter().any(|((pinned, version), pin)| {
        let registry = matches!(pin.source, Source::Registry | Source::Host(_));
        let version = version.trim_start_matches('v');
        let fits = exact.is_empty()
            || exact == "*"
            || version == exact
            // `1.3` and `1` stand for `1.3.0`.
            || version.strip_prefix(exact).is_some_and(|rest| rest.starts_with('.'))
            || (requirement.starts_with(['^', '~', '>']) && same_major(version, exact));
        registry && same_name(pinned, name) && fits
    })
}

/// Whether a version is one that `^exact` allows: the leading number that is not zero is the same,
/// and it is no older.
fn same_major(version: &str, exact: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
    };
    let (version, exact) = (numbers(version), numbers(exact));
    let lead = exact.iter().position(|number| *number != 0).unwrap_or(0);
    // A requirement without a number, such as a tag, has no leading one.
    exact.len() > lead
        && version.len() > lead
        && version[..=lead] == exact[..=lead]
        && version >= exact
}

/// The packages that a lockfile newly pins, or pins in another version, and that nothing in `roots`
/// needs, directly or through others.
pub(super) fn unneeded(old: &Install, new: &Install, roots: &BTreeSet<String>) -> BTreeSet<String> {
    let mut by_name: BTreeMap<String, Vec<(&str, &Pin)>> = BTreeMap::new();
    for ((name, _), pin) in &new.pins {
        by_name.entry(plain_name(name)).or_default().push((name, pin));
    }
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<String> = roots.iter().map(|name| plain_name(name)).collect();
    while let Some(name) = open.pop() {
        // What was reached once is left out of the index.
        for (name, pin) in by_name.remove(&name).unwrap_or_default() {
            reached.insert(name);
            open.extend(pin.needs.iter().map(|name| plain_name(name)));
        }
    }
    new.pins
        .keys()
        .filter(|key| !old.pins.contains_key(*key) && !reached.contains(key.0.as_str()))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Names as package indexes compare them.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    one == other || (one.len() == other.len() && plain_name(one) == plain_name(other))
}

fn plain_name(name: &str) -> String {
    name.to_lowercase().chars().map(|c| if matches!(c, '_' | '.') { '-' } else { c }).collect()
}
