//! What a file is: by its first bytes where those are a signature, else by its name, else by looking at the text.
//!
//! Pure functions over a name and bytes. It does not decode and does not parse; `extract/mod.rs` calls it.

use std::path::Path;

use crate::document::MediaType;

/// The verdict on one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detected {
    /// `tabs`: fields of a table are divided by tabs.
    Text { media: MediaType, tabs: bool },
    /// Known, and not read by this version: "pdf", "docx", "png", ...
    Unsupported(&'static str),
}

/// Signatures at the start of a file. First match wins, so longer ones stand before their prefixes.
const SIGNATURES: &[(&[u8], &str)] = &[
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "ole2 (doc, xls, ppt or msg)",
    ),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"\x00\x00\x01\x00", "ico"),
    (b"\x7fELF", "elf"),
    (b"\xcf\xfa\xed\xfe", "mach-o"),
    (b"\xca\xfe\xba\xbe", "mach-o or java class"),
    (b"\x00asm", "wasm"),
    (b"SQLite format 3\x00", "sqlite"),
    (b"PAR1", "parquet"),
    (b"ARROW1\x00", "arrow"),
    (b"{\\rtf", "rtf"),
    (b"%!PS", "postscript"),
    (b"ID3", "mp3"),
    (b"OggS\x00", "ogg"),
    (b"fLaC", "flac"),
    (b"GGUF", "gguf"),
    (b"\x93NUMPY", "numpy"),
    (b"\x89HDF\r\n", "hdf5"),
    (b"wOFF", "font"),
    (b"wOF2", "font"),
    (b"AT&TFORM", "djvu"),
    (b"PACK\x00", "git pack"),
    (b"!<arch>\n", "ar archive"),
];

/// Names whose content this version does not read even where no signature shows it.
const UNSUPPORTED_NAMES: &[&str] = &[
    "pdf",
    "doc",
    "docx",
    "xls",
    "xlsx",
    "ppt",
    "pptx",
    "odt",
    "ods",
    "odp",
    "epub",
    "rtf",
    "msg",
    "eml",
    "mbox",
    "zip",
    "tar",
    "tgz",
    "bz2",
    "xz",
    "zst",
    "7z",
    "rar",
    "png",
    "jpg",
    "jpeg",
    "gif",
    "webp",
    "svg",
    "ico",
    "tif",
    "tiff",
    "bmp",
    "heic",
    "mp3",
    "mp4",
    "m4a",
    "mov",
    "avi",
    "mkv",
    "wav",
    "ogg",
    "flac",
    "exe",
    "dll",
    "so",
    "dylib",
    "o",
    "a",
    "class",
    "jar",
    "pyc",
    "wasm",
    "parquet",
    "arrow",
    "sqlite",
    "db",
    "npy",
    "npz",
    "safetensors",
    "gguf",
    "woff",
    "woff2",
    "ttf",
    "otf",
    "iso",
    "dmg",
    "ps",
];

const CODE_NAMES: &[&str] = &[
    "asm",
    "awk",
    "bash",
    "bat",
    "c",
    "cc",
    "cfg",
    "clj",
    "cmake",
    "conf",
    "cpp",
    "cs",
    "css",
    "cu",
    "cxx",
    "d",
    "dart",
    "diff",
    "el",
    "erl",
    "ex",
    "exs",
    "f",
    "f90",
    "fs",
    "go",
    "gradle",
    "graphql",
    "groovy",
    "h",
    "hh",
    "hpp",
    "hs",
    "hxx",
    "ini",
    "java",
    "jl",
    "js",
    "jsx",
    "kt",
    "kts",
    "less",
    "lisp",
    "lua",
    "m",
    "m4",
    "metal",
    "mjs",
    "mk",
    "ml",
    "mli",
    "mm",
    "nim",
    "nix",
    "patch",
    "php",
    "pl",
    "pm",
    "properties",
    "proto",
    "ps1",
    "py",
    "pyi",
    "pyx",
    "r",
    "rb",
    "rkt",
    "rs",
    "s",
    "sass",
    "scala",
    "scm",
    "scss",
    "sh",
    "sql",
    "sv",
    "swift",
    "tcl",
    "tex",
    "tf",
    "toml",
    "ts",
    "tsx",
    "v",
    "vb",
    "vhd",
    "vim",
    "vue",
    "xml",
    "xsl",
    "yaml",
    "yml",
    "zig",
    "zsh",
];

/// `name` is the file's name without a `.gz` that has been taken off already.
pub fn detect(name: &Path, bytes: &[u8]) -> Detected {
    if let Some(kind) = signature(bytes) {
        return Detected::Unsupported(kind);
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
        known if CODE_NAMES.contains(&known) => text(MediaType::Code),
        known => match UNSUPPORTED_NAMES.iter().find(|name| **name == known) {
            Some(name) => Detected::Unsupported(name),
            None if looks_like_html(bytes) => text(MediaType::Html),
            None if bytes.starts_with(b"#!") => text(MediaType::Code),
            None => text(MediaType::Text),
        },
    }
}

/// True for names that promise text: binary content under such a name is a damaged input, not an unsupported one.
pub fn promises_text(name: &Path) -> bool {
    let Some(extension) = name.extension() else {
        return false;
    };
    let extension = extension.to_string_lossy().to_lowercase();
    const TEXT: &[&str] = &[
        "txt", "text", "rst", "adoc", "asciidoc", "org", "log", "md", "markdown", "mdown", "mkd",
        "html", "htm", "xhtml", "shtml", "json", "jsonl", "ndjson", "csv", "tsv", "tab",
    ];
    TEXT.contains(&extension.as_str()) || CODE_NAMES.contains(&extension.as_str())
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
        assert_eq!(of("a.txt", b"%PDF-1.4\n..."), Detected::Unsupported("pdf"));
        assert_eq!(
            of("a.md", b"\x89PNG\r\n\x1a\nxx"),
            Detected::Unsupported("png")
        );
        assert_eq!(
            of("a.csv", b"PK\x03\x04....xl/workbook.xml"),
            Detected::Unsupported("xlsx")
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
