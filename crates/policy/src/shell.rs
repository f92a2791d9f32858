//! What a piece of shell text would run: simple commands with their words, whatever stands
//! around them (lists, pipes, substitutions, here-documents, `sh -c`, `eval`, `sudo`, `xargs`).
//!
//! Data stays data: a quoted argument, a comment or a here-document for `cat` is not a command,
//! one for `bash` is. Lenient: it reads any text and never fails.

/// How deep commands within commands are followed. What is deeper counts as one `eval` of its text,
/// so that it never passes for a harmless command.
const MAX_DEPTH: usize = 6;
/// The longest text that is read as commands inside a word; a longer one counts likewise.
const MAX_INNER: usize = 64 * 1024;

/// A simple command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// The program and its arguments, quotes removed, wrappers (`sudo`) and assignments gone.
    pub words: Vec<String>,
    /// 0-based line of the first word.
    pub first_line: usize,
    /// 0-based line of the last word.
    pub last_line: usize,
    /// A here-document or here-string, and the line it begins on.
    stdin: Option<(String, usize)>,
    /// Whether its output goes to the next command.
    piped: bool,
    /// Whether further arguments come from elsewhere (`xargs`, `find -exec`).
    pub open_ended: bool,
}

impl Command {
    /// The program's name without its folder.
    pub(super) fn program(&self) -> &str {
        let name = self.words.first().map_or("", String::as_str);
        let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
        name.strip_suffix(".exe").unwrap_or(name)
    }

    /// Whether it sends what it fetched to a shell.
    pub(super) fn is_piped(&self) -> bool {
        self.piped
    }
}

/// Every command `text` would run, those inside other commands included.
pub(super) fn commands(text: &str) -> Vec<Command> {
    let mut found = Vec::new();
    run(text, 0, 0, &mut found);
    found
}

/// The command an argument list stands for: `["sudo", "rm", "-rf", "/"]`.
pub(super) fn command_of(words: Vec<String>, line: usize) -> Vec<Command> {
    let command = Command { words, first_line: line, last_line: line, ..Command::default() };
    let mut found = Vec::new();
    expand(command, None, 0, &mut found);
    found
}

fn run(text: &str, line: usize, depth: usize, found: &mut Vec<Command>) {
    if depth > MAX_DEPTH || text.len() > MAX_INNER && depth > 0 {
        if !text.trim().is_empty() {
            let words = vec!["eval".to_owned(), text.to_owned()];
            let last_line = line + text.trim_end().matches('\n').count();
            found.push(Command { words, first_line: line, last_line, ..Command::default() });
        }
        return;
    }
    let mut reader = Reader::new(text, line);
    reader.read();
    if reader.open_quote && depth == 0 {
        // A stray quote has swallowed the rest: read each line by itself as well.
        for (offset, line_text) in text.lines().enumerate() {
            let mut single = Reader::new(line_text, line + offset);
            single.read();
            finish(single, depth, found);
        }
    }
    finish(reader, depth, found);
}

fn finish(reader: Reader<'_>, depth: usize, found: &mut Vec<Command>) {
    for (inner, line) in &reader.inner {
        run(inner, *line, depth + 1, found);
    }
    let mut before: Option<Command> = None;
    for command in reader.commands {
        let source = before.take().filter(|b| b.piped);
        before = Some(command.clone());
        expand(command, source.as_ref(), depth, found);
    }
}

/// Words that may stand before a command and are not part of it.
const KEYWORDS: &[&str] =
    &["if", "then", "else", "elif", "while", "until", "do", "!", "{", "}", "time", "coproc", "in"];

/// Programs that run the command in their arguments, and their options that take a value.
const WRAPPERS: &[(&str, &[&str])] = &[
    ("sudo", &["-u", "-g", "-h", "-p", "-C", "-T", "-U", "-r", "-t", "-D", "--user", "--group"]),
    ("doas", &["-u", "-C"]),
    ("env", &["-u", "--unset", "-C", "--chdir"]),
    ("nice", &["-n", "--adjustment"]),
    ("ionice", &["-c", "-n", "-p"]),
    ("nohup", &[]),
    ("command", &[]),
    ("builtin", &[]),
    ("exec", &["-a"]),
    ("setsid", &[]),
    ("stdbuf", &["-i", "-o", "-e"]),
    ("unbuffer", &[]),
    ("caffeinate", &[]),
    ("strace", &["-e", "-o", "-p", "-s"]),
    ("busybox", &[]),
    ("toybox", &[]),
    ("watch", &["-n", "--interval"]),
    ("xargs", &["-n", "-P", "-I", "-L", "-d", "-s", "-a", "-E", "--max-args", "--max-procs"]),
    ("parallel", &["-j", "--jobs"]),
];

/// Wrappers that also take some operands of their own before the command.
const WRAPPERS_WITH_OPERANDS: &[(&str, &[&str], usize)] = &[
    ("timeout", &["-s", "--signal", "-k", "--kill-after"], 1),
    ("chroot", &[], 1),
    ("flock", &["-w", "--timeout", "-E"], 1),
    (
        "ssh",
        &["-p", "-i", "-o", "-l", "-F", "-J", "-L", "-R", "-D", "-b", "-c", "-E", "-e", "-m"],
        1,
    ),
];

/// Shells, which run `-c TEXT`, and their standard input.
pub(super) const SHELLS: &[&str] =
    &["sh", "bash", "zsh", "dash", "ksh", "ash", "fish", "su", "runuser"];

fn expand(mut command: Command, source: Option<&Command>, depth: usize, found: &mut Vec<Command>) {
    if depth > MAX_DEPTH {
        found.push(command);
        return;
    }
    while let Some(first) = command.words.first() {
        if KEYWORDS.contains(&first.as_str()) || is_assignment(first) {
            command.words.remove(0);
        } else {
            break;
        }
    }
    if command.words.is_empty() {
        return;
    }
    let program = command.program().to_owned();
    let line = command.first_line;

    if let Some(inner) = unwrapped(&program, &command.words) {
        let open_ended = command.open_ended || matches!(program.as_str(), "xargs" | "parallel");
        let words = match inner {
            Inner::Words(words) => words,
            Inner::Text(text) => {
                run(&text, line, depth + 1, found);
                return;
            }
        };
        if program == "ssh" {
            // The far side's shell reads it all again.
            run(&words.join(" "), line, depth + 1, found);
            if words.is_empty()
                && let Some((stdin, line)) = &command.stdin
            {
                run(stdin, *line, depth + 1, found);
            }
            return;
        }
        expand(Command { words, open_ended, ..command }, source, depth + 1, found);
        return;
    }

    if SHELLS.contains(&program.as_str()) {
        let flag = command.words.iter().position(|w| {
            w == "--command" || (w.starts_with('-') && !w.starts_with("--") && w.ends_with('c'))
        });
        if let Some(text) = flag.and_then(|flag| command.words.get(flag + 1)) {
            run(text, line, depth + 1, found);
        } else {
            if let Some((stdin, line)) = &command.stdin {
                run(stdin, *line, depth + 1, found);
            }
            if let Some((text, line)) = source.and_then(output_of) {
                run(&text, line, depth + 1, found);
            }
        }
    }
    match program.as_str() {
        "eval" => run(&command.words[1..].join(" "), line, depth + 1, found),
        "trap" => {
            if let Some(text) = command.words.iter().skip(1).find(|w| !w.starts_with('-')) {
                run(text, line, depth + 1, found);
            }
        }
        "find" | "fd" => {
            for (index, word) in command.words.iter().enumerate() {
                if matches!(word.as_str(), "-exec" | "-execdir" | "-ok" | "-okdir" | "-x") {
                    let words = command.words[index + 1..]
                        .iter()
                        .take_while(|w| !matches!(w.as_str(), ";" | "+"))
                        .cloned()
                        .collect();
                    let inner = Command {
                        words,
                        open_ended: true,
                        stdin: None,
                        piped: false,
                        ..command.clone()
                    };
                    expand(inner, None, depth + 1, found);
                }
            }
        }
        "docker" | "podman" | "kubectl" | "oc" | "nsenter" | "lxc" => {
            inside_container(&command, depth, found);
        }
        _ => {}
    }
    found.push(command);
}

/// `docker exec NAME rm -rf /`: the shell, or whatever stands after `--`.
fn inside_container(command: &Command, depth: usize, found: &mut Vec<Command>) {
    if !command.words.iter().skip(1).any(|w| matches!(w.as_str(), "exec" | "run" | "--")) {
        return;
    }
    let start = command.words.iter().position(|w| w == "--").map(|at| at + 1).or_else(|| {
        command.words.iter().position(|w| {
            let name = w.rsplit('/').next().unwrap_or(w);
            SHELLS.contains(&name)
        })
    });
    if let Some(start) = start {
        let words = command.words[start..].to_vec();
        expand(Command { words, ..command.clone() }, None, depth + 1, found);
    }
}

enum Inner {
    Words(Vec<String>),
    Text(String),
}

/// The command inside a wrapper's arguments.
fn unwrapped(program: &str, words: &[String]) -> Option<Inner> {
    let (options, operands) =
        WRAPPERS.iter().find(|(name, _)| *name == program).map(|(_, o)| (*o, 0)).or_else(|| {
            WRAPPERS_WITH_OPERANDS
                .iter()
                .find(|(name, _, _)| *name == program)
                .map(|(_, o, n)| (*o, *n))
        })?;
    let mut index = 1;
    let mut skip = operands;
    while let Some(word) = words.get(index) {
        if program == "command" && matches!(word.as_str(), "-v" | "-V") {
            return None;
        }
        if program == "env" && (word == "-S" || word == "--split-string") {
            return words.get(index + 1).cloned().map(Inner::Text);
        }
        if word == "--" {
            index += 1;
            break;
        }
        if word.starts_with('-') && word.len() > 1 {
            index += if options.contains(&word.as_str()) { 2 } else { 1 };
        } else if matches!(program, "env" | "sudo" | "doas") && is_assignment(word) {
            index += 1;
        } else if skip > 0 {
            skip -= 1;
            index += 1;
        } else {
            break;
        }
    }
    if program == "flock"
        && words.get(index).is_some_and(|w| w == "-c")
        && let Some(text) = words.get(index + 1)
    {
        return Some(Inner::Text(text.clone()));
    }
    if matches!(program, "watch" | "parallel") {
        return Some(Inner::Text(words.get(index..)?.join(" ")));
    }
    Some(Inner::Words(words.get(index..)?.to_vec()))
}

/// What a command prints, as far as its text says.
fn output_of(command: &Command) -> Option<(String, usize)> {
    let arguments = || command.words.get(1..).unwrap_or_default();
    match command.program() {
        "echo" | "printf" => {
            let text = arguments()
                .iter()
                .filter(|w| !matches!(w.as_str(), "-e" | "-n" | "-en" | "-ne"))
                .map(|w| w.replace("\\n", "\n"))
                .collect::<Vec<_>>()
                .join(" ");
            Some((text, command.first_line))
        }
        "cat" | "tee" => command.stdin.clone(),
        _ => None,
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        let name = name.strip_suffix('+').unwrap_or(name);
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

struct Heredoc {
    delimiter: String,
    strip_tabs: bool,
    command: usize,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    commands: Vec<Command>,
    current: Command,
    word: Option<String>,
    heredocs: Vec<Heredoc>,
    /// Texts of substitutions, with their line.
    inner: Vec<(String, usize)>,
    open_quote: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, line: usize) -> Self {
        Self {
            text,
            at: 0,
            line,
            commands: Vec::new(),
            current: Command::default(),
            word: None,
            heredocs: Vec::new(),
            inner: Vec::new(),
            open_quote: false,
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take() {
            if self.current.words.is_empty() {
                self.current.first_line = self.line;
            }
            self.current.last_line = self.line;
            self.current.words.push(word);
        }
    }

    fn end_command(&mut self, piped: bool) {
        self.end_word();
        let mut command = std::mem::take(&mut self.current);
        command.piped = piped;
        if !command.words.is_empty() || command.stdin.is_some() {
            self.commands.push(command);
        }
    }

    fn read(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                '\n' => {
                    self.end_command(false);
                    self.next();
                    self.read_heredocs();
                }
                ' ' | '\t' | '\r' => {
                    self.end_word();
                    self.next();
                }
                '#' if self.word.is_none() => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                }
                '\\' => {
                    self.next();
                    match self.next() {
                        Some('\n') | None => {}
                        Some('\r') if self.peek() == Some('\n') => {
                            self.next();
                        }
                        Some(c) => self.push(c),
                    }
                }
                '\'' => self.single_quoted(),
                '"' => self.double_quoted(),
                '`' => self.backquoted(),
                '$' => self.dollar(),
                '<' | '>' => self.redirection(),
                ';' | '(' | ')' => {
                    self.end_command(false);
                    self.next();
                }
                '&' => {
                    self.next();
                    if self.peek() == Some('>') {
                        self.end_word();
                    } else {
                        self.end_command(false);
                    }
                }
                '|' => {
                    self.next();
                    let list = self.peek() == Some('|');
                    self.end_command(!list);
                    if list || self.peek() == Some('&') {
                        self.next();
                    }
                }
                _ => {
                    self.next();
                    self.push(c);
                }
            }
        }
        self.end_command(false);
    }

    fn single_quoted(&mut self) {
        self.next();
        self.word.get_or_insert_default();
        loop {
            match self.next() {
                Some('\'') => return,
                Some(c) => self.push(c),
                None => {
                    self.open_quote = true;
                    return;
                }
            }
        }
    }

    fn double_quoted(&mut self) {
        self.next();
        self.word.get_or_insert_default();
        loop {
            match self.peek() {
                Some('"') => {
                    self.next();
                    return;
                }
                Some('\\') => {
                    self.next();
                    match self.next() {
                        Some('\n') | None => {}
                        Some(c @ ('"' | '\\' | '$' | '`')) => self.push(c),
                        Some(c) => {
                            self.push('\\');
                            self.push(c);
                        }
                    }
                }
                Some('`') => self.backquoted(),
                Some('$') => self.dollar(),
                Some(c) => {
                    self.next();
                    self.push(c);
                }
                None => {
                    self.open_quote = true;
                    return;
                }
            }
        }
    }

    fn backquoted(&mut self) {
        let line = self.line;
        self.next();
        let start = self.at;
        while let Some(c) = self.peek() {
            if c == '`' {
                break;
            }
            self.next();
            if c == '\\' {
                self.next();
            }
        }
        self.inner.push((self.text[start..self.at].to_owned(), line));
        self.next();
        self.word.get_or_insert_default().push_str("$()");
    }

    fn dollar(&mut self) {
        let line = self.line;
        self.next();
        match self.peek() {
            Some('(') => {
                let inner = self.balanced('(', ')');
                self.inner.push((inner, line));
                self.word.get_or_insert_default().push_str("$()");
            }
            Some('{') => {
                let inner = self.balanced('{', '}');
                let word = self.word.get_or_insert_default();
                word.push_str("${");
                word.push_str(&inner);
                word.push('}');
            }
            Some('\'') => self.single_quoted(),
            _ => self.push('$'),
        }
    }

    /// The text up to the bracket that closes the one at the cursor.
    fn balanced(&mut self, open: char, close: char) -> String {
        self.next();
        let start = self.at;
        let mut depth = 1;
        let mut quote: Option<char> = None;
        while let Some(c) = self.peek() {
            match quote {
                Some(q) if c == q => quote = None,
                Some(_) => {}
                None if c == '\'' || c == '"' => quote = Some(c),
                None if c == open => depth += 1,
                None if c == close => depth -= 1,
                None => {}
            }
            if depth == 0 {
                break;
            }
            self.next();
            if c == '\\' && quote != Some('\'') {
                self.next();
            }
        }
        let inner = self.text[start..self.at].to_owned();
        self.next();
        inner
    }

    fn redirection(&mut self) {
        // A number directly before it is a file descriptor.
        if self.word.as_ref().is_some_and(|w| w.chars().all(|c| c.is_ascii_digit())) {
            self.word = None;
        }
        self.end_word();
        if self.rest().starts_with("<<<") {
            self.at += 3;
            let line = self.line;
            let text = self.operand();
            self.current.stdin = Some((text, line));
            return;
        }
        if self.rest().starts_with("<<") {
            self.at += 2;
            let strip_tabs = self.peek() == Some('-');
            if strip_tabs || self.peek() == Some('~') {
                self.next();
            }
            let delimiter = self.operand();
            if !delimiter.is_empty() {
                let command = self.commands.len();
                self.heredocs.push(Heredoc { delimiter, strip_tabs, command });
            }
            return;
        }
        let first = self.next();
        if self.peek() == Some('(') {
            let line = self.line;
            let inner = self.balanced('(', ')');
            self.inner.push((inner, line));
            self.word.get_or_insert_default().push_str(if first == Some('<') {
                "<()"
            } else {
                ">()"
            });
            return;
        }
        while matches!(self.peek(), Some('>' | '<' | '&' | '|')) {
            self.next();
        }
        let target = self.operand();
        if first == Some('>') {
            self.current.words.extend(device(&target));
        }
    }

    /// The word after a redirection.
    fn operand(&mut self) -> String {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.next();
        }
        let held = self.word.take();
        while let Some(c) = self.peek() {
            match c {
                '\'' => self.single_quoted(),
                '"' => self.double_quoted(),
                '$' => self.dollar(),
                '`' => self.backquoted(),
                '\\' => {
                    self.next();
                    if let Some(c) = self.next() {
                        self.push(c);
                    }
                }
                c if c.is_whitespace() || matches!(c, ';' | '&' | '|' | '<' | '>' | '(' | ')') => {
                    break;
                }
                _ => {
                    self.next();
                    self.push(c);
                }
            }
        }
        std::mem::replace(&mut self.word, held).unwrap_or_default()
    }

    /// The bodies of the here-documents that begin after this line.
    fn read_heredocs(&mut self) {
        for heredoc in std::mem::take(&mut self.heredocs) {
            let mut body = String::new();
            let first_line = self.line;
            while !self.rest().is_empty() {
                let line = self.rest().split('\n').next().unwrap_or_default();
                let ended = self.rest().len() == line.len();
                self.at += line.len();
                if !ended {
                    self.next();
                }
                let line = line.strip_suffix('\r').unwrap_or(line);
                let line = if heredoc.strip_tabs { line.trim_start_matches('\t') } else { line };
                if line.trim() == heredoc.delimiter {
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            if let Some(command) = self.commands.get_mut(heredoc.command) {
                command.stdin = Some((body, first_line));
            }
        }
    }
}

/// A raw disk that output is written over, as `dd` names it.
fn device(target: &str) -> Option<String> {
    let disk =
        ["/dev/sd", "/dev/hd", "/dev/nvme", "/dev/vd", "/dev/xvd", "/dev/mmcblk", "/dev/disk"];
    disk.iter().any(|prefix| target.starts_with(prefix)).then(|| format!(">{target}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        commands(text).iter().map(|c| c.words.join(" ")).collect()
    }

    #[test]
    fn what_is_too_deep_or_too_long_to_be_read_is_still_a_command() {
        let nested = |depth: usize| format!("{}sh x{}", "echo $(".repeat(depth), ")".repeat(depth));
        for depth in [1, MAX_DEPTH, MAX_DEPTH + 1, MAX_DEPTH + 20] {
            let found = lines(&nested(depth));
            assert!(found.iter().any(|it| it.contains("sh x")), "{depth}: {found:?}");
        }
        let deep = commands(&nested(MAX_DEPTH + 1));
        assert!(deep.iter().any(|it| it.program() == "eval"), "{deep:?}");
        let long = format!("echo $(sh x {})", "a".repeat(MAX_INNER));
        assert!(commands(&long).iter().any(|it| it.program() == "eval"));
        let wrapped = format!("{} sh x", "env ".repeat(MAX_DEPTH + 2));
        assert!(lines(&wrapped).iter().any(|it| it.ends_with("sh x")));
    }

    #[test]
    fn finds_what_would_run() {
        for (text, expect) in [
            ("a b; c && d || e & f | g", vec!["a b", "c", "d", "e", "f", "g"]),
            ("a 'b; c' \"d && e\" # f", vec!["a b; c d && e"]),
            ("A=1 B=2 sudo -u x env C=3 rm -rf /", vec!["rm -rf /"]),
            ("if true; then rm x; fi", vec!["true", "rm x", "fi"]),
            ("a $(b `c`) \"$(d)\"", vec!["c", "b $()", "d", "a $() $()"]),
            ("bash -c 'rm -rf x; y'", vec!["rm -rf x", "y", "bash -c rm -rf x; y"]),
            ("bash <<EOF\nrm x\nEOF\nz", vec!["rm x", "bash", "z"]),
            ("cat <<'EOF' > f\nrm x\nEOF\nz", vec!["cat", "z"]),
            ("cat <<EOF | sh\nrm x\nEOF", vec!["cat", "rm x", "sh"]),
            ("echo 'rm x' | sudo bash", vec!["echo rm x", "rm x", "bash"]),
            ("sh <<< 'rm x'", vec!["rm x", "sh"]),
            ("a \\\n b", vec!["a b"]),
            ("find . -exec rm -rf {} \\;", vec!["rm -rf {}", "find . -exec rm -rf {} ;"]),
            ("ls | xargs -n 1 rm -rf", vec!["ls", "rm -rf"]),
            ("timeout -k 5 10 rm x", vec!["rm x"]),
            ("eval \"rm -rf x\"", vec!["rm -rf x", "eval rm -rf x"]),
            ("ssh -p 22 host 'rm x && y'", vec!["rm x", "y"]),
            ("a > f 2>&1 < g", vec!["a"]),
            ("f() { rm x; }", vec!["f", "rm x"]),
            ("command -v rm", vec!["command -v rm"]),
        ] {
            assert_eq!(lines(text), expect, "{text:?}");
        }
    }

    #[test]
    fn lines_are_counted() {
        let found = commands("a\nb \\\n  c\n\nbash -c 'd'");
        let at: Vec<_> = found.iter().map(|c| (c.first_line, c.last_line)).collect();
        assert_eq!(at, [(0, 0), (1, 2), (4, 4), (4, 4)]);
        let found = commands("sh <<E\n\na\nE\nb");
        let at: Vec<_> = found.iter().map(|c| c.first_line).collect();
        assert_eq!(at, [2, 0, 4]);
    }

    #[test]
    fn hostile_texts_end() {
        for unit in ["$(", "`", "\"", "((", "<<E\n", "sudo ", "bash -c '", "\\", "${"] {
            commands(&unit.repeat(20_000 / unit.len()));
        }
    }
}
