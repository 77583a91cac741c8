//! A zip archive's directory and the content of its entries, one at a time, under limits that count what comes out.
//!
//! Own, because a ready reader builds its whole directory before anyone can count it, and lets the last of two entries of
//! one name win without a word. Stored and deflated entries only. Sizes that the archive states are checked, never trusted
//! with memory. Called by `archive` for members and by `office/container` for parts.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Budget, Trouble};

const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";
const CENTRAL: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
/// The end record and the longest comment behind it.
const END_REACH: usize = 22 + 0xffff;
/// Bytes read or inflated between two looks at the limits.
const STEP: usize = 64 * 1024;

/// Where an archive lies: in memory, or in a file that is never loaded whole.
pub trait Store {
    fn size(&self) -> u64;

    /// Fills `piece` from `at` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when the store ends before, or why it cannot be read.
    fn fill(&self, at: u64, piece: &mut [u8]) -> io::Result<()>;
}

impl Store for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn fill(&self, at: u64, piece: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(at).ok();
        let found = at.and_then(|at| self.get(at..at.checked_add(piece.len())?));
        piece.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A file and its size when it was opened.
pub struct OnDisk<'a> {
    pub file: &'a File,
    pub size: u64,
}

impl Store for OnDisk<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn fill(&self, at: u64, piece: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(piece, at)
    }
}

/// Where the directory lies, and how many entries it states.
#[derive(Debug, Clone, Copy)]
pub struct Directory {
    start: u64,
    pub count: u64,
    /// Bytes that stand before the archive: offsets inside do not count them.
    shift: u64,
}

/// What the directory says of one entry.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    header: u64,
    stored: u64,
    pub size: u64,
    crc: u32,
    method: u16,
    pub encrypted: bool,
    /// The system of its writer: 0 = DOS, 3 = Unix, 10 and 14 = Windows.
    pub host: u8,
    /// Of a writer on Unix: type and permissions as `st_mode` has them.
    pub mode: u32,
}

impl Directory {
    pub fn find<S: Store + ?Sized>(store: &S) -> Result<Directory, Trouble> {
        let absent = || Trouble::Damaged("no directory; the file is cut short".to_owned());
        let reach = store.size().min(END_REACH as u64);
        let from = store.size() - reach;
        let mut tail = vec![0; usize::try_from(reach).unwrap_or(END_REACH)];
        store.fill(from, &mut tail)?;
        let end = (0..tail.len().saturating_sub(21))
            .rev()
            .find(|&at| tail[at..].starts_with(END))
            .ok_or_else(absent)?;
        let narrow = |at| u32_at(&tail, end + at).map(u64::from).ok_or_else(absent);
        let mut count = u64::from(u16_at(&tail, end + 10).ok_or_else(absent)?);
        let (mut size, mut offset) = (narrow(12)?, narrow(16)?);
        let mut close = from + end as u64;
        if let Some((at, wide)) = end64(store, close) {
            count = u64_at(&wide, 32).ok_or_else(absent)?;
            size = u64_at(&wide, 40).ok_or_else(absent)?;
            offset = u64_at(&wide, 48).ok_or_else(absent)?;
            close = at;
        }
        let start = close.checked_sub(size);
        let shifted = start.filter(|start| *start >= offset && central_at(store, *start, count));
        let (start, shift) = match shifted {
            Some(start) => (start, start - offset),
            None => (offset, 0),
        };
        if !central_at(store, start, count) {
            return Err(absent());
        }
        Ok(Directory {
            start,
            count,
            shift,
        })
    }

    /// The entries with their names, in the order of the directory; none behind the first that is damaged.
    pub fn entries<'s, S: Store + ?Sized>(
        &self,
        store: &'s S,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Entry), Trouble>> + use<'s, S> {
        let (count, shift) = (self.count, self.shift);
        let (mut at, mut number, mut ended) = (self.start, 0, false);
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let found = match central_entry(store, at, shift) {
                Ok(None) if number == count => {
                    ended = true;
                    return None;
                }
                // A count that is too small would hide the members behind it.
                Ok(Some(_)) if number == count => Err(Trouble::Damaged(format!(
                    "more than the {count} entries it states"
                ))),
                Ok(Some((name, entry, next))) => {
                    (at, number) = (next, number + 1);
                    Ok((name, entry))
                }
                Ok(None) => Err(Trouble::Damaged(format!("directory entry {number}"))),
                Err(error) => Err(Trouble::from(error)),
            };
            ended = found.is_err();
            Some(found)
        })
    }
}

/// The content of an entry, counted while it comes out; its size and checksum have to be what the directory says.
pub fn content<S: Store + ?Sized>(
    store: &S,
    entry: &Entry,
    budget: &mut Budget,
) -> Result<Vec<u8>, Trouble> {
    if entry.encrypted {
        return Err(Trouble::Encrypted);
    }
    let mut stored = Stored::find(store, entry)?;
    let content = match entry.method {
        0 => stored.copy(budget)?,
        8 => stored.inflate(budget)?,
        method => return Err(Trouble::Method(method)),
    };
    let mut crc = Crc::new();
    crc.update(&content);
    if content.len() as u64 != entry.size || crc.sum() != entry.crc {
        return Err(Trouble::Damaged(
            "size or checksum does not match".to_owned(),
        ));
    }
    Ok(content)
}

/// The bytes of one entry as they lie in the archive.
struct Stored<'a, S: Store + ?Sized> {
    store: &'a S,
    at: u64,
    left: u64,
    size: u64,
}

impl<'a, S: Store + ?Sized> Stored<'a, S> {
    fn find(store: &'a S, entry: &Entry) -> Result<Stored<'a, S>, Trouble> {
        let outside = || Trouble::Damaged("its bytes lie outside the file".to_owned());
        let mut head = [0; 30];
        if !filled(store, entry.header, &mut head)? || !head.starts_with(LOCAL) {
            return Err(outside());
        }
        let skip = 30
            + u64::from(u16_at(&head, 26).unwrap_or(0))
            + u64::from(u16_at(&head, 28).unwrap_or(0));
        let at = entry.header.checked_add(skip).ok_or_else(outside)?;
        let end = at.checked_add(entry.stored).ok_or_else(outside)?;
        if end > store.size() {
            return Err(outside());
        }
        Ok(Stored {
            store,
            at,
            left: entry.stored,
            size: entry.stored,
        })
    }

    /// The next bytes, at most `STEP`.
    fn next(&mut self) -> Result<Vec<u8>, Trouble> {
        let length = self.left.min(STEP as u64);
        let mut piece = vec![0; usize::try_from(length).unwrap_or(STEP)];
        self.store.fill(self.at, &mut piece)?;
        self.at += length;
        self.left -= length;
        Ok(piece)
    }

    fn copy(&mut self, budget: &mut Budget) -> Result<Vec<u8>, Trouble> {
        let mut content = Vec::new();
        while self.left > 0 {
            let piece = self.next()?;
            content.extend_from_slice(&piece);
            budget.count(piece.len(), content.len() as u64, self.size)?;
        }
        Ok(content)
    }

    fn inflate(&mut self, budget: &mut Budget) -> Result<Vec<u8>, Trouble> {
        let mut inflater = Decompress::new(false);
        let mut content = Vec::new();
        let (mut input, mut from) = (Vec::new(), 0);
        let mut output = vec![0u8; STEP];
        loop {
            if from == input.len() && self.left > 0 {
                (input, from) = (self.next()?, 0);
            }
            let before = (inflater.total_in(), inflater.total_out());
            let status = inflater
                .decompress(&input[from..], &mut output, FlushDecompress::None)
                .map_err(|_| Trouble::Damaged("does not inflate".to_owned()))?;
            let taken = usize::try_from(inflater.total_in() - before.0).unwrap_or(0);
            let made = usize::try_from(inflater.total_out() - before.1).unwrap_or(0);
            from += taken;
            budget.count(made, inflater.total_out(), self.size)?;
            content.extend_from_slice(&output[..made]);
            if status == Status::StreamEnd {
                return Ok(content);
            }
            if taken == 0 && made == 0 {
                return Err(Trouble::Damaged(
                    "the deflated bytes are cut short".to_owned(),
                ));
            }
        }
    }
}

/// False when the store ends before: damage, unlike what cannot be read.
fn filled<S: Store + ?Sized>(store: &S, at: u64, piece: &mut [u8]) -> io::Result<bool> {
    match store.fill(at, piece) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn central_at<S: Store + ?Sized>(store: &S, start: u64, count: u64) -> bool {
    let mut signature = [0; 4];
    let read = store.fill(start, &mut signature).is_ok();
    if count == 0 {
        start <= store.size()
    } else {
        read && signature == *CENTRAL
    }
}

/// Place and bytes of the zip64 end record, when a locator names one.
fn end64<S: Store + ?Sized>(store: &S, end: u64) -> Option<(u64, [u8; 56])> {
    let mut locator = [0; 20];
    store.fill(end.checked_sub(20)?, &mut locator).ok()?;
    if !locator.starts_with(LOCATOR64) {
        return None;
    }
    let at = u64_at(&locator, 8)?;
    let mut record = [0; 56];
    store.fill(at, &mut record).ok()?;
    record.starts_with(END64).then_some((at, record))
}

type Central = Option<(Vec<u8>, Entry, u64)>;

/// Name, entry and the place of the next one.
fn central_entry<S: Store + ?Sized>(store: &S, at: u64, shift: u64) -> io::Result<Central> {
    let mut head = [0; 46];
    if !filled(store, at, &mut head)? || !head.starts_with(CENTRAL) {
        return Ok(None);
    }
    let length = |at| usize::from(u16_at(&head, at).unwrap_or(0));
    let (name, extra, comment) = (length(28), length(30), length(32));
    let mut rest = vec![0; name + extra];
    if !filled(store, at + 46, &mut rest)? {
        return Ok(None);
    }
    let next = at + (46 + name + extra + comment) as u64;
    Ok(entry_of(&head, &rest[name..], shift).map(|entry| {
        rest.truncate(name);
        (rest, entry, next)
    }))
}

fn entry_of(head: &[u8], extra: &[u8], shift: u64) -> Option<Entry> {
    let mut wide = wide_values(extra);
    let mut value = |narrow: u32| {
        if narrow == u32::MAX {
            wide.next()
        } else {
            Some(u64::from(narrow))
        }
    };
    let size = value(u32_at(head, 24)?)?;
    let stored = value(u32_at(head, 20)?)?;
    let header = value(u32_at(head, 42)?)?.checked_add(shift)?;
    Some(Entry {
        header,
        stored,
        size,
        crc: u32_at(head, 16)?,
        method: u16_at(head, 10)?,
        encrypted: u16_at(head, 8)? & 1 == 1,
        host: *head.get(5)?,
        mode: u32_at(head, 38)? >> 16,
    })
}

/// The 64-bit values of the zip64 extra field, in their fixed order.
fn wide_values(extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut rest = extra;
    let mut field: &[u8] = &[];
    while let (Some(id), Some(length)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let end = 4 + usize::from(length);
        let Some(body) = rest.get(4..end) else { break };
        if id == 1 {
            field = body;
            break;
        }
        rest = &rest[end..];
    }
    (0..field.len() / 8).filter_map(|index| u64_at(field, index * 8))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(field.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(field.try_into().ok()?))
}
