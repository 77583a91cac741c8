//! The Rust core of `runner`: bytes, time and state of a batch run. Python owns choices and the model, shell the machine.
//!
//! Floors (a room uses lower floors, and rooms to its left on its own line; tests/house checks it):
//!   6 py | 5 core | 4 prepare dispatch | 3 scheduler chunk publish channel/probe channel/worker_port channel/port
//!   2 discover extract template tokens journal index channel/ring channel/layout channel/conversion
//!   1 document request pools counters histogram similar placement channel/sync channel/memory channel/poll channel/bell channel/arena
//!   0 error settings
#![deny(unsafe_code)]

pub mod channel;
pub mod chunk;
pub mod core;
pub mod counters;
pub mod discover;
pub mod dispatch;
pub mod document;
pub mod error;
pub mod extract;
pub mod histogram;
pub mod index;
pub mod journal;
pub mod placement;
pub mod pools;
pub mod prepare;
pub mod publish;
#[cfg(feature = "python")]
mod py;
pub mod request;
pub mod scheduler;
pub mod settings;
pub mod similar;
pub mod template;
pub mod tokens;
