//! The filling side of the index: tables, and catching up with the runs on disk.
//!
//! Reads journals, never writes them. Called by `Index::open` and by core at the end of a run.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{Index, SCHEMA_VERSION, Trouble};
use crate::error::Error;
use crate::journal::record::ResultStatus;
use crate::journal::{self, InputStatus, reader};

mod taking;

/// The setting record that says: discovery has ended, so the records of each file are all there.
pub const DISCOVERY_FINISHED: &str = "discovery.finished";

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS runs(
  id INTEGER PRIMARY KEY, folder TEXT NOT NULL UNIQUE, run_id TEXT NOT NULL,
  journal_bytes INTEGER NOT NULL, journal_mtime_ns INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rests(run INTEGER NOT NULL, other TEXT NOT NULL, PRIMARY KEY(run, other)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS plans(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS work(
  work_id BLOB PRIMARY KEY, run INTEGER NOT NULL, offset INTEGER NOT NULL, crc INTEGER NOT NULL, status INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inputs(
  source TEXT NOT NULL, plan INTEGER NOT NULL, doc_id BLOB, size INTEGER, mtime_ns INTEGER, inode INTEGER,
  run INTEGER NOT NULL, file INTEGER NOT NULL, file_done INTEGER NOT NULL, status INTEGER NOT NULL,
  offset INTEGER NOT NULL, crc INTEGER NOT NULL, steps TEXT, PRIMARY KEY(source, plan)
) WITHOUT ROWID;
";
/// Pages in memory, in KiB: enough for asking; while a run is taken in, enough that its rows go to the file about once.
const ASKING: i64 = -8_192;
const FILLING: i64 = -65_536;
/// Rows that are put into order before they go in, so that each page is visited once for all of them.
const BATCH: usize = 1 << 16;

/// Tables of an empty file; Err when the file holds another schema version or is no database.
pub(super) fn make_tables(db: &mut Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "cache_size", ASKING)?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == SCHEMA_VERSION {
        return Ok(());
    }
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if version != 0 || tables != 0 {
        return Err(wrong_file());
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// The error of a file that is not an index of this version.
pub(super) fn wrong_file() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
        None,
    )
}

impl Index {
    /// Takes in one run; a run that is known already is read again. `folder` is relative to the outputs folder.
    ///
    /// # Errors
    /// `CorruptJournal` or `Storage` for the journal, `Storage` for the index; the index is then as it was.
    pub(super) fn take_in(&mut self, folder: &str) -> std::result::Result<(), Trouble> {
        let path = self.outputs.join(folder).join(journal::FILE_NAME);
        // Taken before reading: a journal that grows meanwhile looks changed next time and is read again.
        let stamp = journal_stamp(&path)
            .map_err(|error| Trouble::Disk(Error::storage("examine", &path)(error)))?;
        let (mut state, _) = reader::replay(&path).map_err(Trouble::Disk)?;
        let reading = journal::ResultReader::open(&self.outputs, &path).map_err(Trouble::Disk)?;
        // A mark that points nowhere leaves its input unfinished here: it is processed again, not trusted.
        let _lost = reading.resolve(&mut state).map_err(Trouble::Disk)?;
        self.db.pragma_update(None, "cache_size", FILLING)?;
        let taken = taking::write_run(&mut self.db, folder, stamp, &path, &state, &reading);
        self.db.pragma_update(None, "cache_size", ASKING)?;
        self.db.release_memory()?;
        taken
    }

    /// Compares the runs on disk with the table, takes in what is new or has grown and forgets what is gone. The value
    /// names the runs that could not be read. `own` is not taken in, and forgotten where it has changed.
    pub(super) fn catch_up(
        &mut self,
        own: Option<&str>,
    ) -> std::result::Result<Vec<Error>, Trouble> {
        let runs = self.outputs.join("runs");
        let on_disk = list_runs(&runs)
            .map_err(|error| Trouble::Disk(Error::storage("list", &runs)(error)))?;
        let mut known: HashMap<String, JournalStamp> = self.known_runs()?.into_iter().collect();
        let present: HashSet<&String> = on_disk.iter().map(|(folder, _)| folder).collect();
        let gone: Vec<String> = known
            .keys()
            .filter(|folder| !present.contains(folder))
            .cloned()
            .collect();
        for folder in gone {
            // What has taken results over from it is looked at again: some of its inputs rest on nothing now.
            for resting in self.resting_on(&folder)? {
                known.remove(&resting);
            }
            forget_run(&mut self.db, &folder)?;
        }
        let mut damaged = Vec::new();
        for (folder, stamp) in &on_disk {
            if known.get(folder) == Some(stamp) {
                continue;
            }
            if own == Some(folder) {
                // It reads its journal itself; what was taken of an older state must not answer for it, damaged or grown.
                if known.contains_key(folder) {
                    forget_run(&mut self.db, folder)?;
                }
                continue;
            }
            match self.take_in(folder) {
                Err(Trouble::Disk(error)) => {
                    // Changed since it was taken in, and no longer readable: what is known of it is not trusted either.
                    forget_run(&mut self.db, folder)?;
                    damaged.push(error);
                }
                other => other?,
            }
        }
        Ok(damaged)
    }

    fn resting_on(&self, folder: &str) -> rusqlite::Result<Vec<String>> {
        let mut select = self.db.prepare(
            "SELECT runs.folder FROM rests JOIN runs ON runs.id = rests.run WHERE rests.other = ?1",
        )?;
        let rows = select.query_map([folder], |row| row.get(0))?;
        rows.collect()
    }

    fn known_runs(&self) -> rusqlite::Result<Vec<(String, JournalStamp)>> {
        let mut select = self
            .db
            .prepare("SELECT folder, journal_bytes, journal_mtime_ns FROM runs")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
        rows.collect()
    }
}

/// Size and mtime (ns) of a journal.
type JournalStamp = (i64, i64);

fn journal_stamp(path: &Path) -> io::Result<JournalStamp> {
    let meta = fs::metadata(path)?;
    let mtime = meta
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(meta.mtime_nsec());
    Ok((meta.len().cast_signed(), mtime))
}

/// Folders below outputs/runs that hold a journal, oldest name first, relative to the outputs folder.
fn list_runs(runs: &Path) -> io::Result<Vec<(String, JournalStamp)>> {
    let mut found = Vec::new();
    for date in names_in(runs)? {
        for run in names_in(&runs.join(&date))? {
            let journal = runs.join(&date).join(&run).join(journal::FILE_NAME);
            match journal_stamp(&journal) {
                Ok(stamp) => found.push((format!("runs/{date}/{run}"), stamp)),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

/// Names in a folder in order; none when it is no folder. The runner's own names are UTF-8, others are not runs.
fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn forget_run(db: &mut Connection, folder: &str) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for table in ["work", "inputs", "rests"] {
        transaction.execute(
            &format!("DELETE FROM {table} WHERE run = (SELECT id FROM runs WHERE folder = ?1)"),
            [folder],
        )?;
    }
    transaction.execute("DELETE FROM runs WHERE folder = ?1", [folder])?;
    transaction.commit()
}

const ENDS: [InputStatus; 4] = [
    InputStatus::Ok,
    InputStatus::Failed,
    InputStatus::Skipped,
    InputStatus::Quarantined,
];

/// The `status` column; 0 is an unfinished input.
fn number_of(status: InputStatus) -> i64 {
    let place = (1..).zip(ENDS).find(|(_, known)| *known == status);
    place.map_or(0, |(number, _)| number)
}

/// None for an unfinished input.
pub(super) fn input_status(number: i64) -> Option<InputStatus> {
    ENDS.into_iter().find(|status| number_of(*status) == number)
}

pub(super) fn result_status(number: i64) -> Option<ResultStatus> {
    [
        ResultStatus::Ok,
        ResultStatus::Failed,
        ResultStatus::Quarantined,
    ]
    .into_iter()
    .find(|status| number_of((*status).into()) == number)
}
