//! Bytes to text, in the order that gives right text on labelled and unlabelled files alike: byte order mark, the page's
//! own declaration, strict UTF-8, detection.
//!
//! Pure. It does not know files or limits; `extract/mod.rs` calls it. The order matters: readers that skip the
//! declaration turn a latin-1 or Japanese page with a correct meta tag into mojibake.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_8859_15, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::detect::find;
use super::letters::{self, Charset};
use super::shifted;

/// Text, the encoding's name, and how many bytes sequences had no meaning in it (each became U+FFFD).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    pub text: String,
    pub encoding: &'static str,
    pub replaced: usize,
}

/// Why bytes are no text, in words for a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary(pub String);

/// How much of a file is looked at to tell binary from text, and to detect an encoding.
const SAMPLE_BYTES: usize = 64 * 1024;

/// `declared`: whether a meta tag or an XML declaration in the bytes counts (HTML and XML).
pub fn decode(bytes: &[u8], declared: bool) -> Result<Decoded, Binary> {
    // Before the mark of UTF-16, which begins like that of UTF-32.
    if let Some(decoded) = utf32(bytes) {
        return Ok(decoded);
    }
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return Ok(with(encoding, &bytes[length..]));
    }
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    if let Some(encoding) = utf16_without_mark(sample) {
        return Ok(with(encoding, bytes));
    }
    // Its shift marks are control characters.
    if shifted::is_korean(bytes) {
        return Ok(counted(shifted::korean(bytes), "ISO-2022-KR"));
    }
    if let Some(reason) = binary_reason(sample) {
        return Err(Binary(reason));
    }
    if declared
        && let Some(label) = declared_label(bytes)
        && let Some(decoded) = decode_as(&label, bytes)
    {
        return Ok(decoded);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && !bytes.contains(&0x1b)
    {
        return Ok(Decoded {
            text: text.to_owned(),
            encoding: UTF_8.name(),
            replaced: 0,
        });
    }
    Ok(in_charset(detected(bytes), bytes))
}

/// Whether these first bytes of a longer text leave no doubt that it is UTF-8; a character cut at their end is none.
pub fn begins_as_utf8(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    if let Some((encoding, _)) = Encoding::for_bom(head) {
        return valid && encoding == UTF_8;
    }
    let sample = &head[..head.len().min(SAMPLE_BYTES)];
    valid && !head.contains(&0x1b) && binary_reason(sample).is_none()
}

/// Text of bytes in the encoding that has this label in the web's list or in ours; None for labels that neither knows.
pub fn decode_as(label: &[u8], bytes: &[u8]) -> Option<Decoded> {
    let label = label.to_ascii_lowercase();
    let shifted = match label.as_slice() {
        b"iso-2022-kr" | b"csiso2022kr" => Some(("ISO-2022-KR", shifted::korean(bytes))),
        b"hz-gb-2312" | b"hz" | b"hzgb" => Some(("HZ-GB-2312", shifted::chinese(bytes))),
        _ => None,
    };
    if let Some((name, text)) = shifted {
        return Some(counted(text, name));
    }
    let known: &[u8] = match label.as_slice() {
        b"mac-cyrillic" | b"maccyrillic" => b"x-mac-cyrillic",
        b"mac-roman" | b"macroman" => b"macintosh",
        b"uhc" | b"cp949" | b"ms949" => b"euc-kr",
        b"cp932" => b"shift_jis",
        b"cp936" => b"gbk",
        b"cp950" => b"big5",
        other => other,
    };
    Some(in_charset(Charset::for_label(known)?, bytes))
}

/// Encodings of two bytes by chardetng; the others by letter pairs, unless these fit no language that we know.
fn detected(bytes: &[u8]) -> Charset {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    let web = detector.guess(None, Utf8Detection::Allow);
    let Some(guess) = letters::guess(bytes) else {
        return Charset::Web(web);
    };
    let limit = if web.is_single_byte() {
        POOR_FIT
    } else {
        GOOD_FIT
    };
    match guess.charset {
        _ if guess.cost > limit => Charset::Web(with_euro(web, bytes)),
        Charset::Web(ours) => Charset::Web(with_euro(ours, bytes)),
        page @ Charset::Page(_) => page,
    }
}

/// Quarter bits a pair: letters of a known language cost 14 to 22, other bytes read as letters 40 and more.
const GOOD_FIT: u64 = 22;
const POOR_FIT: u64 = 40;

fn in_charset(charset: Charset, bytes: &[u8]) -> Decoded {
    match charset {
        Charset::Web(encoding) => with(encoding, bytes),
        Charset::Page(page) => counted(page.decode(bytes), page.name),
    }
}

/// A U+FFFD that stands in the source itself is counted too: it says the same thing of the text.
fn counted(text: String, encoding: &'static str) -> Decoded {
    Decoded {
        replaced: text.matches('\u{fffd}').count(),
        text,
        encoding,
    }
}

fn with(encoding: &'static Encoding, bytes: &[u8]) -> Decoded {
    let (text, _) = encoding.decode_without_bom_handling(bytes);
    counted(text.into_owned(), encoding.name())
}

/// UTF-32 with its mark, which the web's encodings do not hold.
fn utf32(bytes: &[u8]) -> Option<Decoded> {
    let (name, little) = match bytes.first_chunk::<4>()? {
        [0xff, 0xfe, 0, 0] => ("UTF-32LE", true),
        [0, 0, 0xfe, 0xff] => ("UTF-32BE", false),
        _ => return None,
    };
    let mut text = String::with_capacity(bytes.len() / 4);
    let mut replaced = usize::from(!bytes.len().is_multiple_of(4));
    for unit in bytes[4..].chunks_exact(4) {
        let unit = [unit[0], unit[1], unit[2], unit[3]];
        let code = if little {
            u32::from_le_bytes(unit)
        } else {
            u32::from_be_bytes(unit)
        };
        replaced += usize::from(char::from_u32(code).is_none());
        text.push(char::from_u32(code).unwrap_or('\u{fffd}'));
    }
    Some(Decoded {
        text,
        encoding: name,
        replaced,
    })
}

/// Zero bytes and no mark: UTF-16 if nearly every unit, read in one byte order, is a character that texts are made of.
fn utf16_without_mark(sample: &[u8]) -> Option<&'static Encoding> {
    let units = sample.len() / 2;
    if units < 2 || !sample.contains(&0) || is_text_with_zeros(sample) {
        return None;
    }
    let usual = |read: fn([u8; 2]) -> u16| {
        let usual = sample
            .chunks_exact(2)
            .filter(|unit| is_usual(read([unit[0], unit[1]])));
        usual.count() * 20 >= units * 19
    };
    match (usual(u16::from_le_bytes), usual(u16::from_be_bytes)) {
        (true, false) => Some(UTF_16LE),
        (false, true) => Some(UTF_16BE),
        _ => None,
    }
}

/// ASCII, the European and Arabic alphabets, general punctuation, kana, Han, Hangul, full-width forms.
fn is_usual(unit: u16) -> bool {
    matches!(unit, 0x09 | 0x0a | 0x0d | 0x20..=0x7e | 0xa0..=0x06ff | 0x2010..=0x203a)
        || matches!(unit, 0x3000..=0x30ff | 0x4e00..=0x9fff | 0xac00..=0xd7a3 | 0xff01..=0xff9f)
}

/// ISO-8859-15 is windows-1252 with eight letters and the euro sign in place of rare signs; detection knows the latter
/// alone. Such a sign inside a word, or the currency sign, and nothing that only windows-1252 has: the former.
fn with_euro(guess: &'static Encoding, bytes: &[u8]) -> &'static Encoding {
    if guess != WINDOWS_1252 || bytes.iter().any(|byte| matches!(byte, 0x80..=0x9f)) {
        return guess;
    }
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte >= 0xc0;
    let in_word = bytes.windows(2).any(|pair| {
        let sign = |byte: u8| matches!(byte, 0xa6 | 0xa8 | 0xb4 | 0xb8 | 0xbc | 0xbd | 0xbe);
        (sign(pair[0]) && letter(pair[1])) || (letter(pair[0]) && sign(pair[1]))
    });
    if in_word || bytes.contains(&0xa4) {
        ISO_8859_15
    } else {
        guess
    }
}

/// Plain text with a few zero bytes strewn in. Read in twos its letters would pass for Chinese; real text of two bytes a
/// letter has a zero in most units, or bytes that are no plain text.
fn is_text_with_zeros(sample: &[u8]) -> bool {
    let rest: Vec<u8> = sample.iter().copied().filter(|byte| *byte != 0).collect();
    let zeros = sample.len() - rest.len();
    let plain = match std::str::from_utf8(&rest) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    zeros * 8 < sample.len() && plain && binary_reason(&rest).is_none()
}

/// A zero byte, or more than one control character in fifty, is no text in any encoding that is left here.
fn binary_reason(sample: &[u8]) -> Option<String> {
    // The first look is the fast one.
    if sample.contains(&0)
        && let Some(at) = sample.iter().position(|byte| *byte == 0)
    {
        return Some(format!("a zero byte at offset {at}"));
    }
    let controls = sample
        .iter()
        .filter(|byte| matches!(**byte, 0x01..=0x07 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f))
        .count();
    (controls * 50 > sample.len()).then(|| {
        format!(
            "{controls} control characters in the first {}",
            sample.len()
        )
    })
}

/// The encoding that the page names in its first 1,024 bytes (the HTML standard's own window).
fn declared_label(bytes: &[u8]) -> Option<Vec<u8>> {
    let head = bytes[..bytes.len().min(1024)].to_ascii_lowercase();
    let from = if head.starts_with(b"<?xml") {
        let end = find(&head, b"?>").unwrap_or(head.len());
        label_after(&head[..end], b"encoding")
    } else {
        None
    };
    let label = from.or_else(|| meta_charset(&head))?;
    // A page that can say "utf-16" in ASCII bytes is not UTF-16; the standard says UTF-8.
    if label.starts_with(b"utf-16") || label.starts_with(b"utf-32") {
        return Some(b"utf-8".to_vec());
    }
    Some(label)
}

fn meta_charset(head: &[u8]) -> Option<Vec<u8>> {
    let mut rest = head;
    while let Some(start) = find(rest, b"<meta") {
        rest = &rest[start + 5..];
        let end = rest
            .iter()
            .position(|byte| *byte == b'>')
            .unwrap_or(rest.len());
        if let Some(label) = label_after(&rest[..end], b"charset") {
            return Some(label);
        }
    }
    None
}

/// The value after `key =`, with or without quotes.
fn label_after(text: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let rest = &text[find(text, key)? + key.len()..];
    let rest = rest
        .trim_ascii_start()
        .strip_prefix(b"=")?
        .trim_ascii_start();
    let rest = rest
        .strip_prefix(b"\"")
        .or_else(|| rest.strip_prefix(b"'"))
        .unwrap_or(rest);
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\'' | b';' | b'/' | b' ' | b'\t' | b'\n'))
        .unwrap_or(rest.len());
    (end > 0).then(|| rest[..end].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], declared: bool) -> String {
        decode(bytes, declared).unwrap().text
    }

    #[test]
    fn a_byte_order_mark_wins_and_is_not_part_of_the_text() {
        assert_eq!(text(b"\xef\xbb\xbfh\xc3\xa9", false), "hé");
        assert_eq!(text(b"\xff\xfeh\0\xe9\0", false), "hé");
        assert_eq!(text(b"\xfe\xff\0h\0\xe9", false), "hé");
    }

    #[test]
    fn a_pages_own_declaration_is_believed_before_detection() {
        let latin = b"<html><head><meta charset=\"iso-8859-1\"></head><p>caf\xe9 na\xefve</p>";
        assert!(text(latin, true).contains("café naïve"));
        let (sjis, _, _) = encoding_rs::SHIFT_JIS.encode("<meta charset=shift_jis><p>日本語</p>");
        assert!(text(&sjis, true).contains("日本語"));
        let xml = b"<?xml version=\"1.0\" encoding='iso-8859-2'?><html>\xb1</html>";
        assert!(text(xml, true).contains('ą'));
    }

    #[test]
    fn utf8_without_a_mark_is_utf8_and_other_bytes_are_detected() {
        assert_eq!(text("naïve 中文".as_bytes(), false), "naïve 中文");
        let (cyrillic, _, _) =
            encoding_rs::WINDOWS_1251.encode("Широкая электрификация южных губерний");
        assert_eq!(
            text(&cyrillic, false),
            "Широкая электрификация южных губерний"
        );
    }

    #[test]
    fn utf16_without_a_mark_is_read_and_binary_is_refused() {
        let utf16: Vec<u8> = "plain text"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(text(&utf16, false), "plain text");
        let refused = decode(&b"ab\0cd".repeat(1000), false).unwrap_err();
        assert_eq!(refused.0, "a zero byte at offset 2");
        assert!(decode(&[1, 2, 3, 4, 5, 6], false).is_err());
    }

    #[test]
    fn a_zero_in_plain_text_does_not_make_it_chinese() {
        for plain in [
            "Text\0with a zero.",
            "Zwei\0\0 Bytes für Brücken\0",
            "a\0bcdefghi",
        ] {
            let refused = decode(plain.as_bytes(), false).unwrap_err();
            assert!(refused.0.starts_with("a zero byte"), "{plain:?}");
        }
        for two_bytes in ["漢字 と\n", "Привет всем, кто это читает"] {
            for order in [u16::to_le_bytes, u16::to_be_bytes] {
                let bytes: Vec<u8> = two_bytes.encode_utf16().flat_map(order).collect();
                assert_eq!(text(&bytes, false), two_bytes);
            }
        }
    }

    #[test]
    fn utf16_of_other_scripts_and_utf32_are_read() {
        let japanese = "日本語の文章です。\n次の行。";
        let units: Vec<u8> = japanese.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(text(&units, false), japanese);
        let wide = |c: char| u32::from(c).to_le_bytes();
        let utf32: Vec<u8> = "\u{feff}é\u{1f600}".chars().flat_map(wide).collect();
        assert_eq!(text(&utf32, false), "é\u{1f600}");
    }

    #[test]
    fn the_euro_and_its_letters_are_told_from_their_forerunners() {
        let (french, _, _) = ISO_8859_15.encode("Le cœur coûte 5 € à l'œil déjà vu.");
        assert_eq!(text(&french, false), "Le cœur coûte 5 € à l'œil déjà vu.");
        let (plain, _, _) = WINDOWS_1252.encode("Déjà vu à 20 ½ degrés, très près.");
        assert_eq!(text(&plain, false), "Déjà vu à 20 ½ degrés, très près.");
    }

    #[test]
    fn damage_inside_marked_text_is_counted() {
        let decoded = decode(b"\xef\xbb\xbfab\xffcd", false).unwrap();
        assert_eq!(
            (decoded.text.as_str(), decoded.replaced),
            ("ab\u{fffd}cd", 1)
        );
    }
}
