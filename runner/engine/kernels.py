"""Our own CPU kernels for what mlx computes slowly on x86: opened before mlx is imported, switched on after a check.

mlx's Python module finds its operations through the dynamic linker; a library opened with RTLD_GLOBAL first wins that
look-up (native/kernels says how). The library fits one version of mlx: with another, or when it was not built, mlx's
own operations compute, and the reason is reported. Called by the worker after `blas.activate`; does not import mlx.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Choice = Literal["auto", "off"]

_LIBRARY = Path(__file__).resolve().parent.parent / "_data" / "kernels" / "librunner_kernels.so"

_opened = False


@dataclass(frozen=True, slots=True)
class ActiveKernels:
    """`state`: on, off (asked for), or unsupported; `reason` in a person's words."""

    state: Literal["on", "off", "unsupported"]
    reason: str


def activate(choice: Choice) -> ActiveKernels:
    """Opens and switches on. Must run before `import mlx.core`; what stands in the way is told, not raised."""
    if choice == "off":
        return ActiveKernels("off", "kernels=off")
    if sys.platform != "linux":
        return ActiveKernels("unsupported", "mlx has kernels of its own for this platform")
    assert "mlx.core" not in sys.modules, "kernels must be opened before mlx is imported"
    if not _LIBRARY.is_file():
        return ActiveKernels("unsupported", f"{_LIBRARY.name} was not built")
    own = _mlx_library()
    if own is None:
        return ActiveKernels("unsupported", "this mlx carries no libmlx.so")
    # Local first: our library asks for libmlx.so by name and gets this one, and stands before it in the global order.
    try:
        ctypes.CDLL(str(own))
        built_for = _built_for()
        installed = importlib.metadata.version("mlx")
        if built_for != installed:
            return ActiveKernels("unsupported", f"built for mlx {built_for}, installed is {installed}")
        library = ctypes.CDLL(str(_LIBRARY), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return ActiveKernels("unsupported", f"cannot be opened: {error}")
    library.runner_kernels_switch(1)
    global _opened  # noqa: PLW0603 - as global as the linker's order, which it tells of
    _opened = True
    return ActiveKernels("on", f"attention, softmax, SwiGLU, RMSNorm, rotary positions for float32; mlx {installed}")


def report(active: ActiveKernels) -> dict[str, str | int]:
    """For the facts of a worker, once something was computed: on, with nothing taken over, is no kernel at all."""
    count = made() if active.state == "on" else 0
    passed_by = active.state == "on" and count == 0
    return {
        "kernels": "unsupported" if passed_by else active.state,
        "kernels_reason": "no operation of this model is one of ours" if passed_by else active.reason,
        "kernels_made": count,
    }


def opened() -> bool:
    """Whether ours compute in this process."""
    return _opened


def made() -> int:
    """Operations that our kernels took over so far in this process."""
    library = ctypes.CDLL(str(_LIBRARY))
    library.runner_kernels_made.restype = ctypes.c_uint64
    return int(library.runner_kernels_made())


def _built_for() -> str:
    """Asked of a private copy of the library: a version that does not fit must not stay in the global order."""
    library = ctypes.CDLL(str(_LIBRARY))
    library.runner_kernels_mlx_version.restype = ctypes.c_char_p
    version: bytes = library.runner_kernels_mlx_version()
    return version.decode("ascii")


def _mlx_library() -> Path | None:
    spec = importlib.util.find_spec("mlx")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        library = Path(folder) / "lib" / "libmlx.so"
        if library.is_file():
            return library
    return None
