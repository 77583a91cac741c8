"""`tuning.keep`: only what was proven here, now, stays; the pages say what the file says."""

from pathlib import Path

import pytest

from runner.prove import page
from runner.prove.session import known, verdicts
from runner.run import keep
from runner.store import evidence
from tests.configs import make_config
from tests.unit.prove.simulated import LIVE, Simulated, plan, sit, step

HELPFUL = "+tuning.environment.X='a=b'"


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    at = plan(step("x", HELPFUL), step("y", "+tuning.environment.Y=1"))
    start = Simulated(1, **{"+tuning.environment.X": 0.7})
    sit(at, tmp_path / "evidence", start)
    return tmp_path


def kept(outputs: Path, how: str, live: dict[str, object]) -> tuple[dict[str, str], list[str]]:
    tuning = {"environment": {"X": "a=b", "Y": "1"}, "steps": {"thp": "always"}, "keep": how}
    config, lines = keep.proven_only(make_config(outputs, tuning=tuning), live)
    return {**config.tuning.environment, **config.tuning.steps}, lines


def test_only_what_live_evidence_shows_to_help_is_set(outputs: Path) -> None:
    settings, lines = kept(outputs, "proven", LIVE)
    assert settings == {"X": "a=b"}
    why = "no evidence that it helps here; runner tune prove measures it"
    assert [line.split(": ")[-1] for line in lines] == [why] * 2


@pytest.mark.parametrize("fact", ["kernel", "mlx", "weights", "chip", "memory_gib"])
def test_evidence_expires_with_what_it_was_measured_on(fact: str, outputs: Path) -> None:
    settings, lines = kept(outputs, "proven", {**LIVE, fact: "changed"})
    assert settings == {}
    assert f"its evidence expired: {fact} is changed, it was {LIVE[fact]}" in lines[0]


def test_another_value_of_a_proven_setting_is_not_proven(outputs: Path) -> None:
    found = evidence.proven(outputs / "evidence", LIVE)
    assert set(found.settings) == {("tuning.environment.X", "a=b")}


def test_always_and_never_need_no_evidence(tmp_path: Path) -> None:
    assert kept(tmp_path, "always", LIVE) == ({"X": "a=b", "Y": "1", "thp": "always"}, [])
    settings, lines = kept(tmp_path, "never", LIVE)
    assert (settings, lines) == ({}, ["  left out (tuning.keep=never): X, Y, thp"])


def test_a_step_that_helped_once_and_no_longer_does_is_not_proven(outputs: Path) -> None:
    file = next((outputs / "evidence").glob("*.jsonl"))
    evidence.EvidenceFile(file).append("verdict", step="x", verdict="undecided")
    assert evidence.proven(outputs / "evidence", LIVE).settings == {}


def test_the_pages_hold_every_step_with_its_verdict_and_its_pairs(outputs: Path) -> None:
    at = plan(step("x", HELPFUL), step("y", "+tuning.environment.Y=1"))
    file = evidence.EvidenceFile(outputs / "evidence" / f"{at.id}.jsonl")
    seen = known(file.records())
    found = verdicts(at, seen)
    text, web = page.markdown(at, seen, found, "plot.svg"), page.page(at, seen, found)
    assert "| x | **helps** |" in text
    assert "no effect of 2% or more" in web
    dots = sum(len(pairs) for pairs in seen.pairs.values())
    assert page.svg(at, seen, found).count('r="3"') == dots
    assert page.lines(at, seen, found)[1].startswith("x  helps")
    assert "http" not in web.replace("http://www.w3.org/2000/svg", ""), "readable without a network"
