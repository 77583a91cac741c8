"""Everything that looks at a run while it lives: samples, alerts, Prometheus, the view; and what looking costs.

Called by the loop, once a sample. It decides nothing: keys are handed on to the loop.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.alerts.watching import Alerts
from runner.monitor import Monitor
from runner.monitor.prometheus import Exposition
from runner.predict.pace import Paces
from runner.progress import Progress
from runner.progress.follow import Failures


@dataclass(slots=True)
class Watch:
    """The observers of one life."""

    monitor: Monitor
    paces: Paces
    alerts: Alerts
    exposition: Exposition
    failures: Failures
    progress: Progress
    samples: int = 0
    cpu_s: float = 0.0

    def look(self, counters: Mapping[str, int], now: float, states: Sequence[str], draining: bool) -> None:
        """One sample for all of them. StorageError when metrics.jsonl cannot be written."""
        begun = time.thread_time()
        sample = self.monitor.sample(counters, now, self.paces.work(), states, draining)
        self.alerts.update(sample)
        self.exposition.update(sample)
        board = self.progress.board
        board.alerts, board.failure = self.alerts.shown(), self.failures.last(sample)
        self.progress.update(sample)
        self.samples += 1
        self.cpu_s += time.thread_time() - begun

    def summary(self) -> dict[str, Any]:
        """For summary.json: what looking has cost the loop's thread, drawing in it."""
        return {
            "samples": self.samples,
            "cpu_s": round(self.cpu_s, 4),
            "draws": self.progress.draws,
            "draw_cpu_s": round(self.progress.draw_cpu_s, 4),
        }

    def close(self) -> None:
        """The screen first: whatever comes after may take a moment, or fail."""
        self.progress.close()
        self.alerts.close()
        self.exposition.close()
        self.monitor.close()
