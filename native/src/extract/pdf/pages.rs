//! The characters of a page as text, in PDFium's reading order: line ends, surrogates and what is no character. No layout of
//! our own. Called by mod.rs.

use std::ops::Range;

use super::join::MARK;
use super::library::{Page, Unit};

const BETWEEN_PAGES: &str = "\n\n";

/// The text of the pages so far; marks of hyphens are still in it.
#[derive(Default)]
pub struct Pages {
    pub text: String,
    /// One range a page, empty for a page without text.
    pub ranges: Vec<Range<usize>>,
    pub empty: u32,
    /// Pages that PDFium could not read; their range is empty too.
    pub damaged: u32,
    /// Glyphs to which the file gives no character.
    pub undecodable: u64,
}

impl Pages {
    pub fn push(&mut self, page: Option<&Page<'_>>) {
        self.add(page.map(|page| {
            move |writer: &mut Writer<'_>| {
                for unit in page.units() {
                    writer.unit(&unit);
                }
            }
        }));
    }

    /// A page whose text another library gives.
    pub fn push_plain(&mut self, page: Option<&str>) {
        self.add(page.map(|text| {
            move |writer: &mut Writer<'_>| {
                for letter in text.chars() {
                    writer.code(letter.into());
                }
            }
        }));
    }

    /// None: a page that could not be read.
    fn add(&mut self, page: Option<impl FnOnce(&mut Writer<'_>)>) {
        let end = self.text.len();
        let Some(write) = page else {
            self.damaged += 1;
            self.ranges.push(end..end);
            return;
        };
        if !self.text.is_empty() {
            self.text.push_str(BETWEEN_PAGES);
        }
        let start = self.text.len();
        let mut writer = Writer {
            text: &mut self.text,
            start,
            undecodable: 0,
            high: None,
            carriage_return: false,
        };
        write(&mut writer);
        self.undecodable += writer.finish();
        let written = &self.text[start..];
        if written.contains(|c: char| c != char::REPLACEMENT_CHARACTER && !c.is_whitespace()) {
            self.ranges.push(start..self.text.len());
        } else {
            // A page of glyphs without characters says nothing either.
            self.text.truncate(end);
            self.ranges.push(end..end);
            self.empty += 1;
        }
    }
}

/// One page on its way: what the next unit depends on.
struct Writer<'a> {
    text: &'a mut String,
    /// Where the page begins in `text`.
    start: usize,
    undecodable: u64,
    /// The first half of a surrogate pair.
    high: Option<u32>,
    carriage_return: bool,
}

impl Writer<'_> {
    fn unit(&mut self, unit: &Unit<'_>) {
        // PDFium has its mark as U+0002 too, and that is also a glyph number that fonts without characters use.
        match unit.code {
            0x02 if unit.is_hyphen() => self.code(u32::from(MARK)),
            code => self.code(code),
        }
    }

    fn code(&mut self, code: u32) {
        let after_return = std::mem::replace(&mut self.carriage_return, code == 0x0d);
        let high = self.high.take();
        if let (Some(high), 0xdc00..=0xdfff) = (high, code) {
            let pair = 0x1_0000 + ((high - 0xd800) << 10) + (code - 0xdc00);
            self.text.extend(char::from_u32(pair));
            return;
        }
        if high.is_some() {
            self.replace();
        }
        match code {
            0x09 => self.text.push('\t'),
            0x0a if after_return => {}
            0x0a | 0x0d => self.end_line(),
            0 => {}
            // Numbers of glyphs that PDFium keeps out of its own text: unmapped, and a space in most fonts.
            0x02 | 0x03 | 0x93..=0x98 => self.undecodable += 1,
            0xad => self.text.push('-'), // a soft hyphen that is printed is a hyphen
            0xd800..=0xdbff => self.high = Some(code),
            0xffff => self.replace(),
            _ => match char::from_u32(code) {
                Some(letter) if !letter.is_control() => self.text.push(letter),
                _ => self.replace(),
            },
        }
    }

    fn replace(&mut self) {
        self.undecodable += 1;
        self.text.push(char::REPLACEMENT_CHARACTER);
    }

    fn end_line(&mut self) {
        self.trim();
        if self.text.len() > self.start {
            self.text.push('\n');
        }
    }

    /// Spaces before a line end mean nothing.
    fn trim(&mut self) {
        let kept = self.text[self.start..].trim_end_matches([' ', '\t']).len();
        self.text.truncate(self.start + kept);
    }

    /// The count of what was not decodable. A page neither begins nor ends with empty lines.
    fn finish(mut self) -> u64 {
        if self.high.is_some() {
            self.replace();
        }
        let kept = self.text[self.start..].trim_end().len();
        self.text.truncate(self.start + kept);
        self.undecodable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(codes: &[u32]) -> (String, u64) {
        let mut text = String::from("before");
        let start = text.len();
        let mut writer = Writer {
            text: &mut text,
            start,
            undecodable: 0,
            high: None,
            carriage_return: false,
        };
        for &code in codes {
            writer.code(code);
        }
        let undecodable = writer.finish();
        (text.split_off(start), undecodable)
    }

    fn units(text: &str) -> Vec<u32> {
        text.encode_utf16().map(u32::from).collect()
    }

    #[test]
    fn lines_end_in_one_newline_and_without_spaces() {
        let text = "\r\n \r\none \r\ntwo\rthree\n\r\n four\t\r\n\r\n";
        assert_eq!(text_of(&units(text)).0, "one\ntwo\nthree\n\n four");
    }

    #[test]
    fn every_letter_of_every_script_survives() {
        for text in [
            "ﬁne ﬂow",
            "שלום עולם",
            "e\u{301}a\u{308}",
            "𐲀 😃 漢字",
            "a\u{a0}b \u{200f}",
        ] {
            assert_eq!(text_of(&units(text)), (text.to_owned(), 0));
        }
    }

    #[test]
    fn zeros_vanish_and_glyphs_without_a_character_are_counted() {
        assert_eq!(text_of(&[0x61, 0, 0x62]), ("ab".to_owned(), 0));
        assert_eq!(
            text_of(&[0x61, 0x1c, 0x0011_0000, 0xffff]),
            ("a\u{fffd}\u{fffd}\u{fffd}".to_owned(), 3)
        );
        assert_eq!(text_of(&[0x61, 0x03, 0x62]), ("ab".to_owned(), 1));
        assert_eq!(
            text_of(&[0xd83d, 0x61, 0xde03, 0xd83d]),
            ("\u{fffd}a\u{fffd}\u{fffd}".to_owned(), 3)
        );
    }

    #[test]
    fn a_printed_soft_hyphen_is_a_hyphen() {
        assert_eq!(text_of(&units("sub\u{ad}class")).0, "sub-class");
    }
}
