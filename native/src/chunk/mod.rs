//! Cuts a document into chunks of at most a budget of tokens, at the best border, from ONE encoding of the whole text.
//!
//! Pure: text and offsets in, spans out. It encodes nothing; the slice of a chunk, encoded alone, can have a token or two
//! more than in its context, and `MARGIN` is kept free for that. Called by prepare.

mod borders;

use std::ops::Range;

use crate::document::MediaType;
use crate::tokens::Encoding;

use borders::{ANYWHERE, Borders};

/// Tokens kept free for the difference between a slice encoded alone and the same slice in its text.
pub const MARGIN: usize = 4;

/// One part of a document: a byte range of its text, overlap included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub index: u32,
    pub span: Range<usize>,
    /// Tokens of the span as counted in the whole text's encoding.
    pub tokens: usize,
}

/// Spans are in order and cover the text without a gap. Neighbours share at most `overlap_tokens` (and at most a quarter
/// of the budget). Only a single character of more tokens than the budget makes a chunk go over it.
pub fn split(
    text: &str,
    media: MediaType,
    encoding: &Encoding,
    budget_tokens: usize,
    overlap_tokens: usize,
) -> Vec<Chunk> {
    if text.is_empty() {
        return Vec::new();
    }
    let total = encoding.byte_offsets.len();
    let limit = usable(budget_tokens);
    if total <= limit {
        return vec![Chunk {
            index: 0,
            span: 0..text.len(),
            tokens: total,
        }];
    }
    let cuts = Cuts::of(text, encoding);
    let borders = Borders::of(text, media, &cuts.positions);
    let packer = Packer {
        cuts: &cuts,
        borders: &borders,
        limit,
        overlap: overlap_tokens.min(limit / 4),
    };
    packer.pack()
}

/// Whether a text is one chunk whatever its tokens are: a token stands for one byte at least.
pub fn surely_whole(text: &str, budget_tokens: usize) -> bool {
    !text.is_empty() && text.len() <= usable(budget_tokens)
}

/// Small budgets cannot spare the whole margin.
fn usable(budget: usize) -> usize {
    if budget > 4 * MARGIN {
        budget - MARGIN
    } else {
        (budget * 3 / 4).max(1)
    }
}

/// The places where the text may be cut: between two tokens that share no character. Cutting there changes no token of a
/// BPE encoding, cutting inside a token would.
struct Cuts {
    /// Byte positions, ascending; the first is 0 and the last the end of the text.
    positions: Vec<usize>,
    /// Tokens before each position.
    tokens: Vec<usize>,
}

impl Cuts {
    fn of(text: &str, encoding: &Encoding) -> Cuts {
        let offsets = &encoding.byte_offsets;
        let mut positions = vec![0];
        let mut tokens = vec![0];
        let mut reached = 0;
        for (index, pair) in offsets.windows(2).enumerate() {
            reached = reached.max(pair[0].1);
            let fresh = reached > *positions.last().unwrap_or(&0) && reached < text.len();
            if fresh && pair[1].0 >= reached && text.is_char_boundary(reached) {
                positions.push(reached);
                tokens.push(index + 1);
            }
        }
        positions.push(text.len());
        tokens.push(offsets.len());
        Cuts { positions, tokens }
    }

    fn last(&self) -> usize {
        self.positions.len() - 1
    }

    /// The last cut that leaves at most `count` tokens before it.
    fn within(&self, count: usize) -> usize {
        self.tokens
            .partition_point(|tokens| *tokens <= count)
            .saturating_sub(1)
    }
}

struct Packer<'a> {
    cuts: &'a Cuts,
    borders: &'a Borders,
    limit: usize,
    overlap: usize,
}

impl Packer<'_> {
    /// All positions here are indices into `cuts`.
    fn pack(&self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let (mut start, mut done) = (0, 0);
        loop {
            let end = self.end_of(start, done);
            chunks.push(self.chunk(chunks.len(), start, end));
            if end == self.cuts.last() {
                return chunks;
            }
            done = end;
            start = self.overlap_start(end, start);
        }
    }

    fn chunk(&self, index: usize, start: usize, end: usize) -> Chunk {
        Chunk {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            span: self.cuts.positions[start]..self.cuts.positions[end],
            tokens: self.cuts.tokens[end] - self.cuts.tokens[start],
        }
    }

    /// Where the chunk that begins at `start` ends; always after `done`, the end of the chunk before it.
    fn end_of(&self, start: usize, done: usize) -> usize {
        let first = self.cuts.tokens[start];
        let furthest = self.cuts.within(first + self.limit);
        if furthest <= done {
            // One character of more tokens than the limit: it cannot be cut.
            return done + 1;
        }
        if furthest == self.cuts.last() {
            return furthest;
        }
        let half = self.cuts.within(first + self.limit / 2).max(done);
        let (best, level) = self.best(half + 1, furthest);
        // A code fence or table that fits into one chunk is not cut: end before it, however little stands there.
        if level <= ANYWHERE
            && let Some(block) = self.borders.block_start(furthest)
            && block > done
        {
            return block;
        }
        best
    }

    /// The highest border in `from..=to`, the later one on a tie.
    fn best(&self, from: usize, to: usize) -> (usize, u8) {
        (from..=to)
            .map(|cut| (cut, self.level(cut)))
            .max_by_key(|(cut, level)| (*level, *cut))
            .unwrap_or((to, ANYWHERE))
    }

    /// Inside a block that fits into one chunk no border counts.
    fn level(&self, cut: usize) -> u8 {
        if self.protected(cut) {
            0
        } else {
            self.borders.level(cut)
        }
    }

    fn protected(&self, cut: usize) -> bool {
        self.borders
            .block(cut)
            .is_some_and(|(from, to)| self.cuts.tokens[to] - self.cuts.tokens[from] <= self.limit)
    }

    /// Goes back from `end` by at most the overlap, to the best border there is; never to the start of the last chunk.
    fn overlap_start(&self, end: usize, last_start: usize) -> usize {
        if self.overlap == 0 {
            return end;
        }
        let floor = self.cuts.tokens[end].saturating_sub(self.overlap);
        let from = self
            .cuts
            .tokens
            .partition_point(|tokens| *tokens < floor)
            .max(last_start + 1);
        if from >= end {
            return end;
        }
        // The earliest of the best: as much shared text as was asked for.
        (from..end)
            .map(|cut| (cut, self.level(cut)))
            .max_by_key(|(cut, level)| (*level, usize::MAX - cut))
            .map_or(end, |(cut, _)| cut)
    }
}
