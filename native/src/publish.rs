//! results.jsonl and failures.jsonl: one line an input, derived from the journal. docs/results.md is the format's page.
//!
//! Holds no truth: both files can be rebuilt from the journal, and are put into input order at finish. Called by core when an
//! input has ended, and at the end. Never decides a verdict (journal/verdict.rs does).

mod kept;
mod line;

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::document::Ordinal;
use crate::error::{Error, Result};
use crate::journal::planted::{Bug, planted};
use crate::journal::{InputStatus, Logged, Marks, ResultReader, RunState, sync_folder};

pub use self::line::{Fresh, Source, input_id};

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

/// Writes the derived files of one run.
pub struct Publisher {
    folder: PathBuf,
    results: Lines,
    failures: Lines,
    /// By the row of the state.
    published: Marks,
}

impl Publisher {
    /// Goes on behind the lines of an earlier life where these can be believed, and rebuilds both files from the journal where
    /// not: after the machine went down, or when somebody else has written into them.
    ///
    /// # Errors
    /// `Storage`, or `CorruptJournal` when a result can't be loaded.
    pub fn open(
        folder: &Path,
        state: &RunState,
        reader: &ResultReader,
        logged: &Logged,
    ) -> Result<Publisher> {
        let kept = if state.rebooted || state.input_count() == 0 {
            None
        } else {
            kept::lines_of_earlier_lives(folder, state, logged)?
        };
        let mut publisher = Publisher {
            published: match kept {
                Some(published) => published,
                None => rewrite(folder, state, reader)?.0,
            },
            folder: folder.to_path_buf(),
            results: Lines::behind(folder, RESULTS)?,
            failures: Lines::behind(folder, FAILURES)?,
        };
        let ended = (0..).zip(state.ends()).filter(|(_, end)| end.is_some());
        let source = Source::new(state, reader);
        for (row, _) in ended {
            if !publisher.published.has(row) {
                publisher.finish_input(&source, state.ordinal(row))?;
            }
        }
        publisher.flush()?;
        Ok(publisher)
    }

    /// Adds the line of one finished input; a second call for the same input does nothing. All its results must have been
    /// applied to the state, which happens only once they are durable. Written with the next `flush`.
    ///
    /// # Errors
    /// `Storage`; `CorruptJournal` when a result can't be loaded or the input has no verdict yet.
    pub fn finish_input(&mut self, source: &Source<'_>, ordinal: Ordinal) -> Result<()> {
        let row = source.state.row(ordinal);
        let Some(row) = row.filter(|_| source.state.end(ordinal).is_some()) else {
            return Err(unaccounted(
                &self.folder,
                format!("input {ordinal:?} is to be published without a verdict"),
            ));
        };
        if !self.published.set(row) {
            return Ok(());
        }
        let mut counts = Counts::default();
        let (bytes, status) = source.line(ordinal, &mut counts)?;
        self.results.waiting.extend_from_slice(&bytes);
        if is_failure(status) {
            self.failures.waiting.extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// Appends what has gathered: whole lines, in one write a file.
    ///
    /// # Errors
    /// `Storage`.
    pub fn flush(&mut self) -> Result<()> {
        self.results.flush()?;
        self.failures.flush()
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
            let first = state.unfinished().first().copied();
            let first = first.and_then(|ordinal| state.offset(ordinal));
            let first = match first {
                Some(offset) => reader.input(offset)?.source,
                None => "none".to_owned(),
            };
            return Err(unaccounted(
                &self.folder,
                format!(
                    "{} inputs, {sum} results; the first one missing: {first}",
                    counts.inputs
                ),
            ));
        }
        let mut rows = (0..).take(state.input_count());
        if let Some(extra) = rows.find(|row| self.published.has(*row) && !published.has(*row)) {
            return Err(unaccounted(
                &self.folder,
                format!(
                    "input {:?} was published and has no verdict now",
                    state.ordinal(extra)
                ),
            ));
        }
        Ok(counts)
    }
}

/// Both files from the state alone, by tmp, fsync, rename, fsync of the folder: a partial file never has a final name.
fn rewrite(folder: &Path, state: &RunState, reader: &ResultReader) -> Result<(Marks, Counts)> {
    let mut results = Replacement::create(folder, RESULTS)?;
    let mut failures = Replacement::create(folder, FAILURES)?;
    let mut published = Marks::default();
    let mut counts = Counts::default();
    let reader = reader.sweep()?;
    let source = Source::new(state, &reader);
    for ordinal in state.inputs() {
        let (Some(row), Some(_)) = (state.row(ordinal), state.end(ordinal)) else {
            continue;
        };
        let (bytes, status) = source.line(ordinal, &mut counts)?;
        results.write(&bytes)?;
        if is_failure(status) {
            failures.write(&bytes)?;
        }
        published.set(row);
    }
    results.rename()?;
    failures.rename()?;
    sync_folder(&folder.join(RESULTS))?;
    Ok((published, counts))
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

/// A file that grows by whole lines.
struct Lines {
    path: PathBuf,
    file: File,
    waiting: Vec<u8>,
}

impl Lines {
    fn behind(folder: &Path, name: &str) -> Result<Lines> {
        let path = folder.join(name);
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(Error::storage("open", &path))?;
        Ok(Lines {
            path,
            file,
            waiting: Vec::new(),
        })
    }

    fn flush(&mut self) -> Result<()> {
        if !self.waiting.is_empty() {
            let written = self.file.write_all(&self.waiting);
            written.map_err(Error::storage("write", &self.path))?;
            self.waiting.clear();
        }
        Ok(())
    }
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
