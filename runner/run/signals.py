"""Ctrl-C and SIGTERM of the runner, as a state that the loop looks at. No work happens in a handler; while a run is
being set up, and nothing of it is on disk yet, a signal ends that at once.

Called by run alone, in the main thread; the old handlers are put back at the end.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self


class Stopped(BaseException):
    """A signal while `StopRequest.at_once` held. Passes every `except Exception`; run alone catches it."""


class StopRequest:
    """How often, and with which signal, somebody asked the runner to stop."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self.count = 0
        self._raises = False
        self._old: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in self._SIGNALS:
            self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or signal.Signals(number)
        self.count += 1
        if self._raises:
            self._raises = False
            raise Stopped

    def ask(self) -> None:
        """As Ctrl-C would."""
        self.first = self.first or signal.SIGINT
        self.count += 1

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """A signal inside, or one that came before, raises Stopped: fetching and converting a model take minutes."""
        self._raises = True
        try:
            if self.asked:
                raise Stopped
            yield
        finally:
            self._raises = False

    @property
    def asked(self) -> bool:
        """At least once."""
        return self.count > 0

    @property
    def exit_code(self) -> int:
        """128 + the first signal: 130 or 143."""
        assert self.first is not None
        return 128 + self.first
