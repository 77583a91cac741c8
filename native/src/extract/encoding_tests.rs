//! Encodings that are declared, and encodings that have to be guessed: by property, by short texts, and over a corpus.

use std::path::Path;

use proptest::prelude::*;

use super::code_pages::CODE_PAGES;
use super::encoding::{decode, decode_as};
use super::letters::Charset;

/// Bytes of `text` under a one-byte label; every character must be in it.
fn encode(text: &str, label: &str) -> Vec<u8> {
    match Charset::for_label(label.as_bytes()).unwrap() {
        Charset::Web(encoding) => encoding.encode(text).0.into_owned(),
        Charset::Page(page) => {
            let byte = |c| page.characters.iter().position(|one| *one == c).unwrap();
            text.chars()
                .map(|c| u8::try_from(byte(c)).unwrap())
                .collect()
        }
    }
}

proptest! {
    #[test]
    fn a_page_in_any_code_page_has_its_text_by_its_declared_label(
        page in 0..CODE_PAGES.len(),
        picks in proptest::collection::vec(128..256usize, 1..200),
    ) {
        let page = &CODE_PAGES[page];
        let known = |c: &char| *c != char::REPLACEMENT_CHARACTER;
        let text: String = picks.iter().map(|at| page.characters[*at]).filter(known).collect();
        let mut bytes = format!("<meta charset=\"{}\">", page.name).into_bytes();
        let head = String::from_utf8(bytes.clone()).unwrap();
        bytes.extend(encode(&text, page.name));
        let decoded = decode(&bytes, true).unwrap();
        prop_assert_eq!(decoded.text, head + &text);
        prop_assert_eq!(decoded.encoding, page.name);
    }
}

#[test]
fn labels_of_the_web_and_everyday_names_of_old_encodings_are_known() {
    for (label, bytes, text) in [
        ("ibm866", &b"\x8c\xa8\xe0"[..], "Мир"),
        ("macintosh", b"caf\x8e", "café"),
        ("Mac-Cyrillic", b"\x8c\xe8\xf0", "Мир"),
        ("UHC", b"\xc7\xd1\xb1\xdb", "한글"),
        ("cp850", b"caf\x82", "café"),
        ("hz-gb-2312", b"~{VPND~}", "中文"),
    ] {
        let decoded = decode_as(label.as_bytes(), bytes).unwrap();
        assert_eq!(decoded.text, text, "{label}");
    }
    assert_eq!(decode_as(b"no-such-page", b"a"), None);
}

#[test]
fn an_unknown_declared_label_leaves_the_text_to_detection() {
    let page = "<meta charset=klingon><p>naïve</p>";
    assert_eq!(decode(page.as_bytes(), true).unwrap().text, page);
}

const CZECH: &str =
    "Příliš mnoho lidí věří, že se staré počítače ještě dají opravit; někdy mají pravdu.";
const POLISH: &str =
    "Wczoraj wieczorem poszliśmy do kina, ponieważ w domu było już bardzo późno i zimno.";
const RUSSIAN: &str =
    "Вчера вечером Анна и Борис долго сидели у окна. Потом они пошли домой по Садовой улице.";
const GERMAN: &str =
    "Die Mädchen gehen früh über die große Straße und hören schöne Lieder für die Gäste.";
const GREEK: &str = "Χθες το βράδυ καθίσαμε στο παράθυρο και κοιτάζαμε τους ανθρώπους στον δρόμο.";
const LATVIAN: &str =
    "Vakar vakarā mēs ilgi sēdējām pie loga un skatījāmies, kā pa ielu iet cilvēki.";
const TURKISH: &str =
    "Dün akşam uzun süre pencerenin önünde oturduk ve sokaktan geçen insanları izledik.";
const HEBREW: &str = "אתמול בערב ישבנו זמן רב ליד החלון והסתכלנו על האנשים ברחוב.";

#[test]
fn unmarked_text_is_read_in_the_encoding_that_its_letters_tell() {
    for (text, labels) in [
        (
            CZECH,
            &["windows-1250", "ISO-8859-2", "IBM852", "x-mac-ce"][..],
        ),
        (
            POLISH,
            &["windows-1250", "ISO-8859-2", "IBM852", "x-mac-ce"],
        ),
        (
            RUSSIAN,
            &[
                "windows-1251",
                "KOI8-R",
                "IBM866",
                "ISO-8859-5",
                "x-mac-cyrillic",
                "IBM855",
            ],
        ),
        (GERMAN, &["windows-1252", "IBM850", "macintosh"]),
        (GREEK, &["windows-1253", "ISO-8859-7", "IBM737"]),
        (LATVIAN, &["windows-1257", "ISO-8859-4", "IBM775"]),
        (TURKISH, &["windows-1254", "IBM857"]),
        (HEBREW, &["windows-1255", "ISO-8859-8", "IBM862"]),
    ] {
        for label in labels {
            let decoded = decode(&encode(text, label), false).unwrap();
            assert_eq!(decoded.text, text, "{label} read as {}", decoded.encoding);
        }
    }
}

#[test]
fn text_of_two_bytes_a_character_is_not_taken_for_one_byte_text() {
    let text = "これは日本語の短い文章です。";
    for encoding in [encoding_rs::SHIFT_JIS, encoding_rs::EUC_JP] {
        assert_eq!(decode(&encoding.encode(text).0, false).unwrap().text, text);
    }
}

/// uchardet's `test` folder, or any FOLDER/<language>/<label>.*: `RUNNER_ENCODINGS=FOLDER cargo test --release --lib labelled`.
#[test]
fn ninety_nine_of_a_hundred_labelled_files_give_their_text() {
    let Some(folder) = std::env::var_os("RUNNER_ENCODINGS") else {
        println!("skipped: RUNNER_ENCODINGS names no folder of labelled files");
        return;
    };
    let (mut right, mut all) = (0, 0);
    for language in std::fs::read_dir(folder).unwrap() {
        let language = language.unwrap().path();
        for file in std::fs::read_dir(&language).into_iter().flatten() {
            let path = file.unwrap().path();
            if let Some(same) = reads_as_labelled(&path) {
                all += 1;
                right += usize::from(same);
                if !same {
                    println!("other text: {}", path.display());
                }
            }
        }
    }
    println!("{right} of {all} files give the text of their label");
    assert!(all > 0 && right * 100 >= all * 99);
}

/// None where the label is in no list of ours.
fn reads_as_labelled(path: &Path) -> Option<bool> {
    let name = path.file_name()?.to_str()?;
    let (label, rest) = name.split_once('.')?;
    let label = match (label, rest) {
        ("utf-16", "be") => "utf-16be",
        ("utf-16", _) => "utf-16le",
        ("ascii", _) => "utf-8",
        (other, _) => other,
    };
    let bytes = std::fs::read(path).unwrap();
    let wanted = decode_as(label.as_bytes(), &bytes)?.text;
    let text = decode(&bytes, false).map_or_else(|_| String::new(), |decoded| decoded.text);
    Some(text.trim_start_matches('\u{feff}') == wanted.trim_start_matches('\u{feff}'))
}
