//! Which lines of the blocks are kept: the causes first, and something of everything.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::block::{Block, Role};
use super::clean::{Line, bounded};
use super::limits::ExtractLimits;
use super::location::locations;
use super::redact::Redactor;
use super::rule_set::PARTICULAR;
use greenloop_model::Excerpt;

/// Characters of one kept line.
const LINE_CHARS: usize = 400;
/// Blocks of one kind that are sure to be seen.
const SURE: usize = 10;
/// Of these, so many are the last of their kind.
const SURE_LATE: usize = 3;
/// Blocks kept that say the same of other lines.
const MOST_SAME: usize = 3;
/// A score that speaks of a cause.
const CAUSE: u16 = 80;
/// Lines that are near: a lesser thing so long before the first cause may have to do with it.
const NEAR: u64 = 60;
/// Lines of one kind before the others had theirs.
const KIND_LINES: usize = 44;
/// Places listed for one excerpt.
const MOST_PLACES: usize = 24;

/// Chosen lines: by number, the block each belongs to.
struct Chosen<'a> {
    limits: ExtractLimits,
    lines: BTreeMap<u64, (usize, &'a Line)>,
    bytes: usize,
    per_block: HashMap<usize, usize>,
    per_kind: HashMap<&'static str, usize>,
}

impl<'a> Chosen<'a> {
    fn full(&self) -> bool {
        self.lines.len() >= self.limits.lines || self.bytes >= self.limits.bytes
    }

    fn take(&mut self, at: usize, kind: &'static str, line: &'a Line) {
        let bytes = line.text.len().min(LINE_CHARS) + 1;
        if self.full()
            || self.bytes + bytes > self.limits.bytes
            || self.lines.contains_key(&line.no)
        {
            return;
        }
        self.bytes += bytes;
        self.lines.insert(line.no, (at, line));
        *self.per_block.entry(at).or_default() += 1;
        *self.per_kind.entry(kind).or_default() += 1;
    }
}

/// Chooses lines from blocks that are ranked already.
///
/// `lines` is the length of the log.
pub(super) fn select(
    blocks: &[Block],
    lines: u64,
    limits: ExtractLimits,
    redactor: &Redactor,
) -> Vec<Excerpt> {
    let mut chosen = Chosen {
        limits,
        lines: BTreeMap::new(),
        bytes: 0,
        per_block: HashMap::new(),
        per_kind: HashMap::new(),
    };
    let last_words = last_words(blocks, lines);
    let worth = worth(blocks, last_words);
    let sure = sure(blocks, &worth);
    // Something of everything: what a block says first, and what it says best.
    for (at, block) in blocks.iter().enumerate().filter(|(at, _)| sure.contains(at)) {
        let lines = block
            .lines
            .iter()
            .filter(|(_, role)| *role == Role::Head)
            .chain(block.lines.iter().filter(|(_, role)| *role == Role::Key).take(2));
        for (line, _) in lines.take(block.row().rule.share) {
            chosen.take(at, block.kind(), line);
        }
    }
    // Then more of the causes.
    for (at, block) in blocks.iter().enumerate().filter(|(at, _)| sure.contains(at)) {
        let wide = wide(blocks, at, last_words);
        for (line, _) in by_weight(block, wide) {
            let kept = chosen.per_block.get(&at).copied().unwrap_or_default();
            let of_kind = chosen.per_kind.get(block.kind()).copied().unwrap_or_default();
            let share = block.row().rule.share + if wide { block.row().rule.before } else { 0 };
            if kept >= share || of_kind >= KIND_LINES {
                break;
            }
            chosen.take(at, block.kind(), line);
        }
    }
    // Then the first lines of what is left.
    for (at, block) in
        blocks.iter().enumerate().filter(|(at, _)| worth.contains(at) && !sure.contains(at))
    {
        for (line, _) in block.lines.iter().filter(|(_, role)| *role == Role::Head) {
            chosen.take(at, block.kind(), line);
        }
    }
    excerpts(blocks, &chosen.lines, redactor)
}

/// The blocks that are worth a line beside the best one. What says little is kept only where
/// nothing says more; the last line of a failed build is always kept, people look for it.
fn worth(blocks: &[Block], last_words: Option<u64>) -> BTreeSet<usize> {
    let best = blocks.first().map_or(0, Block::score);
    let cause = blocks.iter().filter(|b| b.score() + 15 >= best).map(Block::first_line).min();
    let mut same: HashMap<String, usize> = HashMap::new();
    blocks
        .iter()
        .enumerate()
        .filter(|(_, block)| !block.warned || best < CAUSE)
        .filter(|(_, block)| match block.score() {
            ..10 => best < 30,
            10..20 => true,
            20..30 => best < PARTICULAR,
            30..PARTICULAR if block.is_trailer() => best < PARTICULAR,
            30..PARTICULAR => best < CAUSE || last_words == Some(block.first_line()),
            PARTICULAR..60 => {
                best < CAUSE || cause.is_some_and(|cause| block.first_line() + NEAR >= cause)
            }
            60.. => true,
        })
        .filter(|(_, block)| {
            let said = same.entry(block.message()).or_default();
            *said += 1;
            *said <= MOST_SAME
        })
        .map(|(at, _)| at)
        .collect()
}

/// The blocks that are sure to be seen: so many of each kind, from both ends of the log where
/// there are more.
fn sure(blocks: &[Block], worth: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut by_kind: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, block) in blocks.iter().enumerate().filter(|(at, _)| worth.contains(at)) {
        by_kind.entry(block.kind()).or_default().push(at);
    }
    let mut sure = BTreeSet::new();
    for all in by_kind.into_values() {
        let late = if all.len() > SURE { SURE_LATE } else { 0 };
        let (early, late) = all.split_at(all.len() - late);
        sure.extend(early.iter().take(SURE - late.len()).chain(late));
    }
    sure
}

fn general(block: &Block) -> bool {
    block.row().is_general()
}

/// Where the last thing is that no particular rule knows, if the log ends soon after.
fn last_words(blocks: &[Block], lines: u64) -> Option<u64> {
    blocks
        .iter()
        .filter(|block| general(block) && block.score() >= 30)
        .map(Block::first_line)
        .max()
        .filter(|line| line + NEAR >= lines)
}

/// Whether a block says so little of itself that what stood before it is needed: the last
/// words, and the first ones where nothing says more.
fn wide(blocks: &[Block], at: usize, last_words: Option<u64>) -> bool {
    let Some(block) = blocks.get(at).filter(|block| general(block) && block.score() >= 30) else {
        return false;
    };
    let strong = blocks.iter().any(|other| other.score() >= PARTICULAR);
    let first = blocks.iter().filter(|other| general(other)).map(Block::first_line).min();
    last_words == Some(block.first_line()) || !strong && first == Some(block.first_line())
}

/// The lines of a block beyond its first, the more telling before the less.
fn by_weight(block: &Block, wide: bool) -> impl Iterator<Item = &(Line, Role)> {
    let of = |role: Role| block.lines.iter().filter(move |(_, r)| *r == role);
    let lead = if general(block) && !wide { 0 } else { usize::MAX };
    of(Role::Head)
        .chain(of(Role::Key).take(6))
        .chain(block.lines.iter().rev().filter(|(_, r)| *r == Role::Lead).take(lead))
        .chain(block.lines.iter().filter(|(_, r)| matches!(r, Role::Body | Role::Key)))
}

/// Runs of chosen lines as excerpts, in the order of the log.
fn excerpts(
    blocks: &[Block],
    lines: &BTreeMap<u64, (usize, &Line)>,
    redactor: &Redactor,
) -> Vec<Excerpt> {
    let mut out: Vec<Excerpt> = Vec::new();
    let mut open: Option<usize> = None;
    for (no, (at, line)) in lines {
        let Some(block) = blocks.get(*at) else { continue };
        let places = locations(&line.text, block.header.as_deref());
        let joins = open == Some(*at) && out.last().is_some_and(|last| last.end + 1 == *no);
        if !joins {
            out.push(Excerpt {
                start: *no,
                end: *no,
                kind: block.kind().to_owned(),
                text: String::new(),
                locations: Vec::new(),
            });
            open = Some(*at);
        }
        let Some(last) = out.last_mut() else { continue };
        if joins {
            last.text.push('\n');
        }
        last.end = *no;
        last.text.push_str(&line.text);
        for place in places {
            if last.locations.len() < MOST_PLACES && !last.locations.contains(&place) {
                last.locations.push(place);
            }
        }
    }
    out.iter_mut().for_each(|excerpt| make_presentable(excerpt, redactor));
    out
}

/// Takes the secrets out of an excerpt's text and only then shortens its lines: half a secret
/// would not be recognised.
pub(super) fn make_presentable(excerpt: &mut Excerpt, redactor: &Redactor) {
    let lines: Vec<String> =
        redactor.redact(&excerpt.text).split('\n').map(|line| bounded(line, LINE_CHARS)).collect();
    excerpt.text = lines.join("\n");
    for place in &mut excerpt.locations {
        place.file = redactor.redact(&place.file).into_owned();
    }
}
