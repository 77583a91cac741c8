//! The worker's end of the channel: token arrays in, completion lines out, progress counters beside.
//!
//! The header is read once and frozen. Python writes output bytes through its own mapping of the inherited descriptor;
//! here only lines and ring words are written. Called by py.rs inside a worker process, and by tests.

use super::bell::{Bell, Woken};
use super::layout::{self, CompleteLine, Layout, SubmitLine, header, progress};
use super::memory::{Mapping, Words, size_of_fd};
use super::ring::{Consumer, Producer};
use crate::error::{Error, Result};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

/// Part of the worker's end that any thread may use while another waits in `receive`.
#[derive(Debug, Clone)]
pub struct ProgressCell {
    region: Arc<Mapping>,
}

impl ProgressCell {
    /// `heartbeat_ns` is the caller's monotonic clock, which all processes of one machine share.
    pub fn set(&self, values: &layout::Progress) {
        let words = self.region.words(0, layout::FIXED_WORDS);
        for (index, value) in [
            (progress::PROMPT_TOKENS, values.prompt_tokens),
            (progress::GENERATED_TOKENS, values.generated_tokens),
            (progress::ACTIVE_ROWS, values.active_rows),
            (progress::MEMORY_BYTES, values.memory_bytes),
        ] {
            // SYNC POINT: relaxed; ordered by the heartbeat store below.
            words[index].store(value, Relaxed);
        }
        // SYNC POINT: pairs with the heartbeat load in `RunnerPort::progress`.
        words[progress::HEARTBEAT_NS].store(values.heartbeat_ns, Release);
    }

    /// The runner asked for a drain: take no new lease, finish or release what is held.
    pub fn draining(&self) -> bool {
        // SYNC POINT: pairs with the store in `RunnerPort::request_drain`.
        self.region.words(0, layout::FIXED_WORDS)[layout::DRAIN_WORD].load(Acquire) != 0
    }
}

#[derive(Debug)]
pub struct WorkerPort {
    layout: Layout,
    region: Arc<Mapping>,
    documents: Vec<Mapping>,
    submit: Consumer<Words>,
    complete: Producer<Words>,
    bell: Bell,
    spin: Duration,
    checksums: bool,
    drain_reported: bool,
}

impl WorkerPort {
    /// Takes over the inherited descriptors. A header that does not match this build is an error.
    pub fn attach(
        channel: &OwnedFd,
        control: OwnedFd,
        documents: &[OwnedFd],
        spin_us: u32,
    ) -> Result<WorkerPort> {
        let bytes = size_of_fd(channel)?;
        let region = Arc::new(Mapping::new(channel, bytes, true)?);
        if bytes < layout::FIXED_WORDS * 8 {
            return Err(Error::Channel("the inherited region is too small".into()));
        }
        let words = region.words(0, header::WORDS);
        // SYNC POINT: relaxed; written before this process existed.
        let word = |index: usize| words[index].load(Relaxed);
        let number = |index| usize::try_from(word(index)).unwrap_or(usize::MAX);
        if word(header::MAGIC) != layout::MAGIC || word(header::VERSION) != layout::VERSION {
            return Err(Error::Channel(format!(
                "the inherited region has version {:#x}/{}, this worker speaks {}: runner and worker are of different builds",
                word(header::MAGIC),
                word(header::VERSION),
                layout::VERSION
            )));
        }
        let layout = Layout {
            entries: number(header::ENTRIES),
            slots: number(header::SLOTS),
            slot_bytes: number(header::SLOT_BYTES),
        };
        let sane = layout.entries.is_power_of_two()
            && layout.entries <= 1 << 16
            && layout.slots <= layout.entries
            && u32::try_from(layout.slot_bytes).is_ok();
        if !sane || layout.total_bytes() > bytes || number(header::SEGMENTS) != documents.len() {
            return Err(Error::Channel(format!(
                "the inherited region of {bytes} bytes and {} segments does not match its header ({layout:?})",
                documents.len()
            )));
        }
        let checksums = word(header::CHECKSUMS) != 0;
        let segment_bytes = number(header::SEGMENT_BYTES);
        let ring = |offset| Words::new(region.clone(), offset, layout.ring_words());
        Ok(WorkerPort {
            submit: Consumer::new(ring(layout.submit_ring()), layout.entries),
            complete: Producer::new(ring(layout.complete_ring()), layout.entries),
            documents: documents
                .iter()
                .map(|fd| Mapping::new(fd, segment_bytes, false))
                .collect::<Result<_>>()?,
            layout,
            region,
            bell: Bell::new(control),
            spin: Duration::from_micros(u64::from(spin_us)),
            checksums,
            drain_reported: false,
        })
    }

    pub fn progress_cell(&self) -> ProgressCell {
        ProgressCell {
            region: self.region.clone(),
        }
    }

    /// Fill `lines` with new leases; 0 on time-out, on a signal, and once when a drain begins. -1 waits for ever,
    /// 0 only looks. `PeerGone`: the runner died or closed.
    pub fn receive(&mut self, lines: &mut [SubmitLine], timeout_ms: i32) -> Result<usize> {
        let got = self.take(lines)?;
        if got > 0 || lines.is_empty() {
            return Ok(got);
        }
        if timeout_ms != 0 {
            let got = self.spin(lines)?;
            if got > 0 {
                return Ok(got);
            }
        }
        let deadline = u64::try_from(timeout_ms)
            .ok()
            .map(|ms| Instant::now() + Duration::from_millis(ms));
        loop {
            if !self.submit.prepare_sleep() {
                return self.take(lines);
            }
            if self.progress_cell().draining() && !self.drain_reported {
                self.drain_reported = true;
                self.submit.awake();
                return Ok(0);
            }
            let left = deadline.map_or(-1, |end| {
                let left = end.saturating_duration_since(Instant::now());
                // Up, not down: 0.4 ms left must not become a busy loop.
                i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
            });
            let woken = self.bell.wait(left)?;
            self.submit.awake();
            let got = self.take(lines)?;
            match woken {
                _ if got > 0 => return Ok(got),
                Woken::PeerGone => return Err(Error::PeerGone),
                Woken::TimedOut => return Ok(0),
                Woken::Rung => {}
            }
        }
    }

    /// Busy-wait for at most `spin_us`, never a system call.
    fn spin(&mut self, lines: &mut [SubmitLine]) -> Result<usize> {
        if self.spin.is_zero() {
            return Ok(0);
        }
        let start = Instant::now();
        loop {
            for _ in 0..32 {
                if self.submit.available()? > 0 {
                    return self.take(lines);
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= self.spin {
                return Ok(0);
            }
        }
    }

    /// Whatever is there now, checked against the inherited sizes.
    pub fn take(&mut self, lines: &mut [SubmitLine]) -> Result<usize> {
        let count = self.submit.available()?.min(lines.len());
        for place in &mut lines[..count] {
            *place = SubmitLine::from_line(&self.submit.take());
        }
        if count > 0 {
            self.submit.release();
        }
        for line in &lines[..count] {
            self.check(line)?;
        }
        Ok(count)
    }

    fn check(&self, line: &SubmitLine) -> Result<()> {
        let bad = || Error::Channel(format!("a lease that cannot be true: {line:?}"));
        let slot = line.slot as usize;
        if slot >= self.layout.slots
            || line.output_offset != self.layout.slot(slot) as u64
            || line.output_capacity as usize != self.layout.slot_bytes
        {
            return Err(bad());
        }
        let document = self.documents.get(line.segment as usize).ok_or_else(bad)?;
        let offset = usize::try_from(line.token_offset).map_err(|_| bad())?;
        let bytes = line.token_count as usize * 4;
        let source = u64::from(line.source.first) + u64::from(line.source.count);
        if source > u64::from(line.token_count)
            || offset
                .checked_add(bytes)
                .is_none_or(|end| end > document.len())
        {
            return Err(bad());
        }
        if self.checksums && crc32c::crc32c(&document.copy_out(offset, bytes)?) != line.checksum {
            return Err(Error::Channel(format!(
                "wrong checksum of the {bytes} token bytes of lease {}",
                line.handle
            )));
        }
        Ok(())
    }

    /// Stage completions whose bytes already lie in their slots. Not visible before `publish`.
    pub fn complete(&mut self, lines: &[CompleteLine]) -> Result<()> {
        for line in lines {
            let bytes = line.output_bytes as usize + line.reason_bytes as usize;
            if line.slot as usize >= self.layout.slots || bytes > self.layout.slot_bytes {
                return Err(Error::Channel(format!(
                    "a completion of {bytes} bytes for output slot {}: {} slots of {} bytes",
                    line.slot, self.layout.slots, self.layout.slot_bytes
                )));
            }
            if self.complete.room(1)? == 0 {
                return Err(Error::Channel(
                    "more completions than leases were ever held".into(),
                ));
            }
            let mut line = *line;
            if self.checksums {
                let payload = self
                    .region
                    .copy_out(self.layout.slot(line.slot as usize), bytes)?;
                line.checksum = crc32c::crc32c(&payload);
            }
            self.complete.stage(&line.to_line());
        }
        Ok(())
    }

    /// The point from which the staged completions are done, whatever happens to this process.
    pub fn publish(&mut self) {
        if self.complete.publish() {
            self.bell.ring();
        }
    }

    /// Copy bytes into the slot of a lease; Rust callers (tests, benches) only, Python writes through its own view.
    pub fn write_output(&self, line: &SubmitLine, bytes: &[u8]) -> Result<()> {
        if bytes.len() > line.output_capacity as usize {
            return Err(Error::Channel("output over its slot".into()));
        }
        self.region
            .copy_in(self.layout.slot(line.slot as usize), bytes)
    }

    /// The token bytes of a lease, copied; Rust callers only.
    pub fn read_tokens(&self, line: &SubmitLine) -> Result<Vec<u8>> {
        let document = self
            .documents
            .get(line.segment as usize)
            .ok_or_else(|| Error::Channel("segment".into()))?;
        let offset = usize::try_from(line.token_offset)
            .map_err(|_| Error::Channel("token offset".into()))?;
        document.copy_out(offset, line.token_count as usize * 4)
    }
}
