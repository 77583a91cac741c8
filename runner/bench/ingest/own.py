"""Our own readers as the benches measure them: alone in this process, and as a run reads, with its threads and workers.

The clock of a whole pass begins before the first thread and ends after the last file; its processor time holds what the
extract workers used, their start included. Started by `host` with the package's own interpreter.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from runner import _native
from runner.bench.ingest.child import Refused, Wire, cpu_s, peak_bytes, pin, serve, write_text
from runner.config.compose import compose
from runner.config.schema import RunnerConfig
from runner.run import extraction
from runner.run.settings import ingest_settings
from runner.supervise.child import worker_environment
from runner.supervise.converters import Converters

_GLANCE_MS = 20
"""How often a pass looks after its extract workers."""

Row = tuple[int, str, str]


def _text(rows: list[Row]) -> tuple[str, int]:
    """All documents of one file, and how many. What gave none raises with the reason, as a peer's reader does."""
    texts = [text for _, status, text in rows if status == "ok"]
    if not texts:
        raise Refused("; ".join(text for _, _, text in rows) or "no rows")
    return texts[0] if len(texts) == 1 else "\n".join(texts), len(texts)


class Alone:
    """One file after the other on this thread, parsers of extract workers too."""

    def __init__(self, config: RunnerConfig) -> None:
        library = extraction.pdfium_library()
        settings = json.dumps(ingest_settings(config))
        self._reader = _native.FileReader(settings, None if library is None else str(library))

    def read(self, path: str) -> tuple[str, int]:
        """The file's text as a Python string, as peers give it, and its documents."""
        return _text(self._reader.read(path))


class Cutter:
    """Cuts a text as a run does: one encoding, then the best borders."""

    def __init__(self, tokenizer: str, budget: int) -> None:
        self._chunker, self._budget = _native.Chunker(tokenizer), budget

    def read(self, path: str) -> tuple[str, int]:
        """The chunks with a zero between them, as peers give them."""
        text = Path(path).read_bytes().decode("utf-8", "replace")
        media = "markdown" if path.endswith(".md") else "text"
        return "\0".join(self._chunker.cut(text, media, self._budget)), 1


def read_all(config: RunnerConfig, files: list[str], threads: int, folder: Path) -> tuple[list[Row], float]:
    """One pass as a run makes it; the rows, and seconds by the clock. The workers have ended when it returns."""
    began = time.perf_counter()
    settings = {**ingest_settings(config), "inputs": files, "threads": threads}
    reading = _native.Reading(json.dumps(settings))
    environment = worker_environment(os.environ, {}, folder)
    converters = Converters(
        reading, lambda ends: extraction.extractor_spec(config, ends), environment, extraction.COMMAND
    )
    try:
        _attend(reading, converters)
        seconds = time.perf_counter() - began
        rows = reading.take_rows()
    finally:
        converters.stop()
    return rows, seconds


def _attend(reading: _native.Reading, converters: Converters) -> None:
    while True:
        for event in reading.next_events(_GLANCE_MS):
            match event["event"]:
                case "converter_wanted":
                    converters.wanted(event["seat"])
                case "converter_given_up":
                    converters.given_up(event["seat"])
                case "finished":
                    return
                case _:
                    raise event.get("error", RuntimeError(str(event)))
        converters.poll()


def _serve_passes(wire: Wire, config: RunnerConfig, threads: int, folder: Path) -> None:
    while (asked := wire.hear()) is not None:
        before = cpu_s()
        rows, wall = read_all(config, asked["files"], threads, folder)
        cpu = cpu_s() - before
        for place, number in enumerate(asked["numbers"]):
            wire.say(file=number, **_told([row for row in rows if row[0] == place], number, asked["texts"]))
        wire.say(done=True, peak=peak_bytes() + threads * _largest_child_bytes(), cpu=cpu, wall=wall)


def _told(rows: list[Row], number: int, texts: str | None) -> dict[str, Any]:
    try:
        text, documents = _text(rows)
    except Refused as problem:
        return {"error": str(problem)}
    write_text(texts, number, text)
    return {"error": None, "documents": documents}


def _largest_child_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> int:
    """The spec is one line on stdin."""
    spec = json.loads(sys.stdin.readline())
    pin(spec["cpu"])
    wire = Wire(spec["fd"])
    if "tokenizer" in spec:
        cutter = Cutter(spec["tokenizer"], spec["budget"])
        wire.say(ready=True, version="")
        serve(wire, cutter.read)
        return 0
    config = compose([])
    if spec["threads"] is None:
        alone = Alone(config)
        wire.say(ready=True, version="")
        serve(wire, alone.read)
        return 0
    with tempfile.TemporaryDirectory(prefix="runner-bench-") as folder:
        wire.say(ready=True, version="")
        _serve_passes(wire, config, spec["threads"], Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
