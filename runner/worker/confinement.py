"""A worker's own cage: which folders stay readable, and an attempt at what it must not be able to do any more.

Does not choose bounds: they come in the spec. `runner._native.confine` makes the cage; `runner doctor` asks for the
attempt (verb `confine`), and workers that extract take `readable()` from here.
"""

from __future__ import annotations

import errno
import mmap
import os
import site
import socket
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import runner
from runner import _native


def readable() -> list[str]:
    """Where Python and its packages lie: a library may load late. The C library's own paths are added in Rust."""
    # Not sys.path: a checkout's root stands there, and with it a user's outputs.
    places = [sys.prefix, sys.base_prefix, *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))]
    if site.ENABLE_USER_SITE:
        places.append(site.getusersitepackages())
    return sorted({*places, str(Path(runner.__file__).parent)})


def confine(spec: dict[str, Any]) -> dict[str, Any]:
    """Confines this process and tries. `in_force`: what the system took; `escaped`: the members that did not hold."""
    folder, memory_bytes = Path(spec["folder"]), int(spec["memory_bytes"])
    outside = folder / "outside"
    in_force = _native.confine(memory_bytes, int(spec["open_files"]), readable())
    attempts: list[tuple[str, Callable[[], object]]] = [
        ("filesystem", (folder / "written").touch),
        ("filesystem", outside.read_bytes),
        ("network", lambda: socket.socket().close()),
        ("system_calls", _fork),
        ("limits", lambda: mmap.mmap(-1, memory_bytes + 2**30).close()),
    ]
    escaped = [member for member, attempt in attempts if not _refused(attempt)]
    return {"in_force": in_force, "escaped": sorted({member for member in escaped if in_force[member] == "in force"})}


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOMEM):
            raise  # it failed for a reason that says nothing about the cage
        return True
    return False
