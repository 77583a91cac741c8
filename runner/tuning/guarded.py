"""The runner's side of the guard: a small process that puts the settings back when the runner is killed.

Started before the first intent is written, and only then; the guard itself is runner/guard. Its standard input is a
pipe: a line of JSON at the start, then nothing until the clean end says "C". End of file without it means that the
runner died. Called by scopes.py and by the `tuning` command.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from runner import layout
from runner.errors import TuningError

READY = b"R"
CLEAN = b"C"
READY_S = 30
"""An interpreter starts in a tenth of a second; more than this is a machine that does not work."""


class Guard:
    """One guard process, or none yet."""

    def __init__(self, run: str, boot_id: str, system: str, journal: Path, lock: Path, mirror: Path | None) -> None:
        self._spec = {
            "run": run, "boot_id": boot_id, "system": system, "journal": str(journal), "lock": str(lock),
            "mirror": str(mirror) if mirror else "", "scripts": str(layout.tuning_dir()),
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the living guard."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Returns when the guard watches. TuningError when it does not: nothing is set without one."""
        # A session of its own: a key of the terminal or a signal to our group must not end it. -I and -S: no site, no
        # path of the user's, so that it starts fast and loads what we load.
        command = [sys.executable, "-I", "-S", str(layout.PACKAGE / "guard" / "__main__.py")]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, cwd="/", env=os.environ
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(self._spec).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended at once: the answer below is empty
        if self._process.stdout.read(1) != READY:
            code = self._process.wait(READY_S)
            self._process = None
            raise TuningError(
                f"the guard of system tuning did not start (exit {code}), and nothing is set without one",
                "runner tuning status; or run without system scope: 'tuning.scopes=[process]'",
            )

    def dismiss(self) -> None:
        """Everything is put back, or kept on purpose: the guard has nothing more to do."""
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            process.communicate(CLEAN, READY_S)
        except BrokenPipeError:  # somebody killed it; the journal is what counts
            process.wait(READY_S)
