"""What the figures of a report are made of: samples, axes, thinned timelines, groups of reasons, words to paste."""

import json
import random
import shlex

import pytest

from runner.report import outcomes, sample, timeline, units


def test_quantiles_of_a_sample_are_near_those_of_all() -> None:
    draw, found = random.Random(3), sample.Sample()
    values = [draw.lognormvariate(0, 1) for _ in range(50_000)]
    for value in values:
        found.add(value)
    ordered = sorted(values)
    for share, seen in zip((0.5, 0.9, 0.99), found.quantiles(0.5, 0.9, 0.99), strict=True):
        assert abs(sum(value <= seen for value in ordered) / len(ordered) - share) < 0.02
    assert (found.high, found.count) == (max(values), 50_000)
    assert sum(found.bins(5.0, 32)) == pytest.approx(50_000)


@pytest.mark.parametrize(("value", "top"), [(0, 4), (3.9, 4), (8, 8), (8.1, 10), (428, 600), (0.07, 0.08), (1e9, 1e9)])
def test_axes_end_at_round_numbers(value: float, top: float) -> None:
    assert sample.nice_top(value) == pytest.approx(top)


@pytest.mark.parametrize(("value", "top"), [(0.5, 0.6), (50, 60), (61, 120), (651, 720), (1061, 1200), (9e5, 1.152e6)])
def test_time_axes_end_where_clocks_are_round(value: float, top: float) -> None:
    assert sample.nice_time(value) == pytest.approx(top)


def test_a_long_timeline_is_thinned_and_keeps_its_peak_and_its_count() -> None:
    def line(second: int) -> bytes:
        rss = 9 << 30 if second == 31_007 else 1 << 30
        return json.dumps({"elapsed_s": second, "ok": second, "workers_rss_bytes": rss}).encode()

    found = timeline.read(line(second) for second in range(40_000))
    assert len(found.at) < timeline.MOST
    assert max(found.values["workers_rss_bytes"]) == 9 << 30
    assert sum(timeline.per_hour(found, 60)) / 60 == pytest.approx(3600, rel=0.01)


def test_processor_time_is_that_of_the_last_life() -> None:
    def line(elapsed: int, pid: int, cpu_s: float) -> bytes:
        worker = {"name": "worker 0", "pid": pid + 1, "cpu_s": 2 * cpu_s}
        processes = [{"name": "runner", "pid": pid, "cpu_s": cpu_s}, worker]
        return json.dumps({"elapsed_s": elapsed, "processes": processes}).encode()

    found = timeline.read([line(0, 10, 0.5), line(9, 10, 5), line(0, 20, 0.5), line(4, 20, 3)])
    assert (found.runner_cpu_s, found.workers_cpu_s) == (3, 6)


def test_lives_of_a_resumed_run_follow_each_other() -> None:
    seconds = [0, 1, 2, 0, 1]
    found = timeline.read(json.dumps({"elapsed_s": second, "extract_s": second}).encode() for second in seconds)
    assert found.totals == {"extract_s": 2 + 1}
    assert (list(found.at), found.lives) == ([0, 1, 2, 2, 3], [2.0])


@pytest.mark.parametrize(("part", "shown"), [(0, "0 %"), (1, "< 1 %"), (500, "50 %"), (999, "> 99 %"), (1000, "100 %")])
def test_a_share_is_0_or_100_only_when_it_is(part: float, shown: str) -> None:
    assert units.share(part, 1000) == shown


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("job=qa", "job=qa"),
        ("input='/my documents'", "\"input='/my documents'\""),
        ("input='$HOME'", "'input='\"'\"'$HOME'\"'\"''"),
    ],
)
def test_a_word_of_a_command_line_can_be_pasted(word: str, shown: str) -> None:
    assert units.shell_word(word) == shown
    assert shlex.split(shown) == [word]


def test_reasons_that_differ_in_numbers_are_one_group() -> None:
    lines = [
        json.dumps({"status": "failed", "source": f"{n}", "reason": f"schema: line {n}: no date"}).encode()
        for n in range(50)
    ]
    (group,) = outcomes.read(lines).of("failed")
    assert (group.count, len(group.examples)) == (50, outcomes.EXAMPLES)


def test_no_flood_of_reasons_grows_the_page() -> None:
    lines = [json.dumps({"status": "failed", "source": "x", "reason": "r" * n}).encode() for n in range(1, 190)]
    found = outcomes.read(lines)
    assert len(found.groups) <= outcomes.MOST_GROUPS + 1
    assert sum(group.count for group in found.groups.values()) == 189
