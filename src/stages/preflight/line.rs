//! The program that a line for `sh -c` begins with, as far as that is certain without a shell.

/// A program, and the folder that the line changes to before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FirstProgram {
    /// As it is written, without quotes: `cargo`, `scripts/test.sh`.
    pub(super) word: String,
    /// Relative to where the line runs, when it begins with `cd FOLDER &&`.
    pub(super) folder: Option<String>,
    /// The script that a shell is to run, when it is named by its path: `sh scripts/test.sh`.
    pub(super) script: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `plain`: nothing of it was quoted or escaped.
    Word { text: String, plain: bool },
    /// `&&`, `;`, a line's end, …
    Operator(&'static str),
    /// What only a shell knows: a variable, a pattern, a substitution.
    Uncertain,
}

/// Programs whose first argument, unless it is an option, is a script.
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "zsh", "ksh"];

/// Words that begin a command of many parts.
const KEYWORDS: [&str; 14] = [
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "{",
    "[[",
];

/// Commands of the shell itself that change nothing which a later command is found by.
const HARMLESS: [&str; 9] =
    ["set", "export", "umask", "ulimit", "true", ":", "echo", "printf", "test"];

/// Other commands of the shell itself: what follows them may be found in another way.
const BUILTINS: [&str; 31] = [
    ".", "source", "eval", "alias", "unalias", "trap", "shift", "read", "return", "exit", "break",
    "continue", "wait", "jobs", "fg", "bg", "kill", "type", "hash", "getopts", "local", "readonly",
    "declare", "typeset", "let", "unset", "times", "false", "pwd", "[", "time",
];

/// `None` when it is not certain: the line begins with a command of the shell itself, or with what
/// only a shell can work out.
pub(super) fn first_program(line: &str) -> Option<FirstProgram> {
    let tokens = tokens(line);
    let mut folder: Option<String> = None;
    let mut at = 0;
    loop {
        let (text, plain) = match tokens.get(at)? {
            Token::Word { text, plain } => (text.as_str(), *plain),
            Token::Operator(_) | Token::Uncertain => return None,
        };
        let next = tokens.get(at + 1);
        if plain && matches!(text, "!" | "exec" | "command") {
            at += 1;
            continue;
        }
        if let Some((name, _)) = text.split_once('=').filter(|(name, _)| is_name(name)) {
            if name == "PATH" {
                return None;
            }
            at += 1;
            continue;
        }
        if plain && (KEYWORDS.contains(&text) || BUILTINS.contains(&text)) {
            return None;
        }
        if next == Some(&Token::Operator("(")) || text.starts_with('-') {
            return None;
        }
        if text == "cd" {
            let Some(Token::Word { text: to, .. }) = next else { return None };
            let goes_on = matches!(tokens.get(at + 2), Some(Token::Operator("&&" | ";" | "\n")));
            if !goes_on || to.starts_with('-') {
                return None;
            }
            folder = Some(match folder {
                Some(folder) => format!("{folder}/{to}"),
                None => to.clone(),
            });
            at += 3;
            continue;
        }
        if HARMLESS.contains(&text) {
            let rest = &tokens[at..];
            let end = rest.iter().position(|token| matches!(token, Token::Operator(_)))?;
            let certain = rest[..end].iter().all(|token| match token {
                Token::Word { text, .. } => !text.starts_with("PATH"),
                Token::Operator(_) | Token::Uncertain => false,
            });
            if !certain || !matches!(rest[end], Token::Operator("&&" | ";" | "\n")) {
                return None;
            }
            at += end + 1;
            continue;
        }
        let script = match next {
            // A name without a slash may also be found on the PATH.
            Some(Token::Word { text: script, .. })
                if SHELLS.contains(&base_name(text)) && script.contains('/') =>
            {
                (!script.starts_with('-')).then(|| script.clone())
            }
            Some(Token::Word { .. } | Token::Operator(_) | Token::Uncertain) | None => None,
        };
        return Some(FirstProgram { word: text.to_owned(), folder, script });
    }
}

/// Whether the line itself reads its input into a variable, and nothing gives it any.
pub(super) fn reads_input(line: &str) -> bool {
    let tokens = tokens(line);
    let begins = |at: usize| match at.checked_sub(1).and_then(|before| tokens.get(before)) {
        None => true,
        Some(Token::Operator(operator)) => matches!(*operator, "&&" | "||" | ";" | "\n" | "("),
        Some(Token::Word { .. } | Token::Uncertain) => false,
    };
    let given = tokens.iter().any(|token| matches!(token, Token::Operator("<" | "|")));
    let reads = |(at, token): (usize, &Token)| match token {
        Token::Word { text, plain: true } => text == "read" && begins(at),
        Token::Word { .. } | Token::Operator(_) | Token::Uncertain => false,
    };
    !given && tokens.iter().enumerate().any(reads)
}

fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The line's tokens up to the first that is uncertain.
fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(&c) = chars.peek() {
        let operator = match c {
            ' ' | '\t' => {
                chars.next();
                continue;
            }
            '#' => {
                while chars.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            '&' => Some(("&", "&&")),
            '|' => Some(("|", "||")),
            ';' => Some((";", ";;")),
            '\n' => Some(("\n", "")),
            '(' => Some(("(", "")),
            ')' => Some((")", "")),
            '<' => Some(("<", "")),
            '>' => Some((">", "")),
            _ => None,
        };
        if let Some((one, two)) = operator {
            chars.next();
            let twice = !two.is_empty() && chars.next_if_eq(&c).is_some();
            // A line that begins with its end begins on the next.
            if !(tokens.is_empty() && one == "\n") {
                tokens.push(Token::Operator(if twice { two } else { one }));
            }
            continue;
        }
        let token = word(&mut chars);
        let uncertain = token == Token::Uncertain;
        tokens.push(token);
        if uncertain {
            break;
        }
    }
    tokens
}

fn word(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Token {
    let mut text = String::new();
    let mut plain = true;
    while let Some(&c) = chars.peek() {
        match c {
            ' ' | '\t' | '\n' | '&' | '|' | ';' | '(' | ')' | '<' | '>' => break,
            '$' | '`' | '*' | '?' | '~' => return Token::Uncertain,
            '[' if !text.is_empty() => return Token::Uncertain,
            '{' if chars.clone().nth(1).is_some_and(|c| !c.is_whitespace()) => {
                return Token::Uncertain;
            }
            '\\' => {
                chars.next();
                plain = false;
                match chars.next() {
                    Some('\n') => {}
                    Some(escaped) => text.push(escaped),
                    None => return Token::Uncertain,
                }
            }
            '\'' => {
                chars.next();
                plain = false;
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(quoted) => text.push(quoted),
                        None => return Token::Uncertain,
                    }
                }
            }
            '"' => {
                chars.next();
                plain = false;
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('$' | '`') | None => return Token::Uncertain,
                        Some('\\') => match chars.next() {
                            Some(escaped @ ('"' | '\\' | '$' | '`')) => text.push(escaped),
                            Some(other) => text.extend(['\\', other]),
                            None => return Token::Uncertain,
                        },
                        Some(quoted) => text.push(quoted),
                    }
                }
            }
            _ => {
                chars.next();
                text.push(c);
            }
        }
    }
    Token::Word { text, plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_program_is_found_where_it_is_certain() {
        for (line, expect) in [
            ("cargo test", Some(("cargo", None))),
            ("  ./check.sh", Some(("./check.sh", None))),
            ("! grep -n teh page.txt", Some(("grep", None))),
            ("RUST_LOG=info CI=1 cargo test", Some(("cargo", None))),
            ("cd web && npm ci", Some(("npm", Some("web")))),
            ("cd web; cd app\nnpm ci", Some(("npm", Some("web/app")))),
            ("cd 'my app' && npm ci", Some(("npm", Some("my app")))),
            ("set -eu; make", Some(("make", None))),
            ("export CI=1 && make", Some(("make", None))),
            ("exec \"a b\" c", Some(("a b", None))),
            ("make | tee log", Some(("make", None))),
            ("make >log 2>&1", Some(("make", None))),
            ("# what it does\nmake", Some(("make", None))),
            ("env CI=1 make", Some(("env", None))),
            ("[ -f x ] && make", None),
            ("if true; then make; fi", None),
            ("for f in a b; do make $f; done", None),
            ("{ make; }", None),
            ("(cd web && npm ci)", None),
            ("$TOOL x", None),
            ("`which make`", None),
            ("~/bin/x", None),
            ("bin/* x", None),
            ("cd $DIR && make", None),
            ("cd - && make", None),
            ("cd web || make", None),
            ("PATH=$PWD/bin:$PATH tool", None),
            ("export PATH=bin && tool", None),
            ("echo $X && make", None),
            (". ./env.sh && tool", None),
            ("build() { make; }; build", None),
            ("<in cat", None),
            ("'unfinished", None),
            ("exit 3", None),
            ("", None),
        ] {
            let found = first_program(line);
            let found = found.as_ref().map(|f| (f.word.as_str(), f.folder.as_deref()));
            assert_eq!(found, expect, "{line:?}");
        }
    }

    #[test]
    fn the_script_of_a_shell_is_found_where_it_is_certain() {
        for (line, expect) in [
            ("sh scripts/test.sh -v", Some("scripts/test.sh")),
            ("cd web && /bin/bash './a b.sh'", Some("./a b.sh")),
            ("sh test.sh", None),
            ("sh -e scripts/test.sh", None),
            ("sh -c 'scripts/test.sh'", None),
            ("sh $SCRIPTS/test.sh", None),
            ("python3 scripts/test.py", None),
            ("sh", None),
        ] {
            let found = first_program(line).and_then(|found| found.script);
            assert_eq!(found.as_deref(), expect, "{line:?}");
        }
    }

    #[test]
    fn a_line_that_asks_is_told_from_one_that_is_given_something() {
        for (line, expect) in [
            ("read answer && test \"$answer\" = y", true),
            ("echo sure; read -r answer", true),
            ("read answer <answers", false),
            ("echo y | { read answer; }", false),
            ("git ls-files | while read f; do cat $f; done", false),
            ("cargo read", false),
            ("echo 'read'", false),
        ] {
            assert_eq!(reads_input(line), expect, "{line:?}");
        }
    }
}
