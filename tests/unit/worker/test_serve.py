"""The real worker process on a real channel: what goes in comes out, and every way to end is clean.

Scripted engine unless said; the model folder is the tiny one.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from runner._native import DocumentArena, RunnerPort
from runner.config.worker_spec import WorkerSpec
from runner.models import ModelChoice, cache_dir, resolve

ROOT = Path(__file__).resolve().parents[3]
CHANNEL = {
    "ipc_budget_bytes": 64 << 20,
    "segment_bytes": 4 << 20,
    "output_slot_bytes": 64 << 10,
    "ring_entries": 64,
    "spin_us": 0,
    "checksums": True,
}
WAIT_MS = 60_000


class Worker:
    """A worker process with the runner's end of its channel."""

    def __init__(self, model: Path, **changed: object) -> None:
        self.arena = DocumentArena(json.dumps(CHANNEL))
        self.port = RunnerPort(self.arena, 8)
        channel, control, documents = self.port.child_ends()
        members: dict[str, Any] = {
            "kind": "scripted",
            "worker": 0,
            "incarnation": 1,
            "channel_fd": channel,
            "control_fd": control,
            "document_fds": tuple(documents),
            "spin_us": 0,
            "model_path": str(model),
            "max_num_seqs": 4,
            "prefill_batch_size": 4,
            "prefill_step_size": 64,
            "share_prefix": True,
            "max_model_len": 512,
            "temperature": 0.0,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "seed": 0,
            "ignore_eos": False,
            "thinking_tokens": 0,
            "output_schema": None,
            "grammar": None,
            "evidence": False,
            "schema_repair": True,
            "keep_whole_items": False,
            "answer_prefix": "",
            "cpus": (),
            "threads": 1,
            "cache_limit_bytes": 32 << 20,
            "memory_limit_bytes": 0,
            "wired": "off",
            "recycle_documents": 0,
            "recycle_bytes": 0,
            "blas": "auto",
            "kernels": "auto",
            "script": None,
        }
        spec = WorkerSpec(**{**members, **changed})
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "runner.worker", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(channel, control, *documents),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        for descriptor in (channel, control, *documents):
            os.close(descriptor)
        assert self.process.stdin is not None
        self.process.stdin.write(spec.to_json() + "\n")
        self.process.stdin.flush()

    def event(self) -> dict[str, Any]:
        """The next one that is not a report of the pace, which come whenever they come."""
        assert self.process.stdout is not None
        while True:
            line = self.process.stdout.readline()
            found = json.loads(line) if line else {}
            assert isinstance(found, dict)
            if found.get("event") != "pace":
                return found

    def submit(self, *requests: tuple[int, list[int], int], source: tuple[int, int] = (0, 0)) -> None:
        assert self.port.submit(list(requests), source) == len(requests)

    def answers(self, count: int) -> dict[int, tuple[str, str, str, str]]:
        """handle -> (status, output, reason, finish reason) of the next `count` completions."""
        found: dict[int, tuple[str, str, str, str]] = {}
        while len(found) < count:
            found.update((line[0], line[1:5]) for line in self.port.drain())
            if len(found) < count and not self.port.wait(WAIT_MS):
                found.update((line[0], line[1:5]) for line in self.port.drain())
                break
        return found


@pytest.fixture(scope="module")
def model() -> Path:
    return resolve(ModelChoice("tiny"), cache_dir()).path


@pytest.fixture
def started(model: Path) -> Iterator[Any]:
    workers: list[Worker] = []

    def start(**changed: object) -> Worker:
        workers.append(Worker(model, **changed))
        return workers[-1]

    yield start
    for worker in workers:
        worker.process.kill()
        worker.process.communicate()


def test_requests_come_back_as_answers_and_a_drain_ends_with_status_0(started: Any) -> None:
    worker = started()
    assert worker.event()["event"] == "ready"
    worker.submit((1, [5, 6, 7], 100), (2, [8], 100), (3, [5, 6, 7], 100))
    answers = worker.answers(3)
    assert {status for status, *_ in answers.values()} == {"ok"}
    assert answers[1][1] == answers[3][1] != answers[2][1]
    worker.port.request_drain()
    assert worker.process.wait(30) == 0


def test_mlx_answers_through_the_channel_as_it_does_alone(started: Any) -> None:
    worker = started(kind="mlx")
    ready = worker.event()
    assert (ready["event"], ready["engine"]) == ("ready", "mlx")
    assert ready["blas"]
    worker.submit(*((handle, [5 + handle, 6, 7], 8) for handle in range(4)))
    together = worker.answers(4)
    for handle in range(4):
        worker.submit((100 + handle, [5 + handle, 6, 7], 8))
        assert worker.answers(1)[100 + handle][1] == together[handle][1]


def test_bad_requests_fail_with_their_reason_and_the_worker_goes_on(started: Any) -> None:
    worker = started()
    worker.submit((1, [5] * 600, 10), (2, [5], 10))
    answers = worker.answers(2)
    assert answers[1][0] == "failed"
    assert answers[1][2].startswith("too_long: 600 prompt + 10 output tokens")
    assert answers[2][0] == "ok"


def test_a_schema_is_enforced_inside_the_lease(started: Any) -> None:
    script = json.dumps({"output": "nonsense", "repaired_output": '{"a": 1}'})
    schema = json.dumps({"type": "object", "required": ["a"]})
    worker = started(script=script, output_schema=schema)
    worker.submit((1, [5], 100))
    assert worker.answers(1)[1][:2] == ("ok", '{"a": 1}')


def test_quotes_are_looked_for_in_the_tokens_of_the_document_alone(started: Any, model: Path) -> None:
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    ask, text = (tokenizer.encode(words, add_special_tokens=False).ids for words in ("Quote the ants: ", "Bees fly."))
    schema = json.dumps({"type": "string", "minLength": 3, "x-quote": True})
    for quote, status in (("ees fly", "ok"), ("the ants", "failed")):
        worker = started(script=json.dumps({"output": json.dumps(quote)}), output_schema=schema, evidence=True)
        worker.submit((1, [*ask, *text], 100), source=(len(ask), len(text)))
        said, _, reason, _ = worker.answers(1)[1]
        assert (said, reason.startswith("evidence: ")) == (status, status == "failed"), reason


def test_sigterm_drains_and_gives_back_what_it_holds(started: Any) -> None:
    worker = started(script=json.dumps({"steps": 100_000, "delay_ms_per_step": 100}), max_num_seqs=1)
    assert worker.event()["event"] == "ready"
    worker.submit((1, [5], 400), (2, [6], 10))
    while worker.port.progress()[3] == 0:  # active rows
        assert worker.port.wait(10) or worker.process.poll() is None
    worker.process.send_signal(signal.SIGTERM)
    answers = worker.answers(2)
    assert {handle: status for handle, (status, *_) in answers.items()} == {1: "released", 2: "released"}
    assert worker.process.wait(30) == 0


def test_a_worn_out_worker_says_recycle_and_leaves_with_status_0(started: Any) -> None:
    worker = started(recycle_documents=2)
    assert worker.event()["event"] == "ready"
    worker.submit(*((handle, [handle + 4], 50) for handle in range(5)))
    assert len(worker.answers(5)) == 5
    assert worker.event() == {"event": "recycle", "reason": "4 documents finished"}
    assert worker.process.wait(30) == 0


def test_when_the_runner_is_gone_the_worker_leaves(started: Any) -> None:
    worker = started()
    assert worker.event()["event"] == "ready"
    del worker.port
    assert worker.process.wait(30) == 0


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"script": '{"stepz": 1}'}, "stepz"), ({"output_schema": '{"type": "nope"}'}, "schema")],
)
def test_what_the_user_can_cure_is_an_error_event(started: Any, changed: dict[str, str], named: str) -> None:
    worker = started(**changed)
    event = worker.event()
    assert event["event"] == "error"
    assert named in event["problem"]
    assert event["cure"]
    assert worker.process.wait(30) == 1


def test_a_poisoned_document_kills_the_process_as_its_name_says(started: Any, model: Path) -> None:
    from tokenizers import Tokenizer

    poison = Tokenizer.from_file(str(model / "tokenizer.json")).encode("POISON:segv", add_special_tokens=False).ids
    worker = started()
    worker.submit((1, [5], 9), (2, list(poison), 9))
    assert worker.process.wait(30) == -signal.SIGSEGV
    assert set(worker.port.close()) <= {1, 2}


@pytest.mark.parametrize("verb", ["serve", "convert"])
def test_a_worker_whose_runner_ended_before_it_spoke_ends_without_a_word(verb: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "runner.worker", verb], input="", capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
