"""`runner tuning` on a fake root: apply keeps, status tells, revert puts back, and what only shows writes nothing."""

import json
import shutil
from pathlib import Path

import pytest

from runner import cli
from tests.tuning import fake_root

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="platform: the steps are Linux's")
WORDS = ["tuning=linux_performance", "machine=auto", "+tuning.steps.cpuidle=haltpoll"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake_root.machine(tmp_path / "root")
    monkeypatch.setenv("TUNE_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "root"


def test_what_apply_sets_is_kept_shown_and_put_back_by_revert(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = fake_root.settings(root)
    assert cli.main(["tuning", "apply", *WORDS]) == 0
    now = fake_root.settings(root)
    assert now["sys/devices/system/cpu/cpuidle/current_governor"] == "haltpoll"
    assert cli.main(["tuning", "recover"]) == 0
    assert fake_root.settings(root) == now
    capsys.readouterr()
    assert cli.main(["tuning", "status", "--json"]) == 0
    steps = {row["step"]: row for row in json.loads(capsys.readouterr().out)["steps"]}
    assert (steps["cpuidle"]["now"], steps["cpuidle"]["old"], steps["cpuidle"]["kept"]) == (
        "governor=haltpoll",
        "governor=menu",
        True,
    )
    assert cli.main(["tuning", "revert"]) == 0
    assert fake_root.settings(root) == before


def test_dry_runs_restore_commands_and_install_write_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = fake_root.settings(root)
    for words in (
        ["apply", "--dry-run", *WORDS],
        ["install", "--print", *WORDS],
        ["status", "--restore-commands"],
        ["revert", "--dry-run"],
    ):
        assert cli.main(["tuning", *words]) == 0
    assert fake_root.settings(root) == before
    said = capsys.readouterr().out
    assert "back by hand: sudo sh" in said
    assert "NOPASSWD: /usr/local/libexec/runner/tuning/linux/cpuidle.sh revert governor\\=menu" in said


def test_restore_commands_put_back_what_is_set_in_reverse_order(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tuning", "apply", *WORDS]) == 0
    capsys.readouterr()
    assert cli.main(["tuning", "status", "--restore-commands"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("linux/")[1].split()[0] for line in lines] == ["cpuidle.sh", "cpu-governor-setup.sh"]
    assert cli.main(["tuning", "revert"]) == 0


def test_a_step_that_cannot_be_set_is_named_and_is_exit_5(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(root / "sys/devices/system/cpu/cpufreq")
    assert cli.main(["tuning", "apply", "tuning=linux_performance"]) == 5
    assert "unsupported" in capsys.readouterr().out


def test_a_profile_that_is_shipped_names_steps_that_there_are() -> None:
    from runner.config.compose import compose
    from runner.layout import profiles_dir
    from runner.machine import detect
    from runner.tuning.script import known_scripts

    for path in sorted((profiles_dir() / "tuning").glob("*.yaml")):
        steps = compose([f"tuning={path.stem}"], detect()).tuning.steps
        assert {step.partition(":")[0] for step in steps} <= set(known_scripts()), path.name
