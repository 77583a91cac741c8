"""docs/guides/first-night.md: each of its commands, in its order, in a fresh folder, does what the page says.

The model is the scripted one, put in place of the default's group file; timers are fakes on PATH, so that no machine's
crontab changes.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.end_to_end.conftest import ROOT

GUIDE = ROOT / "docs" / "guides" / "first-night.md"
SCRIPT = json.dumps({"output": "hash", "steps": 2})


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def make_user(base: Path) -> dict[str, str]:
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
    group.write_text(re.sub(r"(?m)^source:.*", "source: tiny", original) + f"engine: scripted\nscript: {SCRIPT!r}\n")
    path = f"{base / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "RUNNER_PROFILES": str(base / "profiles")}


def test_every_command_of_the_guide_does_what_the_page_says(home: Path) -> None:
    environment = make_user(home)
    folder = home / "user"
    folder.mkdir()
    said: dict[str, list[str]] = {}
    for line in commands():
        done = subprocess.run(
            line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        said.setdefault(" ".join(line.split()[:3]), []).append(done.stdout)
    first, second = said["runner schedule run"]
    assert "2 new; now 2 ok" in first
    assert "1 new, 1 changed" in second
    assert "crontab: the first that works here" in said["runner schedule add"][0]
    assert "# runner:letters" in said["runner schedule print"][0]
    results = [json.loads(line) for line in (folder / "letters.jsonl").read_text().splitlines()]
    assert [Path(line["source"]).name for line in results] == ["bees.txt", "clock.txt", "harbour.txt"]
    assert {line["status"] for line in results} == {"ok"}
    assert (home / "crontab").read_text() == ""
    assert not list((home / "50% of me" / "config" / "runner" / "schedules").iterdir())
