"""The thread that works through the batches, the oldest first, one at a time.

A batch that a killed server left is like one that never began: its folder says what is done. Called by app.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence

from runner.batch.answers import Line
from runner.batch.requests import Fault, parse
from runner.batch.work import Work
from runner.errors import RunnerError
from runner.serve.state import ENDED, Object, State
from runner.store.files import storage

MOST_FAULTS = 100


class Dispatch:
    """`words`: the overrides of every batch that begins now; one that was begun keeps its own."""

    def __init__(self, state: State, words: Sequence[str]) -> None:
        self._state, self._words = state, tuple(words)
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._work: tuple[str, Work] | None = None
        self._thread = threading.Thread(target=self._turns, name="dispatch")

    def start(self) -> None:
        """Begins, with what an earlier server left."""
        self._thread.start()

    def stop(self) -> None:
        """Drains the run that is under way; the next start goes on."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """There is something new to do."""
        self._wake.set()

    def shown(self, batch: Object) -> Object:
        """With the counts of now."""
        with self._state.guard:
            current = self._work
            if current is None or current[0] != batch["id"]:
                return batch
            return {**batch, "request_counts": current[1].counts()}

    def _turns(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            waiting = [batch for batch in self._state.batches() if batch["status"] not in ENDED]
            if not waiting:
                self._wake.wait()
                continue
            batch_id = waiting[-1]["id"]
            try:
                self._one(batch_id)
            except RunnerError as error:
                print(f"{batch_id}: {error.problem}", file=sys.stderr, flush=True)
                self._fail(batch_id, [Fault("storage_error", error.problem)])
            finally:
                self._work = None

    def _fail(self, batch_id: str, faults: Sequence[Fault]) -> None:
        data = [
            {"code": fault.code, "message": fault.message, "line": fault.line, "param": fault.param}
            for fault in faults[:MOST_FAULTS]
        ]
        self._state.change(batch_id, status="failed", errors={"object": "list", "data": data})

    def _cancelled(self, batch_id: str) -> bool:
        batch = self._state.batch(batch_id)
        return batch is not None and batch["status"] == "cancelling"

    def _one(self, batch_id: str) -> None:
        batch = self._state.batch(batch_id)
        assert batch is not None
        root = self._state.batch_folder(batch_id) / "work"
        if not (root / "batch.json").is_file():
            if self._state.file(batch["input_file_id"]) is None:
                return self._fail(batch_id, [Fault("invalid_file", "The input file was deleted.")])
            path = self._state.content(batch["input_file_id"])
            with storage(f"cannot read {path}"):
                data = path.read_bytes()
            if faults := parse(data, batch["endpoint"]).faults:
                return self._fail(batch_id, faults)
            Work.create(root, batch_id, self._words, data)
        work = Work.open(root)
        with self._state.guard:
            if batch["status"] == "validating" and not self._cancelled(batch_id):
                self._state.change(batch_id, status="in_progress")
        self._work = (batch_id, work)
        ended = work.run(lambda: self._stopping.is_set() or self._cancelled(batch_id))
        if not ended and self._stopping.is_set():
            return None
        return self._finish(batch_id, work, ended)

    def _finish(self, batch_id: str, work: Work, ended: bool) -> None:
        """Files first, under ids that follow from the batch's, then the state that names them."""
        with self._state.guard:
            if not self._cancelled(batch_id) and ended:
                self._state.change(batch_id, status="finalizing")
        cancelled = not ended and self._cancelled(batch_id)
        left = ("batch_cancelled", "This batch was cancelled before the request was run.") if cancelled else None
        right, wrong = work.lines(left)
        number = batch_id.removeprefix("batch_")
        names = {
            key: self._state.add_file(
                _text(lines), f"{batch_id}_{kind}.jsonl", "batch_output", f"file-{number}{end}"
            )["id"]
            for key, kind, end, lines in (
                ("output_file_id", "output", "01", right), ("error_file_id", "error", "02", wrong)
            )
            if lines
        }  # fmt: skip
        counts = {"total": len(right) + len(wrong), "completed": len(right), "failed": len(wrong)}
        if cancelled:
            self._state.change(batch_id, status="cancelled", request_counts=counts, **names)
        elif ended:
            self._state.change(batch_id, status="completed", request_counts=counts, **names)
        else:
            self._state.change(batch_id, request_counts=counts, **names)
            self._fail(batch_id, [Fault("run_failed", work.problem)])


def _text(lines: Sequence[Line]) -> bytes:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
