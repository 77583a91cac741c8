//! Bytes of one file within the limits, `.gz` inflated on the way.
//!
//! Opens without blocking and looks again at what it opened: between discovery and now the path can have become a FIFO or
//! a folder. It does not look at content. Called by `extract/mod.rs`.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::discover::{io_reason, irregular};
use crate::settings::IngestSettings;

use super::limit_reason;
use crate::document::Circumstance;

/// The ratio counts only past this many inflated bytes: a few kilobytes of one repeated line are no bomb.
const RATIO_FREE_BYTES: u64 = 1 << 20;

/// A regular file, open.
pub struct Opened {
    pub file: File,
    pub size: u64,
}

/// Opens a regular file, or says why it cannot be read.
pub fn open(path: &Path) -> Result<Opened, String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        return Err(irregular(metadata.file_type()));
    }
    let size = metadata.len();
    Ok(Opened { file, size })
}

/// The content, or the reason why there is none.
pub fn read(path: &Path, settings: &IngestSettings) -> Result<Vec<u8>, String> {
    let Opened { file, size } = open(path)?;
    let limit = settings.max_file_bytes;
    if size > limit {
        return Err(limit_reason("max_file_bytes", size, limit));
    }
    let raw = read_plain(file, size, limit)?;
    if is_gzip_name(path) && raw.starts_with(b"\x1f\x8b") {
        return inflate(&raw, limit, settings.max_inflate_ratio);
    }
    Ok(raw)
}

pub fn is_gzip_name(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

pub fn unreadable(error: &std::io::Error) -> String {
    Circumstance::Unreadable.reason(io_reason(error))
}

/// A file can grow while it is read: the limit holds for what comes, not for what was promised.
fn read_plain(file: File, expected: u64, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > limit {
        return Err(limit_reason("max_file_bytes", bytes.len() as u64, limit));
    }
    Ok(bytes)
}

/// Bytes that `stored` deflated ones may become.
pub fn most_inflated(stored: u64, ratio: u64) -> u64 {
    ratio.saturating_mul(stored).max(RATIO_FREE_BYTES)
}

/// Counts what really comes out; the size in a gzip trailer is only a claim.
fn inflate(raw: &[u8], limit: u64, ratio: u64) -> Result<Vec<u8>, String> {
    let by_ratio = most_inflated(raw.len() as u64, ratio);
    let cap = limit.min(by_ratio);
    let mut bytes = Vec::new();
    MultiGzDecoder::new(raw)
        .take(cap.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| format!("damaged gzip: {}", io_reason(&error)))?;
    let size = bytes.len() as u64;
    if size <= cap {
        return Ok(bytes);
    }
    if by_ratio < limit {
        return Err(limit_reason(
            "max_inflate_ratio",
            size.div_ceil(raw.len() as u64),
            ratio,
        ));
    }
    Err(limit_reason("max_file_bytes", size, limit))
}
