"""One worker process from exec to its last line: environment, spec on stdin, two threads that only move lines.

It does NOT decide when a process starts or ends; `Supervisor` does. Workers are exec'ed with the descriptors they
need and no others, never forked.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

KEPT_LINES: Final = 20
"""Last lines of a worker's stderr that are shown when it dies."""

LINE_LIMIT: Final = 16_384
"""Characters of one line that are kept; a worker that prints without newlines cannot fill our memory."""

QUEUE_LINES: Final = 4_096
"""Lines waiting for the loop; a full queue makes the worker's own write wait (back-pressure)."""

PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME", "LD_LIBRARY_PATH")
"""All that a worker inherits of the user's environment: no secrets, since it needs none."""


def worker_environment(parent: Mapping[str, str], profile: Mapping[str, str], temporary: Path) -> dict[str, str]:
    """The whole environment of a worker: few of the user's, the profile's, ours (offline, private TMPDIR)."""
    package_root = str(Path(__file__).resolve().parents[2])
    return {
        **{name: parent[name] for name in PASSED_ON if name in parent},
        "TMPDIR": str(temporary),
        # `python -P` keeps the current folder off the path, so the package's own place is named.
        "PYTHONPATH": package_root,
        "PYTHONUTF8": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        **profile,
    }


def exit_text(returncode: int) -> str:
    """How a process ended, in words: "signal 11 (SIGSEGV)" or "exit status 1"."""
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        return f"signal {-returncode} ({signal.Signals(-returncode).name})"
    except ValueError:
        return f"signal {-returncode}"


def event_of(line: str) -> dict[str, Any] | None:
    """What a worker's line on stdout says; None for what a library printed there, a nuisance and not a death."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and "event" in message else None


def _move_lines(stream: IO[bytes], kind: str, lines: queue.Queue[tuple[str, str]]) -> None:
    with stream:
        while chunk := stream.readline(LINE_LIMIT):
            lines.put((kind, chunk.decode("utf-8", "replace").rstrip("\n")))


def _feed(stream: IO[bytes], text: str) -> None:
    try:
        with stream:
            stream.write(text.encode() + b"\n")
    except BrokenPipeError:
        # The process died before it read its spec; waitpid tells how, and that is what gets reported.
        return


@dataclass(slots=True)
class Child:
    """One incarnation. `lines` is filled by its reader threads with (stream, text)."""

    popen: subprocess.Popen[bytes]
    started: float
    threads: list[threading.Thread]
    lines: queue.Queue[tuple[str, str]]
    last_stderr: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    reported: tuple[str, str] | None = None
    """Problem and cure, when the worker said them itself."""

    def take(self) -> list[tuple[str, str]]:
        """What was said since the last call; never waits."""
        out: list[tuple[str, str]] = []
        while True:
            try:
                out.append(self.lines.get_nowait())
            except queue.Empty:
                return out


def spawn(
    command: Sequence[str], spec: str, inherited: Sequence[int], environment: Mapping[str, str], now: float
) -> Child:
    """Execs the worker. OSError when the system refuses; the caller closes its copies of `inherited` either way."""
    popen = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=inherited,
        env=environment,
        # Ctrl-C on the terminal is for the runner, which drains; workers must not see it on their own.
        process_group=0,
    )
    assert popen.stdin is not None
    assert popen.stdout is not None
    assert popen.stderr is not None
    lines: queue.Queue[tuple[str, str]] = queue.Queue(QUEUE_LINES)
    jobs: list[tuple[Callable[..., None], tuple[object, ...]]] = [
        (_feed, (popen.stdin, spec)),
        (_move_lines, (popen.stdout, "stdout", lines)),
        (_move_lines, (popen.stderr, "stderr", lines)),
    ]
    threads = [threading.Thread(target=target, args=args, daemon=True) for target, args in jobs]
    for thread in threads:
        thread.start()
    return Child(popen, now, threads, lines)
