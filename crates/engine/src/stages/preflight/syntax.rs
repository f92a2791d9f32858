//! What a line for `sh -c` says in the syntax of bash, and what `sh` makes of it.
//!
//! Quotes, comments and here-documents are passed over. Whether the machine's `sh` knows a
//! construct is not guessed: a line that needs it is tried, once.

use std::process::{Command, Stdio};

use greenloop_config::program::ProgramFault;

use super::line::{SHELLS, base_name};

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
    // Who asks the shell for `pipefail` goes on without it.
    let asked = |construct: &Construct| shell.asks_for_pipefail && construct.name == PIPEFAIL.name;
    let mut needed = shell.constructs.into_iter().filter(|construct| !asked(construct));
    let unknown = needed.find(|construct| !knows(construct.probe))?;
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
    /// A subshell is there only to try `set -o pipefail`.
    asks_for_pipefail: bool,
    /// Whether the last command is part of a pipeline that began before it.
    in_pipe: bool,
    /// Whether a pipeline ends in a program that passes, whatever is piped into it.
    ends_in_filter: bool,
    /// Brackets of subshells that are open.
    depth: usize,
    /// Whether no command stands between the last bracket and what comes.
    at_bracket: Option<char>,
    /// Lines for `sh -c`, and whether an option makes the shell pass on the status of a pipe.
    scripts: Vec<(String, bool)>,
    negated: bool,
    /// The text before the last command.
    operator: &'static str,
    /// The words of the last command.
    command: Vec<String>,
}

impl Scanned {
    /// Another command begins.
    fn begin(&mut self, operator: &'static str) {
        self.at_bracket = None;
        if operator == "|" {
            self.in_pipe = true;
        } else {
            self.end_pipeline();
        }
        // An empty line, or a `;` at the end, begins none.
        if !self.command.is_empty() {
            self.operator = operator;
        }
    }

    fn end_pipeline(&mut self) {
        self.ends_in_filter |= std::mem::take(&mut self.in_pipe) && is_filter(&self.command);
    }

    fn close_bracket(&mut self) {
        // That of a pattern of `case`: what stood before it was no pipe.
        if self.depth == 0 {
            self.in_pipe = false;
        }
        self.depth = self.depth.saturating_sub(1);
        let tries = self.command.first().is_some_and(|first| first == "set");
        if self.at_bracket == Some('(') && tries && self.command.iter().any(|w| w == "pipefail") {
            self.asks_for_pipefail = true;
        }
        self.at_bracket = Some(')');
    }
}

/// Programs that pass whatever they are given.
const FILTERS: [&str; 21] = [
    "tee", "cat", "tac", "head", "tail", "grep", "egrep", "fgrep", "sed", "awk", "sort", "uniq",
    "cut", "tr", "wc", "nl", "fold", "fmt", "column", "less", "ts",
];

fn is_filter(command: &[String]) -> bool {
    let Some((program, options)) = command.split_first() else { return false };
    // `grep -q` is there for its status.
    let is_quiet = |word: &String| {
        word == "--quiet" || word.starts_with('-') && !word.starts_with("--") && word.contains('q')
    };
    let program = base_name(program);
    FILTERS.contains(&program) && !(program.ends_with("grep") && options.iter().any(is_quiet))
}

/// Whether what follows these words is a line for the shell among them.
fn runs_line(command: &[String]) -> bool {
    let Some((last, before)) = command.split_last() else { return false };
    let is_option = |word: &str| word.starts_with('-') && !word.starts_with("--");
    let Some(shell) = before.iter().rposition(|word| SHELLS.contains(&base_name(word))) else {
        return false;
    };
    let mut named = false;
    let only_options = before[shell + 1..].iter().all(|word| {
        let fits = named || word.starts_with(['-', '+']);
        named = word.starts_with(['-', '+']) && word.ends_with('o');
        fits
    });
    is_option(last) && last.contains('c') && only_options
}

/// The constructs outside quotes, comments and here-documents, in their order.
fn scan(line: &str) -> Scanned {
    let mut found = Scanned::default();
    let mut rest = line;
    // The unquoted part of the word that is read.
    let mut word = String::new();
    // All of it, as a command gets it.
    let mut text = String::new();
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
            commands = end_word(&word, &text, commands, &mut found);
            word.clear();
            text.clear();
            in_word = false;
        }
        if !c.is_whitespace() {
            found.ends_in_background = false;
        }
        match c {
            '\\' => {
                in_word = true;
                word.push('\\');
                text.extend(next.chars().next());
                rest = next.char_indices().nth(1).map_or("", |(at, _)| &next[at..]);
                continue;
            }
            '\'' | '"' | '`' => {
                in_word = true;
                word.push(c);
                // A quote that is never closed is the shell's to report.
                rest = after_quote(next, c);
                let quoted = &next[..next.len() - rest.len()];
                let quoted = quoted.strip_suffix(c).unwrap_or(quoted);
                text.push_str(&if c == '"' { unescaped(quoted) } else { quoted.into() });
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
                commands = true;
                found.begin("|");
            }
            ';' => {
                commands = true;
                found.begin(";");
            }
            '(' => {
                commands = true;
                found.depth += 1;
                found.at_bracket = Some('(');
            }
            ')' => {
                commands = true;
                found.close_bracket();
            }
            ' ' | '\t' | '<' | '>' => {}
            _ => {
                in_word = true;
                word.push(c);
                text.push(c);
            }
        }
        rest = next;
    }
    if in_word {
        end_word(&word, &text, commands, &mut found);
    }
    found.end_pipeline();
    found
}

/// Words after which a command begins.
const LEADING: [&str; 11] =
    ["!", "{", "if", "then", "else", "elif", "while", "until", "do", "time", "command"];

/// Judges a whole word; `text`: with what is quoted in it; `begins`: a command may begin with it.
/// Whether one may begin after it.
fn end_word(word: &str, text: &str, begins: bool, found: &mut Scanned) -> bool {
    if begins {
        // `case x in (a|b) COMMAND`: only a pattern stands directly before a command.
        if found.at_bracket == Some(')') {
            found.in_pipe = false;
            found.at_bracket = None;
        }
        found.command.clear();
        found.negated |= word == "!";
    }
    if begins && (LEADING.contains(&word) || word.split_once('=').is_some_and(is_variable)) {
        return true;
    }
    if runs_line(&found.command) {
        let pipefail = found.command.iter().any(|word| word == "pipefail");
        found.scripts.push((text.to_owned(), pipefail));
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
    hides(line, false, 0)
}

/// `passed_on`: the shell of the line has `pipefail` set; `depth`: how many lines it is nested in.
fn hides(line: &str, passed_on: bool, depth: usize) -> Option<&'static str> {
    const DEEPEST: usize = 4;
    let shell = scan(line);
    let sets = shell.constructs.iter().any(|construct| construct.name == PIPEFAIL.name)
        && (!shell.asks_for_pipefail || knows(PIPEFAIL.probe));
    if shell.negated {
        return None;
    }
    if shell.ends_in_filter && !sets && !passed_on {
        return Some("pipe");
    }
    if depth < DEEPEST {
        let mut scripts = shell.scripts.iter();
        let hidden = scripts.find_map(|(script, option)| hides(script, *option, depth + 1));
        if hidden.is_some() {
            return hidden;
        }
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

/// What double quotes pass on.
fn unescaped(quoted: &str) -> String {
    let mut text = String::new();
    let mut chars = quoted.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = chars.next_if(|next| c == '\\' && "\"\\$`".contains(*next));
        text.push(escaped.unwrap_or(c));
    }
    text
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
            // A pipe passes on the status of its last command, and that may be the one that counts.
            ("git ls-files '*.py' | xargs pytest", None),
            ("git ls-files | grep test_ | xargs pytest", None),
            ("cat cases | python3 -m unittest", None),
            ("pytest 2>&1 | grep -q 'failures=1'", None),
            ("git diff --name-only | wc -l; pytest", Some("pipe")),
            ("pytest | (tee o)", Some("pipe")),
            ("(pytest | tee o) && make", Some("pipe")),
            ("pytest | LC_ALL=C /usr/bin/tail -5", Some("pipe")),
            // Patterns of `case`.
            ("case $CI in true|1) pytest;; esac", None),
            ("case $CI in (true|1) cat x;; tee|cat)\n cat y;; esac; pytest", None),
            ("case $CI in true|1) pytest | tee o;; esac", Some("pipe")),
            // A line in the line.
            ("bash -c 'pytest | tee o'", Some("pipe")),
            ("sh -ec \"cd a && pytest \\\"\\$X\\\" $Y | tail -5\"", Some("pipe")),
            ("docker run x /bin/sh -c 'pytest || true' && make", Some("command after `||`")),
            ("env A=1 bash -c \"bash -c 'pytest | cat'\"", Some("pipe")),
            ("bash -c 'set -o pipefail; pytest | tee o'", None),
            ("bash -o pipefail -c 'pytest | tee o'", None),
            ("bash -euo pipefail -c 'pytest | tee o'", None),
            ("bash -c 'git ls-files | xargs pytest'", None),
            ("python3 -c 'a | tee'", None),
            ("bash run.sh -c 'a | tee'", None),
        ] {
            assert_eq!(hides_status(line), expect, "{line:?}");
        }
    }

    /// What tries whether the shell has `pipefail` works in any.
    #[test]
    fn a_line_that_asks_the_shell_for_pipefail_is_no_fault() {
        for (line, expect) in [
            ("(set -o pipefail) 2>/dev/null && set -o pipefail; true | true", true),
            ("if (set -euo pipefail 2>/dev/null); then set -o pipefail; fi; true", true),
            ("( set -o pipefail; true | true )", false),
            ("set -o pipefail; true", false),
            ("set -o pipefail || true", false),
            ("(true) && set -o pipefail", false),
        ] {
            assert_eq!(scan(line).asks_for_pipefail, expect, "{line:?}");
            let passes = Command::new("sh").args(["-c", line]).status().unwrap().success();
            assert_eq!(fault(line).is_none(), passes, "{line:?}");
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
