"""Process scope: the environment our own workers start with. No privilege, nothing to put back, verified in the child.

Decides from the profile's `tuning.environment`; the runner's own process is never changed. BLAS is opened by the worker
(engine/blas.py), which reports what answers. Called by run, before the first worker is started.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.errors import Problem, UsageError
from runner.tuning.outcome import Outcome

# Where a variable means something; elsewhere it is reported, not set. A name that is not here works everywhere.
ONLY_ON: dict[str, str] = {
    "GLIBC_TUNABLES": "linux",
    "MALLOC_ARENA_MAX": "linux",
    "MALLOC_TRIM_THRESHOLD_": "linux",
    "MALLOC_MMAP_THRESHOLD_": "linux",
    "OPENBLAS_CORETYPE": "linux",
    "OPENBLAS_NUM_THREADS": "linux",
    "MallocNanoZone": "darwin",
    "VECLIB_MAXIMUM_THREADS": "darwin",
}

# A profile may come from elsewhere: what loads foreign code into a worker is not a tuning step.
FORBIDDEN = re.compile(r"(LD_(PRELOAD|LIBRARY_PATH|AUDIT)|DYLD_.*|PYTHON.*|PATH|HOME)$")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")
NOT_SET = "auto"
"""The value that leaves a variable to the library's own choice."""


@dataclass(frozen=True, slots=True)
class ProcessScope:
    """`environment` goes on top of the worker's; `outcomes` has one line for each wanted variable."""

    environment: dict[str, str]
    outcomes: tuple[Outcome, ...]


def problems(wanted: Mapping[str, str]) -> list[Problem]:
    """What is wrong with `tuning.environment`, all at once."""
    found = []
    for name, value in wanted.items():
        if not NAME.match(name) or "\0" in value:
            found.append(
                Problem(f"tuning.environment.{name}: not a name of a variable, or a value with a NUL", "rename it")
            )
        elif FORBIDDEN.match(name):
            found.append(
                Problem(
                    f"tuning.environment.{name}={value}: a profile may not decide which code a worker loads",
                    f"set {name} in the environment of the runner itself if you mean it",
                )
            )
    return found


def environment(wanted: Mapping[str, str], inherited: Mapping[str, str], system: str = sys.platform) -> ProcessScope:
    """What the workers get.

    UsageError for a name that a profile may not set. The profile wins over `inherited`, and says so.
    """
    if wrong := problems(wanted):
        raise UsageError(problems=wrong)
    chosen: dict[str, str] = {}
    outcomes = []
    for name, value in wanted.items():
        here = ONLY_ON.get(name, system)
        if here != system:
            outcomes.append(Outcome(name, "process", "unsupported", "", f"means something on {here} only"))
        elif value == NOT_SET:
            seen = inherited.get(name, "")
            outcomes.append(Outcome(name, "process", "already", seen, "auto: left to the library"))
        else:
            before = inherited.get(name)
            replaced = f"replaces {before} of the environment" if before not in (None, value) else ""
            chosen[name] = value
            outcomes.append(Outcome(name, "process", "applied", value, replaced))
    return ProcessScope(chosen, tuple(outcomes))


def verify(pid: int, wanted: Mapping[str, str], proc: Path = Path("/proc")) -> list[Outcome]:
    """Reads the environment that a running worker was really started with (Linux; elsewhere nothing shows it)."""
    try:
        raw = (proc / str(pid) / "environ").read_bytes()
    except OSError as error:
        reason = f"the environment of process {pid} cannot be read here: {error.strerror}"
        return [Outcome(name, "process", "unsupported", "", reason) for name in wanted]
    pairs = (item.partition(b"=") for item in raw.split(b"\0") if item)
    found = {name.decode(errors="replace"): value.decode(errors="replace") for name, _, value in pairs}
    return [
        Outcome(name, "process", "applied", value, f"read back from process {pid}")
        if found.get(name) == value
        else Outcome(name, "process", "differs", found.get(name, ""), f"process {pid} was to have {value}")
        for name, value in wanted.items()
    ]
