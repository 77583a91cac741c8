"""Time from amounts and earlier runs: the stated model, an interval that comes from what was observed, or none."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from runner.predict.estimate import Amount, exactly
from runner.predict.forecast import (
    Load,
    backtest,
    differences,
    forecast,
    matching,
    pace_of,
    pooled,
    reduce_load,
)  # fmt: skip
from runner.predict.pace import NOTHING, Answers, Measured, Paces, Window, read

SETTING = {"chip": "one", "workers": 2, "max_num_seqs": 8}


def window(prefill: float, decode: float, slow: float = 1.0, waited: float = 0.0) -> Window:
    """1000 prompt tokens/s, 50 answer tokens/s."""
    prefill_s, decode_s = slow * prefill / 1000, slow * decode / 50
    return Window(prefill, prefill_s, decode, decode_s, prefill_s + decode_s + waited)


def run(*windows: Window, name: str = "run", **more: Any) -> Measured:
    total = sum(windows, NOTHING)
    made = Measured(
        source=name, setting=SETTING, answers_key="k", workers=2, total=total, windows=windows,
        working_s=total.seconds / 2, start_s=3.0, answers=Answers(100, 50.0, 10.0),
    )  # fmt: skip
    return replace(made, **more)


def load(**more: Any) -> Load:
    made = Load(
        documents=exactly(100), requests=exactly(100), prompt_tokens=exactly(50_000), shared_tokens=0, max_tokens=200,
        chunks=(), window=1000,
    )  # fmt: skip
    return replace(made, **more)


STEADY = [window(4000, 200) for _ in range(10)]


def test_the_forecast_is_the_stated_model() -> None:
    found = forecast(load(), [run(*STEADY)], Answers(100, 50.0, 0.0), workers=2)
    # 50 s of prompts and 100 s of answers on two workers, and three seconds to load.
    assert found.seconds.value == pytest.approx(78)
    assert found.documents_per_hour.value == pytest.approx(3600 * 100 / 78)
    assert found.has_interval
    assert found.seconds.low == pytest.approx(78)
    assert found.seconds.high == pytest.approx(78)


def test_a_shared_prefix_is_read_once() -> None:
    found = forecast(load(shared_tokens=100), [run(*STEADY)], Answers(100, 50.0, 0.0), workers=2)
    assert found.seconds.value == pytest.approx(78 - 99 * 100 / 1000 / 2)


def test_workers_that_wait_make_it_longer() -> None:
    waiting = [window(4000, 200, waited=8.0) for _ in range(10)]
    found = forecast(load(), [run(*waiting)], Answers(100, 50.0, 0.0), workers=2)
    assert found.pace.busy == pytest.approx(0.5)
    assert found.seconds.value == pytest.approx(153)


def test_the_interval_of_one_run_is_the_spread_of_its_windows() -> None:
    uneven = [window(4000, 200, slow) for slow in (0.8, 0.9, 0.9, 1.0, 1.0, 1.0, 1.1, 1.1, 1.2, 1.6)]
    found = forecast(load(), [run(*uneven)], Answers(100, 50.0, 0.0), workers=2)
    low, value, high = (getattr(found.seconds, name) - 3 for name in ("low", "value", "high"))
    assert low / value == pytest.approx(0.9 / 1.06, rel=0.01)
    assert high / value == pytest.approx(1.6 / 1.06, rel=0.01)
    assert found.documents_per_hour.low < found.documents_per_hour.value < found.documents_per_hour.high


def test_with_three_runs_the_interval_is_how_far_each_was_from_the_others() -> None:
    runs = [run(*[window(4000, 200, slow)] * 10, name=str(slow)) for slow in (1.0, 1.1, 1.3)]
    pace = pace_of(runs)
    assert pace.off_by_runs
    assert pace.low == pytest.approx(1.0 / 1.2)
    assert pace.high == pytest.approx(1.3 / 1.05)


def test_too_few_windows_give_no_interval() -> None:
    found = forecast(load(), [run(*STEADY[:3])], Answers(100, 50.0, 0.0), workers=2)
    assert not found.has_interval
    assert found.to_json()["seconds"] == {"value": 78}


def test_answers_of_unknown_length_give_an_upper_bound() -> None:
    found = forecast(load(), [run(*STEADY)], None, workers=2)
    assert found.answers is None
    assert found.seconds.value == pytest.approx(3 + (50 + 100 * 200 / 50) / 2)
    assert found.seconds.low < found.seconds.value
    assert found.to_json()["upper_bound"]


def test_an_uncertain_amount_widens_the_interval() -> None:
    sampled = load(prompt_tokens=Amount(50_000, 40_000, 60_000))
    found = forecast(sampled, [run(*STEADY)], Answers(100, 50.0, 0.0), workers=2)
    assert found.seconds.low == pytest.approx(73)
    assert found.seconds.high == pytest.approx(83)


def test_few_answers_widen_the_interval() -> None:
    found = forecast(load(), [run(*STEADY)], Answers(4, 50.0, 20.0), workers=2)
    assert found.answer_tokens.low == pytest.approx(50 - 1.645 * 10)


@pytest.mark.parametrize(
    ("chunks", "answer", "window_tokens", "expected"),
    [
        ([(4, 1)], 100, 1000, (1, 400)),
        ([(4, 10)], 100, 1000, (10, 4000)),
        ([(10, 1)], 300, 1000, (4 + 2 + 1, 3000 + 1200 + 600)),
        ([(2, 1)], 5000, 1000, (1, 10_000)),
        ([], 100, 1000, (0, 0)),
    ],
)
def test_reduce_steps_join_as_many_answers_as_fit(
    chunks: Sequence[tuple[float, float]], answer: float, window_tokens: int, expected: tuple[float, float]
) -> None:
    assert reduce_load(chunks, answer, window_tokens) == expected


def test_answers_of_several_runs_are_pooled() -> None:
    values = [[10, 20, 30], [40, 60]]
    parts = [Answers.of(len(some), sum(some), sum(value**2 for value in some)) for some in values]
    found = pooled(parts)
    assert found is not None
    assert found.count == 5
    assert found.mean == pytest.approx(32)
    assert found.deviation == pytest.approx(17.2, abs=0.01)
    assert pooled([]) is None


def test_only_runs_of_the_same_setting_match_and_the_difference_is_named() -> None:
    other = run(*STEADY, setting={**SETTING, "max_num_seqs": 4})
    same = run(*STEADY)
    assert matching([other, same], SETTING) == [same]
    assert differences(other, SETTING) == ["max_num_seqs 4 instead of 8"]


def test_the_newest_run_is_foretold_from_the_others() -> None:
    runs = [run(*[window(4000, 200, 1.5)] * 10), run(*STEADY), run(*STEADY)]
    found = backtest(runs)
    assert found is not None
    foretold, took = found
    assert took / foretold == pytest.approx(1.5)
    assert backtest(runs[:1]) is None


# ---- reports of workers ----


def report(window: Window, rows: int = 0, shared_rows: int = 0, shared_tokens: int = 0) -> dict[str, float]:
    shared = {"rows": rows, "shared_rows": shared_rows, "shared_tokens": shared_tokens}
    shared |= {"thinking_tokens": 5 * rows, "thinking_cut": rows // 2}
    return {name: getattr(window, name) for name in Window.__dataclass_fields__} | shared


def test_what_a_shared_prefix_saved_is_summed_over_workers_and_their_lives() -> None:
    paces = Paces()
    paces.note(0, report(NOTHING, 4, 2, -30))  # the prefix is paid first
    paces.note(0, report(NOTHING, 10, 8, 300))
    paces.started(0)
    paces.note(0, report(NOTHING, 5, 5, 100))
    paces.note(1, report(NOTHING, 5, 3, 20))
    assert paces.prefix() == {"rows": 20, "shared_rows": 16, "hit_rate": 0.8, "tokens_saved": 420}
    assert paces.thinking() == {"tokens": 100, "cut": 9}
    assert Paces().prefix() == {"rows": 0, "shared_rows": 0, "hit_rate": 0.0, "tokens_saved": 0}


def test_windows_are_the_differences_of_reports_and_a_fresh_process_counts_anew() -> None:
    paces = Paces()
    first, second = window(4000, 200), window(1000, 50)
    paces.note(0, report(first))
    paces.note(0, report(first + second))
    paces.started(0)
    paces.note(0, report(second))
    paces.note(1, report(first))
    found = paces.summary()
    assert found["prefill_tokens"] == 2 * (4000 + 1000)
    assert [row[0] for row in found["windows"]] == [4000, 1000, 1000, 4000]


def test_a_report_of_an_idle_worker_is_no_window() -> None:
    paces = Paces()
    paces.note(0, report(Window(0, 0, 0, 0, 15.0)))
    assert paces.summary()["windows"] == []


def test_a_long_run_keeps_a_bounded_number_of_windows_and_all_of_the_sums() -> None:
    paces = Paces()
    for number in range(1, 2001):
        paces.note(0, report(Window(number, number, number, number, number)))
    found = paces.summary()
    assert len(found["windows"]) == 400
    assert found["decode_tokens"] == 2000


def test_a_summary_is_read_back_and_one_without_a_pace_says_nothing() -> None:
    paces = Paces()
    paces.note(0, report(window(4000, 200)))
    summary = {
        "working_seconds": 10, "seconds": 14.5, "ok": 3,
        "pace": {
            **paces.summary(), "setting": SETTING, "workers": 2, "answers_key": "k",
            "answers": {"count": 3, "mean": 50.0, "deviation": 1.0},
        },
    }  # fmt: skip
    found = read("run", summary)
    assert found is not None
    assert found.total == window(4000, 200)
    assert found.start_s == 4.5
    assert read("old", {"working_seconds": 10}) is None
    assert read("newer", {**summary, "pace": {**summary["pace"], "version": 99}}) is None  # type: ignore[dict-item]
