"""results.jsonl in one pass: how documents ended and why, how long they took, and a few of them to look at.

Holds samples and groups, never all lines: 100,000 documents cost a few megabytes. Pure: takes lines. Called by the
report. The fields are those of docs/results.md.
"""

from __future__ import annotations

import heapq
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from runner.report.sample import Sample

MOST_GROUPS: Final = 60
"""Different reasons that are told apart; what comes later is counted under one of them, named `OTHER`."""
OTHER: Final = "other reasons"
EXAMPLES: Final = 3
ANSWERS: Final = 6
SLOWEST: Final = 10
KEPT_CHARS: Final = 700
"""Of an example's text: what a page shows of it, and no megabyte kept for nothing."""

_NUMBER: Final = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Example:
    """One document as the page shows it. `output_chars` is the whole length of the cut `output`."""

    source: str
    reason: str
    output: str
    output_chars: int
    tokens_in: int
    tokens_out: int
    seconds: float
    attempts: int


@dataclass(slots=True)
class Group:
    """Documents that ended for one reason; numbers in it are blanked to tell reasons apart."""

    status: str
    reason: str
    count: int = 0
    examples: list[Example] = field(default_factory=list)


def _samples() -> dict[str, Sample]:
    names = ("latency_s", "queued_s", "prefill_s", "decode_s", "token_s", "tokens_in", "tokens_out", "text_bytes")
    return {name: Sample() for name in names}


@dataclass(slots=True)
class Outcomes:
    """All that the page says of documents. Times and lengths are of those that this run asked the model for itself."""

    statuses: Counter[str] = field(default_factory=Counter)
    groups: dict[tuple[str, str], Group] = field(default_factory=dict)
    samples: dict[str, Sample] = field(default_factory=_samples)
    answers: list[Example] = field(default_factory=list)
    slowest: list[tuple[float, int, Example]] = field(default_factory=list)
    types: Counter[tuple[str, str]] = field(default_factory=Counter)
    finish_reasons: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    duplicates: int = 0
    reused: int = 0
    partly_read: int = 0
    partly_covered: int = 0
    not_covered_bytes: int = 0
    text_bytes: int = 0
    unreadable: int = 0
    _seen_ok: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(2))

    @property
    def inputs(self) -> int:
        """Lines read."""
        return sum(self.statuses.values())

    def of(self, *statuses: str) -> list[Group]:
        """Groups of these statuses, largest first."""
        found = [group for group in self.groups.values() if group.status in statuses]
        return sorted(found, key=lambda group: (-group.count, group.reason))


def read(lines: Iterable[bytes]) -> Outcomes:
    """Folds the lines. One that is torn, or that is no result, is counted and passed over."""
    found = Outcomes()
    for line in lines:
        try:
            result: dict[str, Any] = json.loads(line)
            status = str(result["status"])
            _fold(found, status, result)
        except (ValueError, KeyError, TypeError):
            found.unreadable += 1
    found.slowest.sort(reverse=True)
    return found


def _fold(found: Outcomes, status: str, result: Mapping[str, Any]) -> None:
    parts = result.get("parts") or ()
    timings = result.get("timings") or {}
    prefill, decode = float(timings.get("prefill_ms") or 0) / 1000, float(timings.get("decode_ms") or 0) / 1000
    tokens_in = sum(part.get("tokens_in") or 0 for part in parts)
    tokens_out = sum(part.get("tokens_out") or 0 for part in parts)
    coverage = result.get("coverage") or {}
    text_bytes = int(coverage.get("text_bytes") or 0)
    missed = text_bytes - int(coverage.get("covered_bytes") or 0)
    asked = bool(parts) and result.get("reused_from") is None and result.get("duplicate_of") is None

    found.statuses[status] += 1
    found.types[_type(str(result["source"])), status] += 1
    found.attempts[int(result.get("attempts") or 0)] += 1
    found.duplicates += result.get("duplicate_of") is not None
    found.reused += result.get("reused_from") is not None
    found.partly_read += bool(result.get("unread"))
    found.text_bytes += text_bytes
    if status == "ok" and missed > 0:
        found.partly_covered += 1
        found.not_covered_bytes += missed

    def example() -> Example:
        output = result.get("output")
        output = output if isinstance(output, str) else "" if output is None else json.dumps(output)
        output = output or next((str(part["output"]) for part in parts if part.get("output")), "")
        return Example(
            str(result["source"])[:KEPT_CHARS],
            str(result.get("reason") or "")[:KEPT_CHARS],
            output[:KEPT_CHARS],
            len(output),
            tokens_in,
            tokens_out,
            prefill + decode,
            int(result.get("attempts") or 0),
        )

    if asked:
        _measure(found, tokens_in, tokens_out, prefill, decode, float(timings.get("queued_ms") or 0) / 1000)
        found.samples["text_bytes"].add(text_bytes)
        found.finish_reasons.update(str(part.get("finish_reason") or "none") for part in parts)
        latency = prefill + decode
        if latency > 0 and (len(found.slowest) < SLOWEST or latency > found.slowest[0][0]):
            push = heapq.heappush if len(found.slowest) < SLOWEST else heapq.heapreplace
            push(found.slowest, (latency, found.inputs, example()))
    if status == "ok":
        _sample_answer(found, example)
    else:
        _group(found, status, str(result.get("reason") or "no reason"), example)


def _measure(found: Outcomes, tokens_in: int, tokens_out: int, prefill: float, decode: float, queued: float) -> None:
    add = found.samples
    add["tokens_in"].add(tokens_in)
    add["tokens_out"].add(tokens_out)
    if prefill + decode <= 0:
        return
    add["latency_s"].add(prefill + decode)
    add["queued_s"].add(queued)
    add["prefill_s"].add(prefill)
    add["decode_s"].add(decode)
    if tokens_out > 1 and decode > 0:
        add["token_s"].add(decode / (tokens_out - 1))


def _sample_answer(found: Outcomes, example: Any) -> None:
    found._seen_ok += 1
    if len(found.answers) < ANSWERS:
        found.answers.append(example())
    elif (place := int(found._random.random() * found._seen_ok)) < ANSWERS:
        found.answers[place] = example()


def _group(found: Outcomes, status: str, reason: str, example: Any) -> None:
    name = _NUMBER.sub("N", reason[:200])
    group = found.groups.get((status, name))
    if group is None:
        if len(found.groups) >= MOST_GROUPS:
            name = reason = OTHER
        group = found.groups.setdefault((status, name), Group(status, reason[:KEPT_CHARS]))
    group.count += 1
    if len(group.examples) < EXAMPLES:
        group.examples.append(example())


def _type(source: str) -> str:
    """The ending of a file's name; `jsonl` for a record `file.jsonl#17` of a file."""
    name = PurePosixPath(source[-400:]).name
    stem, mark, record = name.rpartition("#")
    suffix = PurePosixPath(stem if mark and record.isdecimal() else name).suffix
    return suffix[1:12].lower() or "no ending"
