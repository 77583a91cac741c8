//! The filling side of the index: tables, one journal into rows, catching up with the runs on disk.
//!
//! Reads journals, never writes them. Called by `Index::open` and by core at the end of a run.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{Index, SCHEMA_VERSION, Trouble, storage};
use crate::document::{Circumstance, Digest};
use crate::error::{Error, Result};
use crate::journal::record::{Reduced, ResultStatus};
use crate::journal::{self, InputStatus, RunState, reader};

/// The setting record that says: discovery has ended, so the records of each file are all there.
pub const DISCOVERY_FINISHED: &str = "discovery.finished";

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS runs(
  id INTEGER PRIMARY KEY, folder TEXT NOT NULL UNIQUE, run_id TEXT NOT NULL, plan_key TEXT NOT NULL,
  journal_bytes INTEGER NOT NULL, journal_mtime_ns INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS work(
  work_id BLOB PRIMARY KEY, run INTEGER NOT NULL, offset INTEGER NOT NULL, crc INTEGER NOT NULL, status TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inputs(
  source TEXT NOT NULL, plan_key TEXT NOT NULL, doc_id TEXT, size INTEGER, mtime_ns INTEGER, inode INTEGER,
  run INTEGER NOT NULL, file INTEGER NOT NULL, record INTEGER NOT NULL, file_done INTEGER NOT NULL,
  status TEXT NOT NULL, reason TEXT NOT NULL, input TEXT NOT NULL, steps TEXT NOT NULL,
  PRIMARY KEY(source, plan_key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS work_run ON work(run);
CREATE INDEX IF NOT EXISTS inputs_run ON inputs(run);
";

/// Tables of an empty file; Err when the file holds another schema version or is no database.
pub(super) fn make_tables(db: &mut Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "synchronous", "NORMAL")?;
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
    pub fn add_run(&mut self, folder: &str) -> Result<()> {
        let (stamp, state) = self.read_run(folder)?;
        write_run(&mut self.db, folder, stamp, &state)
            .map_err(|error| storage(&self.path, "write")(error))
    }

    /// Compares the runs on disk with the table, takes in what is new or has grown and forgets what is gone. The value
    /// names the runs that could not be read.
    pub(super) fn catch_up(&mut self) -> std::result::Result<Vec<Error>, Trouble> {
        let runs = self.outputs.join("runs");
        let on_disk = list_runs(&runs)
            .map_err(|error| Trouble::Disk(Error::storage("list", &runs)(error)))?;
        let known: HashMap<String, JournalStamp> = self.known_runs()?.into_iter().collect();
        let mut damaged = Vec::new();
        for (folder, stamp) in &on_disk {
            if known.get(folder) == Some(stamp) {
                continue;
            }
            match self.read_run(folder) {
                Ok((stamp, state)) => write_run(&mut self.db, folder, stamp, &state)?,
                Err(error) => {
                    // Changed since it was taken in, and no longer readable: what is known of it is not trusted either.
                    forget_run(&mut self.db, folder)?;
                    damaged.push(error);
                }
            }
        }
        let present: HashSet<&String> = on_disk.iter().map(|(folder, _)| folder).collect();
        for folder in known.keys().filter(|folder| !present.contains(folder)) {
            forget_run(&mut self.db, folder)?;
        }
        Ok(damaged)
    }

    fn read_run(&self, folder: &str) -> Result<(JournalStamp, RunState)> {
        let path = self.outputs.join(folder).join(journal::FILE_NAME);
        // Taken before reading: a journal that grows meanwhile looks changed next time and is read again.
        let stamp = journal_stamp(&path).map_err(Error::storage("examine", &path))?;
        let (mut state, _) = reader::replay(&path)?;
        let reading = journal::ResultReader::open(&self.outputs, &path)?;
        // A mark that points nowhere leaves its input unfinished here: it is processed again, not trusted.
        drop(reading.resolve(&mut state));
        Ok((stamp, state))
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
    for table in ["work", "inputs"] {
        transaction.execute(
            &format!("DELETE FROM {table} WHERE run = (SELECT id FROM runs WHERE folder = ?1)"),
            [folder],
        )?;
    }
    transaction.execute("DELETE FROM runs WHERE folder = ?1", [folder])?;
    transaction.commit()
}

fn write_run(
    db: &mut Connection,
    folder: &str,
    stamp: JournalStamp,
    state: &RunState,
) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let plan_key = state.plan_key.map_or_else(String::new, Digest::to_hex);
    let run: i64 = transaction.query_row(
        "INSERT INTO runs(folder, run_id, plan_key, journal_bytes, journal_mtime_ns) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT(folder) DO UPDATE SET run_id = excluded.run_id, plan_key = excluded.plan_key,
           journal_bytes = excluded.journal_bytes, journal_mtime_ns = excluded.journal_mtime_ns
         RETURNING id",
        params![folder, state.run_id, plan_key, stamp.0, stamp.1],
        |row| row.get(0),
    )?;
    transaction.execute("DELETE FROM work WHERE run = ?1", [run])?;
    transaction.execute("DELETE FROM inputs WHERE run = ?1", [run])?;
    write_works(&transaction, run, state)?;
    write_inputs(&transaction, run, &plan_key, state)?;
    transaction.commit()
}

/// This run's own results; an earlier run keeps its place unless it failed and this one did not. Failures of circumstance
/// are left out: the next run tries again.
fn write_works(transaction: &Transaction<'_>, run: i64, state: &RunState) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare(
        "INSERT INTO work(work_id, run, offset, crc, status) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT(work_id) DO UPDATE SET run = excluded.run, offset = excluded.offset, crc = excluded.crc,
           status = excluded.status WHERE work.status <> 'ok'",
    )?;
    let own = state.results().filter(|(_, meta)| meta.run.is_none());
    for (work_id, meta) in own.filter(|(_, meta)| !Circumstance::explains(&meta.reason)) {
        let status = result_text(meta.status);
        insert.execute(params![
            work_id.0.as_slice(),
            run,
            meta.offset.cast_signed(),
            meta.crc,
            status
        ])?;
    }
    Ok(())
}

/// One row an input; an unfinished one does not hide that the same document was finished earlier.
fn write_inputs(
    transaction: &Transaction<'_>,
    run: i64,
    plan_key: &str,
    state: &RunState,
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare(
        "INSERT INTO inputs(source, plan_key, doc_id, size, mtime_ns, inode, run, file, record, file_done, status,
           reason, input, steps)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT(source, plan_key) DO UPDATE SET doc_id = excluded.doc_id, size = excluded.size,
           mtime_ns = excluded.mtime_ns, inode = excluded.inode, run = excluded.run, file = excluded.file,
           record = excluded.record, file_done = excluded.file_done, status = excluded.status,
           reason = excluded.reason, input = excluded.input, steps = excluded.steps
         WHERE excluded.status <> '' OR inputs.status = '' OR inputs.doc_id IS NOT excluded.doc_id",
    )?;
    let file_done = state
        .settings
        .iter()
        .any(|setting| setting.name == DISCOVERY_FINISHED);
    for input in state.inputs() {
        let (status, reason, steps) = match state.verdict(input.ordinal) {
            Some(verdict) if Circumstance::explains(&verdict.reason) => unfinished(),
            Some(verdict) => (input_text(verdict.status), verdict.reason, verdict.steps),
            None => unfinished(),
        };
        let json = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
        let steps = serde_json::to_string(&steps).map_err(json)?;
        let text = serde_json::to_string(input).map_err(json)?;
        insert.execute(params![
            input.source,
            plan_key,
            input.doc_id.map(Digest::to_hex),
            input.stamp.map(|stamp| stamp.size.cast_signed()),
            input.stamp.map(|stamp| stamp.mtime_ns),
            input.stamp.map(|stamp| stamp.inode.cast_signed()),
            run,
            input.ordinal.file,
            input.ordinal.record,
            file_done,
            status,
            reason,
            text,
            steps
        ])?;
    }
    Ok(())
}

/// What the row of an input says that the next run has to process (again).
fn unfinished() -> (&'static str, String, Vec<Reduced>) {
    ("", String::new(), Vec::new())
}

fn input_text(status: InputStatus) -> &'static str {
    match status {
        InputStatus::Ok => "ok",
        InputStatus::Failed => "failed",
        InputStatus::Skipped => "skipped",
        InputStatus::Quarantined => "quarantined",
    }
}

/// None for an unfinished input.
pub(super) fn input_status(text: &str) -> Option<InputStatus> {
    [
        InputStatus::Ok,
        InputStatus::Failed,
        InputStatus::Skipped,
        InputStatus::Quarantined,
    ]
    .into_iter()
    .find(|status| input_text(*status) == text)
}

fn result_text(status: ResultStatus) -> &'static str {
    input_text(status.into())
}

pub(super) fn result_status(text: &str) -> Option<ResultStatus> {
    [
        ResultStatus::Ok,
        ResultStatus::Failed,
        ResultStatus::Quarantined,
    ]
    .into_iter()
    .find(|status| result_text(*status) == text)
}
