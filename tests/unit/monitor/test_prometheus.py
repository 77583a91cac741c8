"""The text for Prometheus, read back by prometheus_client's own parser; the file; the page."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from runner.metrics import METRICS
from runner.monitor.prometheus import CONTENT_TYPE, Exposition, text_of
from tests.samples import make_sample

LABELS = {"job": 'sum "x"\\\nmarise', "model": "tiny"}


def test_every_metric_with_a_value_reads_back_with_its_kind_and_help() -> None:
    sample = make_sample(unix_ms=1500, inputs=3, extract_s=1.25, psi_cpu=7.5, throughput_share=None)
    families = {family.name: family for family in text_string_to_metric_families(text_of(sample, LABELS))}
    shown = [metric for metric in METRICS if getattr(sample, metric.name) is not None]
    assert "runner_throughput_share" not in families
    assert len(families) == len(shown) + 2
    for metric in shown:
        family = families[metric.exposed.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, f"{metric.meaning} ({metric.unit})")
        assert [each.value for each in family.samples] == [getattr(sample, metric.name)]
    assert families["runner_run_info"].samples[0].labels == LABELS
    assert families["runner_sample_time_seconds"].samples[0].value == 1.5


def test_the_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "runner.prom"
    exposition = Exposition(file, None, LABELS)
    inodes = set()
    for inputs in (1, 2):
        exposition.update(make_sample(inputs=inputs))
        inodes.add(file.stat().st_ino)
    exposition.close()
    assert len(inodes) == 2
    assert "runner_inputs_total 2\n" in file.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["runner.prom"]


def test_a_folder_that_goes_away_does_not_fail_the_run(tmp_path: Path) -> None:
    exposition = Exposition(tmp_path / "gone" / "runner.prom", None, LABELS)
    exposition.update(make_sample())
    exposition.update(make_sample())


def test_the_page_answers_on_this_machine_alone_with_the_latest_sample() -> None:
    exposition = Exposition(None, 0, LABELS)
    exposition.update(make_sample(inputs=5))
    with urllib.request.urlopen(f"http://127.0.0.1:{exposition.port}/metrics", timeout=5) as answer:
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        assert b"runner_inputs_total 5\n" in answer.read()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{exposition.port}/secret", timeout=5)
    refused.value.close()
    second = Exposition(None, exposition.port, LABELS)  # taken: logged, and the run goes on
    assert second.port is None
    second.close()
    exposition.close()
