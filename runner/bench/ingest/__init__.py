"""`runner bench ingest`: documents/s, MB/s and CPU seconds by format, ours beside every reader that is installed.

Same files, one run; `measure` says how. Here are the readers, what their texts are worth, and the report. Called by
commands/bench.
"""

from __future__ import annotations

import json as json_module
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.bench.ingest import figures, files, quality
from runner.bench.ingest.child import PEERS
from runner.bench.ingest.figures import BASE, Measured
from runner.bench.ingest.files import Corpus, Found
from runner.bench.ingest.host import Reader
from runner.bench.ingest.measure import (
    Effort,
    Measurement,
    Result,
    check_interpreter,
    facts,
    head,
    own_reader,
    peer_reader,
)
from runner.errors import UsageError
from runner.machine import Machine, detect


@dataclass(frozen=True, slots=True)
class Options:
    """Empty `formats` and `peers` None mean all."""

    paths: tuple[str, ...]
    formats: tuple[str, ...] = ()
    peers: tuple[str, ...] | None = None
    effort: Effort = field(default_factory=Effort)
    threads: tuple[int, ...] = (1, 2)
    peer_python: str = sys.executable
    json: bool = False


def run_ingest_bench(options: Options) -> int:
    """Tables as the formats are done, or one JSON object at the end."""
    _check(options)
    machine = detect()
    corpus = files.find(options.paths, options.formats)
    about = {**facts(options.effort, machine), "paths": list(options.paths), "left_out": corpus.left_out}
    if not options.json:
        print("\n".join([*head(about), _left_out(corpus)]), flush=True)
    measured = {}
    for name, found in corpus.formats.items():
        measured[name] = _measure(options, machine, name, found)
        if not options.json:
            _show(name, measured[name])
    if options.json:
        formats = {name: _json(result) for name, result in measured.items()}
        print(json_module.dumps({**about, "formats": formats}, ensure_ascii=False))
    return 0


def _check(options: Options) -> None:
    for what, given, known in (("format", options.formats, files.FORMATS), ("peer", options.peers or (), PEERS)):
        if unknown := sorted(set(given) - set(known)):
            raise UsageError(f"bench ingest: unknown {what} {', '.join(unknown)}", f"known: {', '.join(known)}")
    check_interpreter(options.peer_python)


def _measure(options: Options, machine: Machine, name: str, found: Sequence[Found]) -> Result:
    readers = list(_readers(options, machine, name))
    with tempfile.TemporaryDirectory(prefix="runner-bench-") as scratch:
        measurement = Measurement(options.effort, readers, found, Path(scratch))
        result = measurement.measure()
        for file in result.files.values():
            _judge(measurement, result.rows, name, file)
    return result


def _judge(measurement: Measurement, rows: Sequence[Measured], name: str, file: Found) -> None:
    hyphens = name != "pdf"
    reference = _reference(measurement, name, file)
    counted = None if reference is None else quality.words(reference, hyphens)
    ours = quality.Quality()
    for row in rows:
        if file.number not in row.files or (file.number in row.failed and row.name != BASE):
            continue
        found = quality.judge(measurement.text(row.name, file.number) or "", counted, hyphens)
        if row.name == BASE:
            ours = found
        row.quality += found
        row.base_quality += ours


def _reference(measurement: Measurement, name: str, file: Found) -> str | None:
    match name:
        case "html":
            return quality.page_text(Path(file.path).read_bytes())
        case "pdf":
            return measurement.text("pypdfium2", file.number)
        case "text":
            return Path(file.path).read_text("utf-8", "replace")
        case _:
            return None


def _readers(options: Options, machine: Machine, name: str) -> Iterator[Reader]:
    """Ours first: it decides which files the others get."""
    yield own_reader(BASE, machine, {"threads": None})
    for threads in options.threads:
        called = f"as in a run, {threads} thread{'s' * (threads > 1)}"
        yield own_reader(called, machine, {"threads": threads}, pinned=threads == 1, whole=True)
    for peer in PEERS if options.peers is None else options.peers:
        if name in PEERS[peer].formats.split():
            yield peer_reader(peer, machine, options.peer_python, {})


def _left_out(corpus: Corpus) -> str:
    counted = ", ".join(f"{count} {reason}" for reason, count in sorted(corpus.left_out.items()))
    return f"left out: {counted or 'nothing'}"


def _show(name: str, result: Result) -> None:
    size = sum(file.bytes for file in result.files.values()) / 1e6
    print(f"\n{name}: {len(result.files)} files, {size:.1f} MB, {result.batches} batches")
    print("\n".join(figures.lines(result.rows, result.files)))
    for peer, reason in result.absent.items():
        print(f"  {peer}: {reason}")
    sys.stdout.flush()


def _json(result: Result) -> dict[str, Any]:
    base = next((row for row in result.rows if row.name == BASE), None)
    rows = [figures.as_json(row, base, result.files) for row in result.rows]
    size = sum(file.bytes for file in result.files.values())
    return {"files": len(result.files), "bytes": size, "readers": rows, "absent": result.absent}
