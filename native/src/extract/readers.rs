//! The parsers of an extract worker: one file in, an answer and its text out. Runs in the confined process only.
//!
//! Chooses by format and turns each parser's result into parts. Limits on memory and time are the process's; a parser
//! that crashes takes it down, which the runner judges.

mod office;
mod pdf;

use std::ops::{ControlFlow, Range};
use std::path::Path;

use crate::document::{Place, RejectedStatus};

use super::convert::{Answer, Format, MOST_PLACE_NAME, Part, Progress, Request};
use super::office::{Kind, clipped};
use super::pdf::Library;

pub use self::pdf::SecondPdf;

use self::office::{mbox, office};
use self::pdf::pdfium;

/// Libraries opened before the process confines itself.
pub struct Readers {
    /// Or why there is none.
    pdf: Result<Library, String>,
    /// Or how one is to be had.
    second: Result<Box<dyn SecondPdf>, String>,
}

/// Whoever hears of progress, and may stop the work when nobody wants the answer any more.
pub type Tell<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

impl Readers {
    /// `pdfium`: path of the library in the pypdfium2 wheel; None = the wheel is not installed.
    #[must_use]
    pub fn open(pdfium: Option<&Path>, second: Result<Box<dyn SecondPdf>, String>) -> Readers {
        let absent = || Err("PDFium is not installed: install the package pypdfium2".to_owned());
        Readers {
            pdf: pdfium.map_or_else(absent, Library::open),
            second,
        }
    }

    /// What can be read here, and with what.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let first = match &self.pdf {
            Ok(library) => pdfium(library),
            Err(problem) => format!("no pdf: {problem}"),
        };
        let second = self.second.as_ref().ok().map(|second| second.name());
        std::iter::once(first).chain(second).collect()
    }

    /// The file's documents, and the text that they lie in.
    pub fn read(&mut self, request: &Request, file: &[u8], tell: Tell<'_>) -> (Answer, String) {
        match request.format {
            Format::Pdf => self.pdf(request, file, tell),
            Format::Office(Kind::Mbox) => mbox(request, file),
            Format::Office(kind) => office(kind, request, file),
        }
    }
}

/// The text with one kind of line end, so that borders are found and equal pages have equal texts; and its places, empty
/// ones left out.
fn placed(
    text: String,
    places: impl Iterator<Item = (String, Range<usize>)>,
) -> (String, Vec<Place>) {
    let has_returns = text.contains('\r');
    let (mut seen, mut dropped) = (0, 0);
    let mut shifted = |at: usize| {
        if has_returns {
            dropped += text[seen..at].matches("\r\n").count();
            seen = at;
        }
        at - dropped
    };
    let places = places
        .filter(|(_, bytes)| !bytes.is_empty())
        .map(|(name, bytes)| Place {
            name: clipped(name, MOST_PLACE_NAME),
            from: shifted(bytes.start),
            to: shifted(bytes.end),
        });
    let places = places.collect();
    (super::text::unix_lines(text), places)
}

fn one(reader: String, part: Part) -> Answer {
    let parts = vec![part];
    Answer { reader, parts }
}

fn rejected(reader: &str, (status, reason): (RejectedStatus, String)) -> (Answer, String) {
    let part = Part::Rejected {
        record_id: None,
        status,
        reason,
    };
    (one(reader.to_owned(), part), String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_move_with_the_line_ends_that_are_made_one_and_empty_ones_go() {
        let text = "a\r\nb\rc\n\nd\r\ne";
        let spans = [(0, 6), (6, 6), (8, 12)];
        let names = ["sheet One", "sheet Empty", "sheet Two"].map(str::to_owned);
        let spans = spans.map(|(from, to)| from..to);
        let (text, places) = placed(text.to_owned(), names.into_iter().zip(spans));
        assert_eq!(text, "a\nb\nc\n\nd\ne");
        let of = |index: usize| &text[places[index].from..places[index].to];
        assert_eq!((places.len(), of(0), of(1)), (2, "a\nb\nc", "d\ne"));
        assert_eq!(places[1].name, "sheet Two");
    }

    #[test]
    fn the_name_of_a_place_is_cut_to_what_an_answer_may_hold() {
        let (_, places) = placed(
            "x".to_owned(),
            std::iter::once(("\u{fc}".repeat(300), 0..1)),
        );
        assert!(places[0].name.len() <= MOST_PLACE_NAME);
        assert!(places[0].name.ends_with('\u{2026}'));
    }
}
