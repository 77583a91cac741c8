"""What of each memory pool was used, and the smaller split that would have done: for summary.json and the end of a run.

A peak is of one life; `mlx` adds up the peaks of the workers as if all had fallen together. Called by run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from runner.config.schema import Memory, RunnerConfig
from runner.models import ModelFolder
from runner.monitor import Monitor
from runner.run.fitting import footprint_of
from runner.run.settings import max_model_len

_ROOM: Final = 1.1
"""A next run of the same kind is not the same to the byte."""

_LEAST: Final = {"rust": 16 << 20, "mlx": 64 << 20, "ipc": 4 << 20}
"""The door's own bounds."""


def of_run(config: RunnerConfig, model: ModelFolder, workers: int, monitor: Monitor, rust_peak: int) -> dict[str, Any]:
    """For summary.json."""
    mlx = sum(peak for name, peak in monitor.peak_rss.items() if name.startswith("worker "))
    one_row = 0
    if config.model.engine != "scripted":
        one_row = workers * footprint_of(config, model, workers).needs(1, max_model_len(config, model))
    peaks = {"rust": rust_peak, "mlx": mlx, "ipc": monitor.peak_ipc}
    return report(config.memory, peaks, monitor.least_available, one_row)


def report(memory: Memory, peaks: Mapping[str, int], least_available: int | None, one_row: int) -> dict[str, Any]:
    """`peaks` by pool in bytes; `one_row`: what the mlx pool must hold for the run to start at all."""
    limits = {"rust": memory.rust_bytes, "mlx": memory.mlx_bytes, "ipc": memory.ipc_bytes}
    pools = {
        name: {"limit": limit, "peak": peaks[name], "unused": max(0, limit - peaks[name])}
        for name, limit in limits.items()
    }
    least = {**_LEAST, "mlx": max(_LEAST["mlx"], one_row)}
    smaller = {
        name: min(limit, _mebibytes(max(int(peaks[name] * _ROOM), least[name]))) for name, limit in limits.items()
    }
    return {
        **pools,
        "system": {"limit": memory.system_bytes, "least_available": least_available},
        "would_have_done": smaller,
    }


def _mebibytes(count: int) -> int:
    return -(-count // 2**20) * 2**20


def lines(report: Mapping[str, Any]) -> list[str]:
    """For people, only where a pool came near its cap: nine tenths of it."""
    return [
        f"memory.{name} was used up to {pool['peak'] / pool['limit']:.0%} of {pool['limit'] >> 20} MiB"
        for name, pool in report.items()
        if "peak" in pool and pool["peak"] > 0.9 * pool["limit"]
    ]
