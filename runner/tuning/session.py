"""Session scope: what a living process holds and what goes with it: the machine does not fall asleep while a run lasts.

caffeinate (macOS) and systemd-inhibit (Linux) hold it for a `cat` that reads our pipe: when we end, by whatever, the
pipe ends, and the hold with it. Nothing is written down and nothing has to be put back. Called by scopes.py.
"""

from __future__ import annotations

import selectors
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from runner.tuning.outcome import Outcome

STEP = "stay_awake"
# -i and -s: neither idle nor system sleep. Not -d: a display that stays on makes the GPU's watchdog stop long work.
COMMANDS: Mapping[str, Sequence[str]] = {
    "darwin": ("caffeinate", "-i", "-s", "cat"),
    "linux": ("systemd-inhibit", "--what=idle:sleep", "--who=runner", "--why=a run is under way", "cat"),
}
ANSWER_S = 5.0
"""A hold is there when its `cat` answers; a login manager that does not answer must not hold up the run."""


@contextmanager
def awake(system: str, commands: Mapping[str, Sequence[str]] = COMMANDS) -> Iterator[Outcome]:
    """The machine stays awake inside the block, or the outcome says why not."""
    command = commands.get(system, ())
    if not command or shutil.which(command[0]) is None:
        name = command[0] if command else "nothing that holds it"
        yield Outcome(STEP, "session", "unsupported", "", f"there is no {name} here")
        return
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        if _answers(process):
            yield Outcome(STEP, "session", "applied", "on", f"held by {command[0]}, process {process.pid}")
        else:
            process.kill()
            said = process.communicate()[1].decode(errors="replace").strip().splitlines()
            reason = said[-1][:200] if said else f"no answer within {ANSWER_S:.0f} s"
            yield Outcome(STEP, "session", "failed", "", f"{command[0]}: {reason}")
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()
        process.wait()


def _answers(process: subprocess.Popen[bytes]) -> bool:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return False
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        return bool(ready.select(ANSWER_S)) and process.stdout.read(1) == b"\n"
