"""Ten nights over a corpus that gains, changes and loses documents, with a kill -9, a restart of the machine, a full
disk, a
missed night and an overlapping start: the results are those of one clean run, nothing is done twice, each alert comes
once.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner import layout
from runner.models import ModelChoice, resolve
from runner.nights import documents, history, schedule
from runner.nights.children import Launch, Process
from runner.nights.night import Night
from runner.store.locks import is_held
from tests.fault import journal_reader, oracle
from tests.nights import life

DAY = 86400.0
FIRST = datetime(2026, 11, 2, 2, 30, tzinfo=UTC).timestamp()
SCRIPT = json.dumps({"output": "echo", "steps": 3, "delay_ms_per_step": 40})


class Story:
    """A corpus, a schedule, and a machine whose time and boots are ours."""

    def __init__(self, base: Path, **changes: Any) -> None:
        self.base, self.corpus, self.told = base, base / "corpus", base / "told"
        self.corpus.mkdir()
        model = resolve(ModelChoice("tiny"), base / "models").path
        words = (
            f"model.path={model}", f"model.script={SCRIPT}", f"input={self.corpus}", f"output.dir={base / 'outputs'}",
        )  # fmt: skip
        tell = f"""sh -c 'cat >> "$0"' {shlex.quote(str(self.told))}"""
        self.schedule = schedule.Schedule(
            name="nightly", cron="30 2 * * *", overrides=words, cwd=str(base), keep_awake=False, disk_low="1MiB",
            created=datetime.fromtimestamp(FIRST - 3600, UTC).isoformat(), notify=(f"command={tell}",), **changes,
        )  # fmt: skip
        schedule.check(self.schedule)
        schedule.save(self.schedule)

    def write(self, *names: str, text: str = "says something of its own") -> None:
        for name in names:
            (self.corpus / f"{name}.txt").write_text(f"{name} {text}\n")

    def night(self, day: int, boot: str = "boot-1", start: Any = None) -> int:
        return Night(self.schedule, life.world(FIRST + DAY * (day - 1), boot, start)).run()

    def killed_night(self, day: int, boot: str, commits: int) -> None:
        """kill -9 of the night and of its run, once so many documents are committed."""
        night = subprocess.Popen(
            [sys.executable, life.__file__, "night", "nightly", str(FIRST + DAY * (day - 1)), boot],
            env={**os.environ, "PYTHONPATH": str(life.ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        lock = layout.schedule_state_dir("nightly") / "lock"
        for _ in range(3000):
            begun = [event for event in self.events() if event["event"] == "run.begun"]
            if begun and begun[-1]["night"] == day and oracle.committed(Path(begun[-1]["folder"])) >= commits:
                break
            assert night.poll() is None, "the night ended before it could be killed"
            time.sleep(0.01)
        run = json.loads(lock.read_text())["run_pid"]
        night.kill()
        night.wait()
        os.kill(run, 9)
        while is_held(lock):  # until its last thread has gone
            time.sleep(0.01)

    def events(self) -> list[dict[str, Any]]:
        return history.History(layout.schedule_state_dir("nightly") / "history.jsonl").events()

    def alerts(self) -> list[tuple[str, str]]:
        lines = self.told.read_text().splitlines() if self.told.exists() else []
        return [(alert["kind"], alert["state"]) for alert in map(json.loads, lines)]

    def view(self) -> dict[str, tuple[str, str]]:
        found = Night(self.schedule, life.world(FIRST, "any")).runs.results()
        return {line["source"]: (line["status"], line["output"]) for line in found.lines()}

    def last(self) -> dict[str, Any]:
        return dict(history.ended_nights(self.events())[-1])

    def committed_twice(self) -> list[str]:
        """Work that two results were committed for, over all nights."""
        results: Counter[str] = Counter()
        for journal in self.base.glob("outputs/runs/*/*/journal"):
            records, _ = journal_reader.read(journal)
            results.update(record.body["work_id"] for record in records if record.kind == "result")
        return [work for work, count in results.items() if count > 1]


def clean_run(story: Story) -> dict[str, tuple[str, str]]:
    """One run over the corpus as it is, in outputs of its own."""
    outputs = story.base / "clean"
    words = [
        *story.schedule.overrides[:-1],
        f"output.dir={outputs}",
        f"output.run_dir={outputs / 'runs' / 'day' / 'one'}",
    ]
    command = [sys.executable, life.__file__, "run", "clean", "0", *words]
    done = subprocess.run(
        command, cwd=story.base, env={**os.environ, "PYTHONPATH": str(life.ROOT)}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    found = oracle.lines(outputs / "latest" / "results.jsonl")
    return {line["source"]: (line["status"], line["output"]) for line in found}


def test_ten_nights_end_as_one_clean_run_would_with_nothing_done_twice_and_each_alert_once(home: Path) -> None:
    story = Story(home)
    many = [f"doc-{number:02}" for number in range(12)]

    # 1, 2: a first night, then one document more, one changed, one gone, and one that no reader can read.
    story.write(*many)
    assert story.night(1) == 0
    assert story.last()["counts"]["new"] == 12
    story.write("more-1")
    story.write("doc-03", text="says something else")
    (story.corpus / "doc-05.txt").unlink()
    (story.corpus / "odd.txt").write_bytes(b"\0\1\2 binary")
    assert story.night(2) == 0
    found = story.last()["counts"]
    assert (found["new"], found["changed"], found["deleted"], found["unchanged"]) == (2, 1, 1, 10)

    # 3, 4: killed in the middle; the next night goes on with it, and finds what came since.
    story.write(*(f"third-{number}" for number in range(8)))
    story.killed_night(3, "boot-1", commits=2)
    story.write("fourth")
    assert story.night(4) == 0
    assert [event["kind"] for event in story.events() if event["event"] == "run.begun"][-2:] == ["resume", "main"]
    assert story.alerts() == [("failed", "firing"), ("failed", "resolved")]

    # 5, 6: the machine itself goes down in the middle.
    story.write(*(f"fifth-{number}" for number in range(8)))
    story.killed_night(5, "boot-1", commits=2)
    (story.corpus / "third-0.txt").unlink()
    assert story.night(6, "boot-2") == 0
    assert [event["restarted"] for event in story.events() if event["event"] == "night.died"] == [False, True]

    # 7: the disk is full in the middle: storage error, nothing acknowledged is lost.
    story.write(*(f"seventh-{number}" for number in range(30)), text="is long " * 40)
    assert story.night(7, "boot-2", life.starter("boot-2", file_bytes=24_000)) == 74
    assert story.last()["outcome"] == "failed"

    # 8 is missed. 9 goes on where 7 stopped, while somebody starts a second one beside it.
    (story.corpus / "doc-07.txt").unlink()
    beside: list[int] = []

    def start(launch: Launch) -> Process:
        process = life.starter("boot-3")(launch)
        if not beside:
            beside.append(story.night(9, "boot-3"))
        return process

    assert story.night(9, "boot-3", start) == 0
    assert beside == [0]
    skipped = [event["reason"] for event in story.events() if event["event"] == "night.skipped"]
    assert skipped == ["overlap"]

    # 10: the unreadable one was replaced; all else is as it was.
    assert "odd.txt" in next(iter(documents.read(layout.schedule_state_dir("nightly") / "documents.json")))
    story.write("odd", text="can be read now")
    assert story.night(10, "boot-3") == 0
    assert story.last()["counts"]["changed"] == 1

    results, clean = story.view(), clean_run(story)
    assert results == clean
    assert story.committed_twice() == []
    failed = [("failed", "firing"), ("failed", "resolved")]
    assert Counter(story.alerts()) == Counter([*failed, *failed, *failed, ("missed", "firing")])
    assert not documents.read(layout.schedule_state_dir("nightly") / "documents.json")

    # What would turn it red: a night that reuses nothing, and results that keep what is gone.
    story.schedule = replace(story.schedule, overrides=(*story.schedule.overrides, "output.reuse=never"))
    assert story.night(11, "boot-3") == 0
    assert story.committed_twice() != []
    story.schedule = replace(story.schedule, deleted="keep")
    assert story.view() != clean
