"""System scope on a fake root with the real script: set, verified, put back; after a kill the next start does it.

The kills run a child that dies at a chosen point (before or after each write of the journal and each call of the
script): that is SIGKILL of the runner, at every state it can leave behind.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.errors import BusyError, TuningError, UsageError
from runner.tuning import script
from runner.tuning.system import SystemScope
from runner.tuning.values import explained
from tests.tuning import fake_root

STEP = "cpu-governor-setup"
ROOT = Path(__file__).resolve().parents[2]
TUNING = ROOT / "tuning"


@pytest.fixture
def cpufreq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNE_ROOT", str(tmp_path / "root"))
    return fake_root.make(tmp_path / "root")


def scope(folder: Path, boot_id: str = "boot-1", run: str = "r1", mirror: Path | None = None) -> SystemScope:
    journal, lock = folder / "state.jsonl", folder / "lock"
    return SystemScope(run, boot_id, system="linux", journal=journal, lock=lock, mirror=mirror, scripts_folder=TUNING)


def test_a_step_is_set_verified_and_put_back_policy_by_policy(cpufreq: Path, tmp_path: Path) -> None:
    tuning = scope(tmp_path, mirror=tmp_path / "tuning.jsonl")
    assert tuning.recover() == []
    (applied,) = tuning.apply({STEP: "performance"})
    assert (applied.state, applied.value) == ("applied", "governor=performance,boost=1")
    assert fake_root.governors(cpufreq) == ["performance", "performance"]
    assert [outcome.state for outcome in tuning.verify({STEP: "performance"})] == ["applied"]
    (reverted,) = tuning.close()
    assert reverted.state == "reverted"
    assert fake_root.governors(cpufreq) == ["powersave", "schedutil"]
    ops = [line.split('"op": "')[1].split('"')[0] for line in (tmp_path / "tuning.jsonl").read_text().splitlines()]
    assert ops == ["intent", "applied", "verified", "reverted"]


def test_the_first_alternative_that_the_machine_takes_is_used(cpufreq: Path, tmp_path: Path) -> None:
    tuning = scope(tmp_path)
    (applied,) = tuning.apply({STEP: "userspace|performance"})
    assert applied.state == "applied"
    assert fake_root.governors(cpufreq) == ["performance", "performance"]
    tuning.close()
    assert fake_root.governors(cpufreq) == ["powersave", "schedutil"]


def test_a_refused_value_changes_nothing_and_leaves_nothing_open(cpufreq: Path, tmp_path: Path) -> None:
    tuning = scope(tmp_path)
    (outcome,) = tuning.apply({STEP: "userspace"})
    assert outcome.state == "failed"
    assert "offered: performance powersave schedutil" in outcome.detail
    assert tuning.close() == []


def test_what_is_set_already_is_not_written_and_not_reverted(cpufreq: Path, tmp_path: Path) -> None:
    tuning = scope(tmp_path)
    assert [outcome.state for outcome in tuning.apply({STEP: "boost=1"})] == ["already"]
    assert tuning.close() == []


def test_a_machine_without_cpufreq_is_unsupported_and_nothing_is_faked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_ROOT", str(tmp_path / "empty"))
    tuning = scope(tmp_path)
    (outcome,) = tuning.apply({STEP: "performance"})
    assert (outcome.state, outcome.value) == ("unsupported", "")
    assert not (tmp_path / "state.jsonl").exists()
    tuning.close()


def test_an_unknown_step_lists_the_known_ones(tmp_path: Path) -> None:
    tuning = scope(tmp_path)
    with pytest.raises(UsageError) as caught:
        tuning.apply({"governer": "performance"})
    assert STEP in caught.value.cure
    tuning.close()


def test_a_setting_that_somebody_else_changed_is_left_alone_and_is_exit_5(cpufreq: Path, tmp_path: Path) -> None:
    tuning = scope(tmp_path)
    tuning.apply({STEP: "performance"})
    (cpufreq / "policy1" / "scaling_governor").write_text("conservative\n")
    with pytest.raises(TuningError) as caught:
        tuning.close()
    assert caught.value.exit_code == 5
    assert fake_root.governors(cpufreq) == ["performance", "conservative"]
    assert scope(tmp_path, run="r2").recover() == []  # said once, then it is theirs


def test_after_a_reboot_the_old_intent_is_closed_without_writing(cpufreq: Path, tmp_path: Path) -> None:
    first = scope(tmp_path)
    first.apply({STEP: "performance"})
    first.release()
    (cpufreq / "policy0" / "scaling_governor").write_text("ondemand\n")
    (outcome,) = scope(tmp_path, boot_id="boot-2").recover()
    assert (outcome.state, outcome.detail) == ("reverted", "the machine was restarted since")
    assert fake_root.governors(cpufreq) == ["ondemand", "performance"]


def test_a_second_run_that_wants_other_values_is_told_who_holds_system_tuning(cpufreq: Path, tmp_path: Path) -> None:
    first = scope(tmp_path, run="first")
    first.apply({STEP: "performance"})
    with pytest.raises(BusyError) as caught:
        scope(tmp_path, run="second").apply({STEP: "schedutil"})
    assert str(os.getpid()) in caught.value.problem
    assert "first" in caught.value.problem
    assert fake_root.governors(cpufreq) == ["performance", "performance"]
    first.close()


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_two_runs_that_want_the_same_share_it_and_the_last_to_go_puts_it_back(
    cpufreq: Path, tmp_path: Path, order: tuple[str, str]
) -> None:
    runs = {name: scope(tmp_path, run=name) for name in ("first", "second")}
    assert [outcome.state for outcome in runs["first"].apply({STEP: "performance"})] == ["applied"]
    assert [outcome.state for outcome in runs["second"].apply({STEP: "performance"})] == ["already"]
    assert runs[order[0]].close() == []
    assert fake_root.governors(cpufreq) == ["performance", "performance"]
    assert [outcome.state for outcome in runs[order[1]].close()] == ["reverted"]
    assert fake_root.governors(cpufreq) == ["powersave", "schedutil"]


def test_a_command_leaves_alone_what_a_living_run_holds_and_takes_over_from_a_dead_one(
    cpufreq: Path, tmp_path: Path
) -> None:
    first, second = scope(tmp_path, run="first"), scope(tmp_path, run="second")
    first.apply({STEP: "performance"})
    second.apply({STEP: "performance"})
    first.release()  # killed
    assert scope(tmp_path, run="command").recover() == []
    assert fake_root.governors(cpufreq) == ["performance", "performance"]
    second.release()
    assert [outcome.state for outcome in scope(tmp_path, run="command").recover()] == ["reverted"]
    assert fake_root.governors(cpufreq) == ["powersave", "schedutil"]


def test_what_is_kept_survives_commands_and_runs_until_it_is_reverted(cpufreq: Path, tmp_path: Path) -> None:
    assert [o.state for o in scope(tmp_path, run="by-hand").apply({STEP: "performance"}, keep=True)] == ["applied"]
    assert scope(tmp_path, run="next").recover() == []
    following = scope(tmp_path, run="following")
    assert [outcome.state for outcome in following.apply({STEP: "performance"})] == ["already"]
    assert following.close() == []
    with pytest.raises(BusyError, match="by `runner tuning apply`"):
        scope(tmp_path, run="other").apply({STEP: "schedutil"})
    assert fake_root.governors(cpufreq) == ["performance", "performance"]
    assert [outcome.state for outcome in scope(tmp_path, run="revert").revert_everything()] == ["reverted"]
    assert fake_root.governors(cpufreq) == ["powersave", "schedutil"]


def test_a_side_effect_that_stays_is_named(cpufreq: Path, tmp_path: Path) -> None:
    tuning = scope(tmp_path)
    tuning.apply({STEP: "boost=0"})
    (cpufreq / "policy0" / "scaling_max_freq").write_text("3000000\n")
    (outcome,) = tuning.close()
    assert "scaling_max_freq" in outcome.detail


KILLED = """
import os, signal, sys
from pathlib import Path
from runner.tuning import journal, script, system

countdown = int(sys.argv[2])
def tick():
    global countdown
    countdown -= 1
    if countdown == 0:
        os.kill(os.getpid(), signal.SIGKILL)

real_append, real_call = journal.TuningJournal.append, script.call
def append(self, *a, **k):
    tick(); real_append(self, *a, **k); tick()
def call(*a, **k):
    tick(); report = real_call(*a, **k); tick()
    return report
journal.TuningJournal.append = append
folder = Path(sys.argv[1])
tuning = system.SystemScope("killed", "boot-1", system="linux", journal=folder / "state.jsonl", lock=folder / "lock",
                            call=call, scripts_folder=Path(sys.argv[3]))
tuning.apply({"cpu-governor-setup": "governor=performance,boost=0"})
tuning.close()
print("survived")
"""


def test_killed_at_any_point_the_next_start_puts_everything_back(cpufreq: Path, tmp_path: Path) -> None:
    tuned = points = 0
    while True:
        points += 1
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(points), str(TUNING)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if done.stdout.strip() == "survived":
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        tuned += fake_root.governors(cpufreq) != ["powersave", "schedutil"]
        following = scope(tmp_path, run="following")
        assert {outcome.state for outcome in following.recover()} <= {"reverted"}
        assert fake_root.governors(cpufreq) == ["powersave", "schedutil"], points
        assert (cpufreq / "boost").read_text().strip() == "1", points
    assert points > 10
    assert tuned >= 4  # the test would prove nothing if no kill fell between setting and putting back


def test_a_journal_that_forgets_its_intent_is_noticed_by_the_kill_test(cpufreq: Path, tmp_path: Path) -> None:
    """The planted fault: the setting is written before its intent. A kill between the two loses the old value."""
    script.call(STEP, "apply", "performance", folder=TUNING)  # set, and killed before the intent was written
    assert scope(tmp_path).recover() == []
    assert fake_root.governors(cpufreq) != ["powersave", "schedutil"]


@pytest.mark.parametrize("half", [("performance", "schedutil"), ("powersave", "performance")])
def test_a_script_killed_half_way_is_our_own_doing_and_is_put_back(
    cpufreq: Path, tmp_path: Path, half: tuple[str, str]
) -> None:
    tuning = scope(tmp_path)
    tuning.apply({STEP: "performance"})
    for number, governor in enumerate(half):
        (cpufreq / f"policy{number}" / "scaling_governor").write_text(governor + "\n")
    tuning.close()
    assert fake_root.governors(cpufreq) == ["powersave", "schedutil"]


def test_parts_are_explained_by_old_or_ours_and_by_nothing_else() -> None:
    old, ours = "governor.policy0=powersave,governor.policy1=schedutil,boost=1", "governor=performance,boost=0"
    assert explained("governor=performance,boost=1", (old, ours))
    assert explained("governor.policy0=performance,governor.policy1=schedutil,boost=0", (old, ours))
    assert explained("governor=performance", ("governor=powersave", "performance"))
    assert not explained("governor=powersave,boost=1", (old, ours))
    assert not explained("governor=ondemand,boost=1", (old, ours))
