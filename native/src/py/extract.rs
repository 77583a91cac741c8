//! The extract worker's part of `runner._native`: the loop over files inside a confined process.

use std::cell::RefCell;
use std::path::Path;

use pyo3::prelude::*;

use crate::channel::conversion::ConversionWorker;
use crate::channel::memory::duplicate;
use crate::error::{Error, Result};
use crate::extract::convert::Request;
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

fn serve(worker: &mut Worker) -> Result<()> {
    worker.port.say("ready")?;
    while let Some(line) = worker.port.next_request()? {
        let request: Request = serde_json::from_str(&line)
            .map_err(|error| Error::Channel(format!("a request: {error}")))?;
        allow_cpu(request.cpu_s)?;
        let file = worker.port.file(request.file_bytes)?;
        let (answer, text) = worker.readers.read(&request, &file);
        let answer = serde_json::to_string(&answer)
            .map_err(|error| Error::Channel(format!("an answer: {error}")))?;
        match worker.port.answer(&text, &answer) {
            Err(Error::PeerGone) => return Ok(()),
            outcome => outcome?,
        }
    }
    Ok(())
}
