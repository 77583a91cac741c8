//! What a document is on its way from a path to the scheduler: source, identity, text, and why it may not be ready.
//!
//! Plain data, no I/O. Made by discover and extract, read by prepare, journal and publish.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// blake3 of the bytes of one file (after decompression) or one record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    pub fn to_hex(self) -> String {
        const DIGITS: [char; 16] = [
            '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
        ];
        let nibbles = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        nibbles.map(|nibble| DIGITS[usize::from(nibble)]).collect()
    }

    pub fn from_hex(text: &str) -> Option<Digest> {
        let mut out = [0u8; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (index, slot) in out.iter_mut().enumerate() {
            *slot = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Digest(out))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex()[..12])
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        Digest::from_hex(&text).ok_or_else(|| serde::de::Error::custom("not a 64-digit hex digest"))
    }
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectedStatus {
    Skipped,
    Failed,
}
