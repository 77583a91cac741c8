"""A configuration past the door, for tests that skip composition: the scripted engine, one worker, the tiny model.

Numbers are small so that a life costs nothing; a test replaces the parts that it is about. Does not check anything:
the door is tested in unit/config. Called by fault/driver.py and unit/run.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from runner.config.monitor import AlertsConfig, MonitorConfig, PrometheusConfig
from runner.config.schema import (
    BatchingConfig,
    ChannelConfig,
    Cores,
    CsvConfig,
    IngestConfig,
    IsolationConfig,
    Job,
    LogConfig,
    MachineConfig,
    Memory,
    ModelConfig,
    Output,
    Profile,
    RecordConfig,
    RunnerConfig,
    SamplingConfig,
    TuningConfig,
    WorkerConfig,
)  # fmt: skip

_RECORD: Final = RecordConfig(None, None)
_BASE: Final = RunnerConfig(
    profile=Profile(("any",), "user", "", ()),
    machine=MachineConfig("any", None, None, None, None, None, None, None, None, False),
    memory=Memory(2**33, 2**32, 2**28, 2**30, 2**26, 2**30, 2**26, "off"),
    cores=Cores(1, 1, 1, ()),
    model=ModelConfig("tiny", "scripted", "path", None, None, None, "/model", False, None, None),
    batching=BatchingConfig(4, 4, 512, True, None, "input"),
    tuning=TuningConfig("off", (), False, "always", "none", "off", {}, {}),
    job=Job("prompt", "prompt", None, "{{ document }}", None, (), None, None, 0, (), False, False, False, "", 256, None,
            None, 60_000, 3, 1000, False),
    ingest=IngestConfig(
        files_from=None, files0_from=None, stdin_name=None,
        include=(), exclude=(), hidden=False, follow_links=False, ignore_files=True, archives=False, paranoid=False,
        max_file_bytes=2**26, max_text_bytes=2**26, max_inflate_ratio=100, max_zip_entries=100,
        max_zip_entry_bytes=2**26, max_zip_total_bytes=2**26, max_pdf_pages=100, max_xml_depth=64, max_html_depth=64,
        max_json_depth=64, chunk_overlap_tokens=8, jsonl=_RECORD, json=_RECORD, csv=CsvConfig("row", None, None),
        isolation=IsolationConfig(10, 20, 60, 2**30),
    ),
    sampling=SamplingConfig(0.0, 1.0, 0, 0.0, 0, False, 512),
    channel=ChannelConfig(2**20, 2**16, 64, 0, True),
    worker=WorkerConfig(0, 0, 5, 10, 100, 300, 60_000),
    monitor=MonitorConfig(100, PrometheusConfig(None, None), AlertsConfig({}, (), None, (), False, 5.0)),
    log=LogConfig("warning"),
    output=Output("outputs", None, "never", True, "skip", "process"),
    on_busy="fail",
    inputs=("/in",),
    example_corpus=False,
    overrides=(),
    composed_yaml="made by tests/configs.py\n",
)  # fmt: skip


def make_config(outputs: Path | str, **changes: Any) -> RunnerConfig:
    """The base with `outputs` as its folder. A change is a whole value (`inputs=(...)`) or, for a part, a mapping of
    its fields (`job={"max_failed": 1}`)."""
    parts = {"output": {"dir": str(outputs), **changes.pop("output", {})}, **changes}
    values = {
        key: replace(getattr(_BASE, key), **value) if isinstance(value, dict) else value for key, value in parts.items()
    }
    return replace(_BASE, **values)
