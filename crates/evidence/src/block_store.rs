//! The blocks found so far, bounded whatever the log does.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet, VecDeque};

use super::block::Block;

/// Blocks of one row that are kept from the beginning: causes come first.
const FIRST: usize = 24;
/// And from the end: what ended the build comes last.
const LAST: usize = 6;
/// Bytes after which new blocks keep only their telling lines.
const MUCH: usize = 4 << 20;
/// Prints remembered to recognise a repeated block.
const MOST_SEEN: usize = 4096;

/// Closed blocks, by row.
#[derive(Default)]
pub(super) struct BlockStore {
    by_row: HashMap<usize, (Vec<Block>, VecDeque<Block>)>,
    seen: HashSet<u64>,
    weight: usize,
}

impl BlockStore {
    /// Keeps a block, unless it repeats one.
    pub(super) fn add(&mut self, mut block: Block) {
        let print = block.likeness();
        if self.seen.contains(&print) {
            return;
        }
        if self.seen.len() < MOST_SEEN {
            self.seen.insert(print);
        }
        if self.weight > MUCH {
            block.shrink();
        }
        let row = std::ptr::from_ref(block.row()) as usize;
        let (first, last) = self.by_row.entry(row).or_default();
        self.weight += block.weight();
        if first.len() < FIRST {
            first.push(block);
            return;
        }
        last.push_back(block);
        if last.len() > LAST
            && let Some(gone) = last.pop_front()
        {
            self.weight -= gone.weight();
        }
    }

    /// The blocks, most of a cause first, then in the order of the log. Where one says what failed,
    /// those that only say that something did come last.
    pub(super) fn ranked(self) -> Vec<Block> {
        let mut blocks: Vec<Block> = self
            .by_row
            .into_values()
            .flat_map(|(first, last)| first.into_iter().chain(last))
            .collect();
        blocks.iter_mut().for_each(Block::settle);
        let told = blocks.iter().any(|block| !block.is_trailer());
        blocks.sort_by_key(|block| {
            (told && block.is_trailer(), Reverse(block.score()), block.first_line())
        });
        blocks
    }
}
