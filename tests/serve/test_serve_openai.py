"""`runner serve` as OpenAI's own client sees it: a batch outlives a kill -9 of the server and its run half-way, each
custom_id answered once. A server that forgets its state must turn it red.
"""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from openai.types import Batch

ROOT = Path(__file__).parents[2]
SCRIPT = json.dumps({"output": "echo", "steps": 3, "delay_ms_per_step": 40})
WORDS = (
    "model=tiny", "model.engine=scripted", f"model.script='{SCRIPT}'", "output.report=false", "log.level=warning",
    "batching.max_num_seqs=4", "batching.prefill_batch_size=4",
)  # fmt: skip
"""Few rows at a time: a batch lasts long enough to be killed half-way, at next to no CPU."""
FORGETS = "import runner.serve.state as s; s.State._read = lambda *_: {}\n"
START = "import sys; from runner.cli import main; sys.exit(main(sys.argv[1:]))"


def requests(count: int) -> bytes:
    rows = []
    for number in range(count):
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Text {number}."}], "max_tokens": 40}
        if number % 50 == 7:
            body["n"] = 2
        row = {"custom_id": f"mine-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        rows.append(json.dumps(row))
    return "\n".join(rows).encode()


@contextmanager
def server(base: Path, planted: str = "") -> Iterator[tuple[openai.OpenAI, "subprocess.Popen[str]"]]:
    """One life; whatever happens its group is gone behind it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(base / "state")}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", planted + START, "serve", *WORDS, "--port", "0"],
        cwd=base, env=environment, stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r"http://\S+/v1", said)
        assert found, said
        with openai.OpenAI(base_url=found[0], api_key="none", max_retries=0, timeout=60) as client:
            yield client, process
    finally:
        kill(process)
        if process.stderr is not None:
            process.stderr.close()


def kill(process: "subprocess.Popen[str]") -> None:
    """The server and its run: kill -9."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        assert process.poll() is not None
    process.wait()


def watch(client: openai.OpenAI, batch_id: str, until: int | None = None) -> Batch:
    """Polls as a script does, until the end or `until` answers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        batch = client.batches.retrieve(batch_id)
        assert batch.request_counts is not None
        if batch.status in ("completed", "failed", "cancelled") or (until and batch.request_counts.completed >= until):
            return batch
        time.sleep(0.1)
    raise AssertionError("the batch did not come so far within two minutes")


def lines(client: openai.OpenAI, file_id: str | None) -> list[dict[str, object]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def submit(client: openai.OpenAI, data: bytes) -> Batch:
    file = client.files.create(file=("../../x\r\ny.jsonl", io.BytesIO(data)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"night": "1"}
    )


def life(base: Path, count: int, planted: str = "") -> None:
    with server(base) as (client, process):
        batch = submit(client, requests(count))
        half = watch(client, batch.id, until=count // 4)
        assert half.status == "in_progress", "it was too fast to be killed half-way"
        kill(process)
    with server(base, planted) as (client, _):
        done = watch(client, batch.id)
        assert (done.status, done.metadata) == ("completed", {"night": "1"})
        right, wrong = lines(client, done.output_file_id), lines(client, done.error_file_id)
        ids = [str(line["custom_id"]) for line in right + wrong]
        assert sorted(ids) == sorted(f"mine-{number}" for number in range(count))
        assert len(wrong) == len(range(7, count, 50))
        assert done.request_counts is not None
        assert done.request_counts.completed == len(right)
        assert "Text 3." in json.dumps(next(line for line in right if line["custom_id"] == "mine-3"))
        runs = list((base / "outputs/serve/batches").rglob("run-*/run.json"))
        assert [json.loads(path.read_text())["incarnation"] for path in runs] == [2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [120, pytest.param(500, marks=pytest.mark.torture)])
def test_a_batch_outlives_a_kill_of_server_and_run_and_answers_each_request_once(tmp_path: Path, count: int) -> None:
    life(tmp_path, count)


@pytest.mark.timeout(300)
def test_planted_bug_a_server_that_forgets_its_state_is_seen(tmp_path: Path) -> None:
    with pytest.raises(openai.NotFoundError):
        life(tmp_path, 120, FORGETS)


@pytest.mark.timeout(300)
def test_files_faults_cancel_and_pages_as_openai_has_them(tmp_path: Path) -> None:
    with server(tmp_path) as (client, _):
        twice = requests(1) + b"\n" + requests(1) + b"\n{"
        failed = watch(client, submit(client, twice).id)
        assert failed.status == "failed"
        assert failed.errors is not None
        assert failed.errors.data is not None
        assert [(each.code, each.line) for each in failed.errors.data] == [
            ("duplicate_custom_id", 2), ("invalid_json_line", 3),
        ]  # fmt: skip
        running = submit(client, requests(200))
        waiting = submit(client, requests(8))
        watch(client, running.id, until=1)
        assert client.batches.cancel(waiting.id).status == "cancelling"
        assert client.batches.cancel(running.id).status == "cancelling"
        ended = watch(client, running.id)
        assert ended.status == "cancelled"
        right, wrong = lines(client, ended.output_file_id), lines(client, ended.error_file_id)
        assert len(right) + len(wrong) == 200
        assert "batch_cancelled" in json.dumps(wrong)
        assert watch(client, waiting.id).output_file_id is None
        assert [batch.id for batch in client.batches.list(limit=2)] == [waiting.id, running.id, failed.id]
        name = client.files.retrieve(running.input_file_id)
        assert name.filename.endswith("y.jsonl")
        client.files.delete(name.id)
        with pytest.raises(openai.NotFoundError):
            client.files.content(name.id)
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(running.id)
    assert not list(tmp_path.rglob("*y.jsonl"))
