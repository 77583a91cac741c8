//! Planted: the head is published without release.

mod sync {
    pub use loom::sync::atomic::{AtomicU64, Ordering, fence};
    pub const PUBLISH: Ordering = Ordering::Relaxed;
}

#[path = "../../src/channel/ring.rs"]
mod ring;
crate::scenario!();
