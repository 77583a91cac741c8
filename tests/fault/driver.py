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
from runner.config.schema import RunnerConfig
from runner.errors import RunnerError, render
from runner.layout import RunFolder
from runner.run import execute
from tests import configs


def make_config(spec: dict[str, Any]) -> RunnerConfig:
    """What the rig may ask for; the rest is as in tests/configs.py."""
    job = {key: spec[key] for key in ("deadline_ms", "max_attempts", "max_failed", "max_tokens") if key in spec}
    worker = {key: spec[key] for key in ("recycle_documents", "recycle_bytes", "max_restarts") if key in spec}
    engine = {"engine": "mlx", "script": None} if spec["script"] is None else {"script": json.dumps(spec["script"])}
    return configs.make_config(
        spec["outputs"],
        cores={"workers": spec.get("workers", 1)},
        model={"path": spec["model_path"], **engine},
        batching={"max_num_seqs": spec.get("max_num_seqs", 4)},
        sampling={"ignore_eos": spec["script"] is None},  # random weights would seldom end an answer as an answer
        tuning={"blas": "auto", "kernels": "auto"} if spec["script"] is None else {},
        log={"level": "info" if spec["script"] is None else "warning"},
        job=job,
        worker=worker,
        output={"run_dir": spec["run_dir"], "durability": spec.get("durability", "process")},
        inputs=(spec["inputs"],),
    )


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


def plant_keep_records() -> None:
    """A KiB of every answered record stays in the runner."""
    from runner.monitor import Monitor

    sample = Monitor.sample
    kept: list[bytes] = []

    def hoarding(self: Monitor, counters: Any, *others: Any) -> Any:
        kept.append(bytes(b"k" * 1024 * (counters["ok"] - sum(map(len, kept)) // 1024)))
        return sample(self, counters, *others)

    Monitor.sample = hoarding  # type: ignore[method-assign]


def leaky_workers() -> None:
    """No bug of the runner: workers that take 64 MiB more at each SIGUSR1, as a leak would."""
    from runner.supervise import Supervisor

    defaults = Supervisor.__init__.__kwdefaults__
    assert defaults is not None
    defaults["command"] = (sys.executable, "-P", str(Path(__file__).with_name("leaky_worker.py")), "serve")


def plant_mixed_rows() -> None:
    """A worker's second life hands out the answers of its neighbours: two requests of a batch change places."""
    from runner.supervise import Supervisor

    defaults = Supervisor.__init__.__kwdefaults__
    assert defaults is not None
    defaults["command"] = (*defaults["command"][:-1], "mixed")


PLANTS: dict[str, Callable[[], None]] = {
    "no_lock": plant_no_lock,
    "write_in_place": plant_write_in_place,
    "swallow_storage": plant_swallow_storage,
    "never_charge": plant_never_charge,
    "ignore_deadline": plant_ignore_deadline,
    "keep_records": plant_keep_records,
    "mixed_rows": plant_mixed_rows,
}
"""Bugs inside a life. Those between two lives (lost tails, charged kills) are planted by rig.py into the journal."""


def main() -> int:
    spec = json.loads(Path(sys.argv[1]).read_text())
    if spec["script"] is None:
        leaky_workers()
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
