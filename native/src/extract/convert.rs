//! Formats whose parsers are not trusted: what an extract worker is asked and what it answers. Both sides read this page.
//!
//! Types and checks only. How the bytes travel is `channel/conversion.rs`; when a worker starts, hangs or dies is
//! `core/converter.rs`; what a parser does is `readers`. The answer's text lies beside it, documents name ranges of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::{MediaType, Place, RejectedStatus};
use crate::settings::IngestSettings;

use super::office::{Kind, OfficeLimits};

/// A format that only an extract worker may parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Pdf,
    Office(Kind),
}

/// One chapter or HTML message: a page in memory is many times its source.
const MOST_HTML_BYTES: u64 = 16 << 20;

/// Bytes of a place's name: it stands in every part of the document's results.
pub const MOST_PLACE_NAME: usize = 120;

/// One file to convert; its bytes lie in the input region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub format: Format,
    pub file_bytes: usize,
    /// PDF takes the limit on text alone.
    pub limits: OfficeLimits,
    pub pdf_pages: u32,
    /// Why the second reader is not to be asked: a worker died in it, on this file.
    pub no_second: Option<String>,
    /// Processor seconds after which the kernel ends the worker.
    pub cpu_s: u64,
}

impl Request {
    #[must_use]
    pub fn new(format: Format, file_bytes: usize, settings: &IngestSettings) -> Request {
        Request {
            format,
            file_bytes,
            limits: OfficeLimits {
                zip_entries: settings.max_zip_entries,
                zip_entry_bytes: settings.max_zip_entry_bytes,
                zip_total_bytes: settings.max_zip_total_bytes,
                inflate_ratio: settings.max_inflate_ratio,
                xml_depth: settings.max_xml_depth,
                html_depth: settings.max_html_depth,
                html_bytes: MOST_HTML_BYTES,
                text_bytes: settings.max_text_bytes,
            },
            pdf_pages: settings.max_pdf_pages,
            no_second: None,
            cpu_s: settings.isolation.cpu_s,
        }
    }
}

/// A line between request and answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Read since the last line.
    Pages(u32),
    /// The second reader begins: what happens from now on is its doing.
    Second,
}

/// What became of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Library and version that read it: "pdfium 149.0.7834".
    pub reader: String,
    pub parts: Vec<Part>,
}

/// One document of the file, or one that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Part {
    Document {
        /// None = the file itself.
        record_id: Option<String>,
        media: MediaType,
        title: Option<String>,
        /// Byte range of the answer's text.
        from: usize,
        to: usize,
        metadata: BTreeMap<String, String>,
        /// Given by a reader that stepped in for the usual one.
        second: bool,
        unread: Option<String>,
        /// In order, counted from the beginning of this document's text.
        places: Vec<Place>,
    },
    Rejected {
        record_id: Option<String>,
        status: RejectedStatus,
        reason: String,
    },
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unconverted {
    /// The reason for `failed`.
    Failed(String),
    /// The run is being stopped: the file is left for a resume.
    Stopped,
}

/// Whoever can have a file converted.
pub trait Convert {
    /// The answer, and the text that its parts lie in.
    ///
    /// # Errors
    /// Why there is none.
    fn convert(
        &mut self,
        request: &Request,
        file: &[u8],
    ) -> std::result::Result<(Answer, String), Unconverted>;
}

impl Answer {
    /// What an extract worker sends, checked: ranges of whole letters, inside the text, at least one part.
    ///
    /// # Errors
    /// What cannot be true, in words.
    pub fn read(answer: &str, text: &str) -> std::result::Result<Answer, String> {
        let answer: Answer = serde_json::from_str(answer).map_err(|error| error.to_string())?;
        if answer.parts.is_empty() {
            return Err("an answer without a document".to_owned());
        }
        for part in &answer.parts {
            let Part::Document {
                from, to, places, ..
            } = part
            else {
                continue;
            };
            let Some(document) = text.get(*from..*to) else {
                return Err(format!(
                    "a document at {from}..{to} of {} bytes",
                    text.len()
                ));
            };
            in_order(places, document.len())?;
        }
        Ok(answer)
    }
}

fn in_order(places: &[Place], length: usize) -> std::result::Result<(), String> {
    let mut end = 0;
    for place in places {
        let Place { name, from, to } = place;
        if *from < end || to <= from || *to > length || name.len() > MOST_PLACE_NAME {
            return Err(format!("a place at {from}..{to} behind {end} of {length}"));
        }
        end = *to;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(from: usize, to: usize) -> String {
        with_places(from, to, &[])
    }

    fn with_places(from: usize, to: usize, places: &[(usize, usize)]) -> String {
        let place = |&(from, to)| Place {
            name: "page".to_owned(),
            from,
            to,
        };
        let part = Part::Document {
            record_id: None,
            media: MediaType::Text,
            title: None,
            from,
            to,
            metadata: BTreeMap::new(),
            second: false,
            unread: None,
            places: places.iter().map(place).collect(),
        };
        let reader = "test".to_owned();
        let parts = vec![part];
        serde_json::to_string(&Answer { reader, parts }).expect("plain data")
    }

    #[test]
    fn an_answer_that_cannot_be_true_is_refused() {
        assert!(Answer::read(&answer(0, 3), "aü").is_ok());
        for (from, to) in [(0, 4), (0, 2), (3, 1), (usize::MAX, usize::MAX)] {
            assert!(
                Answer::read(&answer(from, to), "aü").is_err(),
                "{from}..{to}"
            );
        }
        assert!(Answer::read(&with_places(1, 6, &[(0, 2), (2, 5)]), "abcdef").is_ok());
        for places in [
            [(0, 2), (1, 5)],
            [(0, 2), (2, 6)],
            [(0, 0), (0, 5)],
            [(2, 5), (0, 2)],
        ] {
            let read = Answer::read(&with_places(1, 6, &places), "abcdef");
            assert!(read.is_err(), "{places:?}");
        }
        assert!(Answer::read(r#"{"reader":"x","parts":[]}"#, "").is_err());
        assert!(Answer::read("nonsense", "").is_err());
    }
}
