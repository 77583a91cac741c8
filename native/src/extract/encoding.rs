//! Bytes to text, in the order that gives right text on labelled and unlabelled files alike: byte order mark, the page's
//! own declaration, strict UTF-8, detection.
//!
//! Pure. It does not know files or limits; `extract/mod.rs` calls it. The order matters: readers that skip the
//! declaration turn a latin-1 or Japanese page with a correct meta tag into mojibake.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::detect::find;

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
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return Ok(with(encoding, &bytes[length..]));
    }
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    if let Some(encoding) = utf16_without_mark(sample) {
        return Ok(with(encoding, bytes));
    }
    if let Some(reason) = binary_reason(sample) {
        return Err(Binary(reason));
    }
    if declared && let Some(encoding) = declaration(bytes) {
        return Ok(with(encoding, bytes));
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
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    Ok(with(detector.guess(None, Utf8Detection::Allow), bytes))
}

fn with(encoding: &'static Encoding, bytes: &[u8]) -> Decoded {
    let (text, _) = encoding.decode_without_bom_handling(bytes);
    // A U+FFFD that stands in the source itself is counted too: it says the same thing of the text.
    let replaced = text.matches('\u{fffd}').count();
    Decoded {
        text: text.into_owned(),
        encoding: encoding.name(),
        replaced,
    }
}

/// UTF-16 of mostly Latin text has a zero in every second byte and nearly none in the others.
fn utf16_without_mark(sample: &[u8]) -> Option<&'static Encoding> {
    let pairs = sample.len() / 2;
    if pairs < 2 {
        return None;
    }
    let (mut even, mut odd) = (0usize, 0usize);
    for pair in sample.chunks_exact(2) {
        even += usize::from(pair[0] == 0);
        odd += usize::from(pair[1] == 0);
    }
    let many = |zeros: usize| zeros * 10 >= pairs * 7;
    let few = |zeros: usize| zeros * 50 <= pairs;
    if many(odd) && few(even) {
        Some(UTF_16LE)
    } else if many(even) && few(odd) {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// A zero byte, or more than one control character in fifty, is no text in any encoding that is left here.
fn binary_reason(sample: &[u8]) -> Option<String> {
    if let Some(at) = sample.iter().position(|byte| *byte == 0) {
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
fn declaration(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(1024)].to_ascii_lowercase();
    let from = if head.starts_with(b"<?xml") {
        let end = find(&head, b"?>").unwrap_or(head.len());
        label_after(&head[..end], b"encoding")
    } else {
        None
    };
    let label = from.or_else(|| meta_charset(&head))?;
    let encoding = Encoding::for_label(&label)?;
    // A page that can say "utf-16" in ASCII bytes is not UTF-16; the standard says UTF-8.
    if encoding == UTF_16LE || encoding == UTF_16BE {
        return Some(UTF_8);
    }
    Some(encoding)
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
    fn damage_inside_marked_text_is_counted() {
        let decoded = decode(b"\xef\xbb\xbfab\xffcd", false).unwrap();
        assert_eq!(
            (decoded.text.as_str(), decoded.replaced),
            ("ab\u{fffd}cd", 1)
        );
    }
}
