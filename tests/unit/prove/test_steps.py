"""Candidate steps: what applies to a machine, what is refused, and that the shipped set composes."""

from pathlib import Path

import pytest

from runner import layout
from runner.config.compose import compose
from runner.errors import UsageError
from runner.machine import CoreKind, Machine
from runner.prove import disturbance, steps

CORES = (CoreKind("standard", 4, tuple((n,) for n in range(4))),)
LINUX = Machine("linux", "x86_64", "any", 2**34, 2**34, "physical memory", CORES, None, "boot")
FAST = (CoreKind("performance", 4, ()),)
MAC = Machine("darwin", "arm64", "Apple M4", 2**34, 2**34, "physical memory", FAST, None, "boot")
STANDARD = layout.conf_dir() / "prove" / "standard.yaml"


@pytest.mark.parametrize("machine", [LINUX, MAC])
def test_every_shipped_step_composes_where_it_applies(machine: Machine) -> None:
    found = steps.read_candidates(STANDARD, machine)
    assert found.steps
    for step in found.steps:
        assert step.about
        for arm in (step.a, step.b):
            compose(arm, machine)


def test_the_cores_of_the_machine_stand_in_the_arms() -> None:
    workers = next(s for s in steps.read_candidates(STANDARD, LINUX).steps if s.name == "workers")
    assert workers.a == ("cores.workers=1", "cores.threads_per_worker=4")


def test_what_means_nothing_here_is_left_out_with_its_reason() -> None:
    found = steps.read_candidates(STANDARD, MAC)
    assert found.left_out["blas"] == "not applicable: means something on linux only"
    with pytest.raises(UsageError, match="step blas: not applicable"):
        steps.choose(found, ["blas"], [])


def test_a_misspelt_step_is_met_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="step 'blass' is not known") as caught:
        steps.choose(steps.read_candidates(STANDARD, LINUX), ["blass"], [])
    assert "did you mean blas?" in caught.value.cure


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rows", "is no step"),
        ("rows=a=1", "is no step"),
        ("rows=a|b=2", "'a' is no override"),
        ("x=a=1|a=1", "the same"),
    ],
)
def test_a_step_that_is_none_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        steps.step_of(text)


@pytest.mark.parametrize("text", ["steps: [a]", "a: 1", "steps: {a: {c: 1}}", "[", "steps: {a: {least_cores: x}}"])
def test_a_set_that_cannot_be_read_says_why(text: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match="cannot be read"):
        steps.read_candidates(file, LINUX)


# ---- what else the machine did ----

QUIET = disturbance.Sample(100.0, 50.0, 0.0, 0, "1")


@pytest.mark.parametrize(
    ("after", "own", "expected"),
    [
        (disturbance.Sample(200.0, 100.0, 0.0, 0, "1"), 45.0, []),
        (disturbance.Sample(200.0, 100.0, 0.0, 0, "1"), 20.0, ["other processes 30% of the machine"]),
        (disturbance.Sample(200.0, 90.0, 10.0, 0, "1"), 50.0, ["steal 10%"]),
        (disturbance.Sample(200.0, 100.0, 0.0, 300, "1"), 50.0, ["300 pages read back from swap"]),
        (disturbance.Sample(200.0, 100.0, 0.0, 0, "0"), 50.0, ["the power source changed"]),
    ],
)
def test_a_disturbance_is_named(after: disturbance.Sample, own: float, expected: list[str]) -> None:
    assert disturbance.reasons(QUIET, after, own) == expected


def test_a_recorded_proc_is_read_and_a_missing_one_watches_nothing(tmp_path: Path) -> None:
    assert disturbance.sample(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu  100 0 100 700 100 0 0 50 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    (tmp_path / "proc/vmstat").write_text("pgpgin 5\npswpin 7\n")
    seen = disturbance.sample(tmp_path)
    assert seen is not None
    assert (seen.swapped_in, seen.plugged, seen.idle_s / seen.total_s) == (7, "", pytest.approx(800 / 1050))
