//! index.sqlite: which work is finished in which run, and which files need not even be read. Never a source of truth.
//!
//! Filled from the journals under outputs/runs and rebuilt from them when it is missing, damaged or of another version.
//! Every pointer it gives carries the checksum of the record it points to. Called by core (at start, once a run has ended)
//! and by discovery for each file. Does not look into sweeps: they always run with `reuse: never`.

mod build;
mod known;

pub use self::build::DISCOVERY_FINISHED;
pub use self::known::{Known, KnownInput, Unchanged};

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::document::Digest;
use crate::error::{Error, Result};
use crate::journal::Records;
use crate::journal::record::{ResultStatus, Reused};
use crate::request::WorkId;

/// Raised when a table or the meaning of a column changes; another version is thrown away and rebuilt.
pub const SCHEMA_VERSION: i64 = 3;
/// How long another process (a second run, `ls`) may hold the file before the wait is an error.
const BUSY: Duration = Duration::from_secs(10);
/// Up to this size the file is checked whole at open (milliseconds); damage in a larger one shows as a storage error.
const CHECKED_BYTES: u64 = 64 << 20;

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
    /// Journals that inputs are read from.
    journals: RefCell<HashMap<String, Records>>,
    /// No earlier run has anything to say.
    empty: bool,
}

impl Index {
    /// Opens (or rebuilds) `outputs/index.sqlite` and takes in every run under outputs/runs that it does not know yet or
    /// that has grown; runs whose folder is gone are forgotten. A run whose journal is damaged is left out and named in the
    /// second value: its work is done again rather than trusted. `own`: the folder of the run that asks, which knows itself.
    ///
    /// # Errors
    /// `Storage` when the folder or the file can't be used at all.
    pub fn open(path: &Path, own: Option<&Path>) -> Result<(Index, Vec<Error>)> {
        let outputs = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let own = own.and_then(|own| own.strip_prefix(&outputs).ok()?.to_str());
        let attempt = connect(path).and_then(|db| Index::filled(path, &outputs, db, own));
        match attempt {
            Err(Trouble::Index(error)) if is_damage(&error) => {
                remove(path)?;
                connect(path).and_then(|db| Index::filled(path, &outputs, db, own))
            }
            other => other,
        }
        .map_err(|trouble| trouble.error(path))
    }

    fn filled(
        path: &Path,
        outputs: &Path,
        db: Connection,
        own: Option<&str>,
    ) -> std::result::Result<(Index, Vec<Error>), Trouble> {
        let mut index = Index {
            path: path.to_path_buf(),
            outputs: outputs.to_path_buf(),
            db,
            journals: RefCell::default(),
            empty: false,
        };
        let damaged = index.catch_up(own)?;
        let any = "SELECT EXISTS(SELECT 1 FROM inputs) OR EXISTS(SELECT 1 FROM work)";
        index.empty = !index.db.query_row(any, [], |row| row.get::<_, bool>(0))?;
        Ok((index, damaged))
    }

    /// Lets the reads until `reads_end` share one look at the file. Short: who writes waits for it.
    ///
    /// # Errors
    /// `Storage` when the file can't be read.
    pub fn reads_begin(&self) -> Result<()> {
        if self.empty {
            return Ok(());
        }
        self.db.execute_batch("BEGIN").map_err(self.failed())
    }

    /// # Errors
    /// As `reads_begin`.
    pub fn reads_end(&self) -> Result<()> {
        if self.empty {
            return Ok(());
        }
        self.db.execute_batch("COMMIT").map_err(self.failed())
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Error {
        storage(&self.path, "read")
    }

    /// The result of this work in an earlier run, if any run finished it.
    ///
    /// # Errors
    /// `Storage` when the file can't be read.
    pub fn finished(&self, work_id: &WorkId) -> Result<Option<(Reused, ResultStatus)>> {
        if self.empty {
            return Ok(None);
        }
        self.work(work_id).map_err(self.failed())
    }

    /// Why this input is processed: `uri` as in the input record, the document as it is now.
    ///
    /// # Errors
    /// `Storage` when the file can't be read.
    pub fn why(&self, uri: &str, doc_id: &Digest, plan_key: &Digest) -> Result<Why> {
        if self.empty {
            return Ok(Why::New);
        }
        let found = self.rows_of_input(uri).map_err(self.failed())?;
        let plan_key = plan_key.to_hex();
        let same = |row: &&SeenInput| row.doc_id.as_deref() == Some(doc_id.0.as_slice());
        if found.is_empty() {
            return Ok(Why::New);
        }
        if let Some(row) = found
            .iter()
            .filter(same)
            .find(|row| row.plan_key == plan_key)
        {
            return Ok(if row.ended {
                Why::Finished
            } else {
                Why::NeverFinished
            });
        }
        let planned = found.iter().any(|row| row.plan_key == plan_key);
        let document = found.iter().any(|row| same(&row));
        Ok(if document && !planned {
            Why::PlanChanged
        } else {
            Why::DocumentChanged
        })
    }

    fn rows_of_input(&self, uri: &str) -> rusqlite::Result<Vec<SeenInput>> {
        let mut select = self.db.prepare_cached(
            "SELECT doc_id, plans.key, status <> 0 FROM inputs JOIN plans ON plans.id = plan WHERE source = ?1",
        )?;
        let rows = select.query_map([uri], |row| {
            Ok(SeenInput {
                doc_id: row.get(0)?,
                plan_key: row.get(1)?,
                ended: row.get(2)?,
            })
        })?;
        rows.collect()
    }

    fn work(&self, work_id: &WorkId) -> rusqlite::Result<Option<(Reused, ResultStatus)>> {
        let mut select = self.db.prepare_cached(
            "SELECT runs.folder, work.offset, work.crc, work.status FROM work JOIN runs ON runs.id = work.run
             WHERE work.work_id = ?1",
        )?;
        let found = select
            .query_row([work_id.0.as_slice()], |row| {
                let offset: i64 = row.get(1)?;
                let status: i64 = row.get(3)?;
                let reused = Reused {
                    work_id: *work_id,
                    run: row.get(0)?,
                    offset: offset.cast_unsigned(),
                    crc: row.get(2)?,
                };
                Ok((reused, status))
            })
            .optional()?;
        Ok(found.and_then(|(reused, status)| Some((reused, build::result_status(status)?))))
    }
}

struct SeenInput {
    doc_id: Option<Vec<u8>>,
    plan_key: String,
    ended: bool,
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
