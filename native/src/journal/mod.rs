//! The journal: one append-only log a run. docs/journal.md is the format's page.

pub mod record;
