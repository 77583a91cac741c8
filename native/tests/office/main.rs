//! Office, book and mail files: what is kept, what is left out, and that no file costs more than its limits.
//!
//! Documents are written here, part by part, so that each test shows the markup it is about.

#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    clippy::needless_raw_string_hashes,
    reason = "documents put together for a test, not on a hot path"
)]

mod bombs;
mod books;
mod corpus;
mod kinds;
mod mails;
mod meter;
mod mutations;
mod sheets;
mod slides;
mod words;

use std::io::{Cursor, Write};

use _native::extract::office::{Converted, Kind, OfficeLimits, Problem, convert};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// The defaults of the settings.
const LIMITS: OfficeLimits = OfficeLimits {
    zip_entries: 10_000,
    zip_entry_bytes: 256 << 20,
    zip_total_bytes: 512 << 20,
    inflate_ratio: 200,
    xml_depth: 1000,
    html_depth: 512,
    html_bytes: 16 << 20,
    text_bytes: 64 << 20,
};

type Part<'a> = (&'a str, &'a str);

fn zip(parts: &[Part<'_>]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        let mut options = SimpleFileOptions::default();
        if *name == "mimetype" {
            options = options.compression_method(CompressionMethod::Stored);
        }
        writer.start_file(*name, options).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn text(kind: Kind, bytes: &[u8]) -> String {
    read(kind, bytes).text
}

fn read(kind: Kind, bytes: &[u8]) -> Converted {
    convert(kind, bytes, &LIMITS).unwrap()
}

fn problem(kind: Kind, bytes: &[u8]) -> Problem {
    convert(kind, bytes, &LIMITS).unwrap_err()
}

/// A package with its types, its main part and whatever else.
fn package(types: &str, main: &str, parts: &[Part<'_>]) -> Vec<u8> {
    let types = format!(
        r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override PartName="/{main}" ContentType="application/vnd.{types}.main+xml"/></Types>"#
    );
    let rels = relations(&[("rId1", "officeDocument", main)]);
    let mut all = vec![
        ("[Content_Types].xml", types.as_str()),
        ("_rels/.rels", rels.as_str()),
    ];
    all.extend_from_slice(parts);
    zip(&all)
}

/// (id, kind, target); a target with "://" is external.
fn relations(list: &[(&str, &str, &str)]) -> String {
    let mut out = String::from("<Relationships>");
    for (id, kind, target) in list {
        let mode = if target.contains("://") {
            r#" TargetMode="External""#
        } else {
            ""
        };
        out.push_str(&format!(
            r#"<Relationship Id="{id}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}" Target="{target}"{mode}/>"#
        ));
    }
    out.push_str("</Relationships>");
    out
}

fn docx_with(body: &str, parts: &[Part<'_>]) -> Vec<u8> {
    let document = format!("<w:document><w:body>{body}</w:body></w:document>");
    let mut all = vec![("word/document.xml", document.as_str())];
    all.extend_from_slice(parts);
    package(
        "openxmlformats-officedocument.wordprocessingml.document",
        "word/document.xml",
        &all,
    )
}

fn docx(body: &str) -> Vec<u8> {
    docx_with(body, &[])
}
