//! results.jsonl and failures.jsonl: one line an input, derived from the journal. docs/results.md is the format's page.
//!
//! Holds no truth: both files are rebuilt from the journal at open and put into input order at finish. Called by dispatch
//! when an input has a verdict, and by core at the end. Never decides a verdict (journal/state.rs does).

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::document::{Digest, Ordinal};
use crate::error::{Error, Result};
use crate::journal::planted::{Bug, planted};
use crate::journal::record::{Input, ResultRecord, Timings};
use crate::journal::state::parts_of;
use crate::journal::{InputStatus, ResultReader, RunState, Verdict, sync_folder};
use crate::request::WorkId;

pub const RESULTS: &str = "results.jsonl";
pub const FAILURES: &str = "failures.jsonl";

/// How the inputs of a run ended. `inputs` is counted from the input records, the rest from the published lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub inputs: u64,
    pub ok: u64,
    pub failed: u64,
    pub skipped: u64,
    pub quarantined: u64,
    /// Of these inputs: taken over whole from an earlier run, and second paths to the same bytes.
    pub reused: u64,
    pub duplicates: u64,
    pub text_bytes: u64,
    pub covered_bytes: u64,
}

/// Identity of an input in results.jsonl: 16 hex digits over (uri, `doc_id`).
pub fn input_id(uri: &str, doc_id: Option<&Digest>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(uri.len() as u64).to_le_bytes());
    hasher.update(uri.as_bytes());
    if let Some(digest) = doc_id {
        hasher.update(&digest.0);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[derive(Serialize)]
struct Line<'a> {
    input_id: String,
    source: &'a str,
    doc_id: Option<Digest>,
    status: InputStatus,
    reason: String,
    output: Option<&'a str>,
    parts: Vec<PartLine<'a>>,
    attempts: u32,
    duplicate_of: Option<String>,
    reused_from: Option<&'a str>,
    coverage: Coverage,
    timings: Timings,
    reader: Option<&'a str>,
}

#[derive(Serialize)]
struct PartLine<'a> {
    work_id: WorkId,
    span: [u64; 2],
    places: Option<&'a [String; 2]>,
    output: &'a str,
    finish_reason: &'a str,
    tokens_in: u32,
    tokens_out: u32,
}

#[derive(Serialize)]
struct Coverage {
    text_bytes: u64,
    covered_bytes: u64,
}

/// Writes the derived files of one run.
pub struct Publisher {
    folder: PathBuf,
    results: File,
    failures: File,
    published: HashSet<Ordinal>,
    counts: Counts,
}

impl Publisher {
    /// Rebuilds both files from the journal's state, whatever an earlier life left in them.
    ///
    /// # Errors
    /// `Storage`, or `CorruptJournal` when a result can't be loaded.
    pub fn open(folder: &Path, state: &RunState, reader: &ResultReader) -> Result<Publisher> {
        let (published, counts) = rewrite(folder, state, reader)?;
        Ok(Publisher {
            folder: folder.to_path_buf(),
            results: append_to(&folder.join(RESULTS))?,
            failures: append_to(&folder.join(FAILURES))?,
            published,
            counts,
        })
    }

    /// Appends the line of one finished input; a second call for the same input does nothing. All its results must have
    /// been applied to `state`, which happens only once they are durable.
    ///
    /// # Errors
    /// `Storage`; `CorruptJournal` when a result can't be loaded or the input has no verdict yet.
    pub fn finish_input(
        &mut self,
        state: &RunState,
        reader: &ResultReader,
        ordinal: Ordinal,
    ) -> Result<()> {
        if self.published.contains(&ordinal) {
            return Ok(());
        }
        let (Some(input), Some(verdict)) = (state.input(ordinal), state.verdict(ordinal)) else {
            return Err(unaccounted(
                &self.folder,
                format!("input {ordinal:?} is to be published without a verdict"),
            ));
        };
        let bytes = line(state, reader, input, &verdict, &mut self.counts)?;
        write_line(&mut self.results, &self.folder, RESULTS, &bytes)?;
        if is_failure(verdict.status) {
            write_line(&mut self.failures, &self.folder, FAILURES, &bytes)?;
        }
        self.published.insert(ordinal);
        Ok(())
    }

    /// What is published so far; `inputs` is set by `finish`.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Puts both files into input order under their final names and checks that every input is accounted for (G1).
    ///
    /// # Errors
    /// `CorruptJournal` when the counts do not close: an input without a verdict, or a line that was never written.
    pub fn finish(self, state: &RunState, reader: &ResultReader) -> Result<Counts> {
        let (published, mut counts) = rewrite(&self.folder, state, reader)?;
        counts.inputs = state.input_count() as u64;
        let sum = counts.ok + counts.failed + counts.skipped + counts.quarantined;
        if counts.inputs != sum && !planted(Bug::PublishUnaccounted) {
            let first = state
                .unfinished()
                .next()
                .map_or("none", |input| input.source.as_str());
            return Err(unaccounted(
                &self.folder,
                format!(
                    "{} inputs, {sum} results; the first one missing: {first}",
                    counts.inputs
                ),
            ));
        }
        if let Some(extra) = self.published.difference(&published).next() {
            return Err(unaccounted(
                &self.folder,
                format!("input {extra:?} was published but is not in the journal"),
            ));
        }
        Ok(counts)
    }
}

/// Both files from the state alone, by tmp, fsync, rename, fsync of the folder: a partial file never has a final name.
fn rewrite(
    folder: &Path,
    state: &RunState,
    reader: &ResultReader,
) -> Result<(HashSet<Ordinal>, Counts)> {
    let mut results = Replacement::create(folder, RESULTS)?;
    let mut failures = Replacement::create(folder, FAILURES)?;
    let mut published = HashSet::new();
    let mut counts = Counts::default();
    for input in state.inputs() {
        let Some(verdict) = state.verdict(input.ordinal) else {
            continue;
        };
        let bytes = line(state, reader, input, &verdict, &mut counts)?;
        results.write(&bytes)?;
        if is_failure(verdict.status) {
            failures.write(&bytes)?;
        }
        published.insert(input.ordinal);
    }
    results.rename()?;
    failures.rename()?;
    sync_folder(&folder.join(RESULTS))?;
    Ok((published, counts))
}

/// The line of one finished input, and its share of the counts.
fn line(
    state: &RunState,
    reader: &ResultReader,
    input: &Input,
    verdict: &Verdict,
    counts: &mut Counts,
) -> Result<Vec<u8>> {
    let load = |work_id: &WorkId| match state.result(work_id) {
        Some(meta) => reader.load(meta),
        None => Err(unaccounted(
            Path::new(&input.source),
            format!("no result of {work_id:?}"),
        )),
    };
    let (parts, _) = parts_of(input);
    let mut records = Vec::with_capacity(parts.len() + 1);
    for part in parts {
        records.push(load(&part.work_id)?);
    }
    let is_part = |work_id: &WorkId| parts.iter().position(|part| part.work_id == *work_id);
    let final_at = match &verdict.final_work {
        None => None,
        Some(work_id) => Some(if let Some(index) = is_part(work_id) {
            index
        } else {
            records.push(load(work_id)?);
            records.len() - 1
        }),
    };
    let duplicate_of = parts
        .first()
        .and_then(|part| state.users(&part.work_id).iter().min())
        .filter(|first| **first != input.ordinal)
        .and_then(|first| state.input(*first))
        .map(|first| input_id(&first.source, first.doc_id.as_ref()));
    let line = Line {
        input_id: input_id(&input.source, input.doc_id.as_ref()),
        source: &input.source,
        doc_id: input.doc_id,
        status: verdict.status,
        reason: verdict.reason.clone(),
        output: final_at.map(|index| records[index].output.as_str()),
        parts: parts
            .iter()
            .zip(&records)
            .map(|(part, record)| PartLine {
                work_id: part.work_id,
                span: part.span,
                places: part.places.as_ref(),
                output: &record.output,
                finish_reason: &record.finish_reason,
                tokens_in: record.tokens_in,
                tokens_out: record.tokens_out,
            })
            .collect(),
        attempts: records
            .iter()
            .map(|record| record.attempts)
            .max()
            .unwrap_or(0),
        duplicate_of,
        reused_from: reused_from(state, &records),
        coverage: Coverage {
            text_bytes: input.text_bytes,
            covered_bytes: input.covered_bytes,
        },
        timings: total(&records),
        reader: input.reader.as_deref(),
    };
    counts.add(&line);
    let mut bytes = serde_json::to_vec(&line)
        .map_err(|error| unaccounted(Path::new(&input.source), error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

impl Counts {
    fn add(&mut self, line: &Line<'_>) {
        match line.status {
            InputStatus::Ok => self.ok += 1,
            InputStatus::Failed => self.failed += 1,
            InputStatus::Skipped => self.skipped += 1,
            InputStatus::Quarantined => self.quarantined += 1,
        }
        self.reused += u64::from(line.reused_from.is_some());
        self.duplicates += u64::from(line.duplicate_of.is_some());
        self.text_bytes += line.coverage.text_bytes;
        self.covered_bytes += line.coverage.covered_bytes;
    }
}

/// The run that all of an input's results came from; None when any was made here.
fn reused_from<'a>(state: &'a RunState, records: &[ResultRecord]) -> Option<&'a str> {
    let mut last = None;
    for record in records {
        last = Some(state.result(&record.work_id)?.run.as_deref()?);
    }
    last
}

fn total(records: &[ResultRecord]) -> Timings {
    let mut sum = Timings {
        queued_ms: 0.0,
        prefill_ms: 0.0,
        decode_ms: 0.0,
    };
    for record in records {
        sum.queued_ms += record.timings.queued_ms;
        sum.prefill_ms += record.timings.prefill_ms;
        sum.decode_ms += record.timings.decode_ms;
    }
    sum
}

fn is_failure(status: InputStatus) -> bool {
    matches!(status, InputStatus::Failed | InputStatus::Quarantined)
}

/// The promise of G1 is broken: a bug of the runner or a damaged journal, and never passed over in silence.
fn unaccounted(path: &Path, detail: impl std::fmt::Display) -> Error {
    Error::CorruptJournal {
        path: path.display().to_string(),
        offset: 0,
        detail: format!("the counts do not close: {detail}"),
    }
}

fn write_line(file: &mut File, folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    file.write_all(bytes)
        .map_err(|error| Error::storage("write", &folder.join(name))(error))
}

fn append_to(path: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .open(path)
        .map_err(Error::storage("open", path))
}

/// A file being written beside the one that it will replace.
struct Replacement {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
}

impl Replacement {
    fn create(folder: &Path, name: &str) -> Result<Replacement> {
        let temporary = folder.join(format!("{name}.tmp"));
        let file = File::create(&temporary).map_err(Error::storage("create", &temporary))?;
        Ok(Replacement {
            path: folder.join(name),
            temporary,
            file: BufWriter::with_capacity(1 << 18, file),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(Error::storage("write", &self.temporary))
    }

    fn rename(mut self) -> Result<()> {
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(Error::storage("write", &self.temporary))?;
        fs::rename(&self.temporary, &self.path).map_err(Error::storage("rename", &self.temporary))
    }
}

#[cfg(test)]
mod tests;
