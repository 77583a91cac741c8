"""Files made to hurt, in one folder with healthy ones: every path has its row, and the healthy ones do not notice."""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import peaks
from tests.end_to_end.conftest import Shell, scripted
from tests.end_to_end.peaks import RUNNER_MOST, too_large
from tests.end_to_end.zoo import SECRET, Case, healthy, words, written, zoo

WORKER_BYTES = 512 << 20
RUN = scripted(f"ingest.isolation.memory_bytes={WORKER_BYTES}", "output.reuse=never", "job.max_failed=100000")
LARGEST_RUNNER = 3 << 30
"""The same beside one text of nearly `max_text_bytes`, whose every byte is a token of the tiny model."""


@dataclass
class Seen:
    """What a run left, as far as the checks read it."""

    rows: list[dict[str, Any]]
    summary: dict[str, Any]
    wrong: list[str] = field(default_factory=list)


def read(shell: Shell) -> Seen:
    summary = json.loads((shell.folder / "outputs" / "latest" / "summary.json").read_text())
    return Seen(shell.results(), summary)


def place(source: str) -> str:
    """The file of a row: its name, without the number of a record in it."""
    return source.rsplit("/", 1)[-1].split("#", 1)[0]


def shown(name: bytes) -> str:
    """A file's name as rows carry it, up to what marks bytes that are no UTF-8."""
    return name.decode("utf-8", "replace")


def text(row: dict[str, Any]) -> str:
    """What the model answered: of the whole, or of each of its chunks."""
    return row["output"] or "".join(part["output"] or "" for part in row["parts"])


def unbalanced(seen: Seen) -> list[str]:
    """inputs = ok + skipped + failed + quarantined, nothing open, and the rows say the same."""
    counts = seen.summary
    ended = {name: counts[name] for name in ("ok", "skipped", "failed", "quarantined")}
    found = Counter(row["status"] for row in seen.rows)
    wrong = [f"{name}: {count} counted, {found[name]} rows" for name, count in ended.items() if count != found[name]]
    if counts["open"] or counts["inputs"] != sum(ended.values()):
        wrong.append(f"{counts['inputs']} inputs, {sum(ended.values())} ended, {counts['open']} open")
    return wrong


def misjudged(seen: Seen, cases: list[Case]) -> list[str]:
    """Each file has its status, its reason and its text; sources are there once."""
    wrong = [
        f"{source}: {count} rows" for source, count in Counter(r["source"] for r in seen.rows).items() if count > 1
    ]
    by_file: dict[str, list[dict[str, Any]]] = {}
    for row in seen.rows:
        by_file.setdefault(place(row["source"]), []).append(row)
    for case in cases:
        found = by_file.get(shown(case.name), [])
        ends = {(row["status"], row["reason"]) for row in found}
        if not found or any(status != case.status or not reason.startswith(case.reason) for status, reason in ends):
            wrong.append(f"{case.name!r}: {ends or 'no row'} instead of {case.status}: {case.reason}")
        elif case.holds and not any(case.holds in text(row) for row in found):
            wrong.append(f"{case.name!r}: {case.holds!r} is not in its text")
    known = {shown(case.name) for case in cases} | healthy().keys()
    return wrong + [f"{name}: nobody put it there" for name in by_file.keys() - known]


def leaked(seen: Seen) -> list[str]:
    return [row["source"] for row in seen.rows if SECRET in text(row)]


def disturbed(seen: Seen, calm: Seen) -> list[str]:
    """Healthy files whose rows are not those of a run without the others."""

    def answers(rows: list[dict[str, Any]]) -> dict[str, tuple[str, str, str]]:
        return {r["source"]: (r["status"], r["reason"], r["output"]) for r in rows if place(r["source"]) in healthy()}

    with_others, alone = answers(seen.rows), answers(calm.rows)
    return sorted(name for name in with_others.keys() | alone.keys() if with_others.get(name) != alone.get(name))


def healthy_in(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in healthy().items():
        (folder / name).write_bytes(content)


def is_root() -> bool:
    return os.geteuid() == 0


def put(folder: Path, cases: list[Case]) -> None:
    for case in cases:
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + case.name))
        try:
            case.make(path)
        except PermissionError:
            assert case.name == b"device.txt", case.name
            print("device node: not allowed here, left out")


def run_zoo(
    shell: Shell, line_bytes: int, seconds: float, extra: Sequence[Case] = ()
) -> tuple[Seen, Seen, list[Case], str]:
    """With the zoo, and without it."""
    secret = shell.folder / "secret"
    secret.write_text(SECRET)
    inputs = shell.folder / "inputs"
    healthy_in(inputs)
    calm = shell.run(*RUN, "input=inputs", seconds=seconds)
    assert calm.returncode == 0, calm.stderr
    alone = read(shell)
    cases = [*zoo(secret, line_bytes, is_root()), *extra]
    put(inputs, cases)
    cases = [case for case in cases if os.path.lexists(os.fsencode(inputs) + b"/" + case.name)]
    done = shell.run(*RUN, "input=inputs", seconds=seconds)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-3000:]}"
    return read(shell), alone, cases, done.stdout + done.stderr


def failures(seen: Seen, alone: Seen, cases: list[Case]) -> dict[str, list[str]]:
    """What each check has against a run."""
    found = {
        "balance": unbalanced(seen),
        "verdicts": misjudged(seen, cases),
        "leaks": leaked(seen),
        "neighbours": disturbed(seen, alone),
        "memory": too_large(seen.summary, WORKER_BYTES),
    }
    return {name: wrong for name, wrong in found.items() if wrong}


def test_hostile_files_each_get_their_row_and_healthy_ones_do_not_notice(shell: Shell) -> None:
    seen, alone, cases, said = run_zoo(shell, 4_000_000, 270)
    assert failures(seen, alone, cases) == {}
    assert "\x1b" not in said, "a name reached the terminal as it is"


@pytest.mark.torture
@pytest.mark.timeout(1800)  # sixty megabytes of text, a byte a token
def test_the_largest_hostile_files_do_no_more_harm(shell: Shell) -> None:
    """A line just under the limit on text, and one of 200 MB that is over it."""
    extra = [Case(b"line-200.txt", written(words(200_000_000)), "failed", "limit max_text_bytes: ")]
    seen, alone, cases, _said = run_zoo(shell, 60_000_000, 1700, extra)
    wrong = failures(seen, alone, cases)
    inputs, took = seen.summary["inputs"], seen.summary["seconds"]
    print(f"hostile files: {inputs} inputs in {took:.0f} s; peaks: {peaks.shown(seen.summary)}")
    assert wrong.pop("memory", []) == [] or seen.summary["peak_rss_bytes"]["runner"] < LARGEST_RUNNER
    assert wrong == {}


# ---- the checks themselves ----


def small_run() -> tuple[Seen, Seen, list[Case]]:
    """What a run would leave that did everything right."""
    calm = [{"source": f"/in/{name}", "status": "ok", "reason": "", "output": f"{name}!"} for name in healthy()]
    bad = {"source": "/in/bad.txt", "status": "failed", "reason": "limit x: 2 over 1", "output": None, "parts": []}
    good = {"source": "/in/good.txt", "status": "ok", "reason": "", "output": "Words."}
    counts = {"inputs": len(calm) + 2, "ok": len(calm) + 1, "failed": 1, "skipped": 0, "quarantined": 0, "open": 0}
    cases = [Case(b"bad.txt", written(b""), "failed", "limit x"), Case(b"good.txt", written(b""), "ok", holds="Words")]
    return (
        Seen([*calm, bad, good], {**counts, "peak_rss_bytes": {"runner": 1, "extract worker 0": 1}}),
        Seen(calm, {}),
        cases,
    )


PLANTS: dict[str, tuple[str, Callable[[Seen], object]]] = {
    "counted one too many": ("balance", lambda seen: seen.summary.update(ok=seen.summary["ok"] + 1)),
    "left open": ("balance", lambda seen: seen.summary.update(inputs=seen.summary["inputs"] + 1, open=1)),
    "row lost": ("verdicts", lambda seen: seen.rows.pop()),
    "row twice": ("verdicts", lambda seen: seen.rows.append(seen.rows[-1])),
    "another reason": ("verdicts", lambda seen: seen.rows[-2].update(reason="parser: died")),
    "text cut": ("verdicts", lambda seen: seen.rows[-1].update(output="Wor")),
    "nobody's file": ("verdicts", lambda seen: seen.rows[-1].update(source="/in/other.txt")),
    "secret fetched": ("leaks", lambda seen: seen.rows[-1].update(output=f"Words. {SECRET}")),
    "neighbour changed": ("neighbours", lambda seen: seen.rows[0].update(output="x")),
    "neighbour failed": ("neighbours", lambda seen: seen.rows[1].update(status="failed")),
    "runner too large": ("memory", lambda seen: seen.summary["peak_rss_bytes"].update(runner=RUNNER_MOST + 1)),
    "worker too large": ("memory", lambda seen: seen.summary["peak_rss_bytes"].update({"extract worker 0": 2**30})),
}  # fmt: skip


def test_a_run_that_did_everything_right_passes_every_check() -> None:
    seen, alone, cases = small_run()
    assert failures(seen, alone, cases) == {}


@pytest.mark.parametrize("plant", PLANTS)
def test_planted_harm_is_seen_by_its_check(plant: str) -> None:
    seen, alone, cases = small_run()
    alone = deepcopy(alone)
    check, harm = PLANTS[plant]
    harm(seen)
    assert check in failures(seen, alone, cases)
