//! Office, e-book and mail files to Markdown text: docx, xlsx, ods, pptx, odt, epub, eml and mbox.
//!
//! Pure: bytes in, text out, within the limits given. It opens no file, follows no link and trusts no size that a file states
//! of itself. Meant for the extract worker; safe by itself all the same: memory is bounded by the limits and no function here
//! calls itself on nested input.

mod blocks;
mod container;
mod docx;
mod docx_styles;
mod epub;
mod grid;
mod kind;
mod mail;
mod mime;
mod numbers;
mod odf;
mod ods;
mod odt;
mod package;
mod slides;
mod xhtml;
mod xlsx;
mod xml;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use kind::{Found, Kind, kind_of, package_of};
pub use mail::{mail, mbox};

/// Bounds of one document; each has a setting of the same name with `max_` before it, which a reason names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfficeLimits {
    pub zip_entries: usize,
    /// Inflated bytes, counted while inflating.
    pub zip_entry_bytes: u64,
    pub zip_total_bytes: u64,
    /// Inflated over stored bytes of one entry, past its first MiB.
    pub inflate_ratio: u64,
    pub xml_depth: usize,
    /// Of a chapter or a message, whose HTML goes through `extract::html`.
    pub html_depth: usize,
    /// One chapter or HTML message: a page in memory is many times its source.
    pub html_bytes: u64,
    pub text_bytes: u64,
}

/// One document as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Converted {
    pub title: Option<String>,
    /// Markdown: headings, lists, tables, footnotes, links.
    pub text: String,
    /// author, created, modified, subject, ...; of mail: from, to, cc, date, attachments.
    pub metadata: BTreeMap<String, String>,
    /// Sheets, slides and chapters in the order of the text; empty where a format has none.
    pub spans: Vec<Span>,
}

/// A named part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// "sheet Sales", "slide 3", "chapter Of Arms".
    pub name: String,
    /// Bytes of the text.
    pub bytes: Range<usize>,
}

/// Why a document gives no text. Its `Display` is the reason of a row, class first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// "limit max_inflate_ratio: 812 over 200".
    Limit(String),
    /// What is broken, and where.
    Damaged(String),
    Encrypted,
    /// The kind: "doc (legacy)".
    Unsupported(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Limit(reason) => f.write_str(reason),
            Problem::Damaged(detail) => write!(f, "damaged: {detail}"),
            Problem::Encrypted => f.write_str("encrypted"),
            Problem::Unsupported(kind) => write!(f, "unsupported type: {kind}"),
        }
    }
}

impl Problem {
    fn limit(name: &str, value: u64, limit: u64) -> Problem {
        Problem::Limit(super::limit_reason(name, value, limit))
    }

    fn damaged(place: &str, detail: impl fmt::Display) -> Problem {
        let place = clipped(place.to_owned(), PLACE_BYTES);
        Problem::Damaged(format!(
            "{place}: {}",
            clipped(detail.to_string(), PLACE_BYTES)
        ))
    }
}

/// A name in a reason; a file may state one of any length.
const PLACE_BYTES: usize = 256;
/// A title, a name of a sheet, a property: a line about the document and not its text.
const LINE_BYTES: usize = 4096;

/// A line about a document on one line, cut with an ellipsis where it is none.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    clipped(words.join(" "), LINE_BYTES)
}

/// At most `most` bytes, the ellipsis among them.
pub(super) fn clipped(mut text: String, most: usize) -> String {
    if text.len() > most {
        let most = most.saturating_sub('…'.len_utf8());
        let kept = (0..=most).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(kept.unwrap_or(0));
        text.push('…');
    }
    text
}

type Outcome<T> = Result<T, Problem>;

/// Reads a file of a known kind that is one document; `Kind::Mbox` is many and goes through `mbox`.
pub fn convert(kind: Kind, bytes: &[u8], limits: &OfficeLimits) -> Outcome<Converted> {
    match kind {
        Kind::Docx => docx::docx(bytes, limits),
        Kind::Xlsx => xlsx::xlsx(bytes, limits),
        Kind::Ods => ods::ods(bytes, limits),
        Kind::Pptx => slides::pptx(bytes, limits),
        Kind::Odt => odt::odt(bytes, limits),
        Kind::Epub => epub::epub(bytes, limits),
        Kind::Mail => mail(bytes, limits),
        Kind::Mbox => Err(Problem::Unsupported("mbox as one document".to_owned())),
    }
}
