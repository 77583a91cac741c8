"""The life of a run against a scripted core and real (tiny) worker processes: endings, exit codes, what lies on disk.

The core here only says events at the right time; the real one is exercised by tests/fault and tests/end_to_end.
"""

import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import runner
from runner import log
from runner.config.schema import RunnerConfig
from runner.errors import BusyError, RunFailed, StorageError, UsageError
from runner.layout import RunFolder
from runner.machine import CoreKind, Machine
from runner.models import ModelFolder, Prompt
from runner.run import execute
from runner.run import loop as run_loop
from runner.store import folder, listing
from runner.store.locks import FileLock
from tests.configs import make_config

WORKER = 'import sys; sys.stdin.readline(); print(\'{"event":"ready","blas":"x"}\', flush=True); sys.stdin.close(); '
WAITS = WORKER + "import signal; signal.pause()"

MACHINE = Machine("linux", "x86_64", "Test CPU", 2**34, 2**34, "physical memory",
                  (CoreKind("standard", 2, ((0,), (1,))),), None, "boot-1")  # fmt: skip


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

        return {**dict.fromkeys(COUNTED, 0), "inputs": 2, "discovery_done": 1, "rust_peak_bytes": 0, **self.counts}

    def setting(self, name: str, value_json: str, detail: str) -> None:
        json.loads(value_json)

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
        supervisor = runner.run.Supervisor

        def with_code(*args: Any, **kwargs: Any) -> Any:
            return supervisor(*args, **kwargs, command=(sys.executable, "-c", held.code))

        monkeypatch.setattr("runner.run.Supervisor", with_code)
        try:
            return execute(config(held.outputs), MACHINE, resume)
        finally:
            monkeypatch.setattr("runner.run.Supervisor", supervisor)

    held.run = run
    return held


def only_run(world: Any) -> RunFolder:
    found = list((world.outputs / "runs").glob("*/*"))
    assert len(found) == 1
    return RunFolder(found[0])


def test_a_finished_run_leaves_its_files_and_says_where(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run() == 0
    run = only_run(world)
    identity = folder.read_identity(run)
    assert (identity.status, identity.exit_code, identity.overrides) == ("finished", 0, ("job=qa",))
    written = json.loads(run.summary.read_text())
    assert (written["ok"], written["failed"], written["open"]) == (1, 1, 0)
    assert written["reasons"] == {"failed: schema": 1}
    assert json.loads(run.chat.read_text())["messages"][1] == {"role": "assistant", "content": "Because."}
    assert (world.outputs / "latest").resolve() == run.root
    assert not (run.root / "tmp").exists()
    assert world.core.calls == ["open", "start", "died drained", "close"]
    out = capsys.readouterr()
    assert out.out.splitlines()[0].startswith("1 ok, 1 failed, 0 skipped, 0 quarantined of 2 documents")
    assert out.out.splitlines()[-1] == str(run.root)
    assert "no input given: the example corpus" in out.err.splitlines()[0]


def test_no_secret_of_the_environment_reaches_the_folder(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    world.run()
    for path in only_run(world).root.rglob("*"):
        if path.is_file():
            assert b"hf_verysecret" not in path.read_bytes(), path


def test_nothing_to_do_makes_no_folder_and_exits_0(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def nothing(core: ScriptedCore) -> None:
        core.nothing_to_do = True

    assert world.run(nothing) == 0
    assert not (world.outputs / "runs").exists()
    assert "nothing to do" in capsys.readouterr().err


def test_no_file_at_all_is_a_usage_error(world: Any) -> None:
    def empty(core: ScriptedCore) -> None:
        core.files = 0

    with pytest.raises(UsageError, match="no files to process"):
        world.run(empty)


def test_too_many_failed_documents_exit_3(world: Any) -> None:
    assert world.run(ok=0, failed=1, quarantined=1) == 3
    assert folder.read_identity(only_run(world)).exit_code == 3


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_drains_and_leaves_a_resumable_run(world: Any, number: signal.Signals, code: int) -> None:
    def interrupt(core: ScriptedCore) -> None:
        core.on_event = lambda: os.kill(os.getpid(), number) if "drain" not in core.calls else None

    assert world.run(interrupt, events=[]) == code
    assert world.core.calls == ["open", "start", "drain", "died drained", "close"]
    assert folder.read_identity(only_run(world)).status == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_drain_that_takes_too_long_is_forced(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_loop, "FORCED_GRACE_S", 0.05)

    def stubborn(core: ScriptedCore) -> None:
        def event() -> None:
            if "drain" not in core.calls or any(call.startswith("died") for call in core.calls):
                core.events = [{"event": "drained"}] if "drain" in core.calls else []
            os.kill(os.getpid(), signal.SIGTERM)

        core.on_event = event
        core.drain = lambda: core.calls.append("drain")  # type: ignore[method-assign]

    world.code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITS + "; signal.pause()"
    assert world.run(stubborn, events=[]) == 143
    assert "died drained" in world.core.calls


def test_a_storage_error_of_the_core_exits_74_and_keeps_the_first_reason(world: Any) -> None:
    def broken(core: ScriptedCore) -> None:
        core.close_problem = StorageProblem("second")

    with pytest.raises(StorageError, match="No space left") as caught:
        world.run(broken, events=[{"event": "storage_failed", "error": StorageProblem("journal: No space left")}])
    assert caught.value.exit_code == 74
    identity = folder.read_identity(only_run(world))
    assert (identity.status, identity.exit_code, identity.problem) == ("failed", 74, "journal: No space left")


def test_workers_that_cannot_start_fail_the_run_with_their_last_words(world: Any) -> None:
    world.code = "import sys; print('Metal device not found', file=sys.stderr); sys.exit(1)"
    with pytest.raises(RunFailed, match="Metal device not found"):
        world.run()
    assert world.core.calls[-2:] == ["drain", "close"]
    assert folder.read_identity(only_run(world)).status == "failed"


def test_a_second_runner_on_the_folder_is_busy_and_changes_nothing(world: Any) -> None:
    world.run()
    run = only_run(world)
    before = run.run_json.read_bytes()
    holder = FileLock(run.lock)
    assert holder.acquire("run other")
    with pytest.raises(BusyError, match="run other"):
        world.run(resume=run)
    assert run.run_json.read_bytes() == before
    holder.release()


def test_a_resume_goes_on_in_the_same_folder_and_counts_its_lives(world: Any) -> None:
    world.run()
    run = only_run(world)
    assert world.run(resume=run) == 0
    assert folder.read_identity(run).incarnation == 2
    assert world.settings["run_id"] == folder.read_identity(run).run_id
    assert [row.state for row in listing.runs(world.outputs)] == ["finished"]


def test_an_output_folder_that_is_a_file_exits_74_before_anything_starts(world: Any) -> None:
    world.outputs.write_text("")
    with pytest.raises(StorageError, match="cannot create the output folder"):
        world.run()
    assert world.core is None


def test_the_run_folder_taken_away_in_the_middle_stops_the_run(world: Any) -> None:
    def take_away(core: ScriptedCore) -> None:
        core.on_event = lambda: core.run_dir.rename(world.outputs / "taken") if core.run_dir.exists() else None

    with pytest.raises(StorageError, match="removed or replaced"):
        world.run(take_away, events=[])


def test_settings_hold_exactly_the_keys_that_the_core_reads(world: Any) -> None:
    """The field names are read out of settings.rs, so that either side alone cannot change."""
    import re

    world.run()
    source = (Path(__file__).parents[3] / "native" / "src" / "settings.rs").read_text()
    fields = {
        name: set(re.findall(r"^    pub (\w+):", body, re.MULTILINE))
        for name, body in re.findall(r"pub struct (\w+) \{(.*?)^\}", source, re.DOTALL | re.MULTILINE)
    }
    sent = world.settings
    assert set(sent) == fields["Settings"]
    parts = {"ingest": "IngestSettings", "job": "JobSettings", "model": "ModelSettings", "schedule": "ScheduleSettings",
             "channel": "ChannelSettings"}  # fmt: skip
    for key, struct in parts.items():
        assert set(sent[key]) == fields[struct], key
    assert set(sent["ingest"]["csv"]) == fields["CsvSettings"]
    assert set(sent["ingest"]["jsonl"]) == fields["RecordSettings"]


@pytest.fixture(autouse=True)
def _no_log_left() -> Any:
    yield
    log.detach()


@pytest.mark.parametrize("source", ["embedded", "path", "tiny"])
def test_each_precision_is_known_to_the_models_or_refused_by_the_checks(source: str) -> None:
    from runner.config import checks
    from runner.errors import Problem
    from runner.run.settings import model_choice

    for bits in [None, *range(-1, 65)]:
        problems: list[Problem] = []
        model = make_config("outputs", model={"source": source, "path": ".", "script": "{}", "bits": bits}).model
        checks._model(SimpleNamespace(model=model), problems)
        if not problems:
            assert model_choice(model).source == source


def test_a_core_error_has_the_cure_of_its_kind() -> None:
    from runner.run.door import _storage_error

    assert "free some space" in _storage_error("index.sqlite: database or disk is full").cure
    assert "No space left" in _storage_error("index.sqlite: database or disk is full").problem
    assert "from a copy" in _storage_error("journal: damaged at byte 7: x").cure
    assert "`runner resume`" in _storage_error("journal: Input/output error").cure
