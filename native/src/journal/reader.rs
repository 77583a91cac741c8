//! Finds the frames of a journal file and tells a torn tail from a damaged middle.
//!
//! Never writes. Called by `Journal::open` (replay) and by index (other runs); single records are `loader.rs`'s business.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::brief::{self, Brief};
use super::frame::{self, FILE_HEADER, FRAME_HEADER, FileHeader, Frame, MARKER};
use super::planted::{Bug, planted};
use super::record::Record;
use super::state::RunState;
use super::table::Logged;
use crate::document::{Digest, input_key};
use crate::error::{Error, Result};

const READ_STEP: usize = 1 << 20;
/// Unit in which a file system loses unsynced bytes.
const PAGE: u64 = 4096;

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
        let record = frame::decode(good).map_err(|detail| damage(path, good.offset, detail))?;
        visit(record, good.offset, good.crc)
    })
}

/// Replays a journal without touching it: the view of a reader that does not own the run.
pub fn replay(path: &Path) -> Result<(RunState, Scan)> {
    fold(path, |_, _| ())
}

/// As `replay`, for the run's next life: with what its inputs are.
pub fn replay_own(path: &Path) -> Result<(RunState, Logged, Scan)> {
    let mut logged = Logged::default();
    let (state, scan) = fold(path, |source, doc_id| {
        logged.push(input_key(source, doc_id));
    })?;
    Ok((state, logged, scan))
}

/// `met` hears of each input in the order of the rows.
fn fold(path: &Path, mut met: impl FnMut(&str, Option<&Digest>)) -> Result<(RunState, Scan)> {
    let mut state = RunState::default();
    let scan = scan(path, |good| {
        let damaged = |detail| damage(path, good.offset, detail);
        match brief::decode(good).map_err(damaged)? {
            Brief::Input(mut input) => {
                let parts = std::mem::take(&mut input.parts);
                if state.add_brief_input(&input, parts, good.offset) {
                    met(&input.source, input.doc_id.as_ref());
                }
            }
            Brief::Result(result) => state.add_brief_result(&result, good.offset),
            Brief::Other(record) => state.apply(&record, good.offset),
        }
        Ok(())
    })?;
    Ok((state, scan))
}

fn damage(path: &Path, offset: u64, detail: String) -> Error {
    Error::CorruptJournal {
        path: path.display().to_string(),
        offset,
        detail,
    }
}

/// The damage at `bad` is a torn tail when nothing good lies behind it, or when all that is good behind it belongs to the
/// same group write (never acknowledged) and the gap is a page that never reached the disk. Anything else stops hard.
fn end_at_damage(path: &Path, bad: u64, frames: u64, may_tear: bool, what: &str) -> Result<Scan> {
    let corrupt = |detail: String| damage(path, bad, detail);
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
