//! One dangerous document at a time: its bytes into an extract worker, its text back. Both ends.
//!
//! Two nameless regions (file in, text out) and a socket pair that carries one line of JSON each way and is the death
//! signal. Pages are allocated before they are written and given back after each document. What the worker says is
//! checked: lengths against the region, text against UTF-8. Deadlines and restarts are the caller's; what the lines
//! mean is `extract/convert.rs`'s.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::memory::{
    Mapping, Nameless, PAGE, Sharing, commit, create, release, round_up, size_of_fd,
};
use crate::error::{Error, Result};

/// Longest line either side may send.
const MOST_LINE: usize = 64 << 10;
/// Room behind the text for the description of what it is.
const ANSWER_BYTES: usize = 16 << 20;

/// Why an exchange with the other side ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Line(String),
    /// Nothing yet.
    Silence,
    /// The other side has closed its end, or died.
    Gone,
}

/// What the extract worker says of its output region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filled {
    pub text_bytes: usize,
    pub answer_bytes: usize,
}

/// Lines over a socket, each with a bounded wait.
#[derive(Debug)]
struct Lines {
    socket: UnixStream,
    heard: Vec<u8>,
}

impl Lines {
    fn new(socket: UnixStream) -> Lines {
        Lines {
            socket,
            heard: Vec::new(),
        }
    }

    fn say(&mut self, line: &str) -> std::io::Result<()> {
        debug_assert!(!line.contains('\n'));
        self.socket.write_all(format!("{line}\n").as_bytes())
    }

    /// The next line, waiting at most `wait`; None waits for ever.
    fn hear(&mut self, wait: Option<Duration>) -> Result<Heard> {
        let failed = Error::storage("read", Path::new("the extract worker's socket"));
        if let Err(error) = self.socket.set_read_timeout(wait) {
            return Err(failed(error));
        }
        let mut bytes = [0u8; 4096];
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let rest = self.heard.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.heard, rest);
                line.pop();
                return String::from_utf8(line).map(Heard::Line).map_err(|_| {
                    Error::Channel("a line of the extract worker is not UTF-8".into())
                });
            }
            if self.heard.len() > MOST_LINE {
                return Err(Error::Channel(format!("a line of over {MOST_LINE} bytes")));
            }
            match self.socket.read(&mut bytes) {
                Ok(0) => return Ok(Heard::Gone),
                Ok(count) => self.heard.extend_from_slice(&bytes[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(Heard::Silence),
                    ErrorKind::Interrupted => {}
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return Ok(Heard::Gone),
                    _ => return Err(failed(error)),
                },
            }
        }
    }
}

/// Descriptors that the extract worker inherits.
#[derive(Debug)]
pub struct ConversionEnds {
    pub input: OwnedFd,
    pub output: OwnedFd,
    pub control: OwnedFd,
}

/// The runner's end.
#[derive(Debug)]
pub struct ConversionPort {
    input: Nameless,
    output: Nameless,
    most_text: usize,
    lines: Lines,
}

impl ConversionPort {
    /// Address space for the largest file and the largest text; no page of it is allocated yet.
    ///
    /// # Errors
    /// `Storage` when memory or socket cannot be made.
    pub fn open(most_file: usize, most_text: usize) -> Result<(ConversionPort, ConversionEnds)> {
        // Both are writable in the child: it may spoil its own input, which nobody reads again, and only an unsealed region
        // can give its pages back.
        let input = create(round_up(most_file.max(1), PAGE), Sharing::ReadWrite)?;
        let output = create(round_up(most_text + ANSWER_BYTES, PAGE), Sharing::ReadWrite)?;
        let failed = || Error::storage("make", Path::new("the extract worker's socket pair"));
        let (ours, theirs) = UnixStream::pair().map_err(failed())?;
        let ends = ConversionEnds {
            input: input.for_child.try_clone().map_err(failed())?,
            output: output.for_child.try_clone().map_err(failed())?,
            control: theirs.into(),
        };
        let port = ConversionPort {
            input,
            output,
            most_text,
            lines: Lines::new(ours),
        };
        Ok((port, ends))
    }

    /// Puts the file's bytes where the worker sees them and says what to do with them. False: the worker is gone.
    ///
    /// # Errors
    /// `Storage` when the machine has no memory left for them.
    pub fn ask(&mut self, file: &[u8], request: &str) -> Result<bool> {
        if !file.is_empty() {
            commit(&self.input, 0, file.len())?;
        }
        self.input.mapping.copy_in(0, file)?;
        Ok(self.lines.say(request).is_ok())
    }

    /// # Errors
    /// `Channel` for what no healthy worker sends.
    pub fn hear(&mut self, wait: Duration) -> Result<Heard> {
        self.lines.hear(Some(wait))
    }

    /// The text and its description out of the output region, which is given back with the input.
    ///
    /// # Errors
    /// `Channel` for lengths or bytes that cannot be true.
    pub fn take(&mut self, filled: Filled) -> Result<(String, String)> {
        let Filled {
            text_bytes,
            answer_bytes,
        } = filled;
        if text_bytes > self.most_text || answer_bytes > ANSWER_BYTES {
            return Err(Error::Channel(format!(
                "an answer of {text_bytes} + {answer_bytes} bytes, over the region"
            )));
        }
        let utf8 = |bytes| {
            String::from_utf8(bytes)
                .map_err(|_| Error::Channel("the extract worker's text is not UTF-8".into()))
        };
        let text = utf8(self.output.mapping.copy_out(0, text_bytes)?)?;
        let answer = utf8(self.output.mapping.copy_out(text_bytes, answer_bytes)?)?;
        self.give_back()?;
        Ok((text, answer))
    }

    fn give_back(&mut self) -> Result<()> {
        for region in [&self.input, &self.output] {
            release(region, 0, region.mapping.len())?;
        }
        Ok(())
    }
}

/// The extract worker's end.
#[derive(Debug)]
pub struct ConversionWorker {
    input: Mapping,
    output: Mapping,
    lines: Lines,
}

impl ConversionWorker {
    /// Takes over inherited descriptors.
    ///
    /// # Errors
    /// `Storage` when a region cannot be mapped.
    pub fn attach(input: &OwnedFd, output: &OwnedFd, control: OwnedFd) -> Result<ConversionWorker> {
        Ok(ConversionWorker {
            input: Mapping::new(input, size_of_fd(input)?, true)?,
            output: Mapping::new(output, size_of_fd(output)?, true)?,
            lines: Lines::new(control.into()),
        })
    }

    /// Says one line: "ready" at the start, progress between.
    ///
    /// # Errors
    /// `PeerGone` when the runner is gone.
    pub fn say(&mut self, line: &str) -> Result<()> {
        self.lines.say(line).map_err(|_| Error::PeerGone)
    }

    /// The next request; None when the runner has closed its end.
    ///
    /// # Errors
    /// `Channel` for a line that is none.
    pub fn next_request(&mut self) -> Result<Option<String>> {
        match self.lines.hear(None)? {
            Heard::Line(line) => Ok(Some(line)),
            Heard::Silence | Heard::Gone => Ok(None),
        }
    }

    /// A private copy of the file's first `bytes` bytes.
    ///
    /// # Errors
    /// `Channel` when the region has fewer.
    pub fn file(&self, bytes: usize) -> Result<Vec<u8>> {
        self.input.copy_out(0, bytes)
    }

    /// Text and description, then the line that makes them count.
    ///
    /// # Errors
    /// `Channel` when they do not fit, `PeerGone` when the runner is gone.
    pub fn answer(&mut self, text: &str, answer: &str) -> Result<()> {
        self.output.copy_in(0, text.as_bytes())?;
        self.output.copy_in(text.len(), answer.as_bytes())?;
        let filled = Filled {
            text_bytes: text.len(),
            answer_bytes: answer.len(),
        };
        let line = serde_json::to_string(&filled)
            .map_err(|error| Error::Channel(format!("an answer without a line: {error}")))?;
        self.say(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const WAIT: Duration = Duration::from_secs(20);

    fn pair(file: usize, text: usize) -> (ConversionPort, ConversionWorker) {
        let (port, ends) = ConversionPort::open(file, text).unwrap();
        let worker = ConversionWorker::attach(&ends.input, &ends.output, ends.control).unwrap();
        (port, worker)
    }

    fn line_of(port: &mut ConversionPort) -> String {
        match port.hear(WAIT).unwrap() {
            Heard::Line(line) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_goes_in_and_its_text_comes_back_again_and_again() {
        let (mut port, mut worker) = pair(1 << 20, 1 << 20);
        for size in [0, 1, 70_000, 1 << 20] {
            let file = vec![b'x'; size];
            assert!(port.ask(&file, "convert it").unwrap());
            assert_eq!(
                worker.next_request().unwrap().as_deref(),
                Some("convert it")
            );
            assert_eq!(worker.file(size).unwrap(), file);
            let text = "ü".repeat(size / 2);
            worker.answer(&text, "{}").unwrap();
            let filled = serde_json::from_str(&line_of(&mut port)).unwrap();
            assert_eq!(port.take(filled).unwrap(), (text, "{}".to_owned()));
        }
    }

    #[test]
    fn what_cannot_be_true_is_refused() {
        let (mut port, mut worker) = pair(100, 100);
        worker.answer("\u{fc}x", "{}").unwrap();
        line_of(&mut port);
        let filled = |text_bytes, answer_bytes| Filled {
            text_bytes,
            answer_bytes,
        };
        assert!(port.take(filled(101, 2)).is_err());
        assert!(port.take(filled(1, ANSWER_BYTES + 1)).is_err());
        assert!(port.take(filled(1, 2)).is_err(), "half a letter");
        assert!(worker.file(PAGE * 2).is_err());
    }

    #[test]
    fn either_side_learns_that_the_other_is_gone() {
        let (mut port, worker) = pair(100, 100);
        assert_eq!(port.hear(Duration::from_millis(1)).unwrap(), Heard::Silence);
        drop(worker);
        assert_eq!(port.hear(WAIT).unwrap(), Heard::Gone);
        let (port, mut worker) = pair(100, 100);
        drop(port);
        assert_eq!(worker.next_request().unwrap(), None);
        assert!(matches!(worker.say("ready"), Err(Error::PeerGone)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn pages_go_back_to_the_machine_after_each_document() {
        use std::os::unix::fs::MetadataExt;
        let (mut port, mut worker) = pair(8 << 20, 8 << 20);
        port.ask(&vec![1; 8 << 20], "x").unwrap();
        worker.next_request().unwrap();
        worker.answer(&"y".repeat(4 << 20), "{}").unwrap();
        let held = |region: &Nameless| {
            let file = std::fs::File::from(region.for_child.try_clone().unwrap());
            file.metadata().unwrap().blocks() * 512
        };
        assert!(held(&port.input) >= 8 << 20 && held(&port.output) >= 4 << 20);
        let filled = serde_json::from_str(&line_of(&mut port)).unwrap();
        port.take(filled).unwrap();
        assert_eq!((held(&port.input), held(&port.output)), (0, 0));
    }
}
