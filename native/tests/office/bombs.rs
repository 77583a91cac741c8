//! Files made to hurt: each ends soon, under a stated memory, with a reason.

use std::io::{Cursor, Write};

use _native::extract::office::{Converted, Kind, OfficeLimits, Problem, convert};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::meter::peak;
use crate::{LIMITS, docx, docx_with, package, problem, relations, text, zip};

const MIB: usize = 1 << 20;

fn bounded(
    kind: Kind,
    bytes: &[u8],
    limits: &OfficeLimits,
    most: usize,
) -> Result<Converted, Problem> {
    let (found, held) = peak(|| convert(kind, bytes, limits));
    assert!(
        held < most,
        "{} MiB held, {} expected",
        held / MIB,
        most / MIB
    );
    found
}

fn limit(found: Result<Converted, Problem>) -> String {
    match found {
        Err(Problem::Limit(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

/// A docx whose main part is `size` blanks.
fn blank_docx(size: usize) -> Vec<u8> {
    docx(&" ".repeat(size))
}

#[test]
fn a_bomb_stops_at_its_ratio_its_size_and_the_size_of_all() {
    let bomb = blank_docx(300 * MIB);
    assert!(bomb.len() < MIB);
    let ratio = limit(bounded(Kind::Docx, &bomb, &LIMITS, 128 * MIB));
    assert!(ratio.starts_with("limit max_inflate_ratio: 20"), "{ratio}");
    assert!(ratio.ends_with(" over 200"), "{ratio}");
    let patient = OfficeLimits {
        inflate_ratio: 5000,
        ..LIMITS
    };
    let entry = limit(bounded(Kind::Docx, &bomb, &patient, 700 * MIB));
    assert!(entry.starts_with("limit max_zip_entry_bytes: "), "{entry}");
    let small = OfficeLimits {
        zip_total_bytes: 3 << 20,
        ..patient
    };
    let total = limit(bounded(Kind::Docx, &bomb, &small, 16 * MIB));
    assert!(total.starts_with("limit max_zip_total_bytes: "), "{total}");
}

#[test]
fn more_entries_than_the_limit_are_refused_before_they_are_kept() {
    let parts: Vec<(String, &str)> = (0..20_000).map(|n| (format!("part{n}"), "")).collect();
    let parts: Vec<(&str, &str)> = parts
        .iter()
        .map(|(name, text)| (name.as_str(), *text))
        .collect();
    let found = bounded(Kind::Docx, &zip(&parts), &LIMITS, MIB);
    assert_eq!(limit(found), "limit max_zip_entries: 20000 over 10000");
}

#[test]
fn xml_nested_200_000_deep_stops_at_its_depth() {
    // Repetition this plain would stop at the ratio, before anything is parsed.
    let patient = OfficeLimits {
        inflate_ratio: 5000,
        ..LIMITS
    };
    for open in ["<w:p>", "<w:tbl><w:tr><w:tc>", "<w:txbxContent>", "<x>"] {
        let found = limit(bounded(
            Kind::Docx,
            &docx(&open.repeat(200_000)),
            &patient,
            64 * MIB,
        ));
        assert!(
            found.starts_with("limit max_xml_depth: 1001 over 1000"),
            "{found}"
        );
    }
    let content = format!("<a>{}", "<text:list><text:list-item>".repeat(200_000));
    let odt = zip(&[("content.xml", &content)]);
    assert_eq!(
        limit(bounded(Kind::Odt, &odt, &patient, 64 * MIB)),
        "limit max_xml_depth: 1001 over 1000"
    );
}

#[test]
fn a_doctype_that_declares_entities_is_refused_and_none_is_expanded() {
    let mut laughs = String::from("<!DOCTYPE lolz [<!ENTITY lol \"lol\">");
    for level in 1..10 {
        laughs.push_str(&format!(
            "<!ENTITY lol{level} \"{}\">",
            format!("&lol{};", level - 1).repeat(10)
        ));
    }
    laughs.push_str("]>");
    let main = format!("{laughs}<w:document><w:p><w:r><w:t>&lol9;</w:t></w:r></w:p></w:document>");
    let bytes = package(
        "openxmlformats-officedocument.wordprocessingml.document",
        "word/document.xml",
        &[("word/document.xml", &main)],
    );
    let found = bounded(Kind::Docx, &bytes, &LIMITS, MIB);
    assert!(
        matches!(&found, Err(Problem::Damaged(detail)) if detail.contains("DOCTYPE")),
        "{found:?}"
    );
}

#[test]
fn a_single_run_of_100_mb_stops_at_the_limit_on_text() {
    // Not one letter again and again: that would stop at the ratio.
    let words: String = (0..100 * MIB / 8)
        .map(|n| format!("{:07} ", n * 7919 % 9_999_991))
        .collect();
    let bytes = docx(&format!("<w:p><w:r><w:t>{words}</w:t></w:r></w:p>"));
    let found = limit(bounded(Kind::Docx, &bytes, &LIMITS, 700 * MIB));
    assert!(found.starts_with("limit max_text_bytes: 1048"), "{found}");
    let wide = OfficeLimits {
        text_bytes: 200 << 20,
        ..LIMITS
    };
    assert_eq!(
        bounded(Kind::Docx, &bytes, &wide, 900 * MIB)
            .unwrap()
            .text
            .len(),
        words.trim().len()
    );
}

#[test]
fn a_span_of_a_billion_columns_and_a_list_of_a_billion_blanks_stay_small() {
    let cell = r#"<w:tc><w:tcPr><w:gridSpan w:val="4000000000"/></w:tcPr><w:p><w:r><w:t>x</w:t></w:r></w:p></w:tc>"#;
    let table = |rows: usize| {
        docx(&format!(
            "<w:tbl>{}</w:tbl>",
            format!("<w:tr>{cell}</w:tr>").repeat(rows)
        ))
    };
    assert!(bounded(Kind::Docx, &table(2), &LIMITS, MIB).is_ok());
    let found = limit(bounded(
        Kind::Docx,
        &table(10_000),
        &OfficeLimits {
            inflate_ratio: 5000,
            ..LIMITS
        },
        512 * MIB,
    ));
    assert!(found.starts_with("limit max_table_cells: "), "{found}");
    let content = r#"<a><text:p>x<text:s text:c="4000000000"/>y</text:p></a>"#;
    assert!(
        bounded(Kind::Odt, &zip(&[("content.xml", content)]), &LIMITS, MIB)
            .unwrap()
            .text
            .len()
            < 300
    );
}

#[test]
fn styles_and_notes_that_name_themselves_end() {
    let styles = r#"<w:styles><w:style w:styleId="a"><w:basedOn w:val="b"/></w:style><w:style w:styleId="b"><w:basedOn w:val="a"/></w:style></w:styles>"#;
    let note = r#"<w:footnotes><w:footnote w:id="1"><w:p><w:r><w:t>see </w:t><w:footnoteReference w:id="1"/></w:r></w:p></w:footnote></w:footnotes>"#;
    let rels = relations(&[
        ("a", "styles", "styles.xml"),
        ("b", "footnotes", "footnotes.xml"),
    ]);
    let bytes = docx_with(
        r#"<w:p><w:pPr><w:pStyle w:val="a"/></w:pPr><w:r><w:t>x</w:t><w:footnoteReference w:id="1"/></w:r></w:p>"#,
        &[
            ("word/_rels/document.xml.rels", &rels),
            ("word/styles.xml", styles),
            ("word/footnotes.xml", note),
        ],
    );
    assert_eq!(text(Kind::Docx, &bytes), "x[^1]\n\n[^1]: see [^1]");
}

fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes
        .windows(needle.len())
        .rposition(|window| window == needle)
        .unwrap()
}

#[test]
fn a_directory_that_lies_about_sizes_or_sums_is_damage() {
    let good = docx("<w:p><w:r><w:t>text</w:t></w:r></w:p>");
    let entry = find(&good, b"word/document.xml") - 46;
    // checksum, stored size, size, offset of the local header
    for (field, value) in [
        (16, 1u32),
        (20, 7),
        (20, u32::MAX),
        (24, 7),
        (24, 1 << 30),
        (42, 5),
        (42, u32::MAX - 1),
    ] {
        let mut bytes = good.clone();
        bytes[entry + field..entry + field + 4].copy_from_slice(&value.to_le_bytes());
        let (found, held) = peak(|| problem(Kind::Docx, &bytes));
        assert!(
            matches!(found, Problem::Damaged(_)),
            "field {field}: {found:?}"
        );
        assert!(held < MIB);
    }
}

#[test]
fn every_truncation_of_a_file_is_damage() {
    let good = docx("<w:p><w:r><w:t>text</w:t></w:r></w:p>");
    for length in 0..good.len() {
        let found = convert(Kind::Docx, &good[..length], &LIMITS);
        assert!(
            matches!(found, Err(Problem::Damaged(_))),
            "{length}: {found:?}"
        );
    }
}

#[test]
fn two_entries_of_one_name_are_damage_where_the_part_is_read() {
    let other = "<w:document><w:p><w:r><w:t>other</w:t></w:r></w:p></w:document>";
    let bytes = docx_with("", &[("WORD/Document.xml", other)]);
    assert_eq!(
        problem(Kind::Docx, &bytes),
        Problem::Damaged("word/document.xml: two entries of this name".to_owned())
    );
}

#[test]
fn names_that_climb_out_of_the_archive_are_only_names() {
    let rels = relations(&[
        ("a", "styles", "../../../../etc/passwd"),
        ("b", "numbering", "file:///etc/passwd"),
    ]);
    let bytes = docx_with(
        "<w:p><w:r><w:t>x</w:t></w:r></w:p>",
        &[("word/_rels/document.xml.rels", &rels)],
    );
    assert_eq!(text(Kind::Docx, &bytes), "x");
}

#[test]
fn stored_entries_and_bytes_before_the_archive_are_read() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .large_file(true);
    writer.start_file("content.xml", options).unwrap();
    writer.write_all(b"<a><text:p>stored</text:p></a>").unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    assert_eq!(text(Kind::Odt, &bytes), "stored");
    assert_eq!(
        text(Kind::Odt, &[b"#!/bin/sh\n".as_slice(), &bytes].concat()),
        "stored"
    );
}

#[test]
fn html_that_is_too_deep_or_too_long_inside_a_mail_names_its_limit() {
    let deep = format!("Content-Type: text/html\n\n{}", "<div>".repeat(200_000));
    assert!(
        limit(bounded(Kind::Mail, deep.as_bytes(), &LIMITS, 64 * MIB))
            .starts_with("limit max_html_depth: ")
    );
    let long = format!("Content-Type: text/html\n\n{}", "<br>".repeat(5 * MIB));
    assert!(
        limit(bounded(Kind::Mail, long.as_bytes(), &LIMITS, 64 * MIB))
            .starts_with("limit max_html_bytes: ")
    );
}

#[test]
fn work_grows_with_the_file_and_not_with_its_square() {
    let cite: String = (0..200_000)
        .map(|n| format!(r#"<w:footnoteReference w:id="{n}"/>"#))
        .collect();
    let notes = docx(&format!("<w:p><w:r><w:t>x</w:t>{cite}</w:r></w:p>"));
    assert!(text(Kind::Docx, &notes).ends_with("[^200000]"));
    let styles: String = (0..100_000)
        .map(|n| format!(r#"<style:style style:name="P{n}" style:parent-style-name="Title"/>"#))
        .collect();
    let body = r#"<text:p text:style-name="Q">x</text:p>"#.repeat(100_000);
    let odt = zip(&[("content.xml", &format!("<a>{styles}{body}</a>"))]);
    assert_eq!(text(Kind::Odt, &odt).len(), 100_000 * 3 - 2);
    let links = r#"<text:a xlink:href="https://example.org/">"#.repeat(900)
        + &"x".repeat(1000)
        + &"</text:a>".repeat(900);
    let odt = zip(&[("content.xml", &format!("<a><text:p>{links}</text:p></a>"))]);
    assert!(text(Kind::Odt, &odt).len() < 1100);
}

#[test]
fn a_name_of_a_megabyte_is_cut_in_reasons_and_metadata() {
    let name = "n".repeat(MIB);
    let rels = relations(&[("a", "officeDocument", name.as_str())]);
    let lost = zip(&[("_rels/.rels", &rels), ("[Content_Types].xml", "<x/>")]);
    assert!(problem(Kind::Docx, &lost).to_string().len() < 1000);
    let core = format!("<a><dc:creator>{name}</dc:creator></a>");
    let document = convert(
        Kind::Docx,
        &docx_with("", &[("docProps/core.xml", &core)]),
        &OfficeLimits {
            inflate_ratio: 5000,
            ..LIMITS
        },
    )
    .unwrap();
    assert!(
        document.metadata["author"].ends_with("n…") && document.metadata["author"].len() < 5000
    );
}
