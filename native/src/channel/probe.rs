//! A bare pair of rings with payload slots between two processes: what `runner bench channel` measures.
//!
//! The same ring, memory and bell as the ports, without leases, checks and documents, so that a figure says what the
//! transport costs. Not used by a run.

use super::bell::{Bell, Woken};
use super::memory::{Mapping, PAGE, Sharing, Words, commit, create, round_up};
use super::ring::{Consumer, LINE_WORDS, Line, Producer, words_needed};
use crate::error::{Error, Result};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most lines moved by one call of `blast` or `swallow`.
const MOST_BATCH: usize = 512;

/// Sizes that both ends agree on.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Lines of each ring, and payload slots of each direction.
    pub entries: usize,
    pub slot_bytes: usize,
}

impl Shape {
    fn ring_bytes(self) -> usize {
        round_up(words_needed(self.entries) * 8, PAGE)
    }

    fn payload(self, side: usize, index: u64) -> usize {
        // Masked by a usize; the result fits.
        let slot = usize::try_from(index & (self.entries as u64 - 1)).unwrap_or(0);
        2 * self.ring_bytes() + (side * self.entries + slot) * self.slot_bytes
    }

    fn total(self) -> usize {
        round_up(
            2 * self.ring_bytes() + 2 * self.entries * self.slot_bytes,
            PAGE,
        )
    }
}

/// One end. Side 0 made the region, side 1 inherited it.
#[derive(Debug)]
pub struct Probe {
    shape: Shape,
    side: usize,
    region: Arc<Mapping>,
    out: Producer<Words>,
    inward: Consumer<Words>,
    bell: Bell,
    spin: Duration,
    sent: u64,
    received: u64,
    /// Lines taken and not yet given back: their payload may still be read.
    held: bool,
}

impl Probe {
    pub fn create(shape: Shape, spin_us: u64) -> Result<(Probe, OwnedFd, OwnedFd)> {
        if !shape.entries.is_power_of_two() || !shape.slot_bytes.is_multiple_of(64) {
            return Err(Error::Channel(
                "entries: a power of two; slot_bytes: a multiple of 64".into(),
            ));
        }
        let memory = create(shape.total(), Sharing::ReadWrite)?;
        commit(&memory, 0, shape.total())?;
        let (bell, control) = Bell::pair()?;
        let probe = Probe::over(Arc::new(memory.mapping), shape, 0, bell, spin_us);
        Ok((probe, memory.for_child, control))
    }

    pub fn attach(region: &OwnedFd, control: OwnedFd, shape: Shape, spin_us: u64) -> Result<Probe> {
        let mapping = Arc::new(Mapping::new(region, shape.total(), true)?);
        Ok(Probe::over(mapping, shape, 1, Bell::new(control), spin_us))
    }

    fn over(region: Arc<Mapping>, shape: Shape, side: usize, bell: Bell, spin_us: u64) -> Probe {
        let words = |which: usize| {
            Words::new(
                region.clone(),
                which * shape.ring_bytes(),
                words_needed(shape.entries),
            )
        };
        Probe {
            out: Producer::new(words(side), shape.entries),
            inward: Consumer::new(words(1 - side), shape.entries),
            shape,
            side,
            bell,
            spin: Duration::from_micros(spin_us),
            region,
            sent: 0,
            received: 0,
            held: false,
        }
    }

    /// Where the next line's payload goes, and where the payload of the line after the last taken one lies.
    pub fn next_out(&self) -> usize {
        self.shape.payload(self.side, self.sent)
    }

    pub fn next_in(&self) -> usize {
        self.shape.payload(1 - self.side, self.received)
    }

    /// Stage and publish as many as fit; one bell at most.
    pub fn push(&mut self, lines: &[Line]) -> Result<usize> {
        let count = self.out.room(lines.len())?.min(lines.len());
        for line in &lines[..count] {
            self.out.stage(line);
        }
        if count > 0 {
            self.sent += count as u64;
            if self.out.publish() {
                self.bell.ring();
            }
        }
        Ok(count)
    }

    /// Waits for room for all of them: one publish, so that a full ring does not turn batches into single lines.
    pub fn push_all(&mut self, lines: &[Line]) -> Result<()> {
        if lines.len() > self.shape.entries {
            return Err(Error::Channel(format!(
                "{} lines do not fit a ring of {}",
                lines.len(),
                self.shape.entries
            )));
        }
        while self.out.room(lines.len())? < lines.len() {
            self.pause();
        }
        self.push(lines).map(drop)
    }

    /// Take what is there, giving back what the last call took. 0: nothing there.
    pub fn try_pop(&mut self, lines: &mut [Line]) -> Result<usize> {
        self.give_back();
        let count = self.inward.available()?.min(lines.len());
        for line in &mut lines[..count] {
            *line = self.inward.take();
        }
        self.held = count > 0;
        self.received += count as u64;
        Ok(count)
    }

    pub fn give_back(&mut self) {
        if self.held {
            self.inward.release();
            self.held = false;
        }
    }

    /// Only the spin of `pop`: at most `spin_us`, never a system call.
    pub fn spin_pop(&mut self, lines: &mut [Line]) -> Result<usize> {
        let mut start = None;
        loop {
            for _ in 0..64 {
                let count = self.try_pop(lines)?;
                if count > 0 {
                    return Ok(count);
                }
                std::hint::spin_loop();
            }
            if start.get_or_insert_with(Instant::now).elapsed() >= self.spin {
                return Ok(0);
            }
        }
    }

    /// Wait without bound for at least one line: spin, then sleep on the bell.
    pub fn pop(&mut self, lines: &mut [Line]) -> Result<usize> {
        loop {
            let count = self.spin_pop(lines)?;
            if count > 0 {
                return Ok(count);
            }
            if self.inward.prepare_sleep() {
                let woken = self.bell.wait(-1)?;
                self.inward.awake();
                let count = self.try_pop(lines)?;
                if count > 0 {
                    return Ok(count);
                }
                if woken == Woken::PeerGone {
                    return Err(Error::PeerGone);
                }
            }
        }
    }

    /// While the ring is full: an end that sleeps when it is empty gives its core away here too, or the reader that it has
    /// just woken waits behind it.
    fn pause(&self) {
        if self.spin.is_zero() {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }

    /// Publishes one line, waiting for room.
    pub fn push_one(&mut self, line: &Line) -> Result<()> {
        self.push_all(std::slice::from_ref(line))
    }

    /// Half round trips in nanoseconds: `bytes` copied in on each leg, and read back by the receiver.
    pub fn ping(&mut self, count: usize, bytes: usize) -> Result<Vec<u64>> {
        let payload = vec![7u8; bytes];
        let mut halves = Vec::with_capacity(count);
        let mut line = [[0; LINE_WORDS]; 1];
        for _ in 0..count {
            let start = Instant::now();
            self.region.copy_in(self.next_out(), &payload)?;
            self.push_one(&[bytes as u64; LINE_WORDS])?;
            let from = self.next_in();
            self.pop(&mut line)?;
            std::hint::black_box(self.touch(from, bytes)?);
            halves.push(u64::try_from(start.elapsed().as_nanos() / 2).unwrap_or(u64::MAX));
        }
        Ok(halves)
    }

    /// The other side of `ping`.
    pub fn echo(&mut self, count: usize, bytes: usize) -> Result<()> {
        let payload = vec![9u8; bytes];
        let mut line = [[0; LINE_WORDS]; 1];
        for _ in 0..count {
            let from = self.next_in();
            self.pop(&mut line)?;
            std::hint::black_box(self.touch(from, bytes)?);
            self.region.copy_in(self.next_out(), &payload)?;
            self.push_one(&line[0])?;
        }
        Ok(())
    }

    /// Send `count` lines in batches, with a payload of `bytes` each when not 0.
    pub fn blast(&mut self, count: usize, batch: usize, bytes: usize) -> Result<()> {
        let payload = vec![7u8; bytes];
        let lines = vec![[1u64; LINE_WORDS]; MOST_BATCH];
        let mut left = count;
        while left > 0 {
            let wanted = batch.min(left).min(MOST_BATCH);
            let fits = self.out.room(wanted)?.min(wanted);
            if fits == 0 {
                self.pause();
                continue;
            }
            if bytes > 0 {
                for ahead in 0..fits as u64 {
                    let place = self.shape.payload(self.side, self.sent + ahead);
                    self.region.copy_in(place, &payload)?;
                }
            }
            left -= self.push(&lines[..fits])?;
        }
        Ok(())
    }

    /// The other side of `blast`; payloads are read, one byte of each cache line.
    pub fn swallow(&mut self, count: usize, batch: usize, bytes: usize) -> Result<()> {
        let mut lines = vec![[0; LINE_WORDS]; MOST_BATCH];
        let mut left = count;
        while left > 0 {
            let first = self.received;
            let got = self.pop(&mut lines[..batch.min(left).min(MOST_BATCH)])?;
            if bytes > 0 {
                for index in first..self.received {
                    let place = self.shape.payload(1 - self.side, index);
                    std::hint::black_box(self.touch(place, bytes)?);
                }
            }
            left -= got;
        }
        self.give_back();
        Ok(())
    }

    /// Read one word of each cache line.
    fn touch(&self, offset: usize, bytes: usize) -> Result<u64> {
        if offset + bytes > self.region.len() {
            return Err(Error::Channel("payload outside the region".into()));
        }
        let words = self.region.words(offset, bytes / 8);
        let read = words
            .iter()
            .step_by(8)
            // SYNC POINT: relaxed; the ring's head ordered the payload before the line.
            .map(|word| word.load(std::sync::atomic::Ordering::Relaxed));
        Ok(read.fold(0, u64::wrapping_add))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_exchange_payloads_spinning_and_sleeping() {
        for spin_us in [0, 50] {
            let shape = Shape {
                entries: 8,
                slot_bytes: 4096,
            };
            let (mut near, region, control) = Probe::create(shape, spin_us).unwrap();
            let mut far = Probe::attach(&region, control, shape, spin_us).unwrap();
            let other = std::thread::spawn(move || {
                far.echo(100, 64).unwrap();
                far.swallow(1000, 16, 4096).unwrap();
            });
            assert_eq!(near.ping(100, 64).unwrap().len(), 100);
            near.blast(1000, 16, 4096).unwrap();
            other.join().unwrap();
        }
    }
}
