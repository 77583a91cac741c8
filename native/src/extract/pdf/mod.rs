//! Text of a PDF held in memory, by the PDFium of the pypdfium2 wheel. docs/ingest.md says what is kept.
//!
//! No layout analysis, no OCR, no form fields, no passwords. PDFium parses hostile bytes in C++ and is not thread-safe: only an
//! extract worker, one document at a time, may call this; its limits on memory and time are the worker's affair.

mod join;
mod library;
mod pages;
#[cfg(test)]
mod plain_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::ops::{ControlFlow, Range};

use super::limit_reason;
use crate::document::RejectedStatus;
use library::OpenError;
use pages::Pages;

pub use library::Library;

/// Longer entries of the information dictionary are no names or dates, and are left out.
const META_UNITS: usize = 4096;

const META: [(&CStr, &str); 7] = [
    (c"Author", "author"),
    (c"Subject", "subject"),
    (c"Keywords", "keywords"),
    (c"Creator", "creator"),
    (c"Producer", "producer"),
    (c"CreationDate", "created"),
    (c"ModDate", "modified"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PdfLimits {
    pub text_bytes: u64,
    pub pages: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PdfText {
    pub title: Option<String>,
    /// Pages in order, an empty line between two.
    pub text: String,
    /// Byte range of each page in `text`; empty where a page has no text.
    pub pages: Vec<Range<usize>>,
    /// Information of the file, `pages`, and `undecodable` where glyphs have no character.
    pub metadata: BTreeMap<String, String>,
    pub empty_pages: u32,
    /// Pages that PDFium could not read: not zero means that text may be missing.
    pub damaged_pages: u32,
}

impl PdfText {
    /// Pages that gave text.
    #[must_use]
    pub fn readable(&self) -> usize {
        self.pages.iter().filter(|page| !page.is_empty()).count()
    }
}

/// Why a PDF gives no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PdfProblem {
    /// Needs a password, or uses an encryption that PDFium does not know.
    Encrypted,
    Damaged(String),
    /// The whole reason: "limit max_text_bytes: 70000 over 65536".
    Limit(String),
    NoTextLayer {
        pages: u32,
    },
    /// `progress` said so.
    Stopped,
}

impl PdfProblem {
    /// Status and reason of the row, as in docs/ingest.md. None: nobody wants the row any more.
    pub fn verdict(&self) -> Option<(RejectedStatus, String)> {
        let (status, reason) = match self {
            PdfProblem::Encrypted => (RejectedStatus::Failed, "encrypted: needs a password".into()),
            PdfProblem::Damaged(detail) => {
                (RejectedStatus::Failed, format!("damaged pdf: {detail}"))
            }
            PdfProblem::Limit(reason) => (RejectedStatus::Failed, reason.clone()),
            PdfProblem::NoTextLayer { pages: 1 } => {
                (RejectedStatus::Skipped, "no text layer (1 page)".into())
            }
            PdfProblem::NoTextLayer { pages } => (
                RejectedStatus::Skipped,
                format!("no text layer ({pages} pages)"),
            ),
            PdfProblem::Stopped => return None,
        };
        Some((status, reason))
    }
}

/// A PDF as another library opened it, which knows pages and their plain text alone.
pub trait PlainPages {
    fn count(&self) -> u32;
    /// None: the page cannot be read.
    fn text(&mut self, page: u32) -> Option<String>;
}

/// The same as `Library::text`, from another library. Title and information of the file are not asked for.
pub fn plain_text(
    document: &mut dyn PlainPages,
    limits: &PdfLimits,
    progress: &mut dyn FnMut(u32, u32) -> ControlFlow<()>,
) -> Result<PdfText, PdfProblem> {
    let count = document.count();
    let pages = read_pages(count, limits, progress, &mut |pages, index| {
        pages.push_plain(document.text(index).as_deref());
    })?;
    Ok(finished(&|_| None, pages))
}

/// Page after page, within the limits.
fn read_pages(
    count: u32,
    limits: &PdfLimits,
    progress: &mut dyn FnMut(u32, u32) -> ControlFlow<()>,
    read: &mut dyn FnMut(&mut Pages, u32),
) -> Result<Pages, PdfProblem> {
    if count == 0 {
        return Err(PdfProblem::Damaged("no pages".to_owned()));
    }
    over("max_pdf_pages", u64::from(count), u64::from(limits.pages))?;
    let mut pages = Pages::default();
    for index in 0..count {
        if progress(index, count).is_break() {
            return Err(PdfProblem::Stopped);
        }
        read(&mut pages, index);
        over("max_text_bytes", pages.text.len() as u64, limits.text_bytes)?;
    }
    if pages.text.is_empty() {
        return Err(textless(count, pages.damaged));
    }
    Ok(pages)
}

impl Library {
    /// The text of one PDF. `progress` is told (page, pages) before each page and may stop the work.
    pub fn text(
        &mut self,
        bytes: &[u8],
        limits: &PdfLimits,
        progress: &mut dyn FnMut(u32, u32) -> ControlFlow<()>,
    ) -> Result<PdfText, PdfProblem> {
        let document = self.document(bytes).map_err(unopened)?;
        let pages = read_pages(
            document.page_count(),
            limits,
            progress,
            &mut |pages, index| pages.push(document.page(index).as_ref()),
        )?;
        Ok(finished(&|tag| document.meta(tag, META_UNITS), pages))
    }
}

fn over(name: &str, value: u64, limit: u64) -> Result<(), PdfProblem> {
    if value > limit {
        return Err(PdfProblem::Limit(limit_reason(name, value, limit)));
    }
    Ok(())
}

fn unopened(error: OpenError) -> PdfProblem {
    match error {
        OpenError::Password | OpenError::Security => PdfProblem::Encrypted,
        OpenError::Format => PdfProblem::Damaged("no PDF structure can be read".to_owned()),
        OpenError::Other(code) => PdfProblem::Damaged(format!("PDFium error {code}")),
    }
}

fn textless(pages: u32, damaged: u32) -> PdfProblem {
    if damaged > 0 {
        PdfProblem::Damaged(format!("{damaged} of {pages} pages cannot be read"))
    } else {
        PdfProblem::NoTextLayer { pages }
    }
}

fn finished(meta: &dyn Fn(&CStr) -> Option<Vec<u16>>, pages: Pages) -> PdfText {
    let entry = |tag| line(&meta(tag)?);
    let mut metadata: BTreeMap<String, String> = META
        .iter()
        .filter_map(|&(tag, name)| Some((name.to_owned(), entry(tag)?)))
        .collect();
    metadata.insert("pages".to_owned(), pages.ranges.len().to_string());
    if pages.undecodable > 0 {
        metadata.insert("undecodable".to_owned(), pages.undecodable.to_string());
    }
    let (text, ranges) = join::resolve(pages.text, pages.ranges);
    PdfText {
        title: entry(c"Title"),
        text,
        pages: ranges,
        metadata,
        empty_pages: pages.empty,
        damaged_pages: pages.damaged,
    }
}

/// One line of plain text, or None where nothing is left.
fn line(units: &[u16]) -> Option<String> {
    let text = String::from_utf16_lossy(units);
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}
