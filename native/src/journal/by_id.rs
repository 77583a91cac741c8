//! Maps by the id of a piece of work. Pure; used by `state.rs` only.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::table::Row;
use crate::request::WorkId;

/// Ids are hashes already: their first bytes are spread as well as any hash of theirs would be.
pub type ById<T> = HashMap<WorkId, T, BuildHasherDefault<FirstBytes>>;

#[derive(Debug, Clone, Default)]
pub struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// Of the length that goes before the bytes of an array.
    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Drops one of the rows under a key, and the key with the last.
pub fn remove_from(map: &mut ById<Vec<Row>>, work_id: &WorkId, row: Row) {
    if let Some(rows) = map.get_mut(work_id) {
        rows.retain(|other| *other != row);
        if rows.is_empty() {
            map.remove(work_id);
        }
    }
}
