//! The product's ring.rs, compiled over loom's atomics, and over two deliberately wrong sets of primitives. loom tries
//! every interleaving and every value that the C11 memory model allows (within a bound of preemptions).
//!
//! What loom cannot show: loss of a process (ipc.pml shows that) and the machine code itself.

use std::sync::Arc;

use loom::sync::atomic::AtomicU64 as Word;

/// Stands for the mapping that both processes share.
#[derive(Clone)]
struct Region(Arc<Vec<Word>>);

impl Region {
    fn new(words: usize) -> Region {
        Region(Arc::new((0..words).map(|_| Word::new(0)).collect()))
    }
}

impl AsRef<[Word]> for Region {
    fn as_ref(&self) -> &[Word] {
        &self.0
    }
}

/// The bell: what the socket pair and poll are to the product. `wait` returns when a byte is there; a lost wake-up is
/// a deadlock, which loom reports.
#[derive(Default)]
pub struct Bell(loom::sync::Notify);

impl Bell {
    pub fn ring(&self) {
        self.0.notify();
    }

    pub fn wait(&self) {
        self.0.wait();
    }
}

/// One scenario for one set of primitives, so that the mutants run exactly what the product runs.
macro_rules! scenario {
    () => {
        use super::{Bell, Region};
        use std::sync::Arc;

        /// A producer publishes `lines` one by one; a sleeping consumer must get each, whole and in order.
        pub fn pass(lines: u64, entries: usize) {
            let region = Region::new(ring::words_needed(entries));
            let bell = Arc::new(Bell::default());
            let mut producer = ring::Producer::new(region.clone(), entries);
            let mut consumer = ring::Consumer::new(region, entries);
            let ringing = bell.clone();
            let sender = loom::thread::spawn(move || {
                for value in 1..=lines {
                    while producer.room(1).unwrap() == 0 {
                        loom::thread::yield_now();
                    }
                    producer.stage(&[value; ring::LINE_WORDS]);
                    if producer.publish() {
                        ringing.ring();
                    }
                }
            });
            let mut next = 1;
            while next <= lines {
                if consumer.available().unwrap() == 0 {
                    if consumer.prepare_sleep() {
                        bell.wait();
                        consumer.awake();
                    }
                    continue;
                }
                assert_eq!(
                    consumer.take(),
                    [next; ring::LINE_WORDS],
                    "a torn or stale line"
                );
                consumer.release();
                next += 1;
            }
            sender.join().unwrap();
        }
    };
}
use scenario;

pub mod no_fence;
pub mod product;
pub mod relaxed_publish;
