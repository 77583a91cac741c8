//! All PyO3 in one place: the classes of `runner._native`, one table from `Error` to exceptions, the GIL released around
//! everything that waits. It decides nothing. The stub runner/_native.pyi is its documentation.

mod channel;
mod confine;
mod extract;
mod reading;

use std::os::fd::IntoRawFd;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::channel::conversion::ConversionEnds;
use crate::core::{self, Notice};
use crate::error::Error;
use crate::settings::Settings;

create_exception!(runner._native, CoreError, PyException);
create_exception!(runner._native, ConfigProblem, CoreError);
create_exception!(runner._native, StorageFailed, CoreError);
create_exception!(runner._native, RunBusy, CoreError);
create_exception!(runner._native, ChannelBroken, CoreError);
create_exception!(runner._native, ChannelClosed, CoreError);

impl From<Error> for PyErr {
    fn from(error: Error) -> PyErr {
        match error {
            Error::Config { problem, hint } => ConfigProblem::new_err((problem, hint)),
            Error::Storage { .. } | Error::CorruptJournal { .. } => {
                StorageFailed::new_err(error.to_string())
            }
            Error::Busy { .. } => RunBusy::new_err(error.to_string()),
            Error::Channel(_) => ChannelBroken::new_err(error.to_string()),
            Error::Confinement { .. } => CoreError::new_err(error.to_string()),
            Error::PeerGone => ChannelClosed::new_err(error.to_string()),
        }
    }
}

#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add_class::<PyCore>()?;
    channel::register(module)?;
    extract::register(module)?;
    confine::register(module)?;
    reading::register(module)?;
    module.add("CoreError", py.get_type::<CoreError>())?;
    module.add("ConfigProblem", py.get_type::<ConfigProblem>())?;
    module.add("StorageFailed", py.get_type::<StorageFailed>())?;
    module.add("RunBusy", py.get_type::<RunBusy>())?;
    module.add("ChannelBroken", py.get_type::<ChannelBroken>())?;
    module.add("ChannelClosed", py.get_type::<ChannelClosed>())?;
    Ok(())
}

/// One run of the core. Methods release the GIL while they wait; errors are the exceptions above.
#[pyclass(frozen, name = "Core", module = "runner._native")]
struct PyCore {
    core: RwLock<core::Core>,
}

impl PyCore {
    fn shared(&self) -> RwLockReadGuard<'_, core::Core> {
        self.core.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, core::Core> {
        self.core.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyCore {
    #[new]
    fn new(py: Python<'_>, settings_json: &str) -> PyResult<PyCore> {
        let settings: Settings = serde_json::from_str(settings_json).map_err(|error| {
            Error::config(format!("settings: {error}"), "this is a bug of the runner")
        })?;
        let core = py.detach(|| core::Core::new(settings))?;
        Ok(PyCore {
            core: RwLock::new(core),
        })
    }

    fn survey<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let survey = py.detach(|| self.shared().survey())?;
        let dict = PyDict::new(py);
        dict.set_item("files", survey.files)?;
        dict.set_item("unchanged", survey.unchanged)?;
        dict.set_item("to_do", survey.to_do)?;
        dict.set_item("rejected", survey.rejected)?;
        dict.set_item("inputs_unchanged", survey.inputs_unchanged)?;
        dict.set_item("nothing_to_do", survey.nothing_to_do())?;
        Ok(dict)
    }

    fn count(&self, py: Python<'_>, options_json: &str) -> PyResult<()> {
        let options: core::CensusSettings = serde_json::from_str(options_json)
            .map_err(|error| Error::config(format!("census: {error}"), "this is a bug"))?;
        Ok(py.detach(|| self.exclusive().count(options))?)
    }

    fn counted(&self, py: Python<'_>) -> PyResult<String> {
        Ok(py.detach(|| self.shared().counted())?)
    }

    fn open<'py>(&self, py: Python<'py>, boot_id: String) -> PyResult<Bound<'py, PyDict>> {
        let life = core::Life {
            boot_id,
            pid: std::process::id(),
            unix_ms: unix_ms(),
        };
        let opened = py.detach(|| self.exclusive().open(life))?;
        let dict = PyDict::new(py);
        dict.set_item("incarnation", opened.incarnation)?;
        dict.set_item("resumed", opened.incarnation > 1)?;
        dict.set_item("outstanding", opened.inputs_logged - opened.inputs_finished)?;
        dict.set_item("inputs_logged", opened.inputs_logged)?;
        dict.set_item("inputs_finished", opened.inputs_finished)?;
        Ok(dict)
    }

    fn start(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.exclusive().start())?)
    }

    /// The descriptors belong to the caller, who closes them once the child has inherited them.
    fn attach<'py>(&self, py: Python<'py>, worker: u32) -> PyResult<Bound<'py, PyDict>> {
        let (incarnation, ends) = py.detach(|| self.shared().attach(worker))?;
        let dict = PyDict::new(py);
        dict.set_item("incarnation", incarnation)?;
        dict.set_item("channel_fd", ends.channel.into_raw_fd())?;
        dict.set_item("control_fd", ends.control.into_raw_fd())?;
        let documents: Vec<i32> = ends
            .documents
            .into_iter()
            .map(IntoRawFd::into_raw_fd)
            .collect();
        dict.set_item("document_fds", documents)?;
        Ok(dict)
    }

    fn ready(&self, py: Python<'_>, worker: u32) -> PyResult<()> {
        Ok(py.detach(|| self.shared().ready(worker))?)
    }

    #[pyo3(signature = (worker, cause, charged = true))]
    fn died<'py>(
        &self,
        py: Python<'py>,
        worker: u32,
        cause: String,
        charged: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        let toll = py.detach(|| self.shared().died(worker, cause, charged))?;
        let dict = PyDict::new(py);
        dict.set_item("requeued", toll.requeued)?;
        dict.set_item("quarantined", toll.quarantined)?;
        Ok(dict)
    }

    /// As `attach`, for the extract worker that a `converter_wanted` event asked for.
    fn attach_converter<'py>(&self, py: Python<'py>, seat: u32) -> PyResult<Bound<'py, PyDict>> {
        conversion_ends(py, self.shared().attach_converter(seat)?)
    }

    fn converter_died(&self, seat: u32, cause: String) -> PyResult<()> {
        Ok(self.shared().converter_died(seat, cause)?)
    }

    fn converter_cannot_start(&self, seat: u32, problem: String) -> PyResult<()> {
        Ok(self.shared().converter_cannot_start(seat, problem)?)
    }

    fn setting(
        &self,
        py: Python<'_>,
        name: String,
        value_json: &str,
        detail: String,
    ) -> PyResult<()> {
        let value = serde_json::from_str(value_json).map_err(|error| {
            Error::config(
                format!("setting {name}: {error}"),
                "this is a bug of the runner",
            )
        })?;
        Ok(py.detach(|| self.shared().setting(name, value, detail))?)
    }

    fn pause(&self, py: Python<'_>, paused: bool) -> PyResult<()> {
        Ok(py.detach(|| self.shared().pause(paused))?)
    }

    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.shared().drain())?)
    }

    /// Waits up to `timeout_ms` for the first notice, then takes what is there.
    fn next_events<'py>(
        &self,
        py: Python<'py>,
        timeout_ms: u64,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let notices = py.detach(|| self.shared().notices(Duration::from_millis(timeout_ms)));
        notices
            .into_iter()
            .map(|notice| event(py, notice))
            .collect()
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let core = self.shared();
        for (name, value) in core.counters() {
            dict.set_item(name, value)?;
        }
        dict.set_item("rust_peak_bytes", core.rust_peak_bytes())?;
        Ok(dict)
    }

    /// `finished` is False when inputs are left for a resume; otherwise the counts of all of them are there too.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = py.detach(|| self.exclusive().close(unix_ms()))?;
        let dict = PyDict::new(py);
        dict.set_item("finished", counts.is_some())?;
        if let Some(counts) = counts {
            dict.set_item("inputs", counts.inputs)?;
            dict.set_item("ok", counts.ok)?;
            dict.set_item("failed", counts.failed)?;
            dict.set_item("skipped", counts.skipped)?;
            dict.set_item("quarantined", counts.quarantined)?;
            dict.set_item("reused", counts.reused)?;
            dict.set_item("duplicates", counts.duplicates)?;
            dict.set_item("text_bytes", counts.text_bytes)?;
            dict.set_item("covered_bytes", counts.covered_bytes)?;
        }
        Ok(dict)
    }
}

/// The descriptors of one extract worker; they belong to the caller from here on.
fn conversion_ends(py: Python<'_>, ends: ConversionEnds) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("input_fd", ends.input.into_raw_fd())?;
    dict.set_item("output_fd", ends.output.into_raw_fd())?;
    dict.set_item("control_fd", ends.control.into_raw_fd())?;
    Ok(dict)
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // A clock before 1970 is a wrong clock; the field is for people only.
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

fn event(py: Python<'_>, notice: Notice) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    match notice {
        Notice::Deadline {
            seat,
            work_id,
            elapsed_ms,
        } => {
            dict.set_item("event", "deadline")?;
            dict.set_item("worker", seat)?;
            dict.set_item("work_id", work_id)?;
            dict.set_item("elapsed_ms", elapsed_ms)?;
        }
        Notice::Finished => dict.set_item("event", "finished")?,
        Notice::Drained => dict.set_item("event", "drained")?,
        Notice::ChannelBroken { seat, problem } => {
            dict.set_item("event", "channel_broken")?;
            dict.set_item("worker", seat)?;
            dict.set_item("problem", problem)?;
        }
        Notice::ConverterWanted { seat } => {
            dict.set_item("event", "converter_wanted")?;
            dict.set_item("seat", seat)?;
        }
        Notice::ConverterGivenUp { seat } => {
            dict.set_item("event", "converter_given_up")?;
            dict.set_item("seat", seat)?;
        }
        Notice::Stopped(error) => {
            dict.set_item("event", "storage_failed")?;
            dict.set_item("problem", error.to_string())?;
            dict.set_item("error", PyErr::from(error))?;
        }
    }
    Ok(dict)
}
