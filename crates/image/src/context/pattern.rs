//! One pattern of an ignore file. Docker takes a pattern apart by rules of its own, checks it by
//! those of Go's `filepath.Match`, and matches it by a regular expression; where the three
//! disagree the expression wins, and so it does here.

use std::borrow::Cow;

use regex::Regex;

use super::go_regex::{self, Refusal};

/// A pattern that can be matched.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// Cleaned, without the `!`.
    text: Vec<u8>,
    /// Whether it began with `!`: what it matches is not ignored after all.
    exception: bool,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Exact,
    /// `text**`
    Prefix,
    /// `**text`
    Suffix,
    Regex(Regex),
    /// No expression; an error to whom it is matched.
    Refused(Refusal),
}

impl Pattern {
    /// From a cleaned pattern, without its `!`.
    ///
    /// # Errors
    /// When Docker refuses it at once.
    pub(super) fn new(text: &[u8], exception: bool) -> Result<Self, Refusal> {
        check(text)?;
        let form = form(&as_go_reads(text)).unwrap_or_else(Form::Refused);
        Ok(Self { text: text.to_owned(), exception, form })
    }

    pub(super) fn is_exception(&self) -> bool {
        self.exception
    }

    /// `path` relative to the context, with slashes; its parents are the caller's.
    ///
    /// # Errors
    /// When Docker refuses the pattern, which for some it does no sooner than it needs them.
    pub(super) fn matches(&self, path: &[u8]) -> Result<bool, Refusal> {
        Ok(match &self.form {
            Form::Exact => path == self.text,
            Form::Prefix => {
                self.text.strip_suffix(b"**").is_some_and(|start| path.starts_with(start))
            }
            Form::Suffix => self.text.strip_prefix(b"**").is_some_and(|end| {
                path.ends_with(end) || end.strip_prefix(b"/").is_some_and(|whole| path == whole)
            }),
            Form::Regex(regex) => regex.is_match(&as_go_reads(path)),
            Form::Refused(reason) => return Err(reason),
        })
    }

    /// The text up to a last `/*` and `/**`, when no other wildcard stands in it: then the
    /// pattern matches nothing that does not lie at, above or below that path.
    pub(super) fn fixed_path(&self) -> Option<&[u8]> {
        let text = self.text.strip_suffix(b"/**").unwrap_or(&self.text);
        let text = text.strip_suffix(b"/*").unwrap_or(text);
        (!text.iter().any(|b| b"*[]?^\\".contains(b))).then_some(text)
    }
}

/// Text as Go's loops over characters see it: every byte that is no UTF-8 is one `U+FFFD`.
fn as_go_reads(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut text = String::with_capacity(bytes.len());
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
            }
            Cow::Owned(text)
        }
    }
}

/// How a pattern is to be matched. `*` and `?` stop at slashes, `**` does not, and takes a slash
/// that follows it; a wildcard between brackets is replaced like any other.
fn form(pattern: &str) -> Result<Form, Refusal> {
    #[derive(PartialEq)]
    enum Simple {
        Exact,
        Prefix,
        Suffix,
        No,
    }
    let mut simple = Simple::Exact;
    let mut expression = String::from("^");
    let mut rest = pattern.chars().peekable();
    let mut first = true;
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                if rest.peek().is_some() {
                    expression.push_str("(.*/)?");
                    simple = Simple::No;
                } else if simple == Simple::Exact {
                    simple = Simple::Prefix;
                } else {
                    expression.push_str(".*");
                    simple = Simple::No;
                }
                if first {
                    simple = Simple::Suffix;
                }
            }
            '*' => {
                expression.push_str("[^/]*");
                simple = Simple::No;
            }
            '?' => {
                expression.push_str("[^/]");
                simple = Simple::No;
            }
            // Not `|`, `{` and `}`: Docker means to escape them too, but its table of characters
            // ends before them, so that next to a wildcard they are operators.
            '.' | '+' | '(' | ')' | '$' => {
                expression.push('\\');
                expression.push(c);
            }
            '\\' => {
                expression.push('\\');
                if let Some(next) = rest.next() {
                    expression.push(next);
                    simple = Simple::No;
                }
            }
            '[' | ']' => {
                expression.push(c);
                simple = Simple::No;
            }
            c => expression.push(c),
        }
        first = false;
    }
    Ok(match simple {
        Simple::Exact => Form::Exact,
        Simple::Prefix => Form::Prefix,
        Simple::Suffix => Form::Suffix,
        Simple::No => {
            expression.push('$');
            let regex = Regex::new(&go_regex::translate(&expression)?);
            Form::Regex(regex.map_err(|_| "it is too large")?)
        }
    })
}

/// The syntax of Go's `filepath.Match`: what stands between brackets, and what follows a
/// backslash. It looks no further than to the next star when what stands before that does not
/// match.
fn check(pattern: &[u8]) -> Result<(), Refusal> {
    let mut rest = pattern;
    while let Some(tail) = rest.strip_prefix(b"*") {
        rest = tail;
    }
    while let Some((&b, tail)) = rest.split_first() {
        rest = match b {
            b'*' => return Ok(()),
            b'\\' => tail.split_first().ok_or("it ends with a backslash")?.1,
            b'[' => check_class(tail)?,
            _ => tail,
        };
    }
    Ok(())
}

/// What follows an opening bracket; returns what follows the closing one.
fn check_class(class: &[u8]) -> Result<&[u8], Refusal> {
    let mut rest = class.strip_prefix(b"^").unwrap_or(class);
    let mut ranges = 0;
    loop {
        if let Some(tail) = rest.strip_prefix(b"]")
            && ranges > 0
        {
            return Ok(tail);
        }
        rest = check_single(rest)?;
        if let Some(tail) = rest.strip_prefix(b"-") {
            rest = check_single(tail)?;
        }
        ranges += 1;
    }
}

/// One character between brackets; something must follow it.
fn check_single(text: &[u8]) -> Result<&[u8], Refusal> {
    const OPEN: Refusal = "a bracket is not closed";
    let text = match text {
        [] => return Err(OPEN),
        [b'-' | b']', ..] => return Err("`-` or `]` stands where a character is expected"),
        [b'\\', tail @ ..] => tail,
        all => all,
    };
    let chunk = text.utf8_chunks().next().ok_or(OPEN)?;
    let c = chunk.valid().chars().next().ok_or("it is not UTF-8 between brackets")?;
    match text.get(c.len_utf8()..) {
        Some(rest) if !rest.is_empty() => Ok(rest),
        Some(_) | None => Err(OPEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, path: &str, expect: bool) {
        let pattern = Pattern::new(pattern.as_bytes(), false).unwrap();
        assert_eq!(pattern.matches(path.as_bytes()), Ok(expect), "{pattern:?} on {path:?}");
    }

    /// Parents are not looked at here: `**/dir` alone does not match `dir/file`.
    #[test]
    fn patterns_match_whole_paths() {
        for (pattern, yes, no) in [
            ("**", &["f", "d/f", "d/e/f"][..], &[][..]),
            ("**/**", &["f", "d/f"], &[]),
            ("*", &["f", ".f"], &["d/f"]),
            ("d/**", &["d/f", "d/e/f"], &["d", "dd/f"]),
            ("d**", &["d", "d/f", "dd"], &["e/d"]),
            ("**/d", &["d", "a/d", "a/b/d"], &["xd", "d/f"]),
            ("**f", &["f", "df", "d/f", "d/e/xf"], &["fd"]),
            ("**/d/*", &["d/f", "a/d/f"], &["d", "d/e/f"]),
            ("**/d/**", &["d/f", "a/d/e/f"], &["d"]),
            ("**/*.txt", &["a.txt", "d/a.txt", "d/e/a.txt"], &["a.txt2", "txt"]),
            ("a**/*.txt", &["a/x.txt", "a/b/c/x.txt", "ax.txt"], &["b/x.txt"]),
            ("a/*.txt", &["a/x.txt"], &["a/b/x.txt"]),
            ("a/*.txt**", &["a/x.txt", "a/x.txt.bak", "a/x.txt/b"], &["a/x.tx"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a/xb", "ab"]),
            ("abc?def", &["abcZdef", "abc\u{263a}def"], &["abcdef", "abc/def"]),
            ("a.c", &["a.c"], &["abc"]),
            (".*", &[".f"], &["f"]),
            ("**/.f", &[".f", "d/.f"], &["x.f"]),
            ("a[b-d]e", &["ace"], &["ae", "aae"]),
            ("a[^b-d]e", &["aze", "a/e"], &["ace"]),
            ("[a-ζ]*", &["α"], &["ω"]),
            ("a(b)c/def", &["a(b)c/def"], &["abc/def"]),
            ("a.|)$(}+{bc", &["a.|)$(}+{bc"], &["a"]),
            (r"a\*b", &["a*b"], &["axb", r"a\*b"]),
            (r"a\\", &[r"a\"], &["a"]),
            (r"[\]a]", &["]", "a"], &[r"\"]),
            (r"[\-x]", &["-", "x"], &["a"]),
            // To the expression the star between brackets is `[^/]*` like any other.
            ("a[*]", &["a]", "a[]", "a^/[]"], &["a*"]),
            ("v1.2+g0-py3.whl", &["v1.2+g0-py3.whl"], &["v1x2+g0-py3.whl"]),
            // Only a pattern without wildcards may hold a `^`.
            ("a^b", &["a^b"], &[]),
            ("a^b*", &[], &["a^b"]),
            ("a{2}", &["a{2}"], &["aa"]),
            ("a{2}*", &["aa"], &["a{2}"]),
            ("?|b", &["xyz", "a/b"], &["/a"]),
            ("/", &["/"], &["f"]),
        ] {
            yes.iter().for_each(|path| check(pattern, path, true));
            no.iter().for_each(|path| check(pattern, path, false));
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        for pattern in [
            "[", "[^", "[^bc", "a[", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", r"\", r"a\", r"[a\",
            "*[",
        ] {
            assert!(Pattern::new(pattern.as_bytes(), false).is_err(), "{pattern}");
        }
        assert!(Pattern::new(b"[\xff]", false).is_err());
        for pattern in ["[z-a]", r"\é", "a*[", "a/*/[^", "a*{2}{3}"] {
            let pattern = Pattern::new(pattern.as_bytes(), false).unwrap();
            assert!(pattern.matches(b"a").is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn names_that_are_not_utf8_match_byte_by_byte() {
        let any = Pattern::new(b"a?b", false).unwrap();
        assert_eq!(any.matches(b"a\xffb"), Ok(true));
        assert_eq!(any.matches(b"a\xf0\x9fb"), Ok(false));
        let exact = Pattern::new(b"a\xffb", false).unwrap();
        assert_eq!(exact.matches(b"a\xffb"), Ok(true));
        assert_eq!(exact.matches(b"a\xfeb"), Ok(false));
    }
}
