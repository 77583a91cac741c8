"""The rate of a run is that of the life that is summed up: what an earlier life has finished took none of its time."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from runner.machine import Machine
from runner.metrics import COUNTED
from runner.run import summary
from tests.configs import make_config


def test_documents_of_an_earlier_life_do_not_raise_the_rate() -> None:
    nothing = dict.fromkeys(COUNTED, 0)
    before = {**nothing, "inputs": 100, "ok": 60, "failed": 20}
    counts = {**before, "ok": 69, "failed": 21, "prompt_tokens_done": 4000, "generated_tokens": 300}
    chip = cast("Machine", SimpleNamespace(chip="a chip"))
    built: dict[str, Any] = summary.build(
        make_config("outputs"), chip, {}, {**counts, "skipped": 10}, before, 2, summary.Timing(12.0, 10.0), {}
    )
    assert built["docs_per_hour"] == pytest.approx(9 * 360)
    assert built["conditions"].startswith("(400 tokens in, 30 out)")
    assert (built["ok"], built["failed"], built["open"]) == (69, 21, 0)
