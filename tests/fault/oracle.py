"""What must be true of a finished run, whatever happened to it. Knows the corpus and the files, nothing of the runner.

Seven counts, each of which a planted bug raises: lost, duplicated, wrong, acknowledged-then-lost, innocent in
quarantine, poison not in quarantine, bytes of the journal that are no frame.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fault import journal_reader


@dataclass
class Verdict:
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    acked_lost: list[str] = field(default_factory=list)
    innocent: list[str] = field(default_factory=list)
    unpunished: list[str] = field(default_factory=list)
    foreign_bytes: int = 0

    @property
    def bad(self) -> bool:
        return any(vars(self).values())

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in vars(self).items() if value) or "nothing wrong"


def lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines of a growing file; a torn last one does not count as told."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def acknowledged(run: Path) -> dict[str, dict[str, Any]]:
    """What the user could have seen as done at this moment: source -> line."""
    return {Path(line["source"]).name: line for line in lines(run / "results.jsonl")}


def judge(
    names: list[str], run: Path, acked: dict[str, dict[str, Any]], poison: frozenset[str], check_crc: bool = True
) -> Verdict:
    """`names`: the corpus, file names that each stand in their own text; `acked`: gathered at every death."""
    verdict = Verdict()
    found = lines(run / "results.jsonl")
    by_name = {Path(line["source"]).name: line for line in found}
    verdict.lost = [name for name in names if name not in by_name]
    verdict.duplicated = [n for n, count in Counter(Path(line["source"]).name for line in found).items() if count > 1]
    for name, line in by_name.items():
        own = name.removesuffix(".txt")
        if line["status"] == "ok" and (own not in line["output"] or line["output"].count("doc-") != 1):
            verdict.wrong.append(name)
        if line["status"] == "quarantined" and name not in poison:
            verdict.innocent.append(name)
        if name in poison and line["status"] != "quarantined":
            verdict.unpunished.append(name)
    # A result that was shown and then computed again has other timings: it was lost in between, even with equal text.
    for name, line in acked.items():
        now = by_name.get(name, {})
        if any(now.get(key) != line[key] for key in ("status", "output", "timings")):
            verdict.acked_lost.append(name)
    records, verdict.foreign_bytes = journal_reader.read(run / "journal", check_crc)
    committed = Counter(record.body["work_id"] for record in records if record.kind == "result")
    verdict.duplicated += [work_id for work_id, count in committed.items() if count > 1]
    return verdict


def committed(run: Path) -> int:
    """Results in the journal now."""
    journal = run / "journal"
    if not journal.is_file():
        return 0
    return sum(record.kind == "result" for record in journal_reader.read(journal, check=False)[0])
