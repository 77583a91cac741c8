"""From turns to figures: pairs over the same files, failed ones left out, and a table that fits the page."""

import random
from collections import Counter

import pytest

from runner.bench.ingest import figures
from runner.bench.ingest.figures import BASE, Measured, Spread
from runner.bench.ingest.files import BATCH_FILES, Found, batches
from runner.bench.ingest.host import FileTime, Turn
from runner.bench.ingest.quality import Quality

FILES = {number: Found(number, f"/x/{number}.html", 1_000_000) for number in range(4)}


def measured(name: str, cpu: list[float], rounds: int = 2, failed: tuple[int, ...] = ()) -> Measured:
    """Each file its own batch; a file of `cpu` seconds took twice that by the clock."""
    turns = [{n: Turn({n: FileTime(s, 2 * s, None)}, s, 2 * s) for n, s in enumerate(cpu)} for _ in range(rounds)]
    files = set(range(len(cpu)))
    return Measured(
        name, False, "1.0", 1 << 20, False, turns, files, dict.fromkeys(failed, "no"), dict.fromkeys(files, 1)
    )


def whole(name: str, cpu: float, wall: float) -> Measured:
    turns = [{-1: Turn({n: FileTime(0, 0, None) for n in FILES}, cpu, wall)} for _ in range(2)]
    return Measured(name, True, "", 1 << 20, False, turns, set(FILES), {}, dict.fromkeys(FILES, 1))


def test_a_slow_reader_is_compared_over_the_files_that_it_had_time_for() -> None:
    ours = measured(BASE, [0.1, 0.1, 0.4, 0.4])
    slow = figures.figures(measured("slow", [1.0, 2.0]), ours, FILES)
    assert slow.times_base == Spread(15, 10, 20)
    assert slow.cpu_s == 3
    assert slow.mb_per_s == pytest.approx(2 / 6)
    assert slow.documents_per_s == pytest.approx(2 / 6)
    assert slow.mb_per_cpu_s == Spread(0.75, 0.5, 1)


def test_a_file_that_failed_makes_no_reader_faster() -> None:
    ours = measured(BASE, [0.1, 0.1, 0.4, 0.4])
    found = figures.figures(measured("peer", [0.2, 0.2, 0.8, 0.0], failed=(3,)), ours, FILES)
    assert found.times_base == Spread(2, 2, 2)
    assert found.cpu_s == pytest.approx(1.2)
    assert found.mb_per_s == pytest.approx(3 / 2.4)


def test_a_pass_is_compared_with_the_sum_of_the_files() -> None:
    ours = measured(BASE, [0.1, 0.1, 0.4, 0.4])
    found = figures.figures(whole("as in a run, 1 thread", 1.1, 1.2), ours, FILES)
    assert found.times_base is not None
    assert found.times_base.middle == pytest.approx(1.1)
    assert found.documents_per_s == pytest.approx(4 / 1.2)
    assert figures.speed_up(whole("one", 1.0, 1.8), whole("two", 1.1, 1.0)) == Spread(1.8, 1.8, 1.8)


def test_a_reader_that_was_given_up_has_no_figures() -> None:
    row = measured("gone", [1.0])
    row.given_up = True
    found = figures.figures(row, None, FILES)
    assert (found.cpu_s, found.mb_per_s, found.times_base) == (None, None, None)


def test_every_reader_has_each_batch_once_a_round_and_the_order_changes() -> None:
    order = random.Random(1)
    rounds = [figures.plan(order, ["a", "b", "c"], ["whole"], 5) for _ in range(3)]
    wanted = Counter([(name, batch) for name in "abc" for batch in range(5)] + [("whole", -1)])
    assert all(Counter(turns) == wanted for turns in rounds)
    assert rounds[0] != rounds[1]
    for turns in rounds:  # within a batch the readers follow each other, whatever passes stand between
        alone = [batch for name, batch in turns if batch >= 0]
        assert all(alone[n] == alone[n + 1] == alone[n + 2] for n in range(0, 15, 3))


def test_batches_hold_every_file_once_and_end_at_their_bounds() -> None:
    files = [Found(n, f"{n}", 1000 if n else 3 << 20) for n in range(200)]
    found = batches(files, random.Random(1))
    assert sorted(file.number for batch in found for file in batch) == list(range(200))
    assert all(len(batch) <= BATCH_FILES for batch in found)
    assert found != batches(files, random.Random(2))
    assert found == batches(files, random.Random(1))


def test_the_table_fits_a_hundred_columns_and_says_what_a_reader_missed() -> None:
    ours = measured(BASE, [0.1, 0.1, 0.4, 0.4])
    ours.quality = Quality(9_999_999, 9_999_999, 9_999_999, 9_999_999, 88_888, 7_777, 666_666, 55_555)
    slow = measured("a reader with a long name", [123.0, 2.0], failed=(1,))
    slow.failed[1] = "ValueError: " + "x" * 300
    slow.base_quality = Quality(headings=3)
    rows = [ours, whole("as in a run, 1 thread", 1, 2), whole("as in a run, 2 threads", 1, 1.2), slow]
    lines = figures.lines(rows, FILES)
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    assert "2 of 4 files; runner on them: 3 headings" in text
    assert "1 x ValueError: xxx" in text
    assert "as in a run, 2 threads: 1.67 times" in text
    for cell in ("9999999", "1.0000", "88888", "7777", "666666", "55555"):
        assert cell in text
