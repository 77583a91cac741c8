"""Drives the core's census: a loop like a run's, with extract workers and without a model, a folder or a journal.

Ends with what was counted, or None when a signal asked for it. Called by the plan command.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from runner.config.schema import RunnerConfig
from runner.run import extraction
from runner.run.door import Core, core_errors
from runner.run.signals import StopRequest
from runner.supervise import worker_environment
from runner.supervise.converters import Converters

TURN_MS: Final = 100
"""Longest wait of one turn: how late a signal or a dead extract worker is seen."""


def count(
    config: RunnerConfig,
    core: Core,
    options: Mapping[str, Any],
    stop: StopRequest,
    tell: Callable[[Mapping[str, int], float], None],
) -> dict[str, Any] | None:
    """The census as `runner.predict.estimate` reads it. `tell` gets the counters and the seconds so far, each turn."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="runner-plan-") as temporary:
        converters = Converters(
            core,
            lambda ends: extraction.extractor_spec(config, ends),
            worker_environment(os.environ, {}, Path(temporary)),
            extraction.COMMAND,
        )
        try:
            with core_errors():
                core.count(json.dumps(options))
                while not stop.asked:
                    if _finished(core, converters):
                        found: dict[str, Any] = json.loads(core.counted())
                        return found
                    converters.poll()
                    tell(core.counters(), time.monotonic() - started)
                return None
        finally:
            converters.stop()
            core.close()


def _finished(core: Core, converters: Converters) -> bool:
    for event in core.next_events(TURN_MS):
        match event["event"]:
            case "finished":
                return True
            case "converter_wanted":
                converters.wanted(event["seat"])
            case "converter_given_up":
                converters.given_up(event["seat"])
            case "storage_failed":
                problem: Exception = event["error"]
                raise problem
            case unknown:
                raise AssertionError(f"the core sent an unknown event {unknown!r}")
    return False
