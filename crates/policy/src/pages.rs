//! What a page brings in by itself when somebody looks at it: scripts of other hosts, and scripts
//! in pictures.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::lines::{Alignment, split};
use super::suspicious::Hit;
use super::syntax::SourceFile;

const PAGES: &[&str] = &[
    "html", "htm", "xhtml", "svg", "vue", "svelte", "jsx", "tsx", "js", "ts", "php", "erb", "ejs",
    "hbs", "mustache", "j2", "jinja", "jinja2", "tmpl", "tpl", "twig", "cshtml", "jsp", "haml",
    "pug", "liquid", "astro", "md", "py", "rb", "go",
];

/// A script, or a style, that a page fetches: the whole tag, its host.
static FETCHED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?is)<(?:script|link|iframe|embed|object)\b[^>]*?\b(?:src|href|data)\s*=\s*["']?(?:https?:)?//([^/"'\s>:]+)[^>]*>?"#,
    )
    .ok()
});

/// What runs in a picture.
static IN_PICTURE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?i)<script\b|<foreignObject\b|\son[a-z]{3,}\s*=|javascript:|<!ENTITY|<(?:iframe|embed|object)\b|xlink:href\s*=\s*["']\s*(?:https?:|data:text)|<\?xml-stylesheet"#,
    )
    .ok()
});

/// What a change makes a page run that it did not.
pub(super) fn find(file: &SourceFile, before: &[u8], after: &[u8], lines: &Alignment) -> Vec<Hit> {
    let (Some(fetched), Some(in_picture)) = (FETCHED.as_ref(), IN_PICTURE.as_ref()) else {
        return Vec::new();
    };
    let before = String::from_utf8_lossy(before);
    let mut found = Vec::new();
    if !file.has_extension(PAGES) {
        return found;
    }
    let is_picture = file.has_extension(&["svg"]);
    let is_script =
        |tag: &str| tag.get(1..7).is_some_and(|name| name.eq_ignore_ascii_case("script"));
    let hosts: BTreeSet<String> = fetched
        .captures_iter(&before)
        .filter(|tag| is_script(&tag[0]))
        .map(|tag| tag[1].to_lowercase())
        .collect();
    let checked = |text: &str| -> usize {
        let tags = fetched.find_iter(text);
        tags.filter(|tag| tag.as_str().to_lowercase().contains("integrity")).count()
    };
    let text = String::from_utf8_lossy(after);
    let fewer = checked(&text) < checked(&before)
        && fetched.find_iter(&text).count() >= fetched.find_iter(&before).count();
    for (number, line) in split(after).into_iter().enumerate() {
        if !lines.is_added(number) {
            continue;
        }
        let line = String::from_utf8_lossy(line);
        if is_picture && in_picture.is_match(&line) {
            let detail = "a picture that runs a script, or fetches one".to_owned();
            found.push(Hit { line: number, detail });
        }
        for tag in fetched.captures_iter(&line).filter(|tag| is_script(&tag[0])) {
            let host = tag[1].to_lowercase();
            let is_checked = tag[0].to_lowercase().contains("integrity");
            if fewer && !is_checked {
                let detail = format!("a script of {host} is no longer checked for what it is");
                found.push(Hit { line: number, detail });
            } else if !hosts.contains(&host) && (!hosts.is_empty() || !is_checked) {
                found.push(Hit { line: number, detail: format!("a script of {host} comes in") });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::RepoPath;

    #[test]
    fn scripts_of_others_are_found() {
        const CHECKED: &str =
            "<script src='https://cdn.example/a.js' integrity='sha384-a' crossorigin></script>\n";
        let plain = CHECKED.replace(" integrity='sha384-a'", "");
        for (path, before, after, expect) in [
            ("a.html", CHECKED, plain.as_str(), true),
            ("a.html", CHECKED, "<script src='https://evil.example/a.js'></script>\n", true),
            ("a.html", "<p>\n", "<p>\n<script src=//evil.example/a.js></script>\n", true),
            ("a.svg", "", "<svg><script>fetch('//x.example')</script></svg>\n", true),
            ("a.svg", "", "<svg onload=\"x()\"></svg>\n", true),
            ("a.html", "", CHECKED, false),
            (
                "a.html",
                plain.as_str(),
                "<p>\n<script src='https://cdn.example/b.js'></script>\n",
                false,
            ),
            ("a.html", "", "<script src='/static/a.js'></script>\n", false),
            ("a.svg", "", "<svg xmlns='http://www.w3.org/2000/svg'><path d='M0'/></svg>\n", false),
        ] {
            let file = SourceFile::new(&RepoPath::new(path).expect("a path"), b"");
            let lines = Alignment::new(Some(before.as_bytes()), Some(after.as_bytes()));
            let found = find(&file, before.as_bytes(), after.as_bytes(), &lines);
            assert_eq!(!found.is_empty(), expect, "{before}{after}{found:?}");
        }
    }
}
