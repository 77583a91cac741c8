//! Detection: by what is inside, not by the name.

use std::path::Path;

use _native::extract::office::{Found, Kind, kind_of};

use crate::{books, docx, mails, sheets, slides, zip};

fn of(name: &str, bytes: &[u8]) -> Option<Found> {
    kind_of(bytes, Path::new(name))
}

#[test]
fn each_format_is_known_by_its_content_under_any_name() {
    for (bytes, kind) in [
        (docx(""), Kind::Docx),
        (sheets::xlsx(""), Kind::Xlsx),
        (sheets::ods("", ""), Kind::Ods),
        (slides::sample(), Kind::Pptx),
        (books::sample(), Kind::Epub),
    ] {
        assert_eq!(of("a.bin", &bytes), Some(Found::Kind(kind)));
        // Cut short it is still what it was meant to be, so that the row says damaged and not unsupported.
        assert_eq!(
            of("a.bin", &bytes[..bytes.len() - 30]),
            Some(Found::Kind(kind))
        );
    }
    assert_eq!(of("a.docx", &zip(&[("word/document.xml", "<x/>")])), None);
    assert_eq!(of("a.docx", b"text"), None);
    assert_eq!(
        of(
            "a.odp",
            &zip(&[(
                "mimetype",
                "application/vnd.oasis.opendocument.presentation"
            )])
        ),
        Some(Found::Unsupported("odp"))
    );
}

fn ole(streams: &[&str]) -> Vec<u8> {
    let mut bytes = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    bytes.resize(1024, 0);
    for stream in streams {
        let mut entry: Vec<u8> = stream.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = u16::try_from(entry.len() + 2).unwrap();
        entry.resize(64, 0);
        entry.extend(length.to_le_bytes());
        entry.resize(128, 0);
        bytes.extend(entry);
    }
    bytes
}

#[test]
fn legacy_files_are_named_and_a_password_is_told_from_them() {
    assert_eq!(
        of("a.doc", &ole(&["Root Entry", "WordDocument"])),
        Some(Found::Unsupported("doc (legacy)"))
    );
    assert_eq!(
        of("a.doc", &ole(&["Root Entry", "Workbook", "WordDocument"])),
        Some(Found::Unsupported("doc (legacy)"))
    );
    assert_eq!(
        of("a.xls", &ole(&["Book"])),
        Some(Found::Unsupported("xls (legacy)"))
    );
    assert_eq!(
        of("a.ppt", &ole(&["PowerPoint Document"])),
        Some(Found::Unsupported("ppt (legacy)"))
    );
    assert_eq!(
        of("a.docx", &ole(&["EncryptionInfo", "EncryptedPackage"])),
        Some(Found::Encrypted)
    );
    assert_eq!(
        of("a", &ole(&[])),
        Some(Found::Unsupported("ole compound file"))
    );
}

#[test]
fn mail_needs_header_fields_and_without_its_name_the_usual_ones() {
    let mail = mails::SAMPLE.as_bytes();
    assert_eq!(of("a.eml", mail), Some(Found::Kind(Kind::Mail)));
    assert_eq!(of("1699.M20P15.host", mail), None);
    assert_eq!(of("cur-message", mail), Some(Found::Kind(Kind::Mail)));
    assert_eq!(of("a.txt", mail), None);
    assert_eq!(of("a.eml", b"just words, nothing more"), None);
    assert_eq!(of("notes", b"Subject: a list\nmilk, eggs"), None);
    let many = [b"From a@b Mon Jan  1 00:00:00 2024\n", mail].concat();
    assert_eq!(of("inbox.mbox", &many), Some(Found::Kind(Kind::Mbox)));
    assert_eq!(of("inbox", &many), Some(Found::Kind(Kind::Mbox)));
    assert_eq!(of("letter", b"From here to there\n\nit is far."), None);
}
