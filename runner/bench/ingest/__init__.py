"""`runner bench ingest`: documents/s, MB/s and CPU seconds by format, ours beside every reader that is installed.

Same files, one run: in each round every reader gets each batch, in a seeded random order; round 0 warms up, finds how
many files fit into the time, and keeps the texts for the quality columns. Judges nothing. Called by commands/bench.
"""

from __future__ import annotations

import json as json_module
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from runner.bench.ingest import figures, files, quality
from runner.bench.ingest.child import PEERS
from runner.bench.ingest.figures import BASE, Measured
from runner.bench.ingest.files import Corpus, Found
from runner.bench.ingest.host import Host, Reader, UnusableError
from runner.errors import UsageError
from runner.machine import Machine, detect
from runner.supervise.child import worker_environment

_CHILD: Final = Path(__file__).with_name("child.py")
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Options:
    """`seconds`: for each reader and format, all rounds together. Empty `formats` and `peers` mean all."""

    paths: tuple[str, ...]
    formats: tuple[str, ...] = ()
    peers: tuple[str, ...] | None = None
    seconds: float = 60.0
    rounds: int = 3
    file_s: float = 60.0
    threads: tuple[int, ...] = (1, 2)
    seed: int = 1
    peer_python: str = sys.executable
    json: bool = False


def run_ingest_bench(options: Options) -> int:
    """Tables as the formats are done, or one JSON object at the end."""
    _check(options)
    machine = detect()
    corpus = files.find(options.paths, options.formats)
    facts = _facts(options, machine, corpus)
    if not options.json:
        print("\n".join(_head(facts)), flush=True)
    measured = {}
    for name, found in corpus.formats.items():
        measured[name] = _Format(options, machine, name, found).measure()
        if not options.json:
            _show(name, measured[name])
    if options.json:
        formats = {name: _json(result) for name, result in measured.items()}
        print(json_module.dumps({**facts, "formats": formats}, ensure_ascii=False))
    return 0


def _check(options: Options) -> None:
    for what, given, known in (("format", options.formats, files.FORMATS), ("peer", options.peers or (), PEERS)):
        if unknown := sorted(set(given) - set(known)):
            raise UsageError(f"bench ingest: unknown {what} {', '.join(unknown)}", f"known: {', '.join(known)}")
    if not os.access(options.peer_python, os.X_OK) or Path(options.peer_python).is_dir():
        cure = "name a Python interpreter that has the peers installed"
        raise UsageError(f"bench ingest: --peer-python {options.peer_python} cannot be started", cure)


@dataclass(frozen=True, slots=True)
class _Result:
    files: dict[int, Found]
    rows: list[Measured]
    absent: dict[str, str]
    batches: int


class _Format:
    """One format's measurement from start to rows."""

    def __init__(self, options: Options, machine: Machine, name: str, found: Sequence[Found]) -> None:
        self._options = options
        self._name = name
        self._order = random.Random(f"{options.seed} {name}")
        self._batches = files.batches(found, self._order)
        self._readers = list(_readers(options, machine, name))
        self._hosts: dict[str, Host] = {}
        self._rows: dict[str, Measured] = {}
        self._share: dict[str, int] = {}
        """Batches that a reader has time for."""

    def measure(self) -> _Result:
        """Ours decides which files; a slower reader has fewer of them."""
        with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="runner-bench-") as scratch:
            absent = self._open(stack)
            for name in self._hosts:
                self._warm_up(name, Path(scratch, name.replace(" ", "_")))
            for _ in range(self._options.rounds):
                self._round()
            self._judge(Path(scratch))
        rows = [self._rows[reader.name] for reader in self._readers if reader.name in self._rows]
        return _Result({file.number: file for file in self._all()}, rows, absent, self._share[BASE])

    def _open(self, stack: ExitStack) -> dict[str, str]:
        absent = {}
        for reader in self._readers:
            host = Host(reader, self._options.file_s)
            stack.callback(host.close)
            try:
                host.start()
            except UnusableError as problem:
                if reader.name not in PEERS:
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
        deadline = time.monotonic() + self._options.seconds / (self._options.rounds + 1)
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

    def _judge(self, scratch: Path) -> None:
        hyphens = self._name != "pdf"
        for file in self._all():
            reference = self._reference(file, scratch, hyphens)
            ours = None
            for name, row in self._rows.items():
                if file.number not in row.files or (file.number in row.failed and name != BASE):
                    continue
                text = _kept_text(scratch, name, file.number) or ""
                found = quality.judge(text, reference, hyphens)
                ours = found if name == BASE else ours
                row.quality += found
                row.base_quality += ours or quality.Quality()

    def _reference(self, file: Found, scratch: Path, hyphens: bool) -> Any:
        text: str | None = None
        if self._name == "html":
            text = quality.page_text(Path(file.path).read_bytes())
        elif self._name == "pdf":
            text = _kept_text(scratch, "pypdfium2", file.number)
        elif self._name == "text":
            text = Path(file.path).read_text("utf-8", "replace")
        return None if text is None else quality.words(text, hyphens)


def _kept_text(scratch: Path, name: str, number: int) -> str | None:
    path = scratch / name.replace(" ", "_") / f"{number}.txt"
    return path.read_text("utf-8") if path.exists() else None


def _readers(options: Options, machine: Machine, name: str) -> Iterator[Reader]:
    """Ours first: it decides which files the others get."""
    cores = machine.pinnable()
    cpu = cores[-1] if cores else None
    own = (sys.executable, "-P", "-m", "runner.bench.ingest.own")
    environment = worker_environment(os.environ, _ONE_THREAD, Path(tempfile.gettempdir()))
    yield Reader(BASE, own, {"threads": None, "cpu": cpu}, environment)
    for threads in options.threads:
        spec = {"threads": threads, "cpu": cpu if threads == 1 else None}
        yield Reader(f"as in a run, {threads} thread{'s' * (threads > 1)}", own, spec, environment, whole=True)
    theirs = {key: value for key, value in environment.items() if key != "PYTHONPATH"}
    for peer in PEERS if options.peers is None else options.peers:
        if name in PEERS[peer].formats.split():
            yield Reader(peer, (options.peer_python, str(_CHILD)), {"reader": peer, "cpu": cpu}, theirs)


def _facts(options: Options, machine: Machine, corpus: Corpus) -> dict[str, Any]:
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
        "paths": list(options.paths),
        "left_out": corpus.left_out,
        "seed": options.seed,
        "rounds": options.rounds,
        "seconds": options.seconds,
    }


def _head(facts: dict[str, Any]) -> list[str]:
    machine = facts["machine"]
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(facts["left_out"].items()))
    pinned = "one core for all" if facts["pinned"] else "not pinned"
    memory = machine["memory_bytes"] / (1 << 30)
    system, load = f"{machine['os']} {machine['arch']}", facts["load_average"][0]
    return [
        f"{machine['chip']}, {machine['physical_cores']} cores, {memory:.0f} GiB, {system}, load {load}",
        f"{facts['rounds']} rounds, seed {facts['seed']}, {pinned}; medians and quartiles; left out: {left_out or '-'}",
    ]


def _show(name: str, result: _Result) -> None:
    size = sum(file.bytes for file in result.files.values()) / 1e6
    print(f"\n{name}: {len(result.files)} files, {size:.1f} MB, {result.batches} batches")
    print("\n".join(figures.lines(result.rows, result.files)))
    for peer, reason in result.absent.items():
        print(f"  {peer}: {reason}")
    sys.stdout.flush()


def _json(result: _Result) -> dict[str, Any]:
    base = next((row for row in result.rows if row.name == BASE), None)
    rows = [figures.as_json(row, base, result.files) for row in result.rows]
    size = sum(file.bytes for file in result.files.values())
    return {"files": len(result.files), "bytes": size, "readers": rows, "absent": result.absent}
