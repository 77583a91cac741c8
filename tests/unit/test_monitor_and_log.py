"""Samples and log lines: names, cost, and what happens when the disk refuses."""

import json
import os
import time
from pathlib import Path

import pytest

from runner import log, metrics
from runner.errors import StorageError
from runner.machine import Machine, detect
from runner.monitor import Monitor
from runner.monitor.processes import open_reader
from runner.predict.pace import Window, Work
from runner.progress import documents_text

COUNTERS = {**dict.fromkeys(metrics.COUNTED, 0), "extract_us": 0, "prepare_us": 0}
NO_WORK = Work()


@pytest.fixture(scope="module")
def machine() -> Machine:
    return detect()


def test_every_metric_of_the_table_is_a_field_of_the_sample() -> None:
    names = {metric.name for metric in metrics.METRICS}
    assert names <= metrics.sample_names()
    assert metrics.sample_names() - names == {
        "unix_ms",
        "elapsed_s",
        "discovery_done",
        "draining",
        "processes",
        "worker_states",
    }


def test_rates_come_from_the_last_seconds_and_not_from_the_whole_run(tmp_path: Path, machine: Machine) -> None:
    monitor = Monitor(tmp_path / "metrics.jsonl", started=0.0, machine=machine)
    for second in range(60):
        tokens = 1000 * second if second < 30 else 30_000
        sample = monitor.sample({**COUNTERS, "generated_tokens": tokens}, float(second), NO_WORK)
        if second == 20:
            assert sample.generated_tokens_per_s == 1000.0
    assert sample.generated_tokens_per_s == 0.0
    monitor.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 60
    assert json.loads(lines[-1])["version"] == metrics.METRICS_VERSION


def test_a_view_of_a_long_file_moves_with_its_pages_and_names_none_where_there_are_none(
    tmp_path: Path, machine: Machine
) -> None:
    monitor = Monitor(tmp_path / "metrics.jsonl", started=0.0, machine=machine)
    for pages, text in ((0, "0 of 1+ documents"), (1234, "0 of 1+ documents, 1,234 pages read")):
        sample = monitor.sample({**COUNTERS, "inputs": 1, "pages_read": pages}, 1.0, NO_WORK)
        assert documents_text(sample) == text
    monitor.close()


def test_a_sample_reads_memory_and_cpu_of_this_process(tmp_path: Path) -> None:
    reader = open_reader(os.getpid())
    assert reader is not None
    seen = reader.read()
    assert seen is not None
    assert seen[0] > 5_000_000
    assert seen[1] == pytest.approx(time.process_time(), abs=1.0)


def test_a_line_of_metrics_reads_back_as_its_sample_and_an_older_one_lacks_nothing(
    tmp_path: Path, machine: Machine
) -> None:
    monitor = Monitor(tmp_path / "metrics.jsonl", started=0.0, machine=machine)
    work = Work(Window(100, 1.5, 40, 2.5, 5.0), 10, 8, 300, 12)
    monitor.engine(1000)
    sample = monitor.sample({**COUNTERS, "inputs": 4, "failed": 1, "ok": 1, "extract_us": 1500}, 1.0, work, ["serving"])
    monitor.close()
    assert metrics.Sample.from_line(sample.to_line()) == sample
    assert (sample.prefill_s, sample.decode_tokens, sample.prefix_hits, sample.kv_bytes) == (1.5, 40, 8, 12_000)
    assert (sample.failed_share, sample.extract_s, sample.wasted_tokens) == (0.5, 0.002, 30)
    old = json.loads(sample.to_line())
    for name in ("kv_bytes", "psi_cpu", "worker_states", "stalled_s"):
        del old[name]
    read = metrics.Sample.from_line(json.dumps(old))
    assert read is not None
    assert (read.kv_bytes, read.psi_cpu, read.worker_states, read.inputs) == (0, None, (), 4)
    assert metrics.Sample.from_line(json.dumps({**old, "version": 99})) is None


def test_the_page_of_metrics_holds_the_table_of_the_code() -> None:
    page = Path(__file__).parents[2] / "docs/metrics.md"
    assert metrics.markdown() in page.read_text(encoding="utf-8")
    assert metrics.NAMES_OF in page.read_text(encoding="utf-8")


def test_a_process_that_ended_drops_out(tmp_path: Path, machine: Machine) -> None:
    monitor = Monitor(tmp_path / "metrics.jsonl", started=0.0, machine=machine)
    pid = os.posix_spawn("/bin/cat", ["cat", "/dev/null"], {})
    monitor.watch(pid, "worker 0")
    os.waitpid(pid, 0)
    sample = monitor.sample(COUNTERS, 1.0, NO_WORK)
    assert [process.name for process in sample.processes] == ["runner"]
    monitor.close()


def test_a_full_disk_under_the_metrics_is_a_storage_error(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    monitor = Monitor(tmp_path / "metrics.jsonl", started=0.0, machine=machine)
    with pytest.raises(StorageError, match="No space left"):
        monitor.sample(COUNTERS, 1.0, NO_WORK)
    monitor.close()


def test_events_reach_the_file_as_json_lines_with_their_fields_and_the_run(tmp_path: Path) -> None:
    log.configure("error")
    log.attach(tmp_path / "log.jsonl", "abc123")
    log.get("supervise").debug("worker.said", worker=3, line="Grüße")
    log.detach()
    line = json.loads((tmp_path / "log.jsonl").read_text())
    assert (line["event"], line["worker"], line["run_id"], line["line"]) == ("worker.said", 3, "abc123", "Grüße")


def test_an_event_outside_the_list_is_a_bug() -> None:
    log.configure("error")
    with pytest.raises(AssertionError, match=r"worker\.exploded"):
        log.get("supervise").info("worker.exploded")


def test_a_full_disk_under_the_log_is_remembered_and_does_not_raise_at_the_call(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    log.configure("error")
    log.attach(tmp_path / "log.jsonl", "abc123")
    log.get("run").info("run.opened")
    problem = log.storage_problem()
    log.detach()
    assert problem is not None
    assert problem.errno == 28


def test_every_listed_event_is_used_and_every_used_event_is_listed() -> None:
    import re

    package = Path(log.__file__).parent
    text = "".join(path.read_text() for path in package.rglob("*.py") if path != Path(log.__file__))
    assert set(re.findall(r'_log\.(?:debug|info|warning|error)\(\s*"([^"]+)"', text)) <= log.EVENTS
    assert {event for event in log.EVENTS if f'"{event}"' not in text} == set()
