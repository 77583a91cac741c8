"""The report of a sweep: which setting was best, a table of all jobs, the trade between rate and memory, what failed.

Pure: takes rows. What each figure means: docs/report.md. Called by the report.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.report import plots, units
from runner.report.markup import Markup, foreign, tag, visible
from runner.report.sample import nice_top
from runner.report.shell import Cell, contents, document, section, table, tile, word
from runner.report.sweep_rows import SweepRow, best, front, varying

MOST_PANELS = 8
_KINDS = {"completed": "good", "failed": "bad"}
LEVEL = 0.02
"""A smaller lead is none: one run of a row says no more."""


@dataclass(frozen=True, slots=True)
class SweepFacts:
    """What a sweep's folder holds. `profile` are the files of the best row's profile, `command` what runs it again."""

    folder: str
    name: str
    rows: tuple[SweepRow, ...]
    profile: Mapping[str, str]
    command: str


def page(sweep: SweepFacts) -> str:
    """The file."""
    rows, keys = sweep.rows, varying(sweep.rows)
    parts = [
        ("jobs", "All jobs", _table(rows, keys)),
        ("settings", "What each setting did", _panels(rows, keys)),
        ("trade", "Rate, memory and valid answers", _trade(rows, keys)),
        ("best", "The best row as a profile", _profile(sweep)),
        ("failures", "What failed", _failures(rows, keys)),
    ]
    made = [(name, title, built) for name, title, body in parts if (built := section(name, title, body))]
    kind, said, sentence = verdict(rows, keys)
    head = tag(
        "header",
        tag("p", f"Sweep {sweep.name}, {units.plural(len(rows), 'job')}", cls="quiet"),
        tag("h1", word(kind, f"{said}:"), " ", foreign(sentence, 600)),
        _tiles(rows),
        contents([(name, title) for name, title, _ in made]),
    )
    foot = tag(
        "footer",
        "Drawn from ",
        foreign(sweep.folder),
        ": summary.csv has the same rows; ",
        tag("code", "runner report FOLDER"),
        " draws this page anew.",
    )
    return document(f"sweep {sweep.name}: runner report", head, tag("main", [built for _, _, built in made]), foot)


def label(row: SweepRow, keys: Sequence[str]) -> str:
    """A job by what is its own."""
    names = short_names(keys)
    return ", ".join(f"{names[key]}={row.settings.get(key, '-')}" for key in keys) or f"job {row.number}"


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last word of each key where no other key ends in it: `max_num_seqs`."""
    ends = Counter(key.rpartition(".")[2] for key in keys)
    return {key: end if ends[end := key.rpartition(".")[2]] == 1 else key for key in keys}


def verdict(rows: Sequence[SweepRow], keys: Sequence[str]) -> tuple[str, str, str]:
    """(good, warn or bad; the word; the sentence)."""
    top = best(rows)
    failed = sum(row.status == "failed" for row in rows)
    missing = sum(row.status not in ("completed", "failed") for row in rows)
    left = f" {units.plural(failed, 'job')} failed." if failed else ""
    left += f" {units.plural(missing, 'job')} did not run." if missing else ""
    if top is None:
        return "bad", "No row to compare", f"no job has answered a document.{left}"
    rate = top.docs_per_hour or 0
    second = best([row for row in rows if row is not top])
    ahead = ""
    if second is not None and second.docs_per_hour:
        gain = rate / second.docs_per_hour - 1
        ahead = f", {100 * gain:.0f} % more than the next row" if gain >= LEVEL else ", level with the next row"
    return "good", "Best", f"{label(top, keys)}: {units.rate(rate)} documents an hour{ahead}.{left}"


def _tiles(rows: Sequence[SweepRow]) -> Markup | None:
    top = best(rows)
    if top is None:
        return None
    tiles = [
        tile(
            "best rate, valid answers an hour",
            units.rate(top.docs_per_hour or 0),
            foreign(top.conditions.strip("()").replace("),", ",")),
            wide=True,
        )
    ]
    slowest = min((row.docs_per_hour for row in rows if row.counts and row.docs_per_hour), default=0)
    if slowest and top.docs_per_hour and top.docs_per_hour > slowest:
        tiles.append(tile("over the slowest row", f"{top.docs_per_hour / slowest:.2f} ×"))
    if top.peak_bytes:
        tiles.append(tile("its memory at most", units.size(top.peak_bytes), "peaks of its processes added"))
    done = sum(row.status == "completed" for row in rows)
    tiles.append(
        tile(
            "jobs completed", f"{done} of {len(rows)}", f"{units.seconds(sum(row.seconds or 0 for row in rows))} in all"
        )
    )
    return tag("dl", tiles, cls="tiles")


def _table(rows: Sequence[SweepRow], keys: Sequence[str]) -> Markup:
    kept = {row.number for row in front(rows)}
    top = best(rows)
    head = [
        "job",
        "#docs/h",
        *(("#" if _numeric(rows, key) else "") + name for key, name in short_names(keys).items()),
        "#tokens/s",
        "#memory",
        "#valid",
        "#time",
        ".ended",
        "front",
    ]
    body: list[Sequence[object]] = [
        (
            _name(row),
            _number(row.docs_per_hour, units.rate),
            *(Cell(foreign(row.settings.get(key, "")), _sorted_by(row.settings.get(key, ""))) for key in keys),
            _number(row.tokens_per_s, units.rate),
            _number(row.peak_bytes, units.size),
            _number(row.valid_share, lambda share: units.share(share, 1)),
            _number(row.seconds, units.seconds),
            [word(_KINDS.get(row.status, "warn"), row.status), f" (exit {row.exit_code})" if row.exit_code else ""],
            "yes" if row.number in kept else "",
        )
        for row in rows
    ]
    place = next((number for number, row in enumerate(rows) if row is top), None)
    said = "the best row is marked; front: no other row has a better rate, less memory and as many valid answers"
    return table(said, head, body, place)


def _name(row: SweepRow) -> Cell:
    """The job's number, which leads to its own report."""
    leads = row.status == "completed" and row.folder
    return Cell(tag("a", row.number, href=f"{row.folder}/report.html") if leads else row.number, row.number)


def _number(value: float | None, show: units.Show) -> Cell:
    return Cell("–", "") if value is None else Cell(show(value), round(value, 6))


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _sorted_by(text: str) -> str | float:
    value = _float(text)
    return text if value is None else value


def _numeric(rows: Sequence[SweepRow], key: str) -> bool:
    return all(_float(row.settings[key]) is not None for row in rows if key in row.settings)


def _panels(rows: Sequence[SweepRow], keys: Sequence[str]) -> Markup | None:
    """One small plot a key: each job a dot over the key's value, so that what the other keys do shows as spread."""
    able = [row for row in rows if row.counts]
    if len(able) < 2:
        return None
    top = best(rows)
    highest = nice_top(max(row.docs_per_hour or 0 for row in able))
    figures = []
    shown = [key for key in keys if len({row.settings.get(key, "-") for row in able}) > 1]
    for key in shown[:MOST_PANELS]:
        values = sorted(
            {row.settings.get(key, "-") for row in rows},
            key=lambda text: (_float(text) is None, _float(text) or 0, text),
        )
        places = {value: place + 0.5 for place, value in enumerate(values)}
        points = [
            plots.Dot(
                places[row.settings.get(key, "-")],
                row.docs_per_hour or 0,
                f"{label(row, keys)}: {units.rate(row.docs_per_hour or 0)} docs/h",
                "best" if row is top else "s1",
            )
            for row in sorted(able, key=lambda row: row is top)
        ]
        ticks = [visible(value, 24) for value in values]
        title = f"docs/h by {short_names(keys)[key]}"
        figures.append(plots.dots(title, points, (len(values), units.short), (highest, units.short), ticks=ticks))
    if not figures:
        return None
    return tag(
        "div",
        plots.grid(*figures, small=True),
        tag(
            "p",
            "Each dot is a job; the large one is the best. Dots of one column differ in the other keys alone.",
            cls="quiet",
        ),
    )


def _trade(rows: Sequence[SweepRow], keys: Sequence[str]) -> Markup | None:
    able = [row for row in rows if row.counts and row.peak_bytes]
    if len(able) < 2:
        return None
    kept, top = front(rows), best(rows)
    gib = 2**30
    end = nice_top(max(row.peak_bytes or 0 for row in able) / gib)
    highest = nice_top(max(row.docs_per_hour or 0 for row in able))
    points = [
        plots.Dot(
            (row.peak_bytes or 0) / gib,
            row.docs_per_hour or 0,
            f"{label(row, keys)}: {units.rate(row.docs_per_hour or 0)} docs/h, {units.size(row.peak_bytes or 0)}, "
            f"{units.share(row.valid_share or 0, 1)} valid",
            "best" if row is top else "s2" if row in kept else "s1",
        )
        for row in sorted(able, key=lambda row: row is top)
    ]
    line = sorted(((row.peak_bytes or 0) / gib, row.docs_per_hour or 0) for row in kept)
    rows_of_front: list[Sequence[object]] = [
        (
            Cell(label(row, keys)),
            _number(row.docs_per_hour, units.rate),
            _number(row.peak_bytes, units.size),
            _number(row.valid_share, lambda s: units.share(s, 1)),
        )
        for row in kept
    ]
    plot = plots.dots(
        "docs/h over memory at most", points, (end, lambda value: f"{value:g} GiB"), (highest, units.short), front=line
    )
    chosen = table(
        "the front: more of one only for less of another", ["setting", "#docs/h", "#memory", "#valid"], rows_of_front
    )
    said = (
        "Memory: the peaks of all processes added. Valid: the share of answers that passed their checks, not how good "
    )
    said += "they are."
    return tag("div", plots.grid(plot, chosen), tag("p", said, cls="quiet"))


def _profile(sweep: SweepFacts) -> Markup | None:
    if not sweep.profile:
        return None
    return tag(
        "div",
        tag("p", "Its files are in the sweep's folder. This runs it again; give documents of your own as input=..."),
        tag("pre", foreign(sweep.command, 6000)),
        [
            tag("details", tag("summary", tag("code", f"best/{name}")), tag("pre", foreign(text, 20_000, lines=True)))
            for name, text in sweep.profile.items()
        ],
        tag(
            "p",
            "A rate repeats within the noise of this machine: two rows that are closer than that are the same.",
            cls="quiet",
        ),
    )


def _failures(rows: Sequence[SweepRow], keys: Sequence[str]) -> Markup | None:
    shown = [
        tag(
            "div",
            tag("b", f"job {row.number}"),
            " ",
            tag("span", f"exit {row.exit_code}", cls="quiet"),
            tag("div", tag("code", foreign(label(row, keys), 600))),
            tag("blockquote", foreign(row.error, 1500, lines=True), tabindex=0) if row.error else None,
            tag("small", "all it said: ", tag("code", foreign(f"{row.folder}.console.log"))),
            cls="reason failed",
        )
        for row in rows
        if row.status not in ("completed", "not started")
    ]
    return tag("div", shown) if shown else None
