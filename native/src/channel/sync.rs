//! The few primitives of memory ordering that the ring uses, in one place, so that the model crate (native/model) can
//! compile the very same ring.rs over loom's versions of them, and over deliberately wrong ones.
//!
//! Used by ring.rs alone. Not a general wrapper.

use std::sync::atomic::Ordering;
pub use std::sync::atomic::{AtomicU64, fence};

/// Ordering of the one store that publishes lines (head) or gives their places back (tail).
pub const PUBLISH: Ordering = Ordering::Release;
