//! The set of five-word shingles of a text as hashes. Case, punctuation and white space do not count.
//!
//! A word is a run of letters and digits; in scripts that are written without spaces each character is one.

use super::mix;

/// Words of one shingle.
const WORDS: usize = 5;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const STEP: u64 = 0x0000_0100_0000_01b3;

/// Gives the hash of every shingle to `sink`, repeated ones again. A text of fewer words is one shingle; of no word, each
/// of its characters counts as a word; an empty text has none.
pub fn shingles(text: &str, mut sink: impl FnMut(u64)) {
    let mut window = Window::default();
    words(text, |word| window.push(word, &mut sink));
    if window.seen == 0 {
        for letter in text.chars().filter(|letter| !letter.is_whitespace()) {
            window.push(add(None, letter), &mut sink);
        }
    }
    window.end(&mut sink);
}

/// The last words, oldest first from `seen`.
#[derive(Default)]
struct Window {
    last: [u64; WORDS],
    seen: usize,
}

impl Window {
    fn push(&mut self, word: u64, sink: &mut impl FnMut(u64)) {
        self.last[self.seen % WORDS] = word;
        self.seen += 1;
        if self.seen >= WORDS {
            sink(self.hash());
        }
    }

    fn end(&self, sink: &mut impl FnMut(u64)) {
        if self.seen > 0 && self.seen < WORDS {
            sink(self.hash());
        }
    }

    fn hash(&self) -> u64 {
        let words = self.seen.min(WORDS);
        let first = self.seen - words;
        let hash = (first..self.seen).fold(SEED, |hash, at| {
            hash.rotate_left(23).wrapping_mul(STEP) ^ self.last[at % WORDS]
        });
        mix(hash)
    }
}

fn words(text: &str, mut sink: impl FnMut(u64)) {
    let mut word = None;
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            word = Some(add(word, letter.to_ascii_lowercase()));
        } else if letter.is_ascii() || !letter.is_alphanumeric() {
            word.take().into_iter().for_each(&mut sink);
        } else if unspaced(letter) {
            word.take().into_iter().for_each(&mut sink);
            sink(add(None, letter));
        } else {
            word = letter
                .to_lowercase()
                .fold(word, |word, lower| Some(add(word, lower)));
        }
    }
    word.into_iter().for_each(sink);
}

fn add(word: Option<u64>, letter: char) -> u64 {
    (word.unwrap_or(SEED) ^ u64::from(letter))
        .wrapping_mul(STEP)
        .rotate_left(5)
}

/// Han, kana, Thai, Lao, Khmer, Myanmar: a line of them has no spaces between words.
fn unspaced(letter: char) -> bool {
    matches!(u32::from(letter),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff
        | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}
