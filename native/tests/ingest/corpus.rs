//! The whole path over a folder of real documents that the test is told of; prints what became of every file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use _native::extract::Extracted;
use serde_json::json;

use crate::{ingest, settings};

#[test]
#[ignore = "needs RUNNER_CORPUS=FOLDER; run with --nocapture"]
fn every_file_of_a_corpus_is_accounted_for() {
    let folder = std::env::var("RUNNER_CORPUS").expect("RUNNER_CORPUS");
    let settings = settings(&[Path::new(&folder)]);
    let files = _native::discover::walk(&settings).unwrap().count();
    let started = Instant::now();
    let rows = ingest(&settings);
    let seconds = started.elapsed().as_secs_f64();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut text = 0;
    for row in &rows {
        let (class, ordinal) = match row {
            Extracted::Document(document) => {
                text += document.text.len();
                (
                    format!("document {:?}", document.media_type),
                    document.ordinal,
                )
            }
            Extracted::Rejected(row) => (format!("{:?}: {}", row.status, row.reason), row.ordinal),
        };
        *counts.entry(class).or_default() += 1;
        seen.insert(ordinal.file);
    }
    for (class, count) in &counts {
        println!("{count:8}  {class}");
    }
    println!(
        "files {files}, rows {}, text {} bytes, {seconds:.2} s",
        rows.len(),
        text
    );
    assert_eq!(seen.len(), files, "a file has no row");
    assert_eq!(ingest(&settings), rows, "a second time gives the same");
}

/// Every row as a JSON line into RUNNER_OUT, for a look at the text or a comparison with other readers.
#[test]
#[ignore = "needs RUNNER_CORPUS=FOLDER and RUNNER_OUT=FILE"]
fn rows_of_a_corpus_as_json_lines() {
    let folder = std::env::var("RUNNER_CORPUS").expect("RUNNER_CORPUS");
    let mut out = String::new();
    for row in ingest(&settings(&[Path::new(&folder)])) {
        let line = match row {
            Extracted::Document(document) => json!({
                "uri": document.uri, "title": document.title, "text": document.text, "metadata": document.metadata,
            }),
            Extracted::Rejected(row) => {
                json!({"uri": row.uri, "status": row.status, "reason": row.reason})
            }
        };
        out.push_str(&line.to_string());
        out.push('\n');
    }
    std::fs::write(std::env::var("RUNNER_OUT").expect("RUNNER_OUT"), out).unwrap();
}
