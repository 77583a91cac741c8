//! epub: e-books.

use _native::extract::office::{Kind, Problem};

use crate::{Part, problem, read, text, zip};

const CONTAINER: &str =
    r#"<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>"#;

fn epub(manifest: &str, spine: &str, parts: &[Part<'_>]) -> Vec<u8> {
    let book = format!(
        "<package><metadata><dc:title>The Book</dc:title><dc:creator>Ann</dc:creator><dc:language>en</dc:language></metadata><manifest>{manifest}</manifest><spine>{spine}</spine></package>"
    );
    let mut all = vec![
        ("mimetype", "application/epub+zip"),
        ("META-INF/container.xml", CONTAINER),
        ("OEBPS/book.opf", book.as_str()),
    ];
    all.extend_from_slice(parts);
    zip(&all)
}

fn item(id: &str, href: &str, more: &str) -> String {
    format!(r#"<item id="{id}" href="{href}" media-type="application/xhtml+xml"{more}/>"#)
}

const ONE: &str = r#"<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/><script src="x.js"/></head><body><a id="top"/><h1>First</h1><p>One &amp; <i>two</i>.</p></body></html>"#;
const TWO: &str = "<html><body><p>No heading here.</p></body></html>";

pub fn sample() -> Vec<u8> {
    let manifest = [
        item("n", "nav.xhtml", r#" properties="nav""#),
        item("b", "text/two%20b.xhtml", ""),
        item("a", "one.xhtml", ""),
        r#"<item id="css" href="x.css" media-type="text/css"/>"#.to_owned(),
    ];
    let spine = ["n", "a", "b", "a", "css"]
        .map(|id| format!(r#"<itemref idref="{id}"/>"#))
        .concat();
    let nav = r##"<html><body><nav><ol><li><a href="one.xhtml#top">Of Arms</a></li><li><a href="text/two%20b.xhtml">Of <b>Letters</b></a></li></ol></nav></body></html>"##;
    epub(
        &manifest.concat(),
        &spine,
        &[
            ("OEBPS/nav.xhtml", nav),
            ("OEBPS/one.xhtml", ONE),
            ("OEBPS/text/two b.xhtml", TWO),
        ],
    )
}

#[test]
fn chapters_come_in_the_order_of_the_spine_without_the_page_of_contents() {
    let book = read(Kind::Epub, &sample());
    assert_eq!(
        book.text,
        "# First\n\nOne & *two*.\n\n# Of Letters\n\nNo heading here."
    );
    assert_eq!(book.title.as_deref(), Some("The Book"));
    assert_eq!(book.metadata["author"], "Ann");
    let names: Vec<&str> = book.spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["chapter Of Arms", "chapter Of Letters"]);
    assert_eq!(
        &book.text[book.spans[1].bytes.clone()],
        "# Of Letters\n\nNo heading here."
    );
}

#[test]
fn chapter_names_of_older_books_come_from_the_ncx_and_a_broken_one_costs_no_text() {
    let manifest = format!(
        r#"{}<item id="x" href="toc.ncx" media-type="application/x-dtbncx+xml"/>"#,
        item("b", "b.xhtml", "")
    );
    let spine = r#"<itemref idref="b"/>"#;
    let ncx = r#"<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "http://www.daisy.org/z3986/2005/ncx-2005-1.dtd"><ncx><navMap><navPoint><navLabel><text>Chapter I</text></navLabel><content src="b.xhtml#x"/></navPoint></navMap></ncx>"#;
    let of = |ncx: &str| {
        text(
            Kind::Epub,
            &epub(
                &manifest,
                spine,
                &[("OEBPS/b.xhtml", TWO), ("OEBPS/toc.ncx", ncx)],
            ),
        )
    };
    assert_eq!(of(ncx), "# Chapter I\n\nNo heading here.");
    assert_eq!(of("<ncx><navMap></ncx>"), "No heading here.");
}

#[test]
fn an_enciphered_chapter_says_so_and_an_enciphered_font_does_no_harm() {
    let manifest = item("b", "b.xhtml", "");
    let spine = r#"<itemref idref="b"/>"#;
    let of = |path: &str| {
        let cipher = format!(
            r#"<encryption><EncryptedData><CipherData><CipherReference URI="{path}"/></CipherData></EncryptedData></encryption>"#
        );
        epub(
            &manifest,
            spine,
            &[("META-INF/encryption.xml", &cipher), ("OEBPS/b.xhtml", TWO)],
        )
    };
    assert_eq!(
        problem(Kind::Epub, &of("OEBPS/b.xhtml")),
        Problem::Encrypted
    );
    assert_eq!(
        text(Kind::Epub, &of("OEBPS/fonts/a.otf")),
        "No heading here."
    );
}

#[test]
fn a_chapter_that_is_not_there_is_damage() {
    let bytes = epub(&item("b", "b.xhtml", ""), r#"<itemref idref="b"/>"#, &[]);
    assert_eq!(
        problem(Kind::Epub, &bytes),
        Problem::Damaged("OEBPS/b.xhtml: missing".to_owned())
    );
}
