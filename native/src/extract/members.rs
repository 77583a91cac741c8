//! From one archive to the documents of its members: each read, typed and converted as a file of its name would be.
//!
//! Called by `extract/mod.rs`; what a member may be is decided by `archive`.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::archive::zip::OnDisk;
use super::archive::{Found, Packed, Walk, tar};
use super::convert::Convert;
use super::gzip::Gunzip;
use super::office;
use super::read::{self, Opened};
use super::{Extracted, Job, Sink};
use crate::discover::{Inside, MEMBER_MARK};
use crate::document::{RejectedStatus, Source};
use crate::settings::IngestSettings;

/// An archive of files under these bytes and this name; None for documents in a zip, and for everything else.
pub(super) fn packed_of(file: &File, size: u64, name: &Path, head: &[u8]) -> Option<Packed> {
    let named = |ends: &[&str]| {
        let lower = name.to_string_lossy().to_lowercase();
        ends.iter().any(|end| lower.ends_with(end))
    };
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        let found = office::package_of(&OnDisk { file, size });
        return found.is_none().then_some(Packed::Zip);
    }
    if tar::is_header(head) && (head[257..].starts_with(b"ustar") || named(&[".tar"])) {
        return Some(Packed::Tar);
    }
    if head.starts_with(b"\x1f\x8b") && read::is_gzip_name(name) {
        let mut inside = Vec::new();
        let packed = Gunzip::new(BufReader::new(tar::Cursor { file, at: 0 }));
        // What does not inflate shows when it is read.
        let _ = packed.take(512).read_to_end(&mut inside);
        let is_tar = tar::is_header(&inside) && inside[257..].starts_with(b"ustar");
        return (is_tar || named(&[".tar.gz", ".tgz"])).then_some(Packed::TarGz);
    }
    None
}

/// Every member of an archive, as if it were a file: its rows are records of the archive, counted through. One row when
/// archives are not to be opened.
pub(super) fn all(
    source: &Source,
    opened: &Opened,
    packed: Packed,
    settings: &IngestSettings,
    converter: &mut dyn Convert,
    sink: Sink<'_>,
) -> ControlFlow<()> {
    if !settings.archives {
        let job = Job::of_file(source, settings);
        let reason = job.unsupported(packed.name());
        return sink(job.rejected(None, RejectedStatus::Skipped, reason));
    }
    let mut next = 0;
    let inside = Inside::new(source, settings);
    let walk = Walk::new(settings, inside, packed);
    walk.run(&opened.file, opened.size, &mut |found, budget| {
        let first = next;
        let job = |name: &[u8], shown: Option<&String>| {
            Job::of_member(source, settings, name, shown, first)
        };
        let mut counted = |row: Extracted| {
            next = next.max(row.record().saturating_add(1));
            sink(row)
        };
        match found {
            Found::Row {
                shown,
                status,
                reason,
            } => counted(job(b"", shown.as_ref()).rejected(None, status, reason)),
            Found::Content {
                name,
                shown,
                mut bytes,
            } => {
                let job = job(&name, Some(&shown));
                let packed = Path::new(OsStr::from_bytes(&name));
                if read::is_gzip(packed, &bytes) {
                    let inflated =
                        read::inflate(&bytes, settings.max_file_bytes, settings.max_inflate_ratio);
                    bytes = match inflated.and_then(|bytes| budget.also(bytes)) {
                        Ok(bytes) => bytes,
                        Err(reason) => {
                            return counted(job.rejected(None, RejectedStatus::Failed, reason));
                        }
                    };
                }
                job.run(&bytes, converter, &mut counted)
            }
        }
    })
}

impl<'a> Job<'a> {
    /// `shown` is empty for what is left of the archive, None for the archive itself.
    fn of_member(
        source: &'a Source,
        settings: &'a IngestSettings,
        name: &[u8],
        shown: Option<&String>,
        first: u32,
    ) -> Job<'a> {
        Job {
            settings,
            file: source.file,
            first,
            uri: shown.map_or(Cow::Borrowed(source.uri.as_str()), |shown| {
                Cow::Owned(format!("{}{MEMBER_MARK}{shown}", source.uri))
            }),
            name: read::inner_name(Path::new(OsStr::from_bytes(name))),
            is_member: true,
        }
    }

    pub(super) fn unsupported(&self, kind: &str) -> String {
        let hint = match kind {
            "zip" | "tar" if self.is_member => " (an archive inside an archive is not opened)",
            "zip" | "tar" if !self.settings.archives => " (ingest.archives=true opens it)",
            _ => "",
        };
        format!("unsupported type: {kind}{hint}")
    }
}
