//! What a file is, as far as the rules care, by its path and its first line.

use greenloop_model::RepoPath;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Run by a shell.
    Shell,
    /// Makefiles and justfiles: recipes are shell.
    Make,
    /// Image builds: `RUN` lines are shell.
    Docker,
    /// Pipelines and manifests: some values are shell.
    Yaml,
    /// `package.json` and the like.
    Json,
    /// Statements.
    Sql,
    /// Text for people.
    Prose,
    Code,
}

/// A file's path in the forms the rules ask for.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Lower case.
    pub path: String,
    /// The last component, lower case.
    pub name: String,
    /// Lower case, without the dot; empty when there is none.
    pub extension: String,
    pub syntax: Syntax,
}

impl SourceFile {
    pub(super) fn new(path: &RepoPath, bytes: &[u8]) -> Self {
        let path = path.to_string_lossy().to_lowercase();
        let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
        let extension = name.rsplit_once('.').map_or("", |(_, e)| e).to_owned();
        let syntax = syntax(&path, &name, &extension, bytes);
        Self { path, name, extension, syntax }
    }

    pub(super) fn has_extension(&self, extensions: &[&str]) -> bool {
        extensions.contains(&self.extension.as_str())
    }

    /// Whether it is a Go template by its name.
    pub(super) fn is_template(&self) -> bool {
        self.has_extension(&["tpl", "gotmpl"])
    }

    /// Whether it holds tests, by the conventions of the common tools.
    pub(super) fn is_test(&self) -> bool {
        let stem = self.name.split('.').next().unwrap_or_default();
        let folder = self.path.split('/').rev().skip(1).any(|part| {
            matches!(part, "test" | "tests" | "__tests__" | "spec" | "specs" | "testing" | "e2e")
        });
        let named = stem.starts_with("test_")
            || ["_test", "_tests", "_spec", "tests"].iter().any(|end| stem.ends_with(end))
            || self.name.contains(".test.")
            || self.name.contains(".spec.")
            || stem == "test" && self.syntax != Syntax::Shell
            || self.has_extension(&["bats", "feature", "snap"]);
        let java = self.has_extension(&["java", "kt", "kts", "scala", "cs", "swift", "php"])
            && (stem.ends_with("test") || stem.ends_with("spec") || stem.starts_with("test"));
        folder || named || java
    }
}

fn syntax(path: &str, name: &str, extension: &str, bytes: &[u8]) -> Syntax {
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let shebang = first.starts_with(b"#!").then(|| String::from_utf8_lossy(first).into_owned());
    let by_name = match name {
        "makefile" | "gnumakefile" | "justfile" | ".justfile" | "bsdmakefile" => Some(Syntax::Make),
        "dockerfile" | "containerfile" => Some(Syntax::Docker),
        "procfile" | "jenkinsfile" | "configure" | ".bashrc" | ".profile" | ".envrc" => {
            Some(Syntax::Shell)
        }
        "license" | "licence" | "changelog" | "readme" | "authors" | "notice" | "copying"
        | "requirements.txt" | "cmakelists.txt" => {
            Some(if name.contains('.') { Syntax::Code } else { Syntax::Prose })
        }
        _ if name.starts_with("dockerfile.") || name.starts_with("containerfile.") => {
            Some(Syntax::Docker)
        }
        _ if name.starts_with("makefile.") => Some(Syntax::Make),
        _ => None,
    };
    if let Some(syntax) = by_name {
        return syntax;
    }
    match extension {
        "sh" | "bash" | "zsh" | "ksh" | "fish" | "bats" | "command" | "ps1" | "psm1" | "bat"
        | "cmd" => Syntax::Shell,
        "mk" | "mak" | "just" => Syntax::Make,
        "dockerfile" | "containerfile" => Syntax::Docker,
        "yml" | "yaml" => Syntax::Yaml,
        "json" | "jsonc" | "json5" => Syntax::Json,
        "sql" | "psql" | "ddl" | "dml" => Syntax::Sql,
        "md" | "markdown" | "rst" | "txt" | "adoc" | "org" | "log" | "csv" | "tsv" | "html"
        | "htm" | "svg" | "tex" => Syntax::Prose,
        _ => {
            let shell = shebang.is_some_and(|line| {
                line.trim_end().rsplit(['/', ' ']).take(3).any(|word| {
                    matches!(word, "sh" | "bash" | "zsh" | "dash" | "ksh" | "ash" | "fish")
                })
            });
            let hook = path
                .split('/')
                .rev()
                .nth(1)
                .is_some_and(|folder| matches!(folder, ".husky" | "hooks" | ".githooks"));
            if shell || (hook && extension.is_empty()) { Syntax::Shell } else { Syntax::Code }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> SourceFile {
        SourceFile::new(&RepoPath::new(path).expect("a path"), text.as_bytes())
    }

    #[test]
    fn files_are_known_by_name() {
        for (path, text, syntax) in [
            ("a/b.sh", "", Syntax::Shell),
            ("run", "#!/usr/bin/env bash\n", Syntax::Shell),
            ("run", "#!/usr/bin/env python3\n", Syntax::Code),
            ("Makefile", "", Syntax::Make),
            ("docker/Dockerfile.prod", "", Syntax::Docker),
            (".github/workflows/ci.yml", "", Syntax::Yaml),
            ("package.json", "", Syntax::Json),
            ("README.md", "", Syntax::Prose),
            ("LICENSE", "", Syntax::Prose),
            ("src/main.rs", "", Syntax::Code),
        ] {
            assert_eq!(of(path, text).syntax, syntax, "{path}");
        }
    }

    #[test]
    fn tests_are_known_by_path() {
        for path in [
            "tests/a.rs",
            "src/test_x.py",
            "pkg/x_test.go",
            "a.test.ts",
            "a.spec.jsx",
            "src/test/java/FooTest.java",
            "FooTests.cs",
            "spec/x_spec.rb",
            "__tests__/x.js",
        ] {
            assert!(of(path, "").is_test(), "{path}");
        }
        for path in ["src/a.rs", "src/contest.py", "latest.js", "src/attest/x.rs", "test.sh"] {
            assert!(!of(path, "").is_test(), "{path}");
        }
    }
}
