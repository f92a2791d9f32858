//! The one pass over a log: lines in, an [`Extraction`] out.

use std::collections::{BTreeSet, VecDeque};

use super::block::{Block, LineUse};
use super::block_store::BlockStore;
use super::clean::{Line, bounded, strip};
use super::encoding::Decoder;
use super::limits::ExtractLimits;
use super::lines::Lines;
use super::location::locations;
use super::noise::{begins_step, is_noise};
use super::normalise::{digest, normalise};
use super::redact::{KEY_MARKER, KeyLine, KeyState, Redactor};
use super::repeats::pieces;
use super::rule::Symptom;
use super::rule_set::{Candidates, RuleSet};
use super::select::{make_presentable, select};
use super::test_name::TestNames;
use greenloop_model::{Excerpt, FailureClass, Fingerprint};

/// Lines looked back over for context and headers.
const RECENT: usize = 40;
/// Bytes kept of each of them.
const RECENT_BYTES: usize = 2048;
/// Lines shown when nothing looks like an error.
const LAST_LINES: usize = 20;
/// Of these, those before the first place that only says that something failed, where the lines
/// before the last such place are shown too.
const FIRST_LINES: usize = 8;
/// Lines between two such places that are one: `make` says so once a level, and CI once more.
const ONE_PLACE: u64 = 8;
/// Blocks of a lower score know no more than a word.
const WEAK: u16 = 30;
/// Lines after a warning that may belong to it.
const DETAIL: u64 = 12;
/// Characters of a headline.
const HEADLINE: usize = 240;
/// Symptoms kept.
const MOST_SYMPTOMS: usize = 200;
/// Blocks this much less of a cause than the best have no part in a failure's identity.
const PART: u16 = 25;

/// What matters in a log. All text in it is redacted.
#[derive(Debug, Clone, PartialEq)]
pub struct Extraction {
    /// Lines of the log.
    pub lines: u64,
    /// Bytes of the log.
    pub bytes: u64,
    /// The lines that matter, in the order of the log; never overlapping.
    pub excerpts: Vec<Excerpt>,
    /// The normalised identity of what failed.
    pub fingerprint: Fingerprint,
    /// Names of the tests that failed.
    pub failing_tests: BTreeSet<String>,
    /// Its class.
    pub class: FailureClass,
    /// Whether it may well pass when it is run again.
    pub flaky_suspect: bool,
    /// Whether it cannot pass when it is run again on the same tree: a compiler or a linter has
    /// named a place in the source, and no test and no program of the log failed beside it.
    pub deterministic: bool,
    /// Failing tests and `file: message` of errors, normalised: what iterations are compared by.
    pub symptoms: BTreeSet<String>,
    /// The most telling line, bounded; empty for an empty log.
    pub headline: String,
}

/// What matters in these bytes.
pub fn extract(bytes: &[u8], limits: ExtractLimits, redactor: &Redactor) -> Extraction {
    let mut extractor = Extractor::new(limits);
    extractor.push(bytes);
    extractor.finish(redactor)
}

/// Reads a log as it comes. Memory does not grow with the log.
pub struct Extractor {
    limits: ExtractLimits,
    bytes: u64,
    decoder: Decoder,
    lines: Lines,
    scan: Scan,
}

impl Extractor {
    /// An extractor at the beginning of a log.
    pub fn new(limits: ExtractLimits) -> Self {
        Self {
            limits,
            bytes: 0,
            decoder: Decoder::default(),
            lines: Lines::default(),
            scan: Scan::new(),
        }
    }

    /// The next bytes of the log, cut anywhere; UTF-8 or UTF-16.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let scan = &mut self.scan;
        self.lines.push(&self.decoder.push(bytes), |no, raw| scan.line(no, raw));
    }

    /// The end of the log.
    pub fn finish(self, redactor: &Redactor) -> Extraction {
        let Self { limits, bytes, decoder, mut lines, mut scan } = self;
        lines.push(&decoder.finish(), |no, raw| scan.line(no, raw));
        let lines = lines.finish(|no, raw| scan.line(no, raw));
        scan.close();
        let Scan { recent, blocks, tests, trailers, .. } = scan;
        let mut blocks = blocks.ranked();
        let retried = tests.retried().clone();
        if !retried.is_empty() && blocks.iter().any(|block| !block.names(&retried)) {
            blocks.retain(|block| !block.names(&retried));
        }
        let failing_tests: BTreeSet<String> =
            tests.finish().iter().map(|name| redactor.redact(name).into_owned()).collect();
        // What only says that something failed hides what did: the lines before it tell more.
        let known = blocks.iter().any(|block| !block.is_trailer());
        let weak = blocks.iter().all(|block| block.score() < WEAK || block.is_trailer());
        let mut before: Vec<Line> = match trailers.is_empty() {
            false if weak => trailers.before(),
            true if blocks.is_empty() => within(last_lines(recent.newest_first()), LAST_LINES),
            _ => Vec::new(),
        };
        let mut excerpts = select(&blocks, lines, limits, redactor);
        if !before.is_empty() {
            if !known {
                // One of them, if it says at least which command it was.
                let told =
                    blocks.first().filter(|block| block.score() >= 10).map(Block::first_line);
                excerpts.retain(|excerpt| {
                    told.is_some_and(|line| (excerpt.start..=excerpt.end).contains(&line))
                });
                blocks.clear();
            }
            let kept = |line: &Line| excerpts.iter().any(|e| (e.start..=e.end).contains(&line.no));
            before.retain(|line| !kept(line));
            let used: u64 = excerpts.iter().map(|e| e.end - e.start + 1).sum();
            let room = limits.lines.saturating_sub(usize::try_from(used).unwrap_or(usize::MAX));
            let shown = without_repeats(&before);
            excerpts.extend(as_excerpts(shown.iter().rev().take(room), redactor));
            excerpts.sort_by_key(|excerpt| excerpt.start);
        }
        let headline = match (blocks.first(), before.last()) {
            (Some(best), _) => best.headline(),
            (None, last) => last.map(|line| line.text.clone()).unwrap_or_default(),
        };
        let headline = bounded(redactor.redact(headline.trim()).trim(), HEADLINE);
        let symptoms = symptoms(&blocks, &failing_tests, &headline, redactor);
        let known = telling(&blocks);
        let class = known.map_or(FailureClass::Unknown, Block::class);
        let deterministic = failing_tests.is_empty()
            && retried.is_empty()
            && known.is_some_and(|block| block.is_of_source() && block.place().is_some())
            && !causes(&blocks).any(Block::is_of_a_run);
        Extraction {
            lines,
            bytes,
            fingerprint: identity(&blocks, &failing_tests, &before),
            failing_tests,
            class,
            flaky_suspect: is_flaky_suspect(known, &blocks) || !retried.is_empty(),
            deterministic,
            symptoms,
            headline,
            excerpts,
        }
    }
}

/// The blocks that have a part in the failure's identity.
fn causes(blocks: &[Block]) -> impl Iterator<Item = &Block> {
    let best = blocks.first().map_or(0, Block::score);
    blocks.iter().filter(move |block| block.score() + PART >= best)
}

/// What a failure is known by again: its failing tests by name, and what its causes say. Where
/// there is neither, the heads of the blocks, or the last lines.
fn identity(blocks: &[Block], tests: &BTreeSet<String>, kept: &[Line]) -> Fingerprint {
    let said: Vec<&str> = causes(blocks)
        .filter(|block| block.row().rule.symptom != Symptom::None)
        .flat_map(Block::said)
        .collect();
    let mut parts: BTreeSet<String> = tests.clone();
    if parts.is_empty() && said.is_empty() {
        parts.extend(blocks.iter().map(|block| normalise(block.head())));
        parts.extend(kept.iter().map(|line| normalise(&line.text)));
    }
    parts.extend(said.into_iter().map(normalise));
    digest(&parts)
}

fn symptoms(
    blocks: &[Block],
    tests: &BTreeSet<String>,
    headline: &str,
    redactor: &Redactor,
) -> BTreeSet<String> {
    let mut out: BTreeSet<String> = tests.clone();
    let mut add = |block: &Block| {
        let headline = block.headline();
        let message = normalise(&headline);
        let symptom = match block.place() {
            Some(place) if !headline.contains(&place.file) => {
                format!("{}: {message}", normalise(&place.file))
            }
            _ => message,
        };
        if out.len() < MOST_SYMPTOMS {
            out.insert(bounded(&redactor.redact(&symptom), HEADLINE));
        }
    };
    causes(blocks).filter(|block| block.row().rule.symptom == Symptom::Location).for_each(&mut add);
    if out.is_empty() && !headline.is_empty() {
        out.insert(normalise(headline));
    }
    out
}

/// The best evidence that has a class: the failure's class is that of it.
fn telling(blocks: &[Block]) -> Option<&Block> {
    blocks.iter().find(|block| block.class() != FailureClass::Unknown)
}

/// A compiler is never flaky; for everything else, what stands beside the best counts too.
fn is_flaky_suspect(known: Option<&Block>, blocks: &[Block]) -> bool {
    let best = known.map_or(0, Block::score);
    !known.is_some_and(Block::is_of_source)
        && blocks
            .iter()
            .filter(|block| block.score() + PART >= best && block.score() >= 30)
            .any(Block::may_be_flaky)
}

/// The last resort: the last lines that say anything, in the order of the log, of the step that
/// they belong to.
fn last_lines(newest_first: impl Iterator<Item = Line>) -> Vec<Line> {
    let rules = RuleSet::get();
    let mut out: Vec<Line> = Vec::new();
    for line in newest_first {
        if !out.is_empty() && begins_step(&line.text) {
            break;
        }
        let trails = || {
            let rows = rules.candidates(line.text.as_bytes()).rows;
            rules.start(rows, &line.text).is_some_and(|(row, _)| row.is_trailer())
        };
        if line.is_blank() || is_noise(&line.text) || trails() {
            continue;
        }
        out.push(line);
    }
    out.reverse();
    out
}

/// The last of the lines, as many as are `most` without what they repeat.
fn within(mut lines: Vec<Line>, most: usize) -> Vec<Line> {
    let beyond = first_of_last(&lines, most);
    lines.drain(..beyond);
    lines
}

/// The index of the line from which on there are `most`, without what they repeat.
fn first_of_last(lines: &[Line], most: usize) -> usize {
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    let mut room = most;
    let mut first = lines.len();
    for piece in pieces(&texts).into_iter().rev() {
        room = room.saturating_sub(usize::from(piece.note.is_some()));
        first = piece.lines.end.saturating_sub(room).max(piece.lines.start);
        room = room.saturating_sub(piece.lines.len());
        if room == 0 {
            break;
        }
    }
    first
}

/// The lines without the middle of what they repeat: a line that says so has the number of the
/// first that it stands for.
fn without_repeats(lines: &[Line]) -> Vec<Line> {
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    let mut out = Vec::new();
    for piece in pieces(&texts) {
        let next = lines.get(piece.lines.end).map_or(0, |line| line.no);
        out.extend(lines.get(piece.lines).unwrap_or_default().iter().cloned());
        out.extend(piece.note.map(|text| Line { no: next, text }));
    }
    out
}

/// Lines as excerpts, one a run of them; the last line comes first.
fn as_excerpts<'l>(
    last_first: impl Iterator<Item = &'l Line>,
    redactor: &Redactor,
) -> Vec<Excerpt> {
    let mut out: Vec<Excerpt> = Vec::new();
    for line in last_first {
        match out.last_mut().filter(|next| next.start == line.no + 1) {
            Some(next) => {
                next.start = line.no;
                next.text = format!("{}\n{}", line.text, next.text);
                let mut places = locations(&line.text, None);
                places.append(&mut next.locations);
                next.locations = places;
            }
            None => out.push(Excerpt {
                start: line.no,
                end: line.no,
                kind: "last-lines".to_owned(),
                locations: locations(&line.text, None),
                text: line.text.clone(),
            }),
        }
    }
    out.iter_mut().for_each(|excerpt| make_presentable(excerpt, redactor));
    out
}

/// The lines before the places that only say that something failed.
#[derive(Default)]
struct Trailers {
    /// Before the first such place.
    first: Vec<Line>,
    /// Before the last one.
    last: Vec<Line>,
    /// The last line that said so.
    line: Option<u64>,
}

impl Trailers {
    fn add(&mut self, no: u64, recent: &RecentLines) {
        if let Some(last) = self.line {
            // A tool may say which step failed both before what the step printed and after it.
            let between = recent.newest_first().filter(|line| last < line.no && line.no < no);
            let near = no <= last + ONE_PLACE;
            let lines = if near { last_lines(between) } else { Vec::new() };
            let place = if self.last.is_empty() { &mut self.first } else { &mut self.last };
            place.extend(lines);
            let beyond = place.len().saturating_sub(RECENT);
            place.drain(..beyond);
        }
        if self.line.is_none_or(|last| no > last + ONE_PLACE) {
            let before = recent.newest_first().filter(|line| line.no < no);
            let lines = last_lines(before);
            if self.first.is_empty() {
                self.first = lines;
            } else {
                self.last = lines;
            }
        }
        self.line = Some(no);
    }

    fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    fn before(self) -> Vec<Line> {
        if self.last.is_empty() {
            return within(self.first, LAST_LINES);
        }
        let last = within(self.last, LAST_LINES);
        let next = last.first().map_or(0, |line| line.no);
        let mut first = within(self.first, FIRST_LINES);
        first.retain(|line| line.no < next);
        let room = LAST_LINES.saturating_sub(without_repeats(&first).len());
        first.append(&mut within(last, room));
        first
    }
}

/// The last lines, raw: cheap to keep, cleaned only when they are wanted.
struct RecentLines {
    lines: VecDeque<(u64, Vec<u8>)>,
}

impl RecentLines {
    fn push(&mut self, no: u64, raw: &[u8]) {
        let mut slot = match self.lines.len() < RECENT {
            true => Vec::new(),
            false => self.lines.pop_front().map(|(_, slot)| slot).unwrap_or_default(),
        };
        slot.clear();
        slot.extend_from_slice(raw.get(..RECENT_BYTES).unwrap_or(raw));
        self.lines.push_back((no, slot));
    }

    fn newest_first(&self) -> impl Iterator<Item = Line> {
        self.lines.iter().rev().map(|(no, raw)| Line::new(*no, raw))
    }

    /// From line `no` on, oldest first.
    fn from(&self, no: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let later = self.lines.iter().rev().take_while(|(line, _)| *line >= no).count();
        let lines = self.lines.iter().skip(self.lines.len() - later);
        lines.map(|(line, raw)| (*line, raw.as_slice()))
    }
}

/// The last warning, and what of it was seen.
struct Warning {
    no: u64,
    /// The last line that is known to belong to it.
    through: u64,
    /// Blanks before it.
    indent: usize,
    /// A line came that does not belong to it.
    over: bool,
}

/// Blanks before what line `no` says.
fn indent(no: u64, raw: &[u8]) -> usize {
    let blanks = |text: &[u8]| text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    // Nothing that a CI system puts before a line begins with a blank.
    match blanks(raw) {
        0 => blanks(Line::new(no, raw).text.as_bytes()),
        some => some,
    }
}

/// Whether a line after a warning with so many blanks before it belongs to it: it stands further
/// in, or is code with its number before it, as compilers show it: `12 | let x = 1;`.
fn goes_on(no: u64, raw: &[u8], least: usize) -> bool {
    if raw.iter().all(u8::is_ascii_whitespace) {
        return false;
    }
    if raw.first().is_some_and(u8::is_ascii_whitespace) && indent(no, raw) > least {
        return true;
    }
    let line = Line::new(no, raw);
    let text = line.text.trim_start();
    let code = text.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
    !line.is_blank()
        && (line.text.len() - text.len() > least || code.starts_with(['|', '\u{2502}']))
}

/// The state of the pass.
struct Scan {
    rules: &'static RuleSet,
    recent: RecentLines,
    open: Option<Block>,
    blocks: BlockStore,
    tests: TestNames,
    trailers: Trailers,
    /// Something was found that says more than that something failed.
    known: bool,
    /// The same, before the block that is open.
    known_before: bool,
    warning: Option<Warning>,
    key: KeyState,
    /// A line without its colours; kept for its memory only.
    plain: Vec<u8>,
}

impl Scan {
    fn new() -> Self {
        Self {
            rules: RuleSet::get(),
            recent: RecentLines { lines: VecDeque::with_capacity(RECENT) },
            open: None,
            blocks: BlockStore::default(),
            tests: TestNames::default(),
            trailers: Trailers::default(),
            known: false,
            known_before: false,
            warning: None,
            key: KeyState::default(),
            plain: Vec::new(),
        }
    }

    fn line(&mut self, no: u64, raw: &[u8]) {
        let raw = self.without_key(raw);
        if memchr::memchr(0x1b, raw).is_none() {
            return self.plain_line(no, raw);
        }
        // Colours may cut a word that the rules look for in two.
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        strip(raw, &mut plain);
        self.plain_line(no, &plain);
        self.plain = plain;
    }

    fn plain_line(&mut self, no: u64, raw: &[u8]) {
        let Candidates { mut rows, warns } = self.rules.candidates(raw);
        if warns {
            self.warning = Some(Warning { no, through: no, indent: 0, over: false });
        } else if !rows.is_empty() && self.belongs_to_warning(no, raw) {
            rows = self.rules.after_warning(rows);
        }
        if self.open.is_none() && rows.is_empty() {
            self.recent.push(no, raw);
            return;
        }
        let line = Line::new(no, raw);
        let rules = self.rules;
        let start_of = |line: &Line| {
            if rows.is_empty() { None } else { rules.start(rows, &line.text) }
        };
        let start = match self.open.take() {
            None => start_of(&line),
            Some(mut open) => {
                // Most lines of a block could start nothing that is more of a cause.
                let rival =
                    if rules.any_above(rows, open.score()) { start_of(&line) } else { None };
                let stronger = rival.is_some_and(|(row, _)| row.rule.score > open.score());
                let taken =
                    if stronger { LineUse::Rejected } else { open.take(&line, &mut self.tests) };
                match taken {
                    LineUse::Continues => {
                        self.open = Some(open);
                        self.recent.push(no, raw);
                        return;
                    }
                    LineUse::Completes => {
                        self.recent.push(no, raw);
                        self.add(open);
                        return;
                    }
                    LineUse::Rejected => {}
                }
                let next = rival.or_else(|| start_of(&line));
                let own = next.is_none_or(|(row, _)| row.is_general());
                if !stronger && own && open.take_announced(&line) {
                    self.open = Some(open);
                    self.recent.push(no, raw);
                    return;
                }
                self.add(open);
                next
            }
        };
        if let Some((row, soft)) = start {
            self.open = Block::start(row, line, soft, &mut self.tests);
            if let Some(block) = &mut self.open {
                self.known_before = self.known;
                self.known |= !row.is_trailer() && row.rule.score >= WEAK;
                block.warned = row.is_exception()
                    && self.warning.as_ref().is_some_and(|warning| warning.no + 1 == no);
                if row.is_trailer() && !self.known {
                    self.trailers.add(no, &self.recent);
                }
                if row.rule.before > 0 || !row.rule.header.is_empty() {
                    block.look_back(self.recent.newest_first());
                }
                if !row.rule.titled.is_empty() {
                    block.read_title(self.recent.newest_first(), &mut self.tests);
                }
            }
        }
        self.recent.push(no, raw);
    }

    /// Whether the line goes on with the last warning: its code, its place, what it means.
    fn belongs_to_warning(&mut self, no: u64, raw: &[u8]) -> bool {
        let Some(warning) = &mut self.warning else { return false };
        if warning.over || no - warning.no > DETAIL {
            return false;
        }
        if warning.through == warning.no {
            let head = self.recent.from(warning.no).next();
            warning.indent = head.map_or(0, |(line, raw)| indent(line, raw));
        }
        let least = warning.indent;
        let mut between = self.recent.from(warning.through + 1);
        warning.over =
            !between.all(|(line, raw)| goes_on(line, raw, least)) || !goes_on(no, raw, least);
        warning.through = no;
        !warning.over
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.add(open);
        }
    }

    /// A block that has ended. Only its last line may tell that it says no more than that something
    /// failed.
    fn add(&mut self, block: Block) {
        if block.is_trailer() && !block.row().is_trailer() {
            self.known = self.known_before;
            if !self.known {
                let first = block.first_line();
                self.trailers.add(first, &self.recent);
            }
        }
        self.blocks.add(block);
    }

    /// Lines of a private key never come further than this.
    fn without_key<'r>(&mut self, raw: &'r [u8]) -> &'r [u8] {
        match self.key.line(raw) {
            KeyLine::Outside => raw,
            KeyLine::Begins | KeyLine::Inside => KEY_MARKER.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(log: &str) -> Extraction {
        extract(log.as_bytes(), ExtractLimits::default(), &Redactor::default())
    }

    #[test]
    fn what_a_compiler_says_of_the_source_is_deterministic() {
        for log in [
            "error[E0308]: mismatched types\n --> src/main.rs:3:5\n  |\n",
            "error: unused variable: `x`\n --> src/main.rs:3:5\n  |\nerror: could not compile `a`\n",
            "src/main.c:12:5: error: 'x' undeclared\nmake: *** [Makefile:3: app] Error 1\n",
            "# example.com/app\n./main.go:12:5: undefined: foo\n",
            "src/app.ts(12,5): error TS2322: Type 'string' is not assignable to type 'number'.\n",
            "src/main/java/App.java:12: error: ';' expected\n",
            "app/main.py:3:1: F401 'os' imported but unused\n",
            "  File \"/app/main.py\", line 3\n    def f(\n         ^\nSyntaxError: '(' was never closed\n",
            // A compiler's error of a name that is spelt like trouble with a network.
            "src/main.c:12:5: error: 'ETIMEDOUT' undeclared\n",
        ] {
            let found = of(log);
            assert!(found.deterministic && !found.flaky_suspect, "{log}: {found:?}");
        }
        for log in [
            "",
            "something failed\n",
            "thread 'main' panicked at src/main.rs:3:5:\nindex out of bounds\n",
            "Traceback (most recent call last):\n  File \"/app/main.py\", line 3, in f\nKeyError: 'x'\n",
            "test tests::adds ... FAILED\n",
            "--- FAIL: TestAdd (0.00s)\n    add_test.go:12: got 3, want 4\n",
            // A test's own output may hold what a compiler says.
            "error[E0308]: mismatched types\n --> src/main.rs:3:5\n  |\n\ntest tests::ui ... FAILED\n",
            "cart: src/cart.c:12: total: Assertion `n > 0' failed.\n",
            "==123==ERROR: AddressSanitizer: heap-use-after-free on address 0x602 at pc 0x4f\n    #0 0x4f in main src/cart.c:12:5\n",
            "::error file=tests/cart.js,line=3,col=5::expected 4 but got 3\n",
            "error: failed to get `serde` as a dependency of package `app v0.1.0 (/app)`\n",
        ] {
            assert!(!of(log).deterministic, "{log}: {:?}", of(log));
        }
    }

    #[test]
    fn a_failure_is_known_again() {
        for (name, a, b) in [
            (
                "times, addresses, ports, temporary paths",
                "2024-05-01T10:00:00Z starting\nTraceback (most recent call last):\n  File \"/tmp/run1/app.py\", line 3, in f\n    g()\nOSError: <Sock at 0x7f12> 127.0.0.1:34567 after 1.2s\n",
                "2025-06-02T11:11:11Z starting\nTraceback (most recent call last):\n  File \"/tmp/run2/app.py\", line 30, in f\n    g()\nOSError: <Sock at 0x55aa> 127.0.0.1:45678 after 13s\n",
            ),
            (
                "the order of parallel tests",
                "test a ... FAILED\ntest b ... FAILED\n\nfailures:\n\n---- a stdout ----\nthread 'a' (7) panicked at src/l.rs:1:1:\nno\n\n---- b stdout ----\nthread 'b' (8) panicked at src/l.rs:2:1:\nno\n\n",
                "test b ... FAILED\ntest a ... FAILED\n\nfailures:\n\n---- b stdout ----\nthread 'b' (91) panicked at src/l.rs:2:1:\nno\n\n---- a stdout ----\nthread 'a' (92) panicked at src/l.rs:1:1:\nno\n\n",
            ),
            (
                "lines put in above",
                "error[E0425]: cannot find value `x` in this scope\n --> src/a.rs:3:5\n",
                "   Compiling a v0.1.0\nerror[E0425]: cannot find value `x` in this scope\n --> src/a.rs:13:9\n",
            ),
            ("colours", "error[E0425]: no `x`\n", "\x1b[31merror[E0425]\x1b[0m: no `x`\n"),
            ("nothing found", "step 1 done in 3s\n", "step 2 done in 5s\n"),
        ] {
            assert_eq!(of(a).fingerprint, of(b).fingerprint, "{name}");
            assert_eq!(of(a).symptoms, of(b).symptoms, "{name}");
        }
        let other = "error[E0425]: cannot find value `y` in this scope\n --> src/a.rs:3:5\n";
        let one = "error[E0425]: cannot find value `x` in this scope\n --> src/a.rs:3:5\n";
        assert_ne!(of(one).fingerprint, of(other).fingerprint);
        assert_ne!(of(one).symptoms, of(other).symptoms);
    }

    #[test]
    fn numbers_of_no_meaning_do_not_make_another_failure() {
        for (name, a, b) in [
            (
                "workers of pytest-xdist",
                "[gw1] linux -- Python 3.12.3 /usr/bin/python3\n____ test_total ____\n[gw1] linux -- Python 3.12.3 /usr/bin/python3\n\nE   assert total(cart) == expected\n\ntests/test_cart.py:9: AssertionError\n",
                "[gw3] linux -- Python 3.12.3 /usr/bin/python3\n____ test_total ____\n[gw3] linux -- Python 3.12.3 /usr/bin/python3\n\nE   assert total(cart) == expected\n\ntests/test_cart.py:9: AssertionError\n",
            ),
            (
                "a crashed worker",
                "____ tests/test_native.py ____\n[gw0] linux -- Python 3.12.3 /usr/bin/python3\nworker 'gw0' crashed while running 'tests/test_native.py::test_decode'\n",
                "____ tests/test_native.py ____\n[gw5] linux -- Python 3.12.3 /usr/bin/python3\nworker 'gw5' crashed while running 'tests/test_native.py::test_decode'\n",
            ),
            (
                "segments of a counter",
                "Segment 1 ok\nSegment 2 of 3: row has no ledger\nmake: *** [Makefile:2: check] Error 1\n",
                "Segment 1 ok\nSegment 2 ok\nSegment 3 of 3: row has no ledger\nmake: *** [Makefile:2: check] Error 1\n",
            ),
            (
                "pods of a job",
                "Error: pod/shop-migrate-x7k2p failed: relation \"carts\" does not exist\n",
                "Error: pod/shop-migrate-bvq9d failed: relation \"carts\" does not exist\n",
            ),
            (
                "temporary places",
                "/home/runner/work/_temp/5d1c2f.sh: line 1: jq: command not found\n",
                "/home/runner/work/_temp/a07be1.sh: line 1: jq: command not found\n",
            ),
            (
                "names of temporary folders",
                "ERROR: cannot read /tmp/pytest-of-ci/pytest-12/test_x0/cart.json and C:\\Users\\ci\\AppData\\Local\\Temp\\tmpk3a_x\\b\n",
                "ERROR: cannot read /tmp/pytest-of-ci/pytest-9/test_x1/cart.json and C:\\Users\\ci\\AppData\\Local\\Temp\\tmp9zz_q\\b\n",
            ),
            (
                "seeds",
                "Randomized with seed 4711\n  1) Cart adds up\n     Failure/Error: expect(cart.total).to eq(30)\n\n       expected: 30\n            got: 20\n",
                "Randomized with seed 99\n  1) Cart adds up\n     Failure/Error: expect(cart.total).to eq(30)\n\n       expected: 30\n            got: 20\n",
            ),
            (
                "dates",
                "ERROR: Nov 12 09:12:44 host shop: ledger of 12/Nov/2024:09:12:44 +0000 and 2024/11/12 unbalanced\n",
                "ERROR: Dec  1 10:00:01 host shop: ledger of 01/Dec/2024:10:00:01 +0000 and 2024/12/01 unbalanced\n",
            ),
        ] {
            assert_eq!(of(a).fingerprint, of(b).fingerprint, "{name}: {:?}\n{:?}", of(a), of(b));
        }
    }

    #[test]
    fn another_assertion_of_the_same_test_is_another_failure() {
        for (tool, log) in [
            (
                "gtest",
                "[ RUN      ] Cart.AddsUp\n/src/cart_test.cc:14: Failure\nExpected equality of these values:\n  @(cart)\n    Which is: 20\n  30\n[  FAILED  ] Cart.AddsUp (0 ms)\n",
            ),
            (
                "catch2",
                "/src/cart_test.cpp:14: FAILED:\n  REQUIRE( @(cart) == 30 )\nwith expansion:\n  20 == 30\n\n",
            ),
            (
                "mocha",
                "  1 failing\n\n  1) cart\n       adds up:\n     AssertionError: expected @ to equal 30\n      at Context.<anonymous> (test/cart.js:3:1)\n",
            ),
            (
                "jest",
                "  ● cart › adds up\n\n    expect(received).toBe(expected) // Object.is equality\n\n    Expected: 30\n    Received: 20\n\n    > 12 |     expect(@(cart)).toBe(30);\n         |                     ^\n\n      at Object.<anonymous> (src/cart.test.js:12:17)\n\n",
            ),
            (
                "pytest",
                "____ test_total ____\n\n>       assert @(cart) == 30\nE       AssertionError: assert 20 == 30\nE        +  where 20 = @(cart)\n\ntests/test_cart.py:9: AssertionError\n",
            ),
            (
                "unittest",
                "======================================================================\nFAIL: test_total (tests.test_cart.TestCart)\n----------------------------------------------------------------------\nTraceback (most recent call last):\n  File \"/src/tests/test_cart.py\", line 9, in test_total\n    self.assertEqual(@(cart), 30)\nAssertionError: 20 != 30\n\n",
            ),
            (
                "surefire",
                "[ERROR] com.acme.CartTest.adds  Time elapsed: 0.003 s  <<< FAILURE!\norg.opentest4j.AssertionFailedError: @ ==> expected: <30> but was: <20>\n\tat com.acme.CartTest.adds(CartTest.java:9)\n\n",
            ),
            ("go", "--- FAIL: TestTotal (0.00s)\n    cart_test.go:12: @ = 20, want 30\nFAIL\n"),
            (
                "exunit",
                "  1) test adds up (Shop.CartTest)\n     test/cart_test.exs:9\n     Assertion with == failed\n     code:  assert @(cart) == 30\n     left:  20\n     right: 30\n\n",
            ),
            (
                "rspec",
                "  1) Cart adds up\n     Failure/Error: expect(cart.@).to eq(30)\n\n       expected: 30\n            got: 20\n",
            ),
            (
                "mstest",
                "  Failed TotalAddsUp [12 ms]\n  Error Message:\n   Assert.AreEqual failed. Expected:<30>. Actual:<20>. @\n  Stack Trace:\n     at Shop.CartTests.TotalAddsUp() in /src/CartTests.cs:line 21\n",
            ),
            (
                "xunit",
                "  Failed Shop.CartTests.TotalAddsUp [12 ms]\n  Error Message:\n   Assert.Equal() Failure: Strings differ\nExpected: \"@\"\nActual:   \"none\"\n  Stack Trace:\n     at Shop.CartTests.TotalAddsUp() in /src/CartTests.cs:line 21\n",
            ),
            (
                "phpunit",
                "There was 1 failure:\n\n1) CartTest::testTotal\nFailed asserting that @ matches expected 30.\n\n/app/tests/CartTest.php:18\n\nFAILURES!\n",
            ),
            (
                "Test::More",
                "#   Failed test 'totals'\n#   at t/cart.t line 9.\n#          got: '@'\n#     expected: '30'\n",
            ),
            (
                "libtest",
                "---- cart::adds stdout ----\nthread 'cart::adds' panicked at src/cart.rs:9:5:\nassertion failed: @(&cart)\n\nfailures:\n    cart::adds\n",
            ),
            (
                "testthat",
                "── Failure ('test-cart.R:9:3'): totals ─────────\n`@` (`actual`) not equal to 30 (`expected`).\n",
            ),
            (
                "vitest",
                " FAIL  src/cart.test.ts > cart > adds up\nAssertionError: expected 20 to be 30 // Object.is equality\n ❯ src/cart.test.ts:12:17\n     12|     expect(@(cart)).toBe(30);\n       |                     ^\n\n",
            ),
            (
                "tap",
                "not ok 3 - adds up\n  ---\n  operator: equal\n  expected: 30\n  actual: @\n  ...\n",
            ),
        ] {
            let [one, other] = ["total", "count"].map(|value| of(&log.replace('@', value)));
            assert_ne!(one.fingerprint, other.fingerprint, "{tool}: {one:?}");
        }
    }

    #[test]
    fn an_empty_log_is_unknown() {
        let found = of("");
        assert_eq!((found.lines, found.bytes, found.class), (0, 0, FailureClass::Unknown));
        assert!(found.excerpts.is_empty() && found.headline.is_empty());
    }

    #[test]
    fn limits_hold_and_excerpts_do_not_overlap() {
        let mut log = String::new();
        for n in 0..5000 {
            log += &format!(
                "src/f{n}.c:{n}:1: error: bad thing number {n} {}\n    x\n    ^\n",
                "y".repeat(n % 900)
            );
            log += &format!("test t{n} ... FAILED\nERROR: thing {n} went wrong\n\n");
        }
        for limits in [ExtractLimits::default(), ExtractLimits { lines: 7, bytes: 300 }] {
            let found = extract(log.as_bytes(), limits, &Redactor::default());
            let kept: usize = found.excerpts.iter().map(|e| e.text.lines().count()).sum();
            let bytes: usize = found.excerpts.iter().map(|e| e.text.len() + 1).sum();
            assert!(kept <= limits.lines && bytes <= limits.bytes, "{kept} {bytes}");
            assert!(found.excerpts.windows(2).all(|w| w[0].end < w[1].start));
            assert!(found.failing_tests.len() <= 400);
        }
    }

    #[test]
    fn a_log_in_utf16_is_the_same_log() {
        let log = "Restored Api.csproj\r\nsrc\\Api\\Startup.cs(42,13): error CS1061: no AddFoo [Api.csproj]\r\nFAILED test_a.py::test_x - caf\u{e9}\r\nBuild FAILED.\r\n";
        let wide: Vec<u8> = log.encode_utf16().fold(vec![0xff, 0xfe], |mut bytes, unit| {
            bytes.extend(unit.to_le_bytes());
            bytes
        });
        let found = extract(&wide, ExtractLimits::default(), &Redactor::default());
        assert_eq!(found.bytes, wide.len() as u64);
        assert_eq!(Extraction { bytes: log.len() as u64, ..found }, of(log));
    }

    #[test]
    fn what_only_says_that_something_failed_neither_hides_nor_identifies_it() {
        let trailers = [
            "make: *** [Makefile:2: check] Error 1\n",
            "##[error]Process completed with exit code 1.\n",
            "make[2]: *** [x.mk:8: a] Error 3\nmake[1]: *** [x.mk:3: b] Error 2\nmake: *** [c] Error 2\n",
            "exit status 1\n",
            "*** Error code 3\n\nStop.\nmake: stopped in /x\n",
            "Script ./tool handling the check event returned with error code 3\n",
            "scons: *** [a.bin] Error 3\nscons: building terminated because of errors.\n",
            "py311: exit 3 (0.05 seconds) /x> ./tool pid=12\n  py311: FAIL code 3 (0.30 seconds)\n  evaluation failed :( (0.40 seconds)\n",
            "\u{2716} lint-staged failed\nhusky - pre-commit script failed (code 1)\n",
            "[ERROR] Command execution failed.\norg.apache.commons.exec.ExecuteException: Process exited with an error: 3 (Exit value: 3)\n[INFO] BUILD FAILURE\n",
            "parallel: This job failed:\n./tool a\n",
            "xargs: ./tool: exited with status 255; aborting\n",
            "** (exit) 3\n",
            "a-1 exited with code 3\nAborting on container exit...\n",
            "Traceback (most recent call last):\n  File \"/x/build.py\", line 3, in <module>\n    subprocess.run([\"./tool\"], check=True)\nsubprocess.CalledProcessError: Command '['./tool']' returned non-zero exit status 3.\n",
            "npm ERR! code ELIFECYCLE\nnpm ERR! errno 1\nnpm ERR! Test failed.  See above for more details.\n",
        ];
        let causes = [
            "segment 7: 3 rather than 4 in a.seg\n",
            "ledger unbalanced by 12.40\n",
            "no such key: b\n",
        ];
        for trailer in trailers {
            let found = causes.map(|cause| of(&format!("checking\n{cause}stopped\n{trailer}")));
            for (found, cause) in found.iter().zip(causes) {
                assert!(found.excerpts.iter().any(|e| e.text.contains(cause.trim())), "{found:?}");
            }
            let [a, b, c] = found.map(|found| found.fingerprint);
            assert!(a != b && b != c && a != c, "{trailer}");
        }
        let again = |counter: u32| of(&format!("ledger off by {counter}\n{}", trailers[0]));
        assert_eq!(again(3).fingerprint, again(41).fingerprint);
    }

    #[test]
    fn an_error_far_above_the_trailer_is_the_headline() {
        let said = "ledger 2024.csv does not balance";
        let between: String = (0..300).map(|n| format!("packing icons/{n}.svg\n")).collect();
        for line in [
            "ERROR: @",
            "ERROR @",
            "  ERROR  @",
            "[ERROR] @",
            "[error] @",
            "ERROR:root:@",
            "error: @",
            "Error: @",
            "tools/ledger.py: error: @",
            "FATAL: @",
            "2024-11-12 09:12:44,113 ERROR [main] com.acme.Ledger - @",
            "[2024-11-12 09:12:44] ERROR in ledger: @",
            "time=\"2024-11-12T09:12:44Z\" level=error msg=\"@\"",
            "{\"level\":\"error\",\"ts\":1731402764.113,\"msg\":\"@\"}",
            "\u{2716} check failed: @",
        ] {
            for trailer in ["make: *** [Makefile:9: all] Error 2", "npm ERR! code ELIFECYCLE"] {
                let line = line.replace('@', said);
                let found = of(&format!("reading\n{line}\n{between}done\n{trailer}\n"));
                assert!(found.headline.contains(said), "{line}: {found:?}");
            }
        }
    }

    #[test]
    fn what_stands_between_two_trailers_is_the_headline() {
        for log in [
            "[1/3] Generating a.bin\nFAILED: a.bin\n/usr/bin/tool --in a\ntool: row 17 has no ledger\nninja: build stopped: subcommand failed.\n",
            "make[1]: *** [a.mk:3: a] Error 1\nrow 17 has no ledger\nmake: *** [Makefile:2: all] Error 2\n",
        ] {
            assert!(of(log).headline.ends_with("row 17 has no ledger"), "{:?}", of(log));
        }
    }

    #[test]
    fn what_a_script_says_at_every_poll_is_shown_once() {
        let polls: String =
            (0..33).map(|n| format!("waiting for the service, try {n} of 40\n")).collect();
        let found = of(&format!("starting\nlistening on 9000\n{polls}gave up\n"));
        let shown: Vec<(u64, u64, &str)> =
            found.excerpts.iter().map(|e| (e.start, e.end, e.text.as_str())).collect();
        let first = "starting\nlistening on 9000\nwaiting for the service, try 0 of 40\n\
                     … 31 more lines like this one; the last:";
        let last = "waiting for the service, try 32 of 40\ngave up";
        assert_eq!(shown, [(1, 4, first), (35, 36, last)]);
        assert_eq!((found.lines, found.headline.as_str()), (36, "gave up"));
    }

    #[test]
    fn a_test_is_named_once_in_its_headline() {
        for thread in ["thread 't::adds' (4711) panicked", "thread 't::adds' panicked"] {
            let log = format!(
                "test t::adds ... FAILED\n\nfailures:\n\n---- t::adds stdout ----\n\n{thread} at src/a.rs:3:5:\nassertion failed\n\n"
            );
            assert_eq!(of(&log).headline, "t::adds: panicked at src/a.rs:3:5: assertion failed");
        }
    }

    #[test]
    fn a_secret_is_not_cut_in_half() {
        let secret = "S3cr3tV4lu3".repeat(20);
        let redactor = Redactor::new([secret.clone()]);
        for filler in [100, 350, 395, 1500] {
            let log = format!("error: {} {secret} rest\n", "x".repeat(filler));
            let found = extract(log.as_bytes(), ExtractLimits::default(), &redactor);
            let all = format!("{found:?}");
            assert!(!all.contains("S3cr3t"), "{filler}: {all}");
        }
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(
            cuts in proptest::collection::vec(1usize..200, 1..40),
        ) {
            let log: &[u8] = include_bytes!("../../../tests/fixtures/logs/028_maven_compile_cr_progress/input.log");
            let mut extractor = Extractor::new(ExtractLimits::default());
            let mut rest = log;
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                extractor.push(now);
                rest = later;
            }
            let redactor = Redactor::default();
            prop_assert_eq!(
                extractor.finish(&redactor),
                extract(log, ExtractLimits::default(), &redactor)
            );
        }

        #[test]
        fn any_bytes_are_survived(log in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let found = extract(&log, ExtractLimits::default(), &Redactor::default());
            prop_assert_eq!(found.bytes, log.len() as u64);
            prop_assert!(found.excerpts.iter().all(|e| e.start >= 1 && e.start <= e.end && e.end <= found.lines));
        }
    }
}
