//! One run's journal into rows: a second reading beside the state that the first has given.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, Statement, Transaction, TransactionBehavior, params};

use super::{BATCH, DISCOVERY_FINISHED, JournalStamp, number_of};
use crate::document::{Circumstance, Digest};
use crate::index::Trouble;
use crate::journal::record::{Input, Record, Reduced, ResultRecord};
use crate::journal::{ResultReader, RunState, reader};
use crate::request::WorkId;

type Result<T> = std::result::Result<T, Trouble>;

pub(super) fn write_run(
    db: &mut Connection,
    folder: &str,
    stamp: JournalStamp,
    journal: &Path,
    state: &RunState,
    reading: &ResultReader,
) -> Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let run = run_row(&transaction, folder, stamp, state)?;
    {
        let mut filling = Filling::new(&transaction, run, state, reading)?;
        let mut trouble = Ok(());
        reader::scan_records(journal, |record, offset, crc| {
            if trouble.is_ok() {
                trouble = filling.take(record, offset, crc);
            }
            Ok(())
        })
        .map_err(Trouble::Disk)?;
        trouble?;
        filling.flush()?;
    }
    Ok(transaction.commit()?)
}

/// The run's number; what an earlier reading of it has left is taken out.
fn run_row(
    transaction: &Transaction<'_>,
    folder: &str,
    stamp: JournalStamp,
    state: &RunState,
) -> Result<i64> {
    let known = transaction
        .prepare("SELECT id FROM runs WHERE folder = ?1")?
        .exists([folder])?;
    let run: i64 = transaction.query_row(
        "INSERT INTO runs(folder, run_id, journal_bytes, journal_mtime_ns) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT(folder) DO UPDATE SET run_id = excluded.run_id, journal_bytes = excluded.journal_bytes,
           journal_mtime_ns = excluded.journal_mtime_ns
         RETURNING id",
        params![folder, state.run_id, stamp.0, stamp.1],
        |row| row.get(0),
    )?;
    if known {
        for table in ["work", "inputs", "rests"] {
            transaction.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run])?;
        }
    }
    Ok(run)
}

struct WorkRow {
    work_id: WorkId,
    offset: u64,
    crc: u32,
    status: i64,
}

struct InputRow {
    input: Input,
    offset: u64,
    crc: u32,
    status: i64,
    steps: Vec<Reduced>,
}

/// The rows of one run on their way in.
struct Filling<'t> {
    run: i64,
    plan: i64,
    state: &'t RunState,
    reading: &'t ResultReader,
    file_done: bool,
    insert_work: Statement<'t>,
    insert_input: Statement<'t>,
    insert_rest: Statement<'t>,
    works: Vec<WorkRow>,
    inputs: Vec<InputRow>,
    rests: BTreeSet<String>,
}

impl<'t> Filling<'t> {
    fn new(
        transaction: &'t Transaction<'_>,
        run: i64,
        state: &'t RunState,
        reading: &'t ResultReader,
    ) -> Result<Filling<'t>> {
        let key = state.plan_key.map_or_else(String::new, Digest::to_hex);
        transaction.execute("INSERT OR IGNORE INTO plans(key) VALUES (?1)", [&key])?;
        let plan = "SELECT id FROM plans WHERE key = ?1";
        Ok(Filling {
            run,
            plan: transaction.query_row(plan, [&key], |row| row.get(0))?,
            state,
            reading,
            file_done: state
                .settings
                .iter()
                .any(|setting| setting.name == DISCOVERY_FINISHED),
            // An earlier run keeps its place unless it failed and this one did not.
            insert_work: transaction.prepare(
                "INSERT INTO work(work_id, run, offset, crc, status) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT(work_id) DO UPDATE SET run = excluded.run, offset = excluded.offset, crc = excluded.crc,
                   status = excluded.status WHERE work.status <> 1",
            )?,
            // An unfinished input does not hide that the same document was finished earlier.
            insert_input: transaction.prepare(
                "INSERT INTO inputs(source, plan, doc_id, size, mtime_ns, inode, run, file, file_done, status, offset, crc,
                   steps)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
                 ON CONFLICT(source, plan) DO UPDATE SET doc_id = excluded.doc_id, size = excluded.size,
                   mtime_ns = excluded.mtime_ns, inode = excluded.inode, run = excluded.run, file = excluded.file,
                   file_done = excluded.file_done, status = excluded.status, offset = excluded.offset,
                   crc = excluded.crc, steps = excluded.steps
                 WHERE excluded.status <> 0 OR inputs.status = 0 OR inputs.doc_id IS NOT excluded.doc_id",
            )?,
            insert_rest: transaction
                .prepare("INSERT OR IGNORE INTO rests(run, other) VALUES (?1, ?2)")?,
            works: Vec::new(),
            inputs: Vec::new(),
            rests: BTreeSet::new(),
        })
    }

    /// The record counts if the state has it from this place: of two of a kind the first.
    fn take(&mut self, record: Record, offset: u64, crc: u32) -> Result<()> {
        match record {
            Record::Result(result) => self.take_result(&result, offset, crc),
            Record::Input(input) if self.state.offset(input.ordinal) == Some(offset) => {
                let (status, steps) = self.end_of(&input)?;
                self.inputs.push(InputRow {
                    input,
                    offset,
                    crc,
                    status,
                    steps,
                });
                if self.inputs.len() < BATCH {
                    return Ok(());
                }
                self.flush()
            }
            Record::Reused(reused) => {
                self.rests.insert(reused.run);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Failures of circumstance are left out: the next run tries again.
    fn take_result(&mut self, result: &ResultRecord, offset: u64, crc: u32) -> Result<()> {
        let found = self.state.result(&result.work_id);
        let counts = found.is_some_and(|found| found.offset == offset);
        if !counts || Circumstance::explains(&result.reason) {
            return Ok(());
        }
        self.works.push(WorkRow {
            work_id: result.work_id,
            offset,
            crc,
            status: number_of(result.status.into()),
        });
        if self.works.len() < BATCH {
            return Ok(());
        }
        self.flush()
    }

    /// The status column, and the reduce steps that the end rests on. Unfinished: the next run has to process it (again).
    fn end_of(&self, input: &Input) -> Result<(i64, Vec<Reduced>)> {
        let Some(verdict) = self.state.verdict(input) else {
            return Ok((0, Vec::new()));
        };
        let reason = verdict
            .cause
            .reason(|work_id| match self.state.result(work_id) {
                Some(found) => Ok(self.reading.result(work_id, found)?.record.reason),
                None => Ok(String::new()),
            })
            .map_err(Trouble::Disk)?;
        if Circumstance::explains(&reason) {
            return Ok((0, Vec::new()));
        }
        Ok((number_of(verdict.status), verdict.steps))
    }

    fn flush(&mut self) -> Result<()> {
        self.works.sort_unstable_by_key(|row| row.work_id);
        for row in self.works.drain(..) {
            self.insert_work.execute(params![
                row.work_id.0.as_slice(),
                self.run,
                row.offset.cast_signed(),
                row.crc,
                row.status
            ])?;
        }
        self.inputs
            .sort_unstable_by(|one, other| one.input.source.cmp(&other.input.source));
        for row in self.inputs.drain(..) {
            let json = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
            let steps = if row.steps.is_empty() {
                None
            } else {
                Some(serde_json::to_string(&row.steps).map_err(json)?)
            };
            let input = &row.input;
            self.insert_input.execute(params![
                input.source,
                self.plan,
                input.doc_id.as_ref().map(|id| id.0.as_slice()),
                input.stamp.map(|stamp| stamp.size.cast_signed()),
                input.stamp.map(|stamp| stamp.mtime_ns),
                input.stamp.map(|stamp| stamp.inode.cast_signed()),
                self.run,
                input.ordinal.file,
                self.file_done,
                row.status,
                row.offset.cast_signed(),
                row.crc,
                steps
            ])?;
        }
        for other in &self.rests {
            self.insert_rest.execute(params![self.run, other])?;
        }
        Ok(())
    }
}
