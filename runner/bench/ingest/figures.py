"""From turns to figures: medians with quartiles, ratios over the same files, and the table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import median, quantiles
from typing import Any, Final

from runner.bench.ingest.files import Found
from runner.bench.ingest.host import Turn
from runner.bench.ingest.quality import Quality

BASE: Final = "runner"
"""The reader that the others are compared with: ours, alone on one core."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and the quartiles around it."""

    middle: float
    low: float
    high: float

    @staticmethod
    def of(samples: Iterable[float]) -> Spread | None:
        """None of nothing."""
        found = sorted(samples)
        if not found:
            return None
        if len(found) == 1:
            return Spread(found[0], found[0], found[0])
        low, middle, high = quantiles(found, n=4, method="inclusive")
        return Spread(middle, low, high)


@dataclass(slots=True)
class Measured:
    """Everything about one reader in one format. `turns[round][batch]`; a pass is the batch -1."""

    name: str
    whole: bool
    version: str = ""
    peak_bytes: int = 0
    given_up: bool = False
    """It was killed or died too often."""
    turns: list[dict[int, Turn]] = field(default_factory=list)
    files: set[int] = field(default_factory=set)
    """Those that it was given."""
    failed: dict[int, str] = field(default_factory=dict)
    documents: dict[int, int] = field(default_factory=dict)
    quality: Quality = field(default_factory=Quality)
    base_quality: Quality = field(default_factory=Quality)
    """Ours over the same files."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One reader's speed. `cpu_s`: of one round. Rates count the files that it could read."""

    documents_per_s: float | None
    mb_per_s: float | None
    cpu_s: float | None
    mb_per_cpu_s: Spread | None
    times_base: Spread | None
    """CPU time of this reader over that of ours on the same files."""


def plan(order: Random, alone: Sequence[str], whole: Sequence[str], batches: int) -> list[tuple[str, int]]:
    """One round: who reads which batch, -1 = all of them. Readers take turns in a random order within each batch, whole
    passes stand anywhere between."""
    turns = list(range(batches))
    order.shuffle(turns)
    groups = [[(name, batch) for name in order.sample(list(alone), len(alone))] for batch in turns]
    for name in whole:
        groups.insert(order.randrange(len(groups) + 1), [(name, -1)])
    return [turn for group in groups for turn in group]


def figures(mine: Measured, base: Measured | None, files: Mapping[int, Found]) -> Figures:
    """Of all rounds. `base` is None when ours is not measured here."""
    read = mine.files - mine.failed.keys()
    size = sum(files[number].bytes for number in read) / 1e6
    rounds = [turns for turns in mine.turns if turns]
    if not rounds or not read or mine.given_up:
        return Figures(None, None, None, None, None)
    walls = [_sum(mine, turns, read, "wall_s") for turns in rounds]
    wall = median(walls)
    rates = [rate for turns in rounds for turn in turns.values() if (rate := _rate(mine, turn, read, files))]
    return Figures(
        documents_per_s=sum(mine.documents[number] for number in read) / wall,
        mb_per_s=size / wall,
        cpu_s=median(_sum(mine, turns, read, "cpu_s") for turns in rounds),
        mb_per_cpu_s=Spread.of(rates),
        times_base=None if base is None else Spread.of(_ratios(mine, base, read)),
    )


def _sum(mine: Measured, turns: Mapping[int, Turn], read: set[int], what: str) -> float:
    if mine.whole:
        return float(sum(getattr(turn, what) for turn in turns.values()))
    return float(sum(getattr(turn.files[n], what) for turn in turns.values() for n in turn.files if n in read))


def _rate(mine: Measured, turn: Turn, read: set[int], files: Mapping[int, Found]) -> float | None:
    done = [number for number in turn.files if number in read]
    cpu = turn.cpu_s if mine.whole else sum(turn.files[number].cpu_s for number in done)
    return sum(files[number].bytes for number in done) / 1e6 / cpu if cpu > 0 else None


def _ratios(mine: Measured, base: Measured, read: set[int]) -> Iterable[float]:
    """Within one round and batch, over the files that both could read."""
    for turns, base_turns in zip(mine.turns, base.turns, strict=True):
        if mine.whole:
            both = set(read)
            ours = sum(turn.files[n].cpu_s for turn in base_turns.values() for n in turn.files if n in both)
            yield from (turn.cpu_s / ours for turn in turns.values() if ours > 0)
            continue
        for number, turn in turns.items():
            if (other := base_turns.get(number)) is None:
                continue
            both = {n for n in turn.files if n in read and n in other.files and n not in base.failed}
            ours = sum(other.files[n].cpu_s for n in both)
            if ours > 0:
                yield sum(turn.files[n].cpu_s for n in both) / ours


def speed_up(one: Measured, two: Measured) -> Spread | None:
    """By the clock, round by round."""
    pairs = [(a[-1].wall_s, b[-1].wall_s) for a, b in zip(one.turns, two.turns, strict=True) if -1 in a and -1 in b]
    return Spread.of(a / b for a, b in pairs if b > 0)


# ---- the table ----

_SPEED: Final = (
    f"{'reader':25}{'files':>6}{'bad':>5}{'docs/s':>9}{'MB/s':>8}{'CPU s':>9}{'MB per CPU s':>20}{'CPU s / ours':>18}"
)
_OUTPUT: Final = (
    f"{'':25}{'words':>8}{'kept':>8}{'extra':>8}{'headings':>10}{'tables':>8}{'rows':>8}{'fences':>8}{'RSS MiB':>10}"
)
"""Both at most 100 wide."""


def lines(rows: Sequence[Measured], files: Mapping[int, Found]) -> list[str]:
    """The two tables of one format, and what has to be said below them."""
    base = next((row for row in rows if row.name == BASE), None)
    out = [_SPEED, *(_speed_line(row, figures(row, base, files)) for row in rows)]
    out += [_OUTPUT, *(_output_line(row) for row in rows)]
    return [*out, *_notes(rows, files)]


def title(row: Measured) -> str:
    """Name and version."""
    return f"{row.name} {row.version}".strip()


def _speed_line(row: Measured, found: Figures) -> str:
    ratio = "" if row.name == BASE else spread_text(found.times_base, "x")
    cells = f"{_number(found.documents_per_s):>9}{_number(found.mb_per_s):>8}{_number(found.cpu_s):>9}"
    rate = f"{spread_text(found.mb_per_cpu_s, ''):>20}"
    return f"{title(row)[:24]:25}{len(row.files):>6}{len(row.failed) or '-':>5}{cells}{rate}{ratio:>18}"


def _output_line(row: Measured) -> str:
    found = row.quality
    kept = "-" if found.kept is None else f"{found.kept:.4f}"
    extra = "-" if found.extra is None else f"{found.extra:.4f}"
    counts = f"{found.headings:>10}{found.tables:>8}{found.rows:>8}{found.fences:>8}"
    return f"{title(row)[:24]:25}{found.words:>8}{kept:>8}{extra:>8}{counts}{row.peak_bytes / (1 << 20):>10.0f}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def spread_text(found: Spread | None, unit: str) -> str:
    """`12.3x (11.9-12.8)`."""
    if found is None:
        return "-"
    digits = 2 if found.middle < 10 else 1 if found.middle < 100 else 0
    return f"{found.middle:.{digits}f}{unit} ({found.low:.{digits}f}-{found.high:.{digits}f})"


def _notes(rows: Sequence[Measured], files: Mapping[int, Found]) -> list[str]:
    out = []
    for row in rows:
        if row.files < files.keys() and row.name != BASE:
            ours = row.base_quality
            counts = f"{ours.headings} headings, {ours.tables} tables, {ours.rows} rows, {ours.fences} fences"
            out.append(f"  {row.name}: {len(row.files)} of {len(files)} files; {BASE} on them: {counts}")
        for reason, count in sorted(_classes(row).items(), key=lambda item: -item[1])[:3]:
            out.append(f"  {row.name}: {count} x {reason}")
        if row.given_up:
            out.append(f"  {row.name}: given up")
    passes = [row for row in rows if row.whole]
    for row in passes[1:]:
        if (found := speed_up(passes[0], row)) is not None:
            out.append(f"  {row.name}: {spread_text(found, ' times')} as fast by the clock as {passes[0].name}")
    return out


def _classes(row: Measured) -> dict[str, int]:
    found: dict[str, int] = {}
    for reason in row.failed.values():
        shown = reason.split("\n")[0][:60]
        found[shown] = found.get(shown, 0) + 1
    return found


def as_json(row: Measured, base: Measured | None, files: Mapping[int, Found]) -> dict[str, Any]:
    """The same figures, and what the table has no room for."""
    found = figures(row, base, files)

    def spread(value: Spread | None) -> list[float] | None:
        return None if value is None else [value.low, value.middle, value.high]

    def counts(quality: Quality) -> dict[str, Any]:
        names = ("words", "reference_words", "headings", "tables", "rows", "fences")
        return {name: getattr(quality, name) for name in names} | {"kept": quality.kept, "extra": quality.extra}

    return {
        "reader": row.name,
        "version": row.version,
        "files": len(row.files),
        "failed": {files[number].path: reason for number, reason in sorted(row.failed.items())},
        "given_up": row.given_up,
        "documents_per_s": found.documents_per_s,
        "mb_per_s": found.mb_per_s,
        "cpu_s": found.cpu_s,
        "mb_per_cpu_s_quartiles": spread(found.mb_per_cpu_s),
        "cpu_times_runner_quartiles": spread(found.times_base),
        "peak_bytes": row.peak_bytes,
        "quality": counts(row.quality),
        "runner_quality_on_its_files": counts(row.base_quality),
    }
