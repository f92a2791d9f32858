//! Lines that do not run because they stand in a string, a comment, or a part that is left out:
//! a scan of the whole file by its language's marks.

/// What opens and closes parts of several lines in a language.
struct Language {
    extensions: &'static [&'static str],
    /// What the rest of a line is a comment after.
    comments: &'static [&'static str],
    /// Marks around parts of any number of lines; the longer ones first.
    parts: &'static [(&'static str, &'static str)],
    /// Quotes of strings that end with their line.
    quotes: &'static [char],
    /// Lines that begin so open a part until a line that begins with the other.
    regions: &'static [(&'static str, &'static str)],
    /// Lines after which nothing runs.
    ends: &'static [&'static str],
    /// Whether `<<WORD` opens a part until a line with that word.
    heredocs: bool,
    /// The marks of these within which a backslash is one.
    raw: &'static [&'static str],
    /// Whether a slash where a value is expected opens a pattern.
    patterns: bool,
}

const C_COMMENT: (&str, &str) = ("/*", "*/");
const TEXT_BLOCK: (&str, &str) = ("\"\"\"", "\"\"\"");
const POD: &[(&str, &str)] = &[
    ("=begin", "=cut"),
    ("=pod", "=cut"),
    ("=head", "=cut"),
    ("=for", "=cut"),
    ("=over", "=cut"),
    ("=item", "=cut"),
    ("=encoding", "=cut"),
];

const LANGUAGES: &[Language] = &[
    Language {
        extensions: &["py", "pyi"],
        comments: &["#"],
        parts: &[TEXT_BLOCK, ("'''", "'''")],
        quotes: &['"', '\''],
        regions: &[],
        ends: &[],
        heredocs: false,
        raw: &[],
        patterns: false,
    },
    Language {
        extensions: &["js", "jsx", "ts", "tsx", "mjs", "cjs", "mts", "cts", "vue", "svelte"],
        comments: &["//"],
        parts: &[C_COMMENT, ("`", "`")],
        quotes: &['"', '\''],
        regions: &[],
        ends: &[],
        heredocs: false,
        raw: &[],
        patterns: true,
    },
    Language {
        extensions: &["go"],
        comments: &["//"],
        parts: &[C_COMMENT, ("`", "`")],
        quotes: &['"'],
        regions: &[],
        ends: &[],
        heredocs: false,
        raw: &["`"],
        patterns: false,
    },
    Language {
        extensions: &["rs"],
        comments: &["//"],
        parts: &[C_COMMENT, ("r#\"", "\"#"), ("\"", "\"")],
        quotes: &[],
        regions: &[],
        ends: &[],
        heredocs: false,
        raw: &["\"#"],
        patterns: false,
    },
    Language {
        extensions: &["c", "h", "cc", "cpp", "cxx", "hpp", "hh", "m", "mm", "cs"],
        comments: &["//"],
        parts: &[C_COMMENT, ("R\"(", ")\""), TEXT_BLOCK],
        quotes: &['"'],
        regions: &[("#if", "#endif")],
        ends: &[],
        heredocs: false,
        raw: &[")\""],
        patterns: false,
    },
    Language {
        extensions: &["java", "kt", "kts", "scala", "groovy", "swift", "dart"],
        comments: &["//"],
        parts: &[C_COMMENT, TEXT_BLOCK, ("'''", "'''")],
        quotes: &['"'],
        regions: &[("#if", "#endif")],
        ends: &[],
        heredocs: false,
        raw: &[],
        patterns: false,
    },
    Language {
        extensions: &["php"],
        comments: &["//", "#"],
        parts: &[C_COMMENT, ("\"", "\""), ("'", "'")],
        quotes: &[],
        regions: &[],
        ends: &["__halt_compiler();"],
        heredocs: true,
        raw: &[],
        patterns: false,
    },
    Language {
        extensions: &["rb"],
        comments: &["#"],
        parts: &[("\"", "\""), ("'", "'")],
        quotes: &[],
        regions: &[("=begin", "=end")],
        ends: &["__END__"],
        heredocs: true,
        raw: &[],
        patterns: false,
    },
    Language {
        extensions: &["pl", "pm", "t"],
        comments: &["#"],
        parts: &[("\"", "\""), ("'", "'")],
        quotes: &[],
        regions: POD,
        ends: &["__END__", "__DATA__"],
        heredocs: true,
        raw: &[],
        patterns: false,
    },
    Language {
        extensions: &["sh", "bash", "zsh", "ksh", "bats"],
        comments: &["#"],
        parts: &[("\"", "\""), ("'", "'")],
        quotes: &[],
        regions: &[],
        ends: &["exit", "exit 0"],
        heredocs: true,
        raw: &["'"],
        patterns: false,
    },
    Language {
        extensions: &["r", "ex", "exs", "jl"],
        comments: &["#"],
        parts: &[("#=", "=#"), TEXT_BLOCK, ("\"", "\"")],
        quotes: &[],
        regions: &[],
        ends: &[],
        heredocs: false,
        raw: &[],
        patterns: false,
    },
    Language {
        extensions: &["lua"],
        comments: &[],
        parts: &[("--[[", "]]"), ("[[", "]]")],
        quotes: &['"', '\''],
        regions: &[],
        ends: &[],
        heredocs: false,
        raw: &["]]"],
        patterns: false,
    },
];

/// What is open at the beginning of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Open {
    Nothing,
    /// Until this mark; a backslash takes the meaning of the next character.
    Part(&'static str),
    Region(&'static str, usize),
    Heredoc(String),
    /// Until the end of the file.
    Rest,
}

/// For each line, whether it begins within such a part.
pub(super) fn find(lines: &[String], extension: &str) -> Vec<bool> {
    let Some(language) = LANGUAGES.iter().find(|it| it.extensions.contains(&extension)) else {
        return vec![false; lines.len()];
    };
    let mut open = Open::Nothing;
    lines
        .iter()
        .map(|line| {
            let inside = open != Open::Nothing;
            open = after_line(language, std::mem::replace(&mut open, Open::Nothing), line);
            inside
        })
        .collect()
}

fn after_line(language: &Language, open: Open, line: &str) -> Open {
    let trimmed = line.trim();
    match open {
        Open::Rest => Open::Rest,
        Open::Heredoc(word) if trimmed == word => Open::Nothing,
        Open::Heredoc(word) => Open::Heredoc(word),
        Open::Region(end, depth) => {
            let opens = language.regions.iter().any(|(start, close)| {
                *close == end && *close == "#endif" && trimmed.starts_with(start)
            });
            match (opens, trimmed.starts_with(end), depth) {
                (true, ..) => Open::Region(end, depth + 1),
                (_, true, 0) => Open::Nothing,
                (_, true, _) => Open::Region(end, depth - 1),
                _ => Open::Region(end, depth),
            }
        }
        Open::Part(close) => match closed(language, line, close) {
            Some(rest) => scan(language, rest),
            None => Open::Part(close),
        },
        Open::Nothing => {
            if language.ends.contains(&trimmed) && !line.starts_with(char::is_whitespace) {
                return Open::Rest;
            }
            let region = language.regions.iter().find(|(start, _)| trimmed.starts_with(start));
            match region {
                Some((_, end)) => Open::Region(end, 0),
                None => scan(language, line),
            }
        }
    }
}

/// What follows the mark that closes a part.
fn closed<'l>(language: &Language, line: &'l str, close: &str) -> Option<&'l str> {
    let escapes = close != "*/" && close != "=#" && !language.raw.contains(&close);
    let mut at = 0;
    while at < line.len() {
        let rest = &line[at..];
        if let Some(rest) = rest.strip_prefix(close) {
            return Some(rest);
        }
        let mut chars = rest.chars();
        let first = chars.next().map_or(1, char::len_utf8);
        let escaped = escapes && rest.starts_with('\\');
        at += first + if escaped { chars.next().map_or(0, char::len_utf8) } else { 0 };
    }
    None
}

/// What is open at the end of a line, or of its rest, of code.
fn scan(language: &Language, line: &str) -> Open {
    let mut rest = line;
    let mut heredoc = None;
    // Whether a value is expected here, so that a slash opens a pattern.
    let mut expects = true;
    // What is not closed on its line is an apostrophe or a division, and so are those after it.
    let mut unclosed = Vec::new();
    while let Some(c) = rest.chars().next() {
        if let Some((start, close)) = language.parts.iter().find(|(s, _)| rest.starts_with(s)) {
            match closed(language, &rest[start.len()..], close) {
                Some(after) => rest = after,
                None => return Open::Part(close),
            }
            expects = false;
            continue;
        }
        if language.comments.iter().any(|comment| begins_comment(line, rest, comment)) {
            break;
        }
        if language.quotes.contains(&c) && !unclosed.contains(&c) {
            let mut buffer = [0; 4];
            let after = closed(language, &rest[1..], c.encode_utf8(&mut buffer));
            unclosed.extend(after.is_none().then_some(c));
            rest = after.unwrap_or(&rest[1..]);
            expects = false;
            continue;
        }
        if c == '\'' && !language.quotes.contains(&c) {
            // A character, which may be a quote; else a lifetime.
            let mut chars = rest.char_indices().skip(1);
            let end = match chars.next() {
                Some((_, '\\')) => chars.nth(1),
                Some(_) => chars.next(),
                None => None,
            };
            rest = end.filter(|(_, c)| *c == '\'').map_or(&rest[1..], |(at, _)| &rest[at + 1..]);
            continue;
        }
        if language.patterns && c == '/' && !unclosed.contains(&c) {
            let before = line[..line.len() - rest.len()].trim_end();
            let words = ["return", "typeof", "case"];
            if expects || words.iter().any(|word| before.ends_with(word)) {
                let after = closed(language, &rest[1..], "/");
                unclosed.extend(after.is_none().then_some(c));
                rest = after.unwrap_or(&rest[1..]);
                expects = false;
                continue;
            }
        }
        if c == '\\' {
            rest = rest[1..].strip_prefix(|_: char| true).unwrap_or("");
            continue;
        }
        if language.heredocs && heredoc.is_none() && rest.starts_with("<<") {
            heredoc = heredoc_word(&rest[2..]);
        }
        if !c.is_whitespace() {
            expects = "(,=:[!&|?{};+-*%<>~^".contains(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    heredoc.map_or(Open::Nothing, Open::Heredoc)
}

/// Whether the comment begins here: in shells, a `#` within a word does not.
fn begins_comment(line: &str, rest: &str, comment: &str) -> bool {
    let before = line[..line.len() - rest.len()].chars().next_back();
    rest.starts_with(comment)
        && (comment != "#" || before.is_none_or(|c| c.is_whitespace() || "();".contains(c)))
}

/// `<<EOF`, `<<-'EOF'`, `<<~EOF`, `<<<EOF`
fn heredoc_word(text: &str) -> Option<String> {
    let text = text.trim_start_matches(['-', '~', '<']).trim_start_matches(['"', '\'', '\\']);
    let length = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let word = &text[..length];
    word.starts_with(|c: char| c.is_alphabetic() || c == '_').then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_do_not_run_are_found() {
        for (extension, text, expect) in [
            ("py", "a\n\"\"\"\nb\n\"\"\"\nc\n", "..##."),
            ("py", "x = \"'''\"\nb\n# \"\"\"\nc\n", "...."),
            ("py", "a = '''b'''\nb\nc = \"\"\"\nd\n\"\"\" # e\nf\n", "...##."),
            ("js", "a\nconst s = `\nb\n`\nc\n", "..##."),
            ("js", "a = /`/, b = `\nc\n`\n", ".##"),
            ("js", "// `\nb\n/* c\nd */ e\n", "...#"),
            ("js", "const s = `a ${b ? `c` : ''} d`\nb // it's\nc\n", "..."),
            ("go", "a := `\nb\n`\nc\n", ".##."),
            ("rs", "let a = 'x'; let b: &'a str = \"\nc\";\nlet q = '\"';\nd\n", ".#.."),
            ("rs", "let a = r#\"\n\"\n\"#;\nb\n", ".##."),
            ("cc", "#if 0\na\n#if X\nb\n#endif\nc\n#endif\nd\n", ".######."),
            ("java", "String s = \"\"\"\n  a\n  \"\"\";\nb\n", ".##."),
            ("pl", "=begin\nb\n=end\nc\n=cut\nd\n", ".####."),
            ("sh", "x='\\'; y='\na\n'\n", ".##"),
            ("js", "  return /`/.test(a)\nb\n", ".."),
            ("rb", "a\n=begin\nb\n=end\nc <<~X\nd\nX\ne\n__END__\nf\n", "..##.##..#"),
            ("sh", "cat <<'E'\na\nE\nb\n: '\nc\n'\n${#a}\nd\n", ".##..##.."),
            ("txt", "\"\"\"\na\n", ".."),
        ] {
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let found: String =
                find(&lines, extension).iter().map(|it| if *it { '#' } else { '.' }).collect();
            assert_eq!(found, expect, "{extension}: {text}");
        }
    }

    #[test]
    fn any_text_can_be_scanned() {
        let text = "é'\\é\" /é `${ <<é <<É é\n\\'é'\n'é\n#if é\n";
        for language in LANGUAGES {
            for extension in language.extensions {
                for (at, _) in text.char_indices() {
                    let lines: Vec<String> = text[at..].lines().map(str::to_owned).collect();
                    assert_eq!(find(&lines, extension).len(), lines.len());
                }
            }
        }
    }
}
