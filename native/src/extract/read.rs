//! Bytes of one file within the limits, `.gz` inflated on the way.
//!
//! Opens without blocking and looks again at what it opened: between discovery and now the path can have become a FIFO or
//! a folder. It does not look at content. Called by `extract/mod.rs`.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::discover::{io_reason, irregular};
use crate::settings::IngestSettings;

use super::archive::RATIO_FREE_BYTES;
use super::archive::tar::Cursor;
use super::gzip::Gunzip;
use super::limit_reason;
use crate::document::Circumstance;

/// Bytes by which a file's type can be told, a tar header among them.
const HEAD: usize = 512;

/// A regular file that is open, and how it begins.
pub struct Opened {
    pub file: File,
    /// When it was opened.
    pub size: u64,
    pub head: Vec<u8>,
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
    let mut head = Vec::with_capacity(HEAD);
    (Cursor { file: &file, at: 0 })
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .map_err(|error| unreadable(&error))?;
    Ok(Opened {
        file,
        size: metadata.len(),
        head,
    })
}

/// The content, or the reason why there is none.
pub fn read(opened: Opened, path: &Path, settings: &IngestSettings) -> Result<Vec<u8>, String> {
    let limit = settings.max_file_bytes;
    if opened.size > limit {
        return Err(limit_reason("max_file_bytes", opened.size, limit));
    }
    let raw = read_plain(opened.file, opened.size, limit)?;
    if is_gzip(path, &raw) {
        return inflate(&raw, limit, settings.max_inflate_ratio);
    }
    Ok(raw)
}

/// Both the name and the first bytes say so.
pub fn is_gzip(name: &Path, bytes: &[u8]) -> bool {
    is_gzip_name(name) && bytes.starts_with(b"\x1f\x8b")
}

pub fn is_gzip_name(path: &Path) -> bool {
    path.extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("gz") || end.eq_ignore_ascii_case("tgz"))
}

/// `guide.html.gz` is read as `guide.html`.
pub fn inner_name(path: &Path) -> PathBuf {
    if is_gzip_name(path) {
        let packed_tar = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("tgz"));
        path.with_extension(if packed_tar { "tar" } else { "" })
    } else {
        path.to_path_buf()
    }
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
pub fn inflate(raw: &[u8], limit: u64, ratio: u64) -> Result<Vec<u8>, String> {
    let by_ratio = most_inflated(raw.len() as u64, ratio);
    let cap = limit.min(by_ratio);
    let mut bytes = Vec::new();
    Gunzip::new(raw)
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
