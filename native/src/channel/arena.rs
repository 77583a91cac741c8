//! The document arena: who holds which bytes of the shared segments, and the one counter of the `ipc` pool.
//!
//! The runner is the only allocator; workers see the segments read-only. Blocks are powers of two (4 KiB and up), the
//! lowest free address first, and neighbours join again when freed, so sizes do not strand each other's memory. Pages
//! are committed on first use and counted; at the cap `allocate` says no and nothing grows. Committed pages stay: a
//! sealed memfd cannot give back a hole, and the cap holds anyway.

use super::memory::{Nameless, PAGE, Sharing, commit, create};
use crate::error::{Error, Result};
use crate::settings::ChannelSettings;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;

const SMALLEST: usize = 4096;
/// Pages are committed in these units; a multiple of every page size.
const GRANULE: usize = 64 * 1024;
const MOST_SEGMENTS: u64 = 1024;

/// Bytes held for one lease.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    pub segment: usize,
    pub offset: usize,
    order: usize,
}

impl Block {
    fn bytes(&self) -> usize {
        SMALLEST << self.order
    }
}

#[derive(Debug)]
struct Segment {
    memory: Nameless,
    bytes: usize,
    /// Free blocks by order, each set by address.
    free: Vec<BTreeSet<usize>>,
    committed: Vec<bool>,
}

impl Segment {
    fn new(bytes: usize) -> Result<Segment> {
        let orders = (bytes / SMALLEST).ilog2() as usize + 1;
        let mut free = vec![BTreeSet::new(); orders];
        // A size that is no power of two starts as the few aligned blocks that make it up.
        let mut offset = 0;
        while offset < bytes {
            let fitting = ((bytes - offset) / SMALLEST).ilog2() as usize;
            free[fitting].insert(offset);
            offset += SMALLEST << fitting;
        }
        Ok(Segment {
            memory: create(bytes, Sharing::ReadOnlyInChild)?,
            bytes,
            free,
            committed: vec![false; bytes / GRANULE],
        })
    }

    fn uncommitted(&self, offset: usize, bytes: usize) -> impl Iterator<Item = usize> {
        (offset / GRANULE..(offset + bytes).div_ceil(GRANULE))
            .filter(|granule| !self.committed[*granule])
    }

    /// The first free block that needs at most `budget` bytes of new pages: (address, order found, new bytes).
    fn find(&self, order: usize, budget: u64) -> Option<(usize, usize, u64)> {
        (order..self.free.len()).find_map(|found| {
            self.free[found].iter().find_map(|&offset| {
                let missing = self.uncommitted(offset, SMALLEST << order).count();
                let bytes = (missing * GRANULE) as u64;
                (bytes <= budget).then_some((offset, found, bytes))
            })
        })
    }

    fn take(&mut self, offset: usize, found: usize, order: usize) -> Result<()> {
        let missing: Vec<usize> = self.uncommitted(offset, SMALLEST << order).collect();
        for granule in missing {
            commit(&self.memory, granule * GRANULE, GRANULE)?;
            self.committed[granule] = true;
        }
        self.free[found].remove(&offset);
        for half in (order..found).rev() {
            self.free[half].insert(offset + (SMALLEST << half));
        }
        Ok(())
    }

    fn give(&mut self, mut offset: usize, mut order: usize) {
        while order + 1 < self.free.len() {
            let neighbour = offset ^ (SMALLEST << order);
            if !self.free[order].remove(&neighbour) {
                break;
            }
            offset = offset.min(neighbour);
            order += 1;
        }
        let fresh = self.free[order].insert(offset);
        assert!(fresh, "a block was freed twice");
    }
}

/// Shared by all workers of one run; owned by dispatch.
#[derive(Debug)]
pub struct DocumentArena {
    segments: Vec<Segment>,
    budget: u64,
    committed: u64,
    in_use: u64,
    /// Regions of living workers, and the most they ever took: documents never eat what a restarted worker needs.
    ports: u64,
    ports_peak: u64,
    generation: u32,
}

impl DocumentArena {
    pub fn new(settings: &ChannelSettings) -> Result<DocumentArena> {
        let (budget, segment) = (settings.ipc_budget_bytes, settings.segment_bytes);
        if segment < GRANULE as u64 || !segment.is_multiple_of(GRANULE as u64) || segment > budget {
            return Err(Error::config(
                format!(
                    "channel.segment_bytes is {segment}: it must be a multiple of {GRANULE} and at most the ipc pool ({budget} bytes)"
                ),
                "lower channel.segment_bytes or raise memory.ipc",
            ));
        }
        let count = budget.div_ceil(segment);
        if count > MOST_SEGMENTS {
            return Err(Error::config(
                format!(
                    "memory.ipc of {budget} bytes makes {count} segments of {segment}: at most {MOST_SEGMENTS} fit"
                ),
                "raise channel.segment_bytes",
            ));
        }
        let bytes = usize::try_from(segment)
            .map_err(|_| Error::config("channel.segment_bytes is too large", "lower it"))?;
        Ok(DocumentArena {
            segments: (0..count)
                .map(|_| Segment::new(bytes))
                .collect::<Result<_>>()?,
            budget,
            committed: 0,
            in_use: 0,
            ports: 0,
            ports_peak: 0,
            generation: 0,
        })
    }

    /// Bytes of live leases.
    pub fn bytes_in_use(&self) -> u64 {
        self.in_use
    }

    /// Everything counted against the `ipc` pool: committed document pages and the regions of living workers.
    pub fn segment_bytes_total(&self) -> u64 {
        self.committed + self.ports
    }

    /// Room for `bytes`, or None at the cap: wait for completions. A size that could never fit is an error.
    pub fn allocate(&mut self, bytes: usize) -> Result<Option<Block>> {
        let order = bytes.div_ceil(SMALLEST).next_power_of_two().ilog2() as usize;
        let size = (SMALLEST << order) as u64;
        let budget = self.budget.saturating_sub(self.ports_peak + self.committed);
        for (index, segment) in self.segments.iter_mut().enumerate() {
            if let Some((offset, found, fresh)) = segment.find(order, budget) {
                segment.take(offset, found, order)?;
                self.committed += fresh;
                self.in_use += size;
                return Ok(Some(Block {
                    segment: index,
                    offset,
                    order,
                }));
            }
        }
        if self.in_use == 0 {
            return Err(Error::config(
                format!(
                    "one request needs {size} bytes of shared memory: a segment has {} and the ipc pool has {} left for documents",
                    self.segments[0].bytes,
                    self.budget.saturating_sub(self.ports_peak)
                ),
                "raise memory.ipc and channel.segment_bytes, or lower model.max_model_len",
            ));
        }
        Ok(None)
    }

    pub fn free(&mut self, block: &Block) {
        self.in_use -= block.bytes() as u64;
        self.segments[block.segment].give(block.offset, block.order);
    }

    pub fn write(&self, block: &Block, bytes: &[u8]) -> Result<()> {
        debug_assert!(bytes.len() <= block.bytes());
        self.segments[block.segment]
            .memory
            .mapping
            .copy_in(block.offset, bytes)
    }

    /// Count a worker's region against the pool.
    pub(super) fn reserve_port(&mut self, bytes: u64) -> Result<()> {
        let peak = self.ports_peak.max(self.ports + bytes);
        if self.committed + peak > self.budget {
            return Err(Error::config(
                format!(
                    "a worker's region of {bytes} bytes does not fit the ipc pool of {} with {} in use",
                    self.budget,
                    self.segment_bytes_total()
                ),
                "raise memory.ipc, or lower cores.workers or channel.output_slot_bytes",
            ));
        }
        self.ports += bytes;
        self.ports_peak = peak;
        Ok(())
    }

    pub(super) fn release_port(&mut self, bytes: u64) {
        self.ports -= bytes;
    }

    /// Never 0, so that zeroed memory is no valid lease.
    pub(super) fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1).max(1);
        self.generation
    }

    pub(super) fn segment_count(&self) -> usize {
        self.segments.len()
    }

    pub(super) fn segment_bytes(&self) -> usize {
        self.segments[0].bytes
    }

    /// Fresh descriptors of all segments, for one child.
    pub(super) fn descriptors(&self) -> Result<Vec<OwnedFd>> {
        self.segments
            .iter()
            .map(|segment| segment.memory.for_child.try_clone())
            .collect::<std::io::Result<_>>()
            .map_err(Error::storage("duplicate", Path::new("shared memory")))
    }
}

const _: () = assert!(GRANULE.is_multiple_of(PAGE));

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings(budget: u64, segment: u64) -> ChannelSettings {
        ChannelSettings {
            ipc_budget_bytes: budget,
            segment_bytes: segment,
            output_slot_bytes: 4096,
            ring_entries: 8,
            spin_us: 0,
            checksums: true,
        }
    }

    proptest! {
        #[test]
        fn blocks_never_overlap_the_cap_holds_and_all_room_comes_back(
            steps in prop::collection::vec((any::<bool>(), 1usize..300_000, any::<prop::sample::Index>()), 1..120),
        ) {
            let mut arena = DocumentArena::new(&settings(1 << 20, 320 << 10)).unwrap();
            let mut held: Vec<Block> = Vec::new();
            for (take, bytes, pick) in steps {
                if take {
                    if let Ok(Some(block)) = arena.allocate(bytes) {
                        prop_assert!(block.bytes() >= bytes);
                        for other in held.iter().filter(|other| other.segment == block.segment) {
                            prop_assert!(
                                block.offset + block.bytes() <= other.offset || other.offset + other.bytes() <= block.offset
                            );
                        }
                        held.push(block);
                    }
                } else if !held.is_empty() {
                    let block = held.swap_remove(pick.index(held.len()));
                    arena.free(&block);
                }
                prop_assert!(arena.segment_bytes_total() <= 1 << 20);
                prop_assert_eq!(arena.bytes_in_use(), held.iter().map(|block| block.bytes() as u64).sum::<u64>());
            }
            for block in held.drain(..) {
                arena.free(&block);
            }
            prop_assert!(arena.allocate(256 << 10).unwrap().is_some());
        }
    }

    #[test]
    fn at_the_cap_it_says_wait_and_goes_on_after_a_free() {
        let mut arena = DocumentArena::new(&settings(128 << 10, 64 << 10)).unwrap();
        let first = arena.allocate(64 << 10).unwrap().unwrap();
        let _second = arena.allocate(64 << 10).unwrap().unwrap();
        assert!(arena.allocate(1).unwrap().is_none());
        arena.free(&first);
        assert!(arena.allocate(1).unwrap().is_some());
        assert_eq!(arena.segment_bytes_total(), 128 << 10);
    }

    #[test]
    fn a_request_that_can_never_fit_is_an_error_with_a_cure() {
        let mut arena = DocumentArena::new(&settings(128 << 10, 64 << 10)).unwrap();
        assert!(matches!(
            arena.allocate(65 << 10),
            Err(Error::Config { .. })
        ));
    }

    #[test]
    fn documents_never_take_what_a_restarted_worker_needs() {
        let mut arena = DocumentArena::new(&settings(128 << 10, 64 << 10)).unwrap();
        arena.reserve_port(64 << 10).unwrap();
        arena.release_port(64 << 10);
        assert!(arena.allocate(64 << 10).unwrap().is_some());
        assert!(arena.allocate(64 << 10).unwrap().is_none());
        arena.reserve_port(64 << 10).unwrap();
    }
}
