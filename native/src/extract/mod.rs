//! From one file to its documents: read within limits, inflate, detect, decode, convert. docs/ingest.md lists the reasons.
//!
//! Every file gives at least one document or one `Rejected`; text is never lost without a row that says so. Formats with a
//! dangerous parser go to an extract worker. Called by core's extract threads.

mod archive;
mod code_pages;
pub mod convert;
mod csv;
mod detect;
mod encoding;
#[cfg(test)]
mod encoding_tests;
mod gzip;
mod html;
mod html_dom;
mod html_tree;
mod html_writer;
mod json;
mod kinds;
mod letter_costs;
mod letters;
mod lines;
mod members;
pub mod office;
pub mod pdf;
mod read;
pub mod readers;
mod shifted;
mod text;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::document::{
    Digest, Document, MediaType, Ordinal, Origin, Rejected, RejectedStatus, Source,
};
use crate::settings::IngestSettings;

use convert::{Convert, Format, Part, Request, Unconverted};
use detect::Detected;
use encoding::{Binary, Decoded};
use html::HtmlError;
use lines::Lines;
use text::{first_heading, unix_lines};

/// Counts into work ids: raised when, and only when, equal bytes give another text than before.
pub const VERSION: u32 = 3;

/// What one file, or one record of it, became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extracted {
    Document(Document),
    Rejected(Rejected),
}

impl Extracted {
    fn record(&self) -> u32 {
        match self {
            Extracted::Document(document) => document.ordinal.record,
            Extracted::Rejected(rejected) => rejected.ordinal.record,
        }
    }
}

/// Gives every document and every rejected record of `source` to `sink`, in the order of the file, until it breaks.
/// Formats with a dangerous parser go to `converter`; nothing comes of a file whose conversion was stopped with the run.
pub fn extract(
    source: &Source,
    settings: &IngestSettings,
    converter: &mut dyn Convert,
    sink: &mut dyn FnMut(Extracted) -> ControlFlow<()>,
) {
    let job = Job::of_file(source, settings);
    if let Some(lines) = Lines::open(source, lines::HEAD_BYTES) {
        let _ = lines.run(&job, sink);
        return;
    }
    let failed = |reason| job.rejected(None, RejectedStatus::Failed, reason);
    let opened = match read::open(&source.path) {
        Ok(opened) => opened,
        Err(reason) => {
            let _ = sink(failed(reason));
            return;
        }
    };
    // One file's verdict ends the file; whether the caller wants another file is its own affair.
    let _ = match members::packed_of(&opened.file, opened.size, &source.path, &opened.head) {
        Some(packed) => members::all(source, &opened, packed, settings, converter, sink),
        None => match read::read(opened, &source.path, settings) {
            Ok(bytes) => job.run(&bytes, converter, sink),
            Err(reason) => sink(failed(reason)),
        },
    };
}

/// What a file is by its name alone; `x.html.gz` is "html".
pub fn kind_by_name(path: &Path) -> &'static str {
    detect::kind_by_name(&read::inner_name(path))
}

type Sink<'a> = &'a mut dyn FnMut(Extracted) -> ControlFlow<()>;

/// One file, or member of an archive, on its way: what every format needs to name its documents.
struct Job<'a> {
    settings: &'a IngestSettings,
    file: u32,
    /// Number of its first row in the file.
    first: u32,
    uri: Cow<'a, str>,
    /// Tells the type; without a `.gz` that was taken off.
    name: PathBuf,
    is_member: bool,
}

/// A document before it has its place in the run.
struct Draft {
    record: u32,
    /// None = the file itself.
    record_id: Option<String>,
    doc_id: Digest,
    media_type: MediaType,
    title: Option<String>,
    text: String,
    metadata: BTreeMap<String, String>,
    origin: Origin,
}

impl<'a> Job<'a> {
    fn of_file(source: &'a Source, settings: &'a IngestSettings) -> Job<'a> {
        Job {
            settings,
            file: source.file,
            first: 0,
            uri: Cow::Borrowed(&source.uri),
            name: read::inner_name(&source.path),
            is_member: false,
        }
    }

    fn run(&self, bytes: &[u8], converter: &mut dyn Convert, sink: Sink<'_>) -> ControlFlow<()> {
        let id = Digest::of(bytes);
        let skipped = |reason: String| self.rejected(Some(id), RejectedStatus::Skipped, reason);
        let failed = |reason: String| self.rejected(Some(id), RejectedStatus::Failed, reason);
        if bytes.is_empty() {
            return sink(skipped("empty".to_owned()));
        }
        let (media, tabs) = match detect::detect(&self.name, bytes) {
            Detected::Unsupported(kind) => return sink(skipped(self.unsupported(kind))),
            Detected::Encrypted => return sink(failed("encrypted: needs a password".to_owned())),
            Detected::Isolated(format) => return self.isolated(id, format, bytes, converter, sink),
            Detected::Text { media, tabs } => (media, tabs),
        };
        let marked_up = media == MediaType::Html || bytes.starts_with(b"<?xml");
        let decoded = match encoding::decode(bytes, marked_up) {
            Ok(decoded) => decoded,
            Err(Binary(detail)) if detect::promises_text(&self.name) => {
                return sink(failed(format!("binary content: {detail}")));
            }
            Err(Binary(_)) => return sink(skipped("unsupported type: binary".to_owned())),
        };
        if decoded.text.trim().is_empty() {
            return sink(skipped("no text".to_owned()));
        }
        let metadata = metadata_of(&decoded);
        match media {
            MediaType::Jsonl => json::lines(self, &decoded.text, &metadata, sink),
            MediaType::Json => json::whole(self, id, decoded.text, metadata, sink),
            MediaType::Csv => csv::table(self, id, decoded.text, tabs, metadata, sink),
            MediaType::Html => match html::convert(&decoded.text, self.settings.max_html_depth) {
                Ok(page) => self.file(id, media, page.title, page.text, metadata, sink),
                Err(HtmlError::TooDeep(depth)) => {
                    let limit = self.settings.max_html_depth;
                    sink(failed(limit_reason(
                        "max_html_depth",
                        depth as u64,
                        limit as u64,
                    )))
                }
                Err(HtmlError::Parser(detail)) => sink(failed(format!("html parser: {detail}"))),
            },
            MediaType::Markdown => {
                let text = unix_lines(decoded.text);
                self.file(id, media, first_heading(&text), text, metadata, sink)
            }
            MediaType::Text | MediaType::Code => {
                self.file(id, media, None, unix_lines(decoded.text), metadata, sink)
            }
        }
    }

    /// A file whose parser runs in an extract worker.
    fn isolated(
        &self,
        id: Digest,
        format: Format,
        bytes: &[u8],
        converter: &mut dyn Convert,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        let request = Request::new(format, bytes.len(), self.settings);
        let (answer, text) = match converter.convert(&request, bytes) {
            Ok(answered) => answered,
            Err(Unconverted::Stopped) => return ControlFlow::Break(()),
            Err(Unconverted::Failed(reason)) => {
                return sink(self.rejected(Some(id), RejectedStatus::Failed, reason));
            }
        };
        for (record, part) in (0..).zip(answer.parts) {
            self.part(record, id, &answer.reader, part, &text, sink)?;
        }
        ControlFlow::Continue(())
    }

    /// One document of an extract worker's answer, or one that it could not read.
    fn part(
        &self,
        record: u32,
        file_id: Digest,
        reader: &str,
        part: Part,
        text: &str,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        match part {
            Part::Rejected {
                record_id,
                status,
                reason,
            } => sink(Extracted::Rejected(Rejected {
                ordinal: self.ordinal(record),
                uri: self.uri(record_id.as_deref()),
                doc_id: Some(file_id),
                status,
                reason,
                reader: Some(reader.to_owned()),
            })),
            Part::Document {
                record_id,
                media,
                title,
                from,
                to,
                mut metadata,
                second,
                unread,
                places,
            } => {
                metadata.insert("reader".to_owned(), reader.to_owned());
                let text = text[from..to].to_owned();
                let doc_id = match record_id {
                    None => file_id,
                    Some(_) => Digest::of(text.as_bytes()),
                };
                let draft = Draft {
                    record,
                    record_id,
                    doc_id,
                    media_type: media,
                    title,
                    text,
                    metadata,
                    origin: Origin {
                        reader: Some(reader.to_owned()),
                        second,
                        unread,
                        places,
                    },
                };
                self.emit(draft, sink)
            }
        }
    }

    /// The whole file as one document.
    fn file(
        &self,
        doc_id: Digest,
        media_type: MediaType,
        title: Option<String>,
        text: String,
        metadata: BTreeMap<String, String>,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        let draft = Draft {
            record: 0,
            record_id: None,
            doc_id,
            media_type,
            title,
            text,
            metadata,
            origin: Origin::default(),
        };
        self.emit(draft, sink)
    }

    fn emit(&self, draft: Draft, sink: Sink<'_>) -> ControlFlow<()> {
        sink(self.finished(draft))
    }

    /// Applies what holds for every document: some text, and not too much of it.
    fn finished(&self, draft: Draft) -> Extracted {
        let length = draft.text.len() as u64;
        let limit = self.settings.max_text_bytes;
        let reject = |status, reason| {
            Extracted::Rejected(Rejected {
                ordinal: self.ordinal(draft.record),
                uri: self.uri(draft.record_id.as_deref()),
                doc_id: Some(draft.doc_id),
                status,
                reason,
                reader: draft.origin.reader.clone(),
            })
        };
        if length > limit {
            let reason = limit_reason("max_text_bytes", length, limit);
            return reject(RejectedStatus::Failed, reason);
        }
        if draft.text.trim().is_empty() {
            return reject(RejectedStatus::Skipped, "no text".to_owned());
        }
        Extracted::Document(Document {
            ordinal: self.ordinal(draft.record),
            uri: self.uri(draft.record_id.as_deref()),
            doc_id: draft.doc_id,
            media_type: draft.media_type,
            title: draft.title,
            text: draft.text,
            metadata: draft.metadata,
            origin: draft.origin,
        })
    }

    fn reject_record(
        &self,
        record: u32,
        record_id: Option<&str>,
        doc_id: Digest,
        status: RejectedStatus,
        reason: String,
    ) -> Extracted {
        Extracted::Rejected(Rejected {
            ordinal: self.ordinal(record),
            uri: self.uri(record_id),
            doc_id: Some(doc_id),
            status,
            reason,
            reader: None,
        })
    }

    fn rejected(
        &self,
        doc_id: Option<Digest>,
        status: RejectedStatus,
        reason: String,
    ) -> Extracted {
        Extracted::Rejected(Rejected {
            ordinal: self.ordinal(0),
            uri: self.uri(None),
            doc_id,
            status,
            reason,
            reader: None,
        })
    }

    fn ordinal(&self, record: u32) -> Ordinal {
        Ordinal {
            file: self.file,
            record: self.first.saturating_add(record),
        }
    }

    fn uri(&self, record_id: Option<&str>) -> String {
        match record_id {
            None => self.uri.clone().into_owned(),
            Some(id) => format!("{}#{id}", self.uri),
        }
    }
}

fn limit_reason(name: &str, value: u64, limit: u64) -> String {
    format!("limit {name}: {value} over {limit}")
}

fn metadata_of(decoded: &Decoded) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    metadata.insert("encoding".to_owned(), decoded.encoding.to_owned());
    if decoded.replaced > 0 {
        metadata.insert("undecodable".to_owned(), decoded.replaced.to_string());
    }
    metadata
}
