//! Which office or mail format bytes are: by the signature and by what the archive says it holds, never by the name alone.
//!
//! Inflates one small entry at most. Called by detection, before a file goes to an extract worker.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::OfficeLimits;
use super::container::Container;
use crate::extract::archive::zip::Store;

/// A format that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Docx,
    Xlsx,
    Pptx,
    Ods,
    Odt,
    Epub,
    Mail,
    Mbox,
}

/// What bytes turn out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Kind(Kind),
    /// An OOXML document under a password.
    Encrypted,
    /// Known, and not read: "doc (legacy)".
    Unsupported(&'static str),
}

const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
/// A directory of parts, however long the document.
const TYPES_BYTES: u64 = 4 << 20;
/// Where the first header fields of a message stand.
const HEAD: usize = 4096;

/// None where the bytes are something else: another archive, text.
pub fn kind_of(bytes: &[u8], name: &Path) -> Option<Found> {
    if bytes.starts_with(b"PK\x03\x04") {
        return package_of(bytes);
    }
    if bytes.starts_with(OLE) {
        return Some(legacy(bytes));
    }
    mail(bytes, name)
}

/// What a zip archive holds, where it is one document; None for an archive of files.
pub fn package_of<S: Store + ?Sized>(store: &S) -> Option<Found> {
    let limits = OfficeLimits {
        // Detection keeps no crowd in memory; the setting decides when the file is read.
        zip_entries: 1 << 16,
        zip_entry_bytes: TYPES_BYTES,
        zip_total_bytes: TYPES_BYTES,
        inflate_ratio: u64::MAX,
        xml_depth: 0,
        html_depth: 0,
        html_bytes: 0,
        text_bytes: 0,
    };
    let Ok(mut container) = Container::open(store, &limits) else {
        // Cut short or crowded: what it begins with still says what it was meant to be.
        let mut head = vec![0; usize::try_from(store.size().min(8192)).unwrap_or(0)];
        store.fill(0, &mut head).ok()?;
        return of_first_entries(&head);
    };
    if let Ok(Some(kind)) = container.read("mimetype") {
        return of_mimetype(&kind);
    }
    if container.has("META-INF/container.xml") && !container.has("[Content_Types].xml") {
        return Some(Found::Kind(Kind::Epub));
    }
    let types = container.read("[Content_Types].xml").ok().flatten()?;
    of_content_types(&String::from_utf8_lossy(&types))
}

fn of_mimetype(kind: &[u8]) -> Option<Found> {
    let kind = std::str::from_utf8(kind).ok()?.trim();
    let open_document = "application/vnd.oasis.opendocument.";
    match kind.strip_prefix(open_document) {
        Some("text" | "text-template" | "text-master") => Some(Found::Kind(Kind::Odt)),
        Some("spreadsheet" | "spreadsheet-template") => Some(Found::Kind(Kind::Ods)),
        Some("presentation" | "presentation-template") => Some(Found::Unsupported("odp")),
        Some("graphics" | "graphics-template") => Some(Found::Unsupported("odg")),
        Some(_) => Some(Found::Unsupported("opendocument")),
        None => (kind == "application/epub+zip").then_some(Found::Kind(Kind::Epub)),
    }
}

fn of_content_types(types: &str) -> Option<Found> {
    // Templates, shows and documents with macros have other words before ".main+xml".
    const MAINS: [(&str, Found); 11] = [
        (
            "wordprocessingml.document.main+xml",
            Found::Kind(Kind::Docx),
        ),
        (
            "wordprocessingml.template.main+xml",
            Found::Kind(Kind::Docx),
        ),
        (
            "ms-word.document.macroEnabled.main+xml",
            Found::Kind(Kind::Docx),
        ),
        (
            "ms-word.template.macroEnabledTemplate.main+xml",
            Found::Kind(Kind::Docx),
        ),
        ("spreadsheetml.sheet.main+xml", Found::Kind(Kind::Xlsx)),
        ("spreadsheetml.template.main+xml", Found::Kind(Kind::Xlsx)),
        (
            "ms-excel.sheet.macroEnabled.main+xml",
            Found::Kind(Kind::Xlsx),
        ),
        ("ms-excel.sheet.binary", Found::Unsupported("xlsb")),
        (
            "presentationml.presentation.main+xml",
            Found::Kind(Kind::Pptx),
        ),
        ("presentationml.slideshow.main+xml", Found::Kind(Kind::Pptx)),
        (
            "ms-powerpoint.presentation.macroEnabled.main+xml",
            Found::Kind(Kind::Pptx),
        ),
    ];
    let found = MAINS.iter().find(|(word, _)| types.contains(word));
    if let Some((_, kind)) = found {
        return Some(*kind);
    }
    types
        .contains("openxmlformats")
        .then_some(Found::Unsupported("office open xml"))
}

/// From the names of the first local entries, of an archive whose directory cannot be read.
fn of_first_entries(head: &[u8]) -> Option<Found> {
    let has = |word: &str| {
        head.windows(word.len())
            .any(|window| window == word.as_bytes())
    };
    if has("mimetypeapplication/") {
        let at = head.windows(8).position(|window| window == b"mimetype")? + 8;
        let end = head[at..]
            .iter()
            .position(|byte| *byte == b'P')
            .map_or(head.len(), |end| at + end);
        return of_mimetype(&head[at..end]);
    }
    let mains = [
        ("word/", Found::Kind(Kind::Docx)),
        ("xl/", Found::Kind(Kind::Xlsx)),
        ("ppt/", Found::Kind(Kind::Pptx)),
    ];
    let ooxml = has("[Content_Types].xml") || has("_rels/.rels");
    let main = mains.iter().find(|(folder, _)| ooxml && has(folder));
    main.map(|(_, kind)| *kind)
}

/// Entries of the compound file's directory are 128 bytes long, aligned, and begin with their name in UTF-16.
fn legacy(bytes: &[u8]) -> Found {
    const STREAMS: [(&str, Found); 6] = [
        ("EncryptedPackage", Found::Encrypted),
        ("WordDocument", Found::Unsupported("doc (legacy)")),
        ("Workbook", Found::Unsupported("xls (legacy)")),
        ("Book", Found::Unsupported("xls (legacy)")),
        ("PowerPoint Document", Found::Unsupported("ppt (legacy)")),
        ("__properties_version1.0", Found::Unsupported("msg")),
    ];
    let mut found: Option<usize> = None;
    for entry in bytes.chunks_exact(128).skip(4) {
        // The length in bytes of the name and its closing zero.
        let length = usize::from(u16::from_le_bytes([entry[64], entry[65]]));
        if !(4..=64).contains(&length) {
            continue;
        }
        let name = &entry[..length - 2];
        let place = STREAMS.iter().position(|(stream, _)| {
            name.len() == stream.len() * 2
                && name
                    .chunks_exact(2)
                    .zip(stream.bytes())
                    .all(|(pair, byte)| pair == [byte, 0])
        });
        // A mail or a document may hold others: the first of the list is what the file is.
        found = match (found, place) {
            (Some(old), Some(new)) => Some(old.min(new)),
            (old, new) => old.or(new),
        };
    }
    found.map_or(Found::Unsupported("ole compound file"), |place| {
        STREAMS[place].1
    })
}

fn mail(bytes: &[u8], name: &Path) -> Option<Found> {
    let extension = name
        .extension()
        .map(|end| end.to_string_lossy().to_lowercase());
    let extension = extension.as_deref().unwrap_or_default();
    let head = &bytes[..bytes.len().min(HEAD)];
    let fields = fields(head);
    match extension {
        "eml" if fields.count > 0 => Some(Found::Kind(Kind::Mail)),
        // Without a name that says so only what no text begins with.
        "mbox" | "mbx" | "" if fields.envelope && fields.known >= 2 => {
            Some(Found::Kind(Kind::Mbox))
        }
        "" if fields.known >= 3 && fields.first_known => Some(Found::Kind(Kind::Mail)),
        _ => None,
    }
}

#[derive(Default)]
struct Fields {
    /// The line `From somebody date` of a mailbox stands before them.
    envelope: bool,
    count: usize,
    /// Of them those that every message has.
    known: usize,
    first_known: bool,
}

fn fields(head: &[u8]) -> Fields {
    const KNOWN: [&str; 10] = [
        "received",
        "return-path",
        "delivered-to",
        "message-id",
        "mime-version",
        "from",
        "to",
        "date",
        "subject",
        "content-type",
    ];
    let mut found = Fields::default();
    for (number, line) in head.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if number == 0 && line.starts_with(b"From ") {
            found.envelope = true;
            continue;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            continue;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            break;
        };
        let name = line[..colon].to_ascii_lowercase();
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.iter().all(token) {
            break;
        }
        let known = KNOWN.iter().any(|known| known.as_bytes() == name);
        found.first_known |= known && found.count == 0;
        found.count += 1;
        found.known += usize::from(known);
    }
    found
}
