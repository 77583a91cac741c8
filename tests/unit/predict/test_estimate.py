"""A census becomes totals: exact when all was read, else an interval that holds the truth as often as it says."""

import random
from collections import defaultdict
from typing import Any

import pytest

from runner.predict.estimate import Corpus, corpus
from tests.unit.predict.census import QUANTITIES, File, census, files, stratum


def by_size(members: list[File]) -> dict[int, list[File]]:
    strata: dict[int, list[File]] = defaultdict(list)
    for file in members:
        strata[max(0, file.bytes.bit_length() - 11) // 2].append(file)
    return strata


def sampled(members: list[File], share: float, seed: int) -> Corpus:
    draw = random.Random(seed)
    strata = []
    for size_class, same in sorted(by_size(members).items()):
        read = draw.sample(same, max(min(2, len(same)), round(share * len(same))))
        strata.append(stratum("html", size_class, same, read))
    return corpus(census(strata))


def truth(members: list[File], quantity: str) -> float:
    return sum(file.numbers[QUANTITIES.index(quantity)] for file in members)


def test_everything_read_is_exact() -> None:
    members = files(300, 1)
    strata = [stratum("html", size_class, same, same) for size_class, same in by_size(members).items()]
    found = corpus(census(strata))
    assert found.exact
    for quantity in QUANTITIES:
        assert found.amounts[quantity].exact
        assert found.amounts[quantity].value == pytest.approx(truth(members, quantity))
    assert found.inputs.value == 300


@pytest.mark.parametrize("quantity", ["documents", "skipped", "tokens", "text_bytes", "chunks"])
def test_the_interval_of_a_sample_holds_the_truth_nine_times_in_ten(quantity: str) -> None:
    members = files(2000, 2)
    right = truth(members, quantity)
    found = [sampled(members, 0.1, seed).amounts[quantity] for seed in range(200)]
    held = sum(amount.low <= right <= amount.high for amount in found)
    assert 165 <= held <= 200, f"{quantity}: {held} of 200"
    assert sum(amount.value for amount in found) / 200 == pytest.approx(right, rel=0.05)


def test_a_larger_sample_has_a_narrower_interval() -> None:
    members = files(2000, 3)

    def width(share: float) -> float:
        found = sampled(members, share, 1).amounts["tokens"]
        return found.high - found.low

    assert width(0.4) < 0.7 * width(0.1)
    assert width(1.0) == 0


def test_an_estimate_is_never_below_what_was_seen() -> None:
    members = [File("pdf", 1000, (1, 0, 0, 0, 0, 10, 10, 3, 1, 1, 3)) for _ in range(10)]
    members[0] = File("pdf", 4000, (1, 0, 0, 0, 0, 10, 10, 3000, 1, 1, 3))
    found = corpus(census([stratum("pdf", 0, members, members[:3])])).amounts["tokens"]
    assert found.low >= 3006


def test_a_stratum_nobody_read_is_taken_for_its_neighbour() -> None:
    members = files(400, 4)
    strata = []
    for size_class, same in sorted(by_size(members).items()):
        read = same if size_class != 3 else same[:1]
        strata.append(stratum("html", size_class, same, read))
    found = corpus(census(strata))
    assert not found.exact
    assert found.amounts["tokens"].value == pytest.approx(truth(members, "tokens"), rel=0.3)
    assert found.amounts["documents"].value == pytest.approx(truth(members, "documents"), rel=0.1)


def test_documents_of_record_files_follow_their_bytes() -> None:
    members = [File("jsonl", 1000 * records, (records, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)) for records in range(1, 101)]
    found = corpus(census([stratum("jsonl", 5, members, members[:20])])).amounts["documents"]
    assert found.value == pytest.approx(5050)


def test_duplicates_are_not_scaled() -> None:
    members = [File("text", 10, (1, 0, 0, 1, 0, 1, 1, 1, 1, 0, 0))] * 100
    assert corpus(census([stratum("text", 0, members, members[:50])])).amounts["duplicates"].value == 50


def test_quantiles_are_of_all_documents() -> None:
    small = [File("text", 100, (1, 0, 0, 0, 0, 0, 0, 10, 1, 1, 10))] * 900
    large = [File("text", 9000, (1, 0, 0, 0, 0, 0, 0, 2000, 1, 1, 2000))] * 100
    found = corpus(census([stratum("text", 0, small, small[:9]), stratum("text", 1, large, large[:100])]))
    assert found.quantile(0.5) == 10
    assert found.quantile(0.95) == 2000
    assert corpus(census([])).quantile(0.5) is None


def reason(count: int, **more: Any) -> dict[str, Any]:
    return {
        "kind": "html", "size_class": 0, "status": "skipped", "class": "no text", "count": count,
        "example": "/a/b.html", "reason": "no text", **more,
    }  # fmt: skip


def test_reasons_are_scaled_like_their_files_and_what_the_walk_saw_is_not() -> None:
    members = files(100, 5)
    part = stratum("html", 0, members, members[:10])
    link = reason(7, kind=None, size_class=None, **{"class": "symbolic link"})
    found = corpus(census([part], reasons=[reason(1), link]))
    assert [(row.name, row.count.value, row.count.exact) for row in found.reasons] == [
        ("no text", 10, False),
        ("symbolic link", 7, True),
    ]
    assert found.unread == 7
