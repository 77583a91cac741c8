"""Which BLAS the model's matrix products use on Linux: chosen and opened before mlx is imported, then reported.

The mlx-cpu wheel links netlib's reference BLAS, about fifty times slower than the machine. A library opened with
RTLD_GLOBAL before `import mlx.core` wins the symbol look-up. On macOS mlx has Accelerate and nothing here applies.
Called by the worker; does not import mlx.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Choice = Literal["auto", "scipy", "system", "none"]

_SHIM = Path(__file__).resolve().parent.parent / "_data" / "blas" / "librunner_blas.so"


class BlasError(Exception):
    """The configuration names a BLAS that is not here."""

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.cure = cure


@dataclass(frozen=True, slots=True)
class ActiveBlas:
    """`name`: scipy-openblas32, openblas, netlib (what mlx links) or accelerate; `threads` 0 = not ours to set."""

    name: str
    library: str
    core: str
    threads: int
    reason: str


def activate(choice: Choice, threads: int) -> ActiveBlas:
    """Opens the chosen library for the whole process. Must run before `import mlx.core`; raises BlasError."""
    if sys.platform == "darwin":
        if choice in ("scipy", "system"):
            raise BlasError(f"blas={choice} is unsupported on macOS: mlx uses Accelerate there", "set engine.blas=auto")
        return ActiveBlas("accelerate", "", "", 0, "macOS: mlx links Accelerate")
    assert "mlx.core" not in sys.modules, "BLAS must be chosen before mlx is imported"
    os.environ["OPENBLAS_NUM_THREADS"] = str(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if choice == "none":
        return ActiveBlas("netlib", "", "", 1, "blas=none: the BLAS of the mlx wheel")
    scipy, system = _find_scipy(), _find_system()
    if choice in ("auto", "scipy") and not isinstance(scipy, str):
        return _open_scipy(scipy, threads)
    if choice == "scipy":
        raise BlasError(f"blas=scipy: {scipy}", "install runner's `cpu` extra, or set blas=auto")
    if system is not None:
        return _open_system(
            system, threads, f"blas=system; scipy: {scipy}" if isinstance(scipy, str) else "blas=system"
        )
    if choice == "system":
        raise BlasError("blas=system: no libopenblas found", "install libopenblas0-pthread, or set blas=auto")
    return ActiveBlas("netlib", "", "", 1, f"no fast BLAS here: {scipy}; no system libopenblas")


def _find_scipy() -> Path | str:
    """The library of the scipy-openblas32 wheel, or why it cannot be used."""
    if not _SHIM.is_file():
        return f"{_SHIM.name} was not built"
    spec = importlib.util.find_spec("scipy_openblas32")
    if spec is None or spec.origin is None:
        return "the package scipy-openblas32 is not installed"
    library = Path(spec.origin).parent / "lib" / "libscipy_openblas.so"
    return library if library.is_file() else f"{library} does not exist"


def _find_system() -> str | None:
    return ctypes.util.find_library("openblas")


def _open_scipy(library: Path, threads: int) -> ActiveBlas:
    shim = ctypes.CDLL(str(_SHIM), mode=ctypes.RTLD_GLOBAL)
    shim.runner_blas_open.argtypes = [ctypes.c_char_p]
    shim.runner_blas_open.restype = ctypes.c_int
    status = shim.runner_blas_open(os.fsencode(library))
    if status != 0:
        reason = "cannot be opened" if status == 1 else "lacks a cblas function"
        raise BlasError(f"{library} {reason}", "reinstall scipy-openblas32, or set blas=system or blas=none")
    openblas = ctypes.CDLL(str(library))
    openblas.scipy_openblas_set_num_threads(ctypes.c_int(threads))
    core = _text(openblas.scipy_openblas_get_corename)
    count = int(openblas.scipy_openblas_get_num_threads())
    return ActiveBlas("scipy-openblas32", str(library), core, count, "the wheel's OpenBLAS, one-row products to gemv")


def _open_system(name: str, threads: int, reason: str) -> ActiveBlas:
    library = ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    library.openblas_set_num_threads(ctypes.c_int(threads))
    count = int(library.openblas_get_num_threads())
    return ActiveBlas("openblas", name, _text(library.openblas_get_corename), count, reason)


def _text(function: Callable[[], object]) -> str:
    function.restype = ctypes.c_char_p  # type: ignore[attr-defined]
    value = function()
    return value.decode() if isinstance(value, bytes) else ""


def which_is_active() -> str:
    """The file that really answers `cblas_sgemm` for a library loaded later: what the linker says, not what we asked
    for.
    """
    if sys.platform == "darwin":
        return "Accelerate"

    class DlInfo(ctypes.Structure):
        _fields_ = (
            ("file", ctypes.c_char_p),
            ("base", ctypes.c_void_p),
            ("symbol", ctypes.c_char_p),
            ("address", ctypes.c_void_p),
        )

    everything = ctypes.CDLL(None)
    try:
        address = ctypes.cast(everything.cblas_sgemm, ctypes.c_void_p)
    except AttributeError:
        return "the BLAS of the mlx wheel"
    info = DlInfo()
    everything.dladdr(address, ctypes.byref(info))
    file = os.fsdecode(info.file or b"")
    # Found there once our kernels have put libmlx and what it links into the global order.
    return "the BLAS of the mlx wheel" if Path(file).parent.name == "mlx_cpu.libs" else file
