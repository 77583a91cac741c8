//! What a pair of bytes costs under one language and one encoding, in quarter bits.
//!
//! Pure. It reads the languages of `native/tables/letters.txt`; `letters.rs` compares what comes out.

use std::sync::LazyLock;

const FILE: &str = include_str!("../../tables/letters.txt");

/// Vietnamese is here twice: with whole letters, and with tone marks of their own as windows-1258 writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    Latin,
    Vietnamese,
    Tones,
    Cyrillic,
    Greek,
    Hebrew,
    Arabic,
    Thai,
}

/// Two bytes that stand side by side, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    pub first: usize,
    pub second: usize,
    pub count: u64,
    pub high: bool,
}

/// Letters (class 1 and on; class 0 is all that is no letter, the last class every other letter) and the cost of each
/// class after each. In scripts other than Latin the first letter stands for every letter of ASCII.
pub struct Language {
    pub script: Script,
    letters: Vec<char>,
    pairs: Vec<Vec<u8>>,
}

pub static LANGUAGES: LazyLock<Vec<Language>> = LazyLock::new(|| {
    let mut lines = FILE.lines().filter(|line| !line.starts_with('#'));
    let mut languages = Vec::new();
    while let Some((name, letters)) = lines.next().and_then(|line| line.split_once(' ')) {
        let letters: Vec<char> = letters.chars().collect();
        let row = |line: &str| line.bytes().map(|cost| cost - b'(').collect();
        let pairs = lines.by_ref().take(letters.len() + 2).map(row).collect();
        languages.push(Language {
            script: script_of(name),
            letters,
            pairs,
        });
    }
    languages
});

fn script_of(name: &str) -> Script {
    match name {
        "vi" => Script::Vietnamese,
        "vi2" => Script::Tones,
        "ru" | "uk" | "be" | "bg" | "sr" | "mk" => Script::Cyrillic,
        "el" => Script::Greek,
        "he" => Script::Hebrew,
        "ar" => Script::Arabic,
        "th" => Script::Thai,
        _ => Script::Latin,
    }
}

impl Language {
    /// Nearly all of its letters are there: an eighth of those beyond ASCII may lack, and always one.
    pub fn is_written_in(&self, characters: &[char; 256]) -> bool {
        let beyond: Vec<char> = self
            .letters
            .iter()
            .copied()
            .filter(|c| !c.is_ascii())
            .collect();
        let lacks = |letter: &&char| !characters.iter().any(|c| self.same(*c) == **letter);
        beyond.iter().filter(lacks).count() <= (beyond.len() / 8).max(1)
    }

    /// In lower case; in Romanian the cedilla of old encodings is the comma of new ones.
    fn same(&self, character: char) -> char {
        match plain(character) {
            'ş' if self.letters.contains(&'ș') => 'ș',
            'ţ' if self.letters.contains(&'ț') => 'ț',
            other => other,
        }
    }

    fn is_latin(&self) -> bool {
        matches!(
            self.script,
            Script::Latin | Script::Vietnamese | Script::Tones
        )
    }

    fn class(&self, character: char) -> usize {
        let character = if !self.is_latin() && character.is_ascii_alphabetic() {
            'a'
        } else {
            self.same(character)
        };
        let at = self.letters.iter().position(|letter| *letter == character);
        at.map_or(self.letters.len() + 1, |at| at + 1)
    }
}

/// In lower case, one character for one.
fn plain(character: char) -> char {
    match character {
        'İ' => 'i',
        other => other.to_lowercase().next().unwrap_or(other),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Space, ASCII signs, and the marks of printed text.
    Plain,
    Lower,
    Upper,
    /// A sign that is rare beside letters: fractions, box drawing, controls.
    Odd,
}

/// An encoding's bytes as one language sees them.
pub struct Costs {
    pairs: &'static [Vec<u8>],
    class: [u8; 256],
    kind: [Kind; 256],
    own: [u8; 256],
    cased: bool,
}

impl Costs {
    pub fn new(language: &'static Language, characters: &[char; 256]) -> Costs {
        let cased = !matches!(
            language.script,
            Script::Hebrew | Script::Arabic | Script::Thai
        );
        let mut costs = Costs {
            pairs: &language.pairs,
            class: [0; 256],
            kind: [Kind::Plain; 256],
            own: [0; 256],
            cased,
        };
        let other = language.letters.len() + 1;
        for (byte, character) in characters.iter().enumerate() {
            let character = *character;
            let is_mark = language.letters.contains(&character);
            if character == char::REPLACEMENT_CHARACTER {
                (costs.class[byte], costs.own[byte]) = (class_byte(other), 160);
            } else if (character.is_alphabetic() || is_mark) && !matches!(character, 'ª' | 'º') {
                let class = language.class(character);
                let upper = character.is_uppercase();
                costs.class[byte] = class_byte(class);
                costs.kind[byte] = if upper { Kind::Upper } else { Kind::Lower };
                if !language.is_latin() && character.is_ascii() {
                    // One of 26 under one class: words of ASCII speak for languages that are written in it.
                    costs.own[byte] = 18;
                }
                if class == other {
                    let latin =
                        character < '\u{250}' || ('\u{1e00}'..'\u{1f00}').contains(&character);
                    let home = latin == language.is_latin();
                    costs.own[byte] = if home { 16 } else { 28 };
                }
            } else {
                (costs.own[byte], costs.kind[byte]) = sign(character, byte);
            }
        }
        costs
    }

    /// Quarter bits of all `pairs`.
    pub fn of(&self, pairs: &[Pair]) -> u64 {
        let each = pairs
            .iter()
            .map(|pair| pair.count * self.pair(pair.first, pair.second));
        each.sum()
    }

    fn pair(&self, first: usize, second: usize) -> u64 {
        let letters = self.pairs[usize::from(self.class[first])][usize::from(self.class[second])];
        let beside = match (self.kind[first], self.kind[second]) {
            (Kind::Odd, Kind::Lower | Kind::Upper) | (Kind::Lower | Kind::Upper, Kind::Odd) => 20,
            _ if !self.cased => 0,
            (Kind::Lower, Kind::Upper) => 32,
            (Kind::Upper, Kind::Upper) => 6,
            (Kind::Plain, Kind::Upper) => 8,
            (Kind::Upper, Kind::Lower) => 3,
            _ => 0,
        };
        u64::from(letters) + u64::from(self.own[second]) + beside
    }
}

fn class_byte(class: usize) -> u8 {
    u8::try_from(class).expect("no language has 255 letters")
}

/// Cost and kind of a character that is no letter.
fn sign(character: char, byte: usize) -> (u8, Kind) {
    match character {
        '\t' | '\n' | '\r' => (0, Kind::Plain),
        _ if byte < 0x20 => (12, Kind::Plain),
        _ if byte < 0x80 => (0, Kind::Plain),
        '«' | '»' | '„' | '“' | '”' | '‘' | '’' | '–' | '—' | '…' | '°' | '§' | '\u{a0}' | '€'
        | '·' | '•' => (24, Kind::Plain),
        '\u{80}'..='\u{9f}' => (64, Kind::Odd),
        '\u{2190}'..='\u{2bff}' => (44, Kind::Odd),
        _ => (36, Kind::Odd),
    }
}
