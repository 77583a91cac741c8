//! Text from another library than PDFium: the same cleaning, limits and counts. Needs no library.

use std::ops::ControlFlow;

use super::{PdfLimits, PdfProblem, PdfText, PlainPages, plain_text};

struct Book(Vec<Option<&'static str>>);

impl PlainPages for Book {
    fn count(&self) -> u32 {
        u32::try_from(self.0.len()).expect("few pages")
    }

    fn text(&mut self, page: u32) -> Option<String> {
        self.0[page as usize].map(str::to_owned)
    }
}

fn read(pages: Vec<Option<&'static str>>, limits: PdfLimits) -> Result<PdfText, PdfProblem> {
    let mut go_on = |_, _| ControlFlow::Continue(());
    plain_text(&mut Book(pages), &limits, &mut go_on)
}

const LIMITS: PdfLimits = PdfLimits {
    text_bytes: 100,
    pages: 5,
};

#[test]
fn pages_are_cleaned_counted_and_placed_as_those_of_pdfium() {
    let pages = vec![
        Some("One \r\n\u{0}line\u{7}"),
        None,
        Some(" \n"),
        Some("Two \u{fb01}ne"),
    ];
    let found = read(pages, LIMITS).expect("text");
    assert_eq!(found.text, "One\nline\u{fffd}\n\nTwo \u{fb01}ne");
    let texts: Vec<&str> = found
        .pages
        .iter()
        .map(|page| &found.text[page.clone()])
        .collect();
    assert_eq!(texts, ["One\nline\u{fffd}", "", "", "Two \u{fb01}ne"]);
    assert_eq!(
        (found.damaged_pages, found.empty_pages, found.readable()),
        (1, 1, 2)
    );
    assert_eq!(found.metadata["pages"], "4");
    assert_eq!(found.metadata["undecodable"], "1");
}

#[test]
fn limits_and_damage_hold_for_it_too() {
    let problem = |pages, limits| read(pages, limits).expect_err("no text");
    let limit = |reason: &str| PdfProblem::Limit(reason.to_owned());
    assert_eq!(
        problem(vec![Some("a"); 6], LIMITS),
        limit("limit max_pdf_pages: 6 over 5")
    );
    let small = PdfLimits {
        text_bytes: 4,
        ..LIMITS
    };
    assert_eq!(
        problem(vec![Some("abcde")], small),
        limit("limit max_text_bytes: 5 over 4")
    );
    assert_eq!(
        problem(vec![], LIMITS),
        PdfProblem::Damaged("no pages".to_owned())
    );
    assert_eq!(
        problem(vec![Some(" ")], LIMITS),
        PdfProblem::NoTextLayer { pages: 1 }
    );
    assert_eq!(
        problem(vec![Some(" "), None], LIMITS),
        PdfProblem::Damaged("1 of 2 pages cannot be read".to_owned())
    );
}
