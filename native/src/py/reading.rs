//! Reading and cutting alone, for `runner bench`: one file in this process, files through extract threads and workers as
//! in a run, and a text into chunks.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::chunk;
use crate::core::Reading;
use crate::document::{RejectedStatus, Source, Stamp};
use crate::error::Error;
use crate::extract::convert::{Answer, Convert, Request, Unconverted};
use crate::extract::readers::Readers;
use crate::extract::{Extracted, extract};
use crate::settings::IngestSettings;
use crate::tokens::Encoder;

use super::{conversion_ends, event};

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyFileReader>()?;
    module.add_class::<PyReading>()?;
    module.add_class::<PyChunker>()
}

/// Number of the file, status, and its text or the reason why there is none.
type Row = (u32, &'static str, String);

fn row(extracted: Extracted) -> Row {
    match extracted {
        Extracted::Document(document) => (document.ordinal.file, "ok", document.text),
        Extracted::Rejected(rejected) => {
            let status = match rejected.status {
                RejectedStatus::Skipped => "skipped",
                RejectedStatus::Failed => "failed",
            };
            (rejected.ordinal.file, status, rejected.reason)
        }
    }
}

fn settings(json: &str) -> PyResult<IngestSettings> {
    let settings = serde_json::from_str(json).map_err(|error| {
        Error::config(
            format!("ingest settings: {error}"),
            "this is a bug of the runner",
        )
    })?;
    Ok(settings)
}

/// An extract worker's parsers without the worker: nothing protects the process from the file.
struct Unprotected(Readers);

impl Convert for Unprotected {
    fn convert(
        &mut self,
        request: &Request,
        file: &[u8],
    ) -> std::result::Result<(Answer, String), Unconverted> {
        Ok(self
            .0
            .read(request, file, &mut |_| ControlFlow::Continue(())))
    }
}

/// Bound to its thread, as PDFium is.
#[pyclass(frozen, unsendable, name = "FileReader", module = "runner._native")]
struct PyFileReader {
    settings: IngestSettings,
    readers: RefCell<Unprotected>,
}

#[pymethods]
impl PyFileReader {
    #[new]
    #[pyo3(signature = (settings_json, pdfium))]
    fn new(settings_json: &str, pdfium: Option<&str>) -> PyResult<PyFileReader> {
        // The figures are those of the usual readers.
        let alone = Err("no second reader here".to_owned());
        Ok(PyFileReader {
            settings: settings(settings_json)?,
            readers: RefCell::new(Unprotected(Readers::open(pdfium.map(Path::new), alone))),
        })
    }

    #[getter]
    fn readers(&self) -> Vec<String> {
        self.readers.borrow().0.names()
    }

    /// The GIL is kept: the process has one thread.
    fn read(&self, path: String) -> Vec<Row> {
        let source = Source {
            file: 0,
            root: Path::new(&path).into(),
            path: PathBuf::from(&path),
            uri: path,
            // Nobody asks here whether the file has changed.
            stamp: Stamp {
                size: 0,
                mtime_ns: 0,
                inode: 0,
            },
        };
        let mut rows = Vec::new();
        let readers = &mut *self.readers.borrow_mut();
        extract(&source, &self.settings, readers, &mut |extracted| {
            rows.push(row(extracted));
            ControlFlow::Continue(())
        });
        rows
    }
}

#[pyclass(frozen, name = "Reading", module = "runner._native")]
struct PyReading {
    reading: Reading,
}

#[pymethods]
impl PyReading {
    #[new]
    fn new(settings_json: &str) -> PyResult<PyReading> {
        let reading = Reading::start(settings(settings_json)?)?;
        Ok(PyReading { reading })
    }

    fn next_events<'py>(
        &self,
        py: Python<'py>,
        timeout_ms: u64,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let notices = py.detach(|| self.reading.notices(Duration::from_millis(timeout_ms)));
        notices
            .into_iter()
            .map(|notice| event(py, notice))
            .collect()
    }

    fn attach_converter<'py>(&self, py: Python<'py>, seat: u32) -> PyResult<Bound<'py, PyDict>> {
        conversion_ends(py, self.reading.attach_converter(seat)?)
    }

    fn converter_died(&self, seat: u32, cause: String) {
        self.reading.converter_died(seat, cause);
    }

    fn converter_cannot_start(&self, seat: u32, problem: String) {
        self.reading.converter_cannot_start(seat, problem);
    }

    fn take_rows(&self) -> Vec<Row> {
        self.reading.take_rows().into_iter().map(row).collect()
    }
}

#[pyclass(frozen, name = "Chunker", module = "runner._native")]
struct PyChunker {
    encoder: Encoder,
}

#[pymethods]
impl PyChunker {
    #[new]
    fn new(tokenizer: &str) -> PyResult<PyChunker> {
        let encoder = Encoder::open(Path::new(tokenizer))?;
        Ok(PyChunker { encoder })
    }

    fn cut<'t>(&self, text: &'t str, media: &str, budget: usize) -> PyResult<Vec<&'t str>> {
        let media = serde_json::from_value(media.into())
            .map_err(|error| Error::config(format!("media: {error}"), "text, markdown, ..."))?;
        let encoding = self.encoder.encode_with_offsets(text)?;
        let chunks = chunk::split(text, media, &encoding, budget, 0);
        Ok(chunks.into_iter().map(|chunk| &text[chunk.span]).collect())
    }
}
