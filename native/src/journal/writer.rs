//! The journal's own thread: group commit, one write a group, acknowledgements only after the data is where it must be.
//!
//! Decides nothing about records. Started by `Journal::open`; the first storage error is its last act (G7).

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use super::frame;
use super::planted::{Bug, planted};
use super::{Ack, Ticket};
use crate::error::Error;
use crate::settings::Durability;

/// A group is written at the first of: this many records, this many bytes, this age, or a flush. What waits by then goes with
/// it: when the disk is the slow part, groups grow instead of the queue.
const GROUP_RECORDS: usize = 32;
/// Most records of one group.
pub const GROUP_MOST: usize = 1024;
const GROUP_BYTES: usize = 8 << 20;
const GROUP_AGE: Duration = Duration::from_millis(50);
/// Commands waiting for the writer; beyond it `append` blocks (back-pressure, not growth).
pub const QUEUE: usize = 1024;

pub enum Command {
    Append {
        kind: u8,
        body: Vec<u8>,
        ticket: Option<Ticket>,
    },
    Flush,
    /// Answered once everything before it is durable; dropped unanswered after a failure.
    Barrier(Sender<()>),
}

/// Called after each delivery of acknowledgements, so that a thread in poll(2) can be woken.
pub type Wake = Box<dyn Fn() + Send>;

/// What the writer needs of a file; tests put failing disks here.
pub trait Sink: Send {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// fdatasync; on macOS std's `sync_data` is F_FULLFSYNC, which is what power loss needs there.
    fn sync(&mut self) -> io::Result<()>;
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Err when the folder or the file at its path is no longer the one that was opened (G11).
    fn still_there(&self) -> io::Result<()>;
}

/// The first storage error, kept so that every later call can be refused with it.
#[derive(Debug)]
pub struct Failure {
    action: &'static str,
    path: String,
    code: Option<i32>,
    text: String,
}

impl Failure {
    pub fn error(&self) -> Error {
        let source = match self.code {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::other(self.text.clone()),
        };
        Error::Storage {
            action: self.action,
            path: self.path.clone(),
            source,
        }
    }
}

pub struct Writer<S> {
    pub sink: S,
    pub path: PathBuf,
    pub durability: Durability,
    /// Where the next group goes; the file's length as far as it is known to be good.
    pub end: u64,
    pub acks: Sender<Ack>,
    pub failure: Arc<OnceLock<Failure>>,
    pub wake: Wake,
    /// Most records of a group: `GROUP_MOST`, less in tests.
    pub most: usize,
    pub group: Vec<Pending>,
    pub barriers: Vec<Sender<()>>,
}

pub struct Pending {
    kind: u8,
    body: Vec<u8>,
    ticket: Option<Ticket>,
}

impl<S: Sink> Writer<S> {
    /// Runs until every `Journal` handle is gone or the storage fails; what is queued is written before it ends.
    pub fn run(mut self, commands: &Receiver<Command>) {
        while let Ok(first) = commands.recv() {
            let open = self.collect(first, commands);
            if let Err((action, error)) = self.flush() {
                self.fail(action, &error);
                if !planted(Bug::WriteAfterFailure) {
                    return;
                }
            }
            if !open {
                return;
            }
        }
    }

    /// Gathers one group; false when no more commands can come.
    fn collect(&mut self, first: Command, commands: &Receiver<Command>) -> bool {
        let due = Instant::now() + GROUP_AGE;
        let (mut bytes, mut urgent) = (0, false);
        let mut next = first;
        loop {
            match next {
                Command::Append { kind, body, ticket } => {
                    bytes += body.len();
                    self.group.push(Pending { kind, body, ticket });
                }
                Command::Flush => urgent = true,
                Command::Barrier(answer) => {
                    self.barriers.push(answer);
                    urgent = true;
                }
            }
            if self.group.len() >= self.most || bytes >= GROUP_BYTES {
                return true;
            }
            let more = if urgent || self.group.len() >= GROUP_RECORDS {
                commands
                    .try_recv()
                    .map_err(|error| error == TryRecvError::Empty)
            } else {
                let received = commands.recv_deadline(due);
                received.map_err(|error| error == RecvTimeoutError::Timeout)
            };
            match more {
                Ok(command) => next = command,
                Err(open) => return open,
            }
        }
    }

    fn flush(&mut self) -> Result<(), (&'static str, io::Error)> {
        if !self.group.is_empty() {
            let mut bytes = Vec::new();
            let mut placed = Vec::with_capacity(self.group.len());
            for pending in self.group.drain(..) {
                let offset = self.end + bytes.len() as u64;
                let crc = frame::push(&mut bytes, pending.kind, self.end, &pending.body);
                placed.extend(pending.ticket.map(|ticket| (ticket, offset, crc)));
            }
            self.write(&bytes)?;
            let mut delivered = false;
            for (ticket, offset, crc) in placed {
                // A receiver that is gone wants no acknowledgements; the records are safe all the same.
                delivered |= self
                    .acks
                    .send(Ack::Durable {
                        ticket,
                        offset,
                        crc,
                    })
                    .is_ok();
            }
            if delivered {
                (self.wake)();
            }
        }
        for barrier in self.barriers.drain(..) {
            // Nobody waits any more: nothing to tell.
            let _ = barrier.send(());
        }
        Ok(())
    }

    /// One group: identity check, one write(2) (more only when the kernel takes it in pieces), one sync.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), (&'static str, io::Error)> {
        self.sink.still_there().map_err(|error| ("write", error))?;
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.sink.write(rest) {
                Ok(0) => return Err(("write", io::ErrorKind::WriteZero.into())),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(("write", error)),
            }
        }
        if self.durability == Durability::Power && !planted(Bug::AcknowledgeUnsynced) {
            self.sink.sync().map_err(|error| ("sync", error))?;
        }
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Nothing behind an unknown tail: try to put the file back to its last good end, say it once, stop.
    fn fail(&mut self, action: &'static str, error: &io::Error) {
        let path = self.path.display().to_string();
        let mut text = error.to_string();
        if let Err(second) = self.sink.cut(self.end) {
            text = format!("{text}; cutting the file back failed too: {second}");
        }
        let code = error.raw_os_error();
        let failure = Failure {
            action,
            path,
            code,
            text,
        };
        let told = failure.error();
        // Set before the message leaves, so that whoever reads it finds every later append refused.
        let _ = self.failure.set(failure);
        let _ = self.acks.send(Ack::Failed(told));
        (self.wake)();
    }
}

/// The real file, and the identity of the folder it was opened in.
pub struct DiskSink {
    file: File,
    path: PathBuf,
    folder: PathBuf,
    file_id: (u64, u64),
    folder_id: (u64, u64),
}

impl DiskSink {
    pub fn new(file: File, path: &Path) -> io::Result<DiskSink> {
        let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let meta = file.metadata()?;
        let folder_id = identity(&folder)?;
        Ok(DiskSink {
            file_id: (meta.dev(), meta.ino()),
            file,
            path: path.to_path_buf(),
            folder,
            folder_id,
        })
    }
}

impl Sink for DiskSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.sync_data()
    }

    fn still_there(&self) -> io::Result<()> {
        let same = |path: &Path, expected| identity(path).is_ok_and(|found| found == expected);
        let is_same = same(&self.folder, self.folder_id) && same(&self.path, self.file_id);
        if is_same || planted(Bug::IgnoreReplacedFolder) {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the run folder or its journal was deleted, moved or replaced while the run was writing",
        ))
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|meta| (meta.dev(), meta.ino()))
}
