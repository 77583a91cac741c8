//! Names of members: what they may be, and how they are shown. No name ever becomes a path on disk.
//!
//! Pure functions over bytes. Called by `archive/mod.rs`.

use std::collections::HashSet;
use std::fmt::Write as _;

/// As long as a path may be on the systems that wrote it; a longer one is no name.
const LONGEST: usize = 4096;
/// Bytes shown of a name that is none.
const SHOWN: usize = 256;

/// A name that the walk can stand on: folders divided by one slash each, none of them `.` or `..`, at least one; or what is
/// wrong with it.
pub fn clean(raw: &[u8]) -> Result<Vec<u8>, String> {
    if raw.len() > LONGEST {
        return Err(format!("{} bytes long", raw.len()));
    }
    if raw.contains(&0) {
        return Err("a zero byte".to_owned());
    }
    let drive = raw.len() > 2 && raw[0].is_ascii_alphabetic() && raw[1] == b':';
    if raw.starts_with(b"/") || (drive && matches!(raw[2], b'/' | b'\\')) {
        return Err("absolute".to_owned());
    }
    let mut parts = Vec::new();
    for part in raw.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err("it leads out of the archive".to_owned()),
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err("none".to_owned());
    }
    Ok(parts.join(&b'/'))
}

/// The name in a uri: UTF-8 as it is, but `%`, `#`, control characters and bytes that are no UTF-8 as `%` and two hex
/// digits. So no two names look alike, and a `#` always begins the name of a record.
pub fn shown(name: &[u8]) -> String {
    let cut = &name[..name
        .len()
        .min(if name.len() > LONGEST { SHOWN } else { LONGEST })];
    let mut text = String::with_capacity(cut.len());
    let escape = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    };
    for chunk in cut.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if matches!(letter, '%' | '#') || letter.is_control() {
                escape(&mut text, letter.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(letter);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// Names that are taken already, so that two rows never share a uri.
#[derive(Default)]
pub struct Taken(HashSet<String>);

impl Taken {
    pub fn holds(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// The name, or the name with the member's number behind it as often as it takes.
    pub fn unique(&mut self, mut name: String, number: u64) -> String {
        while !self.0.insert(name.clone()) {
            let _ = write!(name, "@{number}");
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_none() {
        for (raw, problem) in [
            (&b"/etc/passwd"[..], "absolute"),
            (b"//host/share", "absolute"),
            (b"C:/boot.ini", "absolute"),
            (b"c:\\boot.ini", "absolute"),
            (b"..", "it leads out of the archive"),
            (b"a/../../b", "it leads out of the archive"),
            (b"a/b/..", "it leads out of the archive"),
            (b"a\0b", "a zero byte"),
            (b"", "none"),
            (b"./.", "none"),
        ] {
            assert_eq!(clean(raw).unwrap_err(), problem, "{}", shown(raw));
        }
        assert_eq!(clean(&[b'x'; 4097]).unwrap_err(), "4097 bytes long");
        assert_eq!(clean(b"./a//b/./c").unwrap(), b"a/b/c");
        assert_eq!(clean(b"..a/b..").unwrap(), b"..a/b..");
        assert_eq!(clean(b"a:b").unwrap(), b"a:b");
    }

    #[test]
    fn a_shown_name_can_be_read_and_holds_no_mark_of_ours() {
        assert_eq!(shown("Bücher/ä.txt".as_bytes()), "Bücher/ä.txt");
        assert_eq!(shown(b"C#/100%.txt"), "C%23/100%25.txt");
        assert_eq!(shown(b"a\n\xffb\x1b"), "a%0A%FFb%1B");
    }

    fn decoded(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            if *first == b'%' {
                let digits = std::str::from_utf8(&tail[..2]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &tail[2..];
            } else {
                bytes.push(*first);
                rest = tail;
            }
        }
        bytes
    }

    /// Bytes that names are broken with, more often than chance has them.
    fn raw() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"..".to_vec()),
            Just(b".".to_vec()),
            Just(b"/".to_vec()),
            Just(b"#1".to_vec()),
            Just(b"%41".to_vec()),
            Just("ü".as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_clean_name_stays_inside_and_cleaning_it_changes_nothing(raw in raw()) {
            if let Ok(name) = clean(&raw) {
                prop_assert!(!name.starts_with(b"/") && !name.contains(&0));
                for part in name.split(|byte| *byte == b'/') {
                    prop_assert!(!matches!(part, b"" | b"." | b".."));
                }
                prop_assert_eq!(clean(&name), Ok(name));
            }
        }

        #[test]
        fn a_shown_name_tells_every_byte_of_the_name(raw in raw()) {
            let text = shown(&raw);
            prop_assert!(!text.contains('#') && !text.chars().any(char::is_control));
            prop_assert_eq!(decoded(&text), raw);
        }

        #[test]
        fn no_two_members_share_a_name(names in proptest::collection::vec("[ab@1-3]{1,4}", 1..40)) {
            let mut taken = Taken::default();
            let unique: HashSet<String> =
                names.iter().zip(1..).map(|(name, number)| taken.unique(name.clone(), number)).collect();
            prop_assert_eq!(unique.len(), names.len());
        }
    }
}
