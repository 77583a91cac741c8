//! What a file is: by its first bytes where those are a signature, else by its name, else by looking at the text.
//!
//! Pure functions over a name and bytes. It does not decode and does not parse; `extract/mod.rs` calls it.

use std::path::Path;

use crate::document::MediaType;

use super::convert::Format;
use super::kinds::{CODE_NAMES, SIGNATURES, TEXT_NAMES, UNSUPPORTED_NAMES};
use super::office::{Found, kind_of};

/// The verdict on one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detected {
    /// `tabs`: fields of a table are divided by tabs.
    Text { media: MediaType, tabs: bool },
    /// Read by an extract worker only.
    Isolated(Format),
    /// Under a password, as its container says.
    Encrypted,
    /// Known, and not read by this version: "pdf", "docx", "png", ...
    Unsupported(&'static str),
}

/// `name` is the file's name without a `.gz` that has been taken off already.
pub fn detect(name: &Path, bytes: &[u8]) -> Detected {
    if let Some(found) = kind_of(bytes, name) {
        return of_office(found);
    }
    if let Some(kind) = signature(bytes) {
        return match kind {
            "pdf" => Detected::Isolated(Format::Pdf),
            _ => Detected::Unsupported(kind),
        };
    }
    let extension = name
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let text = |media| Detected::Text { media, tabs: false };
    match extension.as_str() {
        "md" | "markdown" | "mdown" | "mkd" => text(MediaType::Markdown),
        "html" | "htm" | "xhtml" | "shtml" => text(MediaType::Html),
        "json" => text(MediaType::Json),
        "jsonl" | "ndjson" => text(MediaType::Jsonl),
        "csv" => text(MediaType::Csv),
        "tsv" | "tab" => Detected::Text {
            media: MediaType::Csv,
            tabs: true,
        },
        "txt" | "text" | "rst" | "adoc" | "asciidoc" | "org" | "log" => text(MediaType::Text),
        // Without the signature it is damaged, or never was one: the reader says so.
        "pdf" => Detected::Isolated(Format::Pdf),
        known if CODE_NAMES.contains(&known) => text(MediaType::Code),
        known => match UNSUPPORTED_NAMES.iter().find(|name| **name == known) {
            Some(name) => Detected::Unsupported(name),
            None if looks_like_html(bytes) => text(MediaType::Html),
            None if bytes.starts_with(b"#!") => text(MediaType::Code),
            None => text(MediaType::Text),
        },
    }
}

/// What a file is by its name alone, for people: "html", "pdf", "png", "code", "no ending", "other".
pub fn kind_by_name(name: &Path) -> &'static str {
    let Some(extension) = name.extension() else {
        return "no ending";
    };
    let extension = extension.to_string_lossy().to_lowercase();
    match extension.as_str() {
        "md" | "markdown" | "mdown" | "mkd" => "markdown",
        "html" | "htm" | "xhtml" | "shtml" => "html",
        "jsonl" | "ndjson" => "jsonl",
        "csv" | "tsv" | "tab" => "csv",
        "json" => "json",
        "pdf" => "pdf",
        known if TEXT_NAMES.contains(&known) => "text",
        known if CODE_NAMES.contains(&known) => "code",
        known => {
            let unread = UNSUPPORTED_NAMES.iter().find(|name| **name == known);
            unread.copied().unwrap_or("other")
        }
    }
}

fn of_office(found: Found) -> Detected {
    match found {
        Found::Kind(kind) => Detected::Isolated(Format::Office(kind)),
        Found::Encrypted => Detected::Encrypted,
        Found::Unsupported(kind) => Detected::Unsupported(kind),
    }
}

/// True for names that promise text: binary content under such a name is a damaged input, not an unsupported one.
pub fn promises_text(name: &Path) -> bool {
    let Some(extension) = name.extension() else {
        return false;
    };
    let extension = extension.to_string_lossy().to_lowercase();
    TEXT_NAMES.contains(&extension.as_str()) || CODE_NAMES.contains(&extension.as_str())
}

fn signature(bytes: &[u8]) -> Option<&'static str> {
    let head = &bytes[..bytes.len().min(1024)];
    // Readers accept a PDF header anywhere in the first kilobyte; text about PDF does not start a line with it and a digit.
    if head.starts_with(b"%PDF-") || (head.contains(&0) && find(head, b"%PDF-").is_some()) {
        return Some("pdf");
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Some(zip_kind(bytes));
    }
    if bytes.len() > 262 && &bytes[257..262] == b"ustar" {
        return Some("tar");
    }
    if bytes.starts_with(b"RIFF") && bytes.len() >= 12 {
        return match &bytes[8..12] {
            b"WEBP" => Some("webp"),
            b"WAVE" => Some("wav"),
            b"AVI " => Some("avi"),
            _ => None,
        };
    }
    if bytes.len() >= 12 && &bytes[4..8] == b"ftyp" {
        return Some("mp4");
    }
    // Two letters are too short a signature for text: these also need a zero byte near the start.
    if head.contains(&0) {
        if bytes.starts_with(b"MZ") {
            return Some("windows executable");
        }
        if bytes.starts_with(b"BM") {
            return Some("bmp");
        }
    }
    SIGNATURES
        .iter()
        .find(|(magic, _)| bytes.starts_with(magic))
        .map(|(_, kind)| *kind)
}

/// Office formats are zip archives: the first local entries name them.
fn zip_kind(bytes: &[u8]) -> &'static str {
    let head = &bytes[..bytes.len().min(8192)];
    let has = |needle: &[u8]| find(head, needle).is_some();
    if has(b"application/epub+zip") {
        "epub"
    } else if has(b"application/vnd.oasis.opendocument.text") {
        "odt"
    } else if has(b"application/vnd.oasis.opendocument.spreadsheet") {
        "ods"
    } else if has(b"application/vnd.oasis.opendocument.presentation") {
        "odp"
    } else if has(b"word/") {
        "docx"
    } else if has(b"xl/") {
        "xlsx"
    } else if has(b"ppt/") {
        "pptx"
    } else if has(b"[Content_Types].xml") {
        "office open xml"
    } else {
        "zip"
    }
}

fn looks_like_html(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(1024)];
    let start = head
        .iter()
        .position(|byte| !byte.is_ascii_whitespace() && !matches!(byte, 0xef | 0xbb | 0xbf))
        .unwrap_or(head.len());
    let lower = head[start..].to_ascii_lowercase();
    lower.starts_with(b"<!doctype html")
        || lower.starts_with(b"<html")
        || (lower.starts_with(b"<?xml") && find(&lower, b"<html").is_some())
}

pub(super) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, bytes: &[u8]) -> Detected {
        detect(Path::new(name), bytes)
    }

    #[test]
    fn a_signature_wins_over_the_name() {
        assert_eq!(
            of("a.txt", b"%PDF-1.4\n..."),
            Detected::Isolated(Format::Pdf)
        );
        assert_eq!(
            of("a.md", b"\x89PNG\r\n\x1a\nxx"),
            Detected::Unsupported("png")
        );
    }

    #[test]
    fn text_that_only_speaks_of_a_signature_stays_text() {
        let text = |media| Detected::Text { media, tabs: false };
        assert_eq!(of("a.txt", b"BMW and MZ are makers"), text(MediaType::Text));
        assert_eq!(
            of("a.md", b"A PDF begins with %PDF-1.7"),
            text(MediaType::Markdown)
        );
    }

    #[test]
    fn a_name_decides_where_no_signature_does() {
        assert_eq!(
            of("A.HTML", b"x"),
            Detected::Text {
                media: MediaType::Html,
                tabs: false
            }
        );
        assert_eq!(
            of("a.tsv", b"x"),
            Detected::Text {
                media: MediaType::Csv,
                tabs: true
            }
        );
        assert_eq!(
            of("a.rs", b"x"),
            Detected::Text {
                media: MediaType::Code,
                tabs: false
            }
        );
        assert_eq!(of("a.docx", b"x"), Detected::Unsupported("docx"));
        assert_eq!(
            of("README", b"x"),
            Detected::Text {
                media: MediaType::Text,
                tabs: false
            }
        );
        assert_eq!(
            of("page", b"\n<!DOCTYPE HTML><p>"),
            Detected::Text {
                media: MediaType::Html,
                tabs: false
            }
        );
    }
}
