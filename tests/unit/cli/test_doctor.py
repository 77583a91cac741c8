"""The page of `runner doctor`: it fits the terminal, its last line is the answer, and it says who else tunes."""

import dataclasses
from pathlib import Path

import pytest

from runner.commands import doctor
from runner.commands.doctor import Finding
from runner.machine import detect


def linux() -> doctor.Machine:
    return dataclasses.replace(detect(), os="linux")


@pytest.mark.parametrize("columns", [80, 120])
def test_the_page_fits_the_terminal_and_hints_stand_below_their_line(columns: int) -> None:
    long = Finding("packages", "warning", "word " * 60, "do " * 60)
    lines = doctor.page([Finding("gpu", "ok", "none"), long], columns)
    assert max(map(len, lines)) <= columns
    assert lines[0] == "ok       gpu        none"
    assert lines[-1] == "runs can start here: 1 to look at"
    hint = next(at for at, line in enumerate(lines) if "hint: do" in line)
    assert lines[hint - 1].startswith(" " * 20 + "word")


def test_the_last_line_says_what_is_broken() -> None:
    found = [Finding("native", "broken", "x", "y"), Finding("gpu", "ok", "none")]
    assert doctor.page(found, 80)[-1] == "a run cannot start here: 1 broken"
    assert doctor.page(found[1:], 80)[-1] == "runs can start here: nothing to do"


def test_settings_name_what_is_here_and_who_owns_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = tmp_path / "sys/kernel/mm/transparent_hugepage"
    huge.mkdir(parents=True)
    (huge / "enabled").write_text("always [madvise] never\n")
    monkeypatch.setenv("TUNE_ROOT", str(tmp_path))
    (quiet,) = doctor._settings(linux())
    assert quiet.state == "ok"
    assert "can set: thp; not here: " in quiet.text
    assert "numa-optimization (this system shows no NUMA nodes)" in quiet.text
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/comm").write_text("tuned\n")
    _, owner = doctor._settings(linux())
    assert (owner.state, owner.text) == ("warning", "tuned sets thp")
    assert "leave them to it" in owner.cure
