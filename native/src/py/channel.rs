//! The channel's part of `runner._native`: the worker's end for `runner/channel.py`, and for tests and the bench the
//! runner's end and the bare ring. Descriptor lines travel as bytes, 64 a line.

use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::channel::layout::{CompleteLine, SubmitLine};
use crate::channel::memory::duplicate;
use crate::channel::port::{DocumentArena, Progress, RunnerPort, Submit, WorkerPort};
use crate::channel::probe::{Probe, Shape};
use crate::channel::ring::{LINE_WORDS, Line};
use crate::channel::worker_port::ProgressCell;
use crate::error::{Error, Result};
use crate::request::{CompletionStatus, FinishReason, TokenSpan};
use crate::settings::ChannelSettings;

const LINE_BYTES: usize = LINE_WORDS * 8;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyWorkerPort>()?;
    module.add_class::<PyDocumentArena>()?;
    module.add_class::<PyRunnerPort>()?;
    module.add_class::<PyProbe>()
}

/// A poisoned lock means that a panic is already on its way to the caller; the data behind it are still sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn whole_lines(words: &PyBuffer<u64>) -> Result<usize> {
    if words.item_count().is_multiple_of(LINE_WORDS) {
        return Ok(words.item_count() / LINE_WORDS);
    }
    Err(Error::Channel(format!("lines are {LINE_WORDS} words each")))
}

/// Whole lines out of bytes that Python made.
fn parse(bytes: &[u8]) -> Result<impl Iterator<Item = Line>> {
    let (lines, rest) = bytes.as_chunks::<LINE_BYTES>();
    if !rest.is_empty() {
        return Err(Error::Channel("lines are 64 bytes each".into()));
    }
    Ok(lines.iter().map(|bytes| {
        let mut line = [0; LINE_WORDS];
        for (word, bytes) in line.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        line
    }))
}

fn unparse(
    py: Python<'_>,
    lines: impl ExactSizeIterator<Item = Line>,
) -> PyResult<Bound<'_, PyBytes>> {
    PyBytes::new_with(py, lines.len() * LINE_BYTES, |bytes| {
        for (place, line) in bytes.as_chunks_mut::<LINE_BYTES>().0.iter_mut().zip(lines) {
            for (bytes, word) in place.as_chunks_mut::<8>().0.iter_mut().zip(line) {
                *bytes = word.to_le_bytes();
            }
        }
        Ok(())
    })
}

fn inherited(fds: &[i32]) -> Result<Vec<OwnedFd>> {
    fds.iter().map(|fd| duplicate(*fd)).collect()
}

struct Worker {
    port: WorkerPort,
    lines: Vec<SubmitLine>,
}

/// The worker's end. One thread receives and completes; any thread may set progress or look at `draining`.
#[pyclass(frozen, name = "WorkerPort", module = "runner._native")]
pub struct PyWorkerPort {
    worker: Mutex<Worker>,
    cell: ProgressCell,
}

#[pymethods]
impl PyWorkerPort {
    /// Keeps its own copies of the descriptors; the caller's stay the caller's.
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over owned lists")]
    fn new(
        channel_fd: i32,
        control_fd: i32,
        document_fds: Vec<i32>,
        spin_us: u32,
    ) -> PyResult<PyWorkerPort> {
        let documents = inherited(&document_fds)?;
        let channel = duplicate(channel_fd)?;
        let port = WorkerPort::attach(&channel, duplicate(control_fd)?, &documents, spin_us)?;
        Ok(PyWorkerPort {
            cell: port.progress_cell(),
            worker: Mutex::new(Worker {
                port,
                lines: Vec::new(),
            }),
        })
    }

    /// At most `most` submit lines, as bytes of 64 each.
    fn receive<'py>(
        &self,
        py: Python<'py>,
        most: usize,
        timeout_ms: i32,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let count = py.detach(|| {
            let worker = &mut *lock(&self.worker);
            worker.lines.resize(most, SubmitLine::default());
            worker.port.receive(&mut worker.lines, timeout_ms)
        })?;
        let worker = lock(&self.worker);
        unparse(py, worker.lines[..count].iter().map(|line| line.to_line()))
    }

    /// Stages complete lines.
    fn complete(&self, lines: &[u8]) -> PyResult<()> {
        let lines: Vec<CompleteLine> = parse(lines)?
            .map(|line| CompleteLine::from_line(&line))
            .collect();
        Ok(lock(&self.worker).port.complete(&lines)?)
    }

    fn publish(&self) {
        lock(&self.worker).port.publish();
    }

    fn progress(
        &self,
        heartbeat_ns: u64,
        prompt_tokens: u64,
        generated_tokens: u64,
        active_rows: u64,
        memory_bytes: u64,
    ) {
        self.cell.set(&Progress {
            heartbeat_ns,
            prompt_tokens,
            generated_tokens,
            active_rows,
            memory_bytes,
        });
    }

    #[getter]
    fn draining(&self) -> bool {
        self.cell.draining()
    }
}

/// The runner's documents, for tests and the bench; a run uses the one inside `Core`.
#[pyclass(frozen, name = "DocumentArena", module = "runner._native")]
pub struct PyDocumentArena {
    arena: Mutex<DocumentArena>,
    settings: ChannelSettings,
}

#[pymethods]
impl PyDocumentArena {
    #[new]
    fn new(settings_json: &str) -> PyResult<PyDocumentArena> {
        let settings: ChannelSettings = serde_json::from_str(settings_json).map_err(|error| {
            Error::config(format!("channel settings: {error}"), "see settings.rs")
        })?;
        Ok(PyDocumentArena {
            arena: Mutex::new(DocumentArena::new(&settings)?),
            settings,
        })
    }

    #[getter]
    fn bytes_in_use(&self) -> u64 {
        lock(&self.arena).bytes_in_use()
    }

    #[getter]
    fn segment_bytes_total(&self) -> u64 {
        lock(&self.arena).segment_bytes_total()
    }
}

/// handle, status, output, reason, finish reason, tokens in, tokens out.
type Answer = (u64, &'static str, String, String, &'static str, u32, u32);

/// The runner's end of one worker, for tests and the bench.
#[pyclass(frozen, name = "RunnerPort", module = "runner._native")]
pub struct PyRunnerPort {
    port: Mutex<Option<RunnerPort>>,
    arena: Py<PyDocumentArena>,
    ends: Mutex<Option<(i32, i32, Vec<i32>)>>,
}

fn closed() -> Error {
    Error::Channel("this port was closed".into())
}

#[pymethods]
impl PyRunnerPort {
    #[new]
    fn new(arena: Py<PyDocumentArena>, credits: u32) -> PyResult<PyRunnerPort> {
        let shared = arena.get();
        let (port, ends) = RunnerPort::open(&shared.settings, credits, &mut lock(&shared.arena))?;
        let documents = ends
            .documents
            .into_iter()
            .map(IntoRawFd::into_raw_fd)
            .collect();
        let ends = (
            ends.channel.into_raw_fd(),
            ends.control.into_raw_fd(),
            documents,
        );
        Ok(PyRunnerPort {
            port: Mutex::new(Some(port)),
            arena,
            ends: Mutex::new(Some(ends)),
        })
    }

    /// channel, control, documents: the caller's to pass on and to close. Once only.
    fn child_ends(&self) -> PyResult<(i32, i32, Vec<i32>)> {
        Ok(lock(&self.ends).take().ok_or_else(closed)?)
    }

    /// How many of the (handle, token ids, max_tokens) were accepted; `source`: first and count of the document's tokens.
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over owned lists")]
    #[pyo3(signature = (requests, source=(0, 0)))]
    fn submit(&self, requests: Vec<(u64, Vec<u32>, u32)>, source: (u32, u32)) -> PyResult<usize> {
        let (first, count) = source;
        let requests: Vec<Submit> = requests
            .iter()
            .map(|(handle, token_ids, max_tokens)| Submit {
                handle: *handle,
                token_ids,
                max_tokens: *max_tokens,
                source: TokenSpan { first, count },
            })
            .collect();
        let mut port = lock(&self.port);
        let port = port.as_mut().ok_or_else(closed)?;
        Ok(port.submit(&mut lock(&self.arena.get().arena), &requests)?)
    }

    fn drain(&self) -> PyResult<Vec<Answer>> {
        let mut out = Vec::new();
        let mut port = lock(&self.port);
        let port = port.as_mut().ok_or_else(closed)?;
        port.drain(&mut lock(&self.arena.get().arena), &mut out)?;
        Ok(out
            .into_iter()
            .map(|(handle, done)| {
                let status = match done.status {
                    CompletionStatus::Ok => "ok",
                    CompletionStatus::Failed => "failed",
                    CompletionStatus::Released => "released",
                };
                let finish = match done.finish_reason {
                    FinishReason::None => "",
                    FinishReason::Stop => "stop",
                    FinishReason::Length => "length",
                };
                let (tokens_in, tokens_out) = (done.tokens_in, done.tokens_out);
                (
                    handle,
                    status,
                    done.output,
                    done.reason,
                    finish,
                    tokens_in,
                    tokens_out,
                )
            })
            .collect())
    }

    /// False: the worker closed its end.
    fn wait(&self, py: Python<'_>, timeout_ms: i32) -> PyResult<bool> {
        Ok(py.detach(|| match lock(&self.port).as_ref() {
            Some(port) => port.wait(timeout_ms),
            None => Err(closed()),
        })?)
    }

    fn poll_fd(&self) -> PyResult<i32> {
        Ok(lock(&self.port).as_ref().ok_or_else(closed)?.poll_fd())
    }

    fn prepare_sleep(&self) -> PyResult<bool> {
        Ok(lock(&self.port)
            .as_ref()
            .ok_or_else(closed)?
            .prepare_sleep())
    }

    fn wake(&self) -> PyResult<bool> {
        Ok(lock(&self.port).as_ref().ok_or_else(closed)?.wake())
    }

    fn request_drain(&self) -> PyResult<()> {
        lock(&self.port)
            .as_ref()
            .ok_or_else(closed)?
            .request_drain();
        Ok(())
    }

    /// heartbeat_ns, prompt_tokens, generated_tokens, active_rows, memory_bytes.
    fn progress(&self) -> PyResult<(u64, u64, u64, u64, u64)> {
        let now = lock(&self.port).as_ref().ok_or_else(closed)?.progress();
        Ok((
            now.heartbeat_ns,
            now.prompt_tokens,
            now.generated_tokens,
            now.active_rows,
            now.memory_bytes,
        ))
    }

    fn outstanding(&self) -> PyResult<usize> {
        Ok(lock(&self.port).as_ref().ok_or_else(closed)?.outstanding())
    }

    /// The handles left; only after waitpid and a last drain.
    fn close(&self) -> PyResult<Vec<u64>> {
        let port = lock(&self.port).take().ok_or_else(closed)?;
        Ok(port.close(&mut lock(&self.arena.get().arena)))
    }
}

struct ProbeEnd {
    probe: Probe,
    lines: Vec<Line>,
}

/// The bare ring between two processes, for the bench.
#[pyclass(frozen, name = "ChannelProbe", module = "runner._native")]
pub struct PyProbe {
    end: Mutex<ProbeEnd>,
    ends: Mutex<Option<(i32, i32)>>,
}

impl PyProbe {
    fn over(probe: Probe, ends: Option<(i32, i32)>) -> PyProbe {
        PyProbe {
            end: Mutex::new(ProbeEnd {
                probe,
                lines: Vec::new(),
            }),
            ends: Mutex::new(ends),
        }
    }
}

#[pymethods]
impl PyProbe {
    #[staticmethod]
    fn create(entries: usize, slot_bytes: usize, spin_us: u64) -> PyResult<PyProbe> {
        let shape = Shape {
            entries,
            slot_bytes,
        };
        let (probe, region, control) = Probe::create(shape, spin_us)?;
        let ends = (region.into_raw_fd(), control.into_raw_fd());
        Ok(PyProbe::over(probe, Some(ends)))
    }

    #[staticmethod]
    fn attach(
        region_fd: i32,
        control_fd: i32,
        entries: usize,
        slot_bytes: usize,
        spin_us: u64,
    ) -> PyResult<PyProbe> {
        let shape = Shape {
            entries,
            slot_bytes,
        };
        let probe = Probe::attach(
            &duplicate(region_fd)?,
            duplicate(control_fd)?,
            shape,
            spin_us,
        )?;
        Ok(PyProbe::over(probe, None))
    }

    /// region, control: the caller's to pass on and to close. Once only.
    fn child_ends(&self) -> PyResult<(i32, i32)> {
        Ok(lock(&self.ends).take().ok_or_else(closed)?)
    }

    fn next_out(&self) -> usize {
        lock(&self.end).probe.next_out()
    }

    fn next_in(&self) -> usize {
        lock(&self.end).probe.next_in()
    }

    /// Publishes one line, waiting for room; returns the payload offset of the next one.
    fn push(&self, value: u64) -> PyResult<usize> {
        let probe = &mut lock(&self.end).probe;
        probe.push_one(&[value; LINE_WORDS])?;
        Ok(probe.next_out())
    }

    /// Waits for one line; returns the payload offset of the next one. The spin (bounded) keeps the GIL, the sleep not.
    fn pop(&self, py: Python<'_>) -> PyResult<usize> {
        let mut line = [[0; LINE_WORDS]; 1];
        {
            let probe = &mut lock(&self.end).probe;
            if probe.spin_pop(&mut line)? == 1 {
                return Ok(probe.next_in());
            }
        }
        Ok(py.detach(|| {
            let probe = &mut lock(&self.end).probe;
            probe.pop(&mut line)?;
            Ok::<usize, Error>(probe.next_in())
        })?)
    }

    /// Publishes these lines (8 words each) in one go, waiting for room.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "PyO3 hands over an owned buffer"
    )]
    fn push_lines(&self, py: Python<'_>, words: PyBuffer<u64>) -> PyResult<()> {
        let end = &mut *lock(&self.end);
        end.lines.resize(whole_lines(&words)?, [0; LINE_WORDS]);
        words.copy_to_slice(py, end.lines.as_flattened_mut())?;
        Ok(py.detach(|| end.probe.push_all(&end.lines))?)
    }

    /// Waits for lines and puts as many as fit (8 words each) into `words`; returns how many. What lies behind them there is
    /// old.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "PyO3 hands over an owned buffer"
    )]
    fn pop_lines(&self, py: Python<'_>, words: PyBuffer<u64>) -> PyResult<usize> {
        let mut count = {
            let end = &mut *lock(&self.end);
            end.lines.resize(whole_lines(&words)?, [0; LINE_WORDS]);
            end.probe.spin_pop(&mut end.lines)?
        };
        if count == 0 {
            count = py.detach(|| {
                let end = &mut *lock(&self.end);
                end.probe.pop(&mut end.lines)
            })?;
        }
        words.copy_from_slice(py, lock(&self.end).lines.as_flattened())?;
        Ok(count)
    }

    fn ping(&self, py: Python<'_>, count: usize, bytes: usize) -> PyResult<Vec<u64>> {
        Ok(py.detach(|| lock(&self.end).probe.ping(count, bytes))?)
    }

    fn echo(&self, py: Python<'_>, count: usize, bytes: usize) -> PyResult<()> {
        Ok(py.detach(|| lock(&self.end).probe.echo(count, bytes))?)
    }

    fn blast(&self, py: Python<'_>, count: usize, batch: usize, bytes: usize) -> PyResult<()> {
        Ok(py.detach(|| lock(&self.end).probe.blast(count, batch, bytes))?)
    }

    fn swallow(&self, py: Python<'_>, count: usize, batch: usize, bytes: usize) -> PyResult<()> {
        Ok(py.detach(|| lock(&self.end).probe.swallow(count, batch, bytes))?)
    }
}
