"""`world`: execute() with what rig.py holds. Called by pytest."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import runner
from runner.layout import RunFolder
from runner.models import ModelFolder, Prompt
from runner.run import execute
from tests.unit.run.rig import MACHINE, NATIVE, WAITS, ScriptedCore, config


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`world.run(core)` executes with this core; `world.core` is the one that was made."""
    monkeypatch.setattr(runner, "_native", NATIVE, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    model = ModelFolder(Path("/model"), "tiny", "w", Path("/model/tokenizer.json"), "t", 512, 1, 1, 1, {"as_is": 1})
    monkeypatch.setattr("runner.models.resolve", lambda choice, cache: model)
    monkeypatch.setattr("runner.models.render_prompt", lambda *args: Prompt((1,), (2,), "p"))
    held = SimpleNamespace(outputs=tmp_path / "outputs", core=None, code=WAITS, settings=None)

    def run(change: Any = None, resume: RunFolder | None = None, events: Any = None, **counts: int) -> int:
        def make(text: str) -> ScriptedCore:
            held.settings = json.loads(text)
            finished = [{"event": "finished"}] if events is None else events
            held.core = ScriptedCore(Path(held.settings["run_dir"]), finished, **{"ok": 1, "failed": 1, **counts})
            if change:
                change(held.core)
            return held.core

        monkeypatch.setattr("runner.run.make_core", make)
        supervisor = runner.run.life.Supervisor

        def with_code(*args: Any, **kwargs: Any) -> Any:
            return supervisor(*args, **kwargs, command=(sys.executable, "-c", held.code))

        monkeypatch.setattr("runner.run.life.Supervisor", with_code)
        try:
            return execute(config(held.outputs), MACHINE, resume)
        finally:
            monkeypatch.setattr("runner.run.life.Supervisor", supervisor)

    held.run = run
    return held
