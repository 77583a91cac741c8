"""A run's tuning as a whole: set inside the block, put back after it, a killed run's by the next."""

from pathlib import Path

import pytest

from runner.config.schema import TuningConfig
from runner.errors import TuningError
from runner.tuning.scopes import Tuned, tuned
from runner.tuning.system import SystemScope
from tests.tuning import fake_root

STEP = "cpu-governor-setup"


@pytest.fixture
def cpufreq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNE_ROOT", str(tmp_path / "root"))
    monkeypatch.setattr("runner.layout.tuning_dir", lambda: Path(__file__).resolve().parents[2] / "tuning")
    return fake_root.make(tmp_path / "root")


def config(scopes: tuple[str, ...], strict: bool = False, governor: str = "") -> TuningConfig:
    steps = {STEP: governor} if governor else {}
    return TuningConfig("test", scopes, strict, "always", "auto", "off", {"MALLOC_ARENA_MAX": "2"}, steps)


def run(folder: Path, wanted: TuningConfig, inside: list[Tuned]) -> None:
    places = {"journal": folder / "state.jsonl", "lock": folder / "lock", "mirror": folder / "tuning.jsonl"}
    with tuned(wanted, {}, run="r", boot_id="b", system="linux", **places) as now:
        inside.append(now)


def test_system_steps_are_set_inside_the_block_and_put_back_after_it(cpufreq: Path, tmp_path: Path) -> None:
    places = {"journal": tmp_path / "state.jsonl", "lock": tmp_path / "lock", "mirror": tmp_path / "tuning.jsonl"}
    wanted = config(("process", "system"), governor="performance")
    with tuned(wanted, {}, run="r", boot_id="b", system="linux", **places) as now:
        assert fake_root.governors(cpufreq) == ["performance", "performance"]
        assert now.environment == {"MALLOC_ARENA_MAX": "2"}
        assert [outcome.state for outcome in now.outcomes] == ["applied", "applied"]
    assert fake_root.governors(cpufreq) == ["powersave", "schedutil"]


def test_an_exception_inside_the_block_still_puts_everything_back(cpufreq: Path, tmp_path: Path) -> None:
    places = {"journal": tmp_path / "state.jsonl", "lock": tmp_path / "lock", "mirror": tmp_path / "tuning.jsonl"}
    wanted = config(("system",), governor="performance")
    with pytest.raises(ZeroDivisionError), tuned(wanted, {}, run="r", boot_id="b", system="linux", **places):
        raise ZeroDivisionError
    assert fake_root.governors(cpufreq) == ["powersave", "schedutil"]


def test_without_system_scope_its_steps_are_named_as_left_out(cpufreq: Path, tmp_path: Path) -> None:
    inside: list[Tuned] = []
    run(tmp_path, config(("process",), governor="performance"), inside)
    assert [(o.step, o.state) for o in inside[0].outcomes] == [("MALLOC_ARENA_MAX", "applied"), (STEP, "left_out")]
    assert not (tmp_path / "state.jsonl").exists()


def test_strict_ends_the_run_and_puts_back_what_was_set(cpufreq: Path, tmp_path: Path) -> None:
    with pytest.raises(TuningError):
        run(tmp_path, config(("system",), strict=True, governor="userspace"), [])
    assert fake_root.governors(cpufreq) == ["powersave", "schedutil"]


def test_a_killed_runs_settings_are_put_back_by_a_run_that_tunes_nothing(cpufreq: Path, tmp_path: Path) -> None:
    dead = SystemScope("dead", "b", system="linux", journal=tmp_path / "state.jsonl", lock=tmp_path / "lock")
    dead.apply({STEP: "performance"})
    dead.release()  # what the kernel does for a killed process
    inside: list[Tuned] = []
    run(tmp_path, config(()), inside)
    assert inside[0].outcomes[0].state == "reverted"
    assert fake_root.governors(cpufreq) == ["powersave", "schedutil"]
