//! The extract worker's part of `runner._native`: the loop over files inside a confined process.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::channel::conversion::ConversionWorker;
use crate::channel::memory::duplicate;
use crate::error::{Error, Result};
use crate::extract::convert::{Progress, Request};
use crate::extract::readers::Readers;
use crate::placement::confine::allow_cpu;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyExtractWorker>()
}

struct Worker {
    port: ConversionWorker,
    readers: Readers,
}

/// The child's end: libraries are opened here, before the process confines itself; `serve` is the rest of its life. Bound
/// to its thread, as PDFium is.
#[pyclass(frozen, unsendable, name = "ExtractWorker", module = "runner._native")]
pub struct PyExtractWorker {
    worker: RefCell<Worker>,
}

#[pymethods]
impl PyExtractWorker {
    #[new]
    #[pyo3(signature = (input_fd, output_fd, control_fd, pdfium))]
    fn new(
        input_fd: i32,
        output_fd: i32,
        control_fd: i32,
        pdfium: Option<&str>,
    ) -> PyResult<PyExtractWorker> {
        let port = ConversionWorker::attach(
            &duplicate(input_fd)?,
            &duplicate(output_fd)?,
            duplicate(control_fd)?,
        )?;
        let readers = Readers::open(pdfium.map(Path::new));
        Ok(PyExtractWorker {
            worker: RefCell::new(Worker { port, readers }),
        })
    }

    /// Libraries and versions, or why one cannot be had.
    #[getter]
    fn readers(&self) -> Vec<String> {
        self.worker.borrow().readers.names()
    }

    /// File after file until the runner closes its end. The GIL is kept: this process has one thread.
    fn serve(&self) -> PyResult<()> {
        Ok(serve(&mut self.worker.borrow_mut())?)
    }
}

/// Between two lines of progress: a person who watches a long file sees it move, and the runner hears five lines a second.
const TELL_EVERY: Duration = Duration::from_millis(200);

fn serve(worker: &mut Worker) -> Result<()> {
    let Worker { port, readers } = worker;
    port.say("ready")?;
    while let Some(line) = port.next_request()? {
        let request: Request = serde_json::from_str(&line)
            .map_err(|error| Error::Channel(format!("a request: {error}")))?;
        allow_cpu(request.cpu_s)?;
        let file = port.file(request.file_bytes)?;
        let (mut pages, mut told, mut last) = (0, 0, Instant::now());
        let (answer, text) = readers.read(&request, &file, &mut |now| {
            pages = now;
            if last.elapsed() < TELL_EVERY {
                return ControlFlow::Continue(());
            }
            let since = now - std::mem::replace(&mut told, now);
            last = Instant::now();
            tell(port, since)
        });
        let answer = serde_json::to_string(&answer)
            .map_err(|error| Error::Channel(format!("an answer: {error}")))?;
        if tell(port, pages - told).is_break() {
            return Ok(());
        }
        match port.answer(&text, &answer) {
            Err(Error::PeerGone) => return Ok(()),
            outcome => outcome?,
        }
    }
    Ok(())
}

fn tell(port: &mut ConversionWorker, pages: u32) -> ControlFlow<()> {
    let line = serde_json::to_string(&Progress { pages });
    if pages == 0 || line.is_ok_and(|line| port.say(&line).is_ok()) {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}
