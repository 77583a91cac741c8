"""`runner bench channel`: that it measures and counts; figures are not judged on a shared machine."""

import pytest

from runner.bench import channel
from runner.commands import bench
from runner.errors import UsageError


@pytest.mark.parametrize("what", ["native", "python"])
def test_a_row_has_figures_of_both_processes(what: str) -> None:
    row = channel._ring_row(64, 0, what)
    assert 0 < row.p50_us <= row.p99_us
    assert row.messages_per_s > 0


def test_an_unknown_part_is_a_usage_error_with_the_right_command() -> None:
    with pytest.raises(UsageError, match="required: part"):
        bench.main([])
