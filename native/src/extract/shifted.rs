//! ISO-2022-KR and HZ: two-byte encodings in seven bits, between marks that shift them in and out.
//!
//! Pure. Both become EUC by setting the eighth bit inside the marks; encoding_rs reads that. The web's list refuses both
//! because a page could hide markup in them; here no markup is run. `encoding.rs` calls it.

use encoding_rs::{EUC_KR, GBK};

const KOREAN_MARK: &[u8] = b"\x1b$)C";

/// True where the mark that every such text begins with stands in the first lines, and all bytes have seven bits.
pub fn is_korean(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(1024)];
    head.windows(KOREAN_MARK.len()).any(|at| at == KOREAN_MARK) && bytes.is_ascii()
}

pub fn korean(bytes: &[u8]) -> String {
    let mut euc = Vec::with_capacity(bytes.len());
    let (mut shifted, mut rest) = (false, bytes);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            0x0e => shifted = true,
            0x0f => shifted = false,
            0x1b if after.starts_with(&KOREAN_MARK[1..]) => rest = &after[3..],
            0x21..=0x7e if shifted => euc.push(byte | 0x80),
            other => euc.push(*other),
        }
    }
    EUC_KR.decode_without_bom_handling(&euc).0.into_owned()
}

pub fn chinese(bytes: &[u8]) -> String {
    let mut euc = Vec::with_capacity(bytes.len());
    let (mut shifted, mut rest) = (false, bytes);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after.first()) {
            (b'~', Some(b'{')) => (shifted, rest) = (true, &after[1..]),
            (b'~', Some(b'}')) => (shifted, rest) = (false, &after[1..]),
            (b'~', Some(b'\n')) => rest = &after[1..],
            (b'~', Some(b'~')) if !shifted => {
                euc.push(b'~');
                rest = &after[1..];
            }
            (b'\n', _) => {
                shifted = false;
                euc.push(b'\n');
            }
            (0x21..=0x7e, _) if shifted => euc.push(byte | 0x80),
            (other, _) => euc.push(*other),
        }
    }
    GBK.decode_without_bom_handling(&euc).0.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_shift_two_byte_text_in_and_out() {
        assert_eq!(korean(b"\x1b$)Ca \x0eGQ1[\x0f b\n"), "a 한글 b\n");
        assert_eq!(chinese(b"a~~ ~{VPND~} b~\nc"), "a~ 中文 bc");
        assert!(is_korean(b"\x1b$)C\n\x0eGQ\x0f") && !is_korean(b"price $)C"));
    }
}
