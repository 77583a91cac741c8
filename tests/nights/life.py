"""One night, or one run, as a process of its own whose clock and boot id are given: for kills, restarts and full disks.

`python life.py night NAME CLOCK BOOT` is a night of a schedule; `python life.py run BOOT FILE_BYTES words...` is a run
on a machine of that boot, whose disk takes no file longer than that (0 = as it is). It goes past the door with a
configuration made here, so that a life costs no composition: test_guide.py and test_real_timers.py go through the door.
No test itself.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from pathlib import Path

from runner import machine
from runner.errors import RunnerError, render
from runner.layout import RunFolder
from runner.nights import schedule
from runner.nights.children import Launch, Process
from runner.nights.night import Night
from runner.nights.runs import World
from runner.run import execute
from runner.store import folder
from tests import configs

ROOT = Path(__file__).parents[2]


def starter(boot: str, file_bytes: int = 0) -> Callable[[Launch], Process]:
    """Runs that believe in this boot id."""

    def start(launch: Launch) -> Process:
        with launch.console.open("ab") as console:
            return subprocess.Popen(
                [sys.executable, __file__, "run", boot, str(file_bytes), *launch.words],
                cwd=launch.cwd, env={**launch.environment, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
                stdout=console, stderr=console, pass_fds=(launch.lock_fd,), process_group=0,
            )  # fmt: skip

    return start


def world(clock: float, boot: str, start: Callable[[Launch], Process] | None = None) -> World:
    """A machine at this time, after this start of it."""
    return World(
        boot_id=boot, environment=dict(os.environ), zone=UTC, clock=lambda: clock, start=start or starter(boot)
    )


def main() -> int:
    if sys.argv[1] == "night":
        _, _, name, clock, boot = sys.argv
        return Night(schedule.load(name), world(float(clock), boot)).run()
    _, _, boot, file_bytes, *words = sys.argv
    if int(file_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_bytes),) * 2)
    try:
        return run(words, replace(machine.detect(), boot_id=boot))
    except RunnerError as error:
        print(render(error), file=sys.stderr)
        return error.exit_code


def run(words: list[str], here: machine.Machine) -> int:
    """As the command line would: a run of these words, or `resume FOLDER`."""
    resumed = RunFolder(Path(words[1])) if words[0] == "resume" else None
    given = list(folder.read_identity(resumed).overrides) if resumed else [word for word in words if "=" in word]
    keys = dict(word.split("=", 1) for word in given)
    tree = {"job": {"max_failed": 5}, "model": keys["model.script"], "sampling": {}, "ingest": {}}
    output = {"run_dir": keys["output.run_dir"], "report": False, "durability": "power"}
    config = configs.make_config(
        keys["output.dir"], inputs=(keys["input"],), overrides=tuple(given), composed_yaml=json.dumps(tree),
        model={"path": keys["model.path"], "script": keys["model.script"]}, job={"max_failed": 5},
        batching={"max_num_seqs": 2, "prefill_batch_size": 2},
        output={
            **output, "reuse": keys.get("output.reuse", "finished"), "unchanged": keys.get("output.unchanged", "skip")
        },
    )  # fmt: skip
    return execute(config, here, resumed, as_json="--json" in words)


if __name__ == "__main__":
    sys.exit(main())
