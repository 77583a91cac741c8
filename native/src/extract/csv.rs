//! Tables divided by commas, semicolons or tabs: each row one document, or the whole file one.
//!
//! Rows need a header line: it names the fields. A row of the wrong length fails alone, with its line number. Called by
//! `extract/mod.rs`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use csv::{ReaderBuilder, StringRecord};

use crate::document::{Digest, MediaType, Origin, RejectedStatus};
use crate::settings::CsvMode;

use super::json::{Ids, MAX_METADATA_BYTES, USUAL_TEXT_FIELDS};
use super::text::unix_lines;
use super::{Draft, Job, Sink};

pub(super) fn table(
    job: &Job<'_>,
    id: Digest,
    text: String,
    tabs: bool,
    metadata: BTreeMap<String, String>,
    sink: Sink<'_>,
) -> ControlFlow<()> {
    if job.settings.csv.mode == CsvMode::File {
        return job.file(id, MediaType::Csv, None, unix_lines(text), metadata, sink);
    }
    let mut reader = ReaderBuilder::new()
        .delimiter(if tabs { b'\t' } else { delimiter(&text) })
        .flexible(true)
        .from_reader(text.as_bytes());
    let fail = |reason: String| job.rejected(Some(id), RejectedStatus::Failed, reason);
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => return sink(fail(format!("invalid CSV: {error}"))),
    };
    let columns = match Columns::find(job, &header) {
        Ok(columns) => columns,
        Err(reason) => return sink(fail(reason)),
    };
    let mut ids = Ids::default();
    let mut record = 0;
    for row in reader.records() {
        let row = match row {
            Ok(row) => row,
            // The text is valid UTF-8 in memory, so the reader has nothing else to fail on; if it does, the file ends here.
            Err(error) => return sink(fail(format!("invalid CSV: {error}"))),
        };
        let line = row.position().map_or(0, csv::Position::line);
        one(
            job, record, line, &header, &row, &columns, &mut ids, &metadata, sink,
        )?;
        record += 1;
    }
    if record == 0 {
        return sink(job.rejected(Some(id), RejectedStatus::Skipped, "no text".to_owned()));
    }
    ControlFlow::Continue(())
}

/// Where the text and the id of a row stand; no text column means the whole row.
struct Columns {
    text: Option<usize>,
    id: Option<usize>,
    title: Option<usize>,
}

impl Columns {
    fn find(job: &Job<'_>, header: &StringRecord) -> Result<Columns, String> {
        let position = |wanted: &str| header.iter().position(|name| name.trim() == wanted);
        let required = |role: &str, wanted: &Option<String>| match wanted {
            None => Ok(None),
            Some(wanted) => position(wanted).map(Some).ok_or_else(|| {
                let names: Vec<&str> = header.iter().collect();
                format!("{role} field {wanted} is no column of {}", names.join(","))
            }),
        };
        let text = required("text", &job.settings.csv.text_field)?;
        Ok(Columns {
            text: text.or_else(|| USUAL_TEXT_FIELDS.iter().find_map(|name| position(name))),
            id: required("id", &job.settings.csv.id_field)?,
            title: position("title"),
        })
    }
}

#[expect(clippy::too_many_arguments, reason = "one row's whole context")]
fn one(
    job: &Job<'_>,
    record: u32,
    line: u64,
    header: &StringRecord,
    row: &StringRecord,
    columns: &Columns,
    ids: &mut Ids,
    metadata: &BTreeMap<String, String>,
    sink: Sink<'_>,
) -> ControlFlow<()> {
    let cell = |column: Option<usize>| {
        let text = column.and_then(|column| row.get(column))?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let number = usize::try_from(line).unwrap_or(usize::MAX);
    let id = ids.unique(cell(columns.id).unwrap_or_else(|| line.to_string()), number);
    let doc_id = row_id(header, row);
    if row.len() != header.len() {
        let reason = format!(
            "invalid CSV: {} fields, the header has {}, line {line}",
            row.len(),
            header.len()
        );
        return sink(job.reject_record(record, Some(&id), doc_id, RejectedStatus::Failed, reason));
    }
    let mut metadata = metadata.clone();
    for (name, value) in header.iter().zip(row) {
        if value.len() <= MAX_METADATA_BYTES {
            metadata.insert(name.trim().to_owned(), value.to_owned());
        }
    }
    let text = match columns.text {
        Some(column) => row.get(column).unwrap_or_default().to_owned(),
        None => whole_row(header, row),
    };
    let draft = Draft {
        record,
        record_id: Some(id),
        doc_id,
        media_type: MediaType::Csv,
        title: cell(columns.title),
        text,
        metadata,
        origin: Origin::default(),
    };
    job.emit(draft, sink)
}

/// `name: value` a line; empty cells say nothing.
fn whole_row(header: &StringRecord, row: &StringRecord) -> String {
    let lines: Vec<String> = header
        .iter()
        .zip(row)
        .filter(|(_, value)| !value.trim().is_empty())
        .map(|(name, value)| format!("{}: {}", name.trim(), value.trim()))
        .collect();
    lines.join("\n")
}

/// Names and values, each with its length, so that no two rows share an encoding.
fn row_id(header: &StringRecord, row: &StringRecord) -> Digest {
    let mut bytes = Vec::new();
    for field in header.iter().chain(row) {
        bytes.extend_from_slice(&(field.len() as u64).to_le_bytes());
        bytes.extend_from_slice(field.as_bytes());
    }
    Digest::of(&bytes)
}

/// The one of comma, semicolon and tab that stands most often in the first line, outside quotes; comma on a tie.
fn delimiter(text: &str) -> u8 {
    let line = text.lines().next().unwrap_or_default();
    let mut quoted = false;
    let (mut commas, mut semicolons, mut tabs) = (0, 0, 0);
    for byte in line.bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => commas += 1,
            b';' if !quoted => semicolons += 1,
            b'\t' if !quoted => tabs += 1,
            _ => {}
        }
    }
    if tabs > commas && tabs > semicolons {
        b'\t'
    } else if semicolons > commas {
        b';'
    } else {
        b','
    }
}
