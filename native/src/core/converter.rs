//! Extract workers as the extract threads see them: each thread has one seat, and one document in it at a time.
//!
//! A worker is asked for when the first such file comes, and again after it died. `supervise` (Python) starts and reaps
//! the processes; here is what a file is owed: a bounded wait, a second try in a fresh process when one died under it,
//! and a reason when that dies too. Nothing here parses a byte of the file.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::channel::conversion::{ConversionEnds, ConversionPort, Filled, Heard};
use crate::counters::Counters;
use crate::document::Circumstance;
use crate::error::{Error, Result};
use crate::extract::convert::{Answer, Convert, Progress, Request, Unconverted};
use crate::pools::Pool;
use crate::settings::IngestSettings;

use super::Notice;

/// How often a waiting thread looks whether the run is being stopped.
const GLANCE: Duration = Duration::from_millis(100);
/// Tries of one file, each in a fresh process: a worker that was killed from outside is no fault of the file.
const TRIES: u32 = 2;
/// The line of a worker that is confined and ready for files.
const READY: &str = "ready";

#[derive(Debug, Default)]
struct SeatState {
    /// Made and not yet handed to a process.
    ends: Option<ConversionEnds>,
    /// How the last process ended, until its thread has read it.
    death: Option<Death>,
}

/// How a process ended, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Death {
    Died(String),
    CannotStart(String),
}

/// What extract threads and the supervisor share.
#[derive(Debug)]
pub struct Converters {
    seats: Mutex<BTreeMap<u32, SeatState>>,
    changed: Condvar,
    notices: Sender<Notice>,
}

impl Converters {
    pub fn new(notices: Sender<Notice>) -> Converters {
        Converters {
            seats: Mutex::default(),
            changed: Condvar::new(),
            notices,
        }
    }

    fn seats(&self) -> MutexGuard<'_, BTreeMap<u32, SeatState>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The descriptors of a seat that asked for a process.
    ///
    /// # Errors
    /// `Channel` when it did not ask.
    pub fn attach(&self, seat: u32) -> Result<ConversionEnds> {
        let mut seats = self.seats();
        let ends = seats.get_mut(&seat).and_then(|state| state.ends.take());
        ends.ok_or_else(|| Error::Channel(format!("extract worker {seat} was not asked for")))
    }

    /// The process of this seat is reaped.
    pub fn died(&self, seat: u32, cause: String) {
        self.end(seat, Death::Died(cause));
    }

    /// No process can be had: files of its kind fail with this reason.
    pub fn cannot_start(&self, seat: u32, problem: String) {
        self.end(seat, Death::CannotStart(problem));
    }

    fn end(&self, seat: u32, death: Death) {
        // Descriptors that nobody took go too: the thread's end of the socket is closed then, as after a death.
        let state = SeatState {
            ends: None,
            death: Some(death),
        };
        self.seats().insert(seat, state);
        self.changed.notify_all();
    }

    fn want(&self, seat: u32, ends: ConversionEnds) {
        let state = SeatState {
            ends: Some(ends),
            death: None,
        };
        self.seats().insert(seat, state);
        let _stopping = self.notices.send(Notice::ConverterWanted { seat });
    }
}

/// One thread's extract worker.
pub struct Converter {
    seat: u32,
    shared: Arc<Converters>,
    /// Its being closed says that the run stops.
    pool: Arc<Pool>,
    settings: IngestSettings,
    counters: Arc<Counters>,
    port: Option<ConversionPort>,
    /// The worker has said that its second reader is at work.
    in_second: bool,
}

/// Why one try gave no answer.
enum Trouble {
    /// Another process may do better.
    Died(String),
    Final(Unconverted),
}

impl From<Error> for Trouble {
    /// Memory that the machine has not got.
    fn from(error: Error) -> Trouble {
        Trouble::Final(Unconverted::Failed(Circumstance::Memory.reason(error)))
    }
}

type Tried<T> = std::result::Result<T, Trouble>;

impl Converter {
    pub fn new(
        seat: u32,
        shared: Arc<Converters>,
        pool: Arc<Pool>,
        settings: IngestSettings,
        counters: Arc<Counters>,
    ) -> Converter {
        Converter {
            seat,
            shared,
            pool,
            settings,
            counters,
            port: None,
            in_second: false,
        }
    }

    fn try_once(&mut self, request: &Request, file: &[u8]) -> Tried<(Answer, String)> {
        let line = serde_json::to_string(request)
            .map_err(|error| failed(Circumstance::Extractor.reason(error)))?;
        self.in_second = false;
        if self.port.is_none() {
            self.start()?;
        }
        let sent = match self.port.as_mut() {
            Some(port) => port.ask(file, &line)?,
            None => false,
        };
        if !sent {
            return Err(self.lost());
        }
        let wall = Duration::from_secs(self.settings.isolation.wall_s);
        let Some(said) = self.hear(wall)? else {
            let limit = self.settings.isolation.wall_s;
            self.kill();
            return Err(failed(format!("limit isolation.wall_s: over {limit} s")));
        };
        self.read(request, &said)
    }

    /// A fresh process, ready.
    fn start(&mut self) -> Tried<()> {
        let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX / 4);
        let (port, ends) = ConversionPort::open(
            bytes(self.settings.max_file_bytes),
            bytes(self.settings.max_text_bytes),
        )?;
        self.shared.want(self.seat, ends);
        self.port = Some(port);
        let wait = Duration::from_secs(self.settings.isolation.start_s);
        match self.hear(wait)? {
            Some(line) if line == READY => Ok(()),
            Some(line) => {
                self.kill();
                Err(Trouble::Died(format!("it began with {line:?}")))
            }
            None => {
                self.kill();
                Err(Trouble::Died(format!(
                    "not ready after {} s",
                    wait.as_secs()
                )))
            }
        }
    }

    /// The worker's next line but progress; None when it took longer than `most`.
    fn hear(&mut self, most: Duration) -> Tried<Option<String>> {
        let begun = Instant::now();
        loop {
            let heard = match self.port.as_mut() {
                Some(port) => port.hear(GLANCE),
                None => Ok(Heard::Gone),
            };
            match heard {
                Ok(Heard::Line(line)) => match serde_json::from_str::<Progress>(&line) {
                    Ok(Progress::Pages(pages)) => self.counters.pages_read.add(pages.into()),
                    Ok(Progress::Second) => self.in_second = true,
                    Err(_) => return Ok(Some(line)),
                },
                Ok(Heard::Silence) => {}
                Ok(Heard::Gone) => return Err(self.lost()),
                Err(error) => {
                    self.kill();
                    return Err(Trouble::Died(error.to_string()));
                }
            }
            if self.pool.is_closed() {
                self.port = None;
                return Err(Trouble::Final(Unconverted::Stopped));
            }
            if begun.elapsed() >= most {
                return Ok(None);
            }
        }
    }

    fn read(&mut self, request: &Request, line: &str) -> Tried<(Answer, String)> {
        let read = |port: &mut ConversionPort| -> std::result::Result<(Answer, String), String> {
            let filled: Filled = serde_json::from_str(line).map_err(|error| error.to_string())?;
            let (text, answer) = port.take(filled).map_err(|error| error.to_string())?;
            Ok((Answer::read(&answer, &text)?, text))
        };
        let outcome = match self.port.as_mut() {
            Some(port) => read(port),
            None => Err("no worker".to_owned()),
        };
        outcome.map_err(|problem| {
            self.kill();
            Trouble::Died(format!(
                "its answer to {:?} cannot be used: {problem}",
                request.format
            ))
        })
    }

    /// The socket is closed: what the supervisor says of the process.
    fn lost(&mut self) -> Trouble {
        self.port = None;
        match self.wait_for_death() {
            // The name as `exit_text` of runner/supervise writes it; an end-to-end test holds the two together.
            Some(Death::Died(cause)) if cause.contains("SIGXCPU") => {
                let limit = self.settings.isolation.cpu_s;
                failed(format!("limit isolation.cpu_s: over {limit} s"))
            }
            Some(Death::Died(cause)) => Trouble::Died(cause),
            Some(Death::CannotStart(problem)) => failed(Circumstance::Extractor.reason(problem)),
            None => Trouble::Final(Unconverted::Stopped),
        }
    }

    /// Has the process ended, whatever it is doing, and waits until it is.
    fn kill(&mut self) {
        self.port = None;
        let seat = self.seat;
        let _stopping = self.shared.notices.send(Notice::ConverterGivenUp { seat });
        let _known = self.wait_for_death();
    }

    /// None: the run is being stopped.
    fn wait_for_death(&self) -> Option<Death> {
        let mut seats = self.shared.seats();
        loop {
            let state = seats.entry(self.seat).or_default();
            if let Some(death) = state.death.take() {
                return Some(death);
            }
            if self.pool.is_closed() {
                return None;
            }
            let waited = self.shared.changed.wait_timeout(seats, GLANCE);
            seats = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn failed(reason: String) -> Trouble {
    Trouble::Final(Unconverted::Failed(reason))
}

impl Convert for Converter {
    fn convert(
        &mut self,
        request: &Request,
        file: &[u8],
    ) -> std::result::Result<(Answer, String), Unconverted> {
        // No process is started for the files that a stopping run still has in its queue.
        if self.pool.is_closed() {
            return Err(Unconverted::Stopped);
        }
        let mut request = request.clone();
        let (mut deaths, mut cause) = (0, String::new());
        while deaths < TRIES {
            match self.try_once(&request, file) {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Final(Unconverted::Stopped)) => return Err(Unconverted::Stopped),
                // The usual reader came to an end before: what it said is owed, whatever became of the second one.
                Err(Trouble::Died(why) | Trouble::Final(Unconverted::Failed(why)))
                    if self.in_second && request.no_second.is_none() =>
                {
                    request.no_second = Some(why);
                }
                Err(Trouble::Final(end)) => return Err(end),
                Err(Trouble::Died(why)) => (deaths, cause) = (deaths + 1, why),
            }
        }
        Err(Unconverted::Failed(format!(
            "parser: the extract worker died {TRIES} times on it, last: {cause}"
        )))
    }
}

#[cfg(test)]
mod tests;
