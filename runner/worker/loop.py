"""The worker's one loop: leases in, one step, completions out. Knows the channel and the engine, not which engine it
is.

Does not spawn, pin or load. Every lease it took ends as exactly one completion, also when a step fails, when the runner
asks for a drain, and when the answer breaks its schema. Called by serve.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from runner.answer.evidence import Evidence
from runner.channel import Channel, Completion, Lease
from runner.engine.protocol import Engine, EngineError, FinishedRow, Pace, Row
from runner.structured import Checked, OutputSchema, repair_message

IDLE_WAIT_MS = 500
"""Longest wait for work: the heartbeat and the drain flag are looked at this often when idle."""

DRAIN_SECONDS = 5.0
"""Rows that end within this time are finished in a drain; the others are released."""

REPORT_SECONDS = 2.0
"""Between two reports: what the live view shows is not older."""

PACE_SECONDS = 15.0
"""Between two reports that a forecast compares: some steps of a batch, some hundred an hour."""

_REASON_LIMIT = 2000
_SUSPECTS_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """`recycle_*` 0 = never. `answer_prefix` ends every prompt already and is put in front of what is generated."""

    max_num_seqs: int
    schema_repair: bool
    keep_whole_items: bool
    answer_prefix: str
    recycle_documents: int
    recycle_bytes: int


@dataclass(slots=True)
class _Held:
    """A lease in our hands. `row` changes when a repair is asked for."""

    lease: Lease
    row: Row
    admitted_ns: int
    first_token_ns: int = 0
    tokens_out: int = 0
    repairs: int = 0


class StopFlag(Protocol):
    """Anything whose truth says: the supervisor asked this process to stop (SIGTERM)."""

    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        ...


class Loop:
    """One worker's life after `ready`."""

    def __init__(
        self,
        channel: Channel,
        engine: Engine,
        settings: LoopSettings,
        schema: OutputSchema | None,
        evidence: Evidence | None,
        stop: StopFlag,
        memory: Callable[[], int],
        clock: Callable[[], int] = time.monotonic_ns,
        tell: Callable[[Pace, float, int, bool], None] | None = None,
    ) -> None:
        """`tell` gets the engine's pace, the seconds since the loop began, the prompt tokens of the rows in the engine,
        and whether a window of the pace ends here; now and then and at the end."""
        self._channel = channel
        self._engine = engine
        self._settings = settings
        self._schema = schema
        self._evidence = evidence
        self._stop = stop
        self._memory = memory
        self._clock = clock
        self._tell = tell
        self._begun = self._told = self._window = clock()
        self._waiting: deque[_Held] = deque()
        self._running: dict[int, _Held] = {}  # by handle: the rows in the engine
        self._suspects: set[bytes] = set()
        self._finished = 0

    def run(self) -> str:
        """Until a drain ("drained") or a recycle (its reason). ChannelClosed passes through: the runner is gone."""
        while True:
            reason = "drained" if self._channel.draining or self._stop.is_set() else self._worn_out()
            if reason:
                self._drain()
                self._report(self._clock(), ends=True)
                return reason
            self.turn()
            if (now := self._clock()) - self._told >= REPORT_SECONDS * 1e9:
                self._report(now, ends=now - self._window >= PACE_SECONDS * 1e9)

    def _report(self, now: int, ends: bool) -> None:
        self._told = now
        if ends:
            self._window = now
        if self._tell is not None:
            held = sum(len(held.lease.token_ids) for held in self._running.values())
            self._tell(self._engine.pace, (now - self._begun) / 1e9, held, ends)

    def turn(self) -> None:
        """Take what fits, run one step, publish."""
        room = self._settings.max_num_seqs - len(self._running) - len(self._waiting)
        if room > 0:
            wait = 0 if self._running or self._waiting else IDLE_WAIT_MS
            for lease in self._channel.receive(room, wait):
                self._take(lease)
        self._admit()
        if self._engine.active:
            self._step()
        self._publish()

    def _take(self, lease: Lease) -> None:
        held = self._hold(lease)
        if reason := self._engine.refuse(held.row):
            self._complete(held, "failed", reason=reason)
        else:
            self._waiting.append(held)

    def _hold(self, lease: Lease) -> _Held:
        return _Held(lease, Row(lease.handle, lease.token_ids.tolist(), lease.max_tokens), self._clock())

    def _admit(self) -> None:
        """Rows that fit, in order, inserted together. A suspect runs alone, so that a second fault names it."""
        chosen: list[_Held] = []
        while self._waiting and not (chosen and self._is_suspect(chosen[0])):
            held = self._waiting[0]
            alone = not self._running and not chosen
            if not alone and (self._is_suspect(held) or any(map(self._is_suspect, self._running.values()))):
                break
            verdict = self._engine.admits(held.row, [other.row for other in chosen])
            if verdict == "later":
                break
            self._waiting.popleft()
            if verdict == "never":
                self._complete(held, "failed", reason="memory: this request does not fit the memory limit even alone")
            else:
                chosen.append(held)
        if not chosen:
            return
        self._running.update((held.row.key, held) for held in chosen)
        try:
            self._engine.insert([held.row for held in chosen])
        except EngineError as error:
            self._fault(error)

    def _step(self) -> None:
        try:
            finished = self._engine.step()
        except EngineError as error:
            self._fault(error)
            return
        for row in finished:
            self._finish(row)

    def _fault(self, error: EngineError) -> None:
        """All rows are lost in the engine: the guilty one fails, the others go back and run alone next time."""
        rows = list(self._running.values())
        self._running.clear()
        guilty = rows[0].row.key if len(rows) == 1 else error.guilty
        for held in rows:
            if held.row.key == guilty:
                self._suspects.discard(_fingerprint(held.lease))
                self._complete(held, "failed", reason=f"engine: {error.problem}")
            else:
                if guilty is None and len(self._suspects) < _SUSPECTS_LIMIT:
                    self._suspects.add(_fingerprint(held.lease))
                self._complete(held, "released")
        self._engine.rebuild()

    def _is_suspect(self, held: _Held) -> bool:
        return bool(self._suspects) and _fingerprint(held.lease) in self._suspects

    def _finish(self, row: FinishedRow) -> None:
        held = self._running.pop(row.key)
        held.tokens_out += len(row.token_ids)
        held.first_token_ns = held.first_token_ns or row.first_token_ns
        if self._suspects:
            self._suspects.discard(_fingerprint(held.lease))
        answer = self._settings.answer_prefix + row.text
        if self._schema is None:
            self._complete(held, "ok", output=answer, finished=row)
        elif row.finish_reason == "length":
            self._finish_cut(held, row, answer, self._schema)
        else:
            self._finish_checked(held, row, answer, self._schema)

    def _finish_cut(self, held: _Held, row: FinishedRow, answer: str, schema: OutputSchema) -> None:
        """max_tokens ended the answer. No repair: the second answer would be cut as well."""
        kept = schema.whole_items(answer) if self._settings.keep_whole_items else None
        if kept is None:
            reason = f"schema: the answer was cut after {held.row.max_tokens} tokens; raise job.max_tokens"
            self._complete(held, "failed", output=answer, reason=reason, finished=row)
        elif unproved := self._unproved(held, kept):
            self._complete(held, "failed", output=kept.text, reason=f"evidence: {unproved}", finished=row)
        else:
            self._complete(held, "ok", output=kept.text, finished=row)

    def _finish_checked(self, held: _Held, row: FinishedRow, answer: str, schema: OutputSchema) -> None:
        checked = schema.check(answer)
        unproved = "" if checked.problem else self._unproved(held, checked)
        if not checked.problem and not unproved:
            self._complete(held, "ok", output=checked.text, finished=row)
            return
        message = repair_message(checked.problem or unproved, quotes=bool(unproved))
        if not (self._settings.schema_repair and held.repairs == 0 and self._repair(held, row, message)):
            reason = f"evidence: {unproved}" if unproved else f"schema: {checked.problem}"
            self._complete(held, "failed", output=answer, reason=reason, finished=row)

    def _unproved(self, held: _Held, checked: Checked) -> str:
        """The quote that the document does not contain. What the instruction says is no document."""
        if self._evidence is None:
            return ""
        return self._evidence.problem(checked.text, self._engine.text(held.lease.source_ids.tolist()))

    def _repair(self, held: _Held, row: FinishedRow, message: str) -> bool:
        """Asks once more inside the same lease, the error in the prompt. False when that request cannot run."""
        prefix = self._settings.answer_prefix
        ids = self._engine.follow_up(held.row, row.token_ids, message, prefix)
        second = Row(held.row.key, ids, held.row.max_tokens)
        if self._engine.refuse(second):
            return False
        held.row, held.repairs = second, 1
        self._waiting.appendleft(held)
        return True

    def _complete(
        self,
        held: _Held,
        status: Literal["ok", "failed", "released"],
        output: str = "",
        reason: str = "",
        finished: FinishedRow | None = None,
    ) -> None:
        completion = Completion(
            status=status,
            output=output,
            reason=reason[:_REASON_LIMIT],
            finish_reason=finished.finish_reason if finished else "",
            tokens_in=len(held.lease.token_ids),
            tokens_out=held.tokens_out,
            repairs=held.repairs,
            admitted_ns=held.admitted_ns,
            first_token_ns=held.first_token_ns,
            finished_ns=finished.finished_ns if finished else self._clock(),
        )
        self._channel.complete(held.lease, completion)
        self._finished += status != "released"

    def _publish(self) -> None:
        engine = self._engine
        self._channel.publish()
        self._channel.progress(engine.prompt_tokens, engine.generated_tokens, engine.active, self._memory())

    def _worn_out(self) -> str:
        """Why this process should be replaced: mlx and the allocator keep what they once took."""
        if 0 < self._settings.recycle_documents <= self._finished:
            return f"{self._finished} documents finished"
        most = self._settings.recycle_bytes
        if most and self._memory() > most:
            self._engine.relieve()
            if (resident := self._memory()) > most:
                return f"{resident} bytes resident, and no more to give back; {most} are its bound"
        return ""

    def _drain(self) -> None:
        """Rows that end within DRAIN_SECONDS are finished, all other leases go back without an attempt charged."""
        deadline = self._clock() + int(DRAIN_SECONDS * 1e9)
        self._release(self._waiting)
        while self._engine.active and self._clock() < deadline:
            self._step()
            self._release(self._waiting)  # a repair that would begin now
            self._publish()
        self._engine.remove(list(self._running))
        self._release(self._running.values())
        self._running.clear()
        # The channel holds up to two batches: what is left there too was never begun and must not count as a death.
        while leases := self._channel.receive(self._settings.max_num_seqs, 0):
            for lease in leases:
                self._complete(self._hold(lease), "released")
        self._publish()

    def _release(self, rows: Iterable[_Held]) -> None:
        for held in list(rows):
            self._complete(held, "released")
        self._waiting.clear()


def _fingerprint(lease: Lease) -> bytes:
    """The same request when it comes back, under whatever handle."""
    return hashlib.sha256(lease.token_ids.tobytes()).digest()
