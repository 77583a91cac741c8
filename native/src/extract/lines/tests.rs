//! A file as a stream gives what it gives when it is read whole; what only a stream can meet has rows of its own.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::Lines;
use crate::dispatch::tests::settings;
use crate::document::{Digest, Rejected, Source, Stamp};
use crate::extract::convert::{Answer, Convert, Request, Unconverted};
use crate::extract::{Extracted, Job};
use crate::settings::IngestSettings;

/// Less than the shortest line, so that the head ends anywhere.
const HEAD: usize = 5;

struct NoWorker;

impl Convert for NoWorker {
    fn convert(&mut self, _: &Request, _: &[u8]) -> Result<(Answer, String), Unconverted> {
        Err(Unconverted::Stopped)
    }
}

fn source(path: &Path, bytes: &[u8]) -> Source {
    std::fs::write(path, bytes).expect("writable");
    let stamp = Stamp {
        size: bytes.len() as u64,
        mtime_ns: 0,
        inode: 0,
    };
    Source {
        file: 0,
        root: path.into(),
        uri: path.display().to_string(),
        path: path.to_path_buf(),
        stamp,
    }
}

/// The rows of a file as a stream; None when it is none.
fn streamed(
    name: &str,
    bytes: &[u8],
    change: impl FnOnce(&mut IngestSettings),
) -> Option<Vec<Extracted>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut settings = settings(folder.path()).ingest;
    change(&mut settings);
    let source = source(&folder.path().join(name), bytes);
    let job = Job::of_file(&source, &settings);
    let mut rows = Vec::new();
    let lines = Lines::open(&source, HEAD)?;
    let _end = lines.run(&job, &mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    let folder = folder.path().display().to_string();
    Some(rows.into_iter().map(|row| without(&folder, row)).collect())
}

fn whole(name: &str, bytes: &[u8], change: impl FnOnce(&mut IngestSettings)) -> Vec<Extracted> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut settings = settings(folder.path()).ingest;
    change(&mut settings);
    let source = source(&folder.path().join(name), bytes);
    let job = Job::of_file(&source, &settings);
    let mut rows = Vec::new();
    let _end = job.run(bytes, &mut NoWorker, &mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    let folder = folder.path().display().to_string();
    rows.into_iter().map(|row| without(&folder, row)).collect()
}

fn without(folder: &str, mut row: Extracted) -> Extracted {
    let uri = match &mut row {
        Extracted::Document(document) => &mut document.uri,
        Extracted::Rejected(rejected) => &mut rejected.uri,
    };
    *uri = uri.replace(folder, "");
    row
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn reasons(rows: &[Extracted]) -> Vec<(String, String)> {
    let rejected = rows.iter().filter_map(|row| match row {
        Extracted::Rejected(Rejected { uri, reason, .. }) => Some((uri.clone(), reason.clone())),
        Extracted::Document(_) => None,
    });
    rejected.collect()
}

/// Lines as people have them, good and bad.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => ("[a-z é\u{1f600}]{0,20}", 0u32..5).prop_map(|(text, id)| format!("{{\"text\": \"{text}\", \"id\": \"r{id}\"}}")),
        1 => ("[a-z ]{0,8}", 1u32..9).prop_map(|(text, id)| format!("{{\"id\": {id}, \"n\": [1.50, {{}}], \"text\":\"x{text}\"}}")),
        1 => Just("\"a plain string\"".to_owned()),
        1 => Just("{\"id\": \"r1@3\", \"text\": \"named like a second one\"}".to_owned()),
        1 => Just("{\"text\": 5}".to_owned()),
        1 => Just("{\"text\": \"cut".to_owned()),
        1 => "[ \u{a0}\\t]{0,3}",
        1 => Just("[[[[[[1]]]]]]".to_owned()),
    ]
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    let ends = prop_oneof![3 => Just("\n"), 1 => Just("\r\n"), 1 => Just(" \r\r\n")];
    let lines = prop::collection::vec((line(), ends), 0..12);
    (any::<bool>(), lines, any::<bool>()).prop_map(|(mark, lines, open)| {
        let mut text = if mark {
            "\u{feff}".to_owned()
        } else {
            String::new()
        };
        let last = lines.len();
        for (index, (line, end)) in lines.into_iter().enumerate() {
            text.push_str(&line);
            if index + 1 < last || !open {
                text.push_str(end);
            }
        }
        text.into_bytes()
    })
}

proptest! {
    #[test]
    fn a_stream_gives_what_the_whole_file_gives(bytes in file(), ids in any::<bool>(), packed in any::<bool>()) {
        let change = |settings: &mut IngestSettings| {
            settings.jsonl.id_field = ids.then(|| "id".to_owned());
            settings.max_json_depth = 5;
        };
        let (name, stored) = if packed { ("a.jsonl.gz", gz(&bytes)) } else { ("a.ndjson", bytes.clone()) };
        let expected = whole(name, &bytes, change);
        match streamed(name, &stored, change) {
            Some(rows) => prop_assert_eq!(rows, expected),
            None => prop_assert!(bytes.len() <= HEAD || String::from_utf8_lossy(&bytes).trim().is_empty()),
        }
    }
}

#[test]
fn other_encodings_and_other_types_under_the_name_are_read_whole() {
    let line = "{\"text\": \"plain words of some length\"}\n";
    let utf16: Vec<u8> = line.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked: Vec<u8> = [b"\xff\xfe".as_slice(), &utf16].concat();
    assert_eq!(streamed("a.jsonl", &utf16, |_| {}), None);
    assert_eq!(streamed("a.jsonl", &marked, |_| {}), None);
    assert_eq!(
        streamed("a.jsonl", b"\"\xe9t\xe9 caf\xe9\"\n", |_| {}),
        None
    );
    assert_eq!(streamed("a.jsonl", b"\0\0\0\0\0\0\0\0\0", |_| {}), None);
    assert_eq!(
        streamed("a.jsonl", b"%PDF-1.7 and more of it", |_| {}),
        None
    );
    assert_eq!(streamed("a.json", line.as_bytes(), |_| {}), None);
    assert!(streamed("A.JSONL", line.as_bytes(), |_| {}).is_some());
}

#[test]
fn a_line_in_another_encoding_fails_alone() {
    let rows = streamed(
        "a.jsonl",
        b"\"first line\"\n\"caf\xe9\"\r\n\"third\"",
        |_| {},
    )
    .expect("a stream");
    assert_eq!(rows.len(), 3);
    let expected = "not UTF-8 as the lines before it: byte 4, line 2";
    assert_eq!(reasons(&rows), [("/a.jsonl#2".into(), expected.into())]);
    let Extracted::Rejected(bad) = &rows[1] else {
        panic!("{rows:?}")
    };
    assert_eq!(bad.doc_id, Some(Digest::of(b"\"caf\xe9\"")));
}

#[test]
fn a_line_over_the_limit_fails_alone_and_the_file_may_be_longer_than_it() {
    let long = "x".repeat(300_000);
    let text = format!("\"one\"\n\"{long}\"\n\"three\"\n\"{long}\"");
    let rows = streamed("a.jsonl", text.as_bytes(), |settings| {
        settings.max_file_bytes = 1000;
    })
    .expect("a stream");
    let reason = |line| format!("limit max_file_bytes: 300002 over 1000, line {line}");
    assert_eq!(
        reasons(&rows),
        [
            ("/a.jsonl#2".into(), reason(2)),
            ("/a.jsonl#4".into(), reason(4))
        ]
    );
    assert_eq!(rows.len(), 4);
}

#[test]
fn a_damaged_end_is_a_row_behind_the_records_before_it() {
    let lines: Vec<String> = (0..2000)
        .map(|number| format!("\"record {number} {}\"", number * 7919 % 1000))
        .collect();
    let text = lines.join("\n");
    let packed = gz(text.as_bytes());
    let rows = streamed("a.jsonl.gz", &packed[..packed.len() / 2], |_| {}).expect("a stream");
    assert!(rows.len() > 100);
    let reasons = reasons(&rows);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    let (uri, reason) = &reasons[0];
    assert_eq!(uri, "/a.jsonl.gz");
    let expected = format!(
        "damaged gzip: incomplete deflate stream, behind line {}",
        rows.len() - 1
    );
    assert_eq!(reason, &expected);
}

#[test]
fn a_bomb_ends_at_the_ratio() {
    let line = format!("\"{}\"\n", "a".repeat(100_000));
    let packed = gz(line.repeat(60).as_bytes());
    let rows = streamed("a.jsonl.gz", &packed, |settings| {
        settings.max_inflate_ratio = 10;
    })
    .expect("a stream");
    let reasons = reasons(&rows);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(
        reasons[0].1.starts_with("limit max_inflate_ratio: ")
            && reasons[0].1.ends_with("behind line 10"),
        "{reasons:?}"
    );
    assert_eq!(rows.len(), 11);
}
