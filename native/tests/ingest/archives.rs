use std::fs;
use std::ops::ControlFlow;

use _native::document::MediaType;
use _native::extract::Extracted;
use _native::settings::IngestSettings;
use tar::{Builder, EntryType};
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::packed::{gz, replaced, tar, tar_member, zip};
use crate::{document, ingest, settings, verdict};

pub fn opened(name: &str, content: &[u8]) -> Vec<Extracted> {
    with(name, content, |_| {})
}

pub fn with(
    name: &str,
    content: &[u8],
    change: impl FnOnce(&mut IngestSettings),
) -> Vec<Extracted> {
    crate::of_file(name, content, |settings| {
        settings.archives = true;
        change(settings);
    })
}

/// What stands behind the archive's own path, and the text or the reason.
pub fn rows(found: &[Extracted]) -> Vec<(String, String)> {
    found
        .iter()
        .map(|row| {
            let (uri, said) = match row {
                Extracted::Document(document) => {
                    (&document.uri, document.text.chars().take(40).collect())
                }
                Extracted::Rejected(row) => (&row.uri, format!("{:?}: {}", row.status, row.reason)),
            };
            let name = uri.find("/a.").map_or(uri.as_str(), |at| &uri[at + 1..]);
            (name.to_owned(), said)
        })
        .collect()
}

pub fn expect(found: &[Extracted], wanted: &[(&str, &str)]) {
    let wanted: Vec<(String, String)> = wanted
        .iter()
        .map(|(name, said)| ((*name).to_owned(), (*said).to_owned()))
        .collect();
    assert_eq!(rows(found), wanted);
}

#[test]
fn the_members_of_an_archive_are_inputs_in_its_own_order() {
    let members: [(&str, &[u8]); 4] = [
        ("z.txt", b"last name first"),
        ("pages/", b""),
        ("pages/b.html", b"<title>T</title><p>page"),
        ("a.jsonl", b"{\"text\": \"one\"}\n{\"text\": \"two\"}\n"),
    ];
    let tarred = tar(&members);
    for (name, archive) in [
        ("a.zip", zip(&members)),
        ("a.tar", tarred.clone()),
        ("a.tgz", gz(&tarred)),
    ] {
        let found = opened(name, &archive);
        let at = |inner: &str| format!("{name}!/{inner}");
        expect(
            &found,
            &[
                (&at("z.txt"), "last name first"),
                (&at("pages/b.html"), "page"),
                (&at("a.jsonl#1"), "one"),
                (&at("a.jsonl#2"), "two"),
            ],
        );
        let page = document(&found[1]);
        assert_eq!(
            (page.media_type, page.title.as_deref()),
            (MediaType::Html, Some("T"))
        );
        let records: Vec<u32> = found
            .iter()
            .map(|row| document(row).ordinal.record)
            .collect();
        assert_eq!(
            records,
            [0, 1, 2, 3],
            "rows are counted through the archive"
        );
    }
}

#[test]
fn a_member_is_the_document_that_its_file_would_be() {
    let inside = b"<title>T</title><h1>Head</h1><p>text";
    let alone = crate::of_file("p.html", inside, |_| {});
    let member = opened("a.zip", &zip(&[("p.html.gz", &gz(inside))]));
    assert_eq!(document(&member[0]).doc_id, document(&alone[0]).doc_id);
    assert_eq!(document(&member[0]).text, document(&alone[0]).text);
}

#[test]
fn an_archive_that_is_not_opened_says_how_to_open_it() {
    for (name, archive, kind) in [
        ("a.zip", zip(&[("x.txt", b"x")]), "zip"),
        ("a.tar", tar(&[("x.txt", b"x")]), "tar"),
        ("a.tar.gz", gz(&tar(&[("x.txt", b"x")])), "tar"),
        ("a.tgz", gz(&tar(&[("x.txt", b"x")])), "tar"),
    ] {
        let found = crate::of_file(name, &archive, |_| {});
        assert_eq!(
            verdict(&found),
            format!("skipped: unsupported type: {kind} (ingest.archives=true opens it)")
        );
    }
}

#[test]
fn an_archive_inside_an_archive_is_a_row() {
    let inner = zip(&[("x.txt", b"x")]);
    let tarred = tar(&[("x.txt", b"x")]);
    let nested = "Skipped: unsupported type: zip (an archive inside an archive is not opened)";
    let nested_tar = nested.replace("zip", "tar");
    expect(
        &opened(
            "a.zip",
            &zip(&[
                ("in.zip", &inner),
                ("in.tar.gz", &gz(&tarred)),
                ("t.txt", b"text"),
            ]),
        ),
        &[
            ("a.zip!/in.zip", nested),
            ("a.zip!/in.tar.gz", &nested_tar),
            ("a.zip!/t.txt", "text"),
        ],
    );
    expect(
        &opened("a.tar", &tar(&[("in.zip", &inner)])),
        &[("a.tar!/in.zip", nested)],
    );
}

#[test]
fn globs_and_hidden_hold_inside_as_in_a_folder() {
    let members: [(&str, &[u8]); 5] = [
        ("docs/a.md", b"a"),
        ("docs/drafts/b.md", b"b"),
        ("c.txt", b"c"),
        (".git/config.md", b"d"),
        ("docs/.e.md", b"e"),
    ];
    let names = |globs: fn(&mut IngestSettings)| -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::write(folder.path().join("in/a.zip"), zip(&members)).unwrap();
        let mut settings = settings(&[folder.path()]);
        settings.archives = true;
        globs(&mut settings);
        rows(&ingest(&settings))
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    };
    assert_eq!(
        names(|_| {}),
        [
            "a.zip!/docs/a.md",
            "a.zip!/docs/drafts/b.md",
            "a.zip!/c.txt"
        ]
    );
    assert_eq!(
        names(|settings| {
            settings.include = vec!["*.md".to_owned()];
            settings.exclude = vec!["drafts/".to_owned()];
        }),
        ["a.zip!/docs/a.md"]
    );
    assert_eq!(
        names(|settings| settings.include = vec!["/in/a.zip/docs".to_owned()]).len(),
        2
    );
    assert_eq!(
        names(|settings| settings.exclude = vec!["*.zip".to_owned()]).len(),
        0
    );
    assert_eq!(names(|settings| settings.hidden = true).len(), 5);
}

#[test]
fn an_archive_without_a_member_for_us_is_a_row_all_the_same() {
    expect(
        &opened("a.zip", &zip(&[])),
        &[("a.zip", "Skipped: no members")],
    );
    expect(
        &opened("a.tar", &tar(&[("only/", b"")])),
        &[("a.tar", "Skipped: no members")],
    );
    expect(
        &with("a.zip", &zip(&[("a.txt", b"x")]), |settings| {
            settings.include = vec!["*.md".to_owned()];
        }),
        &[(
            "a.zip",
            "Skipped: no members (1 left out by include, exclude and hidden)",
        )],
    );
}

#[test]
fn names_that_lead_elsewhere_and_names_met_twice_are_rows_and_nothing_is_written() {
    let mut tarred = Builder::new(Vec::new());
    for name in [
        "/etc/passwd",
        "../up.txt",
        "../up.txt",
        "./a/b.txt",
        "a//b.txt",
        "C#.txt",
    ] {
        tar_member(&mut tarred, name, EntryType::Regular, b"text");
    }
    let unsafe_ = |why: &str| format!("Failed: unsafe name: {why}");
    let twice = "Failed: duplicate name: an earlier member has it";
    expect(
        &opened("a.tar", &tarred.into_inner().unwrap()),
        &[
            ("a.tar!//etc/passwd", &unsafe_("absolute")),
            ("a.tar!/../up.txt", &unsafe_("it leads out of the archive")),
            (
                "a.tar!/../up.txt@3",
                &unsafe_("it leads out of the archive"),
            ),
            ("a.tar!/a/b.txt", "text"),
            ("a.tar!/a/b.txt@5", twice),
            ("a.tar!/C%23.txt", "text"),
        ],
    );
    let twins = replaced(
        zip(&[("one.txt", b"first"), ("two.txt", b"other")]),
        b"two.txt",
        b"one.txt",
    );
    expect(
        &opened("a.zip", &twins),
        &[("a.zip!/one.txt", "first"), ("a.zip!/one.txt@2", twice)],
    );
    let backslash = replaced(zip(&[("d/e/f.txt", b"text")]), b"d/e/f.txt", b"d\\e\\f.txt");
    let mut dos = backslash;
    let at = dos
        .windows(4)
        .position(|window| window == b"PK\x01\x02")
        .unwrap();
    dos[at + 5] = 0;
    expect(&opened("a.zip", &dos), &[("a.zip!/d/e/f.txt", "text")]);
}

#[test]
fn links_and_devices_are_rows_and_never_followed() {
    let mut tarred = Builder::new(Vec::new());
    for (name, kind) in [
        ("soft", EntryType::Symlink),
        ("hard", EntryType::Link),
        ("pipe", EntryType::Fifo),
        ("disk", EntryType::Block),
        ("holes", EntryType::GNUSparse),
        ("more", EntryType::new(b'M')),
    ] {
        tar_member(&mut tarred, name, kind, b"");
    }
    tar_member(&mut tarred, "t.txt", EntryType::Regular, b"text");
    expect(
        &opened("a.tar", &tarred.into_inner().unwrap()),
        &[
            ("a.tar!/soft", "Skipped: symbolic link"),
            ("a.tar!/hard", "Skipped: hard link"),
            ("a.tar!/pipe", "Skipped: not a regular file: fifo"),
            ("a.tar!/disk", "Skipped: not a regular file: device"),
            ("a.tar!/holes", "Skipped: unsupported type: tar sparse file"),
            (
                "a.tar!/more",
                "Skipped: unsupported type: tar member of type 'M'",
            ),
            ("a.tar!/t.txt", "text"),
        ],
    );
    let mut linked = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    linked
        .add_symlink("soft", "/etc/passwd", SimpleFileOptions::default())
        .unwrap();
    let linked = linked.finish().unwrap().into_inner();
    expect(
        &opened("a.zip", &linked),
        &[("a.zip!/soft", "Skipped: symbolic link")],
    );
}

#[test]
fn a_file_that_looks_like_a_member_is_not_taken_for_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("a.zip!")).unwrap();
    fs::write(folder.path().join("a.zip!/x.txt"), "text").unwrap();
    fs::write(folder.path().join("a.zip"), zip(&[("x.txt", b"text")])).unwrap();
    let mut settings = settings(&[folder.path()]);
    settings.archives = true;
    let found = ingest(&settings);
    let uris: Vec<&str> = found.iter().map(|row| document(row).uri.as_str()).collect();
    assert_eq!(uris.len(), 2);
    assert!(uris[0].ends_with("a.zip!/x.txt"), "{uris:?}");
    assert!(uris[1].contains("a.zip!/x.txt#x2f"), "{uris:?}");
}

#[test]
fn office_files_are_documents_and_no_archives() {
    let types = r#"<Types><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"#;
    let docx = zip(&[("[Content_Types].xml", types.as_bytes())]);
    assert_eq!(
        verdict(&opened("a.zip", &docx)),
        "failed: extractor: none here"
    );
    let inside = opened(
        "a.zip",
        &zip(&[("in.docx", &docx), ("p.pdf", b"%PDF-1.7\n")]),
    );
    expect(
        &inside,
        &[
            ("a.zip!/in.docx", "Failed: extractor: none here"),
            ("a.zip!/p.pdf", "Failed: extractor: none here"),
        ],
    );
}

#[test]
fn a_walk_stops_when_nothing_more_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    fs::write(
        &path,
        tar(&[("a.txt", b"a"), ("b.txt", b"b"), ("c.txt", b"c")]),
    )
    .unwrap();
    let mut settings = settings(&[&path]);
    settings.archives = true;
    let mut seen = 0;
    for found in _native::discover::walk(&settings).unwrap() {
        let _native::discover::Discovered::File(source) = found else {
            panic!()
        };
        _native::extract::extract(&source, &settings, &mut crate::NoWorker, &mut |_| {
            seen += 1;
            if seen == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
    }
    assert_eq!(seen, 2);
}
