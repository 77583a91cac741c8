//! Words that a line end cut in two, put together again. Pure text: no PDF, no I/O. Called by pages.rs.
//!
//! PDFium takes the hyphen between two letters at a line end out of the text, with the line end, and leaves a mark. The hyphen
//! was the typesetter's ("exam-ple") or the word's own ("R-help", "Bose-Einstein"). A mark never costs a letter: it becomes
//! nothing, or a hyphen where the word or the rest of the document says so.

use std::collections::HashMap;
use std::ops::Range;

/// What stands for a hyphen at a line end: a noncharacter, so no text contains it.
pub const MARK: char = '\u{fffe}';

/// Resolves every mark. `pages` are byte ranges of `raw` in order; they come back as ranges of the result.
pub fn resolve(raw: String, pages: Vec<Range<usize>>) -> (String, Vec<Range<usize>>) {
    let marks: Vec<usize> = raw.match_indices(MARK).map(|(at, _)| at).collect();
    if marks.is_empty() {
        return (raw, pages);
    }
    let vocabulary = Vocabulary::of(&raw, &marks);
    let mut text = String::with_capacity(raw.len());
    let mut shifts = Vec::with_capacity(marks.len()); // (place in raw behind a mark, its place in text)
    let mut taken = 0;
    for at in marks {
        text.push_str(&raw[taken..at]);
        let halves = Halves::at(&raw, at);
        if halves.keeps_hyphen() || vocabulary.prefers_hyphen(&halves) {
            text.push('-');
        }
        taken = at + MARK.len_utf8();
        shifts.push((taken, text.len()));
    }
    text.push_str(&raw[taken..]);
    let moved = |place: usize| match shifts.partition_point(|&(raw, _)| raw <= place) {
        0 => place,
        count => shifts[count - 1].1 + (place - shifts[count - 1].0),
    };
    let pages = pages
        .into_iter()
        .map(|page| moved(page.start)..moved(page.end))
        .collect();
    (text, pages)
}

/// The letters on both sides of a mark.
#[derive(Clone, Copy)]
struct Halves<'a> {
    left: &'a str,
    right: &'a str,
}

impl<'a> Halves<'a> {
    fn at(raw: &'a str, mark: usize) -> Halves<'a> {
        let (before, after) = (&raw[..mark], &raw[mark + MARK.len_utf8()..]);
        let left = before.trim_end_matches(char::is_alphabetic).len();
        let right = after.len() - after.trim_start_matches(char::is_alphabetic).len();
        Halves {
            left: &before[left..],
            right: &after[..right],
        }
    }

    /// Typesetters leave at least two letters before a hyphen of theirs, and cut no word where its case changes.
    fn keeps_hyphen(self) -> bool {
        let mut left = self.left.chars().rev();
        let (Some(last), Some(next)) = (left.next(), self.right.chars().next()) else {
            return true;
        };
        left.next().is_none()
            || (last.is_lowercase() && next.is_uppercase())
            || (last.is_uppercase() && next.is_lowercase())
    }

    fn write(self, between: &str, out: &mut String) {
        out.clear();
        fold(self.left, out);
        out.push_str(between);
        fold(self.right, out);
    }
}

fn fold(word: &str, out: &mut String) {
    if word.is_ascii() {
        out.extend(
            word.bytes()
                .map(|byte| char::from(byte.to_ascii_lowercase())),
        );
    } else {
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
}

/// How often the words in question stand elsewhere in the document, on one line: with the hyphen, and without.
struct Vocabulary {
    counts: HashMap<String, u32>,
}

impl Vocabulary {
    fn of(raw: &str, marks: &[usize]) -> Vocabulary {
        let mut counts = HashMap::new();
        let mut word = String::new();
        for &at in marks {
            let halves = Halves::at(raw, at);
            if !halves.keeps_hyphen() {
                for between in ["-", ""] {
                    halves.write(between, &mut word);
                    counts.insert(word.clone(), 0);
                }
            }
        }
        let mut vocabulary = Vocabulary { counts };
        // Compounds are few, so most documents end here.
        if vocabulary.count_compounds(raw, &mut word) {
            vocabulary.count_words(raw, &mut word);
        }
        vocabulary
    }

    fn count(&mut self, word: &str) -> bool {
        let Some(count) = self.counts.get_mut(word) else {
            return false;
        };
        *count = count.saturating_add(1);
        true
    }

    /// Whether one of the words is found with its hyphen.
    fn count_compounds(&mut self, raw: &str, word: &mut String) -> bool {
        let mut found = false;
        for (at, hyphen) in raw.match_indices('-') {
            let left = raw[..at].trim_end_matches(char::is_alphabetic).len();
            let after = &raw[at + hyphen.len()..];
            let right = after.len() - after.trim_start_matches(char::is_alphabetic).len();
            let halves = Halves {
                left: &raw[left..at],
                right: &after[..right],
            };
            halves.write("-", word);
            found |= self.count(word);
        }
        found
    }

    fn count_words(&mut self, raw: &str, word: &mut String) {
        for found in raw.split(|letter: char| !letter.is_alphabetic() && letter != MARK) {
            if !found.is_empty() && !found.contains(MARK) {
                word.clear();
                fold(found, word);
                self.count(word);
            }
        }
    }

    fn prefers_hyphen(&self, halves: &Halves<'_>) -> bool {
        let mut word = String::new();
        let mut seen = |between| {
            halves.write(between, &mut word);
            self.counts.get(&word).copied().unwrap_or(0)
        };
        seen("-") > seen("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(raw: &str) -> String {
        resolve(raw.replace('|', "\u{fffe}"), Vec::new()).0
    }

    #[test]
    fn a_word_cut_by_the_typesetter_is_whole_again() {
        assert_eq!(joined("an exam|ple of Wör|ter"), "an example of Wörter");
        assert_eq!(
            joined("COM|PUTER re|construc|tion"),
            "COMPUTER reconstruction"
        );
        assert_eq!(joined("при|мер"), "пример");
    }

    #[test]
    fn a_hyphen_of_the_word_itself_stays() {
        assert_eq!(joined("the R|help list, x|axis"), "the R-help list, x-axis");
        assert_eq!(
            joined("Bose|Einstein DNA|binding"),
            "Bose-Einstein DNA-binding"
        );
    }

    #[test]
    fn the_rest_of_the_document_decides_on_compounds() {
        assert_eq!(
            joined("On-line help. An on|line form."),
            "On-line help. An on-line form."
        );
        assert_eq!(
            joined("an online, on-line, ONLINE on|line"),
            "an online, on-line, ONLINE online"
        );
        assert_eq!(joined("an on|line form"), "an online form");
    }

    #[test]
    fn a_mark_without_letters_beside_it_is_a_hyphen() {
        assert_eq!(joined("|a 1|2 b|"), "-a 1-2 b-");
        assert_eq!(joined("ab||cd"), "ab--cd");
    }

    #[test]
    fn page_ranges_follow_the_text() {
        let raw = "exam\u{fffe}ple\n\nR\u{fffe}help\n\nend".to_owned();
        let pages = vec![0..10, 12..20, 22..25];
        let (text, pages) = resolve(raw, pages);
        let parts: Vec<&str> = pages.iter().map(|page| &text[page.clone()]).collect();
        assert_eq!(parts, ["example", "R-help", "end"]);
    }

    proptest! {
        #[test]
        fn no_letter_is_lost_and_no_mark_is_left(parts in prop::collection::vec("[a-cA-C\u{fffe}\u{fffe}é \n.1-]{0,12}", 1..6)) {
            let (mut raw, mut pages) = (String::new(), Vec::new());
            for part in &parts {
                let start = raw.len();
                raw.push_str(part);
                pages.push(start..raw.len());
                raw.push_str("\n\n");
            }
            let (text, spans) = resolve(raw.clone(), pages);
            let letters = |text: &str| text.replace([MARK, '-'], "");
            prop_assert_eq!(letters(&text), letters(&raw));
            prop_assert!(!text.contains(MARK));
            prop_assert!(text.matches('-').count() >= raw.matches('-').count());
            for (part, span) in parts.iter().zip(spans) {
                prop_assert_eq!(letters(&text[span]), letters(part));
            }
        }
    }
}
