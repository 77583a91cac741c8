//! Loads single records: inputs and results of this run and, for reused work, of the runs they came from.
//!
//! Never writes and decides nothing. Called by core, publish and index, which keep only where a record lies.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::frame::{self, FRAME_HEADER};
use super::record::{Input, Record, ResultRecord, Reused};
use super::state::RunState;
use super::table::Found;
use crate::error::{Error, Result};
use crate::request::WorkId;

/// Open journals of other runs kept for loading reused results.
const MAX_OPEN_RUNS: usize = 64;
/// Read at once for a record whose length is not known; most are shorter.
const FIRST_READ: usize = 1024;
const BLOCK: usize = 256 << 10;
/// Inputs and results lie apart by what was under way between them, for each extract thread's stretch.
const BLOCKS: usize = 16;

/// Blocks of a file with their offsets, the one used last at the end.
type Blocks = VecDeque<(u64, Vec<u8>)>;

/// The records of one journal by their place.
pub struct Records {
    path: PathBuf,
    file: File,
    /// For who reads much of a file in about its order: the blocks read last.
    blocks: Option<RefCell<Blocks>>,
}

impl Records {
    pub fn open(path: &Path) -> Result<Records> {
        Ok(Records {
            path: path.to_path_buf(),
            file: File::open(path).map_err(Error::storage("open", path))?,
            blocks: None,
        })
    }

    /// As `open`, to read much of the file in about its order. What is appended later may not be seen.
    pub fn sweep(path: &Path) -> Result<Records> {
        Ok(Records {
            blocks: Some(RefCell::default()),
            ..Records::open(path)?
        })
    }

    /// The record whose frame lies there; `crc` (when known) must be the frame's, so that a pointer can't go astray.
    ///
    /// # Errors
    /// `Storage`; `CorruptJournal` when no good record, or another one, lies there.
    pub fn at(&self, offset: u64, crc: Option<u32>) -> Result<Record> {
        let mut bytes = Vec::with_capacity(FIRST_READ);
        self.fill(offset, FIRST_READ, &mut bytes)?;
        let length = frame::body_length(&bytes)
            .ok_or_else(|| self.corrupt(offset, "no frame begins here"))?;
        self.fill(offset, FRAME_HEADER + length, &mut bytes)?;
        let good = frame::check(&bytes, offset)
            .ok_or_else(|| self.corrupt(offset, "the frame fails its checksum"))?;
        if crc.is_some_and(|expected| expected != good.crc) {
            let problem = "another record lies here than the one referred to";
            return Err(self.corrupt(offset, problem));
        }
        frame::decode(&good).map_err(|problem| self.corrupt(offset, problem))
    }

    /// The input whose record lies there.
    ///
    /// # Errors
    /// As `at`; `CorruptJournal` for another kind of record.
    pub fn input(&self, offset: u64, crc: Option<u32>) -> Result<Input> {
        match self.at(offset, crc)? {
            Record::Input(input) => Ok(input),
            _ => Err(self.corrupt(offset, "the record here is not an input")),
        }
    }

    /// The result of this work, whose record lies there.
    ///
    /// # Errors
    /// As `at`; `CorruptJournal` for another kind of record or other work.
    pub fn result(&self, work_id: &WorkId, offset: u64, crc: Option<u32>) -> Result<ResultRecord> {
        match self.at(offset, crc)? {
            Record::Result(result) if result.work_id == *work_id => Ok(result),
            Record::Result(_) => Err(self.corrupt(offset, "the record there is of other work")),
            _ => Err(self.corrupt(offset, "the record here is not a result")),
        }
    }

    /// Adds to `bytes`, which begin at `offset`, until there are `want` or the file ends.
    fn fill(&self, offset: u64, want: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let read = match &self.blocks {
            Some(blocks) => self.fill_by_blocks(&mut blocks.borrow_mut(), offset, want, bytes),
            None => self.fill_from(offset, want, bytes),
        };
        read.map_err(Error::storage("read", &self.path))
    }

    fn fill_from(&self, offset: u64, want: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut have = bytes.len();
        bytes.resize(want.max(have), 0);
        while have < want {
            match self.file.read_at(&mut bytes[have..], offset + have as u64) {
                Ok(0) => break,
                Ok(count) => have += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(have);
        Ok(())
    }

    fn fill_by_blocks(
        &self,
        blocks: &mut Blocks,
        offset: u64,
        want: usize,
        bytes: &mut Vec<u8>,
    ) -> io::Result<()> {
        while bytes.len() < want {
            let at = offset + bytes.len() as u64;
            let start = at - at % BLOCK as u64;
            let held = blocks.iter().position(|(begin, _)| *begin == start);
            let block = if let Some(found) = held.and_then(|index| blocks.remove(index)) {
                found
            } else {
                let mut fresh = match blocks.len() {
                    BLOCKS.. => blocks.pop_front().map(|(_, old)| old).unwrap_or_default(),
                    _ => Vec::new(),
                };
                fresh.clear();
                self.fill_from(start, BLOCK, &mut fresh)?;
                (start, fresh)
            };
            let skipped = usize::try_from(at - start).unwrap_or(BLOCK);
            let rest = block.1.get(skipped..).unwrap_or_default();
            let taken = rest.len().min(want - bytes.len());
            bytes.extend_from_slice(&rest[..taken]);
            blocks.push_back(block);
            if taken == 0 {
                break;
            }
        }
        Ok(())
    }

    fn corrupt(&self, offset: u64, detail: impl Into<String>) -> Error {
        Error::CorruptJournal {
            path: self.path.display().to_string(),
            offset,
            detail: detail.into(),
        }
    }
}

/// A result, and the run it was taken over from, if it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub record: ResultRecord,
    pub run: Option<String>,
}

/// Inputs and results of this run and, for reused work, of the runs they came from.
pub struct ResultReader {
    outputs: PathBuf,
    own: Records,
    others: RefCell<HashMap<String, Records>>,
}

impl ResultReader {
    /// `outputs` is the folder that `Reused::run` is relative to; `journal` is this run's file.
    pub fn open(outputs: &Path, journal: &Path) -> Result<ResultReader> {
        Ok(ResultReader {
            outputs: outputs.to_path_buf(),
            own: Records::open(journal)?,
            others: RefCell::new(HashMap::new()),
        })
    }

    /// The same, to read all of a journal that nobody appends to meanwhile.
    pub fn sweep(&self) -> Result<ResultReader> {
        Ok(ResultReader {
            outputs: self.outputs.clone(),
            own: Records::sweep(&self.own.path)?,
            others: RefCell::new(HashMap::new()),
        })
    }

    /// An input of this run.
    ///
    /// # Errors
    /// As `Records::input`.
    pub fn input(&self, offset: u64) -> Result<Input> {
        self.own.input(offset, None)
    }

    /// A result that the state has found.
    ///
    /// # Errors
    /// As `Records::result`; `Storage` when the run that it came from is gone.
    pub fn result(&self, work_id: &WorkId, found: Found) -> Result<Loaded> {
        if !found.reused {
            let record = self.own.result(work_id, found.offset, None)?;
            return Ok(Loaded { record, run: None });
        }
        let reused = self.reused(found.offset)?;
        let record = self.load_reused(&reused)?;
        let run = Some(reused.run);
        Ok(Loaded { record, run })
    }

    fn reused(&self, offset: u64) -> Result<Reused> {
        match self.own.at(offset, None)? {
            Record::Reused(reused) => Ok(reused),
            _ => Err(self.own.corrupt(offset, "the record here refers to no run")),
        }
    }

    /// Reads the records that new `Reused` marks point to. A mark whose record is gone or damaged is dropped, so its work
    /// is outstanding again; the dropped ones are returned with the reason, for the log.
    ///
    /// # Errors
    /// `Storage` or `CorruptJournal` of this run's own journal.
    pub fn resolve(&self, state: &mut RunState) -> Result<Vec<(Reused, Error)>> {
        let mut lost = Vec::new();
        for offset in state.take_unresolved() {
            let reused = self.reused(offset)?;
            if state.is_done(&reused.work_id) {
                continue;
            }
            match self.load_reused(&reused) {
                Ok(result) => state.take_over(&result, offset),
                Err(error) => lost.push((reused, error)),
            }
        }
        Ok(lost)
    }

    /// The record that a mark points to.
    ///
    /// # Errors
    /// `Storage` when its run is gone, `CorruptJournal` when another record or none lies there.
    pub fn load_reused(&self, reused: &Reused) -> Result<ResultRecord> {
        let mut others = self.others.borrow_mut();
        if !others.contains_key(&reused.run) {
            if others.len() >= MAX_OPEN_RUNS {
                others.clear();
            }
            let path = self.outputs.join(&reused.run).join(super::FILE_NAME);
            others.insert(reused.run.clone(), Records::open(&path)?);
        }
        match others.get(&reused.run) {
            Some(run) => run.result(&reused.work_id, reused.offset, Some(reused.crc)),
            None => Err(Error::Channel("a journal was not kept open".into())),
        }
    }
}
