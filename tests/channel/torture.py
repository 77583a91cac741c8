"""The harness of the kill tests: exec'ed workers killed from outside at random moments, every document counted.

A thread kills workers at times of its own, also while the main loop drains, submits or sleeps; the main loop learns of
a death only by the end of file on the worker's socket. No time-outs in waits: a lost wake-up hangs and does not hide.
`bug` plants one mistake, in the order of things here or in the worker, that a good test must turn red for.
"""

import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from runner import _native
from tests.channel.echo_worker import answer

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_CREDITS = 8
_BUDGET = 8 << 20
BUGS = ("requeue_before_last_drain", "forget_leases", "publish_before_write")


@dataclass
class Verdict:
    """What a torture saw. `healthy` is what must hold whatever was killed."""

    documents: int = 0
    kills: int = 0
    requeued: int = 0
    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    broken: int = 0
    bytes_left: int = 0
    descriptors_leaked: int = 0
    cap_exceeded: bool = False

    @property
    def healthy(self) -> bool:
        bad = (self.lost, self.duplicated, self.wrong, self.broken, self.bytes_left, self.descriptors_leaked)
        return not any(bad) and not self.cap_exceeded


@dataclass
class _Seat:
    process: "subprocess.Popen[bytes]"
    port: _native.RunnerPort
    leased: set[int] = field(default_factory=set)
    answered: bool = False


def _descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


class Torture:
    """Runs until `kills` workers were killed and everything submitted is finished."""

    def __init__(self, seed: int, kills: int, workers: int = 3, bug: str = "", spin_us: int = 20) -> None:
        self._random = random.Random(seed)
        self._kill_random = random.Random(seed + 1)
        self._target, self._bug, self._spin_us = kills, bug, spin_us
        settings = {
            "ipc_budget_bytes": _BUDGET,
            "segment_bytes": 1 << 20,
            "output_slot_bytes": 32768,
            "ring_entries": 16,
            "spin_us": spin_us,
            "checksums": True,
        }
        self._descriptors_before = _descriptors()
        self._arena = _native.DocumentArena(json.dumps(settings))
        self._queue: deque[int] = deque()
        self._tokens: dict[int, list[int]] = {}
        self._done: Counter[int] = Counter()
        self._verdict = Verdict()
        self._lock = threading.Lock()  # guards the seats against the killer
        self._stop = threading.Event()
        self._seats = [self._spawn() for _ in range(workers)]

    def run(self) -> Verdict:
        killer = threading.Thread(target=self._kill_at_random, daemon=True)
        killer.start()
        try:
            while self._working():
                self._turn()
        finally:
            self._stop.set()
            killer.join()
            self._bury_all()
        return self._judge()

    def _working(self) -> bool:
        if self._verdict.broken:
            return False
        return self._verdict.kills < self._target or bool(self._queue) or any(seat.leased for seat in self._seats)

    def _spawn(self) -> _Seat:
        port = _native.RunnerPort(self._arena, _CREDITS)
        channel, control, documents = port.child_ends()
        bug = self._bug if self._bug == "publish_before_write" else ""
        arguments = [str(number) for number in (channel, control, self._spin_us, bug, *documents)]
        process = subprocess.Popen(
            [sys.executable, "-P", str(_HERE / "echo_worker.py"), *arguments],
            pass_fds=(channel, control, *documents),
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1"},
        )
        for fd in (channel, control, *documents):
            os.close(fd)
        return _Seat(process, port)

    def _turn(self) -> None:
        while len(self._queue) < 2 * _CREDITS * len(self._seats) and self._verdict.kills < self._target:
            handle = self._verdict.documents
            self._verdict.documents += 1
            length = self._random.choice((0, 1, 3, 100, self._random.randrange(2000)))
            self._tokens[handle] = [self._random.randrange(1 << 32) for _ in range(length)]
            self._queue.append(handle)
        for seat in self._seats:
            self._submit(seat)
        if all(seat.port.prepare_sleep() for seat in self._seats):
            select.select([seat.port.poll_fd() for seat in self._seats], [], [])
        for index, seat in enumerate(self._seats):
            with self._lock:
                alive = seat.port.wake()
                if alive:
                    self._drain(seat)
            if not alive:
                self._bury(index)

    def _submit(self, seat: _Seat) -> None:
        batch = [self._queue[i] for i in range(min(_CREDITS, len(self._queue)))]
        accepted = seat.port.submit([(handle, self._tokens[handle], 5) for handle in batch])
        for _ in range(accepted):
            seat.leased.add(self._queue.popleft())
        self._verdict.cap_exceeded |= self._arena.segment_bytes_total > _BUDGET

    def _drain(self, seat: _Seat) -> None:
        try:
            completions = seat.port.drain()
        except _native.ChannelBroken:
            self._verdict.broken += 1
            return
        for handle, status, output, _reason, _finish, _tokens_in, _tokens_out in completions:
            self._done[handle] += 1
            seat.leased.discard(handle)
            seat.answered = True
            if status != "ok" or output != answer(handle, self._tokens[handle]):
                self._verdict.wrong += 1

    def _bury(self, index: int) -> None:
        """The order that must hold: reap, last drain, take the leases back, start anew."""
        with self._lock:
            seat = self._seats[index]
            seat.process.wait()
        if self._bug == "requeue_before_last_drain":
            self._queue.extend(seat.leased)
            self._drain(seat)
            seat.port.close()
        else:
            self._drain(seat)
            left = seat.port.close()
            self._verdict.requeued += len(left)
            if self._bug != "forget_leases":
                self._queue.extendleft(reversed(left))
        fresh = self._spawn()
        with self._lock:
            self._seats[index] = fresh

    def _kill_at_random(self) -> None:
        """Only workers that answered once: a kill during the interpreter's start shows nothing."""
        while not self._stop.wait(self._kill_random.random() * 0.004):
            with self._lock:
                ready = [seat for seat in self._seats if seat.answered and seat.process.returncode is None]
                if not ready or self._verdict.kills >= self._target:
                    continue
                seat = self._kill_random.choice(ready)
                seat.answered = False
                if self._kill_random.random() < 0.5:
                    self._let_it_publish(seat)
                how = self._kill_random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
                os.kill(seat.process.pid, how)  # not reaped yet: only `_bury` reaps, under the lock
                if how == signal.SIGSTOP:
                    os.kill(seat.process.pid, signal.SIGKILL)
                self._verdict.kills += 1

    def _let_it_publish(self, seat: _Seat) -> None:
        """Two more turns of the worker while the main loop stands still: results that lie there undrained at death."""
        first = seat.port.progress()[1]
        for _ in range(40):
            if seat.port.progress()[1] >= first + 2 or self._stop.wait(0.0005):
                return

    def _bury_all(self) -> None:
        for seat in self._seats:
            seat.process.kill()
            seat.process.wait()
            seat.port.close()

    def _judge(self) -> Verdict:
        verdict = self._verdict
        verdict.lost = sum(self._done[handle] == 0 for handle in range(verdict.documents))
        verdict.duplicated = sum(count > 1 for count in self._done.values())
        verdict.bytes_left = self._arena.bytes_in_use
        del self._arena
        self._seats.clear()
        verdict.descriptors_leaked = _descriptors() - self._descriptors_before
        return verdict
