"""The live view on a terminal: the board's rows drawn anew with each sample, at most four times a second.

Log lines scroll above it. Rich moves the cursor and knows colours (NO_COLOR); rows come from `board`, widths from
`draw`, keys from `keys`. Decides nothing. Called by run and by `runner show --live`.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Final

from runner.metrics import Sample
from runner.progress.board import Board
from runner.progress.keys import Keys

LEAST_BETWEEN_S: Final = 0.25


class Screen:
    """Draws until `close`, which leaves the last state on the screen."""

    def __init__(self, board: Board) -> None:
        from rich.console import Console
        from rich.live import Live

        self.board = board
        self._console = Console(stderr=True, no_color="NO_COLOR" in os.environ, highlight=False)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=True,
            vertical_overflow="crop",
        )
        self._plain = not (self._console.encoding or "").lower().startswith("utf")
        self._keys = Keys(self._give_cursor, self._take_cursor)
        self._drawn = float("-inf")
        self._live.start()
        self._has_keys = self._keys.open()
        self.draws, self.draw_cpu_s = 0, 0.0

    def _give_cursor(self) -> None:
        self._console.show_cursor(True)

    def _take_cursor(self) -> None:
        self._console.show_cursor(False)

    def pressed(self) -> str:
        """Keys since the last call."""
        return self._keys.pressed() if self._has_keys else ""

    def update(self, sample: Sample) -> None:
        """Takes the sample in, and draws when it is time and the terminal is ours."""
        self.board.feed(sample)
        now = time.monotonic()
        if now - self._drawn < LEAST_BETWEEN_S or (self._has_keys and not self._keys.foreground):
            return
        self._drawn = now
        self._draw()

    def _draw(self) -> None:
        from rich.text import Text

        from runner.progress.draw import lines_of

        begun = time.thread_time()
        width, height = self._console.size
        # One cell and one line stay free: a full last column wraps on some terminals.
        lines = lines_of(self.board.title(), self.board.rows(), width - 1, height - 1, self._plain)
        self._live.update(Text("\n").join(lines), refresh=True)
        self.draws += 1
        self.draw_cpu_s += time.thread_time() - begun

    def close(self) -> None:
        """The last state stays; cursor, keys and stderr are given back."""
        self._keys.close()
        if not self._live.is_started:
            return
        self.board.closed = True
        try:
            self._draw()
        finally:
            self._live.stop()
            sys.stderr.flush()
