"""The command line as a user types it, in a folder of its own; caches of its own, or the user's for the real model."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = json.dumps({"output": "echo", "steps": 2})


@dataclass(frozen=True)
class Shell:
    """`run(words)` is one command line in `folder`. `prefix`: a command in front that executes it."""

    folder: Path
    environment: dict[str, str]
    prefix: tuple[str, ...] = ()

    def start(self, *words: str, own_group: bool = False) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-P", "-m", "runner", *words],
            cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            process_group=0 if own_group else None,
        )  # fmt: skip

    def run(self, *words: str, seconds: float = 120) -> "subprocess.CompletedProcess[str]":
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def results(self, run: str = "latest") -> list[dict[str, Any]]:
        path = self.folder / "outputs" / run / "results.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def runs(self) -> list[Path]:
        return sorted((self.folder / "outputs" / "runs").glob("*/*"))


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the tiny model of all tests of a session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def shell(tmp_path: Path, model_cache: Path) -> Shell:
    """A user's shell with private state, config and cache folders."""
    return make_shell(tmp_path, XDG_CACHE_HOME=str(model_cache))


@pytest.fixture
def real_shell(tmp_path: Path) -> Shell:
    """As `shell`, with the user's own cache, where the embedded model is converted once."""
    return make_shell(tmp_path)


def make_shell(base: Path, **more: str) -> Shell:
    folder = base / "somewhere else"
    folder.mkdir()
    own = {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(base / "state"), "XDG_CONFIG_HOME": str(base / "config")}
    return Shell(folder, {**os.environ, **own, "NO_COLOR": "1", **more})


def scripted(*more: str, script: str = SCRIPT) -> list[str]:
    """Words that choose the scripted engine and a prompt that is the document itself."""
    return [
        "model=tiny", "model.engine=scripted", f"model.script='{script}'", "job=prompt",
        "job.template='{{ document }}'", "job.max_tokens=200", *more,
    ]  # fmt: skip
