//! What is written in XML (Maven, NuGet, MSBuild, Gradle's checksums), and Gradle's own files.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use roxmltree::{Document, Node};
use serde_json::Value;

use super::hosts_in;
use super::install::{Install, Pin, Source};

/// How deep documents are read.
const MAX_DEPTH: usize = 64;

/// Elements whose URLs are for people.
const FOR_PEOPLE: &[&str] = &[
    "licenses",
    "scm",
    "developers",
    "contributors",
    "organization",
    "issuemanagement",
    "cimanagement",
    "mailinglists",
    "packageprojecturl",
    "repositoryurl",
    "packagelicenseurl",
    "packageiconurl",
    "description",
];

fn child<'a>(node: Node<'a, '_>, name: &str) -> &'a str {
    node.children()
        .find(|child| is_named(child, name))
        .and_then(|child| child.text())
        .map_or("", str::trim)
}

/// Whether it is an element of that name, in whatever namespace and case.
fn is_named(node: &Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name().eq_ignore_ascii_case(name)
}

/// The document; `None` also of one that is nested too deep to be read in linear time.
fn parse(text: &str) -> Option<Document<'_>> {
    let document = Document::parse(text.trim_start_matches('\u{feff}')).ok()?;
    let deep = document.descendants().any(|it| it.ancestors().nth(MAX_DEPTH).is_some());
    (!deep).then_some(document)
}

/// `pom.xml`, `settings.xml`, `extensions.xml`, `NuGet.config`, projects of MSBuild.
pub(super) fn xml(text: &str) -> Option<Install> {
    let document = parse(text)?;
    let mut install = Install::default();
    let mut rest = Vec::new();
    for node in document.descendants().filter(|it| it.is_element()) {
        let name = node.tag_name().name().to_lowercase();
        let within = |what: &[&str]| {
            node.ancestors().any(|it| what.contains(&it.tag_name().name().to_lowercase().as_str()))
        };
        let attribute = |name: &str| {
            node.attributes().find(|it| it.name().eq_ignore_ascii_case(name)).map(|it| it.value())
        };
        let in_package =
            within(&["dependency", "plugin", "extension", "parent", "packagereference"]);
        match name.as_str() {
            "dependency" | "plugin" | "extension" | "parent" => {
                let id = format!("{}:{}", child(node, "groupId"), child(node, "artifactId"));
                let path = child(node, "systemPath");
                let source =
                    if path.is_empty() { Source::Registry } else { Source::Path(path.to_owned()) };
                install.want(&name, &id, child(node, "version"), source);
                if name != "dependency" {
                    install
                        .scripts
                        .insert(format!("{name} {id}"), child(node, "version").to_owned());
                }
            }
            "packagereference" | "packageversion" | "package" => {
                let id = attribute("include").or_else(|| attribute("id")).unwrap_or_default();
                let version = attribute("version").unwrap_or_else(|| child(node, "version"));
                install.want("", id, version, Source::Registry);
            }
            "exec" => {
                let command = attribute("command").unwrap_or_default();
                install.scripts.insert(format!("exec {command}"), command.to_owned());
            }
            "import" | "usingtask" => {
                let path = attribute("project").or_else(|| attribute("assemblyfile"));
                let path = path.unwrap_or_default().to_owned();
                install.scripts.insert(format!("{name} {path}"), path);
            }
            _ => {}
        }
        let text = node.text().map_or("", str::trim);
        let in_repository =
            within(&["repository", "pluginrepository", "mirror", "snapshotrepository"]);
        if in_repository || (name != "url" && !within(FOR_PEOPLE)) {
            sources(node, text, &mut install);
        }
        let relaxed = matches!(
            (name.as_str(), text),
            ("checksumpolicy", "ignore" | "warn") | ("allowinsecureconnections", "true")
        ) || attribute("allowInsecureConnections")
            .is_some_and(|it| it.eq_ignore_ascii_case("true"));
        if relaxed {
            install.unchecked.insert(format!("{name} {text}").trim().to_owned());
        }
        // What is left is compared as it stands.
        if !in_package {
            let attributes: Vec<String> =
                node.attributes().map(|it| format!("{}={}", it.name(), it.value())).collect();
            rest.push(Value::String(format!("{name} {} {text}", attributes.join(" "))));
        } else if !matches!(
            name.as_str(),
            "version" | "groupid" | "artifactid" | "dependency" | "packagereference"
        ) {
            rest.push(Value::String(format!("{name} {text}")));
        }
    }
    install.rest = Value::Array(rest);
    Some(install)
}

fn sources(node: Node<'_, '_>, text: &str, install: &mut Install) {
    let schema = |name: &str| matches!(name, "schemaLocation" | "noNamespaceSchemaLocation");
    let values = node.attributes().filter(|it| !schema(it.name())).map(|it| it.value());
    for value in values.chain([text]) {
        if value.contains("://") || value.starts_with("\\\\") {
            install.sources.insert(value.to_owned());
        }
    }
    // `<add key="x" value="../packages"/>` of NuGet.
    let key = node.attributes().any(|it| it.name() == "key");
    let in_sources = node.parent_element().is_some_and(|it| is_named(&it, "packageSources"));
    if key
        && in_sources
        && let Some(value) = node.attribute("value")
    {
        install.sources.insert(value.to_owned());
    }
}

/// `gradle/verification-metadata.xml`
pub(super) fn verification(text: &str) -> Option<Install> {
    let document = parse(text)?;
    let mut install = Install::default();
    for node in document.descendants().filter(|it| it.is_element()) {
        match node.tag_name().name() {
            "component" => {
                let get = |name: &str| node.attribute(name).unwrap_or_default();
                let id = format!("{}:{}", get("group"), get("name"));
                for artifact in node.children().filter(|it| is_named(it, "artifact")) {
                    let checksums = artifact
                        .children()
                        .filter(|it| it.is_element())
                        .filter_map(|it| {
                            Some(format!("{}:{}", it.tag_name().name(), it.attribute("value")?))
                        })
                        .collect();
                    let name = artifact.attribute("name").unwrap_or_default();
                    let pin = Pin { checksums, ..Pin::default() };
                    install.pin(&format!("{id} {name}"), get("version"), pin);
                }
            }
            "verify-metadata" | "verify-signatures" if node.text() == Some("false") => {
                install.unchecked.insert(node.tag_name().name().to_owned());
            }
            "trust" | "trusted-key" | "ignored-key" | "pgp" => {
                let attributes: Vec<&str> = node.attributes().map(|it| it.value()).collect();
                let name = node.tag_name().name();
                install.unchecked.insert(format!("{name} {}", attributes.join(" ")));
            }
            _ => {}
        }
    }
    Some(install)
}

static COORDINATES: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"["']([\w.\-]+:[\w.\-]+):([\w.\-+\[\],)]+)["']"#).ok());
static PLUGIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"\bid\s*\(?\s*["']([\w.\-]+)["']\s*\)?(?:\s+version\s+["']([^"']+)["'])?"#).ok()
});
/// Places without a URL, and switches.
static PLACES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\b(mavenLocal|jcenter|gradlePluginPortal|google)\s*\(\s*\)|\b(flatDir|includeBuild|ivy)\b").ok()
});

/// `build.gradle`, `settings.gradle`, in either language. What these programs do beside is not
/// read: everything but versions counts as another program.
pub(super) fn gradle(text: &str) -> Option<Install> {
    let mut install = Install::default();
    let plain: String = text
        .lines()
        .map(|line| match line.find("//") {
            Some(at) if !line[..at].ends_with(':') => &line[..at],
            Some(_) | None => line,
        })
        .collect::<Vec<_>>()
        .join("\n");
    let rest = COORDINATES.as_ref()?.replace_all(&plain, "DEPENDENCY");
    for found in COORDINATES.as_ref()?.captures_iter(&plain) {
        install.want("", &found[1], &found[2], Source::Registry);
    }
    for found in PLUGIN.as_ref()?.captures_iter(&plain) {
        let version = found.get(2).map_or("", |it| it.as_str());
        install.scripts.insert(format!("plugin {}", &found[1]), version.to_owned());
    }
    for found in PLACES.as_ref()?.find_iter(&plain) {
        install.sources.insert(found.as_str().to_owned());
    }
    install.sources.extend(hosts_in(&plain));
    if let Some(at) = plain.find("llowInsecureProtocol")
        && plain[at..].lines().next().is_some_and(|line| line.contains("true"))
    {
        install.unchecked.insert("allowInsecureProtocol".to_owned());
    }
    install.rest = Value::String(rest.split_whitespace().collect::<Vec<_>>().join(" "));
    Some(install)
}

/// `gradle-wrapper.properties`, `maven-wrapper.properties`
pub(super) fn wrapper(text: &str) -> Option<Install> {
    let mut install = Install::default();
    let values = properties(text);
    let get = |name: &str| values.get(name).cloned().unwrap_or_default();
    for (key, sum) in
        [("distributionUrl", "distributionSha256Sum"), ("wrapperUrl", "wrapperSha256Sum")]
    {
        let url = get(key);
        if url.is_empty() {
            continue;
        }
        // The same server has other archives: only the version may be another one.
        let parts = url.split(|c: char| c.is_ascii_digit() || c == '.');
        let place = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        install.sources.insert(format!("{key} {place}"));
        let version = url.rsplit('/').next().unwrap_or_default();
        let checksums = values.get(sum).cloned().into_iter().collect();
        let pin = Pin { source: Source::registry(&url), checksums, ..Pin::default() };
        install.pin(key, version, pin);
    }
    if get("validateDistributionUrl") == "false" {
        install.unchecked.insert("validateDistributionUrl = false".to_owned());
    }
    Some(install)
}

/// A file of Java's properties: escapes are resolved, a line that ends in a backslash goes on in
/// the next one, and the last value of a key holds.
fn properties(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let text = text.replace("\r\n", "\n");
    let mut lines = text.split(['\n', '\r']).map(str::trim_start);
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut line = line.to_owned();
        while (line.len() - line.trim_end_matches('\\').len()) % 2 == 1 {
            line.pop();
            let Some(next) = lines.next() else { break };
            line.push_str(next);
        }
        let (mut key, mut value, mut in_key) = (String::new(), String::new(), true);
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            let c = match c {
                '\\' => match chars.next() {
                    Some('u') => {
                        let code: String = chars.by_ref().take(4).collect();
                        u32::from_str_radix(&code, 16).ok().and_then(char::from_u32).unwrap_or(' ')
                    }
                    Some(escaped) => escaped,
                    None => break,
                },
                '=' | ':' | ' ' | '\t' if in_key => {
                    in_key = false;
                    continue;
                }
                // Between the key and the value.
                '=' | ':' | ' ' | '\t' if value.is_empty() => continue,
                plain => plain,
            };
            if in_key { key.push(c) } else { value.push(c) }
        }
        found.insert(key, value);
    }
    found
}
