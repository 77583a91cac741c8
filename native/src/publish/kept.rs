//! The lines that an earlier life of the run has left: which inputs they are of, or that they cannot be believed.
//!
//! After a kill every byte that was written is there, but perhaps for the end of the last line. Anything else (a line of no
//! input of this run, one that comes twice, a byte that no line holds) means that somebody else was here. Called by `publish`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use crate::error::{Error, Result};
use crate::journal::{Logged, Marks, RunState};

use super::{FAILURES, RESULTS, is_failure};

/// How every line begins: before the 16 digits of its id.
const BEGIN: &[u8] = b"{\"input_id\":\"";

/// The rows whose lines are in both files as they should be; half a last line is cut off. None: rebuild them.
pub(super) fn lines_of_earlier_lives(
    folder: &Path,
    state: &RunState,
    logged: &Logged,
) -> Result<Option<Marks>> {
    let Some((published, _)) = rows_in(&folder.join(RESULTS), state, logged)? else {
        return Ok(None);
    };
    let Some((failures, failed)) = rows_in(&folder.join(FAILURES), state, logged)? else {
        return Ok(None);
    };
    let expected = (0..)
        .zip(state.ends())
        .filter(|(row, end)| published.has(*row) && end.is_some_and(is_failure));
    let mut count = 0;
    for (row, _) in expected {
        count += 1;
        if !failures.has(row) {
            return Ok(None);
        }
    }
    Ok((count == failed).then_some(published))
}

/// Rows of the lines of one file and how many there are.
fn rows_in(path: &Path, state: &RunState, logged: &Logged) -> Result<Option<(Marks, usize)>> {
    let storage = |action| move |error| Error::storage(action, path)(error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(storage("open")(error)),
    };
    let mut lines = BufReader::with_capacity(1 << 18, file);
    let (mut line, mut rows, mut count) = (Vec::new(), Marks::default(), 0);
    let mut whole = 0;
    loop {
        line.clear();
        let read = lines
            .read_until(b'\n', &mut line)
            .map_err(storage("read"))?;
        if !line.ends_with(b"\n") {
            if read > 0 {
                cut(path, whole).map_err(storage("truncate"))?;
            }
            return Ok(Some((rows, count)));
        }
        whole += read as u64;
        count += 1;
        let row = row_of(&line, logged).filter(|row| state.end(state.ordinal(*row)).is_some());
        if !row.is_some_and(|row| rows.set(row)) {
            return Ok(None);
        }
    }
}

fn row_of(line: &[u8], logged: &Logged) -> Option<u32> {
    let digits = line.strip_prefix(BEGIN)?.first_chunk::<16>()?;
    let digits = std::str::from_utf8(digits).ok()?;
    let id = u64::from_str_radix(digits, 16).ok()?;
    let whole = line.ends_with(b"}\n") && !line.contains(&0);
    // The digits are the bytes of the key in their order.
    logged
        .find_id(u64::from_le_bytes(id.to_be_bytes()))
        .filter(|_| whole)
}

fn cut(path: &Path, length: u64) -> std::io::Result<()> {
    OpenOptions::new().write(true).open(path)?.set_len(length)
}
