"""The current results of a job over all its nights: for each input the last word on it, and where that comes from.

Derived anew from the runs' results.jsonl at each call and stored nowhere, so that it cannot disagree with them. Only
places of lines are kept in memory. Called by night (to count what changed) and by the results command.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from runner.errors import RunnerError, StorageError
from runner.layout import RunFolder
from runner.store import folder
from runner.store.files import storage

Deleted = Literal["keep", "drop"]

# What decides an answer, of a run's composed configuration.
_DECIDES = ("job", "model", "sampling", "ingest")


@dataclass(frozen=True, slots=True)
class Source:
    """One run whose lines count. `night`: the last that worked on it. `finished`: what it has not met again is gone.
    `inputs`: what it was to read; runs of other inputs say nothing about its documents."""

    run: RunFolder
    night: int
    finished: bool
    inputs: tuple[str, ...]
    settings: str
    started_at: str

    @property
    def name(self) -> str:
        """As it stands in `reused_from`."""
        return self.run.root.name


@dataclass(frozen=True, slots=True)
class Row:
    """The last word on one input, and the night that made it.

    `offset` and `size` are its line in `of`'s results.jsonl.
    """

    of: int
    offset: int
    size: int
    doc_id: str | None
    status: str
    reason: str
    night: int
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """`rows`: source -> row, in the order in which sources were first seen."""

    sources: tuple[Source, ...]
    rows: dict[str, Row]

    def count(self, *statuses: str) -> int:
        """Rows of documents that are there."""
        return sum(row.status in statuses and not row.deleted for row in self.rows.values())

    @property
    def present(self) -> int:
        """Inputs that are there."""
        return sum(not row.deleted for row in self.rows.values())

    def lines(self, names: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The lines of results.jsonl, all ordered by source or those of `names`, each with its provenance."""
        newest = self.sources[-1].settings if self.sources else ""
        with ExitStack() as opened:
            files: dict[int, BinaryIO] = {}
            for name in sorted(self.rows) if names is None else names:
                row = self.rows[name]
                path = self.sources[row.of].run.results
                with storage(f"cannot read {path}"):
                    if row.of not in files:
                        files[row.of] = opened.enter_context(path.open("rb"))
                    files[row.of].seek(row.offset)
                    raw = files[row.of].read(row.size)
                yield self._line(row, json.loads(raw), newest)

    def _line(self, row: Row, line: dict[str, Any], newest: str) -> dict[str, Any]:
        source = self.sources[row.of]
        run = Path(line["reused_from"]).name if line["reused_from"] else source.name
        return {
            **line, "night": row.night, "run": run, "settings": source.settings,
            "outdated": source.settings != newest, "deleted": row.deleted,
        }  # fmt: skip


def source_of(run: RunFolder, night: int, settings: str | None = None) -> Source | None:
    """None for a folder that is gone, or holds no run. `settings`: where they are known already."""
    try:
        identity = folder.read_identity(run)
    except RunnerError:
        return None
    known = settings_of(run) if settings is None else settings
    return Source(run, night, identity.status == "finished", identity.inputs, known, identity.started_at)


def settings_of(run: RunFolder) -> str:
    """A short hash of what decides the answers of a run: equal means that its lines belong together."""
    tree = _config(run)
    decides = {key: tree.get(key) for key in _DECIDES}
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[:12] if tree else ""


def max_failed_of(run: RunFolder) -> int:
    """`job.max_failed` of a run; 0 when it did not get as far as saying."""
    tree = _config(run)
    return int(tree["job"]["max_failed"]) if tree else 0


def _config(run: RunFolder) -> dict[str, Any]:
    import yaml

    path = run.config / "config.yaml"
    if not path.is_file():
        return {}
    with storage(f"cannot read {path}"):
        tree = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return tree if isinstance(tree, dict) else {}


def fold(sources: Sequence[Source], deleted: Deleted = "drop") -> View:
    """Oldest first. A finished run knows every document there was, so that with `drop` what lies before the last two
    of them
    is not read: the second last has what changed under the last one."""
    rows: dict[str, Row] = {}
    owners: dict[str, tuple[str, ...]] = {}
    nights = {source.name: source.night for source in sources}
    finished = [number for number, source in enumerate(sources) if source.finished]
    alike = len({source.inputs for source in sources}) == 1
    first = finished[-2] if deleted == "drop" and alike and len(finished) > 1 else 0
    for number in range(first, len(sources)):
        _apply(rows, owners, number, sources[number], nights, deleted)
    return View(tuple(sources), rows)


def _apply(
    rows: dict[str, Row], owners: dict[str, tuple[str, ...]], number: int, source: Source, nights: Mapping[str, int],
    deleted: Deleted,
) -> None:  # fmt: skip
    met = set()
    for offset, size, line in _lines(source.run):
        name = line["source"]
        met.add(name)
        if vanished(line):
            continue  # it was deleted or changed under the run; what it was before stays until it is met again
        night = nights.get(Path(line["reused_from"]).name, source.night) if line["reused_from"] else source.night
        rows[name] = Row(number, offset, size, line["doc_id"], line["status"], line["reason"], night)
        owners[name] = source.inputs
    if source.finished:
        for name in [name for name, inputs in owners.items() if inputs == source.inputs and name not in met]:
            _delete(rows, name, deleted)


def without(view: View, absent: Iterable[str], deleted: Deleted) -> View:
    """The view when these inputs are gone."""
    rows = dict(view.rows)
    for name in absent:
        _delete(rows, name, deleted)
    return View(view.sources, rows)


def vanished(line: Mapping[str, Any]) -> bool:
    """A document that was deleted or changed while its run was under way: no word on what it says."""
    return line["status"] == "failed" and str(line["reason"]).startswith("source:")


def _delete(rows: dict[str, Row], name: str, deleted: Deleted) -> None:
    if name in rows:
        if deleted == "drop":
            del rows[name]
        else:
            rows[name] = replace(rows[name], deleted=True)


def _lines(run: RunFolder) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Whole lines of results.jsonl; a torn last one of a run that died is none."""
    if not run.results.is_file():
        return
    offset = 0
    with storage(f"cannot read {run.results}"), run.results.open("rb") as file:
        for raw in file:
            if raw.endswith(b"\n"):
                try:
                    yield offset, len(raw), json.loads(raw)
                except ValueError as error:
                    raise StorageError(
                        f"{run.results} is damaged at byte {offset}", f"`runner resume {run.root}` writes it anew"
                    ) from error
            offset += len(raw)


def file_of(source: str) -> Path:
    """The file that an input lies in: `a.jsonl` of `a.jsonl#7`, `b.zip` of `b.zip!/c.txt`."""
    path = Path(source)
    text = source
    while not path.exists() and ("#" in text or "!/" in text):
        cut = max(text.rfind("#"), text.rfind("!/"))
        text = text[:cut]
        if Path(text).exists():
            return Path(text)
    return path


def missing(view: View) -> list[str]:
    """Inputs of the view whose file is not there any more."""
    there: dict[Path, bool] = {}
    found = []
    for name, row in view.rows.items():
        path = file_of(name)
        if not row.deleted and not there.setdefault(path, path.exists()):
            found.append(name)
    return found
