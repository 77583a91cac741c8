//! Builds blas/shim.c into librunner_blas.so, on Linux alone (macOS has Accelerate). Called by build.rs.
//! The wheel carries it from `OUT_DIR`; a checkout gets a copy in runner/_data/blas. Without a C compiler the build goes on
//! with a warning: `blas=auto` then reports what it found instead.

use std::{fs, path::Path};

/// Leaves `OUT_DIR/blas/librunner_blas.so` and its copy in the checkout.
pub fn build_blas_shim(crate_folder: &Path, out: &Path, target_os: &str) {
    let source = crate_folder.join("blas/shim.c");
    println!("cargo:rerun-if-changed={}", source.display());
    println!("cargo:rerun-if-changed=build_blas.rs");
    if target_os != "linux" {
        return;
    }
    if let Err(problem) = build(crate_folder, out, &source) {
        println!("cargo:warning=librunner_blas.so is left out: {problem}");
    }
}

fn build(crate_folder: &Path, out: &Path, source: &Path) -> Result<(), String> {
    let folder = out.join("blas");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let library = folder.join("librunner_blas.so");
    let compiler = cc::Build::new()
        .opt_level(2)
        .pic(true)
        .cargo_metadata(false)
        .try_get_compiler()
        .map_err(|error| error.to_string())?;
    let status = compiler
        .to_command()
        .args(["-std=c11", "-Wall", "-Wextra", "-shared", "-o"])
        .args([library.as_path(), source])
        .arg("-ldl")
        .status()
        .map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("the C compiler ended with {status}"));
    }
    carry(crate_folder, &library, "blas")
}

/// Copies a library into runner/_data/`folder` of the checkout.
pub fn carry(crate_folder: &Path, library: &Path, folder: &str) -> Result<(), String> {
    let root = crate_folder.parent().ok_or("the crate lies in native/")?;
    let name = library.file_name().ok_or("a library has a name")?;
    let checkout = root.join("runner/_data").join(folder);
    let new = checkout.join(format!("{}.new", name.display()));
    fs::create_dir_all(&checkout)
        .and_then(|()| fs::copy(library, &new))
        // By rename: a process that has the old one mapped must not see it change under its feet.
        .and_then(|_| fs::rename(&new, checkout.join(name)))
        .map_err(|error| error.to_string())
}
