//! PDF by PDFium, and by a second library what PDFium cannot read. Called by readers.

use std::ops::ControlFlow;

use crate::document::{Circumstance, MediaType, RejectedStatus};
use crate::extract::convert::{Answer, Part, Progress, Request};
use crate::extract::office::clipped;
use crate::extract::pdf::{Library, PdfLimits, PdfProblem, PdfText, PlainPages, plain_text};

use super::{Readers, Tell, one, placed, rejected};

/// Another library for PDFs that PDFium cannot read; docs/ingest.md says which.
pub trait SecondPdf {
    /// Name and version.
    fn name(&self) -> String;
    /// # Errors
    /// What the library says, in words.
    fn open(&mut self, file: &[u8]) -> Result<Box<dyn PlainPages>, String>;
}

impl Readers {
    pub(super) fn pdf(
        &mut self,
        request: &Request,
        file: &[u8],
        tell: Tell<'_>,
    ) -> (Answer, String) {
        let library = match &mut self.pdf {
            Ok(library) => library,
            Err(problem) => {
                let reason = Circumstance::Extractor.reason(problem);
                return rejected("none", (RejectedStatus::Failed, reason));
            }
        };
        let reader = pdfium(library);
        let limits = PdfLimits {
            text_bytes: request.limits.text_bytes,
            pages: request.pdf_pages,
        };
        let first = counted(tell, |progress| library.text(file, &limits, progress));
        let had = match &first {
            Ok(found) if found.damaged_pages > 0 => Some(found.readable()),
            Err(PdfProblem::Damaged(_)) => Some(0),
            _ => None,
        };
        let Some(had) = had else {
            return pdf_answer(reader, false, first, None);
        };
        match self.second(request, file, &limits, tell) {
            Ok((name, found)) if found.readable() > had => pdf_answer(name, true, Ok(found), None),
            Ok((name, _)) => {
                let no_more = format!("{name} reads no more of it");
                pdf_answer(reader, false, first, Some(no_more))
            }
            Err(why) => pdf_answer(reader, false, first, Some(why)),
        }
    }

    /// What the second reader makes of a damaged PDF, or why it makes nothing.
    fn second(
        &mut self,
        request: &Request,
        file: &[u8],
        limits: &PdfLimits,
        tell: Tell<'_>,
    ) -> Result<(String, PdfText), String> {
        let second = self.second.as_mut().map_err(|absent| absent.clone())?;
        let name = second.name();
        let failed = |problem: String| format!("{name}: {}", clipped(problem, MOST_PROBLEM));
        if let Some(why) = &request.no_second {
            return Err(failed(why.clone()));
        }
        let _told_in_vain_at_worst = tell(Progress::Second);
        let mut document = second.open(file).map_err(failed)?;
        let found = counted(tell, |progress| {
            plain_text(&mut *document, limits, progress)
        });
        match found {
            Ok(found) => Ok((name, found)),
            Err(problem) => Err(failed(match problem.verdict() {
                Some((_, reason)) => reason,
                None => STOPPED.to_owned(),
            })),
        }
    }
}

/// What a library says of a file in a reason, at most.
const MOST_PROBLEM: usize = 200;
/// Nobody hears this answer: the runner is gone.
const STOPPED: &str = "parser: stopped";

/// Tells of pages as one reader gets through them.
fn counted<T>(
    tell: Tell<'_>,
    read: impl FnOnce(&mut dyn FnMut(u32, u32) -> ControlFlow<()>) -> Result<T, PdfProblem>,
) -> Result<T, PdfProblem> {
    let (mut told, mut all) = (0, 0);
    let mut tell_to = |page: u32, pages: u32| {
        all = pages;
        let since = page - std::mem::replace(&mut told, page);
        tell(Progress::Pages(since))
    };
    let found = read(&mut tell_to)?;
    let _answered_all_the_same = tell(Progress::Pages(all - told));
    Ok(found)
}

/// `why_no_more`: what came of the second reader.
fn pdf_answer(
    reader: String,
    second: bool,
    found: Result<PdfText, PdfProblem>,
    why_no_more: Option<String>,
) -> (Answer, String) {
    let behind = why_no_more.map_or_else(String::new, |why| format!("; {why}"));
    match found {
        Ok(found) => whole(reader, second, found, &behind),
        Err(problem) => {
            let stopped = || (RejectedStatus::Failed, STOPPED.to_owned());
            let (status, reason) = problem.verdict().unwrap_or_else(stopped);
            rejected(&reader, (status, reason + &behind))
        }
    }
}

pub(super) fn pdfium(library: &Library) -> String {
    format!("pdfium {}", library.version())
}

fn whole(reader: String, second: bool, found: PdfText, behind: &str) -> (Answer, String) {
    let PdfText {
        title,
        text,
        pages,
        mut metadata,
        empty_pages,
        damaged_pages,
    } = found;
    for (name, pages) in [
        ("empty_pages", empty_pages),
        ("damaged_pages", damaged_pages),
    ] {
        if pages > 0 {
            metadata.insert(name.to_owned(), pages.to_string());
        }
    }
    let count = pages.len();
    let unread = (damaged_pages > 0).then(|| format!("{damaged_pages} of {count} pages{behind}"));
    let named = (1..).map(|number: u32| format!("page {number}"));
    let (text, places) = placed(text, named.zip(pages));
    let part = Part::Document {
        record_id: None,
        media: MediaType::Text,
        title,
        from: 0,
        to: text.len(),
        metadata,
        second,
        unread,
        places,
    };
    (one(reader, part), text)
}
