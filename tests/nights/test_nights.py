"""Nights around runs that are made up: limits, gates, overlap, resumes, results and their history. Starts no run."""

import json
import signal
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner import cli, layout
from runner.errors import StorageError
from runner.layout import RunFolder
from runner.nights import children, history, overlap, schedule
from runner.nights.children import Launch, Process
from runner.nights.gates import Reading
from runner.nights.night import Night
from runner.nights.runs import World
from runner.store import folder
from runner.store.folder import RunIdentity
from runner.store.locks import FileLock

DAY = 86400.0
FIRST = datetime(2026, 11, 2, 2, 30, tzinfo=UTC).timestamp()


@dataclass
class Made:
    """A run that was never one: ends at once with `code`, or hangs until it is asked to end."""

    code: int | None = 0
    drains: bool = True
    pid: int = 4_000_000
    asked: list[int] = field(default_factory=list)
    drained: Callable[[], None] = lambda: None

    def poll(self) -> int | None:
        return self.code

    def send_signal(self, sig: int) -> None:
        self.asked.append(sig)
        if self.drains or sig == signal.SIGKILL:
            self.drained()
            self.code = 143 if self.drains else -9

    def wait(self, timeout: float | None = None) -> int:
        return self.code or 0


def publish(run: RunFolder, corpus: Path, names: list[str], status: str = "finished", **statuses: str) -> None:
    """What a run leaves: who it is, what it was to do, and a line for each of `names` that it got to."""
    run.config.mkdir(parents=True, exist_ok=True)
    (run.config / "config.yaml").write_text("job: {name: prompt, max_failed: 1}\nmodel: {}\nsampling: {}\ningest: {}\n")
    identity = RunIdentity(
        1, "abc", status, 0, "prompt", "any", "tiny", (), (str(corpus),), "2026-11-02T02:30:00+0000", None, 1, 1,  # type: ignore[arg-type]
        "boot", "0", "/", (),
    )  # fmt: skip
    folder.write_identity(run, identity)
    lines = [
        {
            "source": str(corpus / name), "doc_id": (corpus / name).read_text(), "status": statuses.get(name, "ok"),
            "reason": "" if statuses.get(name, "ok") == "ok" else "schema: no", "output": name, "parts": [],
            "reused_from": None,
        }
        for name in names
    ]  # fmt: skip
    run.results.write_text("".join(json.dumps(line) + "\n" for line in lines))


class Machine:
    """A user with a corpus and a schedule, and runs that do what `acts` says."""

    def __init__(self, base: Path, **changes: Any) -> None:
        self.base, self.corpus = base, base / "corpus"
        self.corpus.mkdir()
        self.schedule = schedule.Schedule(
            name="nightly", cron="30 2 * * *", overrides=("job=prompt",), cwd=str(base), keep_awake=False,
            created=datetime.fromtimestamp(FIRST - 3600, UTC).isoformat(), disk_low="1KiB", **changes,
        )  # fmt: skip
        schedule.save(self.schedule)
        self.launched: list[tuple[str, ...]] = []
        self.made: list[Made] = []
        self.told: list[str] = []

    def put(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.corpus / name).write_text(text)

    def night(self, moment: float, act: Callable[[RunFolder, Made], None], *, later: float = 0.0, **world: Any) -> int:
        """`later`: by how much the clock moves on between two looks at a run."""
        now = [moment]

        def clock() -> float:
            now[0] += later
            return now[0]

        def start(launch: Launch) -> Process:
            self.launched.append(launch.words)
            launch.console.touch()
            words = [word for word in launch.words if word.startswith("output.run_dir=")]
            run = RunFolder(Path(words[0].partition("=")[2] if words else launch.words[1]))
            made = Made()
            act(run, made)
            self.made.append(made)
            return made

        def send(_sink: Any, alert: Any, _environment: Any) -> None:
            self.told.append(f"{alert.kind} {alert.state}")

        here = World(
            boot_id="boot", environment={}, zone=UTC, clock=clock, start=start, awake=lambda _: nullcontext(""),
            mains=lambda: Reading(None, "no"), cool=lambda: Reading(None, "no"), send=send,
        )  # fmt: skip
        return Night(self.schedule, replace(here, **world)).run()

    def events(self, kind: str) -> list[dict[str, Any]]:
        found = history.History(layout.schedule_state_dir("nightly") / "history.jsonl").events()
        return [event for event in found if event["event"] == kind]


@pytest.fixture
def machine(home: Path) -> Machine:
    return Machine(home, notify=("command=told",))


def finishes(machine: Machine, *names: str, **statuses: str) -> Callable[[RunFolder, Made], None]:
    return lambda run, made: publish(run, machine.corpus, list(names), **statuses)


def hangs(machine: Machine, *names: str, drains: bool = True) -> Callable[[RunFolder, Made], None]:
    def act(run: RunFolder, made: Made) -> None:
        made.code, made.drains = None, drains
        publish(run, machine.corpus, list(names), "running")
        made.drained = lambda: publish(run, machine.corpus, list(names), "interrupted" if drains else "running")

    return act


def test_a_night_out_of_time_drains_and_the_next_one_goes_on_with_its_run_before_anything_new(machine: Machine) -> None:
    machine.schedule = replace(machine.schedule, budget="1h")
    machine.put(a="1", b="1")
    assert machine.night(FIRST, hangs(machine, "a"), later=600.0) == 0
    (ended,) = machine.events("night.ended")
    assert ended["outcome"] == "out_of_time"
    assert ended["counts"]["ok"] == 1
    assert machine.made[0].asked == [signal.SIGTERM]
    assert machine.night(FIRST + DAY, finishes(machine, "a", "b")) == 0
    assert machine.launched[1][:2] == ("resume", machine.events("run.begun")[0]["folder"])
    assert [event["kind"] for event in machine.events("run.begun")] == ["main", "resume", "main"]
    assert machine.told == []


def test_a_night_past_its_timeout_is_stopped_killed_when_it_must_be_and_told_as_failed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "DRAIN_LIMIT_S", 0.0)
    machine.schedule = replace(machine.schedule, timeout="2h")
    machine.put(a="1")
    assert machine.night(FIRST, hangs(machine, "a", drains=False), later=3600.0) == 1
    assert machine.made[0].asked[0] == signal.SIGTERM
    assert machine.made[0].asked[-1] == signal.SIGKILL
    assert machine.events("night.ended")[0]["outcome"] == "failed"
    assert machine.told == ["failed firing"]


def test_after_schedule_changes_or_failed_resumes_a_run_is_given_up_for_a_new_one(machine: Machine) -> None:
    machine.put(a="1")

    def fails(run: RunFolder, made: Made) -> None:
        publish(run, machine.corpus, ["a"], "failed")
        made.code = 74

    for night in range(history.MAX_RESUMES + 1):
        assert machine.night(FIRST + night * DAY, fails) == 74
    assert [words[0] for words in machine.launched] == ["--json", "resume", "resume", "resume"]
    machine.night(FIRST + 9 * DAY, fails)
    assert machine.launched[-1][0] == "--json"
    machine.schedule = replace(machine.schedule, overrides=("job=qa",))
    machine.night(FIRST + 10 * DAY, finishes(machine, "a"))
    assert machine.launched[-1][:2] == ("--json", "job=qa")
    assert len(machine.events("run.abandoned")) == 2


def test_a_run_that_the_core_will_not_go_on_with_is_given_up_in_the_same_night(machine: Machine) -> None:
    machine.put(a="1")
    assert machine.night(FIRST, lambda run, made: publish(run, machine.corpus, [], "interrupted")) == 0

    def refuses_resume(run: RunFolder, made: Made) -> None:
        if machine.launched[-1][0] == "resume":
            made.code = 2
        else:
            publish(run, machine.corpus, ["a"])

    assert machine.night(FIRST + DAY, refuses_resume) == 0
    assert machine.events("night.ended")[-1]["counts"]["ok"] == 1


def test_a_run_that_outlives_its_killed_night_counts_when_it_has_ended(machine: Machine) -> None:
    machine.put(a="1", b="1")

    class Killed(BaseException): ...

    def dies(run: RunFolder, made: Made) -> None:
        publish(run, machine.corpus, ["a"])
        raise Killed

    with pytest.raises(Killed):
        machine.night(FIRST, dies)
    assert machine.night(FIRST + DAY, finishes(machine, "a", "b")) == 0
    assert [event["kind"] for event in machine.events("run.begun")] == ["main", "main"]
    assert [event["result"] for event in machine.events("run.ended")] == ["finished", "finished"]
    assert machine.told == ["failed firing", "failed resolved"]


def test_a_night_waits_for_the_device_unless_its_words_say_otherwise(machine: Machine) -> None:
    machine.put(a="1")
    machine.night(FIRST, finishes(machine, "a"))
    machine.schedule = replace(machine.schedule, overrides=("job=prompt", "on_busy=skip"))
    machine.night(FIRST + DAY, finishes(machine, "a"))
    busy = [[word for word in words if word.startswith("on_busy=")] for words in machine.launched]
    assert busy == [["on_busy=wait"], ["on_busy=skip"]]


def test_missed_times_are_told_once_and_made_up_for_once(machine: Machine) -> None:
    machine.put(a="1")
    machine.night(FIRST, finishes(machine, "a"))
    machine.night(FIRST + 4 * DAY + 7 * 3600, finishes(machine, "a"))  # late, and three were missed
    assert len(machine.launched) == 2
    assert len(machine.events("night.begun")[1]["missed"]) == 3
    assert machine.told == ["missed firing"]
    machine.night(FIRST + 5 * DAY, finishes(machine, "a"))
    machine.night(FIRST + 7 * DAY, finishes(machine, "a"))
    assert machine.told == ["missed firing", "missed firing"]


def test_without_catch_up_a_late_call_is_told_and_runs_nothing(machine: Machine) -> None:
    machine.schedule = replace(machine.schedule, catch_up=False)
    machine.night(FIRST + 3600, finishes(machine))
    assert machine.launched == []
    assert machine.events("night.skipped")[0]["reason"] == "the time had passed, and catch_up is false"
    assert machine.told == ["missed firing"]


def test_on_battery_nothing_runs_where_mains_power_is_required_and_it_is_told(machine: Machine) -> None:
    machine.schedule = replace(machine.schedule, require_ac=True)
    assert machine.night(FIRST, finishes(machine), mains=lambda: Reading(False, "on battery power")) == 0
    assert machine.launched == []
    assert machine.told == ["missed firing"]


def test_more_failures_than_allowed_are_told_once_and_count_also_on_nights_without_work(
    machine: Machine,
) -> None:
    machine.put(a="1", b="1", c="1")
    assert machine.night(FIRST, finishes(machine, "a", "b", "c", a="failed", b="failed")) == 3
    unchanged = '{"nothing_to_do": true, "files": 3, "inputs_unchanged": 3}\n'

    def nothing(run: RunFolder, made: Made) -> None:
        (layout.schedule_state_dir("nightly") / "console" / "night-000002.log").write_text(unchanged)

    assert machine.night(FIRST + DAY, nothing) == 3
    assert machine.events("night.ended")[1]["counts"]["retried"] == 0, "it was due, and no run came to it"
    machine.put(a="2")
    assert machine.night(FIRST + 2 * DAY, finishes(machine, "a", "b", "c", b="failed")) == 0
    assert machine.told == ["documents firing"]
    machine.put(c="2")
    assert machine.night(FIRST + 3 * DAY, finishes(machine, "a", "b", "c", b="failed", c="failed")) == 3
    assert machine.told == ["documents firing", "documents firing"], "others than before"


def test_what_is_quarantined_counts_for_the_night_that_gave_it_up_and_no_more(machine: Machine) -> None:
    machine.put(a="1", b="1")
    poison = finishes(machine, "a", "b", a="quarantined", b="quarantined")
    assert [machine.night(FIRST + night * DAY, poison) for night in range(3)] == [3, 0, 0]
    assert machine.told == ["documents firing"]


def test_a_night_that_cannot_write_its_own_history_is_told_all_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StorageError("cannot write history.jsonl: No space left on device")

    monkeypatch.setattr(history.History, "append", full)
    with pytest.raises(StorageError):
        machine.night(FIRST, finishes(machine))
    assert machine.told == ["failed firing"]


def test_a_night_with_nothing_to_do_publishes_when_its_own_runs_do_not_know_all_there_is(machine: Machine) -> None:
    machine.put(a="1", b="1")

    def act(run: RunFolder, made: Made) -> None:
        if "output.unchanged=publish" in machine.launched[-1]:
            publish(run, machine.corpus, ["a", "b"])
        else:
            console = layout.schedule_state_dir("nightly") / "console" / "night-000001.log"
            console.write_text('{"nothing_to_do": true, "files": 2, "inputs_unchanged": 2}\n')

    assert machine.night(FIRST, act) == 0
    assert machine.events("night.ended")[0]["counts"]["ok"] == 2


def test_the_second_of_two_waits_or_asks_the_first_to_end_as_it_was_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.put(a="1")
    lock = FileLock(layout.schedule_state_dir("nightly") / "lock")
    assert lock.acquire("the night before")
    monkeypatch.setattr(overlap, "STEP_S", 0.0)
    monkeypatch.setattr(overlap, "_is_runner", lambda pid: True)
    asked: list[tuple[int, int]] = []

    def kill(pid: int, sig: int) -> None:
        asked.append((pid, sig))
        lock.release()

    monkeypatch.setattr("os.kill", kill)
    machine.schedule = replace(machine.schedule, overlap="replace")
    assert machine.night(FIRST, finishes(machine, "a")) == 0
    assert [sig for _, sig in asked] == [signal.SIGTERM]
    assert len(machine.launched) == 1
    assert lock.acquire("again")
    machine.schedule = replace(machine.schedule, overlap="wait", timeout="1s")
    assert machine.night(FIRST + DAY, finishes(machine, "a")) == 75
    assert len(machine.launched) == 1
    lock.release()


def test_a_process_number_that_another_program_has_by_now_is_never_signalled(tmp_path: Path) -> None:
    import os

    (tmp_path / "lock").write_text(json.dumps({"pid": 1, "run_pid": os.getpid(), "purpose": "x", "since": "y"}))
    assert overlap.holders(tmp_path / "lock") == []


# ---- results ----


def results(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, tuple[str, int, bool]]:
    assert cli.main(["results", *words]) == 0
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    return {Path(line["source"]).name: (line["doc_id"], line["night"], line["deleted"]) for line in lines}


def test_results_have_a_history_and_a_way_back_and_lose_or_mark_what_is_gone(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.put(a="1", b="1")
    machine.night(FIRST, finishes(machine, "a", "b"))
    machine.put(b="2", c="1")
    (machine.corpus / "a").unlink()
    machine.night(FIRST + DAY, finishes(machine, "b", "c"))
    capsys.readouterr()
    first, second = {"a": ("1", 1, False), "b": ("1", 1, False)}, {"b": ("2", 2, False), "c": ("1", 2, False)}
    assert results(capsys, "nightly") == second
    assert results(capsys, "nightly", "--night", "1") == first
    assert cli.main(["results", "nightly", "--rollback", "1"]) == 0
    capsys.readouterr()
    assert results(capsys, "nightly") == first
    assert cli.main(["results", "nightly", "--latest"]) == 0
    capsys.readouterr()
    assert results(capsys, "nightly") == second
    schedule.save(replace(machine.schedule, deleted="keep"))
    assert results(capsys, "nightly") == {**second, "a": ("1", 1, True)}
    assert cli.main(["results", "nightly", "--night", "7"]) == 2
    assert "has no night 7 that ended" in capsys.readouterr().err
    assert results(capsys, "prompt", "--outputs", str(machine.base / "outputs")) == second


def test_a_parquet_file_has_the_same_rows_also_when_a_column_is_null_everywhere(
    machine: Machine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="platform: pyarrow is an extra")
    machine.put(a="1", b="1")
    machine.night(FIRST, finishes(machine, "a", "b"))
    assert cli.main(["results", "nightly", "--out", str(tmp_path / "t.parquet")]) == 0
    rows = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [(Path(row["source"]).name, row["status"], row["reused_from"]) for row in rows] == [
        ("a", "ok", None), ("b", "ok", None),
    ]  # fmt: skip


def test_quarantine_lists_and_releases_by_name_or_reason(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.put(a="1", b="1")
    machine.night(FIRST, finishes(machine, "a", "b", a="quarantined", b="failed"))
    capsys.readouterr()
    assert cli.main(["quarantine", "ls", "nightly"]) == 0
    assert capsys.readouterr().out.startswith(f"{machine.corpus / 'a'}: quarantined, 0 tries")
    assert cli.main(["quarantine", "release", "nightly", str(machine.corpus / "b")]) == 2
    assert cli.main(["quarantine", "release", "nightly", "--all", "--reason", "schema"]) == 0
    capsys.readouterr()
    assert cli.main(["quarantine", "ls", "nightly"]) == 0
    assert capsys.readouterr().out == "none\n"
    assert asdict(machine.schedule)["name"] == "nightly"
