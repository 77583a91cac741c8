//! Builds kernels/ into librunner_kernels.so, on Linux alone, against the headers that the mlx wheel carries. Called by build.rs.
//! mlx is found in the Python that the extension is built for (`RUNNER_MLX` names its folder instead). Without it, or without a
//! C++20 compiler, the build goes on with a warning: `kernels=auto` then says that they were not built.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::build_blas::carry;

const SOURCES: [&str; 6] = [
    "vector.c",
    "switch.cpp",
    "pointwise.cpp",
    "norms.cpp",
    "rope.cpp",
    "attention.cpp",
];

const FIND_MLX: &str = "import importlib.util as u; s = u.find_spec('mlx'); \
                        print(next(iter(s.submodule_search_locations)) if s else '')";

/// Leaves `OUT_DIR/kernels/librunner_kernels.so` and its copy in the checkout.
pub fn build_kernels(crate_folder: &Path, out: &Path, target_os: &str) {
    println!("cargo:rerun-if-changed=build_kernels.rs");
    println!(
        "cargo:rerun-if-changed={}",
        crate_folder.join("kernels").display()
    );
    for name in ["RUNNER_MLX", "PYO3_PYTHON"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if target_os != "linux" {
        return;
    }
    let built = find_mlx().and_then(|mlx| build(crate_folder, out, &mlx));
    if let Err(problem) = built {
        println!("cargo:warning=librunner_kernels.so is left out: {problem}");
    }
}

fn ask_python() -> Result<PathBuf, String> {
    let python = env::var_os("PYO3_PYTHON").unwrap_or_else(|| "python3".into());
    let said = Command::new(&python)
        .args(["-c", FIND_MLX])
        .output()
        .map_err(|error| format!("{} does not start: {error}", python.display()))?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().into())
}

fn find_mlx() -> Result<PathBuf, String> {
    let folder = env::var_os("RUNNER_MLX").map_or_else(ask_python, |named| Ok(named.into()))?;
    let version = folder.join("include/mlx/version.h");
    if !version.is_file() || !folder.join("lib/libmlx.so").is_file() {
        return Err("the Python that this is built for has no mlx with its headers".to_owned());
    }
    println!("cargo:rerun-if-changed={}", version.display());
    Ok(folder)
}

fn build(crate_folder: &Path, out: &Path, mlx: &Path) -> Result<(), String> {
    let folder = out.join("kernels");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let mut objects = Vec::new();
    for name in SOURCES {
        let object = folder.join(name).with_extension("o");
        compile(&crate_folder.join("kernels").join(name), &object, mlx)?;
        objects.push(object);
    }
    let library = folder.join("librunner_kernels.so");
    let linked = compiler(true)?
        .to_command()
        .args(["-shared", "-o"])
        .arg(&library)
        .args(&objects)
        .arg("-L")
        .arg(mlx.join("lib"))
        // libmlx wants a BLAS whose place its own rpath knows: not the business of this link.
        .args(["-lmlx", "-ldl", "-lm", "-Wl,--allow-shlib-undefined"])
        .status()
        .map_err(|error| error.to_string())?;
    if !linked.success() {
        return Err(format!("the linker ended with {linked}"));
    }
    carry(crate_folder, &library, "kernels")
}

fn compiler(cpp: bool) -> Result<cc::Tool, String> {
    cc::Build::new()
        .cpp(cpp)
        .opt_level(3)
        .pic(true)
        .cargo_metadata(false)
        .try_get_compiler()
        .map_err(|error| error.to_string())
}

fn compile(source: &Path, object: &Path, mlx: &Path) -> Result<(), String> {
    let cpp = source.extension().is_some_and(|kind| kind == "cpp");
    let status = compiler(cpp)?
        .to_command()
        .arg(if cpp { "-std=c++20" } else { "-std=c11" })
        // Sums may be added in lanes where the source says so (omp simd); no other freedom with NaN, infinity or order.
        .args([
            "-O3",
            "-g0",
            "-fopenmp-simd",
            "-fno-math-errno",
            "-fno-trapping-math",
        ])
        .args(["-Wall", "-Wextra", "-isystem"])
        .arg(mlx.join("include"))
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(object)
        .status()
        .map_err(|error| error.to_string())?;
    if status.success() {
        Ok(())
    } else {
        Err(format!(
            "{}: the compiler ended with {status}",
            source.display()
        ))
    }
}
