//! Copies the top-level conf/, profiles/, tuning/ and examples/ into `OUT_DIR`; maturin puts them in the wheel as `runner/_data`
//! (see `include` in pyproject.toml). The folders stay the single source: no symlink, no second copy in the repository.
//! What it does not do: choose which of them a run reads (`runner/layout.py` does). Called by cargo.
use std::{env, fs, io, path::Path};

#[path = "build_blas.rs"]
mod build_blas;
#[path = "build_kernels.rs"]
mod build_kernels;

/// The folders that travel in the wheel; the lists in pyproject.toml and tests/house/test_wheel.py name the same four.
const CARRIED: [&str; 4] = ["conf", "profiles", "tuning", "examples"];

fn is_litter(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || name.ends_with(".pyc") || name == "__pycache__"
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    println!("cargo:rerun-if-changed={}", from.display());
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_litter(&name.to_string_lossy()) {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?; // keeps the executable bit of tuning/*.sh
        }
    }
    Ok(())
}

fn carry_folders(root: &Path, out: &Path) -> io::Result<()> {
    for folder in CARRIED {
        let target = out.join(folder);
        if target.exists() {
            fs::remove_dir_all(&target)?; // a file that was deleted in the repository must not live on here
        }
        let source = root.join(folder);
        if source.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            println!(
                "cargo:warning={folder}/ is missing beside native/: the wheel will not carry it"
            );
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let crate_folder = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let root = Path::new(&crate_folder)
        .parent()
        .ok_or_else(|| io::Error::other("the crate lies in native/"))?;
    let target_os = env::var("CARGO_CFG_TARGET_OS").map_err(io::Error::other)?;
    build_blas::build_blas_shim(Path::new(&crate_folder), Path::new(&out), &target_os);
    build_kernels::build_kernels(Path::new(&crate_folder), Path::new(&out), &target_os);
    carry_folders(root, Path::new(&out))
}
