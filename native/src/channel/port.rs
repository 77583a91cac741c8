//! The runner's end of one worker incarnation's channel: leases out, validated completions in.
//!
//! Leases live here, in the runner's private heap, indexed by output slot; shared memory holds only copies. Whatever a
//! worker writes is copied out first and checked then; the first thing that cannot be true is an `Err`, which means
//! "treat this worker as crashed", never a panic. Called by dispatch. It does not start, reap or restart processes.

use super::arena::Block;
pub use super::arena::DocumentArena;
use super::bell::{Bell, Woken};
pub use super::layout::Progress;
use super::layout::{self, CompleteLine, Layout, SubmitLine, header, progress};
use super::memory::{Mapping, Sharing, Words, commit, create, token_bytes};
use super::ring::{Consumer, Corrupt, Producer};
pub use super::worker_port::WorkerPort;
use crate::error::{Error, Result};
use crate::request::{Completion, TokenSpan};
use crate::settings::ChannelSettings;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// One request to lease to the worker. `handle` is the caller's and comes back with the completion.
#[derive(Debug, Clone, Copy)]
pub struct Submit<'a> {
    pub handle: u64,
    pub token_ids: &'a [u32],
    pub max_tokens: u32,
    pub source: TokenSpan,
}

/// What the child inherits: all close-on-exec here, made inheritable by whoever starts the child.
#[derive(Debug)]
pub struct ChildEnds {
    pub channel: OwnedFd,
    pub control: OwnedFd,
    pub documents: Vec<OwnedFd>,
}

#[derive(Debug)]
struct Lease {
    handle: u64,
    generation: u32,
    block: Block,
}

/// The runner's end. Dropping it without `close` leaks its leases' document room: call `close`.
#[derive(Debug)]
pub struct RunnerPort {
    layout: Layout,
    region: Arc<Mapping>,
    submit: Producer<Words>,
    complete: Consumer<Words>,
    bell: Bell,
    /// Index = output slot.
    leases: Vec<Option<Lease>>,
    free_slots: Vec<u32>,
    canary_key: u64,
    checksums: bool,
}

impl From<Corrupt> for Error {
    fn from(_: Corrupt) -> Error {
        Error::Channel("the other side's ring position cannot be true".into())
    }
}

impl RunnerPort {
    /// A fresh region for one incarnation. `credits` is the most leases it may hold.
    pub fn open(
        settings: &ChannelSettings,
        credits: u32,
        arena: &mut DocumentArena,
    ) -> Result<(RunnerPort, ChildEnds)> {
        let layout = Layout::of(settings, credits)?;
        let bytes = layout.total_bytes();
        arena.reserve_port(bytes as u64)?;
        let made = Self::make(settings, layout, arena);
        if made.is_err() {
            arena.release_port(bytes as u64);
        }
        made
    }

    fn make(
        settings: &ChannelSettings,
        layout: Layout,
        arena: &mut DocumentArena,
    ) -> Result<(RunnerPort, ChildEnds)> {
        let bytes = layout.total_bytes();
        let memory = create(bytes, Sharing::ReadWrite)?;
        commit(&memory, 0, bytes)?;
        let canary_key = RandomState::new().hash_one(arena.next_generation());
        let words = memory.mapping.words(0, header::WORDS);
        for (index, value) in [
            (header::VERSION, layout::VERSION),
            (header::EPOCH, canary_key),
            (header::ENTRIES, layout.entries as u64),
            (header::SLOTS, layout.slots as u64),
            (header::SLOT_BYTES, layout.slot_bytes as u64),
            (header::SEGMENTS, arena.segment_count() as u64),
            (header::SEGMENT_BYTES, arena.segment_bytes() as u64),
            (header::CHECKSUMS, u64::from(settings.checksums)),
            (header::MAGIC, layout::MAGIC),
        ] {
            // SYNC POINT: relaxed; the child starts after this, so its start orders it.
            words[index].store(value, Relaxed);
        }
        let region = Arc::new(memory.mapping);
        for slot in 0..layout.slots {
            let value = (canary_key ^ slot as u64).to_le_bytes();
            region.copy_in(layout.canary(slot), &value)?;
        }
        let ring = |offset| Words::new(region.clone(), offset, layout.ring_words());
        let (bell, control) = Bell::pair()?;
        let ends = ChildEnds {
            channel: memory.for_child,
            control,
            documents: arena.descriptors()?,
        };
        #[expect(clippy::cast_possible_truncation, reason = "slots came from a u32")]
        let free_slots = (0..layout.slots as u32).rev().collect();
        let port = RunnerPort {
            submit: Producer::new(ring(layout.submit_ring()), layout.entries),
            complete: Consumer::new(ring(layout.complete_ring()), layout.entries),
            leases: (0..layout.slots).map(|_| None).collect(),
            layout,
            region,
            bell,
            free_slots,
            canary_key,
            checksums: settings.checksums,
        };
        Ok((port, ends))
    }

    /// Lease the first n requests and return n: fewer than given when credits, ring or the ipc pool are used up.
    /// One publish and at most one bell for all of them.
    pub fn submit(&mut self, arena: &mut DocumentArena, requests: &[Submit]) -> Result<usize> {
        let room = self.submit.room(requests.len())?;
        let most = requests.len().min(self.free_slots.len()).min(room);
        let mut accepted = 0;
        let mut outcome = Ok(());
        for request in &requests[..most] {
            match self.stage(arena, request) {
                Ok(true) => accepted += 1,
                Ok(false) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        if accepted > 0 && self.submit.publish() {
            self.bell.ring();
        }
        // What was accepted before an error stands; the error comes back with the next call.
        if accepted > 0 {
            return Ok(accepted);
        }
        outcome.map(|()| 0)
    }

    fn stage(&mut self, arena: &mut DocumentArena, request: &Submit) -> Result<bool> {
        let bytes = token_bytes(request.token_ids);
        let token_count = u32::try_from(request.token_ids.len()).map_err(|_| {
            Error::config(
                "a request has over 2^32 tokens",
                "lower job.max_chunk_tokens",
            )
        })?;
        let Some(block) = arena.allocate(bytes.len())? else {
            return Ok(false);
        };
        if let Err(error) = arena.write(&block, bytes) {
            arena.free(&block);
            return Err(error);
        }
        let Some(slot) = self.free_slots.pop() else {
            arena.free(&block);
            return Ok(false);
        };
        let generation = arena.next_generation();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked when the settings came in: segments <= 1024, slot_bytes is a u32"
        )]
        let (segment, output_capacity) = (block.segment as u32, self.layout.slot_bytes as u32);
        let line = SubmitLine {
            handle: request.handle,
            generation,
            segment,
            token_offset: block.offset as u64,
            token_count,
            slot,
            output_offset: self.layout.slot(slot as usize) as u64,
            output_capacity,
            max_tokens: request.max_tokens,
            source: request.source,
            checksum: if self.checksums {
                crc32c::crc32c(bytes)
            } else {
                0
            },
        };
        // The lease exists before the worker can see it.
        self.leases[slot as usize] = Some(Lease {
            handle: request.handle,
            generation,
            block,
        });
        self.submit.stage(&line.to_line());
        Ok(true)
    }

    /// Take every published completion, checked. On `Err` the good ones before it are in `out`, the worker is to be
    /// treated as crashed: kill it, wait for it, then `close`.
    pub fn drain(
        &mut self,
        arena: &mut DocumentArena,
        out: &mut Vec<(u64, Completion)>,
    ) -> Result<()> {
        let mut outcome = Ok(());
        while outcome.is_ok() && self.complete.available()? > 0 {
            let line = CompleteLine::from_line(&self.complete.take());
            outcome = self.accept(arena, &line).map(|done| out.push(done));
        }
        self.complete.release();
        outcome
    }

    fn accept(
        &mut self,
        arena: &mut DocumentArena,
        line: &CompleteLine,
    ) -> Result<(u64, Completion)> {
        let slot = line.slot as usize;
        let held = self.leases.get_mut(slot).ok_or_else(|| {
            Error::Channel(format!(
                "a completion names output slot {slot} of {}",
                self.layout.slots
            ))
        })?;
        match held {
            Some(lease) if lease.handle == line.handle && lease.generation == line.generation => {}
            _ => {
                return Err(Error::Channel(format!(
                    "a completion for a lease that this worker does not hold: handle {}, generation {}, slot {slot}",
                    line.handle, line.generation
                )));
            }
        }
        let completion = read_completion(
            &self.region,
            &self.layout,
            self.canary_key,
            self.checksums,
            line,
        )?;
        if let Some(lease) = held.take() {
            arena.free(&lease.block);
        }
        self.free_slots.push(line.slot);
        Ok((line.handle, completion))
    }

    /// Readable when a bell rang or the worker died.
    pub fn poll_fd(&self) -> RawFd {
        self.bell.fd()
    }

    /// For callers with one worker only (tests, benches): sleep until a bell. False: the worker closed its end.
    pub fn wait(&self, timeout_ms: i32) -> Result<bool> {
        if !self.prepare_sleep() {
            return Ok(true);
        }
        let woken = self.bell.wait(timeout_ms)?;
        self.complete.awake();
        Ok(woken != Woken::PeerGone)
    }

    /// Whether `drain` has something to take (or to complain about). What a spinning runner looks at.
    #[must_use]
    pub fn has_completions(&mut self) -> bool {
        self.complete.available().map_or(true, |count| count > 0)
    }

    /// Announce sleep. True: nothing is there, the caller may poll. False: drain first.
    #[must_use]
    pub fn prepare_sleep(&self) -> bool {
        self.complete.prepare_sleep()
    }

    /// After a poll: take the bells. False: the worker closed its end.
    #[must_use]
    pub fn wake(&self) -> bool {
        self.complete.awake();
        self.bell.swallow()
    }

    /// Ask the worker to finish what it can and give the rest back as `Released`.
    pub fn request_drain(&self) {
        // SYNC POINT: pairs with the load in `WorkerPort::draining`; the bell is rung in any case.
        self.region.words(0, layout::FIXED_WORDS)[layout::DRAIN_WORD].store(1, Release);
        self.bell.ring();
    }

    pub fn progress(&self) -> Progress {
        let words = self.region.words(0, layout::FIXED_WORDS);
        // SYNC POINT: pairs with the heartbeat store in `ProgressCell::set`, written last there and read first here.
        let heartbeat_ns = words[progress::HEARTBEAT_NS].load(Acquire);
        // SYNC POINT: relaxed; independent counters for display, ordered enough by the heartbeat.
        let word = |index: usize| words[index].load(Relaxed);
        Progress {
            heartbeat_ns,
            prompt_tokens: word(progress::PROMPT_TOKENS),
            generated_tokens: word(progress::GENERATED_TOKENS),
            active_rows: word(progress::ACTIVE_ROWS),
            memory_bytes: word(progress::MEMORY_BYTES),
        }
    }

    /// Leases that the worker holds.
    pub fn outstanding(&self) -> usize {
        self.layout.slots - self.free_slots.len()
    }

    /// Only after waitpid (no more stores can come) and a last `drain`: the leases left, oldest first.
    pub fn close(mut self, arena: &mut DocumentArena) -> Vec<u64> {
        let mut left: Vec<Lease> = self.leases.iter_mut().filter_map(Option::take).collect();
        left.sort_by_key(|lease| lease.generation);
        for lease in &left {
            arena.free(&lease.block);
        }
        arena.release_port(self.layout.total_bytes() as u64);
        left.into_iter().map(|lease| lease.handle).collect()
    }
}

/// Copy the payload out, then check the copy.
fn read_completion(
    region: &Mapping,
    layout: &Layout,
    canary_key: u64,
    checksums: bool,
    line: &CompleteLine,
) -> Result<Completion> {
    let (status, finish_reason) = (line.status()?, line.finish_reason()?);
    let (output_bytes, reason_bytes) = (line.output_bytes as usize, line.reason_bytes as usize);
    let bytes = output_bytes + reason_bytes;
    if bytes > layout.slot_bytes {
        return Err(Error::Channel(format!(
            "a completion of {bytes} bytes in a slot of {}",
            layout.slot_bytes
        )));
    }
    let slot = line.slot as usize;
    let canary = region.copy_out(layout.canary(slot), 8)?;
    if canary != (canary_key ^ u64::from(line.slot)).to_le_bytes() {
        return Err(Error::Channel(format!(
            "output slot {slot} was written past its end"
        )));
    }
    let mut output = region.copy_out(layout.slot(slot), bytes)?;
    if checksums && crc32c::crc32c(&output) != line.checksum {
        return Err(Error::Channel(format!(
            "wrong checksum of {bytes} bytes in output slot {slot}"
        )));
    }
    let reason = output.split_off(output_bytes);
    let text = |bytes| {
        String::from_utf8(bytes)
            .map_err(|_| Error::Channel(format!("output slot {slot} is not UTF-8")))
    };
    Ok(Completion {
        status,
        output: text(output)?,
        reason: text(reason)?,
        finish_reason,
        tokens_in: line.tokens_in,
        tokens_out: line.tokens_out,
        repairs: u32::from(line.repairs),
        admitted_ns: line.admitted_ns,
        first_token_ns: line.first_token_ns,
        finished_ns: line.finished_ns,
    })
}

#[cfg(test)]
#[path = "port_tests.rs"]
mod tests;
