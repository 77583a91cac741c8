"""The shell scripts: shellcheck finds nothing and the bats tests pass. Aim: one runner for all tests.

Does not test what the scripts do (cpu_governor.bats does).
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted([*ROOT.glob("tuning/**/*.sh"), *ROOT.glob("tests/shell/*.bats"), ROOT / ".ci" / "run"])


def tool(name: str) -> str:
    """Tools of the virtual environment lie beside its Python, whether or not it is activated."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (it comes with the dev extra)")
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_shellcheck_finds_nothing(script: Path) -> None:
    found = subprocess.run([tool("shellcheck"), str(script)], capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("script", sorted(ROOT.glob("tests/shell/*.bats")), ids=lambda path: path.name)
def test_bats_tests_pass(script: Path) -> None:
    found = subprocess.run([tool("bats"), str(script)], capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("script", sorted(ROOT.glob("tuning/**/*.sh")), ids=lambda path: path.name)
def test_scripts_are_posix_and_executable_unless_sourced(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    sourced = script.name == "lib.sh"
    assert text.startswith("# shellcheck shell=sh" if sourced else "#!/bin/sh\n")
    assert bool(script.stat().st_mode & 0o100) is not sourced
    assert "# Summary:" in text
    if not sourced:
        assert "# Usage:" in text
        assert "\nset -eu\n" in text
