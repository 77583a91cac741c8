use std::io::Write as _;

use _native::document::{Digest, MediaType};
use _native::extract::Extracted;
use _native::settings::CsvMode;

use crate::packed::gz;
use crate::{document, of_file, rejected, verdict};

fn plain(name: &str, content: &[u8]) -> Vec<Extracted> {
    of_file(name, content, |_| {})
}

#[test]
fn a_text_file_is_one_document_named_by_its_bytes() {
    let rows = plain("a.txt", b"one\r\ntwo\n");
    let document = document(&rows[0]);
    assert_eq!(document.text, "one\ntwo\n");
    assert_eq!(document.doc_id, Digest::of(b"one\r\ntwo\n"));
    assert_eq!(document.media_type, MediaType::Text);
    assert!(document.uri.ends_with("/a.txt"));
    assert_eq!(document.metadata["encoding"], "UTF-8");
}

#[test]
fn a_gzip_file_is_the_document_inside_it() {
    let inside = b"<title>T</title><h1>Head</h1><p>text";
    let packed = plain("a.html.gz", &gz(inside));
    let bare = plain("a.html", inside);
    assert_eq!(document(&packed[0]).doc_id, document(&bare[0]).doc_id);
    assert_eq!(document(&packed[0]).text, document(&bare[0]).text);
    assert_eq!(document(&packed[0]).media_type, MediaType::Html);
}

/// As much of a docx as tells what it is.
fn ooxml() -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    archive.start_file("[Content_Types].xml", options).unwrap();
    let main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml";
    let types = format!(
        r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override PartName="/word/document.xml" ContentType="{main}"/></Types>"#
    );
    archive.write_all(types.as_bytes()).unwrap();
    archive.finish().unwrap().into_inner()
}

#[test]
fn every_kind_of_no_document_has_its_reason() {
    let tar = {
        let mut tar = vec![b'x'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        tar
    };
    let noise: Vec<u8> = (0..=255).cycle().take(4096).collect();
    let cases: [(&str, &[u8], &str); 13] = [
        ("a.txt", b"", "skipped: empty"),
        ("a.txt", b" \n\t\n", "skipped: no text"),
        ("a.html", b"<p></p><script>x()</script>", "skipped: no text"),
        ("a.pdf", b"%PDF-1.7\n", "failed: extractor: none here"),
        (
            "a.txt",
            b"\x89PNG\r\n\x1a\n\0\0",
            "skipped: unsupported type: png",
        ),
        ("a.docx", &ooxml(), "failed: extractor: none here"),
        (
            "a.tar.gz",
            &gz(&tar),
            "skipped: unsupported type: tar (ingest.archives=true opens it)",
        ),
        (
            "a.txt.gz",
            b"\x1f\x8b\x08 broken",
            "failed: damaged gzip: invalid gzip header",
        ),
        ("data", &noise, "skipped: unsupported type: binary"),
        ("a.bin", &noise, "skipped: unsupported type: binary"),
        (
            "a.txt",
            &noise,
            "failed: binary content: a zero byte at offset 0",
        ),
        (
            "a.json",
            b"{\"a\": }",
            "failed: invalid json: expected value at line 1 column 7",
        ),
        ("a.csv", b"a,b\n", "skipped: no text"),
    ];
    for (name, content, expected) in cases {
        assert_eq!(verdict(&plain(name, content)), expected, "{name}");
    }
}

#[test]
fn every_limit_is_named_with_its_value_and_bound() {
    let rows = of_file("a.txt", &[b'x'; 100], |settings| {
        settings.max_file_bytes = 99;
    });
    assert_eq!(verdict(&rows), "failed: limit max_file_bytes: 100 over 99");
    let rows = of_file("a.txt", &[b'x'; 100], |settings| {
        settings.max_text_bytes = 99;
    });
    assert_eq!(verdict(&rows), "failed: limit max_text_bytes: 100 over 99");
    let bomb = gz(&vec![b'x'; 8 << 20]);
    let rows = of_file("a.txt.gz", &bomb, |_| {});
    let reason = verdict(&rows);
    assert!(
        reason.starts_with("failed: limit max_inflate_ratio: ") && reason.ends_with(" over 200"),
        "{reason}"
    );
    let rows = of_file("a.txt.gz", &gz(&[b'x'; 5000]), |settings| {
        settings.max_file_bytes = 4999;
    });
    assert_eq!(
        verdict(&rows),
        "failed: limit max_file_bytes: 5000 over 4999"
    );
    let rows = plain("a.html", &b"<div>".repeat(100_000));
    assert!(
        verdict(&rows).starts_with("failed: limit max_html_depth: "),
        "{}",
        verdict(&rows)
    );
    let deep = [b"[".repeat(200), b"]".repeat(200)].concat();
    assert_eq!(
        verdict(&plain("a.json", &deep)),
        "failed: limit max_json_depth: 200 over 127"
    );
}

#[test]
fn a_repetitive_small_gzip_is_no_bomb() {
    assert_eq!(
        document(&plain("a.txt.gz", &gz(&[b'x'; 500_000]))[0])
            .text
            .len(),
        500_000
    );
}

#[test]
fn each_json_line_is_a_document_and_a_bad_one_fails_alone() {
    let content = "{\"text\": \"one\", \"title\": \"T\", \"year\": 1999}\n\n{broken\n{\"content\": \"two\"}\n\"three\"\n[1]\n{\"x\": 1}\n{\"text\": \" \"}\n";
    let rows = plain("a.jsonl", content.as_bytes());
    assert_eq!(rows.len(), 7);
    let first = document(&rows[0]);
    assert_eq!(
        (first.text.as_str(), first.title.as_deref()),
        ("one", Some("T"))
    );
    assert_eq!(first.metadata["year"], "1999");
    assert!(first.uri.ends_with("a.jsonl#1"));
    assert_eq!(
        rejected(&rows[1]).reason,
        "invalid JSON: key must be a string at column 2, line 3"
    );
    assert!(rejected(&rows[1]).uri.ends_with("a.jsonl#3"));
    assert_eq!(document(&rows[2]).text, "two");
    assert_eq!(document(&rows[3]).text, "three");
    assert_eq!(
        rejected(&rows[4]).reason,
        "record is an array, not an object or a string, line 6"
    );
    assert_eq!(
        rejected(&rows[5]).reason,
        "no text field (none of text, content, body, document), line 7"
    );
    assert_eq!(rejected(&rows[6]).reason, "no text");
    let records: Vec<u32> = rows
        .iter()
        .map(|row| match row {
            Extracted::Document(document) => document.ordinal.record,
            Extracted::Rejected(row) => row.ordinal.record,
        })
        .collect();
    assert_eq!(records, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn text_and_id_are_found_by_key_or_pointer() {
    let content = b"{\"a\": {\"b\": \"deep\"}, \"n\": 7}\n{\"a\": 1}\n{\"a\": {\"b\": 3}}\n{\"a\": {\"b\": \"x\"}, \"n\": 7}\n";
    let rows = of_file("a.jsonl", content, |settings| {
        settings.jsonl.text_field = Some("/a/b".to_owned());
        settings.jsonl.id_field = Some("n".to_owned());
    });
    assert_eq!(document(&rows[0]).text, "deep");
    assert!(document(&rows[0]).uri.ends_with("#7"));
    assert_eq!(
        rejected(&rows[1]).reason,
        "text field /a/b is missing, line 2"
    );
    assert_eq!(
        rejected(&rows[2]).reason,
        "text field /a/b is a number, not a string, line 3"
    );
    assert!(
        document(&rows[3]).uri.ends_with("#7@4"),
        "a second 7 gets a name of its own"
    );
}

#[test]
fn equal_records_have_equal_ids_whatever_their_order_of_keys() {
    let rows = plain("a.jsonl", b"{\"text\": \"x\", \"b\": [1, {\"d\": 1, \"c\": 2}]}\n{\"b\":[1,{\"c\":2,\"d\":1}],\"text\":\"x\"}\n{\"text\":\"x\"}\n");
    assert_eq!(document(&rows[0]).doc_id, document(&rows[1]).doc_id);
    assert_ne!(document(&rows[0]).doc_id, document(&rows[2]).doc_id);
}

#[test]
fn a_json_file_is_one_document_unless_it_is_a_table_of_records() {
    let whole = b"{\"name\": \"x\", \"text\": \"y\"}";
    assert_eq!(document(&plain("a.json", whole)[0]).text.as_bytes(), whole);
    let list = b"[1, 2, 3]";
    assert_eq!(document(&plain("a.json", list)[0]).text.as_bytes(), list);
    let config = b"[{\"a\": 1}, {\"text\": \"x\"}]";
    assert_eq!(plain("a.json", config).len(), 1);
    let rows = plain("a.json", b"[{\"text\": \"x\"}, {\"body\": \"y\"}]");
    assert_eq!(
        (
            document(&rows[0]).text.as_str(),
            document(&rows[1]).text.as_str()
        ),
        ("x", "y")
    );
    let rows = of_file("a.json", whole, |settings| {
        settings.json.text_field = Some("text".to_owned());
    });
    assert_eq!(document(&rows[0]).text, "y");
}

#[test]
fn each_row_of_a_table_is_a_document() {
    let rows = plain(
        "a.csv",
        b"id,title,body\n1,First,\"Hello, \"\"you\"\"\nagain\"\n2,Second\n3,Third,x\n",
    );
    let first = document(&rows[0]);
    assert_eq!(first.text, "Hello, \"you\"\nagain");
    assert_eq!(first.title.as_deref(), Some("First"));
    assert_eq!(first.metadata["id"], "1");
    assert_eq!(
        rejected(&rows[1]).reason,
        "invalid CSV: 2 fields, the header has 3, line 4"
    );
    assert_eq!(document(&rows[2]).text, "x");
}

#[test]
fn a_row_without_a_text_column_is_written_out_whole() {
    let rows = plain("a.tsv", b"city\tpeople\tnote\nRome\t3\t\n");
    assert_eq!(document(&rows[0]).text, "city: Rome\npeople: 3");
    let rows = plain("a.csv", b"city;people\nRome;3\n");
    assert_eq!(document(&rows[0]).text, "city: Rome\npeople: 3");
}

#[test]
fn a_table_can_be_one_document_and_a_wrong_column_says_so() {
    let rows = of_file("a.csv", b"a,b\n1,2\n", |settings| {
        settings.csv.mode = CsvMode::File;
    });
    assert_eq!(document(&rows[0]).text, "a,b\n1,2\n");
    let rows = of_file("a.csv", b"a,b\n1,2\n", |settings| {
        settings.csv.text_field = Some("c".to_owned());
    });
    assert_eq!(verdict(&rows), "failed: text field c is no column of a,b");
}

#[test]
fn a_markdown_title_is_its_first_real_heading() {
    let rows = plain(
        "a.md",
        b"```\n# no\n```\n\nThe *real* `one`\n=======\n\n## Two\n",
    );
    assert_eq!(document(&rows[0]).title.as_deref(), Some("The real one"));
    assert_eq!(document(&plain("b.md", b"no heading\n")[0]).title, None);
}

#[test]
fn source_code_keeps_every_byte() {
    let rows = plain("a.py", b"def f():\n\treturn 1\n");
    assert_eq!(document(&rows[0]).text, "def f():\n\treturn 1\n");
    assert_eq!(document(&rows[0]).media_type, MediaType::Code);
}

#[test]
fn a_path_that_became_something_else_is_a_row() {
    use _native::document::{Source, Stamp};
    let folder = tempfile::tempdir().unwrap();
    let of = |path: std::path::PathBuf| {
        let settings = crate::settings(&[folder.path()]);
        let stamp = Stamp {
            size: 1,
            mtime_ns: 0,
            inode: 0,
        };
        let source = Source {
            file: 0,
            uri: "u".to_owned(),
            root: path.as_path().into(),
            path,
            stamp,
        };
        let mut rows = Vec::new();
        _native::extract::extract(&source, &settings, &mut crate::NoWorker, &mut |row| {
            rows.push(row);
            std::ops::ControlFlow::Continue(())
        });
        verdict(&rows)
    };
    assert_eq!(
        of(folder.path().to_path_buf()),
        "failed: not a regular file: folder"
    );
    assert_eq!(
        of(folder.path().join("gone.txt")),
        "failed: unreadable: no such file or folder"
    );
    let pipe = folder.path().join("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(of(pipe), "failed: not a regular file: fifo");
}

#[test]
fn the_sink_can_stop_a_long_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    std::fs::write(&path, "\"x\"\n".repeat(100)).unwrap();
    let settings = crate::settings(&[&path]);
    let mut seen = 0;
    for found in _native::discover::walk(&settings).unwrap() {
        if let _native::discover::Discovered::File(source) = found {
            _native::extract::extract(&source, &settings, &mut crate::NoWorker, &mut |_| {
                seen += 1;
                if seen == 3 {
                    std::ops::ControlFlow::Break(())
                } else {
                    std::ops::ControlFlow::Continue(())
                }
            });
        }
    }
    assert_eq!(seen, 3);
}
