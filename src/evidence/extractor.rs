//! The one pass over a log: lines in, an [`Extraction`] out.

use std::collections::{BTreeSet, VecDeque};

use super::block::{Block, Taken};
use super::clean::{Line, bounded, strip};
use super::found::Found;
use super::lines::Lines;
use super::location::locations;
use super::normalise::{fingerprint, normalise};
use super::redact::{KeyLine, KeyState, MARKER, Redactor};
use super::rule::{RuleSet, Symptom, is_noise};
use super::select::select;
use super::test_name::TestNames;
use crate::model::{Excerpt, FailureClass, Fingerprint};

/// Lines looked back over for context and headers.
const RECENT: usize = 40;
/// Bytes kept of each of them.
const RECENT_BYTES: usize = 1024;
/// Lines shown when nothing looks like an error.
const LAST_LINES: usize = 20;
/// Characters of a headline.
const HEADLINE: usize = 240;
/// Symptoms kept.
const MOST_SYMPTOMS: usize = 200;
/// Blocks this much less of a cause than the best have no part in a failure's identity.
const PART: u16 = 25;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtractLimits {
    /// Lines, all excerpts together.
    pub lines: usize,
    /// Bytes, all excerpts together.
    pub bytes: usize,
}

impl Default for ExtractLimits {
    fn default() -> Self {
        Self { lines: 80, bytes: 12 * 1024 }
    }
}

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
    /// What kind of trouble it is.
    pub class: FailureClass,
    /// Whether it may well pass when it is run again.
    pub flaky_suspect: bool,
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
    lines: Lines,
    scan: Scan,
}

impl Extractor {
    /// An extractor at the beginning of a log.
    pub fn new(limits: ExtractLimits) -> Self {
        Self { limits, bytes: 0, lines: Lines::default(), scan: Scan::new() }
    }

    /// The next bytes of the log, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let scan = &mut self.scan;
        self.lines.push(bytes, |no, raw| scan.line(no, raw));
    }

    /// The end of the log.
    pub fn finish(self, redactor: &Redactor) -> Extraction {
        let Self { limits, bytes, lines, mut scan } = self;
        let lines = lines.finish(|no, raw| scan.line(no, raw));
        scan.close();
        let Scan { recent, found, tests, .. } = scan;
        let blocks = found.ranked();
        let failing_tests: BTreeSet<String> =
            tests.finish().iter().map(|name| redactor.redact(name).into_owned()).collect();
        let excerpts = if blocks.is_empty() {
            last_lines(&recent, limits, redactor)
        } else {
            select(&blocks, lines, limits, redactor)
        };
        let headline = match blocks.first() {
            Some(best) => best.headline(),
            None => excerpts
                .last()
                .and_then(|last| last.text.lines().rev().find(|line| !line.trim().is_empty()))
                .unwrap_or_default()
                .to_owned(),
        };
        let parts = identity(&blocks, &failing_tests, &excerpts);
        let symptoms = symptoms(&blocks, &failing_tests, redactor);
        let (class, flaky_suspect) = class(&blocks);
        Extraction {
            lines,
            bytes,
            fingerprint: fingerprint(parts),
            failing_tests,
            class,
            flaky_suspect,
            symptoms,
            headline: bounded(redactor.redact(headline.trim()).trim(), HEADLINE),
            excerpts,
        }
    }
}

/// The blocks that have a part in the failure's identity.
fn causes(blocks: &[Block]) -> impl Iterator<Item = &Block> {
    let best = blocks.first().map_or(0, Block::score);
    blocks.iter().filter(move |block| block.score() + PART >= best)
}

/// The lines that a failure is known by again.
fn identity(blocks: &[Block], tests: &BTreeSet<String>, excerpts: &[Excerpt]) -> Vec<String> {
    if blocks.is_empty() {
        return excerpts.iter().flat_map(|e| e.text.lines()).map(str::to_owned).collect();
    }
    let said = causes(blocks)
        .filter(|block| block.row().rule.symptom != Symptom::None)
        .flat_map(|block| block.telling().take(3).map(str::to_owned));
    let mut parts: Vec<String> = tests.iter().cloned().chain(said).collect();
    if parts.is_empty() {
        parts = blocks.iter().map(|block| block.head().to_owned()).collect();
    }
    parts
}

fn symptoms(blocks: &[Block], tests: &BTreeSet<String>, redactor: &Redactor) -> BTreeSet<String> {
    let mut out: BTreeSet<String> = tests.iter().map(|name| normalise(name)).collect();
    let mut add = |block: &Block| {
        let file = block.lines.iter().find_map(|(line, _)| {
            locations(&line.text, block.header.as_deref()).into_iter().next()
        });
        let message = normalise(block.head());
        let symptom = match file {
            Some(place) if !block.head().contains(&place.file) => {
                format!("{}: {message}", normalise(&place.file))
            }
            _ => message,
        };
        if out.len() < MOST_SYMPTOMS {
            out.insert(bounded(&redactor.redact(&symptom), HEADLINE));
        }
    };
    causes(blocks).filter(|block| block.row().rule.symptom == Symptom::Place).for_each(&mut add);
    if out.is_empty() {
        let mut add_first = |blocks: &[Block]| {
            if let Some(block) = blocks.first() {
                let head = normalise(block.head());
                out.insert(bounded(&redactor.redact(&head), HEADLINE));
            }
        };
        add_first(blocks);
    }
    out
}

/// The class is that of the best evidence that has one.
fn class(blocks: &[Block]) -> (FailureClass, bool) {
    let known = blocks
        .iter()
        .map(|block| (block, block.class()))
        .find(|(_, class)| *class != FailureClass::Unknown);
    let class = known.map_or(FailureClass::Unknown, |(_, class)| class);
    let best = known.map_or(0, |(block, _)| block.score());
    // A compiler is never flaky; for everything else, what stands beside the best counts too.
    let steady = known.is_some_and(|(block, _)| block.is_steady());
    let flaky = !steady
        && blocks
            .iter()
            .filter(|block| block.score() + PART >= best && block.score() >= 30)
            .any(Block::smells_flaky);
    (class, flaky)
}

/// The last resort: the last lines that say anything.
fn last_lines(recent: &Recent, limits: ExtractLimits, redactor: &Redactor) -> Vec<Excerpt> {
    let mut out: Vec<Excerpt> = Vec::new();
    let mut kept = 0;
    for line in recent.newest_first() {
        if kept >= LAST_LINES.min(limits.lines) {
            break;
        }
        if line.is_blank() || is_noise(&line.text) {
            continue;
        }
        kept += 1;
        let text = bounded(&line.text, 400);
        match out.last_mut().filter(|next| next.start == line.no + 1) {
            Some(next) => {
                next.start = line.no;
                next.text = format!("{text}\n{}", next.text);
                let mut places = locations(&line.text, None);
                places.append(&mut next.locations);
                next.locations = places;
            }
            None => out.push(Excerpt {
                start: line.no,
                end: line.no,
                kind: "last-lines".to_owned(),
                locations: locations(&line.text, None),
                text,
            }),
        }
    }
    out.reverse();
    for excerpt in &mut out {
        excerpt.text = redactor.redact(&excerpt.text).into_owned();
    }
    out
}

/// The last lines, raw: cheap to keep, cleaned only when they are wanted.
struct Recent {
    lines: VecDeque<(u64, Vec<u8>)>,
}

impl Recent {
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
}

/// The state of the pass.
struct Scan {
    rules: &'static RuleSet,
    recent: Recent,
    open: Option<Block>,
    found: Found,
    tests: TestNames,
    key: KeyState,
    /// A line without its colours; kept for its memory only.
    plain: Vec<u8>,
}

impl Scan {
    fn new() -> Self {
        Self {
            rules: RuleSet::get(),
            recent: Recent { lines: VecDeque::with_capacity(RECENT) },
            open: None,
            found: Found::default(),
            tests: TestNames::default(),
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
        let rows = self.rules.candidates(raw);
        if self.open.is_none() && rows.is_empty() {
            self.recent.push(no, raw);
            return;
        }
        let line = Line::new(no, raw);
        let start = if rows.is_empty() { None } else { self.rules.start(rows, &line.text) };
        if let Some(mut open) = self.open.take() {
            let stronger = start.is_some_and(|(row, _)| row.rule.score > open.score());
            let taken = if stronger { Taken::No } else { open.take(&line, &mut self.tests) };
            match taken {
                Taken::Yes => {
                    self.open = Some(open);
                    self.recent.push(no, raw);
                    return;
                }
                Taken::Last => {
                    self.found.add(open);
                    self.recent.push(no, raw);
                    return;
                }
                Taken::No => self.found.add(open),
            }
        }
        if let Some((row, soft)) = start {
            let mut block = Block::start(row, line, soft, &mut self.tests);
            if row.rule.before > 0 || !row.rule.header.is_empty() {
                block.look_back(self.recent.newest_first());
            }
            self.open = Some(block);
        }
        self.recent.push(no, raw);
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.found.add(open);
        }
    }

    /// Lines of a private key never come further than this.
    fn without_key<'r>(&mut self, raw: &'r [u8]) -> &'r [u8] {
        match self.key.line(raw) {
            KeyLine::Outside => raw,
            KeyLine::Begins | KeyLine::Inside => MARKER.as_bytes(),
        }
    }
}
