//! The command that a line for `sh -c` begins with, as far as that is certain without a shell.

/// A command, and the folder that the line changes to before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FirstCommand {
    /// As it is written, without quotes: `cargo`, `scripts/test.sh`; also the shell's own: `if`.
    pub(super) word: String,
    /// Relative to where the line runs, when it begins with `cd FOLDER &&`.
    pub(super) folder: Option<String>,
    /// The script that a shell is to run, when it is named by its path: `sh scripts/test.sh`.
    pub(super) script: Option<String>,
    /// Whether the line fails when this cannot be started: nothing negates it, and nothing but
    /// `&&` follows.
    pub(super) decides: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `plain`: nothing of it was quoted or escaped.
    Word { text: String, plain: bool },
    /// `&&`, `;`, a line's end, …
    Operator(&'static str),
    /// `<`, `2>`, `>&`: the next word belongs to it.
    Redirection { input: bool },
    /// A word whose value only a shell knows: a variable, a pattern.
    Uncertain,
    /// What only a shell can tell the end of: a substitution, an open quote. Tokens after it are
    /// a guess.
    Unreadable,
}

/// Programs whose first argument, unless it is an option, is a script.
pub(super) const SHELLS: [&str; 5] = ["sh", "bash", "dash", "zsh", "ksh"];

/// Words of the shell's grammar after which a command begins.
const LEADING: [&str; 12] =
    ["!", "exec", "command", "{", "if", "then", "else", "elif", "while", "until", "do", "time"];

/// Commands of the shell itself that change nothing which a later command is found by.
const HARMLESS: [&str; 8] = ["set", "export", "umask", "ulimit", "true", ":", "echo", "printf"];

/// `None` when it is not certain: the line begins with what only a shell can work out.
pub(super) fn first_command(line: &str) -> Option<FirstCommand> {
    let tokens = tokens(line);
    let mut folder: Option<String> = None;
    let mut negated = false;
    let mut at = 0;
    loop {
        let Token::Word { text, plain } = tokens.get(at)? else { return None };
        let text = text.as_str();
        let next = tokens.get(at + 1);
        if *plain && matches!(text, "!" | "exec" | "command") {
            negated |= text == "!";
            at += 1;
            continue;
        }
        if let Some(name) = assigned(text) {
            if name == "PATH" {
                return None;
            }
            at += 1;
            continue;
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
            let harmless = |token: &&Token| match token {
                Token::Word { text, .. } => !text.starts_with("PATH"),
                Token::Operator(_)
                | Token::Redirection { .. }
                | Token::Uncertain
                | Token::Unreadable => false,
            };
            let length = rest.iter().take_while(harmless).count();
            if !matches!(rest.get(length), Some(Token::Operator("&&" | ";" | "\n"))) {
                return None;
            }
            at += length + 1;
            continue;
        }
        let script = match next {
            // A name without a slash may also be found on the PATH.
            Some(Token::Word { text: script, .. })
                if SHELLS.contains(&base_name(text)) && script.contains('/') =>
            {
                (!script.starts_with('-')).then(|| script.clone())
            }
            Some(_) | None => None,
        };
        let decides = !negated && nothing_follows(&tokens[at..]);
        return Some(FirstCommand { word: text.to_owned(), folder, script, decides });
    }
}

/// Whether these tokens are one command, or several of which each needs the one before.
fn nothing_follows(tokens: &[Token]) -> bool {
    let ends = |token: &Token| matches!(token, Token::Operator(";" | "\n"));
    let length = tokens.iter().rposition(|token| !ends(token)).map_or(0, |last| last + 1);
    tokens[..length].iter().all(|token| match token {
        Token::Word { .. } | Token::Redirection { .. } | Token::Uncertain => true,
        Token::Operator(operator) => *operator == "&&",
        Token::Unreadable => false,
    })
}

/// Whether the line itself reads its input into a variable, and nothing gives it any.
pub(super) fn reads_input(line: &str) -> bool {
    let tokens = tokens(line);
    let given = |token: &Token| {
        let input = Token::Redirection { input: true };
        [input, Token::Operator("|"), Token::Unreadable].contains(token)
    };
    !tokens.iter().any(given) && begins(&tokens, "read")
}

/// Whether `name` is a command of the line, or of a line that is quoted in it.
pub(super) fn runs(line: &str, name: &str) -> bool {
    let tokens = tokens(line);
    let quoted = |token: &Token| match token {
        Token::Word { text, plain: false } => text.contains(' ') && runs(text, name),
        Token::Word { .. }
        | Token::Operator(_)
        | Token::Redirection { .. }
        | Token::Uncertain
        | Token::Unreadable => false,
    };
    begins(&tokens, name) || tokens.iter().any(quoted)
}

/// Whether one of the commands is `name`.
fn begins(tokens: &[Token], name: &str) -> bool {
    let leads = |token: &Token| match token {
        Token::Word { text, plain } => {
            *plain && LEADING.contains(&text.as_str()) || assigned(text).is_some()
        }
        Token::Operator(operator) => *operator != ")",
        Token::Redirection { .. } | Token::Uncertain | Token::Unreadable => false,
    };
    tokens.iter().enumerate().any(|(at, token)| {
        matches!(token, Token::Word { text, .. } if text == name)
            && at.checked_sub(1).is_none_or(|before| leads(&tokens[before]))
    })
}

pub(super) fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// The variable that a word like `CI=1` sets for the command after it.
fn assigned(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(name)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(&c) = chars.peek() {
        let operator = match c {
            ' ' | '\t' => {
                chars.next();
                continue;
            }
            // A line that goes on.
            '\\' if chars.clone().nth(1) == Some('\n') => {
                chars.nth(1);
                continue;
            }
            '#' => {
                while chars.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            '<' | '>' => {
                while chars.next_if(|c| "<>&|-".contains(*c)).is_some() {}
                tokens.push(Token::Redirection { input: c == '<' });
                continue;
            }
            '&' => Some(("&", "&&")),
            '|' => Some(("|", "||")),
            ';' => Some((";", ";;")),
            '\n' => Some(("\n", "")),
            '(' => Some(("(", "")),
            ')' => Some((")", "")),
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
        match word(&mut chars) {
            // The number of what is redirected.
            Token::Word { text, plain: true }
                if text.chars().all(|c| c.is_ascii_digit())
                    && matches!(chars.peek(), Some('<' | '>')) => {}
            token => tokens.push(token),
        }
    }
    tokens
}

/// A word, which is not empty; [`Token::Unreadable`] at what cannot be passed.
fn word(chars: &mut Chars<'_>) -> Token {
    let mut text = String::new();
    let mut plain = true;
    let mut certain = true;
    while let Some(&c) = chars.peek() {
        if matches!(c, ' ' | '\t' | '\n' | '&' | '|' | ';' | '(' | ')' | '<' | '>') {
            break;
        }
        chars.next();
        match c {
            '`' => return Token::Unreadable,
            '$' if matches!(chars.peek(), Some('(' | '{' | '\'')) => return Token::Unreadable,
            '$' | '*' | '?' | '~' => certain = false,
            '[' if !text.is_empty() => certain = false,
            '{' if chars.peek().is_some_and(|c| !c.is_whitespace()) => certain = false,
            '\\' => {
                plain = false;
                match chars.next() {
                    Some('\n') => {}
                    Some(escaped) => text.push(escaped),
                    None => return Token::Unreadable,
                }
            }
            '\'' => {
                plain = false;
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(quoted) => text.push(quoted),
                        None => return Token::Unreadable,
                    }
                }
            }
            '"' => {
                plain = false;
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('`') | None => return Token::Unreadable,
                        Some('$') if matches!(chars.peek(), Some('(' | '{')) => {
                            return Token::Unreadable;
                        }
                        Some('$') => certain = false,
                        Some('\\') => match chars.next() {
                            Some(escaped @ ('"' | '\\' | '$' | '`')) => text.push(escaped),
                            Some('\n') => {}
                            Some(other) => text.extend(['\\', other]),
                            None => return Token::Unreadable,
                        },
                        Some(quoted) => text.push(quoted),
                    }
                }
            }
            _ => text.push(c),
        }
    }
    if certain { Token::Word { text, plain } } else { Token::Uncertain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_command_is_found_where_it_is_certain() {
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
            ("\\\n make", Some(("make", None))),
            ("env CI=1 make", Some(("env", None))),
            ("[ -f x ] && make", Some(("[", None))),
            ("test -f x && make", Some(("test", None))),
            ("if true; then make; fi", Some(("if", None))),
            ("(cd web && npm ci)", None),
            ("$TOOL x", None),
            ("$X make", None),
            ("`which make`", None),
            ("~/bin/x", None),
            ("bin/* x", None),
            ("cd $DIR && make", None),
            ("cd - && make", None),
            ("cd web || make", None),
            ("PATH=$PWD/bin:$PATH tool", None),
            ("export PATH=bin && tool", None),
            ("echo $X && make", None),
            ("echo true >make && sh ./make", None),
            ("exec 2>&1; make", None),
            ("2>/dev/null make", None),
            ("build() { make; }; build", None),
            ("<in cat", None),
            ("'unfinished", None),
            ("", None),
        ] {
            let found = first_command(line);
            let found = found.as_ref().map(|f| (f.word.as_str(), f.folder.as_deref()));
            assert_eq!(found, expect, "{line:?}");
        }
    }

    #[test]
    fn a_command_decides_when_nothing_but_and_follows() {
        for (line, expect) in [
            ("x a b", true),
            ("x a && y | z || true", false),
            ("x && y && z", true),
            ("x \\\n  --long \\\n  option\n", true),
            ("x;\n", true),
            ("x # ; y", true),
            ("x 'a; b' \"c | d\" e\\;f", true),
            ("x >log 2>&1 </dev/null", true),
            ("x >>log 2>&1 && y", true),
            ("x $HOME/* ~ {a,b} \"$X\" && y", true),
            ("exec x", true),
            ("CI=1 command x y", true),
            ("cd a && set -e; x y", true),
            ("! x", false),
            ("cd a && ! x", false),
            ("x || y", false),
            ("x; y", false),
            ("x\ny", false),
            ("x & y", false),
            ("x &", false),
            ("x &>log", false),
            ("x | cat", false),
            ("x 2>&1 | cat", false),
            ("x $HOME | cat", false),
            ("x * || y", false),
            ("x <<END\nEND\n", false),
            ("x <(y)", false),
            ("x \"$(y \"a\")\"", false),
            ("x `y`; z", false),
            ("x ${Y:-;} z", false),
            ("x 'open", false),
        ] {
            assert_eq!(first_command(line).map(|found| found.decides), Some(expect), "{line:?}");
        }
    }

    #[test]
    fn commands_are_told_from_arguments() {
        for (line, expect) in [
            ("jest --ci", true),
            ("npm ci && jest", true),
            ("CI=1 exec jest", true),
            ("if jest; then true; fi", true),
            ("x \"$(date)\"; jest", false),
            ("echo $X | jest", true),
            ("bash -c 'cd web && jest'", true),
            ("npm run jest", false),
            ("make jest", false),
            ("echo 'jest'", false),
        ] {
            assert_eq!(runs(line, "jest"), expect, "{line:?}");
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
            let found = first_command(line).and_then(|found| found.script);
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
            ("while read f; do cat $f; done", true),
            ("while read f; do cat \"$(echo $f)\"; done <list", false),
            ("read answer 2>/dev/null", true),
            ("cargo read", false),
            ("echo 'read'", false),
        ] {
            assert_eq!(reads_input(line), expect, "{line:?}");
        }
    }
}
