//! What lies where in a channel region, and the two descriptor lines. Pure packing and unpacking, no memory access.
//!
//! A region holds: header | runner's words | worker's words | submit ring | complete ring | output slots. Little-endian
//! and 64-bit machines only, as everything that runs MLX. `runner/channel.py` mirrors the two lines as NumPy dtypes.

use super::memory::{PAGE, round_up};
use super::ring::{Line, words_needed};
use crate::error::{Error, Result};
use crate::request::{CompletionStatus, FinishReason, TokenSpan};
use crate::settings::ChannelSettings;

const _: () = assert!(cfg!(target_endian = "little") && size_of::<usize>() == 8);

pub const MAGIC: u64 = 0x314c_4e48_4352_4e52;
/// Raised with every change of this file that an older worker would misread.
pub const VERSION: u64 = 2;

/// Words of the header line, written once by the runner before the worker exists.
pub mod header {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 1;
    pub const EPOCH: usize = 2;
    pub const ENTRIES: usize = 3;
    pub const SLOTS: usize = 4;
    pub const SLOT_BYTES: usize = 5;
    pub const SEGMENTS: usize = 6;
    pub const SEGMENT_BYTES: usize = 7;
    pub const CHECKSUMS: usize = 8;
    pub const WORDS: usize = 16;
}

/// Written by the runner, on its own line.
pub const DRAIN_WORD: usize = 16;
/// Written by the worker, on its own line, overwritten and never queued.
pub mod progress {
    pub const HEARTBEAT_NS: usize = 32;
    pub const PROMPT_TOKENS: usize = 33;
    pub const GENERATED_TOKENS: usize = 34;
    pub const ACTIVE_ROWS: usize = 35;
    pub const MEMORY_BYTES: usize = 36;
}
/// Overwritten counters of one worker, as last written by it. Believe them for display and deadlines only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    pub heartbeat_ns: u64,
    pub prompt_tokens: u64,
    pub generated_tokens: u64,
    pub active_rows: u64,
    pub memory_bytes: u64,
}

/// Words before the first ring.
pub const FIXED_WORDS: usize = 48;
const CANARY_BYTES: usize = 8;

/// Sizes of one incarnation's region. Both sides compute all offsets from these four numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub entries: usize,
    pub slots: usize,
    pub slot_bytes: usize,
}

impl Layout {
    /// Refuses what cannot work, naming the setting.
    pub fn of(settings: &ChannelSettings, credits: u32) -> Result<Layout> {
        let entries = settings.ring_entries as usize;
        if !entries.is_power_of_two() || entries > 1 << 16 {
            return Err(Error::config(
                format!("channel.ring_entries is {entries}: it must be a power of two up to 65536"),
                "set channel.ring_entries to 64",
            ));
        }
        if credits == 0 || credits as usize > entries {
            return Err(Error::config(
                format!(
                    "a worker may hold {credits} leases but channel.ring_entries is {entries}: leases must be 1 to ring_entries"
                ),
                "raise channel.ring_entries or lower batching.max_num_seqs",
            ));
        }
        if settings.output_slot_bytes < 64 {
            return Err(Error::config(
                format!(
                    "channel.output_slot_bytes is {}: it must be at least 64",
                    settings.output_slot_bytes
                ),
                "set channel.output_slot_bytes to 65536",
            ));
        }
        Ok(Layout {
            entries,
            slots: credits as usize,
            slot_bytes: settings.output_slot_bytes as usize,
        })
    }

    pub fn ring_words(&self) -> usize {
        words_needed(self.entries)
    }

    pub fn submit_ring(&self) -> usize {
        FIXED_WORDS * 8
    }

    pub fn complete_ring(&self) -> usize {
        self.submit_ring() + self.ring_words() * 8
    }

    /// Offset of an output slot. Its canary follows its last byte, rounded to a word.
    pub fn slot(&self, index: usize) -> usize {
        let stride = round_up(self.slot_bytes + CANARY_BYTES + 7, 64);
        round_up(self.complete_ring() + self.ring_words() * 8, PAGE) + index * stride
    }

    pub fn canary(&self, index: usize) -> usize {
        self.slot(index) + round_up(self.slot_bytes, 8)
    }

    pub fn total_bytes(&self) -> usize {
        round_up(self.slot(self.slots), PAGE)
    }
}

fn pack(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn low(word: u64) -> u32 {
    word as u32
}

fn high(word: u64) -> u32 {
    low(word >> 32)
}

/// A lease as the worker sees it: where its token ids lie and where its output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubmitLine {
    pub handle: u64,
    pub generation: u32,
    pub segment: u32,
    pub token_offset: u64,
    pub token_count: u32,
    pub slot: u32,
    pub output_offset: u64,
    pub output_capacity: u32,
    pub max_tokens: u32,
    pub checksum: u32,
    /// Where the document stands among the tokens: first and count.
    pub source: TokenSpan,
}

impl SubmitLine {
    pub fn to_line(self) -> Line {
        [
            self.handle,
            pack(self.generation, self.segment),
            self.token_offset,
            pack(self.token_count, self.slot),
            self.output_offset,
            pack(self.output_capacity, self.max_tokens),
            u64::from(self.checksum),
            pack(self.source.first, self.source.count),
        ]
    }

    pub fn from_line(line: &Line) -> SubmitLine {
        SubmitLine {
            handle: line[0],
            generation: low(line[1]),
            segment: high(line[1]),
            token_offset: line[2],
            token_count: low(line[3]),
            slot: high(line[3]),
            output_offset: line[4],
            output_capacity: low(line[5]),
            max_tokens: high(line[5]),
            checksum: low(line[6]),
            source: TokenSpan {
                first: low(line[7]),
                count: high(line[7]),
            },
        }
    }
}

/// The worker's answer. The output text lies at the start of the slot, the reason right behind it, both UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompleteLine {
    pub handle: u64,
    pub generation: u32,
    pub slot: u32,
    pub status: u8,
    pub finish_reason: u8,
    pub repairs: u16,
    pub output_bytes: u32,
    pub reason_bytes: u32,
    pub checksum: u32,
    pub tokens_in: u32,
    pub tokens_out: u32,
    pub admitted_ns: u64,
    pub first_token_ns: u64,
    pub finished_ns: u64,
}

impl CompleteLine {
    pub fn to_line(self) -> Line {
        let flags = u32::from(self.status)
            | u32::from(self.finish_reason) << 8
            | u32::from(self.repairs) << 16;
        [
            self.handle,
            pack(self.generation, self.slot),
            pack(flags, self.output_bytes),
            pack(self.reason_bytes, self.checksum),
            pack(self.tokens_in, self.tokens_out),
            self.admitted_ns,
            self.first_token_ns,
            self.finished_ns,
        ]
    }

    pub fn from_line(line: &Line) -> CompleteLine {
        let [status, finish_reason, repairs_low, repairs_high] = low(line[2]).to_le_bytes();
        CompleteLine {
            handle: line[0],
            generation: low(line[1]),
            slot: high(line[1]),
            status,
            finish_reason,
            repairs: u16::from_le_bytes([repairs_low, repairs_high]),
            output_bytes: high(line[2]),
            reason_bytes: low(line[3]),
            checksum: high(line[3]),
            tokens_in: low(line[4]),
            tokens_out: high(line[4]),
            admitted_ns: line[5],
            first_token_ns: line[6],
            finished_ns: line[7],
        }
    }

    pub fn status(&self) -> Result<CompletionStatus> {
        match self.status {
            0 => Ok(CompletionStatus::Ok),
            1 => Ok(CompletionStatus::Failed),
            2 => Ok(CompletionStatus::Released),
            other => Err(Error::Channel(format!("completion status {other}"))),
        }
    }

    pub fn finish_reason(&self) -> Result<FinishReason> {
        match self.finish_reason {
            0 => Ok(FinishReason::None),
            1 => Ok(FinishReason::Stop),
            2 => Ok(FinishReason::Length),
            other => Err(Error::Channel(format!("finish reason {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_survive_the_round_trip(words in prop::array::uniform8(any::<u64>())) {
            let complete = CompleteLine::from_line(&words);
            prop_assert_eq!(complete.to_line(), words);
            let submit = SubmitLine::from_line(&words);
            prop_assert_eq!(SubmitLine::from_line(&submit.to_line()), submit);
        }

        #[test]
        fn slots_do_not_overlap_and_lie_inside(power in 0u32..10, slots in 1usize..64, slot_bytes in 64usize..100_000) {
            let layout = Layout { entries: 1 << power, slots, slot_bytes };
            prop_assert!(layout.complete_ring() + layout.ring_words() * 8 <= layout.slot(0));
            for index in 0..slots {
                prop_assert!(layout.slot(index) + slot_bytes <= layout.canary(index));
                prop_assert!(layout.canary(index) + CANARY_BYTES <= layout.slot(index + 1));
            }
            prop_assert!(layout.slot(slots) <= layout.total_bytes());
        }
    }
}
