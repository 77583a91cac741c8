"""The torture lane of `runner validate`: planted slowdowns of 5 and 10 % are found, the same build is not accused."""

from pathlib import Path

import pytest

from tests.validate.power import trials


@pytest.mark.torture
@pytest.mark.timeout(7200)  # 100 trials of 64 units each
def test_planted_slowdowns_are_found_and_nothing_is_left_alone(tmp_path: Path) -> None:
    found = trials(tmp_path, {"5 %": 30, "10 %": 30, "A/A": 40})
    assert sum(found["5 %"]) >= 22
    assert sum(found["10 %"]) >= 26
    assert sum(found["A/A"]) <= 2
