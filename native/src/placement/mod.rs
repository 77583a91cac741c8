//! What a process does to itself on its machine: so far, how it makes itself harmless.

pub mod confine;
