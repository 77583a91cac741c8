//! Which one-byte encoding a text is in, by how often letters follow each other in 40 languages.
//!
//! Every pair of an encoding and a language that it can write says how many bits the text costs under it: the pair of
//! letters (`native/tables/letters.txt`, made by the script beside it), the case, and signs that are rare in texts. The
//! cheapest wins. Bytes of ASCII are the same in all of them; they say a little about the language, so they count a little.
//! Pure. It knows nothing of UTF-8 or of encodings of two bytes; `encoding.rs` calls it after those.

use std::sync::LazyLock;

use encoding_rs::Encoding;

use super::code_pages::CodePage;
use super::letter_costs::{Costs, LANGUAGES, Pair, Script};

/// What can be guessed: one of the web's encodings, or one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    Web(&'static Encoding),
    Page(&'static CodePage),
}

/// The winner, and how well it fits: quarter bits for each pair that holds a byte over 7F.
#[derive(Debug, Clone, Copy)]
pub struct Guess {
    pub charset: Charset,
    pub cost: u64,
}

/// Label, script of its upper half, and how many bits it starts behind the usual ones.
const CANDIDATES: &[(&str, Script, u64)] = &[
    ("windows-1250", Script::Latin, 0),
    ("windows-1252", Script::Latin, 0),
    ("windows-1254", Script::Latin, 0),
    ("windows-1257", Script::Latin, 0),
    ("windows-1258", Script::Tones, 0),
    ("windows-1251", Script::Cyrillic, 0),
    ("windows-1253", Script::Greek, 0),
    ("windows-1255", Script::Hebrew, 0),
    ("windows-1256", Script::Arabic, 0),
    ("windows-874", Script::Thai, 0),
    ("ISO-8859-2", Script::Latin, 0),
    ("ISO-8859-3", Script::Latin, 3),
    ("ISO-8859-4", Script::Latin, 2),
    ("ISO-8859-10", Script::Latin, 4),
    ("ISO-8859-13", Script::Latin, 1),
    ("ISO-8859-14", Script::Latin, 4),
    ("ISO-8859-15", Script::Latin, 1),
    ("ISO-8859-16", Script::Latin, 4),
    ("ISO-8859-5", Script::Cyrillic, 1),
    ("ISO-8859-6", Script::Arabic, 1),
    ("ISO-8859-7", Script::Greek, 1),
    ("ISO-8859-8", Script::Hebrew, 1),
    ("KOI8-R", Script::Cyrillic, 0),
    ("KOI8-U", Script::Cyrillic, 0),
    ("IBM866", Script::Cyrillic, 1),
    ("macintosh", Script::Latin, 4),
    ("x-mac-cyrillic", Script::Cyrillic, 4),
    ("x-mac-ce", Script::Latin, 4),
    ("x-mac-greek", Script::Greek, 5),
    ("x-mac-turkish", Script::Latin, 5),
    ("IBM437", Script::Latin, 4),
    ("IBM850", Script::Latin, 3),
    ("IBM852", Script::Latin, 3),
    ("IBM857", Script::Latin, 4),
    ("IBM865", Script::Latin, 5),
    ("IBM775", Script::Latin, 4),
    ("IBM855", Script::Cyrillic, 4),
    ("IBM737", Script::Greek, 4),
    ("IBM869", Script::Greek, 5),
    ("IBM862", Script::Hebrew, 3),
    ("IBM720", Script::Arabic, 5),
    ("VISCII", Script::Vietnamese, 2),
];

struct Candidate {
    charset: Charset,
    costs: Costs,
    behind: u64,
}

/// Every encoding with every language of its script that has its letters in it.
static ALL: LazyLock<Vec<Candidate>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for (label, script, behind) in CANDIDATES {
        let charset = Charset::for_label(label.as_bytes()).expect("a known label");
        let characters = charset.characters();
        for language in LANGUAGES.iter().filter(|one| one.script == *script) {
            if language.is_written_in(&characters) {
                all.push(Candidate {
                    charset,
                    costs: Costs::new(language, &characters),
                    behind: behind * 4,
                });
            }
        }
    }
    all
});

impl Charset {
    /// One-byte encodings of ours before the web's list, which calls some of them unsafe or unknown.
    pub fn for_label(label: &[u8]) -> Option<Charset> {
        let web = || Encoding::for_label(label).map(Charset::Web);
        CodePage::for_label(label).map(Charset::Page).or_else(web)
    }

    /// What each byte means alone; only for one-byte encodings.
    fn characters(self) -> [char; 256] {
        match self {
            Charset::Page(page) => page.characters,
            Charset::Web(encoding) => std::array::from_fn(|byte| {
                let byte = [u8::try_from(byte).expect("256 of them")];
                let (text, _) = encoding.decode_without_bom_handling(&byte);
                text.chars().next().expect("one character a byte")
            }),
        }
    }
}

/// The encoding and language in which `bytes` cost the fewest bits; None where no byte is over 7F.
pub fn guess(bytes: &[u8]) -> Option<Guess> {
    let pairs = pairs_of(bytes);
    let (high, ascii): (Vec<Pair>, Vec<Pair>) = pairs.iter().partition(|pair| pair.high);
    let total = |pairs: &[Pair]| pairs.iter().map(|pair| pair.count).sum::<u64>();
    let (num_high, num_ascii) = (total(&high), total(&ascii));
    if num_high == 0 {
        return None;
    }
    // The mean cost of an ASCII pair, as if there were at most three for each of the others, at three tenths.
    let weight = num_ascii.min(3 * num_high);
    let scored = ALL.iter().map(|candidate| {
        let own = candidate.costs.of(&high);
        let shared = candidate.costs.of(&ascii) * weight * 3 / (num_ascii.max(1) * 10);
        (own + shared + candidate.behind, own / num_high, candidate)
    });
    let (_, cost, best) = scored.min_by_key(|(sum, _, _)| *sum)?;
    Some(Guess {
        charset: best.charset,
        cost,
    })
}

/// All pairs of a text, as if a space stood before and after it.
fn pairs_of(bytes: &[u8]) -> Vec<Pair> {
    let mut counts = vec![0u32; 1 << 16];
    let mut first = usize::from(b' ');
    for second in bytes.iter().chain(b" ").map(|byte| usize::from(*byte)) {
        counts[first << 8 | second] = counts[first << 8 | second].saturating_add(1);
        first = second;
    }
    let seen = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let pair = |(pair, count): (usize, &u32)| Pair {
        first: pair >> 8,
        second: pair & 0xff,
        count: u64::from(*count),
        high: pair & 0x8080 != 0,
    };
    seen.map(pair).collect()
}
