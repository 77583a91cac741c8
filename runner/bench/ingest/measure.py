"""One measurement from start to rows: every reader, the same files, rounds of batches in a seeded random order.

Round 0 warms up, finds how many files fit into the time, and keeps what came out of them. Looks at no text itself.
Called by the benches of reading and of cutting.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from runner.bench.ingest import figures, files
from runner.bench.ingest.child import CHUNKERS, PEERS
from runner.bench.ingest.figures import BASE, Measured
from runner.bench.ingest.files import Found
from runner.bench.ingest.host import Host, Reader, UnusableError
from runner.errors import UsageError
from runner.machine import Machine
from runner.supervise.child import worker_environment


@dataclass(frozen=True, slots=True)
class Effort:
    """`seconds`: for each reader, all rounds together. `file_s`: for one file, then the reader is killed."""

    seconds: float = 60.0
    rounds: int = 3
    file_s: float = 60.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """`absent`: readers that could not be had, and why."""

    files: dict[int, Found]
    rows: list[Measured]
    absent: dict[str, str]
    batches: int


class Measurement:
    """Ours is the first reader: it decides which files; a slower one has fewer of them. `scratch` gets the texts."""

    def __init__(self, effort: Effort, readers: Sequence[Reader], found: Sequence[Found], scratch: Path) -> None:
        assert readers[0].name == BASE
        self._effort = effort
        self._order = random.Random(effort.seed)
        self._batches = files.batches(found, self._order)
        self._readers = readers
        self._scratch = scratch
        self._hosts: dict[str, Host] = {}
        self._rows: dict[str, Measured] = {}
        self._share: dict[str, int] = {}
        """Batches that a reader has time for."""

    def measure(self) -> Result:
        """Minutes: about `seconds` for each reader."""
        with ExitStack() as stack:
            absent = self._open(stack)
            for name in self._hosts:
                self._warm_up(name, _folder(self._scratch, name))
            for _ in range(self._effort.rounds):
                self._round()
        return Result({file.number: file for file in self._all()}, list(self._rows.values()), absent, self._share[BASE])

    def text(self, name: str, number: int) -> str | None:
        """What this reader gave for the file in round 0; None where it gave nothing."""
        path = _folder(self._scratch, name) / f"{number}.txt"
        return path.read_text("utf-8") if path.exists() else None

    def _open(self, stack: ExitStack) -> dict[str, str]:
        absent = {}
        for reader in self._readers:
            host = Host(reader, self._effort.file_s)
            stack.callback(host.close)
            try:
                host.start()
            except UnusableError as problem:
                if reader.name not in {**PEERS, **CHUNKERS}:
                    raise
                absent[reader.name] = str(problem)
                continue
            self._hosts[reader.name] = host
            self._rows[reader.name] = Measured(reader.name, reader.whole, host.version)
        return absent

    def _all(self) -> list[Found]:
        """The files of the measurement, in batch order."""
        return [file for batch in self._batches[: self._share[BASE]] for file in batch]

    def _files(self, number: int) -> Sequence[Found]:
        return self._all() if number < 0 else self._batches[number]

    def _warm_up(self, name: str, folder: Path) -> None:
        """Round 0: reads for its share of the time, keeps the texts, and so finds out how far the reader comes."""
        folder.mkdir()
        most = len(self._batches) if name == BASE else self._share[BASE]
        numbers = [-1] if self._hosts[name].reader.whole else range(most)
        deadline = time.monotonic() + self._effort.seconds / (self._effort.rounds + 1)
        done = 0
        for number in numbers:
            self._turn(name, number, str(folder))
            done += 1
            if time.monotonic() >= deadline or self._hosts[name].given_up:
                break
        self._share[name] = done

    def _round(self) -> None:
        for row in self._rows.values():
            row.turns.append({})
        alone = [name for name, row in self._rows.items() if not row.whole]
        whole = [name for name, row in self._rows.items() if row.whole]
        for name, number in figures.plan(self._order, alone, whole, self._share[BASE]):
            if number < self._share[name] and not self._hosts[name].given_up:
                self._turn(name, number, None)

    def _turn(self, name: str, number: int, texts: str | None) -> None:
        row, host, batch = self._rows[name], self._hosts[name], self._files(number)
        turn = host.read(batch, texts)
        row.files |= {file.number for file in batch}
        row.failed |= {n: got.error for n, got in turn.files.items() if got.error is not None}
        row.documents |= {n: got.documents for n, got in turn.files.items()}
        row.peak_bytes, row.given_up = host.peak_bytes, host.given_up
        if texts is None:
            row.turns[-1][number] = turn


def _folder(scratch: Path, name: str) -> Path:
    return scratch / name.replace(" ", "_")


# ---- readers, and the facts of a report ----

_CHILD: Final = Path(__file__).with_name("child.py")
_OWN: Final = (sys.executable, "-P", "-m", "runner.bench.ingest.own")
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS"), "1")


def own_reader(
    name: str, machine: Machine, spec: Mapping[str, Any], *, pinned: bool = True, whole: bool = False
) -> Reader:
    """This package's own process for `spec`."""
    return Reader(name, _OWN, {**spec, "cpu": _core(machine) if pinned else None}, _environment(), whole)


def peer_reader(name: str, machine: Machine, python: str, spec: Mapping[str, Any]) -> Reader:
    """The process of one peer in its interpreter, which finds nothing of this package."""
    environment = {key: value for key, value in _environment().items() if key != "PYTHONPATH"}
    return Reader(name, (python, str(_CHILD)), {**spec, "reader": name, "cpu": _core(machine)}, environment)


def _core(machine: Machine) -> int | None:
    cores = machine.pinnable()
    return cores[-1] if cores else None


def _environment() -> dict[str, str]:
    return worker_environment(os.environ, _ONE_THREAD, Path(tempfile.gettempdir()))


def check_interpreter(python: str) -> None:
    """UsageError for one that cannot be started."""
    if not os.access(python, os.X_OK) or Path(python).is_dir():
        cure = "name a Python interpreter that has the peers installed"
        raise UsageError(f"bench: --peer-python {python} cannot be started", cure)


def facts(effort: Effort, machine: Machine) -> dict[str, Any]:
    """What a figure is worth nothing without."""
    load = os.getloadavg()
    return {
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "machine": {
            "os": machine.os,
            "arch": machine.arch,
            "chip": machine.chip,
            "physical_cores": machine.physical_cores,
            "memory_bytes": machine.memory_bytes,
        },
        "load_average": [round(each, 1) for each in load],
        "pinned": bool(machine.pinnable()),
        "seed": effort.seed,
        "rounds": effort.rounds,
        "seconds": effort.seconds,
    }


def head(about: Mapping[str, Any]) -> list[str]:
    """The same in two lines."""
    machine, load = about["machine"], about["load_average"][0]
    pinned = "one core for all" if about["pinned"] else "not pinned"
    memory, system = machine["memory_bytes"] / (1 << 30), f"{machine['os']} {machine['arch']}"
    return [
        f"{machine['chip']}, {machine['physical_cores']} cores, {memory:.0f} GiB, {system}, load {load}",
        f"{about['rounds']} rounds, seed {about['seed']}, {pinned}; medians and quartiles",
    ]
