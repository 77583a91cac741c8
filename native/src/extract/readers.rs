//! The parsers of an extract worker: one file in, an answer and its text out. Runs in the confined process only.
//!
//! Chooses by format and turns each parser's result into parts. Limits on memory and time are the process's; a parser
//! that crashes takes it down, which the runner judges.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use crate::document::{Circumstance, MediaType, RejectedStatus};

use super::convert::{Answer, Format, Part, Request};
use super::office::{Converted, Kind, Problem, convert};
use super::pdf::{Library, PdfLimits, PdfText};

/// No real document has as many pages; a file that claims more is damaged or hostile.
const MOST_PAGES: u32 = 100_000;

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

    /// The file's documents, and the text that they lie in.
    pub fn read(&mut self, request: &Request, file: &[u8]) -> (Answer, String) {
        match request.format {
            Format::Pdf => self.pdf(request, file),
            Format::Office(Kind::Mbox) => mbox(request, file),
            Format::Office(kind) => office(kind, request, file),
        }
    }

    fn pdf(&mut self, request: &Request, file: &[u8]) -> (Answer, String) {
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
            pages: MOST_PAGES,
        };
        match library.text(file, &limits, &mut |_, _| ControlFlow::Continue(())) {
            Ok(found) => whole(reader, found),
            Err(problem) => {
                // Only `progress` stops it, and ours never does.
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
                ..
            } = found;
            document(
                OFFICE.to_owned(),
                MediaType::Markdown,
                title,
                text,
                metadata,
            )
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
                text.push_str(&found.text);
                Part::Document {
                    record_id,
                    media: MediaType::Markdown,
                    title: found.title,
                    from,
                    to: text.len(),
                    metadata: found.metadata,
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
        mut metadata,
        empty_pages,
        damaged_pages,
        ..
    } = found;
    for (name, pages) in [
        ("empty_pages", empty_pages),
        ("damaged_pages", damaged_pages),
    ] {
        if pages > 0 {
            metadata.insert(name.to_owned(), pages.to_string());
        }
    }
    document(reader, MediaType::Text, title, text, metadata)
}

fn document(
    reader: String,
    media: MediaType,
    title: Option<String>,
    text: String,
    metadata: BTreeMap<String, String>,
) -> (Answer, String) {
    let part = Part::Document {
        record_id: None,
        media,
        title,
        from: 0,
        to: text.len(),
        metadata,
    };
    let parts = vec![part];
    (Answer { reader, parts }, text)
}

fn rejected(reader: &str, (status, reason): (RejectedStatus, String)) -> (Answer, String) {
    let part = Part::Rejected {
        record_id: None,
        status,
        reason,
    };
    let answer = Answer {
        reader: reader.to_owned(),
        parts: vec![part],
    };
    (answer, String::new())
}
