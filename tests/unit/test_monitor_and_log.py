"""Samples and log lines: names, cost, and what happens when the disk refuses."""

import json
import os
import time
from pathlib import Path

import pytest

from runner import log, metrics
from runner.errors import StorageError
from runner.monitor import Monitor, open_reader
from runner.progress import documents_text

COUNTERS = dict.fromkeys(metrics.COUNTED, 0)


def test_every_metric_of_the_table_is_a_field_of_the_sample() -> None:
    names = {metric.name for metric in metrics.METRICS}
    assert names <= metrics.sample_names()
    assert metrics.sample_names() - names == {"unix_ms", "elapsed_s", "discovery_done", "processes"}


def test_rates_come_from_the_last_seconds_and_not_from_the_whole_run(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path / "metrics.jsonl", started=0.0)
    for second in range(60):
        tokens = 1000 * second if second < 30 else 30_000
        sample = monitor.sample({**COUNTERS, "generated_tokens": tokens}, float(second))
        if second == 20:
            assert sample.generated_tokens_per_s == 1000.0
    assert sample.generated_tokens_per_s == 0.0
    monitor.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 60
    assert json.loads(lines[-1])["version"] == metrics.METRICS_VERSION


def test_a_view_of_a_long_file_moves_with_its_pages_and_names_none_where_there_are_none(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path / "metrics.jsonl", started=0.0)
    for pages, text in ((0, "0 of 1+ documents"), (1234, "0 of 1+ documents, 1,234 pages read")):
        sample = monitor.sample({**COUNTERS, "inputs": 1, "pages_read": pages}, 1.0)
        assert documents_text(sample) == text
    monitor.close()


def test_a_sample_reads_memory_and_cpu_of_this_process(tmp_path: Path) -> None:
    reader = open_reader(os.getpid())
    assert reader is not None
    seen = reader.read()
    assert seen is not None
    assert seen[0] > 5_000_000
    assert seen[1] == pytest.approx(time.process_time(), abs=1.0)


def test_a_process_that_ended_drops_out(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path / "metrics.jsonl", started=0.0)
    pid = os.posix_spawn("/bin/cat", ["cat", "/dev/null"], {})
    monitor.watch(pid, "worker 0")
    os.waitpid(pid, 0)
    sample = monitor.sample(COUNTERS, 1.0)
    assert [process.name for process in sample.processes] == ["runner"]
    monitor.close()


def test_a_full_disk_under_the_metrics_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    monitor = Monitor(tmp_path / "metrics.jsonl", started=0.0)
    with pytest.raises(StorageError, match="No space left"):
        monitor.sample(COUNTERS, 1.0)
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
