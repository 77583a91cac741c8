"""The view of a running batch: a live panel on a terminal, a plain line now and then elsewhere. On stderr alone.

Draws what samples say; the arithmetic (`eta_s`, texts) is pure. It does NOT take samples. Called by run.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from runner.metrics import Sample

if TYPE_CHECKING:
    from rich.table import Table

PLAIN_EVERY_S: Final = 15.0
"""Seconds between two plain lines: a night's log stays readable."""

ETA_MIN_SHARE: Final = 0.02
"""No estimate before this share of the known prompt tokens is done: it would only jump."""


def eta_s(sample: Sample, first_result_s: float | None) -> float | None:
    """Seconds left, from prompt tokens (documents differ by orders of magnitude). None while it cannot be known."""
    if not sample.discovery_done or first_result_s is None or sample.prompt_tokens_known <= 0:
        return None
    done = sample.prompt_tokens_done
    left = sample.prompt_tokens_known - done
    spent = sample.elapsed_s - first_result_s
    if left <= 0:
        return 0.0
    if spent <= 0 or done < ETA_MIN_SHARE * sample.prompt_tokens_known:
        return None
    return left * spent / done


def duration_text(seconds: float) -> str:
    """Two units at most: "45 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


def bytes_text(count: int) -> str:
    """MiB below 1 GiB, else GiB with one digit."""
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def documents_text(sample: Sample) -> str:
    """How many of how many, and how they ended; only what is not zero."""
    known = f"{sample.inputs}" if sample.discovery_done else f"{sample.inputs}+"
    ends = [
        f"{count} {name}"
        for name, count in (
            ("failed", sample.failed),
            ("skipped", sample.skipped),
            ("quarantined", sample.quarantined),
            ("reused", sample.reused),
        )
        if count
    ]
    text = f"{sample.done} of {known} documents" + (f" ({', '.join(ends)})" if ends else "")
    # A file of thousands of pages is one document for minutes: its pages show that it moves.
    return text + (f", {sample.pages_read:,} pages read" if sample.pages_read else "")


def tokens_text(sample: Sample) -> str:
    """Rates over the last samples."""
    return f"{sample.prompt_tokens_per_s:.0f} prompt + {sample.generated_tokens_per_s:.0f} generated tokens/s"


def pools_text(sample: Sample) -> str:
    """Memory by pool; the model's pool is what the workers hold resident."""
    pools: Mapping[str, int] = {
        "rust": sample.rust_bytes,
        "ipc": sample.ipc_bytes,
        "workers": sample.workers_rss_bytes,
        "free": sample.available_bytes,
    }
    return ", ".join(f"{name} {bytes_text(count)}" for name, count in pools.items())


def workers_text(states: Sequence[str]) -> str:
    """ "2 serving, 1 starting"."""
    return ", ".join(f"{count} {state}" for state, count in sorted(Counter(states).items())) or "none"


class Progress(Protocol):
    """What the run's loop calls."""

    def update(self, sample: Sample, workers: Sequence[str]) -> None:
        """A new sample; `workers` holds the state of each worker."""

    def close(self) -> None:
        """The last state stays on the screen."""


class _Eta:
    """Remembers when the first result came: loading a model says nothing about speed."""

    def __init__(self) -> None:
        self._first: float | None = None

    def text(self, sample: Sample) -> str:
        if self._first is None and sample.prompt_tokens_done > 0:
            self._first = sample.elapsed_s
        left = eta_s(sample, self._first)
        return "not known yet" if left is None else duration_text(left)


class PlainProgress:
    """One line every `PLAIN_EVERY_S`."""

    def __init__(self) -> None:
        self._eta = _Eta()
        self._last = 0.0

    def update(self, sample: Sample, workers: Sequence[str]) -> None:
        """Prints when it is time."""
        eta = self._eta.text(sample)
        if sample.elapsed_s - self._last < PLAIN_EVERY_S:
            return
        self._last = sample.elapsed_s
        print(
            f"{documents_text(sample)}; {tokens_text(sample)}; left: {eta}; memory: {pools_text(sample)}; "
            f"workers: {workers_text(workers)}",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        """Nothing is on the screen."""


class LiveProgress:
    """A few lines that are drawn anew with each sample; log lines scroll above them."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._eta = _Eta()
        console = Console(stderr=True, no_color="NO_COLOR" in os.environ, highlight=False)
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=True)
        self._live.start()

    def _panel(self, sample: Sample, workers: Sequence[str]) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        total = max(1, sample.prompt_tokens_known)
        table = Table.grid(padding=(0, 2))
        table.add_row("documents", documents_text(sample))
        table.add_row("tokens", ProgressBar(total=total, completed=sample.prompt_tokens_done, width=40))
        table.add_row("", tokens_text(sample))
        table.add_row("left", self._eta.text(sample))
        table.add_row("memory", pools_text(sample))
        table.add_row("workers", workers_text(workers))
        return table

    def update(self, sample: Sample, workers: Sequence[str]) -> None:
        """Draws."""
        self._live.update(self._panel(sample, workers), refresh=True)

    def close(self) -> None:
        """Leaves the last state and gives stderr back."""
        self._live.stop()


def choose() -> Progress:
    """Live on a terminal that can move its cursor, else plain lines."""
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return LiveProgress()
    return PlainProgress()
