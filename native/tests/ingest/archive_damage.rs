//! Archives that are broken, cut or enciphered: every member, or the archive itself, has its row.

use std::io::Write as _;

use _native::document::RejectedStatus;
use _native::extract::Extracted;
use proptest::prelude::*;
use zip::CompressionMethod;
use zip::unstable::write::FileOptionsExt as _;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::archives::{expect, opened, rows, with};
use crate::packed::{gz, tar, zip};

#[test]
fn archives_behind_one_another_are_one_and_other_bytes_there_are_told() {
    let both = [tar(&[("a.txt", b"one")]), tar(&[("b.txt", b"two")])].concat();
    expect(
        &opened("a.tar", &both),
        &[("a.tar!/a.txt", "one"), ("a.tar!/b.txt", "two")],
    );
    let more = [tar(&[("a.txt", b"one")]), vec![b'?'; 700]].concat();
    let none = "Failed: damaged tar: what stands where a member should begin is none";
    expect(
        &opened("a.tar", &more),
        &[("a.tar!/a.txt", "one"), ("a.tar!/", none)],
    );
}

#[test]
fn an_encrypted_member_and_one_packed_in_another_way_are_rows() {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let secret = SimpleFileOptions::default()
        .with_deprecated_encryption(b"key")
        .unwrap();
    archive.start_file("secret.txt", secret).unwrap();
    archive.write_all(b"hidden words").unwrap();
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    archive.start_file("odd.txt", stored).unwrap();
    archive.write_all(b"odd words").unwrap();
    let mut archive = archive.finish().unwrap().into_inner();
    // The second directory entry's method becomes LZMA.
    let at = archive
        .windows(4)
        .rposition(|window| window == b"PK\x01\x02")
        .unwrap();
    archive[at + 10] = 14;
    expect(
        &opened("a.zip", &archive),
        &[
            ("a.zip!/secret.txt", "Failed: encrypted: needs a password"),
            (
                "a.zip!/odd.txt",
                "Skipped: unsupported type: zip compression method 14",
            ),
        ],
    );
}

/// Three members of text, packed in each way.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let words = "words and more words, ".repeat(400);
    let members: [(&str, &[u8]); 3] = [
        ("one.txt", words.as_bytes()),
        ("two/b.md", b"# Two\n\ntext\n"),
        ("three.txt", &words.as_bytes()[7..]),
    ];
    vec![
        ("a.zip", zip(&members)),
        ("a.tar", tar(&members)),
        ("a.tar.gz", gz(&tar(&members))),
    ]
}

/// Never fewer answers than members, unless a row says that the archive is damaged; and all rows have names of their own.
fn accounted(name: &str, archive: &[u8]) {
    // A flipped bit in a name can hide it: that is a name like another.
    let found = with(name, archive, |settings| settings.hidden = true);
    let uris: std::collections::BTreeSet<String> =
        rows(&found).into_iter().map(|(uri, _)| uri).collect();
    assert_eq!(uris.len(), found.len(), "{name}: {:?}", rows(&found));
    let documents = found
        .iter()
        .filter(|row| matches!(row, Extracted::Document(_)))
        .count();
    let failed = found.iter().any(|row| {
        matches!(row, Extracted::Rejected(row) if row.status == RejectedStatus::Failed || row.reason.starts_with("unsupported"))
    });
    assert!(
        documents == 3 || failed || found.len() >= 3,
        "{name}: {:?}",
        rows(&found)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_archive_accounts_for_its_members_or_for_itself(
        which in 0usize..3,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (name, mut archive) = samples().swap_remove(which);
        for (at, value) in flips {
            let at = at.index(archive.len());
            archive[at] = value;
        }
        accounted(name, &archive);
    }

    #[test]
    fn an_archive_that_is_cut_says_so(which in 0usize..3, cut in any::<prop::sample::Index>()) {
        let (name, mut archive) = samples().swap_remove(which);
        // The end mark of a tar is a kilobyte and its padding: what is cut there is no loss.
        let least = if name == "a.tar" { 1024 } else { 1 };
        archive.truncate(1 + cut.index(archive.len() - least));
        accounted(name, &archive);
        let found = opened(name, &archive);
        prop_assert!(found.iter().any(|row| matches!(row, Extracted::Rejected(_))), "{:?}", rows(&found));
    }
}
