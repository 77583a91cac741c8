"""`runner bench chunk`: the chunker beside other chunkers, same documents, same tokenizer and budget, one run.

The documents are read by this runner first; what is timed is from text to chunks. Judges nothing. Called by
commands/bench.
"""

from __future__ import annotations

import json as json_module
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from runner import models
from runner.bench.ingest import figures, files
from runner.bench.ingest.child import CHUNKERS, Refused
from runner.bench.ingest.figures import BASE, Measured
from runner.bench.ingest.files import Found
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
from runner.bench.ingest.own import Alone
from runner.config.compose import compose
from runner.errors import UsageError
from runner.machine import Machine, detect
from runner.run.settings import model_choice

_MARKDOWN: Final = ("html", "docx", "pptx", "epub", "odt")
"""Formats that become Markdown; and `.md` among the texts."""


@dataclass(frozen=True, slots=True)
class Options:
    """`tokenizer` None: that of the model a run would take."""

    paths: tuple[str, ...]
    tokenizer: str | None = None
    budget: int = 512
    effort: Effort = field(default_factory=Effort)
    peer_python: str = sys.executable
    json: bool = False


@dataclass(slots=True)
class Cut:
    """What one chunker's chunks are like. `lost` and `doubled` count characters that are no white space."""

    chunks: int = 0
    tokens: int = 0
    over: int = 0
    headed: int = 0
    lost: int = 0
    doubled: int = 0


def run_chunk_bench(options: Options) -> int:
    """One table, or one JSON object."""
    check_interpreter(options.peer_python)
    machine, tokenizer = detect(), _tokenizer(options)
    with tempfile.TemporaryDirectory(prefix="runner-bench-") as folder:
        documents = _documents(options, Path(folder))
        about = {**facts(options.effort, machine), "budget": options.budget, "tokenizer": tokenizer}
        spec = {"tokenizer": tokenizer, "budget": options.budget}
        readers = [own_reader(BASE, machine, spec), *_peers(options, machine, spec)]
        measurement = Measurement(options.effort, readers, documents, Path(folder, "chunks"))
        result = measurement.measure()
        cuts = _judge(measurement, result, tokenizer, options.budget)
    if options.json:
        print(json_module.dumps(about | _json(result, cuts), ensure_ascii=False))
    else:
        print("\n".join([*head(about), *_lines(result, cuts, options.budget)]))
    return 0


def _tokenizer(options: Options) -> str:
    if options.tokenizer is None:
        return str(models.resolve(model_choice(compose([]).model), models.cache_dir()).tokenizer_path)
    if not Path(options.tokenizer).is_file():
        raise UsageError(f"bench chunk: --tokenizer {options.tokenizer} is no file", "name a tokenizer.json")
    return str(Path(options.tokenizer).absolute())


def _peers(options: Options, machine: Machine, spec: dict[str, Any]) -> Iterator[Any]:
    for name in CHUNKERS:
        yield peer_reader(name, machine, options.peer_python, spec)


def _documents(options: Options, folder: Path) -> tuple[Found, ...]:
    """Reads what a run would read and writes the texts: `.md` for Markdown, `.txt` for text."""
    alone = Alone(compose([]))
    out: list[Found] = []
    (folder / "chunks").mkdir()
    corpus = files.find(options.paths, [*_MARKDOWN, "text"])
    for name, found in corpus.formats.items():
        for file in found:
            try:
                text, _ = alone.read(file.path)
            except Refused:
                continue  # the bench of reading is where this is counted
            marked = name in _MARKDOWN or file.path.endswith((".md", ".markdown"))
            path = folder / f"{len(out)}{'.md' if marked else '.txt'}"
            size = path.write_bytes(text.encode("utf-8"))
            out.append(Found(len(out), str(path), size))
    if not out:
        raise UsageError(f"bench chunk: no text below {', '.join(options.paths)}", "name documents that can be read")
    return tuple(out)


def _judge(measurement: Measurement, result: Result, tokenizer: str, budget: int) -> dict[str, Cut]:
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_file(tokenizer)
    cuts = {row.name: Cut() for row in result.rows}
    for file in result.files.values():
        text = Path(file.path).read_text("utf-8")
        for row in result.rows:
            if (given := measurement.text(row.name, file.number)) is not None and file.number not in row.failed:
                _add(cuts[row.name], text, given.split("\0"), encoder, budget)
    return cuts


def _add(cut: Cut, text: str, chunks: Sequence[str], encoder: Any, budget: int) -> None:
    counts = [len(each.ids) for each in encoder.encode_batch_fast(list(chunks), add_special_tokens=False)]
    wanted, given = Counter(text), Counter("".join(chunks))
    blank = [char for char in wanted | given if char.isspace()]
    for char in blank:
        del wanted[char], given[char]
    cut.chunks += len(chunks)
    cut.tokens += sum(counts)
    cut.over += sum(count > budget for count in counts)
    cut.headed += sum(chunk.startswith("#") for chunk in chunks)
    cut.lost += (wanted - given).total()
    cut.doubled += (given - wanted).total()


_HEAD: Final = (
    f"{'chunker':25}{'docs':>6}{'bad':>5}{'MB per CPU s':>18}{'CPU s / ours':>18}{'chunks':>8}{'over':>6}{'fill':>6}"
    f"{'headed':>8}"
)
"""At most 100 wide."""


def _lines(result: Result, cuts: dict[str, Cut], budget: int) -> list[str]:
    base = result.rows[0]
    size = sum(file.bytes for file in result.files.values()) / 1e6
    out = [f"{len(result.files)} documents, {size:.1f} MB of text, at most {budget} tokens a chunk", "", _HEAD]
    for row in result.rows:
        found, cut = figures.figures(row, base, result.files), cuts[row.name]
        ratio = "" if row is base else figures.spread_text(found.times_base, "x")
        speed = f"{figures.spread_text(found.mb_per_cpu_s, ''):>18}{ratio:>18}"
        fill = f"{cut.tokens / (cut.chunks * budget):.2f}" if cut.chunks else "-"
        counts = f"{cut.chunks:>8}{cut.over:>6}{fill:>6}{cut.headed:>8}"
        out.append(f"{figures.title(row)[:24]:25}{len(row.files):>6}{len(row.failed) or '-':>5}{speed}{counts}")
    out += [_lost(row, cuts[row.name]) for row in result.rows if cuts[row.name].lost or cuts[row.name].doubled]
    return [*out, *(f"  {name}: {reason}" for name, reason in result.absent.items())]


def _lost(row: Measured, cut: Cut) -> str:
    return f"  {row.name}: {cut.lost} characters lost, {cut.doubled} doubled, white space aside"


def _json(result: Result, cuts: dict[str, Cut]) -> dict[str, Any]:
    rows = []
    for row in result.rows:
        found = figures.as_json(row, result.rows[0], result.files)
        rows.append({key: value for key, value in found.items() if "quality" not in key} | asdict(cuts[row.name]))
    size = sum(file.bytes for file in result.files.values())
    return {"documents": len(result.files), "bytes": size, "chunkers": rows, "absent": result.absent}
