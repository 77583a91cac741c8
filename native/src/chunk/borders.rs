//! Where a text falls into parts, and how well: headings, paragraphs, lines, sentences, words; and what is better kept whole.
//!
//! Pure functions over text. It knows nothing of tokens but the positions where a cut is allowed. Called by chunk/mod.rs.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag};

use crate::document::MediaType;

/// Levels of borders; a higher one is a better place to cut.
pub(super) const ANYWHERE: u8 = 1;
const WORD: u8 = 2;
const SENTENCE: u8 = 3;
const LINE: u8 = 4;
/// A line whose end is also a sentence's end.
const LINE_AND_SENTENCE: u8 = 5;
const PARAGRAPH: u8 = 6;
const HEADING_LOW: u8 = 7;
const HEADING_2: u8 = 8;
const HEADING_1: u8 = 9;

/// The border level of each allowed cut, and the blocks (code fences, tables) as ranges of cuts.
pub(super) struct Borders {
    levels: Vec<u8>,
    blocks: Vec<(usize, usize)>,
}

impl Borders {
    /// `positions`: the allowed cuts, ascending, from 0 to the end of the text.
    pub(super) fn of(text: &str, media: MediaType, positions: &[usize]) -> Borders {
        let mut borders = Borders {
            levels: positions.iter().map(|at| word_level(text, *at)).collect(),
            blocks: Vec::new(),
        };
        borders.sentences(text, positions);
        borders.lines(text, positions, media);
        match media {
            MediaType::Markdown | MediaType::Html => borders.markdown(text, positions),
            MediaType::Text => borders.underlined_headings(text, positions),
            MediaType::Json | MediaType::Jsonl | MediaType::Csv | MediaType::Code => {}
        }
        borders
    }

    pub(super) fn level(&self, cut: usize) -> u8 {
        self.levels[cut]
    }

    /// The block that a cut at `cut` would go through.
    pub(super) fn block(&self, cut: usize) -> Option<(usize, usize)> {
        let after = self.blocks.partition_point(|(from, _)| *from < cut);
        let (from, to) = *self.blocks.get(after.checked_sub(1)?)?;
        (from < cut && cut < to).then_some((from, to))
    }

    pub(super) fn block_start(&self, cut: usize) -> Option<usize> {
        self.block(cut).map(|(from, _)| from)
    }

    /// Raises the cut at or just before `at` to `level`. A border inside a token moves back over white space only; where
    /// that does not reach a cut, the border is given up.
    fn raise(&mut self, text: &str, positions: &[usize], at: usize, level: u8) {
        let index = positions
            .partition_point(|position| *position <= at)
            .saturating_sub(1);
        if text[positions[index]..at].trim().is_empty() {
            self.levels[index] = self.levels[index].max(level);
        }
    }

    fn lines(&mut self, text: &str, positions: &[usize], media: MediaType) {
        let bytes = text.as_bytes();
        let mut blank_before = false;
        for (at, _) in text.match_indices('\n') {
            let end = at + 1;
            let line_start = text[..at].rfind('\n').map_or(0, |before| before + 1);
            let blank = text[line_start..at].trim().is_empty();
            let next_blank = matches!(bytes.get(end), Some(b'\n'));
            // The paragraph's border is after its last blank line. In code, an indented line goes on with the same item.
            let item = media != MediaType::Code
                || bytes
                    .get(end)
                    .is_some_and(|byte| !byte.is_ascii_whitespace());
            let level = if (blank || blank_before) && !next_blank && item {
                PARAGRAPH
            } else if ends_sentence(text[line_start..at].trim_end()) {
                LINE_AND_SENTENCE
            } else {
                LINE
            };
            blank_before = false;
            self.raise(text, positions, end, level);
        }
    }

    fn sentences(&mut self, text: &str, positions: &[usize]) {
        let mut previous: Option<(usize, char)> = None;
        for (at, mark) in text.char_indices() {
            if let Some((_, before)) = previous
                && mark.is_whitespace()
                && !before.is_whitespace()
            {
                let head = &text[..at];
                let start = at.saturating_sub(32);
                let start = (start..=at)
                    .find(|at| text.is_char_boundary(*at))
                    .unwrap_or(at);
                if ends_sentence(&head[start..]) {
                    self.raise(text, positions, at, SENTENCE);
                }
            }
            if matches!(mark, '。' | '！' | '？' | '．') {
                self.raise(text, positions, at + mark.len_utf8(), SENTENCE);
            }
            previous = Some((at, mark));
        }
    }

    fn markdown(&mut self, text: &str, positions: &[usize]) {
        let parser = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
        for (event, range) in parser {
            let Event::Start(tag) = event else { continue };
            match tag {
                Tag::Heading { level, .. } => {
                    let level = match level {
                        HeadingLevel::H1 => HEADING_1,
                        HeadingLevel::H2 => HEADING_2,
                        _ => HEADING_LOW,
                    };
                    self.raise(text, positions, range.start, level);
                    // A heading is not parted from what it heads.
                    self.lower_after_heading(text, positions, range.end);
                }
                Tag::CodeBlock(_) | Tag::Table(_) => {
                    self.raise(text, positions, range.start, PARAGRAPH);
                    self.raise(text, positions, range.end, PARAGRAPH);
                    let from = positions
                        .partition_point(|at| *at <= range.start)
                        .saturating_sub(1);
                    let to = positions
                        .partition_point(|at| *at < range.end)
                        .min(positions.len() - 1);
                    if self.blocks.last().is_none_or(|(_, last)| *last <= from) {
                        self.blocks.push((from, to));
                    }
                }
                Tag::Item => self.raise(text, positions, range.start, LINE_AND_SENTENCE),
                _ => {}
            }
        }
    }

    fn lower_after_heading(&mut self, text: &str, positions: &[usize], end: usize) {
        let next = end + (text[end..].len() - text[end..].trim_start().len());
        let from = positions.partition_point(|at| *at < end.saturating_sub(1));
        let to = positions.partition_point(|at| *at <= next);
        for level in &mut self.levels[from..to] {
            if *level < HEADING_LOW {
                *level = ANYWHERE;
            }
        }
    }

    /// "Name" with "====" or "----" below it, as in plain text manuals.
    fn underlined_headings(&mut self, text: &str, positions: &[usize]) {
        let mut before: Option<(usize, &str)> = None;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let trimmed = line.trim_end();
            if let Some((start, title)) = before
                && let Some(level) = underline_level(title, trimmed)
            {
                self.raise(text, positions, start, level);
                self.lower_after_heading(text, positions, at + line.len());
            }
            before = Some((at, trimmed));
            at += line.len();
        }
    }
}

fn underline_level(title: &str, line: &str) -> Option<u8> {
    let mark = line.chars().next()?;
    let level = match mark {
        '=' => HEADING_1,
        '-' => HEADING_2,
        '~' | '^' | '+' => HEADING_LOW,
        _ => return None,
    };
    let length = line.chars().count();
    let same = line.chars().all(|c| c == mark);
    let fits =
        length >= 3 && title.chars().count().abs_diff(length) <= 2 && !title.trim().is_empty();
    (same && fits).then_some(level)
}

fn word_level(text: &str, at: usize) -> u8 {
    let before = text[..at].chars().next_back();
    let after = text[at..].chars().next();
    let blank = |c: Option<char>| c.is_none_or(char::is_whitespace);
    if blank(before) || blank(after) {
        WORD
    } else {
        ANYWHERE
    }
}

/// Shortenings whose point ends no sentence.
const SHORT: [&str; 12] = [
    "e.g.", "i.e.", "etc.", "cf.", "vs.", "Mr.", "Mrs.", "Dr.", "St.", "No.", "Fig.", "al.",
];

fn ends_sentence(head: &str) -> bool {
    let head = head.trim_end_matches(['"', '\'', ')', ']', '”', '’', '*', '_', '`']);
    if !head.ends_with(['.', '!', '?', '。', '！', '？', '…']) {
        return false;
    }
    let word = head.rsplit(char::is_whitespace).next().unwrap_or(head);
    let word = word.trim_start_matches(['(', '[', '"', '\'']);
    // One letter and a point is an initial.
    let initial = word.len() == 2 && word.as_bytes()[0].is_ascii_uppercase();
    !initial && !SHORT.contains(&word)
}
