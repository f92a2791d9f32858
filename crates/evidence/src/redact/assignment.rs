//! `password=…` and its kin: told from ordinary code by the value.

use regex::bytes::Captures;

use greenloop_model::names_secret;

pub(super) const NEEDS: &[&str] = &[
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "credential",
    "connection_string",
    "connectionstring",
    "_pat",
    "-pat",
    "_pw",
];

/// What a name has to have in it to speak of a secret, and how it may go on.
macro_rules! word_and_tail {
    () => {
        r#"
    (?P<word> password | passwd | passphrase | pass | pwd | secret (?:[_-]?(?:access)?[_-]?key)? | token
      | (?:api|access|account|shared|private|signing|encryption|auth|storage|master|client|service|license|secret|subscription|deploy|ssh)[_-]?key
      | credentials? | connection[_-]?string | (?-i: (?:[A-Z0-9]+_)+ (?:PAT|PW) ) )
    (?P<tail> (?: [_.-] [a-z0-9_.-]* | (?-i:[A-Z0-9]) [a-z0-9_.-]* )? )
"#
    };
}

/// A name that speaks of a secret, a `=` or `:`, or a command-line flag and a blank, and a
/// value, quoted or not.
pub(super) const PATTERN: &str = concat!(
    "(?ix) (?P<name> --?[a-z0-9_-]*? | [a-z0-9_.\\[\\]-]*? )",
    word_and_tail!(),
    r#"
    (?P<end> ["']? )
    (?P<sep> \s?=>?\s? | :\s? | [\ ] )
    (?: "(?P<dq>[^"\r\n]{3,})" | '(?P<sq>[^'\r\n]{3,})' | (?P<bare>[^\s"'`,;<>\[\]{}()|]{3,}(?:[^\s"'`,;<>\[\]{}|]*[^\s"'`,;<>\[\]{}()|])?) )
"#
);

/// `db_password: hunter2hunter9` up to the end of the line, as a file or a log has it: the value
/// looks like a name, and code goes on after one.
pub(super) const LINE: &str = concat!(
    "(?imx) (?: (?P<start> ^[\\ \\t>-]* ) | [\\ \\t\"'] ) (?P<name> [a-z0-9_.-]*? )",
    word_and_tail!(),
    r#" ["']? \ ?: \  (?P<bare> [a-z_][a-z0-9_]{7,} ) [\ \t]* \r? $"#
);

/// Parts of the names of algorithms and encodings.
const ALGORITHMS: &[&str] = &[
    "sha", "md5", "argon2", "pbkdf2", "bcrypt", "scrypt", "base64", "base32", "aes", "25519",
    "s256",
];

/// Whether what [`LINE`] found is a secret.
pub(super) fn holds_line(captures: &Captures<'_>) -> bool {
    let bytes = |name: &str| captures.name(name).map(|found| found.as_bytes()).unwrap_or_default();
    let compound = !bytes("name").is_empty() || !bytes("tail").is_empty();
    let passes = bytes("word").eq_ignore_ascii_case(b"pass");
    // `unexpected token: …` is prose.
    if !compound && (passes || captures.name("start").is_none()) {
        return false;
    }
    let name = [bytes("name"), bytes("word"), bytes("tail")].concat();
    let value = bytes("bare");
    let lower = value.to_ascii_lowercase();
    let has = |part: &&str| memchr::memmem::find(&lower, part.as_bytes()).is_some();
    let digits = value.split(|b| !b.is_ascii_digit()).filter(|run| !run.is_empty()).count();
    // `Uint8Array` is a type, and has one number in it.
    let least = if value.first().is_some_and(u8::is_ascii_uppercase) { 2 } else { 1 };
    digits >= least
        && names_secret(&String::from_utf8_lossy(&name))
        && !is_placeholder(value)
        && !ALGORITHMS.iter().any(has)
        && !(value.contains(&b'_') && ["password", "token", "secret", "key"].iter().any(has))
}

/// Words that are types, placeholders and grammar rather than secrets.
const WORDS: &[&str] = &[
    "string",
    "str",
    "number",
    "bool",
    "boolean",
    "none",
    "null",
    "nil",
    "undefined",
    "true",
    "false",
    "text",
    "hidden",
    "required",
    "optional",
    "option",
    "type",
    "bytes",
    "object",
    "any",
    "value",
    "password",
    "token",
    "secret",
    "key",
    "input",
    "default",
    "changeme",
    "example",
    "placeholder",
    "self",
    "this",
    "empty",
    "missing",
    "invalid",
    "expired",
    "not",
    "must",
    "too",
    "static",
    "const",
    "new",
    "await",
    "return",
    "user",
    "wrong",
];

/// Whether what the expression found is a secret.
pub(super) fn holds(captures: &Captures<'_>) -> bool {
    let bytes = |name: &str| captures.name(name).map(|found| found.as_bytes()).unwrap_or_default();
    let word = bytes("word").to_ascii_lowercase();
    let separator = bytes("sep");
    let flag = bytes("name").starts_with(b"--");
    let quoted = captures.name("dq").or_else(|| captures.name("sq"));
    // `DB_PASSWORD_PROD` is one, `password_length` and `PASSED` are none: the table knows. So are
    // the names of what passes, unless they look like a variable of that value.
    let alone = word == b"pass" && separator != b"=" && !flag && quoted.is_none();
    if !bytes("tail").is_empty() || word == b"pass" {
        let name = [bytes("name"), bytes("word"), bytes("tail")].concat();
        let several = name.iter().any(|b| matches!(b, b'_' | b'-'));
        if !names_secret(&String::from_utf8_lossy(&name)) || (alone && !several) {
            return false;
        }
    }
    // `token (`, `password is`: a blank separates only a flag from its value.
    if separator == b" " && !flag {
        return false;
    }
    let Some(value) = quoted.or_else(|| captures.name("bare")).map(|found| found.as_bytes()) else {
        return false;
    };
    if is_placeholder(value) {
        return false;
    }
    let alphabetic = value.iter().all(|b| b.is_ascii_alphabetic() || *b == b'_');
    if quoted.is_some() {
        let blank = value.iter().any(u8::is_ascii_whitespace);
        // A parser's `token: "return"` is a word; a password may be one.
        let grammar =
            alphabetic && (word == b"token" || word.ends_with(b"key")) && value.len() < 12;
        return value.len() >= 4 && !blank && !grammar;
    }
    let value = value.strip_suffix(b".").unwrap_or(value);
    let call = value.iter().any(|b| b"(){}$*&".contains(b)) && !separator.ends_with(b"=")
        || value.contains(&b'(');
    if call
        || value.starts_with(b"&")
        || value.starts_with(b"/")
        || value.starts_with(b"=")
        || value.starts_with(b":")
    {
        return false;
    }
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    if digits == value.len() && value.len() < 6 {
        return false;
    }
    // A path of names is code: `args.token`, `self.password`, `user_password`.
    let names = value.split(|b| *b == b'.' || *b == b':').all(|part| {
        part.first().is_none_or(|b| !b.is_ascii_digit())
            && part.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
    });
    let lower = value.to_ascii_lowercase();
    let says_secret = ["password", "token", "secret", "key", "passwd", "credential", "env"]
        .iter()
        .any(|word| memchr::memmem::find(&lower, word.as_bytes()).is_some());
    let tight = separator == b"=" || flag;
    if tight {
        return value.len() >= 4
            && !(names && (says_secret || digits == 0 && value.contains(&b'.')));
    }
    // With blanks around it could be code in any language: only what no name looks like.
    let statement = value.ends_with(b";");
    if names {
        // In capitals it is a variable's name, as in a service's environment.
        let name = [bytes("name"), bytes("word"), bytes("tail")].concat();
        let variable = !name.iter().any(u8::is_ascii_lowercase) && separator.starts_with(b":");
        if variable && value.len() >= 8 && digits > 0 && !statement && !says_secret {
            return true;
        }
        return value.len() >= 16 && digits >= 4 && !statement && !says_secret;
    }
    value.len() >= 8 && digits > 0 && !statement && !says_secret && !value.contains(&b'!')
        || value.len() >= 6
            && digits > 0
            && separator.starts_with(b":")
            && !statement
            && value.iter().all(|b| b.is_ascii_graphic())
            && !value.contains(&b'.')
}

/// `$VAR`, `<your key>`, `***`, `%s`, `[redacted]`, `null`.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let value = value.strip_suffix(b",").or(value.strip_suffix(b";")).unwrap_or(value);
    let lower = value.to_ascii_lowercase();
    value.is_empty()
        || value.first().is_some_and(|first| b"$<%{*[".contains(first))
        || value.starts_with(b"...")
        || value.iter().all(|b| *b == b'x' || *b == b'X' || *b == b'*' || *b == b'.' || *b == b'-')
        || WORDS.iter().any(|word| word.as_bytes() == lower)
        || memchr::memmem::find(value, b"redacted").is_some()
}
