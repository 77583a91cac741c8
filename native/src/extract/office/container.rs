//! A zip archive held in memory: entries by name, inflated one at a time under limits that count what comes out.
//!
//! Own, because a ready reader builds its whole directory before anyone can count it, and lets the last of two entries of
//! one name win without a word. Stored and deflated entries only; names are looked up and never become paths.

use std::collections::HashMap;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{OfficeLimits, Outcome, Problem};

const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";
const CENTRAL: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
/// The end record and the longest comment behind it.
const END_REACH: usize = 22 + 0xffff;
/// Bytes inflated between two looks at the limits.
const STEP: usize = 64 * 1024;
/// A short entry may have any ratio.
const RATIO_FROM: u64 = 1 << 20;

pub struct Container<'a> {
    bytes: &'a [u8],
    entries: HashMap<String, Entry>,
    limits: OfficeLimits,
    inflated: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    header: u64,
    stored: u64,
    size: u64,
    crc: u32,
    method: u16,
    encrypted: bool,
    twice: bool,
}

impl<'a> Container<'a> {
    pub fn open(bytes: &'a [u8], limits: &OfficeLimits) -> Outcome<Container<'a>> {
        let mut container = Container {
            bytes,
            entries: HashMap::new(),
            limits: *limits,
            inflated: 0,
        };
        let directory = Directory::find(bytes)
            .ok_or_else(|| Problem::Damaged("zip: no directory; the file is cut short".into()))?;
        let limit = limits.zip_entries as u64;
        if directory.count > limit {
            return Err(Problem::limit("max_zip_entries", directory.count, limit));
        }
        let mut at = directory.start;
        for number in 0..directory.count {
            let (name, mut entry, next) = central_entry(bytes, at, directory.shift)
                .ok_or_else(|| Problem::damaged("zip", format!("directory entry {number}")))?;
            at = next;
            let key = key_of(&name);
            entry.twice = container.entries.contains_key(&key);
            container.entries.insert(key, entry);
        }
        Ok(container)
    }

    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(&key_of(name))
    }

    /// The content of an entry, or None when there is no such entry.
    pub fn read(&mut self, name: &str) -> Outcome<Option<Vec<u8>>> {
        let Some(entry) = self.entries.get(&key_of(name)).copied() else {
            return Ok(None);
        };
        if entry.twice {
            return Err(Problem::damaged(name, "two entries of this name"));
        }
        if entry.encrypted {
            return Err(Problem::Encrypted);
        }
        let stored = self
            .stored(&entry)
            .ok_or_else(|| Problem::damaged(name, "its bytes lie outside the file"))?;
        let content = match entry.method {
            0 => {
                self.count(stored.len() as u64, stored.len() as u64)?;
                stored.to_vec()
            }
            8 => self.inflate(name, stored)?,
            method => {
                return Err(Problem::Unsupported(format!(
                    "zip compression method {method}"
                )));
            }
        };
        self.inflated += content.len() as u64;
        let mut crc = Crc::new();
        crc.update(&content);
        if content.len() as u64 != entry.size || crc.sum() != entry.crc {
            return Err(Problem::damaged(name, "size or checksum does not match"));
        }
        Ok(Some(content))
    }

    /// The content of an entry without which the file is none of its kind.
    pub fn need(&mut self, name: &str) -> Outcome<Vec<u8>> {
        self.read(name)?
            .ok_or_else(|| Problem::damaged(name, "missing"))
    }

    fn stored(&self, entry: &Entry) -> Option<&'a [u8]> {
        let header = usize::try_from(entry.header).ok()?;
        let head = self.bytes.get(header..header.checked_add(30)?)?;
        if !head.starts_with(LOCAL) {
            return None;
        }
        let skip = usize::from(u16_at(head, 26)?) + usize::from(u16_at(head, 28)?);
        let start = header.checked_add(30 + skip)?;
        let end = start.checked_add(usize::try_from(entry.stored).ok()?)?;
        self.bytes.get(start..end)
    }

    fn inflate(&self, name: &str, stored: &[u8]) -> Outcome<Vec<u8>> {
        let mut inflater = Decompress::new(false);
        let mut content = Vec::new();
        let mut piece = vec![0u8; STEP];
        loop {
            let from = usize::try_from(inflater.total_in()).unwrap_or(usize::MAX);
            let before = inflater.total_out();
            let status = inflater
                .decompress(
                    stored.get(from..).unwrap_or_default(),
                    &mut piece,
                    FlushDecompress::None,
                )
                .map_err(|_| Problem::damaged(name, "does not inflate"))?;
            let out = usize::try_from(inflater.total_out() - before).unwrap_or(0);
            self.count(inflater.total_out(), stored.len() as u64)?;
            content.extend_from_slice(&piece[..out.min(piece.len())]);
            if status == Status::StreamEnd {
                return Ok(content);
            }
            if out == 0 && inflater.total_in() == from as u64 {
                return Err(Problem::damaged(name, "the deflated bytes are cut short"));
            }
        }
    }

    fn count(&self, size: u64, stored: u64) -> Outcome<()> {
        let limits = &self.limits;
        if size > limits.zip_entry_bytes {
            let limit = limits.zip_entry_bytes;
            return Err(Problem::limit("max_zip_entry_bytes", size, limit));
        }
        let total = self.inflated.saturating_add(size);
        if total > limits.zip_total_bytes {
            let limit = limits.zip_total_bytes;
            return Err(Problem::limit("max_zip_total_bytes", total, limit));
        }
        let ratio = size.div_ceil(stored.max(1));
        if size > RATIO_FROM && ratio > limits.inflate_ratio {
            let limit = limits.inflate_ratio;
            return Err(Problem::limit("max_inflate_ratio", ratio, limit));
        }
        Ok(())
    }
}

/// Part names differ neither in ASCII case nor, from careless writers, in the slash.
fn key_of(name: &str) -> String {
    name.trim_start_matches('/')
        .replace('\\', "/")
        .to_ascii_lowercase()
}

struct Directory {
    start: usize,
    count: u64,
    /// Bytes that stand before the archive: offsets inside do not count them.
    shift: u64,
}

impl Directory {
    fn find(bytes: &[u8]) -> Option<Directory> {
        let from = bytes.len().saturating_sub(END_REACH);
        let end = (from..bytes.len().saturating_sub(21))
            .rev()
            .find(|&at| bytes[at..].starts_with(END))?;
        let mut count = u64::from(u16_at(bytes, end + 10)?);
        let mut size = u64::from(u32_at(bytes, end + 12)?);
        let mut offset = u64::from(u32_at(bytes, end + 16)?);
        let mut close = end;
        if let Some(wide) = end64(bytes, end) {
            count = u64_at(bytes, wide + 32)?;
            size = u64_at(bytes, wide + 40)?;
            offset = u64_at(bytes, wide + 48)?;
            close = wide;
        }
        let start = (close as u64).checked_sub(size);
        let shifted = start.filter(|start| *start >= offset && central_at(bytes, *start, count));
        let (start, shift) = match shifted {
            Some(start) => (start, start - offset),
            None => (offset, 0),
        };
        if !central_at(bytes, start, count) {
            return None;
        }
        Some(Directory {
            start: usize::try_from(start).ok()?,
            count,
            shift,
        })
    }
}

fn central_at(bytes: &[u8], start: u64, count: u64) -> bool {
    let tail = usize::try_from(start).ok().and_then(|at| bytes.get(at..));
    tail.is_some_and(|tail| count == 0 || tail.starts_with(CENTRAL))
}

/// Place of the zip64 end record, when a locator names one.
fn end64(bytes: &[u8], end: usize) -> Option<usize> {
    let locator = end.checked_sub(20)?;
    if !bytes[locator..].starts_with(LOCATOR64) {
        return None;
    }
    let at = usize::try_from(u64_at(bytes, locator + 8)?).ok()?;
    bytes.get(at..)?.starts_with(END64).then_some(at)
}

/// Name, entry and the place of the next one.
fn central_entry(bytes: &[u8], at: usize, shift: u64) -> Option<(String, Entry, usize)> {
    let head = bytes.get(at..)?;
    if !head.starts_with(CENTRAL) {
        return None;
    }
    let name_end = 46 + usize::from(u16_at(head, 28)?);
    let extra_end = name_end + usize::from(u16_at(head, 30)?);
    let next = extra_end + usize::from(u16_at(head, 32)?);
    let name = String::from_utf8_lossy(head.get(46..name_end)?).into_owned();
    let extra = head.get(name_end..extra_end)?;
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
    let entry = Entry {
        header,
        stored,
        size,
        crc: u32_at(head, 16)?,
        method: u16_at(head, 10)?,
        encrypted: u16_at(head, 8)? & 1 == 1,
        twice: false,
    };
    Some((name, entry, at.checked_add(next)?))
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
