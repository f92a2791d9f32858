//! The configured words that want a person's confirmation.
//!
//! A word is sought in every reading of the resulting file ([`super::canon`]) and counts when
//! the lines it stands on did not stand together like that before: a word that was there is not
//! new, one that a change puts together from old and new pieces is.
//!
//! What matches:
//! - Case, white space, line ends, comments and string joins never matter between and within
//!   the words of a phrase: `DELETE FROM` is `delete /* x */ from`. A whole word is meant, so
//!   `DROP` is neither `dropdown` nor `raindrop`.
//! - A command's options may be spread, reordered or spelt out (`rm -fr`, `rm -r -f`,
//!   `rm --recursive --force` for `rm -rf`), and other options may stand between its words
//!   (`kubectl -n x delete namespace`).
//! - A single word that is an SQL verb, `DROP`, is also a word of other languages: `drop(guard)`,
//!   `impl Drop for`. As configured, or in a case no language uses (`dRoP`), it always counts; in
//!   lower case or with one capital only before what SQL puts after it (`drop table`), or in an
//!   `.sql` file. Likewise `delete from` with a determiner after it (`delete from the list`) is
//!   prose.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;

use super::PolicyError;
use super::canon::{View, views};
use super::lines::Alignment;

/// Verbs that begin an SQL statement.
const SQL_VERBS: &[&str] = &[
    "alter", "create", "delete", "drop", "exec", "execute", "grant", "insert", "merge", "rename",
    "replace", "revoke", "truncate", "update",
];

/// What follows such a verb in SQL.
const SQL_OBJECTS: &[&str] = &[
    "table",
    "tables",
    "database",
    "schema",
    "view",
    "materialized",
    "index",
    "column",
    "user",
    "role",
    "sequence",
    "function",
    "procedure",
    "trigger",
    "type",
    "constraint",
    "extension",
    "policy",
    "owned",
    "temporary",
    "foreign",
    "domain",
    "tablespace",
    "publication",
    "subscription",
    "partition",
    "keyspace",
    "login",
    "synonym",
    "package",
    "server",
    "event",
    "from",
    "into",
];

/// What follows such a verb in prose.
const DETERMINERS: &[&str] =
    &["the", "this", "that", "these", "those", "its", "our", "your", "their", "each", "every"];

/// Long options of the commands people configure, and their letters.
const LONG_OPTIONS: &[(&str, char)] = &[("--recursive", 'r'), ("--force", 'f'), ("--dir", 'd')];

/// How many words a command is followed for.
const MAX_COMMAND_WORDS: usize = 24;

#[derive(Debug)]
enum Shape {
    /// One word that SQL shares with other languages.
    SqlVerb,
    /// A phrase that begins with an SQL verb.
    SqlPhrase,
    /// One or more words that must follow one another, options between them allowed.
    Command,
}

#[derive(Debug)]
struct ConfiguredWord {
    /// As configured.
    text: String,
    /// Its words, lower case.
    words: Vec<String>,
    shape: Shape,
}

/// The configured words, ready to be sought.
#[derive(Debug)]
pub(super) struct Words {
    entries: Vec<ConfiguredWord>,
    /// Finds the first word of each entry, by the entry's index.
    first_words: AhoCorasick,
}

/// One word found on lines that are new.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MatchedWord {
    /// 0-based line of the resulting file.
    pub line: usize,
    /// Index of the entry.
    entry: usize,
}

impl Words {
    pub(super) fn new(texts: &[String]) -> Result<Self, PolicyError> {
        let mut entries = Vec::with_capacity(texts.len());
        for text in texts {
            let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
            let Some(first) = words.first() else { return Err(PolicyError::EmptyWord) };
            let sql = SQL_VERBS.contains(&first.as_str());
            let shape = match (sql, words.len()) {
                (true, 1) => Shape::SqlVerb,
                (true, _) => Shape::SqlPhrase,
                (false, _) => Shape::Command,
            };
            entries.push(ConfiguredWord { text: text.trim().to_owned(), words, shape });
        }
        let first_words = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(entries.iter().map(|entry| entry.words[0].as_str()))
            .map_err(|source| PolicyError::Words { source: Box::new(source) })?;
        Ok(Self { entries, first_words })
    }

    /// The configured text of what was found.
    pub(super) fn text(&self, found: &MatchedWord) -> &str {
        &self.entries[found.entry].text
    }

    /// Every new word of the resulting file, by line.
    pub(super) fn find(&self, after: &[u8], lines: &Alignment, sql_file: bool) -> Vec<MatchedWord> {
        let mut found = BTreeSet::new();
        if self.entries.is_empty() || lines.hunks().is_empty() {
            return Vec::new();
        }
        views(after, |view| {
            for hit in self.first_words.find_overlapping_iter(&view.text) {
                let index = hit.pattern().as_usize();
                let entry = &self.entries[index];
                if !is_word_start(&view.text, hit.start()) {
                    continue;
                }
                let Some(end) = entry.end(view, hit.start(), hit.end(), sql_file) else {
                    continue;
                };
                let first = view.line(hit.start());
                let last = view.line(end.saturating_sub(1)).max(first);
                if lines.is_new_span(first, last) {
                    let line = (first..=last).find(|line| lines.is_added(*line)).unwrap_or(last);
                    found.insert(MatchedWord { line, entry: index });
                }
            }
        });
        found.into_iter().collect()
    }
}

impl ConfiguredWord {
    /// Where the entry ends, when the view has it with its first word at `start..first_end`.
    fn end(&self, view: &View, start: usize, first_end: usize, sql_file: bool) -> Option<usize> {
        let text = view.text.as_str();
        if !is_word_end(text, first_end) {
            return None;
        }
        let spelt = &text[start..first_end];
        match self.shape {
            Shape::SqlVerb => {
                let odd = !is_lower(spelt) && !is_title(spelt);
                let meant = sql_file || odd || spelt == self.text || {
                    let rest = text[first_end..].strip_prefix([' ', '\n'])?;
                    let next = rest.split(|c: char| !is_word(c)).next().unwrap_or_default();
                    SQL_OBJECTS.iter().any(|object| next.eq_ignore_ascii_case(object))
                };
                meant.then_some(first_end)
            }
            Shape::SqlPhrase => {
                let mut end = first_end;
                for word in &self.words[1..] {
                    let rest = text[end..].strip_prefix([' ', '\n'])?;
                    let candidate = rest.get(..word.len())?;
                    if !candidate.eq_ignore_ascii_case(word) {
                        return None;
                    }
                    end += 1 + word.len();
                    if !is_word_end(text, end) {
                        return None;
                    }
                }
                let whole = &text[start..end];
                let next = text[end..].strip_prefix([' ', '\n']).map(|rest| {
                    rest.split(|c: char| !is_word(c)).next().unwrap_or_default().to_lowercase()
                });
                let prose = (is_lower(whole) || is_title(whole))
                    && !sql_file
                    && next.is_some_and(|next| DETERMINERS.contains(&next.as_str()));
                (!prose).then_some(end)
            }
            Shape::Command => self.command_end(text, first_end),
        }
    }

    /// Follows the words after a command's name until all of the entry's words were there.
    fn command_end(&self, text: &str, first_end: usize) -> Option<usize> {
        let mut wanted = &self.words[1..];
        let mut letters = String::new();
        let mut end = first_end;
        let mut operand_seen = false;
        let mut after_option = false;
        for _ in 0..MAX_COMMAND_WORDS {
            let Some(word) = wanted.first() else { return Some(end) };
            let gap = text[end..].chars().next()?;
            if !gap.is_whitespace() || (gap == '\n' && operand_seen) {
                return None;
            }
            let begin = end + gap.len_utf8();
            let length = text[begin..].find(char::is_whitespace).unwrap_or(text.len() - begin);
            let token = &text[begin..begin + length];
            let bare = token
                .trim_start_matches(['"', '\'', '`', '(', '[', '{'])
                .trim_end_matches(['"', '\'', '`', ',', ')', ']', '}', ';', '|', '&']);
            let last = token.ends_with([';', '|', '&']);
            let offset = token.find(bare).unwrap_or(0);
            end = begin + length;
            let is_option = bare.starts_with('-') && bare.len() > 1;
            if let Some(cluster) = short_cluster(word) {
                if is_option {
                    letters.push_str(&option_letters(bare));
                    if cluster.chars().all(|c| letters.contains(c)) {
                        wanted = &wanted[1..];
                        letters.clear();
                        end = begin + offset + bare.len();
                        if wanted.is_empty() {
                            return Some(end);
                        }
                    }
                } else {
                    operand_seen = true;
                }
            } else if bare.eq_ignore_ascii_case(word) || starts_with_word(bare, word) {
                wanted = &wanted[1..];
                end = begin + offset + word.len();
                if wanted.is_empty() {
                    return Some(end);
                }
                end = begin + length;
                after_option = false;
            } else if is_option {
                after_option = !bare.contains('=');
            } else if after_option {
                // The value of the option before it.
                after_option = false;
            } else {
                return None;
            }
            if last {
                return None;
            }
        }
        None
    }
}

/// The letters of `-rf`; `None` for anything that is not a short option.
fn short_cluster(word: &str) -> Option<&str> {
    let letters = word.strip_prefix('-')?;
    (!letters.is_empty() && letters.chars().all(|c| c.is_ascii_alphabetic())).then_some(letters)
}

/// The letters an option stands for, lower case.
fn option_letters(option: &str) -> String {
    if let Some(letters) = short_cluster(option) {
        return letters.to_ascii_lowercase();
    }
    let name = option.split('=').next().unwrap_or(option);
    LONG_OPTIONS
        .iter()
        .filter(|(long, _)| name.len() > 3 && long.starts_with(&name.to_ascii_lowercase()))
        .map(|(_, letter)| *letter)
        .collect()
}

/// Whether `token` begins with `word` as a whole word.
fn starts_with_word(token: &str, word: &str) -> bool {
    token.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
        && is_word_end(token, word.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_word_start(text: &str, offset: usize) -> bool {
    let first = text[offset..].chars().next();
    !first.is_some_and(is_word) || !text[..offset].chars().next_back().is_some_and(is_word)
}

fn is_word_end(text: &str, offset: usize) -> bool {
    let Some((before, after)) = text.split_at_checked(offset) else { return false };
    !before.chars().next_back().is_some_and(is_word) || !after.chars().next().is_some_and(is_word)
}

fn is_lower(text: &str) -> bool {
    !text.chars().any(char::is_uppercase)
}

fn is_title(text: &str) -> bool {
    text.chars().next().is_some_and(char::is_uppercase)
        && !text.chars().skip(1).any(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        let texts = ["DROP", "DELETE FROM", "rm -rf", "kubectl delete namespace"];
        Words::new(&texts.map(str::to_owned)).expect("valid words")
    }

    fn found(before: &str, after: &str) -> Vec<(usize, String)> {
        let words = words();
        let lines = Alignment::new(Some(before.as_bytes()), Some(after.as_bytes()));
        let found = words.find(after.as_bytes(), &lines, false);
        found.iter().map(|f| (f.line + 1, words.text(f).to_owned())).collect()
    }

    #[test]
    fn words_do_not_hide() {
        for (text, word) in [
            ("DROP", "DROP"),
            ("DrOp it", "DROP"),
            ("drop table users", "DROP"),
            ("drop\n\ttable users", "DROP"),
            ("q = \"drop \" + \"table x\"", "DROP"),
            ("DROP/**/TABLE x", "DROP"),
            ("q = \"DR\" + \"OP TABLE x\"", "DROP"),
            ("q = \"DR\" \\\n  \"OP TABLE x\"", "DROP"),
            ("execute(f\"DR\" f\"OP {x}\")", "DROP"),
            ("Drop Database x", "DROP"),
            ("delete from users", "DELETE FROM"),
            ("DELETE/**/FROM users", "DELETE FROM"),
            ("DELETE /* x */ FROM users", "DELETE FROM"),
            ("DELETE\n\nFROM users", "DELETE FROM"),
            ("DELETE -- why\n FROM users", "DELETE FROM"),
            ("'DELETE ' . 'FROM users'", "DELETE FROM"),
            ("'DEL' || 'ETE FROM users'", "DELETE FROM"),
            ("rm -rf x", "rm -rf"),
            ("RM -RF x", "rm -rf"),
            ("rm  -rf x", "rm -rf"),
            ("rm\t-fr x", "rm -rf"),
            ("rm -r -f x", "rm -rf"),
            ("rm -f -v -R x", "rm -rf"),
            ("rm -rfv x", "rm -rf"),
            ("rm --recursive --force x", "rm -rf"),
            ("rm x -rf", "rm -rf"),
            ("rm \\\n  -rf x", "rm -rf"),
            ("[\"rm\", \"-rf\", x]", "rm -rf"),
            ("['rm', '-r', '-f', x]", "rm -rf"),
            ("'rm' ' -rf'", "rm -rf"),
            ("Command::new(\"rm\").args([\"-rf\", x])", "rm -rf"),
            ("r''m -rf x", "rm -rf"),
            ("\\rm -rf x", "rm -rf"),
            ("rm '-rf' x", "rm -rf"),
            ("/bin/rm -rf x", "rm -rf"),
            ("kubectl delete namespace prod", "kubectl delete namespace"),
            ("kubectl --context prod delete  namespace x", "kubectl delete namespace"),
            ("kubectl -n=x delete namespace/prod", "kubectl delete namespace"),
        ] {
            let found = found("", text);
            assert!(found.iter().any(|(_, w)| w == word), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn ordinary_code_is_left_alone() {
        for text in [
            "drop(guard);",
            "drop (guard);",
            "impl Drop for Guard {",
            "fn drop(&mut self) {",
            "// we drop the connection here",
            "let dropdown = raindrop(backdrop);",
            "df.drop(columns=[1])",
            "a.drop_table_later()",
            "Drop it when done",
            "# delete from the list",
            "delete_from(x)",
            "rm -f x",
            "rm -r x; ls -f",
            "farm -rf",
            "rm x\nls -rf",
            "kubectl delete pod namespace-x",
            "kubectl get namespace",
        ] {
            assert_eq!(found("", text), vec![], "{text:?}");
        }
    }

    #[test]
    fn only_new_words_count() {
        for (before, after, expect) in [
            ("a\nDROP TABLE x;\n", "b\nDROP TABLE x;\n", vec![]),
            ("DROP TABLE x;\n", "DROP TABLE y;\n", vec![1]),
            ("q = \"DR\"\nz = 1\n", "q = \"DR\" +\n \"OP TABLE x\"\n", vec![1]),
            ("q = (\"DR\"\n  f(x)\n\"OP TABLE y\")\n", "q = (\"DR\"\n\"OP TABLE y\")\n", vec![2]),
            ("q = (\"DR\"\n\"x\")\n", "q = (\"DR\"\n\"OP TABLE y\")\n", vec![2]),
            ("DELETE\nx\n", "DELETE\nFROM y\n", vec![2]),
        ] {
            let lines: Vec<usize> = found(before, after).into_iter().map(|(l, _)| l).collect();
            assert_eq!(lines, expect, "{before:?} -> {after:?}");
        }
    }
}
