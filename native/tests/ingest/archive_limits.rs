//! Archives made to hurt: what comes out is counted, and what they state of themselves is not believed.

use _native::settings::IngestSettings;
use tar::{Builder, EntryType};

use crate::archives::{expect, opened, rows, with};
use crate::packed::{gz, tar, tar_member, zip};
use crate::{document, rejected};

#[test]
fn every_limit_counts_what_comes_out() {
    let zeros = vec![b'x'; 4 << 20];
    let members: [(&str, &[u8]); 3] = [
        ("a.txt", b"small"),
        ("bomb.txt", &zeros),
        ("z.txt", b"small too"),
    ];
    let packed = [
        ("a.zip", zip(&members)),
        ("a.tar", tar(&members)),
        ("a.tar.gz", gz(&tar(&members))),
    ];
    for (name, archive) in &packed {
        let said = |change: fn(&mut IngestSettings)| -> Vec<String> {
            rows(&with(name, archive, change))
                .into_iter()
                .map(|(_, said)| said)
                .collect()
        };
        let entry = said(|settings| {
            (settings.max_zip_entry_bytes, settings.max_inflate_ratio) = (1 << 20, 5000);
        });
        assert_eq!(entry.len(), 3, "{name}: {entry:?}");
        assert!(
            entry[1].starts_with("Failed: limit max_zip_entry_bytes: "),
            "{name}: {entry:?}"
        );
        assert_eq!(entry[2], "small too", "{name}: the others go on");
        let entries = said(|settings| {
            (settings.max_zip_entries, settings.max_inflate_ratio) = (2, 5000);
        });
        assert_eq!(
            entries.last().unwrap(),
            "Failed: limit max_zip_entries: 3 over 2",
            "{name}"
        );
        let total = said(|settings| {
            settings.max_zip_total_bytes = 2 << 20;
            settings.max_inflate_ratio = 5000;
        });
        assert_eq!(total[0], "small");
        assert!(
            total[1].starts_with("Failed: limit max_zip_total_bytes: "),
            "{name}: {total:?}"
        );
        assert!(
            total[2].starts_with("Failed: limit max_zip_total_bytes: "),
            "{name}: {total:?}"
        );
        let file = said(|settings| {
            (settings.max_file_bytes, settings.max_inflate_ratio) = (1 << 20, 5000);
        });
        assert!(
            file[1].starts_with("Failed: limit max_file_bytes: "),
            "{name}: {file:?}"
        );
    }
    for (name, archive) in [&packed[0], &packed[2]] {
        let ratio = rows(&opened(name, archive));
        let of_bomb = ratio
            .iter()
            .find(|(name, _)| name.ends_with("bomb.txt"))
            .unwrap();
        assert!(
            of_bomb.1.starts_with("Failed: limit max_inflate_ratio: "),
            "{ratio:?}"
        );
    }
}

#[test]
fn gzip_members_count_with_what_they_inflate_to() {
    let pages = vec![b'x'; 900_000];
    let archive = zip(&[
        ("a.txt.gz", &gz(&pages)),
        ("b.txt.gz", &gz(&pages)),
        ("c.txt", b"c"),
    ]);
    let found = with("a.zip", &archive, |settings| {
        settings.max_zip_total_bytes = 1_000_000;
    });
    assert_eq!(document(&found[0]).text.len(), 900_000);
    for row in &found[1..] {
        assert!(
            rejected(row)
                .reason
                .starts_with("limit max_zip_total_bytes: "),
            "{row:?}"
        );
    }
}

#[test]
fn what_an_archive_states_of_a_size_is_never_believed() {
    // 4 GiB - 1 stated for five bytes, in the directory and before the member.
    let honest = zip(&[("a.txt", b"hello"), ("b.txt", b"other")]);
    let at = honest
        .windows(4)
        .position(|window| window == b"PK\x01\x02")
        .unwrap();
    let mut lying = honest.clone();
    lying[at + 24..at + 28].copy_from_slice(&(u32::MAX - 1).to_le_bytes());
    expect(
        &opened("a.zip", &lying),
        &[
            (
                "a.zip!/a.txt",
                "Failed: damaged zip: size or checksum does not match",
            ),
            ("a.zip!/b.txt", "other"),
        ],
    );
    lying = honest;
    lying[at + 20..at + 24].copy_from_slice(&(u32::MAX - 1).to_le_bytes());
    expect(
        &opened("a.zip", &lying),
        &[
            (
                "a.zip!/a.txt",
                "Failed: damaged zip: its bytes lie outside the file",
            ),
            ("a.zip!/b.txt", "other"),
        ],
    );
    let mut tarred = Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_path("a.txt").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    tarred.append(&header, &b"hello"[..]).unwrap();
    let found = rows(&opened("a.tar", &tarred.into_inner().unwrap()));
    assert_eq!(
        found[0].1,
        format!(
            "Failed: limit max_zip_entry_bytes: {} over {}",
            1u64 << 40,
            256 << 20
        )
    );
    assert_eq!(
        found[1],
        (
            "a.tar!/".to_owned(),
            "Failed: damaged tar: it is cut short".to_owned()
        )
    );
}

#[test]
fn long_names_and_extended_headers_are_read_and_bounded() {
    let long = format!("{}/{}.txt", "d".repeat(150), "n".repeat(150));
    let mut tarred = Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_entry_type(EntryType::Regular);
    tarred
        .append_data(&mut header.clone(), &long, &b"text"[..])
        .unwrap();
    tarred
        .append_pax_extensions([("path", b"p\xc3\xa4.txt".as_slice()), ("comment", b"x")])
        .unwrap();
    tar_member(&mut tarred, "short", EntryType::Regular, b"more");
    expect(
        &opened("a.tar", &tarred.into_inner().unwrap()),
        &[
            (&format!("a.tar!/{long}"), "text"),
            ("a.tar!/pä.txt", "more"),
        ],
    );
    let mut hostile = Builder::new(Vec::new());
    tar_member(
        &mut hostile,
        "././@LongLink",
        EntryType::GNULongName,
        &vec![b'n'; 2 << 20],
    );
    tar_member(&mut hostile, "a.txt", EntryType::Regular, b"text");
    expect(
        &opened("a.tar", &hostile.into_inner().unwrap()),
        &[(
            "a.tar",
            "Failed: damaged tar: a name or header of 2097152 bytes",
        )],
    );
}
