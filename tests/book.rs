//! Checks the documentation: `docs/SUMMARY.md` lists every page, the README is short, and every
//! link leads to a file, and to a heading of it, that exists.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Pages by their path from the root: those of the book, and those beside it.
fn pages() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| Path::new("docs").join(entry.unwrap().file_name()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    let beside =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "benches/README.md"];
    found.extend(beside.iter().map(PathBuf::from));
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The lines outside fenced blocks.
fn prose(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// The target of each `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let text = prose(text).join("\n");
    text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// The anchor of a heading, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let mut made = String::new();
    for letter in heading.trim().to_lowercase().chars() {
        if letter.is_alphanumeric() || letter == '-' || letter == '_' {
            made.push(letter);
        } else if letter == ' ' {
            made.push('-');
        }
    }
    made
}

fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .iter()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

/// `docs/../README.md` as `README.md`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn the_summary_lists_every_page_once() {
    let mut listed: BTreeMap<String, usize> = BTreeMap::new();
    for link in links(&read(Path::new("docs/SUMMARY.md"))) {
        *listed.entry(format!("docs/{link}")).or_default() += 1;
    }
    assert!(listed.values().all(|times| *times == 1), "{listed:?}");
    let there: BTreeSet<String> = pages()
        .iter()
        .map(|path| path.display().to_string())
        .filter(|path| path.starts_with("docs/") && path != "docs/SUMMARY.md")
        .collect();
    assert_eq!(listed.into_keys().collect::<BTreeSet<_>>(), there);
}

#[test]
fn every_link_leads_somewhere() {
    let (mut checked, mut broken) = (0, Vec::new());
    for page in pages() {
        let text = read(&page);
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => page.clone(),
                file => plain(&page.parent().unwrap().join(file)),
            };
            let there = root().join(&target).exists();
            let has_heading = || heading.is_empty() || anchors(&read(&target)).contains(heading);
            if !there || !has_heading() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(checked > 60, "only {checked} links were found");
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn the_readme_is_short() {
    let lines = read(Path::new("README.md")).lines().count();
    assert!(lines <= 200, "README.md has {lines} lines; move the rest to docs/");
}

#[test]
fn links_and_anchors_are_read_as_a_reader_does() {
    let text = "# A `b` c: d-e!\n\n[x](a.md#b) and ![y](i.png)\n\n```\n[no](none.md)\n# No\n```\n";
    assert_eq!(links(text), ["a.md#b", "i.png"]);
    assert_eq!(anchors(text), BTreeSet::from(["a-b-c-d-e".to_owned()]));
    assert_eq!(plain(Path::new("docs/../README.md")), Path::new("README.md"));
}
