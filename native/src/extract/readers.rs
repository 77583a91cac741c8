//! The parsers of an extract worker: one file in, an answer and its text out. Runs in the confined process only.
//!
//! Chooses by format and turns each parser's result into parts. Limits on memory and time are the process's; a parser
//! that crashes takes it down, which the runner judges.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use crate::document::{MediaType, RejectedStatus};

use super::convert::{Answer, Format, Part, Request};
use super::office::{Converted, Kind, OfficeLimits, Problem, convert};
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
            Format::Docx => office(Kind::Docx, request, file),
            Format::Xlsx => office(Kind::Xlsx, request, file),
            Format::Pptx => office(Kind::Pptx, request, file),
            Format::Ods => office(Kind::Ods, request, file),
            Format::Odt => office(Kind::Odt, request, file),
            Format::Epub => office(Kind::Epub, request, file),
            Format::Mail => office(Kind::Mail, request, file),
            Format::Mbox => mbox(request, file),
        }
    }

    fn pdf(&mut self, request: &Request, file: &[u8]) -> (Answer, String) {
        let library = match &mut self.pdf {
            Ok(library) => library,
            Err(problem) => {
                let reason = format!("extractor: {problem}");
                return rejected("none", RejectedStatus::Failed, reason);
            }
        };
        let reader = pdfium(library);
        let limits = PdfLimits {
            text_bytes: request.max_text_bytes,
            pages: MOST_PAGES,
        };
        match library.text(file, &limits, &mut |_, _| ControlFlow::Continue(())) {
            Ok(found) => whole(reader, found),
            Err(problem) => match problem.verdict() {
                Some((status, reason)) => rejected(&reader, status, reason),
                None => rejected(
                    &reader,
                    RejectedStatus::Failed,
                    "parser: stopped".to_owned(),
                ),
            },
        }
    }
}

/// Name and output version of our own parsers.
const OFFICE: &str = "runner office 1";
/// One chapter or HTML message: a page in memory is many times its source.
const MOST_HTML_BYTES: u64 = 16 << 20;

fn limits_of(request: &Request) -> OfficeLimits {
    OfficeLimits {
        zip_entries: request.max_zip_entries,
        zip_entry_bytes: request.max_zip_entry_bytes,
        zip_total_bytes: request.max_zip_total_bytes,
        inflate_ratio: request.max_inflate_ratio,
        xml_depth: request.max_xml_depth,
        html_depth: request.max_html_depth,
        html_bytes: MOST_HTML_BYTES,
        text_bytes: request.max_text_bytes,
    }
}

fn office(kind: Kind, request: &Request, file: &[u8]) -> (Answer, String) {
    match convert(kind, file, &limits_of(request)) {
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
        Err(problem) => {
            let (status, reason) = verdict(&problem);
            rejected(OFFICE, status, reason)
        }
    }
}

/// Each message one document, named by its number; the texts stand one behind the other.
fn mbox(request: &Request, file: &[u8]) -> (Answer, String) {
    let (mut text, mut parts) = (String::new(), Vec::new());
    super::office::mbox(file, &limits_of(request), &mut |message| {
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
        if text.len() as u64 > request.max_text_bytes {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    if text.len() as u64 > request.max_text_bytes {
        let (length, limit) = (text.len() as u64, request.max_text_bytes);
        let reason = super::limit_reason("max_text_bytes", length, limit);
        return rejected(OFFICE, RejectedStatus::Failed, reason);
    }
    if parts.is_empty() {
        return rejected(OFFICE, RejectedStatus::Skipped, "no text".to_owned());
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
    metadata.insert("format".to_owned(), "pdf".to_owned());
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

fn rejected(reader: &str, status: RejectedStatus, reason: String) -> (Answer, String) {
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
