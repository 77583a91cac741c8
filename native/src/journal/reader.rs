//! Finds the frames of a journal file, tells a torn tail from a damaged middle, and loads single results.
//!
//! Never writes. Called by `Journal::open` (replay), by index (other runs) and by publish (outputs).

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::frame::{self, FILE_HEADER, FRAME_HEADER, FileHeader, Frame, MARKER};
use super::planted::{Bug, planted};
use super::record::{Record, ResultRecord, Reused};
use super::state::{ResultMeta, RunState};
use crate::error::{Error, Result};

const READ_STEP: usize = 1 << 20;
/// Unit in which a file system loses unsynced bytes.
const PAGE: u64 = 4096;
/// Open journals of other runs kept for loading reused results.
const MAX_OPEN_RUNS: usize = 64;

/// Where the good frames end. Everything behind is a torn tail: cut by the writer, ignored by other readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    pub good_end: u64,
    pub file_len: u64,
    pub frames: u64,
}

/// Visits every good frame from the start. Err(CorruptJournal) when good frames lie behind a bad one.
pub fn scan(path: &Path, mut visit: impl FnMut(&Frame<'_>) -> Result<()>) -> Result<Scan> {
    let file = File::open(path).map_err(Error::storage("open", path))?;
    let mut window = Window::at(file, 0).map_err(Error::storage("read", path))?;
    let storage = |error| Error::storage("read", path)(error);
    let header = frame::check_file_header(window.fill(FILE_HEADER).map_err(storage)?);
    match header {
        FileHeader::Good => window.skip(FILE_HEADER),
        FileHeader::Version(found) => return Err(other_version(path, found)),
        FileHeader::Torn | FileHeader::Foreign => {
            return end_at_damage(
                path,
                0,
                0,
                header == FileHeader::Torn,
                "the file header is damaged",
            );
        }
    }
    let mut frames = 0;
    loop {
        let offset = window.offset();
        let bytes = window.whole_frame().map_err(storage)?;
        if bytes.is_empty() {
            return Ok(Scan {
                good_end: offset,
                file_len: offset,
                frames,
            });
        }
        let Some(good) = frame::check(bytes, offset) else {
            return end_at_damage(path, offset, frames, true, "a frame fails its checksum");
        };
        visit(&good)?;
        frames += 1;
        let length = FRAME_HEADER + good.body.len();
        window.skip(length);
    }
}

/// Every record with its place. A CRC-good frame whose body can't be read is damage too, never skipped.
pub fn scan_records(
    path: &Path,
    mut visit: impl FnMut(Record, u64, u32) -> Result<()>,
) -> Result<Scan> {
    scan(path, |good| {
        let record = frame::decode(good).map_err(|detail| Error::CorruptJournal {
            path: path.display().to_string(),
            offset: good.offset,
            detail,
        })?;
        visit(record, good.offset, good.crc)
    })
}

/// Replays a journal without touching it: the view of a reader that does not own the run.
pub fn replay(path: &Path) -> Result<(RunState, Scan)> {
    let mut state = RunState::default();
    let scan = scan_records(path, |record, offset, crc| {
        state.apply(record, offset, crc);
        Ok(())
    })?;
    Ok((state, scan))
}

/// The damage at `bad` is a torn tail when nothing good lies behind it, or when all that is good behind it belongs to the
/// same group write (never acknowledged) and the gap is a page that never reached the disk. Anything else stops hard.
fn end_at_damage(path: &Path, bad: u64, frames: u64, may_tear: bool, what: &str) -> Result<Scan> {
    let corrupt = |detail: String| Error::CorruptJournal {
        path: path.display().to_string(),
        offset: bad,
        detail,
    };
    let storage = |error| Error::storage("read", path)(error);
    let file = File::open(path).map_err(storage)?;
    let file_len = file.metadata().map_err(storage)?.len();
    let mut window = Window::at(file, bad + 1).map_err(storage)?;
    let mut next_good = None;
    while window.seek_marker().map_err(storage)? {
        let offset = window.offset();
        let Some(good) = frame::check(window.whole_frame().map_err(storage)?, offset) else {
            window.skip(1);
            continue;
        };
        if planted(Bug::CutDamagedMiddle) {
            break;
        }
        if good.group > bad || frame::decode(&good).is_err() {
            return Err(corrupt(format!(
                "{what}, and good records follow at byte {offset}: this is damage, not a torn tail. Nothing was \
                 written. Restore the file from a backup, or start a new run (finished work is found again)"
            )));
        }
        next_good.get_or_insert(offset);
        let length = FRAME_HEADER + good.body.len();
        window.skip(length);
    }
    if let Some(offset) = next_good {
        if !lost_page(path, bad, offset).map_err(storage)? {
            return Err(corrupt(format!(
                "{what}, and good records of the same group follow at byte {offset}. Nothing was written. Restore the \
                 file from a backup, or start a new run (finished work is found again)"
            )));
        }
    } else if !may_tear {
        return Err(corrupt(
            "the file does not begin like a journal and holds no record of one".into(),
        ));
    }
    Ok(Scan {
        good_end: bad,
        file_len,
        frames,
    })
}

/// True when `bad..good` holds NULs up to a page border from the page's start (or from `bad`): bytes never written out.
fn lost_page(path: &Path, bad: u64, good: u64) -> io::Result<bool> {
    let file = File::open(path)?;
    let mut border = (bad / PAGE + 1) * PAGE;
    let mut page = vec![0u8; usize::try_from(PAGE).unwrap_or(0)];
    while border <= good {
        let from = bad.max(border - PAGE);
        let size = usize::try_from(border - from).unwrap_or(page.len());
        file.read_exact_at(&mut page[..size], from)?;
        if page[..size].iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
        border += PAGE;
    }
    Ok(false)
}

fn other_version(path: &Path, found: u32) -> Error {
    Error::config(
        format!(
            "{}: journal format version {found}; this runner reads version {}",
            path.display(),
            frame::FORMAT_VERSION
        ),
        "use the runner version that wrote this folder, or start a new run",
    )
}

/// A sliding view of a file: at least the bytes of one frame in memory, never the whole file.
struct Window {
    file: File,
    buffer: Vec<u8>,
    at: usize,
    base: u64,
    eof: bool,
}

impl Window {
    fn at(mut file: File, offset: u64) -> io::Result<Window> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Window {
            file,
            buffer: Vec::new(),
            at: 0,
            base: offset,
            eof: false,
        })
    }

    fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    fn skip(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.buffer.len());
    }

    /// The bytes from here on: at least `want`, fewer only at the end of the file.
    fn fill(&mut self, want: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.at < want && !self.eof {
            self.buffer.drain(..self.at);
            self.base += self.at as u64;
            self.at = 0;
            while self.buffer.len() < want && !self.eof {
                let step = (want - self.buffer.len()).max(READ_STEP) as u64;
                let read = (&mut self.file).take(step).read_to_end(&mut self.buffer)?;
                self.eof = (read as u64) < step;
            }
        }
        Ok(&self.buffer[self.at..])
    }

    /// The bytes from here on, holding the whole frame that seems to begin here.
    fn whole_frame(&mut self) -> io::Result<&[u8]> {
        let length = frame::body_length(self.fill(FRAME_HEADER)?).unwrap_or(0);
        self.fill(FRAME_HEADER + length)
    }

    /// Moves to the next marker; false when there is none.
    fn seek_marker(&mut self) -> io::Result<bool> {
        loop {
            let bytes = self.fill(FRAME_HEADER)?;
            if bytes.len() < FRAME_HEADER {
                return Ok(false);
            }
            let found = bytes.windows(MARKER.len()).position(|four| four == MARKER);
            if let Some(distance) = found {
                self.skip(distance);
                return Ok(true);
            }
            let passed = bytes.len() - (MARKER.len() - 1);
            self.skip(passed);
        }
    }
}

/// Reads one result record; `crc` (when known) must be the frame's, so a pointer into another run can't go astray.
pub fn read_result_at(
    file: &File,
    path: &Path,
    offset: u64,
    crc: Option<u32>,
) -> Result<ResultRecord> {
    let corrupt = |detail: String| Error::CorruptJournal {
        path: path.display().to_string(),
        offset,
        detail,
    };
    let mut bytes = vec![0u8; FRAME_HEADER];
    file.read_exact_at(&mut bytes, offset)
        .map_err(Error::storage("read", path))?;
    let length =
        frame::body_length(&bytes).ok_or_else(|| corrupt("no frame begins here".into()))?;
    bytes.resize(FRAME_HEADER + length, 0);
    file.read_exact_at(&mut bytes[FRAME_HEADER..], offset + FRAME_HEADER as u64)
        .map_err(Error::storage("read", path))?;
    let good = frame::check(&bytes, offset)
        .ok_or_else(|| corrupt("the frame fails its checksum".into()))?;
    if crc.is_some_and(|expected| expected != good.crc) {
        return Err(corrupt(
            "another record lies here than the one referred to".into(),
        ));
    }
    match frame::decode(&good).map_err(corrupt)? {
        Record::Result(result) => Ok(result),
        _ => Err(corrupt("the record here is not a result".into())),
    }
}

/// Loads results of this run and, for reused work, of the runs they came from.
pub struct ResultReader {
    outputs: PathBuf,
    path: PathBuf,
    own: File,
    others: RefCell<HashMap<String, File>>,
}

impl ResultReader {
    /// `outputs` is the folder that `Reused::run` is relative to; `journal` is this run's file.
    pub fn open(outputs: &Path, journal: &Path) -> Result<ResultReader> {
        Ok(ResultReader {
            outputs: outputs.to_path_buf(),
            path: journal.to_path_buf(),
            own: File::open(journal).map_err(Error::storage("open", journal))?,
            others: RefCell::new(HashMap::new()),
        })
    }

    pub fn load(&self, meta: &ResultMeta) -> Result<ResultRecord> {
        match &meta.run {
            None => read_result_at(&self.own, &self.path, meta.offset, Some(meta.crc)),
            Some(run) => self.load_other(run, meta.offset, meta.crc),
        }
    }

    /// Reads the records that new `Reused` marks point to. A mark whose record is gone or damaged is dropped, so its work
    /// is outstanding again; the dropped ones are returned with the reason, for the log.
    pub fn resolve(&self, state: &mut RunState) -> Vec<(Reused, Error)> {
        let mut lost = Vec::new();
        for reused in state.take_unresolved() {
            match self.load_reused(&reused) {
                Ok(result) => state.take_over(&reused, &result),
                Err(error) => lost.push((reused, error)),
            }
        }
        lost
    }

    /// The record that a mark points to.
    ///
    /// # Errors
    /// `Storage` when its run is gone, `CorruptJournal` when another record or none lies there.
    pub fn load_reused(&self, reused: &Reused) -> Result<ResultRecord> {
        let result = self.load_other(&reused.run, reused.offset, reused.crc)?;
        if result.work_id == reused.work_id {
            return Ok(result);
        }
        Err(Error::CorruptJournal {
            path: self.outputs.join(&reused.run).display().to_string(),
            offset: reused.offset,
            detail: "the record there is of other work".into(),
        })
    }

    fn load_other(&self, run: &str, offset: u64, crc: u32) -> Result<ResultRecord> {
        let path = self.outputs.join(run).join(super::FILE_NAME);
        let mut others = self.others.borrow_mut();
        if !others.contains_key(run) {
            if others.len() >= MAX_OPEN_RUNS {
                others.clear();
            }
            let file = File::open(&path).map_err(Error::storage("open", &path))?;
            others.insert(run.to_owned(), file);
        }
        match others.get(run) {
            Some(file) => read_result_at(file, &path, offset, Some(crc)),
            None => Err(Error::storage("open", &path)(io::Error::other(
                "not kept open",
            ))),
        }
    }
}
