"""docs/guides: each of their commands, in their order, in a fresh folder, does what the page says.

The model is the scripted one, put in place of the default's group file; timers are fakes on PATH, so that no machine's
crontab changes.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.end_to_end.conftest import ROOT

GUIDES = ROOT / "docs" / "guides"


def blocks(guide: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", (GUIDES / guide).read_text(), re.MULTILINE | re.DOTALL)


def make_user(base: Path, output: str) -> dict[str, str]:
    script = json.dumps({"output": output or "hash", "steps": 2})
    programs = {
        "runner": f'exec "{sys.executable}" -P -m runner "$@"',
        "systemctl": "echo 'no user instance' >&2; exit 1",
        "crontab": f'[ "$1" = - ] && exec cat >"{base}/crontab"\ncat "{base}/crontab" 2>/dev/null || '
        '{ echo "no crontab for me" >&2; exit 1; }',
    }
    (base / "bin").mkdir()
    for name, text in programs.items():
        (base / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (base / "bin" / name).chmod(0o755)
    group = base / "profiles" / "model" / "smollm2-135m.yaml"
    group.parent.mkdir(parents=True)
    original = (ROOT / "profiles" / "model" / "smollm2-135m.yaml").read_text()
    group.write_text(
        re.sub(r"(?m)^source:.*", "source: tiny", original) + f"engine: scripted\nscript: {json.dumps(script)}\n"
    )
    path = f"{base / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "RUNNER_PROFILES": str(base / "profiles")}


def follow(guide: str, home: Path, output: str = "") -> tuple[Path, list[str]]:
    """The folder it was done in, and what each block said. `output`: what the model answers."""
    environment, folder = make_user(home, output), home / "user"
    folder.mkdir()
    said = []
    for block in blocks(guide):
        done = subprocess.run(
            ["sh", "-euc", block], cwd=folder, env=environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        said.append(done.stdout)
    return folder, said


def results(path: Path) -> dict[str, dict[str, Any]]:
    return {Path(line["source"]).name: line for line in map(json.loads, path.read_text().splitlines())}


def test_the_first_night_does_what_the_page_says(home: Path) -> None:
    folder, said = follow("first-night.md", home)
    _, planned, first, second, *_ = said
    assert "crontab: the first that works here" in planned
    assert "# runner:letters" in planned
    assert "2 new; now 2 ok" in first
    assert "1 new, 1 changed" in second
    found = results(folder / "letters.jsonl")
    assert sorted(found) == ["bees.txt", "clock.txt", "harbour.txt"]
    assert {line["status"] for line in found.values()} == {"ok"}
    assert (home / "crontab").read_text() == ""
    assert not list((home / "50% of me" / "config" / "runner" / "schedules").iterdir())


def test_an_own_job_does_what_the_page_says(home: Path) -> None:
    folder, said = follow("own-job.md", home, '{"sender": "Anna Berg", "asks_for": "a lamp"}')
    assert "letters" in said[1]
    found = results(folder / "letters.jsonl")
    assert json.loads(found["berg.txt"]["output"]) == {"sender": "Anna Berg", "asks_for": "a lamp"}
    assert len(list((folder / "outputs" / "runs").glob("*/*"))) == 2


def test_a_sweep_does_what_the_page_says(home: Path) -> None:
    folder, said = follow("sweep.md", home)
    assert said[0].count("completed") == 2
    assert len(list((folder / "outputs" / "sweeps" / "lengths").glob("*/run.json"))) == 3


def test_an_own_profile_does_what_the_page_says(home: Path) -> None:
    _, said = follow("own-profile.md", home)
    assert "mine" in said[0]
    assert "mine" in said[1]


def test_every_guide_is_followed_here() -> None:
    followed = re.findall(r'follow\("([\w-]+\.md)"', Path(__file__).read_text())
    assert sorted(followed) == sorted(path.name for path in GUIDES.glob("*.md"))
