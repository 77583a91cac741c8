//! The product's primitives, in loom's version.

mod sync {
    pub use loom::sync::atomic::{AtomicU64, Ordering, fence};
    pub const PUBLISH: Ordering = Ordering::Release;
}

#[path = "../../src/channel/ring.rs"]
mod ring;
crate::scenario!();
