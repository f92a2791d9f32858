//! What a Dockerfile says, as far as it matters around a build: which instruction stands on which
//! line, and which images it builds on.
//!
//! Never fails: what is wrong with a Dockerfile, the builder says.

use std::collections::{BTreeMap, BTreeSet};

/// A Dockerfile, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Dockerfile {
    instructions: Vec<Instruction>,
}

/// One instruction, its continuation lines joined as the builder joins them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instruction {
    /// First line, 1-based.
    pub line: u64,
    /// Last line, inclusive; with a here-document's.
    pub last: u64,
    /// Upper case: `RUN`.
    pub keyword: String,
    /// What follows the keyword.
    pub rest: String,
    /// Which stage it belongs to; `None` before the first `FROM`.
    pub stage: Option<usize>,
}

impl Instruction {
    /// `RUN npm ci`, spaces collapsed.
    pub(super) fn text(&self) -> String {
        collapsed(&format!("{} {}", self.keyword, self.rest))
    }

    /// The command a `RUN` runs, its flags left out; the whole instruction for others.
    pub(super) fn command(&self) -> String {
        if self.keyword != "RUN" {
            return self.text();
        }
        let mut rest = self.rest.trim_start();
        while rest.starts_with("--") {
            rest = rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start());
        }
        collapsed(rest)
    }
}

/// An image that the build starts from or copies from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Base {
    /// As it stands there, with arguments put in: `node:20`.
    pub name: String,
    /// Where it is named.
    pub line: u64,
    /// `--platform` of its `FROM`.
    pub platform: Option<String>,
}

/// A step as a builder names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepName<'a> {
    /// The classic builder's `Step 3/5 : RUN true`: the number counts all instructions.
    Classic { number: usize, text: &'a str },
    /// BuildKit's `[build 2/3] RUN true`: the number counts those of a stage that change files.
    BuildKit { stage: Option<&'a str>, number: usize, text: &'a str },
}

impl<'a> StepName<'a> {
    /// From BuildKit's name for a vertex; `None` for what is no instruction.
    pub(super) fn of_vertex(name: &'a str) -> Option<Self> {
        let (inside, text) = name.strip_prefix('[')?.split_once("] ")?;
        let (stage, numbers) = match inside.rsplit_once(' ') {
            // A multi-platform build writes the platform first.
            Some((stage, numbers)) => (stage.rsplit(' ').next(), numbers.trim()),
            None => (None, inside),
        };
        let number = numbers.split_once('/')?.0.trim().parse().ok()?;
        Some(Self::BuildKit { stage, number, text })
    }

    /// From the classic builder's line.
    pub(super) fn of_line(line: &'a str) -> Option<Self> {
        let (numbers, text) = line.strip_prefix("Step ")?.split_once(" : ")?;
        let number = numbers.split_once('/')?.0.parse().ok()?;
        Some(Self::Classic { number, text })
    }

    /// The instruction's text.
    pub(super) const fn text(self) -> &'a str {
        match self {
            Self::Classic { text, .. } | Self::BuildKit { text, .. } => text,
        }
    }
}

impl Dockerfile {
    /// Reads one.
    pub(super) fn parse(text: &str) -> Self {
        Reader::new(text).read()
    }

    /// The instruction on that line.
    pub(super) fn at(&self, line: u64) -> Option<&Instruction> {
        self.instructions.iter().find(|one| (one.line..=one.last).contains(&line))
    }

    /// The instruction that a step of a builder runs.
    pub(super) fn find(&self, step: StepName<'_>) -> Option<&Instruction> {
        let text = collapsed(step.text());
        match step {
            StepName::Classic { number, .. } => {
                let counted = self.instructions.get(number.checked_sub(1)?);
                counted
                    .filter(|one| fits(&one.text(), &text))
                    .or_else(|| self.instructions.iter().find(|one| fits(&one.text(), &text)))
            }
            StepName::BuildKit { stage, number, .. } => {
                let wanted = stage.and_then(|name| self.stage_named(name));
                let here = |one: &&Instruction| wanted.is_none_or(|at| one.stage == Some(at));
                let like: Vec<&Instruction> = self
                    .instructions
                    .iter()
                    .filter(here)
                    .filter(|one| fits(&one.text(), &text))
                    .collect();
                // The same instruction twice: the one whose place in its stage is nearest.
                like.into_iter().min_by_key(|one| self.place(one).abs_diff(number))
            }
        }
    }

    /// The first instruction that names this image, as written or in full.
    pub(super) fn naming(&self, image: &str, bases: &[Base]) -> Option<&Instruction> {
        let full = |name: &str| super::reference::Reference::parse(name).map(|r| r.to_string());
        let wanted = full(image)?;
        let base = bases.iter().find(|base| full(&base.name).as_ref() == Some(&wanted))?;
        self.at(base.line)
    }

    /// The place among the instructions of its stage that change files, `FROM` being 1.
    fn place(&self, one: &Instruction) -> usize {
        let counts = |keyword: &str| matches!(keyword, "FROM" | "RUN" | "COPY" | "ADD" | "WORKDIR");
        self.instructions
            .iter()
            .filter(|other| other.stage == one.stage && other.line <= one.line)
            .filter(|other| counts(&other.keyword))
            .count()
    }

    fn stages(&self) -> impl Iterator<Item = &Instruction> {
        self.instructions.iter().filter(|one| one.keyword == "FROM")
    }

    /// By its `AS` name, or `stage-N`, or its number.
    fn stage_named(&self, name: &str) -> Option<usize> {
        let by_name = self.stages().position(|from| {
            alias(&from.rest).is_some_and(|alias| alias.eq_ignore_ascii_case(name))
        });
        by_name.or_else(|| {
            let number: usize = name.strip_prefix("stage-").unwrap_or(name).parse().ok()?;
            (number < self.stages().count()).then_some(number)
        })
    }

    /// The images that building `target` (the last stage for `None`) needs, sorted; `None` when a
    /// name depends on an argument that has no value, or the target does not exist.
    pub(super) fn bases(
        &self,
        args: &BTreeMap<String, String>,
        target: Option<&str>,
        platform: &str,
    ) -> Option<Vec<Base>> {
        let stages: Vec<&Instruction> = self.stages().collect();
        let last = match target {
            Some(name) => self.stage_named(name)?,
            None => stages.len().checked_sub(1)?,
        };
        let globals = self.globals(args, platform);
        let mut bases = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![last];
        while let Some(at) = open.pop() {
            if !seen.insert(at) {
                continue;
            }
            let from = *stages.get(at)?;
            let (flags, rest) = flags(&from.rest);
            let name = expand(rest.split_whitespace().next()?, &globals)?;
            let platform = match flags.iter().find(|(flag, _)| *flag == "platform") {
                Some((_, value)) => Some(expand(value, &globals)?),
                None => None,
            };
            match self.stage_named_before(&name, at) {
                Some(stage) => open.push(stage),
                None if name.eq_ignore_ascii_case("scratch") => {}
                None => {
                    bases.insert(Base { name, line: from.line, platform });
                }
            }
            for one in self.instructions.iter().filter(|one| one.stage == Some(at)) {
                for name in sources(one) {
                    match self.stage_named_before(name, at) {
                        Some(stage) => open.push(stage),
                        None if name.eq_ignore_ascii_case("scratch") => {}
                        None => {
                            let name = expand(name, &globals)?;
                            bases.insert(Base { name, line: one.line, platform: None });
                        }
                    }
                }
            }
        }
        Some(bases.into_iter().collect())
    }

    /// What the instructions take from the build context: sources of `COPY` and `ADD`, and those
    /// that a `RUN` mounts, with arguments and variables put in as far as they have a value.
    pub(super) fn context_sources(&self, args: &BTreeMap<String, String>) -> Vec<String> {
        let mut known = BTreeMap::new();
        let mut all = Vec::new();
        for one in &self.instructions {
            let (flags, rest) = flags(&one.rest);
            match one.keyword.as_str() {
                "ARG" => define(&mut known, rest, args),
                "ENV" => define(&mut known, rest, &BTreeMap::new()),
                "COPY" | "ADD" if !flags.iter().any(|(name, _)| *name == "from") => {
                    let mut words = words(rest);
                    // The last one is where they go.
                    words.pop();
                    all.extend(words);
                }
                "RUN" => {
                    let mounts = flags.iter().filter(|(name, _)| *name == "mount");
                    all.extend(mounts.filter_map(|(_, options)| mounted(options)));
                }
                _ => {}
            }
        }
        all.into_iter().filter_map(|source| expand(&source, &known)).collect()
    }

    fn stage_named_before(&self, name: &str, at: usize) -> Option<usize> {
        self.stage_named(name).filter(|stage| *stage < at)
    }

    /// Arguments that a `FROM` sees: those before the first one, and the platform's own.
    fn globals(&self, args: &BTreeMap<String, String>, platform: &str) -> BTreeMap<String, String> {
        let mut known = BTreeMap::new();
        let mut parts = platform.splitn(3, '/');
        let (os, arch) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        for side in ["TARGET", "BUILD"] {
            known.insert(format!("{side}PLATFORM"), platform.to_owned());
            known.insert(format!("{side}OS"), os.to_owned());
            known.insert(format!("{side}ARCH"), arch.to_owned());
        }
        let before = self.instructions.iter().take_while(|one| one.keyword != "FROM");
        for one in before.filter(|one| one.keyword == "ARG") {
            define(&mut known, &one.rest, args);
        }
        known
    }
}

/// `NAME=value …` of an `ARG` or `ENV`, added to `known`; `args` go before defaults.
fn define(
    known: &mut BTreeMap<String, String>,
    definitions: &str,
    args: &BTreeMap<String, String>,
) {
    for word in definitions.split_whitespace() {
        let (name, default) = match word.split_once('=') {
            Some((name, value)) => (name, Some(unquoted(value))),
            None => (word, None),
        };
        let value = match (args.get(name), default) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => expand(default, known),
            (None, None) => None,
        };
        if let Some(value) = value {
            known.insert(name.to_owned(), value);
        }
    }
}

/// The words after an instruction's flags: a JSON list, or separated by blanks.
fn words(rest: &str) -> Vec<String> {
    serde_json::from_str(rest)
        .unwrap_or_else(|_| rest.split_whitespace().map(|word| unquoted(word).to_owned()).collect())
}

/// What a bind mount shows of the build context.
fn mounted(options: &str) -> Option<String> {
    let option = |wanted: &[&str]| {
        let mut options = options.split(',').filter_map(|option| option.trim().split_once('='));
        options.find(|(name, _)| wanted.contains(name)).map(|(_, value)| value.to_owned())
    };
    if option(&["from"]).is_some() || option(&["type"]).is_some_and(|kind| kind != "bind") {
        return None;
    }
    option(&["source", "src"])
}

/// What an instruction copies or mounts from: stages and images.
fn sources(one: &Instruction) -> Vec<&str> {
    let (flags, _) = flags(&one.rest);
    match one.keyword.as_str() {
        "COPY" => flags.iter().filter(|(name, _)| *name == "from").map(|(_, v)| *v).collect(),
        "RUN" => flags
            .iter()
            .filter(|(name, _)| *name == "mount")
            .flat_map(|(_, options)| options.split(','))
            .filter_map(|option| option.trim().strip_prefix("from="))
            .collect(),
        _ => Vec::new(),
    }
}

/// Leading `--name=value`s, and what follows them.
fn flags(rest: &str) -> (Vec<(&str, &str)>, &str) {
    let mut flags = Vec::new();
    let mut rest = rest.trim_start();
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        flags.push(flag.split_once('=').unwrap_or((flag, "")));
        rest = after.trim_start();
    }
    (flags, rest)
}

/// The name in `FROM image AS name`.
fn alias(from: &str) -> Option<&str> {
    let (_, rest) = flags(from);
    let mut words = rest.split_whitespace().skip(1);
    words.next().filter(|word| word.eq_ignore_ascii_case("as"))?;
    words.next()
}

fn unquoted(text: &str) -> &str {
    let quoted = |q: char| text.strip_prefix(q).and_then(|text| text.strip_suffix(q));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(text)
}

/// `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}` with their values; `None` when one
/// has none.
fn expand(text: &str, known: &BTreeMap<String, String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = unquoted(text);
    while let Some(at) = rest.find('$') {
        out.push_str(rest.get(..at)?);
        rest = rest.get(at + 1..)?;
        let (name, fallback, other) = if let Some(braced) = rest.strip_prefix('{') {
            let (inside, after) = braced.split_once('}')?;
            rest = after;
            match (inside.split_once(":-"), inside.split_once(":+")) {
                (Some((name, default)), _) => (name, Some(default), None),
                (None, Some((name, other))) => (name, None, Some(other)),
                (None, None) => (inside, None, None),
            }
        } else {
            let end =
                rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let name = rest.get(..end)?;
            rest = rest.get(end..)?;
            (name, None, None)
        };
        let value = known.get(name).filter(|value| !value.is_empty());
        match (value, fallback, other) {
            (Some(_), _, Some(other)) => out.push_str(other),
            (None, _, Some(_)) => {}
            (Some(value), _, None) => out.push_str(value),
            (None, Some(default), None) => out.push_str(default),
            (None, None, None) => return None,
        }
    }
    out.push_str(rest);
    (!out.is_empty()).then_some(out)
}

/// Whether a builder may have made `shown` from the instruction `written`: the same, except where
/// a variable stands. A here-document is shown shortened, behind its first line.
fn fits(written: &str, shown: &str) -> bool {
    if written == shown {
        return true;
    }
    if let (Some(at), Some(other)) = (written.find("<<"), shown.find("<<")) {
        return written.get(..at) == shown.get(..other);
    }
    let mut pieces = written.split('$');
    let Some(first) = pieces.next() else { return false };
    let Some(mut rest) = shown.strip_prefix(first) else { return false };
    let mut any = false;
    for piece in pieces {
        any = true;
        let fixed = match piece.strip_prefix('{') {
            Some(braced) => braced.split_once('}').map_or("", |(_, fixed)| fixed),
            None => piece.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_'),
        };
        match rest.find(fixed) {
            Some(at) => rest = rest.get(at + fixed.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    any || rest.is_empty()
}

fn collapsed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    escape: char,
    stage: Option<usize>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines: Vec<&str> = text.lines().collect();
        Self { escape: escape(&lines), lines, stage: None }
    }

    fn read(mut self) -> Dockerfile {
        let mut instructions = Vec::new();
        let mut at = 0;
        while let Some(line) = self.lines.get(at) {
            if is_comment(line) || line.trim().is_empty() {
                at += 1;
                continue;
            }
            let first = at;
            let mut text = String::new();
            while let Some(line) = self.lines.get(at) {
                at += 1;
                // Comments and blank lines within an instruction are not part of it.
                if at > first + 1 && (is_comment(line) || line.trim().is_empty()) {
                    continue;
                }
                match line.trim_end().strip_suffix(self.escape) {
                    Some(begun) => text.push_str(begun),
                    None => {
                        text.push_str(line);
                        break;
                    }
                }
            }
            let text = text.trim();
            let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            let keyword = keyword.to_ascii_uppercase();
            if matches!(keyword.as_str(), "RUN" | "COPY" | "ADD") {
                for (end, tabs) in here_documents(rest) {
                    let ends = |line: &&str| {
                        let line = if tabs { line.trim_start_matches('\t') } else { line };
                        line == end
                    };
                    if let Some(more) = self.lines.iter().skip(at).position(ends) {
                        at += more + 1;
                    }
                }
            }
            if keyword == "FROM" {
                self.stage = Some(self.stage.map_or(0, |stage| stage + 1));
            }
            instructions.push(Instruction {
                line: first as u64 + 1,
                last: at as u64,
                keyword,
                rest: rest.trim().to_owned(),
                stage: self.stage,
            });
        }
        Dockerfile { instructions }
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The escape character: a parser directive before everything else may change it.
fn escape(lines: &[&str]) -> char {
    for line in lines {
        let Some(directive) = line.trim().strip_prefix('#') else { break };
        let Some((name, value)) = directive.split_once('=') else { break };
        if name.trim().eq_ignore_ascii_case("escape") {
            return if value.trim() == "`" { '`' } else { '\\' };
        }
    }
    '\\'
}

/// The words that end the here-documents of a line, and whether tabs before them are dropped.
fn here_documents(rest: &str) -> Vec<(&str, bool)> {
    rest.match_indices("<<")
        .filter(|(at, _)| rest.get(..*at).is_none_or(|before| !before.ends_with('<')))
        .filter_map(|(at, _)| {
            let word = rest.get(at + 2..)?;
            let (word, tabs) = word.strip_prefix('-').map_or((word, false), |word| (word, true));
            let word = word.trim_start_matches(['"', '\'']);
            let end = word.find(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c));
            let word = word.get(..end.unwrap_or(word.len()))?;
            (!word.is_empty()).then_some((word, tabs))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "# syntax=docker/dockerfile:1\n\
        ARG NODE=20\n\
        ARG REGISTRY\n\
        \n\
        FROM --platform=$BUILDPLATFORM node:${NODE}-slim AS build\n\
        WORKDIR /app\n\
        RUN --mount=type=cache,target=/root/.npm \\\n\
        \x20   # why\n\
        \n\
        \x20   npm ci && \\\n\
        \x20   npm test\n\
        COPY --from=tools /bin/tool /bin/\n\
        COPY ${FILE} /x\n\
        \n\
        from scratch as tools\n\
        COPY --from=busybox:1.36 /bin /bin\n\
        FROM nginx AS unused\n\
        FROM ${REGISTRY:-docker.io}/library/alpine\n\
        COPY --from=0 /app /app\n\
        RUN <<EOT\n\
        RUN not an instruction\n\
        EOT\n\
        RUN true\n";

    fn args(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn instructions_keep_their_lines() {
        let file = Dockerfile::parse(SAMPLE);
        let seen: Vec<(u64, u64, &str)> = file
            .instructions
            .iter()
            .map(|one| (one.line, one.last, one.keyword.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                (2, 2, "ARG"),
                (3, 3, "ARG"),
                (5, 5, "FROM"),
                (6, 6, "WORKDIR"),
                (7, 11, "RUN"),
                (12, 12, "COPY"),
                (13, 13, "COPY"),
                (15, 15, "FROM"),
                (16, 16, "COPY"),
                (17, 17, "FROM"),
                (18, 18, "FROM"),
                (19, 19, "COPY"),
                (20, 22, "RUN"),
                (23, 23, "RUN"),
            ]
        );
        assert_eq!(file.at(9).unwrap().command(), "npm ci && npm test");
        assert_eq!(Dockerfile::parse("FROM a\nRUN dir `\n").instructions.len(), 2);
        let windows = Dockerfile::parse("# escape=`\r\nFROM a\r\nRUN dir `\r\n  c:\\\r\nRUN b\r\n");
        assert_eq!(windows.at(4).unwrap().text(), "RUN dir c:\\");
    }

    #[test]
    fn only_the_images_that_the_target_needs_count() {
        let file = Dockerfile::parse(SAMPLE);
        let names = |target, given: &[(&str, &str)]| {
            file.bases(&args(given), target, "linux/amd64").map(|bases| {
                bases.into_iter().map(|base| (base.name, base.line)).collect::<Vec<_>>()
            })
        };
        let owned = |list: &[(&str, u64)]| {
            Some(list.iter().map(|(name, line)| ((*name).to_owned(), *line)).collect::<Vec<_>>())
        };
        assert_eq!(
            names(None, &[]),
            // The tool's stage comes after `build`, so `tools` there means an image.
            owned(&[("docker.io/library/alpine", 18), ("node:20-slim", 5), ("tools", 12)])
        );
        assert_eq!(names(Some("tools"), &[]), owned(&[("busybox:1.36", 16)]));
        assert_eq!(
            names(Some("build"), &[("NODE", "22")]),
            owned(&[("node:22-slim", 5), ("tools", 12)])
        );
        assert_eq!(names(Some("nothing"), &[]), None);
        assert_eq!(Dockerfile::parse("FROM a:$V").bases(&args(&[]), None, ""), None);
        let platform = &file.bases(&args(&[]), Some("build"), "linux/arm64").unwrap()[0].platform;
        assert_eq!(platform.as_deref(), Some("linux/arm64"));
    }

    #[test]
    fn what_is_taken_from_the_context_is_known() {
        let file = Dockerfile::parse(
            "FROM a AS b\nARG FROM_DIR=src\nARG OTHER\nENV E=\"env dir\"\n\
             COPY --chown=1:1 one two/ /x/\nADD [\"with blank\", \".git\", \"/y\"]\n\
             COPY --from=b /not /this\nCOPY ${FROM_DIR}/lib $UNKNOWN /z\nCOPY $OTHER /o\n\
             RUN --mount=type=bind,source=.git,target=/g --mount=type=cache,source=no,target=/c \
             --mount=type=bind,from=b,source=neither,target=/n git describe\n",
        );
        let args = args(&[("OTHER", "given")]);
        let expect = ["one", "two/", "with blank", ".git", "src/lib", "given", ".git"];
        assert_eq!(file.context_sources(&args), expect);
    }

    #[test]
    fn steps_are_found_again() {
        let file = Dockerfile::parse(SAMPLE);
        for (vertex, line) in [
            ("[build 2/5] WORKDIR /app", Some(6)),
            (
                "[build 3/5] RUN --mount=type=cache,target=/root/.npm     npm ci &&     npm test",
                Some(7),
            ),
            ("[build 5/5] COPY package.json /x", Some(13)),
            ("[linux/amd64 build 5/5] COPY package.json /x", Some(13)),
            ("[stage-3 4/4] RUN true", Some(23)),
            ("[stage-3 3/4] RUN <<EOT (RUN not an instruction)", Some(20)),
            ("[stage-3 1/4] FROM docker.io/library/alpine@sha256:00", Some(18)),
            ("[internal] load build context", None),
            ("exporting to image", None),
        ] {
            let found = StepName::of_vertex(vertex).and_then(|step| file.find(step));
            assert_eq!(found.map(|one| one.line), line, "{vertex}");
        }
        let plain = Dockerfile::parse("FROM a\nRUN true\nRUN false\nRUN true\n");
        for (line, expect) in
            [("Step 2/4 : RUN true", 2), ("Step 4/4 : RUN true", 4), ("Step 3/4 : RUN false", 3)]
        {
            let found = StepName::of_line(line).and_then(|step| plain.find(step)).unwrap();
            assert_eq!(found.line, expect, "{line}");
        }
        let twice = StepName::of_vertex("[4/4] RUN true").and_then(|step| plain.find(step));
        assert_eq!(twice.unwrap().line, 4);
    }
}
