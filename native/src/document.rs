//! What a document is on its way from a path to the scheduler: source, identity, text, and why it may not be ready.
//!
//! Plain data, no I/O. Made by discover and extract, read by prepare, journal and publish.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// blake3 of the bytes of one file (after decompression) or one record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    pub fn to_hex(self) -> String {
        self.digits().iter().copied().map(char::from).collect()
    }

    fn digits(self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut out = [0u8; 64];
        for (pair, byte) in out.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        out
    }

    pub fn from_hex(text: &str) -> Option<Digest> {
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut out = [0u8; 32];
        for (slot, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            *slot = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Digest(out))
    }
}

/// Journals are made of digests: this runs some ten times a document, so it is worth its few lines.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex()[..12])
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = self.digits();
        serializer.serialize_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        deserializer.deserialize_str(HexDigits)
    }
}

/// Reads the digits where they stand: no string is made of them on the way.
struct HexDigits;

impl Visitor<'_> for HexDigits {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a 64-digit hex digest")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
        Digest::from_hex(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// What an input is: its uri and its bytes. The first half is its id in results.jsonl.
pub type InputKey = [u8; 16];

pub fn input_key(uri: &str, doc_id: Option<&Digest>) -> InputKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(uri.len() as u64).to_le_bytes());
    hasher.update(uri.as_bytes());
    if let Some(digest) = doc_id {
        hasher.update(&digest.0);
    }
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    key
}

/// Where an input stands in the deterministic order of discovery: file number, then record number in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ordinal {
    pub file: u32,
    pub record: u32,
}

/// What the file system says of a file; equal stamps mean "not read again" unless `ingest.paranoid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    pub size: u64,
    pub mtime_ns: i64,
    pub inode: u64,
}

/// One discovered file. `uri` is the path as shown and stored: UTF-8, or lossy + "#x" + hex of the raw bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub file: u32,
    pub uri: String,
    pub path: PathBuf,
    /// The input that it was found in: globs are relative to it.
    pub root: Arc<Path>,
    pub stamp: Stamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaType {
    Text,
    Markdown,
    Html,
    Json,
    Jsonl,
    Csv,
    Code,
}

/// One document: text ready for the model. `uri` of a record is `<file uri>#<record id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub ordinal: Ordinal,
    pub uri: String,
    pub doc_id: Digest,
    pub media_type: MediaType,
    pub title: Option<String>,
    pub text: String,
    pub metadata: BTreeMap<String, String>,
    pub origin: Origin,
}

/// How an extract worker read a document; the default is one that the runner read itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Library and version.
    pub reader: Option<String>,
    /// The reader stepped in for the usual one, which would have given another text or none.
    pub second: bool,
    /// What nobody could read, in words: "2 of 30 pages".
    pub unread: Option<String>,
    /// Places with text, in the order of the text; empty where a format has none.
    pub places: Vec<Place>,
}

/// A named piece of a document's text: "page 3", "sheet Sales", "slide 3", "chapter Of Arms".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    pub name: String,
    /// Byte range of the text.
    pub from: usize,
    pub to: usize,
}

/// First and last place with text inside `span`; None where there is none.
#[must_use]
pub fn places_of(places: &[Place], span: &std::ops::Range<usize>) -> Option<[String; 2]> {
    let first = places.partition_point(|place| place.to <= span.start);
    let behind = places.partition_point(|place| place.from < span.end);
    let inside = places.get(first..behind)?;
    let ends = (inside.first()?, inside.last()?);
    Some([ends.0.name.clone(), ends.1.name.clone()])
}

/// An input that will never reach the model, and why. `reason` begins with a short class: "unsupported type: pdf".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub ordinal: Ordinal,
    pub uri: String,
    /// None when the bytes could not be read.
    pub doc_id: Option<Digest>,
    pub status: RejectedStatus,
    pub reason: String,
    /// Who read it, where an extract worker did.
    pub reader: Option<String>,
}

/// Failures that tell of one run's machine and moment, not of the document: a later run tries again instead of taking them over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circumstance {
    /// The file could not be opened or read.
    Unreadable,
    /// The file was changed or deleted while the run was under way.
    Source,
    /// The memory pools of the profile were too small for it.
    Memory,
    /// No extract worker could be started.
    Extractor,
}

impl Circumstance {
    fn class(self) -> &'static str {
        match self {
            Circumstance::Unreadable => "unreadable",
            Circumstance::Source => "source",
            Circumstance::Memory => "memory",
            Circumstance::Extractor => "extractor",
        }
    }

    /// The reason of a failure: its class, then what happened.
    #[must_use]
    pub fn reason(self, detail: impl std::fmt::Display) -> String {
        format!("{}: {detail}", self.class())
    }

    /// Whether a stored reason is one of these.
    #[must_use]
    pub fn explains(reason: &str) -> bool {
        let class = reason.split_once(':').map(|(class, _)| class);
        [
            Circumstance::Unreadable,
            Circumstance::Source,
            Circumstance::Memory,
            Circumstance::Extractor,
        ]
        .iter()
        .any(|known| class == Some(known.class()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectedStatus {
    Skipped,
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_lies_between_the_first_and_the_last_place_that_it_touches() {
        let places: Vec<Place> = [(0, 10), (12, 20), (22, 30)]
            .iter()
            .zip(1..)
            .map(|(&(from, to), number)| Place {
                name: format!("page {number}"),
                from,
                to,
            })
            .collect();
        let of = |from, to| places_of(&places, &(from..to)).map(|[first, last]| (first, last));
        let pages = |first: u32, last: u32| Some((format!("page {first}"), format!("page {last}")));
        assert_eq!(of(0, 30), pages(1, 3));
        assert_eq!(of(0, 10), pages(1, 1));
        assert_eq!(of(9, 13), pages(1, 2));
        assert_eq!(of(10, 20), pages(2, 2));
        assert_eq!(of(25, 26), pages(3, 3));
        assert_eq!(of(10, 12), None, "between two pages");
        assert_eq!(of(30, 40), None);
        assert_eq!(places_of(&[], &(0..30)), None);
    }
}
