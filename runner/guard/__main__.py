"""The guard's whole life: load everything, say so, wait for the end of the pipe, put back what the journal has open.

Run by path (`python -I -S .../guard/__main__.py`). A clean end of the runner sends "C"; end of file without it is its
death. When the machine is busy and the lock cannot be had, or this process dies too, the next command recovers.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from runner.errors import RunnerError, render
from runner.tuning.guarded import CLEAN, READY
from runner.tuning.system import SystemScope


def main() -> int:
    """0 when there was nothing to do or everything is back, 5 when something stays."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the runner, which ends us when it has cleaned up
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return 0  # it died before it had told us anything, so before it set anything
    spec = json.loads(line)
    scope = SystemScope(
        spec["run"], spec["boot_id"], system=spec["system"], journal=Path(spec["journal"]), lock=Path(spec["lock"]),
        mirror=Path(spec["mirror"]) if spec["mirror"] else None, scripts_folder=Path(spec["scripts"]),
    )  # fmt: skip
    with suppress(PermissionError):  # its work is short, and the machine may be busy with what the runner left
        os.nice(-10)
    os.write(1, READY)
    if sys.stdin.buffer.read(1) == CLEAN:
        return 0
    try:
        outcomes = scope.recover()
    except RunnerError as error:
        print(render(error), file=sys.stderr)
        return error.exit_code
    return 0 if all(outcome.state == "reverted" for outcome in outcomes) else 5


if __name__ == "__main__":
    sys.exit(main())
