//! JSON Lines as a stream: a file of any size in the memory of its longest line.
//!
//! Small files, and files whose head is not UTF-8, are read whole as every other format: only there the whole text tells the
//! encoding. `json.rs` knows what a line means; this knows where one ends. Called by `extract/mod.rs`.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::ops::ControlFlow;

use crate::discover::io_reason;
use crate::document::{Digest, MediaType, RejectedStatus, Source};

use super::detect::{self, Detected};
use super::encoding;
use super::gzip::Gunzip;
use super::json::Records;
use super::read::{self, Opened};
use super::{Job, Sink, limit_reason};

/// Up to this size a file is read whole; of a larger one as much is looked at to tell its type and encoding.
pub(super) const HEAD_BYTES: usize = 1 << 20;
/// A line buffer that grew past this for one long line is not kept for the short ones behind it.
const KEPT_LINE_BYTES: usize = 1 << 20;
const BUFFER_BYTES: usize = 1 << 18;
const MARK: &[u8] = b"\xef\xbb\xbf";
const LINES: Detected = Detected::Text {
    media: MediaType::Jsonl,
    tabs: false,
};

/// A file whose lines can be read one by one.
pub(super) struct Lines {
    source: Box<dyn BufRead>,
    /// Bytes of the file as it lies on the disk, and whether these are deflated.
    stored: u64,
    gzip: bool,
    /// It began with a byte order mark.
    marked: bool,
    /// Bytes of text read so far.
    taken: u64,
}

/// What comes next in the file.
enum Next {
    Line,
    /// A line of this many bytes, more than the limit; it is passed over.
    TooLong(u64),
    End,
}

impl Lines {
    /// None for what is to be read whole, and for what cannot be read: reading it whole says why. `head_bytes`: HEAD_BYTES,
    /// less in tests.
    pub(super) fn open(source: &Source, head_bytes: usize) -> Option<Lines> {
        let name = read::inner_name(&source.path);
        let by_name = detect::detect(&name, b"");
        let gzip = read::is_gzip_name(&source.path);
        if by_name != LINES || (!gzip && source.stamp.size <= head_bytes as u64) {
            return None;
        }
        let Opened { file, size, .. } = read::open(&source.path).ok()?;
        let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
        let gzip = gzip && file.fill_buf().ok()?.starts_with(b"\x1f\x8b");
        let mut rest: Box<dyn BufRead> = if gzip {
            let inflated = Gunzip::new(file);
            Box::new(BufReader::with_capacity(BUFFER_BYTES, inflated))
        } else {
            Box::new(file)
        };
        let mut head = Vec::with_capacity(head_bytes);
        let most = head_bytes as u64;
        rest.by_ref().take(most).read_to_end(&mut head).ok()?;
        let whole = head.len() < head_bytes;
        if whole || detect::detect(&name, &head) != LINES || !encoding::begins_as_utf8(&head) {
            return None;
        }
        let marked = head.starts_with(MARK);
        let taken = if marked { MARK.len() as u64 } else { 0 };
        let mut head = Cursor::new(head);
        head.set_position(taken);
        Some(Lines {
            source: Box::new(head.chain(rest)),
            stored: size,
            gzip,
            marked,
            taken,
        })
    }

    /// Every line to the sink. What stops the reading in the middle is a row of its own behind the records before it.
    pub(super) fn run(mut self, job: &Job<'_>, sink: Sink<'_>) -> ControlFlow<()> {
        let metadata = BTreeMap::from([("encoding".to_owned(), "UTF-8".to_owned())]);
        let mut records = Records::lines(job, &metadata);
        let mut hasher = blake3::Hasher::new();
        if self.marked {
            hasher.update(MARK);
        }
        let most = job.settings.max_file_bytes;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            line.shrink_to(KEPT_LINE_BYTES);
            let next = match self.next(&mut line, most, job.settings.max_inflate_ratio) {
                Ok(next) => next,
                Err(problem) => {
                    let behind = number - 1;
                    return sink(records.rest(format!("{problem}, behind line {behind}")));
                }
            };
            // The hash of the whole file is asked for only by a file without any record.
            if records.count() == 0 {
                hasher.update(&line);
            }
            match next {
                Next::Line => read_line(&mut records, number, &line, sink)?,
                Next::TooLong(bytes) => {
                    let problem = limit_reason("max_file_bytes", bytes, most);
                    records.bad(number, None, &problem, sink)?;
                }
                Next::End => break,
            }
        }
        if records.count() > 0 {
            return ControlFlow::Continue(());
        }
        let id = Digest(*hasher.finalize().as_bytes());
        sink(job.rejected(Some(id), RejectedStatus::Skipped, "no text".to_owned()))
    }

    fn next(&mut self, line: &mut Vec<u8>, most: u64, ratio: u64) -> Result<Next, String> {
        let next = self.take(line, most).map_err(|error| {
            if self.gzip {
                format!("damaged gzip: {}", io_reason(&error))
            } else {
                read::unreadable(&error)
            }
        })?;
        if self.gzip && self.taken > read::most_inflated(self.stored, ratio) {
            let value = self.taken.div_ceil(self.stored.max(1));
            return Err(limit_reason("max_inflate_ratio", value, ratio));
        }
        Ok(next)
    }

    /// The next line into `line`, its end with it.
    fn take(&mut self, line: &mut Vec<u8>, most: u64) -> io::Result<Next> {
        let mut bounded = self.source.by_ref().take(most.saturating_add(1));
        let read = bounded.read_until(b'\n', line)? as u64;
        self.taken += read;
        let content = read - u64::from(line.ends_with(b"\n"));
        if content <= most {
            return Ok(if read == 0 { Next::End } else { Next::Line });
        }
        let mut length = content;
        loop {
            let chunk = self.source.fill_buf()?;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let content = end.unwrap_or(chunk.len());
            let used = content + usize::from(end.is_some());
            self.source.consume(used);
            self.taken += used as u64;
            length += content as u64;
            if end.is_some() || used == 0 {
                return Ok(Next::TooLong(length));
            }
        }
    }
}

fn read_line(
    records: &mut Records<'_>,
    number: usize,
    line: &[u8],
    sink: Sink<'_>,
) -> ControlFlow<()> {
    match std::str::from_utf8(line) {
        Ok(text) => records.line(number, text, sink),
        Err(error) => {
            let (at, line) = (error.valid_up_to(), line.trim_ascii());
            let problem = format!("not UTF-8 as the lines before it: byte {at}");
            records.bad(number, Some(Digest::of(line)), &problem, sink)
        }
    }
}

#[cfg(test)]
mod tests;
