//! From folders to chunks, over real files: discover, extract, tokens, chunk. One binary, so that it links once.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    clippy::large_stack_arrays,
    reason = "figures that are printed, and inputs that are large on purpose"
)]

mod archive_damage;
mod archive_limits;
mod archives;
mod chunking;
mod corpus;
mod discovery;
mod extraction;
mod packed;
mod pages;
mod places;
mod tokenizing;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use _native::discover::{self, Discovered};
use _native::document::{Document, Rejected};
use _native::extract::convert::{Answer, Convert, Request, Unconverted};
use _native::extract::{self, Extracted};
use _native::settings::{CsvMode, CsvSettings, IngestSettings, IsolationSettings, RecordSettings};

pub fn settings(inputs: &[&Path]) -> IngestSettings {
    let record = RecordSettings {
        text_field: None,
        id_field: None,
    };
    IngestSettings {
        inputs: inputs
            .iter()
            .map(|path| path.to_str().unwrap().to_owned())
            .collect(),
        stdin: None,
        list: None,
        include: Vec::new(),
        exclude: Vec::new(),
        hidden: false,
        follow_links: false,
        ignore_files: true,
        archives: false,
        paranoid: false,
        threads: 1,
        max_file_bytes: 256 << 20,
        max_text_bytes: 64 << 20,
        max_inflate_ratio: 200,
        max_zip_entries: 10_000,
        max_zip_entry_bytes: 256 << 20,
        max_zip_total_bytes: 512 << 20,
        max_pdf_pages: 100_000,
        second_pdf_reader: None,
        max_xml_depth: 1000,
        max_html_depth: 512,
        max_json_depth: 128,
        jsonl: record.clone(),
        json: record,
        csv: CsvSettings {
            mode: CsvMode::Row,
            text_field: None,
            id_field: None,
        },
        chunk_overlap_tokens: 0,
        isolation: IsolationSettings {
            cpu_s: 1,
            wall_s: 1,
            start_s: 20,
        },
    }
}

/// These tests start no process: what needs one fails with this reason.
pub struct NoWorker;

impl Convert for NoWorker {
    fn convert(&mut self, _: &Request, _: &[u8]) -> Result<(Answer, String), Unconverted> {
        Err(Unconverted::Failed("extractor: none here".to_owned()))
    }
}

/// Everything that the inputs give, in order.
pub fn ingest(settings: &IngestSettings) -> Vec<Extracted> {
    let mut all = Vec::new();
    for found in discover::walk(settings).unwrap() {
        match found {
            Discovered::Rejected(rejected) => all.push(Extracted::Rejected(rejected)),
            Discovered::File(source) => {
                extract::extract(&source, settings, &mut NoWorker, &mut |one| {
                    all.push(one);
                    ControlFlow::Continue(())
                });
            }
        }
    }
    all
}

/// One file of this name and content, ingested alone.
pub fn of_file(
    name: &str,
    content: &[u8],
    change: impl FnOnce(&mut IngestSettings),
) -> Vec<Extracted> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    let mut settings = settings(&[&path]);
    change(&mut settings);
    ingest(&settings)
}

pub fn document(extracted: &Extracted) -> &Document {
    match extracted {
        Extracted::Document(document) => document,
        Extracted::Rejected(rejected) => panic!("rejected: {rejected:?}"),
    }
}

pub fn rejected(extracted: &Extracted) -> &Rejected {
    match extracted {
        Extracted::Rejected(rejected) => rejected,
        Extracted::Document(document) => panic!("a document: {document:?}"),
    }
}

/// "skipped: empty", "failed: limit ...": status and reason of the only row.
pub fn verdict(rows: &[Extracted]) -> String {
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = rejected(&rows[0]);
    format!("{:?}: {}", row.status, row.reason).to_lowercase()
}
