"""Who looks at a run while it lives: keys that pause and stop it, alerts and the cost of looking in the summary."""

import json
from dataclasses import replace
from typing import Any

import pytest

from runner.config.monitor import AlertRule, MonitorConfig, PrometheusConfig
from runner.progress import Board, Heading
from runner.store import listing
from tests.configs import make_config
from tests.unit.run.rig import NO_ALERTS, only_run


class Pressed:
    """Plain lines with a keyboard: each entry of `keys` is what one turn of the loop hears."""

    def __init__(self, keys: list[str]) -> None:
        self.board = Board(Heading("qa", "tiny", "any", "abc"), "")
        self.draws, self.draw_cpu_s = 0, 0.0
        self.keys = keys

    def update(self, sample: Any) -> None: ...
    def close(self) -> None: ...
    def pressed(self) -> str:
        return self.keys.pop(0) if self.keys else ""


@pytest.mark.parametrize(
    ("keys", "leased", "calls"),
    [
        (["p", "p", "q"], 1, ["pause", "go on", "drain"]),
        (["d"], 0, ["pause", "drain"]),
        (["dp", "", "q"], 1, ["pause", "drain"]),  # what is in a worker is waited for, until somebody has enough
    ],
)
def test_keys_pause_the_run_finish_what_is_begun_or_stop_it(
    world: Any, monkeypatch: pytest.MonkeyPatch, keys: list[str], leased: int, calls: list[str]
) -> None:
    monkeypatch.setattr("runner.run.life.choose", lambda heading: Pressed(list(keys)))
    assert world.run(events=[], leased=leased) == 130
    assert [call for call in world.core.calls if call in ("pause", "go on", "drain")] == calls
    assert listing.row(only_run(world)).state == "interrupted"


def test_a_summary_says_what_fired_and_what_looking_has_cost(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = AlertRule("failed", "above", 0, None, 0.0, "warning")
    whole = make_config
    monkeypatch.setattr(
        "tests.unit.run.rig.make_config",
        lambda outputs, **changes: replace(
            whole(outputs, **changes),
            monitor=MonitorConfig(20, PrometheusConfig(None, None), replace(NO_ALERTS, rules={"bad": rule})),
        ),
    )
    assert world.run() == 0
    run = only_run(world)
    summary = json.loads(run.summary.read_text())
    assert summary["alerts"] == {"fired": {"bad": 1}, "firing": ["bad"]}
    assert summary["monitoring"]["samples"] >= 2
    assert summary["monitoring"]["cpu_s"] > 0
    assert [json.loads(line)["state"] for line in run.alerts.read_text().splitlines()] == ["firing"]
