//! One single-producer single-consumer ring of 64-byte lines over shared words, with the sleep handshake.
//!
//! Everything is an atomic word: the peer is another process and may write anything at any time, so a plain reference
//! into this memory would be unsound. Positions that the peer wrote are checked, never trusted. The ring does not
//! sleep, ring bells or know what a line means; port.rs does.

use super::sync::{AtomicU64, PUBLISH, fence};
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

pub const LINE_WORDS: usize = 8;
/// One descriptor: 64 bytes, offsets and lengths only, never pointers.
pub type Line = [u64; LINE_WORDS];

// Words written by different sides lie on different 128-byte lines (the cache line of Apple silicon).
const HEAD: usize = 0;
const TAIL: usize = 16;
const SLEEPING: usize = 32;
const LINES: usize = 48;

/// Words that a ring of `entries` lines occupies.
pub const fn words_needed(entries: usize) -> usize {
    LINES + entries * LINE_WORDS
}

/// The peer's position cannot be true: its process is treated as crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

fn line_at<M: AsRef<[AtomicU64]>>(memory: &M, position: u64, mask: u64) -> &[AtomicU64] {
    // The mask keeps the index below `entries`, a usize when the ring was made.
    #[expect(clippy::cast_possible_truncation, reason = "masked by entries - 1")]
    let first = LINES + (position & mask) as usize * LINE_WORDS;
    &memory.as_ref()[first..first + LINE_WORDS]
}

/// The writing end. Lines are staged, then published together.
#[derive(Debug)]
pub struct Producer<M> {
    memory: M,
    entries: u64,
    /// Private: next position to stage. The shared head word is only ever written from it.
    staged: u64,
    /// The consumer's tail as last seen; read again only when the ring looks too full.
    seen_tail: u64,
}

impl<M: AsRef<[AtomicU64]>> Producer<M> {
    /// `entries` is a power of two; both positions of a fresh ring are 0.
    pub fn new(memory: M, entries: usize) -> Self {
        assert!(entries.is_power_of_two() && memory.as_ref().len() >= words_needed(entries));
        Producer {
            memory,
            entries: entries as u64,
            staged: 0,
            seen_tail: 0,
        }
    }

    /// Lines that can be staged now; looks at the shared tail only if fewer than `wanted` are known to be free.
    pub fn room(&mut self, wanted: usize) -> Result<usize, Corrupt> {
        if self.entries - (self.staged - self.seen_tail) < wanted as u64 {
            // SYNC POINT: pairs with the tail store in `Consumer::release`: the consumer's reads of a line are done
            // before we write that line again.
            let tail = self.memory.as_ref()[TAIL].load(Acquire);
            if tail < self.seen_tail || tail > self.staged {
                return Err(Corrupt);
            }
            self.seen_tail = tail;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most `entries`, a usize"
        )]
        Ok((self.entries - (self.staged - self.seen_tail)) as usize)
    }

    /// Write one line, invisible until `publish`. The caller asked `room` before.
    pub fn stage(&mut self, line: &Line) {
        debug_assert!(self.staged - self.seen_tail < self.entries);
        let place = line_at(&self.memory, self.staged, self.entries - 1);
        for (word, value) in place.iter().zip(line) {
            // SYNC POINT: relaxed; made visible by the head store in `publish`.
            word.store(*value, Relaxed);
        }
        self.staged += 1;
    }

    /// The publication point of everything staged. True: the consumer said that it sleeps and needs a bell.
    #[must_use]
    pub fn publish(&mut self) -> bool {
        let words = self.memory.as_ref();
        // SYNC POINT: pairs with the head load in `Consumer::available`; before this store not done, after it done.
        words[HEAD].store(self.staged, PUBLISH);
        // SYNC POINT: pairs with the fence in `Consumer::prepare_sleep`: either we see `sleeping`, or the consumer's
        // second look sees the new head. Never neither.
        fence(SeqCst);
        // SYNC POINT: pairs with the `sleeping` store in `prepare_sleep`. The swap takes the duty to ring once.
        words[SLEEPING].load(Relaxed) != 0 && words[SLEEPING].swap(0, SeqCst) != 0
    }
}

/// The reading end.
#[derive(Debug)]
pub struct Consumer<M> {
    memory: M,
    entries: u64,
    tail: u64,
    seen_head: u64,
}

impl<M: AsRef<[AtomicU64]>> Consumer<M> {
    /// As `Producer::new`.
    pub fn new(memory: M, entries: usize) -> Self {
        assert!(entries.is_power_of_two() && memory.as_ref().len() >= words_needed(entries));
        Consumer {
            memory,
            entries: entries as u64,
            tail: 0,
            seen_head: 0,
        }
    }

    /// Lines that can be taken now; looks at the shared head only when all seen lines are taken.
    pub fn available(&mut self) -> Result<usize, Corrupt> {
        if self.seen_head == self.tail {
            self.refresh()?;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most `entries`, a usize"
        )]
        Ok((self.seen_head - self.tail) as usize)
    }

    fn refresh(&mut self) -> Result<(), Corrupt> {
        // SYNC POINT: pairs with the head store in `Producer::publish`: lines below head are complete.
        let head = self.memory.as_ref()[HEAD].load(Acquire);
        if head < self.seen_head || head - self.tail > self.entries {
            return Err(Corrupt);
        }
        self.seen_head = head;
        Ok(())
    }

    /// Copy the next line out (the copy is what gets validated). The caller asked `available` before.
    pub fn take(&mut self) -> Line {
        debug_assert!(self.tail < self.seen_head);
        let place = line_at(&self.memory, self.tail, self.entries - 1);
        let mut line = [0; LINE_WORDS];
        for (value, word) in line.iter_mut().zip(place) {
            // SYNC POINT: relaxed; ordered by the head load in `refresh` before and the tail store in `release` after.
            *value = word.load(Relaxed);
        }
        self.tail += 1;
        line
    }

    /// Give the places of all taken lines back to the producer.
    pub fn release(&mut self) {
        // SYNC POINT: pairs with the tail load in `Producer::room`.
        self.memory.as_ref()[TAIL].store(self.tail, PUBLISH);
    }

    /// Announce sleep, then look again. True: nothing is there and the producer will ring; the caller may poll.
    #[must_use]
    pub fn prepare_sleep(&self) -> bool {
        let words = self.memory.as_ref();
        // SYNC POINT: pairs with the load and swap of `sleeping` in `Producer::publish`. A swap, so that it is ordered
        // after the producer's last swap by reading it: loom finds a lost wake-up with a plain store, which the
        // standard's rule for read-modify-writes excludes and loom does not know.
        words[SLEEPING].swap(1, SeqCst);
        // SYNC POINT: pairs with the fence in `Producer::publish` (store-load order on both sides).
        fence(SeqCst);
        // SYNC POINT: the second look, without which a wake-up is lost; pairs with the head store in `publish`.
        if words[HEAD].load(Acquire) == self.tail {
            return true;
        }
        self.awake();
        false
    }

    /// No longer asleep: the producer need not ring.
    pub fn awake(&self) {
        // SYNC POINT: relaxed; a late bell is a spurious wake-up, which every waiter tolerates.
        self.memory.as_ref()[SLEEPING].store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::sync::Arc;

    #[derive(Clone)]
    struct Heap(Arc<Vec<AtomicU64>>);
    impl AsRef<[AtomicU64]> for Heap {
        fn as_ref(&self) -> &[AtomicU64] {
            &self.0
        }
    }

    fn ring(entries: usize) -> (Producer<Heap>, Consumer<Heap>, Heap) {
        let heap = Heap(Arc::new(
            (0..words_needed(entries))
                .map(|_| AtomicU64::new(0))
                .collect(),
        ));
        (
            Producer::new(heap.clone(), entries),
            Consumer::new(heap.clone(), entries),
            heap,
        )
    }

    proptest! {
        #[test]
        fn lines_come_out_once_in_order_whatever_the_interleaving(steps in prop::collection::vec((any::<bool>(), 1usize..9), 1..200)) {
            let (mut producer, mut consumer, _) = ring(8);
            let mut expected = VecDeque::new();
            let mut next = 0u64;
            for (push, count) in steps {
                if push {
                    let room = producer.room(count).unwrap();
                    prop_assert!(room <= 8 - expected.len());
                    for _ in 0..count.min(room) {
                        producer.stage(&[next, next + 1, next + 2, 0, 0, 0, 0, next ^ 7]);
                        expected.push_back(next);
                        next += 1;
                    }
                    let _ = producer.publish();
                } else {
                    for _ in 0..count.min(consumer.available().unwrap()) {
                        let line = consumer.take();
                        let value = expected.pop_front().unwrap();
                        prop_assert_eq!(line, [value, value + 1, value + 2, 0, 0, 0, 0, value ^ 7]);
                    }
                    consumer.release();
                }
            }
        }

        #[test]
        fn an_impossible_peer_position_is_an_error_and_never_a_panic(head in any::<u64>(), tail in any::<u64>()) {
            let (mut producer, mut consumer, heap) = ring(8);
            heap.0[HEAD].store(head, Relaxed);
            heap.0[TAIL].store(tail, Relaxed);
            prop_assert_eq!(consumer.available().is_err(), head > 8);
            prop_assert_eq!(producer.room(9).is_err(), tail > 0);
        }
    }

    #[test]
    fn a_sleeper_is_rung_once_and_does_not_sleep_over_a_published_line() {
        let (mut producer, mut consumer, _) = ring(4);
        assert!(consumer.prepare_sleep());
        producer.stage(&[1; 8]);
        assert!(producer.publish());
        assert!(!producer.publish());
        assert!(!consumer.prepare_sleep());
        assert_eq!(consumer.available(), Ok(1));
    }

    #[test]
    fn two_threads_pass_every_line_intact() {
        let (mut producer, mut consumer, _) = ring(64);
        let sender = std::thread::spawn(move || {
            let mut next = 0u64;
            while next < 200_000 {
                let room = producer.room(16).unwrap().min(16);
                for _ in 0..room {
                    producer.stage(&[next; 8]);
                    next += 1;
                }
                let _ = producer.publish();
                std::hint::spin_loop();
            }
        });
        let mut next = 0u64;
        while next < 200_000 {
            for _ in 0..consumer.available().unwrap() {
                assert_eq!(consumer.take(), [next; 8]);
                next += 1;
            }
            consumer.release();
            std::hint::spin_loop();
        }
        sender.join().unwrap();
    }

    /// Places that no atomic protects: only the ring's own order keeps the two threads apart. Under ThreadSanitizer this is
    /// what turns red when a position is published too weakly.
    struct Payload(std::cell::UnsafeCell<[u64; 64]>);

    #[expect(unsafe_code, reason = "shared between two threads of a test")]
    // SAFETY: each place is written before its line is published and read after it was taken, never both at once.
    unsafe impl Sync for Payload {}

    impl Payload {
        #[expect(unsafe_code, reason = "a plain place, as shared memory is")]
        fn at(&self, position: u64) -> *mut u64 {
            let place = usize::try_from(position % 64).unwrap();
            // SAFETY: the place lies inside the array.
            unsafe { self.0.get().cast::<u64>().add(place) }
        }
    }

    #[test]
    #[expect(unsafe_code, reason = "plain reads and writes are the point")]
    fn a_payload_that_is_not_atomic_is_ordered_by_the_ring_alone() {
        let (mut producer, mut consumer, _) = ring(64);
        let payload = Arc::new(Payload(std::cell::UnsafeCell::new([0; 64])));
        let theirs = payload.clone();
        let sender = std::thread::spawn(move || {
            for next in 0..50_000u64 {
                while producer.room(1).unwrap() == 0 {
                    std::hint::spin_loop();
                }
                // SAFETY: there is room, so the consumer has given this place back.
                unsafe { theirs.at(next).write(next) };
                producer.stage(&[next; 8]);
                let _ = producer.publish();
            }
        });
        let mut next = 0u64;
        while next < 50_000 {
            for _ in 0..consumer.available().unwrap() {
                consumer.take();
                // SAFETY: its line was published, and it is given back below.
                assert_eq!(unsafe { payload.at(next).read() }, next);
                next += 1;
            }
            consumer.release();
            std::hint::spin_loop();
        }
        sender.join().unwrap();
    }
}
