//! Counters of the running core: overwritten numbers for progress and metrics, read without stopping anybody.
//!
//! Not a source of truth (the journal is) and not a log. Written by the core's threads, read through `py`.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Count),+ }

        impl Counters {
            /// Every counter by name, each read once; they may be a moment apart.
            #[must_use]
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get())),+]
            }
        }
    };
}

/// One number. SYNC POINT: none. Relaxed is enough, since no other memory is published through a counter.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

counters! {
    /// Inputs seen so far, each in the end in exactly one of the next four.
    inputs, ok, failed, skipped, quarantined,
    /// Inputs answered from an earlier run.
    reused,
    /// 1 when discovery has come to its end and `inputs` is final.
    discovery_done,
    /// Pages that extract workers have read, those of a file under way among them.
    pages_read,
    files_seen, bytes_read, text_bytes, covered_bytes,
    /// Time of the extract threads, waiting for room not in it: reading, then cutting and encoding.
    extract_us, prepare_us,
    /// Requests built but without a durable result.
    pending_requests,
    leased,
    /// As the workers last said: rows in their engines, bytes that these hold.
    active_rows, engine_bytes,
    /// 1 while no new lease is given because somebody said so.
    paused,
    /// Prompt tokens of all requests known so far, and of those with a durable result: what the ETA is made of.
    prompt_tokens_known, prompt_tokens_done, generated_tokens,
    attempts_charged, requeued, repairs,
    /// Bytes accounted to the pools right now.
    rust_bytes, ipc_bytes,
}
