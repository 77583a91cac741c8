//! The parsers of an extract worker: one file in, an answer and its text out. Runs in the confined process only.
//!
//! Chooses by format and turns each parser's result into parts. Limits on memory and time are the process's; a parser
//! that crashes takes it down, which the runner judges.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use crate::document::{Circumstance, MediaType, Place, RejectedStatus};

use super::convert::{Answer, Format, MOST_PLACE_NAME, Part, Request};
use super::office::{Converted, Kind, Problem, clipped, convert};
use super::pdf::{Library, PdfLimits, PdfText};

/// Libraries opened before the process confines itself.
pub struct Readers {
    /// Or why there is none.
    pdf: Result<Library, String>,
}

impl Readers {
    /// `pdfium`: path of the library in the pypdfium2 wheel; None = the wheel is not installed.
    #[must_use]
    pub fn open(pdfium: Option<&Path>) -> Readers {
        let absent = || Err("PDFium is not installed: install the package pypdfium2".to_owned());
        Readers {
            pdf: pdfium.map_or_else(absent, Library::open),
        }
    }

    /// What can be read here, and with what.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        vec![match &self.pdf {
            Ok(library) => pdfium(library),
            Err(problem) => format!("no pdf: {problem}"),
        }]
    }

    /// The file's documents, and the text that they lie in. `progress` is told how many pages are read, and may stop the
    /// work when nobody wants the answer any more.
    pub fn read(
        &mut self,
        request: &Request,
        file: &[u8],
        progress: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> (Answer, String) {
        match request.format {
            Format::Pdf => self.pdf(request, file, progress),
            Format::Office(Kind::Mbox) => mbox(request, file),
            Format::Office(kind) => office(kind, request, file),
        }
    }

    fn pdf(
        &mut self,
        request: &Request,
        file: &[u8],
        progress: &mut dyn FnMut(u32) -> ControlFlow<()>,
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
        match library.text(file, &limits, &mut |page, _| progress(page)) {
            Ok(found) => {
                let pages = u32::try_from(found.pages.len()).unwrap_or(u32::MAX);
                let _answered_all_the_same = progress(pages);
                whole(reader, found)
            }
            Err(problem) => {
                // Nobody hears this answer: the runner is gone.
                let stopped = || (RejectedStatus::Failed, "parser: stopped".to_owned());
                rejected(&reader, problem.verdict().unwrap_or_else(stopped))
            }
        }
    }
}

/// Name and output version of our own parsers.
const OFFICE: &str = "runner office 1";

fn office(kind: Kind, request: &Request, file: &[u8]) -> (Answer, String) {
    match convert(kind, file, &request.limits) {
        Ok(found) => {
            let Converted {
                title,
                text,
                metadata,
                spans,
            } = found;
            let places = spans.into_iter().map(|span| (span.name, span.bytes));
            let (text, places) = placed(text, places);
            let part = Part::Document {
                record_id: None,
                media: MediaType::Markdown,
                title,
                from: 0,
                to: text.len(),
                metadata,
                places,
            };
            (one(OFFICE.to_owned(), part), text)
        }
        Err(problem) => rejected(OFFICE, verdict(&problem)),
    }
}

/// Each message one document, named by its number; the texts stand one behind the other.
fn mbox(request: &Request, file: &[u8]) -> (Answer, String) {
    let (mut text, mut parts) = (String::new(), Vec::new());
    super::office::mbox(file, &request.limits, &mut |message| {
        let record_id = Some((parts.len() + 1).to_string());
        parts.push(match message {
            Ok(found) => {
                let from = text.len();
                text.push_str(&placed(found.text, std::iter::empty()).0);
                Part::Document {
                    record_id,
                    media: MediaType::Markdown,
                    title: found.title,
                    from,
                    to: text.len(),
                    metadata: found.metadata,
                    places: Vec::new(),
                }
            }
            Err(problem) => {
                let (status, reason) = verdict(&problem);
                Part::Rejected {
                    record_id,
                    status,
                    reason,
                }
            }
        });
        if text.len() as u64 > request.limits.text_bytes {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    if text.len() as u64 > request.limits.text_bytes {
        let (length, limit) = (text.len() as u64, request.limits.text_bytes);
        let reason = super::limit_reason("max_text_bytes", length, limit);
        return rejected(OFFICE, (RejectedStatus::Failed, reason));
    }
    if parts.is_empty() {
        return rejected(OFFICE, (RejectedStatus::Skipped, "no text".to_owned()));
    }
    let reader = OFFICE.to_owned();
    (Answer { reader, parts }, text)
}

fn verdict(problem: &Problem) -> (RejectedStatus, String) {
    match problem {
        Problem::Encrypted => (
            RejectedStatus::Failed,
            "encrypted: needs a password".to_owned(),
        ),
        Problem::Unsupported(_) => (RejectedStatus::Skipped, problem.to_string()),
        Problem::Limit(_) | Problem::Damaged(_) => (RejectedStatus::Failed, problem.to_string()),
    }
}

fn pdfium(library: &Library) -> String {
    format!("pdfium {}", library.version())
}

fn whole(reader: String, found: PdfText) -> (Answer, String) {
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
    let named = (1..).map(|number: u32| format!("page {number}"));
    let (text, places) = placed(text, named.zip(pages));
    let part = Part::Document {
        record_id: None,
        media: MediaType::Text,
        title,
        from: 0,
        to: text.len(),
        metadata,
        places,
    };
    (one(reader, part), text)
}

/// The text with one kind of line end, so that borders are found and equal pages have equal texts; and its places, empty
/// ones left out.
fn placed(
    text: String,
    places: impl Iterator<Item = (String, Range<usize>)>,
) -> (String, Vec<Place>) {
    let has_returns = text.contains('\r');
    let (mut seen, mut dropped) = (0, 0);
    let mut shifted = |at: usize| {
        if has_returns {
            dropped += text[seen..at].matches("\r\n").count();
            seen = at;
        }
        at - dropped
    };
    let places = places
        .filter(|(_, bytes)| !bytes.is_empty())
        .map(|(name, bytes)| Place {
            name: clipped(name, MOST_PLACE_NAME),
            from: shifted(bytes.start),
            to: shifted(bytes.end),
        });
    let places = places.collect();
    (super::text::unix_lines(text), places)
}

fn one(reader: String, part: Part) -> Answer {
    let parts = vec![part];
    Answer { reader, parts }
}

fn rejected(reader: &str, (status, reason): (RejectedStatus, String)) -> (Answer, String) {
    let part = Part::Rejected {
        record_id: None,
        status,
        reason,
    };
    (one(reader.to_owned(), part), String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_move_with_the_line_ends_that_are_made_one_and_empty_ones_go() {
        let text = "a\r\nb\rc\n\nd\r\ne";
        let spans = [(0, 6), (6, 6), (8, 12)];
        let names = ["sheet One", "sheet Empty", "sheet Two"].map(str::to_owned);
        let spans = spans.map(|(from, to)| from..to);
        let (text, places) = placed(text.to_owned(), names.into_iter().zip(spans));
        assert_eq!(text, "a\nb\nc\n\nd\ne");
        let of = |index: usize| &text[places[index].from..places[index].to];
        assert_eq!((places.len(), of(0), of(1)), (2, "a\nb\nc", "d\ne"));
        assert_eq!(places[1].name, "sheet Two");
    }

    #[test]
    fn the_name_of_a_place_is_cut_to_what_an_answer_may_hold() {
        let (_, places) = placed(
            "x".to_owned(),
            std::iter::once(("\u{fc}".repeat(300), 0..1)),
        );
        assert!(places[0].name.len() <= MOST_PLACE_NAME);
        assert!(places[0].name.ends_with('\u{2026}'));
    }
}
