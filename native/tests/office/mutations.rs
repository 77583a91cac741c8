//! Good files with random damage: no panic, no more memory than the limits allow, always an end.

use _native::extract::office::{Kind, OfficeLimits, convert, kind_of, mbox};
use proptest::prelude::*;
use std::io::{Cursor, Write};
use std::ops::ControlFlow;
use std::path::Path;
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, ZipArchive};

use crate::meter::peak;
use crate::{LIMITS, books, docx, mails, sheets, slides, zip};

const SMALL: OfficeLimits = OfficeLimits {
    zip_entry_bytes: 4 << 20,
    zip_total_bytes: 8 << 20,
    text_bytes: 1 << 20,
    ..LIMITS
};
/// The parts of a file, its text, and what stands around both.
const MOST: usize = 64 << 20;

/// The same entries, not deflated: damage then reaches the XML and not only the checksum.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let mut content = Vec::new();
        std::io::copy(&mut entry, &mut content).unwrap();
        writer.start_file(entry.name(), options).unwrap();
        writer.write_all(&content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn samples() -> Vec<(Kind, Vec<u8>)> {
    let words = r#"<w:p><w:pPr><w:outlineLvl w:val="1"/></w:pPr><w:r><w:t>head</w:t></w:r></w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:tcPr><w:gridSpan w:val="2"/></w:tcPr><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
        <w:p><w:pPr><w:numPr><w:ilvl w:val="1"/><w:numId w:val="1"/></w:numPr></w:pPr><w:hyperlink r:id="x"><w:r><w:t>item</w:t></w:r></w:hyperlink><w:r><w:footnoteReference w:id="1"/></w:r></w:p>"#;
    let odt = r#"<a><text:h text:outline-level="1">h</text:h><text:list><text:list-item><text:p>a<text:note><text:note-body><text:p>n</text:p></text:note-body></text:note></text:p></text:list-item></text:list><table:table><table:table-row><table:table-cell table:number-columns-repeated="3"><text:p>x<text:s text:c="4"/></text:p></table:table-cell></table:table-row></table:table></a>"#;
    let cells =
        r#"<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" s="1"><v>45292.5</v></c></row>"#;
    let table = r#"<table:table table:name="T"><table:table-row table:number-rows-repeated="3"><table:table-cell table:number-columns-repeated="2"><text:p>x</text:p></table:table-cell></table:table-row></table:table>"#;
    vec![
        (Kind::Docx, docx(words)),
        (
            Kind::Odt,
            zip(&[
                ("content.xml", odt),
                ("meta.xml", "<m><dc:title>t</dc:title></m>"),
            ]),
        ),
        (Kind::Xlsx, sheets::xlsx(cells)),
        (Kind::Ods, sheets::ods("", table)),
        (Kind::Pptx, slides::sample()),
        (Kind::Epub, books::sample()),
        (Kind::Mail, mails::SAMPLE.as_bytes().to_vec()),
        (
            Kind::Mbox,
            [
                b"From a\n",
                mails::SAMPLE.as_bytes(),
                b"\nFrom b\n",
                mails::SAMPLE.as_bytes(),
            ]
            .concat(),
        ),
    ]
}

#[derive(Debug, Clone)]
enum Damage {
    Bit(usize, u8),
    Bytes(usize, Vec<u8>),
    Cut(usize),
    Hole(usize, usize),
    Again(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<usize>(), 0..8u8).prop_map(|(at, bit)| Damage::Bit(at, bit)),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..50))
            .prop_map(|(at, bytes)| Damage::Bytes(at, bytes)),
        any::<usize>().prop_map(Damage::Cut),
        (any::<usize>(), 1..200usize).prop_map(|(at, length)| Damage::Hole(at, length)),
        (any::<usize>(), 1..200usize).prop_map(|(at, length)| Damage::Again(at, length)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let place = |at: usize| at % bytes.len().max(1);
    match damage {
        _ if bytes.is_empty() => {}
        Damage::Bit(at, bit) => {
            let at = place(*at);
            bytes[at] ^= 1 << bit;
        }
        Damage::Bytes(at, new) => {
            let at = place(*at);
            let end = (at + new.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&new[..end - at]);
        }
        Damage::Cut(at) => {
            let at = place(*at);
            bytes.truncate(at);
        }
        Damage::Hole(at, length) => {
            let at = place(*at);
            let end = (at + length).min(bytes.len());
            bytes.drain(at..end);
        }
        Damage::Again(at, length) => {
            let at = place(*at);
            let end = (at + length).min(bytes.len());
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
    }
}

fn run(kind: Kind, bytes: &[u8]) {
    let ((), held) = peak(|| {
        let _ = kind_of(bytes, Path::new("a"));
        if kind == Kind::Mbox {
            mbox(bytes, &SMALL, &mut |message| {
                drop(message);
                ControlFlow::Continue(())
            });
        } else if let Ok(document) = convert(kind, bytes, &SMALL) {
            for span in &document.spans {
                assert!(document.text.get(span.bytes.clone()).is_some(), "{span:?}");
            }
        }
    });
    assert!(held < MOST, "{kind:?}: {held} bytes held");
}

/// The places where XML and header fields are decided, so that damage there is not rare.
fn entries_of(bytes: &[u8]) -> Vec<u8> {
    if bytes.starts_with(b"PK") {
        stored(bytes)
    } else {
        bytes.to_vec()
    }
}

/// The content of one stored entry is damaged and its checksum made right again: what only a hostile writer does.
fn damaged_part(bytes: &[u8], which: usize, list: &[Damage]) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let count = archive.len();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..count {
        let mut entry = archive.by_index(index).unwrap();
        let mut content = Vec::new();
        std::io::copy(&mut entry, &mut content).unwrap();
        if index == which % count {
            for damage in list {
                apply(&mut content, damage);
            }
        }
        writer
            .start_file(entry.name(), SimpleFileOptions::default())
            .unwrap();
        writer.write_all(&content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// `RUNNER_MUTATIONS` asks for more: the torture lane has the time.
fn cases() -> u32 {
    let asked = std::env::var("RUNNER_MUTATIONS").ok();
    asked.map_or(500, |cases| cases.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_bytes_never_panic_and_stay_in_bounds(which in 0..8usize, plain in any::<bool>(), list in prop::collection::vec(damage(), 1..6)) {
        let (kind, good) = samples().swap_remove(which);
        let mut bytes = if plain { entries_of(&good) } else { good };
        for damage in &list {
            apply(&mut bytes, damage);
        }
        run(kind, &bytes);
    }

    #[test]
    fn damaged_parts_under_right_checksums_never_panic_and_stay_in_bounds(which in 0..6usize, part in any::<usize>(), list in prop::collection::vec(damage(), 1..6)) {
        let (kind, good) = samples().swap_remove(which);
        run(kind, &damaged_part(&good, part, &list));
    }
}
