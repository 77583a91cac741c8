//! What stays in memory of every input and every piece of work of a run, until its end: rows of a few bytes, found by key.
//!
//! One input with one part costs 48 bytes of rows and 10 to 21 of index; each further part 32 and 5 to 11. Rows never move,
//! so that a table of millions grows by what it holds. It knows nothing of records. Called by `state.rs` only.

use hashbrown::HashTable;

use crate::document::{InputKey, Ordinal};
use crate::request::WorkId;

use super::record::ResultStatus;
use super::verdict::InputStatus;

/// Number of a row.
pub type Row = u32;

const CHUNK: usize = 4096;

/// Rows in chunks: no copy and no slack when it grows.
#[derive(Debug, Clone, PartialEq)]
struct Rows<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Rows<T> {
    fn default() -> Rows<T> {
        Rows {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Rows<T> {
    fn push(&mut self, row: T) -> Row {
        let number = Row::try_from(self.len).unwrap_or(Row::MAX);
        assert!(number < Row::MAX, "a run of over 2^32 rows");
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(row);
        }
        self.len += 1;
        number
    }

    fn at(&self, row: Row) -> &T {
        &self.chunks[row as usize / CHUNK][row as usize % CHUNK]
    }

    fn at_mut(&mut self, row: Row) -> &mut T {
        &mut self.chunks[row as usize / CHUNK][row as usize % CHUNK]
    }
}

/// An offset in a journal (2^56 bytes) and one byte beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(u64);

impl Place {
    fn new(offset: u64, mark: u8) -> Place {
        debug_assert!(offset < 1 << 56, "a journal of 2^56 bytes");
        Place(offset << 8 | u64::from(mark))
    }

    fn offset(self) -> u64 {
        self.0 >> 8
    }

    fn mark(self) -> u8 {
        self.0.to_le_bytes()[0]
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct InputRow {
    ordinal: Ordinal,
    /// Of its record; the mark is how it ended.
    place: Place,
}

/// Inputs by their ordinal.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    rows: Rows<InputRow>,
    index: HashTable<Row>,
}

impl PartialEq for Inputs {
    fn eq(&self, other: &Inputs) -> bool {
        self.rows == other.rows
    }
}

const ENDS: [Option<InputStatus>; 5] = [
    None,
    Some(InputStatus::Ok),
    Some(InputStatus::Failed),
    Some(InputStatus::Skipped),
    Some(InputStatus::Quarantined),
];

impl Inputs {
    pub fn len(&self) -> usize {
        self.rows.len
    }

    pub fn find(&self, ordinal: Ordinal) -> Option<Row> {
        let is_it = |row: &Row| self.rows.at(*row).ordinal == ordinal;
        self.index.find(hash_ordinal(ordinal), is_it).copied()
    }

    /// A new input; its ordinal must not be there yet.
    pub fn insert(&mut self, ordinal: Ordinal, offset: u64) -> Row {
        let place = Place::new(offset, 0);
        let row = self.rows.push(InputRow { ordinal, place });
        let rows = &self.rows;
        self.index.insert_unique(hash_ordinal(ordinal), row, |row| {
            hash_ordinal(rows.at(*row).ordinal)
        });
        row
    }

    pub fn ordinal(&self, row: Row) -> Ordinal {
        self.rows.at(row).ordinal
    }

    pub fn offset(&self, row: Row) -> u64 {
        self.rows.at(row).place.offset()
    }

    pub fn end(&self, row: Row) -> Option<InputStatus> {
        ENDS.get(usize::from(self.rows.at(row).place.mark()))
            .copied()
            .flatten()
    }

    pub fn set_end(&mut self, row: Row, end: InputStatus) {
        let mark = ENDS.iter().position(|known| *known == Some(end));
        let row = self.rows.at_mut(row);
        row.place = Place::new(row.place.offset(), mark.map_or(0, to_byte));
    }

    /// Rows in the order of discovery.
    pub fn in_order(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = (0..).take(self.rows.len).collect();
        rows.sort_unstable_by_key(|row| self.rows.at(*row).ordinal);
        rows
    }

    pub fn rows(&self) -> impl Iterator<Item = Row> + use<> {
        (0..).take(self.rows.len)
    }
}

/// The first half of an id tells two works apart (a collision needs 2^64 of them).
type Key = [u8; 16];

#[derive(Debug, Clone, PartialEq)]
struct WorkRow {
    key: Key,
    /// Of the record that ended it; the mark is how, 0 while nothing has.
    place: Place,
    /// The first input in order that has it as a part.
    user: Row,
    /// The others: a chain through `links`.
    more: Row,
}

const NONE: Row = Row::MAX;
/// In the mark: its result lies in another run, the record here only points there.
const REUSED: u8 = 4;
const STATUSES: [ResultStatus; 3] = [
    ResultStatus::Ok,
    ResultStatus::Failed,
    ResultStatus::Quarantined,
];

/// Where a result lies: its own record, or the `reused` record that points to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub status: ResultStatus,
    pub offset: u64,
    pub reused: bool,
}

impl Found {
    /// By its own record.
    pub fn here(status: ResultStatus, offset: u64) -> Found {
        Found {
            status,
            offset,
            reused: false,
        }
    }
}

/// Pieces of work by their id, each with its result and the inputs that have it as a part.
#[derive(Debug, Clone, Default)]
pub struct Works {
    rows: Rows<WorkRow>,
    index: HashTable<Row>,
    links: Rows<(Row, Row)>,
    results: usize,
}

impl PartialEq for Works {
    fn eq(&self, other: &Works) -> bool {
        self.rows == other.rows && self.links == other.links
    }
}

impl Works {
    pub fn find(&self, work_id: &WorkId) -> Option<Row> {
        let key = key_of(work_id);
        let is_it = |row: &Row| self.rows.at(*row).key == key;
        self.index.find(hash_key(&key), is_it).copied()
    }

    pub fn find_or_insert(&mut self, work_id: &WorkId) -> Row {
        if let Some(row) = self.find(work_id) {
            return row;
        }
        let key = key_of(work_id);
        let row = self.rows.push(WorkRow {
            key,
            place: Place::new(0, 0),
            user: NONE,
            more: NONE,
        });
        let rows = &self.rows;
        self.index
            .insert_unique(hash_key(&key), row, |row| hash_key(&rows.at(*row).key));
        row
    }

    /// How many have a result.
    pub fn results(&self) -> usize {
        self.results
    }

    pub fn result(&self, row: Row) -> Option<Found> {
        let place = self.rows.at(row).place;
        let status = place.mark().checked_sub(1)? % REUSED;
        Some(Found {
            status: *STATUSES.get(usize::from(status))?,
            offset: place.offset(),
            reused: place.mark() > REUSED,
        })
    }

    pub fn set_result(&mut self, row: Row, found: Found) {
        let status = STATUSES.iter().position(|known| *known == found.status);
        let reused = if found.reused { REUSED } else { 0 };
        let mark = 1 + status.map_or(0, to_byte) + reused;
        self.results += usize::from(self.rows.at(row).place.mark() == 0);
        self.rows.at_mut(row).place = Place::new(found.offset, mark);
    }

    /// `inputs` tells which of two users comes first.
    pub fn add_user(&mut self, row: Row, user: Row, inputs: &Inputs) {
        let work = self.rows.at_mut(row);
        if work.user == NONE {
            work.user = user;
            return;
        }
        if work.user == user {
            return;
        }
        let later = if inputs.ordinal(user) < inputs.ordinal(work.user) {
            std::mem::replace(&mut work.user, user)
        } else {
            user
        };
        work.more = self.links.push((later, work.more));
    }

    /// The first user in order that still counts. The chain is walked only where the first one does not.
    pub fn first_user(
        &self,
        row: Row,
        inputs: &Inputs,
        counts: impl Fn(Row) -> bool,
    ) -> Option<Row> {
        let work = self.rows.at(row);
        if work.user == NONE {
            return None;
        }
        if counts(work.user) {
            return Some(work.user);
        }
        let mut first: Option<Row> = None;
        let mut next = work.more;
        while next != NONE {
            let (user, behind) = *self.links.at(next);
            let earlier = first.is_none_or(|first| inputs.ordinal(user) < inputs.ordinal(first));
            if earlier && counts(user) {
                first = Some(user);
            }
            next = behind;
        }
        first
    }
}

fn to_byte(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(0)
}

fn key_of(work_id: &WorkId) -> Key {
    let mut key = [0; 16];
    key.copy_from_slice(&work_id.0[..16]);
    key
}

/// Ids are hashes already.
fn hash_key(key: &Key) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&key[..8]);
    u64::from_le_bytes(word)
}

/// Ordinals are small numbers side by side: spread over all bits (the finaliser of splitmix64).
fn hash_ordinal(ordinal: Ordinal) -> u64 {
    let mut word = u64::from(ordinal.file) << 32 | u64::from(ordinal.record);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Inputs that earlier lives have logged, by what they are; their rows are those of `Inputs`. Never changes once replay is over.
#[derive(Debug, Default)]
pub struct Logged {
    keys: Rows<InputKey>,
    index: HashTable<Row>,
}

impl Logged {
    pub fn len(&self) -> usize {
        self.keys.len
    }

    pub fn find(&self, key: &InputKey) -> Option<Row> {
        let is_it = |row: &Row| self.keys.at(*row) == key;
        self.index.find(hash_key(key), is_it).copied()
    }

    /// By the first half of the key, which is the input's id in results.jsonl.
    pub fn find_id(&self, id: u64) -> Option<Row> {
        let is_it = |row: &Row| hash_key(self.keys.at(*row)) == id;
        self.index.find(id, is_it).copied()
    }

    /// The next row.
    pub(super) fn push(&mut self, key: InputKey) {
        let row = self.keys.push(key);
        let keys = &self.keys;
        self.index
            .insert_unique(hash_key(&key), row, |row| hash_key(keys.at(*row)));
    }
}

/// A note of yes or no for each row.
#[derive(Debug, Clone, Default)]
pub struct Marks(Vec<u64>);

impl Marks {
    pub fn has(&self, row: Row) -> bool {
        let word = self.0.get(row as usize / 64);
        word.is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// False when it was set already.
    pub fn set(&mut self, row: Row) -> bool {
        let at = row as usize / 64;
        if at >= self.0.len() {
            self.0.resize(at + 1, 0);
        }
        let before = self.0[at];
        self.0[at] |= 1 << (row % 64);
        before != self.0[at]
    }
}
