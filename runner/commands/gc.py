"""`runner gc`: removes old runs (and sweeps) that no keep rule keeps; without --delete it only shows them.

Never removed: the latest run, one that is running, damaged or not finished, and one whose results another run that
stays rests on. That run names the other and stays, until records can be copied into the younger journal. Called by
cli.
"""

from __future__ import annotations

import json
import shutil
import time
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from runner.commands.parser import Parser
from runner.display import table, visible
from runner.errors import EXIT_OK, UsageError
from runner.index.catch_up import Index
from runner.layout import DEFAULT_OUTPUTS, latest_link
from runner.store.files import storage
from runner.store.locks import FileLock
from runner.store.rests import rests_on

_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run or a sweep. `age_s` since it ended or was last written; `rests_on`: runs whose results it took over."""

    folder: str
    state: str
    age_s: float
    bytes: int
    rests_on: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fate:
    """`why` it stays; empty when it goes."""

    folder: str
    bytes: int
    why: str


def plan(found: Sequence[Candidate], latest: str, keep_last: int, keep_days: float) -> list[Fate]:
    """What becomes of each, `found` newest first. Pure."""
    why: dict[str, str] = {}
    for place, each in enumerate(found):
        if each.folder == latest:
            why[each.folder] = "the latest"
        elif each.state not in ("finished", "failed"):
            why[each.folder] = f"it is {each.state}"
        elif place < keep_last:
            why[each.folder] = f"one of the last {keep_last}"
        elif each.age_s < keep_days * _DAY_S:
            why[each.folder] = f"younger than {keep_days:g} days"
    by_folder = {each.folder: each for each in found}
    waiting = list(why)
    while waiting:  # what stays keeps what it rests on
        holder = waiting.pop()
        for other in sorted(by_folder[holder].rests_on):
            if other in by_folder and other not in why:
                why[other] = f"{holder} rests on its results"
                waiting.append(other)
    return [Fate(each.folder, each.bytes, why.get(each.folder, "")) for each in found]


def _candidates(index: Index, sweeps: bool, now: float) -> list[Candidate]:
    if sweeps:
        rows = index.db.execute("SELECT folder, state FROM sweeps ORDER BY folder DESC").fetchall()
    else:
        rows = index.db.execute("SELECT folder, state FROM runs WHERE sweep IS NULL ORDER BY folder DESC").fetchall()
    found = []
    for folder, state in rows:
        path = index.outputs / folder
        journal = path / "journal"
        rests = frozenset(rests_on(journal)) if not sweeps and journal.is_file() else frozenset()
        with storage(f"cannot examine {path}"):
            files = [each.lstat() for each in path.rglob("*")]
            newest = max((info.st_mtime for info in files), default=path.stat().st_mtime)
        found.append(Candidate(folder, state, now - newest, sum(info.st_size for info in files), rests))
    return found


def _remove(outputs: Path, fates: Sequence[Fate]) -> None:
    for fate in fates:
        path = outputs / fate.folder
        lock = FileLock(path / "lock")
        if not lock.acquire("gc"):
            raise UsageError(f"{path} is in use by {lock.holder()}", "wait for it to end")
        try:
            # Out of sight at once: a half-removed folder would look like a damaged run.
            gone = path.with_name(f".{path.name}.gone")
            with storage(f"cannot remove {path}"):
                path.rename(gone)
                shutil.rmtree(gone)
        finally:
            lock.release()


def main(argv: list[str]) -> int:
    """0, also when nothing goes."""
    parser = Parser(prog="runner gc", description="Remove old runs. Without --delete: show what would go.")
    parser.add_argument("--keep-last", type=_count, default=50, metavar="N", help="keep the last N (50)")
    parser.add_argument("--keep-days", type=float, default=30.0, metavar="D", help="and all younger than D days (30)")
    parser.add_argument("--sweeps", action="store_true", help="sweeps instead of runs")
    parser.add_argument("--delete", action="store_true", help="remove them")
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder (default: outputs)")
    parser.add_argument("--json", action="store_true", help="a JSON list on stdout")
    options = parser.parse_args(argv)
    outputs = Path(options.outputs).absolute()
    link = latest_link(outputs)
    latest = link.resolve()
    latest_name = latest.relative_to(outputs.resolve()).as_posix() if latest.is_relative_to(outputs.resolve()) else ""
    with Index(outputs) as index:
        found = _candidates(index, options.sweeps, time.time())
    fates = plan(found, latest_name if link.is_symlink() else "", options.keep_last, options.keep_days)
    going = [fate for fate in fates if not fate.why]
    if options.delete:
        _remove(outputs, going)
    if options.json:
        print(json.dumps([{**asdict(fate), "removed": options.delete and not fate.why} for fate in fates], indent=2))
    else:
        print(_page(fates, going, options.delete))
    return EXIT_OK


def _page(fates: Sequence[Fate], going: Sequence[Fate], deleted: bool) -> str:
    kept: Mapping[str, str] = {fate.folder: fate.why for fate in fates if "rests on" in fate.why}
    lines = [f"{visible(folder, 0)} stays: {visible(why, 0)}" for folder, why in kept.items()]
    size = sum(fate.bytes for fate in going) / 2**20
    if going:
        lines.append(table(("MiB", "folder"), [(fate.bytes / 2**20, fate.folder) for fate in going]))
    done = "removed" if deleted else "would go (--delete removes them)"
    lines.append(f"{len(going)} of {len(fates)} {done}, {size:.1f} MiB")
    if going:
        lines.append("work that only they finished is done again when its documents come once more")
    return "\n".join(lines)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a count, it must be 0 or more")
    return int(text)
