"""What `runner bench monitoring` makes of its pairs: a planted cost is found, none is shown to be below the limit."""

import random
from pathlib import Path

import pytest

from runner import trial
from runner.bench import monitoring
from runner.bench.monitoring import Plan
from runner.errors import RunFailed


def pretend(monkeypatch: pytest.MonkeyPatch, cost: float, exit_code: int = 0) -> list[list[str]]:
    """Runs of 10 s of CPU with a noise of 0.5 %, dearer by `cost` where they are watched."""
    rng, words = random.Random(7), []

    def run(overrides: list[str], folder: Path, console: Path) -> trial.Trial:
        words.append(list(overrides))
        console.write_text("it said this")
        factor = (1 + cost if "monitor.interval_ms=1000" in overrides else 1) * rng.gauss(1, 0.005)
        summary = {"docs_per_hour": 1000 / factor, "monitoring": {"samples": 10, "cpu_s": 0.01}}
        return trial.Trial(exit_code, 11.0, 10 * factor, summary)

    monkeypatch.setattr("runner.bench.monitoring.trial.run", run)
    return words


@pytest.mark.parametrize(("cost", "below"), [(0.0, True), (0.05, False)])
def test_a_planted_cost_is_found_and_none_is_shown_to_be_below_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: float, below: bool
) -> None:
    pretend(monkeypatch, cost)
    figures = monitoring.measure(Plan(20, 3, 1, ()), tmp_path)
    for name in ("cpu", "throughput"):
        row = figures[name]
        assert row["below_limit"] is below
        assert row["low"] <= cost <= row["high"]
    assert figures["ms_a_sample"] == 1.0
    assert figures["counted_share_of_cpu"] == pytest.approx(0.001, rel=0.1)
    assert ("NOT shown" in "\n".join(monitoring.lines(figures))) is not below


def test_arms_are_interleaved_and_differ_in_what_watches_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = pretend(monkeypatch, 0.0)
    monitoring.measure(Plan(4, 3, 1, ("job.max_tokens=8",)), tmp_path)
    kinds = ["on" if "monitor.interval_ms=1000" in each else "off" for each in words]
    assert kinds[0] == "on"  # the warm-up, which counts for nobody
    assert all(set(kinds[at : at + 2]) == {"on", "off"} for at in range(1, 9, 2))
    kept = {tuple(word for word in each if not word.startswith("monitor.")) for each in words}
    assert len(kept) == 1
    assert "model.engine=scripted" in kept.pop()


def test_a_run_that_fails_ends_the_bench_with_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 0.0, exit_code=1)
    with pytest.raises(RunFailed, match="ended with 1: it said this"):
        monitoring.measure(Plan(1, 3, 1, ()), tmp_path)
