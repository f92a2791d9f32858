//! A run of lines that one row of the tables claims, while it grows and when it is done.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::clean::Line;
use super::expression::{first_group, matches};
use super::location::locations;
use super::noise::{is_dull, is_noise, says_nothing};
use super::normalise::normalise;
use super::patterns::level_len;
use super::rule::{Body, Classification, Rule, Symptom};
use super::rule_set::{Compiled, PARTICULAR};
use super::test_name::{TestNames, join};
use super::warning::is_warning;
use greenloop_model::{FailureClass, Location};

/// Lines of a block that are stored, telling ones aside.
const MOST_LINES: usize = 60;
/// Telling lines stored beyond those.
const MOST_KEYS: usize = 20;
/// Lines after which a block without an end is ended.
const MOST_TAKEN: usize = 400;

/// What tools put around a message.
const DECORATION: &[char] = &[
    ' ', '\t', '-', '_', '=', '>', '\u{25cf}', '\u{2716}', '\u{2717}', '\u{2718}', '\u{d7}',
    '\u{2500}', '\u{2502}', '\u{2577}', '\u{276f}', '\u{2771}',
];

/// What a line is within its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Before the first line: context.
    Lead,
    /// The line that started the block.
    Head,
    /// One that tells much, by the row's own expression.
    Key,
    /// Any other.
    Body,
    /// A framework's stack frame and the like.
    Dull,
}

/// A block.
pub(super) struct Block {
    row: &'static Compiled,
    /// The lines, in the order of the log.
    pub lines: Vec<(Line, Role)>,
    /// The file that bare places are in.
    pub header: Option<String>,
    /// It stands right below a warning: a logged error after which the program went on.
    pub warned: bool,
    proven: bool,
    hollow: bool,
    indent: usize,
    blanks: Vec<Line>,
    taken: usize,
    owner: Option<String>,
    /// The failing test that the first line names, or the first of those that the body names.
    name: Option<String>,
}

/// What a block does with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineUse {
    /// The block has the line, and may have more.
    Continues,
    /// The line is the block's last.
    Completes,
    /// The line is not the block's, which has ended.
    Rejected,
}

impl Block {
    /// A block that `head` starts; the first `soft` bytes are a level, such as `[ERROR] `. `None`
    /// where the line reports a test that failed before and passed now.
    pub(super) fn start(
        row: &'static Compiled,
        head: Line,
        soft: usize,
        tests: &mut TestNames,
    ) -> Option<Self> {
        let mut name = None;
        let text = head.text.get(soft..).unwrap_or(&head.text);
        if let Some(captures) = row.naming().and_then(|naming| naming.captures(text.as_bytes())) {
            let group = |name: &str| {
                captures.name(name).and_then(|found| text.get(found.range())).map(str::to_owned)
            };
            if let Some(name) = group("passed") {
                tests.passed(&name);
                return None;
            }
            name = match (group("name"), group("owner"), group("test")) {
                (None, Some(owner), Some(test)) => Some(join(&owner, &test)),
                (None, None, test) => test,
                (name, _, _) => name,
            };
            name.iter().for_each(|name| tests.add(name));
        }
        let indent = text.len() - text.trim_start_matches(' ').len();
        Some(Self {
            row,
            lines: vec![(head, Role::Head)],
            header: None,
            warned: false,
            proven: false,
            hollow: false,
            indent: indent + soft,
            blanks: Vec::new(),
            taken: 0,
            owner: None,
            name,
        })
    }

    /// Adds what stood before the first line, nearest first.
    pub(super) fn look_back(&mut self, before: impl Iterator<Item = Line>) {
        let rule = self.row.rule;
        let mut lead = true;
        let mut taken = 0;
        for line in before {
            lead = lead && taken < rule.before && matches(self.row.lead(), &line.text);
            if lead {
                if !is_noise(&line.text) && !is_warning(line.text.as_bytes()) {
                    let key = matches(self.row.key(), &line.text);
                    let role = if key { Role::Key } else { Role::Lead };
                    self.lines.insert(0, (line, role));
                }
                taken += 1;
            } else if self.row.header().is_none() {
                return;
            } else if matches(self.row.header(), &line.text) {
                self.header = Some(line.text.trim().to_owned());
                self.lines.insert(0, (line, Role::Key));
                return;
            }
        }
    }

    /// Reads the name of the failing test in what stood before the first line, nearest first.
    pub(super) fn read_title(&mut self, before: impl Iterator<Item = Line>, tests: &mut TestNames) {
        let Some(titled) = self.row.titled().filter(|_| self.name.is_none()) else { return };
        let mut lines: Vec<String> = before.map(|line| line.text).collect();
        lines.reverse();
        let text = lines.join("\n");
        let last = titled.captures_iter(text.as_bytes()).last();
        let name = last.and_then(|captures| captures.iter().skip(1).flatten().next());
        if let Some(name) = name.and_then(|name| text.get(name.range())) {
            tests.add(name);
            self.name = Some(name.to_owned());
        }
    }

    /// Takes the line that follows the first one directly, where that announces it by a colon and
    /// the row did not expect what it says.
    pub(super) fn take_announced(&mut self, line: &Line) -> bool {
        let announced = self.row.rule.score >= PARTICULAR
            && self.taken == 1
            && self.blanks.is_empty()
            && !line.is_blank()
            && self
                .lines
                .last()
                .is_some_and(|(head, role)| *role == Role::Head && head.text.ends_with(':'))
            && match self.row.rule.body {
                Body::Line | Body::While(..) => true,
                Body::Until(_) | Body::Through(_) => false,
            };
        if announced {
            self.store(line.clone(), Role::Key);
        }
        announced
    }

    /// Offers the next line of the log.
    pub(super) fn take(&mut self, line: &Line, tests: &mut TestNames) -> LineUse {
        self.taken += 1;
        if self.taken > MOST_TAKEN {
            return LineUse::Rejected;
        }
        let text = at_margin(&line.text, self.margin());
        match self.row.rule.body {
            Body::Line => LineUse::Rejected,
            Body::While(_, bridge) => {
                if line.is_blank() && !matches(self.row.body(), text) {
                    if self.blanks.len() >= bridge {
                        return LineUse::Rejected;
                    }
                    self.blanks.push(line.clone());
                    return LineUse::Continues;
                }
                if !matches(self.row.body(), text) {
                    return LineUse::Rejected;
                }
                for blank in std::mem::take(&mut self.blanks) {
                    self.store(blank, Role::Dull);
                }
                self.keep(line, text, tests);
                LineUse::Continues
            }
            Body::Until(_) => {
                if matches(self.row.body(), text) {
                    return LineUse::Rejected;
                }
                self.keep(line, text, tests);
                LineUse::Continues
            }
            Body::Through(_) => {
                let last = matches(self.row.body(), text);
                self.keep(line, text, tests);
                if last { LineUse::Completes } else { LineUse::Continues }
            }
        }
    }

    fn margin(&self) -> usize {
        match self.row.rule.body {
            // What comes through to the margin ends such a block, wherever its margin is.
            Body::Through(_) => self.indent,
            Body::Line | Body::While(..) | Body::Until(_) => 0,
        }
    }

    fn keep(&mut self, line: &Line, text: &str, tests: &mut TestNames) {
        if let Some((test, owned)) = first_group(self.row.item(), text) {
            let name = match self.owner.take() {
                Some(owner) => Some(format!("{owner} {test}")),
                None if !owned => Some(unfolded(test)),
                None => None,
            };
            if let Some(name) = name {
                tests.add(&name);
                self.name.get_or_insert(name);
            }
        } else if let Some((owner, _)) = first_group(self.row.owner(), text) {
            self.owner = Some(owner.to_owned());
        } else if let Some(owner) = &mut self.owner
            && !line.is_blank()
        {
            // A group within a group.
            owner.push(' ');
            owner.push_str(text.trim());
        }
        self.proven |= matches(self.row.proof(), text);
        if matches(self.row.hollow(), text) {
            self.hollow = true;
            self.name.take().iter().for_each(|name| tests.withdraw(name));
        }
        let role = if matches(self.row.key(), text) {
            if is_dull(text) { Role::Dull } else { Role::Key }
        } else {
            Role::Body
        };
        self.store(line.clone(), role);
    }

    fn store(&mut self, line: Line, role: Role) {
        let most = if role == Role::Key { MOST_LINES + MOST_KEYS } else { MOST_LINES };
        if self.lines.len() < most {
            self.lines.push((line, role));
        }
    }

    /// The row's name.
    pub(super) fn kind(&self) -> &'static str {
        self.row.rule.kind
    }

    pub(super) fn row(&self) -> &'static Compiled {
        self.row
    }

    /// How much of a cause it is.
    pub(super) fn score(&self) -> u16 {
        match (self.proven, self.hollow) {
            (true, _) => self.row.rule.score.max(90),
            (false, true) => self.row.rule.score.min(Rule::SUMMARY.score),
            (false, false) => self.row.rule.score,
        }
    }

    /// Whether it only says that something failed, and not what.
    pub(super) fn is_trailer(&self) -> bool {
        self.row.is_trailer() || self.hollow && !self.proven
    }

    /// Its class.
    pub(super) fn class(&self) -> FailureClass {
        let rule = if self.proven {
            Classification::Fixed(FailureClass::Code)
        } else {
            self.row.rule.class
        };
        super::classify::class(rule, self.telling())
    }

    /// Whether a compiler or a linter says it of the source: the same every time.
    pub(super) fn is_of_source(&self) -> bool {
        let rule = self.row.rule;
        rule.of_source
            || match rule.class {
                Classification::ToolText(_) => self.proven,
                Classification::Fixed(_) | Classification::ProgramText(_) => false,
            }
    }

    /// Whether a program that ran says it: a test, a panic, an exception.
    pub(super) fn is_of_a_run(&self) -> bool {
        let rule = self.row.rule;
        let own = match rule.class {
            Classification::ProgramText(_) => true,
            Classification::Fixed(_) | Classification::ToolText(_) => false,
        };
        !self.is_of_source() && (own || rule.symptom == Symptom::Tests)
    }

    /// Whether its words suggest a failure that passes when it is run again.
    pub(super) fn may_be_flaky(&self) -> bool {
        self.telling().any(|text| super::classify::words(text).flaky)
    }

    /// The texts of its lines, most telling first, context and dull ones left out.
    pub(super) fn telling(&self) -> impl Iterator<Item = &str> {
        [Role::Head, Role::Key, Role::Body].into_iter().flat_map(|role| {
            self.lines.iter().filter(move |(_, r)| *r == role).map(|(line, _)| line.text.as_str())
        })
    }

    /// The lines that its failure is known by again: of a test more, because what it asserts may
    /// stand further down than what everything that it asserts has in common.
    pub(super) fn said(&self) -> impl Iterator<Item = &str> {
        let most = match self.row.rule.symptom {
            Symptom::Tests => 7,
            Symptom::Location | Symptom::None => 3,
        };
        self.telling().take(most)
    }

    /// The line that started it.
    pub(super) fn head(&self) -> &str {
        self.telling().next().unwrap_or_default()
    }

    /// The place it is about: the innermost one outside of frameworks.
    pub(super) fn place(&self) -> Option<Location> {
        let named = |(line, role): &(Line, Role)| {
            let places = locations(&line.text, self.header.as_deref());
            if *role == Role::Dull { None } else { places.into_iter().next() }
        };
        match self.row.rule.body {
            // A traceback ends where it went wrong.
            Body::Through(_) => self.lines.iter().rev().find_map(named),
            Body::Line | Body::While(..) | Body::Until(_) => self.lines.iter().find_map(named),
        }
    }

    /// Whether a line of it names one of these tests.
    pub(super) fn names(&self, tests: &BTreeSet<String>) -> bool {
        self.lines.iter().any(|(line, _)| tests.iter().any(|test| line.text.contains(test)))
    }

    /// Number of its first stored line.
    pub(super) fn first_line(&self) -> u64 {
        self.lines.iter().find(|(_, role)| *role == Role::Head).map_or(0, |(line, _)| line.no)
    }

    /// The one line that tells most: the first telling line where the head only introduces it.
    pub(super) fn headline(&self) -> String {
        let head = self.head();
        let head = head.get(level_len(head)..).unwrap_or(head).trim_matches(DECORATION);
        let best = self.lines.iter().position(|(line, role)| {
            *role == Role::Key && Some(line.text.trim()) != self.header.as_deref()
        });
        let text = |at: usize| self.lines.get(at).map_or("", |(line, _)| line.text.trim());
        let Some(at) = best.filter(|_| self.row.rule.introduces) else {
            let next = self.lines.iter().position(|(_, role)| *role == Role::Head).map(|at| at + 1);
            return match next.map(text).filter(|next| head.ends_with(':') && !next.is_empty()) {
                Some(next) => format!("{head} {next}"),
                None => head.to_owned(),
            };
        };
        let mut best =
            text(at).trim_start_matches("E ").trim_start_matches(['#', ' ', '\t']).to_owned();
        // `panicked at src/lib.rs:3:5:` has its message on the next line.
        if best.ends_with(':') {
            best = format!("{best} {}", text(at + 1));
        }
        let best = match (&self.name, best.strip_prefix("thread '")) {
            // A thread is called like the test that it runs.
            (Some(name), Some(rest)) => match rest.strip_prefix(name.as_str()) {
                Some(rest) => {
                    let rest = rest.trim_start_matches(['\'', ' ']);
                    let number = rest.strip_prefix('(').and_then(|rest| rest.split_once(") "));
                    number.map_or(rest, |(_, said)| said).to_owned()
                }
                None => best,
            },
            (_, _) => best,
        };
        match &self.name {
            Some(name) if !best.contains(name.as_str()) => format!("{name}: {best}"),
            Some(_) | None => best,
        }
    }

    /// A print of what two copies of the same block have in common.
    pub(super) fn likeness(&self) -> u64 {
        let mut out = DefaultHasher::new();
        self.kind().hash(&mut out);
        let telling = self
            .lines
            .iter()
            .filter(|(_, role)| matches!(role, Role::Head | Role::Key))
            .map(|(line, _)| line.text.as_str());
        for text in telling.take(6) {
            let text = text.get(level_len(text)..).unwrap_or(text);
            for word in text.split_ascii_whitespace() {
                word.hash(&mut out);
            }
        }
        out.finish()
    }

    /// What blocks that say the same of other lines have in common.
    pub(super) fn message(&self) -> String {
        let said: Vec<String> = self.telling().take(3).map(normalise).collect();
        said.join("\n")
    }

    /// Bytes it takes in memory, about.
    pub(super) fn weight(&self) -> usize {
        self.lines.iter().map(|(line, _)| line.text.len() + 48).sum()
    }

    /// Tells the lines that say nothing from the others. Only for blocks that are shown: most
    /// repeat one.
    pub(super) fn settle(&mut self) {
        let margin = self.margin();
        for (line, role) in self.lines.iter_mut().filter(|(_, role)| *role == Role::Body) {
            let text = at_margin(&line.text, margin);
            if says_nothing(text) || is_warning(text.as_bytes()) {
                *role = Role::Dull;
            }
        }
    }

    /// Lets go of all but the telling lines.
    pub(super) fn shrink(&mut self) {
        let mut left = 4;
        self.lines.retain(|(_, role)| {
            let keep = matches!(role, Role::Head | Role::Key) && left > 0;
            left -= usize::from(keep);
            keep
        });
    }
}

/// A line as it would stand at the margin of an indented block: so the row's expressions see it.
fn at_margin(text: &str, margin: usize) -> &str {
    let spaces = text.len() - text.trim_start_matches(' ').len();
    text.get(spaces.min(margin)..).unwrap_or(text)
}

/// A name out of `name(owner)`, as Surefire lists it.
fn unfolded(name: &str) -> String {
    match name.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
        Some((test, owner)) if owner.contains('.') && !owner.contains([' ', ',']) => {
            join(owner, test)
        }
        _ => name.to_owned(),
    }
}
