//! The shared-memory channel between the runner and its exec'ed workers.
//!
//! What makes a killed worker harmless is that nothing is owned jointly: the runner is the only allocator and keeps all
//! leases in its private heap, every worker incarnation has its own throw-away region, documents are read-only in
//! workers, and a result exists from one release store on. Called by dispatch (the runner's end) and by py.rs (the
//! worker's end). It schedules nothing and never retries.
//!
//! The number of document segments is fixed at birth and all their descriptors are inherited: a segment costs no memory
//! until its pages are committed, so nothing has to be sent to running workers and they never map anything new.

pub mod arena;
pub mod bell;
pub mod conversion;
pub mod layout;
pub mod memory;
pub mod poll;
pub mod port;
pub mod probe;
pub mod ring;
mod sync;
pub mod worker_port;
