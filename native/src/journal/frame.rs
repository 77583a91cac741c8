//! Bytes of the journal: the file header and the frame around each record. docs/journal.md is the format's page.
//!
//! Pure functions over byte slices; no I/O. `reader.rs` finds frames in a file, `writer.rs` makes them.

use super::record::Record;

pub const FORMAT_VERSION: u32 = 1;
/// Version of every record body written today; a reader refuses a newer one.
pub const RECORD_VERSION: u8 = 1;
pub const FILE_HEADER: usize = 16;
pub const FRAME_HEADER: usize = 24;
/// Kinds that are told apart before their body is read.
pub const INPUT: u8 = 2;
pub const RESULT: u8 = 5;
/// A body above this is refused at the door, so a damaged length can never ask for more memory than this.
pub const MAX_BODY: usize = 256 << 20;
/// Begins and ends with bytes that no UTF-8 text holds: a body (JSON) can never look like the start of a frame.
pub const MARKER: [u8; 4] = [0xF5, b'J', b'R', 0xFA];
const MAGIC: [u8; 8] = *b"RUNJRNL\n";

/// What the first 16 bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
pub enum FileHeader {
    Good,
    /// A prefix of the header, then nothing or NULs: the runner died while it made the file.
    Torn,
    /// Whole and checked, but of another format version.
    Version(u32),
    Foreign,
}

/// One frame whose checksum holds.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub offset: u64,
    pub crc: u32,
    pub kind: u8,
    pub version: u8,
    /// Where the group of this frame began: everything before it was durable when this frame was written.
    pub group: u64,
    pub body: &'a [u8],
}

impl Frame<'_> {
    pub fn end(&self) -> u64 {
        self.offset + (FRAME_HEADER + self.body.len()) as u64
    }
}

pub fn file_header() -> [u8; FILE_HEADER] {
    let mut out = [0u8; FILE_HEADER];
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    let crc = crc32c::crc32c(&out[..12]);
    out[12..].copy_from_slice(&crc.to_le_bytes());
    out
}

pub fn check_file_header(bytes: &[u8]) -> FileHeader {
    let expected = file_header();
    let head = &bytes[..bytes.len().min(FILE_HEADER)];
    if head == expected {
        return FileHeader::Good;
    }
    let same = head
        .iter()
        .zip(&expected)
        .take_while(|(a, b)| a == b)
        .count();
    if head[same..].iter().all(|byte| *byte == 0) {
        return FileHeader::Torn;
    }
    if head.len() == FILE_HEADER
        && head[..8] == MAGIC
        && crc32c::crc32c(&head[..12]) == u32_at(head, 12)
    {
        return FileHeader::Version(u32_at(head, 8));
    }
    FileHeader::Foreign
}

/// The body's length when `bytes` begins like a frame; None when it can't be one.
pub fn body_length(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < FRAME_HEADER || bytes[..4] != MARKER {
        return None;
    }
    let length = u32_at(bytes, 4) as usize;
    (length <= MAX_BODY).then_some(length)
}

/// Checks the whole frame at the start of `bytes`; None when it is cut, damaged or no frame.
pub fn check(bytes: &[u8], offset: u64) -> Option<Frame<'_>> {
    let length = body_length(bytes)?;
    let body = bytes.get(FRAME_HEADER..FRAME_HEADER + length)?;
    let stored = u32_at(bytes, 8);
    if checksum(&bytes[..FRAME_HEADER], body) != stored {
        return None;
    }
    let mut group = [0u8; 8];
    group.copy_from_slice(&bytes[16..24]);
    Some(Frame {
        offset,
        crc: stored,
        kind: bytes[12],
        version: bytes[13],
        group: u64::from_le_bytes(group),
        body,
    })
}

/// Appends one frame to `out` and returns its checksum. `body` is at most `MAX_BODY` (checked by `body_of`).
pub fn push(out: &mut Vec<u8>, kind: u8, group: u64, body: &[u8]) -> u32 {
    debug_assert!(body.len() <= MAX_BODY);
    let mut header = [0u8; FRAME_HEADER];
    header[..4].copy_from_slice(&MARKER);
    #[expect(clippy::cast_possible_truncation, reason = "MAX_BODY fits u32")]
    header[4..8].copy_from_slice(&(body.len() as u32).to_le_bytes());
    header[12] = kind;
    header[13] = RECORD_VERSION;
    header[16..].copy_from_slice(&group.to_le_bytes());
    let crc = checksum(&header, body);
    header[8..12].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
    crc
}

/// Kind code and JSON body of a record; Err says why it can't be stored.
pub fn body_of(record: &Record) -> Result<(u8, Vec<u8>), String> {
    let (kind, body) = match record {
        Record::Life(life) => (1, serde_json::to_vec(life)),
        Record::Input(input) => (INPUT, serde_json::to_vec(input)),
        Record::Start(start) => (3, serde_json::to_vec(start)),
        Record::Release(release) => (4, serde_json::to_vec(release)),
        Record::Result(result) => (RESULT, serde_json::to_vec(result)),
        Record::Reused(reused) => (6, serde_json::to_vec(reused)),
        Record::Setting(setting) => (7, serde_json::to_vec(setting)),
        Record::Reduced(reduced) => (8, serde_json::to_vec(reduced)),
        Record::Vanished(vanished) => (9, serde_json::to_vec(vanished)),
    };
    let body = body.map_err(|error| error.to_string())?;
    if body.len() > MAX_BODY {
        return Err(format!(
            "a record of {} bytes; the most is {MAX_BODY}",
            body.len()
        ));
    }
    Ok((kind, body))
}

/// The record in a checked frame. Err: a newer runner's record, or a body that is not what its kind promises.
pub fn decode(frame: &Frame<'_>) -> Result<Record, String> {
    check_version(frame)?;
    let body = frame.body;
    let record = match frame.kind {
        1 => serde_json::from_slice(body).map(Record::Life),
        INPUT => serde_json::from_slice(body).map(Record::Input),
        3 => serde_json::from_slice(body).map(Record::Start),
        4 => serde_json::from_slice(body).map(Record::Release),
        RESULT => serde_json::from_slice(body).map(Record::Result),
        6 => serde_json::from_slice(body).map(Record::Reused),
        7 => serde_json::from_slice(body).map(Record::Setting),
        8 => serde_json::from_slice(body).map(Record::Reduced),
        9 => serde_json::from_slice(body).map(Record::Vanished),
        other => {
            return Err(format!(
                "record kind {other} is unknown; use the runner that wrote it"
            ));
        }
    };
    record.map_err(|error| wrong_body(frame.kind, &error))
}

pub(super) fn check_version(frame: &Frame<'_>) -> Result<(), String> {
    if frame.version == 0 || frame.version > RECORD_VERSION {
        return Err(format!(
            "record version {} (this runner reads up to {RECORD_VERSION}); use the runner that wrote it",
            frame.version
        ));
    }
    Ok(())
}

pub(super) fn wrong_body(kind: u8, error: &serde_json::Error) -> String {
    format!("body of record kind {kind}: {error}")
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&header[4..8]);
    let crc = crc32c::crc32c_append(crc, &header[12..FRAME_HEADER]);
    crc32c::crc32c_append(crc, body)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0u8; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}
