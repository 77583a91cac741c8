//! Planted: no fence between one's own store and the look at the other's word.

mod sync {
    pub use loom::sync::atomic::{AtomicU64, Ordering};
    pub const PUBLISH: Ordering = Ordering::Release;
    pub fn fence(_: Ordering) {}
}

#[path = "../../src/channel/ring.rs"]
mod ring;
crate::scenario!();
