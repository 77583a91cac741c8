"""A run without a core and without a model: a scripted core, a worker that only waits, and the configuration of both.

Called by the tests of this folder; the fixture `world` in conftest.py puts them in place.
"""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from runner.config.monitor import AlertsConfig
from runner.config.schema import RunnerConfig
from runner.layout import RunFolder
from runner.machine import CoreKind, Machine
from tests.configs import make_config

WORKER = 'import sys; sys.stdin.readline(); print(\'{"event":"ready","blas":"x"}\', flush=True); sys.stdin.close(); '
WAITS = WORKER + "import signal; signal.pause()"

MACHINE = Machine("linux", "x86_64", "Test CPU", 2**34, 2**34, "physical memory",
                  (CoreKind("standard", 2, ((0,), (1,))),), None, "boot-1")  # fmt: skip


NO_ALERTS = AlertsConfig({}, (), None, (), False, 5.0)


class StorageProblem(Exception):  # noqa: N818
    """Stands for _native.StorageFailed."""


class ConfigProblem(Exception):  # noqa: N818
    """Stands for _native.ConfigProblem."""


NATIVE = SimpleNamespace(
    ConfigProblem=ConfigProblem, StorageFailed=StorageProblem, RunBusy=type("RunBusy", (Exception,), {}),
    ChannelBroken=type("ChannelBroken", (Exception,), {}), ChannelClosed=type("ChannelClosed", (Exception,), {}),
)  # fmt: skip


class ScriptedCore:
    """Says `events` after the first worker is ready; counts what it is told."""

    def __init__(self, run_dir: Path, events: list[dict[str, Any]], **counts: int) -> None:
        self.run_dir = run_dir
        self.events = events
        self.counts = counts
        self.calls: list[str] = []
        self.nothing_to_do = False
        self.files = 2
        self.is_ready = False
        self.on_event: Any = None
        self.close_problem: Exception | None = None
        self.paused = False

    def survey(self) -> dict[str, Any]:
        todo = 0 if self.nothing_to_do else 2
        return {"files": self.files, "unchanged": 2 - todo, "to_do": todo, "rejected": 0,
                "inputs_unchanged": 2 - todo, "nothing_to_do": self.nothing_to_do}  # fmt: skip

    def open(self, boot_id: str) -> dict[str, Any]:
        self.calls.append("open")
        return {"incarnation": 1, "resumed": False, "outstanding": 2}

    def start(self) -> None:
        self.calls.append("start")

    def attach(self, worker: int) -> dict[str, Any]:
        first, second = os.pipe()
        return {"incarnation": 1, "channel_fd": first, "control_fd": second, "document_fds": []}

    def ready(self, worker: int) -> None:
        self.is_ready = True

    def died(self, worker: int, cause: str, charged: bool = True) -> dict[str, int]:
        self.calls.append(f"died {cause}")
        return {"requeued": 0, "quarantined": 0}

    def next_events(self, timeout_ms: int) -> list[dict[str, Any]]:
        if not self.is_ready:
            return []
        if self.on_event is not None:
            self.on_event()
        out, self.events = self.events, []
        return out

    def counters(self) -> dict[str, int]:
        from runner.metrics import COUNTED

        return {
            **dict.fromkeys((*COUNTED, "extract_us", "prepare_us", "rust_peak_bytes"), 0),
            "paused": int(self.paused),
            "inputs": 2,
            "discovery_done": 1,
            **self.counts,
        }

    def setting(self, name: str, value_json: str, detail: str) -> None:
        json.loads(value_json)

    def pause(self, paused: bool) -> None:
        self.calls.append("pause" if paused else "go on")
        self.paused = paused

    def drain(self) -> None:
        self.calls.append("drain")
        self.events = [{"event": "drained"}]

    def close(self) -> dict[str, Any]:
        self.calls.append("close")
        if self.close_problem is not None:
            raise self.close_problem
        if not self.run_dir.is_dir():
            raise StorageProblem(f"{self.run_dir} is gone")
        lines = [
            {"status": "ok", "reason": "", "output": "Q: Why?\nA: Because."},
            {"status": "failed", "reason": "schema: no", "output": ""},
        ]
        lines = [{**line, "parts": [], "reused_from": None, "duplicate_of": None} for line in lines]
        (self.run_dir / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return {"published": 2}


def config(outputs: Path) -> RunnerConfig:
    return make_config(
        outputs,
        profile={"names": ("linux_cpu",), "chosen_by": "machine", "reason": "this is Linux"},
        tuning={"environment": {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}},
        job={"name": "qa", "task": "qa", "max_failed": 1, "export_chat": True},
        worker={"max_restarts": 2, "drain_ms": 200, "start_timeout_ms": 20_000},
        monitor={"interval_ms": 20},
        log={"level": "error"},
        output={"reuse": "finished"},
        example_corpus=True,
        overrides=("job=qa",),
        composed_yaml="secret: ${oc.env:HF_TOKEN}\n",
    )


def only_run(world: Any) -> RunFolder:
    found = list((world.outputs / "runs").glob("*/*"))
    assert len(found) == 1
    return RunFolder(found[0])
