//! Where a file holds commands, and which of them destroy something.

use std::collections::BTreeMap;

use super::destructive::{destroys, removes_outputs};
use super::lines::Alignment;
use super::shell::{Command, command_of, commands};
use super::syntax::{SourceFile, Syntax};

/// Keys of pipelines and manifests whose value a shell runs.
const SHELL_KEYS: &[&str] = &[
    "run",
    "script",
    "command",
    "cmd",
    "cmds",
    "bash",
    "sh",
    "pwsh",
    "powershell",
    "inlinescript",
    "before_script",
    "after_script",
    "args",
    "entrypoint",
    "shell",
    "exec",
    "entry",
    "test",
    "install",
    "before_install",
    "after_success",
    "steps",
    "prestart",
    "poststart",
    "prestop",
];

/// What may stand between two arguments of an argument list.
const LIST_CALLS: &[&str] = &[".args(", ".arg("];

/// A destructive command on lines that are new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destructive {
    /// 0-based line of the resulting file.
    pub line: usize,
    /// The command, shortened.
    pub command: String,
    /// What it does.
    pub what: &'static str,
}

/// Destructive commands of the resulting file whose lines are new, by line.
pub(super) fn find(file: &SourceFile, text: &str, lines: &Alignment) -> Vec<Destructive> {
    let mut found: BTreeMap<(usize, &'static str), Destructive> = BTreeMap::new();
    let mut judge = |commands: &[Command], shift: usize| {
        for (index, command) in commands.iter().enumerate() {
            let (first, last) = (command.first_line + shift, command.last_line + shift);
            if !lines.is_new_span(first, last.max(first)) {
                continue;
            }
            if file.syntax == Syntax::Make && removes_outputs(command) {
                continue;
            }
            if let Some(what) = destroys(command, commands.get(index + 1)) {
                let line = (first..=last).find(|l| lines.is_added(*l)).unwrap_or(first);
                let command = shorten(&command.words.join(" "));
                found.entry((line, what)).or_insert(Destructive { line, command, what });
            }
        }
    };
    match file.syntax {
        Syntax::Prose | Syntax::Sql => {}
        Syntax::Shell => judge(&commands(text), 0),
        Syntax::Make => judge(&commands(&recipes(text, file.name.contains("just"))), 0),
        Syntax::Docker => {
            judge(&commands(&run_lines(text)), 0);
            argument_lists(text, &mut judge);
        }
        Syntax::Yaml => {
            judge(&commands(&yaml_values(text)), 0);
            argument_lists(text, &mut judge);
        }
        Syntax::Json | Syntax::Code => {
            literals(text, &mut judge);
            argument_lists(text, &mut judge);
        }
    }
    found.into_values().collect()
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(100).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// The recipe lines of a makefile; other lines are left empty, so that lines keep their number.
fn recipes(text: &str, just: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let recipe = line
            .strip_prefix('\t')
            .or_else(|| if just { line.strip_prefix([' ', '\t']) } else { None });
        if let Some(recipe) = recipe {
            out.push_str(
                &recipe
                    .trim_start()
                    .trim_start_matches(['@', '-', '+'])
                    .replace("$(RM)", "rm -f")
                    .replace("$$", "$"),
            );
        }
        out.push('\n');
    }
    out
}

/// What the instructions of a Dockerfile hand to a shell; other lines are left empty.
fn run_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut inside, mut heredoc): (bool, Option<String>) = (false, None);
    for line in text.lines() {
        if let Some(end) = &heredoc {
            out.push_str(line);
            if line.trim() == end {
                heredoc = None;
            }
            out.push('\n');
            continue;
        }
        let trimmed = line.trim_start();
        if inside && trimmed.starts_with('#') {
            out.push_str("\\\n");
            continue;
        }
        let mut command = inside.then_some(trimmed);
        if !inside {
            let mut rest = trimmed;
            loop {
                let (word, tail) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
                if word.eq_ignore_ascii_case("onbuild") || word.eq_ignore_ascii_case("healthcheck")
                {
                    rest = tail.trim_start();
                } else if ["run", "cmd", "entrypoint"].iter().any(|w| word.eq_ignore_ascii_case(w))
                {
                    command = Some(tail.trim_start());
                    break;
                } else {
                    break;
                }
            }
            while let Some(rest) = command.filter(|c| c.starts_with("--")) {
                command = Some(rest.split_once([' ', '\t']).map_or("", |(_, r)| r.trim_start()));
            }
        }
        if let Some(command) = command {
            if !inside && command.starts_with("<<") {
                out.push_str("sh ");
                let name = command.trim_start_matches('<').trim_start_matches('-');
                heredoc = Some(name.trim_matches(['"', '\'']).trim().to_owned());
            }
            out.push_str(command);
            inside = heredoc.is_none() && command.trim_end().ends_with('\\');
        }
        out.push('\n');
    }
    out
}

/// List items, lines of block scalars, and the values of keys that a shell runs.
fn yaml_values(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let mut rest = line.trim();
        while let Some(item) = rest.strip_prefix("- ") {
            rest = item.trim_start();
        }
        let key = rest.split_once(':').filter(|(key, value)| {
            let name = key.trim_matches(['"', '\'']);
            (value.is_empty() || value.starts_with(' '))
                && !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        });
        let value = match key {
            Some((key, value)) => {
                let key = key.trim_matches(['"', '\'']).to_ascii_lowercase();
                if SHELL_KEYS.contains(&key.as_str()) { value.trim() } else { "" }
            }
            None => rest,
        };
        let quoted = |q: char| value.len() > 1 && value.starts_with(q) && value.ends_with(q);
        let value = if quoted('"') || quoted('\'') { &value[1..value.len() - 1] } else { value };
        if !matches!(value, "|" | ">" | "|-" | ">-" | "|+" | ">+") {
            out.push_str(value);
        }
        out.push('\n');
    }
    out
}

/// String literals, read as shell text.
fn literals(text: &str, judge: &mut impl FnMut(&[Command], usize)) {
    for (number, line) in text.lines().enumerate() {
        for quote in ['"', '\'', '`'] {
            if !line.contains(quote) {
                continue;
            }
            // Which of the parts are inside is not known when a stray quote stands before them.
            for part in split_unescaped(line, quote).into_iter().skip(1) {
                let part = part.replace("\\\"", "\"").replace("\\'", "'").replace("\\n", "\n");
                if part.contains(' ') {
                    let mut inner = commands(&part);
                    for command in &mut inner {
                        (command.first_line, command.last_line) = (0, 0);
                    }
                    judge(&inner, number);
                }
            }
        }
    }
    for quote in ["\"\"\"", "'''", "`"] {
        let mut line = 0;
        for (index, part) in text.split(quote).enumerate() {
            if index % 2 == 1 && part.contains('\n') {
                judge(&commands(part), line);
            }
            line += part.matches('\n').count();
        }
    }
}

fn split_unescaped(line: &str, quote: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, c) in line.char_indices() {
        if c == quote && !escaped {
            parts.push(&line[start..index]);
            start = index + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    parts.push(&line[start..]);
    parts
}

/// Argument lists: `["rm", "-rf", path]`, `Command::new("rm").args(["-rf", path])`.
fn argument_lists(text: &str, judge: &mut impl FnMut(&[Command], usize)) {
    for quote in [b'"', b'\''] {
        let bytes = text.as_bytes();
        let (mut at, mut line) = (0, 0);
        let mut words: Vec<String> = Vec::new();
        let (mut first_line, mut last_line) = (0, 0);
        let mut finish = |words: &mut Vec<String>, first: usize, last: usize| {
            if words.len() > 1 {
                let mut inner = command_of(std::mem::take(words), 0);
                for command in &mut inner {
                    (command.first_line, command.last_line) = (first, last);
                    // A list may go on with values that are no literals.
                    command.open_ended = true;
                }
                judge(&inner, 0);
            }
            words.clear();
        };
        while let Some(byte) = bytes.get(at) {
            if *byte == quote {
                let Some(end) = literal_end(bytes, at + 1, quote) else {
                    finish(&mut words, first_line, last_line);
                    at += 1;
                    continue;
                };
                if words.is_empty() {
                    first_line = line;
                }
                last_line = line;
                words.push(text[at + 1..end].to_owned());
                at = end + 1;
                continue;
            }
            let call =
                LIST_CALLS.iter().find(|call| text.as_bytes()[at..].starts_with(call.as_bytes()));
            if let Some(call) = call {
                at += call.len();
                continue;
            }
            if !matches!(
                byte,
                b' ' | b'\t' | b'\r' | b'\n' | b',' | b'(' | b')' | b'[' | b']' | b'&'
            ) {
                finish(&mut words, first_line, last_line);
            }
            if *byte == b'\n' {
                line += 1;
            }
            at += 1;
        }
        finish(&mut words, first_line, last_line);
    }
}

/// The closing quote on the same line.
fn literal_end(bytes: &[u8], from: usize, quote: u8) -> Option<usize> {
    let mut at = from;
    loop {
        match bytes.get(at)? {
            b'\n' => return None,
            b'\\' => at += 2,
            byte if *byte == quote => return Some(at),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::RepoPath;

    fn found(path: &str, text: &str) -> Vec<usize> {
        let file = SourceFile::new(&RepoPath::new(path).expect("a path"), text.as_bytes());
        let lines = Alignment::new(None, Some(text.as_bytes()));
        find(&file, text, &lines).iter().map(|d| d.line + 1).collect()
    }

    #[test]
    fn commands_are_found_where_they_run() {
        for (path, text, expect) in [
            ("a.sh", "set -e\nrm -rf /srv/x\n", vec![2]),
            ("a.sh", "echo 'rm -rf /srv/x'\n", vec![]),
            ("a.sh", "bash <<E\n\nrm -rf x\nE\n", vec![3]),
            ("Makefile", "clean:\n\t@-rm -rf data\n", vec![2]),
            ("Makefile", "clean:\n\t$(RM) -r data\n", vec![2]),
            ("Makefile", "X = rm -rf build\n", vec![]),
            ("Dockerfile", "FROM x\nRUN a && \\\n  # why\n  rm -rf /srv\n", vec![4]),
            ("Dockerfile", "RUN apt-get update && rm -rf /var/lib/apt/lists/*\n", vec![]),
            ("Dockerfile", "RUN <<EOF\nrm -rf /srv\nEOF\n", vec![2]),
            ("Dockerfile", "CMD [\"rm\", \"-rf\", \"/srv\"]\n", vec![1]),
            (".github/workflows/x.yml", "steps:\n  - run: |\n      git push --force\n", vec![3]),
            ("x.yml", "script:\n  - git push -f origin main\n", vec![2]),
            ("x.yml", "name: git push -f origin main\n", vec![]),
            ("x.yml", "command: [\"sh\", \"-c\", \"rm -rf /srv\"]\n", vec![1]),
            ("package.json", "{\"scripts\": {\"x\": \"rm -rf dist && tsc\"}}\n", vec![1]),
            ("a.py", "import os\nos.system(\"cd x && rm -rf *\")\n", vec![2]),
            ("a.py", "subprocess.run(['git', 'push', '--force'])\n", vec![1]),
            ("a.py", "subprocess.run([\n  \"rm\",\n  \"-rf\",\n  path])\n", vec![2]),
            ("a.py", "s = \"\"\"\nrm -rf /srv\n\"\"\"\n", vec![2]),
            ("a.rs", "Command::new(\"rm\").arg(\"-rf\").arg(path);\n", vec![1]),
            ("a.rs", "Command::new(\"rm\")\n  .args([\"-rf\", path]);\n", vec![1]),
            ("a.js", "execSync(`rm -rf ${dir}`)\n", vec![1]),
            ("a.js", "it('does not rm -rf', () => {})\n", vec![]),
            ("a.py", "# don't\nlog(\"never rm -rf /\")\n", vec![]),
            ("README.md", "rm -rf /\n", vec![]),
        ] {
            assert_eq!(found(path, text), expect, "{path}: {text}");
        }
    }
}
