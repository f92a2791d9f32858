//! Text from outside, made harmless.
//!
//! Lives here: what every reporter does to output, reasons, diffs, names and commit subjects
//! before they reach a terminal, a log or a page. Two dangers:
//!
//! - a terminal obeys control characters (cursor movement, titles, overwriting what stands
//!   above) and shows bidirectional overrides and zero-width characters as something else than
//!   they are: [`visible`] replaces them with something a person can see;
//! - a build agent obeys commands in the log: Azure Pipelines finds `##vso[` and `##[` anywhere
//!   in a line, whatever the case, TeamCity `##teamcity[`, GitHub Actions `::command::` at a
//!   line's start: [`harmless`] breaks them.
//!
//! Invariant: nothing is ever taken away after the commands were broken, and breaking looks at
//! whole lines as they are printed, so that neither chunks nor styled spans can put a command
//! together again.

use std::borrow::Cow;

/// How a character that must not be printed as it is, is shown instead.
fn shown(c: char) -> Option<String> {
    let code = c as u32;
    match c {
        '\n' | '\t' => None,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + code).map(String::from),
        '\u{7f}' => Some('\u{2421}'.to_string()),
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => Some(format!("\\u{{{code:x}}}")),
        _ => None,
    }
}

/// Whether JSON output escapes `c`, beyond what JSON itself asks for.
pub(super) fn is_deceptive(c: char) -> bool {
    c >= '\u{7f}' && shown(c).is_some()
}

/// The length of a colour sequence (`ESC [ digits and semicolons m`) at the start of `text`.
fn colour_sequence(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("\u{1b}[")?;
    let parameters = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
    rest[parameters..].starts_with('m').then_some(2 + parameters + 1)
}

/// Colour sequences are taken out; every other control character (but newline and tab), every
/// bidirectional override and zero-width character is made visible: `␛`, `\u{202e}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    show(text, true)
}

/// Like [`visible`], but colour sequences are shown too: for diffs, where they are content.
pub(super) fn literal(text: &str) -> Cow<'_, str> {
    show(text, false)
}

fn show(text: &str, drop_colours: bool) -> Cow<'_, str> {
    if !text.chars().any(|c| shown(c).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = colour_sequence(rest).filter(|_| drop_colours) {
            rest = &rest[length..];
            continue;
        }
        match shown(c) {
            Some(replacement) => out.push_str(&replacement),
            None => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    Cow::Owned(out)
}

/// GitHub's workflow commands. A word between `::` that is none of these (`::std::mem`) stays.
const WORKFLOW_COMMANDS: [&str; 17] = [
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "file",
    "group",
    "notice",
    "remove-matcher",
    "save-state",
    "set-env",
    "set-output",
    "stop-commands",
    "warning",
    "internal-set-repo-path",
];

/// Byte offsets of what is a workflow command of GitHub's at the start of a line.
fn workflow_commands(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices("::").map(|(at, _)| at).filter(|at| {
        let word = text.get(at + 2..).and_then(|rest| rest.split([' ', ':']).next());
        WORKFLOW_COMMANDS.contains(&word.unwrap_or_default().to_ascii_lowercase().as_str())
    })
}

/// Byte offsets in `line` where a space breaks a pipeline command.
pub(super) fn command_breaks(line: &str) -> Vec<usize> {
    let mut breaks = Vec::new();
    let indent = line.len() - line.trim_start().len();
    if workflow_commands(line).next() == Some(indent) {
        breaks.push(indent + 1);
    }
    let mut from = 0;
    while let Some(found) = line[from..].find("##") {
        let at = from + found;
        let after = line[at + 2..].trim_start_matches(|c: char| c.is_alphanumeric() || c == '-');
        if after.starts_with('[') {
            breaks.push(at + 1);
        }
        from = at + 1;
    }
    breaks
}

/// Breaks every command that a build agent would find: `##vso[` becomes `# #vso[`.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains("##") && !text.contains("::") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for line in text.split_inclusive('\n') {
        let mut from = 0;
        for at in command_breaks(line) {
            out.push_str(&line[from..at]);
            out.push(' ');
            from = at;
        }
        out.push_str(&line[from..]);
    }
    Cow::Owned(out)
}

/// [`visible`], then [`harmless`].
pub fn safe(text: &str) -> String {
    harmless(&visible(text)).into_owned()
}

/// JSON that means the same, in which whatever a build agent would take for a command and whatever
/// a terminal would obey stands as `\u` escapes: `#`, `::` and the characters that deceive stand
/// only within strings.
pub fn json(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + 8);
    for line in json.split_inclusive('\n') {
        let mut breaks = command_breaks(line);
        // Within a string a line may begin anywhere.
        breaks.extend(workflow_commands(line).map(|at| at + 1));
        for (at, c) in line.char_indices() {
            // The offset lies after the first character of the two.
            if matches!(c, '#' | ':') && breaks.contains(&(at + 1)) {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            } else if is_deceptive(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                out.push(c);
            }
        }
    }
    out
}

/// At most `limit` bytes of `text`, cut at a character.
pub(super) fn head(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = (0..=limit).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

/// Puts the chunks of one part's output together into whole lines.
///
/// A line longer than [`LineAssembler::LONGEST`] is given out in pieces, each on a line of its
/// own, so memory is bounded.
#[derive(Debug, Default)]
pub(super) struct LineAssembler {
    partial: String,
}

impl LineAssembler {
    /// Bytes after which a line is given out although its end has not come.
    const LONGEST: usize = 8 << 10;

    /// The lines that `chunk` completes.
    pub(super) fn push(&mut self, chunk: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in chunk.split_inclusive('\n') {
            self.partial.push_str(piece);
            if self.partial.ends_with('\n') {
                lines.extend(self.take());
            }
            while self.partial.len() > Self::LONGEST {
                let end = head(&self.partial, Self::LONGEST).len();
                let rest = self.partial.split_off(end);
                lines.push(std::mem::replace(&mut self.partial, rest));
            }
        }
        lines
    }

    /// What is left when no more comes.
    pub(super) fn take(&mut self) -> Option<String> {
        let mut line = std::mem::take(&mut self.partial);
        if line.is_empty() {
            return None;
        }
        if line.ends_with('\n') {
            line.pop();
        }
        if line.ends_with('\r') {
            line.pop();
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_are_broken_wherever_they_stand() {
        for (input, expect) in [
            ("##vso[task.complete]", "# #vso[task.complete]"),
            ("x ##VSO[a]##[b]", "x # #VSO[a]# #[b]"),
            ("###vso[a]", "## #vso[a]"),
            ("a\n##[error]\n", "a\n# #[error]\n"),
            ("##teamcity[x]", "# #teamcity[x]"),
            ("#\u{1b}[0m#vso[x]", "# #vso[x]"),
            ("##\u{1b}[1mvso\u{1b}[m[x]", "# #vso[x]"),
            ("## [a link]", "## [a link]"),
            ("## heading", "## heading"),
            ("::add-mask::x", ": :add-mask::x"),
            ("  ::Error file=a::x", "  : :Error file=a::x"),
            ("::std::mem::swap", "::std::mem::swap"),
            ("a ::error::x", "a ::error::x"),
        ] {
            assert_eq!(safe(input), expect, "{input:?}");
        }
    }

    #[test]
    fn control_characters_are_seen() {
        for (input, expect) in [
            ("plain ünïcode 漢字\ttab\n", "plain ünïcode 漢字\ttab\n"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}[2Jgone", "␛[2Jgone"),
            ("\u{1b}]0;title\u{7}", "␛]0;title␇"),
            ("a\rb\u{8}c\u{7f}", "a␍b␈c␡"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("if \u{202e}x\u{2066}", "if \\u{202e}x\\u{2066}"),
            ("z\u{200b}w\u{feff}", "z\\u{200b}w\\u{feff}"),
        ] {
            assert_eq!(visible(input), expect, "{input:?}");
        }
    }

    #[test]
    fn chunks_become_whole_lines() {
        let mut lines = LineAssembler::default();
        assert_eq!(lines.push("##vs"), [""; 0]);
        assert_eq!(lines.push("o[x]\r\nnext\nla"), ["##vso[x]", "next"]);
        assert_eq!(lines.take().as_deref(), Some("la"));
        assert_eq!(lines.take(), None);
        let long = "é".repeat(10_000);
        let pieces = lines.push(&long);
        assert!(pieces.len() == 2 && pieces.iter().all(|p| p.len() <= 8 << 10));
        assert_eq!(pieces.concat() + &lines.take().unwrap(), long);
    }

    proptest! {
        #[test]
        fn no_text_keeps_a_command(parts in prop::collection::vec(
            prop_oneof![
                Just("#".to_owned()), Just("##".to_owned()), Just("vso".to_owned()),
                Just("VsO[".to_owned()), Just("[".to_owned()), Just("\u{1b}[0m".to_owned()),
                Just("\u{200b}".to_owned()), Just("\r".to_owned()), "\\PC{0,3}",
            ],
            0..12,
        )) {
            let text = safe(&parts.concat());
            let lower = text.to_lowercase();
            prop_assert!(!lower.contains("##vso[") && !lower.contains("##["), "{text:?}");
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
            prop_assert_eq!(safe(&text), text.clone(), "harmless stays as it is");
        }
    }
}
