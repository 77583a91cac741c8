"""The view of a running batch: live on a terminal, a plain line now and then elsewhere. On stderr alone.

Draws what samples say. It does NOT take samples and decides nothing; keys are handed to who can act on them. Called by
run and `runner show --live`.
"""

from __future__ import annotations

import os
import sys
from typing import Final, Protocol

from runner.metrics import Sample
from runner.progress.board import Board, Heading
from runner.progress.texts import bytes_text, documents_text, duration_text, pools_text, tokens_text, workers_text

__all__ = ["Board", "Heading", "PlainProgress", "Progress", "bytes_text", "choose", "documents_text", "duration_text"]

PLAIN_EVERY_S: Final = 15.0
"""Seconds between two plain lines: a night's log stays readable."""

RUN_KEYS: Final = "p pause or go on, d finish what is in workers and stop, q stop now; `runner resume` goes on"


class Progress(Protocol):
    """What the run's loop calls."""

    board: Board
    draws: int
    draw_cpu_s: float

    def update(self, sample: Sample) -> None:
        """A new sample."""

    def pressed(self) -> str:
        """Keys since the last call; never waits."""

    def close(self) -> None:
        """The last state stays on the screen."""


class PlainProgress:
    """One line every `PLAIN_EVERY_S`, and one for each alert that begins."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.draws, self.draw_cpu_s = 0, 0.0
        self._last = 0.0

    def update(self, sample: Sample) -> None:
        """Prints when it is time."""
        self.board.feed(sample)
        if sample.elapsed_s - self._last < PLAIN_EVERY_S:
            return
        self._last = sample.elapsed_s
        self.draws += 1
        alerts = "".join(f"; {severity}: {name}" for severity, name, _ in self.board.alerts)
        print(
            f"{documents_text(sample)}; {tokens_text(sample)}; left: {self.board.eta_text}; "
            f"memory: {pools_text(sample)}; workers: {workers_text(sample.worker_states)}{alerts}",
            file=sys.stderr,
            flush=True,
        )

    def pressed(self) -> str:
        """Nobody is there."""
        return ""

    def close(self) -> None:
        """Nothing is on the screen."""


def is_live() -> bool:
    """A terminal that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def choose(heading: Heading, keys: str = RUN_KEYS) -> Progress:
    """Live on a terminal that can move its cursor, else plain lines."""
    heard = sys.stdin is not None and sys.stdin.isatty()
    board = Board(heading, keys if heard else "no keyboard; Ctrl-C, or SIGTERM")
    if not is_live():
        return PlainProgress(board)
    from runner.progress.screen import Screen

    return Screen(board)
