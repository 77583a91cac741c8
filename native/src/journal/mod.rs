//! The journal: one append-only log a run, and the only truth about it. docs/journal.md is the format's page.
//!
//! `Journal` appends and acknowledges; `RunState` is what the records mean. Locking the folder is the caller's. Called by
//! dispatch and core; publish and index read through `reader`.

pub mod attempts;
mod brief;
mod by_id;
pub mod frame;
mod judge;
pub mod loader;
pub mod planted;
pub mod reader;
pub mod record;
pub mod state;
pub mod table;
pub mod verdict;
pub mod writer;

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use self::planted::{Bug, planted};
use self::record::{Life, LifeEvent, Record};
use self::writer::{Command, DiskSink, Failure, Sink, Wake, Writer};
use crate::document::Digest;
use crate::error::{Error, Result};
use crate::settings::Durability;

pub use self::attempts::Suspicion;
pub use self::loader::{Loaded, Records, ResultReader};
pub use self::state::RunState;
pub use self::table::{Logged, Marks};
pub use self::verdict::{InputStatus, Verdict};

/// Name of the journal in a run's folder.
pub const FILE_NAME: &str = "journal";

/// The caller's name for an append it wants acknowledged.
pub type Ticket = u64;

/// What became of an append, in the order of the appends.
#[derive(Debug)]
pub enum Ack {
    /// The record is durable; `offset` and `crc` are where its frame lies.
    Durable {
        ticket: Ticket,
        offset: u64,
        crc: u32,
    },
    /// The storage failed: nothing after the last `Durable` is safe, and nothing more is written. Comes once.
    Failed(Error),
}

/// Who opens the journal: one life of the runner.
#[derive(Debug, Clone)]
pub struct NewLife {
    pub run_id: String,
    pub boot_id: String,
    pub pid: u32,
    pub unix_ms: u64,
    pub plan_key: Digest,
}

/// The open journal of the run that this process owns.
pub struct Journal {
    path: PathBuf,
    commands: Option<Sender<Command>>,
    acks: Receiver<Ack>,
    failure: Arc<OnceLock<Failure>>,
    thread: Option<JoinHandle<()>>,
    life: Life,
}

impl Journal {
    /// Replays the log (or makes it), cuts a torn tail, writes `life/opened` durably, and starts the writer.
    ///
    /// # Errors
    /// `CorruptJournal` for damage in the middle (nothing is written), `Config` for another plan or format version,
    /// `Storage` for anything the disk refuses.
    pub fn open(path: &Path, durability: Durability, life: NewLife) -> Result<(Journal, RunState)> {
        let (journal, state, _) = Journal::open_waking(path, durability, life, Box::new(|| ()))?;
        Ok((journal, state))
    }

    /// As `open`; `wake` runs on the writer's thread after each delivery of acknowledgements. Comes with what the inputs of
    /// earlier lives are.
    pub fn open_waking(
        path: &Path,
        durability: Durability,
        life: NewLife,
        wake: Wake,
    ) -> Result<(Journal, RunState, Logged)> {
        let storage = |action| move |error| Error::storage(action, path)(error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(storage("open"))?;
        let (mut state, logged, scan) = reader::replay_own(path)?;
        check_plan(path, &state, &life)?;
        if scan.file_len > scan.good_end && !planted(Bug::KeepTornTail) {
            file.set_len(scan.good_end).map_err(storage("truncate"))?;
            file.sync_all().map_err(storage("sync"))?;
        }
        let end = file.seek(SeekFrom::End(0)).map_err(storage("seek"))?;
        let sink = DiskSink::new(file, path).map_err(storage("examine"))?;
        let (mut journal, mut writer) =
            Journal::prepare(sink, path, durability, life, wake, &state);
        writer.end = end;
        let fresh = end == 0;
        let offset = open_life(&mut writer, &journal.life, fresh)?;
        // In every life: the one that made the file may have died before it got here.
        sync_folder(path)?;
        state.apply(&Record::Life(journal.life.clone()), offset);
        journal.start(writer)?;
        Ok((journal, state, logged))
    }

    fn prepare<S: Sink>(
        sink: S,
        path: &Path,
        durability: Durability,
        life: NewLife,
        wake: Wake,
        state: &RunState,
    ) -> (Journal, Writer<S>) {
        let (send_ack, acks) = unbounded(); // bounded by the tickets in flight, which the credits of the channel bound
        let failure = Arc::new(OnceLock::new());
        let writer = Writer {
            sink,
            path: path.to_path_buf(),
            durability,
            end: 0,
            acks: send_ack,
            failure: Arc::clone(&failure),
            wake,
            most: writer::GROUP_MOST,
            group: Vec::new(),
            barriers: Vec::new(),
        };
        let life = Life {
            event: LifeEvent::Opened,
            run_id: life.run_id,
            incarnation: state.incarnation + 1,
            boot_id: life.boot_id,
            pid: life.pid,
            unix_ms: life.unix_ms,
            plan_key: life.plan_key,
        };
        let journal = Journal {
            path: path.to_path_buf(),
            commands: None,
            acks,
            failure,
            thread: None,
            life,
        };
        (journal, writer)
    }

    fn start<S: Sink + 'static>(&mut self, writer: Writer<S>) -> Result<()> {
        let (commands, received) = bounded(writer::QUEUE);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&received))
            .map_err(Error::storage("start the writer of", &self.path))?;
        self.commands = Some(commands);
        self.thread = Some(thread);
        Ok(())
    }

    /// Queues a record. With a ticket an `Ack` follows once it is durable; blocks when the writer is far behind.
    ///
    /// # Errors
    /// The sticky storage error after a failure; `Config` for a record too large to store.
    pub fn append(&self, record: &Record, on_durable: Option<Ticket>) -> Result<()> {
        self.refuse_after_failure()?;
        let (kind, body) = frame::body_of(record).map_err(|problem| {
            Error::config(
                format!("{}: can't store {problem}", self.path.display()),
                "lower job.max_tokens",
            )
        })?;
        self.send(Command::Append {
            kind,
            body,
            ticket: on_durable,
        })
    }

    /// Writes the open group at once instead of at 32 records or 50 ms: for start marks before a dispatch.
    ///
    /// # Errors
    /// The sticky storage error after a failure.
    pub fn flush_now(&self) -> Result<()> {
        self.send(Command::Flush)
    }

    /// Blocks until everything appended so far is durable.
    ///
    /// # Errors
    /// The sticky storage error after a failure.
    pub fn sync(&self) -> Result<()> {
        let (answer, answered) = bounded(1);
        self.send(Command::Barrier(answer))?;
        answered.recv().map_err(|_| self.failed())
    }

    /// Acknowledgements in the order of the appends.
    pub fn acks(&self) -> &Receiver<Ack> {
        &self.acks
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn incarnation(&self) -> u32 {
        self.life.incarnation
    }

    /// Writes `life/closed` and ends the writer: a clean end, nothing of this life is suspected later. Dropping the journal
    /// instead writes what is queued but no `closed`.
    ///
    /// # Errors
    /// The storage error, if any record did not become durable.
    pub fn close(mut self, unix_ms: u64) -> Result<()> {
        let closed = Life {
            event: LifeEvent::Closed,
            unix_ms,
            ..self.life.clone()
        };
        self.append(&Record::Life(closed), None)?;
        self.sync()?;
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.commands = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(self.failed()),
            _ => self.refuse_after_failure(),
        }
    }

    fn send(&self, command: Command) -> Result<()> {
        self.refuse_after_failure()?;
        match &self.commands {
            Some(commands) => commands.send(command).map_err(|_| self.failed()),
            None => Err(self.failed()),
        }
    }

    fn refuse_after_failure(&self) -> Result<()> {
        self.failure
            .get()
            .map_or(Ok(()), |failure| Err(failure.error()))
    }

    fn failed(&self) -> Error {
        self.failure.get().map_or_else(
            || {
                Error::storage("write", &self.path)(std::io::Error::other(
                    "the journal's writer ended",
                ))
            },
            Failure::error,
        )
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The one who wants to know of errors calls close(); a drop is the way out after one.
        let _ = self.end();
    }
}

fn check_plan(path: &Path, state: &RunState, life: &NewLife) -> Result<()> {
    match state.plan_key {
        Some(found) if found != life.plan_key => Err(Error::config(
            format!(
                "{}: this run was started with other settings (plan {}, now {})",
                path.display(),
                &found.to_hex()[..12],
                &life.plan_key.to_hex()[..12]
            ),
            "resume with the run's own settings, or start a new run (finished work is found again)",
        )),
        _ => Ok(()),
    }
}

/// The first record of a life, durable before anything else; in a fresh file in one write with the file header.
fn open_life<S: Sink>(writer: &mut Writer<S>, life: &Life, fresh: bool) -> Result<u64> {
    let path = writer.path.clone();
    let (kind, body) = frame::body_of(&Record::Life(life.clone()))
        .map_err(|problem| Error::config(problem, "shorten the run's id"))?;
    let mut bytes = if fresh {
        frame::file_header().to_vec()
    } else {
        Vec::new()
    };
    let offset = writer.end + bytes.len() as u64;
    frame::push(&mut bytes, kind, writer.end, &body);
    writer
        .write(&bytes)
        .map_err(|(action, error)| Error::storage(action, &path)(error))?;
    Ok(offset)
}

/// Makes a created or renamed name in the folder of `path` survive power loss.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(Error::storage("sync the folder", folder))
}

#[cfg(test)]
pub(crate) mod tests;
