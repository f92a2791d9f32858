//! Configured words that a parser sees through: a command that removes only what a build makes
//! again, a statement that deletes the rows it is told.

use std::sync::LazyLock;

use regex::Regex;

use super::destructive::{destroys, removes_outputs};
use super::shell::commands;
use super::syntax::{SourceFile, Syntax};

/// How many lines a statement is followed for.
const MAX_LINES: usize = 12;

/// Whether the word at `line` (0-based) stands in something that destroys nothing.
pub(super) fn is_harmless(file: &SourceFile, text: &str, line: usize, word: &str) -> bool {
    let first = word.split_whitespace().next().unwrap_or_default();
    if first.eq_ignore_ascii_case("delete") {
        return deletes_named_rows(text, line);
    }
    match file.syntax {
        Syntax::Shell | Syntax::Make | Syntax::Docker if first == "rm" => {
            removes_harmlessly(text, line, file.syntax == Syntax::Make)
        }
        Syntax::Shell
        | Syntax::Make
        | Syntax::Docker
        | Syntax::Yaml
        | Syntax::Json
        | Syntax::Sql
        | Syntax::Prose
        | Syntax::Code => false,
    }
}

/// Whether the shell sees each `rm` of the line, and none destroys anything; in a file that
/// `makes`, its outputs may go. What the shell cannot see is not harmless.
fn removes_harmlessly(text: &str, line: usize, makes: bool) -> bool {
    const PROGRAM: &str = "rm";
    let Some(line) = text.lines().nth(line) else { return false };
    let line = line.trim_start_matches(['\t', ' ', '@', '-', '+']);
    let line = line.strip_prefix("RUN ").unwrap_or(line);
    let found = commands(line);
    let named: Vec<_> = found.iter().filter(|command| command.program() == PROGRAM).collect();
    let spelt = line.match_indices(PROGRAM).count();
    named.len() == spelt
        && !named.is_empty()
        && named
            .iter()
            .all(|command| destroys(command, None).is_none() || (makes && removes_outputs(command)))
}

/// `DELETE FROM t WHERE key = ?`: a column compared with a value that is handed in.
fn deletes_named_rows(text: &str, line: usize) -> bool {
    static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"(?is)^.*?\bdelete\s+from\s+[\w.`\x22\[\]]+\s+where\s+[\w.`\x22\[\]]+\s*(=|in\b|<=?|>=?)\s*\(?\s*(\?|%s|%\(\w+\)s|\$\d+|:\w+|@\w+)",
        )
        .ok()
    });
    let rest: String = text.lines().skip(line).take(MAX_LINES).collect::<Vec<_>>().join("\n");
    let count = rest.lines().next().unwrap_or_default().to_lowercase().matches("delete").count();
    count <= 1
        && NAMED.as_ref().is_some_and(|named| named.is_match(&rest))
        && !rest.lines().next().unwrap_or_default().to_lowercase().contains(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::RepoPath;

    fn harmless(path: &str, line: &str, word: &str) -> bool {
        let file = SourceFile::new(&RepoPath::new(path).expect("a path"), b"");
        is_harmless(&file, line, 0, word)
    }

    #[test]
    fn what_a_parser_sees_decides() {
        for (path, line, word, expect) in [
            ("Makefile", "\trm -rf build dist *.o", "rm -rf", true),
            ("Makefile", "\trm -rf $(OUT)", "rm -rf", false),
            ("Dockerfile", "RUN apt-get update && rm -rf /var/lib/apt/lists/*", "rm -rf", true),
            ("a.sh", "rm -rf \"$DATA\"", "rm -rf", false),
            ("a.sh", "rm -rf build; rm -rf /srv", "rm -rf", false),
            ("a.sh", "x=\"rm -rf\"; $x /srv", "rm -rf", false),
            ("a.py", "db.execute(\"DELETE FROM s WHERE key = ?\", (key,))", "DELETE FROM", true),
            ("a.py", "db.execute(\"DELETE FROM s\")", "DELETE FROM", false),
            ("a.py", "db.execute(\"DELETE FROM s WHERE 1=1\")", "DELETE FROM", false),
            ("a.py", "db.execute(\"DELETE FROM s WHERE a = ? OR 1=1\", x)", "DELETE FROM", false),
        ] {
            assert_eq!(harmless(path, line, word), expect, "{path}: {line}");
        }
    }
}
