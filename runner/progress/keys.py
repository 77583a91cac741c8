"""Single keys from the terminal, and the terminal as it was before, whatever happens.

The mode is changed only while the runner is in the foreground; Ctrl-C keeps its meaning. Ctrl-Z (SIGTSTP) gives the
terminal back before the process stops, SIGCONT takes it again where the shell put it in the foreground. An exit of any
kind but SIGKILL restores it. No thread: `pressed` never waits. Called by screen, in the main thread.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import termios
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

_ECHO_AND_LINES: Final = termios.ICANON | termios.ECHO
_LFLAG: Final = 3
"""Index of the local modes in what tcgetattr gives."""


class Keys:
    """Reads standard input where it is a terminal. `on_stop` and `on_continue`: what else Ctrl-Z must put right."""

    def __init__(self, on_stop: Callable[[], None], on_continue: Callable[[], None], fd: int | None = None) -> None:
        self._fd = sys.stdin.fileno() if fd is None else fd
        self._on_stop, self._on_continue = on_stop, on_continue
        self._before: list[Any] | None = None
        self._old: dict[signal.Signals, Any] = {}
        self._opened = False

    def open(self) -> bool:
        """False where there is no terminal to read from."""
        if not os.isatty(self._fd):
            return False
        self._opened = True
        self._old[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._stopped)
        self._old[signal.SIGCONT] = signal.signal(signal.SIGCONT, self._continued)
        # Giving the terminal back from the background must not stop us.
        self._old[signal.SIGTTOU] = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        atexit.register(self.close)
        self._take()
        return True

    @property
    def foreground(self) -> bool:
        """Whether what is drawn and pressed is ours."""
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return False  # the terminal is gone

    def pressed(self) -> str:
        """Keys since the last call."""
        if self._before is None or not self.foreground:
            return ""
        keys = ""
        while select.select([self._fd], [], [], 0)[0]:
            try:
                read = os.read(self._fd, 32)
            except OSError:
                return keys  # a terminal that was closed: nobody presses anything any more
            if not read:
                return keys
            keys += read.decode("ascii", "ignore")
        return keys

    def _take(self) -> None:
        if self._before is not None or not self.foreground:
            return
        self._before = termios.tcgetattr(self._fd)
        mode = termios.tcgetattr(self._fd)
        mode[_LFLAG] &= ~_ECHO_AND_LINES
        termios.tcsetattr(self._fd, termios.TCSADRAIN, mode)

    def _give_back(self) -> None:
        if self._before is None:
            return
        before, self._before = self._before, None
        try:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, before)
        except termios.error:
            return  # the terminal is gone: there is nothing to restore

    def _stopped(self, number: int, _frame: FrameType | None) -> None:
        self._on_stop()
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # stops here, goes on after SIGCONT
        signal.signal(signal.SIGTSTP, self._stopped)
        self._continued(number, None)  # also where the kernel did not stop us, since no shell would wake us

    def _continued(self, _number: int, _frame: FrameType | None) -> None:
        self._take()
        if self.foreground:
            self._on_continue()

    def close(self) -> None:
        """The terminal and the handlers as they were."""
        if not self._opened:
            return
        self._opened = False
        self._give_back()
        for number, handler in self._old.items():
            signal.signal(number, handler)
        atexit.unregister(self.close)
