"""One life of a run for the fault lanes: `python driver.py SPEC.json`.

Goes past the door with a config made here, so that a life costs no composition, and can plant one known bug into the
process (`plant`), to show that a lane would see it.

Exit codes are those of the command line; errors are printed as there.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner import machine
from runner.config.schema import (
    BatchingConfig,
    ChannelConfig,
    Cores,
    CsvConfig,
    IngestConfig,
    Job,
    LogConfig,
    MachineConfig,
    Memory,
    ModelConfig,
    MonitorConfig,
    Output,
    Profile,
    RecordConfig,
    RunnerConfig,
    SamplingConfig,
    TuningConfig,
    WorkerConfig,
)  # fmt: skip
from runner.errors import RunnerError, render
from runner.layout import RunFolder
from runner.run import execute


def make_config(spec: dict[str, Any]) -> RunnerConfig:
    record = RecordConfig(None, None)
    return RunnerConfig(
        profile=Profile(("fault",), "user", "", ()),
        machine=MachineConfig("any", None, None, None, None, None, None, False),
        memory=Memory(2**33, 2**32, 2**28, 2**30, 2**26, 2**30, 2**26, "off"),
        cores=Cores(spec.get("workers", 1), 1, 1, ()),
        model=ModelConfig("tiny", "scripted", "path", None, None, None, spec["model_path"], False, None,
                          json.dumps(spec["script"])),
        batching=BatchingConfig(spec.get("max_num_seqs", 4), 4, 512, None, "input"),
        tuning=TuningConfig("off", (), False, "none", {}, {}),
        job=Job("prompt", "prompt", None, "{{ document }}", None, (), None, False, 256, None, None,
                spec.get("deadline_ms", 60_000), spec.get("max_attempts", 3), spec.get("max_failed", 1000), False),
        ingest=IngestConfig((), (), False, False, True, False, 2**26, 2**26, 100, 64, 64, 8, record, record,
                            CsvConfig("row", None, None)),
        sampling=SamplingConfig(0.0, 1.0, 0, 0.0, 0),
        channel=ChannelConfig(2**20, 2**16, 64, 0, True),
        worker=WorkerConfig(spec.get("recycle_documents", 0), 0, spec.get("max_restarts", 5), 10, 100, 300, 1000,
                            60_000),
        monitor=MonitorConfig(100),
        log=LogConfig("warning"),
        output=Output(spec["outputs"], spec["run_dir"], "never", spec.get("durability", "process")),
        on_busy="fail",
        inputs=(spec["inputs"],),
        example_corpus=False,
        overrides=(),
        composed_yaml="made by tests/fault/driver.py\n",
    )  # fmt: skip


def plant_no_lock() -> None:
    """Two writers on one folder."""
    from runner.store.locks import FileLock

    FileLock.acquire = lambda self, purpose: True  # type: ignore[method-assign]


def plant_write_in_place() -> None:
    """No temporary file, no rename: a kill between open and write leaves an empty run.json."""
    from runner.store import files, folder

    def write(path: Path, data: bytes) -> None:
        with path.open("wb", buffering=0) as file:
            file.write(data)

    files.write_bytes = write
    folder.write_bytes = write


def plant_swallow_storage() -> None:
    """Goes on behind an unknown tail, and calls it success."""
    from runner.errors import StorageError

    StorageError.exit_code = 0


def plant_never_charge() -> None:
    """A dead worker's documents are given back as if nothing had happened."""
    from runner.supervise import Supervisor

    settle = Supervisor._settle

    def forgiving(self: Supervisor, worker: Any, process: Any) -> str:
        worker.cause = "drained"
        return settle(self, worker, process)

    Supervisor._settle = forgiving  # type: ignore[method-assign]


def plant_ignore_deadline() -> None:
    """A hung worker is never stopped."""
    from runner.supervise import Supervisor

    Supervisor.expired = lambda self, number, work_id, elapsed_ms: None  # type: ignore[method-assign]


PLANTS: dict[str, Callable[[], None]] = {
    "no_lock": plant_no_lock,
    "write_in_place": plant_write_in_place,
    "swallow_storage": plant_swallow_storage,
    "never_charge": plant_never_charge,
    "ignore_deadline": plant_ignore_deadline,
}
"""Bugs inside a life. Those between two lives (lost tails, charged kills) are planted by rig.py into the journal."""


def main() -> int:
    spec = json.loads(Path(sys.argv[1]).read_text())
    if spec.get("plant") in PLANTS:
        PLANTS[spec["plant"]]()
    run = RunFolder(Path(spec["run_dir"]))
    try:
        return execute(make_config(spec), machine.detect(), run if run.run_json.exists() else None)
    except RunnerError as error:
        print(render(error), file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
