"""Process scope: what a worker's environment gets, what it does not get and why, and what it really had."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.errors import TuningError, UsageError
from runner.tuning.outcome import Outcome, require
from runner.tuning.process import environment, verify


def states(outcomes: object) -> list[str]:
    return [outcome.state for outcome in outcomes]  # type: ignore[attr-defined]


def test_a_wanted_variable_is_set_and_a_replaced_one_is_named() -> None:
    scope = environment({"OMP_NUM_THREADS": "2"}, {"OMP_NUM_THREADS": "16"}, "linux")
    assert scope.environment == {"OMP_NUM_THREADS": "2"}
    assert scope.outcomes[0].detail == "replaces 16 of the environment"


def test_a_variable_of_another_system_is_unsupported_and_not_set() -> None:
    scope = environment({"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}, {}, "darwin")
    assert scope.environment == {}
    assert states(scope.outcomes) == ["unsupported"]


def test_auto_leaves_the_variable_to_the_library_and_says_so() -> None:
    scope = environment({"OPENBLAS_CORETYPE": "auto"}, {}, "linux")
    assert scope.environment == {}
    assert states(scope.outcomes) == ["already"]


@pytest.mark.parametrize("name", ["LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "PATH", "a b", ""])
def test_a_profile_may_not_choose_the_code_that_a_worker_loads(name: str) -> None:
    with pytest.raises(UsageError):
        environment({name: "x", "OMP_NUM_THREADS": "1"}, {}, "linux")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="platform: no /proc here")
def test_the_environment_of_a_running_process_is_read_back() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
        env={**os.environ, "MALLOC_ARENA_MAX": "2"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.readline()
    found = verify(child.pid, {"MALLOC_ARENA_MAX": "2", "OMP_WAIT_POLICY": "passive"})
    child.communicate(b"")
    assert states(found) == ["applied", "differs"]


def test_an_environment_that_cannot_be_read_is_unsupported_not_assumed(tmp_path: Path) -> None:
    assert states(verify(1, {"A": "1"}, tmp_path)) == ["unsupported"]


def test_strict_names_every_step_that_is_not_set_and_lenient_goes_on() -> None:
    outcomes = [
        Outcome("a", "system", "unsupported", "", "no cpufreq"),
        Outcome("b", "system", "applied", "1", ""),
        Outcome("c", "system", "left_out", "", ""),
    ]
    require(outcomes, strict=False)
    with pytest.raises(TuningError) as caught:
        require(outcomes, strict=True)
    assert caught.value.exit_code == 5
    assert "no cpufreq" in caught.value.problem
    assert "c:" not in caught.value.problem
