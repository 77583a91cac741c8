//! index.sqlite: which work is finished in which run, and which files need not even be read. Never a source of truth.
//!
//! Filled from the journals under outputs/runs and rebuilt from them when it is missing, damaged or of another version.
//! Every pointer it gives carries the checksum of the record it points to. Called by core (at start, once a run has ended)
//! and by discovery for each file. Does not look into sweeps: they always run with `reuse: never`.

mod build;

pub use self::build::DISCOVERY_FINISHED;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::document::{Digest, Stamp};
use crate::error::{Error, Result};
use crate::journal::InputStatus;
use crate::journal::record::{Input, Reduced, ResultStatus, Reused};
use crate::journal::state::parts_of;
use crate::request::WorkId;

/// Raised when a table or the meaning of a column changes; another version is thrown away and rebuilt.
pub const SCHEMA_VERSION: i64 = 2;
/// How long another process (a second run, `ls`) may hold the file before the wait is an error.
const BUSY: Duration = Duration::from_secs(10);
/// Up to this size the file is checked whole at open (milliseconds); damage in a larger one shows as a storage error.
const CHECKED_BYTES: u64 = 64 << 20;

/// An input of an unchanged file as an earlier run left it.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownInput {
    /// As recorded then; its ordinal and `why` belong to that run.
    pub input: Input,
    pub status: InputStatus,
    pub reason: String,
    /// Where all results lie that its verdict rests on: parts first, in order, then reduce steps.
    pub works: Vec<(Reused, ResultStatus)>,
    /// The reduce steps among `works`, with what each joins for this input: the run that takes them over logs these too,
    /// since a shared step's own record may name the works of another document.
    pub steps: Vec<Reduced>,
}

/// Why an input is processed although the outputs folder holds earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    New,
    DocumentChanged,
    /// Same document, other plan: prompt, model, ingest or decoding settings.
    PlanChanged,
    NeverFinished,
    /// Same document, same plan, finished: it is processed only because reuse is off.
    Finished,
}

impl Why {
    /// The words of the journal's `why` field.
    pub fn text(self) -> &'static str {
        match self {
            Why::New => "new",
            Why::DocumentChanged => "document changed",
            Why::PlanChanged => "prompt, model or settings changed",
            Why::NeverFinished => "never finished",
            Why::Finished => "finished before, reuse is off",
        }
    }
}

/// The open index of one outputs folder.
pub struct Index {
    path: PathBuf,
    outputs: PathBuf,
    db: Connection,
}

impl Index {
    /// Opens (or rebuilds) `outputs/index.sqlite` and takes in every run under outputs/runs that it does not know yet or
    /// that has grown; runs whose folder is gone are forgotten. A run whose journal is damaged is left out and named in the
    /// second value: its work is done again rather than trusted.
    ///
    /// # Errors
    /// `Storage` when the folder or the file can't be used at all.
    pub fn open(path: &Path) -> Result<(Index, Vec<Error>)> {
        let outputs = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let attempt = connect(path).and_then(|db| Index::filled(path, &outputs, db));
        match attempt {
            Err(Trouble::Index(error)) if is_damage(&error) => {
                remove(path)?;
                connect(path).and_then(|db| Index::filled(path, &outputs, db))
            }
            other => other,
        }
        .map_err(|trouble| trouble.error(path))
    }

    fn filled(
        path: &Path,
        outputs: &Path,
        db: Connection,
    ) -> std::result::Result<(Index, Vec<Error>), Trouble> {
        let mut index = Index {
            path: path.to_path_buf(),
            outputs: outputs.to_path_buf(),
            db,
        };
        let damaged = index.catch_up()?;
        Ok((index, damaged))
    }

    /// All inputs of an unchanged file whose every input has a verdict under this plan; None = the file has to be read.
    ///
    /// # Errors
    /// `Storage` when the file can't be read.
    pub fn known(
        &self,
        uri: &str,
        stamp: Stamp,
        plan_key: &Digest,
    ) -> Result<Option<Vec<KnownInput>>> {
        let failed = |error| storage(&self.path, "read")(error);
        let rows = self.rows_of_file(uri, stamp, plan_key).map_err(failed)?;
        let mut known = Vec::with_capacity(rows.len());
        for row in rows {
            let (Some(status), Ok(input), Ok(steps)) = (
                build::input_status(&row.status),
                serde_json::from_str::<Input>(&row.input),
                serde_json::from_str::<Vec<Reduced>>(&row.steps),
            ) else {
                return Ok(None);
            };
            let Some(works) = self.pointers(&input, &steps).map_err(failed)? else {
                return Ok(None);
            };
            known.push(KnownInput {
                input,
                status,
                reason: row.reason,
                works,
                steps,
            });
        }
        Ok((!known.is_empty()).then_some(known))
    }

    /// The result of this work in an earlier run, if any run finished it.
    ///
    /// # Errors
    /// `Storage` when the file can't be read.
    pub fn finished(&self, work_id: &WorkId) -> Result<Option<(Reused, ResultStatus)>> {
        self.work(work_id)
            .map_err(|error| storage(&self.path, "read")(error))
    }

    /// Why this input is processed: `uri` as in the input record, the document as it is now.
    ///
    /// # Errors
    /// `Storage` when the file can't be read.
    pub fn why(&self, uri: &str, doc_id: &Digest, plan_key: &Digest) -> Result<Why> {
        let found = self
            .rows_of_input(uri)
            .map_err(|error| storage(&self.path, "read")(error))?;
        let doc_id = doc_id.to_hex();
        let plan_key = plan_key.to_hex();
        let same =
            |row: &&(Option<String>, String, bool)| row.0.as_deref() == Some(doc_id.as_str());
        if found.is_empty() {
            return Ok(Why::New);
        }
        if let Some(row) = found.iter().filter(same).find(|row| row.1 == plan_key) {
            return Ok(if row.2 {
                Why::Finished
            } else {
                Why::NeverFinished
            });
        }
        let planned = found.iter().any(|row| row.1 == plan_key);
        let document = found.iter().any(|row| same(&row));
        Ok(if document && !planned {
            Why::PlanChanged
        } else {
            Why::DocumentChanged
        })
    }

    /// A file that is one document is found by its own uri and is whole by itself; otherwise its records are looked for,
    /// and they count only when one run saw them all.
    fn rows_of_file(
        &self,
        uri: &str,
        stamp: Stamp,
        plan_key: &Digest,
    ) -> rusqlite::Result<Vec<InputRow>> {
        let key = plan_key.to_hex();
        let alone = self.rows_where("source = ?1", uri, stamp, &key)?;
        if !alone.is_empty() {
            return Ok(alone);
        }
        // '$' follows '#', '0' follows '/': the ranges hold the records "<uri>#<id>" and the members "<uri>!/<name>" of an
        // archive. The stamp keeps out other files named "<uri>#...".
        let rows = self.rows_where(
            "(source >= ?1 || '#' AND source < ?1 || '$' OR source >= ?1 || '!/' AND source < ?1 || '!0')",
            uri,
            stamp,
            &key,
        )?;
        let group = rows.first().map(|row| row.group);
        let whole = rows
            .iter()
            .all(|row| row.file_done && Some(row.group) == group);
        Ok(if whole { rows } else { Vec::new() })
    }

    fn rows_where(
        &self,
        source_is: &str,
        uri: &str,
        stamp: Stamp,
        plan_key: &str,
    ) -> rusqlite::Result<Vec<InputRow>> {
        let mut select = self.db.prepare_cached(&format!(
            "SELECT input, status, reason, steps, file_done, run, file FROM inputs
             WHERE {source_is} AND plan_key = ?2 AND size = ?3 AND mtime_ns = ?4 AND inode = ?5
             ORDER BY run DESC, file, record"
        ))?;
        let rows = select.query_map(
            params![
                uri,
                plan_key,
                stamp.size.cast_signed(),
                stamp.mtime_ns,
                stamp.inode.cast_signed()
            ],
            |row| {
                Ok(InputRow {
                    input: row.get(0)?,
                    status: row.get(1)?,
                    reason: row.get(2)?,
                    steps: row.get(3)?,
                    file_done: row.get(4)?,
                    group: (row.get(5)?, row.get(6)?),
                })
            },
        )?;
        rows.collect()
    }

    fn rows_of_input(&self, uri: &str) -> rusqlite::Result<Vec<(Option<String>, String, bool)>> {
        let mut select = self.db.prepare_cached(
            "SELECT doc_id, plan_key, status <> '' FROM inputs WHERE source = ?1",
        )?;
        let rows = select.query_map([uri], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    }

    /// Pointers to the parts of an input and to its reduce steps, each once; None when one is gone.
    fn pointers(
        &self,
        input: &Input,
        steps: &[Reduced],
    ) -> rusqlite::Result<Option<Vec<(Reused, ResultStatus)>>> {
        let parts = parts_of(input).0.iter().map(|part| part.work_id);
        let steps = steps.iter().map(|step| step.work_id);
        let mut seen = HashSet::new();
        let mut works = Vec::new();
        for work_id in parts.chain(steps).filter(|id| seen.insert(*id)) {
            match self.work(&work_id)? {
                Some(found) => works.push(found),
                None => return Ok(None),
            }
        }
        Ok(Some(works))
    }

    fn work(&self, work_id: &WorkId) -> rusqlite::Result<Option<(Reused, ResultStatus)>> {
        let mut select = self.db.prepare_cached(
            "SELECT runs.folder, work.offset, work.crc, work.status FROM work JOIN runs ON runs.id = work.run
             WHERE work.work_id = ?1",
        )?;
        let found = select
            .query_row([work_id.0.as_slice()], |row| {
                let offset: i64 = row.get(1)?;
                let status: String = row.get(3)?;
                let reused = Reused {
                    work_id: *work_id,
                    run: row.get(0)?,
                    offset: offset.cast_unsigned(),
                    crc: row.get(2)?,
                };
                Ok((reused, status))
            })
            .optional()?;
        Ok(found.and_then(|(reused, status)| Some((reused, build::result_status(&status)?))))
    }
}

struct InputRow {
    input: String,
    status: String,
    reason: String,
    steps: String,
    file_done: bool,
    group: (i64, u32),
}

/// What can stop the index: a journal's or the disk's fault, or `SQLite`'s.
enum Trouble {
    Disk(Error),
    Index(rusqlite::Error),
}

impl Trouble {
    fn error(self, path: &Path) -> Error {
        match self {
            Trouble::Disk(error) => error,
            Trouble::Index(error) => storage(path, "use")(error),
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        Trouble::Index(error)
    }
}

/// Opens the file and makes the tables; Err for anything that is not a sound index of this version.
fn connect(path: &Path) -> std::result::Result<Connection, Trouble> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    build::make_tables(&mut db)?;
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if size <= CHECKED_BYTES {
        let verdict: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(Trouble::Index(build::wrong_file()));
        }
    }
    Ok(db)
}

/// The file itself is at fault (and can be rebuilt), not the disk, the permissions or another process.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, SchemaChanged, Unknown};
    match error.sqlite_error_code() {
        Some(code) => matches!(
            code,
            DatabaseCorrupt | NotADatabase | SchemaChanged | Unknown
        ),
        None => true,
    }
}

/// Whoever has the old file open keeps reading that; it is only a cache.
fn remove(path: &Path) -> Result<()> {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::storage("remove", path)(error)),
        }
    }
    Ok(())
}

fn storage(path: &Path, action: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    let path = path.to_path_buf();
    move |error| Error::storage(action, &path)(std::io::Error::other(error))
}

#[cfg(test)]
mod tests;
