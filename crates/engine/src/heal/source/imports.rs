//! Which files an import means.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use super::languages::{ImportRule, Language, Relative};
use super::of_path;
use greenloop_model::RepoPath;

/// Files of one folder that an import of the folder stands for.
const MOST_OF_A_FOLDER: usize = 60;

/// The files of a tree, to be found by the end of their path.
#[derive(Debug)]
pub(in crate::heal) struct Files {
    all: BTreeSet<String>,
    by_name: BTreeMap<String, Vec<String>>,
}

impl Files {
    /// Of these paths; those that are not UTF-8 cannot be imported.
    pub(in crate::heal) fn new(paths: &[RepoPath]) -> Self {
        let all: BTreeSet<String> = paths
            .iter()
            .filter(|path| std::str::from_utf8(path.as_bytes()).is_ok())
            .map(ToString::to_string)
            .collect();
        let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in &all {
            by_name.entry(base(path).to_owned()).or_default().push(path.clone());
        }
        Self { all, by_name }
    }

    /// The file at exactly this path.
    fn exact(&self, path: &str) -> Option<RepoPath> {
        self.all.get(path).and_then(|path| RepoPath::new(path.as_str()).ok())
    }

    /// The file whose path ends so and that is nearest to `from`.
    fn nearest(&self, end: &str, from: &str) -> Option<RepoPath> {
        let ends = |path: &&String| {
            path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        let all = self.by_name.get(base(end))?;
        let best = all
            .iter()
            .filter(ends)
            .max_by_key(|path| (shared(path, from), std::cmp::Reverse(path.len())))?;
        RepoPath::new(best.as_str()).ok()
    }

    /// The files directly in a folder.
    fn folder(&self, folder: &str) -> Vec<RepoPath> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.all
            .range(prefix.clone()..)
            .take_while(|path| path.starts_with(&prefix))
            .filter(|path| !path[prefix.len()..].contains('/'))
            .take(MOST_OF_A_FOLDER)
            .filter_map(|path| RepoPath::new(path.as_str()).ok())
            .collect()
    }

    /// The folder whose path ends as `parts` do, by the most of them.
    fn tail(&self, parts: &[&str]) -> Option<String> {
        (0..parts.len()).find_map(|skip| {
            let end = parts[skip..].join("/");
            let inside = format!("/{end}/");
            self.all.iter().find_map(|path| {
                let rooted = format!("/{path}");
                let at = rooted.find(&inside)?;
                Some(rooted[1..at + inside.len() - 1].to_owned())
            })
        })
    }

    /// The file of that language with this stem that is nearest to `from`.
    pub(in crate::heal) fn with_stem(
        &self,
        stem_wanted: &str,
        language: &Language,
        from: &RepoPath,
    ) -> Option<RepoPath> {
        let from = from.to_string();
        let named = self.by_name.iter().filter(|(name, _)| stem(name) == stem_wanted);
        named
            .flat_map(|(_, paths)| paths)
            .filter(|path| **path != from && !is_test(path))
            .filter_map(|path| Some((path, RepoPath::new(path.as_str()).ok()?)))
            .filter(|(_, path)| of_path(path).is_some_and(|found| found.name == language.name))
            .max_by_key(|(path, _)| (shared(path, &from), std::cmp::Reverse(path.len())))
            .map(|(_, path)| path)
    }
}

/// What one statement imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::heal) struct Import {
    /// The names it brings in, the module's own among them; none where it brings in everything.
    pub(in crate::heal) names: BTreeSet<String>,
    /// The files that it may mean, most likely first.
    pub(in crate::heal) files: Vec<RepoPath>,
}

/// What the file imports from the tree.
pub(in crate::heal) fn imported(
    path: &RepoPath,
    text: &str,
    language: &Language,
    files: &Files,
) -> Vec<Import> {
    let mut found = Vec::new();
    for rule in &language.imports {
        for captures in rule.pattern.captures_iter(text) {
            let Some(module) = captures.name("module") else { continue };
            let listed = captures.name("names").map(|names| words(names.as_str()));
            for module in expanded(module.as_str()) {
                let import = resolve(&module, listed.as_ref(), rule, path, files);
                if !import.files.is_empty() {
                    found.push(import);
                }
            }
        }
    }
    found
}

fn resolve(
    module: &str,
    listed: Option<&BTreeSet<String>>,
    rule: &ImportRule,
    importer: &RepoPath,
    files: &Files,
) -> Import {
    let importer = importer.to_string();
    let folder = importer.rsplit_once('/').map_or("", |(folder, _)| folder);
    let dots = module.len() - module.trim_start_matches('.').len();
    let module = match rule.relative {
        Relative::Dots => &module[dots..],
        Relative::Anywhere | Relative::Folder => module,
    };
    // `a as b` brings in what is called a in the other file.
    let module = module.split(" as ").next().unwrap_or(module).trim();
    let parts: Vec<&str> =
        module.split(rule.separator.as_str()).map(str::trim).filter(|p| !p.is_empty()).collect();
    let everything = parts.last() == Some(&"*");
    let parts = if everything { &parts[..parts.len() - 1] } else { &parts[..] };
    let mut names = listed.cloned().unwrap_or_default();
    if rule.separator != "/" && !everything {
        names.extend(parts.last().map(|last| (*last).to_owned()));
    }
    let base = match rule.relative {
        Relative::Anywhere => None,
        Relative::Folder => Some(folder.to_owned()),
        Relative::Dots => {
            let up = |folder: &str| folder.rsplit_once('/').map_or("", |(up, _)| up).to_owned();
            Some((1..dots).fold(folder.to_owned(), |folder, _| up(&folder)))
        }
    };
    let mut paths = Vec::new();
    for place in &rule.places {
        for end in places(place, parts, listed, &importer) {
            let mut add = |path: Option<RepoPath>| {
                paths.extend(path.filter(|path| path.to_string() != importer));
            };
            match (&base, end.strip_suffix("/*")) {
                (Some(base), Some(folder)) => {
                    let folder = normal(&format!("{base}/{folder}"));
                    folder.into_iter().flat_map(|f| files.folder(&f)).for_each(|p| add(Some(p)));
                }
                (None, Some(_)) => {
                    let folder = files.tail(parts);
                    folder.into_iter().flat_map(|f| files.folder(&f)).for_each(|p| add(Some(p)));
                }
                (Some(base), None) => {
                    add(normal(&format!("{base}/{end}")).and_then(|path| files.exact(&path)));
                }
                (None, None) => add(normal(&end).and_then(|end| files.nearest(&end, &importer))),
            }
        }
    }
    let mut seen = BTreeSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    if everything {
        names.clear();
    }
    Import { names, files: paths }
}

/// The template with the module's parts in it; none where a part is missing.
fn places(
    template: &str,
    parts: &[&str],
    names: Option<&BTreeSet<String>>,
    importer: &str,
) -> Vec<String> {
    let without_last = parts.split_last().map_or(&[][..], |(_, rest)| rest);
    let rest = parts.split_first().map_or(&[][..], |(_, rest)| rest);
    let rest_parent = rest.split_last().map_or(&[][..], |(_, rest)| rest);
    let first = parts.first().copied().unwrap_or_default();
    let last = parts.last().copied().unwrap_or_default();
    let mut out = template.to_owned();
    for (key, value) in [
        ("{path}", parts.join("/")),
        ("{parent}", without_last.join("/")),
        ("{rest}", rest.join("/")),
        ("{rest-parent}", rest_parent.join("/")),
        ("{first}", first.to_owned()),
        ("{first-dashed}", first.replace('_', "-")),
        ("{first-last}", first.rsplit(['_', '-']).next().unwrap_or(first).to_owned()),
        ("{last}", last.to_owned()),
        ("{last-stem}", last.rsplit_once('.').map_or("", |(stem, _)| stem).to_owned()),
        ("{stem}", stem(base(importer)).to_owned()),
        ("{tail}", parts.join("/")),
    ] {
        if out.contains(key) {
            // `from . import x`: the folder itself.
            if value.is_empty() && !(key == "{path}" && out.contains("{path}/")) {
                return Vec::new();
            }
            out = out.replace(key, if value.is_empty() { "." } else { &value });
        }
    }
    if out.contains("{name}") {
        let names = names.into_iter().flatten();
        names.map(|name| out.replace("{name}", name)).collect()
    } else {
        vec![out]
    }
}

/// The path without `.` and `..`; none where it leaves the repository.
fn normal(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// `a::{b, c::{d}}` as `a::b` and `a::c::d`.
fn expanded(module: &str) -> Vec<String> {
    let Some(open) = module.find('{') else { return vec![module.to_owned()] };
    let (before, inside) = (&module[..open], &module[open + 1..]);
    let mut depth = 1_usize;
    let mut start = 0;
    let mut out = Vec::new();
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            let part = inside[start..at].trim();
            if !part.is_empty() {
                out.extend(expanded(&format!("{before}{part}")));
            }
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    out
}

/// The names of a list of imports; of `a as b` both are used.
fn words(list: &str) -> BTreeSet<String> {
    list.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty() && *word != "as")
        .map(str::to_owned)
        .collect()
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A file's name up to its first dot.
pub(in crate::heal) fn stem(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// How many folders two paths have in common from the root on.
fn shared(a: &str, b: &str) -> usize {
    a.split('/').zip(b.split('/')).take_while(|(a, b)| a == b).count()
}

/// Paths of tests, as the runners find them.
#[expect(clippy::expect_used, reason = "constant patterns, which a test compiles")]
static TEST_PATH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)(?:^|/)(?:tests?|__tests__|specs?|e2e|testdata|fixtures)/|(?:^|[/_.-])(?:tests?|spec)[_.-][^/]*$|[_.-](?:tests?|spec)\.[^/]+$|(?-i:(?:Tests?|Spec|IT)\.[^/]+$)|(?:^|/)conftest\.py$",
    )
    .expect("a constant pattern")
});

/// Whether the path is one of a test.
pub(in crate::heal) fn is_test(path: &str) -> bool {
    TEST_PATH.is_match(path)
}

/// What stands around a tested file's name in the name of its test.
#[expect(clippy::expect_used, reason = "constant patterns, which a test compiles")]
static AROUND: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:test_|test-|spec_)|(?:_tests?|-tests?|_spec|-spec|Tests?|Spec|IT)$")
        .expect("a constant pattern")
});

/// The stem of the file that a test is about, by its name: `price` for `test_price.py`.
pub(in crate::heal) fn tested_by(path: &RepoPath) -> Option<String> {
    let path = path.to_string();
    let stem = stem(base(&path));
    let about = AROUND.replace_all(stem, "").into_owned();
    (!about.is_empty() && (about != stem || is_test(&path))).then_some(about)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(from: &str, text: &str, paths: &[&str]) -> Vec<String> {
        let paths: Vec<RepoPath> = paths.iter().map(|path| RepoPath::new(*path).unwrap()).collect();
        let from = RepoPath::new(from).unwrap();
        let language = of_path(&from).unwrap();
        let list = imported(&from, text, language, &Files::new(&paths));
        let mut seen = BTreeSet::new();
        let files = list.iter().flat_map(|import| &import.files).map(ToString::to_string);
        files.filter(|file| seen.insert(file.clone())).collect()
    }

    #[test]
    fn imports_find_their_files() {
        let mut wrong = Vec::new();
        for (from, text, paths, expect) in [
            (
                "tests/t.py",
                "from shop.price import net\n",
                &["src/shop/price.py", "x/price.py"][..],
                &["src/shop/price.py"][..],
            ),
            (
                "t.py",
                "from shop import price, tax\n",
                &["shop/price.py", "shop/tax.py", "shop/__init__.py"],
                &["shop/price.py", "shop/tax.py", "shop/__init__.py"],
            ),
            (
                "a/b/c.py",
                "from ..d import (\n    e,\n    f,\n)\n",
                &["a/d.py", "d.py"],
                &["a/d.py"],
            ),
            ("a/b/c.py", "from . import e\n", &["a/b/e.py", "e.py"], &["a/b/e.py"]),
            ("t.py", "import json\nimport pkg.mod as m\n", &["pkg/mod.py"], &["pkg/mod.py"]),
            (
                "crates/x/src/a/b.rs",
                "use crate::wrap::{self, wrapped};\n",
                &["crates/x/src/wrap.rs", "crates/y/src/wrap.rs"],
                &["crates/x/src/wrap.rs"],
            ),
            (
                "src/lib.rs",
                "mod merge;\npub mod parse;\n",
                &["src/merge.rs", "src/parse/mod.rs"],
                &["src/merge.rs", "src/parse/mod.rs"],
            ),
            (
                "tests/t.rs",
                "use my_crate::parse::{\n    parse, x,\n};\n",
                &["my-crate/src/parse.rs", "src/lib.rs"],
                &["my-crate/src/parse.rs", "src/lib.rs"],
            ),
            ("t.rs", "include!(\"solution.rs\");\n", &["solution.rs"], &["solution.rs"]),
            (
                "src/a/b.rs",
                "use super::c::d;\n",
                &["src/a/c.rs", "src/c.rs"],
                &["src/a/c.rs", "src/c.rs"],
            ),
            (
                "test/u.test.ts",
                "import { u } from \"../src/index.js\";\n",
                &["src/index.ts"],
                &["src/index.ts"],
            ),
            (
                "test/l.js",
                "var l = require('../lib/l');\nvar fs = require('fs');\n",
                &["lib/l.js"],
                &["lib/l.js"],
            ),
            (
                "test/l.js",
                "const q = require('../');\n",
                &["lib/index.js", "package.json"],
                &["lib/index.js", "package.json"],
            ),
            ("package.json", "{ \"main\": \"./out/q\" }\n", &["out/q.js"], &["out/q.js"]),
            (
                "cmd/m.go",
                "import (\n\t\"fmt\"\n\tb \"example.com/q/internal/backoff\"\n)\n",
                &["internal/backoff/b.go", "internal/x/x.go"],
                &["internal/backoff/b.go"],
            ),
            ("p/a_test.go", "package p\n", &["p/a.go", "p/a_test.go", "a.go"], &["p/a.go"]),
            (
                "src/test/java/a/T.java",
                "import a.b.Wrapper;\n",
                &["src/main/java/a/b/Wrapper.java"],
                &["src/main/java/a/b/Wrapper.java"],
            ),
            (
                "tests/t.c",
                "#include \"crc.h\"\n#include <stdio.h>\n",
                &["include/crc.h", "src/crc.c"],
                &["include/crc.h", "src/crc.c"],
            ),
            ("spec/a_spec.rb", "require_relative '../lib/a'\n", &["lib/a.rb"], &["lib/a.rb"]),
            ("T.php", "use App\\Cart\\Item;\n", &["src/Cart/Item.php"], &["src/Cart/Item.php"]),
        ] {
            let got = found(from, text, paths);
            if got != expect {
                wrong.push(format!("{from}: {text}: {got:?}, not {expect:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn nested_lists_are_expanded() {
        assert_eq!(expanded("a::{b, c::{d, e}}"), ["a::b", "a::c::d", "a::c::e"]);
        assert_eq!(expanded("a::b"), ["a::b"]);
        assert_eq!(expanded("a::{b"), Vec::<String>::new());
    }

    #[test]
    fn tests_are_known_by_their_paths_and_name_what_they_test() {
        for (path, test, about) in [
            ("tests/test_price.py", true, Some("price")),
            ("pkg/backoff_test.go", true, Some("backoff")),
            ("src/a.test.tsx", true, Some("a")),
            ("src/test/java/a/WrapperTest.java", true, Some("Wrapper")),
            ("spec/a_spec.rb", true, Some("a")),
            ("src/latest.py", false, None),
            ("src/contest/a.py", false, None),
            ("src/price.py", false, None),
        ] {
            assert_eq!(is_test(path), test, "{path}");
            assert_eq!(tested_by(&RepoPath::new(path).unwrap()).as_deref(), about, "{path}");
        }
    }
}
