//! Office files, books and mail. Damage inside a deflated part would only meet the checksum: the bytes are the parts'
//! contents, divided by `NEXT`, and the package around them is right.

use std::io::{Cursor, Write};
use std::ops::ControlFlow;

use _native::extract::convert::{Format, Request};
use _native::extract::office::{Converted, Kind, OfficeLimits, convert, kind_of};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::SETTINGS;

/// Divides parts; no XML holds it.
const NEXT: &[u8] = b"\x00\xff\n";
const TYPES: &str = "[Content_Types].xml";
const ROOT: &str = "_rels/.rels";

fn limits() -> OfficeLimits {
    OfficeLimits {
        html_bytes: 1 << 20,
        ..Request::new(Format::Office(Kind::Docx), 0, &SETTINGS.ingest).limits
    }
}

/// Spans lie inside the text, on whole letters, in order; the text is within its limit and the title is no essay.
fn check(found: &Converted) {
    let most = limits().text_bytes;
    assert!(
        found.text.len() as u64 <= most,
        "{} bytes of text",
        found.text.len()
    );
    let mut last = 0;
    for span in &found.spans {
        assert!(found.text.get(span.bytes.clone()).is_some(), "{span:?}");
        assert!(span.bytes.start >= last, "{span:?} before {last}");
        last = span.bytes.start;
    }
    for (name, value) in &found.metadata {
        assert!(value.len() <= 4100, "{name} has {} bytes", value.len());
    }
}

fn read(kind: Kind, bytes: &[u8]) {
    if let Ok(found) = convert(kind, bytes, &limits()) {
        check(&found);
    }
}

fn parts(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut all, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(NEXT.len()).position(|window| window == NEXT) {
        all.push(&rest[..at]);
        rest = &rest[at + NEXT.len()..];
    }
    all.push(rest);
    all
}

fn package(fixed: &[(&str, &str)], names: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let given = names.iter().copied().zip(parts(bytes));
    let fixed = fixed.iter().map(|(name, text)| (*name, text.as_bytes()));
    for (name, content) in fixed.chain(given) {
        writer.start_file(name, stored).expect("a part");
        writer.write_all(content).expect("its content");
    }
    writer.finish().expect("a package").into_inner()
}

fn ooxml(kind: Kind, types: &str, names: &[&str], bytes: &[u8]) {
    let main = names[0];
    let types = format!(
        r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override PartName="/{main}" ContentType="application/vnd.openxmlformats-officedocument.{types}.main+xml"/></Types>"#
    );
    let root = format!(
        r#"<Relationships><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="{main}"/></Relationships>"#
    );
    read(
        kind,
        &package(&[(TYPES, &types), (ROOT, &root)], names, bytes),
    );
}

/// The zip reader itself, under every reader that uses it.
pub fn container(bytes: &[u8]) {
    let _any = kind_of(bytes, std::path::Path::new("a.docx"));
    for kind in [Kind::Docx, Kind::Epub, Kind::Ods] {
        read(kind, bytes);
    }
}

pub fn docx(bytes: &[u8]) {
    let names = [
        "word/document.xml",
        "word/_rels/document.xml.rels",
        "word/styles.xml",
        "word/numbering.xml",
        "word/footnotes.xml",
        "docProps/core.xml",
    ];
    ooxml(Kind::Docx, "wordprocessingml.document", &names, bytes);
}

pub fn xlsx(bytes: &[u8]) {
    let names = [
        "xl/workbook.xml",
        "xl/_rels/workbook.xml.rels",
        "xl/worksheets/sheet1.xml",
        "xl/sharedStrings.xml",
        "xl/styles.xml",
    ];
    ooxml(Kind::Xlsx, "spreadsheetml.sheet", &names, bytes);
}

pub fn pptx(bytes: &[u8]) {
    let names = [
        "ppt/presentation.xml",
        "ppt/_rels/presentation.xml.rels",
        "ppt/slides/slide1.xml",
        "ppt/slides/_rels/slide1.xml.rels",
        "ppt/notesSlides/notesSlide1.xml",
    ];
    ooxml(Kind::Pptx, "presentationml.presentation", &names, bytes);
}

fn open_document(kind: Kind, name: &str, bytes: &[u8]) {
    let mime = format!("application/vnd.oasis.opendocument.{name}");
    let names = ["content.xml", "meta.xml", "styles.xml"];
    read(kind, &package(&[("mimetype", &mime)], &names, bytes));
}

pub fn odt(bytes: &[u8]) {
    open_document(Kind::Odt, "text", bytes);
}

pub fn ods(bytes: &[u8]) {
    open_document(Kind::Ods, "spreadsheet", bytes);
}

pub fn epub(bytes: &[u8]) {
    let names = [
        "META-INF/container.xml",
        "book.opf",
        "a.xhtml",
        "toc.ncx",
        "nav.xhtml",
    ];
    let fixed = [("mimetype", "application/epub+zip")];
    read(Kind::Epub, &package(&fixed, &names, bytes));
}

pub fn mail(bytes: &[u8]) {
    read(Kind::Mail, bytes);
}

pub fn mbox(bytes: &[u8]) {
    _native::extract::office::mbox(bytes, &limits(), &mut |message| {
        if let Ok(found) = &message {
            check(found);
        }
        ControlFlow::Continue(())
    });
}
