//! Code pages of one byte a character that encoding_rs lacks (DOS, old Mac, VISCII, ...): labels, and bytes to text.
//!
//! Pure. The tables are `native/tables/code_pages.txt`, made by the script beside it. It does not guess which page bytes
//! are in (`letters.rs` does) and knows no page of two bytes a character; `encoding.rs` calls it.

use std::sync::LazyLock;

const FILE: &str = include_str!("../../tables/code_pages.txt");

/// One code page: U+FFFD stands where a byte means nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct CodePage {
    pub name: &'static str,
    labels: &'static str,
    pub characters: [char; 256],
}

pub static CODE_PAGES: LazyLock<Vec<CodePage>> = LazyLock::new(|| {
    let lines = FILE.lines().filter(|line| !line.starts_with('#'));
    lines.map(CodePage::parse).collect()
});

impl CodePage {
    /// The page of a label, in any case; None for those that encoding_rs has and for unknown ones.
    pub fn for_label(label: &[u8]) -> Option<&'static CodePage> {
        let label = std::str::from_utf8(label).ok()?.trim();
        let named = |name: &str| name.eq_ignore_ascii_case(label);
        let mut pages = CODE_PAGES.iter();
        pages.find(|page| named(page.name) || page.labels.split(' ').any(named))
    }

    pub fn decode(&self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len() + bytes.len() / 4);
        text.extend(bytes.iter().map(|byte| self.characters[usize::from(*byte)]));
        text
    }

    fn parse(line: &'static str) -> CodePage {
        let mut fields = line.split('\t');
        let mut field = || fields.next().expect("four fields a line");
        let (name, labels, high, low) = (field(), field(), field(), field());
        let mut characters: [char; 256] =
            std::array::from_fn(|byte| char::from(u8::try_from(byte).expect("256 of them")));
        for (place, code) in characters[128..].iter_mut().zip(high.split(' ')) {
            *place = character(code);
        }
        for pair in low.split_terminator(' ') {
            let (byte, code) = pair.split_once('=').expect("byte=character");
            characters[usize::from_str_radix(byte, 16).expect("hex")] = character(code);
        }
        CodePage {
            name,
            labels,
            characters,
        }
    }
}

fn character(code: &str) -> char {
    let code = u32::from_str_radix(code, 16).expect("hex");
    char::from_u32(code).expect("a character")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_whole_and_every_label_leads_to_one_page() {
        let mut seen = std::collections::BTreeSet::new();
        for page in CODE_PAGES.iter() {
            let known = page.characters[128..]
                .iter()
                .filter(|c| **c != char::REPLACEMENT_CHARACTER);
            assert!(known.count() >= 70, "{}", page.name);
            let labels = page.labels.split_terminator(' ');
            for label in labels.chain([page.name]) {
                assert!(seen.insert(label.to_lowercase()), "{label} is there twice");
                assert!(encoding_rs::Encoding::for_label(label.as_bytes()).is_none());
                assert_eq!(CodePage::for_label(label.as_bytes()), Some(page));
            }
        }
    }

    #[test]
    fn known_bytes_of_known_pages() {
        let text =
            |label: &str, bytes| CodePage::for_label(label.as_bytes()).map(|p| p.decode(bytes));
        assert_eq!(text("cp852", b"\xa5\xe7").as_deref(), Some("ąš"));
        assert_eq!(text("IBM437", b"a\xe1\xdb").as_deref(), Some("aß█"));
        assert_eq!(text("x-Mac-CE", b"\x84\x8b").as_deref(), Some("Ąč"));
        assert_eq!(text("viscii", b"\x02\xf0").as_deref(), Some("Ẳđ"));
        assert_eq!(text("utf-8", b"a"), None);
    }
}
