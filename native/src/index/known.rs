//! The inputs of an unchanged file as an earlier run left them, page by page, each with pointers to its results.
//!
//! The index says where the records lie; the records themselves are read from that run's journal. Called by core's feeder.

use std::collections::HashSet;

use rusqlite::params;

use crate::document::{Digest, Stamp};
use crate::error::{Error, Result};
use crate::journal::record::parts_of;
use crate::journal::record::{Input, Reduced, ResultStatus, Reused};
use crate::journal::{FILE_NAME, InputStatus, Records};

use super::{Index, build};

/// Inputs of one page: what waits in memory of a file of millions.
const PAGE: i64 = 256;

/// How the inputs of an unchanged file had ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unchanged {
    pub ok: u64,
    pub failed: u64,
    pub skipped: u64,
    pub quarantined: u64,
}

impl Unchanged {
    #[must_use]
    pub fn inputs(&self) -> u64 {
        self.ok + self.failed + self.skipped + self.quarantined
    }
}

/// An input of an unchanged file as an earlier run left it.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownInput {
    /// As recorded then; its ordinal and `why` belong to that run.
    pub input: Input,
    pub status: InputStatus,
    /// Where all results lie that its verdict rests on: parts first, in order, then reduce steps.
    pub works: Vec<(Reused, ResultStatus)>,
    /// The reduce steps among `works`, with what each joins for this input: the run that takes them over logs these too,
    /// since a shared step's own record may name the works of another document.
    pub steps: Vec<Reduced>,
}

/// An unchanged file.
pub struct Known<'i> {
    index: &'i Index,
    range: Range,
    stamp: Stamp,
    plan_key: Digest,
}

struct Row {
    source: String,
    status: i64,
    steps: Option<String>,
    folder: String,
    offset: u64,
    crc: u32,
}

/// Sources from one up to another.
#[derive(Debug, Clone)]
struct Range {
    from: String,
    before: String,
    of_records: bool,
}

impl Range {
    fn alone(uri: &str) -> Range {
        Range {
            from: uri.to_owned(),
            before: format!("{uri}\0"),
            of_records: false,
        }
    }

    /// '$' follows '#': the range holds the records "<uri>#<id>" and the members "<uri>!/<name>" of an archive. The stamp
    /// keeps out other files that sort among them.
    fn records(uri: &str) -> Range {
        Range {
            from: format!("{uri}!/"),
            before: format!("{uri}$"),
            of_records: true,
        }
    }
}

impl Index {
    /// How the inputs of an unchanged file ended, when each did under this plan; None = the file has to be read.
    ///
    /// # Errors
    /// `Storage` when the file can't be read.
    pub fn unchanged(
        &self,
        uri: &str,
        stamp: Stamp,
        plan_key: &Digest,
    ) -> Result<Option<Unchanged>> {
        let found = self.file(uri, stamp, plan_key).map_err(self.failed())?;
        Ok(found.map(|(_, unchanged)| unchanged))
    }

    /// The inputs of such a file, to be taken over page by page.
    ///
    /// # Errors
    /// `Storage` when the file can't be read.
    pub fn known(&self, uri: &str, stamp: Stamp, plan_key: &Digest) -> Result<Option<Known<'_>>> {
        let found = self.file(uri, stamp, plan_key).map_err(self.failed())?;
        Ok(found.map(|(range, _)| Known {
            index: self,
            range,
            stamp,
            plan_key: *plan_key,
        }))
    }

    /// A file that is one document is found by its own uri and is whole by itself; otherwise its records are looked for,
    /// and they count only when one run saw them all.
    fn file(
        &self,
        uri: &str,
        stamp: Stamp,
        plan_key: &Digest,
    ) -> rusqlite::Result<Option<(Range, Unchanged)>> {
        if self.empty {
            return Ok(None);
        }
        for range in [Range::alone(uri), Range::records(uri)] {
            if let Some(unchanged) = self.whole(&range, stamp, plan_key)? {
                return Ok(Some((range, unchanged)));
            }
        }
        Ok(None)
    }

    /// The ends of all inputs in a range, if these are all that the file has.
    fn whole(
        &self,
        range: &Range,
        stamp: Stamp,
        plan_key: &Digest,
    ) -> rusqlite::Result<Option<Unchanged>> {
        let mut select = self.db.prepare_cached(
            "SELECT status, count(*), min(file_done), min(run), max(run), min(file), max(file) FROM inputs
             WHERE source >= ?1 AND source < ?2 AND plan = (SELECT id FROM plans WHERE key = ?3)
               AND size = ?4 AND mtime_ns = ?5 AND inode = ?6 GROUP BY status",
        )?;
        let mut rows = select.query(params![
            range.from,
            range.before,
            plan_key.to_hex(),
            stamp.size.cast_signed(),
            stamp.mtime_ns,
            stamp.inode.cast_signed()
        ])?;
        let mut unchanged = Unchanged::default();
        let mut group: Option<(i64, i64)> = None;
        while let Some(row) = rows.next()? {
            let count = row.get::<_, i64>(1)?.cast_unsigned();
            match build::input_status(row.get(0)?) {
                Some(InputStatus::Ok) => unchanged.ok = count,
                Some(InputStatus::Failed) => unchanged.failed = count,
                Some(InputStatus::Skipped) => unchanged.skipped = count,
                Some(InputStatus::Quarantined) => unchanged.quarantined = count,
                None => return Ok(None),
            }
            let (runs, files): ((i64, i64), (i64, i64)) =
                ((row.get(3)?, row.get(4)?), (row.get(5)?, row.get(6)?));
            let one = runs.0 == runs.1 && files.0 == files.1 && row.get(2)?;
            let same = *group.get_or_insert((runs.0, files.0)) == (runs.0, files.0);
            if range.of_records && !(one && same) {
                return Ok(None);
            }
        }
        Ok((unchanged.inputs() > 0).then_some(unchanged))
    }
}

impl Known<'_> {
    /// The inputs behind `last` (the source of the page before), in the order of their names; none at the end. None: what the
    /// index says cannot be read any more, so the file has to be.
    ///
    /// # Errors
    /// `Storage` when the index can't be read.
    pub fn page(&self, last: Option<&str>) -> Result<Option<Vec<KnownInput>>> {
        let rows = self.rows(last).map_err(self.index.failed())?;
        let mut known = Vec::with_capacity(rows.len());
        for row in rows {
            match self.input(&row)? {
                Some(input) => known.push(input),
                None => return Ok(None),
            }
        }
        Ok(Some(known))
    }

    fn rows(&self, last: Option<&str>) -> rusqlite::Result<Vec<Row>> {
        let mut select = self.index.db.prepare_cached(
            "SELECT source, status, steps, runs.folder, offset, crc FROM inputs JOIN runs ON runs.id = run
             WHERE source >= ?1 AND source > ?2 AND source < ?3 AND plan = (SELECT id FROM plans WHERE key = ?4)
               AND size = ?5 AND mtime_ns = ?6 AND inode = ?7 ORDER BY source LIMIT ?8",
        )?;
        let bounds = params![
            self.range.from,
            last.unwrap_or(""),
            self.range.before,
            self.plan_key.to_hex(),
            self.stamp.size.cast_signed(),
            self.stamp.mtime_ns,
            self.stamp.inode.cast_signed(),
            PAGE
        ];
        let rows = select.query_map(bounds, |row| {
            Ok(Row {
                source: row.get(0)?,
                status: row.get(1)?,
                steps: row.get(2)?,
                folder: row.get(3)?,
                offset: row.get::<_, i64>(4)?.cast_unsigned(),
                crc: row.get(5)?,
            })
        })?;
        rows.collect()
    }

    fn input(&self, row: &Row) -> Result<Option<KnownInput>> {
        let steps = match &row.steps {
            Some(text) => serde_json::from_str::<Vec<Reduced>>(text).ok(),
            None => Some(Vec::new()),
        };
        let (Some(status), Some(steps)) = (build::input_status(row.status), steps) else {
            return Ok(None);
        };
        let Ok(input) = self.record(row) else {
            return Ok(None);
        };
        debug_assert_eq!(input.source, row.source, "the row and its record");
        let Some(works) = self.pointers(&input, &steps)? else {
            return Ok(None);
        };
        Ok(Some(KnownInput {
            input,
            status,
            works,
            steps,
        }))
    }

    fn record(&self, row: &Row) -> Result<Input> {
        let mut journals = self.index.journals.borrow_mut();
        if !journals.contains_key(&row.folder) {
            journals.clear();
            let path = self.index.outputs.join(&row.folder).join(FILE_NAME);
            journals.insert(row.folder.clone(), Records::sweep(&path)?);
        }
        match journals.get(&row.folder) {
            Some(journal) => journal.input(row.offset, Some(row.crc)),
            None => Err(Error::Channel("a journal was not kept open".into())),
        }
    }

    /// Pointers to the parts of an input and to its reduce steps, each once; None when one is gone.
    fn pointers(
        &self,
        input: &Input,
        steps: &[Reduced],
    ) -> Result<Option<Vec<(Reused, ResultStatus)>>> {
        let parts = parts_of(input).0.iter().map(|part| part.work_id);
        let steps = steps.iter().map(|step| step.work_id);
        let mut seen = HashSet::new();
        let mut works = Vec::new();
        for work_id in parts.chain(steps).filter(|id| seen.insert(*id)) {
            match self.index.finished(&work_id)? {
                Some(found) => works.push(found),
                None => return Ok(None),
            }
        }
        Ok(Some(works))
    }
}
