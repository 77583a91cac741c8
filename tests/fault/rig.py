"""One corpus, one run folder, and lives that get killed. Gathers at every death what had been acknowledged by then."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fault import journal_reader, oracle

DRIVER = Path(__file__).with_name("driver.py")
ROOT = Path(__file__).parents[2]


class Rig:
    """`poison`: number of a document -> word after POISON: that the scripted engine acts on."""

    def __init__(self, base: Path, model_path: Path, documents: int, poison: dict[int, str] | None = None, **spec: Any):
        self.base = base
        self.inputs = base / "in"
        self.run = base / "outputs" / "runs" / "one"
        self.spec_file = base / "spec.json"
        self.inputs.mkdir(parents=True)
        self.names: list[str] = []
        self.poison = frozenset(f"doc-{number:05}.txt" for number in poison or {})
        for number in range(documents):
            name = f"doc-{number:05}.txt"
            word = f" POISON:{poison[number]} x" if poison and number in poison else ""
            (self.inputs / name).write_text(f"doc-{number:05} says something of its own.{word}\n")
            self.names.append(name)
        self.spec = {"inputs": str(self.inputs), "outputs": str(base / "outputs"), "run_dir": str(self.run),
                     "model_path": str(model_path), "script": {"output": "echo", "steps": 2}, **spec}  # fmt: skip
        self.acked: dict[str, dict[str, Any]] = {}
        self.stderr = base / "stderr"
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *prefix: str, **changes: Any) -> "subprocess.Popen[bytes]":
        """One life. `prefix`: a command in front (strace)."""
        self.spec_file.write_text(json.dumps({**self.spec, **changes}))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(self.base / "state")}
        # Through a process of its own: a file size limit that a lane sets for the runner must not cut off what it says.
        with self.stderr.open("ab") as kept:
            sink = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=kept)
        self.started.append(sink)
        assert sink.stdin is not None
        with sink.stdin as stderr:
            life = subprocess.Popen(
                [*prefix, sys.executable, str(DRIVER), str(self.spec_file)],
                env=environment, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True,
            )  # fmt: skip
        self.started.append(life)
        return life

    def until_committed(self, process: "subprocess.Popen[bytes]", count: int) -> bool:
        """Waits for `count` results in the journal; False when the life ended before."""
        for _ in range(6000):
            if oracle.committed(self.run) >= count:
                return True
            try:
                process.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
            return False
        raise AssertionError(f"no {count} results within 60 s: {self.tail()}")

    def children(self, pid: int) -> list[int]:
        """Workers of the life."""
        try:
            return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except FileNotFoundError:
            return []

    def kill(self, process: "subprocess.Popen[bytes]", whom: str) -> None:
        """`runner`, `worker` or `both`; takes down what was acknowledged when the runner died."""
        if whom in ("worker", "both"):
            for pid in self.children(process.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue  # it ended between the listing and the kill
        if whom in ("runner", "both"):
            process.kill()
            process.wait()
            self.note_acknowledged()

    def note_acknowledged(self) -> None:
        self.acked |= oracle.acknowledged(self.run)

    def finish(self, seconds: float = 60, **changes: Any) -> int:
        """A life with no fault, to its end."""
        process = self.start(**changes)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill(process, "both")
            return -1

    def judge(self, check_crc: bool = True) -> oracle.Verdict:
        return oracle.judge(self.names, self.run, self.acked, self.poison, check_crc)

    def again(self) -> None:
        """The same corpus with no run at all."""
        shutil.rmtree(self.base / "outputs", ignore_errors=True)
        self.acked.clear()

    def tail(self) -> str:
        return self.stderr.read_text(errors="replace")[-2000:] if self.stderr.exists() else ""

    def close(self) -> None:
        """Ends whatever a failed test left running, and reaps everything."""
        for process in reversed(self.started):
            if process.poll() is None and process.args != ["cat"]:
                process.kill()
            process.wait(10)

    def random_kill(self, chance: random.Random, at_least: int, window_s: float) -> bool:
        """One life killed at a random moment after `at_least` new commits. False when it ended before."""
        before = oracle.committed(self.run)
        process = self.start()
        if not self.until_committed(process, before + at_least):
            return False
        whom = chance.choice(("runner", "both", "worker+runner"))
        try:
            process.wait(chance.uniform(0.0, window_s))
        except subprocess.TimeoutExpired:
            if whom == "worker+runner":
                self.kill(process, "worker")
                whom = "runner"
                try:
                    process.wait(chance.uniform(0.0, 0.2))
                except subprocess.TimeoutExpired:
                    self.kill(process, whom)
            else:
                self.kill(process, whom)
            return True
        return False

    # -- bugs planted between two lives ------------------------------------------------------------------------------

    def plant_lost_tail(self) -> None:
        """As if the last results had been acknowledged before they were written."""
        records, _ = journal_reader.read(self.run / "journal")
        results = [record for record in records if record.kind == "result"]
        os.truncate(self.run / "journal", results[max(0, len(results) - 3)].offset)

    def plant_charged_kill(self) -> None:
        """As if every start without an end counted against its document, whoever died: the third time is the last."""
        journal = self.run / "journal"
        records, _ = journal_reader.read(journal)
        open_ids: set[str] = set()
        deaths: Counter[str] = Counter()
        for record in records:
            if record.kind == "life":
                deaths.update(open_ids)
                open_ids.clear()
            elif record.kind == "start":
                open_ids.update(record.body["work_ids"])
            elif record.kind == "result":
                open_ids.discard(record.body["work_id"])
            elif record.kind == "release":
                open_ids.difference_update(record.body["work_ids"])
        deaths.update(open_ids)
        end = group = records[-1].end
        added = b""
        for work_id in sorted(name for name, count in deaths.items() if count >= 3):
            body = {"work_id": work_id, "status": "quarantined", "output": "", "reason": "planted", "finish_reason": "",
                    "tokens_in": 0, "tokens_out": 0, "repairs": 0, "attempts": 3,
                    "timings": {"queued_ms": 0.0, "prefill_ms": 0.0, "decode_ms": 0.0}}  # fmt: skip
            added += journal_reader.frame(5, body, group)
        with journal.open("r+b") as file:
            file.truncate(end)
            file.seek(end)
            file.write(added)
