"""The table of shapes: every contestant and batch size has its row, and rates are tokens over mlx-lm's own seconds."""

from pathlib import Path

import pytest

from runner.bench.heat import Heat
from runner.bench.shapes import Shapes, _speed, lines, measure


@pytest.mark.model
def test_every_shape_is_measured_for_ours_and_for_mlx_lms_own(tmp_path: Path) -> None:
    measured = measure(Shapes(8, 4, (1, 2), 1, 7, ("model=tiny",)), tmp_path)
    cells = [(one["who"], one["rows"]) for one in measured["speeds"]]
    assert cells == [("runner", 1), ("runner", 2), ("stock", 1), ("stock", 2)]
    assert all(one["prompt_per_s"] > 0 and one["generated_per_s"] > 0 for one in measured["speeds"])
    page = lines(measured)
    assert "pp8 t/s" in page[2]
    assert len(page) == 3 + 4


def test_rates_of_several_processes_add_up_and_rounds_give_their_median() -> None:
    def heat(prefill_s: float) -> Heat:  # two processes of 100 prompt tokens, each busy for half of prefill_s
        return Heat(2, 3.0, 6.0, 200, 20, prefill_s, 4.0, 9, {})

    speed = _speed(("runner", 1, 2, 1), [heat(2.0), heat(4.0), heat(8.0)])
    assert speed.prompt_per_s == 100.0  # 2 x 100 tokens in 2 s of two processes at once
    assert speed.generated_per_s == 10.0
    assert speed.peak_bytes == 9
