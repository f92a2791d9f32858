//! What a line for `sh -c` says in the syntax of bash, and what `sh` makes of it.
//!
//! Quotes, comments and here-documents are passed over. Whether the machine's `sh` knows a
//! construct is not guessed: a line that needs it is tried, once.

use std::process::{Command, Stdio};

use greenloop_config::program::ProgramFault;

/// A construct of bash.
struct Construct {
    name: &'static str,
    /// What `sh` makes of it.
    what: &'static str,
    instead: &'static str,
    /// A line that ends with 0 only in a shell that knows it.
    probe: &'static str,
}

const WITH_BASH: &str = "run the line with bash: bash -c '…'";

const BOTH_STREAMS: Construct = Construct {
    name: "&>",
    what: "`&>` is syntax of bash: `sh` runs what stands before it in the background, and its exit status is lost",
    instead: "write `> FILE 2>&1`",
    probe: "! { false &>/dev/null; }",
};
const PIPED_STREAMS: Construct = Construct {
    name: "|&",
    what: "`|&` is syntax of bash, which `sh` does not have",
    instead: "write `2>&1 |`",
    probe: "true |& true",
};
const TEST: Construct = Construct {
    name: "[[",
    what: "`[[` is a command of bash, which `sh` does not have",
    instead: "write `[ … ]`, or run the line with bash: bash -c '…'",
    probe: "[[ a == a ]]",
};
const PIPEFAIL: Construct = Construct {
    name: "pipefail",
    what: "`pipefail` is an option of bash, which this `sh` does not have",
    instead: WITH_BASH,
    probe: "set -o pipefail",
};
const ARRAY: Construct = Construct {
    name: "=(",
    what: "`NAME=(…)` is an array of bash, which `sh` does not have",
    instead: WITH_BASH,
    probe: "x=(a b); test \"${#x[@]}\" = 2",
};
const SUBSTITUTION: Construct = Construct {
    name: "<(",
    what: "`<(…)` is syntax of bash, which `sh` does not have",
    instead: WITH_BASH,
    probe: "cat <(true)",
};
const HERE_STRING: Construct = Construct {
    name: "<<<",
    what: "`<<<` is syntax of bash, which `sh` does not have",
    instead: "pipe the text in: printf '%s\\n' TEXT | COMMAND",
    probe: "cat <<<x",
};
const RANGE: Construct = Construct {
    name: "{a..b}",
    what: "`{a..b}` is syntax of bash: `sh` passes it on as it is written",
    instead: "write the words out, use `seq`, or run the line with bash: bash -c '…'",
    probe: "test \"$(echo {1..2})\" = '1 2'",
};

/// What makes `sh` read the line otherwise than it is meant.
pub(super) fn fault(line: &str) -> Option<ProgramFault> {
    let shell = scan(line);
    if shell.ends_in_background {
        return Some(ProgramFault::ShellSyntax {
            what: "the line ends in `&`: it runs in the background and passes, whatever comes of it",
            instead: "remove the `&`, or wait for the command and return its status: \
                      COMMAND & PID=$!; …; wait $PID",
        });
    }
    let unknown = shell.constructs.into_iter().find(|construct| !knows(construct.probe))?;
    Some(ProgramFault::ShellSyntax { what: unknown.what, instead: unknown.instead })
}

/// Whether `sh` runs this line of ours as bash does.
fn knows(probe: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", probe]);
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // A missing `sh` is reported when the gate runs.
    shell.status().is_ok_and(|status| status.success()) || !has_shell()
}

fn has_shell() -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", ":"]).stdin(Stdio::null());
    shell.status().is_ok_and(|status| status.success())
}

#[derive(Default)]
struct Scanned {
    constructs: Vec<&'static Construct>,
    ends_in_background: bool,
    /// Whether the output of one command is the input of another.
    has_pipe: bool,
    negated: bool,
    /// The text before the last command.
    operator: &'static str,
    /// The words of the last command.
    command: Vec<String>,
}

impl Scanned {
    /// Another command begins.
    fn begin(&mut self, operator: &'static str) {
        // An empty line, or a `;` at the end, begins none.
        if !self.command.is_empty() {
            self.operator = operator;
        }
    }
}

/// The constructs outside quotes, comments and here-documents, in their order.
fn scan(line: &str) -> Scanned {
    let mut found = Scanned::default();
    let mut rest = line;
    // The unquoted part of the word that is read.
    let mut word = String::new();
    let mut in_word = false;
    let mut commands = true;
    let mut here_documents: Vec<(String, bool)> = Vec::new();
    while let Some(c) = rest.chars().next() {
        let next = &rest[c.len_utf8()..];
        if !in_word && c == '#' {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
            continue;
        }
        let is_end = matches!(c, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')');
        if is_end && in_word {
            // `a=(`: the word is not over for bash.
            if c == '(' && is_assignment(&word) {
                found.constructs.push(&ARRAY);
            }
            commands = end_word(&word, commands, &mut found);
            word.clear();
            in_word = false;
        }
        if !c.is_whitespace() {
            found.ends_in_background = false;
        }
        match c {
            '\\' => {
                in_word = true;
                word.push('\\');
                rest = next.char_indices().nth(1).map_or("", |(at, _)| &next[at..]);
                continue;
            }
            '\'' | '"' | '`' => {
                in_word = true;
                word.push(c);
                // A quote that is never closed is the shell's to report.
                rest = after_quote(next, c);
                continue;
            }
            '$' if next.starts_with('(') || next.starts_with('{') => {
                in_word = true;
                word.push('$');
                rest = after_brackets(next);
                continue;
            }
            '&' if next.starts_with('&') => {
                commands = true;
                found.begin("&&");
                rest = &next[1..];
                continue;
            }
            '&' if next.starts_with('>') => {
                found.constructs.push(&BOTH_STREAMS);
                rest = next.trim_start_matches('>');
                continue;
            }
            '&' => {
                found.ends_in_background = true;
                commands = true;
                found.begin("&");
            }
            '|' if next.starts_with('&') => {
                found.constructs.push(&PIPED_STREAMS);
                found.has_pipe = true;
                commands = true;
                found.begin("|");
                rest = &next[1..];
                continue;
            }
            '|' if next.starts_with('|') => {
                commands = true;
                found.begin("||");
                rest = &next[1..];
                continue;
            }
            '<' if next.starts_with("<<") => {
                found.constructs.push(&HERE_STRING);
                rest = &next[2..];
                continue;
            }
            '<' if next.starts_with('<') => {
                let (document, after) = here_document(&next[1..]);
                here_documents.push(document);
                rest = after;
                continue;
            }
            '<' | '>' if next.starts_with('(') => found.constructs.push(&SUBSTITUTION),
            // `2>&1`: this `&` is no operator.
            '<' | '>' if next.starts_with('&') || next.starts_with('>') => {
                rest = &next[1..];
                continue;
            }
            '\n' => {
                commands = true;
                found.begin(";");
                rest = after_documents(next, &std::mem::take(&mut here_documents));
                continue;
            }
            '|' => {
                found.has_pipe = true;
                commands = true;
                found.begin("|");
            }
            ';' => {
                commands = true;
                found.begin(";");
            }
            '(' | ')' => commands = true,
            ' ' | '\t' | '<' | '>' => {}
            _ => {
                in_word = true;
                word.push(c);
            }
        }
        rest = next;
    }
    if in_word {
        end_word(&word, commands, &mut found);
    }
    found
}

/// Words after which a command begins.
const LEADING: [&str; 11] =
    ["!", "{", "if", "then", "else", "elif", "while", "until", "do", "time", "command"];

/// Judges a whole word; `begins`: a command may begin with it. Whether one may begin after it.
fn end_word(word: &str, begins: bool, found: &mut Scanned) -> bool {
    if begins {
        found.command.clear();
        found.negated |= word == "!";
    }
    if begins && (LEADING.contains(&word) || word.split_once('=').is_some_and(is_variable)) {
        return true;
    }
    found.command.push(word.to_owned());
    if word == "[[" && begins {
        found.constructs.push(&TEST);
    } else if word == "pipefail" && found.command.first().is_some_and(|first| first == "set") {
        found.constructs.push(&PIPEFAIL);
    } else if has_range(word) {
        found.constructs.push(&RANGE);
    }
    false
}

fn is_variable((name, _): (&str, &str)) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What in the line keeps the exit status of an earlier command from being the line's, when it is
/// known: said so that `the … hides it` is a sentence.
pub(super) fn hides_status(line: &str) -> Option<&'static str> {
    let shell = scan(line);
    let pipefail = shell.constructs.iter().any(|construct| construct.name == PIPEFAIL.name);
    if shell.negated {
        return None;
    }
    if shell.has_pipe && !pipefail {
        return Some("pipe");
    }
    let words: Vec<&str> = shell.command.iter().map(String::as_str).collect();
    let always_passes =
        matches!(words.as_slice(), ["true" | ":" | "echo" | "printf", ..] | ["exit", "0"]);
    match shell.operator {
        "||" if always_passes => Some("command after `||`"),
        ";" if always_passes => Some("last command of the line"),
        _ => None,
    }
}

/// `{1..9}` or `{a..f}` within a word.
fn has_range(word: &str) -> bool {
    let is_end = |end: &str| {
        let number = end.strip_prefix('-').unwrap_or(end);
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
            || end.len() == 1 && end.bytes().all(|b| b.is_ascii_alphabetic())
    };
    word.split('{').skip(1).any(|rest| {
        rest.split_once('}')
            .and_then(|(inside, _)| inside.split_once(".."))
            .is_some_and(|(from, to)| is_end(from) && is_end(to.split("..").next().unwrap_or(to)))
    })
}

fn is_assignment(word: &str) -> bool {
    let Some(name) = word.strip_suffix('=') else { return false };
    is_variable((name.strip_suffix('+').unwrap_or(name), ""))
}

/// The rest after the closing quote; `text` begins inside the quotes.
fn after_quote(text: &str, quote: char) -> &str {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return &text[at + c.len_utf8()..];
        }
        if c == '\\' && quote != '\'' {
            chars.next();
        }
    }
    ""
}

/// What follows the brackets that `text` begins with: of `$(…)`, `$((…))` and `${…}`.
fn after_brackets(text: &str) -> &str {
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let next = &rest[c.len_utf8()..];
        match c {
            '\'' | '"' | '`' => {
                rest = after_quote(next, c);
                continue;
            }
            '\\' => {
                rest = next.char_indices().nth(1).map_or("", |(at, _)| &next[at..]);
                continue;
            }
            '(' | '{' => depth += 1,
            ')' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return next;
                }
            }
            _ => {}
        }
        rest = next;
    }
    ""
}

/// The mark that ends a here-document, whether tabs may precede it, and what follows on its
/// first line.
fn here_document(text: &str) -> ((String, bool), &str) {
    let (text, tabs) = match text.strip_prefix('-') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let text = text.trim_start_matches([' ', '\t']);
    let end = text
        .find(|c: char| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '<' | '>' | '(' | ')'))
        .unwrap_or(text.len());
    let mark = text[..end].replace(['\'', '"', '\\'], "");
    ((mark, tabs), &text[end..])
}

/// What follows the here-documents whose text begins here.
fn after_documents<'a>(text: &'a str, documents: &[(String, bool)]) -> &'a str {
    let mut rest = text;
    for (mark, tabs) in documents {
        while !rest.is_empty() {
            let line = rest.lines().next().unwrap_or_default();
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            let line = if *tabs { line.trim_start_matches('\t') } else { line };
            if line == mark {
                break;
            }
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Vec<&'static str> {
        scan(line).constructs.iter().map(|construct| construct.name).collect()
    }

    #[test]
    fn constructs_of_bash_are_found() {
        for (line, expect) in [
            ("python3 -m unittest &> f", "&>"),
            ("make &>>log", "&>"),
            ("make |& tee log", "|&"),
            ("[[ -f x ]] && make", "[["),
            ("make && [[ $A =~ ^b ]]", "[["),
            ("set -euo pipefail; make | tee x", "pipefail"),
            ("set -o pipefail\nmake", "pipefail"),
            ("files=(a b); make", "=("),
            ("files+=(a)", "=("),
            ("diff <(a) <(b)", "<("),
            ("grep x <<< \"$y\"", "<<<"),
            ("for i in {1..3}; do make; done", "{a..b}"),
            ("cat <<END &> f\nx\nEND\n", "&>"),
            ("if ! [[ -f x ]]; then exit 1; fi", "[["),
        ] {
            assert_eq!(names(line).first(), Some(&expect), "{line:?}");
        }
    }

    #[test]
    fn what_sh_reads_as_well_is_passed_over() {
        for line in [
            "make > f 2>&1",
            "make 2>&1 | tee f",
            "make >&2",
            "bash -c 'make &> f; [[ -f x ]]'",
            "bash -c \"set -o pipefail; make | tee x\"",
            "bash <<'END'\nset -o pipefail\nmake &> f\nEND\n",
            "cat <<-END\n\ta &> b\n\tEND\nmake",
            "echo a \\&\\> b",
            "make # &> f",
            "grep '[[' x",
            "echo [[ x",
            "bash -o pipefail -c 'make | tee x'",
            "make pipefail",
            "echo {a,b} ${a..b} 1..2",
            "x=\"$(a | b)\" make",
            "f() { make; }; f",
            "(make && x=1)",
            "case x in (a|b) true;; esac",
            "echo $((1 & 2)) $(a & b)",
            "grep \"a|&b\" x",
            "git diff main..x",
        ] {
            assert_eq!(names(line), Vec::<&str>::new(), "{line:?}");
            assert!(!scan(line).ends_in_background, "{line:?}");
        }
    }

    #[test]
    fn a_line_that_ends_in_the_background_is_told_from_one_that_waits() {
        for (line, expect) in [
            ("make test &", true),
            ("make test & \n", true),
            ("a && b &", true),
            ("make test & # later", true),
            ("cmd1 & cmd2; wait", false),
            ("server & sleep 1; make test", false),
            ("make && test", false),
            ("make \\&", false),
            ("echo 'a &'", false),
            ("make 2>&1", false),
        ] {
            assert_eq!(scan(line).ends_in_background, expect, "{line:?}");
            assert_eq!(fault(line).is_some(), expect, "{line:?}");
        }
    }

    #[test]
    fn what_hides_a_status_is_told_from_what_passes_it_on() {
        for (line, expect) in [
            ("python3 -m unittest 2>&1 | tee o", Some("pipe")),
            ("cd a && pytest --x=\"$(f | g)\" | tee o && true", Some("pipe")),
            ("pytest |& tee o", Some("pipe")),
            ("pytest || true", Some("command after `||`")),
            ("pytest || :", Some("command after `||`")),
            ("pytest || exit 0", Some("command after `||`")),
            ("pytest; true", Some("last command of the line")),
            ("pytest\necho done\n", Some("last command of the line")),
            ("pytest", None),
            ("pytest && echo done", None),
            ("pytest || exit 1", None),
            ("pytest || pytest --lf", None),
            ("set -o pipefail; pytest | tee o", None),
            ("! pytest | tee o", None),
            ("pytest -k 'a | b'", None),
            ("pytest \"$(git diff | head)\"", None),
            ("pytest > o 2>&1;", None),
        ] {
            assert_eq!(hides_status(line), expect, "{line:?}");
        }
    }

    #[test]
    fn only_what_the_shell_does_not_know_is_a_fault() {
        for construct in [
            &BOTH_STREAMS,
            &PIPED_STREAMS,
            &TEST,
            &PIPEFAIL,
            &ARRAY,
            &SUBSTITUTION,
            &HERE_STRING,
            &RANGE,
        ] {
            let bash = Command::new("bash").args(["-c", construct.probe]).output().unwrap();
            assert!(bash.status.success(), "{}", construct.name);
        }
        let found = fault("false &> /dev/null");
        let read = Command::new("sh").args(["-c", "false &> /dev/null"]).status().unwrap();
        // Where `sh` is bash, the line fails as it is meant to.
        assert_eq!(found.is_none(), !read.success(), "{found:?}");
        if let Some(found) = found {
            assert!(found.to_string().contains("`&>`"), "{found}");
            assert!(found.remedy().what.contains("2>&1"), "{}", found.remedy().what);
        }
    }
}
