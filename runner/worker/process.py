"""What a worker does to its own process before mlx is imported: cores, threads, private temporary folder, death with
its parent.

Does not choose values: they come in the spec. Called by serve and the one-shot verbs.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Linux: SIGKILL when the parent dies, so no worker is left with a model in memory. macOS has the channel's EOF
    alone.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def pin(cpus: Sequence[int]) -> str:
    """Pins the process; `pinned`, or `not applicable` where the spec asks for none or the system has no such call."""
    if not cpus or not hasattr(os, "sched_setaffinity"):
        return "not applicable"
    os.sched_setaffinity(0, cpus)
    kept = os.sched_getaffinity(0)
    assert kept == set(cpus), f"asked for cpus {sorted(cpus)}, the system gives {sorted(kept)}"
    return "pinned"


def private_tmpdir() -> str:
    """mx.compile on the CPU writes libraries under TMPDIR at a predictable path and loads them: give it a folder of our
    own.
    """
    folder = tempfile.mkdtemp(prefix="runner-worker-")
    os.environ["TMPDIR"] = folder
    tempfile.tempdir = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def quiet_libraries() -> None:
    """No download bars, no telemetry, no warnings about torch from transformers."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")


def wait_at_gate(gate: Path) -> None:
    """Says that this process is ready, and waits until the parent, which holds the lock on `gate`, lets all go."""
    gate.with_name(f"{gate.name}.{os.getpid()}").touch()
    with gate.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
