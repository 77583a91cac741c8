//! Confinement's part of `runner._native`: two functions for a worker that is about to read what strangers wrote.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::placement::confine::{self, Bounds};

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(confine_process, module)?)?;
    module.add_function(wrap_pyfunction!(allow_cpu, module)?)
}

#[pyfunction(name = "confine")]
fn confine_process(
    py: Python<'_>,
    memory_bytes: u64,
    open_files: u32,
    readable: Vec<PathBuf>,
) -> PyResult<Bound<'_, PyDict>> {
    // The GIL stays: nothing here waits, and no other thread may run meanwhile.
    let in_force = confine::confine(&Bounds {
        memory_bytes,
        open_files,
        readable,
    })?;
    let dict = PyDict::new(py);
    for (member, state) in in_force.members() {
        dict.set_item(member, state.to_string())?;
    }
    Ok(dict)
}

#[pyfunction]
fn allow_cpu(seconds: u64) -> PyResult<()> {
    Ok(confine::allow_cpu(seconds)?)
}
