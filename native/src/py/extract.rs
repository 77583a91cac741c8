//! The extract worker's part of `runner._native`: the loop over files inside a confined process, and the readers that are
//! Python packages.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::channel::conversion::ConversionWorker;
use crate::channel::memory::duplicate;
use crate::error::{Error, Result};
use crate::extract::convert::{Progress, Request};
use crate::extract::pdf::PlainPages;
use crate::extract::readers::{Readers, SecondPdf};
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
    #[pyo3(signature = (input_fd, output_fd, control_fd, pdfium, second_pdf))]
    fn new(
        input_fd: i32,
        output_fd: i32,
        control_fd: i32,
        pdfium: Option<&str>,
        second_pdf: &Bound<'_, PyAny>,
    ) -> PyResult<PyExtractWorker> {
        let port = ConversionWorker::attach(
            &duplicate(input_fd)?,
            &duplicate(output_fd)?,
            duplicate(control_fd)?,
        )?;
        let readers = Readers::open(pdfium.map(Path::new), second(second_pdf)?);
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
        let (mut untold, mut last) = (0, Instant::now());
        let (answer, text) = readers.read(&request, &file, &mut |progress| match progress {
            Progress::Pages(pages) => {
                untold += pages;
                if last.elapsed() < TELL_EVERY {
                    return ControlFlow::Continue(());
                }
                last = Instant::now();
                tell(port, Progress::Pages(std::mem::take(&mut untold)))
            }
            Progress::Second => tell(port, progress),
        });
        let answer = serde_json::to_string(&answer)
            .map_err(|error| Error::Channel(format!("an answer: {error}")))?;
        if untold > 0 && tell(port, Progress::Pages(untold)).is_break() {
            return Ok(());
        }
        match port.answer(&text, &answer) {
            Err(Error::PeerGone) => return Ok(()),
            outcome => outcome?,
        }
    }
    Ok(())
}

fn tell(port: &mut ConversionWorker, progress: Progress) -> ControlFlow<()> {
    let line = serde_json::to_string(&progress);
    if line.is_ok_and(|line| port.say(&line).is_ok()) {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}

/// `given`: an object of `runner.extractor.repair`, or a text that says how one is to be had.
fn second(given: &Bound<'_, PyAny>) -> PyResult<std::result::Result<Box<dyn SecondPdf>, String>> {
    if let Ok(absent) = given.extract::<String>() {
        return Ok(Err(absent));
    }
    Ok(Ok(Box::new(PythonPdf {
        name: given.getattr("name")?.extract()?,
        reader: given.clone().unbind(),
    })))
}

/// `runner.extractor.repair`, which calls the package. Whatever it raises is what became of the file or of the page.
struct PythonPdf {
    name: String,
    reader: Py<PyAny>,
}

struct PythonPages {
    document: Py<PyAny>,
    count: u32,
}

impl SecondPdf for PythonPdf {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn open(&mut self, file: &[u8]) -> std::result::Result<Box<dyn PlainPages>, String> {
        let opened = Python::attach(|py| -> PyResult<PythonPages> {
            let bytes = PyBytes::new(py, file);
            let document = self.reader.bind(py).call_method1("open", (bytes,))?;
            Ok(PythonPages {
                count: document.getattr("pages")?.extract()?,
                document: document.unbind(),
            })
        });
        match opened {
            Ok(pages) => Ok(Box::new(pages)),
            // Without the class of the exception, which says nothing to a person.
            Err(error) => Err(Python::attach(|py| error.value(py).to_string())),
        }
    }
}

impl PlainPages for PythonPages {
    fn count(&self) -> u32 {
        self.count
    }

    fn text(&mut self, page: u32) -> Option<String> {
        Python::attach(|py| {
            let text = self.document.bind(py).call_method1("text", (page,)).ok()?;
            text.extract().ok()
        })
    }
}
