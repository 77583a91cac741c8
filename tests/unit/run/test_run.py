"""The life of a run against a scripted core and real (tiny) worker processes: endings, exit codes, what lies on disk.

The core here only says events at the right time; the real one is exercised by tests/fault and tests/end_to_end.
"""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner import log
from runner.errors import BusyError, RunFailed, StorageError, UsageError
from runner.run import loop as run_loop
from runner.store import folder, listing
from runner.store.locks import FileLock
from tests.configs import make_config
from tests.unit.run.rig import (
    WAITS,
    ScriptedCore,
    StorageProblem,
    only_run,
)


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
