"""The worker's loop against a fake channel and a fake engine: every lease ends as exactly one completion.

No process, no model, no sleep; the clock is a counter.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from runner.answer.evidence import Evidence
from runner.channel import ChannelClosed, Completion, Lease
from runner.engine.protocol import Admission, EngineError, Facts, FinishedRow, Row, refusal
from runner.structured import OutputSchema
from runner.worker.loop import Loop, LoopSettings

SCHEMA = json.dumps({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}})


def given(handle: int, ids: list[int], max_tokens: int, source: str = "") -> Lease:
    """The document stands behind `ids`."""
    tokens = np.array([*ids, *map(ord, source)], np.uint32)
    place = {"generation": 0, "slot": 0, "output_offset": 0, "output_capacity": 0}
    return Lease(handle, tokens, max_tokens, tokens[len(ids) :], **place)


def lease(handle: int, *ids: int, max_tokens: int = 8) -> Lease:
    return given(handle, list(ids) or [handle], max_tokens)


class FakeChannel:
    """Hands out what is queued; says EOF when told to, or drains when nothing is left."""

    def __init__(self, *leases: Lease, at_end: str = "drain") -> None:
        self.queue = list(leases)
        self.at_end = at_end
        self.draining = False
        self.staged: list[tuple[int, Completion]] = []
        self.done: list[tuple[int, Completion]] = []
        self.beats = 0
        self.waits: list[int] = []

    def receive(self, max_leases: int, timeout_ms: int) -> list[Lease]:
        self.waits.append(timeout_ms)
        taken, self.queue = self.queue[:max_leases], self.queue[max_leases:]
        if not taken and timeout_ms != 0:
            if self.at_end == "eof":
                raise ChannelClosed
            self.draining = True
        return taken

    def complete(self, taken: Lease, completion: Completion) -> None:
        self.staged.append((taken.handle, completion))

    def publish(self) -> None:
        self.done += self.staged
        self.staged = []

    def progress(self, prompt_tokens: int, generated_tokens: int, active_rows: int, memory_bytes: int) -> None:
        self.beats += 1

    def by_handle(self) -> dict[int, Completion]:
        assert len({handle for handle, _ in self.done}) == len(self.done), "a lease was completed twice"
        return dict(self.done)


@dataclass
class FakeEngine:
    """A row takes as many steps as its first id says; ids 66 break a step, with or without a name."""

    answers: dict[int, list[str]] = field(default_factory=dict)
    names_guilty: bool = True
    never_fits: int = -1
    max_model_len: int = 100
    prompt_tokens: int = 0
    generated_tokens: int = 0
    rows: dict[int, Row] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    rebuilt: int = 0
    most_active: int = 0
    reason: str = "stop"
    begun: list[str] = field(default_factory=list)

    @property
    def facts(self) -> Facts:
        raise NotImplementedError

    @property
    def active(self) -> int:
        return len(self.rows)

    @property
    def memory_bytes(self) -> int:
        return 0

    def refuse(self, row: Row) -> str:
        return refusal(row, self.max_model_len)

    def admits(self, row: Row, beside: Sequence[Row]) -> Admission:
        return "never" if row.key == self.never_fits else "now"

    def insert(self, rows: Sequence[Row]) -> None:
        for row in rows:
            assert row.key not in self.rows
            self.rows[row.key] = row
            self.left[row.key] = max(1, int(row.token_ids[0]) % 10)
        self.most_active = max(self.most_active, len(self.rows))

    def step(self) -> list[FinishedRow]:
        for key, row in self.rows.items():
            if 66 in row.token_ids:
                raise EngineError("broken step", guilty=key if self.names_guilty else None)
        finished = []
        for key in list(self.rows):
            self.left[key] -= 1
            if self.left[key] == 0:
                row = self.rows.pop(key)
                texts = self.answers.get(key, ["text"])
                text = texts.pop(0) if len(texts) > 1 else texts[0]
                finished.append(FinishedRow(key, (1, 2), text, "stop" if self.reason == "stop" else "length", 5, 9))
                assert row.max_tokens > 0
        return finished

    def remove(self, keys: Sequence[int]) -> None:
        for key in keys:
            self.rows.pop(key, None)

    def rebuild(self) -> None:
        self.rows.clear()
        self.rebuilt += 1

    def follow_up(self, row: Row, answer: Sequence[int], message: str, answer_prefix: str) -> list[int]:
        self.begun.append(answer_prefix)
        return [*row.token_ids, *answer, len(message) % 7]

    def text(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))

    def close(self) -> None:
        return


class Stop:
    def is_set(self) -> bool:
        return False


class Clock:
    def __init__(self, step_s: float = 0.001) -> None:
        self.now = 0
        self.step = int(step_s * 1e9)

    def __call__(self) -> int:
        self.now += self.step
        return self.now


def run(
    channel: FakeChannel,
    engine: FakeEngine,
    *,
    rows: int = 4,
    schema: str | None = None,
    repair: bool = True,
    keep: bool = False,
    prefix: str = "",
    recycle_documents: int = 0,
    clock: Clock | None = None,
    evidence: bool = False,
) -> str:
    settings = LoopSettings(rows, repair, keep, prefix, recycle_documents, 0)
    checked = OutputSchema(schema) if schema else None
    proof = Evidence(schema) if schema and evidence else None
    loop = Loop(channel, engine, settings, checked, proof, Stop(), lambda: 0, clock or Clock())  # type: ignore[arg-type]
    return loop.run()


def test_every_lease_ends_as_one_completion_with_its_counts() -> None:
    channel = FakeChannel(*(lease(handle, handle, 7, 7) for handle in range(1, 10)))
    assert run(channel, FakeEngine()) == "drained"
    done = channel.by_handle()
    assert sorted(done) == list(range(1, 10))
    assert {(c.status, c.output, c.tokens_in, c.tokens_out, c.finish_reason) for c in done.values()} == {
        ("ok", "text", 3, 2, "stop")
    }


def test_no_more_leases_are_held_than_rows_are_allowed() -> None:
    channel = FakeChannel(*(lease(handle) for handle in range(1, 20)))
    engine = FakeEngine()
    run(channel, engine, rows=3)
    assert engine.most_active == 3


def test_a_busy_worker_never_blocks_on_the_channel_and_beats_each_turn() -> None:
    channel = FakeChannel(lease(5))
    run(channel, FakeEngine())
    assert channel.waits[0] > 0  # idle: may sleep
    assert all(wait == 0 for wait in channel.waits[1:5])
    assert channel.beats >= 5


def test_a_request_that_can_never_run_fails_with_its_reason_and_others_go_on() -> None:
    empty = given(2, [], 4)
    channel = FakeChannel(lease(1), empty, lease(3, *[1] * 200), lease(4, max_tokens=0), lease(5))
    run(channel, FakeEngine())
    done = channel.by_handle()
    reasons = {handle: done[handle].reason.split(":")[0] for handle in (2, 3, 4)}
    assert reasons == {2: "empty", 3: "too_long", 4: "bad_request"}
    assert done[1].status == done[5].status == "ok"


def test_a_request_that_does_not_fit_memory_alone_fails() -> None:
    channel = FakeChannel(lease(1), lease(2))
    run(channel, FakeEngine(never_fits=2))
    assert channel.by_handle()[2].reason.startswith("memory:")
    assert channel.by_handle()[1].status == "ok"


def test_a_broken_step_fails_the_guilty_row_and_releases_its_neighbours() -> None:
    channel = FakeChannel(lease(1, 5), lease(2, 66), lease(3, 5))
    engine = FakeEngine()
    run(channel, engine)
    done = channel.by_handle()
    assert (done[2].status, done[2].reason) == ("failed", "engine: broken step")
    assert done[1].status == done[3].status == "released"
    assert engine.rebuilt == 1


def test_when_nobody_is_named_all_go_back_and_each_runs_alone_next_time() -> None:
    first = [lease(1, 5), lease(2, 66), lease(3, 5)]
    again = [lease(11, 5), lease(12, 66), lease(13, 5)]
    channel = FakeChannel(*first, *again)
    run(channel, FakeEngine(names_guilty=False), rows=3)
    done = channel.by_handle()
    assert {done[handle].status for handle in (1, 2, 3)} == {"released"}
    assert done[12].status == "failed"
    assert done[11].status == done[13].status == "ok"


def test_an_invalid_answer_is_repaired_once_inside_its_lease() -> None:
    channel = FakeChannel(lease(1))
    run(channel, FakeEngine(answers={1: ["no json", '{"n": 3}']}), schema=SCHEMA)
    only = channel.by_handle()[1]
    assert (only.status, only.output, only.repairs, only.tokens_out) == ("ok", '{"n": 3}', 1, 4)


def test_an_answer_that_stays_invalid_fails_and_keeps_its_text() -> None:
    channel = FakeChannel(lease(1))
    run(channel, FakeEngine(answers={1: ['{"n": "x"}']}), schema=SCHEMA)
    only = channel.by_handle()[1]
    assert (only.status, only.output, only.repairs) == ("failed", '{"n": "x"}', 1)
    assert only.reason.startswith("schema: at n:")


def test_without_repair_an_invalid_answer_fails_at_once() -> None:
    channel = FakeChannel(lease(1))
    run(channel, FakeEngine(answers={1: ["[]", '{"n": 3}']}), schema=SCHEMA, repair=False)
    assert (channel.by_handle()[1].status, channel.by_handle()[1].repairs) == ("failed", 0)


def test_a_cut_structured_answer_fails_even_when_it_parses() -> None:
    channel = FakeChannel(lease(1))
    run(channel, FakeEngine(answers={1: ['{"n": 3}']}, reason="length"), schema=SCHEMA)
    assert channel.by_handle()[1].reason.startswith("schema: the answer was cut after 8 tokens")


def test_a_begun_answer_is_whole_in_the_output_and_begins_the_repair_too() -> None:
    engine = FakeEngine(answers={1: ['n": "x"}', 'n": 3}'], 2: [" and so on"]})
    channel = FakeChannel(lease(1))
    run(channel, engine, schema=SCHEMA, prefix='{"')
    only = channel.by_handle()[1]
    assert (only.status, only.output, only.repairs, only.tokens_out) == ("ok", '{"n": 3}', 1, 4)
    assert engine.begun == ['{"']
    free = FakeChannel(lease(2))
    run(free, engine, prefix="First")
    assert free.by_handle()[2].output == "First and so on"


LIST = json.dumps({"type": "array", "minItems": 1, "items": {"type": "integer"}})


def test_a_cut_list_keeps_its_whole_items_without_a_repair_and_says_it_was_cut() -> None:
    channel = FakeChannel(lease(1))
    run(channel, FakeEngine(answers={1: ["1, 22, 33"]}, reason="length"), schema=LIST, keep=True, prefix="[")
    only = channel.by_handle()[1]
    assert (only.status, only.output, only.finish_reason, only.repairs) == ("ok", "[1, 22]", "length", 0)


@pytest.mark.parametrize(("keep", "answer"), [(False, "[1, 2, 3"), (True, '[1, "x", 3'), (True, "[12"), (True, "12")])
def test_a_cut_answer_fails_unless_its_whole_items_fit_the_schema(keep: bool, answer: str) -> None:
    channel = FakeChannel(lease(1))
    run(channel, FakeEngine(answers={1: [answer]}, reason="length"), schema=LIST, keep=keep)
    only = channel.by_handle()[1]
    assert (only.status, only.output, only.repairs) == ("failed", answer, 0)
    assert only.reason.startswith("schema: the answer was cut")


QUOTES = json.dumps({"type": "array", "items": {"type": "string", "minLength": 1, "x-quote": True}})
ASK = [ord(letter) for letter in "Quote what is said of ants. "]


@pytest.mark.parametrize(
    ("answers", "status", "repairs", "reason"),
    [
        (['["bees fly"]'], "ok", 0, ""),
        (['["bees walk"]', '["fly and sting"]'], "ok", 1, ""),
        (['["bees walk"]'], "failed", 1, "evidence: at 0: the document does not contain 'bees walk'"),
        (['["said of ants"]'], "failed", 1, "evidence: at 0: the document does not contain 'said of ants'"),
        (["[1]", '["bees walk"]'], "failed", 1, "evidence: at 0: the document does not contain 'bees walk'"),
        (['["bees walk"]', "[1]"], "failed", 1, "schema: at 0: 1 is not of type 'string'"),
    ],
)
def test_quotes_must_stand_in_the_document_and_not_in_the_instruction(
    answers: list[str], status: str, repairs: int, reason: str
) -> None:
    channel = FakeChannel(given(1, [4, *ASK], 8, "bees fly and sting."))
    run(channel, FakeEngine(answers={1: list(answers)}), schema=QUOTES, evidence=True)
    only = channel.by_handle()[1]
    assert (only.status, only.output, only.repairs, only.reason) == (status, answers[-1], repairs, reason)


def test_the_whole_items_of_a_cut_list_must_be_quotes_too() -> None:
    channel = FakeChannel(*(given(handle, [4], 8, "bees fly.") for handle in (1, 2)))
    answers = {1: ['["bees fly", "bee'], 2: ['["bees walk", "bee']}
    run(channel, FakeEngine(answers=answers, reason="length"), schema=QUOTES, keep=True, evidence=True)
    done = channel.by_handle()
    assert (done[1].status, done[1].output) == ("ok", '["bees fly"]')
    assert (done[2].status, done[2].repairs, done[2].reason.split(":")[0]) == ("failed", 0, "evidence")


def test_a_drain_finishes_what_ends_in_time_and_releases_the_rest() -> None:
    # Two more batches wait in the channel than the worker has rows: they come back too.
    channel = FakeChannel(lease(1, 1), *(lease(handle, 9) for handle in range(2, 9)))
    channel.draining = False
    engine = FakeEngine()

    class DrainSoon(Stop):
        def is_set(self) -> bool:
            return engine.active > 0

    loop = Loop(channel, engine, LoopSettings(2, True, False, "", 0, 0), None, None, DrainSoon(), lambda: 0, Clock(1.0))  # type: ignore[arg-type]
    assert loop.run() == "drained"
    statuses = {handle: completion.status for handle, completion in channel.by_handle().items()}
    assert statuses == {1: "ok", **dict.fromkeys(range(2, 9), "released")}


def test_a_worn_out_worker_says_why_and_gives_back_what_it_holds() -> None:
    channel = FakeChannel(*(lease(handle) for handle in range(1, 8)))
    assert run(channel, FakeEngine(), rows=2, recycle_documents=3) == "3 documents finished"
    statuses = [completion.status for _, completion in channel.done]
    assert statuses.count("ok") >= 3
    assert set(statuses) <= {"ok", "released"}


def test_a_vanished_runner_ends_the_loop_at_once() -> None:
    with pytest.raises(ChannelClosed):
        run(FakeChannel(lease(1), at_end="eof"), FakeEngine())
